"""The lake's catalogue: the 28 tables of the open DuckLake 1.0 layout and a few of our own, in SQLite or PostgreSQL."""

from __future__ import annotations

import datetime as dt
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from kundig.errors import ForeignFormat, StoreError
from kundig.store.sqlite import prepare

FORMAT = "1.0"

_LAYOUT = """
ducklake_metadata(key VARCHAR NOT NULL, value VARCHAR NOT NULL, scope VARCHAR, scope_id BIGINT)
ducklake_snapshot(snapshot_id BIGINT PRIMARY KEY, snapshot_time TS, schema_version BIGINT, next_catalog_id BIGINT, next_file_id BIGINT)
ducklake_snapshot_changes(snapshot_id BIGINT PRIMARY KEY, changes_made VARCHAR, author VARCHAR, commit_message VARCHAR, commit_extra_info VARCHAR)
ducklake_schema(schema_id BIGINT PRIMARY KEY, schema_uuid UUID, begin_snapshot BIGINT, end_snapshot BIGINT, schema_name VARCHAR, path VARCHAR, path_is_relative BOOL)
ducklake_table(table_id BIGINT, table_uuid UUID, begin_snapshot BIGINT, end_snapshot BIGINT, schema_id BIGINT, table_name VARCHAR, path VARCHAR, path_is_relative BOOL)
ducklake_view(view_id BIGINT, view_uuid UUID, begin_snapshot BIGINT, end_snapshot BIGINT, schema_id BIGINT, view_name VARCHAR, dialect VARCHAR, sql VARCHAR, column_aliases VARCHAR)
ducklake_tag(object_id BIGINT, begin_snapshot BIGINT, end_snapshot BIGINT, key VARCHAR, value VARCHAR)
ducklake_column_tag(table_id BIGINT, column_id BIGINT, begin_snapshot BIGINT, end_snapshot BIGINT, key VARCHAR, value VARCHAR)
ducklake_data_file(data_file_id BIGINT PRIMARY KEY, table_id BIGINT, begin_snapshot BIGINT, end_snapshot BIGINT, file_order BIGINT, path VARCHAR, path_is_relative BOOL, file_format VARCHAR, record_count BIGINT, file_size_bytes BIGINT, footer_size BIGINT, row_id_start BIGINT, partition_id BIGINT, encryption_key VARCHAR, mapping_id BIGINT, partial_max BIGINT)
ducklake_file_column_stats(data_file_id BIGINT, table_id BIGINT, column_id BIGINT, column_size_bytes BIGINT, value_count BIGINT, null_count BIGINT, min_value VARCHAR, max_value VARCHAR, contains_nan BOOL, extra_stats VARCHAR)
ducklake_file_variant_stats(data_file_id BIGINT, table_id BIGINT, column_id BIGINT, variant_path VARCHAR, shredded_type VARCHAR, column_size_bytes BIGINT, value_count BIGINT, null_count BIGINT, min_value VARCHAR, max_value VARCHAR, contains_nan BOOL, extra_stats VARCHAR)
ducklake_delete_file(delete_file_id BIGINT PRIMARY KEY, table_id BIGINT, begin_snapshot BIGINT, end_snapshot BIGINT, data_file_id BIGINT, path VARCHAR, path_is_relative BOOL, format VARCHAR, delete_count BIGINT, file_size_bytes BIGINT, footer_size BIGINT, encryption_key VARCHAR, partial_max BIGINT)
ducklake_column(column_id BIGINT, begin_snapshot BIGINT, end_snapshot BIGINT, table_id BIGINT, column_order BIGINT, column_name VARCHAR, column_type VARCHAR, initial_default VARCHAR, default_value VARCHAR, nulls_allowed BOOL, parent_column BIGINT, default_value_type VARCHAR, default_value_dialect VARCHAR)
ducklake_table_stats(table_id BIGINT, record_count BIGINT, next_row_id BIGINT, file_size_bytes BIGINT)
ducklake_table_column_stats(table_id BIGINT, column_id BIGINT, contains_null BOOL, contains_nan BOOL, min_value VARCHAR, max_value VARCHAR, extra_stats VARCHAR)
ducklake_partition_info(partition_id BIGINT, table_id BIGINT, begin_snapshot BIGINT, end_snapshot BIGINT)
ducklake_partition_column(partition_id BIGINT, table_id BIGINT, partition_key_index BIGINT, column_id BIGINT, transform VARCHAR)
ducklake_file_partition_value(data_file_id BIGINT, table_id BIGINT, partition_key_index BIGINT, partition_value VARCHAR)
ducklake_files_scheduled_for_deletion(data_file_id BIGINT, path VARCHAR, path_is_relative BOOL, schedule_start TS)
ducklake_inlined_data_tables(table_id BIGINT, table_name VARCHAR, schema_version BIGINT)
ducklake_column_mapping(mapping_id BIGINT, table_id BIGINT, type VARCHAR)
ducklake_name_mapping(mapping_id BIGINT, column_id BIGINT, source_name VARCHAR, target_field_id BIGINT, parent_column BIGINT, is_partition BOOL)
ducklake_schema_versions(begin_snapshot BIGINT, schema_version BIGINT, table_id BIGINT)
ducklake_macro(schema_id BIGINT, macro_id BIGINT, macro_name VARCHAR, begin_snapshot BIGINT, end_snapshot BIGINT)
ducklake_macro_impl(macro_id BIGINT, impl_id BIGINT, dialect VARCHAR, sql VARCHAR, type VARCHAR)
ducklake_macro_parameters(macro_id BIGINT, impl_id BIGINT, column_id BIGINT, parameter_name VARCHAR, parameter_type VARCHAR, default_value VARCHAR, default_value_type VARCHAR)
ducklake_sort_info(sort_id BIGINT, table_id BIGINT, begin_snapshot BIGINT, end_snapshot BIGINT)
ducklake_sort_expression(sort_id BIGINT, table_id BIGINT, sort_key_index BIGINT, expression VARCHAR, dialect VARCHAR, sort_direction VARCHAR, null_order VARCHAR)
""".strip().splitlines()
"""`ducklake_*` as version 1.0 of the format names them (https://ducklake.select, specification 1.0); the types are those its own writer uses."""

