"""Erasure: whoever is erased is in no kept snapshot, no file, no page of the catalogue; everybody else is where they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from tests.store.conftest import Opener
from tests.store.lakes import START, events, fetch, keys_of, persons

from kundig.errors import Conflict, ContractError
from kundig.store.lake import Append, Erasure, Lake, ReleaseMark, Replace, Upsert

GONE = [13, 29]
NEEDLES = [f"needle{key}@example.org" for key in GONE]


def _texts(lake: Lake, catalogue: str) -> Iterator[tuple[str, str]]:
    """Every place where a person could be: decoded rows and footers of each Parquet file, raw bytes, and the catalogue's rows."""
    for path in sorted(lake.data.rglob("*")):
        if path.is_file():
            yield f"bytes of {path.name}", path.read_bytes().decode("latin-1")
        if path.suffix == ".parquet":
            file = pq.ParquetFile(path)
            yield f"rows of {path.name}", str(file.read().to_pylist())
            groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
            yield f"footer of {path.name}", f"{file.metadata.metadata} " + str([group.column(c).statistics for group in groups for c in range(group.num_columns)])
    if catalogue.startswith("sqlite"):
        for path in sorted(Path(catalogue.removeprefix("sqlite:///")).parent.glob("lake.sqlite*")):
            yield f"bytes of {path.name}", path.read_bytes().decode("latin-1")
    with lake.catalogue.transaction() as connection:
        for name in sa.inspect(connection).get_table_names():
            yield f"catalogue table {name}", str(connection.execute(sa.text(f"SELECT * FROM {name}")).all())


def _hits(lake: Lake, catalogue: str, needle: str) -> list[str]:
    return [place for place, text in _texts(lake, catalogue) if needle in text]


def _history(lake: Lake) -> list[int]:
    """Eight snapshots with rows added, replaced, hidden by delete files, and compacted."""
    made = [lake.commit([Append(table="persons", source=persons(range(40))), Append(table="events", source=events(range(100)))], release=ReleaseMark(run_id=1, moment=START))]
    made.append(lake.commit([Append(table="persons", source=persons(range(40, 60)))]))
    for run in (2, 3):
        keys = [1, 13, 29, 30 + run]
        made.append(lake.commit([Upsert(table="persons", column="person_key", keys=pa.array([*keys, 20 + run]), source=persons(keys, run=run))], release=ReleaseMark(run_id=run, moment=START)))
    lake.compact(["persons"], force=True)
    made.append(lake.snapshot())
    made.append(lake.commit([Upsert(table="persons", column="person_key", keys=pa.array([12, 13]), source=persons([12, 13], run=4))]))
    made.append(lake.commit([Append(table="events", source=events(range(100, 120), day=1))]))
    return made


def _rows(lake: Lake, at: int) -> list[str]:
    return sorted(str(row) for row in fetch(lake, f"SELECT * FROM {lake.scan('persons', at)} WHERE person_key NOT IN (13, 29)"))


def test_the_erased_are_nowhere_and_the_others_where_they_were(lake: Lake, catalogue: str) -> None:
    made = _history(lake)
    before = {at: _rows(lake, at) for at in made}
    totals = {at: len(keys_of(lake, at)) for at in made}
    # positive control: the same search finds each of them before
    for needle in NEEDLES:
        assert any(place.startswith("rows of") for place in _hits(lake, catalogue, needle))
    taken = lake.erase({"persons": ("person_key", GONE), "events": ("person_key", pa.array(GONE))})
    assert taken["persons"] >= 8
    for needle in NEEDLES:
        assert _hits(lake, catalogue, needle) == []
    assert {at: _rows(lake, at) for at in made} == before
    assert {at: len(keys_of(lake, at)) for at in made} == {at: count - len(GONE) for at, count in totals.items()}
    assert {key for at in made for key in keys_of(lake, at)} & set(GONE) == set()
    for at in made:
        assert fetch(lake, f"SELECT count(*) - count(DISTINCT person_key) FROM {lake.scan('persons', at)}") == [(0,)]
    assert [release.run_id for release in lake.releases()] == [3, 2, 1]
    assert lake.verify(deep=True) == []
    assert lake.erase({"persons": ("person_key", GONE)}) == {"persons": 0}


def test_the_search_itself_sees_rows_footers_and_the_log(lake: Lake, catalogue: str) -> None:
    lake.commit([Append(table="persons", source=persons([13]))])
    found = _hits(lake, catalogue, NEEDLES[0])
    assert {place.partition(" of ")[0] for place in found} >= {"rows", "footer"}
    with lake.catalogue.transaction(write=True) as connection:
        connection.execute(sa.text("UPDATE ducklake_file_column_stats SET min_value=:n WHERE column_id=2"), {"n": NEEDLES[0]})
    found = _hits(lake, catalogue, NEEDLES[0])
    assert "catalogue table ducklake_file_column_stats" in found
    if catalogue.startswith("sqlite"):
        assert "bytes of lake.sqlite-wal" in found


def test_a_file_of_the_erased_alone_is_gone(lake: Lake) -> None:
    lake.commit([Append(table="persons", source=persons([13]))])
    lake.commit([Append(table="persons", source=persons([29]))])
    assert lake.erase({"persons": ("person_key", GONE)}) == {"persons": 2}
    assert (keys_of(lake, 1), keys_of(lake, 2)) == ([], [])
    assert list(lake.data.glob("main/*/*.parquet")) == []
    assert lake.verify(deep=True) == []


