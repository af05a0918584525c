"""One transaction makes one snapshot of all the changes it is given, or none of them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kundig.errors import AlreadyLanded, Conflict
from kundig.schema import Table
from kundig.store.lake.catalogue import execute, execute_in, execute_many, insert, now, rows, rows_in
from kundig.store.lake.files import Crash, DataFile
from kundig.store.lake.shapes import Field, column_rows, declared_fields, fields_of

if TYPE_CHECKING:
    import sqlalchemy as sa

AUTHOR = "kundig"


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
    """Rows instead of those whose `column` is among `keys` (an Arrow or NumPy array, or a SQL query of one column)."""

    table: str
    column: str
    keys: Any
    source: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Swap:
    """The same rows in other files: `file_ids` end, the source's take their place; the table gets no new version by it."""

    table: str
    file_ids: tuple[int, ...]
    source: Any


Change = Append | Replace | Upsert | Swap


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

    change: Change
    table: Table
    fields: tuple[Field, ...]
    files: tuple[DataFile, ...]
    ended: tuple[int, ...] = ()
    deletes: Mapping[int, tuple[DataFile, int]] = field(default_factory=dict)
    """Data file id → its new delete file and how many rows that hides."""
    seen: Mapping[int, str | None] = field(default_factory=dict)
    """Data file id → name of its delete file, as they were when `ended` and `deletes` were found."""


@dataclass
class _Table:
    """A table in the course of one transaction."""

    id: int
    fields: tuple[Field, ...]
    next_row: int
    live: dict[int, str | None]
    records: dict[int, tuple[int, int]]
    """Data file id → its records and bytes, of the files that live."""
    changed: bool = False


