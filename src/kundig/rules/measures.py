"""Measures: what rules count of events, folded once per person and local day, so that windows add days instead of reading events."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import reduce
from typing import TYPE_CHECKING, Any

import ibis

from kundig.rules import columns
from kundig.rules.clauses import (
    AllConditions,
    AnyCondition,
    Clause,
    Condition,
    Count,
    Edge,
    Events,
    NoCondition,
    Parameter,
    PropertyTests,
    Regular,
    Test,
    follows_clock,
    leaves,
)
from kundig.rules.columns import NUMBER, SUM, Column, both
from kundig.rules.explain import plain_value
from kundig.rules.facts import Moment, to_micros
from kundig.rules.windows import Absolute, After, Bounds, local_day, midnight, shift_days

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from kundig.rules.rule import Rule
    from kundig.rules.scan import Scan

STREAM = "events"
_NEED_HISTORY = ("distinct",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """Events of some names that pass a condition that does not follow the clock, and the number properties that are summed of them."""

    events: Events
    properties: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """A hash of stream, names and condition: the same for every rule that asks for the same."""
        return measure_id(self.events)


def measure_id(events: Events) -> str:
    """The id of the measure of these events.

    Examples:
        >>> measure_id(Events(names=("b", "a"))) == measure_id(Events(names=("a", "b")))
        True
    """
    said = json.dumps([STREAM, sorted(events.names), _canonical(events.where)], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _canonical(condition: Condition | None) -> Any:
    match condition:
        case None:
            return None
        case PropertyTests():
            return ["property", condition.name, [_canonical_test(test) for test in condition.tests]]
        case NoCondition():
            return ["not", _canonical(condition.part)]
        case AllConditions():
            return ["all", [_canonical(part) for part in condition.parts]]
        case AnyCondition():
            return ["any", [_canonical(part) for part in condition.parts]]


def _canonical_test(test: Test) -> list[Any]:
    value: Any = test.value
    if isinstance(value, Absolute):
        value = [value.start, value.end]
    elif isinstance(value, tuple):
        value = [_canonical_value(item) for item in value]
    else:
        value = _canonical_value(value)
    return [test.operator, test.type, test.exact, value]


def _canonical_value(value: Any) -> Any:
    if isinstance(value, Parameter):
        return {"parameter": value.name}
    return str(value.normalize()) if isinstance(value, Decimal) else plain_value(value)


def mergeable(events: Events) -> bool:
    """Whether days of these events may be added: nothing in their condition follows the clock or waits for a parameter."""
    return not follows_clock(events.where) and '"parameter"' not in json.dumps(_canonical(events.where), ensure_ascii=True)


def measures_of(rules: Iterable[Rule | Clause] | Mapping[str, Rule]) -> tuple[Measure, ...]:
    """The distinct measures that these rules or clauses can be answered from, in order of their ids; equal ones with the properties of all."""
    found: dict[str, Measure] = {}
    for rule in rules.values() if isinstance(rules, Mapping) else rules:
        for leaf in leaves(rule.clause if hasattr(rule, "clause") else rule):
            for events, properties in _wanted(leaf):
                measure = Measure(events=Events(names=tuple(sorted(events.names)), where=events.where), properties=tuple(sorted(properties)))
                before = found.get(measure.id)
                both_properties = tuple(sorted({*measure.properties, *(before.properties if before is not None else ())}))
                found[measure.id] = Measure(events=measure.events, properties=both_properties)
    return tuple(found[key] for key in sorted(found))


def _wanted(leaf: Any) -> list[tuple[Events, set[str]]]:
    if isinstance(leaf, Regular) or (isinstance(leaf, Edge) and leaf.has is None and not isinstance(leaf.window, After)):
        return [(leaf.events, set())] if mergeable(leaf.events) else []
    if not isinstance(leaf, Count) or isinstance(leaf.window, After) or not mergeable(leaf.events):
        return []
    kept = [threshold for threshold in leaf.thresholds if threshold.aggregate not in _NEED_HISTORY]
    return [(leaf.events, {threshold.of for threshold in kept if threshold.of is not None})] if kept else []


def measure_days(events: ir.Table, measures: Iterable[Measure], *, zone: str, as_of: Moment | None = None) -> ir.Table:
    """The rows of `measure_days`: a day's sums for each measure.

    Args:
        events: Events with `person_key`; `local_day` is made from `occurred_at` if it is not there.
        measures: What to fold (`measures_of`).
        zone: The workspace's zone.
        as_of: Only events received and happened by then; None: all given.

    One row per person, day and measure with the property `''` counts the events; one row per property counts the values that
    are not missing, with their sum and extremes. `first_at` and `last_at` are those of the events counted.
    """
    wanted = sorted(measures, key=lambda measure: measure.id)
    if "local_day" not in events.columns:
        from kundig.store.engines import portable

        events = events.mutate(local_day=portable.local_day(events.occurred_at, zone))
    if as_of is not None:
        now = columns.stamp(to_micros(as_of))
        events = events.filter((events.received_at <= now) & (events.occurred_at <= now))
    parts = [part for group in _groups(wanted, 20) for part in _folded(events, group, zone)]
    if not parts:
        return _no_days(events)
    return reduce(lambda above, below: above.union(below, distinct=False), parts)


def _groups(measures: list[Measure], size: int) -> list[list[Measure]]:
    return [measures[start : start + size] for start in range(0, len(measures), size)]


def _folded(events: ir.Table, measures: list[Measure], zone: str) -> list[ir.Table]:
    """One group-by over the events of some measures, then one part per measure and property."""
    names = sorted({name for measure in measures for name in measure.events.names})
    kept = events.filter(events["name"].isin(names))
    passing = {f"passes_{number}": _passes(kept, measure, zone) for number, measure in enumerate(measures)}
    properties = sorted({name for measure in measures for name in measure.properties})
    rows = kept.select("person_key", "local_day", "occurred_at", **passing, **{f"of_{name}": columns.number(kept[name]) for name in properties})
    made: dict[str, Column] = {}
    for number, measure in enumerate(measures):
        for place, name in enumerate(("", *measure.properties)):
            made |= _aggregates(rows, f"{number}_{place}", rows[f"passes_{number}"], name)
    days = rows.group_by("person_key", "local_day").aggregate(**made)
    return [_part(days, f"{number}_{place}", measure, name) for number, measure in enumerate(measures) for place, name in enumerate(("", *measure.properties))]


def _passes(events: ir.Table, measure: Measure, zone: str) -> Column:
    return both([events["name"].isin(measure.events.names), columns.fulfils(measure.events.where, events, 0, zone)])


def _aggregates(rows: ir.Table, key: str, passing: Column, name: str) -> dict[str, Column]:
    where = passing if name == "" else passing & rows[f"of_{name}"].notnull()
    made = {f"count_{key}": rows.count(where=where), f"first_{key}": rows.occurred_at.min(where=where), f"last_{key}": rows.occurred_at.max(where=where)}
    if name:
        value = rows[f"of_{name}"]
        made |= {f"sum_{key}": value.sum(where=where), f"minimum_{key}": value.min(where=where), f"maximum_{key}": value.max(where=where)}
    return made


def _part(days: ir.Table, key: str, measure: Measure, name: str) -> ir.Table:
    kept = days.filter(days[f"count_{key}"] > 0)

    def of(what: str, type: str) -> Column:
        return kept[f"{what}_{key}"].cast(type) if name else ibis.null(type)

    return kept.select(
        "person_key", "local_day", measure=ibis.literal(measure.id), property=ibis.literal(name), count=kept[f"count_{key}"].cast("int64"),
        sum=of("sum", SUM), minimum=of("minimum", NUMBER), maximum=of("maximum", NUMBER), first_at=kept[f"first_{key}"], last_at=kept[f"last_{key}"],
    )  # fmt: skip


def _no_days(events: ir.Table) -> ir.Table:
    none = events.filter(ibis.literal(False))
    return none.select(
        "person_key", "local_day", measure=ibis.literal(""), property=ibis.literal(""), count=ibis.literal(0, type="int64"), sum=ibis.null(SUM),
        minimum=ibis.null(NUMBER), maximum=ibis.null(NUMBER), first_at=none.occurred_at, last_at=none.occurred_at,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """A window as whole local days `[first, beyond)` (None: open) and the intervals of days that a bound cuts."""

    first: dt.date | None
    beyond: dt.date | None
    cut: tuple[Bounds, ...]


def split_days(bounds: Bounds, at: int, zone: str) -> Split:
    """The window seen at `at` as whole days and cut ones; after `at` nothing has happened, so today is whole.

    Examples:
        >>> noon = to_micros(dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC))
        >>> split = split_days((noon - 86_400_000_000 + 1, noon + 1), noon, "UTC")
        >>> split.first.isoformat(), split.beyond, len(split.cut)
        ('2026-03-02', None, 1)
    """
    low, high = bounds
    first: dt.date | None = None
    beyond: dt.date | None = None
    cut: list[Bounds] = []
    if low > midnight(dt.date(2, 1, 1), zone):
        first = local_day(low, zone)
        if midnight(first, zone) != low:
            following = shift_days(first, 1)
            cut.append((low, min(high, at + 1, midnight(following, zone))))
            first = following
    if high <= at:
        beyond = local_day(high, zone)
        if midnight(beyond, zone) != high:
            cut.append((max(low, midnight(beyond, zone)), high))
    return Split(first=first, beyond=beyond, cut=tuple(dict.fromkeys(interval for interval in cut if interval[0] < interval[1])))


@dataclass(frozen=True, kw_only=True, slots=True)
class DayFigures:
    """Answers aggregates from `measure_days` as far as it holds them; without measures it answers nothing."""

    at: int
    zone: str
    held: Mapping[str, Measure] = field(default_factory=dict)

    def split(self, events: Events, aggregate: str, of: str | None, bounds: Bounds) -> Split | None:
        """How a window divides into days; None when the events themselves must be read."""
        if not self.held or aggregate in _NEED_HISTORY or not mergeable(events):
            return None
        measure = self.held.get(measure_id(events))
        if measure is None or (of is not None and of not in measure.properties):
            return None
        return split_days(bounds, self.at, self.zone)

    def figure(self, scan: Scan, events: Events, aggregate: str, of: str | None, part: str, split: Split) -> str:
        """The column of an aggregate over whole days."""
        identity = measure_id(events)

        def make(days: ir.Table) -> Column:
            where = [scan.day_flag((identity, of or ""), days)]
            if split.first is not None:
                where.append(days.local_day >= ibis.literal(split.first, type="date"))
            if split.beyond is not None:
                where.append(days.local_day < ibis.literal(split.beyond, type="date"))
            return _over_days(days, aggregate, part, both(where))

        return scan.share_days((identity, aggregate, of, part, split.first, split.beyond), (identity, of or ""), split.first, make)


def _over_days(days: ir.Table, aggregate: str, part: str, where: Column) -> Column:
    if part == "number" or aggregate == "count":
        return days["count"].sum(where=where).cast("int64")
    match aggregate:
        case "days":
            return days.count(where=where & (days["count"] > 0))
        case "sum" | "average":
            return days["sum"].sum(where=where).cast(SUM)
        case "minimum":
            return days.minimum.min(where=where)
        case "maximum":
            return days.maximum.max(where=where)
        case "first":
            return days.first_at.min(where=where)
        case _:
            return days.last_at.max(where=where)
