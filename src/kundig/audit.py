"""The audit log: who did what, when; append-only, each row hashed with the one before, and never a personal value in it."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from kundig.clock import micros, now
from kundig.errors import ContractError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from kundig.store.state import State

START = "0" * 64
"""What stands for the hash before the first row."""

_EMAIL = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+\.[^\s@<>\"'.]{2,}")
_PHONE = re.compile(r"(?<![\w.+\-])(?:\+\d|0[1-9])[\d ()/.\-]{5,18}\d(?![\w])")
_HASHED = ("at", "actor", "role", "action", "object_kind", "object_id", "details", "previous_hash")


def append(
    state: State, *, actor: str, role: str, action: str, object_kind: str, object_id: str = "", details: Mapping[str, Any] | None = None,
    at: dt.datetime | None = None, connection: sa.Connection | None = None,
) -> str:  # fmt: skip
    """Write one row, and give its hash; with `connection`, as part of that transaction.

    Raises:
        ContractError: A value looks like an e-mail address or a phone number.
    """
    row: dict[str, Any] = {
        "at": at or now(), "actor": actor, "role": role, "action": action, "object_kind": object_kind, "object_id": object_id,
        "details": json.dumps(details or {}, ensure_ascii=False, sort_keys=True, default=str),
    }  # fmt: skip
    for place, text in _texts({"actor": actor, "role": role, "action": action, "object_kind": object_kind, "object_id": object_id, "details": details or {}}):
        if looks_personal(text):
            raise ContractError("a value looks like an e-mail address or a phone number", at=f"audit_log, {place}", mend="name the person by person_id, the account by user_id")
    if connection is None:
        with state.transaction() as own:
            return _append(state, own, row)
    return _append(state, connection, row)


def _append(state: State, connection: sa.Connection, row: dict[str, Any]) -> str:
    import sqlalchemy as sa

    log = state.sql("audit_log")
    row["previous_hash"] = connection.execute(sa.select(log.c.row_hash).order_by(log.c.seq.desc()).limit(1)).scalar() or START
    row["row_hash"] = _hash(row)
    connection.execute(sa.insert(log), [row])
    return str(row["row_hash"])


def _hash(row: Mapping[str, Any]) -> str:
    content = [micros(row[name]) if name == "at" else row[name] for name in _HASHED]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()


def verify(state: State, *, head: str | None = None) -> list[str]:
    """What is wrong with the log, one sentence each; empty: nothing.

    A chain alone cannot show that its newest rows were cut off; `head`, a hash noted elsewhere (a backup, a certificate), can.
    """
    faults: list[str] = []
    previous, hashes = START, set()
    for row in state.select("audit_log", order_by=state.sql("audit_log").c.seq):
        if row["previous_hash"] != previous:
            faults.append(f"audit_log row {row['seq']}: a row before it is missing or was changed")
        if row["row_hash"] != _hash(row):
            faults.append(f"audit_log row {row['seq']}: it was changed after it was written")
        previous = row["row_hash"]
        hashes.add(previous)
    if head is not None and head not in hashes:
        faults.append("audit_log: its newest rows are missing")
    return faults


def looks_personal(text: str) -> bool:
    """Whether a text holds something like an e-mail address or a phone number.

    Examples:
        >>> [looks_personal(text) for text in ("a@example.org", "call +49 171 1234567", "0171/1234567", "2026-11-25 12:00", "0.123456789", "3f0a11234567")]
        [True, True, True, False, False, False]
    """
    if _EMAIL.search(text):
        return True
    return any(8 <= sum(char.isdigit() for char in found.group()) <= 15 for found in _PHONE.finditer(text))


def _texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield place or "details", str(name)
            yield from _texts(inner, f"{place}.{name}" if place else str(name))
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from _texts(inner, place)
    elif isinstance(value, str):
        yield place, value
