"""The lake: what is committed is read back, at every snapshot, whole or not at all."""

from __future__ import annotations

import datetime as dt
import os
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from tests.store.conftest import Opener
from tests.store.lakes import EVENTS, PERSONS, START, TABLES, TOTALS, events, fetch, keys_of, persons

from kundig.errors import AlreadyLanded, Conflict, ContractError, ForeignFormat, StoreError
from kundig.schema import Column
from kundig.store.lake import Append, Lake, ReleaseMark, Replace, Swap, Upsert

MARK = ReleaseMark(run_id=1, moment=START)


def _on_disk(lake: Lake) -> set[str]:
    return {path.name for path in (lake.data / "main").glob("*/*.parquet")}


def _change(lake: Lake, sql: str) -> None:
    with lake.catalogue.transaction(write=True) as connection:
        connection.execute(sa.text(sql))


def _totals(n: int) -> pa.Table:
    return pa.table({"name": ["persons"], "n": [n]})


# reading back


def test_a_table_without_rows_has_its_columns(lake: Lake) -> None:
    read = lake.duck.execute(f"SELECT * FROM {lake.scan('persons')}")
    assert [(column[0], str(column[1])) for column in read.description] == [
        ("person_key", "BIGINT"), ("email", "VARCHAR"), ("score", "DOUBLE"), ("city", "VARCHAR"), ("spend", "DECIMAL(18,4)"), ("total", "DECIMAL(38,4)"), ("active", "BOOLEAN"),
        ("day", "DATE"), ("seen_at", "TIMESTAMP WITH TIME ZONE"), ("extra", "JSON"), ("tags", "VARCHAR[]"), ("others", "BIGINT[]"), ("changed_run", "BIGINT"),
    ]  # fmt: skip
    assert read.fetchall() == []
    lake.commit([Replace(table="persons", source=persons([]))])
    assert fetch(lake, f"SELECT count(*) FROM {lake.scan('persons')}") == [(0,)]
    assert lake.versions(lake.snapshot()) == {"persons": 1}


def test_every_type_comes_back_as_it_was(lake: Lake) -> None:
    given = persons(range(200))
    lake.commit([Append(table="persons", source=given)])
    got = lake.duck.execute(f"SELECT * FROM {lake.scan('persons')} ORDER BY person_key").to_arrow_table()
    for name in given.column_names:
        before, after = given[name].to_pylist(), got[name].to_pylist()
        assert [str(value) for value in after] == [str(value) for value in before], name
    assert got.schema.field("seen_at").type == pa.timestamp("us", tz="UTC")


def test_each_snapshot_keeps_its_rows(lake: Lake) -> None:
    seen: dict[int, list[int]] = {}
    seen[lake.commit([Append(table="persons", source=persons(range(50)))])] = list(range(50))
    seen[lake.commit([Append(table="persons", source=persons(range(50, 60)))])] = list(range(60))
    seen[lake.commit([Upsert(table="persons", column="person_key", keys=np.array([3, 4, 55, 99]), source=persons([3, 99], run=2))])] = sorted({*range(60), 99} - {4, 55})
    seen[lake.commit([Upsert(table="persons", column="person_key", keys="SELECT 5::BIGINT", source=persons([5], run=3))])] = sorted({*range(60), 99} - {4, 55})
    seen[lake.commit([Replace(table="persons", source=persons(range(7)))])] = list(range(7))
    assert {at: keys_of(lake, at) for at in seen} == seen
    assert keys_of(lake, 0) == []
    assert lake.verify(deep=True) == []


def test_an_upsert_leaves_one_row_a_key_and_one_delete_file_a_data_file(lake: Lake) -> None:
    lake.commit([Append(table="persons", source=persons(range(100)))])
    for run in range(2, 6):
        keys = list(range(run * 10, run * 10 + 15))
        lake.commit([Upsert(table="persons", column="person_key", keys=pa.array(keys), source=persons(keys, run=run))])
    assert fetch(lake, f"SELECT count(*), count(DISTINCT person_key) FROM {lake.scan('persons')}") == [(100, 100)]
    newest = {row[0]: row[1] for row in fetch(lake, f"SELECT person_key, changed_run FROM {lake.scan('persons')}")}
    assert newest == {k: max([1, *(run for run in range(2, 6) if run * 10 <= k < run * 10 + 15)]) for k in range(100)}
    assert lake.verify(deep=True) == []


