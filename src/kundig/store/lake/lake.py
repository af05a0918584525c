"""The lake: what it holds as of a snapshot, staging of new files, and the commit that shows them to everybody at once."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kundig.errors import AlreadyLanded, Conflict, ContractError, StoreError, nearest
from kundig.schema import Table
from kundig.store.files import fsync
from kundig.store.lake.catalogue import Catalogue, execute_in, insert, moment, now, refuse_foreign, rows, under
from kundig.store.lake.commit import Append, Change, Prepared, Release, ReleaseMark, Replace, Swap, Transaction, Upsert, erasures
from kundig.store.lake.files import Crash, DataFile, StagedFiles, Writer, reading_live_files
from kundig.store.lake.reading import FileRow, Ranges, TableState, newest, pruned, select, table_states
from kundig.store.lake.shapes import Field, literal, nothing, quoted, read_schema
from kundig.store.lake.sources import as_keys, as_query
from kundig.store.lake.writers import FileLock, LeaseRow

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

    from kundig.store.lake.forgetting import Erasure

NEWEST = 1_000
"""Batches that are looked through, newest first, before all of those that begin alike are."""


Standing = tuple[str, int, int, int]
"""When a snapshot was made, how often rows were erased, the newest shape of the tables, and how many hold rows of another writer."""


class Lake:
    """Declared tables as Parquet files under `data`, with their catalogue at `url` (`sqlite:///…` or `postgresql+psycopg://…`).

    `duck` is the DuckDB connection that reads and writes the files (one is opened when none is given); `leases` is for several hosts
    that share a PostgreSQL catalogue; `crash` is called with the name of each step of a commit, for tests that kill the process there.
    """

    def __init__(
        self, url: str, data: Path | str, tables: Mapping[str, Table], *, duck: Any = None, leases: bool = False, crash: Crash = lambda step: None
    ) -> None:
        self.data = Path(data).absolute()
        self.data.mkdir(parents=True, exist_ok=True)
        self.tables = dict(tables)
        self.leases, self.crash = leases, crash
        self.catalogue = Catalogue(url, self.data)
        self._duck = duck
        self._writer: Writer | None = None
        self._backend: Any = None
        self.readers: list[Any] = []  # of `store.query`: those that nobody uses now
        self.writing = threading.RLock()  # held while this process writes: one writer, one connection
        if leases and self.catalogue.sqlite:
            raise StoreError("several hosts cannot share a SQLite catalogue", mend="give the lake a PostgreSQL URL (store.catalogue)")
        with self.catalogue.transaction() as connection:
            refuse_foreign(connection)

    @property
    def duck(self) -> Any:
        """The DuckDB connection that reads and writes the files."""
        if self._duck is None:
            from kundig.store.engines.duckdb import connect

            self._duck = connect()
        return self._duck

    @property
    def writer(self) -> Writer:
        """The writer of this process, made at its first use; readers hold no lock."""
        with self.writing:
            if self._writer is None:
                presence = LeaseRow(self.catalogue) if self.leases else FileLock(self.data)
                self._writer = Writer(self.data, self.duck, self.crash, presence)
            return self._writer

    @property
    def writer_name(self) -> str:
        """Name of this process's writer; empty while it has written nothing."""
        return "" if self._writer is None else self._writer.presence.name

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
            return newest(connection)

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
        """Per table, the snapshot that last changed its rows, as of a snapshot; compaction changes files, not rows."""
        sql = """
            SELECT t.table_name AS name, max(v.snapshot_id) AS s FROM kundig_version v JOIN ducklake_table t ON t.table_id=v.table_id
            WHERE v.snapshot_id<=:s GROUP BY t.table_name"""
        with self.catalogue.transaction() as connection:
            return {row.name: int(row.s) for row in rows(connection, sql, s=at)}

    def standing(self, at: int) -> Standing:
        """What a list of a snapshot's files rests on: while it is the same, so are the files and columns of every table in that snapshot."""
        sql = """
            SELECT (SELECT snapshot_time FROM ducklake_snapshot WHERE snapshot_id=:s) AS made, (SELECT coalesce(sum(times), 0) FROM kundig_erasure) AS erasures,
                   (SELECT schema_version FROM ducklake_snapshot ORDER BY snapshot_id DESC LIMIT 1) AS shape, (SELECT count(*) FROM ducklake_inlined_data_tables) AS inlined"""
        with self.catalogue.transaction() as connection:
            found = rows(connection, sql, s=at)[0]
        return str(found.made), int(found.erasures), int(found.shape), int(found.inlined)

    def known(self, name: str) -> Table:
        """The declaration of a table.

        Raises:
            ContractError: It is not declared.
        """
        if name not in self.tables:
            raise ContractError(f"there is no table '{name}'", at=str(self.data), mend=nearest(name, self.tables, most=90))
        return self.tables[name]

    def has_batch(self, batch: str) -> bool:
        """This batch has landed."""
        with self.catalogue.transaction() as connection:
            return bool(rows(connection, "SELECT 1 FROM kundig_batch WHERE batch_id=:b", b=batch))

    def batches(self, stem: str, *, since: dt.datetime | None = None) -> tuple[str, ...]:
        """The batches that have landed under ids that begin so, in the order they landed; `since` leaves out those known to have landed before."""
        with self.catalogue.transaction() as connection:
            begins, values = under(connection, stem)
            if since is not None:
                begins, values = f"{begins} AND snapshot_id > coalesce((SELECT max(snapshot_id) FROM ducklake_snapshot WHERE snapshot_time < :since), -1)", values | {"since": since.astimezone(dt.UTC).isoformat(" ", "microseconds")}
            return tuple(row.batch_id for row in rows(connection, f"SELECT batch_id FROM kundig_batch WHERE {begins} ORDER BY snapshot_id", **values))

    def last_batch(self, prefix: str) -> str | None:
        """The batch that landed last of those whose ids begin so; None where there is none. Asked are the newest batches first, then those that begin so."""
        with self.catalogue.transaction() as connection:
            begins, values = under(connection, prefix)
            newest = f"SELECT batch_id FROM (SELECT batch_id, snapshot_id FROM kundig_batch ORDER BY snapshot_id DESC LIMIT {NEWEST}) n WHERE {begins} ORDER BY snapshot_id DESC LIMIT 1"
            all_of_it = f"SELECT batch_id FROM kundig_batch WHERE {begins} ORDER BY +snapshot_id DESC LIMIT 1"  # the plus: by the range of ids, not along all snapshots
            for query in (newest, all_of_it):
                if found := rows(connection, query, **values):
                    return str(found[0].batch_id)
        return None

    def batch_moment(self, batch: str) -> dt.datetime | None:
        """When a batch landed; None where it has not, or its snapshot is no longer kept."""
        query = "SELECT s.snapshot_time AS landed_at FROM kundig_batch b JOIN ducklake_snapshot s ON s.snapshot_id = b.snapshot_id WHERE b.batch_id=:b"
        with self.catalogue.transaction() as connection:
            return next((moment(row.landed_at) for row in rows(connection, query, b=batch)), None)

    # reading

    def state(self, name: str, at: int | None = None) -> TableState:
        """The fields and files of a table as of a snapshot (the newest by default)."""
        table = self.known(name)
        with self.catalogue.transaction() as connection:
            return table_states(connection, self.data, [table], newest(connection) if at is None else at)[name]

    def files(self, name: str, at: int | None = None, *, ranges: Ranges | None = None) -> tuple[tuple[Field, ...], tuple[FileRow, ...]]:
        """The fields and the files of a table as of a snapshot; with `ranges`, those files whose bounds can meet them."""
        table = self.known(name)
        with self.catalogue.transaction() as connection:
            state = table_states(connection, self.data, [table], newest(connection) if at is None else at)[name]
            return state.fields, pruned(connection, state, ranges or {})

    def scan(self, name: str, at: int | None = None, *, ranges: Ranges | None = None, files: Container[int] | None = None) -> str:
        """SQL that yields a table's rows as of a snapshot (the newest by default), in its declared columns; put it behind FROM.

        `ranges` maps columns to (low, high): files whose bounds cannot meet them are left out; the rows are not filtered. With `files`
        only those of these ids are read. The text
        names files: when one was erased or expired since, reading raises `duckdb.IOException`, and a new text reads what is left.
        """
        fields, found = self.files(name, at, ranges=ranges)
        return select(fields, found if files is None else [file for file in found if file.id in files])

    def scan_staged(self, staged: StagedFiles) -> str:
        """SQL that yields the rows of staged files; put it behind FROM."""
        if not staged.files:
            return nothing(staged.fields)
        folder = self.data / "main" / staged.table
        names = ", ".join(quoted(field.name) for field in staged.fields)
        return f"(SELECT {names} FROM read_parquet([{', '.join(literal(folder / file.path) for file in staged.files)}], schema={read_schema(staged.fields)}))"

    def answer(self, query: Callable[[Callable[[str], str]], str], at: int | None = None) -> pa.Table:
        """Rows of a SQL text over tables of one snapshot, as Arrow; any thread may ask.

        `query` is given a function from a table's name to what stands behind FROM: `lambda table: f"SELECT count(*) FROM {table('orders')}"`. When a file was erased or expired between the list and
        the reading, the list is taken once more.

        Raises:
            duckdb.Error: The text cannot be answered.
        """
        import duckdb

        try:
            return self._answered(query, at)
        except duckdb.IOException:
            return self._answered(query, at)

    def ibis(self, name: str, at: int | None = None, *, backend: Any = None) -> ir.Table:
        """The table as of a snapshot, as an Ibis table over this lake's connection (or a DuckDB backend of Ibis); JSON columns are text."""
        from kundig.store.engines.duckdb import ibis_backend

        if backend is None:
            if self._backend is None:
                self._backend = ibis_backend(self.duck)
            backend = self._backend
        snapshot = self.snapshot() if at is None else at
        fields, files = self.files(name, snapshot)
        columns = ", ".join(f"{quoted(f.name)}::VARCHAR AS {quoted(f.name)}" if f.kind == "JSON" else quoted(f.name) for f in fields)
        view = f"{name}@{snapshot}"
        backend.con.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(view)} AS SELECT {columns} FROM {select(fields, files)}")
        return backend.table(view)

    def apart(self) -> Any:
        """A backend for `ibis` over a connection of its own to the same engine: a thread may compute with it while others use the lake's."""
        from kundig.store.engines.duckdb import ibis_backend

        return ibis_backend(self.duck.cursor())

    def export(self, name: str, path: Path, *, at: int | None = None, limit: int = 0) -> int:
        """Write a table's rows as one Parquet file, whole or not at all. Returns how many."""
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        cut = f" LIMIT {limit}" if limit else ""
        count = self.duck.execute(f"COPY (SELECT * FROM {self.scan(name, at)}{cut}) TO {literal(temporary)} (FORMAT parquet, COMPRESSION zstd)").fetchone()
        fsync(temporary)
        temporary.replace(path)
        return int(count[0])

    # writing

    def stage(self, name: str, source: Any, *, order: str | None = None, run: str = "", step: str = "") -> StagedFiles:
        """Write rows as files that nobody sees yet. `source`: SQL text of a query, or Arrow rows.

        They are kept over the death of this process until they are committed or unstaged, and found again by `staged` under `run` and `step`.

        Raises:
            ContractError: The rows are not as declared.
        """
        table = self.known(name)
        with self.writing:
            with self.catalogue.transaction() as connection:
                state = table_states(connection, self.data, [table], newest(connection))[name]
                before = erasures(connection, {name: None})
            with as_query(self.duck, source, state.fields) as query:
                files = self.writer.write(table, state.fields, query, order=order)
            staged = StagedFiles(staged_id=uuid.uuid4().hex, table=name, files=files, fields=state.fields)
            fsync(self.writer.folder(name))
            row = {"staged_id": staged.staged_id, "run": run, "step": step, "table_name": name, "files": staged.text(), "created": now()}
            try:
                with self.catalogue.transaction(write=True) as connection:
                    Transaction(connection, self.crash).demand_not_erased(before)
                    insert(connection, "kundig_staged", [row])
            except Conflict:
                self.writer.discard(name, files)
                raise
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
        """Forget staged files and remove them, but for those of one run. Returns how many stagings were forgotten."""
        from kundig.store.lake.forgetting import bury, remove

        with self.catalogue.transaction(write=True) as connection:
            found = [row for row in rows(connection, "SELECT * FROM kundig_staged") if row.run != keep_run]
            execute_in(connection, "DELETE FROM kundig_staged WHERE staged_id IN :ids", [row.staged_id for row in found])
            paths = [self.data / "main" / row.table_name / file.path for row in found for file in StagedFiles.of(row.staged_id, row.table_name, row.files).files]
            bury(connection, self, paths)
        remove(self, paths)
        return len(found)

    def commit(
        self, changes: Sequence[Change], *, batch: str | None = None, message: str | None = None, release: ReleaseMark | None = None,
        expect: int | Mapping[str, int] | None = None,
    ) -> int:  # fmt: skip
        """All changes as one snapshot, or none. Returns the snapshot.

        Tables are created at their first change, and columns declared since are added. `batch` is taken once for all time. `expect` is the
        snapshot that the rows of replaced and upserted tables were computed on (the newest by default); as a mapping, it holds for every
        table it names. Rows may be appended at any time.

        Raises:
            AlreadyLanded: The batch is in the catalogue.
            Conflict: A table changed since, or rows were erased meanwhile; nothing of the commit is visible, and its files are gone.
            ContractError: Rows are not as declared.
        """
        declared = {change.table: self.known(change.table) for change in changes}
        _demand_one_per_table(changes)
        with self.writing:
            with self.catalogue.transaction() as connection:
                base = newest(connection)
                if batch is not None and rows(connection, "SELECT 1 FROM kundig_batch WHERE batch_id=:b", b=batch):
                    raise AlreadyLanded(f"the batch '{batch}' has landed before", mend="nothing to do")
                states = table_states(connection, self.data, declared.values(), base)
                before = erasures(connection, declared)
            expected = _expected(changes, expect, base)
            written: list[tuple[str, DataFile]] = []
            sent = False
            try:
                prepared = [self._prepare(change, states[change.table], written) for change in changes]
                for folder in sorted({self.writer.folder(name) for name, _ in written}):
                    fsync(folder)
                self.crash("before transaction")
                with self.catalogue.transaction(write=True) as connection:
                    self.writer.presence.demand(connection)
                    transaction = Transaction(connection, self.crash)
                    transaction.claim(batch)
                    transaction.demand_unchanged(expected)
                    transaction.demand_not_erased(before)
                    transaction.take_staged([change.source.staged_id for change in changes if isinstance(change.source, StagedFiles)])
                    transaction.load(declared)
                    for one in prepared:
                        transaction.enter(one)
                    snapshot = transaction.finish(message=message, release=release)
                    self.crash("before commit")
                    sent = True
            except Exception:
                if not sent:  # once COMMIT was sent, only the catalogue knows; the sweep asks it
                    for name, file in written:
                        self.writer.discard(name, [file])
                raise
        self.crash("after commit")
        return snapshot

    # forgetting

    def expire(self, keep: int = 14) -> int:
        """Forget all but the newest `keep` releases and the snapshots since the newest; see `forgetting.expire`."""
        from kundig.store.lake.forgetting import expire

        return expire(self, keep)

    def erase(self, wanted: Mapping[str, Erasure | tuple[str, Any]]) -> dict[str, int]:
        """Take rows out of every kept snapshot: table → (column, keys); see `forgetting.erase`."""
        from kundig.store.lake.forgetting import erase

        return erase(self, wanted)

    def compact(self, names: Iterable[str] | None = None, *, force: bool = False, joins: int | None = None) -> dict[str, int]:
        """Write tables of many small files or many hidden rows anew; see `compaction.compact`."""
        from kundig.store.lake.compaction import compact

        return compact(self, names, force=force, joins=joins)

    def sweep(self) -> list[str]:
        """Remove what dead writers left; see `sweeping.sweep`."""
        from kundig.store.lake.sweeping import sweep

        return sweep(self)

    def verify(self, *, deep: bool = False) -> list[str]:
        """What is not as the catalogue says; see `sweeping.verify`."""
        from kundig.store.lake.sweeping import verify

        return verify(self, deep=deep)

    # parts

    def _answered(self, query: Callable[[Callable[[str], str]], str], at: int | None) -> pa.Table:
        snapshot = self.snapshot() if at is None else at
        text = query(lambda name: self.scan(name, snapshot))
        with self.duck.cursor() as cursor:
            return cursor.execute(text).to_arrow_table()

    def _prepare(self, change: Change, state: TableState, written: list[tuple[str, DataFile]]) -> Prepared:
        table, fields = state.table, state.fields
        if isinstance(change.source, StagedFiles):
            if change.source.table != change.table:
                raise StoreError(f"files staged for '{change.source.table}' cannot be committed to '{change.table}'")
            files, fields = change.source.files, change.source.fields
        else:
            with as_query(self.duck, change.source, fields) as query:
                files = self.writer.write(table, fields, query)
            written += [(table.name, file) for file in files]
        seen = {file.id: None if file.deletes is None else Path(file.deletes).name for file in state.files}
        if isinstance(change, Upsert):
            deletes, whole = self._hidden(change, state, written)
            return Prepared(change=change, table=table, fields=fields, files=files, ended=whole, deletes=deletes, seen=seen)
        if isinstance(change, Swap):
            return Prepared(change=change, table=table, fields=fields, files=files, ended=change.file_ids, seen={i: seen.get(i) for i in change.file_ids})
        return Prepared(change=change, table=table, fields=fields, files=files)

    def _hidden(self, change: Upsert, state: TableState, written: list[tuple[str, DataFile]]) -> tuple[dict[int, tuple[DataFile, int]], tuple[int, ...]]:
        """The delete files that hide the rows of the keys, and the files of which no row would be left."""
        deletes: dict[int, tuple[DataFile, int]] = {}
        whole: list[int] = []
        key = next((field for field in state.fields if field.name == change.column), None)
        if key is None:
            raise ContractError(f"column '{change.column}' is not declared", at=f"table '{change.table}'", mend=nearest(change.column, state.table.names))
        if not state.files:
            return deletes, ()
        schema = read_schema((key,))
        with reading_live_files(), as_keys(self.duck, change.keys) as keys:
            hit = f"f SEMI JOIN {keys} k ON f.{quoted(key.name)}=k.key"
            every = f"read_parquet([{', '.join(literal(file.path) for file in state.files)}], schema={schema}, filename=true)"
            touched = {row[0] for row in self.duck.execute(f"SELECT DISTINCT f.filename FROM {every} {hit}").fetchall()}
            for file in state.files:
                if file.path not in touched:
                    continue
                positions = f"SELECT file_row_number AS pos FROM read_parquet([{literal(file.path)}], schema={schema}, file_row_number=true) {hit}"
                if file.deletes is not None:
                    positions = f"{positions} UNION SELECT pos FROM read_parquet([{literal(file.deletes)}])"
                made = self.writer.write_deletes(change.table, f"SELECT {literal(file.path)} AS file_path, pos FROM ({positions})")
                if made is None or made.record_count in (file.deleted, file.record_count):
                    self.writer.discard(change.table, [made] if made is not None else [])
                    whole += [file.id] if made is not None and made.record_count == file.record_count else []
                    continue
                deletes[file.id] = (made, made.record_count)
                written.append((change.table, made))
        return deletes, tuple(whole)


def _demand_one_per_table(changes: Sequence[Change]) -> None:
    """An upsert looks at the files that a replacement in the same commit, or another upsert, would end."""
    moving = [change.table for change in changes if isinstance(change, Replace | Upsert)]
    twice = sorted({name for name in moving if moving.count(name) > 1})
    if twice:
        raise StoreError(f"a commit replaces or upserts a table once; twice: {', '.join(twice)}", mend="join the rows before the commit")


def _expected(changes: Sequence[Change], expect: int | Mapping[str, int] | None, base: int) -> dict[str, int]:
    """Table → the snapshot since which it may not have changed."""
    moving = {change.table for change in changes if isinstance(change, Replace | Upsert)}
    if isinstance(expect, Mapping):
        return dict.fromkeys(moving, base) | dict(expect)
    return dict.fromkeys(moving, base if expect is None else expect)


__all__ = ["Append", "Lake"]
