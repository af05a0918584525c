"""The consent log: append-only, each record once; and the answer to "was this allowed at 10:04 that day, and why?" from it alone."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from kundig.config.law import Purposes
from kundig.consent.folding import ConsentRecord, Standing, fold, standing
from kundig.errors import ContractError
from kundig.store.engines.session import arrow_schema
from kundig.tables.govern import CONSENT_LOG

if TYPE_CHECKING:
    import pyarrow as pa

    from kundig.store.state import State

NEEDED = ("record_id", "purpose", "channel", "status", "occurred_at", "received_at", "identifier_key")
"""What a record cannot lack: nobody could reconstruct it later."""


def append(state: State, records: pa.Table | Iterable[Mapping[str, Any]], *, connection: sa.Connection | None = None) -> int:
    """Append records to the log, once each: a record_id that is there changes nothing. Returns how many were new.

    Records have the columns of table `consent_log` but `seq`; with `connection`, they become part of that transaction (`State.transaction`,
    which lets one writer in at a time: the order of arrival is counted on from the last).

    Raises:
        ContractError: A record lacks what nobody could later reconstruct.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = records if isinstance(records, pa.Table) else _table(records)
    _check(rows)
    if not rows.num_rows:
        return 0
    if connection is None:
        with state.transaction() as own:
            return append(state, rows, connection=own)
    log = state.sql("consent_log")
    last: int = connection.execute(sa.select(sa.func.max(log.c.seq))).scalar() or 0
    new = rows
    if last or pc.count_distinct(rows["record_id"]).as_py() < rows.num_rows:
        first: dict[str, int] = {}
        for position, record in enumerate(rows["record_id"].to_pylist()):
            first.setdefault(record, position)
        ids = sorted(first) if last else []
        for start in range(0, len(ids), 5_000):
            for known in connection.execute(sa.select(log.c.record_id).where(log.c.record_id.in_(ids[start : start + 5_000]))).scalars():
                del first[known]
        new = rows.take(pa.array(sorted(first.values()), pa.int64()))
    numbers = pa.array(range(last + 1, last + 1 + new.num_rows), pa.int64())
    held = {column.name: new[column.name] for column in log.columns if column.name in new.column_names and column.name != "seq"}
    state.load("consent_log", pa.table(held | {"seq": numbers}), connection=connection)
    state.load("consent_keys", _named(new, numbers), connection=connection)
    return int(new.num_rows)


def _named(rows: pa.Table, numbers: pa.Array) -> pa.Table:
    """Each identifier that a record names beside the record's number, once, in order."""
    import pyarrow as pa
    import pyarrow.compute as pc

    keys, owners = [rows["identifier_key"].combine_chunks()], [numbers]
    if "other_keys" in rows.column_names:
        others = rows["other_keys"].combine_chunks()
        keys.append(pc.list_flatten(others).cast(pa.int64()))
        owners.append(numbers.take(pc.list_parent_indices(others)))
    named = pa.table({"identifier_key": pa.concat_arrays(keys), "seq": pa.concat_arrays(owners)}).drop_null()
    return named.group_by(["identifier_key", "seq"]).aggregate([]).sort_by([("identifier_key", "ascending"), ("seq", "ascending")])


