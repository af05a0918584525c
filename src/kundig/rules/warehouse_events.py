"""Clauses about events, in the engine: aggregates over one scan where they merge, sub-queries where order or anchors matter."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import ibis

from kundig.rules import columns
from kundig.rules.clauses import Count, Edge, Events, Regular, Sequence, Threshold
from kundig.rules.columns import NUMBER, SUM, TIMESTAMP, Column, between, both
from kundig.rules.grammar import WHOLE
from kundig.rules.measures import DayFigures
from kundig.rules.scan import Scan, minutes
from kundig.rules.windows import FOREVER, After, Bounds, Moving, bounded, local_day, midnight, unit_start

if TYPE_CHECKING:
    import ibis.expr.types as ir

Answer = Callable[["ir.Table"], Column]
"""A column over the people with everything that was asked for joined to them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventCompiler:
    """Compiles clauses about events over one scan; `days` answers whole days from `measure_days` where it holds the measure."""

    scan: Scan
    days: DayFigures

    def count(self, clause: Count) -> Answer:
        """All thresholds hold over the matching events in the window."""
        if isinstance(clause.window, After):
            return self._count_after(clause, clause.window)
        bounds = bounded(clause.window, self.scan.at, self.scan.zone)
        figures = [self._figures(clause.events, threshold, bounds) for threshold in clause.thresholds]
        return lambda people: both(_reaches(threshold, figure, people) for threshold, figure in zip(clause.thresholds, figures, strict=True))

    def _figures(self, events: Events, threshold: Threshold, bounds: Bounds) -> dict[str, Answer]:
        """The parts of one aggregate: `value`, and for averages the `number` of values."""
        return {part: self.figure(events, threshold.aggregate, threshold.of, part, bounds) for part in _parts(threshold)}

    def figure(self, events: Events, aggregate: str, of: str | None, part: str, bounds: Bounds) -> Answer:
        """One aggregate over the events in the bounds, from the days where they are enough, from the events else."""
        merged = self.days.split(events, aggregate, of, bounds)
        if merged is None:
            return _named(self._from_events(events, aggregate, of, part, [bounds]))
        from_days = self.days.figure(self.scan, events, aggregate, of, part, merged)
        if not merged.cut:
            return _named(from_days)
        from_events = self._from_events(events, aggregate, of, part, list(merged.cut))
        return lambda people: _merge(aggregate, part, people[from_days], people[from_events])

    def _from_events(self, events: Events, aggregate: str, of: str | None, part: str, intervals: list[Bounds]) -> str:
        scan = self.scan

        def make(table: ir.Table) -> Column:
            inside = columns.either(both(columns.inside(table.occurred_at, visible)) for visible in map(scan.visible_part, intervals))
            return aggregated(table, aggregate, of, part, both([scan.flag(events, table), *scan.happened(table), inside]))

        low, high = min(interval[0] for interval in intervals), max(interval[1] for interval in intervals)
        return scan.share((events, aggregate, of, part, tuple(intervals)), events, low, high, make)

    def _count_after(self, clause: Count, window: After) -> Answer:
        scan = self.scan

        def make() -> ir.Table:
            events = scan.visible()
            rows = scan.after(window, events.filter(scan.matches(clause.events, events)))
            every = ibis.literal(True)
            made = {
                f"{number}_{part}": aggregated(rows, threshold.aggregate, threshold.of, part, every)
                for number, threshold in enumerate(clause.thresholds)
                for part in _parts(threshold)
            }
            return rows.group_by("person_key").aggregate(**made)

        prefix = scan.join(("after", clause.events, window, clause.thresholds), make)

        def answer(people: ir.Table) -> Column:
            parts = [{part: _named(f"{prefix}_{number}_{part}") for part in _parts(threshold)} for number, threshold in enumerate(clause.thresholds)]
            return both(_reaches(threshold, figure, people) for threshold, figure in zip(clause.thresholds, parts, strict=True))

        return answer

    def chosen_at(self, clause: Edge, window: Moving) -> Answer:
        """When the first or last matching event ever happened; null for a last one that the window has left behind, and so all before it."""
        low = bounded(window, self.scan.at, self.scan.zone)[0] if clause.which == "last" else -FOREVER
        return self.figure(clause.events, clause.which, None, "value", (low, FOREVER))

    def edge(self, clause: Edge) -> Answer:
        """The first or last matching event lies in the window and passes `has`."""
        if clause.has is None and not isinstance(clause.window, After):
            chosen, bounds = self.chosen_at(clause, clause.window), bounded(clause.window, self.scan.at, self.scan.zone)
            return lambda people: between(chosen(people), bounds)
        prefix = self.scan.join(("edge", clause), lambda: self._edge_rows(clause))
        return lambda people: people[f"{prefix}_yes"].fill_null(False)

    def chosen(self, clause: Edge) -> ir.Table:
        """The first or last matching event of each person."""
        events = self.scan.visible()
        matching = events.filter(self.scan.matches(clause.events, events))
        order = [matching.occurred_at, matching.event_id]
        if clause.which == "last":
            order = [ibis.desc(column) for column in order]
        ranked = matching.mutate(place=ibis.row_number().over(group_by="person_key", order_by=order))
        return ranked.filter(ranked.place == 0)

    def _edge_rows(self, clause: Edge) -> ir.Table:
        rows = self.chosen(clause)
        rows = self.scan.after(clause.window, rows) if isinstance(clause.window, After) else rows.filter(self._in_window(rows, clause.window))
        if clause.has is not None:
            rows = rows.filter(columns.fulfils(clause.has, rows, self.scan.at, self.scan.zone))
        return rows.select("person_key", yes=ibis.literal(True))

    def _in_window(self, table: ir.Table, window: Moving) -> Column:
        return between(table.occurred_at, bounded(window, self.scan.at, self.scan.zone))

    def sequence(self, clause: Sequence) -> Answer:
        """The steps happened one after the other."""
        prefix = self.scan.join(("sequence", clause), lambda: self._sequence_rows(clause))
        return lambda people: people[f"{prefix}_yes"].fill_null(False)

    def _sequence_rows(self, clause: Sequence) -> ir.Table:
        """One row per person and instant with a flag per step; unique instants make `strictly later` a matter of rows."""
        events = self.scan.visible()
        names = sorted({name for step in clause.steps for part in (step.events, step.without) if part is not None for name in part.names})
        events = events.filter(events["name"].isin(names))
        rows = self.scan.after(clause.window, events) if isinstance(clause.window, After) else events.filter(self._in_window(events, clause.window))
        flags = {f"step_{number}": self.scan.matches(step.events, rows).any() for number, step in enumerate(clause.steps)}
        flags |= {f"break_{number}": self.scan.matches(step.without, rows).any() for number, step in enumerate(clause.steps) if step.without is not None}
        reached = rows.group_by("person_key", "occurred_at").aggregate(**flags)
        for number, step in enumerate(clause.steps):
            if number > 0:
                reached = _advanced(reached, number, step.gap.micros if step.gap is not None else None, broken=step.without is not None)
        return reached.group_by("person_key").aggregate(yes=reached[f"step_{len(clause.steps) - 1}"].any())

    def regular(self, clause: Regular) -> Answer:
        """In enough of the last complete units the events happened often enough."""
        counts = [self.figure(clause.events, "count", None, "value", bounds) for bounds in self.units(clause)]

        def answer(people: ir.Table) -> Column:
            met = [(count(people).fill_null(0) >= clause.count).cast("int64") for count in counts]
            return sum(met[1:], met[0]) >= clause.in_at_least

        return answer

    def units(self, clause: Regular) -> list[Bounds]:
        """The bounds of the complete units, newest first."""
        today = local_day(self.scan.at, self.scan.zone)
        starts: list[dt.date] = [unit_start(today, clause.unit, -back) for back in range(clause.of_last + 1)]
        edges = [midnight(day, self.scan.zone) for day in starts]
        return [(low, high) for high, low in pairwise(edges)]


