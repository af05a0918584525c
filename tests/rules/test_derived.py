"""Computed traits: their values equal a plain count, tests of them mean the same, and time changes none before it is due."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import ibis
import pytest
from tests.rules.generator import NAMES, TYPES, Generator, tidy
from tests.rules.world import FULL, SCHEMA, ZONE, crowd, in_duckdb, moment, tables

from kundig import rules
from kundig.errors import RuleError
from kundig.rules.derived import ONCE, Made
from kundig.rules.evaluate import aggregate, by_time, inside, judge, matching
from kundig.rules.facts import STEP, Timeline, as_number
from kundig.rules.parse_clauses import RuleReader
from kundig.rules.scan import with_persons
from kundig.rules.values import passes
from kundig.rules.windows import bounded

ROUNDS = 60 if FULL else 3


@pytest.fixture(scope="module")
def duck() -> Any:
    connection = ibis.duckdb.connect()
    connection.raw_sql("SET TimeZone='UTC'; SET threads=2; SET memory_limit='2GB'")
    return connection


def with_traits(definitions: dict[str, Any]) -> rules.RuleSchema:
    made = rules.RuleSchema.of(zone=ZONE, events={name: dict(event.properties) for name, event in SCHEMA.events.items()}, computed=definitions)
    return dataclasses.replace(SCHEMA, traits={**SCHEMA.traits, **{name: made.traits[name] for name in definitions}}, computed=definitions)


def window(draw: Generator) -> Any:
    """Any window over events but one that waits for another event."""
    while True:
        found = draw.window()
        if not (isinstance(found, dict) and "after" in found):
            return found


def definitions(draw: Generator) -> dict[str, Any]:
    """One trait of every kind, and some more of the common ones."""
    numbers = [name for name, type in TYPES.items() if type == "number"]

    def over(kind: str, **more: Any) -> dict[str, Any]:
        return tidy({kind: draw.chance.choice(NAMES), "where": draw.maybe(draw.where), "within": draw.maybe(lambda: window(draw), 0.7), **more})

    found = {f"{name}_{place}": over("event", **{name: True}) for name in ("count", "days") for place in (1, 2)}
    found |= {name: over("event", **{name: draw.chance.choice(numbers)}) for name in ("sum", "average", "minimum", "maximum")}
    found["distinct"] = over("event", distinct=draw.chance.choice([name for name, type in TYPES.items() if type != "list"]))
    found |= {f"{which}_at": over(which) for which in ("first", "last")}
    found |= {f"{which}_{name}": over(which, take=name) for which in ("first", "last") for name in ("total", "category", "paid", "event_day", "delivery", "tags")}
    return found | {"ruled": {"rule": draw.rule()}, "deep": {"rule": {"any": [{"trait": "count_1", "at_least": 2}, {"trait": "ruled", "is": True}]}}}


def plain(made: Made, person: Timeline, at: int) -> Any:
    """The trait's value by the evaluator's own parts: the slow twin."""
    if made.rule is not None:
        return judge(made.rule, person.known(at), at, ZONE)
    bounds = bounded(made.window, at, ZONE)
    every = matching(made.events, person.known(at), at, ZONE)
    if made.which is not None:
        chosen = (every[0] if made.which == "first" else every[-1]) if every else None
        if chosen is None or not bounds[0] <= chosen.at < bounds[1]:
            return None
        return chosen.at if made.take is None else as_number(chosen.properties.get(made.take)) if made.type == "number" else chosen.properties.get(made.take)
    return aggregate(made.threshold(ONCE.test), inside(every, bounds), ZONE)


def said(value: Any, type: str) -> str | None:
    """A value as the table keeps it."""
    if value is None:
        return None
    if type == "time":
        return dt.datetime.fromtimestamp(value // 1_000_000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
    if type == "boolean":
        return "true" if value else "false"
    if type == "list":
        return '["' + '","'.join(value) + '"]'
    if isinstance(value, Decimal):
        text = f"{value.quantize(STEP, ROUND_HALF_UP):f}"
        return text.rstrip("0").rstrip(".")
    return str(value)


def test_values_are_plain_counts_with_days_and_without(duck: Any) -> None:
    seen, due = Counter[str](), 0
    for seed in range(ROUNDS):
        chance = random.Random(seed)
        at = moment(chance)
        people = crowd(chance, at, 30)
        made = rules.read_traits(with_traits(definitions(Generator(chance))))
        given = in_duckdb(duck, tables(people))
        measures = rules.measures_of(one.probe for one in made.values())
        given["measure_days"] = duck.create_table("measure_days", rules.measure_days(with_persons(given), measures, zone=ZONE, as_of=at).to_pyarrow(), overwrite=True)
        for held in ((), measures):
            rows = rules.trait_values(made, given, as_of=at, zone=ZONE, measures=held).to_pyarrow().to_pylist()
            found = {(row["person_key"], row["trait"]): row for row in rows}
            assert len(found) == len(rows)
            for number, person in enumerate(people):
                for name, one in made.items():
                    value = said(plain(one, person, at), one.type)
                    row = found.get((1_000 + number, name))
                    if row is None:
                        assert value in (None, "0", "false"), (seed, name, one)
                    else:
                        assert row["value"] == value, (seed, name, one, person)
                        seen[name] += value not in (None, "0", "false")
                        due += row["due_at"] is not None
    assert all(seen[name] > 2 for name in made), f"traits that never had a value: {sorted(set(made) - set(+seen))}"
    assert due > 500


def test_a_test_of_a_trait_is_a_test_of_its_value() -> None:
    true = asked = 0
    for seed in range(ROUNDS * 2):
        chance = random.Random(seed + 5_000)
        at, draw = moment(chance), Generator(chance)
        people = crowd(chance, at, 25)
        schema = with_traits(definitions(draw))
        made = rules.read_traits(schema)
        for name, one in made.items():
            source = {"trait": name} | {word: operand for word, operand in draw.tests(one.type).items() if word != "exact"}
            if one.type == "number":
                source = {"trait": name, draw.chance.choice(("is", "is_not", "at_least", "at_most", "more_than", "less_than")): draw.chance.choice((0, 1, 2, 20))}
            if isinstance(source.get("within"), dict) and "next" in source["within"] and one.take is None:
                continue
            rule = rules.parse(source, schema)
            tests = RuleReader(schema).tests({word: operand for word, operand in source.items() if word != "trait"}, one.type, "$")
            assert tests is not None
            for person in people:
                value = plain(one, person, at)
                expected = all(passes(test, value, at, ZONE) for test in tests)
                assert rule.evaluate(person, at=at) is expected, (seed, source, schema.computed[name], value)
                asked, true = asked + 1, true + expected
    assert asked > 2_000
    assert 0.1 < true / asked < 0.9


def test_time_alone_changes_no_value_before_it_is_due(duck: Any) -> None:
    changed = 0
    for seed in range(ROUNDS):
        chance = random.Random(seed + 9_000)
        at = moment(chance)
        people = crowd(chance, at, 20)
        made = rules.read_traits(with_traits(definitions(Generator(chance))))
        rows = rules.trait_values(made, in_duckdb(duck, tables(people)), as_of=at, zone=ZONE).to_pyarrow().to_pylist()
        due = {(row["person_key"], row["trait"]): row["due_at"] for row in rows}
        for number, person in enumerate(people):
            known = person.known(at)
            for name, one in made.items():
                turn = due.get((1_000 + number, name))
                until = at + 400 * 86_400_000_000 if turn is None else int((turn - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) / dt.timedelta(microseconds=1))
                now = plain(one, known, at)
                for later in sorted({at + 1, until - 1, *(at + (until - at) * part // 7 for part in range(1, 7))}):
                    if at < later < until:
                        frozen = dataclasses.replace(known, events=known.events, states=known.states)
                        assert plain_at(one, frozen, later) == now, (seed, name, one, later)
                changed += turn is not None and plain_at(one, known, until) != now
    assert changed > 50, "values did change when they were due"


def plain_at(made: Made, known: Timeline, at: int) -> Any:
    """The value later on, if nothing more is heard."""
    heard = Timeline(person=known.person, events=tuple(dataclasses.replace(e, received=min(e.received, at)) for e in known.events), states=known.states)
    return plain(made, heard, at)


def test_order_of_ties_is_by_time_then_id() -> None:
    assert by_time(rules.Event(id="a", name="x", at=1, received=1)) < by_time(rules.Event(id="b", name="x", at=1, received=1))


@pytest.mark.parametrize(
    ("definition", "rule", "what"),
    [
        ({"event": "ordr", "count": True}, {"trait": "t", "at_least": 1}, "did you mean 'order'"),
        ({"event": "order", "sum": "category"}, {"trait": "t", "at_least": 1}, "which is a text"),
        ({"last": "order", "take": "colour"}, {"trait": "t", "exists": True}, "unknown property 'colour'"),
        ({"event": "order", "count": True, "within": {"after": {"last": "visit"}}}, {"trait": "t", "at_least": 1}, "cannot wait for another event"),
        ({"event": "order", "count": True}, {"trait": "t", "at_least": 1, "for": "7 days"}, "no history of its own"),
        ({"event": "order", "count": True}, {"trait": "t", "at_least": 1.5}, "leave the decimals out"),
        ({"event": "order", "count": True}, {"trait": "t", "contains": "x"}, "does not fit a number"),
        ({"rule": {"trait": "t", "is": True}}, {"trait": "t", "is": True}, "in a circle"),
        ({"last": "order"}, {"trait": "t", "within": {"next": "3 days"}}, "has been"),
    ],
)  # fmt: skip
def test_faults_are_named(definition: dict[str, Any], rule: dict[str, Any], what: str) -> None:
    with pytest.raises(RuleError, match=what):
        rules.parse(rule, with_traits({"t": definition}))


def test_a_selection_rests_on_the_trait_and_on_what_it_is_made_of() -> None:
    from kundig.rules.clauses import traits_of

    schema = with_traits({"inner": {"rule": {"trait": "city", "is": "Bonn"}}, "outer": {"rule": {"all": [{"trait": "inner", "is": True}, {"event": "order"}]}}})
    assert list(traits_of(rules.parse({"not": {"trait": "outer", "is": True}}, schema).clause)) == ["outer", "inner", "city"]
