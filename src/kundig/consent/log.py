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

if TYPE_CHECKING:
    import pyarrow as pa

    from kundig.store.state import State

NEEDED = ("record_id", "purpose", "channel", "status", "occurred_at", "received_at", "identifier_key")
"""What a record cannot lack: nobody could reconstruct it later."""


def append(state: State, records: pa.Table | Iterable[Mapping[str, Any]], *, connection: sa.Connection | None = None) -> int:
    """Append records to the log, once each: a record_id that is there changes nothing. Returns how many were new.

    Records have the columns of table `consent_log` but `seq`; with `connection`, they become part of that transaction.

    Raises:
        ContractError: A record lacks what nobody could later reconstruct.
    """
    rows = [dict(row) for row in (records if not hasattr(records, "to_pylist") else records.to_pylist())]
    for number, row in enumerate(rows):
        row.pop("seq", None)
        absent = [name for name in NEEDED if row.get(name) in (None, "")]
        if absent:
            raise ContractError(f"consent record {number} lacks {', '.join(absent)}", at="consent_log", mend="a consent names who, what for, where, when; hold the record in quarantine")
        if row["occurred_at"].tzinfo is None or row["received_at"].tzinfo is None:
            raise ContractError(f"consent record {number} has a moment without zone", at="consent_log", mend="give both clocks in UTC")
    if not rows:
        return 0
    if connection is None:
        with state.transaction() as own:
            return append(state, rows, connection=own)
    log, keys = state.sql("consent_log"), state.sql("consent_keys")
    unique = {row["record_id"]: row for row in reversed(rows)}
    there: set[str] = set()
    ids = sorted(unique)
    for start in range(0, len(ids), 500):
        there |= set(connection.execute(sa.select(log.c.record_id).where(log.c.record_id.in_(ids[start : start + 500]))).scalars())
    new = [row for row in unique.values() if row["record_id"] not in there]
    if not new:
        return 0
    held = [{c.name: row.get(c.name) for c in log.columns if c.name != "seq"} for row in reversed(new)]
    numbered = sa.insert(log).returning(log.c.seq, sort_by_parameter_order=True)
    numbers = list(connection.execute(numbered, held).scalars())
    named = {(key, seq) for row, seq in zip(held, numbers, strict=True) for key in (row["identifier_key"], *(row["other_keys"] or ())) if key is not None}
    connection.execute(sa.insert(keys), [{"identifier_key": key, "seq": seq} for key, seq in sorted(named)])
    return len(held)


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
