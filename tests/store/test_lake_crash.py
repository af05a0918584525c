"""Killed at every step: nothing acknowledged is lost, nothing lands twice, no reader sees half a release, nothing is left on disk.

KUNDIG_FULL=1 raises the counts to 300 kills on SQLite and 100 on PostgreSQL.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.store import crash
from tests.store.conftest import postgres

__all__ = ["postgres"]

FULL = os.environ.get("KUNDIG_FULL") == "1"


def _survives(url: str, folder: Path, kills: int, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    count = crash.run(crash.Job(url=url, folder=str(folder), kills=kills))
    with capsys.disabled():
        print("\n" + crash.table({name: count}))
    assert sum(count.kills.values()) == kills
    assert set(count.kills) == {*crash.STEPS, crash.OUTSIDE}
    assert (count.lost, count.doubled, count.torn, count.orphans, count.faults) == (0, 0, 0, 0, [])
    assert count.batches > kills / 4
    assert count.reads > 0


def test_kills_on_sqlite_lose_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _survives(f"sqlite:///{tmp_path / 'lake.sqlite'}", tmp_path, 300 if FULL else 18, "SQLite", capsys)


@pytest.mark.needs_postgres
def test_kills_on_postgres_lose_nothing(tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> None:
    server = request.getfixturevalue("postgres")
    _survives(server.database(), tmp_path, 100 if FULL else 9, "PostgreSQL", capsys)


@pytest.mark.parametrize(
    ("broken", "steps", "what"),
    [("split", ("after commit",), "torn"), ("twice", ("after commit",), "doubled"), ("unswept", ("after fsync", "before commit"), "orphans")],
)
def test_a_lake_broken_on_purpose_turns_the_crash_test_red(tmp_path: Path, broken: str, steps: tuple[str, ...], what: str) -> None:
    """A kill does harm only where it meets a batch that is handed in again; it is tried until one does."""
    for attempt in range(8):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        count = crash.run(crash.Job(url=f"sqlite:///{folder / 'lake.sqlite'}", folder=str(folder), kills=4, steps=steps, broken=broken, seed=attempt + 1))
        if getattr(count, what) > 0:
            return
    pytest.fail(f"32 kills of a lake that is broken on purpose ({broken}) did no harm that was seen")
