"""Forgetting: snapshots that are no longer kept, and persons, out of every snapshot that is."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kundig.errors import Conflict, ContractError, nearest
from kundig.schema import Table
from kundig.store.files import fsync
from kundig.store.lake.catalogue import execute, execute_in, insert, rows, rows_in
from kundig.store.lake.commit import recount, stats_rows
from kundig.store.lake.files import DataFile, reading_live_files, unlink
from kundig.store.lake.reading import newest, table_states
from kundig.store.lake.shapes import Field, literal, quoted, read_schema
from kundig.store.lake.sources import as_keys
from kundig.store.lake.sweeping import sweep

if TYPE_CHECKING:
    import sqlalchemy as sa

    from kundig.store.lake.lake import Lake

_ATTEMPTS = 10
STAGED_DAYS = 3
"""Staged files that no run came back for in so many days are forgotten by `expire`."""


def expire(lake: Lake, keep: int) -> int:
    """Forget all snapshots but the newest `keep` releases and those since the newest; unlink files that no kept snapshot shows.

    Before the first release the newest `keep` snapshots are kept.

    Returns:
        How many files were unlinked.
    """
    with lake.catalogue.transaction(write=True) as connection:
        lake.crash("in transaction")
        kept = _kept(connection, keep)
        dead: list[Path] = []
        for what, key in (("ducklake_delete_file", "delete_file_id"), ("ducklake_data_file", "data_file_id")):
            ended = rows(connection, f"SELECT f.*, t.table_name FROM {what} f JOIN ducklake_table t ON t.table_id=f.table_id WHERE f.end_snapshot IS NOT NULL")
            gone = [row for row in ended if not any(row.begin_snapshot <= s < row.end_snapshot for s in kept)]
            dead += [lake.data / "main" / row.table_name / row.path for row in gone]
            ids = [getattr(row, key) for row in gone]
            if what == "ducklake_data_file":
                execute_in(connection, "DELETE FROM ducklake_file_column_stats WHERE data_file_id IN :ids", ids)
            execute_in(connection, f"DELETE FROM {what} WHERE {key} IN :ids", ids)
        lost = [row.snapshot_id for row in rows(connection, "SELECT snapshot_id FROM ducklake_snapshot") if row.snapshot_id not in kept]
        for what in ("ducklake_snapshot", "ducklake_snapshot_changes", "kundig_release"):
            execute_in(connection, f"DELETE FROM {what} WHERE snapshot_id IN :ids", lost)
        _forget_versions(connection, min(kept))
        _forget_staged(connection)
        bury(connection, lake, dead)
        lake.crash("before commit")
    lake.crash("after commit")
    remove(lake, dead)
    return len(dead)


def _kept(connection: sa.Connection, keep: int) -> set[int]:
    releases = [row.snapshot_id for row in rows(connection, f"SELECT snapshot_id FROM kundig_release ORDER BY release_id DESC LIMIT {int(keep)}")]
    if not releases:
        return {row.snapshot_id for row in rows(connection, f"SELECT snapshot_id FROM ducklake_snapshot ORDER BY snapshot_id DESC LIMIT {int(keep)}")}
    return {*releases, *(row.snapshot_id for row in rows(connection, "SELECT snapshot_id FROM ducklake_snapshot WHERE snapshot_id>=:s", s=releases[0]))}


def _forget_versions(connection: sa.Connection, oldest: int) -> None:
    """Of the versions before the oldest kept snapshot only the newest of each table matters."""
    sql = """
        DELETE FROM kundig_version WHERE snapshot_id < (
          SELECT max(v.snapshot_id) FROM kundig_version v WHERE v.table_id=kundig_version.table_id AND v.snapshot_id<=:s)"""
    execute(connection, sql, s=oldest)


def _forget_staged(connection: sa.Connection) -> None:
    import datetime as dt

    before = (dt.datetime.now(dt.UTC) - dt.timedelta(days=STAGED_DAYS)).isoformat(" ", "microseconds")
    execute(connection, "DELETE FROM kundig_staged WHERE created<:t", t=before)


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """Rows to take out of a table: those whose `column` (or an element of it, when it is a list) is among `keys`.

    With `instead` the rows stay and those columns are overwritten: column → SQL expression over the row `d`; `{keys}` stands for the
    table of the keys, whose column `key` holds them, beside the other columns of an Arrow table given as `keys`.
    """

    column: str
    keys: Any
    instead: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Request:
    """One table's erasure, its keys known to DuckDB by a name."""

    table: Table
    fields: tuple[Field, ...]
    table_id: int
    hit: str
    """SQL condition over the row `d`; never null."""
    key: Field
    instead: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class _Rewrite:
    """A data file and its delete files in their new form; None where no row is left."""

    request: _Request
    file: Any
    new: DataFile | None
    deletes: tuple[tuple[Any, DataFile | None], ...]
    gone: int


