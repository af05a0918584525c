"""What rules may speak of: events and their properties, traits, scores, purposes, segments, lists, and each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, cast, get_args

from kundig.clock import time_zones
from kundig.errors import Fault, RuleError, nearest
from kundig.rules.clauses import ValueType
from kundig.rules.grammar import CONDITION_WORDS

COLUMN_TYPES: Mapping[str, ValueType] = MappingProxyType(
    {
        "string": "text", "int64": "number", "float64": "number", "decimal(18,4)": "number", "decimal(38,4)": "number", "bool": "boolean", "date": "date",
        "timestamp": "time", "list<string>": "list",
    }
)  # fmt: skip
"""The type that a column's values have in rules."""

STANDARD_PROPERTIES: Mapping[str, ValueType] = MappingProxyType(
    {"channel": "text", "campaign": "text", "platform": "text", "page_path": "text", "value": "number"}
)
"""What every landed event carries in a column of its own, whatever the tracking plan says."""

Labels = Mapping[str, str]
"""What people call a thing, by language: {"de": "Bestellung", "en": "order"}."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """A property or trait: its type, what people call it, and the unit of its numbers (`€`)."""

    type: ValueType
    labels: Labels = field(default_factory=dict, hash=False)
    unit: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventType:
    """An event of the tracking plan."""

    properties: Mapping[str, Field] = field(default_factory=dict, hash=False)
    labels: Labels = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleSchema:
    """Everything a rule may name. `RuleSchema.of` builds one from plain values.

    `scores`, `segments` and `lists` map names to labels; `purposes` map to the channels they know; `rules` map names of other
    rules to their source.
    """

    zone: str = "UTC"
    events: Mapping[str, EventType] = field(default_factory=dict, hash=False)
    traits: Mapping[str, Field] = field(default_factory=dict, hash=False)
    scores: Mapping[str, Labels] = field(default_factory=dict, hash=False)
    purposes: Mapping[str, frozenset[str]] = field(default_factory=dict, hash=False)
    purpose_labels: Mapping[str, Labels] = field(default_factory=dict, hash=False)
    segments: Mapping[str, Labels] = field(default_factory=dict, hash=False)
    lists: Mapping[str, Labels] = field(default_factory=dict, hash=False)
    rules: Mapping[str, Any] = field(default_factory=dict, hash=False)
    computed: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Traits that are computed from events, as their definitions (`rules.derived`); they stand among the traits too."""

    @classmethod
    def of(
        cls,
        *,
        zone: str = "UTC",
        events: Mapping[str, Any] | None = None,
        traits: Mapping[str, Any] | None = None,
        scores: Iterable[str] | Mapping[str, Labels] = (),
        purposes: Mapping[str, Any] | None = None,
        segments: Iterable[str] | Mapping[str, Labels] = (),
        lists: Iterable[str] | Mapping[str, Labels] = (),
        rules: Mapping[str, Any] | None = None,
        everywhere: Mapping[str, Any] | None = None,
        computed: Mapping[str, Any] | None = None,
    ) -> RuleSchema:
        """A schema from plain values.

        Args:
            zone: The workspace's time zone; all calendar windows are in it.
            events: Event name to its properties ({name: type}), or to {"properties": …, "labels": {"de": …}}.
            traits: Trait name to its type, or to {"type": …, "labels": …, "unit": …}.
            scores: Models, with or without labels.
            purposes: Purpose to its channels, or to {"channels": …, "labels": …}.
            segments: Segments, with or without labels.
            lists: Lists kept by hand, with or without labels.
            rules: Other rules by name, as their source.
            everywhere: Properties that all events have.
            computed: Computed traits by name, as their definitions: {"event": …, "count": true, "within": …}, {"last": …, "take": …}, {"rule": …}.

        Types are those of rules (text, number, boolean, time, date, list) or of columns (string, int64, timestamp, …).

        Raises:
            RuleError: An unknown zone or type; carries all faults.

        Examples:
            >>> schema = RuleSchema.of(events={"order_completed": {"total": "number"}}, traits={"city": "text"}, purposes={"news": ["email"]})
            >>> schema.events["order_completed"].properties["total"].type, sorted(schema.purposes["news"])
            ('number', ['email'])
        """
        from kundig.rules.derived import fields_of

        build = _Builder()
        if zone not in time_zones():
            build.faults.append(Fault(what=f"unknown time zone '{zone}'", at="zone", mend=nearest(zone, time_zones(), most=5)))
        shared = {name: build.field(given, f"everywhere.{name}") for name, given in (everywhere or {}).items()}
        channels = {name: _channels(given) for name, given in (purposes or {}).items()}
        made = {name: build.event(given, shared, f"events.{name}") for name, given in (events or {}).items()}
        schema = cls(
            zone=zone,
            events=made,
            traits={name: build.field(given, f"traits.{name}") for name, given in (traits or {}).items()} | fields_of(computed or {}, made),
            computed=dict(computed or {}),
            scores=_labelled(scores),
            purposes={name: channels for name, (channels, _) in channels.items()},
            purpose_labels={name: labels for name, (_, labels) in channels.items()},
            segments=_labelled(segments),
            lists=_labelled(lists),
            rules=dict(rules or {}),
        )
        if build.faults:
            raise RuleError(faults=build.faults)
        return schema

    def property(self, names: Iterable[str], name: str) -> Field | None:
        """The property of that name of the first of these events that has it."""
        for event in names:
            known = self.events.get(event)
            if known is not None and name in known.properties:
                return known.properties[name]
        return None

    def properties(self, names: Iterable[str]) -> dict[str, Field]:
        """All properties of these events; of one name that several have, the first one's type."""
        found: dict[str, Field] = {}
        for event in names:
            known = self.events.get(event)
            found = {**(known.properties if known is not None else {}), **found}
        return found


class _Builder:
    """Turns plain values into fields and events, and collects what is wrong with them."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def field(self, given: Any, at: str) -> Field:
        if isinstance(given, Field):
            return given
        plain = given if isinstance(given, Mapping) else {"type": given}
        return Field(type=self.type(plain.get("type"), at), labels=dict(plain.get("labels", {})), unit=plain.get("unit", ""))

    def type(self, given: Any, at: str) -> ValueType:
        if given in get_args(ValueType):
            return cast(ValueType, given)
        if given in COLUMN_TYPES:
            return COLUMN_TYPES[given]
        self.faults.append(Fault(what=f"unknown type {given!r}", at=at, mend=nearest(str(given), get_args(ValueType))))
        return "text"

    def event(self, given: Any, shared: Mapping[str, Field], at: str) -> EventType:
        if isinstance(given, EventType):
            return EventType(properties={**shared, **given.properties}, labels=given.labels)
        plain = given if isinstance(given, Mapping) and isinstance(given.get("properties"), Mapping) else {"properties": given or {}}
        for name in sorted(set(plain["properties"]) & set(CONDITION_WORDS)):
            self.faults.append(
                Fault(what=f"'{name}' cannot be the name of a property", at=f"{at}.{name}", mend="it joins conditions in `where`; rename the property")
            )
        properties = {name: self.field(value, f"{at}.{name}") for name, value in plain["properties"].items()}
        return EventType(properties={**shared, **properties}, labels=dict(plain.get("labels", {})))


def _labelled(given: Iterable[str] | Mapping[str, Labels]) -> dict[str, Labels]:
    return dict(given) if isinstance(given, Mapping) else {name: {} for name in given}


def _channels(given: Any) -> tuple[frozenset[str], Labels]:
    if isinstance(given, Mapping):
        return frozenset(given["channels"]), dict(given.get("labels", {}))
    return frozenset(given), {}
