"""When a rule is due, in the engine: per person a moment never later than the first at which time alone changes the answer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ibis

from kundig.rules.clauses import (
    Clause,
    Condition,
    Count,
    Edge,
    Events,
    Holds,
    Leaf,
    Now,
    Regular,
    Sequence,
    Test,
    all_events,
    follows_clock,
    leaves,
    property_tests,
)
from kundig.rules.columns import TIMESTAMP, Column, both, earliest, month_day, property_column, stamp
from kundig.rules.scan import Scan, minutes
from kundig.rules.values import anniversary_in, moving
from kundig.rules.warehouse_events import EventCompiler
from kundig.rules.warehouse_states import StateCompiler, rows_of
from kundig.rules.windows import FOREVER, Absolute, After, Ahead, Calendar, Rolling, Window, bounded, local_day, midnight, shift_days, unit_start

if TYPE_CHECKING:
    import ibis.expr.types as ir

Answer = Callable[["ir.Table"], Column]
Dues = Callable[["ir.Table"], list[Column]]


@dataclass(frozen=True, kw_only=True, slots=True)
class DueCompiler:
    """Compiles due moments; shares the scan and the sub-queries of the answers."""

    scan: Scan
    events: EventCompiler
    states: StateCompiler
    newest: dict[tuple[Events, int], set[int]] = field(default_factory=dict)

    def rule(self, clause: Clause, answer: Callable[[Clause], Answer]) -> Dues:
        """The due moments of all leaves of a rule."""
        made = [self._leaf(leaf, answer) for leaf in leaves(clause)]
        return lambda people: [column for dues in made for column in dues(people)]

    def _leaf(self, leaf: Leaf, answer: Callable[[Clause], Answer]) -> Dues:
        match leaf:
            case Now():
                later = [moment for moment in (leaf.window.start, leaf.window.end) if self.scan.at < moment < FOREVER]
                return lambda people: [stamp(moment) for moment in later]
            case Holds():
                return self._state(leaf)
            case Count() if (least := _at_least(leaf)) is not None:
                return self._count_at_least(leaf, least, answer(leaf))
            case Edge() if leaf.has is None and not isinstance(leaf.window, After) and not follows_clock(leaf.events.where):
                return self._edge(leaf, leaf.window)
            case Count() | Edge() | Sequence():
                has = leaf.has if isinstance(leaf, Edge) else None
                return _all([self.of_events(events, leaf.window, has) for events in all_events(leaf)])
            case Regular():
                return self.of_events(leaf.events, Calendar(number=leaf.of_last, unit=leaf.unit, shift=-1), None)
            case _:
                return lambda people: []

    def of_events(self, events: Events, window: Window, has: Condition | None) -> Dues:
        """The earliest moment at which an event of these names happens, enters or leaves the window, or changes what it fulfils."""
        low = -FOREVER if isinstance(window, After) or follows_clock(events.where) or has is not None else bounded(window, self.scan.at, self.scan.zone)[0]

        def make(table: ir.Table) -> Column:
            return earliest(self._moments(table, events, window, has)).min(where=self._candidates(table, events))

        flagged = not follows_clock(events.where)
        return _one(self.scan.share(("due", events, window, has), events, min(low, self.scan.at), FOREVER, make, flagged=flagged))

    def _moments(self, table: ir.Table, events: Events, window: Window, has: Condition | None) -> Iterator[Column]:
        present = ibis.null(TIMESTAMP) if isinstance(window, After) else self._window_moment(window, table.occurred_at)
        yield ibis.ifelse(table.occurred_at > stamp(self.scan.at), table.occurred_at, present)
        for condition in (events.where, has):
            for tests in property_tests(condition):
                for test in tests.tests:
                    if test.operator in ("within", "anniversary"):
                        yield self._value_moment(test, property_column(table, tests.name, test.type))

    def _candidates(self, table: ir.Table, events: Events) -> Column:
        """Rows that may be such events now or later: by name alone where the condition follows the clock."""
        return table["name"].isin(events.names) if follows_clock(events.where) else self.scan.flag(events, table)

    def _later(self, column: Column) -> Column:
        return ibis.ifelse(column > stamp(self.scan.at), column, ibis.null(TIMESTAMP))

    def _next_unit(self, unit: str) -> Column:
        return stamp(midnight(unit_start(local_day(self.scan.at, self.scan.zone), unit, 1), self.scan.zone))

    def _window_moment(self, window: Any, column: Column) -> Column:
        """The next moment at which an instant enters or leaves a window; null when it never does again."""
        at = self.scan.at
        match window:
            case Absolute():
                return ibis.null(TIMESTAMP)
            case Rolling():
                return self._rolling_moment(window, column)
            case Ahead() if window.span.fixed:
                return earliest([self._later(column - minutes(window.span.micros)), self._later(column)])
            case Ahead():
                return ibis.ifelse(column > stamp(at), ibis.least(column, self._next_unit("day")), ibis.null(TIMESTAMP))
            case Calendar():
                low = bounded(window, at, self.scan.zone)[0]
                return ibis.ifelse(column >= stamp(low), self._next_unit(window.unit), ibis.null(TIMESTAMP))
            case _:
                return ibis.ifelse(column.notnull(), self._next_unit("day"), ibis.null(TIMESTAMP))

    def _rolling_moment(self, window: Rolling, column: Column) -> Column:
        spans = [span for span in (window.end, window.start) if span is not None]
        if all(span.fixed for span in spans):
            shifted = [column + minutes(span.micros) for span in spans] + ([column] if window.end is None else [])
            return earliest(self._later(moment) for moment in shifted)
        low = bounded(window, self.scan.at, self.scan.zone)[0]
        still = column.notnull() if low <= -FOREVER else column >= stamp(low)
        return ibis.cases((column > stamp(self.scan.at), column), (still, self._next_unit("day")), else_=ibis.null(TIMESTAMP))

    def _value_moment(self, test: Test, column: Column) -> Column:
        """The next moment at which a time or date may change whether it passes."""
        window = moving(test)
        if test.operator == "anniversary":
            return self._anniversary_moment(window, column)
        if test.type == "time":
            return self._window_moment(window, column)
        if isinstance(window, Absolute):
            return ibis.null(TIMESTAMP)
        unit = window.unit if isinstance(window, Calendar) else "day"
        low = bounded(window, self.scan.at, self.scan.zone)[0]
        first = ibis.literal(local_day(low, self.scan.zone), type="date") if low > -FOREVER else None
        still = column.notnull() if first is None else column >= first
        return ibis.ifelse(still, self._next_unit(unit), ibis.null(TIMESTAMP))

    def _anniversary_moment(self, window: Calendar, column: Column) -> Column:
        """By month and day, from a list of all 366 that plain code has made."""
        groups: dict[int, list[int]] = {}
        for offset in range(366):
            day = shift_days(dt.date(2024, 1, 1), offset)
            groups.setdefault(self._anniversary_turn(window, day), []).append(day.month * 100 + day.day)
        branches = [(month_day(column).isin(keys), stamp(moment)) for moment, keys in sorted(groups.items())]
        return ibis.cases(*branches, else_=ibis.null(TIMESTAMP))

    def _anniversary_turn(self, window: Calendar, day: dt.date) -> int:
        zone, year = self.scan.zone, local_day(self.scan.at, self.scan.zone).year
        turns = (
            midnight(shift_days(anniversary_in(day, other), days), zone)
            for other in range(year - 2, year + 4)
            for days in (-window.shift, window.number - window.shift)
        )
        return min(turn for turn in turns if turn > self.scan.at)

    def _edge(self, clause: Edge, window: Any) -> Dues:
        """The chosen event enters or leaves, or one that is dated later happens."""
        chosen = self.events.chosen_at(clause, window)
        future = self._future(clause.events)
        return lambda people: [self._window_moment(window, chosen(people)), future(people)]

    def _future(self, events: Events) -> Answer:
        def make(table: ir.Table) -> Column:
            return table.occurred_at.min(where=self._candidates(table, events) & (table.occurred_at > stamp(self.scan.at)))

        name = self.scan.share(("future", events), events, self.scan.at + 1, FOREVER, make)
        return lambda people: people[name]

    def _count_at_least(self, clause: Count, least: int, answer: Answer) -> Dues:
        """While enough: the n-th newest event leaves. While too few: the next one enters."""
        window: Any = clause.window
        delay = _delay(clause)
        leaving = self._nth_newest(clause.events, delay, least) if window.start is not None else None

        def make(table: ir.Table) -> Column:
            enters = table.occurred_at + minutes(delay)
            return enters.min(where=self._candidates(table, clause.events) & (enters > stamp(self.scan.at)))

        entering = self.scan.share(("enters", clause.events, delay), clause.events, self.scan.at - delay, FOREVER, make)

        def due(people: ir.Table) -> list[Column]:
            left = ibis.null(TIMESTAMP) if leaving is None else leaving(people) + minutes(window.start.micros)
            return [ibis.ifelse(answer(people), left, people[entering])]

        return due

    def gather(self, clause: Leaf) -> None:
        """Note which of the newest events will be asked for, before any table is built."""
        least = _at_least(clause) if isinstance(clause, Count) else None
        if isinstance(clause, Count) and least is not None:
            self.newest.setdefault((clause.events, _delay(clause)), set()).add(least)

    def _nth_newest(self, events: Events, delay: int, number: int) -> Answer:
        """When the n-th newest event happened that is at least `delay` old; one sub-query for all n and all windows."""
        scan, key, last = self.scan, (events, delay), stamp(self.scan.at - delay)

        def first(table: ir.Table) -> Column:
            return table.occurred_at.max(where=both([scan.flag(events, table), table.occurred_at <= last]))

        def ranked() -> ir.Table:
            seen = scan.visible()
            rows = seen.filter(scan.matches(events, seen), seen.occurred_at <= last)
            order = [ibis.desc(rows.occurred_at), ibis.desc(rows.event_id)]
            placed = rows.mutate(place=ibis.row_number().over(group_by="person_key", order_by=order))
            kept = placed.filter(placed.place < max(self.newest[key]))
            return kept.group_by("person_key").aggregate(**{f"at_{n}": kept.occurred_at.max(where=kept.place == n - 1) for n in sorted(self.newest[key])})

        if self.newest[key] == {1}:
            name = scan.share(("newest", key), events, -FOREVER, self.scan.at + 1, first)
        else:
            name = f"{scan.join(('newest', key), ranked)}_at_{number}"
        return lambda people: people[name]

    def _state(self, clause: Holds) -> Dues:
        """The present value lapses, has lasted, or passes by the clock; or a row that is dated later begins."""
        until, future = self.states.until(clause), self._future_state(clause)
        since = self.states.since(clause) if clause.lasting is not None else None
        value = self.states.value(clause)
        tests = [test for test in clause.tests if test.operator in ("within", "anniversary")]

        def due(people: ir.Table) -> list[Column]:
            found = [until(people), future(people)]
            if since is not None and clause.lasting is not None:
                found.append(self._later(since(people) + minutes(clause.lasting.span.micros)))
            return found + [self._value_moment(test, value(people)) for test in tests]

        return due

    def _future_state(self, clause: Holds) -> Answer:
        def make() -> ir.Table:
            known = self.states.known(clause.kind)
            later = known.filter(rows_of(known, clause), known.occurred_at > stamp(self.scan.at))
            return later.group_by("person_key").aggregate(begins=later.occurred_at.min())

        prefix = self.scan.join(("begins", clause.kind, clause.key), make)
        return lambda people: people[f"{prefix}_begins"]


def _at_least(clause: Count) -> int | None:
    """n of a clause that asks for nothing but n or more events in a window of elapsed time; None for others."""
    window = clause.window
    if len(clause.thresholds) != 1 or not isinstance(window, Rolling) or follows_clock(clause.events.where):
        return None
    threshold = clause.thresholds[0]
    value: Any = threshold.test.value
    if threshold.aggregate != "count" or threshold.test.operator not in ("at_least", "more_than"):
        return None
    if any(span is not None and not span.fixed for span in (window.start, window.end)):
        return None
    least = int(value) + (threshold.test.operator == "more_than")
    return least if least >= 1 else None


def _delay(clause: Count) -> int:
    """How old an event must be to be inside the clause's rolling window."""
    window: Any = clause.window
    return window.end.micros if window.end is not None else 0


def _one(name: str) -> Dues:
    return lambda people: [people[name]]


def _all(dues: list[Dues]) -> Dues:
    return lambda people: [column for due in dues for column in due(people)]
