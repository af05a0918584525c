"""Which files make up a table in a snapshot, with the delete file that hides some of their rows."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kundig.errors import ContractError, nearest
from kundig.schema import Table
from kundig.store.lake.catalogue import rows
from kundig.store.lake.commit import live_fields
from kundig.store.lake.shapes import Field, declared_fields

if TYPE_CHECKING:
    import sqlalchemy as sa

_VISIBLE = "begin_snapshot<=:s AND (end_snapshot IS NULL OR end_snapshot>:s)"
_NUMBER = re.compile(r"BIGINT|INTEGER|DOUBLE|DECIMAL.*")


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


def find_files(connection: sa.Connection, data: Path, table: Table, snapshot: int, ranges: Mapping[str, tuple[Any, Any]]) -> tuple[tuple[Field, ...], tuple[FileRow, ...]]:
    """The fields and files of a table in a snapshot; no files for a table that was not there yet."""
    found = rows(connection, f"SELECT table_id FROM ducklake_table WHERE table_name=:n AND {_VISIBLE}", n=table.name, s=snapshot)
    if not found:
        return declared_fields(table), ()
    table_id = found[0].table_id
    fields = declared_fields(table, live_fields(connection, table_id))
    sql = f"SELECT f.data_file_id, f.path, f.record_count, f.file_size_bytes, f.begin_snapshot FROM ducklake_data_file f WHERE f.table_id=:t AND {_VISIBLE}"
    values: dict[str, Any] = {"t": table_id, "s": snapshot}
    for number, (name, (low, high)) in enumerate(ranges.items()):
        clause, more = _pruned(table, fields, name, low, high, number)
        sql += clause
        values |= more
    files = rows(connection, sql + " ORDER BY f.data_file_id", **values)
    deletes = rows(connection, f"SELECT data_file_id, path, delete_count FROM ducklake_delete_file WHERE table_id=:t AND {_VISIBLE}", t=table_id, s=snapshot)
    hidden = {row.data_file_id: row for row in deletes}
    folder = data / "main" / table.name
    shown = []
    for file in files:
        gone = hidden.get(file.data_file_id)
        shown.append(
            FileRow(
                id=file.data_file_id, path=str(folder / file.path), record_count=file.record_count, file_size_bytes=file.file_size_bytes,
                begin_snapshot=file.begin_snapshot, deletes=None if gone is None else str(folder / gone.path), deleted=0 if gone is None else gone.delete_count,
            )
        )  # fmt: skip
    return fields, tuple(shown)


def _pruned(table: Table, fields: tuple[Field, ...], name: str, low: Any, high: Any, number: int) -> tuple[str, dict[str, Any]]:
    field = next((field for field in fields if field.name == name), None)
    if field is None:
        raise ContractError(f"column '{name}' is not declared", at=f"table '{table.name}'", mend=nearest(name, table.names))
    cast = "CAST({} AS DECIMAL(38,4))" if _NUMBER.fullmatch(field.kind) else "{}"
    least, most = cast.format("x.min_value"), cast.format("x.max_value")
    tests = []
    if low is not None:
        tests.append(f"{most} < :low{number}")
    if high is not None:
        tests.append(f"{least} > :high{number}")
    if not tests:
        return "", {}
    clause = f" AND NOT EXISTS (SELECT 1 FROM ducklake_file_column_stats x WHERE x.data_file_id=f.data_file_id AND x.column_id={field.id} AND ({' OR '.join(tests)}))"
    return clause, {f"low{number}": _spelled(low), f"high{number}": _spelled(high)} if len(tests) == 2 else {f"{'low' if low is not None else 'high'}{number}": _spelled(low if low is not None else high)}


def _spelled(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        text = value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f").rstrip("0").rstrip(".")
        return f"{text}+00"
    return value.isoformat() if isinstance(value, dt.date) else value
