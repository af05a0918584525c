"""Held records: counted, shown, mended, dropped, and brought in again through today's mapping and plan.

A mend keeps the record as it came. Mends and drops stand in the audit log, written before the record changes: whatever dies in between,
nothing is changed untold, and the same call finishes it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from kundig import audit
from kundig.clock import now as present
from kundig.collect.amending import Amendment, amended
from kundig.collect.deliveries import Delivery
from kundig.collect.identifiers import literal
from kundig.collect.inbox_landing import FROM_INBOX, receiving
from kundig.collect.land import Landed, land
from kundig.collect.plain_json import decoded
from kundig.collect.webhooks.landing import with_webhooks
from kundig.config.collect import Source
from kundig.config.load import Config
from kundig.errors import Fault, SourceError, nearest
from kundig.store import Lake, native
from kundig.store.lake import Upsert
from kundig.tables.collect import QUARANTINED_RECORDS

if TYPE_CHECKING:
    from kundig.store.state import State

STATUSES = ("held", "replayed", "dropped")
_FAULTS_TOLD = 5
_STAGED = ".replay-"
"""How folders begin that hold the lines of a replay while it lands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """One held record: what is wrong with it, where it stood, the mend, and the record; `original` where it was mended, as it came."""

    record_id: str
    source: str
    received_at: dt.datetime
    stage: str
    what: str
    where: str
    mend: str
    status: str
    body: str
    original: str | None = None
    note: str | None = None

    @property
    def input(self) -> int:
        """Which input of the source it came through."""
        return int(self.record_id.split(":")[1])


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Records that are held for one reason: how many, since when, and one of them."""

    source: str
    stage: str
    reason: str
    records: int
    first_at: dt.datetime
    last_at: dt.datetime
    mend: str
    example: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Replayed:
    """What a replay did: rows that landed per table, records brought in, records still held, and records no input of today's files can read (per source)."""

    rows: Mapping[str, int] = field(default_factory=dict)
    replayed: int = 0
    quarantined: int = 0
    unread: Mapping[str, int] = field(default_factory=dict)


_COLUMNS = ("record_id", "source", "received_at", "stage", "what", "where", "mend", "status", "body", "original", "note")
_JSON = {"body", "original"}
_VALUE = re.compile(r"(\b(?:is|order|currency) )'.*?'(?= |$|,)|(holds calls: ).*|()\b\d[\d,.]*(?= bytes, and)")
_MORE = re.compile(r" \(and \d+ more\)")


def reason_of(what: str) -> str:
    """What is wrong, without the value of the one record: how records are counted.

    Examples:
        >>> reason_of("'occurred_at' is '31.02.2026', which is no moment as the mapping says (and 1 more)")
        "'occurred_at' is …, which is no moment as the mapping says"
        >>> reason_of("its order 'shop:9' has not landed"), reason_of("column 'total' is missing")
        ('its order … has not landed', "column 'total' is missing")
    """
    return _MORE.sub("", _VALUE.sub(lambda found: next(part for part in found.groups() if part is not None) + "…", what))


def held(lake: Lake, *, source: str | None = None, status: str | None = "held", ids: Iterable[str] | None = None, reason: str = "") -> tuple[Held, ...]:
    """The records in quarantine, newest first.

    Args:
        lake: The lake.
        source: Of this source only.
        status: held, replayed or dropped; None for all.
        ids: These only.
        reason: Those whose reason (as `groups` tells it) is this, or says this.
    """
    tests = [f"{name} = {literal(value)}" for name, value in (("source", source), ("status", status)) if value is not None]
    if ids is not None:
        tests.append(f"record_id IN ({', '.join(map(literal, ids)) or 'NULL'})")
    where = f" WHERE {' AND '.join(tests)}" if tests else ""
    columns = ", ".join(f'CAST("{name}" AS VARCHAR)' if name in _JSON else f'"{name}"' for name in _COLUMNS)
    sql = f"SELECT {columns} FROM {lake.scan('quarantined_records')}{where} ORDER BY received_at DESC, record_id"
    found = (Held(**dict(zip(_COLUMNS, row, strict=True))) for row in native(lake.duck).execute(sql).fetchall())
    return tuple(record for record in found if not reason or _says(record.what, reason))


def _says(what: str, reason: str) -> bool:
    return reason.casefold() in what.casefold() or reason.casefold() in reason_of(what).casefold()