def test_a_file_of_which_every_row_went_ends(lake: Lake) -> None:
    lake.commit([Append(table="persons", source=persons(range(10)))])
    lake.commit([Upsert(table="persons", column="person_key", keys=pa.array(range(5)), source=persons(range(5), run=2))])
    lake.commit([Upsert(table="persons", column="person_key", keys=pa.array(range(10)), source=persons(range(3), run=3))])
    _, files = lake.files("persons")
    assert [(file.record_count, file.deletes) for file in files] == [(3, None)]
    assert keys_of(lake) == [0, 1, 2]


def test_text_keys_may_be_upserted(lake: Lake) -> None:
    lake.commit([Append(table="totals", source=pa.table({"name": ["a", "b"], "n": [1, 2]}))])
    lake.commit([Upsert(table="totals", column="name", keys=pa.array(["b", "c"]), source=pa.table({"name": ["c"], "n": [3]}))])
    assert sorted(fetch(lake, f"SELECT * FROM {lake.scan('totals')}")) == [("a", 1), ("c", 3)]


def test_rows_of_a_file_are_sorted_by_subject(lake: Lake) -> None:
    lake.commit([Append(table="persons", source=persons([5, 1, 4, 2, 3]))])
    _, (file,) = lake.files("persons")
    assert [row[0] for row in fetch(lake, f"SELECT person_key FROM read_parquet('{file.path}', file_row_number=true) ORDER BY file_row_number")] == [1, 2, 3, 4, 5]


def test_integer_sums_are_cast_not_written_as_doubles(lake: Lake) -> None:
    lake.commit([Append(table="totals", source="SELECT 'x' AS name, sum(v) AS n FROM (VALUES (9007199254740993::BIGINT)) t(v)")])
    assert fetch(lake, f"SELECT n FROM {lake.scan('totals')}") == [(9007199254740993,)]


def test_a_table_reads_as_ibis_with_json_as_text(lake: Lake) -> None:
    lake.commit([Append(table="persons", source=persons(range(5)))])
    table = lake.ibis("persons")
    assert str(table.schema()["extra"]) == "string"
    assert sorted(table.person_key.execute()) == [0, 1, 2, 3, 4]
    assert lake.ibis("persons", 0).count().execute() == 0


# columns


def test_a_column_declared_later_is_null_in_what_was_there(opened: Opener) -> None:
    first = opened()
    first.commit([Append(table="totals", source=_totals(1))])
    wider = TOTALS.with_columns((Column(name="tags", type="list<string>", meaning="."), Column(name="share", type="float64", meaning=".")))
    second = opened({**TABLES, "totals": wider})
    assert fetch(second, f"SELECT * FROM {second.scan('totals')}") == [("persons", 1, None, None)]
    second.commit([Append(table="totals", source=pa.table({"name": ["b"], "n": [2], "tags": [["x"]], "share": [0.5]}))])
    assert sorted(fetch(second, f"SELECT * FROM {second.scan('totals')}")) == [("b", 2, ["x"], 0.5), ("persons", 1, None, None)]
    assert sorted(fetch(first, f"SELECT * FROM {first.scan('totals')}")) == [("b", 2), ("persons", 1)]
    first.commit([Append(table="totals", source=_totals(3))])
    assert second.verify(deep=True) == []
    assert len(fetch(second, f"SELECT * FROM {second.scan('totals', 1)}")) == 1


def test_a_column_cannot_change_its_type(opened: Opener) -> None:
    opened().commit([Append(table="totals", source=_totals(1))])
    columns = (Column(name="name", type="int64", meaning="."), Column(name="n", type="string", meaning="."))
    changed = type(TOTALS)(name="totals", room="measure", meaning=".", key=("name",), columns=columns)
    lake = opened({"totals": changed})
    with pytest.raises(ContractError) as error:
        lake.scan("totals")
    assert len(error.value.faults) == 2
    assert "'n' is declared as string, and its rows are kept as BIGINT" in str(error.value)


def test_rows_that_are_not_as_declared_are_refused_and_leave_nothing(lake: Lake) -> None:
    with pytest.raises(ContractError, match="lack a column"):
        lake.commit([Append(table="totals", source="SELECT 'a' AS name")])
    with pytest.raises(ContractError, match="cannot be cast") as error:
        lake.commit([Append(table="totals", source="SELECT 'a' AS name, 'needle@example.org' AS n")])
    assert "needle" not in str(error.value)
    assert error.value.__cause__ is None
    with pytest.raises(ContractError, match="no table 'total'") as unknown:
        lake.scan("total")
    assert "did you mean 'totals'" in unknown.value.mend
    assert (lake.snapshot(), _on_disk(lake)) == (0, set())


