"""The tracking plan as one: typed columns on `events`, and the SQL that says where an event breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from kundig.collect import cells
from kundig.collect.identifiers import literal, quoted
from kundig.config.collect import PlannedEvent, Property, TrackingPlan
from kundig.errors import ConfigError, Fault
from kundig.schema import Column
from kundig.tables.collect import EVENTS

UNPLANNED = ("keep", "mark", "quarantine")
"""What may happen to events that the plan does not name, the strictest last."""

CALLS = ("identify", "page_viewed", "screen_viewed")
"""Events that every tracker sends, whatever the plan says."""

Plans = TrackingPlan | Mapping[str, TrackingPlan] | Iterable[TrackingPlan] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All files of a tracking plan read as one; each event says what happens to it when it breaks the plan."""

    events: Mapping[str, PlannedEvent]
    properties: Mapping[str, Property]
    unplanned: str = "keep"

    def holds(self, event: str, name: str = "") -> bool:
        """Whether an event is held when it breaks the plan, or when one of its properties does."""
        agreed = self.events.get(event)
        if agreed is None:
            return False
        own = agreed.properties.get(name)
        return ((own.on_violation if own is not None else "") or agreed.on_violation) == "quarantine"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The typed columns it adds to `events`, by name."""
        return tuple(
            Column(name=name, type=p.type, meaning=p.meaning or f"Property '{name}' of events.", personal=_label(p), category="behavioural", purpose=p.purpose)
            for name, p in sorted(self.properties.items())
            if not p.drop
        )


    def keyed(self, secret: Callable[[str], str]) -> Plan:
        """The plan with the keys of its hashes in place of the secrets' names."""
        found = {name: p.model_copy(update={"hashed_with": secret(p.hashed_with)}) if p.hashed_with else p for name, p in self.properties.items()}
        return replace(self, properties=found)


def _label(planned: Property) -> Literal["none", "pseudonym", "contact", "sensitive"]:
    """The label of what is kept: whoever has the key can tell a hash from another."""
    return "pseudonym" if planned.hashed_with else planned.personal


def merged(plans: Plans) -> Plan:
    """The plan of all files together.

    Raises:
        ConfigError: An event stands in two files, a property has two types, or bears the name of a fixed column; all faults at once.
    """
    if plans is None:
        files: dict[str, TrackingPlan] = {}
    elif isinstance(plans, TrackingPlan):
        files = {"plan": plans}
    elif isinstance(plans, Mapping):
        files = dict(plans)
    else:
        files = {f"plan {number}": plan for number, plan in enumerate(plans)}
    faults: list[Fault] = []
    events: dict[str, PlannedEvent] = {}
    properties: dict[str, Property] = {}
    origin: dict[str, str] = {}
    for file, plan in files.items():
        at = f"tracking_plan/{file}.yaml"
        for name, event in plan.events.items():
            if name in events:
                faults.append(Fault(what=f"the event '{name}' is planned twice", at=at, mend="keep it in one file"))
            events[name] = event.model_copy(update={"on_violation": event.on_violation or plan.on_violation})
            for word, planned in event.properties.items():
                if word in EVENTS.names:
                    faults.append(Fault(what=f"the property '{word}' of '{name}' bears the name of a column of events", at=at, mend=f"call it {name}_{word}, with spelled: [{word}]"))
                elif word in properties and properties[word].type != planned.type:
                    mend = "one type per name in the whole plan: give one of them another name, with `spelled`"
                    faults.append(Fault(what=f"the property '{word}' is {properties[word].type} in '{origin[word]}' and {planned.type} in '{name}'", at=at, mend=mend))
                elif word in properties:
                    properties[word] = _joined(properties[word], planned)
                else:
                    properties[word], origin[word] = planned, name
    if faults:
        raise ConfigError(faults=faults)
    unplanned = max((plan.unplanned for plan in files.values()), key=UNPLANNED.index, default="keep")
    return Plan(events=events, properties=properties, unplanned=unplanned)


def _joined(one: Property, other: Property) -> Property:
    order = ("none", "pseudonym", "contact", "sensitive")
    return one.model_copy(
        update={
            "spelled": tuple(dict.fromkeys((*one.spelled, *other.spelled))), "drop": one.drop or other.drop, "hashed_with": one.hashed_with or other.hashed_with, "meaning": one.meaning or other.meaning,
            "personal": max(one.personal, other.personal, key=order.index), "required": False, "allowed": (), "on_violation": "",
        }
    )  # fmt: skip


def event_columns(plans: Plans) -> tuple[Column, ...]:
    """The typed columns that the plan adds to `events`: `EVENTS.with_columns(event_columns(config.tracking_plan))`.

    Raises:
        ConfigError: A property has two types, or the name of a fixed column.

    Examples:
        >>> plan = TrackingPlan(events={"product_viewed": {"properties": {"product_id": {}, "price": {"type": "decimal(18,4)"}}}})
        >>> [(column.name, column.type) for column in event_columns(plan)]
        [('price', 'decimal(18,4)'), ('product_id', 'string')]
    """
    return merged(plans).columns


