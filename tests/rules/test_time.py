"""Law 2: the answer stays until next_change and differs there; due moments, of one person and of the warehouse, are never later."""

from __future__ import annotations

import random
from typing import Any

import ibis
import pytest
from tests.rules.generator import Generator
from tests.rules.test_select import drawn
from tests.rules.world import FULL, GAPS, SCHEMA, ZONE, crowd, in_duckdb, instant, moment, tables

from kundig import rules
from kundig.clock import micros
from kundig.rules.candidates import endless
from kundig.rules.windows import DAY, local_day, midnight, shift_days

PAIRS = 6_000 if FULL else 700


def probes(chance: random.Random, at: int, end: int) -> list[int]:
    """Moments between now and the change: random ones, the last before it, and both sides of every midnight of 35 days."""
    found = {at + 1, end - 1, *(at + gap for gap in GAPS), *(at + (end - at) * part // 7 for part in range(7)), *(instant(chance, at) for _ in range(8))}
    for number in range(35):
        night = midnight(shift_days(local_day(at, ZONE), number), ZONE)
        found |= {night - 1, night}
    return sorted(found)


def constancy(seed: int) -> tuple[int, int]:
    """Check one rule and person; how many probes were made, and whether there is a change."""
    chance = random.Random(seed)
    at, draw = moment(chance), Generator(chance)
    person = crowd(chance, at, 1)[0]
    source = chance.choice([draw.rule(), *draw.focused()])
    rule = rules.parse(source, SCHEMA)
    answer, change, due = rule.evaluate(person, at=at), rule.next_change(person, at=at), rule.due_at(person, at=at)
    end = change if change is not None else at + 800 * DAY
    assert change is None or change > at
    made = 0
    for probe in probes(chance, at, end):
        if at <= probe < end:
            made += 1
            assert rule.evaluate(person, at=probe, known_at=at) is answer, (seed, source, at, probe, change)
    if change is not None and not endless(rule.clause):
        assert rule.evaluate(person, at=change, known_at=at) is not answer, (seed, source, at, change)
    assert change is None or (due is not None and at < due <= change), (seed, source)
    return made, change is not None


def test_constant_until_next_change() -> None:
    counted = [constancy(seed) for seed in range(PAIRS)]
    assert sum(number for number, _ in counted) > 20 * PAIRS
    assert sum(changes for _, changes in counted) > PAIRS // 20


def test_due_in_the_warehouse_is_never_later(duck: Any) -> None:
    due, changes, late = 0, 0, []
    for seed in range(60 if FULL else 5):
        at, people, parsed = drawn(seed + 5_000)
        rows = rules.compile(parsed, in_duckdb(duck, tables(people)), as_of=at, due=True).to_pyarrow().to_pylist()
        by_person = {row["person_id"]: row for row in rows}
        for person in people:
            for name, rule in parsed.items():
                row = by_person[person.person]
                assert row[name] is rule.evaluate(person, at=at), (seed, rule.source)
                moment_due = None if row[f"{name}_due_at"] is None else micros(row[f"{name}_due_at"])
                change = rule.next_change(person, at=at)
                due, changes = due + (moment_due is not None), changes + (change is not None)
                assert moment_due is None or moment_due > at, (seed, person.person, rule.source, moment_due)
                looked_at = change is not None and not (endless(rule.clause) and rule.evaluate(person, at=change, known_at=at) is row[name])
                if looked_at and (moment_due is None or moment_due > change):
                    late.append((seed, person.person, rule.source, moment_due, change))
    assert not late, late[:3]
    assert changes > 50
    assert due >= changes


def test_after_so_many_tries_it_is_early_never_late() -> None:
    chance = random.Random(3)
    for _ in range(60):
        at = moment(chance)
        person, rule = crowd(chance, at, 1)[0], rules.parse(Generator(chance).rule(), SCHEMA)
        exact, early = rule.next_change(person, at=at), rule.next_change(person, at=at, tries=2)
        assert exact is None or (early is not None and early <= exact)


@pytest.fixture(scope="module")
def duck() -> Any:
    connection = ibis.duckdb.connect()
    connection.raw_sql("SET TimeZone='UTC'; SET threads=2; SET memory_limit='2GB'")
    return connection