def test_rows_may_be_found_by_an_element_of_a_list(lake: Lake) -> None:
    lake.commit([Append(table="persons", source=persons(range(5)))])
    assert lake.erase({"persons": ("others", [21, 40])}) == {"persons": 2}
    assert keys_of(lake) == [0, 1, 3]


def test_rows_may_stay_under_a_one_off_key(lake: Lake) -> None:
    lake.commit([Append(table="events", source=events(range(40)))])
    lake.commit([Upsert(table="events", column="event_id", keys=pa.array(["e3", "e5"]), source=events(range(5, 6)))])
    amounts = [fetch(lake, f"SELECT sum(amount), count(*) FROM {lake.scan('events', at)}") for at in (1, 2)]
    keys = pa.table({"person_key": [3, 4], "one_off": [-7001, -7002]})
    instead = {"person_key": "(SELECT k.one_off FROM {keys} k WHERE k.key = d.person_key)", "event_id": "'erased'"}
    assert lake.erase({"events": Erasure(column="person_key", keys=keys, instead=instead)})["events"] == 8
    assert [fetch(lake, f"SELECT sum(amount), count(*) FROM {lake.scan('events', at)}") for at in (1, 2)] == amounts
    assert fetch(lake, f"SELECT person_key, count(*) FROM {lake.scan('events')} WHERE person_key IN (3, 4, -7001, -7002) GROUP BY 1 ORDER BY 1") == [(-7002, 4), (-7001, 3)]
    assert fetch(lake, f"SELECT count(*) FROM {lake.scan('events')} WHERE event_id = 'erased'") == [(7,)]
    assert lake.verify(deep=True) == []


def test_staged_files_are_dropped_and_cannot_bring_the_erased_back(lake: Lake, catalogue: str) -> None:
    staged = lake.stage("persons", persons(range(40)), run="r", step="s")
    assert _hits(lake, catalogue, NEEDLES[0])
    lake.erase({"persons": ("person_key", GONE)})
    assert _hits(lake, catalogue, NEEDLES[0]) == []
    assert lake.staged(run="r", step="s") is None
    with pytest.raises(Conflict):
        lake.commit([Append(table="persons", source=staged)])
    lake.commit([Append(table="persons", source=persons([k for k in range(40) if k not in GONE]))])
    assert lake.verify() == []


@pytest.mark.parametrize("kind", ["append", "stage"])
def test_rows_being_written_during_an_erasure_do_not_arrive(opened: Opener, catalogue: str, kind: str) -> None:
    lake = opened()
    lake.commit([Append(table="persons", source=persons(range(20)))])
    fired: list[str] = []

    def meanwhile(step: str) -> None:
        if step == "after fsync" and not fired:
            fired.append(step)
            lake.erase({"persons": ("person_key", GONE)})

    late = opened(crash=meanwhile)
    rows = persons(range(20, 40))
    write = {"append": lambda: late.commit([Append(table="persons", source=rows)]), "stage": lambda: late.stage("persons", rows)}[kind]
    with pytest.raises(Conflict, match="erased"):
        write()
    late.close()
    lake.sweep()
    for needle in NEEDLES:
        assert _hits(lake, catalogue, needle) == []


def test_an_erasure_takes_what_lands_while_it_works(opened: Opener) -> None:
    other = opened()
    other.commit([Append(table="persons", source=persons(range(20)))])
    landed: list[int] = []

    def meanwhile(step: str) -> None:
        if step == "before transaction" and not landed:
            landed.append(other.commit([Append(table="persons", source=persons(range(20, 40)))]))

    opened(crash=meanwhile).erase({"persons": ("person_key", GONE)})
    assert keys_of(other) == [key for key in range(40) if key not in GONE]
    assert other.verify(deep=True) == []


def test_a_death_between_commit_and_unlinking_leaves_nothing_after_the_next_sweep(opened: Opener, catalogue: str) -> None:
    class Death(BaseException):
        pass

    def die(step: str) -> None:
        if step == "before unlink" and armed:
            raise Death

    armed: list[Any] = []
    lake = opened(crash=die)
    lake.commit([Append(table="persons", source=persons(range(20)))])
    armed.append(1)
    with pytest.raises(Death):
        lake.erase({"persons": ("person_key", [13])})
    assert _hits(lake, catalogue, NEEDLES[0])
    survivor = opened()
    assert len(survivor.sweep()) == 1  # though the writer of the file still lives
    assert _hits(survivor, catalogue, NEEDLES[0]) == []
    assert survivor.verify(deep=True) == []


def test_an_unknown_column_or_a_table_without_rows(lake: Lake) -> None:
    with pytest.raises(ContractError, match="'person' is not declared"):
        lake.erase({"persons": ("person", [1])})
    assert lake.erase({"persons": ("person_key", [1]), "events": ("person_key", [])}) == {"persons": 0, "events": 0}
    lake.commit([Replace(table="persons", source=persons([1, 2]))])
    assert lake.erase({"persons": ("person_key", [])}) == {"persons": 0}
    assert keys_of(lake) == [1, 2]
