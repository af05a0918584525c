"""The lake's catalogue: the 28 tables of the open DuckLake 1.0 layout and four of our own, in SQLite or PostgreSQL."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from kundig.errors import ForeignFormat, StoreError

FORMAT = "1.0"

_DDL = """
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
kundig_batch(batch_id VARCHAR PRIMARY KEY, snapshot_id BIGINT)
kundig_release(release_id BIGINT PRIMARY KEY, snapshot_id BIGINT, run_id BIGINT, moment TS, made_at TS)
kundig_staged(staged_id VARCHAR PRIMARY KEY, run VARCHAR, step VARCHAR, table_name VARCHAR, files VARCHAR, created TS)
kundig_writer(writer VARCHAR PRIMARY KEY, host VARCHAR, seen TS)
""".strip().splitlines()
"""`ducklake_*` as version 1.0 of the format names them (https://ducklake.select, specification 1.0); the types are those its own writer uses."""

_INDEXES = (
    "kundig_live ON ducklake_data_file(table_id, end_snapshot)",
    "kundig_stats ON ducklake_file_column_stats(data_file_id)",
    "kundig_deletes ON ducklake_delete_file(data_file_id)",
)
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
        """One transaction: all of it happens or none; writers wait for each other."""
        with self.engine.connect() as connection:
            if self.sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
            elif write:
                connection.exec_driver_sql("LOCK TABLE ducklake_snapshot IN SHARE ROW EXCLUSIVE MODE")
            try:
                yield connection
                self._end(connection, commit=True)
            except BaseException:
                self._end(connection, commit=False)
                raise

    def _end(self, connection: sa.Connection, *, commit: bool) -> None:
        if self.sqlite:
            connection.exec_driver_sql("COMMIT" if commit else "ROLLBACK")
        elif commit:
            connection.commit()
        else:
            connection.rollback()

    def truncate_log(self) -> None:
        """Fold SQLite's write-ahead log into the file and empty it, so that no erased byte stays in it."""
        if self.sqlite:
            with self.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Give back the connections."""
        self.engine.dispose()

    def _create(self) -> None:
        if sa.inspect(self.engine).has_table("kundig_writer"):
            self._check()
            return
        kinds = {"TS": "VARCHAR", "UUID": "VARCHAR", "BOOL": "BIGINT"} if self.sqlite else {"TS": "TIMESTAMPTZ", "UUID": "UUID", "BOOL": "BOOLEAN"}
        with self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if self.sqlite else f"SELECT pg_advisory_xact_lock({_LOCK})")
            if not sa.inspect(connection).has_table("kundig_writer"):
                for line in _DDL:
                    connection.exec_driver_sql("CREATE TABLE " + re.sub(r" (TS|UUID|BOOL)\b", lambda found: " " + kinds[found[1]], line))
                for line in _INDEXES:
                    connection.exec_driver_sql("CREATE INDEX " + line)
                self._first_rows(connection)
            self._end(connection, commit=True)

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
    checks = {
        "files that hold rows of several snapshots": "SELECT count(*) FROM ducklake_data_file WHERE partial_max IS NOT NULL",
        "encrypted files": "SELECT count(*) FROM ducklake_data_file WHERE encryption_key IS NOT NULL",
        "files without field ids": "SELECT count(*) FROM ducklake_data_file WHERE mapping_id IS NOT NULL",
        "inlined rows": "SELECT count(*) FROM ducklake_inlined_data_tables",
    }
    found = [what for what, sql in checks.items() if rows(connection, sql)[0][0]]
    if found:
        raise ForeignFormat(f"another writer left {', '.join(found)} in the lake", mend="let that writer rewrite its tables, or restore a backup; give outside tools a read-only role")


def rows(connection: sa.Connection, sql: str, /, **values: Any) -> list[Any]:
    """All rows of a query with named values."""
    return list(connection.execute(sa.text(sql), values).all())


def rows_in(connection: sa.Connection, sql: str, ids: Iterable[Any], /, **values: Any) -> list[Any]:
    """All rows of a query with the list `:ids`."""
    statement = sa.text(sql).bindparams(sa.bindparam("ids", expanding=True))
    return list(connection.execute(statement, values | {"ids": list(ids)}).all())


def execute_in(connection: sa.Connection, sql: str, ids: Iterable[Any], /, **values: Any) -> int:
    """Run a statement with the list `:ids`; returns how many rows it changed."""
    statement = sa.text(sql).bindparams(sa.bindparam("ids", expanding=True))
    return connection.execute(statement, values | {"ids": list(ids)}).rowcount


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
    for pragma in ("busy_timeout=60000", "journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
        raw.execute(f"PRAGMA {pragma}")
