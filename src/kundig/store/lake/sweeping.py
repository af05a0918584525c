"""Sweeping up after writers that died, and the check that disk and catalogue agree."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kundig.store.lake.catalogue import execute_in, rows, rows_in
from kundig.store.lake.files import OWN_NAME, STAGING, unlink
from kundig.store.lake.reading import bound, newest, table_states
from kundig.store.lake.shapes import Field, declared_fields, fields_of, literal, quoted, read_schema
from kundig.store.lake.writers import bury_file_locks, bury_leases

if TYPE_CHECKING:
    import sqlalchemy as sa

    from kundig.store.lake.lake import Lake

_AT_ONCE = 200


def sweep(lake: Lake) -> list[str]:
    """Remove the files that no row names and whose writer is dead, and those buried and not unlinked. Returns the files.

    Bounds of personal columns that another writer left in the catalogue are cleared.
    """
    with lake.writing:  # nothing of this process is under way: what its own writer left behind may go too
        on_disk = _on_disk(lake)  # before the writers: a file that comes later belongs to one that lives
        alive = _alive(lake)
        with lake.catalogue.transaction() as connection:
            named, gone = _named(connection), {row.path for row in rows(connection, "SELECT path FROM kundig_gone")}
        orphans = [path for name, path in on_disk.items() if name not in named and (name in gone or _dead(path, alive))]
        unlink(orphans, lake.crash)
        _remove_staging(lake, alive)
        with lake.catalogue.transaction(write=True) as connection:
            execute_in(connection, "DELETE FROM kundig_gone WHERE path IN :ids", gone - named)
            _clear_personal(connection, lake)
    return [str(path) for path in orphans]


def _remove_staging(lake: Lake, alive: set[str]) -> None:
    """What Spark had written aside for a writer that died."""
    for folder in (lake.data / STAGING).glob("*"):
        if folder.name.partition("-")[0] not in alive:
            shutil.rmtree(folder, ignore_errors=True)


def _on_disk(lake: Lake) -> dict[str, Path]:
    main = lake.data / "main"
    return {f"{path.parent.name}/{path.name}": path for path in sorted(main.glob("*/*.parquet"))} if main.is_dir() else {}


def _dead(path: Path, alive: set[str]) -> bool:
    own = OWN_NAME.fullmatch(path.name)
    return own is not None and own[1] not in alive


def _named(connection: sa.Connection) -> set[str]:
    sql = """
        SELECT t.table_name AS n, f.path AS p FROM ducklake_data_file f JOIN ducklake_table t ON t.table_id=f.table_id
        UNION ALL SELECT t.table_name, f.path FROM ducklake_delete_file f JOIN ducklake_table t ON t.table_id=f.table_id"""
    named = {f"{row.n}/{row.p}" for row in rows(connection, sql)}
    staged = rows(connection, "SELECT table_name, files FROM kundig_staged")
    return named | {f"{row.table_name}/{file['path']}" for row in staged for file in json.loads(row.files)["files"]}


def _clear_personal(connection: sa.Connection, lake: Lake) -> None:
    ids = {row.table_id: row.table_name for row in rows(connection, "SELECT table_id, table_name FROM ducklake_table") if row.table_name in lake.tables}
    execute_in(connection, "DELETE FROM ducklake_table_column_stats WHERE table_id IN :ids", ids)
    columns: dict[int, list[Any]] = {}
    for column in rows_in(connection, "SELECT table_id, column_id, column_name, parent_column FROM ducklake_column WHERE table_id IN :ids", ids):
        columns.setdefault(column.table_id, []).append(column)
    for table_id, found in columns.items():
        hidden = lake.tables[ids[table_id]].personal_columns
        roots = {column.column_id for column in found if column.column_name in hidden and column.parent_column is None}
        personal = roots | {column.column_id for column in found if column.parent_column in roots}
        sql = """
            UPDATE ducklake_file_column_stats SET min_value=NULL, max_value=NULL, extra_stats=NULL
            WHERE table_id=:t AND column_id IN :ids AND (min_value IS NOT NULL OR max_value IS NOT NULL OR extra_stats IS NOT NULL)"""
        execute_in(connection, sql, personal, t=table_id)


def verify(lake: Lake, *, deep: bool = False) -> list[str]:
    """What is not as the catalogue says; empty when all is well.

    Files missing, unnamed, of other sizes or row counts; delete files that name rows twice or rows that are not there; two files or
    releases where one should be; counters behind; bounds of personal columns. `deep` reads every row and compares the bounds with it.
    """
    with lake.writing, lake.catalogue.transaction() as connection:
        on_disk = _on_disk(lake)
        alive = _alive(lake)
        files = rows(connection, "SELECT f.*, t.table_name FROM ducklake_data_file f JOIN ducklake_table t ON t.table_id=f.table_id")
        deletes = rows(connection, "SELECT f.*, t.table_name FROM ducklake_delete_file f JOIN ducklake_table t ON t.table_id=f.table_id")
        named, gone = _named(connection), {row.path for row in rows(connection, "SELECT path FROM kundig_gone")}
        faults = [*_counters(connection, files, deletes), *_bounds_of_persons(connection, lake)]
        bounds = _bounds(connection, lake, files) if deep else []
        states = table_states(connection, lake.data, lake.tables.values(), newest(connection))
    found, whole = _files(lake, files, deletes)
    faults += found
    unnamed = [name for name, path in on_disk.items() if name not in named and name not in gone and (OWN_NAME.fullmatch(path.name) is None or _dead(path, alive))]
    faults += [f"{name} is on disk and nothing names it" for name in unnamed]
    for state in states.values():
        if state.rows < 0:
            faults.append(f"'{state.table.name}' hides more rows than it has")
    return faults + [fault for check in bounds if str(lake.data / "main" / check[0].table_name / check[0].path) in whole for fault in _narrow(lake, *check)]


def _files(lake: Lake, files: list[Any], deletes: list[Any]) -> tuple[list[str], set[str]]:
    """What is wrong with the files, and the paths of those that are there in the size the catalogue says."""
    faults = []
    whole: dict[str, int] = {}
    for file, count in [(file, file.record_count) for file in files] + [(delete, delete.delete_count) for delete in deletes]:
        path = lake.data / "main" / file.table_name / file.path
        name = f"{file.table_name}/{file.path}"
        if not path.is_file():
            faults.append(f"{name} is named but missing")
        elif path.stat().st_size != file.file_size_bytes:
            faults.append(f"{name} has {path.stat().st_size} bytes, the catalogue says {file.file_size_bytes}")
        else:
            whole[str(path)] = count
    paths = sorted(whole)
    for start in range(0, len(paths), _AT_ONCE):
        some = paths[start : start + _AT_ONCE]
        held = dict(lake.duck.execute(f"SELECT file_name, num_rows FROM parquet_file_metadata([{', '.join(map(literal, some))}])").fetchall())
        faults += [f"{Path(path).parent.name}/{Path(path).name} holds {held.get(path)} rows, the catalogue says {whole[path]}" for path in some if held.get(path) != whole[path]]
    records = {file.data_file_id: file.record_count for file in files}
    for delete in deletes:
        path = str(lake.data / "main" / delete.table_name / delete.path)
        if path in whole:
            distinct, last = lake.duck.execute(f"SELECT count(DISTINCT pos), max(pos) FROM read_parquet([{literal(path)}])").fetchone()
            if distinct != delete.delete_count or last >= records.get(delete.data_file_id, 0):
                faults.append(f"{delete.table_name}/{delete.path} hides rows twice, or rows that its file does not have")
    return faults, set(whole)


def _alive(lake: Lake) -> set[str]:
    """Names of the writers that live, but for this process's own."""
    alive = bury_leases(lake.catalogue) if lake.leases else bury_file_locks(lake.data)
    return alive - {lake.writer_name}


