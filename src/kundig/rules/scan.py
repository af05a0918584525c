"""What several rules need of the events, gathered first and then computed in one group-by over one scan."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import ibis

from kundig.errors import RuleError, nearest
from kundig.rules import columns
from kundig.rules.clauses import Events
from kundig.rules.columns import Column, stamp
from kundig.rules.windows import FOREVER, After, Bounds
from kundig.store.engines import portable

if TYPE_CHECKING:
    import ibis.expr.types as ir

Make = Callable[["ir.Table"], Column]
DayKey = tuple[str, str]
"""A measure's id and the property its rows are of; '' for the count of events."""


def table_named(tables: Mapping[str, ir.Table], name: str) -> ir.Table:
    """The table of that name.

    Raises:
        RuleError: It was not given.
    """
    if name not in tables:
        raise RuleError(f"the rules need the table '{name}', which was not given", at="tables", mend=nearest(name, tables))
    return tables[name]


def with_persons(tables: Mapping[str, ir.Table]) -> ir.Table:
    """The events with the person they belong to: the owner of their strongest identifier at that moment; shared identifiers own nothing."""
    events = table_named(tables, "events")
    if "person_key" in events.columns:
        return events
    identities = table_named(tables, "identities")
    sure = identities.filter(~identities.shared.fill_null(False)).select("person_key", "valid_from", "valid_until", owner_key=identities.identifier_key)
    joined = events.inner_join(sure, events.identifier_key == sure.owner_key)
    during = (joined.occurred_at >= joined.valid_from) & (joined.valid_until.isnull() | (joined.occurred_at < joined.valid_until))
    return joined.filter(during).drop("owner_key", "valid_from", "valid_until")