_OWN = """
kundig_batch(batch_id VARCHAR PRIMARY KEY, snapshot_id BIGINT)
kundig_release(release_id BIGINT PRIMARY KEY, snapshot_id BIGINT, run_id BIGINT, moment TS, made_at TS)
kundig_staged(staged_id VARCHAR PRIMARY KEY, run VARCHAR, step VARCHAR, table_name VARCHAR, files VARCHAR, created TS)
kundig_writer(writer VARCHAR PRIMARY KEY, host VARCHAR, seen BIGINT)
kundig_version(table_id BIGINT, snapshot_id BIGINT, PRIMARY KEY (table_id, snapshot_id))
kundig_erasure(table_name VARCHAR PRIMARY KEY, times BIGINT)
kundig_gone(path VARCHAR PRIMARY KEY)
""".strip().splitlines()
"""Batches taken, releases, files staged, living writers (several hosts), which commit changed which table's rows, how often rows were
erased from a table, and files that no snapshot shows any more and that must leave the disk."""

_INDEXES = (
    "kundig_live ON ducklake_data_file(table_id, end_snapshot)",
    "kundig_stats ON ducklake_file_column_stats(data_file_id)",
    "kundig_deletes ON ducklake_delete_file(data_file_id)",
    "kundig_latest ON kundig_batch(snapshot_id)",
)
_STEMS = "kundig_stems ON kundig_batch(batch_id text_pattern_ops)"
"""PostgreSQL's keys are in the order of a language, in which a beginning is no range."""
_LOCK = 4_711


