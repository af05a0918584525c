"""Clauses: what a parsed rule is made of, as frozen records that evaluator, compiler and sentences all read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from kundig.rules.windows import EVER, Absolute, After, Moving, Span, Window

ValueType = Literal["text", "number", "boolean", "time", "date", "list"]
Scalar = str | Decimal | bool | dt.date


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value that is filled in later by `rule.bind`: `$trigger.order_id`."""

    name: str


Operand = Scalar | Parameter
Value = Operand | tuple[Operand, ...] | Moving


@dataclass(frozen=True, kw_only=True, slots=True)
class Test:
    """One test of one value."""

    __test__ = False

    operator: str
    value: Value
    type: ValueType
    exact: bool = False

    @property
    def numbers(self) -> tuple[Decimal, ...]:
        """The bounds of a test of numbers: one, or for `between` both."""
        given = self.value if isinstance(self.value, tuple) else (self.value,)
        return tuple(bound for bound in given if isinstance(bound, Decimal))


@dataclass(frozen=True, kw_only=True, slots=True)
class PropertyTests:
    """Tests of one property of an event, joined by *and*."""

    name: str
    tests: tuple[Test, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AllConditions:
    """Every part holds of the event."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnyCondition:
    """At least one part holds of the event."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NoCondition:
    """The part does not hold of the event."""

    part: Condition


Condition = PropertyTests | AllConditions | AnyCondition | NoCondition


@dataclass(frozen=True, kw_only=True, slots=True)
class Events:
    """Which events are meant: their names, and what their properties must pass."""

    names: tuple[str, ...]
    where: Condition | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """One aggregate over matching events and the test it must pass; `of` is the property it is made from."""

    aggregate: Literal["count", "days", "sum", "average", "minimum", "maximum", "distinct"]
    of: str | None
    test: Test
    of_type: ValueType = "number"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lasting:
    """Since when a state has passed without a break: at least or less than so long."""

    least: bool
    span: Span


@dataclass(frozen=True, kw_only=True, slots=True)
class All:
    """Every part is true."""

    parts: tuple[Clause, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnyOf:
    """At least one part is true."""

    parts: tuple[Clause, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Not:
    """The part is false."""

    part: Clause


@dataclass(frozen=True, kw_only=True, slots=True)
class Everyone:
    """Always true."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Now:
    """The clock lies in the window."""

    window: Absolute


@dataclass(frozen=True, kw_only=True, slots=True)
class Holds:
    """A state's present value passes the tests, and has passed for that long."""

    kind: Literal["trait", "score", "consent", "segment", "list"]
    key: str
    tests: tuple[Test, ...]
    lasting: Lasting | None = None

    @property
    def type(self) -> ValueType:
        """The type of the state's value."""
        return self.tests[0].type


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """All thresholds hold over the matching events in the window."""

    events: Events
    window: Window = EVER
    thresholds: tuple[Threshold, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """The first or last matching event ever lies in the window and passes `has`."""

    which: Literal["first", "last"]
    events: Events
    has: Condition | None = None
    window: Window = EVER


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step of a sequence: its events, the longest gap to the step before, and what must not lie between."""

    events: Events
    gap: Span | None = None
    without: Events | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequence:
    """The steps happened one after the other, at strictly later instants."""

    steps: tuple[Step, ...]
    window: Window = EVER


@dataclass(frozen=True, kw_only=True, slots=True)
class Regular:
    """In at least so many of the last complete calendar units the events happened `count` times."""

    events: Events
    unit: str
    of_last: int
    in_at_least: int
    count: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    """The person's random share lies in [start, end) of 100."""

    salt: str
    start: Decimal
    end: Decimal

    @property
    def marks(self) -> tuple[str, str]:
        """The bounds as text to compare the first eight hex digits of md5('salt:person') with."""
        return _mark(self.start), _mark(self.end)


def _mark(share: Decimal) -> str:
    return "g" if share >= 100 else f"{int(share * 2**32 / 100):08x}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """Another rule, by its name."""

    name: str
    part: Clause


@dataclass(frozen=True, kw_only=True, slots=True)
class Stopped:
    """None in the last `silent`, some in the `active` before it: means what `part` says."""

    events: Events
    silent: Span
    active: Span
    part: Clause = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Resumed:
    """Some in `within`, none in the `silent` before that, some earlier: means what `part` says."""

    events: Events
    within: Span
    silent: Span
    part: Clause = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Derived:
    """Tests of a computed trait: means what `part` says of the events that the trait is made of."""

    trait: str
    part: Clause


Wrapper = Not | Named | Stopped | Resumed | Derived
Leaf = Everyone | Now | Holds | Count | Edge | Sequence | Regular | Bucket
Clause = All | AnyOf | Wrapper | Leaf


def parts_of(clause: Clause) -> tuple[Clause, ...]:
    """The clauses directly inside a clause."""
    if isinstance(clause, All | AnyOf):
        return clause.parts
    return (clause.part,) if isinstance(clause, Wrapper) else ()


def leaves(clause: Clause) -> Iterator[Leaf]:
    """All clauses without parts, in order."""
    if isinstance(clause, Leaf):
        yield clause
    for part in parts_of(clause):
        yield from leaves(part)


def traits_of(clause: Clause) -> Iterator[str]:
    """Every trait that a clause asks for, the computed ones by their own name and with those that they are made of."""
    if isinstance(clause, Derived):
        yield clause.trait
    if isinstance(clause, Holds) and clause.kind == "trait":
        yield clause.key
    for part in parts_of(clause):
        yield from traits_of(part)


def all_events(clause: Leaf) -> tuple[Events, ...]:
    """Every description of events that a leaf rests on: its own, those between steps, and the anchor of its window."""
    found: list[Events] = []
    if isinstance(clause, Count | Edge | Regular):
        found.append(clause.events)
    if isinstance(clause, Sequence):
        for step in clause.steps:
            found += [step.events] + ([step.without] if step.without is not None else [])
    if isinstance(clause, Count | Edge | Sequence) and isinstance(clause.window, After):
        found.append(clause.window.anchor)
    return tuple(found)


def property_tests(condition: Condition | None) -> Iterator[PropertyTests]:
    """All tests of properties inside a condition."""
    if isinstance(condition, PropertyTests):
        yield condition
    elif isinstance(condition, NoCondition):
        yield from property_tests(condition.part)
    elif condition is not None:
        for part in condition.parts:
            yield from property_tests(part)


def follows_clock(condition: Condition | None) -> bool:
    """Whether time alone may change which events pass: a window that moves, on a time or date property."""
    return any(
        test.operator == "anniversary" or (test.operator == "within" and not isinstance(test.value, Absolute))
        for tests in property_tests(condition)
        for test in tests.tests
    )
