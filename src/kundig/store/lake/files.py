"""Parquet files: written by DuckDB, on disk to stay before anything names them, described as the catalogue wants it."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kundig.errors import Conflict, ContractError, StoreError
from kundig.schema import Table
from kundig.store.files import fsync
from kundig.store.lake.shapes import Field, field_ids, literal, quoted, selected
from kundig.store.lake.writers import Presence

ROW_GROUP = 122_880
ONE_EACH = 20_480
"""Rows of a group in tables with one row a person: a page about one of them reads one group, all columns of it."""
ZSTD_LEVEL = 1
"""Of the levels of compression the quickest: events took a quarter less CPU to write than at DuckDB's 3, in files as small."""

DELETE_FIELDS = (Field(id=2_147_483_646, name="file_path", kind="VARCHAR"), Field(id=2_147_483_645, name="pos", kind="BIGINT"))
"""Columns of a delete file, with the field ids that the format reserves for them."""

OWN_NAME = re.compile(r"([0-9a-f]{12})-[0-9a-f]{32}\.parquet")
"""Names of files this house wrote: the writer, and a name of its own. No other file is ever swept."""

STAGING = ".staging"
"""Folder below the lake's data where another engine writes what is then written anew; a name in it begins with the writer's."""

_LONGEST_BOUND = 64
_VANISHED = ("No files found", "Cannot open file")

Crash = Callable[[str], None]
"""Called with the name of each step of a commit; tests end the process there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFile:
    """One Parquet file below its table's folder, and the statistics that may be stored of it."""

    path: str
    record_count: int
    file_size_bytes: int
    footer_size: int
    stats: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class StagedFiles:
    """Files of a table that no snapshot shows yet; JSON in and out, so that a later process can adopt them."""

    staged_id: str
    table: str
    files: tuple[DataFile, ...]
    fields: tuple[Field, ...]

    @property
    def rows(self) -> int:
        """How many rows they hold."""
        return sum(file.record_count for file in self.files)

    def text(self) -> str:
        """As JSON."""
        return json.dumps({"files": [asdict(file) for file in self.files], "fields": [asdict(field) for field in self.fields]})

    @staticmethod
    def of(staged_id: str, table: str, text: str) -> StagedFiles:
        """From JSON."""
        held = json.loads(text)
        files = tuple(DataFile(**(item | {"stats": tuple(item["stats"])})) for item in held["files"])
        return StagedFiles(staged_id=staged_id, table=table, files=files, fields=tuple(Field(**item) for item in held["fields"]))


