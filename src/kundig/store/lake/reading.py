"""Which files make up a table in a snapshot, with the delete file that hides some of their rows, and the SQL that reads them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kundig.errors import ContractError, ForeignFormat, StoreError, nearest
from kundig.schema import Table
from kundig.store.lake.catalogue import rows, rows_in
from kundig.store.lake.shapes import Field, declared_fields, fields_of, literal, nothing, quoted, read_schema

if TYPE_CHECKING:
    import sqlalchemy as sa

VISIBLE = "begin_snapshot<=:s AND (end_snapshot IS NULL OR end_snapshot>:s)"
Ranges = Mapping[str, tuple[Any, Any]]
"""Column → (low, high), either of them None where there is no bound."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRow:
    """A data file as the catalogue knows it: absolute path, rows it holds, and the delete file that hides `deleted` of them."""

    id: int
    path: str
    record_count: int
    file_size_bytes: int
    begin_snapshot: int
    deletes: str | None = None
    deleted: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TableState:
    """A table as of a snapshot: its fields, those of them the catalogue has, and its files; `table_id` is None before its first commit."""

    table: Table
    table_id: int | None
    fields: tuple[Field, ...]
    known: tuple[Field, ...]
    files: tuple[FileRow, ...]

    @property
    def rows(self) -> int:
        """How many rows a reader sees."""
        return sum(file.record_count - file.deleted for file in self.files)


def newest(connection: sa.Connection) -> int:
    """The newest snapshot."""
    return int(rows(connection, "SELECT max(snapshot_id) AS s FROM ducklake_snapshot")[0].s)


def table_states(connection: sa.Connection, data: Path, tables: Iterable[Table], snapshot: int) -> dict[str, TableState]:
    """The state of each table as of a snapshot, by name.

    Raises:
        ForeignFormat: Another writer left files or rows that would be read wrong.
        ContractError: A column is declared with another type than its rows were written in.
    """
    wanted = {table.name: table for table in tables}
    if rows(connection, "SELECT count(*) AS n FROM ducklake_inlined_data_tables")[0].n:
        raise ForeignFormat("another writer left inlined rows in the lake", mend="let it flush them (CALL ducklake_flush_inlined_data), and set data_inlining_row_limit to 0")
    ids = {row.table_name: int(row.table_id) for row in rows_in(connection, "SELECT table_id, table_name FROM ducklake_table WHERE end_snapshot IS NULL AND table_name IN :ids", wanted)}
    columns = _grouped(rows_in(connection, "SELECT * FROM ducklake_column WHERE end_snapshot IS NULL AND table_id IN :ids ORDER BY column_order", ids.values()))
    files = _grouped(rows_in(connection, f"SELECT * FROM ducklake_data_file WHERE table_id IN :ids AND {VISIBLE} ORDER BY data_file_id", ids.values(), s=snapshot))
    deletes = _grouped(rows_in(connection, f"SELECT * FROM ducklake_delete_file WHERE table_id IN :ids AND {VISIBLE}", ids.values(), s=snapshot))
    states = {}
    for name, table in wanted.items():
        table_id = ids.get(name)
        known = fields_of(columns.get(table_id, []))
        shown = _file_rows(data / "main" / name, files.get(table_id, []), deletes.get(table_id, []))
        states[name] = TableState(table=table, table_id=table_id, fields=declared_fields(table, known), known=known, files=shown)
    return states


def _grouped(found: list[Any]) -> dict[int | None, list[Any]]:
    groups: dict[int | None, list[Any]] = {}
    for row in found:
        groups.setdefault(int(row.table_id), []).append(row)
    return groups


def _file_rows(folder: Path, files: list[Any], deletes: list[Any]) -> tuple[FileRow, ...]:
    hidden = {row.data_file_id: row for row in deletes}
    if len(hidden) != len(deletes):
        raise StoreError("a data file has two delete files in one snapshot", at=str(folder), mend="restore the catalogue from a backup")
    shown = []
    for file in files:
        gone = hidden.get(file.data_file_id)
        for row in (file, gone):
            if row is not None and (row.partial_max is not None or row.encryption_key is not None):
                raise ForeignFormat(f"another writer left a partial or encrypted file: {row.path}", at=str(folder), mend="let it rewrite the table")
        if file.mapping_id is not None:
            raise ForeignFormat(f"another writer left a file without field ids: {file.path}", at=str(folder), mend="adopt it through `stage` instead")
        shown.append(
            FileRow(
                id=file.data_file_id, path=str(folder / file.path), record_count=file.record_count, file_size_bytes=file.file_size_bytes,
                begin_snapshot=file.begin_snapshot, deletes=None if gone is None else str(folder / gone.path), deleted=0 if gone is None else gone.delete_count,
            )
        )  # fmt: skip
    return tuple(shown)


def select(fields: tuple[Field, ...], files: Iterable[FileRow]) -> str:
    """SQL that yields the rows of files, less those that are deleted; put it behind FROM."""
    files = tuple(files)
    if not files:
        return nothing(fields)
    clean = [file.path for file in files if file.deletes is None]
    names = ", ".join(quoted(field.name) for field in fields)
    schema = read_schema(fields)
    parts = []
    if clean:
        parts.append(f"SELECT {names} FROM read_parquet([{', '.join(map(literal, clean))}], schema={schema})")
    for file in files:
        if file.deletes is not None:
            source = f"read_parquet([{literal(file.path)}], schema={schema}, file_row_number=true)"
            parts.append(f"SELECT {names} FROM {source} d ANTI JOIN read_parquet([{literal(file.deletes)}]) g ON d.file_row_number=g.pos")
    return "(" + " UNION ALL ".join(parts) + ")"


def pruned(connection: sa.Connection, state: TableState, ranges: Ranges) -> tuple[FileRow, ...]:
    """The files of a table whose bounds can meet every range; a file without bounds always can."""
    if not ranges or not state.files:
        return state.files
    by_name = {field.name: field for field in state.fields}
    missing = [name for name in ranges if name not in by_name]
    if missing:
        raise ContractError(f"column '{missing[0]}' is not declared", at=f"table '{state.table.name}'", mend=nearest(missing[0], by_name))
    wanted = {by_name[name].id: (by_name[name], low, high) for name, (low, high) in ranges.items()}
    sql = "SELECT data_file_id, column_id, min_value, max_value FROM ducklake_file_column_stats WHERE table_id=:t AND column_id IN :ids"
    outside = set()
    for row in rows_in(connection, sql, wanted, t=state.table_id):
        field, low, high = wanted[row.column_id]
        least, most = bound(field, row.min_value), bound(field, row.max_value)
        if (low is not None and most is not None and most < _comparable(low)) or (high is not None and least is not None and least > _comparable(high)):
            outside.add(row.data_file_id)
    return tuple(file for file in state.files if file.id not in outside)


def bound(field: Field, text: str | None) -> Any:
    """A stored bound as a value that compares as the column's values do; None where it cannot be read, which prunes nothing."""
    if text is None:
        return None
    parse = _PARSERS.get(field.kind.partition("(")[0])
    try:
        return None if parse is None else parse(text)
    except (ValueError, InvalidOperation):
        return None


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC)


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "BIGINT": int, "INTEGER": int, "DOUBLE": float, "DECIMAL": Decimal, "VARCHAR": str, "DATE": dt.date.fromisoformat, "TIMESTAMP WITH TIME ZONE": _moment,
}  # fmt: skip


def _comparable(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise StoreError(f"{value.isoformat()} has no time zone", mend="give moments in UTC")
        return value.astimezone(dt.UTC)
    return value
