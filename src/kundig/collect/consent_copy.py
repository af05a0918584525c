"""The copy of the consent log in the lake: what was written into the log by anybody since the last landing, for steps and as-of questions."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pyarrow as pa
import sqlalchemy as sa

from kundig.collect.cells import DUCK_TYPES
from kundig.collect.identifiers import literal, quoted
from kundig.collect.land import Landed
from kundig.errors import AlreadyLanded
from kundig.store import Lake, native
from kundig.store.engines.session import arrow_schema
from kundig.store.lake import Append, Change
from kundig.tables.collect import CONSENT_RECORDS

if TYPE_CHECKING:
    from kundig.store.state import State

STEM = "consent_log:"
"""How batches of copied records are called: the stem, then the first and the last `seq` of the log in them."""

SOURCE = "consent_log"

AT_ONCE = 50_000


def copy_consents(lake: Lake, state: State, *, now: dt.datetime) -> Landed:
    """Copy the log's new records into `consent_records`, once each; those that came by a file are there already.

    Args:
        lake: The lake; the caller holds the writer's lease.
        state: Where the log is kept.
        now: The moment of landing.
    """
    landed = Landed(source=SOURCE)
    last = _copied(lake)
    while True:
        log = state.sql("consent_log")
        with state.reading() as connection:
            found = [dict(row) for row in connection.execute(sa.select(log).where(log.c.seq > last).order_by(log.c.seq).limit(AT_ONCE)).mappings()]
        if not found:
            return landed
        batch = f"{STEM}{found[0]['seq']}-{found[-1]['seq']}"
        last = found[-1]["seq"]
        count = _copy(lake, found, batch, now)
        if count:
            landed = landed.with_(Landed(source=SOURCE, rows={"consent_records": count}, batches=(batch,)))


def _copied(lake: Lake) -> int:
    """The last `seq` of the log that an earlier copy took."""
    return max((int(batch.rpartition("-")[2]) for batch in lake.batches(STEM)), default=0)


def _copy(lake: Lake, rows: list[dict[str, object]], batch: str, now: dt.datetime) -> int:
    """Append the records that are new to the lake, and touch whom they name; gives how many. That they were looked at is noted in any case."""
    con = native(lake.duck)
    schema = arrow_schema(CONSENT_RECORDS)
    con.register("_log", pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema))
    try:
        landed = lake.scan("consent_records")
        con.execute(f"CREATE OR REPLACE TEMP TABLE _copied AS SELECT * FROM _log WHERE record_id NOT IN (SELECT record_id FROM {landed})")
        count = int(con.execute("SELECT count(*) FROM _copied").fetchone()[0])
        first = con.execute(f"SELECT coalesce(max(seq), 0) FROM {landed}").fetchone()[0]
        made = {"seq": f"{first} + row_number() OVER (ORDER BY seq)", "other_keys": "coalesce(other_keys, [])"}
        columns = ", ".join(f"CAST({made.get(column.name, quoted(column.name))} AS {DUCK_TYPES[column.type]}) AS {quoted(column.name)}" for column in CONSENT_RECORDS.columns)
        moment = f"TIMESTAMPTZ '{now.astimezone(dt.UTC).isoformat(sep=' ')}'"
        keys = "SELECT identifier_key FROM _copied UNION SELECT unnest(other_keys) FROM _copied"
        changes: list[Change] = [
            Append(table="consent_records", source=f"SELECT {columns} FROM _copied"),
            Append(table="touched", source=f"SELECT {literal(batch)} AS batch_id, identifier_key, {moment} AS received_at FROM ({keys}) WHERE identifier_key IS NOT NULL"),
        ]
        try:
            lake.commit(changes if count else [], batch=batch, message="copy of the consent log")
        except AlreadyLanded:
            return 0
        return count
    finally:
        con.unregister("_log")
        con.execute("DROP TABLE IF EXISTS _copied")


__all__ = ["copy_consents"]