def _counters(connection: sa.Connection, files: list[Any], deletes: list[Any]) -> list[str]:
    faults = [f"run {row.run_id} made {row.n} releases" for row in rows(connection, "SELECT run_id, count(*) AS n FROM kundig_release GROUP BY run_id HAVING count(*)>1")]
    lost = rows(connection, "SELECT release_id FROM kundig_release r WHERE NOT EXISTS (SELECT 1 FROM ducklake_snapshot s WHERE s.snapshot_id=r.snapshot_id)")
    faults += [f"the snapshot of release {row.release_id} is gone" for row in lost]
    last = rows(connection, "SELECT * FROM ducklake_snapshot ORDER BY snapshot_id DESC LIMIT 1")[0]
    highest = max([-1, *(file.data_file_id for file in files), *(delete.delete_file_id for delete in deletes)])
    if last.next_file_id <= highest:
        faults.append(f"the next file id is {last.next_file_id}, and {highest} is taken")
    live: dict[str, int] = {}
    for file in files:
        if file.end_snapshot is None:
            live[file.table_name] = live.get(file.table_name, 0) + file.record_count
        elif file.end_snapshot <= file.begin_snapshot:
            faults.append(f"{file.table_name}/{file.path} ends before it begins")
    totals = rows(connection, "SELECT t.table_name, s.record_count FROM ducklake_table_stats s JOIN ducklake_table t ON t.table_id=s.table_id")
    faults += [f"'{row.table_name}' has {live.get(row.table_name, 0)} live rows, its total says {row.record_count}" for row in totals if live.get(row.table_name, 0) != row.record_count]
    paths = [(file.table_name, file.path) for file in (*files, *deletes)]
    if len(set(paths)) != len(paths):
        faults.append("a file is named twice")
    hiding = [delete.data_file_id for delete in deletes if delete.end_snapshot is None]
    if len(set(hiding)) != len(hiding):
        faults.append("a data file has two delete files at once")
    return faults


