"""The lake: what it holds as of a snapshot, staging of new files, and the commit that shows them to everybody at once."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kundig.errors import AlreadyLanded, ContractError, StoreError, nearest
from kundig.schema import Table
from kundig.store.lake.catalogue import Catalogue, insert, moment, now, refuse_foreign, rows
from kundig.store.lake.commit import Append, Change, Prepared, Release, ReleaseMark, Replace, Transaction, Upsert, live_fields
from kundig.store.lake.files import Crash, DataFile, StagedFiles, Writer, fsync
from kundig.store.lake.shapes import Field, declared_fields, literal, nothing, quoted, read_schema

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from kundig.store.lake.reading import FileRow



class Lake:
    """Declared tables as Parquet files under `data`, with their catalogue at `url` (`sqlite:///…` or `postgresql+psycopg://…`).

    `duck` is the DuckDB connection that reads and writes the files (one is opened when none is given); `crash` is called with the
    name of each step of a commit, for tests that kill the process there.
    """

    def __init__(self, url: str, data: Path | str, tables: Mapping[str, Table], *, duck: Any = None, crash: Crash = lambda step: None) -> None:
        from kundig.store.engines.duckdb import connect

        self.data = Path(data).absolute()
        self.data.mkdir(parents=True, exist_ok=True)
        self.tables = dict(tables)
        self.crash = crash
        self.catalogue = Catalogue(url, self.data)
        self.duck = duck if duck is not None else connect()
        self._writer: Writer | None = None
        self._backend: Any = None
        with self.catalogue.transaction() as connection:
            refuse_foreign(connection)

    @property
    def writer(self) -> Writer:
        """The writer of this process, made at its first use; readers hold no lock."""
        if self._writer is None:
            self._writer = Writer(self.data, self.duck, self.crash)
        return self._writer

    def close(self) -> None:
        """Give back the writer's lock and the catalogue's connections."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self.catalogue.close()

    # what there is

    def snapshot(self) -> int:
        """The newest snapshot."""
        with self.catalogue.transaction() as connection:
            return int(rows(connection, "SELECT max(snapshot_id) AS s FROM ducklake_snapshot")[0].s)

    def release(self) -> Release | None:
        """The newest release."""
        found = self.releases(most=1)
        return found[0] if found else None

    def releases(self, *, most: int = 1_000) -> tuple[Release, ...]:
        """Releases that are kept, newest first."""
        with self.catalogue.transaction() as connection:
            found = rows(connection, f"SELECT * FROM kundig_release ORDER BY release_id DESC LIMIT {int(most)}")
        return tuple(Release(id=r.release_id, snapshot_id=r.snapshot_id, run_id=r.run_id, moment=moment(r.moment)) for r in found)

    def versions(self, at: int) -> dict[str, int]:
        """Per table, the snapshot that last changed its rows, as of a snapshot."""
        sql = """
            SELECT t.table_name AS name, max(x.s) AS s FROM ducklake_table t JOIN (
              SELECT table_id, begin_snapshot AS s FROM ducklake_data_file UNION ALL SELECT table_id, end_snapshot FROM ducklake_data_file WHERE end_snapshot IS NOT NULL
              UNION ALL SELECT table_id, begin_snapshot FROM ducklake_delete_file UNION ALL SELECT table_id, begin_snapshot FROM ducklake_table
            ) x ON x.table_id=t.table_id WHERE x.s<=:s AND t.begin_snapshot<=:s GROUP BY t.table_name"""
        with self.catalogue.transaction() as connection:
            return {row.name: int(row.s) for row in rows(connection, sql, s=at)}

    def known(self, name: str) -> Table:
        """The declaration of a table.

        Raises:
            ContractError: It is not declared.
        """
        if name not in self.tables:
            raise ContractError(f"there is no table '{name}'", at=str(self.data), mend=nearest(name, self.tables, most=90))
        return self.tables[name]

    # reading

    def scan(self, name: str, at: int | None = None, *, ranges: Mapping[str, tuple[Any, Any]] | None = None) -> str:
        """SQL that yields a table's rows as of a snapshot (the newest by default), in its declared columns; put it behind FROM.

        `ranges` maps columns to (low, high): files whose bounds cannot meet them are left out; the rows are not filtered.
        """
        fields, files = self.files(name, at, ranges=ranges)
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

    def files(self, name: str, at: int | None = None, *, ranges: Mapping[str, tuple[Any, Any]] | None = None) -> tuple[tuple[Field, ...], tuple[FileRow, ...]]:
        """The fields and the files of a table as of a snapshot."""
        from kundig.store.lake.reading import find_files

        table = self.known(name)
        with self.catalogue.transaction() as connection:
            snapshot = at if at is not None else int(rows(connection, "SELECT max(snapshot_id) AS s FROM ducklake_snapshot")[0].s)
            return find_files(connection, self.data, table, snapshot, ranges or {})

    def scan_staged(self, staged: StagedFiles) -> str:
        """SQL that yields the rows of staged files."""
        fields = self._fields(staged.table)
        if not staged.files:
            return nothing(fields)
        folder = self.data / "main" / staged.table
        return f"read_parquet([{', '.join(literal(folder / file.path) for file in staged.files)}], schema={read_schema(fields)})"

    def ibis(self, name: str, at: int | None = None) -> ir.Table:
        """The table as of a snapshot, as an Ibis table over this lake's connection."""
        import ibis

        if self._backend is None:
            self._backend = ibis.duckdb.from_connection(self.duck)
        view = f"{name}@{at if at is not None else self.snapshot()}"
        self.duck.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(view)} AS SELECT * FROM {self.scan(name, at)}")
        return self._backend.table(view)

    # writing

    def stage(self, name: str, source: Any, *, order: str = "", run: str | None = None, step: str | None = None) -> StagedFiles:
        """Write rows as files that nobody sees yet. `source`: SQL text of a query, or Arrow rows.

        With `run` and `step`, the files are kept over the death of this process and found again by `staged`.
        """
        fields = self._fields(name)
        with self._query(source, fields) as query:
            files = self.writer.write(self.known(name), fields, query, order=order)
        staged = StagedFiles(staged_id=uuid.uuid4().hex, table=name, files=files)
        if run is not None and step is not None:
            fsync(self.writer.folder(name))
            row = {"staged_id": staged.staged_id, "run": run, "step": step, "table_name": name, "files": staged.text(), "created": now()}
            with self.catalogue.transaction(write=True) as connection:
                insert(connection, "kundig_staged", [row])
        return staged

    def staged(self, *, run: str, step: str) -> StagedFiles | None:
        """What an earlier attempt at a run had staged for a step, when all of its files are there."""
        with self.catalogue.transaction() as connection:
            found = rows(connection, "SELECT * FROM kundig_staged WHERE run=:r AND step=:p ORDER BY created DESC LIMIT 1", r=run, p=step)
        if not found:
            return None
        staged = StagedFiles.of(found[0].staged_id, found[0].table_name, found[0].files)
        folder = self.data / "main" / staged.table
        return staged if all((folder / file.path).is_file() for file in staged.files) else None

    def unstage(self, *, keep_run: str | None = None) -> int:
        """Forget staged files, but for those of one run; the next sweep removes what nothing names. Returns how many."""
        with self.catalogue.transaction(write=True) as connection:
            import sqlalchemy as sa

            return connection.execute(sa.text("DELETE FROM kundig_staged WHERE run<>:r"), {"r": keep_run or ""}).rowcount

    def commit(
        self, changes: Sequence[Change], *, batch: str | None = None, message: str | None = None, release: ReleaseMark | None = None, expect: int | None = None
    ) -> int:
        """All changes as one snapshot, or none. Returns the snapshot.

        `batch` is taken once for all time; `expect` is the snapshot that replaced and upserted rows were computed on (the newest by default).

        Raises:
            AlreadyLanded: The batch is in the catalogue.
            Conflict: A table that is replaced or upserted changed since.
        """
        expected = expect if expect is not None else self.snapshot()
        if batch is not None and self.has_batch(batch):
            raise AlreadyLanded(f"the batch '{batch}' has landed before", mend="nothing to do")
        prepared = [self._prepare(change, expected) for change in changes]
        for folder in sorted({self.writer.folder(change.table.name) for change in prepared if change.files or change.deletes}):
            fsync(folder)
        self.crash("before transaction")
        with self.catalogue.transaction(write=True) as connection:
            transaction = Transaction(connection, self.crash)
            transaction.claim(batch)
            for change in prepared:
                transaction.enter(change, expected)
            self._forget_staged(connection, changes)
            snapshot = transaction.finish(message=message, release=release)
            self.crash("before commit")
        self.crash("after commit")
        return snapshot

    def has_batch(self, batch: str) -> bool:
        """This batch has landed."""
        with self.catalogue.transaction() as connection:
            return bool(rows(connection, "SELECT 1 FROM kundig_batch WHERE batch_id=:b", b=batch))

    def export(self, name: str, path: Path, *, at: int | None = None, limit: int = 0) -> int:
        """Write a table's rows as one Parquet file, whole or not at all. Returns how many."""
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        cut = f" LIMIT {limit}" if limit else ""
        count = self.duck.execute(f"COPY (SELECT * FROM {self.scan(name, at)}{cut}) TO {literal(temporary)} (FORMAT parquet, COMPRESSION zstd)").fetchone()
        fsync(temporary)
        temporary.replace(path)
        return int(count[0])

    # forgetting

    def expire(self, keep: int) -> int:
        """Forget all but the newest `keep` releases and the snapshots since the newest; see `forgetting.expire`."""
        from kundig.store.lake.forgetting import expire

        return expire(self, keep)

    def erase(self, wanted: Mapping[str, tuple[str, Iterable[Any]]]) -> dict[str, int]:
        """Take rows out of every kept snapshot: table → (column, keys); see `forgetting.erase`."""
        from kundig.store.lake.forgetting import erase

        return erase(self, wanted)

    def compact(self, names: Iterable[str] | None = None, *, force: bool = False) -> dict[str, int]:
        """Write tables of many small files or many hidden rows anew; see `forgetting.compact`."""
        from kundig.store.lake.forgetting import compact

        return compact(self, names, force=force)

    def sweep(self) -> list[str]:
        """Remove what dead writers left; see `forgetting.sweep`."""
        from kundig.store.lake.forgetting import sweep

        return sweep(self)

    def verify(self) -> list[str]:
        """What is not as the catalogue says; see `forgetting.verify`."""
        from kundig.store.lake.forgetting import verify

        return verify(self)

    # parts

    def _fields(self, name: str) -> tuple[Field, ...]:
        table = self.known(name)
        with self.catalogue.transaction() as connection:
            found = rows(connection, "SELECT table_id FROM ducklake_table WHERE table_name=:n AND end_snapshot IS NULL", n=name)
            known = live_fields(connection, found[0].table_id) if found else ()
        return declared_fields(table, known)

    def _query(self, source: Any, fields: tuple[Field, ...]) -> _Query:
        return _Query(self.duck, source, fields)

    def _prepare(self, change: Change, expected: int) -> Prepared:
        table, fields = self.known(change.table), self._fields(change.table)
        if isinstance(change.source, StagedFiles):
            if change.source.table != change.table:
                raise StoreError(f"files staged for '{change.source.table}' cannot be committed to '{change.table}'")
            files: tuple[DataFile, ...] = change.source.files
        else:
            with self._query(change.source, fields) as query:
                files = self.writer.write(table, fields, query)
        if isinstance(change, Append):
            return Prepared(table=table, fields=fields, files=files)
        _, live = self.files(change.table, expected)
        if isinstance(change, Replace):
            return Prepared(table=table, fields=fields, files=files, ended=tuple(file.id for file in live), replaces=True)
        deletes, whole = self._hide(change, live)
        return Prepared(table=table, fields=fields, files=files, ended=whole, replaces=True, deletes=deletes)

    def _hide(self, change: Upsert, live: tuple[FileRow, ...]) -> tuple[dict[int, tuple[DataFile, int]], tuple[int, ...]]:
        deletes: dict[int, tuple[DataFile, int]] = {}
        whole: list[int] = []
        if not live:
            return deletes, ()
        with _Keys(self.duck, change.keys, change.column) as keys:
            for file in live:
                before = f"SELECT pos FROM read_parquet([{literal(file.deletes)}])" if file.deletes is not None else "SELECT NULL::BIGINT AS pos WHERE false"
                hit = f"SELECT file_row_number AS pos FROM read_parquet([{literal(file.path)}], file_row_number=true) SEMI JOIN {keys} k ON {quoted(change.column)}=k.key"
                positions = f"SELECT DISTINCT pos FROM ({hit} UNION ALL {before})"
                count = int(self.duck.execute(f"SELECT count(*) FROM ({positions})").fetchone()[0])
                if count == file.deleted:
                    continue
                if count == file.record_count:
                    whole.append(file.id)
                    continue
                query = f"SELECT {literal(file.path)} AS file_path, pos FROM ({positions})"
                deletes[file.id] = (self.writer.write_deletes(change.table, query), count)
        return deletes, tuple(whole)

    def _forget_staged(self, connection: Any, changes: Iterable[Change]) -> None:
        from kundig.store.lake.catalogue import execute_in

        ids = [change.source.staged_id for change in changes if isinstance(change.source, StagedFiles)]
        if ids:
            execute_in(connection, "DELETE FROM kundig_staged WHERE staged_id IN :ids", ids)


