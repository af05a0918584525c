"""Charts as SVG, from one theme: bars start at zero, text follows the page's colour, each in a wide and a narrow form.

Title and subtitle stand on the page beside the drawing, where they wrap and are read aloud; so does the table with the same figures.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Okabe and Ito's colours, which colour-blind readers tell apart."""
INK, FAINT = "#3d4653", "#d5dae1"
"""Stand-ins for the page's ink, full and faint."""
WIDE, NARROW, HEIGHT = 560, 280, 200


def bars(rows: Sequence[dict[str, Any]], *, x: str, y: str, label: str = "", highlight: str | None = None) -> str:
    """Bars as SVG, wide (upright) and narrow (lying): `x` names them in the rows' order, `y` is their length, `label` the text at each end."""
    names = [str(row[x]) for row in rows]
    values = [{"name": str(row[x]), "size": float(row[y] or 0), "text": str(row[label]) if label else "", "hot": str(row[x]) == highlight} for row in rows]
    return _both(lambda width: _upright(values, names, width) if width == WIDE else _lying(values, names, width))


def _upright(values: list[dict[str, Any]], names: list[str], width: int) -> Any:
    import altair as alt

    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("name:N", sort=names, title=None, axis=alt.Axis(labelAngle=0, domainColor=FAINT, ticks=False)),
        y=alt.Y("size:Q", title=None, scale=alt.Scale(domain=_span(values, 0.12)), axis=None),
    )
    return base.mark_bar(cornerRadiusEnd=2).encode(color=_hot()) + base.mark_text(dy=-7, fontSize=12, color=INK).encode(text="text:N")


def _lying(values: list[dict[str, Any]], names: list[str], width: int) -> Any:
    import altair as alt

    base = alt.Chart(alt.Data(values=values)).encode(
        y=alt.Y("name:N", sort=names, title=None, axis=alt.Axis(domain=False, ticks=False, labelPadding=6)),
        x=alt.X("size:Q", title=None, scale=alt.Scale(domain=_span(values, 0.4)), axis=None),
    )
    return base.mark_bar(cornerRadiusEnd=2).encode(color=_hot()) + base.mark_text(dx=4, align="left", fontSize=12, color=INK).encode(text="text:N")


def _span(values: list[dict[str, Any]], spare: float) -> list[float]:
    """From zero, or from the lowest bar below it, to the highest, with room for its text."""
    sizes = [value["size"] for value in values]
    low, high = min(0.0, *sizes, 0.0), max(0.0, *sizes, 0.0)
    return [low, high + ((high - low) or 1.0) * spare]


def _hot() -> Any:
    import altair as alt

    return alt.condition("datum.hot", alt.value(PALETTE[5]), alt.value(PALETTE[0]))


def line(rows: Sequence[dict[str, Any]], *, x: str, y: str, label: str = "") -> str:
    """One line over days or months as SVG, from zero, its first and last point labelled."""
    values = [{"at": row[x].isoformat(), "size": float(row[y] or 0), "text": str(row[label]) if label else "", "ends": {0: "first", len(rows) - 1: "last"}.get(number, "")} for number, row in enumerate(rows)]
    return _both(lambda width: _line(values, label, width))


def _line(values: list[dict[str, Any]], label: str, width: int) -> Any:
    import altair as alt

    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("at:T", title=None, axis=alt.Axis(format="%m/%y", domainColor=FAINT, grid=False, tickColor=FAINT, labelFlush=False, tickCount=8 if width == WIDE else 4)),
        y=alt.Y("size:Q", title=None, scale=alt.Scale(zero=True), axis=alt.Axis(grid=True, gridColor=FAINT, domain=False, ticks=False, labels=False, tickCount=4)),
    )
    drawn = base.mark_line(color=PALETTE[0], strokeWidth=2.5, point=alt.OverlayMarkDef(color=PALETTE[0], size=28))
    if not label:
        return drawn
    sizes = [value["size"] for value in values]
    falls, fell = sizes[1] < sizes[0], sizes[-1] < sizes[-2]
    first = base.mark_text(align="left", dy=-14 if falls else 18, fontSize=12, color=INK).encode(text="text:N").transform_filter("datum.ends === 'first'")
    last = base.mark_text(align="right", dy=18 if fell else -14, fontSize=13, fontWeight="bold", color=INK).encode(text="text:N").transform_filter("datum.ends === 'last'")
    return drawn + first + last