class Scan:
    """The events of a plan.

    `share` asks for one aggregate a person, `join` for a sub-query with one row a person. Equal ones are made once. All shared
    aggregates are computed together, over events of the names and times that are needed at all.
    """

    def __init__(self, tables: Mapping[str, ir.Table], at: int, zone: str, *, future: bool) -> None:
        self.tables, self.at, self.zone, self.future = tables, at, zone, future
        self.names: set[str] = set()
        self._flags: dict[Events, str] = {}
        self._unflagged = False
        self.low, self.high = FOREVER, -FOREVER
        self._shared: dict[Any, tuple[str, Make]] = {}
        self._days: dict[Any, tuple[str, Make]] = {}
        self._day_flags: dict[DayKey, str] = {}
        self._first: dt.date | None = None
        self._subqueries: dict[Any, tuple[str, ir.Table]] = {}
        self._events: ir.Table | None = None

    def known(self) -> ir.Table:
        """Events received by now, with their person and local day; those dated later are among them if the plan asks when it is due."""
        if self._events is None:
            events = with_persons(self.tables)
            if "local_day" not in events.columns:
                events = events.mutate(local_day=portable.local_day(events.occurred_at, self.zone))
            seen = events.received_at <= stamp(self.at)
            self._events = events.filter(seen if self.future else seen & (events.occurred_at <= stamp(self.at)))
        return self._events

    def visible(self) -> ir.Table:
        """Events that were known and had happened."""
        known = self.known()
        return known.filter(*self.happened(known)) if self.future else known

    def happened(self, table: ir.Table) -> list[Column]:
        """Whether an event of `known` had happened; nothing to test where all had."""
        return [table.occurred_at <= stamp(self.at)] if self.future else []

    def visible_part(self, bounds: Bounds) -> Bounds:
        """The bounds without an end that no event has reached yet: rows of the shared scan are tested for that apart."""
        return bounds[0], bounds[1] if bounds[1] <= self.at else FOREVER

    def matches(self, events: Events, table: ir.Table) -> Column:
        """Whether an event is of these names and its properties pass."""
        named = table["name"].isin(events.names)
        return named if events.where is None else named & columns.fulfils(events.where, table, self.at, self.zone)

    def share(self, key: Any, events: Events, low: int, high: int, make: Make, *, flagged: bool = True) -> str:
        """The column of an aggregate over rows between two instants.

        `make` is given the rows, in which `flag(events, rows)` says whether they are such events; with `flagged` it looks at no others.
        """
        self.names.update(events.names)
        self.low, self.high = min(self.low, low), max(self.high, high)
        if flagged:
            self._flags.setdefault(events, f"flag_{len(self._flags)}")
        self._unflagged = self._unflagged or not flagged
        if key not in self._shared:
            self._shared[key] = (f"shared_{len(self._shared)}", make)
        return self._shared[key][0]

    def flag(self, events: Events, table: ir.Table) -> Column:
        """Whether a row of the shared scan is such an event: judged once for all aggregates."""
        return table[self._flags[events]]

    def share_days(self, key: Any, kept: DayKey, first: dt.date | None, make: Make) -> str:
        """The column of an aggregate over whole days, from `first` on, of a measure's rows of one property."""
        self._day_flags.setdefault(kept, f"kept_{len(self._day_flags)}")
        if not self._days:
            self._first = first
        else:
            self._first = None if first is None or self._first is None else min(first, self._first)
        if key not in self._days:
            self._days[key] = (f"days_{len(self._days)}", make)
        return self._days[key][0]

    def day_flag(self, kept: DayKey, days: ir.Table) -> Column:
        """Whether a row of `measure_days` is of that measure and property."""
        return days[self._day_flags[kept]]

    def join(self, key: Any, make: Callable[[], ir.Table]) -> str:
        """The prefix of the columns of a sub-query that has `person_key` and one row a person."""
        if key not in self._subqueries:
            prefix, table = f"sub_{len(self._subqueries)}", make()
            self._subqueries[key] = (prefix, table.rename({f"{prefix}_{name}": name for name in table.columns}))
        return self._subqueries[key][0]

    def after(self, window: After, table: ir.Table) -> ir.Table:
        """The rows of a table of events that lie after the person's anchor; people without an anchor have none."""
        events = self.visible()
        anchors = events.filter(self.matches(window.anchor, events))
        chosen = anchors.occurred_at.min() if window.which == "first" else anchors.occurred_at.max()
        anchored = anchors.group_by("person_key").aggregate(anchor_at=chosen).rename(anchor_person="person_key")
        joined = table.inner_join(anchored, table.person_key == anchored.anchor_person)
        inside = joined.occurred_at > joined.anchor_at
        if window.span is not None:
            inside = inside & (joined.occurred_at <= joined.anchor_at + minutes(window.span.micros))
        return joined.filter(inside).drop("anchor_person")

    def joined_to(self, people: ir.Table) -> ir.Table:
        """The people, each with everything that was asked for beside it."""
        result: Any = people
        for prefix, table in self._right_sides():
            result = result.left_join(table, people.person_key == table[f"{prefix}_person_key"])
        return result if result is people else result.select(*[name for name in result.columns if not name.endswith("_person_key")])

    def _right_sides(self) -> list[tuple[str, ir.Table]]:
        sides = list(self._subqueries.values())
        if self._shared:
            events = self._narrowed()
            made = {name: make(events) for name, make in self._shared.values()}
            sides.insert(0, ("events", events.group_by(events_person_key=events.person_key).aggregate(**made)))
        if self._days:
            days = self._narrowed_days()
            made = {name: make(days) for name, make in self._days.values()}
            sides.insert(0, ("days", days.group_by(days_person_key=days.person_key).aggregate(**made)))
        return sides

    def _narrowed_days(self) -> ir.Table:
        days = table_named(self.tables, "measure_days")
        kept = days.filter(days.measure.isin(sorted({measure for measure, _ in self._day_flags})))
        if self._first is not None:
            kept = kept.filter(kept.local_day >= ibis.literal(self._first, type="date"))
        flags = {name: (kept.measure == measure) & (kept.property == of) for (measure, of), name in self._day_flags.items()}
        return kept.mutate(**flags)

    def _narrowed(self) -> ir.Table:
        """Events of the names and times that are needed at all, each judged once by every description of events."""
        events = self.known()
        kept = events.filter(events["name"].isin(sorted(self.names)), *columns.inside(events.occurred_at, self.visible_part((self.low, self.high))))
        judged = kept.mutate(**{name: self.matches(wanted, kept) for wanted, name in self._flags.items()})
        return judged if self._unflagged or not self._flags else judged.filter(columns.either(judged[name] for name in self._flags.values()))


def minutes(micros: int) -> Column:
    """An interval; always in minutes, which no engine counts by the calendar."""
    return ibis.interval(minutes=micros // 60_000_000)