def erase(lake: Lake, wanted: Mapping[str, Erasure | tuple[str, Any]]) -> dict[str, int]:
    """Take rows out of every kept snapshot of several tables, in one transaction; old releases stay readable, without them.

    Each file, live or historical, that holds such a row is written anew; its catalogue row keeps its place in history, and delete files
    of it are rewritten to the new positions. Files staged for these tables are dropped, and commits under way fail with Conflict, since
    both may hold who is erased. Then the old files are unlinked and the catalogue's log is emptied.

    Returns:
        Rows taken out or overwritten per table, counted over all its files.

    Raises:
        Conflict: Others kept changing the tables.
    """
    asked = {name: one if isinstance(one, Erasure) else Erasure(column=one[0], keys=one[1]) for name, one in wanted.items()}
    with lake.writing, _requests(lake, asked) as requests:
        for _ in range(_ATTEMPTS):
            before = _everything(lake, requests)
            rewrites: list[_Rewrite] = []
            try:
                with reading_live_files():
                    for request in requests:
                        rewrites += _rewrites(lake, request, before[request.table_id])
                for folder in sorted({lake.writer.folder(rewrite.request.table.name) for rewrite in rewrites}):
                    fsync(folder)
                lake.crash("before transaction")
                old = _swap(lake, requests, asked, rewrites, before)
            except Conflict:
                for rewrite in rewrites:
                    lake.writer.discard(rewrite.request.table.name, [file for file in (rewrite.new, *(new for _, new in rewrite.deletes)) if file is not None])
                continue
            lake.crash("after commit")
            remove(lake, old)
            sweep(lake)  # what nothing names may hold them too
            lake.catalogue.truncate_log()
            return {name: sum(rewrite.gone for rewrite in rewrites if rewrite.request.table.name == name) for name in asked}
    raise Conflict(f"others kept changing {', '.join(sorted(asked))} during the erasure", mend="run the erasure again when nobody writes")


@contextmanager
def _requests(lake: Lake, asked: Mapping[str, Erasure]) -> Iterator[list[_Request]]:
    tables = [lake.known(name) for name in asked]
    with lake.catalogue.transaction() as connection:
        states = table_states(connection, lake.data, tables, newest(connection))
    with ExitStack() as stack:
        found = []
        for name, one in asked.items():
            state = states[name]
            names = {f.name: f for f in state.fields}
            for column in (one.column, *one.instead):
                if column not in names:
                    raise ContractError(f"column '{column}' is not declared", at=f"table '{name}'", mend=nearest(column, names))
            if state.table_id is None:
                continue
            keys = stack.enter_context(as_keys(lake.duck, one.keys))
            place = f"d.{quoted(one.column)}"
            test = f"list_has_any({place}, (SELECT list(key) FROM {keys}))" if names[one.column].element_id is not None else f"{place} IN (SELECT key FROM {keys})"
            instead = {column: sql.replace("{keys}", keys) for column, sql in one.instead.items()}
            found.append(_Request(table=state.table, fields=state.fields, table_id=state.table_id, hit=f"coalesce({test}, false)", key=names[one.column], instead=instead))
        yield found


def _everything(lake: Lake, requests: list[_Request]) -> dict[int, tuple[list[Any], list[Any]]]:
    """Every data file and delete file of the tables, of all snapshots."""
    with lake.catalogue.transaction() as connection:
        return _files_of(connection, [request.table_id for request in requests])


def _files_of(connection: sa.Connection, ids: list[int]) -> dict[int, tuple[list[Any], list[Any]]]:
    files = rows_in(connection, "SELECT data_file_id, table_id, path, record_count FROM ducklake_data_file WHERE table_id IN :ids ORDER BY data_file_id", ids)
    deletes = rows_in(connection, "SELECT delete_file_id, table_id, data_file_id, path FROM ducklake_delete_file WHERE table_id IN :ids ORDER BY delete_file_id", ids)
    return {i: ([file for file in files if file.table_id == i], [delete for delete in deletes if delete.table_id == i]) for i in ids}


def _rewrites(lake: Lake, request: _Request, held: tuple[list[Any], list[Any]]) -> Iterator[_Rewrite]:
    files, deletes = held
    folder = lake.data / "main" / request.table.name
    if not files:
        return
    listed = ", ".join(literal(folder / file.path) for file in files)
    sql = f"SELECT d.filename, count(*) FROM read_parquet([{listed}], schema={read_schema((request.key,))}, filename=true) d WHERE {request.hit} GROUP BY d.filename"
    hits = {Path(name).name: int(count) for name, count in lake.duck.execute(sql).fetchall()}
    for file in files:
        if file.path in hits:
            mine = [delete for delete in deletes if delete.data_file_id == file.data_file_id]
            yield _rewrite(lake, request, file, mine, hits[file.path])


