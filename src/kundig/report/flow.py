"""A picture of how many go from where to where: bands between two columns of names, as SVG, in a wide and a narrow form; the table beside it has the same numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kundig.report.charts import PALETTE

SLOT, THICKEST, GAP, THINNEST = 20, 54, 10, 2
"""Least height of a band's place, the thickest band, the gap between two names, the thinnest band; pixels."""
FORMS = {"wide": (760, 190, 24, 14), "narrow": (360, 104, 13, 12)}
"""Form → width of the picture, width of a column of names, characters of a name, size of the type."""


@dataclass(frozen=True, kw_only=True)
class Band:
    """One band: from, to, how many, and how that number is written."""

    before: str
    after: str
    size: int
    text: str


def flow(bands: Sequence[Band], colours: Mapping[str, str]) -> str:
    """The picture in both forms; nothing where there are no bands. A band is as thick as its number, but never thinner than can be seen.

    Examples:
        >>> flow([], {})
        ''
        >>> flow([Band(before="a", after="b", size=3, text="3")], {}).count("<svg")
        2
    """
    return "".join(_form(bands, colours, name) for name in FORMS) if bands else ""


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """A colour for each segment, the same on every page as long as the matrix lists them in this order."""
    return {name: PALETTE[place % len(PALETTE)].replace("#000000", "currentColor") for place, name in enumerate(names)}


def _form(bands: Sequence[Band], colours: Mapping[str, str], form: str) -> str:
    from markupsafe import escape

    width, names, characters, type_size = FORMS[form]
    scale = THICKEST / max(band.size for band in bands)
    thick = {number: max(THINNEST, band.size * scale) for number, band in enumerate(bands)}
    left = _places([band.before for band in bands], [band.after for band in bands], thick)
    right = _places([band.after for band in bands], [band.before for band in bands], thick)
    start, end = names + 40, width - names - 6
    middle = (start + end) / 2
    parts = []
    for number, band in enumerate(bands):
        y, z, half = left.at[number], right.at[number], thick[number] / 2
        path = f"M{start} {y - half:.1f}C{middle} {y - half:.1f} {middle} {z - half:.1f} {end} {z - half:.1f}V{z + half:.1f}C{middle} {z + half:.1f} {middle} {y + half:.1f} {start} {y + half:.1f}Z"
        parts.append(f'<path d="{path}" fill="{colours.get(band.before, "#7a8594")}" fill-opacity="0.6"/>')
        parts.append(f'<text x="{start - 5}" y="{y + type_size / 3:.1f}" text-anchor="end" font-weight="600">{escape(band.text)}</text>')
    for column, x, anchor in ((left, 0, "start"), (right, end + 6, "start")):
        parts += [f'<text x="{x}" y="{y + type_size / 3:.1f}" text-anchor="{anchor}">{escape(_short(name, characters))}</text>' for name, y in column.names.items()]
    height = max(left.height, right.height)
    return f'<svg aria-hidden="true" focusable="false" class="chart {form}" viewBox="0 0 {width} {height:.0f}" font-size="{type_size}" font-family="sans-serif" fill="currentColor">{"".join(parts)}</svg>'


@dataclass(frozen=True, kw_only=True)
class _Column:
    at: Mapping[int, float]
    names: Mapping[str, float]
    height: float


def _places(own: Sequence[str], others: Sequence[str], thick: Mapping[int, float]) -> _Column:
    """The middle of each band and of each name, from above down; names in the order in which they first stand."""
    order = {name: place for place, name in reversed(list(enumerate(others)))}
    at: dict[int, float] = {}
    names: dict[str, float] = {}
    y = GAP / 2
    for name in dict.fromkeys(own):
        mine = sorted((number for number, one in enumerate(own) if one == name), key=lambda number: order[others[number]])
        top = y
        for number in mine:
            slot = max(SLOT, thick[number] + 2)
            at[number] = y + slot / 2
            y += slot
        names[name] = (top + y) / 2
        y += GAP
    return _Column(at=at, names=names, height=y)


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
