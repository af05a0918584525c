"""Clauses about states, in the engine: traits, scores, consents, segments and lists are one thing, kept in five tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ibis

from kundig.rules import columns
from kundig.rules.clauses import Holds
from kundig.rules.columns import TIMESTAMP, Column, both, stamp
from kundig.rules.scan import Scan, table_named

if TYPE_CHECKING:
    import ibis.expr.types as ir

Answer = Callable[["ir.Table"], Column]


@dataclass(frozen=True, kw_only=True, slots=True)
class Home:
    """Where a kind of state is kept: its table, the columns of its key, and the column of its value."""

    table: str
    keys: tuple[str, ...]
    value: str


_HOMES = {
    "trait": Home(table="trait_changes", keys=("trait",), value="value"),
    "score": Home(table="scores", keys=("model",), value="value"),
    "consent": Home(table="consents", keys=("purpose", "channel"), value="status"),
    "segment": Home(table="segment_members", keys=("segment_id",), value="member"),
    "list": Home(table="list_members", keys=("list",), value="member"),
}


def key_parts(clause: Holds) -> tuple[tuple[str, ...], str]:
    """The values of the key columns, and the column of the value: a score's key also names its field."""
    home = _HOMES[clause.kind]
    if clause.kind == "score":
        model, _, column = clause.key.rpartition(".")
        return (model,), column
    if clause.kind == "consent":
        purpose, _, channel = clause.key.partition("/")
        return (purpose, channel), home.value
    return (clause.key,), home.value


@dataclass(kw_only=True, slots=True)
class StateCompiler:
    """Compiles clauses about states; the present values of one table are read once for all rules."""

    scan: Scan
    wanted: dict[str, dict[tuple[tuple[str, ...], str], int]] = field(default_factory=dict)

    def gather(self, clause: Holds) -> None:
        """Note that the present value of a state will be asked for, before any table is built."""
        places = self.wanted.setdefault(clause.kind, {})
        places.setdefault(key_parts(clause), len(places))

    def answer(self, clause: Holds) -> Answer:
        """The state's present value passes the tests, and has passed for that long."""
        if clause.lasting is not None:
            edge, least = stamp(self.scan.at - clause.lasting.span.micros), clause.lasting.least
            since = self.since(clause)
            return lambda people: ((since(people) <= edge) if least else (since(people) > edge)).fill_null(False)
        value = self.value(clause)
        return lambda people: both(columns.passes(test, value(people), self.scan.at, self.scan.zone) for test in clause.tests)

    def value(self, clause: Holds) -> Answer:
        """The present value in its type; null where it is missing."""
        prefix = self.scan.join(("present", clause.kind), lambda: self._present(clause.kind))
        name = f"{prefix}_value_{self.wanted[clause.kind][key_parts(clause)]}"
        return lambda people: in_type(people[name], clause)

    def until(self, clause: Holds) -> Answer:
        """When the present value lapses; null: never, or it is missing."""
        prefix = self.scan.join(("present", clause.kind), lambda: self._present(clause.kind))
        return lambda people: people[f"{prefix}_until_{self.wanted[clause.kind][key_parts(clause)]}"]

    def since(self, clause: Holds) -> Answer:
        """Since when the present value has passed without a break; null where it does not pass."""
        prefix = self.scan.join(("lasting", clause.kind, clause.key, clause.tests), lambda: self._lasting(clause))
        return lambda people: people[f"{prefix}_since"]

    def known(self, kind: str) -> ir.Table:
        """The rows of a table of states that were known."""
        table = table_named(self.scan.tables, _HOMES[kind].table)
        return table.filter(table.received_at <= stamp(self.scan.at))

    def _visible(self, kind: str) -> ir.Table:
        known = self.known(kind)
        return known.filter(known.occurred_at <= stamp(self.scan.at))

    def _alive(self, table: ir.Table) -> Column:
        return table.until.isnull() | (table.until > stamp(self.scan.at))

    def _present(self, kind: str) -> ir.Table:
        """One row a person: each wanted key's present value and its end."""
        home, rows = _HOMES[kind], self._visible(kind)
        rows = rows.filter(columns.either(is_key(rows, home, parts) for parts in dict.fromkeys(parts for parts, _ in self.wanted[kind])))
        newest = [ibis.desc(rows.occurred_at), ibis.desc(rows.received_at), ibis.desc(rows.seq)]
        ranked = rows.mutate(place=ibis.row_number().over(group_by=("person_key", *home.keys), order_by=newest))
        last = ranked.filter((ranked.place == 0) & self._alive(ranked))
        made: dict[str, Column] = {}
        for (parts, column), number in self.wanted[kind].items():
            where = is_key(last, home, parts)
            made[f"value_{number}"] = _only(last[column], where)
            made[f"until_{number}"] = last.until.max(where=where)
        return last.group_by("person_key").aggregate(**made)

    def _lasting(self, clause: Holds) -> ir.Table:
        """One row a person whose present value passes: since when."""
        parts, column = key_parts(clause)
        rows = self._visible(clause.kind)
        rows = rows.filter(is_key(rows, _HOMES[clause.kind], parts))
        rank = ibis.row_number().over(group_by=("person_key", "occurred_at"), order_by=[ibis.desc(rows.received_at), ibis.desc(rows.seq)])
        ranked = rows.mutate(place=rank)
        single = ranked.filter(ranked.place == 0)
        alive = single.until.isnull() | (single.until > single.occurred_at)
        value = in_type(single[column], clause)
        judged = single.select(
            "person_key", "occurred_at", "until",
            passing=both([alive, *(columns.passes(test, value, self.scan.at, self.scan.zone) for test in clause.tests)]).fill_null(False),
        )  # fmt: skip
        return _since(judged, self._alive)


def _since(judged: ir.Table, alive: Callable[[ir.Table], Column]) -> ir.Table:
    in_order = ibis.window(group_by="person_key", order_by="occurred_at")
    linked = judged.mutate(before=judged.passing.lag().over(in_order), before_until=judged.until.lag().over(in_order))
    unbroken = linked.before.fill_null(False) & (linked.before_until.isnull() | (linked.before_until >= linked.occurred_at))
    starts = linked.mutate(start_at=ibis.ifelse(linked.passing & ~unbroken, linked.occurred_at, ibis.null(TIMESTAMP)))
    dated = starts.mutate(
        since=starts.start_at.max().over(group_by="person_key"),
        place=ibis.row_number().over(group_by="person_key", order_by=ibis.desc(starts.occurred_at)),
    )
    return dated.filter((dated.place == 0) & dated.passing & alive(dated)).select("person_key", "since")


def is_key(table: ir.Table, home: Home, parts: tuple[str, ...]) -> Column:
    """Whether a row is about that key."""
    return both(table[column] == value for column, value in zip(home.keys, parts, strict=True))


def rows_of(table: ir.Table, clause: Holds) -> Column:
    """Whether a row of the kind's table is about the clause's key."""
    return is_key(table, _HOMES[clause.kind], key_parts(clause)[0])


def _only(column: Any, where: Column) -> Column:
    """The value of the one row that passes."""
    return column.any(where=where) if column.type().is_boolean() else column.max(where=where)


def in_type(column: Any, clause: Holds) -> Column:
    """A state's value in the type of its tests: traits are kept as text, scores as floats."""
    if clause.kind == "trait":
        return columns.typed(column, clause.type)
    return columns.number(column) if clause.kind == "score" else column
