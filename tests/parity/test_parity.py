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
import pytest

from kundig import pipeline
from kundig.config.load import load
from kundig.store.engines.duckdb import connect
from kundig.store.lake import Lake
from kundig.store.state import State
from kundig.tables import ALL, LAKE
from kundig.testing import END, World, default_workspace, land

pytestmark = pytest.mark.needs_java

DIFFERENT: dict[str, str] = {}
"""Steps an engine cannot do alike, with the reason; at most one in twenty, and each must really differ."""
FULL = "KUNDIG_FULL" in os.environ
SEEDS = range(1, 4) if FULL else (1,)
BOOKS = {"runs", "lineage_edges"}


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    from kundig.store.engines.spark import SparkSession

    session = SparkSession.start("local[2]")
    yield session
    session.engine.stop()


def _shuffled(rows: dict[str, Any], seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {name: table.take(rng.permutation(table.num_rows)) for name, table in rows.items()}


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


def test_a_wrong_row_is_seen(tmp_path: Path) -> None:
    """The positive control of the comparison: a value off by a thousandth is not alike."""
    assert _alike(1.0, 1.0 + 1e-9)
    assert not _alike(1.0, 1.001)
    assert not _alike(Decimal("10.0"), Decimal("10.1"))
    assert not _alike(None, 0)
