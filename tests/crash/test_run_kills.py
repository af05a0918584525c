"""Killing a run at every step and commit point: the next run finishes with the same result, and no reader sees two runs mixed."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from kundig import pipeline
from kundig.store.engines.duckdb import connect
from kundig.store.lake import Lake
from kundig.tables import LAKE
from kundig.testing import END, World, default_workspace, land
from tests.forks import Nursery

FULL = bool(os.environ.get("KUNDIG_FULL"))
KILLS = 100 if FULL else 2
TABLES = "" if FULL else "sessions,person_days,profiles,consents,traits"
"""What the runs are limited to, besides what it rests on; with full counts every table is made."""
DAY = END + dt.timedelta(days=1)
NOT_COMPARED = {"runs", "lineage_edges"}


def _open(root: Path) -> Lake:
    return Lake(f"sqlite:///{root}/lake.sqlite", root / "lake", LAKE, duck=connect(threads=1, memory="1GB"))


def _contents(lake: Lake, at: int) -> dict[str, str]:
    """A digest of every written table as of a snapshot, whatever the order of its rows."""
    found = {}
    for table in sorted({step.writes.name for step in pipeline.steps()} - NOT_COMPARED):
        columns = ", ".join(f'round("{c.name}", 6)' if c.type == "float64" else f'"{c.name}"::VARCHAR' for c in LAKE[table].columns if c.name != "changed_run")
        rows = lake.duck.execute(f"SELECT {columns} FROM {lake.scan(table, at)}").fetchall()
        found[table] = str(hash(tuple(sorted(map(repr, rows)))))
    return found


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Nursery]]:
    root = tmp_path_factory.mktemp("house")
    default_workspace(root)
    world = World(3, people=12)
    lake = _open(root)
    land(lake, world.rows(until=END, events=150, orders=40), batch="first")
    nursery = Nursery("tests.crash.nursery")
    assert nursery.start(root, "run", f"{END}|{TABLES}")["code"] == 0
    land(lake, world.rows(until=DAY, days=2, events=20, orders=6), batch="second")
    lake.close()
    yield root, nursery
    nursery.close()


def test_killed_runs_are_finished_by_the_next(prepared: tuple[Path, Nursery], tmp_path: Path) -> None:
    root, nursery = prepared
    whole = tmp_path / "whole"
    shutil.copytree(root, whole)
    counted = nursery.start(whole, "run", f"{DAY}|{TABLES}")
    assert counted["code"] == 0
    lake = _open(whole)
    wanted = _contents(lake, lake.release().snapshot_id)  # type: ignore[union-attr]
    lake.close()
    points = len(counted["points"])
    targets = sorted({1 + (2 * number + 1) * points // (2 * KILLS) for number in range(KILLS)})
    histogram: Counter[str] = Counter()
    for target in targets:
        place = tmp_path / f"kill-{target}"
        shutil.copytree(root, place)
        lake = _open(place)
        before = lake.release()
        assert before is not None
        seen = _contents(lake, before.snapshot_id)
        died = nursery.start(place, "run", f"{DAY}|{TABLES}", point=target)
        assert died["killed"], "the child was not killed: nothing is tested"
        histogram[died["points"][-1]] += 1
        after = lake.release()
        assert after is not None
        if after.id == before.id:
            assert _contents(lake, after.snapshot_id) == seen, f"a reader sees the killed run's rows (killed at {died['points'][-1]})"
        else:
            assert _contents(lake, after.snapshot_id) == wanted, f"a release that is not whole (killed at {died['points'][-1]})"
        again = nursery.start(place, "run", f"{DAY}|{TABLES}")
        assert again["code"] == 0, f"the next run failed (killed at {died['points'][-1]})"
        newest = lake.release()
        assert newest is not None
        assert _contents(lake, newest.snapshot_id) == wanted, f"another result (killed at {died['points'][-1]})"
        lake.sweep()
        assert lake.verify() == [], f"orphans or missing files (killed at {died['points'][-1]})"
        lake.close()
        shutil.rmtree(place)
    print(f"\n{len(targets)} kills over {points} points of a run; lost 0, mixed 0, orphans 0")
    for name, count in sorted(histogram.items()):
        print(f"  {count:>3}  {name}")


def test_a_torn_release_is_seen(prepared: tuple[Path, Nursery], tmp_path: Path) -> None:
    """The positive control: rows committed outside the release's transaction must turn the comparison red."""
    root, _ = prepared
    place = tmp_path / "torn"
    shutil.copytree(root, place)
    lake = _open(place)
    release = lake.release()
    assert release is not None
    seen = _contents(lake, release.snapshot_id)
    from kundig.store.lake import Replace

    torn = lake.commit([Replace(table="profiles", source=f"SELECT * FROM {lake.scan('profiles')} LIMIT 3")])
    assert _contents(lake, torn) != seen
    orphan = next((place / "lake" / "main" / "profiles").glob("*.parquet"))
    shutil.copy(orphan, orphan.with_name(f"{'0' * 12}-{'0' * 32}.parquet"))
    assert lake.verify() != []
    lake.close()
