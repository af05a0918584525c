"""Refusing: rows of suppressed people do not land, whatever brings them: an import, a call, a backup played again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from kundig.collect.identifiers import quoted
from kundig.collect.rows import Canonical
from kundig.collect.sources.raw import Connection
from kundig.config.load import Config
from kundig.consent import suppression

if TYPE_CHECKING:
    from kundig.collect.land import Batch


def refuse_suppressed(con: Connection, config: Config, state: Any, batch: Batch, *, keep_held: bool) -> None:
    """Leave out rows of suppressed people, and hold none of their broken records; those of a replay stand where they are held."""
    rows = [one for relations in batch.rows.values() for one in relations]
    keys = suppressed_keys(con, config, state, rows)
    refused, beside = refuse(con, rows, keys)
    batch.suppressed += refused
    if beside and not keep_held:
        kept = [one for one in batch.broken if one[1].identifier_key not in beside]
        batch.suppressed += len(batch.broken) - len(kept)
        batch.broken = kept


def suppressed_keys(con: Connection, config: Config, state: Any, rows: Sequence[Canonical]) -> frozenset[int]:
    """Keys of the suppressed identifiers that the rows name; nothing is hashed while the list is empty.

    Args:
        con: The connection that holds the rows.
        config: The workspace, which has the secret key.
        state: Where the list of suppressed people is kept; None: there is none.
        rows: What is to land.

    Raises:
        ConfigError: The list is not empty, and its secret key is not set.
    """
    def named() -> Iterator[tuple[int, str, str]]:
        for one in rows:
            for number, namespace in enumerate(one.namespaces):
                values = con.execute(f"SELECT DISTINCT _k{number}, _n{number} FROM {quoted(one.callers or one.relation)} WHERE _k{number} IS NOT NULL").fetchall()
                yield from ((key, namespace, value) for key, value in values)

    return frozenset(suppression.refused(config, state, named()))


def refuse(con: Connection, rows: Sequence[Canonical], keys: Collection[int]) -> tuple[int, frozenset[int]]:
    """Delete the rows that carry one of these identifiers, as the strongest or beside it.

    Returns:
        How many records these were, and the strongest identifiers that stand beside a suppressed one: a broken record is known by its strongest alone.
    """
    if not keys:
        return 0, frozenset()
    con.register("_suppressed_arrow", pa.table({"key": pa.array(sorted(keys), pa.int64())}))
    con.execute("CREATE OR REPLACE TEMP TABLE _suppressed AS SELECT key FROM _suppressed_arrow")
    con.unregister("_suppressed_arrow")
    named = "identifier_key IN (SELECT key FROM _suppressed) OR list_has_any(other_keys, (SELECT list(key) FROM _suppressed))"
    refused, beside = 0, set(keys)
    for one in rows:
        where = named if "identifier_key" in one.table.names else ""
        if one.callers:
            beside |= {key for (key,) in con.execute(f"SELECT DISTINCT identifier_key FROM {quoted(one.callers)} WHERE {named}").fetchall() if key is not None}
            where = f"_caller IN (SELECT _caller FROM {quoted(one.callers)} WHERE {named})"
        if where:
            gone = con.execute(f"DELETE FROM {quoted(one.stored or one.relation)} WHERE {where}").fetchone()[0]
            refused += 0 if one.derived else int(gone)
    return refused, frozenset(beside)
