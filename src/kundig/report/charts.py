"""Charts as SVG, from one theme: the title states the finding, bars start at zero, every chart has its words and its table beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Okabe and Ito's colours, which colour-blind readers tell apart."""
INK, FAINT = "#3d4653", "#d5dae1"


def bars(rows: Sequence[dict[str, Any]], *, x: str, y: str, title: str, subtitle: str, label: str = "", highlight: str | None = None, width: int = 640) -> str:
    """Vertical bars as SVG: `x` names them in the rows' order, `y` is their height, `label` a text above each."""
    import altair as alt

    names = [str(row[x]) for row in rows]
    data = alt.Data(values=[{"name": str(row[x]), "height": float(row[y] or 0), "text": str(row[label]) if label else "", "hot": str(row[x]) == highlight} for row in rows])
    base = alt.Chart(data).encode(
        x=alt.X("name:N", sort=names, title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True, domainColor=FAINT, ticks=False)),
        y=alt.Y("height:Q", title=None, scale=alt.Scale(zero=True), axis=None),
    )
    colour = alt.condition("datum.hot", alt.value(PALETTE[5]), alt.value(PALETTE[0]))
    chart = base.mark_bar(cornerRadiusTopLeft=2, cornerRadiusTopRight=2).encode(color=colour)
    if label:
        chart = chart + base.mark_text(dy=-7, fontSize=11, color=INK).encode(text="text:N")
    return _svg(chart.properties(width=width, height=220), title, subtitle)


def line(rows: Sequence[dict[str, Any]], *, x: str, y: str, title: str, subtitle: str, label: str = "", width: int = 640) -> str:
    """One line over days or months as SVG, from zero, its last point labelled."""
    import altair as alt

    values = [{"at": row[x].isoformat(), "height": float(row[y] or 0), "text": str(row[label]) if label and number == len(rows) - 1 else ""} for number, row in enumerate(rows)]
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("at:T", title=None, axis=alt.Axis(format="%m/%y", domainColor=FAINT, grid=False, tickColor=FAINT, labelFlush=False)),
        y=alt.Y("height:Q", title=None, scale=alt.Scale(zero=True), axis=alt.Axis(grid=True, gridColor=FAINT, domain=False, ticks=False, format="~s", tickCount=4)),
    )
    chart = base.mark_line(color=PALETTE[0], strokeWidth=2.5, point=alt.OverlayMarkDef(color=PALETTE[0], size=28))
    if label:
        chart = chart + base.mark_text(align="right", dy=-12, fontSize=12, fontWeight="bold", color=PALETTE[0]).encode(text="text:N")
    return _svg(chart.properties(width=width, height=220), title, subtitle)


def _svg(chart: Any, title: str, subtitle: str) -> str:
    import altair as alt
    import vl_convert

    heading = alt.TitleParams(text=title, subtitle=subtitle, anchor="start", fontSize=16, fontWeight=600, color=INK, subtitleColor=INK, subtitleFontSize=12, offset=14)
    themed = chart.properties(title=heading, background="transparent").configure_view(strokeWidth=0).configure(font="system-ui, sans-serif").configure_axis(labelColor=INK, labelFontSize=11)
    svg: str = vl_convert.vegalite_to_svg(themed.to_dict())
    start = svg.index("<svg")
    return svg[start:].replace("<svg ", '<svg role="img" aria-hidden="true" focusable="false" class="chart" ', 1)
