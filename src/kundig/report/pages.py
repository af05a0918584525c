"""The pages of the navigation: each one's template and what fills it."""

from __future__ import annotations

from collections.abc import Callable

from kundig.report.facts import Facts
from kundig.report.matrix import matrix
from kundig.report.usecases import usecases
from kundig.report.value import value
from kundig.report.views import View, audiences, consent, creatives, data, measure, overview, segments
from kundig.report.words import Words

PAGES: dict[str, tuple[str, Callable[[Facts, Words], View]]] = {
    "overview": ("overview.html.j2", overview), "segments": ("segments.html.j2", segments), "matrix": ("matrix.html.j2", matrix), "usecases": ("tables.html.j2", usecases), "value": ("value.html.j2", value), "audiences": ("tables.html.j2", audiences), "creatives": ("tables.html.j2", creatives),
    "measure": ("tables.html.j2", measure), "consent": ("tables.html.j2", consent), "data": ("tables.html.j2", data),
}  # fmt: skip
"""Page → its template and what fills it."""
