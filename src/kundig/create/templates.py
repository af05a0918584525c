"""Liquid in two stages: once per segment with the personal fields left open, then once per person; and MJML to e-mail HTML.

The first stage knows `copy`, `segment`, `brand`, `offer` and `creative`; the second only `person` and `message`. What a matrix
cell, a copy file or an offer says is data: Liquid marks in it stay text in both stages.
"""

from __future__ import annotations

import datetime as dt
import html as entities
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import css_inline
import mrml
import nh3
from liquid import BoundTemplate, Environment, StrictUndefined
from liquid.exceptions import LiquidError

from kundig.create import formats
from kundig.errors import TemplateError, nearest

PERSON_FIELDS = ("first_name", "last_name", "company", "offer_code")
"""What the second stage knows of a person: all text, empty where not known."""

MESSAGE_FIELDS = ("id", "unsubscribe_url", "address")
"""What the second stage knows of the message itself."""

_TAG = re.compile(r"\{\{-?(?P<output>.*?)-?\}\}|\{%-?\s*(?P<tag>\w+|#)(?P<rest>.*?)-?%\}", re.DOTALL)
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_PERSONAL = re.compile(r"(?<![\w.-])(person|message)(?![\w-])")
_BLOCKS = frozenset({"if", "unless", "case", "for", "tablerow", "capture", "comment"})
_PERSONAL_BLOCKS = frozenset({"if", "unless", "case"})
_BRANCHES = frozenset({"else", "elsif", "when"})
_REFUSED = frozenset({"raw", "liquid", "echo", "include", "render", "increment", "decrement", "cycle", "ifchanged", "doc"})
_INLINE_MARKUP = {"b", "strong", "em", "i", "br", "span"}


class _Limited(Environment):
    """Liquid that stops runaway templates."""

    loop_iteration_limit = 10_000
    output_stream_limit = 500_000
    local_namespace_limit = 100_000
    context_depth_limit = 20
    block_nesting_limit = 30


@lru_cache(maxsize=64)
def environment(*, html: bool, locale: str = "de", currency: str = "EUR", zone: str = "Europe/Berlin") -> Environment:
    """A strict, limited Liquid without clock, files or a way round escaping; formats write as `locale` does."""
    made = _Limited(autoescape=html, undefined=StrictUndefined, strict_filters=True)
    for name in ("date", "safe", "base64_decode", "base64_url_safe_decode", "url_decode"):
        made.filters.pop(name, None)
    for name in _REFUSED:
        made.tags.pop(name, None)
    made.filters["number"] = lambda value, digits=0: formats.number(value, locale, digits=int(digits))
    made.filters["money"] = lambda value: formats.money(value, locale, currency)
    made.filters["percent"] = lambda value: formats.percent(value, locale)
    made.filters["day"] = partial(_day, locale=locale, zone=zone)
    return made


