"""Held records: listed, shown, mended and brought in again, through the same mapping as everything else."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from kundig.clock import now as present
from kundig.collect.deliveries import Delivery
from kundig.collect.identifiers import literal
from kundig.collect.inbox_landing import FROM_INBOX, receiving
from kundig.collect.land import Landed, land
from kundig.config.collect import Source
from kundig.config.load import Config
from kundig.errors import SourceError, nearest
from kundig.store import Lake, native
from kundig.store.lake import Upsert
from kundig.tables.collect import QUARANTINED_RECORDS


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """One held record: what is wrong with it, where it stood, the mend, and the record as it came."""

    record_id: str
    source: str
    received_at: dt.datetime
    stage: str
    what: str
    where: str
    mend: str
    status: str
    body: str

    @property
    def input(self) -> int:
        """Which input of the source it came through."""
        return int(self.record_id.split(":")[1])


_SHOWN = ("record_id", "source", "received_at", "stage", "what", "where", "mend", "status", "body")


def held(lake: Lake, *, source: str | None = None, status: str | None = "held") -> tuple[Held, ...]:
    """The records in quarantine, newest first.

    Args:
        lake: The lake.
        source: Of this source only.
        status: held, replayed or dropped; None for all.
    """
    tests = [f"{name} = {literal(value)}" for name, value in (("source", source), ("status", status)) if value is not None]
    where = f" WHERE {' AND '.join(tests)}" if tests else ""
    columns = ", ".join(f'CAST("{name}" AS VARCHAR)' if name == "body" else f'"{name}"' for name in _SHOWN)
    sql = f"SELECT {columns} FROM {lake.scan('quarantined_records')}{where} ORDER BY received_at DESC, record_id"
    return tuple(Held(**dict(zip(_SHOWN, row, strict=True))) for row in native(lake.duck).execute(sql).fetchall())


def show(lake: Lake, record_id: str) -> Held:
    """One record in quarantine.

    Raises:
        SourceError: There is none of that id.
    """
    found = [record for record in held(lake, status=None) if record.record_id == record_id]
    if not found:
        raise SourceError(f"no record '{record_id}' is in quarantine", mend=nearest(record_id, [record.record_id for record in held(lake)]))
    return found[0]


def fix(lake: Lake, record_id: str, body: str) -> Held:
    """Put a mended body in a held record's place; `replay` brings it in.

    Raises:
        SourceError: There is no such record, it is not held any more, or the body is no JSON.
    """
    record = show(lake, record_id)
    if record.status != "held":
        raise SourceError(f"the record '{record_id}' is {record.status}, not held", mend="kundig quarantine list shows what is held")
    try:
        json.loads(body)
    except ValueError as error:
        raise SourceError(f"the mended record is no JSON: {error}", at=record_id, mend="give the record as JSON, as kundig quarantine show prints it") from error
    _write(lake, [record_id], body=body)
    return show(lake, record_id)


def drop(lake: Lake, record_ids: Sequence[str]) -> int:
    """Give held records up; they stay listed as dropped until their retention ends. Returns how many."""
    known = {record.record_id for record in held(lake)}
    chosen = [record_id for record_id in record_ids if record_id in known]
    if chosen:
        _write(lake, chosen, status="dropped")
    return len(chosen)


def _write(lake: Lake, record_ids: Sequence[str], *, body: str | None = None, status: str | None = None) -> None:
    con = native(lake.duck)
    ids = ", ".join(map(literal, record_ids))
    rows = con.execute(f"SELECT * FROM {lake.scan('quarantined_records')} WHERE record_id IN ({ids})").to_arrow_table()
    for name, value in (("body", body), ("status", status)):
        if value is not None:
            rows = rows.set_column(rows.column_names.index(name), name, pa.array([value] * rows.num_rows, pa.string()))
    rows = rows.select([name for name in QUARANTINED_RECORDS.names if name in rows.column_names])
    lake.commit([Upsert(table="quarantined_records", column="record_id", keys=pa.array(list(record_ids), pa.string()), source=rows)], message="quarantine")


def replay(lake: Lake, config: Config, record_ids: Sequence[str] | None = None, *, source: str | None = None, now: dt.datetime | None = None, state: Any = None) -> Landed:
    """Bring held records in again: through the mapping as it stands now. What is still wrong stays held.

    A record that lands is marked replayed in the same commit; one that had landed meanwhile too.

    Args:
        lake: The lake.
        config: The workspace.
        record_ids: Which; all that are held else.
        source: Of this source only.
        now: The moment of the import.
        state: Where the consent log is kept.
    """
    wanted = [record for record in held(lake, source=source) if record_ids is None or record.record_id in set(record_ids)]
    groups: dict[tuple[str, int], list[Held]] = defaultdict(list)
    for name in {record.source for record in wanted if record.where.startswith(f"{FROM_INBOX}, ")}:
        config, _ = receiving(config, name)
    for record in wanted:
        if record.source in config.sources and record.input < len(config.sources[record.source].inputs):
            groups[record.source, record.input].append(record)
    landed = Landed(source=source or "quarantine")
    for (name, number), records in sorted(groups.items()):
        landed = landed.with_(_replay_group(lake, config, name, number, records, now or present(), state))
    return landed


def _replay_group(lake: Lake, config: Config, name: str, number: int, records: Sequence[Held], now: dt.datetime, state: Any) -> Landed:
    source: Source = config.sources[name]
    given = source.of(source.inputs[number])
    ordered = sorted(records, key=lambda record: record.record_id)
    lines = [json.dumps(json.loads(record.body), ensure_ascii=False) for record in ordered]
    digest = hashlib.sha256("\n".join([now.isoformat(), *(record.record_id for record in ordered), *lines]).encode()).hexdigest()
    with tempfile.TemporaryDirectory(prefix=".replay-", dir=lake.data) as folder:
        path = Path(folder) / "replayed"
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        kind = "segment_ndjson" if given.format == "segment_ndjson" else "ndjson"
        delivery = Delivery(number=number, given=given.model_copy(update={"format": kind, "encoding": "utf-8"}), paths=(path,), format=given.format)
        return land(lake, config, name, delivery, now=now, state=state, strict=False, digest=digest, held=[record.record_id for record in ordered])
