"""The personal pieces most messages have, without Liquid: plain fields, and `if` over whether fields are known.

What is written here must read exactly as Liquid reads it; whatever is not surely so is left to Liquid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from markupsafe import escape

Values = Mapping[str, Mapping[str, str]]
"""`person` and `message`, each a mapping from field to text."""

Fill = Callable[[Values], str]

_TOKEN = re.compile(r"(\{\{.*?\}\}|\{%.*?%\})", re.DOTALL)
_OUTPUT = re.compile(r"\{\{\s*(person|message)\.(\w+)\s*\}\}")
_TAG = re.compile(r"\{%\s*(if|elsif|else|endif)\b\s*(.*?)\s*%\}", re.DOTALL)
_KNOWN = re.compile(r"(person|message)\.(\w+)\s*(==|!=)\s*(?:''|\"\")")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Test:
    """That every named field is (not) empty."""

    fields: tuple[tuple[str, str, bool], ...]

    def __call__(self, values: Values) -> bool:
        return all((values[space][name] == "") is empty for space, name, empty in self.fields)


class _TooRich(Exception):
    """The piece asks for more than branches over empty fields."""


def plain_fill(source: str, *, html: bool) -> Fill | None:
    """How to fill the piece without Liquid; None where only Liquid can say.

    Examples:
        >>> fill = plain_fill("Hello{% if person.first_name != '' %} {{ person.first_name }}{% endif %},", html=True)
        >>> fill({"person": {"first_name": "Kim & Co"}}), fill({"person": {"first_name": ""}})
        ('Hello Kim &amp; Co,', 'Hello,')
        >>> plain_fill("{{ person.first_name | upcase }}", html=True) is None
        True
    """
    tokens = [token for token in _TOKEN.split(source) if token]
    try:
        fill, rest = _sequence(tokens, html=html)
    except _TooRich:
        return None
    return fill if not rest else None


def _sequence(tokens: list[str], *, html: bool) -> tuple[Fill, list[str]]:
    """The fill of all tokens up to the end of the block they stand in, and the tokens from there on."""
    parts: list[str | Fill] = []
    while tokens:
        token = tokens[0]
        if not token.startswith(("{{", "{%")):
            parts.append(token)
        elif output := _OUTPUT.fullmatch(token):
            parts.append(_field(output[1], output[2], html=html))
        else:
            tag = _TAG.fullmatch(token)
            if tag is None:
                raise _TooRich
            if tag[1] != "if":
                break
            branch, tokens = _branch(tokens, html=html)
            parts.append(branch)
            continue
        tokens = tokens[1:]
    if all(isinstance(part, str) and not part.strip() for part in parts):
        raise _TooRich  # Liquid leaves out what is blank
    if len(parts) == 1 and not isinstance(parts[0], str):
        return parts[0], tokens
    if all(isinstance(part, str) for part in parts):
        text = "".join(part for part in parts if isinstance(part, str))
        return lambda values: text, tokens
    return lambda values: "".join([part if isinstance(part, str) else part(values) for part in parts]), tokens


def _branch(tokens: list[str], *, html: bool) -> tuple[Fill, list[str]]:
    """The fill of an `if` with its `elsif` and `else`, and the tokens after its `endif`."""
    cases: list[tuple[_Test, Fill]] = []
    otherwise: Fill = _nothing
    ended = False
    while tokens:
        tag = _TAG.fullmatch(tokens[0])
        if tag is None or (ended and tag[1] != "endif"):
            raise _TooRich
        if tag[1] == "endif":
            return _chosen(tuple(cases), otherwise), tokens[1:]
        body, rest = _sequence(tokens[1:], html=html)
        if tag[1] == "else":
            otherwise, ended = body, True
        else:
            cases.append((_test(tag[2]), body))
        tokens = rest
    raise _TooRich


def _chosen(cases: tuple[tuple[_Test, Fill], ...], otherwise: Fill) -> Fill:
    def fill(values: Values) -> str:
        for test, body in cases:
            if test(values):
                return body(values)
        return otherwise(values)

    return fill


def _nothing(values: Values) -> str:
    return ""


def _test(condition: str) -> _Test:
    found = [_KNOWN.fullmatch(part.strip()) for part in condition.split(" and ")]
    if any(match is None for match in found):
        raise _TooRich
    return _Test(fields=tuple((match[1], match[2], match[3] == "==") for match in found if match is not None))


def _field(space: str, name: str, *, html: bool) -> Fill:
    return (lambda values: str(escape(values[space][name]))) if html else (lambda values: values[space][name])
