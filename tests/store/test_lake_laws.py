"""Whatever is done to a lake in whatever order, every kept snapshot reads as a plain dictionary of lists would."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.store.lakes import START, duck

from kundig.schema import Column, Table
from kundig.store.lake import Append, Change, Lake, ReleaseMark, Replace, Upsert

NUMBERS = Table(
    name="numbers", room="unify", meaning="For laws.", key=("k",), subject="k",
    columns=(Column(name="k", type="int64", meaning=".", personal="pseudonym"), Column(name="n", type="int64", meaning=".")),
)  # fmt: skip
KEYS = st.lists(st.integers(0, 9), max_size=6)
DO = st.one_of(
    st.tuples(st.sampled_from(["append", "replace", "upsert", "upsert and append"]), KEYS, KEYS, st.booleans()),
    st.tuples(st.just("erase"), KEYS, st.just([]), st.just(False)),
    st.tuples(st.sampled_from(["compact", "sweep", "reopen"]), st.just([]), st.just([]), st.just(False)),
    st.tuples(st.just("expire"), st.lists(st.integers(0, 9), min_size=1, max_size=3), st.just([]), st.just(False)),
)


class Twin:
    """Snapshots as lists of rows, and which of them are releases."""

    def __init__(self) -> None:
        self.snapshots: dict[int, list[tuple[int, int]]] = {0: []}
        self.releases: list[int] = []

    @property
    def newest(self) -> list[tuple[int, int]]:
        return self.snapshots[max(self.snapshots)]

    def commit(self, at: int, kind: str, keys: list[int], rows: list[tuple[int, int]], *, release: bool) -> None:
        before = [] if kind == "replace" else [row for row in self.newest if not kind.startswith("upsert") or row[0] not in keys]
        self.snapshots[at] = before + rows * (2 if kind == "upsert and append" else 1)
        if release:
            self.releases.append(at)

    def erase(self, keys: list[int]) -> None:
        self.snapshots = {at: [row for row in rows if row[0] not in keys] for at, rows in self.snapshots.items()}

    def expire(self, keep: int) -> None:
        ordered = sorted(self.snapshots)
        self.releases = self.releases[-keep:]
        kept = {*self.releases, *(at for at in ordered if at >= self.releases[-1])} if self.releases else set(ordered[-keep:])
        self.snapshots = {at: rows for at, rows in self.snapshots.items() if at in kept}


def _open(folder: Path, connection: Any) -> Lake:
    return Lake(f"sqlite:///{folder / 'lake.sqlite'}", folder / "lake", {"numbers": NUMBERS}, duck=connection)


def _changes(kind: str, keys: list[int], rows: pa.Table) -> list[Change]:
    append = Append(table="numbers", source=rows)
    upsert = Upsert(table="numbers", column="k", keys=pa.array(keys, pa.int64()), source=rows)
    return {"append": [append], "replace": [Replace(table="numbers", source=rows)], "upsert": [upsert], "upsert and append": [upsert, append]}[kind]  # type: ignore[list-item,return-value]


@settings(max_examples=150 if os.environ.get("KUNDIG_FULL") == "1" else 8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(DO, min_size=1, max_size=7))
def test_every_kept_snapshot_reads_as_its_twin(doings: list[tuple[str, list[int], list[int], bool]]) -> None:
    connection, twin = duck(), Twin()
    with tempfile.TemporaryDirectory() as name:
        lake = _open(Path(name), connection)
        for run, (kind, keys, others, release) in enumerate(doings, 1):
            if kind == "erase":
                lake.erase({"numbers": ("k", keys)})
                twin.erase(keys)
            elif kind == "expire":
                lake.expire(keys[0] + 1)
                twin.expire(keys[0] + 1)
            elif kind == "compact":
                if lake.compact(force=True):
                    twin.snapshots[lake.snapshot()] = list(twin.newest)
            elif kind == "sweep":
                lake.sweep()
            elif kind == "reopen":
                lake.close()
                lake = _open(Path(name), connection)
            else:
                rows = pa.table({"k": pa.array(others, pa.int64()), "n": pa.array([run] * len(others), pa.int64())})
                mark = ReleaseMark(run_id=run, moment=START) if release else None
                twin.commit(lake.commit(_changes(kind, keys, rows), release=mark), kind, keys, [(k, run) for k in others], release=release)
            held = {at: sorted(connection.execute(f"SELECT k, n FROM {lake.scan('numbers', at)}").fetchall()) for at in twin.snapshots}
            assert held == {at: sorted(rows) for at, rows in twin.snapshots.items()}
            assert [one.snapshot_id for one in lake.releases()] == twin.releases[::-1]
        lake.sweep()
        assert lake.verify(deep=True) == []
        lake.close()
    connection.close()
