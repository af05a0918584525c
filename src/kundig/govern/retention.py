"""Retention: how old a row is, and which rows are older than their table says they are kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from kundig.schema import Table

RECORDED = (
    "occurred_at", "started_at", "local_day", "first_at", "queued_at", "requested_at", "at", "decided_at", "failed_at", "first_try_at", "sent_at", "synced_at", "seen_at", "created_at", "received_at", "as_of", "since",
    "assigned_at", "first_seen_at",
)  # fmt: skip
"""Columns that say how old a row is, the best first."""

APART = frozenset({"consent_log", "consent_keys", "consent_records", "audit_log"})
"""Tables that age deletes nothing from: an objection of years ago still forbids, and a chain of hashes cannot lose its beginning."""


def aged_by(table: Table) -> str | None:
    """The column that says how old a row is; None where there is none.

    Examples:
        >>> from kundig.tables import ALL
        >>> aged_by(ALL["events"]), aged_by(ALL["person_days"]), aged_by(ALL["profiles"]), aged_by(ALL["measure_days"])
        ('occurred_at', 'local_day', 'first_seen_at', 'local_day')
    """
    return next((name for name in RECORDED if name in table.names and table.column(name).type in ("timestamp", "date")), None)


def limited(tables: Iterable[Table]) -> list[Table]:
    """Tables whose rows go when they are too old."""
    return [table for table in tables if table.retention_days is not None and table.name not in APART and aged_by(table) is not None]


def cutoff(table: Table, at: dt.datetime) -> dt.datetime:
    """The moment before which rows of a table are too old."""
    return at - dt.timedelta(days=table.retention_days or 0)
