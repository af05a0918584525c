"""The real ducklake extension reads what we write: every table, at every snapshot, row for row; and we read what it may write."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from tests.store import ducklake
from tests.store.conftest import Opener
from tests.store.lakes import START, TABLES, TOTALS, events, fetch, persons

from kundig.errors import Conflict, ForeignFormat
from kundig.schema import Column
from kundig.store.lake import Append, Lake, ReleaseMark, Replace, Upsert

pytestmark = pytest.mark.needs_ducklake


@pytest.fixture(scope="module", autouse=True)
def _oracle() -> None:
    try:
        ducklake.oracle_python()
    except OSError as error:
        pytest.skip(f"the ducklake extension cannot be had: {error}")


def _attached(catalogue: str) -> str:
    if catalogue.startswith("sqlite"):
        return f"sqlite:{catalogue.removeprefix('sqlite:///')}"
    url = sa.make_url(catalogue)
    return f"postgres:host={url.host} port={url.port} user={url.username} dbname={url.database}"


def _columns(lake: Lake, table: str) -> str:
    return ", ".join(f"{name}::VARCHAR" for name in lake.tables[table].names)


def _compared(lake: Lake, catalogue: str) -> int:
    """Compare every table at every snapshot, whole and counted, filtered and by bounds; returns how many answers were compared."""
    with lake.catalogue.transaction() as connection:
        snapshots = [row[0] for row in connection.execute(sa.text("SELECT snapshot_id FROM ducklake_snapshot ORDER BY 1"))]
        began = dict(connection.execute(sa.text("SELECT table_name, begin_snapshot FROM ducklake_table")).all())
        columns = {(row.table_name, row.column_name): row.begin_snapshot for row in connection.execute(sa.text("SELECT t.table_name, c.* FROM ducklake_column c JOIN ducklake_table t ON t.table_id=c.table_id"))}
    jobs, ours = [], []
    for table in sorted(set(began) & set(lake.tables)):
        for at in [snapshot for snapshot in snapshots if snapshot >= began[table]]:
            names = [name for name in lake.tables[table].names if columns.get((table, name), at + 1) <= at]
            rows = ", ".join(f"{name}::VARCHAR" for name in names)
            first = names[0]
            for text in (
                f"SELECT {rows} FROM {{}} ORDER BY ALL", "SELECT count(*) FROM {}", f"SELECT min({first})::VARCHAR, max({first})::VARCHAR FROM {{}}",
                *(f"SELECT count(*) FROM {{}} WHERE {name} >= (SELECT median({name}) FROM {{}})" for name in names if name in ("n", "spend", "seen_at", "received_at", "amount", "changed_run")),
            ):  # fmt: skip
                jobs.append(text.replace("{}", f"(SELECT * FROM l.{table} AT (VERSION => {at}))"))
                ours.append([list(row) for row in fetch(lake, text.replace("{}", lake.scan(table, at)))])
    theirs = ducklake.ask(_attached(catalogue), jobs)
    wrong = [(job, mine, other) for job, mine, other in zip(jobs, ours, theirs, strict=True) if mine != other]
    assert wrong == []
    return len(jobs)


def _history(opened: Opener) -> Lake:
    """Snapshots of every kind: created, appended, replaced, upserted, widened, compacted, expired and erased."""
    lake = opened()
    lake.commit([Append(table="persons", source=persons(range(40))), Append(table="events", source=events(range(100)))], release=ReleaseMark(run_id=1, moment=START))
    lake.commit([Replace(table="totals", source=pa.table({"name": ["persons"], "n": [40]}))])
    for run in (2, 3, 4):
        keys = [1, 2, 13, 30 + run]
        lake.commit([Upsert(table="persons", column="person_key", keys=pa.array([*keys, 20 + run]), source=persons(keys, run=run)), Replace(table="totals", source=pa.table({"name": ["persons"], "n": [40 - run]}))])
    wider = TOTALS.with_columns((Column(name="tags", type="list<string>", meaning="."), Column(name="share", type="float64", meaning=".")))
    lake = opened({**TABLES, "totals": wider})
    lake.commit([Append(table="totals", source=pa.table({"name": ["wide", None], "n": [None, 2], "tags": [["x", None], []], "share": [float("nan"), None]}))])
    lake.compact(["persons"], force=True)
    lake.commit([Append(table="events", source=events(range(100, 130), day=1)), Replace(table="totals", source=pa.table({"name": [], "n": []}, schema=pa.schema([("name", pa.string()), ("n", pa.int64())])))])
    lake.commit([Upsert(table="persons", column="person_key", keys=pa.array([5, 6]), source=persons([5], run=9))])
    return lake


def test_the_extension_reads_every_snapshot_as_we_do(opened: Opener, catalogue: str) -> None:
    lake = _history(opened)
    count = _compared(lake, catalogue)
    lake.erase({"persons": ("person_key", [1, 5, 13]), "events": ("person_key", [5])})
    count += _compared(lake, catalogue)
    lake.commit([Append(table="persons", source=persons(range(100, 110)))], release=ReleaseMark(run_id=2, moment=START))
    lake.expire(1)
    count += _compared(lake, catalogue)
    assert lake.verify(deep=True) == []
    print(f"{count} answers compared, 0 differ")
    assert count > 100


def test_the_comparison_sees_a_planted_difference(opened: Opener, catalogue: str) -> None:
    lake = _history(opened)
    with lake.catalogue.transaction(write=True) as connection:
        connection.execute(sa.text("UPDATE ducklake_data_file SET record_count=record_count+1 WHERE begin_snapshot=1"))
    with pytest.raises(AssertionError):
        _compared(lake, catalogue)


def test_rows_the_extension_adds_are_read_and_never_overlooked(opened: Opener, catalogue: str) -> None:
    lake = _history(opened)
    base = lake.snapshot()
    answers = ducklake.ask(_attached(catalogue), ["INSERT INTO l.events SELECT * REPLACE ('foreign' AS event_id) FROM l.events LIMIT 3", "SELECT count(*) FROM l.events"])
    assert answers[1] == [[133]]
    assert fetch(lake, f"SELECT count(*) FROM {lake.scan('events')}") == [(133,)]
    with pytest.raises(Conflict, match="events"):
        lake.commit([Replace(table="events", source=events(range(1)))], expect=base)
    assert any("personal column 'events." in fault for fault in lake.verify())
    lake.sweep()
    assert lake.verify(deep=True) == []
    assert len(fetch(lake, f"SELECT * FROM {lake.scan('events')} WHERE event_id = 'foreign'")) == 3


def test_what_the_extension_writes_in_forms_of_its_own_is_refused(opened: Opener, catalogue: str) -> None:
    lake = _history(opened)
    answers = ducklake.ask(_attached(catalogue), ["DELETE FROM l.persons WHERE person_key = 7", "CALL ducklake_merge_adjacent_files('l')"])
    assert not any(isinstance(answer, str) for answer in answers)
    with pytest.raises(ForeignFormat):
        lake.scan("persons")
    with pytest.raises(ForeignFormat, match="several snapshots"):
        opened()


def test_the_program_answers_an_error_as_text(opened: Opener, catalogue: str) -> None:
    opened().commit([Append(table="totals", source=pa.table({"name": ["a"], "n": [1]}))])
    answers: list[Any] = ducklake.ask(_attached(catalogue), ["SELECT * FROM l.nothing", ["SELECT 1", "SELECT n FROM l.totals"]])
    assert "nothing" in answers[0]
    assert answers[1] == [[1]]
