"""Versions: rows that a system tells again when they change, and rows that are gone; what becomes of both in the canonical tables.

In tables of things (orders, contacts, products, …) the last version holds, and what is gone is gone. In logs (events, messages, consents) nothing is
ever taken back: what was told first stays.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field

from kundig.collect import cells
from kundig.collect.cdc.lines import EMPTIED, GONE
from kundig.collect.identifiers import literal, quoted
from kundig.collect.mapping import MUTABLE, Context, matches_sql, required, typed_sql
from kundig.collect.rows import Canonical, Existing
from kundig.collect.sources.raw import Connection, Raw
from kundig.config.collect import ColumnSpec, Input, Landing
from kundig.schema import Table
from kundig.store.lake import Upsert

VERSIONED = frozenset(MUTABLE) | {"order_lines", "survey_answers"}
"""Tables of things: a row told again replaces, a row that is gone goes. All others are logs."""


@dataclass(kw_only=True, slots=True)
class Versions:
    """What a landing knows of changes: with `ordered`, the order of the lines decides which is the last, else the moments they tell."""

    ordered: bool = True
    gone: dict[str, str] = field(default_factory=dict)
    """Canonical table → temporary table of keys that are gone, with the place of that change."""
    removed: dict[str, int] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)
    """Landings of whose tables nothing is told: nothing of them need be looked at."""
    touched: list[str] = field(default_factory=list)
    """Queries of identifier keys whose rows were replaced or removed."""


def told(given: Input) -> tuple[tuple[str, Landing], ...]:
    """Each landing of a changed table, with the name of that table, in the order of `Input.landings`."""
    return tuple((name, landing) for name, table in given.tables.items() for landing in table.lands)


def find_gone(con: Connection, context: Context, raw: Raw, existing: Existing, versions: Versions, table_of: Callable[[str], Table]) -> None:
    """Fill `_told` with the place of each line, and note which keys are gone, while the raw lines are there."""
    order = "_file, _row" if versions.ordered else "TRY_CAST(_at AS TIMESTAMPTZ), _file, _row"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE _told AS SELECT _file, _row, _table AS mark, TRY_CAST(_at AS TIMESTAMPTZ) AS told_at, row_number() OVER (ORDER BY {order}) AS place FROM {quoted(raw.relation)}"
    )
    marks = {str(mark).lstrip(GONE + EMPTIED) for (mark,) in con.execute("SELECT DISTINCT mark FROM _told").fetchall()}
    for number, (name, landing) in enumerate(told(context.given)):
        table = table_of(landing.table)
        if name not in marks:
            versions.silent.add(number)
        if name not in marks or table.name not in VERSIONED:
            continue
        key = ", ".join(quoted(column) for column in table.key)
        parts = [_keys(con, context, landing, table, raw, f"_table = {literal(GONE + name)}", f"_line{number}")]
        if landing.keep or landing.leave_out:
            tests = " AND ".join([*(matches_sql(test) for test in landing.keep), *(f"NOT {matches_sql(test)}" for test in landing.leave_out)])
            parts.append(_keys(con, context, landing, table, raw, f"_table = {literal(name)} AND NOT ({tests})", f"_left{number}"))
        landed = existing(table.name)
        emptied = con.execute(f"SELECT max(place) FROM _told WHERE mark = {literal(EMPTIED + name)}").fetchone()[0]
        if emptied is not None:
            when = f"SELECT place, told_at FROM _told WHERE place = {emptied}"
            own = f"SELECT {key} FROM {landed} WHERE source = {literal(context.name)}" if landed else None
            before = _keys(con, context, landing, table, raw, f"_table = {literal(name)} AND EXISTS (SELECT 1 FROM _told p WHERE p._file = r._file AND p._row = r._row AND p.place < {emptied})", f"_before{number}")
            parts += [f"SELECT {key}, w.place, w.told_at FROM ({query}) k, ({when}) w" for query in (own, before) if query]
        relation = f"_gone_{table.name}"
        con.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(relation)} AS SELECT {key}, max(place) AS place, max(told_at) AS told_at FROM ({' UNION ALL '.join(parts)}) GROUP BY ALL")
        versions.gone[table.name] = relation


def _keys(con: Connection, context: Context, landing: Landing, table: Table, raw: Raw, test: str, name: str) -> str:
    """A query of the keys, places and moments of the raw lines that pass a test; the lines are put aside as `name`."""
    trimmed = "".join(f", {cells.trimmed(quoted(column))} AS {quoted(column)}" for column in raw.columns)
    con.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} AS SELECT * FROM (SELECT _file, _row{trimmed} FROM {quoted(raw.relation)}) r WHERE {test}")
    wanted = {column: given for column, given in landing.columns.items() if column in table.key or (column == "occurred_at" and "local_day" in table.key)}
    bare = Landing(table=landing.table, columns=wanted)
    bare = bare.model_copy(update={"columns": {column: ColumnSpec(value="") for column in required(table, bare)} | wanted})
    typed = typed_sql(context, bare, table, name, raw.columns)
    shown = ", ".join(f"{_key_sql(context, column, wanted)} AS {quoted(column)}" for column in table.key)
    return f"SELECT {shown}, p.place, p.told_at FROM ({typed}) t JOIN _told p USING (_file, _row)"


def _key_sql(context: Context, column: str, wanted: Container[str]) -> str:
    if column in wanted:
        return f"t.{quoted(column)}"
    if column == "local_day" and "occurred_at" in wanted:
        return f"CAST(timezone({literal(context.zone)}, t.occurred_at) AS DATE)"
    return "''" if column == "place" else "NULL"


def upsert(con: Connection, rows: Canonical, existing: Existing, versions: Versions, select: Callable[[], str]) -> tuple[Upsert, int, int]:
    """The change that makes a table of things as the lines say, how many of its rows replace older ones, and how many lines said nothing new.

    `rows.relation` keeps only rows that are new or differ; `select` is the query of them as they land.
    """
    table, name = rows.table, quoted(rows.relation)
    gone = quoted(versions.gone[table.name])
    key = ", ".join(quoted(column) for column in table.key)
    on = _same(table.key, "n", "o")
    con.execute(f"CREATE OR REPLACE TEMP TABLE _placed AS SELECT n.rowid AS id, {', '.join(f'n.{quoted(c)}' for c in table.key)}, p.place, p.told_at FROM {name} n JOIN _told p USING (_file, _row)")
    con.execute("DELETE FROM _placed WHERE id NOT IN (SELECT arg_max(id, place) FROM _placed GROUP BY " + key + ")")
    con.execute(f"DELETE FROM _placed n USING {gone} o WHERE {on} AND n.place < o.place")
    con.execute(f"DELETE FROM {gone} n USING _placed o WHERE {on}")
    con.execute(f"DELETE FROM {name} WHERE rowid NOT IN (SELECT id FROM _placed)")
    landed = existing(table.name)
    again = changed = 0
    if landed is None:
        con.execute(f"DELETE FROM {gone}")
    else:
        first = quoted(table.key[0])
        keys = f"SELECT {first} FROM _placed UNION SELECT {first} FROM {gone}"
        was = quoted(f"_was_{table.name}")
        con.execute(f"CREATE OR REPLACE TEMP TABLE {was} AS SELECT * FROM {landed} WHERE {first} IN ({keys})")
        landed = was  # what has landed under these keys: the whole table is looked at once
        if not versions.ordered and "received_at" in table.names:
            for relation in ("_placed", gone):
                again += con.execute(f"DELETE FROM {relation} n USING {landed} o WHERE {on} AND n.told_at < o.received_at").fetchone()[0] * (relation == "_placed")
            con.execute(f"DELETE FROM {name} WHERE rowid NOT IN (SELECT id FROM _placed)")
        told_columns = [c for c in table.names if c not in table.key and c not in ("batch_id", "received_at", "seq")]
        equal = " AND ".join(f"CAST(n.{quoted(c)} AS VARCHAR) IS NOT DISTINCT FROM CAST(o.{quoted(c)} AS VARCHAR)" for c in told_columns) or "true"
        again += con.execute(f"DELETE FROM {name} n USING {landed} o WHERE {on} AND {equal}").fetchone()[0]
        con.execute(f"DELETE FROM {gone} n WHERE NOT EXISTS (SELECT 1 FROM {landed} o WHERE {on})")
        changed = con.execute(f"SELECT count(*) FROM {name} n SEMI JOIN {landed} o ON {on}").fetchone()[0]
        if "identifier_key" in table.names:
            old = f"(SELECT {key} FROM {name} UNION ALL SELECT {key} FROM {gone}) n"
            both = f"SELECT o.identifier_key, o.other_keys FROM {landed} o SEMI JOIN {old} ON {on}"
            con.execute(f"CREATE OR REPLACE TEMP TABLE {quoted('_were_' + table.name)} AS {both}")
            versions.touched += [f"SELECT identifier_key FROM {quoted('_were_' + table.name)}", f"SELECT unnest(other_keys) FROM {quoted('_were_' + table.name)}"]
    removed = con.execute(f"SELECT count(*) FROM {gone}").fetchone()[0]
    if removed:
        versions.removed[table.name] = removed
    return _change(table, name, gone, landed, select()), changed, again


def _change(table: Table, name: str, gone: str, landed: str | None, source: str) -> Upsert:
    first = quoted(table.key[0])
    keys = f"SELECT DISTINCT {first} FROM (SELECT {first} FROM {name} UNION ALL SELECT {first} FROM {gone})"
    if len(table.key) > 1 and landed is not None:
        on = _same(table.key, "n", "o")
        columns = ", ".join(quoted(column) for column in table.names)
        rest = f"SELECT {columns} FROM {landed} o WHERE {first} IN ({keys})"
        source += f" UNION ALL {rest} AND NOT EXISTS (SELECT 1 FROM {name} n WHERE {on}) AND NOT EXISTS (SELECT 1 FROM {gone} n WHERE {on})"
    return Upsert(table=table.name, column=table.key[0], keys=keys, source=source)


def _same(key: Sequence[str], left: str, right: str) -> str:
    return " AND ".join(f"{left}.{quoted(column)} IS NOT DISTINCT FROM {right}.{quoted(column)}" for column in key)
