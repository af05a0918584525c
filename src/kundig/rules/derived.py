"""Computed traits: a value made of a person's events, and what a test of such a value means in the language itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal, cast

from kundig.errors import RuleError
from kundig.rules.clauses import (
    All,
    AllConditions,
    AnyOf,
    Clause,
    Count,
    Derived,
    Edge,
    Events,
    Everyone,
    Not,
    PropertyTests,
    Test,
    Threshold,
    ValueType,
)
from kundig.rules.grammar import AGGREGATES, TOTALS, WHOLE
from kundig.rules.parse_events import EventReader
from kundig.rules.schema import EventType, Field, RuleSchema
from kundig.rules.values import POSITIVE_OF, negative, positive_of
from kundig.rules.windows import EVER, After, Ahead, Moving

Aggregate = Literal["count", "days", "sum", "average", "minimum", "maximum", "distinct"]
ONCE = Threshold(aggregate="count", of=None, test=Test(operator="at_least", value=Decimal(1), type="number"))

NO_EVENTS = Events(names=())


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A computed trait as it was read: a rule; an aggregate of events; or the moment or a property of the first or last of them."""

    name: str
    type: ValueType
    rule: Clause | None = None
    events: Events = NO_EVENTS
    window: Moving = EVER
    aggregate: Aggregate | None = None
    of: str | None = None
    of_type: ValueType = "number"
    which: Literal["first", "last"] | None = None
    take: str | None = None

    @property
    def probe(self) -> Clause:
        """A clause that rests on the same facts: what must be read and folded for the trait's value."""
        if self.rule is not None:
            return self.rule
        if self.which is not None:
            return Edge(which=self.which, events=self.events, window=self.window)
        return Count(events=self.events, window=self.window, thresholds=(self.threshold(ONCE.test), ONCE))

    def threshold(self, test: Test) -> Threshold:
        """The trait's aggregate with a test."""
        assert self.aggregate is not None
        return Threshold(aggregate=self.aggregate, of=self.of, test=test, of_type=self.of_type)


