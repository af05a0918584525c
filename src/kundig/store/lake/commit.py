"""One transaction makes one snapshot of all the changes it is given, or none of them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kundig.errors import AlreadyLanded, Conflict
from kundig.schema import Table
from kundig.store.lake.catalogue import execute_in, insert, now, rows, rows_in
from kundig.store.lake.files import DataFile, StagedFiles
from kundig.store.lake.shapes import Field, column_rows, declared_fields, fields_of

if TYPE_CHECKING:
    import sqlalchemy as sa

Source = "str | pa.Table | StagedFiles"


@dataclass(frozen=True, kw_only=True, slots=True)
class Append:
    """Rows beside those that are there. `source`: SQL text, Arrow rows, or files staged before."""

    table: str
    source: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Replace:
    """Rows instead of all those that are there."""

    table: str
    source: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Upsert:
    """Rows instead of those whose `column` is among `keys` (an Arrow array, or a SQL query of one column)."""

    table: str
    column: str
    keys: Any
    source: Any


Change = Append | Replace | Upsert


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseMark:
    """Makes the snapshot of a commit a release: what pages, exports and people read."""

    run_id: int
    moment: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """One consistent set of table versions."""

    id: int
    snapshot_id: int
    run_id: int
    moment: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A change whose files are written: what the transaction has to enter."""

    table: Table
    fields: tuple[Field, ...]
    files: tuple[DataFile, ...]
    ended: tuple[int, ...] = ()
    replaces: bool = False
    deletes: Mapping[int, tuple[DataFile, int]] = field(default_factory=dict)
    """Data file id → its new delete file and how many rows that hides."""


