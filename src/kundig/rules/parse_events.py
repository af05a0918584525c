"""Reading which events are meant, what their properties must pass, and what is counted of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kundig.errors import nearest
from kundig.rules.clauses import AllConditions, AnyCondition, Condition, Events, NoCondition, PropertyTests, Threshold
from kundig.rules.grammar import CONDITION_WORDS, DEEPEST, MOST_PARTS
from kundig.rules.parse_windows import WindowReader
from kundig.rules.schema import Field, RuleSchema


class EventReader(WindowReader):
    """Reads which events are meant and what their properties must pass."""

    def __init__(self, schema: RuleSchema) -> None:
        super().__init__(schema)
        self.depth = 0
        self.read = 0

    def within_limits(self, at: str) -> bool:
        """Whether the rule is still of a size that a person may have written; says so once if not."""
        self.read += 1
        if self.depth > DEEPEST:
            self.fault(at, f"the rule is nested more than {DEEPEST} deep", "join parts in one list, or give inner parts a name of their own")
        elif self.read == MOST_PARTS + 1:
            self.fault(at, f"the rule has more than {MOST_PARTS} parts", "list values with `in`, or keep the people on a list")
        return self.depth <= DEEPEST and self.read <= MOST_PARTS

    def events(self, names: Any, where: Any, at: str, *, where_at: str = "") -> Events | None:
        """The events of these names (`prefix*` expanded) whose properties pass `where`."""
        faults = len(self.faults)
        given = [names] if isinstance(names, str) else names
        if not isinstance(given, list | tuple) or not given or not all(isinstance(name, str) for name in given):
            self.fault(at, f"{names!r} names no event", "name one event, a list of events, or prefix*")
            return None
        expanded = tuple(dict.fromkeys(known for name in given for known in self._expanded(name, at)))
        if len(self.faults) > faults:
            return None
        condition = self.condition(where, expanded, where_at or f"{at}.where") if where is not None else None
        return Events(names=expanded, where=condition) if len(self.faults) == faults else None

    def _expanded(self, name: str, at: str) -> list[str]:
        if name in self.schema.events:
            return [name]
        if name.endswith("*"):
            found = sorted(known for known in self.schema.events if known.startswith(name[:-1]))
            if found:
                return found
        self.unknown(at, "event", name, self.schema.events)
        return []

    def condition(self, given: Any, names: tuple[str, ...], at: str) -> Condition | None:
        """What an event's properties must pass; several keys are joined by *and*."""
        self.depth += 1
        found = self._condition(given, names, at) if self.within_limits(at) else None
        self.depth -= 1
        return found

    def _condition(self, given: Any, names: tuple[str, ...], at: str) -> Condition | None:
        if not isinstance(given, Mapping) or not given:
            self.fault(at, f"{given!r} is no condition", "write a mapping of properties to values or tests: {category: Schuhe, total: {at_least: 50}}")
            return None
        parts = [self._condition_part(str(key), value, names, f"{at}.{key}") for key, value in given.items()]
        found = tuple(part for part in parts if part is not None)
        return found[0] if len(found) == 1 else AllConditions(parts=found)

    def _condition_part(self, key: str, given: Any, names: tuple[str, ...], at: str) -> Condition | None:
        if key == "not":
            part = self.condition(given, names, at)
            return None if part is None else NoCondition(part=part)
        if key in CONDITION_WORDS:
            if not isinstance(given, list | tuple) or not given:
                self.fault(at, f"{key} needs a list of conditions, not empty", f"write {key}: [{{category: Schuhe}}, {{total: {{at_least: 200}}}}]")
                return None
            parts = tuple(part for number, item in enumerate(given) if (part := self.condition(item, names, f"{at}[{number}]")) is not None)
            return AllConditions(parts=parts) if key == "all" else AnyCondition(parts=parts)
        field = self._property(key, names, at)
        if field is None:
            return None
        if not isinstance(given, Mapping):
            shortest = "includes" if field.type == "list" else "is"
            given = {
                "in" if isinstance(given, list | tuple) and field.type != "list" else "includes_any" if isinstance(given, list | tuple) else shortest: given
            }
        tests = self.tests(given, field.type, at, bindable=True)
        return None if tests is None else PropertyTests(name=key, tests=tests)

    def _property(self, name: str, names: tuple[str, ...], at: str) -> Field | None:
        found = {field.type: field for event in names if (field := self.schema.events[event].properties.get(name)) is not None}
        if not found:
            self.unknown(at, "property", name, self.schema.properties(names))
            return None
        if len(found) > 1:
            self.fault(at, f"the property {name!r} is {' and '.join(sorted(found))} in these events", "name only events in which its type is the same")
            return None
        return next(iter(found.values()))

    def threshold_of(self, aggregate: Any, given: Any, events: Events | None, at: str) -> Threshold | None:
        """One aggregate with its threshold."""
        if not isinstance(given, Mapping):
            self.fault(at, f"{given!r} is no threshold", f"write {aggregate}: {{at_least: 2}}")
            return None
        of, faults = given.get("of"), len(self.faults)
        if aggregate in ("count", "days"):
            if of is not None:
                self.fault(f"{at}.of", f"{aggregate} is not made of a property", "leave `of` out, or use distinct or sum")
        elif of is None:
            self.fault(at, f"{aggregate} needs `of`", "name a property: " + nearest("", self.schema.properties(events.names if events is not None else ())))
        elif events is not None:
            self._aggregable(aggregate, of, events.names, f"{at}.of")
        test = self.threshold(given, aggregate, at)
        if test is None or len(self.faults) > faults:
            return None
        field = self.schema.property(events.names, of) if events is not None and of is not None else None
        return Threshold(aggregate=aggregate, of=of, test=test, of_type=field.type if field is not None else "number")

    def _aggregable(self, aggregate: str, of: Any, names: tuple[str, ...], at: str) -> None:
        field = self._property(str(of), names, at)
        if field is not None and aggregate != "distinct" and field.type != "number":
            self.fault(at, f"{aggregate} of {of!r}, which is a {field.type}", "name a number; different values are counted by distinct")
        elif field is not None and field.type == "list":
            self.fault(at, f"{aggregate} of {of!r}, which is a list", "name a property with one value")
