"""The answer of a clause for one person at one moment, with the values it rests on."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from kundig.rules.clauses import (
    All,
    AnyOf,
    Bucket,
    Clause,
    Count,
    Edge,
    Events,
    Everyone,
    Holds,
    Leaf,
    Not,
    Now,
    Regular,
    Sequence,
    Step,
    Test,
    Threshold,
)
from kundig.rules.facts import Event, State, Timeline, as_number
from kundig.rules.values import fulfils, negative, number_passes, passes
from kundig.rules.windows import FOREVER, After, Bounds, Window, bounded, local_day, midnight, unit_start


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """An answer, and what it rests on: plain values by name, None where one is missing."""

    answer: bool
    values: dict[str, Any] = field(default_factory=dict)


def judge(clause: Clause, timeline: Timeline, at: int, zone: str) -> bool:
    """Whether the clause is true at `at`, for a timeline that holds only what is known."""
    match clause:
        case All():
            return all(judge(part, timeline, at, zone) for part in clause.parts)
        case AnyOf():
            return any(judge(part, timeline, at, zone) for part in clause.parts)
        case Not():
            return not judge(clause.part, timeline, at, zone)
        case Everyone() | Now() | Holds() | Count() | Edge() | Sequence() | Regular() | Bucket():
            return verdict(clause, timeline, at, zone).answer
        case _:
            return judge(clause.part, timeline, at, zone)


def verdict(clause: Leaf, timeline: Timeline, at: int, zone: str) -> Verdict:
    """The answer of a clause without parts, and the values it rests on."""
    match clause:
        case Everyone():
            return Verdict(answer=True)
        case Now():
            low, high = bounded(clause.window, at, zone)
            return Verdict(answer=low <= at < high, values={"now": at})
        case Bucket():
            return _bucket(clause, timeline.person)
        case Holds():
            return _holds(clause, timeline, at, zone)
        case Count():
            return _count(clause, timeline, at, zone)
        case Edge():
            return _edge(clause, timeline, at, zone)
        case Sequence():
            return _sequence(clause, timeline, at, zone)
        case Regular():
            return _regular(clause, timeline, at, zone)


def by_time(event: Event) -> tuple[int, str]:
    """The order of events everywhere: when they happened, then their id."""
    return event.at, event.id


def matching(wanted: Events, timeline: Timeline, at: int, zone: str) -> list[Event]:
    """Events up to `at` of these names whose properties pass, in order."""
    found = (event for event in timeline.events if event.at <= at and event.name in wanted.names and fulfils(wanted.where, event.properties, at, zone))
    return sorted(found, key=by_time)


def window_bounds(window: Window, timeline: Timeline, at: int, zone: str) -> Bounds:
    """The window's bounds at `at`; empty for a window after an anchor that is not there."""
    if not isinstance(window, After):
        return bounded(window, at, zone)
    anchors = matching(window.anchor, timeline, at, zone)
    if not anchors:
        return FOREVER, FOREVER
    return window.bounds_from(anchors[0 if window.which == "first" else -1].at)


def inside(events: Iterable[Event], bounds: Bounds) -> list[Event]:
    """The events that lie in the bounds."""
    return [event for event in events if bounds[0] <= event.at < bounds[1]]


def _bucket(clause: Bucket, person: str) -> Verdict:
    digits = hashlib.md5(f"{clause.salt}:{person}".encode(), usedforsecurity=False).hexdigest()[:8]
    low, high = clause.marks
    return Verdict(answer=low <= digits < high, values={"share": round(int(digits, 16) / 2**32 * 100, 2)})


def _count(clause: Count, timeline: Timeline, at: int, zone: str) -> Verdict:
    bounds = window_bounds(clause.window, timeline, at, zone)
    events = inside(matching(clause.events, timeline, at, zone), bounds)
    answers: list[bool] = []
    values: dict[str, Any] = {"window": bounds}
    for threshold in clause.thresholds:
        value = aggregate(threshold, events, zone)
        answers.append(reaches(threshold, events, value))
        values[label(threshold)] = value
    if events:
        values["last"] = events[-1].at
    return Verdict(answer=all(answers), values=values)


def label(threshold: Threshold) -> str:
    """How an aggregate is called among the values of an answer: `count`, `sum of total`."""
    return threshold.aggregate if threshold.of is None else f"{threshold.aggregate} of {threshold.of}"


def numbers(events: Iterable[Event], name: str) -> list[Decimal]:
    """The values of a number property that are not missing."""
    found = (as_number(event.properties.get(name)) for event in events)
    return [number for number in found if number is not None]


def aggregate(threshold: Threshold, events: list[Event], zone: str) -> Any:
    """The aggregate over the events; None where there is nothing to take an average or an extreme of."""
    match threshold.aggregate:
        case "count":
            return len(events)
        case "days":
            return len({local_day(event.at, zone) for event in events})
        case "distinct":
            read = as_number if threshold.of_type == "number" else _as_it_is
            return len({read(event.properties.get(threshold.of or "")) for event in events} - {None})
    found = numbers(events, threshold.of or "")
    match threshold.aggregate:
        case "sum":
            return sum(found, Decimal(0))
        case "average":
            return sum(found, Decimal(0)) / len(found) if found else None
        case "minimum":
            return min(found, default=None)
        case _:
            return max(found, default=None)