class Transaction:
    """Enters prepared changes into the catalogue as one snapshot."""

    def __init__(self, connection: sa.Connection, crash: Crash) -> None:
        self.connection, self.crash = connection, crash
        last = rows(connection, "SELECT * FROM ducklake_snapshot ORDER BY snapshot_id DESC LIMIT 1")[0]
        self.snapshot = last.snapshot_id + 1
        self.version, self.catalog, self.file = last.schema_version, last.next_catalog_id, last.next_file_id
        self._tables: dict[str, _Table] = {}
        self._log: list[str] = []
        self._new: dict[str, list[dict[str, Any]]] = {name: [] for name in ("ducklake_data_file", "ducklake_file_column_stats", "ducklake_delete_file")}

    def claim(self, batch: str | None) -> None:
        """Take the batch's id.

        Raises:
            AlreadyLanded: It was taken before.
        """
        if batch is None:
            return
        if rows(self.connection, "SELECT 1 FROM kundig_batch WHERE batch_id=:b", b=batch):
            raise AlreadyLanded(f"the batch '{batch}' has landed before", mend="nothing to do")
        insert(self.connection, "kundig_batch", [{"batch_id": batch, "snapshot_id": self.snapshot}])

    def demand_unchanged(self, expected: Mapping[str, int]) -> None:
        """Every named table is as it was in its snapshot; what compaction does to its files is no change.

        Raises:
            Conflict: One is not; names all of them.
        """
        ids = {row.table_id: row.table_name for row in rows_in(self.connection, "SELECT table_id, table_name FROM ducklake_table WHERE end_snapshot IS NULL AND table_name IN :ids", expected)}
        newest = {row.table_id: row.s for row in rows_in(self.connection, "SELECT table_id, max(snapshot_id) AS s FROM kundig_version WHERE table_id IN :ids GROUP BY table_id", ids)}
        moved = {name for table_id, name in ids.items() if newest.get(table_id, 0) > expected[name]}
        if expected:
            foreign = rows(self.connection, f"SELECT snapshot_id, changes_made FROM ducklake_snapshot_changes WHERE snapshot_id>:s AND coalesce(author, '')<>'{AUTHOR}'", s=min(expected.values()))
            moved |= {name for row in foreign for table_id, name in ids.items() if row.snapshot_id > expected[name] and f"_table:{table_id}," in f"{row.changes_made},"}
        if moved:
            raise Conflict(f"changed while its new rows were computed: {', '.join(sorted(moved))}", at=f"after snapshot {min(expected.values())}", mend="compute again: kundig run")

    def demand_not_erased(self, erasures: Mapping[str, int]) -> None:
        """No row was erased from these tables since new ones were computed.

        Raises:
            Conflict: One was; the files may hold who was erased.
        """
        found = {row.table_name: row.times for row in rows_in(self.connection, "SELECT table_name, times FROM kundig_erasure WHERE table_name IN :ids", erasures)}
        hit = sorted(name for name, times in erasures.items() if found.get(name, 0) != times)
        if hit:
            raise Conflict(f"rows were erased while new ones were computed: {', '.join(hit)}", mend="compute again")

    def take_staged(self, staged_ids: list[str]) -> None:
        """Forget that files are staged: they are committed.

        Raises:
            Conflict: Some are not staged any more, because rows were erased from their table, or they were dropped.
        """
        if execute_in(self.connection, "DELETE FROM kundig_staged WHERE staged_id IN :ids", staged_ids) != len(staged_ids):
            raise Conflict("files staged before were dropped or committed since", mend="compute again")

    def enter(self, prepared: Prepared) -> None:
        """One change of one table.

        Raises:
            Conflict: The files it is to replace or hide rows of are not those it was prepared on.
        """
        self.crash("in transaction")
        table = self._table(prepared)
        ended = prepared.ended
        match prepared.change:
            case Replace():
                ended = tuple(table.live)
            case Upsert():
                self._demand_files(prepared, {k: v for k, v in table.live.items() if k < self._first_new})
            case Swap():
                self._demand_files(prepared, {k: table.live.get(k, "gone") for k in prepared.seen})
        self._end(table, ended)
        for data_file_id, (delete, count) in prepared.deletes.items():
            self._delete(table, data_file_id, delete, count)
        for file in prepared.files:
            self._add(table, file)
        if prepared.files:
            self._log.append(f"inserted_into_table:{table.id}")
        if ended or prepared.deletes:
            self._log.append(f"deleted_from_table:{table.id}")
        table.changed = table.changed or (not isinstance(prepared.change, Swap) and bool(prepared.files or ended or prepared.deletes or isinstance(prepared.change, Replace)))

    def finish(self, *, message: str | None, release: ReleaseMark | None) -> int:
        """Enter what was gathered, and the snapshot's own rows. Returns the snapshot."""
        for name, values in self._new.items():
            insert(self.connection, name, values)
        totals = [
            {"t": t.id, "r": sum(r for r, _ in t.records.values()), "b": sum(b for _, b in t.records.values()), "n": t.next_row} for t in self._tables.values()
        ]
        execute_many(self.connection, "UPDATE ducklake_table_stats SET record_count=:r, file_size_bytes=:b, next_row_id=:n WHERE table_id=:t", totals)
        insert(self.connection, "kundig_version", [{"table_id": t.id, "snapshot_id": self.snapshot} for t in self._tables.values() if t.changed])
        taken = {"snapshot_id": self.snapshot, "snapshot_time": now(), "schema_version": self.version, "next_catalog_id": self.catalog, "next_file_id": self.file}
        insert(self.connection, "ducklake_snapshot", [taken])
        changes = ",".join(dict.fromkeys(self._log))
        insert(self.connection, "ducklake_snapshot_changes", [{"snapshot_id": self.snapshot, "changes_made": changes, "author": AUTHOR, "commit_message": message}])
        if release is not None:
            made = {"release_id": self.snapshot, "snapshot_id": self.snapshot, "run_id": release.run_id, "moment": release.moment.isoformat(" ", "microseconds"), "made_at": now()}
            insert(self.connection, "kundig_release", [made])
        return int(self.snapshot)

    # parts

    def load(self, tables: Mapping[str, Table]) -> None:
        """Read what the catalogue knows of the tables that will be entered."""
        self._first_new = self.file
        found = {row.table_name: row.table_id for row in rows_in(self.connection, "SELECT table_id, table_name FROM ducklake_table WHERE end_snapshot IS NULL AND table_name IN :ids", tables)}
        ids = list(found.values())
        columns = rows_in(self.connection, "SELECT * FROM ducklake_column WHERE end_snapshot IS NULL AND table_id IN :ids ORDER BY column_order", ids)
        files = rows_in(self.connection, "SELECT data_file_id, table_id, record_count, file_size_bytes FROM ducklake_data_file WHERE end_snapshot IS NULL AND table_id IN :ids ORDER BY data_file_id", ids)
        deletes = {row.data_file_id: row.path for row in rows_in(self.connection, "SELECT data_file_id, path FROM ducklake_delete_file WHERE end_snapshot IS NULL AND table_id IN :ids", ids)}
        rows_next = {row.table_id: row.next_row_id for row in rows_in(self.connection, "SELECT table_id, next_row_id FROM ducklake_table_stats WHERE table_id IN :ids", ids)}
        of_columns, of_files = by_table(columns), by_table(files)
        for name, table_id in found.items():
            mine = of_files.get(table_id, [])
            self._tables[name] = _Table(
                id=table_id, fields=fields_of(of_columns.get(table_id, [])), next_row=rows_next[table_id],
                live={file.data_file_id: deletes.get(file.data_file_id) for file in mine}, records={file.data_file_id: (file.record_count, file.file_size_bytes) for file in mine},
            )  # fmt: skip

    def _table(self, prepared: Prepared) -> _Table:
        table = self._tables.get(prepared.table.name)
        if table is None:
            table = self._create(prepared.table)
        wanted = declared_fields(prepared.table, table.fields)
        if not set(prepared.fields) <= set(wanted):
            raise Conflict(f"the columns of '{prepared.table.name}' changed while its rows were written", mend="compute again")
        held = set(table.fields)
        fresh = tuple(field for field in wanted if field not in held)
        if fresh:
            insert(self.connection, "ducklake_column", column_rows(prepared.table, fresh, table.id, self.snapshot))
            if table.fields:
                self._new_version(table.id)
                self._log.append(f"altered_table:{table.id}")
            table.fields = (*table.fields, *fresh)
        return table

    def _create(self, declared: Table) -> _Table:
        name, table_id = declared.name, self.catalog
        self.catalog += 1
        row = {"table_id": table_id, "table_uuid": str(uuid.uuid4()), "begin_snapshot": self.snapshot, "schema_id": 0, "table_name": name, "path": f"{name}/", "path_is_relative": True}
        insert(self.connection, "ducklake_table", [row])
        insert(self.connection, "ducklake_table_stats", [{"table_id": table_id, "record_count": 0, "next_row_id": 0, "file_size_bytes": 0}])
        self._new_version(table_id)
        self._log.append(f'created_table:"main"."{name}"')
        self._tables[name] = _Table(id=table_id, fields=(), next_row=0, live={}, records={}, changed=True)
        return self._tables[name]

    def _new_version(self, table_id: int) -> None:
        self.version += 1
        insert(self.connection, "ducklake_schema_versions", [{"begin_snapshot": self.snapshot, "schema_version": self.version, "table_id": table_id}])

    def _demand_files(self, prepared: Prepared, live: Mapping[int, str | None]) -> None:
        if dict(prepared.seen) != dict(live):
            raise Conflict(f"the files of '{prepared.table.name}' were replaced by somebody else", mend="compute again")

    def _end(self, table: _Table, ids: tuple[int, ...]) -> None:
        for what in ("ducklake_data_file", "ducklake_delete_file"):
            execute_in(self.connection, f"UPDATE {what} SET end_snapshot={self.snapshot} WHERE table_id={table.id} AND end_snapshot IS NULL AND data_file_id IN :ids", ids)
        for data_file_id in ids:
            table.live.pop(data_file_id)
            table.records.pop(data_file_id)
        self._withdraw({data_file_id for data_file_id in ids if data_file_id >= self._first_new})

    def _withdraw(self, ids: set[int]) -> None:
        """Rows of files that this very transaction added and replaced again never reach the catalogue."""
        if ids:
            for name, values in self._new.items():
                self._new[name] = [value for value in values if value["data_file_id"] not in ids]

    def _delete(self, table: _Table, data_file_id: int, file: DataFile, count: int) -> None:
        if table.live.get(data_file_id) is not None:
            execute(self.connection, "UPDATE ducklake_delete_file SET end_snapshot=:n WHERE end_snapshot IS NULL AND data_file_id=:d", n=self.snapshot, d=data_file_id)
        self._new["ducklake_delete_file"].append(
            {
                "delete_file_id": self.file, "table_id": table.id, "begin_snapshot": self.snapshot, "data_file_id": data_file_id, "path": file.path,
                "path_is_relative": True, "format": "parquet", "delete_count": count, "file_size_bytes": file.file_size_bytes, "footer_size": file.footer_size,
            }
        )  # fmt: skip
        table.live[data_file_id] = file.path
        self.file += 1

    def _add(self, table: _Table, file: DataFile) -> None:
        self._new["ducklake_data_file"].append(
            {
                "data_file_id": self.file, "table_id": table.id, "begin_snapshot": self.snapshot, "path": file.path, "path_is_relative": True, "file_format": "parquet",
                "record_count": file.record_count, "file_size_bytes": file.file_size_bytes, "footer_size": file.footer_size, "row_id_start": table.next_row,
            }
        )  # fmt: skip
        self._new["ducklake_file_column_stats"] += stats_rows(self.file, table.id, file)
        table.next_row += file.record_count
        table.live[self.file] = None
        table.records[self.file] = (file.record_count, file.file_size_bytes)
        self.file += 1