def _bounds_of_persons(connection: sa.Connection, lake: Lake) -> list[str]:
    names = {(row.table_id, row.column_id): (row.table_name, row.column_name) for row in rows(connection, "SELECT c.table_id, c.column_id, c.column_name, t.table_name FROM ducklake_column c JOIN ducklake_table t ON t.table_id=c.table_id")}
    held = rows(connection, "SELECT DISTINCT table_id, column_id FROM ducklake_file_column_stats WHERE min_value IS NOT NULL OR max_value IS NOT NULL")
    found = sorted(names[(row.table_id, row.column_id)] for row in held if (row.table_id, row.column_id) in names)
    return [f"the catalogue holds bounds of the personal column '{table}.{column}'" for table, column in found if table in lake.tables and column in lake.tables[table].personal_columns]


def _bounds(connection: sa.Connection, lake: Lake, files: list[Any]) -> list[tuple[Any, Field, str | None, str | None]]:
    by_id = {file.data_file_id: file for file in files}
    fields: dict[int, dict[int, Field]] = {}
    for table_id, name in {(file.table_id, file.table_name) for file in files}:
        if name in lake.tables:
            known = fields_of(rows(connection, "SELECT * FROM ducklake_column WHERE table_id=:t AND end_snapshot IS NULL ORDER BY column_order", t=table_id))
            fields[table_id] = {field.id: field for field in declared_fields(lake.tables[name], known)}
    stats = rows(connection, "SELECT * FROM ducklake_file_column_stats WHERE min_value IS NOT NULL OR max_value IS NOT NULL")
    return [(by_id[row.data_file_id], fields[row.table_id][row.column_id], row.min_value, row.max_value) for row in stats if row.data_file_id in by_id and row.column_id in fields.get(row.table_id, {})]


def _narrow(lake: Lake, file: Any, field: Field, low: str | None, high: str | None) -> list[str]:
    path = lake.data / "main" / file.table_name / file.path
    least, most = lake.duck.execute(f"SELECT min({quoted(field.name)}), max({quoted(field.name)}) FROM read_parquet([{literal(path)}], schema={read_schema((field,))})").fetchone()
    lower, upper = bound(field, low), bound(field, high)
    wrong = least is not None and ((lower is not None and lower > least) or (upper is not None and upper < most))
    return [f"the bounds of '{file.table_name}.{field.name}' in {file.path} are narrower than its rows"] if wrong else []
