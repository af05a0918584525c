"""The law of incremental work: rows of touched persons computed from narrowed inputs, the others kept, equal a full computation."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.unify.world import World, day, lazy

from kundig.config.unify import ProfileRules
from kundig.schema import Step, Table
from kundig.tables.collect import CONTACTS, EVENTS, ORDERS, SURVEY_ANSWERS
from kundig.tables.unify import ACCOUNTS, IDENTIFIERS, IDENTITIES, PERSON_DAYS, PROFILES, TRAIT_CHANGES
from kundig.unify.accounts import accounts
from kundig.unify.person_days import person_days
from kundig.unify.profiles import profiles
from kundig.unify.trait_changes import trait_changes

STEPS: tuple[Step, ...] = (person_days, trait_changes, profiles, accounts)
FACTS = (EVENTS, CONTACTS, ORDERS, SURVEY_ANSWERS)
RULES = ProfileRules.model_validate(
    {
        "trust": ["crm"], "trusted_for": {"city": ["fair"]},
        "attributes": {"taste": {"meaning": "Taste", "question": "taste"}, "size": {"meaning": "Size", "field": "size", "type": "int64"}},
        "strategies": {"size": "maximum"},
    }
)  # fmt: skip


def history(seed: int) -> World:
    """People with several identifiers, of whom some merge late, share or hand over devices and contradict themselves."""
    chance = random.Random(seed)
    world = World()
    for _ in range(160):
        person, at = chance.randrange(25), chance.randrange(90)
        own = [f"anonymous_id:{person}.{chance.randrange(3)}", f"email:{person}@example.org", f"customer_id:c{person}", f"phone:+49{person // 3}", f"device_id:{person % 7}"]
        carried = chance.sample(own, chance.choice((1, 1, 2, 3)))
        known = at + chance.choice((0, 0, 0, 20))
        kind = chance.random()
        if kind < 0.6:
            world.see(at, carried, known=known, channel=chance.choice((None, "email", "paid_search")), name=chance.choice(("page_viewed", "product_viewed")))
        elif kind < 0.65:
            world.see(at, carried, SURVEY_ANSWERS, known=known, source="survey", answer_id=f"survey:{chance.random()}", question=chance.choice(("taste", "other")), answer=chance.choice(("sweet", "sour")))
        elif kind < 0.75:
            world.order(at, carried, known=known, acquisition_channel=chance.choice((None, "affiliate")))
        else:
            world.contact(
                at, carried, known=known, source=chance.choice(("crm", "fair")), attributes=chance.choice((None, '{"size":"7"}', '{"size":"9"}')), kind=chance.choice(("lead", "customer")), first_name=chance.choice(("Ada", "Bea", None)),
                last_name=chance.choice(("Muster", "Probe")), city=chance.choice(("Bonn", "Köln", None)), hobbies=chance.choice((None, ["a"], ["b", "a"])),
                company=chance.choice((None, "Muster GmbH")), street="Weg", postcode=chance.choice(("1", None)), birth_date=chance.choice((None, dt.date(1980, 2, 3))),
            )  # fmt: skip
    return world


def known_at(world: World, moment: dt.datetime) -> World:
    """What of these facts was known at a moment."""
    return World(facts={name: [r for r in records if r["received_at"] <= moment and r["occurred_at"] <= moment] for name, records in world.facts.items()})


def inputs_of(world: World) -> dict[str, pa.Table]:
    made = world.run()
    return {table.name: world.table(table) for table in (*FACTS, IDENTIFIERS)} | {"identities": made["identities"]}


def computed(step: Step, tables: dict[str, pa.Table], narrow: Callable[[Table, pa.Table], pa.Table] = lambda _, rows: rows) -> pa.Table:
    given: dict[str, Any] = {"profiles": RULES} if "profiles" in step.parameters else {}
    return step(*[lazy(narrow(table, tables[table.name])) for table in step.reads], **given).to_pyarrow()


def every(tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """The inputs and the result of each step from them."""
    done = dict(tables)
    for step in STEPS:
        done[step.writes.name] = computed(step, done)
    return done


def only(rows: pa.Table, column: str, keys: pa.Array, *, keep: bool = True) -> pa.Table:
    inside = pc.is_in(rows.column(column), value_set=keys)
    return rows.filter(inside if keep else pc.invert(inside))


def differing(table: Table, old: pa.Table, new: pa.Table) -> set[int]:
    """Keys (identifier or person) of the rows that stand in one of two states and not in the other."""
    column = "person_key" if "person_key" in table.names else "identifier_key"
    one, other = ({repr(sorted(r.items())): r[column] for r in rows.to_pylist()} for rows in (old, new))
    return {one[r] for r in one.keys() - other.keys()} | {other[r] for r in other.keys() - one.keys()}


@pytest.mark.parametrize("seed", range(4))
def test_touched_persons_alone_equal_everybody(seed: int) -> None:
    world = history(seed)
    before, after = every(inputs_of(known_at(world, day(60)))), inputs_of(known_at(world, day(95)))
    expected = every(after)
    owners: dict[int, set[int]] = {}
    for row in before["identities"].to_pylist() + after["identities"].to_pylist():
        owners.setdefault(row["identifier_key"], set()).add(row["person_key"])
    done = dict(after)
    changed = {IDENTITIES.name: differing(IDENTITIES, before["identities"], after["identities"])}
    for table in (*FACTS, IDENTIFIERS):
        changed[table.name] = {p for i in differing(table, before[table.name], after[table.name]) for p in owners.get(i, set())}
    for step in STEPS:
        touched = pa.array(sorted(set().union(*(changed[table.name] for table in step.reads))), pa.int64())
        identifiers = only(after["identities"], "person_key", touched)["identifier_key"].combine_chunks()

        def narrow(table: Table, rows: pa.Table, touched: pa.Array = touched, identifiers: pa.Array = identifiers) -> pa.Table:
            return only(rows, "person_key", touched) if "person_key" in table.names else only(rows, "identifier_key", identifiers)

        fresh = only(computed(step, done, narrow), "person_key", touched)
        name = step.writes.name
        done[name] = pa.concat_tables([only(before[name], "person_key", touched, keep=False), fresh])
        changed[name] = differing(step.writes, before[name], done[name])
        assert not differing(step.writes, done[name], expected[name]), name
        assert done[name].num_rows == expected[name].num_rows
    assert 0 < len(changed["profiles"]) < expected["profiles"].num_rows, "else nothing was left alone, and the law says nothing"


def test_histories_hold_what_makes_it_hard() -> None:
    """Shared and handed-over identifiers, refused links, late facts: counted over the seeds."""
    statuses: set[str] = set()
    moved = shared = late = 0
    for seed in range(4):
        world = history(seed)
        made = world.run()
        statuses |= set(made["links"]["status"].to_pylist())
        moved += sum(1 for u in made["identities"]["valid_until"].to_pylist() if u is not None)
        shared += sum(made["identities"]["shared"].to_pylist())
        late += sum(1 for records in world.facts.values() for r in records if r["received_at"] > r["occurred_at"])
    assert statuses >= {"used", "overlap", "unique_conflict"}
    assert min(moved, shared, late) > 0
    assert {ACCOUNTS.name, PERSON_DAYS.name, PROFILES.name, TRAIT_CHANGES.name} == {step.writes.name for step in STEPS}