def by_table(found: list[Any]) -> dict[int, list[Any]]:
    """Rows of the catalogue, grouped by their table."""
    groups: dict[int, list[Any]] = {}
    for row in found:
        groups.setdefault(int(row.table_id), []).append(row)
    return groups


def stats_rows(data_file_id: int, table_id: int, file: DataFile) -> list[dict[str, Any]]:
    """The statistics of one file as rows of the catalogue."""
    return [{"data_file_id": data_file_id, "table_id": table_id} | dict(one) for one in file.stats]


def erasures(connection: sa.Connection, tables: Mapping[str, Any]) -> dict[str, int]:
    """How often rows were erased from each table."""
    found = {row.table_name: int(row.times) for row in rows_in(connection, "SELECT table_name, times FROM kundig_erasure WHERE table_name IN :ids", tables)}
    return {name: found.get(name, 0) for name in tables}


def recount(connection: sa.Connection, table_id: int) -> None:
    """Bring a table's totals in line with its live files."""
    live = "FROM ducklake_data_file WHERE table_id=:t AND end_snapshot IS NULL"
    sql = f"""
        UPDATE ducklake_table_stats SET record_count = (SELECT coalesce(sum(record_count), 0) {live}),
          file_size_bytes = (SELECT coalesce(sum(file_size_bytes), 0) {live}) WHERE table_id=:t"""
    execute(connection, sql, t=table_id)
