"""Expiring: rows that are older than their table says are deleted, from every kept release, and each deletion is noted in the audit log."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kundig import audit
from kundig.clock import now
from kundig.errors import PrivacyError, nearest
from kundig.govern.retention import aged_by, cutoff, limited
from kundig.privacy.requests import OPEN
from kundig.store.lake import Erasure

if TYPE_CHECKING:
    from kundig.schema import Table
    from kundig.workspace import Workspace

ACTION = "expire"
"""How deletions for age stand in the audit log."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Expired:
    """What became of one table: rows that were too old, of which the oldest, and how many still are."""

    table: str
    days: int
    by: str
    before: dt.datetime
    """Rows from before this moment are too old."""
    rows: int
    left: int
    """Rows that are too old after the deletion; as many as `rows` where nothing was deleted."""


def expired(workspace: Workspace, *, at: dt.datetime | None = None, only: str = "") -> tuple[Expired, ...]:
    """The rows of each table that are older than declared, at a moment; nothing is deleted.

    Raises:
        PrivacyError: No table of the name has days of retention.
    """
    moment = at or now()
    return tuple(_counted(workspace, table, moment) for table in _chosen(workspace, only))


def expire(workspace: Workspace, *, at: dt.datetime | None = None, only: str = "", actor: str = "cli") -> tuple[Expired, ...]:
    """Delete the rows of each table that are older than declared; gives what was there and what is left.

    Where facts went the next run computes in full. Consents and the audit log are kept: an objection of years ago still forbids.
    Requests that are open are kept, and keys that no run has taken up yet.

    Raises:
        PrivacyError: No table of the name has days of retention.
        Busy: Another process is writing.
    """
    moment, found = at or now(), []
    with workspace.writing(ACTION):
        for table in _chosen(workspace, only):
            before = _counted(workspace, table, moment)
            if before.rows:
                (_lake if table.home == "lake" else _state)(workspace, table, before.before)
                after = _counted(workspace, table, moment)
                details = {"table": table.name, "by": before.by, "days": before.days, "before": f"{before.before:%Y-%m-%d}", "rows": before.rows, "left": after.rows}
                audit.append(workspace.state, actor=actor, role="owner", action=ACTION, object_kind="table", object_id=table.name, details=details)
                before = Expired(table=before.table, days=before.days, by=before.by, before=before.before, rows=before.rows, left=after.rows)
            found.append(before)
        workspace.state.scrub()
    return tuple(found)


def _chosen(workspace: Workspace, only: str) -> list[Table]:
    found = {table.name: table for table in limited(workspace.tables.values())}
    if only and only not in found:
        raise PrivacyError(f"no rows of '{only}' go for their age", mend=nearest(only, found))
    return [found[only]] if only else list(found.values())


def _counted(workspace: Workspace, table: Table, moment: dt.datetime) -> Expired:
    by = aged_by(table)
    assert by is not None
    before = _before(workspace, table, moment)
    if table.home == "lake":
        _, files = workspace.lake.files(table.name)
        rows = int(workspace.lake.duck.execute(f"SELECT count(*) FROM {workspace.lake.scan(table.name)} WHERE {_old(workspace, table, before)}").fetchone()[0]) if files else 0
    else:
        rows = len(workspace.state.select(table.name, *_too_old(workspace, table, before)))
    return Expired(table=table.name, days=table.retention_days or 0, by=by, before=before, rows=rows, left=rows)


def _before(workspace: Workspace, table: Table, moment: dt.datetime) -> dt.datetime:
    """The moment before which rows are too old; keys that were touched stay until a release has taken them up."""
    found = cutoff(table, moment)
    if table.name != "touched":
        return found
    release = workspace.lake.release()
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) if release is None else min(found, release.moment)


def _old(workspace: Workspace, table: Table, before: dt.datetime) -> str:
    by = aged_by(table)
    assert by is not None
    if table.column(by).type == "date":
        from zoneinfo import ZoneInfo

        return f"\"{by}\" < DATE '{before.astimezone(ZoneInfo(workspace.config.settings.workspace.zone)).date().isoformat()}'"
    return f"\"{by}\" < TIMESTAMPTZ '{before.astimezone(dt.UTC).isoformat(sep=' ')}'"


def _too_old(workspace: Workspace, table: Table, before: dt.datetime) -> list[Any]:
    columns = workspace.state.sql(table.name).c
    by = aged_by(table)
    assert by is not None
    tests = [columns[by] < (before.date() if table.column(by).type == "date" else before)]
    return [*tests, columns.status.not_in(OPEN)] if table.name == "privacy_requests" else tests


def _state(workspace: Workspace, table: Table, before: dt.datetime) -> None:
    with workspace.state.transaction() as connection:
        connection.execute(workspace.state.sql(table.name).delete().where(*_too_old(workspace, table, before)))


def _lake(workspace: Workspace, table: Table, before: dt.datetime) -> None:
    """Rewrite the files that hold old rows; what was computed from facts that go is computed in full by the next run."""
    lake, by = workspace.lake, aged_by(table)
    assert by is not None
    if table.room == "collect" and table.name not in ("touched", "quarantined_records"):
        workspace.full_run_due.touch()
    lake.erase({table.name: Erasure(column=by, keys=f"SELECT DISTINCT \"{by}\" FROM {lake.scan(table.name)} WHERE {_old(workspace, table, before)}")})
