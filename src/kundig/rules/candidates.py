"""When time alone may change an answer: a finite set of moments per clause, a superset of those at which it does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from kundig.rules.clauses import Clause, Condition, Count, Edge, Events, Holds, Now, Regular, Sequence, all_events, leaves, property_tests
from kundig.rules.evaluate import judge, runs
from kundig.rules.facts import Timeline
from kundig.rules.values import condition_turning_points, value_turning_points
from kundig.rules.windows import EVER, FOREVER, Calendar, Window, local_day, midnight, turning_points


def candidates(clause: Clause, timeline: Timeline, at: int, zone: str) -> Iterator[int]:
    """Every moment at which time alone may change the clause, over all facts known, those dated later among them."""
    for leaf in leaves(clause):
        match leaf:
            case Now():
                yield from (moment for moment in (leaf.window.start, leaf.window.end) if abs(moment) < FOREVER)
            case Holds():
                yield from _of_state(leaf, timeline, at, zone)
            case Count() | Edge() | Sequence():
                has = leaf.has if isinstance(leaf, Edge) else None
                for events in all_events(leaf):
                    yield from _of_events(events, leaf.window, has, timeline, at, zone)
            case Regular():
                complete = Calendar(number=leaf.of_last, unit=leaf.unit, shift=-1)
                yield from _of_events(leaf.events, complete, None, timeline, at, zone)
            case _:
                pass


def _of_events(events: Events, window: Window, has: Condition | None, timeline: Timeline, at: int, zone: str) -> Iterator[int]:
    for event in timeline.events:
        if event.name in events.names:
            yield from turning_points(window, event.at, zone)
            yield from condition_turning_points(events.where, event.properties, at, zone)
            yield from condition_turning_points(has, event.properties, at, zone)


def _of_state(clause: Holds, timeline: Timeline, at: int, zone: str) -> Iterator[int]:
    for run in runs(clause, timeline, at, zone):
        yield from turning_points(EVER, run.state.at, zone)
        if run.state.until is not None:
            yield run.state.until
        if clause.lasting is not None:
            yield run.since + clause.lasting.span.micros
        for test in clause.tests:
            yield from value_turning_points(test, run.state.value, at, zone)


def next_change(clause: Clause, known: Timeline, at: int, zone: str, *, tries: int = 1_000) -> int | None:
    """The first moment after `at` at which the answer differs if nothing more is heard; None: never by time alone.

    After `tries` moments without a difference the last one tried is returned: early, never late. Anniversaries return
    for ever and are looked at three years ahead: where nothing differs until then, it is the start of the third year.
    """
    present, horizon = judge(clause, known, at, zone), _look_again(at, zone) if endless(clause) else FOREVER
    later = sorted({moment for moment in candidates(clause, known, at, zone) if at < moment < horizon})
    for number, moment in enumerate(later, start=1):
        if number >= tries or judge(clause, known, moment, zone) is not present:
            return moment
    return horizon if horizon < FOREVER else None


def due_at(clause: Clause, known: Timeline, at: int, zone: str) -> int | None:
    """The first candidate after `at`, unjudged: never later than `next_change`."""
    first = min((moment for moment in candidates(clause, known, at, zone) if moment > at), default=FOREVER)
    first = min(first, _look_again(at, zone)) if endless(clause) else first
    return first if first < FOREVER else None


def _look_again(at: int, zone: str) -> int:
    return midnight(dt.date(local_day(at, zone).year + 3, 1, 1), zone)


def endless(clause: Clause) -> bool:
    """Whether the clause asks for an anniversary, which returns for ever."""
    return any(_asks_for_anniversary(leaf) for leaf in leaves(clause))


def _asks_for_anniversary(leaf: Clause) -> bool:
    if isinstance(leaf, Holds):
        return any(test.operator == "anniversary" for test in leaf.tests)
    if not isinstance(leaf, Count | Edge | Sequence | Regular):
        return False
    conditions = [events.where for events in all_events(leaf)] + ([leaf.has] if isinstance(leaf, Edge) else [])
    return any(test.operator == "anniversary" for condition in conditions for tests in property_tests(condition) for test in tests.tests)
