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
from kundig.errors import RuleError

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


def test_timelines_read_back_are_the_facts(duck: Any) -> None:
    """What `timelines` reads from the tables answers as the facts they were made of."""
    for seed in range(20 if FULL else 3):
        at, people, parsed = drawn(seed + 900)
        read = rules.timelines(parsed.values(), in_duckdb(duck, tables(people)), range(1_000, 1_000 + len(people)))
        assert {timeline.person for timeline in read.values()} == {person.person for person in people}
        for person, found in zip(people, (read[key] for key in sorted(read)), strict=True):
            for rule in parsed.values():
                assert rule.evaluate(found, at=at) is rule.evaluate(person, at=at), (seed, rule.source)
                assert rule.next_change(found, at=at) == rule.next_change(person, at=at), (seed, rule.source)


def test_many_rules_are_compiled_in_groups(duck: Any) -> None:
    at, people, _ = drawn(77, people=15)
    draw = Generator(random.Random(5))
    parsed = {f"r{number}": rules.parse(draw.pick(draw.event, draw.state, draw.trait), SCHEMA) for number in range(130)}
    rows = rules.compile(parsed, in_duckdb(duck, tables(people, identities=False)), as_of=at).to_pyarrow().to_pylist()
    assert len(rows) == len(people)
    by_person = {row["person_id"]: row for row in rows}
    assert all(by_person[person.person][name] is rule.evaluate(person, at=at) for person in people for name, rule in parsed.items())


def test_select_gives_persons(duck: Any) -> None:
    at, people, parsed = drawn(3)
    given = in_duckdb(duck, tables(people))
    for rule in list(parsed.values())[:6]:
        chosen = rule.select(given, as_of=at)
        assert chosen.columns == ("person_key", "person_id")
        assert sorted(chosen.to_pyarrow()["person_id"].to_pylist()) == sorted(person.person for person in people if rule.evaluate(person, at=at))


def test_what_cannot_be_compiled_says_why(duck: Any) -> None:
    rule = rules.parse({"event": "order"}, SCHEMA)
    given = in_duckdb(duck, tables([]))
    with pytest.raises(RuleError, match="table 'events'"):
        rule.select({"profiles": given["profiles"]}, as_of=0)
    with pytest.raises(RuleError, match="cannot be called 'person_id'"):
        rules.compile({"person_id": rule}, given, as_of=0)
    with pytest.raises(RuleError, match="different zones"):
        rules.compile({"a": rule, "b": rules.parse({"everyone": True}, rules.RuleSchema.of(zone="UTC"))}, given, as_of=0)
    assert rules.compile({}, given, as_of=0).columns == ("person_key", "person_id")
    assert rules.compile({"a": rule, "b": rules.parse({"everyone": True}, SCHEMA)}, given, as_of=0, due=True).count().execute() == 0
