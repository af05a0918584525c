"""A picture of what belongs together: names one below the other, and an arc beside them for each link; the table beside it says the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ROW, MARGIN = 26, 16
"""Height of a name's row, and what is free above and below; pixels."""
FORMS = {"wide": (720, 300, 62, 14), "narrow": (360, 110, 30, 12)}
"""Form → width of the picture, width of the arcs, characters of a name, size of the type."""


@dataclass(frozen=True, kw_only=True)
class Arc:
    """A link between two rows; `joins`: it holds, else it was refused and is drawn broken."""

    left: int
    right: int
    joins: bool


def arcs(names: Sequence[str], links: Sequence[Arc], *, own: Sequence[bool] = ()) -> str:
    """The picture in a wide and a narrow form; nothing without names.

    Args:
        names: What stands in each row.
        links: Arcs between rows.
        own: Per row whether it belongs to the whole; others are drawn hollow. Empty: all do.

    Examples:
        >>> arcs([], [])
        ''
        >>> drawn = arcs(["a <b>", "c"], [Arc(left=0, right=1, joins=False)])
        >>> drawn.count("<svg"), "a &lt;b&gt;" in drawn, drawn.count("stroke-dasharray")
        (2, True, 2)
    """
    return "".join(_form(names, links, own or [True] * len(names), form) for form in FORMS) if names else ""


def _form(names: Sequence[str], links: Sequence[Arc], own: Sequence[bool], form: str) -> str:
    from markupsafe import escape

    width, room, characters, size = FORMS[form]
    height = 2 * MARGIN + ROW * (len(names) - 1)
    at = [MARGIN + ROW * row for row in range(len(names))]
    longest = max((abs(link.left - link.right) for link in links), default=1) or 1
    parts = []
    for link in sorted(links, key=lambda link: -abs(link.left - link.right)):
        low, high = sorted((at[link.left], at[link.right]))
        deep = (room - 20) * (0.25 + 0.75 * abs(link.left - link.right) / longest)
        look = 'stroke-width="2" stroke-opacity="0.75"' if link.joins else 'stroke-width="1.5" stroke-opacity="0.6" stroke-dasharray="4 4"'
        parts.append(f'<path d="M{room} {low}C{room - deep * 4 / 3:.1f} {low} {room - deep * 4 / 3:.1f} {high} {room} {high}" fill="none" stroke="currentColor" {look}/>')
    for name, y, mine in zip(names, at, own, strict=True):
        short = name if len(name) <= characters else name[: characters - 1] + "…"
        parts.append(f'<circle cx="{room}" cy="{y}" r="5" fill="currentColor"{"" if mine else " fill-opacity=" + chr(34) + "0.15" + chr(34)} stroke="currentColor"/>')
        parts.append(f'<text x="{room + 12}" y="{y + size / 3:.1f}">{escape(short)}</text>')
    return f'<svg aria-hidden="true" focusable="false" class="chart {form}" viewBox="0 0 {width} {height}" font-size="{size}" font-family="sans-serif" fill="currentColor">{"".join(parts)}</svg>'
