"""Matching and people's answers: what they join and part, that an undo is as if nothing was decided, and that order and cuts change nothing."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unify.world import World, day, key, lazy, persons

from kundig.config.unify import Identity
from kundig.tables.collect import CONTACTS
from kundig.unify.identity_graph import identities
from kundig.unify.record_pairs import match_model, record_pairs, with_new_records

MATCHING = Identity.model_validate({"matching": {"enabled": True, "same": 0.9, "ask": 0.3}})
EXAMPLES = 200 if os.environ.get("KUNDIG_FULL") else 6
FIRST = ("Anna", "Jürgen", "Thomas", "Sabine", "Karl", "Mehmet", "Olga", "Peter", "Ines", "Uwe", "Dora", "Emil", "Frida", "Gustav", "Hanna", "Jakob")
LAST = ("Weiß", "Müller", "Schmidt", "Özdemir", "Kowalski", "Braun", "Vogel", "Lange", "Krüger", "Hartmann", "Seidel", "Busch", "Graf", "Kaiser", "Roth", "Winter")


def crowd(world: World, people: int = 120, seed: int = 3) -> None:
    """People with a record in the CRM and one at the till, some spelt otherwise, which share no identifier."""
    import datetime as dt

    chance = random.Random(seed)
    for number in range(people):
        first, last = chance.choice(FIRST), chance.choice(LAST)
        born = dt.date(1940 + chance.randrange(65), 1 + chance.randrange(12), 1 + chance.randrange(28))
        place = {"street": f"{chance.choice(LAST)}straße", "house_number": str(1 + chance.randrange(90)), "postcode": f"{10000 + chance.randrange(80) * 11}", "city": "Berlin"}
        world.contact(number % 50, [f"crm_id:{number}"], source="crm", first_name=first, last_name=last, birth_date=born, **place)
        spelt = last.replace("ß", "ss").replace("ü", "ue").replace("Ö", "Oe") if chance.random() < 0.6 else last
        world.contact(50 + number % 50, [f"loyalty_id:{number}"], source="till", first_name=first, last_name=spelt, birth_date=born, **place)


def together(world: World, one: str, other: str) -> bool:
    return any({key(one), key(other)} <= members for members in persons(world.run()["identities"]).values())


def ordered(table: pa.Table) -> list[dict[str, object]]:
    return sorted(table.to_pylist(), key=repr)


def test_records_of_one_person_join_without_a_shared_identifier() -> None:
    world = World(MATCHING)
    crowd(world)
    found = persons(world.run()["identities"])
    right = sum(members == {key(f"crm_id:{n}"), key(f"loyalty_id:{n}")} for n in range(120) for members in found.values())
    assert right >= 117, right
    apart = persons(world.run(Identity())["identities"])
    assert all(len(members) == 1 for members in apart.values()), "off: nothing may be matched"


def test_an_answer_beats_the_model_and_survives_a_refit() -> None:
    world = World(MATCHING)
    crowd(world)
    assert together(world, "crm_id:1", "loyalty_id:1")
    no = world.decide("different", "crm_id:1", "loyalty_id:1")
    yes = world.decide("same", "crm_id:2", "crm_id:3")
    assert not together(world, "crm_id:1", "loyalty_id:1")
    assert together(world, "crm_id:2", "crm_id:3")
    crowd(world, people=60, seed=9)  # the model is fitted anew, on other records
    assert not together(world, "crm_id:1", "loyalty_id:1")
    assert together(world, "crm_id:2", "crm_id:3")
    world.decide("undo", undoes=no)
    world.decide("undo", undoes=yes)
    assert together(world, "crm_id:1", "loyalty_id:1")
    assert not together(world, "crm_id:2", "crm_id:3")


def test_a_no_parts_also_by_a_long_way_and_cuts_the_weakest() -> None:
    world = World()
    for number in range(4):
        world.contact(number, ["crm_id:a", "email:x@example.org"])
    world.contact(9, ["crm_id:b", "email:x@example.org"])
    world.see(3, ["device_id:d", "email:x@example.org"])
    assert together(world, "crm_id:a", "crm_id:b")
    world.decide("different", "crm_id:a", "crm_id:b")
    assert not together(world, "crm_id:a", "crm_id:b")
    assert together(world, "crm_id:a", "email:x@example.org"), "four records against one: the address stays with whom it belongs to"
    assert {row["status"] for row in world.run()["links"].to_pylist() if key("crm_id:b") in (row["left_key"], row["right_key"])} == {"decided"}


def test_a_device_goes_from_whom_people_said_it_is_not() -> None:
    world = World()
    world.contact(0, ["crm_id:a", "email:x@example.org"])
    world.see(1, ["email:x@example.org", "device_id:d"])
    assert together(world, "crm_id:a", "device_id:d")
    world.decide("different", "crm_id:a", "device_id:d")
    assert not together(world, "crm_id:a", "device_id:d")


def test_a_device_is_handed_over_to_nobody_whose_phone_people_said_is_not_its() -> None:
    """Two had it, one after the other; of the second a phone is known, and the answer names the phone."""
    world = World()
    world.see(0, ["crm_id:a", "phone:+491"])
    world.see(1, ["crm_id:b", "device_id:k"])
    world.see(200, ["crm_id:a", "device_id:k"])
    before = [(row["person_key"], row["valid_until"]) for row in world.run()["identities"].to_pylist() if row["identifier_key"] == key("device_id:k")]
    assert len(before) == 2, "it was handed over"
    world.decide("different", "phone:+491", "device_id:k")
    assert not together(world, "phone:+491", "device_id:k")
    assert together(world, "crm_id:b", "device_id:k"), "whose it was stays"


PEOPLE = ("crm_id:a", "crm_id:b", "loyalty_id:c", "customer_id:d", "customer_id:e", "email:x@example.org", "email:y@example.org", "phone:+491", "device_id:k")
SEEN = st.lists(st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=3, unique=True), min_size=1, max_size=14)
DECIDED = st.lists(st.tuples(st.sampled_from(["same", "different"]), st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)).filter(lambda d: d[1] != d[2]), max_size=4)


def world_of(seen: Sequence[Sequence[str]], decided: Sequence[tuple[str, str, str]]) -> World:
    world = World()
    for number, identifiers in enumerate(seen):
        world.see(number, identifiers)
    for kind, one, other in decided:
        world.decide(kind, one, other)
    return world


@settings(max_examples=EXAMPLES, deadline=None)
@given(SEEN, DECIDED, st.tuples(st.sampled_from(["same", "different"]), st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)).filter(lambda d: d[1] != d[2]))
def test_a_decision_taken_back_is_as_if_it_was_never_taken(seen: list[list[str]], decided: list[tuple[str, str, str]], last: tuple[str, str, str]) -> None:
    world = world_of(seen, decided)
    before = world.run()
    world.decide("undo", undoes=world.decide(*last))
    after = world.run()
    assert ordered(after["identities"]) == ordered(before["identities"])
    assert ordered(after["links"]) == ordered(before["links"])


@settings(max_examples=EXAMPLES, deadline=None)
@given(SEEN, DECIDED)
def test_what_people_said_is_different_is_never_one_person(seen: list[list[str]], decided: list[tuple[str, str, str]]) -> None:
    found = persons(world_of(seen, decided).run()["identities"])
    last = {frozenset(pair): kind for kind, *pair in decided}
    for pair, kind in last.items():
        if kind == "different":
            assert not any({key(one) for one in pair} <= members for members in found.values())


@settings(max_examples=EXAMPLES, deadline=None)
@given(SEEN, DECIDED, st.randoms())
def test_order_and_resends_change_no_person(seen: list[list[str]], decided: list[tuple[str, str, str]], chance: random.Random) -> None:
    world = world_of(seen, decided)
    plain = ordered(world.run()["identities"])
    for records in world.facts.values():
        chance.shuffle(records)
    chance.shuffle(world.decisions)
    assert ordered(world.run()["identities"]) == plain


@pytest.mark.parametrize("cut", [1, 90, 239])
def test_pairs_of_new_records_alone_give_what_all_give(cut: int) -> None:
    """Incremental equals full: the standing pairs with those of the new records are the pairs of all records, by the same model."""
    world = World(MATCHING)
    crowd(world)
    whole = world.table(CONTACTS)
    model = lazy(match_model(lazy(whole), identity=MATCHING, as_of=day(300)))
    first = record_pairs(lazy(whole.slice(0, cut)), model, identity=MATCHING)
    grown = with_new_records(lazy(first), lazy(whole), model, added={"contacts": lazy(whole.slice(cut))}, anew=frozenset(), identity=MATCHING)
    full = record_pairs(lazy(whole), model, identity=MATCHING)
    assert full.num_rows > 100
    assert grown.to_pylist() == full.to_pylist()
    turned = record_pairs(lazy(whole.take(pa.array(range(whole.num_rows - 1, -1, -1)))), model, identity=MATCHING)
    assert turned.to_pylist() == full.to_pylist()


def test_strange_names_are_compared_and_named() -> None:
    """Empty, endless, right-to-left and combining names: nobody is joined for having no name, and nothing breaks."""
    world = World(MATCHING)
    crowd(world, people=60)
    odd = ["", " ", "x" * 10_000, "محمد", "e\u0301mile", "émile", "\u202eanna", "\u0000", "👩‍🚀"]
    for number, name in enumerate(odd):
        world.contact(number, [f"crm_id:odd{number}"], first_name=name, last_name=name)
    found = persons(world.run()["identities"])
    members = [{key(f"crm_id:odd{n}") for n in range(len(odd))} & one for one in found.values()]
    assert sum(bool(one) for one in members) >= len(odd) - 1, "only the two spellings of émile may be one"


def test_aliases_in_a_circle_are_one_person() -> None:
    world = World()
    names = [f"crm_id:{n}" for n in range(1, 8)]
    for one, other in zip(names, [*names[1:], names[0]], strict=True):
        world.see(1, [one, other])
    assert [members for members in persons(world.run()["identities"]).values() if len(members) > 1] == [{key(name) for name in names}]


def test_a_number_that_everybody_gave_joins_nobody() -> None:
    """A million records with one phone number (small here): the number is shared, the records stay apart, and blocking does not explode."""
    import time

    count = 1_000_000 if os.environ.get("KUNDIG_FULL") else 1_000
    world = World(MATCHING)
    for number in range(1, count + 1):
        world.contact(1, [f"crm_id:{number}", "phone:+493012345"], phone="+493012345", first_name=FIRST[number % 16], last_name=f"{LAST[number // 16 % 16]}{number}")
    began = time.perf_counter()
    found = persons(world.run()["identities"])
    assert len(found) == count
    assert time.perf_counter() - began < 600


def test_identities_without_a_decision_column_are_those_of_before() -> None:
    """Positive control: a decision that is ignored would be seen."""
    world = World()
    world.contact(0, ["crm_id:a", "email:x@example.org"])
    world.decide("different", "crm_id:a", "email:x@example.org")
    made = world.run()
    ignored = made["links"].set_column(made["links"].schema.get_field_index("status"), "status", pa.array(["used"] * made["links"].num_rows))
    read = identities(lazy(ignored), lazy(made["identifiers"]), identity=world.identity)
    assert len(persons(read)) == 1 != len(persons(made["identities"]))