def groups(lake: Lake, *, source: str | None = None, status: str | None = "held", reason: str = "") -> tuple[Group, ...]:
    """Records by source and reason, the most first."""
    tests = [f"{name} = {literal(value)}" for name, value in (("source", source), ("status", status)) if value is not None]
    where = f" WHERE {' AND '.join(tests)}" if tests else ""
    sql = (
        "SELECT source, stage, what, count(*), min(received_at), max(received_at), arg_max(mend, received_at), min(record_id) "
        f"FROM {lake.scan('quarantined_records')}{where} GROUP BY ALL ORDER BY ALL"
    )
    found: dict[tuple[str, str, str], Group] = {}
    for origin, stage, what, records, first, last, mend, example in native(lake.duck).execute(sql).fetchall():
        if reason and not _says(what, reason):
            continue
        key = (origin, stage, reason_of(what))
        before = found.get(key)
        found[key] = Group(
            source=origin, stage=stage, reason=key[2], records=records + (before.records if before else 0), first_at=min(first, before.first_at) if before else first,
            last_at=max(last, before.last_at) if before else last, mend=before.mend if before else mend, example=before.example if before else example,
        )  # fmt: skip
    return tuple(sorted(found.values(), key=lambda group: (-group.records, group.source, group.reason)))


def show(lake: Lake, record_id: str) -> Held:
    """One record in quarantine.

    Raises:
        SourceError: There is none of that id.
    """
    found = held(lake, status=None, ids=[record_id])
    if not found:
        raise SourceError(f"no record '{record_id}' is in quarantine", mend=nearest(record_id, [record.record_id for record in held(lake)]))
    return found[0]


def fix(lake: Lake, record_id: str, change: str | Sequence[Amendment], *, state: State | None = None, actor: str = "cli") -> Held:
    """A held record with a whole new body (JSON), or with some fields changed; `replay` brings it in.

    Args:
        lake: The lake.
        record_id: Which.
        change: The new body, or amendments.
        state: Where the audit log is kept.
        actor: Who mends.

    Raises:
        SourceError: There is no such record, it is not held any more, the body is no JSON, or a field cannot be changed.
    """
    record = show(lake, record_id)
    if record.status != "held":
        raise SourceError(f"the record '{record_id}' is {record.status}, not held", mend="kundig quarantine list shows what is held")
    if not isinstance(change, str):
        return _fixed(lake, [record], change, state, actor)[0]
    try:
        json.loads(change)
    except ValueError as error:
        raise SourceError(f"the mended record is no JSON: {error}", at=record_id, mend="give the record as JSON, as kundig quarantine show prints it") from error
    _audited(state, actor, "fix", [record], {"fields": "all"})
    _write(lake, {record_id: {"body": change, "original": record.original or record.body}})
    return show(lake, record_id)


def fix_all(lake: Lake, reason: str, amendments: Sequence[Amendment], *, source: str | None = None, state: State | None = None, actor: str = "cli") -> tuple[Held, ...]:
    """The held records of one reason with the same fields changed: all of them, or none.

    Raises:
        SourceError: No record is held for that reason, or a field of one cannot be changed.
    """
    return _fixed(lake, _of_reason(lake, reason, source), amendments, state, actor)


def _of_reason(lake: Lake, reason: str, source: str | None) -> tuple[Held, ...]:
    found = held(lake, source=source, reason=reason)
    if not found:
        raise SourceError(f"nothing is held because of '{reason}'", mend=nearest(reason, [group.reason for group in groups(lake, source=source)]))
    return found


def _fixed(lake: Lake, records: Sequence[Held], amendments: Sequence[Amendment], state: State | None, actor: str) -> tuple[Held, ...]:
    changes: dict[str, dict[str, str]] = {}
    faults: list[Fault] = []
    for record in records:
        try:
            changes[record.record_id] = {"body": amended(record.body, amendments), "original": record.original or record.body}
        except SourceError as error:
            faults += [Fault(what=fault.what, at=f"{record.record_id}, {fault.at}".strip(" ,"), mend=fault.mend) for fault in error.faults]
    if faults:
        raise SourceError(faults=faults[:_FAULTS_TOLD])
    _audited(state, actor, "fix", records, {"fields": [one.field for one in amendments]})
    _write(lake, changes)
    return held(lake, status=None, ids=changes)


def drop(lake: Lake, record_ids: Sequence[str] | None, *, note: str, reason: str = "", source: str | None = None, state: State | None = None, actor: str = "cli") -> int:
    """Give held records up; they stay listed as dropped, with the note, until their retention ends. Returns how many.

    Args:
        lake: The lake.
        record_ids: Which; None: those of `reason`.
        note: Why, in a few words without personal data; it stands in the audit log too.
        reason: The reason of those that are dropped, where no ids are given.
        source: Of this source only.
        state: Where the audit log is kept.
        actor: Who drops.

    Raises:
        SourceError: There is no note, no such record, or nothing is held for that reason.
    """
    if not note.strip():
        raise SourceError("a record is not dropped without a word why", mend='say it: --because "sent twice by the till"')
    chosen = held(lake, source=source, ids=record_ids) if record_ids is not None else _of_reason(lake, reason, source)
    missing = set(record_ids or ()) - {record.record_id for record in chosen}
    if missing:
        raise SourceError(f"no record '{min(missing)}' is held", mend=nearest(min(missing), [record.record_id for record in held(lake, source=source)]))
    _audited(state, actor, "drop", chosen, {"because": note})
    _write(lake, {record.record_id: {"status": "dropped", "note": note} for record in chosen})
    return len(chosen)


