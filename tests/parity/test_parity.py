"""The same steps give the same rows on DuckDB and on Spark: on dense worlds in random order, with ties, nulls, NaN and days of clock change."""

from __future__ import annotations

import datetime as dt
import math
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from kundig import pipeline
from kundig.config.load import load
from kundig.pipeline.parameters import parameters
from kundig.pipeline.workbench import Workbench
from kundig.store.engines.duckdb import connect
from kundig.store.lake import Lake
from kundig.store.state import State
from kundig.tables import ALL, LAKE
from kundig.testing import END, World, default_workspace, land
from kundig.understand.lead_log import write

pytestmark = pytest.mark.needs_java

DIFFERENT: dict[str, str] = {}
"""Steps an engine cannot do alike, with the reason; at most one in twenty, and each must really differ."""
FULL = "KUNDIG_FULL" in os.environ
SEEDS = range(1, 4) if FULL else (1,)
BOOKS = {"runs", "lineage_edges"}
LEADS = {
    "personas/answers/cyclist.yaml": "title: {en: Cyclist}\npopulation: leads\nwho: {hobbies: [Rad], language: [de], company_size: {less_than: 12}}\n",
    "leads.yaml": "points: {page_viewed: 1, product_viewed: 2}\nwindow_days: 60\nhalf: 4\npooling: 3\n",
}


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    from kundig.store.engines.spark import SparkSession

    session = SparkSession.start("local[2]")
    yield session
    session.engine.stop()


def _shuffled(rows: dict[str, Any], seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {name: table.take(rng.permutation(table.num_rows)) for name, table in rows.items()}


def _with_companies(rows: dict[str, Any]) -> dict[str, Any]:
    """The rows, where two contacts in three tell the size of their company, so that there are leads."""
    contacts = rows["contacts"]
    numbers = [int(one.removeprefix("person").partition("@")[0]) for one in contacts["email"].to_pylist()]
    sizes = pa.array([number if number % 3 else None for number in numbers], pa.int64())
    return rows | {"contacts": contacts.set_column(contacts.column_names.index("company_size"), contacts.schema.field("company_size"), sizes)}


def _tell(state: State, contacts: pa.Table) -> None:
    """Sales take people over, and of most they say what came."""
    for number, key in enumerate(sorted(set(contacts["identifier_key"].to_pylist()))):
        for status in ("assigned", ("won", "lost", "contacted", "wrong_fit")[number % 4]):
            write(state, key, status, owner="Kim" if status == "assigned" else None, actor="test", at=END - dt.timedelta(hours=number))


def _run(root: Path, rows: dict[str, Any], later: dict[str, Any], session: Any) -> Lake:
    """A workspace that ran twice: the second time, and with full counts the first time too, in the session."""
    from kundig.store.engines.portable import DIALECT

    default_workspace(root, traits=True, predictions=FULL)
    lake = Lake(f"sqlite:///{root}/lake.sqlite", root / "lake", LAKE, duck=connect(threads=2, memory="2GB"))
    state = State.open(f"sqlite:///{root}/state.sqlite")
    config = load(root)
    land(lake, rows, batch="one")
    DIALECT.set("duckdb" if session is None or not FULL else "pyspark")
    pipeline.run(lake, state, config, ALL, as_of=END, session=session if FULL else None)
    land(lake, later, batch="two")
    DIALECT.set("duckdb" if session is None else "pyspark")
    report = pipeline.run(lake, state, config, ALL, as_of=END + dt.timedelta(days=2), session=session)
    assert len(report.worked) > 25, "nearly every step has work on the second day, except the fits"
    state.close()
    return lake


def _contents(lake: Lake, table: str) -> list[tuple[Any, ...]]:
    declared = LAKE[table]
    columns = ", ".join(f'"{c.name}"::VARCHAR' if c.type == "json" else f'"{c.name}"' for c in declared.columns if c.name != "changed_run")
    rows = lake.duck.execute(f"SELECT {columns} FROM {lake.scan(table)}").fetchall()
    return sorted(rows, key=lambda row: [repr(value) if not isinstance(value, float) else f"{value:.6g}" for value in row])


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-6) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return abs(one - other) <= Decimal("0.0002") * max(1, abs(one))
    return bool(one == other)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_table_is_the_same_on_both_engines(seed: int, tmp_path: Path, spark: Any) -> None:
    from kundig.store.engines.portable import DIALECT

    world = World(seed, people=20)
    rows, later = world.rows(until=END, events=300, orders=80), world.rows(until=END + dt.timedelta(days=2), days=3, events=25, orders=8)
    one = _run(tmp_path / "duckdb", rows, later, None)
    try:
        other = _run(tmp_path / "spark", _shuffled(rows, seed), _shuffled(later, seed), spark)
    finally:
        DIALECT.set("duckdb")
    differing: dict[str, str] = {}
    tables = sorted({step.writes.name for step in pipeline.steps()} - BOOKS - {"models"})
    for table in tables:
        left, right = _contents(one, table), _contents(other, table)
        if len(left) != len(right):
            differing[table] = f"{len(left)} rows on DuckDB, {len(right)} on Spark"
            continue
        for a, b in zip(left, right, strict=True):
            bad = [c.name for c, x, y in zip([c for c in LAKE[table].columns if c.name != "changed_run"], a, b, strict=True) if not _alike(x, y)]
            if bad:
                differing[table] = f"{bad}: {a} / {b}"
                break
    print(f"\n{len(tables)} tables compared, {sum(len(_contents(one, t)) for t in tables)} rows, {len(differing)} tables differ, {len(DIFFERENT)} listed as different")
    assert set(differing) == set(DIFFERENT), differing
    assert len(DIFFERENT) <= 0.05 * len(tables)
    one.close()
    other.close()


