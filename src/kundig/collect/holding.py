"""Held records of a batch: written once, and of a replay marked as landed or held on in their place."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from kundig.collect.cells import DUCK_TYPES
from kundig.collect.deliveries import Delivery
from kundig.collect.identifiers import literal, quoted
from kundig.collect.sources.raw import Broken, Connection
from kundig.store.lake import Change, Upsert
from kundig.tables.collect import QUARANTINED_RECORDS

if TYPE_CHECKING:
    from kundig.collect.land import Batch


def held_changes(con: Connection, name: str, delivery: Delivery, batch: Batch, existing: Callable[[str], str | None], held: Sequence[str]) -> list[Change]:
    """Held records of this batch; of a replay, the ones that landed are marked so, and the others keep their id and place."""
    again = {held[broken.row - 1] for _, broken, _ in batch.broken} if held else set()
    rows = [
        {
            "record_id": held[broken.row - 1] if held else f"{batch.digest[:12]}:{delivery.number}:{landing}:{broken.file}:{broken.row}", "source": name, "received_at": batch.now, "identifier_key": broken.identifier_key,
            "stage": broken.stage, "what": broken.what, "where": f"{file}, row {broken.row}", "mend": broken.mend, "body": _as_json(broken.body), "status": "held",
            "batch_id": batch.id,
        }
        for landing, broken, file in (first_of_each(batch.broken) if held else batch.broken)
    ]  # fmt: skip
    types = {"identifier_key": pa.int64(), "received_at": pa.timestamp("us", tz="UTC")}
    schema = pa.schema([(column, types.get(column, pa.string())) for column in QUARANTINED_RECORDS.names])
    landed = existing("quarantined_records")
    if not rows and not held:
        return []
    con.register("_held_arrow", pa.Table.from_pylist(rows, schema=schema))
    columns = ", ".join(f"CAST({quoted(c.name)} AS {DUCK_TYPES[c.type]}) AS {quoted(c.name)}" for c in QUARANTINED_RECORDS.columns)
    con.execute(f"CREATE OR REPLACE TEMP TABLE _held AS SELECT {columns} FROM _held_arrow")
    con.unregister("_held_arrow")
    if landed:
        con.execute(f"DELETE FROM _held n USING {landed} o WHERE n.record_id = o.record_id AND (o.status <> 'held' OR o.what = n.what)")
        if held:
            con.execute(f'UPDATE _held n SET "where" = o."where", body = o.body, received_at = o.received_at, original = o.original FROM {landed} o WHERE n.record_id = o.record_id')
        landing = [record_id for record_id in held if record_id not in again]
        if landing:
            ids = ", ".join(map(literal, landing))
            con.execute(f"INSERT INTO _held BY NAME SELECT * REPLACE ('replayed' AS status, {literal(batch.id)} AS batch_id) FROM {landed} WHERE record_id IN ({ids})")
    if not con.execute("SELECT count(*) FROM _held").fetchone()[0]:
        return []
    return [Upsert(table="quarantined_records", column="record_id", keys="SELECT record_id FROM _held", source="SELECT * FROM _held")]


def first_of_each(broken: Sequence[tuple[str, Broken, str]]) -> list[tuple[str, Broken, str]]:
    """The first fault of each row: a record that is brought in again stays held once, whatever number of its landings it breaks."""
    return list({one.row: (landing, one, file) for landing, one, file in reversed(broken)}.values())


def _as_json(body: str) -> str:
    try:
        json.loads(body)
    except ValueError:
        return json.dumps(body, ensure_ascii=False)
    return body