def spellings(name: str, planned: Property) -> tuple[str, ...]:
    """The names a property comes under: as planned, in camel case, and as `spelled` says.

    Examples:
        >>> spellings("product_id", Property(spelled=["sku"]))
        ('product_id', 'productId', 'sku')
    """
    head, *rest = name.split("_")
    camel = head + "".join(part[:1].upper() + part[1:] for part in rest)
    return tuple(dict.fromkeys((name, camel, *planned.spelled)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """One way to break the plan, as SQL over rows with `name`, `p:<property>` as text and `v:<property>` as value: when it is so, and when it holds the event."""

    test: str
    reason: str
    holding: str


def violations(plan: Plan, source: str) -> tuple[Violation, ...]:
    """Every way in which a source's events can break the plan; reasons are 'property: what is wrong'."""
    found: list[Violation] = []
    for name, planned in plan.properties.items():
        if planned.drop or planned.type == "string":
            continue
        text, value = quoted("p:" + name), quoted("v:" + name)
        held = [event for event in plan.events if plan.holds(event, name)]
        holding = f"name IN ({', '.join(map(literal, held))})" if held else "false"
        found.append(Violation(test=f"{text} IS NOT NULL AND {value} IS NULL", reason=f"{name}: no {planned.type}", holding=holding))
    for event, agreed in plan.events.items():
        here = f"name = {literal(event)}"
        if agreed.sources and source not in agreed.sources:
            found.append(Violation(test=here, reason=f"source: {source} may not send it", holding=_truth(plan.holds(event))))
        for name, planned in agreed.properties.items():
            text, holding = quoted("p:" + name), _truth(plan.holds(event, name))
            if planned.required:
                found.append(Violation(test=f"{here} AND {text} IS NULL", reason=f"{name}: missing", holding=holding))
            if planned.allowed:
                known = ", ".join(literal(value) for value in planned.allowed)
                found.append(Violation(test=f"{here} AND {text} NOT IN ({known})", reason=f"{name}: not one of the allowed values", holding=holding))
    if plan.unplanned != "keep":
        known = ", ".join(literal(name) for name in (*plan.events, *CALLS))
        found.append(Violation(test=f"name NOT IN ({known})", reason=UNKNOWN_EVENT, holding=_truth(plan.unplanned == "quarantine")))
    return tuple(found)


UNKNOWN_EVENT = "name: not in the plan"
"""The reason of events that the plan does not name."""


def _truth(value: bool) -> str:
    return "true" if value else "false"


def violations_sql(plan: Plan, source: str) -> str:
    """A list of all that breaks the plan, as texts 'property: reason'."""
    tests = violations(plan, source)
    if not tests:
        return "[]::VARCHAR[]"
    listed = ", ".join(f"CASE WHEN {one.test} THEN {literal(one.reason)} END" for one in tests)
    return f"CASE WHEN {' OR '.join(f'({one.test})' for one in tests)} THEN list_filter([{listed}]::VARCHAR[], x -> x IS NOT NULL) ELSE [] END"


def holding_sql(plan: Plan, source: str) -> str:
    """The first reason for which the event is held, or NULL; empty where nothing is ever held."""
    tests = [one for one in violations(plan, source) if one.holding != "false"]
    return f"CASE {' '.join(f'WHEN ({one.test}) AND {one.holding} THEN {literal(one.reason)}' for one in tests)} END" if tests else ""


def property_sql(name: str, planned: Property) -> str:
    """The property's typed value, from its text `p:<name>`; of one that is hashed, the hash (of a plan that is `keyed`).

    Examples:
        >>> print(property_sql("mail", Property(hashed_with="${HASH_KEY}").model_copy(update={"hashed_with": "k"})))
        sha256('k:' || nullif(lower(trim("p:mail")), ''))
    """
    if planned.hashed_with:
        return f"sha256({literal(planned.hashed_with + ':')} || nullif(lower(trim({quoted('p:' + name)})), ''))"
    return cells.value(f"nullif({quoted('p:' + name)}, '')", planned.type, split="|")


def marked_sql(plan: Plan) -> str:
    """What stays in `properties`: what the plan does not name, and of marked events the values that break it, with the reasons."""
    plain = "CASE WHEN CAST(rest AS VARCHAR) <> '{}' THEN rest END"
    if not plan.events and plan.unplanned == "keep":
        return plain
    unread = ", ".join(
        f"{literal(name)}, CASE WHEN {quoted('v:' + name)} IS NULL THEN {quoted('p:' + name)} END" for name, p in sorted(plan.properties.items()) if not p.drop and p.type != "string"
    )
    marked = f"json_merge_patch(coalesce(rest, '{{}}'), json_merge_patch('{{}}', json_object({unread})), json_object('_violations', _marks))"
    return f"CASE WHEN len(_marks) > 0 THEN {marked} ELSE {plain} END"
