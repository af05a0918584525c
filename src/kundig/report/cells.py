"""Values as pages show them: a text, the plain value behind it, and the page that has the rows it was counted from."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A text with the value it says; where the rows behind it are; how it is meant."""

    text: str
    value: Any = None
    href: str = ""
    title: str = ""
    """The exact value, where the text is a short one."""
    tone: str = ""
    """good, warn or bad: never alone, the text says it too."""
    lang: str = ""
    """Language of the text, where it is not the page's."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, kw_only=True)
class Phrase:
    """A sentence with cells in it.

    Examples:
        >>> str(Phrase(template="{n} people", cells={"n": Cell(text="12", value=12, href="/people")}))
        '12 people'
    """

    template: str
    cells: Mapping[str, Cell | str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.template.format(**{name: str(cell) for name, cell in self.cells.items()})


def shown(value: Any, *, linked: bool) -> Any:
    """A cell, phrase or text as markup: escaped, and with its link where pages are there to go to.

    Examples:
        >>> str(shown(Cell(text="<3>", href="/people?a=1&b=2"), linked=True))
        '<a href="/people?a=1&amp;b=2">&lt;3&gt;</a>'
        >>> str(shown(Cell(text="3", href="/people"), linked=False))
        '3'
    """
    from markupsafe import Markup, escape

    if isinstance(value, Phrase):
        return Markup(value.template).format(**{name: shown(cell, linked=linked) for name, cell in value.cells.items()})
    if not isinstance(value, Cell):
        return escape(value)
    marks = "".join(f' {name}="{escape(given)}"' for name, given in (("title", value.title), ("lang", value.lang), ("class", f"badge {value.tone}" if value.tone else "")) if given)
    if value.href and linked:
        return Markup(f'<a href="{escape(value.href)}"{marks}>{escape(value.text)}</a>')
    return Markup(f"<span{marks}>{escape(value.text)}</span>") if marks else escape(value.text)


def address(path: str, **query: Any) -> str:
    """An address with its query; what is empty is left out.

    Examples:
        >>> address("/people", state="at_risk", lang="de", q="")
        '/people?state=at_risk&lang=de'
    """
    given = {name: str(value) for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


def plain(value: Any) -> Any:
    """A view as JSON takes it: cells with text, value and link; phrases as their text; amounts as numbers; moments in ISO form."""
    if isinstance(value, Cell):
        said = {"text": value.text, "value": plain(value.value), "href": value.href}
        return {name: part for name, part in said.items() if part not in (None, "")}
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, (float, Decimal)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, (dt.datetime, dt.date)):
        return value.isoformat()
    return str(value) if isinstance(value, Phrase) else value