class Transaction:
    """Enters prepared changes into the catalogue as one snapshot."""

    def __init__(self, connection: sa.Connection, crash: Any) -> None:
        self.connection, self.crash = connection, crash
        last = rows(connection, "SELECT * FROM ducklake_snapshot ORDER BY snapshot_id DESC LIMIT 1")[0]
        self.snapshot = last.snapshot_id + 1
        self.version, self.catalog, self.file = last.schema_version, last.next_catalog_id, last.next_file_id
        self.log: list[str] = []

    def claim(self, batch: str | None) -> None:
        """Take the batch's id; a second taking raises AlreadyLanded."""
        if batch is None:
            return
        if rows(self.connection, "SELECT 1 FROM kundig_batch WHERE batch_id=:b", b=batch):
            raise AlreadyLanded(f"the batch '{batch}' has landed before", mend="nothing to do")
        insert(self.connection, "kundig_batch", [{"batch_id": batch, "snapshot_id": self.snapshot}])

    def enter(self, change: Prepared, expected: int) -> None:
        """One table's change. `expected`: the snapshot its files were computed on."""
        self.crash("in transaction")
        table_id = self._table(change)
        if change.replaces or change.ended or change.deletes:
            self._demand_unchanged(change, table_id, expected)
        if change.ended:
            self._end(table_id, change.ended)
        for data_file_id, (delete, count) in change.deletes.items():
            self._delete(table_id, data_file_id, delete, count)
        for file in change.files:
            self._add(table_id, file)
        if change.files:
            self.log.append(f"inserted_into_table:{table_id}")
        if change.ended or change.deletes:
            self.log.append(f"deleted_from_table:{table_id}")
        recount(self.connection, table_id)

    def finish(self, *, message: str | None, release: ReleaseMark | None) -> int:
        """The snapshot's own rows."""
        taken = {"snapshot_id": self.snapshot, "snapshot_time": now(), "schema_version": self.version, "next_catalog_id": self.catalog, "next_file_id": self.file}
        insert(self.connection, "ducklake_snapshot", [taken])
        changes = ",".join(dict.fromkeys(self.log))
        insert(self.connection, "ducklake_snapshot_changes", [{"snapshot_id": self.snapshot, "changes_made": changes, "author": "kundig", "commit_message": message}])
        if release is not None:
            made = {"release_id": self.snapshot, "snapshot_id": self.snapshot, "run_id": release.run_id, "moment": release.moment.isoformat(" ", "microseconds"), "made_at": now()}
            insert(self.connection, "kundig_release", [made])
        return int(self.snapshot)

    def _table(self, change: Prepared) -> int:
        name = change.table.name
        found = rows(self.connection, "SELECT table_id FROM ducklake_table WHERE table_name=:n AND end_snapshot IS NULL", n=name)
        if not found:
            return self._create(change)
        table_id = int(found[0].table_id)
        known = live_fields(self.connection, table_id)
        wanted = declared_fields(change.table, known)
        fresh = wanted[len(known) :]
        if fresh:
            if any(f not in change.fields for f in fresh):
                raise Conflict(f"the columns of '{name}' changed while its rows were written", mend="compute again")
            insert(self.connection, "ducklake_column", column_rows(change.table, fresh, table_id, self.snapshot))
            self._new_version(table_id)
            self.log.append(f"altered_table:{table_id}")
        return table_id

    def _create(self, change: Prepared) -> int:
        name, table_id = change.table.name, self.catalog
        self.catalog += 1
        row = {"table_id": table_id, "table_uuid": str(uuid.uuid4()), "begin_snapshot": self.snapshot, "schema_id": 0, "table_name": name, "path": f"{name}/", "path_is_relative": True}
        insert(self.connection, "ducklake_table", [row])
        insert(self.connection, "ducklake_column", column_rows(change.table, change.fields, table_id, self.snapshot))
        insert(self.connection, "ducklake_table_stats", [{"table_id": table_id, "record_count": 0, "next_row_id": 0, "file_size_bytes": 0}])
        self._new_version(table_id)
        self.log.append(f'created_table:"main"."{name}"')
        return int(table_id)

    def _new_version(self, table_id: int) -> None:
        self.version += 1
        insert(self.connection, "ducklake_schema_versions", [{"begin_snapshot": self.snapshot, "schema_version": self.version, "table_id": table_id}])

    def _demand_unchanged(self, change: Prepared, table_id: int, expected: int) -> None:
        sql = """
            SELECT (SELECT count(*) FROM ducklake_data_file WHERE table_id=:t AND (begin_snapshot>:s OR end_snapshot>:s))
                 + (SELECT count(*) FROM ducklake_delete_file WHERE table_id=:t AND (begin_snapshot>:s OR end_snapshot>:s)) AS moved"""
        if rows(self.connection, sql, t=table_id, s=expected)[0].moved:
            raise Conflict(f"'{change.table.name}' changed while its new rows were computed", at=f"after snapshot {expected}", mend="compute again: kundig run")

    def _end(self, table_id: int, ids: Sequence[int]) -> None:
        for what in ("ducklake_data_file", "ducklake_delete_file"):
            sql = f"UPDATE {what} SET end_snapshot={self.snapshot} WHERE table_id={table_id} AND end_snapshot IS NULL AND data_file_id IN :ids"
            ended = execute_in(self.connection, sql, ids)
            if what == "ducklake_data_file" and ended != len(ids):
                raise Conflict(f"{len(ids) - ended} files of the table were replaced by somebody else", mend="compute again")

    def _delete(self, table_id: int, data_file_id: int, file: DataFile, count: int) -> None:
        execute_in(self.connection, f"UPDATE ducklake_delete_file SET end_snapshot={self.snapshot} WHERE end_snapshot IS NULL AND data_file_id IN :ids", [data_file_id])
        row = {
            "delete_file_id": self.file, "table_id": table_id, "begin_snapshot": self.snapshot, "data_file_id": data_file_id, "path": file.path, "path_is_relative": True,
            "format": "parquet", "delete_count": count, "file_size_bytes": file.file_size_bytes, "footer_size": file.footer_size,
        }  # fmt: skip
        insert(self.connection, "ducklake_delete_file", [row])
        self.file += 1

    def _add(self, table_id: int, file: DataFile) -> None:
        start = rows(self.connection, "SELECT next_row_id FROM ducklake_table_stats WHERE table_id=:t", t=table_id)[0].next_row_id
        row = {
            "data_file_id": self.file, "table_id": table_id, "begin_snapshot": self.snapshot, "path": file.path, "path_is_relative": True, "file_format": "parquet",
            "record_count": file.record_count, "file_size_bytes": file.file_size_bytes, "footer_size": file.footer_size, "row_id_start": start,
        }  # fmt: skip
        insert(self.connection, "ducklake_data_file", [row])
        add_stats(self.connection, self.file, table_id, file)
        execute_in(self.connection, f"UPDATE ducklake_table_stats SET next_row_id=next_row_id+{file.record_count} WHERE table_id IN :ids", [table_id])
        self.file += 1


def add_stats(connection: sa.Connection, data_file_id: int, table_id: int, file: DataFile) -> None:
    """Enter the statistics of one file."""
    insert(connection, "ducklake_file_column_stats", [{"data_file_id": data_file_id, "table_id": table_id} | dict(one) for one in file.stats])


def live_fields(connection: sa.Connection, table_id: int, at: int | None = None) -> tuple[Field, ...]:
    """The fields of a table now, or in a snapshot."""
    when = "end_snapshot IS NULL" if at is None else "begin_snapshot<=:s AND (end_snapshot IS NULL OR end_snapshot>:s)"
    found = rows(connection, f"SELECT * FROM ducklake_column WHERE table_id=:t AND {when} ORDER BY column_order", t=table_id, **({} if at is None else {"s": at}))
    return fields_of(found)


def recount(connection: sa.Connection, table_id: int) -> None:
    """Bring a table's totals in line with its live files."""
    sql = """
        UPDATE ducklake_table_stats SET
          record_count = (SELECT coalesce(sum(record_count), 0) FROM ducklake_data_file WHERE table_id IN :ids AND end_snapshot IS NULL),
          file_size_bytes = (SELECT coalesce(sum(file_size_bytes), 0) FROM ducklake_data_file WHERE table_id IN :ids AND end_snapshot IS NULL)
        WHERE table_id IN :ids"""
    execute_in(connection, sql, [table_id])


__all__ = ["Append", "Change", "Prepared", "Release", "ReleaseMark", "Replace", "StagedFiles", "Transaction", "Upsert", "add_stats", "live_fields", "recount", "rows_in"]
