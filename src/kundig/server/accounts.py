"""Deliveries, totals and followed databases as the page and the metrics show them: what is late, which days are missing, where figures differ, which slot lags."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kundig.collect.cdc.slots import SlotLag
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


def slots_view(slots: Sequence[SlotLag], w: Words) -> View:
    """The table of followed databases."""
    rows = [(one.source, one.slot, _slot_state(one, w), _megabytes(one.behind, w), _megabytes(one.kept, w)) for one in slots]
    heads = [("source", False), ("slot", False), ("state", False), ("behind", True), ("kept", True)]
    return grid([(w(f"sources.{name}"), number) for name, number in heads], rows, title=w("sources.slots"), note=w("sources.slots_note"))


def slot_is_well(one: SlotLag) -> bool:
    """Whether the server answers, and still has what has not landed."""
    return not one.fault and one.status not in ("lost", "unreserved")


def _slot_state(one: SlotLag, w: Words) -> Cell:
    if one.fault:
        return Cell(text=one.fault, tone="bad", lang="en")
    if one.status in ("lost", "unreserved", "missing"):
        return Cell(text=w(f"sources.slot_{one.status}"), value=one.status, tone="warn" if one.status == "missing" else "bad")
    return Cell(text=w("sources.fine"), value=one.status, tone="good")


def _megabytes(size: int | None, w: Words) -> Cell:
    return Cell(text=w.number(None if size is None else size / 1e6, 1), value=size)


def slot_families(slots: Sequence[SlotLag]) -> list[Any]:
    """Metrics of followed databases."""
    from prometheus_client.core import GaugeMetricFamily

    behind = GaugeMetricFamily("kundig_slot_behind_bytes", "Bytes of the database's log that have not landed: from confirmed_flush_lsn to its end.", labels=("source", "slot"))
    kept = GaugeMetricFamily("kundig_slot_kept_bytes", "Bytes of its log that the server keeps for the slot: from restart_lsn to its end.", labels=("source", "slot"))
    failing = GaugeMetricFamily("kundig_slot_failing", "1 where the server does not answer, or has given up or may give up what the slot holds.", labels=("source", "slot"))
    for one in slots:
        labels = (one.source, one.slot)
        if one.behind is not None:
            behind.add_metric(labels, one.behind)
        if one.kept is not None:
            kept.add_metric(labels, one.kept)
        failing.add_metric(labels, float(not slot_is_well(one)))
    return [behind, kept, failing]
