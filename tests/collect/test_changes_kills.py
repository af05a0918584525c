"""Killed between looking, landing and telling the server: afterwards every change is in the tables once, none is missing."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.collect.database import Followed, followed
from tests.forks import Nursery
from tests.postgres import Server

pytestmark = pytest.mark.needs_postgres


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    made = Nursery("tests.collect.changes_nursery")
    yield made
    made.close()


def _write(shop: Followed, chance: random.Random, number: int) -> None:
    """Some transactions on all tables."""
    shop.do(f"INSERT INTO orders VALUES ({number}, '2026-10-02', {chance.randint(1, 99)}, 'C{number % 5}')", f"INSERT INTO items VALUES ({number}, {number}, 'B', 1, 7)")
    some = number - chance.randint(0, 9)
    shop.do(f"UPDATE orders SET total = total + 1 WHERE no >= {some}")
    shop.do(f"DELETE FROM items WHERE order_no = {some}", f"DELETE FROM orders WHERE no = {some}")
    shop.do(f"INSERT INTO people VALUES ({number}, 'p{number}@example.org', 'T', '2026-09-01', true)", f"DELETE FROM people WHERE id = {some}")


def _is_whole(shop: Followed, orders_ever: int) -> None:
    assert shop.differences() == []
    assert list(shop.shop.lake.data.glob(".changes-*")) == [], "what a killed pass had written is cleared away"
    events = [one for (one,) in shop.shop.rows("events", "event_id")]
    assert len(events) == len(set(events)) == orders_ever, "each order told once, also those that are gone"


def test_killed_at_every_point_of_the_first_pass_and_of_the_next(nursery: Nursery, tmp_path: Path, postgres: Server) -> None:
    with followed(tmp_path / "live", postgres) as shop:
        _write(shop, random.Random(1), 100)
        first = nursery.start(tmp_path / "live")["points"]
        _write(shop, random.Random(2), 101)
        second = nursery.start(tmp_path / "live")["points"]
    assert {"after create", "before land", "before commit", "after commit", "after land"} <= set(first)
    assert {"before read", "after read", "before commit", "after commit", "before advance", "after advance"} <= set(second)
    every = 1 if os.environ.get("KUNDIG_FULL") else 11
    kills, orders = 0, 1
    root = tmp_path / "killed"
    with followed(root, postgres) as shop:  # one workspace lives through all of them
        _write(shop, random.Random(3), 100)
        for point in range(1, len(first) + 1, every):
            kills += nursery.start(root, point=point)["killed"]
        assert nursery.start(root)["code"] == 0
        _is_whole(shop, orders)
        for point in range(1, len(second) + 1, every):
            for _ in range(2):  # what comes after the kill lands with what came before it
                _write(shop, random.Random(orders), 100 + orders)
                orders += 1
                kills += nursery.start(root, point=point)["killed"]
                point = -1
            _is_whole(shop, orders)
    assert kills >= (len(first) + len(second)) // every // 2
    print(f"killed {kills} times at {len(first)} + {len(second)} points, each {every}. of them")


def test_a_commit_that_the_server_was_never_told_of_is_known_by_its_place(nursery: Nursery, tmp_path: Path, postgres: Server) -> None:
    """The plain case, step by step: landed, killed before the slot moved, told again, left out."""
    with followed(tmp_path, postgres) as shop:
        _write(shop, random.Random(4), 100)
        nursery.start(tmp_path)
        _write(shop, random.Random(5), 101)
        stood = shop.confirmed()
        died = nursery.start(tmp_path, point="before advance")
        assert died["killed"]
        assert died["points"][-2:] == ["after land", "before advance"]
        assert shop.confirmed() == stood
        snapshot = shop.shop.lake.snapshot()
        assert shop.differences() == [], "it had landed"
        again = shop.land()
        assert again.batches == ()
        assert shop.shop.lake.snapshot() == snapshot, "and did not land again"
        assert shop.confirmed() != stood, "now the server knows"
        _is_whole(shop, 2)