def _advanced(rows: ir.Table, number: int, gap: int | None, *, broken: bool) -> ir.Table:
    """The rows with the flag of a step kept only where the step before was reached earlier, near enough, and nothing broke in."""
    earlier = ibis.window(group_by="person_key", order_by="occurred_at", preceding=(None, 1))
    nothing = ibis.null(TIMESTAMP)
    seen: dict[str, Column] = {"before_at": ibis.ifelse(rows[f"step_{number - 1}"], rows.occurred_at, nothing).max().over(earlier)}
    if broken:
        seen["break_at"] = ibis.ifelse(rows[f"break_{number}"], rows.occurred_at, nothing).max().over(earlier)
    looked = rows.mutate(**seen)
    flags = [looked[f"step_{number}"], looked.before_at.notnull()]
    if gap is not None:
        flags.append(looked.occurred_at <= looked.before_at + minutes(gap))
    if broken:
        flags.append(looked.break_at.isnull() | (looked.break_at <= looked.before_at))
    return looked.mutate(**{f"step_{number}": both(flags).fill_null(False)}).drop(*seen)


def _named(name: str) -> Answer:
    return lambda people: people[name]


def _parts(threshold: Threshold) -> tuple[str, ...]:
    return ("value", "number") if threshold.aggregate == "average" else ("value",)


def aggregated(table: ir.Table, aggregate: str, of: str | None, part: str, where: Column) -> Column:
    """One aggregate over the rows that pass."""
    if part == "number":
        return columns.number(table[of]).count(where=where)
    match aggregate:
        case "count":
            return table.count(where=where)
        case "days":
            return table.local_day.nunique(where=where)
        case "first":
            return table.occurred_at.min(where=where)
        case "last":
            return table.occurred_at.max(where=where)
    column: Any = table[of]
    value = columns.number(column) if column.type().is_numeric() else column
    match aggregate:
        case "distinct":
            return value.nunique(where=where)
        case "minimum":
            return value.min(where=where)
        case "maximum":
            return value.max(where=where)
        case _:
            return value.sum(where=where).cast(SUM)


def _merge(aggregate: str, part: str, left: Column, right: Column) -> Column:
    """Two parts of one aggregate over different days, as one."""
    if part == "number" or aggregate in ("count", "days"):
        return left.fill_null(0) + right.fill_null(0)
    if aggregate in ("sum", "average"):
        zero = ibis.literal(Decimal(0), type=SUM)
        return (left.fill_null(zero) + right.fill_null(zero)).cast(SUM)
    return ibis.least(left, right) if aggregate in ("minimum", "first") else ibis.greatest(left, right)


def _reaches(threshold: Threshold, figure: dict[str, Answer], people: ir.Table) -> Column:
    """Whether an aggregate reaches its threshold; an average is compared as sum against threshold × count."""
    value, test = figure["value"](people), threshold.test
    if threshold.aggregate in WHOLE:
        return columns.compares(test, value.fill_null(0), lambda bound: ibis.literal(int(bound), type="int64"))
    if threshold.aggregate == "average":
        number = figure["number"](people).fill_null(0)
        scaled = columns.compares(test, value, lambda bound: (ibis.literal(bound, type=NUMBER) * number).cast(SUM))
        return (number > 0) & scaled.fill_null(False)
    if threshold.aggregate == "sum":
        value = value.fill_null(ibis.literal(Decimal(0), type=SUM))
    return columns.compares(test, value, lambda bound: ibis.literal(bound, type=NUMBER)).fill_null(False)
