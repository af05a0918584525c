"""Measure-days: sums of the events that rules count, by person, equal to a plain count; nothing where no rule counts."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from tests.unify.world import World, lazy

from kundig import rules
from kundig.tables.collect import EVENTS
from kundig.tables.unify import MEASURE_DAYS
from kundig.unify.measure_days import days_of_rules, measure_days

SCHEMA = rules.RuleSchema.of(events={"page_viewed": {}, "order_completed": {"value": "number"}}, zone="Europe/Berlin")


def world() -> World:
    made = World()
    for number in range(30):
        person, at = number % 3, number % 5 + 0.1 * (number % 4)
        made.see(at, [f"anonymous_id:{person}"], name=("page_viewed", "order_completed")[number % 2], value=Decimal(number) if number % 7 else None)
    made.see(6, ["anonymous_id:0", "customer_id:1"])
    return made


def test_days_of_rules_are_plain_counts() -> None:
    made = world()
    identities = made.run()["identities"]
    parsed = rules.parse_all({"big": {"event": "order_completed", "within": "30 days", "sum": {"of": "value", "at_least": 10}}}, SCHEMA)
    rows = days_of_rules(lazy(made.table(EVENTS)), lazy(identities), parsed, zone="Europe/Berlin").to_pyarrow().to_pylist()
    assert set(rows[0]) == set(MEASURE_DAYS.names) - {"changed_run"}
    owner = {r["identifier_key"]: r["person_key"] for r in identities.to_pylist()}
    counts: dict[tuple[object, object], int] = defaultdict(int)
    sums: dict[tuple[object, object], Decimal] = defaultdict(Decimal)
    for event in made.facts["events"]:
        if event["name"] == "order_completed":
            place = (owner[event["identifier_key"]], event["local_day"])
            counts[place] += 1
            if event.get("value") is not None:
                sums[place] += event["value"]
    assert {(r["person_key"], r["local_day"]): r["count"] for r in rows if r["property"] == ""} == dict(counts)
    assert {(r["person_key"], r["local_day"]): r["sum"] for r in rows if r["property"] == "value"} == dict(sums)
    assert len({r["measure"] for r in rows}) == 1


def test_without_rules_there_are_no_days() -> None:
    made = world()
    empty = measure_days(lazy(made.table(EVENTS)), lazy(made.run()["identities"]), config=None, zone="Europe/Berlin", audiences={}, traits={}).to_pyarrow()
    assert empty.num_rows == 0
    assert set(empty.column_names) == set(MEASURE_DAYS.names) - {"changed_run"}
