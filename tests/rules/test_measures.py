"""Days are enough: windows added up from `measure_days` answer as the events do; folding again only what was touched gives the same days."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import ibis
import pytest
from tests.rules.generator import Generator
from tests.rules.world import FULL, SCHEMA, ZONE, crowd, in_duckdb, moment, tables

from kundig import rules
from kundig.rules.measures import Measure, split_days
from kundig.rules.scan import with_persons
from kundig.rules.windows import DAY


@pytest.fixture(scope="module")
def duck() -> Any:
    connection = ibis.duckdb.connect()
    connection.raw_sql("SET TimeZone='UTC'; SET threads=2; SET memory_limit='2GB'")
    return connection


def counting(draw: Generator, number: int) -> list[dict[str, Any]]:
    return [draw.pick(draw.event, draw.event, draw.edge, draw.regular, draw.quiet) for _ in range(number)]


def folded(duck: Any, given: dict[str, Any], measures: Sequence[Measure], at: int) -> Any:
    days = rules.measure_days(with_persons(given), measures, zone=ZONE, as_of=at).to_pyarrow()
    return duck.create_table("measure_days", days, overwrite=True)


def drawn(duck: Any, seed: int, persons: int) -> tuple[Any, dict[str, Any], dict[str, Any], Sequence[Measure], int]:
    """People, twelve counting rules, the tables with their days, the rules' measures, and the moment."""
    chance = random.Random(seed)
    at = moment(chance)
    people = crowd(chance, at, persons)
    parsed = {f"r{number}": rules.parse(source, SCHEMA) for number, source in enumerate(counting(Generator(chance), 12))}
    given = in_duckdb(duck, tables(people))
    measures = rules.measures_of(parsed)
    given["measure_days"] = folded(duck, given, measures, at)
    return people, parsed, given, measures, at


def test_days_answer_as_events_do(duck: Any) -> None:
    true = used = 0
    for seed in range(60 if FULL else 6):
        people, parsed, given, measures, at = drawn(duck, seed, 40)
        with_days = rules.compile(parsed, given, as_of=at, measures=measures)
        used += "measure_days" in ibis.to_sql(with_days, dialect="duckdb")
        rows = {row["person_id"]: row for row in with_days.to_pyarrow().to_pylist()}
        for person in people:
            for name, rule in parsed.items():
                expected = rule.evaluate(person, at=at)
                true += expected
                assert rows[person.person][name] is expected, (seed, person.person, rule.source)
    assert true > 500
    assert used == (60 if FULL else 6)


def test_days_and_due_together(duck: Any) -> None:
    _, parsed, given, measures, at = drawn(duck, 99, 30)
    plain = rules.compile(parsed, given, as_of=at, due=True).order_by("person_key").to_pyarrow()
    by_days = rules.compile(parsed, given, as_of=at, due=True, measures=measures).order_by("person_key").to_pyarrow()
    assert plain.equals(by_days)


def test_only_cut_days_are_read_from_events(duck: Any) -> None:
    """The events' part of a rolling window is bounded by the day it cuts; a window of whole days reads no event."""
    at = moment(random.Random(5))
    given = in_duckdb(duck, tables(crowd(random.Random(5), at, 5)))
    rolling = rules.parse({"event": "order", "within": "30 days"}, SCHEMA)
    calendar = rules.parse({"event": "order", "within": {"calendar": "30 days"}}, SCHEMA)
    measures = rules.measures_of([rolling, calendar])
    assert len(measures) == 1
    given["measure_days"] = folded(duck, given, measures, at)
    whole = ibis.to_sql(rules.compile({"r": calendar}, given, as_of=at, measures=measures), dialect="duckdb")
    assert '"events"' not in whole
    split = split_days((at - 30 * DAY + 1, at + 1), at, ZONE)
    assert len(split.cut) == 1
    assert split.cut[0][1] - split.cut[0][0] <= DAY + DAY // 24


def test_equal_measures_have_one_id() -> None:
    sources = [
        {"event": "order", "where": {"category": "Schuhe"}, "within": "7 days"},
        {"event": "order", "where": {"category": {"is": "Schuhe"}}, "within": {"calendar": "1 month"}, "sum": {"of": "total", "at_least": 10}},
        {"first": "order", "where": {"category": "Schuhe"}},
        {"regular": "order", "where": {"category": "Schuhe"}, "every": "month", "of_last": 3, "in_at_least": 2},
    ]
    measures = rules.measures_of([rules.parse(source, SCHEMA) for source in sources])
    assert [measure.properties for measure in measures] == [("total",)]
    others = [{"event": "order"}, {"event": "visit"}, {"event": ["order", "visit"]}, {"event": "order", "where": {"category": {"is": "Schuhe", "exact": True}}}, {"event": "order", "where": {"category": {"is_not": "Schuhe"}}}]
    assert len(rules.measures_of([rules.parse(source, SCHEMA) for source in others])) == len(others)
    assert rules.measures_of([rules.parse({"event": ["visit", "order"]}, SCHEMA)])[0].id == rules.measures_of([rules.parse({"event": ["order", "visit"]}, SCHEMA)])[0].id


def test_what_needs_history_has_no_measure() -> None:
    sources: list[dict[str, Any]] = [
        {"event": "order", "where": {"delivery": {"within": {"next": "3 days"}}}}, {"event": "order", "distinct": {"of": "category", "at_least": 2}},
        {"last": "order", "has": {"total": {"at_least": 1}}}, {"event": "order", "within": {"after": {"last": "visit"}}}, {"sequence": [{"event": "visit"}, {"event": "order"}]},
        {"event": "order", "where": {"category": "$trigger.category"}},
    ]  # fmt: skip
    assert rules.measures_of([rules.parse(source, SCHEMA) for source in sources]) == ()


def test_touched_days_folded_again_are_the_whole_folded_anew(duck: Any) -> None:
    """Law 5: yesterday's days, with the days of touched persons replaced, equal a fresh fold."""
    for seed in range(30 if FULL else 5):
        chance = random.Random(seed)
        at = moment(chance)
        measures = rules.measures_of([rules.parse(source, SCHEMA) for source in counting(Generator(chance), 8)])
        if not measures:
            continue
        given = in_duckdb(duck, tables(crowd(chance, at, 30), identities=False))
        before = rules.measure_days(given["events"], measures, zone=ZONE, as_of=at - 3 * DAY).to_pyarrow()
        now = rules.measure_days(given["events"], measures, zone=ZONE, as_of=at).to_pyarrow()
        events = given["events"].to_pyarrow().to_pylist()
        then, present = at - 3 * DAY, at
        seen = [(max(_micros(e["received_at"]), _micros(e["occurred_at"])), e["person_key"]) for e in events]
        touched = {person for visible, person in seen if then < visible <= present}
        again = rules.measure_days(given["events"].filter(given["events"].person_key.isin(sorted(touched) or [-1])), measures, zone=ZONE, as_of=at).to_pyarrow()
        kept = [row for row in before.to_pylist() if row["person_key"] not in touched]
        assert sorted(kept + again.to_pylist(), key=_key) == sorted(now.to_pylist(), key=_key)
        assert len(now) > 0


def _micros(moment: Any) -> int:
    from kundig.clock import micros

    return micros(moment)


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["person_key"], row["local_day"], row["measure"], row["property"]
