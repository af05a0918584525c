"""What of a table differs from the last release: nothing, the rows of some keys, or anything."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kundig.schema import Step, Table
from kundig.store.engines.session import Session, ibis_type

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

PERSON = "person_key"
IDENTIFIER = "identifier_key"


@dataclass(frozen=True, kw_only=True)
class Change:
    """How a table differs from the last release.

    `whole`: anything may differ. Else `keys` (int64, distinct) are the values of `column` whose rows may differ; none: nothing does.
    """

    whole: bool = False
    column: str = ""
    keys: pa.Array | None = None

    @property
    def nothing(self) -> bool:
        """Nothing differs."""
        return not self.whole and (self.keys is None or len(self.keys) == 0)


NOTHING = Change()
WHOLE = Change(whole=True)


def key_column(table: Table) -> str | None:
    """The int64 column by which a table's rows can be told apart by whom they concern; None: it has none."""
    for name in (PERSON, IDENTIFIER):
        if name in table.names:
            return name
    return None


def distinct_keys(session: Session, rows: ir.Table, column: str) -> pa.Array:
    """The distinct values of an int64 column that are not null."""
    import pyarrow as pa

    found = session.arrow(rows.filter(rows[column].notnull()).select(column).distinct())
    return pa.array(found.column(column).combine_chunks(), type=pa.int64()) if found.num_rows else pa.array([], type=pa.int64())


def became_visible(rows: ir.Table, table: Table, *, after: dt.datetime, until: dt.datetime) -> ir.Table:
    """Rows whose later clock lies in (after, until]: in the lake before, and yet unknown to a run at `after`."""
    import ibis

    clocks = [rows[name] for name in ("received_at", "occurred_at") if name in table.names]
    later = ibis.greatest(*clocks) if len(clocks) > 1 else clocks[0]
    kind = ibis_type("timestamp")
    return rows.filter((later > ibis.literal(after, type=kind)) & (later <= ibis.literal(until, type=kind)))


def union(arrays: list[pa.Array]) -> pa.Array:
    """The distinct values of several int64 arrays."""
    import pyarrow as pa

    chunks = [array for array in arrays if array is not None and len(array)]
    if not chunks:
        return pa.array([], type=pa.int64())
    return pa.concat_arrays(chunks).unique()


def differing(session: Session, new: ir.Table, old: ir.Table, column: str, *, ignore: tuple[str, ...] = ("changed_run",)) -> pa.Array:
    """Keys of the rows that stand in one of two states of a table and not in the other."""
    names = [name for name in new.columns if name not in ignore]
    one, other = _comparable(new.select(*names)), _comparable(old.select(*names))
    appeared, vanished = one.difference(other, distinct=True), other.difference(one, distinct=True)
    return union([distinct_keys(session, side, column) for side in (appeared, vanished)])


def _comparable(rows: ir.Table) -> ir.Table:
    floats = {name: rows[name].round(9) for name, kind in rows.schema().items() if kind.is_floating()}
    return rows.mutate(**floats) if floats else rows


def reads_time(step: Step) -> bool:
    """A step whose answer depends on the as-of moment."""
    return "as_of" in step.parameters


def narrowed(rows: ir.Table, table: Table, column: str, keys: ir.Table, identifiers: ir.Table | None) -> Any:
    """Only the rows of a table that concern the keys; tables that concern nobody stay whole.

    `keys` has one column named `column`; `identifiers`, of the persons among them, one column named `identifier_key`.
    """
    if column in table.names:
        return rows.semi_join(keys, column)
    if column == PERSON and IDENTIFIER in table.names and identifiers is not None:
        return rows.semi_join(identifiers, IDENTIFIER)
    return rows