def curve(points: Sequence[dict[str, float]], *, percent: Callable[[float], str], amount: Callable[[float], str] | None = None, diagonal: bool = False) -> str:
    """A line through points of `x` (a share) and `y` (a share, or an amount where `amount` words it) as SVG; `diagonal`: beside the line on which both are alike."""
    values = [{"x": float(point["x"]), "y": float(point["y"])} for point in points]
    return _both(lambda width: _curve(values, percent, amount, diagonal))


def _curve(values: list[dict[str, float]], percent: Callable[[float], str], amount: Callable[[float], str] | None, diagonal: bool) -> Any:
    import altair as alt

    xs, ys = [value["x"] for value in values], [value["y"] for value in values]
    high = max([*xs, *ys]) if diagonal else max(xs)
    told = {"low": min(0.0, *ys), "high": high if diagonal else max(0.0, *ys)}
    word = amount or percent
    across = alt.X("x:Q", title=None, scale=alt.Scale(domain=[0, high]), axis=alt.Axis(values=[0, high], labelExpr=_labels({0.0: percent(0), high: percent(high)}), domainColor=FAINT, grid=False, tickColor=FAINT, labelFlush=True))
    ends = {told["low"]: word(told["low"]), told["high"]: word(told["high"])}
    up = alt.Y("y:Q", title=None, scale=alt.Scale(domain=[told["low"], told["high"]]), axis=alt.Axis(values=list(ends), labelExpr=_labels(ends), grid=True, gridColor=FAINT, domain=False, ticks=False))
    drawn = alt.Chart(alt.Data(values=values)).mark_line(color=PALETTE[0], strokeWidth=2.5, point=alt.OverlayMarkDef(color=PALETTE[0], size=28)).encode(x=across, y=up)
    if not diagonal:
        return drawn
    exact = alt.Chart(alt.Data(values=[{"x": 0.0, "y": 0.0}, {"x": high, "y": high}])).mark_line(color=INK, strokeWidth=1, strokeDash=[4, 4]).encode(x=across, y=up)
    return exact + drawn


def _labels(words: dict[float, str]) -> str:
    """An expression that words the values of an axis."""
    import json

    cases = "".join(f"abs(datum.value - {value!r}) < 1e-9 ? {json.dumps(text, ensure_ascii=False)} : " for value, text in words.items())
    return f"{cases}''"


def _both(draw: Callable[[int], Any]) -> str:
    return _svg(draw(WIDE).properties(width=WIDE, height=HEIGHT), "wide") + _svg(draw(NARROW).properties(width=NARROW, height=HEIGHT), "narrow")


def _svg(chart: Any, form: str) -> str:
    import vl_convert

    theme = {"font": "sans-serif", "view": {"stroke": None}, "axis": {"labelColor": INK, "labelFontSize": 12, "labelLimit": 200}}
    themed = chart.properties(background="transparent").configure(**theme)
    svg: str = vl_convert.vegalite_to_svg(themed.to_dict())
    svg = svg[svg.index("<svg") :].replace(f'"{INK}"', '"currentColor"').replace(f'stroke="{FAINT}"', 'stroke="currentColor" stroke-opacity="0.25"')
    svg = re.sub(r'\s(?:aria-[a-z]+|role|style|xmlns(?::xlink)?|version)="[^"]*"', "", svg).replace(' class="marks"', "", 1)
    own = hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r'(id="|url\(#)(\w+)', rf"\g<1>{own}-\g<2>", svg)
    return svg.replace("<svg ", f'<svg aria-hidden="true" focusable="false" class="chart {form}" ', 1)
