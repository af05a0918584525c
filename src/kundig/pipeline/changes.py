"""What of a table differs from the last release: nothing, the rows of some keys, or anything."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kundig.schema import Step, Table
from kundig.store.engines.session import Session, ibis_type, known_by

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

PERSON = "person_key"
IDENTIFIER = "identifier_key"


@dataclass(frozen=True, kw_only=True)
class Change:
    """How a table differs from the last release.

    `whole`: anything may differ. Else `keys` (int64, distinct) are the values of `column` whose rows may differ; none: nothing does.
    `grown` are those of them whose rows were only added to: what a fold may start from.
    """

    whole: bool = False
    column: str = ""
    keys: pa.Array | None = None
    grown: pa.Array | None = None

    @property
    def nothing(self) -> bool:
        """Nothing differs."""
        return not self.whole and (self.keys is None or len(self.keys) == 0)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The keys a step has work for: `keys` from all their facts, `grown` from what was added to them."""

    keys: pa.Array
    grown: pa.Array

    def __len__(self) -> int:
        return len(self.keys) + len(self.grown)


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

    clocks = [rows[name] for name in clocks_of(table)]
    later = ibis.greatest(*clocks) if len(clocks) > 1 else clocks[0]
    kind = ibis_type("timestamp")
    return rows.filter((later > ibis.literal(after, type=kind)) & (later <= ibis.literal(until, type=kind)))


def clocks_of(table: Table) -> tuple[str, ...]:
    """The clocks by which a row of a landed table is known at a moment; none: it is read as it is."""
    if "occurred_at" not in table.names and ("received_at" not in table.names or "local_day" not in table.names):
        return ()
    return tuple(name for name in known_by(table) if name in table.names)


def union(arrays: list[pa.Array]) -> pa.Array:
    """The distinct values of several int64 arrays."""
    import pyarrow as pa

    chunks = [array for array in arrays if array is not None and len(array)]
    if not chunks:
        return pa.array([], type=pa.int64())
    return chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks).unique()


def without(keys: pa.Array, others: pa.Array) -> pa.Array:
    """The keys that are not among the others."""
    import pyarrow.compute as pc

    return keys.filter(pc.invert(pc.is_in(keys, value_set=others))) if len(others) else keys


OLD = "old_"
"""How the columns of the earlier state are prefixed in a difference."""


def difference(new: ir.Table, old: ir.Table, table: Table) -> ir.Table:
    """Rows that differ between two states of a table: the new row, and beside it the old one under `old_…`; nulls where there is none.

    Both states are read once. Floats that differ after the ninth digit alone, and the run that wrote a row, are no difference.
    """
    import ibis

    names = [name for name in table.names if name != "changed_run"]
    here = new.mutate(is_new=ibis.literal(True))
    there = old.select(**{f"{OLD}{name}": old[name] for name in names}, is_old=ibis.literal(True))
    joined = here.outer_join(there, [here[name].identical_to(there[f"{OLD}{name}"]) for name in table.key])
    differs = joined.is_new.isnull() | joined.is_old.isnull()
    for name in names:
        if name not in table.key:
            one, other = joined[name], joined[f"{OLD}{name}"]
            if one.type().is_floating():
                one, other = one.round(9), other.round(9)
            differs = differs | ~one.identical_to(other)
    return joined.filter(differs)


def reads_time(step: Step) -> bool:
    """A step whose answer depends on the as-of moment."""
    return "as_of" in step.parameters