class _Query:
    """SQL text of a source, for the time of a block; Arrow rows are made known to the connection, missing columns become null."""

    def __init__(self, connection: Any, source: Any, fields: tuple[Field, ...]) -> None:
        self.connection, self.source, self.fields = connection, source, fields
        self.name = ""

    def __enter__(self) -> str:
        if isinstance(self.source, str):
            return self.source if self.source.lstrip().upper().startswith(("SELECT", "WITH", "FROM", "VALUES")) else f"SELECT * FROM {self.source}"
        self.name = f"kundig_source_{uuid.uuid4().hex[:12]}"
        self.connection.register(self.name, self.source)
        present = set(self.source.column_names)
        columns = ", ".join(quoted(f.name) if f.name in present else f"NULL AS {quoted(f.name)}" for f in self.fields)
        return f"SELECT {columns} FROM {self.name}"

    def __exit__(self, *_: object) -> None:
        if self.name:
            self.connection.unregister(self.name)


class _Keys:
    """A temporary table of keys, for the time of a block."""

    def __init__(self, connection: Any, keys: Any, column: str) -> None:
        self.connection, self.keys, self.column = connection, keys, column
        self.name = f"kundig_keys_{uuid.uuid4().hex[:12]}"

    def __enter__(self) -> str:
        if isinstance(self.keys, str):
            self.connection.execute(f"CREATE TEMP TABLE {self.name} AS SELECT * FROM ({self.keys}) t(key)")
        else:
            import pyarrow as pa

            self.connection.register(f"{self.name}_arrow", pa.table({"key": self.keys}))
            self.connection.execute(f"CREATE TEMP TABLE {self.name} AS SELECT key FROM {self.name}_arrow")
            self.connection.unregister(f"{self.name}_arrow")
        return self.name

    def __exit__(self, *_: object) -> None:
        self.connection.execute(f"DROP TABLE IF EXISTS {self.name}")


