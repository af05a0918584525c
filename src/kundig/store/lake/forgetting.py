"""Forgetting: old snapshots, persons, and files that nothing names; and the check that all of it is as the catalogue says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from kundig.errors import Conflict
from kundig.store.lake.catalogue import execute_in, rows
from kundig.store.lake.commit import add_stats, live_fields, recount
from kundig.store.lake.files import OWN_NAME, DataFile, fsync, living_writers
from kundig.store.lake.shapes import literal, quoted, read_schema

if TYPE_CHECKING:
    from kundig.store.lake.lake import Lake

COMPACT_FILES = 10
COMPACT_SHARE = 0.1


def expire(lake: Lake, keep: int) -> int:
    """Forget all snapshots but the newest `keep` releases and those since the newest; unlink files that no kept snapshot shows.

    Returns:
        How many files were unlinked.
    """
    with lake.catalogue.transaction(write=True) as connection:
        newest = int(rows(connection, "SELECT max(snapshot_id) AS s FROM ducklake_snapshot")[0].s)
        releases = [row.snapshot_id for row in rows(connection, f"SELECT snapshot_id FROM kundig_release ORDER BY release_id DESC LIMIT {int(keep)}")]
        since = releases[0] if releases else newest
        kept = sorted({*releases, *(row.snapshot_id for row in rows(connection, "SELECT snapshot_id FROM ducklake_snapshot WHERE snapshot_id>=:s", s=since))})
        dead: list[str] = []
        for what, key in (("ducklake_delete_file", "delete_file_id"), ("ducklake_data_file", "data_file_id")):
            sql = f"SELECT f.{key} AS id, f.path, f.begin_snapshot AS b, f.end_snapshot AS e, t.table_name FROM {what} f JOIN ducklake_table t ON t.table_id=f.table_id WHERE f.end_snapshot IS NOT NULL"
            gone = [row for row in rows(connection, sql) if not any(row.b <= s < row.e for s in kept)]
            dead += [str(lake.data / "main" / row.table_name / row.path) for row in gone]
            ids = [row.id for row in gone]
            for chunk in _chunks(ids):
                if what == "ducklake_data_file":
                    execute_in(connection, "DELETE FROM ducklake_file_column_stats WHERE data_file_id IN :ids", chunk)
                execute_in(connection, f"DELETE FROM {what} WHERE {key} IN :ids", chunk)
        every = [row.snapshot_id for row in rows(connection, "SELECT snapshot_id FROM ducklake_snapshot")]
        for chunk in _chunks([s for s in every if s not in set(kept)]):
            for what in ("ducklake_snapshot", "ducklake_snapshot_changes", "kundig_release"):
                execute_in(connection, f"DELETE FROM {what} WHERE snapshot_id IN :ids", chunk)
    unlink(lake, dead)
    return len(dead)


def erase(lake: Lake, wanted: Mapping[str, tuple[str, Iterable[int] | Iterable[str]]]) -> dict[str, int]:
    """Take rows out of every kept snapshot of several tables, in one transaction; old releases stay readable, without them.

    Each file, live or historical, that holds a row whose column is among the keys is written anew without it; its catalogue row keeps
    its place in history. Delete files of it are rewritten to the new positions. Then the old files are unlinked and the log is emptied.

    Returns:
        Rows taken out per table, counted over all its files.
    """
    plans = [plan for table, (column, keys) in wanted.items() for plan in _plans(lake, table, column, list(keys))]
    for folder in sorted({lake.writer.folder(plan["table"]) for plan in plans}):
        fsync(folder)
    lake.crash("before transaction")
    old: list[str] = []
    with lake.catalogue.transaction(write=True) as connection:
        lake.crash("in transaction")
        for plan in plans:
            old += _apply(connection, lake, plan)
        for table_id in sorted({plan["table_id"] for plan in plans}):
            recount(connection, table_id)
        lake.crash("before commit")
    lake.crash("after commit")
    unlink(lake, old)
    lake.catalogue.truncate_log()
    found: dict[str, int] = dict.fromkeys(wanted, 0)
    for plan in plans:
        found[plan["table"]] += plan["gone"]
    return found


def _plans(lake: Lake, table: str, column: str, keys: list[Any]) -> list[dict[str, Any]]:
    declared = lake.known(table)
    with lake.catalogue.transaction() as connection:
        found = rows(connection, "SELECT table_id FROM ducklake_table WHERE table_name=:n AND end_snapshot IS NULL", n=table)
        if not found or not keys:
            return []
        table_id = found[0].table_id
        files = rows(connection, "SELECT * FROM ducklake_data_file WHERE table_id=:t", t=table_id)
        deletes = rows(connection, "SELECT * FROM ducklake_delete_file WHERE table_id=:t", t=table_id)
        fields = {file.data_file_id: live_fields(connection, table_id, file.begin_snapshot) for file in files}
    kind = next(field.kind for field in next(iter(fields.values()), ()) if field.name == column) if files else "VARCHAR"
    listed = ", ".join(literal(key) if isinstance(key, str) else str(int(key)) for key in keys)
    folder = lake.data / "main" / table
    plans = []
    for file in files:
        source = f"read_parquet([{literal(folder / file.path)}], schema={read_schema(fields[file.data_file_id])}, file_row_number=true)"
        test = f"{quoted(column)}::{kind} IN ({listed})"
        gone = [row[0] for row in lake.duck.execute(f"SELECT file_row_number FROM {source} WHERE {test} ORDER BY 1").fetchall()]
        if not gone:
            continue
        kept = lake.writer.write(declared, fields[file.data_file_id], f"SELECT * EXCLUDE file_row_number FROM {source} WHERE {test} IS NOT TRUE ORDER BY file_row_number", order=" ")
        moved = [(one, _shifted(lake, table, folder, one, gone)) for one in deletes if one.data_file_id == file.data_file_id]
        plans.append({"table": table, "table_id": table_id, "file": file, "kept": kept[0] if kept else None, "deletes": moved, "gone": len(gone)})
    return plans


def _shifted(lake: Lake, table: str, folder: Path, one: Any, gone: Sequence[int]) -> DataFile | None:
    positions = [row[0] for row in lake.duck.execute(f"SELECT pos FROM read_parquet([{literal(folder / one.path)}]) ORDER BY pos").fetchall()]
    erased, shifted, before = set(gone), [], 0
    ordered = sorted(gone)
    for position in positions:
        while before < len(ordered) and ordered[before] < position:
            before += 1
        if position not in erased:
            shifted.append(position - before)
    if not shifted:
        return None
    values = f"SELECT unnest([{', '.join(map(str, shifted))}])::BIGINT AS pos"
    return lake.writer.write_deletes(table, f"SELECT '' AS file_path, pos FROM ({values})")


def _apply(connection: sa.Connection, lake: Lake, plan: dict[str, Any]) -> list[str]:
    file, kept = plan["file"], plan["kept"]
    folder = lake.data / "main" / plan["table"]
    old = [str(folder / file.path)]
    one = {"i": file.data_file_id, "old": file.path}
    if kept is None:
        done = connection.execute(sa.text("DELETE FROM ducklake_data_file WHERE data_file_id=:i AND path=:old"), one)
    else:
        new = {"p": kept.path, "c": kept.record_count, "z": kept.file_size_bytes, "f": kept.footer_size}
        sql = "UPDATE ducklake_data_file SET path=:p, record_count=:c, file_size_bytes=:z, footer_size=:f WHERE data_file_id=:i AND path=:old"
        done = connection.execute(sa.text(sql), one | new)
    if done.rowcount != 1:
        raise Conflict(f"a file of '{plan['table']}' changed during the erasure", mend="run the erasure again")
    connection.execute(sa.text("DELETE FROM ducklake_file_column_stats WHERE data_file_id=:i"), {"i": file.data_file_id})
    if kept is not None:
        add_stats(connection, file.data_file_id, plan["table_id"], kept)
    for delete, shifted in plan["deletes"]:
        old.append(str(folder / delete.path))
        which = {"i": delete.delete_file_id}
        if shifted is None or kept is None:
            connection.execute(sa.text("DELETE FROM ducklake_delete_file WHERE delete_file_id=:i"), which)
        else:
            new = {"p": shifted.path, "c": shifted.record_count, "z": shifted.file_size_bytes, "f": shifted.footer_size}
            connection.execute(sa.text("UPDATE ducklake_delete_file SET path=:p, delete_count=:c, file_size_bytes=:z, footer_size=:f WHERE delete_file_id=:i"), which | new)
    return old


def compact(lake: Lake, names: Iterable[str] | None = None, *, force: bool = False) -> dict[str, int]:
    """Write tables of many small files, or many hidden rows, anew as one sorted file. Returns the rows written per table."""
    from kundig.store.lake.commit import Replace

    written: dict[str, int] = {}
    for name in names or sorted(lake.versions(lake.snapshot())):
        if name not in lake.tables:
            continue
        at = lake.snapshot()
        _, files = lake.files(name, at)
        held, hidden = sum(file.record_count for file in files), sum(file.deleted for file in files)
        if files and (force or len(files) > COMPACT_FILES or hidden > COMPACT_SHARE * held):
            staged = lake.stage(name, lake.scan(name, at))
            lake.commit([Replace(table=name, source=staged)], message=f"compact {name}", expect=at)
            written[name] = staged.rows
    return written


def sweep(lake: Lake) -> list[str]:
    """Remove the files that no row names and whose writer is dead, and forget the locks of dead writers. Returns the files."""
    alive, gone = living_writers(lake.data)
    main = lake.data / "main"
    on_disk = sorted(main.glob("*/*.parquet")) if main.is_dir() else []
    named = _named(lake)
    orphans = []
    for path in on_disk:
        own = OWN_NAME.fullmatch(path.name)
        if own is not None and f"{path.parent.name}/{path.name}" not in named and own[1] not in alive:
            orphans.append(str(path))
    unlink(lake, orphans)
    for lock in gone:
        lock.unlink(missing_ok=True)
    return orphans


def verify(lake: Lake) -> list[str]:
    """What is not as the catalogue says: files missing or unnamed, wrong sizes or counts, two releases of one run."""
    faults: list[str] = []
    alive, _ = living_writers(lake.data)
    with lake.catalogue.transaction() as connection:
        files = rows(connection, "SELECT f.*, t.table_name FROM ducklake_data_file f JOIN ducklake_table t ON t.table_id=f.table_id")
        deletes = rows(connection, "SELECT f.*, t.table_name FROM ducklake_delete_file f JOIN ducklake_table t ON t.table_id=f.table_id")
        twice = rows(connection, "SELECT run_id, count(*) AS n FROM kundig_release GROUP BY run_id HAVING count(*)>1")
        totals = rows(connection, "SELECT t.table_name, s.record_count FROM ducklake_table_stats s JOIN ducklake_table t ON t.table_id=s.table_id")
    faults += [f"run {row.run_id} made {row.n} releases" for row in twice]
    for file, count in [(file, file.record_count) for file in files] + [(delete, delete.delete_count) for delete in deletes]:
        path = lake.data / "main" / file.table_name / file.path
        if not path.is_file():
            faults.append(f"{file.table_name}/{file.path} is named but missing")
            continue
        if path.stat().st_size != file.file_size_bytes:
            faults.append(f"{file.table_name}/{file.path} has {path.stat().st_size} bytes, the catalogue says {file.file_size_bytes}")
            continue
        held = lake.duck.execute(f"SELECT num_rows FROM parquet_file_metadata({literal(path)})").fetchone()
        if held is None or held[0] != count:
            faults.append(f"{file.table_name}/{file.path} holds {None if held is None else held[0]} rows, the catalogue says {count}")
    live: dict[str, int] = {}
    for file in files:
        if file.end_snapshot is None:
            live[file.table_name] = live.get(file.table_name, 0) + file.record_count
    faults += [f"'{row.table_name}' has {live.get(row.table_name, 0)} live rows, its total says {row.record_count}" for row in totals if live.get(row.table_name, 0) != row.record_count]
    named = _named(lake)
    main = lake.data / "main"
    for path in sorted(main.glob("*/*.parquet")) if main.is_dir() else ():
        own = OWN_NAME.fullmatch(path.name)
        if f"{path.parent.name}/{path.name}" not in named and (own is None or own[1] not in alive):
            faults.append(f"{path.parent.name}/{path.name} is on disk and nothing names it")
    return faults


def unlink(lake: Lake, paths: Iterable[str]) -> None:
    """Remove files, and make their removal stay."""
    folders = set()
    for path in paths:
        lake.crash("before unlink")
        Path(path).unlink(missing_ok=True)
        folders.add(Path(path).parent)
    for folder in sorted(folders):
        if folder.is_dir():
            fsync(folder)


def _named(lake: Lake) -> set[str]:
    sql = """
        SELECT t.table_name AS n, f.path AS p FROM ducklake_data_file f JOIN ducklake_table t ON t.table_id=f.table_id
        UNION ALL SELECT t.table_name, f.path FROM ducklake_delete_file f JOIN ducklake_table t ON t.table_id=f.table_id"""
    with lake.catalogue.transaction() as connection:
        named = {f"{row.n}/{row.p}" for row in rows(connection, sql)}
        staged = rows(connection, "SELECT table_name, files FROM kundig_staged")
    return named | {f"{row.table_name}/{file['path']}" for row in staged for file in json.loads(row.files)}


def _chunks(ids: Sequence[Any], size: int = 500) -> list[Sequence[Any]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