def _day(value: dt.date | dt.datetime | str, *, locale: str, zone: str) -> str:
    return formats.day(dt.datetime.fromisoformat(value) if isinstance(value, str) else value, locale, zone)


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A template whose personal parts are replaced by marks, and what each mark stands for."""

    text: str
    fields: tuple[str, ...]
    mark: str


def open_fields(source: str, *, mark: str, start: int = 0, at: str = "") -> Opened:
    """The template with every personal output and tag replaced by a mark that no later stage touches.

    `mark` must be a word nobody can foresee (a hash over all inputs), so that no data can forge one. `start` numbers the
    first mark, for templates that share a message.

    Raises:
        TemplateError: A tag that the second stage does not allow, or a personal branch of a block that is not personal.

    Examples:
        >>> open_fields("Hallo {{ person.first_name }}, {{ copy.line }}", mark="ab12").text
        'Hallo kab12x0x, {{ copy.line }}'
    """
    fields: list[str] = []
    faults: list[str] = []
    stack: list[tuple[str, bool]] = []

    def keep(match: re.Match[str]) -> str:
        fields.append(match[0])
        return f"k{mark}x{start + len(fields) - 1}x"

    def replace(match: re.Match[str]) -> str:
        if match["output"] is not None:
            return keep(match) if _is_personal(match["output"]) else match[0]
        tag, personal = match["tag"], _is_personal(match["rest"])
        if tag in _REFUSED:
            faults.append(f"the tag '{tag}' is not allowed")
        elif tag in _BLOCKS:
            if personal and tag not in _PERSONAL_BLOCKS:
                faults.append(f"'{tag}' over personal fields is not allowed")
            stack.append((tag, personal))
        elif tag in _BRANCHES or tag.startswith("end"):
            if not stack:
                faults.append(f"'{tag}' stands outside a block")
                return match[0]
            inside = stack[-1][1]
            if personal and not inside:
                faults.append(f"'{tag}' asks for a personal field in a block that is not personal")
            personal = inside
            if tag.startswith("end"):
                stack.pop()
        elif personal:
            faults.append(f"'{tag}' with personal fields is not allowed")
        return keep(match) if personal else match[0]

    text = _TAG.sub(replace, source)
    if stack:
        faults.append(f"the block '{stack[-1][0]}' is not closed")
    if faults:
        mend = f"personal fields stand in outputs and in {', '.join(sorted(_PERSONAL_BLOCKS))}; anything else is written per segment"
        raise TemplateError("; ".join(dict.fromkeys(faults)), at=at, mend=mend)
    return Opened(text=text, fields=tuple(fields), mark=mark)


def _is_personal(expression: str) -> bool:
    return _PERSONAL.search(_QUOTED.sub("", expression)) is not None


def close_fields(rendered: str, fields: tuple[str, ...], *, mark: str) -> str:
    """The rendered first stage as the template of the second: marks become fields again, any other brace stays text.

    Examples:
        >>> close_fields("kab12x0x pays {{ 7 | times: 7 }}", ("{{ person.first_name }}",), mark="ab12")
        '{{ person.first_name }} pays {{ "{" }}{ 7 | times: 7 }}'
    """
    inert = re.sub(rf"\{{(?=\{{|%|k{mark}x)", '{{ "{" }}', rendered)
    return re.sub(rf"k{mark}x(\d+)x", lambda match: fields[int(match[1])], inert)


def render(env: Environment, source: str, context: Mapping[str, Any], *, at: str) -> str:
    """The template rendered with the context.

    Raises:
        TemplateError: Bad syntax, an unknown name or filter, or a limit reached; says where, and which names are known.
    """
    try:
        return str(_parsed(env, source).render(**context))
    except LiquidError as error:
        what = str(error).split("\n", 1)[0]
        given = re.match(r"(\w+)\.(\w+) is undefined", what)
        place = error.context() if error.token is not None else None
        line = place[0] if place else 1
        known: Mapping[str, Any] = context.get(given[1], {}) if given else {}
        mend = nearest(given[2], known) if given and isinstance(known, Mapping) else f"known here: {', '.join(sorted(context))}"
        raise TemplateError(what, at=f"{at}, line {line}", mend=mend) from error


@lru_cache(maxsize=2_048)
def _parsed(env: Environment, source: str) -> BoundTemplate:
    return env.from_string(source)


def fill(template: str, *, person: Mapping[str, str], message: Mapping[str, str], html: bool, at: str = "") -> str:
    """The second stage for one person, by plain Liquid: what checks and previews use, and what faster ways are compared with."""
    return render(environment(html=html), template, {"person": person, "message": message}, at=at)


def email_html(mjml: str, *, at: str) -> str:
    """E-mail HTML of an MJML source, styles inlined, media queries kept; nothing is loaded from anywhere.

    Raises:
        TemplateError: The source is no MJML.
    """
    try:
        html = mrml.to_html(mjml).content
    except Exception as error:  # mrml raises its own and plain OSError, all of them about the source
        raise TemplateError(f"this is no MJML: {str(error).splitlines()[0]}", at=at, mend="check that every tag is closed and known to MJML") from error
    return _INLINER.inline(html)


_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)


def inline_markup(text: str) -> str:
    """The text with bold, emphasis and line breaks kept, every other tag and attribute removed, and bare signs escaped.

    Examples:
        >>> inline_markup('R&D <b onclick="x">neu</b><script>x()</script>')
        'R&amp;D <b>neu</b>'
    """
    return str(nh3.clean(text, tags=_INLINE_MARKUP, attributes={}))


def plain(html: str) -> str:
    """The text of a piece of inline HTML.

    Examples:
        >>> plain("R&amp;D <b>neu</b><br>zwei")
        'R&D neu\\nzwei'
    """
    return entities.unescape(nh3.clean(re.sub(r"<br\s*/?>", "\n", html), tags=set()))


def liquid_value(value: object) -> object:
    """A value as templates see it: text, numbers, days; nothing with methods.

    Examples:
        >>> from decimal import Decimal
        >>> liquid_value(Decimal("1.50")), liquid_value(None)
        ('1.50', '')
    """
    if value is None:
        return ""
    if isinstance(value, (bool, int, float, str, dt.date)):
        return value
    return str(value)