def _as_it_is(value: Any) -> Any:
    return value


def reaches(threshold: Threshold, events: list[Event], value: Any) -> bool:
    """Whether the threshold holds; an average is compared as sum against threshold × count, without division."""
    if value is None:
        return False
    if threshold.aggregate != "average":
        return number_passes(threshold.test, value)
    found = numbers(events, threshold.of or "")
    return number_passes(_times(threshold, len(found)), sum(found, Decimal(0)))


def _times(threshold: Threshold, count: int) -> Test:
    scaled = tuple(bound * count for bound in threshold.test.numbers)
    return replace(threshold.test, value=scaled if threshold.test.operator == "between" else scaled[0])


def _edge(clause: Edge, timeline: Timeline, at: int, zone: str) -> Verdict:
    events = matching(clause.events, timeline, at, zone)
    bounds = window_bounds(clause.window, timeline, at, zone)
    if not events:
        return Verdict(answer=False, values={"window": bounds, "event": None})
    chosen = events[0 if clause.which == "first" else -1]
    answer = bounds[0] <= chosen.at < bounds[1] and fulfils(clause.has, chosen.properties, at, zone)
    return Verdict(answer=answer, values={"window": bounds, "event": chosen.id, "happened": chosen.at})


def _sequence(clause: Sequence, timeline: Timeline, at: int, zone: str) -> Verdict:
    bounds = window_bounds(clause.window, timeline, at, zone)

    def moments(events: Events) -> list[int]:
        return sorted({event.at for event in inside(matching(events, timeline, at, zone), bounds)})

    reached, steps = moments(clause.steps[0].events), [0]
    steps[0] = len(reached)
    for step in clause.steps[1:]:
        breaks = moments(step.without) if step.without is not None else []
        reached = [moment for moment in moments(step.events) if follows(step, moment, reached, breaks)]
        steps.append(len(reached))
    values = {"window": bounds, "ended": reached[-1] if reached else None, "reached": sum(1 for number in steps if number)}
    return Verdict(answer=bool(reached), values=values)


def follows(step: Step, moment: int, reached: list[int], breaks: list[int]) -> bool:
    """Whether a step may end at `moment`: from the nearest earlier end of the step before, which no earlier one can better."""
    position = bisect_left(reached, moment)
    if position == 0:
        return False
    before = reached[position - 1]
    if step.gap is not None and moment - before > step.gap.micros:
        return False
    return bisect_left(breaks, moment) == bisect_right(breaks, before)


def _regular(clause: Regular, timeline: Timeline, at: int, zone: str) -> Verdict:
    events, today = matching(clause.events, timeline, at, zone), local_day(at, zone)
    met = 0
    for back in range(1, clause.of_last + 1):
        bounds = midnight(unit_start(today, clause.unit, -back), zone), midnight(unit_start(today, clause.unit, 1 - back), zone)
        met += len(inside(events, bounds)) >= clause.count
    return Verdict(answer=met >= clause.in_at_least, values={"periods": met})


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A state, whether it passes the tests, and since when they have passed without a break."""

    state: State
    passing: bool
    since: int


def runs(clause: Holds, timeline: Timeline, at: int, zone: str) -> list[Run]:
    """The states of the clause's key, one an instant: of several only the last counts. Those dated later are among them."""
    mine = sorted((s for s in timeline.states if s.kind == clause.kind and s.key == clause.key), key=lambda s: (s.at, s.received, s.order))
    found: list[Run] = []
    for state in {state.at: state for state in mine}.values():
        alive = state.until is None or state.until > state.at
        passing = alive and all(passes(test, state.value, at, zone) for test in clause.tests)
        before = found[-1] if found else None
        unbroken = before is not None and before.passing and (before.state.until is None or before.state.until >= state.at)
        found.append(Run(state=state, passing=passing, since=before.since if before is not None and passing and unbroken else state.at))
    return found


def _holds(clause: Holds, timeline: Timeline, at: int, zone: str) -> Verdict:
    past = [run for run in runs(clause, timeline, at, zone) if run.state.at <= at]
    present = past[-1] if past and (past[-1].state.until is None or past[-1].state.until > at) else None
    value = present.state.value if present is not None else None
    answer = all(passes(test, value, at, zone) for test in clause.tests)
    if clause.lasting is None:
        return Verdict(answer=answer, values={"value": value, "since": present.state.at if present else None})
    answer = answer and present is not None and (at - present.since >= clause.lasting.span.micros) is clause.lasting.least
    return Verdict(answer=answer, values={"value": value, "since": present.since if present is not None and present.passing else None})


def asks_for_missing(clause: Holds) -> bool:
    """Whether a missing value passes all tests."""
    return all(negative(test) for test in clause.tests)
