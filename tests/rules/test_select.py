"""Law 1: the warehouse selects whom the evaluator says; every flag is true or false, one row a person."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import ibis
import pytest
from tests.rules.generator import Generator
from tests.rules.world import FULL, SCHEMA, crowd, in_duckdb, moment, tables

from kundig import rules

ROUNDS = 150 if FULL else 10


@pytest.fixture(scope="module")
def duck() -> Any:
    connection = ibis.duckdb.connect()
    connection.raw_sql("SET TimeZone='UTC'; SET threads=2; SET memory_limit='2GB'")
    return connection


def drawn(seed: int, people: int = 40) -> tuple[int, list[rules.Timeline], dict[str, rules.Rule]]:
    """A moment, a crowd and a set of rules."""
    chance = random.Random(seed)
    at, draw = moment(chance), Generator(chance)
    sources = draw.focused() + [draw.rule() for _ in range(6)]
    return at, crowd(chance, at, people), {f"r{number}": rules.parse(source, SCHEMA) for number, source in enumerate(sources)}


def test_select_is_evaluate(duck: Any) -> None:
    true, asked = Counter[str](), Counter[str]()
    for seed in range(ROUNDS):
        at, people, parsed = drawn(seed)
        flags = rules.compile(parsed, in_duckdb(duck, tables(people)), as_of=at)
        rows = {row["person_id"]: row for row in flags.to_pyarrow().to_pylist()}
        assert len(rows) == len(people)
        for person in people:
            for name, rule in parsed.items():
                expected = rule.evaluate(person, at=at)
                assert rows[person.person][name] is expected, (seed, person.person, rule.source)
                kind = next(iter(rule.source))
                asked[kind] += 1
                true[kind] += expected
    rare = {kind: f"{true[kind]} of {number}" for kind, number in asked.items() if true[kind] == 0 and number > 200}
    assert not rare, f"kinds that were never true: {rare}"
