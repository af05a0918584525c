"""Parquet files: written by DuckDB, on disk to stay before anything names them, described as the catalogue wants it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kundig.schema import Table
from kundig.store.lake.shapes import Field, field_ids, literal, quoted, selected

ROW_GROUP = 122_880
FILE_ROWS = 20_000_000
DELETE_FIELDS = (Field(id=2_147_483_646, name="file_path", kind="VARCHAR"), Field(id=2_147_483_645, name="pos", kind="BIGINT"))
OWN_NAME = re.compile(r"([0-9a-f]{12})-[0-9a-f]{32}\.parquet")
_LONGEST_BOUND = 64

Crash = Callable[[str], None]


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
    """Files of a table that no snapshot names yet; JSON in and out, so that a later process can adopt them."""

    staged_id: str
    table: str
    files: tuple[DataFile, ...]

    @property
    def rows(self) -> int:
        """How many rows they hold."""
        return sum(file.record_count for file in self.files)

    def text(self) -> str:
        """As JSON."""
        return json.dumps([asdict(file) for file in self.files])

    @staticmethod
    def of(staged_id: str, table: str, text: str) -> StagedFiles:
        """From JSON."""
        files = tuple(DataFile(**(item | {"stats": tuple(item["stats"])})) for item in json.loads(text))
        return StagedFiles(staged_id=staged_id, table=table, files=files)


class Writer:
    """Writes files under a name of its own, and holds a lock by which others see that it lives."""

    def __init__(self, data: Path, connection: Any, crash: Crash) -> None:
        self.data, self.connection, self.crash = data, connection, crash
        self.name = uuid.uuid4().hex[:12]
        folder = data / ".writers"
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = (folder / self.name).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def write(self, table: Table, fields: tuple[Field, ...], query: str, *, order: str = "") -> tuple[DataFile, ...]:
        """The query's rows as Parquet files: zstd, every column cast to its declared type, sorted by subject; none for no rows."""
        order = order or (f"ORDER BY {quoted(table.subject)}" if table.subject is not None else "")
        sql = f"SELECT {selected(fields)} FROM ({query}) {order}"
        file = self._copy(table.name, sql, fields, _hidden(table))
        return () if file is None else (file,)

    def write_deletes(self, table: str, query: str) -> DataFile:
        """A delete file: the positions of rows that are gone from one data file."""
        file = self._copy(table, f"SELECT {selected(DELETE_FIELDS)} FROM ({query}) ORDER BY pos", DELETE_FIELDS, frozenset({"file_path", "pos"}))
        assert file is not None
        return file

    def _copy(self, table: str, sql: str, fields: tuple[Field, ...], hidden: frozenset[str]) -> DataFile | None:
        folder = self.folder(table)
        name = f"{self.name}-{uuid.uuid4().hex}.parquet"
        self.crash("before file")
        options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP}, FIELD_IDS {field_ids(fields)}, RETURN_STATS"
        made = self.connection.execute(f"COPY ({sql}) TO {literal(folder / name)} ({options})").fetchall()
        if not made or made[0][1] == 0:
            (folder / name).unlink(missing_ok=True)
            return None
        self.crash("after file")
        _, count, size, footer, statistics = made[0][:5]
        fsync(folder / name)
        self.crash("after fsync")
        return DataFile(path=name, record_count=count, file_size_bytes=size, footer_size=footer, stats=_bounds(fields, statistics, count, hidden))

    def folder(self, table: str) -> Path:
        """The table's folder, made to stay."""
        folder = self.data / "main" / table
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            fsync(folder.parent)
            fsync(self.data)
        return folder

    def close(self) -> None:
        """Let go of the lock."""
        if not self._lock.closed:
            (self.data / ".writers" / self.name).unlink(missing_ok=True)
            self._lock.close()


def living_writers(data: Path) -> tuple[set[str], list[Path]]:
    """Names of the writers whose lock is held, and the lock files of those that are gone."""
    alive: set[str] = set()
    gone: list[Path] = []
    for lock in (data / ".writers").iterdir() if (data / ".writers").is_dir() else ():
        try:
            with lock.open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            gone.append(lock)
        except BlockingIOError:
            alive.add(lock.name)
        except FileNotFoundError:
            continue
    return alive, gone


def fsync(path: Path) -> None:
    """Force a file's bytes, or a folder's names, onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _hidden(table: Table) -> frozenset[str]:
    return table.personal_columns


def _bounds(fields: tuple[Field, ...], found: dict[str, Any], count: int, hidden: frozenset[str]) -> tuple[dict[str, Any], ...]:
    stats = []
    for field in fields:
        places = [(field.id, quoted(field.name))]
        if field.element_id is not None:
            places = [(field.element_id, f"{quoted(field.name)}.\"element\"")]
        for column_id, place in places:
            one = found.get(place)
            if one is None:
                continue
            low, high = (None, None) if field.name in hidden or field.element_id is not None else (one.get("min"), one.get("max"))
            if field.kind in ("VARCHAR", "JSON") and max(len(low or ""), len(high or "")) > _LONGEST_BOUND:
                low = high = None
            nulls = int(one.get("null_count", 0))
            nan = one.get("has_nan")
            stats.append(
                {
                    "column_id": column_id, "column_size_bytes": int(one["column_size_bytes"]), "value_count": count - nulls, "null_count": nulls,
                    "min_value": low, "max_value": high, "contains_nan": None if nan is None else nan == "true",
                }
            )  # fmt: skip
    return tuple(stats)
