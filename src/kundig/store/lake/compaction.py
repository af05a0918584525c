"""Compaction: many small files, or many hidden rows, written anew as few sorted files; no reader sees a difference.

Tables of facts that are written once (`received_at`, no delete files) are joined per received day, up to a size, so that a row is written
once more and then never again, and a join takes little memory and time. All others become one file, sorted by subject.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kundig.errors import Conflict
from kundig.store.lake.catalogue import rows_in
from kundig.store.lake.commit import Swap
from kundig.store.lake.reading import FileRow, TableState, bound, newest, select, table_states

if TYPE_CHECKING:
    import sqlalchemy as sa

    from kundig.store.lake.lake import Lake

MOST_FILES = 10
HIDDEN_SHARE = 0.1
"""A tenth of the rows in added files, or hidden by delete files."""
SMALL_TABLE = 1_000_000
"""Up to so many rows a table of facts is joined whole."""
ROWS_AT_ONCE = 250_000
"""Rows of one file that a day's small files are joined to; a file of half as many is not small."""
RECEIVED = "received_at"


def compact(lake: Lake, names: Iterable[str] | None = None, *, force: bool = False, joins: int | None = None) -> dict[str, int]:
    """Join the files of tables that need it (of all tables by default; every table with more than one file, with `force`).

    With `joins` at most so many files are made; who asks again until nothing was written lets others write in between.

    Returns:
        Rows written, per table that was joined.
    """
    written: dict[str, int] = {}
    for name in sorted(lake.versions(lake.snapshot())) if names is None else names:
        if name not in lake.tables:
            continue
        with lake.catalogue.transaction() as connection:
            state = table_states(connection, lake.data, [lake.known(name)], newest(connection))[name]
            days = _days(connection, state)
        groups = _groups(state, days, force=force)[:joins]
        if not groups:
            continue
        changes = [Swap(table=name, file_ids=tuple(file.id for file in group), source=f"SELECT * FROM {select(state.fields, group)}") for group in groups]
        try:
            lake.commit(changes, message=f"compact {name}")
        except Conflict:  # somebody wrote meanwhile: the next compaction joins what there is then
            continue
        written[name] = sum(file.record_count - file.deleted for group in groups for file in group)
        if joins is not None and not (joins := joins - len(groups)):
            break
    return written


def _groups(state: TableState, days: dict[int, dt.date], *, force: bool) -> list[tuple[FileRow, ...]]:
    """Which files are to become one file each."""
    files = state.files
    held, hidden = sum(file.record_count for file in files), sum(file.deleted for file in files)
    if not files or (len(files) == 1 and not hidden):
        return []
    if force:
        return [files]
    by_day = RECEIVED in state.table.names and not hidden and held > SMALL_TABLE
    if not by_day:
        added = held - max(file.record_count for file in files)
        return [files] if len(files) > MOST_FILES or added + hidden > HIDDEN_SHARE * held else []
    last = max(days.values(), default=dt.date.min)
    groups: dict[dt.date, list[FileRow]] = {}
    for file in files:
        if file.id in days:
            groups.setdefault(days[file.id], []).append(file)
    small = {day: [file for file in group if file.record_count < ROWS_AT_ONCE // 2] for day, group in sorted(groups.items())}
    return [part for day, group in small.items() if len(group) > (1 if day < last else MOST_FILES) for part in _parts(group)]


def _parts(files: list[FileRow]) -> list[tuple[FileRow, ...]]:
    """Small files in their order, put together to files of `ROWS_AT_ONCE` rows at most; what is left alone is left."""
    parts: list[list[FileRow]] = [[]]
    for file in files:
        if sum(one.record_count for one in parts[-1]) + file.record_count > ROWS_AT_ONCE:
            parts.append([])
        parts[-1].append(file)
    return [tuple(part) for part in parts if len(part) > 1]


def _days(connection: sa.Connection, state: TableState) -> dict[int, dt.date]:
    """Data file id → the one UTC day its rows were received on; files of several days are left out."""
    field = next((field for field in state.fields if field.name == RECEIVED), None)
    if field is None:
        return {}
    sql = "SELECT data_file_id, min_value, max_value FROM ducklake_file_column_stats WHERE column_id=:c AND data_file_id IN :ids"
    found = {}
    for row in rows_in(connection, sql, [file.id for file in state.files], c=field.id):
        low, high = bound(field, row.min_value), bound(field, row.max_value)
        if low is not None and high is not None and low.date() == high.date():
            found[row.data_file_id] = low.date()
    return found
