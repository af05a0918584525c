"""The second stage of a message: the personal fields of one person, filled fast and exactly as Liquid would.

A creative comes with only `person` and `message` open. It is cut once into literal text and small personal pieces; a piece's
text depends on nothing but the fields it names, so equal values are filled once. What a field holds is data and never a template.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from liquid import Environment, StrictUndefined
from liquid.exceptions import LiquidError

from kundig.deliver.branches import Fill, Values, plain_fill
from kundig.errors import TemplateError, nearest

PERSON_FIELDS = ("first_name", "last_name", "company", "offer_code")
"""What a template may ask of a person; empty where it is not known."""

MESSAGE_FIELDS = ("id", "unsubscribe_url", "address")
"""What a template may ask of the message itself."""

_TAG = re.compile(r"\{\{.*?\}\}|\{%-?\s*(?P<tag>\w+).*?-?%\}", re.DOTALL)
_OPENS, _KNOWN_TAGS = frozenset({"if", "unless", "case"}), frozenset({"if", "unless", "case", "else", "elsif", "when"})
_FIELD = re.compile(r"(?<![\w.-])(person|message)\.(\w+)")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_MOST_REMEMBERED = 50_000


class _Limited(Environment):
    """Liquid that stops runaway templates; the creative's checks allow no more."""

    loop_iteration_limit = 1_000
    output_stream_limit = 100_000
    local_namespace_limit = 10_000
    context_depth_limit = 10
    block_nesting_limit = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One personal part of a template: the fields it rests on, whether they are the message's own, and how it is filled."""

    fields: tuple[tuple[str, str], ...]
    fill: Fill
    per_message: bool = False
    remembers: bool = True
    remembered: dict[tuple[str, ...], str] = field(default_factory=dict)

    def __call__(self, values: Values) -> str:
        """The piece's text for one person."""
        if not self.remembers:
            return self.fill(values)
        key = tuple([values[space][name] for space, name in self.fields])
        found = self.remembered.get(key)
        if found is None:
            if len(self.remembered) >= _MOST_REMEMBERED:
                self.remembered.clear()
            found = self.remembered[key] = self.fill(values)
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Personal:
    """A template of the second stage, cut into literal text and pieces."""

    parts: tuple[str | Piece, ...]

    @property
    def per_message(self) -> bool:
        """Whether a piece asks for something of the message itself."""
        return any(part.per_message for part in self.parts if isinstance(part, Piece))

    def __call__(self, values: Values) -> str:
        """The whole text for one person.

        Examples:
            >>> personal("Hello {{ person.first_name }}!", html=True, at="doc")({"person": {"first_name": "Kim & Co"}, "message": {}})
            'Hello Kim &amp; Co!'
        """
        return "".join([part if isinstance(part, str) else part(values) for part in self.parts])


Known = dict[tuple[str, bool], Piece]
"""Pieces by their source and escaping: templates that share one also share what it has filled."""


def personal(template: str, *, html: bool, at: str, known: Known | None = None) -> Personal:
    """The template, ready to be filled for many persons; `html` escapes what fields hold.

    Raises:
        TemplateError: It is no Liquid, asks for a field nobody fills, or uses a tag that a creative never holds.
    """
    env = _Limited(autoescape=html, undefined=StrictUndefined, strict_filters=True)
    pieces = known if known is not None else {}
    parts: list[str | Piece] = []
    position = depth = start = 0
    for match in _TAG.finditer(template):
        tag = match["tag"]
        if tag is not None and tag not in _KNOWN_TAGS and not tag.startswith("end"):
            raise TemplateError(f"the tag '{tag}' is not one of the second stage", at=at, mend=f"known: {', '.join(sorted(_KNOWN_TAGS))}")
        if depth == 0:
            parts.append(template[position : match.start()])
            start = match.start()
        if tag in _OPENS:
            depth += 1
        elif tag is not None and tag.startswith("end"):
            depth -= 1
        if depth == 0:
            source = template[start : match.end()]
            piece = pieces.get((source, html)) or _piece(env, source, html=html, at=at)
            pieces[source, html] = piece
            parts.append(piece)
            position = match.end()
    if depth != 0:
        raise TemplateError("a block is not closed", at=at, mend="close it with endif, endunless or endcase")
    parts.append(template[position:])
    if any("{{" in part or "{%" in part for part in parts if isinstance(part, str)):
        raise TemplateError("expected }} or %}, found the end of the template", at=at, mend="close the field or tag")
    return Personal(parts=tuple(part for part in parts if part != ""))


def _piece(env: Environment, source: str, *, html: bool, at: str) -> Piece:
    if source.startswith(("{{-", "{%-")) or source.endswith(("-}}", "-%}")):
        raise TemplateError("whitespace control around a personal field", at=at, mend="write {{ and {% without the dash")
    named = tuple(dict.fromkeys(_FIELD.findall(_QUOTED.sub("''", source))))
    for space, name in named:
        known = PERSON_FIELDS if space == "person" else MESSAGE_FIELDS
        if name not in known:
            raise TemplateError(f"nobody fills '{space}.{name}'", at=at, mend=nearest(name, known))
    per_message = any(space == "message" for space, _ in named)
    quick = plain_fill(source, html=html)
    if quick is not None:
        return Piece(fields=named, fill=quick, per_message=per_message, remembers=False)
    try:
        compiled = env.from_string(source)
        if not named:
            rendered = str(compiled.render())
            return Piece(fields=(), fill=lambda values: rendered)
    except LiquidError as error:
        raise TemplateError(str(error).split("\n", 1)[0], at=at, mend="mend the creative's template") from error

    def fill(values: Values) -> str:
        context: dict[str, Any] = {"person": values["person"], "message": values["message"]}
        return str(compiled.render(**context))

    return Piece(fields=named, fill=fill, per_message=per_message, remembers=not per_message)