def _rewrite(lake: Lake, request: _Request, file: Any, deletes: list[Any], gone: int) -> _Rewrite:
    folder = lake.data / "main" / request.table.name
    source = f"read_parquet([{literal(folder / file.path)}], schema={read_schema(request.fields)}, file_row_number=true) d"
    if request.instead:
        columns = ", ".join(f"CASE WHEN {request.hit} THEN {request.instead[f.name]} ELSE d.{quoted(f.name)} END AS {quoted(f.name)}" if f.name in request.instead else f"d.{quoted(f.name)}" for f in request.fields)
        kept = f"SELECT {columns}, d.file_row_number FROM {source}"
    else:
        kept = f"SELECT d.* FROM {source} WHERE NOT {request.hit}"
    made = lake.writer.write(request.table, request.fields, kept, order="ORDER BY file_row_number")
    new = made[0] if made else None
    moved: list[tuple[Any, DataFile | None]] = [(delete, None) for delete in deletes]
    if new is not None and deletes:
        positions = f"kundig_moved_{uuid.uuid4().hex[:12]}"
        lake.duck.execute(f"CREATE TEMP TABLE {positions} AS SELECT file_row_number AS old, row_number() OVER (ORDER BY file_row_number) - 1 AS pos FROM ({kept})")
        try:
            moved = [(delete, _moved(lake, request.table.name, folder, delete, positions, folder / new.path)) for delete in deletes]
        finally:
            lake.duck.execute(f"DROP TABLE {positions}")
    return _Rewrite(request=request, file=file, new=new, deletes=tuple(moved), gone=gone)


def _moved(lake: Lake, table: str, folder: Path, delete: Any, positions: str, target: Path) -> DataFile | None:
    sql = f"SELECT {literal(target)} AS file_path, p.pos AS pos FROM {positions} p SEMI JOIN read_parquet([{literal(folder / delete.path)}]) g ON p.old=g.pos"
    return lake.writer.write_deletes(table, sql)


def _swap(lake: Lake, requests: list[_Request], asked: Mapping[str, Erasure], rewrites: list[_Rewrite], before: dict[int, tuple[list[Any], list[Any]]]) -> list[Path]:
    """The transaction: catalogue rows point at the new files. Returns the old ones."""
    old: list[Path] = []
    with lake.catalogue.transaction(write=True) as connection:
        lake.crash("in transaction")
        if _files_of(connection, [request.table_id for request in requests]) != before:
            raise Conflict("the tables changed during the erasure", mend="run the erasure again")
        for rewrite in rewrites:
            old += _apply(connection, lake.data / "main" / rewrite.request.table.name, rewrite)
        for request in requests:
            recount(connection, request.table_id)
        for name in asked:
            if not execute(connection, "UPDATE kundig_erasure SET times=times+1 WHERE table_name=:n", n=name):
                insert(connection, "kundig_erasure", [{"table_name": name, "times": 1}])
        staged = rows_in(connection, "SELECT table_name, files FROM kundig_staged WHERE table_name IN :ids", asked)
        old += [lake.data / "main" / row.table_name / file["path"] for row in staged for file in json.loads(row.files)["files"]]
        execute_in(connection, "DELETE FROM kundig_staged WHERE table_name IN :ids", asked)
        bury(connection, lake, old)
        lake.crash("before commit")
    return old


def _apply(connection: sa.Connection, folder: Path, rewrite: _Rewrite) -> list[Path]:
    file, new = rewrite.file, rewrite.new
    if new is None:
        execute(connection, "DELETE FROM ducklake_data_file WHERE data_file_id=:i", i=file.data_file_id)
    else:
        sql = "UPDATE ducklake_data_file SET path=:p, record_count=:c, file_size_bytes=:z, footer_size=:f WHERE data_file_id=:i"
        execute(connection, sql, i=file.data_file_id, p=new.path, c=new.record_count, z=new.file_size_bytes, f=new.footer_size)
    execute(connection, "DELETE FROM ducklake_file_column_stats WHERE data_file_id=:i", i=file.data_file_id)
    if new is not None:
        insert(connection, "ducklake_file_column_stats", stats_rows(file.data_file_id, rewrite.request.table_id, new))
    for delete, moved in rewrite.deletes:
        if moved is None:
            execute(connection, "DELETE FROM ducklake_delete_file WHERE delete_file_id=:i", i=delete.delete_file_id)
        else:
            sql = "UPDATE ducklake_delete_file SET path=:p, delete_count=:c, file_size_bytes=:z, footer_size=:f WHERE delete_file_id=:i"
            execute(connection, sql, i=delete.delete_file_id, p=moved.path, c=moved.record_count, z=moved.file_size_bytes, f=moved.footer_size)
    return [folder / file.path, *(folder / delete.path for delete, _ in rewrite.deletes)]


def bury(connection: sa.Connection, lake: Lake, paths: list[Path]) -> None:
    """Note files that must leave the disk, in the transaction that stops naming them: a crash before their unlinking forgets none."""
    insert(connection, "kundig_gone", [{"path": str(path.relative_to(lake.data / "main"))} for path in dict.fromkeys(paths)])


def remove(lake: Lake, paths: list[Path]) -> None:
    """Unlink buried files, then forget them."""
    if not paths:
        return
    unlink(dict.fromkeys(paths), lake.crash)
    with lake.catalogue.transaction(write=True) as connection:
        execute_in(connection, "DELETE FROM kundig_gone WHERE path IN :ids", [str(path.relative_to(lake.data / "main")) for path in paths])