# committing


def test_a_commit_shows_all_its_tables_or_none(opened: Opener) -> None:
    lake, reader = opened(), opened()
    lake.commit([Append(table="persons", source=persons(range(3))), Replace(table="totals", source=_totals(3))], release=MARK)
    with pytest.raises(ContractError):
        lake.commit([Append(table="persons", source=persons(range(3, 6))), Replace(table="totals", source="SELECT 1 AS x")])
    assert (keys_of(reader), fetch(reader, f"SELECT n FROM {reader.scan('totals')}")) == ([0, 1, 2], [(3,)])
    release = reader.release()
    assert release is not None
    assert (release.snapshot_id, release.run_id, release.moment) == (1, 1, START)
    assert len(_on_disk(lake)) == 2


def test_a_batch_lands_once(opened: Opener) -> None:
    one, two = opened(), opened()
    one.commit([Append(table="persons", source=persons(range(3)))], batch="b1")
    for lake in (one, two):
        with pytest.raises(AlreadyLanded):
            lake.commit([Append(table="persons", source=persons(range(3)))], batch="b1")
    assert keys_of(two) == [0, 1, 2]
    assert one.has_batch("b1")
    assert not one.has_batch("b2")


def test_a_batch_that_two_processes_land_at_once_lands_once(opened: Opener) -> None:
    other = opened()

    def meanwhile(step: str) -> None:
        if step == "before transaction":
            other.commit([Append(table="persons", source=persons(range(3)))], batch="b1")

    late = opened(crash=meanwhile)
    with pytest.raises(AlreadyLanded):
        late.commit([Append(table="persons", source=persons(range(3)))], batch="b1")
    assert keys_of(other) == [0, 1, 2]
    assert other.verify() == []
    assert len(_on_disk(other)) == 1


@pytest.mark.parametrize("change", ["append", "upsert", "replace", "erase"])
def test_replacing_what_changed_since_is_a_conflict_and_leaves_no_file(opened: Opener, change: str) -> None:
    lake = opened()
    base = lake.commit([Append(table="persons", source=persons(range(10)))])
    done = {
        "append": lambda: lake.commit([Append(table="persons", source=persons([10]))]),
        "upsert": lambda: lake.commit([Upsert(table="persons", column="person_key", keys=pa.array([1]), source=persons([1], run=2))]),
        "replace": lambda: lake.commit([Replace(table="persons", source=persons([1]))]),
        "erase": lambda: lake.erase({"persons": ("person_key", [1])}),
    }
    fired: list[str] = []

    def meanwhile(step: str) -> None:
        if step == "before transaction" and not fired:
            fired.append(step)
            done[change]()

    late = opened(crash=meanwhile)
    before = len(_on_disk(lake))
    for attempt in (Replace(table="persons", source=persons([7])), Upsert(table="persons", column="person_key", keys=pa.array([7]), source=persons([7]))):
        fired.clear()
        files = _on_disk(lake)
        with pytest.raises(Conflict):
            late.commit([attempt, Append(table="totals", source=_totals(1))])
        assert not any(name.startswith(late.writer.presence.name) for name in _on_disk(lake) - files)
    assert len(_on_disk(lake)) >= before
    if change != "erase":  # an erasure changes what kept snapshots hold; it is no new version of a table
        with pytest.raises(Conflict, match="persons"):
            lake.commit([Replace(table="persons", source=persons([7]))], expect=base)
        with pytest.raises(Conflict, match="persons"):
            lake.commit([Append(table="totals", source=_totals(1))], expect={"persons": base})
    assert lake.versions(lake.snapshot()).keys() == {"persons"}
    assert lake.verify(deep=True) == []