class Writer:
    """Writes files whose names begin with its own, while its presence shows that it lives."""

    def __init__(self, data: Path, connection: Any, crash: Crash, presence: Presence) -> None:
        self.data, self.connection, self.crash, self.presence = data, connection, crash, presence

    def write(self, table: Table, fields: tuple[Field, ...], query: str, *, order: str | None = None) -> tuple[DataFile, ...]:
        """The query's rows as a Parquet file: zstd, every column cast to its declared type, sorted by subject; none for no rows.

        `order` is an ORDER BY clause that takes the place of the subject's.

        Raises:
            ContractError: A column is missing, or a value cannot be cast to the declared type.
        """
        if order is None:
            order = f"ORDER BY {quoted(table.subject)}" if table.subject is not None else ""
        group = ONE_EACH if table.key == (table.subject,) else ROW_GROUP
        file = self._copy(table.name, f"SELECT {selected(fields)} FROM ({query}) {order}", fields, table.personal_columns, group=group)
        return () if file is None else (file,)

    def write_deletes(self, table: str, query: str) -> DataFile | None:
        """A delete file of the query's (file_path, pos): the rows that are gone from one data file; none for no rows."""
        return self._copy(table, f"SELECT {selected(DELETE_FIELDS)} FROM ({query}) ORDER BY pos", DELETE_FIELDS, frozenset({"file_path", "pos"}))

    def _copy(self, table: str, sql: str, fields: tuple[Field, ...], hidden: frozenset[str], *, group: int = ROW_GROUP) -> DataFile | None:
        path = self.folder(table) / f"{self.presence.name}-{uuid.uuid4().hex}.parquet"
        self.crash("before file")
        options = f"FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {ZSTD_LEVEL}, ROW_GROUP_SIZE {group}, FIELD_IDS {field_ids(fields)}, RETURN_STATS"
        made = self._run(f"COPY ({sql}) TO {literal(path)} ({options})", table, path)
        if not made or made[0][1] == 0:
            path.unlink(missing_ok=True)
            return None
        self.crash("after file")
        _, count, size, footer, statistics = made[0][:5]
        fsync(path)
        self.crash("after fsync")
        return DataFile(path=path.name, record_count=count, file_size_bytes=size, footer_size=footer, stats=_bounds(fields, statistics, count, hidden))

    def _run(self, sql: str, table: str, path: Path) -> list[Any]:
        import duckdb

        try:
            return list(self.connection.execute(sql).fetchall())
        except duckdb.Error as error:
            path.unlink(missing_ok=True)
            if isinstance(error, duckdb.BinderException):
                raise ContractError(f"the rows lack a column: {str(error).splitlines()[0]}", at=f"table '{table}'", mend="return every declared column") from error
            if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException):  # its text holds the value, which may be a person's
                raise ContractError("a value cannot be cast to the declared type of its column", at=f"table '{table}'", mend="cast it in the step") from None
            if isinstance(error, duckdb.IOException) and any(sign in str(error) for sign in _VANISHED):
                raise vanished(error) from error
            if isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException):
                raise StoreError(f"rows could not be written: {str(error).splitlines()[0]}", at=f"table '{table}'", mend="see disk space and `memory`") from error
            raise

    def folder(self, table: str) -> Path:
        """The table's folder, made to stay."""
        folder = self.data / "main" / table
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            fsync(folder.parent)
            fsync(self.data)
        return folder

    def discard(self, table: str, files: Iterable[DataFile]) -> None:
        """Remove files that nothing names and nothing will."""
        for file in files:
            (self.data / "main" / table / file.path).unlink(missing_ok=True)

    def close(self) -> None:
        """End the writer's sign of life."""
        self.presence.close()


@contextmanager
def reading_live_files() -> Iterator[None]:
    """A block that reads files another writer may expire, erase or compact meanwhile: then it is a Conflict.

    Raises:
        Conflict: A file is gone.
    """
    import duckdb

    try:
        yield
    except duckdb.IOException as error:
        raise vanished(error) from error


def vanished(error: Exception) -> Conflict:
    """The error of a reader whose file was unlinked."""
    return Conflict(f"a file was expired, erased or compacted while it was read: {str(error).splitlines()[0]}", mend="compute again")


def unlink(paths: Iterable[Path], crash: Crash) -> None:
    """Remove files and make their absence last."""
    folders = set()
    for path in paths:
        crash("before unlink")
        path.unlink(missing_ok=True)
        folders.add(path.parent)
    for folder in folders:
        if folder.is_dir():
            fsync(folder)


def _bounds(fields: tuple[Field, ...], found: dict[str, Any], count: int, hidden: frozenset[str]) -> tuple[dict[str, Any], ...]:
    """Rows of `ducklake_file_column_stats`: bounds that hold, or none; a value of a person is never among them."""
    stats = []
    for field in fields:
        nested = field.element_id is not None
        one = found.get(f'{quoted(field.name)}."element"' if nested else quoted(field.name))
        if one is None:
            continue
        nulls, nan = int(one.get("null_count", 0)), one.get("has_nan")
        low, high = one.get("min"), one.get("max")
        if field.name in hidden or nested or field.kind == "JSON" or (field.kind == "DOUBLE" and nan != "false"):
            low = high = None
        if max(len(low or ""), len(high or "")) > _LONGEST_BOUND:  # an upper bound that is cut is no bound
            low = high = None
        values = int(one.get("num_values", count))
        stats.append(
            {
                "column_id": field.element_id if nested else field.id, "column_size_bytes": int(one["column_size_bytes"]), "value_count": values - nulls,
                "null_count": nulls, "min_value": low, "max_value": high, "contains_nan": None if nan is None else nan == "true",
            }
        )  # fmt: skip
    return tuple(stats)
