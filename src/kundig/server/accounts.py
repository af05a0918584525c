"""Deliveries and totals as the page and the metrics show them: what is late, which days are missing, where a source's own figures differ from what landed."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from kundig.collect.totals import Accounts, Arrival, DayTotal
from kundig.report.cells import Cell
from kundig.report.views import View, grid
from kundig.report.words import DASH, Words

if TYPE_CHECKING:
    from decimal import Decimal

SHOWN = 50
"""Days with differences that the page shows, newest first."""

DAYS_NAMED = 5
"""Days without rows that are named; more are counted."""


def views(accounts: Accounts, w: Words) -> list[View]:
    """The tables of deliveries and, where totals are declared, of days that differ."""
    found = [_arrivals(accounts, w)] if accounts.arrivals else []
    return [*found, _totals(accounts, w)] if accounts.totals else found


def _arrivals(accounts: Accounts, w: Words) -> View:
    compared: dict[str, list[DayTotal]] = defaultdict(list)
    for day in accounts.totals:
        compared[day.source].append(day)
    rows = [(one.source, _state(one, compared[one.source], w), w.moment(one.last_at), _rhythm(one, w), _missing(one, w), _agreement(compared[one.source], w)) for one in accounts.arrivals]
    heads = [(w(f"sources.{name}"), False) for name in ("source", "state", "last_delivery", "rhythm", "missing_days", "totals")]
    return grid(heads, rows, title=w("sources.deliveries"), note=w("sources.deliveries_note"))


def _state(one: Arrival, days: list[DayTotal], w: Words) -> Cell:
    if one.late:
        return Cell(text=w("sources.overdue"), tone="bad")
    if not all(day.agrees for day in days):
        return Cell(text=w("sources.differs"), tone="bad")
    if one.missing:
        return Cell(text=w("sources.gaps"), tone="warn")
    return Cell(text=w("sources.never"), tone="warn") if one.last_at is None else Cell(text=w("sources.fine"), tone="good")


def _rhythm(one: Arrival, w: Words) -> Cell | str:
    return Cell(text=w("sources.hours", hours=w.number(one.hours)), value=one.hours) if one.hours else DASH


def _missing(one: Arrival, w: Words) -> Cell | str:
    if not one.missing:
        return DASH
    named = ", ".join(w.day(day) for day in one.missing[-DAYS_NAMED:])
    more = len(one.missing) - DAYS_NAMED
    return Cell(text=named if more <= 0 else w("sources.and_more", days=named, more=w.number(more)), value=list(one.missing))


def _agreement(days: list[DayTotal], w: Words) -> Cell | str:
    if not days:
        return DASH
    agreed = sum(day.agrees for day in days)
    return Cell(text=w("sources.days_agree", agreed=w.number(agreed), days=w.number(len(days))), value=[agreed, len(days)])


def _totals(accounts: Accounts, w: Words) -> View:
    rows = []
    for one in accounts.differing[:SHOWN]:
        figures = ((one.declared, 0), (one.landed, 0), (one.difference, 0), (one.declared_amount, 2), (one.landed_amount, 2), (one.difference_amount, 2))
        rows.append((one.source, one.total, w.day(one.day), *(_figure(value, digits, w) for value, digits in figures)))
    heads = [("source", False), ("total", False), ("day", False), ("declared", True), ("landed", True), ("difference", True), ("declared_amount", True), ("landed_amount", True), ("difference_amount", True)]
    title = w("sources.differences")
    return grid([(w(f"sources.{name}"), number) for name, number in heads], rows, title=title, note=w("sources.differences_note") if rows else "", empty=w("empty.differences"))


def _figure(value: Decimal | int | None, digits: int, w: Words) -> Cell:
    return Cell(text=w.number(value, digits), value=value)


def families(accounts: Accounts) -> list[Any]:
    """Metrics of deliveries and totals."""
    from prometheus_client.core import GaugeMetricFamily

    last = GaugeMetricFamily("kundig_source_last_delivery_timestamp_seconds", "When something of a source last came, by import or over HTTP.", labels=("source",))
    late = GaugeMetricFamily("kundig_source_late", "1 where a source has sent nothing for longer than its file allows.", labels=("source",))
    missing = GaugeMetricFamily("kundig_source_missing_days", "Days of the last four weeks without a row on a weekday that usually has some.", labels=("source",))
    for one in accounts.arrivals:
        if one.last_at is not None:
            last.add_metric((one.source,), one.last_at.timestamp())
        late.add_metric((one.source,), float(one.late))
        missing.add_metric((one.source,), len(one.missing))
    compared = GaugeMetricFamily("kundig_total_days_compared", "Days of a total that were declared and held against what landed.", labels=("source", "total"))
    differing = GaugeMetricFamily("kundig_total_days_differing", "Those of them that differ.", labels=("source", "total"))
    rows = GaugeMetricFamily("kundig_total_rows_difference", "Rows that landed beyond those declared, over the days compared; below zero: rows are missing.", labels=("source", "total"))
    amount = GaugeMetricFamily("kundig_total_amount_difference", "What landed beyond the declared amount, over the days compared.", labels=("source", "total"))
    by_total: dict[tuple[str, str], list[DayTotal]] = defaultdict(list)
    for day in accounts.totals:
        by_total[day.source, day.total].append(day)
    for labels, days in sorted(by_total.items()):
        compared.add_metric(labels, len(days))
        differing.add_metric(labels, sum(not day.agrees for day in days))
        rows.add_metric(labels, float(sum(day.difference or 0 for day in days)))
        amount.add_metric(labels, float(sum(day.difference_amount or 0 for day in days)))
    return [last, late, missing, compared, differing, rows, amount]
