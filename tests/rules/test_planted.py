"""Positive controls: wrong semantics are planted one at a time, and the law that should see each one turns red."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import ibis
import pytest
from tests.rules.test_time import probes
from tests.rules.world import SCHEMA, ZONE, crowd, in_duckdb, moment, tables

from kundig import rules
from kundig.rules import candidates, columns, evaluate, scan, values, warehouse_events, warehouse_states
from kundig.rules.windows import DAY, FOREVER, Calendar, Rolling, local_day, midnight

Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def duck() -> Any:
    connection = ibis.duckdb.connect()
    connection.raw_sql("SET TimeZone='UTC'; SET threads=2; SET memory_limit='2GB'")
    return connection


def select_differs(duck: Any, sources: list[dict[str, Any]], seeds: int) -> bool:
    """Law 1: whether warehouse and evaluator disagree about anybody."""
    for seed in range(seeds):
        chance = random.Random(seed)
        at = moment(chance)
        people = crowd(chance, at, 60)
        parsed = {f"r{number}": rules.parse(source, SCHEMA) for number, source in enumerate(sources)}
        rows = {row["person_id"]: row for row in rules.compile(parsed, in_duckdb(duck, tables(people)), as_of=at).to_pyarrow().to_pylist()}
        if any(rows[person.person][name] is not rule.evaluate(person, at=at) for person in people for name, rule in parsed.items()):
            return True
    return False


def constancy_breaks(sources: list[dict[str, Any]], seeds: int) -> bool:
    """Law 2: whether some answer changes before `next_change`, or not at it."""
    for seed in range(seeds):
        chance = random.Random(seed)
        at = moment(chance)
        person = crowd(chance, at, 1)[0]
        for source in sources:
            rule = rules.parse(source, SCHEMA)
            answer, change = rule.evaluate(person, at=at), rule.next_change(person, at=at)
            end = change if change is not None else at + 400 * DAY
            if any(rule.evaluate(person, at=probe, known_at=at) is not answer for probe in probes(chance, at, end) if at <= probe < end):
                return True
    return False


def closed_window(patch: pytest.MonkeyPatch) -> None:
    right = Rolling.bounds
    patch.setattr(Rolling, "bounds", lambda self, at, zone: (right(self, at, zone)[0] - (self.start is not None and self.start.fixed), right(self, at, zone)[1]))


def month_with_time_of_day(patch: pytest.MonkeyPatch) -> None:
    right = Rolling.bounds

    def bounds(self: Rolling, at: int, zone: str) -> tuple[int, int]:
        low, high = right(self, at, zone)
        clock = at - midnight(local_day(at, zone), zone)
        return (low + clock if self.start is not None and not self.start.fixed else low), high

    patch.setattr(Rolling, "bounds", bounds)


def days_of_24_hours(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Calendar, "leave", lambda self, t, zone: midnight(local_day(t, zone), zone) + (self.number - self.shift) * DAY)


def future_facts_forgotten(patch: pytest.MonkeyPatch) -> None:
    right = candidates.candidates

    def without_future(clause: Any, timeline: rules.Timeline, at: int, zone: str) -> Any:
        past = rules.Timeline(person=timeline.person, events=tuple(e for e in timeline.events if e.at <= at), states=tuple(s for s in timeline.states if s.at <= at))
        return right(clause, past, at, zone)

    patch.setattr(candidates, "candidates", without_future)


def ends_forgotten(patch: pytest.MonkeyPatch) -> None:
    right = candidates.candidates

    def without_ends(clause: Any, timeline: rules.Timeline, at: int, zone: str) -> Any:
        ends = {state.until for state in timeline.states} | {state.at for state in timeline.states if state.at <= at}
        return (found for found in right(clause, timeline, at, zone) if found not in ends)

    patch.setattr(candidates, "candidates", without_ends)


def null_leaks(patch: pytest.MonkeyPatch) -> None:
    right = columns.passes

    def passes(test: Any, column: Any, at: int, zone: str) -> Any:
        if test.operator == "is_not" and test.type == "text":
            return (columns.fold(column) != values.normal(test, test.value)).fill_null(False)
        return right(test, column, at, zone)

    patch.setattr(columns, "passes", passes)


def sum_over_nothing_is_missing(patch: pytest.MonkeyPatch) -> None:
    right = evaluate.aggregate
    patch.setattr(evaluate, "aggregate", lambda threshold, events, zone: None if threshold.aggregate == "sum" and not events else right(threshold, events, zone))


def late_facts_visible(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(scan.Scan, "known", lambda self: (lambda events: events.filter(events.occurred_at <= columns.stamp(self.at)))(scan.with_persons(self.tables)))


def same_instant_is_then(patch: pytest.MonkeyPatch) -> None:
    right = evaluate.follows
    patch.setattr(evaluate, "follows", lambda step, at, reached, breaks: right(step, at + 1, reached, breaks))


def ties_by_arrival(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(evaluate, "by_time", lambda event: (event.at, event.received))


def casefold(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(values, "fold", str.casefold)


def expiry_does_not_break(patch: pytest.MonkeyPatch) -> None:
    def since(judged: Any, alive: Any) -> Any:
        return right(judged.mutate(until=ibis.ifelse(judged.until <= columns.stamp(FOREVER // 2**11), ibis.null(columns.TIMESTAMP), judged.until)), alive)

    right = warehouse_states._since
    patch.setattr(warehouse_states, "_since", since)


def states_of_one_instant_kept(patch: pytest.MonkeyPatch) -> None:
    right = evaluate.runs

    def runs(clause: Any, timeline: rules.Timeline, at: int, zone: str) -> Any:
        first = {}
        for state in sorted((s for s in timeline.states if (s.kind, s.key) == (clause.kind, clause.key)), key=lambda s: (s.at, s.received, s.order)):
            first.setdefault(state.at, state)
        return right(clause, rules.Timeline(person=timeline.person, states=tuple(first.values())), at, zone)

    patch.setattr(evaluate, "runs", runs)


def sequence_forgets_breaks(patch: pytest.MonkeyPatch) -> None:
    right = warehouse_events._advanced
    patch.setattr(warehouse_events, "_advanced", lambda rows, number, gap, *, broken: right(rows, number, gap, broken=False))


BY_TIME: list[tuple[Plant, list[dict[str, Any]]]] = [
    (closed_window, [{"event": "*", "within": "3 days"}, {"last": "*", "within": "1 day"}]),
    (month_with_time_of_day, [{"event": "*", "within": "1 month"}, {"event": "order", "within": "1 month", "count": {"at_least": 2}}]),
    (days_of_24_hours, [{"event": "*", "within": {"calendar": "1 day"}}, {"event": "*", "within": {"calendar": "2 days"}}, {"event": "order", "within": {"calendar": "1 day"}}]),
    (future_facts_forgotten, [{"event": "order"}, {"segment": "loyal"}, {"event": "visit", "within": "7 days"}]),
    (ends_forgotten, [{"segment": "loyal"}, {"consent": "news", "channel": "email"}, {"list": "invited"}]),
]
BY_SELECTION: list[tuple[Plant, list[dict[str, Any]]]] = [
    (null_leaks, [{"trait": "city", "is_not": "köln"}]),
    (sum_over_nothing_is_missing, [{"event": "order", "sum": {"of": "total", "at_most": 10}}]),
    (late_facts_visible, [{"event": "order", "count": {"is": 2}}, {"event": "visit"}]),
    (same_instant_is_then, [{"sequence": [{"event": "order"}, {"event": "visit"}]}, {"sequence": [{"event": "*"}, {"event": "*", "within": "1 hour"}]}]),
    (ties_by_arrival, [{"last": "*", "has": {"paid": True}}, {"first": "*", "has": {"category": {"exists": True}}}, {"last": "*", "has": {"rating": {"at_least": 1}}}]),
    (casefold, [{"trait": "city", "contains": "i̇z"}, {"trait": "city", "is": "izmir"}, {"trait": "interests", "includes": "İzmir"}]),
    (expiry_does_not_break, [{"segment": "loyal", "for": "3 days"}, {"list": "invited", "for": "2 days"}, {"segment": "loyal", "for": {"less_than": "7 days"}}]),
    (states_of_one_instant_kept, [{"segment": "loyal"}, {"trait": "vip", "is": True}, {"list": "invited", "for": "1 day"}]),
    (sequence_forgets_breaks, [{"sequence": [{"event": "order"}, {"event": "visit", "without": "login"}]}]),
]


@pytest.mark.parametrize(("plant", "sources"), BY_TIME, ids=lambda value: getattr(value, "__name__", ""))
def test_constancy_sees(plant: Plant, sources: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = 250
    plant(monkeypatch)
    assert constancy_breaks(sources, seeds)
    monkeypatch.undo()
    assert not constancy_breaks(sources, 25)


@pytest.mark.parametrize(("plant", "sources"), BY_SELECTION, ids=lambda value: getattr(value, "__name__", ""))
def test_selection_sees(plant: Plant, sources: list[dict[str, Any]], duck: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = 12
    plant(monkeypatch)
    assert select_differs(duck, sources, seeds)
    monkeypatch.undo()
    assert not select_differs(duck, sources, 2)


def test_a_closed_window_is_not_seen_by_selection(duck: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluator and compiler share the bounds: that is why windows have golden tables."""
    closed_window(monkeypatch)
    assert not select_differs(duck, BY_TIME[0][1], 3)


def test_the_zone_is_the_one_of_the_schema() -> None:
    assert SCHEMA.zone == ZONE
