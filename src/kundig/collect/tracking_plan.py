"""The tracking plan as one: typed columns on `events`, and the SQL that says where an event breaks it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kundig.collect import cells
from kundig.collect.identifiers import literal, quoted
from kundig.config.collect import PlannedEvent, Property, TrackingPlan
from kundig.errors import ConfigError, Fault
from kundig.schema import Column
from kundig.tables.collect import EVENTS

Plans = TrackingPlan | Mapping[str, TrackingPlan] | Iterable[TrackingPlan] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All files of a tracking plan read as one."""

    events: Mapping[str, PlannedEvent]
    properties: Mapping[str, Property]
    quarantined: frozenset[str]
    unplanned: str = "keep"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The typed columns it adds to `events`, by name."""
        return tuple(
            Column(name=name, type=p.type, meaning=p.meaning or f"Property '{name}' of events.", personal=p.personal, category="behavioural", purpose=p.purpose)
            for name, p in sorted(self.properties.items())
            if not p.drop
        )


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
    quarantined: set[str] = set()
    for file, plan in files.items():
        at = f"tracking_plan/{file}.yaml"
        for name, event in plan.events.items():
            if name in events:
                faults.append(Fault(what=f"the event '{name}' is planned twice", at=at, mend="keep it in one file"))
            events[name] = event
            if plan.on_violation == "quarantine":
                quarantined.add(name)
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
    unplanned = "quarantine" if any(plan.unplanned == "quarantine" for plan in files.values()) else "keep"
    return Plan(events=events, properties=properties, quarantined=frozenset(quarantined), unplanned=unplanned)


def _joined(one: Property, other: Property) -> Property:
    order = ("none", "pseudonym", "contact", "sensitive")
    return one.model_copy(
        update={
            "spelled": tuple(dict.fromkeys((*one.spelled, *other.spelled))), "drop": one.drop or other.drop, "meaning": one.meaning or other.meaning,
            "personal": max(one.personal, other.personal, key=order.index), "required": False, "allowed": (),
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


def violations_sql(plan: Plan, source: str) -> str:
    """A list of what breaks the plan, as texts 'property: reason'; of rows with `name`, `p:<property>` as text and `v:<property>` as value."""
    tests: list[tuple[str, str]] = []
    for name, planned in plan.properties.items():
        if planned.drop or planned.type == "string":
            continue
        text, value = quoted("p:" + name), quoted("v:" + name)
        tests.append((f"{text} IS NOT NULL AND {value} IS NULL", f'{name}: no {planned.type}'))
    for event, agreed in plan.events.items():
        here = f"name = {literal(event)}"
        if agreed.sources and source not in agreed.sources:
            tests.append((f"{here}", f'source: {source} may not send it'))
        for name, planned in agreed.properties.items():
            if planned.required:
                tests.append((f"{here} AND {quoted('p:' + name)} IS NULL", f'{name}: missing'))
            if planned.allowed:
                known = ", ".join(literal(value) for value in planned.allowed)
                tests.append((f"{here} AND {quoted('p:' + name)} NOT IN ({known})", f'{name}: not one of the allowed values'))
    if plan.unplanned == "quarantine":
        known = ", ".join(literal(name) for name in (*plan.events, "identify", "page_viewed", "screen_viewed"))
        tests.append((f"name NOT IN ({known})", "name: not in the plan"))
    if not tests:
        return "[]::VARCHAR[]"
    listed = ", ".join(f"CASE WHEN {test} THEN {literal(reason)} END" for test, reason in tests)
    return f"CASE WHEN {' OR '.join(f'({test})' for test, _ in tests)} THEN list_filter([{listed}]::VARCHAR[], x -> x IS NOT NULL) ELSE [] END"


def property_sql(name: str, planned: Property) -> str:
    """The property's typed value, from its text `p:<name>`."""
    return cells.value(f"nullif({quoted('p:' + name)}, '')", planned.type, split="|")