def _table(records: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Records as Arrow rows, in the columns of the log."""
    import pyarrow as pa

    rows = [dict(record) for record in records]
    for number, row in enumerate(rows):
        for name in ("occurred_at", "received_at"):
            if isinstance(row.get(name), dt.datetime) and row[name].tzinfo is None:
                raise ContractError(f"consent record {number} has a moment without zone", at="consent_log", mend="give both clocks in UTC")
    return pa.Table.from_pylist(rows, schema=pa.schema([field for field in arrow_schema(CONSENT_LOG) if field.name != "seq"]))


def _check(rows: pa.Table) -> None:
    """Raise ContractError for the first record that lacks something."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name in NEEDED:
        values = rows[name] if name in rows.column_names else pa.nulls(rows.num_rows)
        gone = pc.fill_null(pc.equal(values, ""), True) if pa.types.is_string(values.type) else pc.is_null(values)
        if pc.any(gone).as_py():
            number = pc.index(gone, True).as_py()
            absent = [needed for needed in NEEDED if needed not in rows.column_names or rows[needed][number].as_py() in (None, "")]
            raise ContractError(f"consent record {number} lacks {', '.join(absent)}", at="consent_log", mend="a consent names who, what for, where, when; hold the record in quarantine")
        if pa.types.is_timestamp(values.type) and values.type.tz is None:
            raise ContractError(f"column '{name}' has moments without zone", at="consent_log", mend="give both clocks in UTC")


def records_of(state: State, identifier_keys: Iterable[int], *, connection: sa.Connection | None = None, after: int = 0) -> dict[int, list[ConsentRecord]]:
    """The log's records that name any of the identifiers, by identifier key, each record once per key that it names.

    `after` leaves out records whose `seq` is not above it.
    """
    if connection is None:
        with state.reading() as own:
            return records_of(state, identifier_keys, connection=own, after=after)
    log, keys = state.sql("consent_log"), state.sql("consent_keys")
    found: dict[int, list[ConsentRecord]] = {}
    wanted = sorted(set(identifier_keys))
    for start in range(0, len(wanted), 500):
        chosen = sa.select(keys.c.identifier_key.label("named"), log).join(log, log.c.seq == keys.c.seq)
        chosen = chosen.where(keys.c.identifier_key.in_(wanted[start : start + 500]), keys.c.seq > after).order_by(log.c.seq)
        for row in connection.execute(chosen).mappings():
            found.setdefault(row["named"], []).append(_from_row(dict(row), part=row["identifier_key"]))
    return found


def _from_row(row: Mapping[str, Any], *, part: int) -> ConsentRecord:
    return ConsentRecord(
        record_id=row["record_id"], purpose=row["purpose"], channel=row["channel"], status=row["status"], occurred_at=row["occurred_at"], received_at=row["received_at"],
        basis=row["basis"], until=row["until"], wording=row["wording"], part=part,
    )  # fmt: skip


def forget(state: State, identifier_keys: Iterable[int], *, connection: sa.Connection | None = None) -> int:
    """Take a person out of the log, and give the number of records changed; call `state.scrub()` after it.

    Append-only means: never changed but by erasure. Moment, kind, basis and wording hash stay as proof, under a one-off key that
    leads nowhere; identifiers, record id and evidence go. Of a record that names others as well, only the person's keys go.
    """
    if connection is None:
        with state.transaction() as own:
            return forget(state, identifier_keys, connection=own)
    log, keys = state.sql("consent_log"), state.sql("consent_keys")
    gone = sorted(set(identifier_keys))
    one_off = secrets.randbits(60)
    changed: set[int] = set()
    for start in range(0, len(gone), 500):
        part = gone[start : start + 500]
        named = sa.select(keys.c.seq).where(keys.c.identifier_key.in_(part))
        for row in connection.execute(sa.select(log.c.seq, log.c.identifier_key, log.c.other_keys).where(log.c.seq.in_(named))).all():
            others = [key for key in row.other_keys or () if key not in gone]
            kept: dict[str, Any] = {"other_keys": others}
            if row.identifier_key in gone:
                kept |= {"identifier_key": one_off, "record_id": f"erased-{secrets.token_hex(12)}", "evidence": None}
            connection.execute(sa.update(log).where(log.c.seq == row.seq).values(kept))
            changed.add(row.seq)
        connection.execute(sa.delete(keys).where(keys.c.identifier_key.in_(part)))
    return len(changed)


def status(
    state: State, identifier_keys: Iterable[int], *, purposes: Purposes, purpose: str, channel: str, at: dt.datetime, known_at: dt.datetime | None = None,
    joined: Mapping[int, dt.datetime] | None = None,
) -> Standing:  # fmt: skip
    """Whether the person with these identifiers might be addressed at a moment, and why, from the log alone.

    Without `known_at`, as it was known at that moment; with it, as it is known since.
    """
    records = [record for found in records_of(state, identifier_keys).values() for record in found]
    return standing(fold(records, purposes=purposes, at=at, known_at=known_at, joined=joined, only=[(purpose, channel)]), purpose=purpose, channel=channel, at=at)
