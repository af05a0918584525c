"""Hashes of landed ids: with them exactly the same rows land as without, whoever else writes, and after files are joined or rows erased."""

from __future__ import annotations

import errno
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.collect.test_inbox_landing import Taken, call

from kundig.collect import known_ids
from kundig.collect.known_ids import KnownIds, suspects
from kundig.store import native


def _landed(taken: Taken) -> list[Any]:
    return sorted(taken.shop.rows("events", "event_id"))


@pytest.mark.parametrize(("most", "in_memory"), [(known_ids.MOST, known_ids.MOST_IN_MEMORY), (known_ids.MOST, 3), (7, 3)], ids=["in memory", "in files", "too many to be kept"])
def test_the_same_rows_land_as_without_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, in_memory: int) -> None:
    monkeypatch.setattr(known_ids, "MOST_IN_MEMORY", in_memory)
    with_, without = Taken(tmp_path / "with"), Taken(tmp_path / "without")
    known, chance = KnownIds(most=most), random.Random(4)
    told = [0, 0]
    for step in range(12):
        numbers = [chance.randrange(40) for _ in range(6)]
        for place, (one, more) in enumerate(((with_, {"known": known}), (without, {}))):
            one.send({"batch": [call(number) for number in numbers]})
            told[place] += sum(landed.duplicates for landed in one.land(**more))
        if step % 4 == 3:
            with_.shop.lake.compact()
    assert _landed(with_) == _landed(without) != []
    assert told[0] == told[1] > 0
    with_.inbox.close()
    without.inbox.close()


def test_what_another_process_landed_is_known_too(tmp_path: Path) -> None:
    taken, known = Taken(tmp_path), KnownIds()
    taken.send({"batch": [call(1)]})
    taken.land(known=known)
    taken.send({"batch": [call(2)]})
    taken.land()
    taken.send({"batch": [call(1), call(2), call(3)]})
    assert sum(one.duplicates for one in taken.land(known=known)) == 2
    assert taken.shop.rows("events", "count(*)") == [(3,)]
    taken.inbox.close()


def test_what_it_landed_itself_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, known = Taken(tmp_path), KnownIds()
    read: list[str] = []
    honest = known_ids.hashes
    monkeypatch.setattr(known_ids, "hashes", lambda con, relation: read.append(relation) or honest(con, relation))
    for numbers in ([1, 2], [2, 3, 4], [4, 5]):
        taken.send({"batch": [call(number) for number in numbers]})
        taken.land(known=known)
    assert sum("read_parquet" in one for one in read) == 1, "of the first landing, before which there was nothing to ask"
    assert len(known) == 5
    taken.send({"batch": [call(6)]})
    taken.land()  # another process
    taken.send({"batch": [call(number) for number in range(1, 8)]})
    assert sum(one.duplicates for one in taken.land(known=known)) == 6
    assert sum("read_parquet" in one for one in read) == 2
    assert len(known) == 7
    taken.inbox.close()


def test_a_store_that_forgets_what_it_covered_lands_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The positive control: hashes alone keep a row out, so a wrong answer is seen."""
    taken, known = Taken(tmp_path), KnownIds()
    taken.send({"batch": [call(1)]})
    taken.land(known=known)
    monkeypatch.setattr(KnownIds, "holds", lambda self, asked: np.zeros(len(asked), dtype=bool))
    taken.send({"batch": [call(1)]})
    taken.land(known=known)
    assert taken.shop.rows("events", "count(*), count(DISTINCT event_id)") == [(2, 1)]
    taken.inbox.close()


def test_joined_files_add_nothing_and_an_id_too_many_costs_a_look_alone(tmp_path: Path) -> None:
    taken, known = Taken(tmp_path), KnownIds()
    con = native(taken.shop.lake.duck)
    for number in range(5):
        taken.send({"batch": [call(number), call(number + 100)]})
        taken.land(known=known)
    assert taken.shop.lake.compact(force=True)
    known.cover(con, taken.shop.lake, taken.shop.lake.snapshot())
    assert len(known) == 10
    con.execute("CREATE OR REPLACE TEMP TABLE asked AS SELECT unnest(['web:m1', 'web:m9']) AS event_id")
    assert suspects(con, known, "asked", name="_s") == 1
    taken.inbox.close()


def test_runs_stay_few() -> None:
    known = KnownIds()
    for number in range(300):
        known._add(np.asarray([number * 7919 % 1009], dtype=np.uint64))
    assert len(known) == 300
    assert len(known._runs) <= 10
    assert known.holds(np.asarray([7919 % 1009, 5_000_000], dtype=np.uint64)).tolist() == [True, False]


def test_long_runs_lie_in_files_and_a_full_disk_leaves_them_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_ids, "MOST_IN_MEMORY", 50)
    told, more = np.arange(100, dtype=np.uint64), np.arange(100, 160, dtype=np.uint64)
    known = KnownIds(folder=tmp_path)
    known._add(told)
    assert [run._told for run in known._runs] == [None]
    assert list(tmp_path.iterdir()) == [], "a file without a name ends with the process"

    def full(**given: Any) -> Any:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    known._add(more)
    assert [run._told is None for run in known._runs] == [True, False]
    assert known.holds(np.asarray([3, 99, 120, 160], dtype=np.uint64)).tolist() == [True, True, True, False]


def test_every_hash_that_was_told_is_held_and_no_other() -> None:
    rng, known, told = np.random.default_rng(7), KnownIds(), []
    for size in (1, 30_000, 2, 500, 30_000):
        fresh = rng.integers(0, 2**64, size, dtype=np.uint64)
        fresh[: size // 2] >>= np.uint64(40)  # close together: many share a byte of the bitmap
        fresh = known_ids._each_once(fresh)
        known._add(fresh[~known.holds(fresh)])
        told.append(fresh)
    everything = np.unique(np.concatenate(told))
    assert len(known) == len(everything) and known.holds(everything).all()
    others = np.setdiff1d(np.concatenate((everything + np.uint64(1), rng.integers(0, 2**64, 10_000, dtype=np.uint64))), everything)
    assert not known.holds(others).any()


def test_landing_ends_though_more_comes_while_it_works(tmp_path: Path) -> None:
    taken = Taken(tmp_path)
    sent = iter(range(1_000))

    def told(step: str) -> None:
        if step == "landed":
            taken.send({"batch": [call(next(sent))]})

    for _ in range(3):
        taken.send(json.dumps({"batch": [call(next(sent))]}).encode())
    assert len(taken.land(most=1, told=told)) == 3, "a stream without end would keep the lease for ever"
    assert taken.inbox.waiting("land") == 3
    taken.inbox.close()
