"""Warnings: what a rule may well say, but its author hardly means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from kundig.errors import Fault
from kundig.rules.clauses import (
    All,
    AllConditions,
    Clause,
    Condition,
    Count,
    Edge,
    Holds,
    Not,
    Parameter,
    PropertyTests,
    Sequence,
    Test,
    Threshold,
    all_events,
    follows_clock,
    parts_of,
    property_tests,
)
from kundig.rules.explain import below
from kundig.rules.grammar import WHOLE
from kundig.rules.values import COMPARISONS, POSITIVE_OF, negative, normal
from kundig.rules.windows import After


def warnings_of(clause: Clause) -> tuple[Fault, ...]:
    """What to think about again, with its path and a mend; none of it is wrong."""
    found: dict[Fault, None] = {}
    for path, part in walk(clause):
        for what, mend in (*_negatives(part), *_impossible(part), *_sums(part), *_history(part)):
            found[Fault(what=what, at=path, mend=mend)] = None
    return tuple(found)


def walk(clause: Clause, path: str = "$") -> Iterator[tuple[str, Clause]]:
    """Every clause with its path."""
    yield path, clause
    for number, part in enumerate(parts_of(clause)):
        yield from walk(part, below(clause, path, number))


Note = tuple[str, str]


def _conditions(clause: Clause) -> list[Condition]:
    if not isinstance(clause, Count | Edge | Sequence):
        return []
    found = [events.where for events in all_events(clause)] + ([clause.has] if isinstance(clause, Edge) else [])
    return [condition for condition in found if condition is not None]


def _negatives(clause: Clause) -> Iterator[Note]:
    tested = [(clause.key, clause.tests)] if isinstance(clause, Holds) and clause.kind in ("trait", "score") else []
    tested += [(tests.name, tests.tests) for condition in _conditions(clause) for tests in property_tests(condition)]
    for name, tests in tested:
        if any(test.operator in POSITIVE_OF for test in tests) and all(negative(test) for test in tests):
            yield f"the negative test of '{name}' is also true where it is missing", "add exists: true if only known values are meant"


def _sums(clause: Clause) -> Iterator[Note]:
    if not isinstance(clause, Count) or any(threshold.aggregate in ("count", "days") for threshold in clause.thresholds):
        return
    for threshold in clause.thresholds:
        if threshold.aggregate == "sum" and possible([threshold.test], Decimal(0)):
            yield (
                f"a sum of '{threshold.of}' over no events is 0 and passes: people without such events match",
                "add count: {at_least: 1} if they are not meant",
            )


def _history(clause: Clause) -> Iterator[Note]:
    reasons = []
    if isinstance(clause, Count) and any(threshold.aggregate == "distinct" for threshold in clause.thresholds):
        reasons.append("distinct values")
    if isinstance(clause, Sequence):
        reasons.append("a sequence")
    if isinstance(clause, Count | Edge | Sequence) and isinstance(clause.window, After):
        reasons.append("a window after an anchor")
    if isinstance(clause, Edge) and clause.has is not None:
        reasons.append("`has`")
    if any(follows_clock(condition) for condition in _conditions(clause)):
        reasons.append("a condition that follows the clock")
    for reason in reasons:
        yield (
            f"{reason}: the person's whole history is read when time passes or a fact comes late",
            "this is the dear kind of clause; counts and sums over windows are cheap",
        )


def _impossible(clause: Clause) -> Iterator[Note]:
    mend = "no one can match; take one of the tests out, or join them with any"
    for name, tests in _joint_tests(clause):
        if contradictory(tests):
            yield f"the tests of '{name}' contradict each other", mend
    if isinstance(clause, All):
        opposed = [part for part in clause.parts if isinstance(part, Not) and part.part in clause.parts]
        if opposed:
            yield "a part and its opposite are both asked for", mend
    if isinstance(clause, Count):
        for threshold in clause.thresholds:
            if _below_zero(threshold):
                yield f"{threshold.aggregate} is never below 0", "no one can match; for none write count: {is: 0}"


def _below_zero(threshold: Threshold) -> bool:
    value: Any = threshold.test.value
    if threshold.aggregate not in WHOLE:
        return False
    limit = value[1] if isinstance(value, tuple) else value
    return (threshold.test.operator in ("at_most", "is", "between") and limit < 0) or (threshold.test.operator == "less_than" and limit <= 0)


def _joint_tests(clause: Clause) -> Iterator[tuple[str, list[Test]]]:
    """Tests that one present value must pass together: of a state (over the parts of `all`), or of an event's property."""
    if isinstance(clause, All):
        states = [part for part in clause.parts if isinstance(part, Holds)]
        for kind, key in dict.fromkeys((state.kind, state.key) for state in states):
            mine = [state for state in states if (state.kind, state.key) == (kind, key)]
            if len(mine) > 1:
                yield key, [test for state in mine for test in state.tests]
    elif isinstance(clause, Holds):
        yield clause.key, list(clause.tests)
    for condition in _conditions(clause):
        parts = condition.parts if isinstance(condition, AllConditions) else (condition,)
        joint = [part for part in parts if isinstance(part, PropertyTests)]
        for name in dict.fromkeys(part.name for part in joint):
            yield name, [test for part in joint if part.name == name for test in part.tests]


def contradictory(tests: list[Test]) -> bool:
    """Whether no value, and no missing one either, can pass all tests; only sure contradictions are found."""
    if all(negative(test) and test.operator == "exists" for test in tests):
        return False
    missing_wanted = any(test.operator == "exists" and test.value is False for test in tests)
    if missing_wanted:
        return any(not negative(test) for test in tests)
    if all(negative(test) for test in tests):
        return False
    named = _named_values(tests)
    if named is not None:
        return not any(possible(tests, value) for value in named)
    return _empty_interval(tests)


def _named_values(tests: Iterable[Test]) -> list[Any] | None:
    """The only values that may pass, if a test lists them."""
    for test in tests:
        if test.operator == "is" and not test.exact and test.type != "list":
            return [test.value]
        if test.operator == "in" and not test.exact and isinstance(test.value, tuple):
            return list(test.value)
    return None


def possible(tests: Iterable[Test], value: Any) -> bool:
    """Whether the value passes those tests that can be judged without a clock; unjudged ones are taken to pass."""
    for test in tests:
        positive = POSITIVE_OF.get(test.operator, test.operator)
        want, have = normal(test, test.value), normal(test, value)
        try:
            if positive in COMPARISONS:
                answer = bool(COMPARISONS[positive](have, want))
            elif positive == "in":
                answer = have in want
            elif positive == "between":
                answer = bool(want[0] <= have <= want[1])
            else:
                continue
        except TypeError:
            continue
        if answer is (test.operator in POSITIVE_OF):
            return False
    return True


def _empty_interval(tests: list[Test]) -> bool:
    low, high, open_end = Decimal("-Infinity"), Decimal("Infinity"), False
    for test in tests:
        least, most = _interval(test)
        open_end = open_end or test.operator in ("more_than", "less_than")
        low, high = max(low, least), min(high, most)
    return low > high or (low == high and open_end)


def _interval(test: Test) -> tuple[Decimal, Decimal]:
    value: Any = test.value
    least, most = Decimal("-Infinity"), Decimal("Infinity")
    if test.operator == "between" and not any(isinstance(bound, Parameter) for bound in value):
        return value[0], value[1]
    if isinstance(value, Decimal):
        least = value if test.operator in ("at_least", "more_than") else least
        most = value if test.operator in ("at_most", "less_than") else most
    return least, most