class Catalogue:
    """SQL rows that say which files make up which table in which snapshot."""

    def __init__(self, url: str, data: Path) -> None:
        self.data = data
        self.sqlite = url.startswith("sqlite")
        self.engine = sa.create_engine(url, isolation_level="AUTOCOMMIT" if self.sqlite else "READ COMMITTED", pool_pre_ping=not self.sqlite)
        if self.sqlite:
            sa.event.listen(self.engine, "connect", _pragmas)
        self._create()

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[sa.Connection]:
        """One transaction: all of it happens or none; writers wait for each other, a reader sees one state of the catalogue."""
        with self.engine.connect() as connection:
            if self.sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
            elif write:
                connection.exec_driver_sql("LOCK TABLE ducklake_snapshot IN SHARE ROW EXCLUSIVE MODE")
            else:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            try:
                yield connection
                self._end(connection, commit=True)
            except BaseException:
                self._end(connection, commit=False)
                raise

    def _end(self, connection: sa.Connection, *, commit: bool) -> None:
        if not self.sqlite:
            connection.commit() if commit else connection.rollback()
        elif commit or getattr(connection.connection.dbapi_connection, "in_transaction", True):
            connection.exec_driver_sql("COMMIT" if commit else "ROLLBACK")

    def truncate_log(self, *, patience: float = 10.0) -> bool:
        """Fold SQLite's write-ahead log into the file and empty it, so that no erased byte stays in it.

        Returns:
            False when readers held it for longer than `patience` seconds: the next writer does it.
        """
        deadline = time.monotonic() + patience
        while self.sqlite:
            with self.engine.connect() as connection:
                busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()[0][0]
            if not busy:
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def close(self) -> None:
        """Give back the connections."""
        self.engine.dispose()

    def _create(self) -> None:
        if not self._is_whole(self.engine):
            with self.engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE" if self.sqlite else f"SELECT pg_advisory_xact_lock({_LOCK})")
                if not self._is_whole(connection):
                    self._make_tables(connection)
                self._end(connection, commit=True)
        self._check()

    def _is_whole(self, bind: sa.Engine | sa.Connection) -> bool:
        """Whether the newest of our tables and indexes are there: a catalogue that an earlier release made gets what it lacks."""
        known = sa.inspect(bind)
        last, newest = _OWN[-1].partition("(")[0], _INDEXES[-1].split()[0]
        return known.has_table(last) and any(index["name"] == newest for index in known.get_indexes("kundig_batch"))

    def _make_tables(self, connection: sa.Connection) -> None:
        """Make what is missing: all of it, or our own tables beside a catalogue that another writer made."""
        kinds = {"TS": "VARCHAR", "UUID": "VARCHAR", "BOOL": "BIGINT"} if self.sqlite else {"TS": "TIMESTAMPTZ", "UUID": "UUID", "BOOL": "BOOLEAN"}
        present = set(sa.inspect(connection).get_table_names())
        fresh = "ducklake_snapshot" not in present
        for line in (*(_LAYOUT if fresh else ()), *_OWN):
            if line.partition("(")[0] not in present:
                connection.exec_driver_sql("CREATE TABLE " + re.sub(r" (TS|UUID|BOOL)\b", lambda found: " " + kinds[found[1]], line))
        for line in (*_INDEXES, *(() if self.sqlite else (_STEMS,))):
            connection.exec_driver_sql("CREATE INDEX IF NOT EXISTS " + line)
        if fresh:
            self._first_rows(connection)
        elif "kundig_version" not in present:
            connection.exec_driver_sql("INSERT INTO kundig_version SELECT DISTINCT table_id, begin_snapshot FROM ducklake_data_file")

    def _first_rows(self, connection: sa.Connection) -> None:
        metadata = {"version": FORMAT, "created_by": "kundig", "data_path": f"{self.data}/", "encrypted": "false", "data_inlining_row_limit": "0"}
        insert(connection, "ducklake_metadata", [{"key": key, "value": value} for key, value in metadata.items()])
        insert(connection, "ducklake_snapshot", [{"snapshot_id": 0, "snapshot_time": now(), "schema_version": 0, "next_catalog_id": 1, "next_file_id": 0}])
        insert(connection, "ducklake_snapshot_changes", [{"snapshot_id": 0, "changes_made": 'created_schema:"main"'}])
        schema = {"schema_id": 0, "schema_uuid": str(uuid.uuid4()), "begin_snapshot": 0, "schema_name": "main", "path": "main/", "path_is_relative": True}
        insert(connection, "ducklake_schema", [schema])

    def _check(self) -> None:
        with self.transaction() as connection:
            found = {row.key: row.value for row in rows(connection, "SELECT key, value FROM ducklake_metadata WHERE scope IS NULL")}
        if found.get("version") != FORMAT:
            raise ForeignFormat(f"the catalogue has version {found.get('version')}; this release reads and writes {FORMAT}", mend="install the release of kundig that wrote it")
        if found.get("encrypted", "false") != "false":
            raise ForeignFormat("the lake is encrypted by another writer", mend="rewrite it without encryption")
        if found.get("data_path") != f"{self.data}/":
            with self.transaction(write=True) as connection:
                connection.execute(sa.text("UPDATE ducklake_metadata SET value=:p WHERE key='data_path' AND scope IS NULL"), {"p": f"{self.data}/"})