def test_leads_are_the_same_on_both_engines(tmp_path: Path, spark: Any) -> None:
    """Where a persona tells of leads and sales said what came of them: both steps on Spark, over what the run on DuckDB made."""
    from kundig.store.engines.portable import DIALECT

    default_workspace(tmp_path, traits=True)
    for name, text in LEADS.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    lake = Lake(f"sqlite:///{tmp_path}/lake.sqlite", tmp_path / "lake", LAKE, duck=connect(threads=2, memory="2GB"))
    state, config = State.open(f"sqlite:///{tmp_path}/state.sqlite"), load(tmp_path)
    rows = _with_companies(World(1, people=20).rows(until=END, events=300, orders=80))
    land(lake, rows, batch="one")
    _tell(state, rows["contacts"])
    DIALECT.set("duckdb")
    pipeline.run(lake, state, config, ALL, as_of=END, only=("lead_scores", "lead_rates"))
    DIALECT.set("pyspark")
    try:
        for step in pipeline.steps():
            table = step.writes.name
            if table in ("lead_rates", "lead_scores"):
                bench = Workbench(lake, spark, state)
                bench.open(END, {one.name: one for one in step.reads})
                names = [column.name for column in step.writes.columns if column.name != "changed_run"]
                made = spark.arrow(step.body(*bench.inputs(step, None), **parameters(step, config, END)).select(*names)).sort_by(step.writes.key[0] if len(step.writes.key) == 1 else [(one, "ascending") for one in step.writes.key])
                wanted = lake.duck.execute(f"SELECT {', '.join(names)} FROM {lake.scan(table)} ORDER BY {', '.join(step.writes.key)}").fetchall()
                found = [tuple(row.values()) for row in made.to_pylist()]
                assert len(wanted) > 3 and len(found) == len(wanted), table
                assert [(a, b) for a, b in zip(wanted, found, strict=True) if not all(map(_alike, a, b))] == []
    finally:
        DIALECT.set("duckdb")
    state.close()
    lake.close()


def test_a_wrong_row_is_seen(tmp_path: Path) -> None:
    """The positive control of the comparison: a value off by a thousandth is not alike."""
    assert _alike(1.0, 1.0 + 1e-9)
    assert not _alike(1.0, 1.001)
    assert not _alike(Decimal("10.0"), Decimal("10.1"))
    assert not _alike(None, 0)