def test_appends_never_conflict(opened: Opener) -> None:
    lakes = [opened() for _ in range(3)]
    errors: list[Exception] = []

    def work(lake: Lake, number: int) -> None:
        try:
            for turn in range(5):
                lake.commit([Append(table="events", source=events(range(number * 100 + turn * 10, number * 100 + turn * 10 + 10)))], batch=f"{number}.{turn}")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(lake, number)) for number, lake in enumerate(lakes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert fetch(lakes[0], f"SELECT count(*), count(DISTINCT event_id) FROM {lakes[0].scan('events')}") == [(150, 150)]
    assert lakes[0].verify() == []


def test_a_commit_that_replaces_a_table_twice_is_refused(lake: Lake) -> None:
    with pytest.raises(StoreError, match="twice: persons"):
        lake.commit([Replace(table="persons", source=persons([1])), Upsert(table="persons", column="person_key", keys=pa.array([1]), source=persons([1]))])


def test_replace_then_append_in_one_commit(lake: Lake) -> None:
    lake.commit([Append(table="persons", source=persons([9])), Replace(table="persons", source=persons([1])), Append(table="persons", source=persons([2]))])
    assert keys_of(lake) == [1, 2]
    assert len(lake.sweep()) == 1
    assert lake.verify() == []


def test_every_file_and_folder_is_forced_to_disk_before_the_transaction(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    forced: set[int] = set()
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (forced.add(os.fstat(handle).st_ino), real(handle))[1])
    missing: list[Path] = []

    def check(step: str) -> None:
        if step == "before transaction":
            main = lake.data / "main"
            missing.extend(path for path in [lake.data, main, *main.iterdir(), *main.glob("*/*.parquet")] if path.stat().st_ino not in forced)

    lake = opened(crash=check)
    lake.commit([Append(table="persons", source=persons(range(5))), Append(table="totals", source=_totals(5))])
    lake.commit([Upsert(table="persons", column="person_key", keys=pa.array([1]), source=persons([1]))])
    assert missing == []
    assert len(_on_disk(lake)) == 4


# staging


def test_staged_files_outlive_their_process_and_are_committed_once(opened: Opener) -> None:
    first = opened()
    staged = first.stage("persons", persons(range(20)), run="r1", step="s1")
    first.close()
    second = opened()
    assert second.sweep() == []
    found = second.staged(run="r1", step="s1")
    assert found == staged
    assert found.rows == 20
    assert keys_of(second) == []
    assert fetch(second, f"SELECT count(*) FROM {second.scan_staged(found)}") == [(20,)]
    second.commit([Append(table="persons", source=found)])
    with pytest.raises(Conflict, match="staged"):
        second.commit([Append(table="persons", source=found)])
    assert keys_of(second) == list(range(20))
    assert second.staged(run="r1", step="s1") is None
    assert second.verify(deep=True) == []


def test_files_that_are_unstaged_leave_the_disk(lake: Lake) -> None:
    kept = lake.stage("totals", _totals(1), run="r2", step="s")
    lake.stage("persons", persons(range(20)), run="r1", step="s1")
    assert lake.unstage(keep_run="r2") == 1
    assert _on_disk(lake) == {kept.files[0].path}
    assert lake.unstage() == 1
    assert _on_disk(lake) == set()
    assert (lake.sweep(), lake.verify()) == ([], [])


def test_a_writer_that_lives_may_sweep_its_own_and_nobody_else(opened: Opener) -> None:
    lake, other = opened(), opened()
    for one in (lake, other):
        one.commit([Append(table="persons", source=persons([int(one is lake)])), Replace(table="totals", source=_totals(1))], batch=one.writer.presence.name)
        (one.data / f"main/persons/{one.writer.presence.name}-{'0' * 32}.parquet").write_bytes(b"x")
    assert [Path(path).name.partition("-")[0] for path in lake.sweep()] == [lake.writer.presence.name]
    other.close()
    assert len(lake.sweep()) == 1


def test_a_reader_whose_file_was_erased_takes_the_list_once_more(lake: Lake) -> None:
    lake.commit([Append(table="persons", source=persons(range(5)))])
    asked: list[str] = []

    def query(table: Any) -> str:
        text = f"SELECT person_key FROM {table('persons')} ORDER BY 1"
        if not asked:
            lake.erase({"persons": ("person_key", [3])})
        asked.append(text)
        return text

    assert lake.answer(query, 1)["person_key"].to_pylist() == [0, 1, 2, 4]
    assert len(set(asked)) == 2
    with pytest.raises(duckdb.IOException):
        lake.answer(lambda table: asked[0])


def test_files_staged_for_another_table_are_refused(lake: Lake) -> None:
    staged = lake.stage("totals", _totals(1))
    with pytest.raises(StoreError, match="staged for 'totals'"):
        lake.commit([Append(table="persons", source=staged)])


# bounds


def test_no_bound_of_a_personal_or_json_column_is_kept_and_the_others_hold(lake: Lake) -> None:
    lake.commit([Append(table="persons", source=persons(range(60)))])
    with lake.catalogue.transaction() as connection:
        sql = "SELECT c.column_name, s.min_value, s.max_value FROM ducklake_file_column_stats s JOIN ducklake_column c ON c.table_id=s.table_id AND c.column_id=s.column_id"
        bounds = {row.column_name: (row.min_value, row.max_value) for row in connection.execute(sa.text(sql))}
        everything = " ".join(str(row) for name in ("ducklake_file_column_stats", "ducklake_table_column_stats") for row in connection.execute(sa.text(f"SELECT * FROM {name}")))
    assert {name for name, (low, _) in bounds.items() if low is not None} == {"city", "spend", "total", "active", "day", "seen_at", "changed_run"}
    assert bounds["spend"] == ("0.0001", "0.5901")
    assert "needle" not in everything
    assert lake.verify(deep=True) == []


def test_a_text_too_long_for_a_bound_has_none(lake: Lake) -> None:
    lake.commit([Append(table="totals", source=pa.table({"name": ["a", "z" * 65], "n": [1, 2]}))])
    with lake.catalogue.transaction() as connection:
        assert connection.execute(sa.text("SELECT min_value, max_value FROM ducklake_file_column_stats WHERE column_id=1")).one() == (None, None)


@pytest.mark.parametrize(
    ("column", "low", "high"),
    [
        ("received_at", START + dt.timedelta(days=2), None), ("received_at", None, START + dt.timedelta(days=1)), ("received_at", START + dt.timedelta(days=9), None),
        ("amount", Decimal(25), Decimal(31)), ("amount", 5, 5), ("name", "view", "view"), ("name", "x", None), ("amount", None, None),
    ],
)  # fmt: skip
def test_pruning_leaves_out_no_row_that_could_match(lake: Lake, column: str, low: Any, high: Any) -> None:
    for day in range(4):
        lake.commit([Append(table="events", source=events(range(day * 10, day * 10 + 10), day=day))])
    conditions = [f"{column} >= $low"] if low is not None else []
    conditions += [f"{column} <= $high"] if high is not None else []
    given = {name: value for name, value in (("low", low), ("high", high)) if value is not None}
    where = " AND ".join(conditions) or "true"
    answers = [lake.duck.execute(f"SELECT count(*) FROM {lake.scan('events', ranges=ranges)} WHERE {where}", given).fetchone()[0] for ranges in ({}, {column: (low, high)})]
    assert answers[0] == answers[1]
    _, files = lake.files("events", ranges={column: (low, high)})
    if column == "amount" and low == 5:
        assert len(files) == 1
    if (column, low) == ("name", "x") or low == START + dt.timedelta(days=9):
        assert files == ()


def test_a_range_of_an_unknown_column_is_refused(lake: Lake) -> None:
    lake.commit([Append(table="totals", source=_totals(1))])
    with pytest.raises(ContractError, match="'m' is not declared"):
        lake.scan("totals", ranges={"m": (1, 2)})


# compaction


def test_compaction_changes_files_and_no_row(opened: Opener) -> None:
    lake, reader = opened(), opened()
    lake.commit([Append(table="persons", source=persons(range(100)))])
    for run in range(2, 14):
        lake.commit([Upsert(table="persons", column="person_key", keys=pa.array([run, run + 1]), source=persons([run, run + 1], run=run))])
    at = lake.snapshot()
    before = sorted(map(str, fetch(reader, f"SELECT * FROM {reader.scan('persons')}")))
    assert lake.compact() == {"persons": 100}
    _, files = lake.files("persons")
    assert len(files) == 1
    assert files[0].deletes is None
    for snapshot in (None, at):
        assert sorted(map(str, fetch(reader, f"SELECT * FROM {reader.scan('persons', snapshot)}"))) == before
    assert lake.versions(lake.snapshot()) == lake.versions(at)
    lake.commit([Replace(table="persons", source=persons([1]))], expect=at)
    assert lake.compact() == {}
    assert lake.verify(deep=True) == []


def test_facts_are_joined_per_received_day_and_a_joined_day_is_left_alone(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kundig.store.lake.compaction.SMALL_TABLE", 20)
    for part in range(12):
        lake.commit([Append(table="events", source=events(range(part * 10, part * 10 + 10), day=part // 4))])
    assert lake.compact(["events"]) == {"events": 80}
    first = {file.path for file in lake.files("events")[1]}
    assert len(first) == 2 + 4
    lake.commit([Append(table="events", source=events(range(500, 510), day=3))])
    assert lake.compact(["events"]) == {"events": 40}
    assert len({file.path for file in lake.files("events")[1]} & first) == 2
    assert fetch(lake, f"SELECT count(*), count(DISTINCT event_id) FROM {lake.scan('events')}") == [(130, 130)]


def test_a_long_day_is_joined_piece_by_piece_and_no_row_twice(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kundig.store.lake.compaction.SMALL_TABLE", 20)
    monkeypatch.setattr("kundig.store.lake.compaction.ROWS_AT_ONCE", 40)
    for part in range(15):
        lake.commit([Append(table="events", source=events(range(part * 10, part * 10 + 10), day=1))])
    written = []
    while joined := lake.compact(["events"], joins=1):
        written.append(joined["events"])
    assert written == [40, 40], "then the day has no more small files than it may"
    lake.commit([Append(table="events", source=events(range(500, 510), day=2))])
    while joined := lake.compact(["events"], joins=1):
        written.append(joined["events"])
    assert written == [40, 40, 40, 30], "a day that has ended is joined whole, each row once, and no file is larger than it may be"
    assert sorted(file.record_count for file in lake.files("events")[1]) == [10, 30, 40, 40, 40]
    assert fetch(lake, f"SELECT count(*), count(DISTINCT event_id) FROM {lake.scan('events')}") == [(160, 160)]
    assert lake.verify(deep=True) == []


def test_compaction_gives_way_to_a_commit_meanwhile(opened: Opener) -> None:
    other = opened()
    other.commit([Append(table="persons", source=persons(range(10)))])
    other.commit([Append(table="persons", source=persons(range(10, 20)))])

    def meanwhile(step: str) -> None:
        if step == "before transaction":
            other.commit([Upsert(table="persons", column="person_key", keys=pa.array([1]), source=persons([1], run=9))])

    assert opened(crash=meanwhile).compact(force=True) == {}
    assert fetch(other, f"SELECT count(*), max(changed_run) FROM {other.scan('persons')}") == [(20, 9)]
    assert other.verify() == []


def test_files_may_be_swapped_for_others(lake: Lake) -> None:
    lake.commit([Append(table="persons", source=persons(range(10)))])
    _, (file,) = lake.files("persons")
    lake.commit([Swap(table="persons", file_ids=(file.id,), source=f"SELECT * FROM {lake.scan('persons')}")])
    with pytest.raises(Conflict):
        lake.commit([Swap(table="persons", file_ids=(file.id,), source=f"SELECT * FROM {lake.scan('persons')}")])
    assert keys_of(lake) == list(range(10))


# expiring


def test_expire_keeps_the_newest_releases_and_what_came_since(lake: Lake) -> None:
    for run in range(1, 8):
        lake.commit([Append(table="events", source=events(range(run * 10, run * 10 + 10)))])
        lake.commit([Upsert(table="persons", column="person_key", keys=pa.array([1, run]), source=persons([1, run + 1], run=run))], release=ReleaseMark(run_id=run, moment=START))
    lake.commit([Append(table="events", source=events(range(100, 110)))])
    kept = [release.snapshot_id for release in lake.releases()[:2]]
    rows = {at: keys_of(lake, at) for at in kept}
    assert lake.expire(keep=2) > 0
    assert [release.run_id for release in lake.releases()] == [7, 6]
    assert {at: keys_of(lake, at) for at in kept} == rows
    with lake.catalogue.transaction() as connection:
        assert {row[0] for row in connection.execute(sa.text("SELECT snapshot_id FROM ducklake_snapshot"))} == {*kept, kept[0] + 1}
    assert lake.versions(lake.snapshot()) == {"events": 15, "persons": 14}
    assert lake.versions(kept[1]) == {"events": 11, "persons": 12}
    assert fetch(lake, f"SELECT count(*) FROM {lake.scan('events')}") == [(80,)]
    assert lake.verify(deep=True) == []
    assert len(_on_disk(lake)) == len(fetch(lake, f"SELECT * FROM glob('{lake.data}/main/*/*')"))


def test_before_the_first_release_the_newest_snapshots_are_kept(lake: Lake) -> None:
    for run in range(5):
        lake.commit([Replace(table="persons", source=persons([run]))])
    assert lake.expire(keep=2) == 3
    assert (keys_of(lake, 4), keys_of(lake, 5)) == ([3], [4])


# others


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("UPDATE ducklake_data_file SET partial_max=1", "several snapshots"), ("UPDATE ducklake_data_file SET encryption_key='k'", "encrypted"),
        ("UPDATE ducklake_data_file SET mapping_id=1", "without field ids"), ("INSERT INTO ducklake_inlined_data_tables VALUES (1, 't', 1)", "inlined rows"),
    ],
)  # fmt: skip
def test_what_would_be_read_wrong_is_refused(opened: Opener, sql: str, what: str) -> None:
    lake = opened()
    lake.commit([Append(table="persons", source=persons(range(3)))])
    _change(lake, sql)
    with pytest.raises(ForeignFormat):
        lake.scan("persons")
    with pytest.raises(ForeignFormat, match=what):
        opened()


def test_a_newer_format_is_refused(opened: Opener) -> None:
    _change(opened(), "UPDATE ducklake_metadata SET value='1.1' WHERE key='version'")
    with pytest.raises(ForeignFormat, match=r"version 1\.1"):
        opened()


def test_a_folder_that_moved_is_read_where_it_is(opened: Opener, catalogue: str, tmp_path: Path) -> None:
    lake = opened()
    lake.commit([Append(table="persons", source=persons(range(3)))])
    lake.commit([Upsert(table="persons", column="person_key", keys=pa.array([1]), source=persons([]))])
    lake.data.rename(tmp_path / "elsewhere")
    moved = Lake(catalogue, tmp_path / "elsewhere", TABLES, duck=lake.duck)
    assert keys_of(moved) == [0, 2]
    moved.close()


def test_leases_take_the_place_of_locks_where_hosts_share_a_catalogue(opened: Opener, catalogue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if catalogue.startswith("sqlite"):
        with pytest.raises(StoreError, match="several hosts"):
            opened(leases=True)
        return
    first, second = opened(leases=True), opened(leases=True)
    (first.writer.folder("persons") / f"{first.writer.presence.name}-{'0' * 32}.parquet").write_bytes(b"x")
    assert second.sweep() == []
    _change(second, "UPDATE kundig_writer SET seen=0")
    assert len(second.sweep()) == 1
    with pytest.raises(Conflict, match="lease has lapsed"):
        first.commit([Append(table="persons", source=persons(range(3)))])
    assert keys_of(second) == []


def test_a_bound_left_by_another_writer_is_cleared(lake: Lake) -> None:
    lake.commit([Append(table="persons", source=persons(range(3)))])
    _change(lake, "UPDATE ducklake_file_column_stats SET min_value='needle0@example.org', max_value='needle2@example.org' WHERE column_id=2")
    assert lake.verify() == ["the catalogue holds bounds of the personal column 'persons.email'"]
    lake.sweep()
    assert lake.verify(deep=True) == []


# planted faults: the check must see them


def _data_file(lake: Lake) -> Path:
    return Path(lake.files("persons")[1][0].path)


@pytest.mark.parametrize(
    ("plant", "seen"),
    [
        (lambda lake: _data_file(lake).unlink(), "named but missing"),
        (lambda lake: (lake.data / "main/persons/0123456789ab-0123456789abcdef0123456789abcdef.parquet").write_bytes(b"x"), "nothing names it"),
        (lambda lake: _data_file(lake).write_bytes(_data_file(lake).read_bytes() + b"x"), "bytes, the catalogue says"),
        (lambda lake: _change(lake, "UPDATE ducklake_data_file SET record_count=record_count-1"), "rows, the catalogue says"),
        (lambda lake: _change(lake, "UPDATE ducklake_snapshot SET next_file_id=0"), "next file id"),
        (lambda lake: _change(lake, "UPDATE ducklake_table_stats SET record_count=7"), "its total says 7"),
        (lambda lake: _change(lake, "UPDATE ducklake_file_column_stats SET max_value='0.0002' WHERE column_id=5"), "narrower than its rows"),
        (lambda lake: _change(lake, "INSERT INTO kundig_release SELECT 99, snapshot_id, run_id, moment, made_at FROM kundig_release"), "made 2 releases"),
        (lambda lake: _change(lake, "DELETE FROM ducklake_snapshot WHERE snapshot_id=1"), "snapshot of release 1 is gone"),
        (lambda lake: _change(lake, "UPDATE ducklake_delete_file SET data_file_id=data_file_id+1000"), "rows that its file does not have"),
    ],
)  # fmt: skip
def test_verify_sees_a_planted_fault(lake: Lake, plant: Any, seen: str) -> None:
    lake.commit([Append(table="persons", source=persons(range(30)))], release=MARK)
    lake.commit([Upsert(table="persons", column="person_key", keys=pa.array([3]), source=persons([3], run=2))])
    assert lake.verify(deep=True) == []
    plant(lake)
    faults = lake.verify(deep=True)
    assert any(seen in fault for fault in faults), faults


def test_a_sweep_spares_what_a_living_writer_is_about_to_commit(opened: Opener) -> None:
    sweeper = opened()

    def meanwhile(step: str) -> None:
        if step == "before transaction":
            assert sweeper.sweep() == []

    writer = opened(crash=meanwhile)
    writer.commit([Append(table="persons", source=persons(range(3)))])
    assert keys_of(sweeper) == [0, 1, 2]


def test_a_sweep_touches_no_file_of_another_name(lake: Lake) -> None:
    lake.commit([Append(table="persons", source=persons(range(3)))])
    foreign = lake.data / "main/persons/ducklake-0190.parquet"
    foreign.write_bytes(b"x")
    assert lake.sweep() == []
    assert foreign.exists()


def test_declared_tables_are_what_the_tests_use() -> None:
    assert PERSONS.personal_columns == {"person_key", "email", "extra", "others"}
    assert EVENTS.personal_columns == {"event_id", "person_key"}


# batches by their beginnings


def _batches(lake: Lake, ids: list[str]) -> None:
    with lake.catalogue.transaction(write=True) as connection:
        connection.execute(sa.text("INSERT INTO kundig_batch VALUES (:b, :s)"), [{"b": one, "s": number} for number, one in enumerate(ids, 1)])


def test_the_last_batch_of_a_beginning_is_the_one_that_landed_last(opened: Opener) -> None:
    lake = opened()
    _batches(lake, ["s-at-9", "s-at-10", "t-at-99", "s%at-3", "sXat-4", "s_at-5", "s-snapshot-1", "s-b", "S-at-77"])
    assert (lake.last_batch("s-at-"), lake.last_batch("s-snapshot-"), lake.last_batch("t"), lake.last_batch("u-")) == ("s-at-10", "s-snapshot-1", "t-at-99", None)
    assert (lake.last_batch("s%at-"), lake.last_batch("s_at-"), lake.last_batch("S-")) == ("s%at-3", "s_at-5", "S-at-77"), "signs of a pattern are signs of the id"
    assert lake.batches("s-at-") == ("s-at-9", "s-at-10")


def test_batches_far_back_are_found_by_an_index(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = opened()
    _batches(lake, ["s-snapshot-1", *(f"s-at-{n:x}" for n in range(20_000)), *(f"inbox:{n}" for n in range(5_000))])
    asked: list[tuple[str, Any]] = []
    from kundig.store.lake import lake as module

    real = module.rows
    monkeypatch.setattr(module, "rows", lambda connection, sql, **values: asked.append((sql, values)) or real(connection, sql, **values))
    assert (lake.last_batch("s-snapshot-"), lake.last_batch("s-at-")) == ("s-snapshot-1", f"s-at-{19_999:x}")
    with lake.catalogue.transaction(write=True) as connection:
        if not lake.catalogue.sqlite:
            connection.execute(sa.text("ANALYZE kundig_batch"))
        plans = [" ".join(str(row) for row in connection.execute(sa.text(f"EXPLAIN {'QUERY PLAN ' if lake.catalogue.sqlite else ''}{sql}"), values).all()) for sql, values in asked if "kundig_batch" in sql]
        plain = " ".join(str(row) for row in connection.execute(sa.text(f"EXPLAIN {'QUERY PLAN ' if lake.catalogue.sqlite else ''}SELECT batch_id FROM kundig_batch WHERE substr(batch_id, 1, 3)='s-s' ORDER BY snapshot_id + 0 DESC")).all())
    assert len(plans) == 4 and all("kundig_latest" in plan for plan in plans[::2])
    whole = "SCAN kundig_batch" if lake.catalogue.sqlite else "Seq Scan on kundig_batch"
    assert whole in plain, "the positive control: without the range every batch is looked at"
    assert whole not in plans[1], plans[1]


def test_a_catalogue_of_an_earlier_release_gets_the_index(opened: Opener) -> None:
    lake = opened()
    _change(lake, "DROP INDEX kundig_latest")
    lake.close()
    again = opened()
    assert "kundig_latest" in {index["name"] for index in sa.inspect(again.catalogue.engine).get_indexes("kundig_batch")}