def refuse_foreign(connection: sa.Connection) -> None:
    """Raise when another writer left what this one cannot read right.

    Raises:
        ForeignFormat: Partial, encrypted, mapped or inlined data.
    """
    sql = """
        SELECT (SELECT count(*) FROM ducklake_data_file WHERE partial_max IS NOT NULL) + (SELECT count(*) FROM ducklake_delete_file WHERE partial_max IS NOT NULL) AS partial,
               (SELECT count(*) FROM ducklake_data_file WHERE encryption_key IS NOT NULL) + (SELECT count(*) FROM ducklake_delete_file WHERE encryption_key IS NOT NULL) AS hidden,
               (SELECT count(*) FROM ducklake_data_file WHERE mapping_id IS NOT NULL) AS mapped,
               (SELECT count(*) FROM ducklake_data_file WHERE file_format <> 'parquet') + (SELECT count(*) FROM ducklake_delete_file WHERE format <> 'parquet') AS other,
               (SELECT count(*) FROM ducklake_inlined_data_tables) AS inlined"""
    counts = rows(connection, sql)[0]
    names = {
        "files that hold rows of several snapshots": counts.partial, "encrypted files": counts.hidden, "files without field ids": counts.mapped,
        "files that are not Parquet": counts.other, "inlined rows": counts.inlined,
    }  # fmt: skip
    found = [what for what, count in names.items() if count]
    if found:
        raise ForeignFormat(f"another writer left {', '.join(found)} in the lake", mend="let that writer rewrite its tables, or restore a backup; give outside tools a read-only role")


def rows(connection: sa.Connection, sql: str, /, **values: Any) -> list[Any]:
    """All rows of a query with named values."""
    return list(connection.execute(sa.text(sql), values).all())


def under(connection: sa.Connection, stem: str) -> tuple[str, dict[str, str]]:
    """The condition that a batch's id begins so, in the form that an index answers, and its values."""
    if connection.dialect.name == "sqlite":
        return "batch_id >= :stem AND batch_id < :beyond", {"stem": stem, "beyond": f"{stem[:-1]}{chr(ord(stem[-1]) + 1)}"}
    return "batch_id LIKE :stem", {"stem": re.sub(r"([%_\\])", r"\\\1", stem) + "%"}


def rows_in(connection: sa.Connection, sql: str, ids: Iterable[Any], /, **values: Any) -> list[Any]:
    """All rows of a query with the list `:ids`; none for an empty list."""
    found: list[Any] = []
    for some in _portions(ids):
        found += connection.execute(_listing(sql), values | {"ids": some}).all()
    return found


def execute(connection: sa.Connection, sql: str, /, **values: Any) -> int:
    """Run a statement with named values; returns how many rows it changed."""
    return connection.execute(sa.text(sql), values).rowcount


def execute_in(connection: sa.Connection, sql: str, ids: Iterable[Any], /, **values: Any) -> int:
    """Run a statement with the list `:ids`; returns how many rows it changed."""
    return sum(connection.execute(_listing(sql), values | {"ids": some}).rowcount for some in _portions(ids))


def execute_many(connection: sa.Connection, sql: str, values: list[dict[str, Any]]) -> None:
    """Run a statement once for each set of values."""
    if values:
        connection.execute(sa.text(sql), values)


def _listing(sql: str) -> sa.TextClause:
    return sa.text(sql).bindparams(sa.bindparam("ids", expanding=True))


def _portions(ids: Iterable[Any], most: int = 10_000) -> Iterator[list[Any]]:
    whole = list(ids)
    for start in range(0, len(whole), most):
        yield whole[start : start + most]


def insert(connection: sa.Connection, table: str, values: list[Mapping[str, Any]] | list[dict[str, Any]]) -> None:
    """Insert rows that share their columns."""
    if values:
        names = list(values[0])
        statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(':' + name for name in names)})"
        connection.execute(sa.text(statement), [dict(value) for value in values])


def now() -> str:
    """The present moment as the catalogue spells it."""
    return dt.datetime.now(dt.UTC).isoformat(" ", "microseconds")


def moment(value: Any) -> dt.datetime:
    """A moment as either engine hands it back."""
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC)
    if not isinstance(value, str):
        raise StoreError(f"the catalogue holds {value!r} where a moment stands", mend="restore the catalogue from a backup")
    return dt.datetime.fromisoformat(value).astimezone(dt.UTC)


def _pragmas(raw: Any, _: Any) -> None:
    prepare(raw)
