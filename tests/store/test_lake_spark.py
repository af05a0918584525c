"""Spark reads the lake's files as DuckDB does, and what it writes is committed as if DuckDB had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.store.lakes import PERSONS, TABLES, TOTALS, duck, fetch, keys_of, open_lake, persons

from kundig.schema import Column
from kundig.store.lake import Append, Lake, Upsert

pytestmark = pytest.mark.needs_java


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    from kundig.store.engines.portable import DIALECT
    from kundig.store.engines.spark import SparkSession

    before = DIALECT.get()
    opened = SparkSession.start()
    yield opened
    opened.close()
    DIALECT.set(before)


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    opened = open_lake(tmp_path)
    yield opened
    opened.close()


def _same(lake: Lake, session: Any, table: str, at: int | None = None) -> int:
    """Compare the rows on both engines as texts; returns how many."""
    from kundig.store.engines.spark import read

    names = ", ".join(f"{f.name}::VARCHAR AS {f.name}" if f.kind == "JSON" else f.name for f in lake.files(table, at)[0])
    ours = lake.duck.execute(f"SELECT {names} FROM {lake.scan(table, at)}").to_arrow_table()
    theirs = read(session.engine, *lake.files(table, at)).toArrow()
    assert theirs.column_names == ours.column_names
    assert sorted(map(str, theirs.to_pylist())) == sorted(map(str, ours.to_pylist()))
    return int(ours.num_rows)


def test_spark_reads_every_snapshot_as_duckdb_does(lake: Lake, session: Any) -> None:
    made = [lake.commit([Append(table="persons", source=persons(range(40)))]), lake.commit([Append(table="persons", source=persons(range(40, 50)))])]
    made.append(lake.commit([Upsert(table="persons", column="person_key", keys=pa.array([1, 2, 45]), source=persons([1, 60], run=2))]))
    wider = TOTALS.with_columns((Column(name="tags", type="list<string>", meaning="."), Column(name="share", type="float64", meaning=".")))
    lake.commit([Append(table="totals", source=pa.table({"name": ["a"], "n": [1]}))])
    later = Lake(str(lake.catalogue.engine.url), lake.data, {**TABLES, "totals": wider}, duck=duck())
    later.commit([Append(table="totals", source=pa.table({"name": ["b"], "n": [2], "tags": [["x"]], "share": [0.5]}))])
    assert [_same(lake, session, "persons", at) for at in (0, *made)] == [0, 40, 50, 49]
    assert _same(later, session, "totals") == 2
    later.close()


def test_what_spark_computes_is_staged_and_committed(lake: Lake, session: Any) -> None:
    lake.commit([Append(table="persons", source=persons(range(30)))])
    table = session.open_table(lake, PERSONS, 1, "persons")
    staged = session.stage(lake, PERSONS, table.filter(table.person_key < 10), run="r", step="s")
    assert staged.rows == 10
    assert not any((lake.data / ".staging").iterdir())
    session.overlay(lake, PERSONS, 1, [("upsert", ("person_key", pa.array(range(20)), staged))], "over")
    assert sorted(session.arrow(session.table("over").select("person_key"))["person_key"].to_pylist()) == [*range(10), *range(20, 30)]
    lake.commit([Upsert(table="persons", column="person_key", keys=pa.array(range(20)), source=staged)])
    assert keys_of(lake) == [*range(10), *range(20, 30)]
    texts = [str(fetch(lake, f"SELECT * FROM {lake.scan('persons', at)} WHERE person_key < 10 ORDER BY ALL")) for at in (1, 2)]
    assert texts[0] == texts[1]
    assert fetch(lake, f"SELECT tags FROM {lake.scan('persons')} WHERE person_key = 3") == [(["a", None, "t3"],)]
    assert lake.verify(deep=True) == []


def test_an_expression_of_no_rows_is_staged_as_no_files(lake: Lake, session: Any) -> None:
    lake.commit([Append(table="persons", source=persons(range(3)))])
    table = session.open_table(lake, PERSONS, 1, "persons")
    staged = session.stage(lake, PERSONS, table.filter(table.person_key < 0), run="r", step="s")
    assert (staged.rows, staged.files) == (0, ())
    session.overlay(lake, PERSONS, 1, [("replace", staged), ("append", staged)], "over")
    assert session.arrow(session.table("over")).num_rows == 0


def test_names_hold_arrow_rows_expressions_and_kept_results(session: Any) -> None:
    session.register("numbers", pa.table({"n": [1, 2, 3]}))
    session.define("twice", session.table("numbers").mutate(m=session.table("numbers").n * 2))
    session.keep("kept", session.table("twice").filter(session.table("twice").m > 2))
    session.register("numbers", pa.table({"n": [9]}))
    assert sorted(session.arrow(session.table("kept"))["m"].to_pylist()) == [4, 6]
    session.drop("kept")
    assert not session.engine.catalog.tableExists("kept")
