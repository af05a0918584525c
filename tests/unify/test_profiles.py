"""Profiles: each merge strategy over records that differ, where values come from, and what kind of person it is."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from tests.unify.world import World, day, key, lazy

from kundig.config.unify import ProfileRules
from kundig.schema import Table
from kundig.tables.collect import CONTACTS, EVENTS, ORDERS, SURVEY_ANSWERS
from kundig.tables.unify import ACCOUNTS, IDENTIFIERS, MERGES, PERSON_DAYS, PROFILES, TRAIT_CHANGES
from kundig.unify.accounts import accounts
from kundig.unify.merge_ledger import merges
from kundig.unify.person_days import person_days
from kundig.unify.profiles import profiles
from kundig.unify.trait_changes import trait_changes


def told(world: World, rules: ProfileRules | None = None) -> dict[str, pa.Table]:
    """All tables of unify for these facts, each made from the rows of the ones before, as in a run."""
    made = world.run()
    read = {table.name: lazy(world.table(table)) for table in (EVENTS, CONTACTS, ORDERS, SURVEY_ANSWERS, IDENTIFIERS)}
    identities = lazy(made["identities"])

    def keep(table: Table, expression: Any) -> Any:
        rows = expression.to_pyarrow()
        assert set(rows.column_names) == set(table.names) - {"changed_run"}, table.name
        made[table.name] = rows
        return lazy(rows)

    days = keep(PERSON_DAYS, person_days(read["events"], identities))
    changes = keep(TRAIT_CHANGES, trait_changes(read["contacts"], identities, read["identifiers"], read["survey_answers"], profiles=rules or ProfileRules()))
    people = keep(PROFILES, profiles(changes, identities, read["identifiers"], read["contacts"], read["orders"], days, profiles=rules or ProfileRules()))
    keep(ACCOUNTS, accounts(people))
    keep(MERGES, merges(identities, lazy(made["links"]), lazy(world.decided())))
    return made


def only(world: World, rules: ProfileRules | None = None) -> dict[str, Any]:
    rows = told(world, rules)["profiles"].to_pylist()
    assert len(rows) == 1
    return rows[0]


def changes_of(world: World, trait: str, rules: ProfileRules | None = None) -> list[tuple[Any, float]]:
    rows = [r for r in told(world, rules)["trait_changes"].to_pylist() if r["trait"] == trait]
    return [(r["value"], (r["occurred_at"] - day(0)).days) for r in sorted(rows, key=lambda r: r["seq"])]


def three_cities(**more: Any) -> World:
    world = World()
    for at, source, city in ((0, "crm", "Berlin"), (5, "fair", "Bonn"), (9, "form", "Berlin"), (12, "fair", "Köln"), (12, "form", "Berlin")):
        world.contact(at, ["email:a@example.org", f"crm_id:{source}"], source=source, city=city, contact_id=f"{source}:{at}", **more)
    return world


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (ProfileRules(strategies={"city": "latest"}), [("Berlin", 0), ("Bonn", 5), ("Berlin", 9), ("Köln", 12), ("Berlin", 12)]),
        (ProfileRules(trust=("fair",)), [("Berlin", 0), ("Bonn", 5), ("Köln", 12)]),
        (ProfileRules(trust=("crm", "form")), [("Berlin", 0)]),
        (ProfileRules(strategies={"city": "frequent"}), [("Berlin", 0), ("Bonn", 5), ("Berlin", 9)]),
    ],
)
def test_a_text_is_merged_by_its_strategy(rules: ProfileRules, expected: list[tuple[str, int]]) -> None:
    assert changes_of(three_cities(), "city", rules) == expected
    assert only(three_cities(), rules)["city"] == expected[-1][0]


def test_each_source_is_trusted_about_what_it_knows() -> None:
    rules = ProfileRules(trust=("crm",), trusted_for={"city": ("fair",)})
    assert changes_of(three_cities(), "city", rules) == [("Berlin", 0), ("Bonn", 5), ("Köln", 12)]
    assert changes_of(three_cities(), "city", ProfileRules(trust=("crm",))) == [("Berlin", 0)]
    named = three_cities(first_name="Ada")
    assert {r["source"] for r in told(named, rules)["trait_changes"].to_pylist() if r["trait"] == "first_name"} == {"crm"}


def test_an_address_of_a_record_beats_one_that_is_an_identifier_alone_whatever_is_trusted() -> None:
    world = World()
    world.contact(0, ["crm_id:1"], source="crm", email="a@example.org")
    world.see(9, ["crm_id:1", "email:b@example.org"], source="shop")
    rules = ProfileRules(trusted_for={"email": ("shop", "crm")})
    assert changes_of(world, "email", rules) == changes_of(world, "email") == [("a@example.org", 0)]


DECLARED = ProfileRules.model_validate(
    {
        "trust": ["fair"], "strategies": {"shoe_size": "maximum", "price_attitude": "frequent"},
        "attributes": {
            "shoe_size": {"meaning": "Shoe size", "field": "Schuh größe", "type": "decimal(18,4)", "category": "sociodemographic"},
            "price_attitude": {"meaning": "What a price means", "question": "price", "survey": "attitudes"},
            "loyalty": {"meaning": "How loyal they feel", "question": "loyal", "type": "int64", "take": "score"},
            "owns_dog": {"meaning": "Has a dog", "field": "dog", "type": "bool"},
            "moved_in": {"meaning": "When they moved in", "field": "since", "type": "date"},
        },
    }
)  # fmt: skip
"""Rules with attributes beyond the built-in ones."""


def lead(world: World) -> World:
    """A lead with free fields of two sources, and answers to surveys."""
    for at, source, said in ((0, "crm", {"Schuh größe": "41,5", "dog": "ja"}), (1, "fair", {"Schuh größe": "39", "dog": "perhaps", "since": "2020-02-30"}), (2, "fair", {"Schuh größe": " ", "since": "2020-02-29"})):
        world.contact(at, ["email:a@example.org", f"crm_id:{source}"], source=source, attributes=json.dumps(said, ensure_ascii=False), contact_id=f"{source}:{at}")
    for at, answer, survey in ((3, "cheap", "attitudes"), (4, "fair", "attitudes"), (5, "fair", "attitudes"), (6, "cheap", "another"), (7, " ", "attitudes")):
        world.see(at, ["email:a@example.org"], SURVEY_ANSWERS, source="survey", survey=survey, question="price", answer=answer, answer_id=f"survey:{at}")
    world.see(8, ["email:a@example.org"], SURVEY_ANSWERS, source="survey", question="loyal", answer="very", score=Decimal("4.0000"), answer_id="survey:8")
    return world


def test_free_fields_and_answers_become_attributes() -> None:
    changes = {name: changes_of(lead(World()), name, DECLARED) for name in DECLARED.attributes}
    assert changes == {
        "shoe_size": [("41.5000", 0)], "price_attitude": [("cheap", 3), ("fair", 4)], "loyalty": [("4", 8)], "owns_dog": [("true", 0)],
        "moved_in": [("2020-02-29", 2)],
    }  # fmt: skip
    rows = told(lead(World()), DECLARED)["trait_changes"].to_pylist()
    assert {(r["trait"], r["source"], r["record"]) for r in rows if r["trait"] in ("loyalty", "owns_dog")} == {("loyalty", "survey", "survey:8"), ("owns_dog", "crm", "crm:0")}


def test_declared_attributes_leave_the_built_in_ones_as_they_are() -> None:
    plain, declared = only(lead(World())), only(lead(World()), DECLARED)
    assert {**plain, "provenance": json.loads(plain["provenance"])} == {**declared, "provenance": json.loads(declared["provenance"])}


@pytest.mark.parametrize(("strategy", "expected"), [("minimum", [("9", 0), ("7", 3)]), ("maximum", [("9", 0), ("10", 1)])])
def test_numbers_compare_as_numbers(strategy: str, expected: list[tuple[str, int]]) -> None:
    world = World()
    for at, age in enumerate((9, 10, None, 7)):
        world.contact(at, ["email:a@example.org"], age=age)
    rules = ProfileRules.model_validate({"strategies": {"age": strategy}})
    assert changes_of(world, "age", rules) == expected
    assert only(world, rules)["age"] == int(expected[-1][0])


def test_dates_and_lists() -> None:
    world = World()
    for at, born, hobbies in ((0, dt.date(1980, 2, 3), ["b", 'say "a"\\']), (1, dt.date(1980, 3, 2), ["b"]), (2, dt.date(1980, 3, 2), ["c", " ", None])):
        world.contact(at, ["email:a@example.org"], birth_date=born, hobbies=hobbies)
    assert changes_of(world, "birth_date") == [("1980-02-03", 0), ("1980-03-02", 1)]
    grown = changes_of(world, "hobbies")
    assert [(sorted(json.loads(value)), at) for value, at in grown] == [(["b", 'say "a"\\'], 0), (["b", "c", 'say "a"\\'], 2)]
    profile = only(world)
    assert profile["birth_date"] == dt.date(1980, 3, 2)
    assert sorted(profile["hobbies"]) == ["b", "c", 'say "a"\\']


def test_a_profile_says_where_it_comes_from() -> None:
    world = World()
    world.see(0, ["anonymous_id:x"], channel="organic_search")
    world.see(1, ["anonymous_id:x", "email:a@example.org"], channel="email")
    world.contact(3, ["email:a@example.org", "crm_id:7"], kind="lead", first_name="Ada", city="  ", acquisition_channel="fair")
    profile = only(world)
    assert (profile["first_name"], profile["city"], profile["email"]) == ("Ada", None, "a@example.org")
    assert (profile["kind"], profile["records"], profile["sources"], profile["acquisition_channel"]) == ("lead", 1, ["crm", "web"], "organic_search")
    assert (profile["first_seen_at"], profile["last_seen_at"]) == (day(0), day(3))
    origin = json.loads(profile["provenance"])
    assert origin["first_name"] == {"source": "crm", "at": "2026-01-04 00:00:00"}
    assert origin["email"]["source"] == "web"
    assert profile["person_id"] == f"p{key('anonymous_id:x'):015x}"


@pytest.mark.parametrize(
    ("kinds", "ordered", "expected"),
    [
        (["lead", "subscriber"], False, "lead"), (["subscriber"], False, "subscriber"), (["company_contact"], False, "company_contact"),
        (["lead"], True, "customer"), ([], True, "customer"), ([], False, "visitor"), (["lead", "customer"], False, "customer"), (["oddity"], False, "visitor"),
    ],
)  # fmt: skip
def test_kinds(kinds: list[str], ordered: bool, expected: str) -> None:
    world = World()
    world.see(0, ["email:a@example.org"])
    for kind in kinds:
        world.contact(1, ["email:a@example.org"], kind=kind)
    if ordered:
        world.order(2, ["email:a@example.org"])
    assert only(world)["kind"] == expected


def test_the_new_owner_of_a_phone_has_it_and_the_old_one_has_not() -> None:
    world = World()
    world.see(0, ["customer_id:1", "phone:+49301"])
    world.see(60, ["customer_id:2", "phone:+49301"])
    phones = {r["person_key"]: r["phone"] for r in told(world)["profiles"].to_pylist()}
    assert phones == {key("customer_id:1"): None, key("customer_id:2"): "+49301"}


def test_shared_identifiers_have_no_profile_and_visitors_have_one() -> None:
    world = World()
    for at, login in ((0, "customer_id:1"), (1, "customer_id:2"), (2, "customer_id:1")):
        world.see(at, ["device_id:d", login])
    world.see(3, ["anonymous_id:v"])
    people = {r["person_key"]: r["kind"] for r in told(world)["profiles"].to_pylist()}
    assert people == {key("customer_id:1"): "visitor", key("customer_id:2"): "visitor", key("anonymous_id:v"): "visitor"}


def test_every_key_that_named_a_person_resolves_and_refusals_are_in_the_ledger() -> None:
    world = World()
    world.see(0, ["anonymous_id:x"])
    world.see(1, ["anonymous_id:x", "customer_id:1", "email:a@example.org"])
    world.order(2, ["customer_id:2", "email:a@example.org"])
    ledger = told(world)["merges"].to_pylist()
    merged = {(r["other_key"], r["person_key"], r["evidence"], r["occurred_at"]) for r in ledger if r["kind"] == "merge"}
    root = key("anonymous_id:x")
    assert merged == {(key("customer_id:1"), root, "events:web", day(1)), (key("email:a@example.org"), root, "events:web", day(1))}
    (split,) = [r for r in ledger if r["kind"] == "split"]
    assert split["evidence"] == "unique_conflict orders:shop"
    assert len({r["merge_id"] for r in ledger}) == len(ledger)


def test_accounts_by_company_and_household() -> None:
    world = World()
    homes = [
        ("1", "Muster GmbH & Co. KG", "Müller", "Hauptstraße", "5a", "10115"), ("2", " muster g.m.b.h. ", "MÜLLER", "Hauptstr.", "5 a", "10115"),
        ("3", "Probe AG", "Meyer", "Hauptstr.", "5 a", "10115"), ("4", "GmbH", "Müller", "Hauptstr.", None, "10115"), ("5", None, None, "Weg", "1", "1"),
    ]  # fmt: skip
    for number, company, last, street, house, postcode in homes:
        world.contact(0, [f"crm_id:{number}"], company=company, last_name=last, street=street, house_number=house, postcode=postcode, job_title="Chefin")
    rows = told(world)["accounts"].to_pylist()
    companies = {r["person_key"]: r["account_id"] for r in rows if r["kind"] == "company"}
    homes_of = {r["person_key"]: r["account_id"] for r in rows if r["kind"] == "household"}
    one, two, three, four, five = (key(f"crm_id:{n}") for n in range(1, 6))
    assert companies[one] == companies[two] != companies[three]
    assert len(companies) == 4
    assert homes_of[one] == homes_of[two]
    assert len(set(homes_of.values())) == 3
    assert five not in homes_of
    assert four in homes_of
    assert {r["role"] for r in rows if r["kind"] == "company"} == {"Chefin"}


def test_nothing_gives_nothing() -> None:
    assert {name: table.num_rows for name, table in told(World()).items() if table.num_rows} == {}