def _audited(state: State | None, actor: str, action: str, records: Sequence[Held], details: Mapping[str, Any]) -> None:
    """One row of the audit log a source; ids and names of fields, never a value."""
    if state is None:
        return
    with state.transaction() as connection:
        for source, count in sorted(Counter(record.source for record in records).items()):
            ids = sorted(record.record_id for record in records if record.source == source)
            told = {**details, "source": source, "records": count, **({"ids": ids[:20]} if count > 1 else {})}
            audit.append(state, actor=actor, role="owner", action=action, object_kind="quarantined_record", object_id=ids[0] if count == 1 else "", details=told, connection=connection)


def _write(lake: Lake, changes: Mapping[str, Mapping[str, str]]) -> None:
    """Put values into columns of records, in one commit."""
    expect = lake.snapshot()
    ids = ", ".join(map(literal, changes))
    rows = native(lake.duck).execute(f"SELECT * FROM {lake.scan('quarantined_records', expect)} WHERE record_id IN ({ids})").to_arrow_table()
    order = rows["record_id"].to_pylist()
    for name in sorted({name for change in changes.values() for name in change}):
        before = rows[name].cast(pa.string()).to_pylist()
        values = [changes[record_id].get(name, value) for record_id, value in zip(order, before, strict=True)]
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(values, pa.string()))
    rows = rows.select([name for name in QUARANTINED_RECORDS.names if name in rows.column_names])
    lake.commit([Upsert(table="quarantined_records", column="record_id", keys=pa.array(order, pa.string()), source=rows)], message="quarantine", expect=expect)


def replay(
    lake: Lake, config: Config, record_ids: Sequence[str] | None = None, *, source: str | None = None, reason: str = "", now: dt.datetime | None = None, state: Any = None
) -> Replayed:
    """Bring held records in again: judged by the mapping and the plan of today. What is still wrong stays held, with today's reason.

    A record that lands is marked replayed in the same commit; one that had landed meanwhile too. So a replay that was killed is
    simply done again.

    Args:
        lake: The lake.
        config: The workspace.
        record_ids: Which; all that are held else.
        source: Of this source only.
        reason: Of this reason only.
        now: The moment of the import.
        state: Where the consent log is kept.
    """
    wanted = held(lake, source=source, ids=record_ids, reason=reason)
    groups: dict[tuple[str, int], list[Held]] = defaultdict(list)
    unread: Counter[str] = Counter()
    config, _ = with_webhooks(config)
    for name in {record.source for record in wanted if record.where.startswith(f"{FROM_INBOX}, ")}:
        config, _ = receiving(config, name)
    for record in wanted:
        if record.source in config.sources and record.input < len(config.sources[record.source].inputs):
            groups[record.source, record.input].append(record)
        else:
            unread[record.source] += 1
    clear(lake)
    landed = Landed(source=source or "quarantine")
    for (name, number), records in sorted(groups.items()):
        landed = landed.with_(_replay_group(lake, config, name, number, records, now or present(), state))
    tried = sum(map(len, groups.values()))
    return Replayed(rows=landed.rows, replayed=tried - landed.quarantined, quarantined=landed.quarantined, unread=dict(unread))


def left_over(lake: Lake) -> tuple[Path, ...]:
    """Folders in which lines of held records lie, of replays that were killed or are under way."""
    return tuple(sorted(lake.data.glob(f"{_STAGED}*")))


def clear(lake: Lake) -> int:
    """Remove what replays that were killed left on the disk; gives how many folders. The caller holds the writer's lease: no replay is under way."""
    found = left_over(lake)
    for folder in found:
        shutil.rmtree(folder, ignore_errors=True)
    return len(found)


def _replay_group(lake: Lake, config: Config, name: str, number: int, records: Sequence[Held], now: dt.datetime, state: Any) -> Landed:
    source: Source = config.sources[name]
    given = source.of(source.inputs[number])
    ordered = sorted(records, key=lambda record: record.record_id)
    lines = [json.dumps(decoded(record.body), ensure_ascii=False) for record in ordered]
    digest = hashlib.sha256("\n".join([now.isoformat(), *(record.record_id for record in ordered), *lines]).encode()).hexdigest()
    with tempfile.TemporaryDirectory(prefix=_STAGED, dir=lake.data) as folder:
        path = Path(folder) / "replayed"
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        kind = given.format if given.format in ("segment_ndjson", "debezium") else "ndjson"
        delivery = Delivery(number=number, given=given.model_copy(update={"format": kind, "encoding": "utf-8"}), paths=(path,), format=given.format)
        return land(lake, config, name, delivery, now=now, state=state, strict=False, digest=digest, held=[record.record_id for record in ordered])