class DerivedReader(EventReader):
    """Reads computed traits, and tests of them as clauses about their events."""

    def __init__(self, schema: RuleSchema) -> None:
        super().__init__(schema)
        self.open: list[str] = []

    @abstractmethod
    def clause(self, given: Any, at: str = "$") -> Clause | None:
        """The clause of a mapping with exactly one kind."""

    def made(self, name: str) -> Made | None:
        """The computed trait of that name."""
        given, at, faults = self.schema.computed[name], f"traits.{name}", len(self.faults)
        if "rule" in given:
            return self._ruled(name, given["rule"], at)
        kind = next(kind for kind in ("event", "first", "last") if kind in given)
        events = self.events(given[kind], given.get("where"), f"{at}.{kind}", where_at=f"{at}.where")
        window = self.event_window(given, at, EVER)
        if isinstance(window, After | Ahead):
            self.fault(f"{at}.within", "a trait cannot wait for another event", "give a window that ends now, or write the trait as a rule")
        if events is None or window is None or len(self.faults) > faults:
            return None
        found = Made(name=name, type="number", events=events, window=cast("Moving", window))
        if kind == "event":
            aggregate = next(one for one in AGGREGATES if given.get(one))
            of = None if given[aggregate] is True else str(given[aggregate])
            if of is not None:
                self._aggregable(aggregate, of, events.names, f"{at}.{aggregate}")
            if len(self.faults) > faults:
                return None
            field = self.schema.property(events.names, of) if of is not None else None
            return replace(found, aggregate=cast("Aggregate", aggregate), of=of, of_type="number" if field is None else field.type)
        which: Literal["first", "last"] = "first" if kind == "first" else "last"
        take = given.get("take")
        if take is None:
            return replace(found, type="time", which=which)
        taken = self._property(str(take), events.names, f"{at}.take")
        return None if taken is None else replace(found, type=taken.type, which=which, take=str(take))

    def _ruled(self, name: str, rule: Any, at: str) -> Made | None:
        if at in self.open:
            self.fault(at, f"traits are made of each other in a circle: {' -> '.join([*self.open[self.open.index(at) :], at])}", "take one of the references out")
            return None
        self.open.append(at)
        part = self.clause(rule, at)
        self.open.pop()
        return None if part is None else Made(name=name, type="boolean", rule=part)

    def derived(self, name: str, rest: Mapping[str, Any], at: str) -> Clause | None:
        """What tests of a computed trait mean, as clauses about its events."""
        made = self.made(name)
        if "for" in rest:
            self.fault(f"{at}.for", f"the computed trait '{name}' has no history of its own", "leave `for` out, and ask for the events it is made of")
        tests = None if made is None or "for" in rest else self.tests(rest, made.type, at)
        if made is None or tests is None:
            return None
        parts = [self._asked(made, test, at) for test in tests]
        if any(part is None for part in parts):
            return None
        found = cast("list[Clause]", parts)
        return Derived(trait=name, part=found[0] if len(found) == 1 else All(parts=tuple(found)))

    def _asked(self, made: Made, test: Test, at: str) -> Clause | None:
        """One test; a negative one is exactly the opposite of its positive."""
        if negative(test):
            positive = positive_of(test) if test.operator in POSITIVE_OF else replace(test, value=True)
            part = self._asked(made, positive, at)
            return None if part is None else Not(part=part)
        if made.rule is not None:
            holds = test.operator == "exists"
            return Everyone() if holds else made.rule if test.value is True else Not(part=made.rule)
        return self._of_edge(made, test, at) if made.which is not None else self._of_figure(made, test, at)

    def _of_figure(self, made: Made, test: Test, at: str) -> Clause | None:
        if test.operator == "exists":
            if made.aggregate in TOTALS:
                return Everyone()
            there = PropertyTests(name=made.of or "", tests=(Test(operator="exists", value=True, type="number"),))
            where = there if made.events.where is None else AllConditions(parts=(made.events.where, there))
            return Count(events=replace(made.events, where=where), window=made.window, thresholds=(ONCE,))
        if made.aggregate in WHOLE and any(bound != bound.to_integral_value() for bound in test.numbers):
            self.fault(at, f"'{made.name}' is a whole number", "leave the decimals out")
            return None
        if test.operator == "in":
            return AnyOf(parts=tuple(Count(events=made.events, window=made.window, thresholds=(made.threshold(replace(test, operator="is", value=one)),)) for one in test.numbers))
        return Count(events=made.events, window=made.window, thresholds=(made.threshold(test),))

    def _of_edge(self, made: Made, test: Test, at: str) -> Clause | None:
        assert made.which is not None
        own = Edge(which=made.which, events=made.events, window=made.window)
        if made.take is not None:
            return replace(own, has=PropertyTests(name=made.take, tests=(test,)))
        if test.operator == "exists":
            return own
        if isinstance(test.value, Ahead):
            self.fault(at, f"'{made.name}' is a moment that has been", "look back: within: 30 days")
            return None
        asked = replace(own, window=cast("Moving", test.value))
        return asked if made.window == EVER else All(parts=(own, asked))


def fields_of(computed: Mapping[str, Any], events: Mapping[str, EventType]) -> dict[str, Field]:
    """Computed traits as fields: their type, labels and unit; the type of a property that no event has is told when the trait is read."""
    found = {}
    for name, given in computed.items():
        type: ValueType = "boolean" if "rule" in given else "number" if "event" in given else "time"
        if given.get("take"):
            names = given.get("first") or given.get("last")
            type = _type_of(str(given["take"]), [names] if isinstance(names, str) else names, events)
        found[name] = Field(type=type, labels=given.get("labels", {}), unit=given.get("unit", ""))
    return found


def _type_of(property: str, names: Iterable[str], events: Mapping[str, EventType]) -> ValueType:
    for name in names:
        for known, event in events.items():
            if (known == name or (name.endswith("*") and known.startswith(name[:-1]))) and property in event.properties:
                return event.properties[property].type
    return "text"


def read_traits(schema: RuleSchema) -> dict[str, Made]:
    """Every computed trait of a schema.

    Raises:
        RuleError: Something is wrong with one; carries every fault of all of them.

    Examples:
        >>> schema = RuleSchema.of(events={"order_completed": {"total": "number"}}, computed={"spent": {"event": "order_completed", "sum": "total", "within": "90 days"}})
        >>> read_traits(schema)["spent"].aggregate, schema.traits["spent"].type
        ('sum', 'number')
        >>> from kundig.rules import parse
        >>> parse({"trait": "spent", "at_least": 100}, schema).sentence("en")
        'order_completed in the last 90 days: sum of total at least 100'
    """
    from kundig.rules.parse_clauses import RuleReader

    reader = RuleReader(schema)
    found = {name: reader.made(name) for name in schema.computed}
    if reader.faults:
        raise RuleError(faults=list(dict.fromkeys(reader.faults)))
    return {name: made for name, made in found.items() if made is not None}
