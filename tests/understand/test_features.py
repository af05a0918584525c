"""Features: golden values by hand, and the law that recomputing touched and due persons gives what a full run gives."""

from __future__ import annotations

import datetime as dt
import itertools
import random
from decimal import Decimal

import pytest
from tests.understand.world import CAMPAIGN_MESSAGES, PRODUCTS, SUBSCRIPTIONS, SURVEY_ANSWERS, TICKETS, World, berlin, computed, day_of

from kundig.config.understand import Costs

AS_OF = berlin("2026-04-10 09:00")


@pytest.fixture
def shop() -> World:
    """Anna buys four times (once on the night of the clock change), takes back a part, and has one order cancelled."""
    world = World()
    world.person(1, 11, 12)
    world.person(2, 21)
    world.add(PRODUCTS, product_id="A", category="Tee", cost=Decimal(4))
    world.add(PRODUCTS, product_id="B", category="Kaffee", cost=None)
    first = berlin("2026-03-01 10:00")
    world.order(11, first, 100.0, "o1", discount=25.0)
    world.line(11, first, "o1", "A", 10.0, 80.0)
    world.line(11, first, "o1", "B", 1.0, 20.0, product_cost=7.0)
    night = berlin("2026-03-29 23:30")
    world.order(12, night, 30.0, "o2", status="returned")
    world.line(12, night, "o2", "B", 3.0, 60.0)
    world.line(12, berlin("2026-04-05 10:00"), "o2", "B", -1.5, -30.0)
    world.order(12, berlin("2026-04-05 10:00"), 50.0, "o3", product_cost=20.0)
    world.order(11, berlin("2026-04-06 10:00"), 999.0, "o4", status="cancelled")
    world.order(99, berlin("2026-04-06 10:00"), 500.0, "guest")
    return world


def test_the_value_of_purchase_days_is_net_of_returns_and_cancellations(shop: World) -> None:
    anna = computed(shop, AS_OF)[1]
    assert (anna["orders"], anna["purchase_days"]) == (3, 3)
    assert (anna["net_revenue"], anna["order_value"], anna["first_order_value"]) == (Decimal(180), Decimal(60), Decimal(100))
    assert anna["revenue"] == Decimal("214.20")
    # o1: catalogue 10 × 4, line 7; o2: no cost known, 55 % of what is left; o3: no lines, the order's own cost
    assert anna["margin"] == Decimal("100") - 47 + (30 - Decimal("16.5")) + (50 - 20)
    assert anna["returned_share"] == pytest.approx(30 / 160)
    assert anna["discount_share"] == pytest.approx(25 / 205)
    assert anna["order_value_spread"] == pytest.approx((((40**2) + (30**2) + (10**2)) / 3) ** 0.5 / 60)


def test_a_purchase_late_on_the_day_the_clock_changes_lands_on_that_day(shop: World) -> None:
    anna = computed(shop, AS_OF)[1]
    assert (anna["first_order_day"], anna["last_order_day"]) == (dt.date(2026, 3, 1), dt.date(2026, 4, 5))
    assert anna["gap_days"] == pytest.approx(35 / 2)
    gaps = (28, 7)
    mean = sum(gaps) / 2
    assert anna["regularity"] == pytest.approx(1 - (sum((gap - mean) ** 2 for gap in gaps) / 2) ** 0.5 / mean)


def test_guests_and_shared_identifiers_are_nobody(shop: World) -> None:
    shop.person(3, 31, shared=True)
    shop.order(31, berlin("2026-04-01 10:00"), 70.0)
    found = computed(shop, AS_OF)
    assert set(found) == {1, 2}
    assert sum(row["net_revenue"] for row in found.values()) == Decimal(180)


def test_a_person_without_facts_has_zeros_and_no_due_moment(shop: World) -> None:
    row = computed(shop, AS_OF)[2]
    assert (row["orders"], row["visits_30"], row["net_revenue"], row["login_frequency"]) == (0, 0, Decimal(0), 0.0)
    assert row["order_value"] is None
    assert row["last_order_day"] is None
    assert row["due_at"] is None
    assert row["first_fact_at"] is None


def test_an_identifier_that_changed_hands_counts_for_its_owner_at_the_time(shop: World) -> None:
    handover = berlin("2026-04-02 00:00")
    shop.person(1, 77, since=berlin("2020-01-01 00:00"), until=handover)
    shop.person(2, 77, since=handover)
    shop.order(77, handover - dt.timedelta(microseconds=1), 10.0)
    shop.order(77, handover, 20.0)
    found = computed(shop, AS_OF)
    assert found[1]["net_revenue"] == Decimal(190)
    assert found[2]["net_revenue"] == Decimal(20)


def test_what_was_not_known_yet_does_not_count(shop: World) -> None:
    found = computed(shop, berlin("2026-03-29 23:29"))
    assert found[1]["purchase_days"] == 1


def test_the_most_bought_category_wins_by_pieces_then_by_name(shop: World) -> None:
    anna = computed(shop, AS_OF)[1]
    assert (anna["top_category"], anna["categories_seen"]) == ("Tee", 2)
    at = berlin("2026-04-07 10:00")
    shop.order(11, at, 10.0, "o9")
    shop.line(11, at, "o9", "B", 7.5, 10.0)  # Kaffee: 1 + 3 - 1.5 + 7.5 = 10 pieces, as many as Tee
    assert computed(shop, AS_OF)[1]["top_category"] == "Kaffee"


def test_windows_hold_whole_local_days_and_say_when_they_move(shop: World) -> None:
    today = day_of(AS_OF)
    for age in (0, 29, 30, 364, 365):
        shop.visit(2, today - dt.timedelta(days=age))
    shop.visit(2, today - dt.timedelta(days=5), event="login")
    shop.visit(2, today - dt.timedelta(days=6), event="email_opened")
    shop.visit(2, today - dt.timedelta(days=7), event="order_completed")
    row = computed(shop, AS_OF)[2]
    assert (row["visits_30"], row["visits_365"]) == (3, 5)
    assert row["login_frequency"] == pytest.approx(1 / 3)
    assert row["last_visit_day"] == today
    assert row["due_at"] == berlin("2026-04-11 00:00")  # the visit 364 days old leaves the year, the one 29 days old the month
    before, after = computed(shop, row["due_at"] - dt.timedelta(microseconds=1))[2], computed(shop, row["due_at"])[2]
    assert (before["visits_30"], after["visits_30"], before["visits_365"], after["visits_365"]) == (3, 2, 5, 4)


def test_due_moments_are_local_midnights_across_the_clock_change() -> None:
    world = World()
    world.person(1, 11)
    world.visit(1, dt.date(2026, 10, 1))
    assert computed(world, berlin("2026-10-02 09:00"))[1]["due_at"] == berlin("2026-10-31 00:00")  # winter by then
    world = World()
    world.person(1, 11)
    world.visit(1, dt.date(2026, 9, 1))
    assert computed(world, berlin("2026-10-02 09:00"))[1]["due_at"] == berlin("2027-09-01 00:00")


def test_messages_cases_answers_and_contracts(shop: World) -> None:
    for number, (age, outcome) in enumerate([(1, "sent"), (1, "opened"), (89, "sent"), (90, "sent"), (2, "clicked"), (3, "bounced")]):
        shop.add(CAMPAIGN_MESSAGES, AS_OF - dt.timedelta(days=age), message_id=f"m{number}", identifier_key=21, outcome=outcome, channel="email")
    shop.add(TICKETS, AS_OF - dt.timedelta(days=9), identifier_key=21, status="solved", satisfaction=4)
    shop.add(TICKETS, AS_OF - dt.timedelta(days=8), identifier_key=21, status="open", satisfaction=None)
    for age, score, question in ((40, 3, "NPS"), (20, 9, "NPS"), (10, 1, "brand_recall")):
        shop.add(SURVEY_ANSWERS, AS_OF - dt.timedelta(days=age), identifier_key=21, question=question, survey="spring", score=Decimal(score))
    shop.add(SUBSCRIPTIONS, AS_OF - dt.timedelta(days=50), identifier_key=21, started_at=AS_OF - dt.timedelta(days=50), ended_at=AS_OF + dt.timedelta(hours=1))
    row = computed(shop, AS_OF)[2]
    assert (row["messages_90"], row["opens_90"], row["clicks_90"]) == (2, 1, 1)
    assert (row["tickets"], row["open_cases"], row["satisfaction"], row["nps"]) == (2, 1, 4.0, 9.0)
    assert row["subscriptions"] == 1
    assert row["due_at"] == AS_OF + dt.timedelta(hours=1)
    assert computed(shop, row["due_at"])[2]["subscriptions"] == 0
    assert row["first_fact_at"] == AS_OF - dt.timedelta(days=90)
    assert row["last_fact_at"] == AS_OF - dt.timedelta(days=1)


def _random_world(seed: int, persons: int = 40, days: int = 430) -> World:
    world, chance = World(), random.Random(seed)
    start = berlin("2025-06-01 00:00")
    for name, category in (("A", "Tee"), ("B", "Kaffee"), ("C", None)):
        world.add(PRODUCTS, product_id=name, category=category, cost=Decimal(chance.randint(1, 9)) if chance.random() < 0.7 else None)
    for person in range(1, persons + 1):
        mine = [person * 10 + number for number in range(chance.randint(1, 2))]
        world.person(person, *mine, shared=chance.random() < 0.05)

        def moment(chance: random.Random = chance) -> dt.datetime:
            return start + dt.timedelta(days=chance.randrange(days), minutes=chance.choice([0, 1, 720, 1410, 1439]))

        for _ in range(chance.choice([0, 0, 1, 3, 6])):
            key, at, net = chance.choice(mine), moment(), float(chance.choice([0, 5, 20, 33.33]))
            order = world.order(key, at, net, f"p{person}o{len(world.facts['orders'])}", status=chance.choice(["completed", "completed", "cancelled", "returned"]))
            for _ in range(chance.choice([0, 1, 2])):
                world.line(key, at, order, chance.choice("ABC"), float(chance.choice([1, 2, -1])), float(chance.choice([5, 10, -5])))
        for _ in range(chance.choice([0, 2, 9])):
            world.visit(person, day_of(moment()), chance.choice(["page_viewed", "login", "email_opened"]))
        for _ in range(chance.choice([0, 3])):
            world.add(CAMPAIGN_MESSAGES, moment(), message_id=f"m{len(world.facts['campaign_messages'])}", identifier_key=chance.choice(mine), outcome=chance.choice(["sent", "opened"]))
        for _ in range(chance.choice([0, 1])):
            at = moment()
            world.add(SUBSCRIPTIONS, at, identifier_key=mine[0], started_at=at + dt.timedelta(days=chance.choice([0, 20])), ended_at=at + dt.timedelta(days=60))
            world.add(TICKETS, moment(), identifier_key=mine[0], status=chance.choice(["open", "solved"]), satisfaction=chance.choice([None, 1, 5]))
    days_seen: dict[tuple, dict] = {}
    for row in world.facts["person_days"]:
        days_seen[row["person_key"], row["local_day"], row["event"], row["channel"]] = row
    world.facts["person_days"] = list(days_seen.values())
    return world


def _clocks(row: dict) -> dt.datetime | None:
    return row.get("occurred_at") or (row.get("first_at"))


@pytest.mark.parametrize("seed", range(3))
def test_recomputing_touched_and_due_persons_equals_a_full_run(seed: int) -> None:
    world = _random_world(seed)
    # person_days of the future are not there yet: the spine is made from what was known
    moments = [berlin("2026-03-28 12:00"), berlin("2026-03-30 00:00"), berlin("2026-05-02 07:00"), berlin("2026-07-20 23:59")]
    spine = world.facts["person_days"]

    def at(moment: dt.datetime) -> World:
        world.facts["person_days"] = [row for row in spine if row["first_at"] <= moment]
        return world

    held = computed(at(moments[0]), moments[0])
    recomputed = 0
    for before, now in itertools.pairwise(moments):
        owners = {row["identifier_key"]: row["person_key"] for row in world.facts["identities"]}
        fresh = [(name, row) for name, rows in world.facts.items() for row in rows if (_clocks(row) or before) > before and (_clocks(row) or before) <= now]
        fresh += [("person_days", row) for row in spine if before < row["first_at"] <= now]
        touched = {row["person_key"] if "person_key" in row else owners[row["identifier_key"]] for _, row in fresh}
        due = {person for person, row in held.items() if row["due_at"] is not None and row["due_at"] <= now}
        chosen = touched | due
        recomputed += len(chosen)
        renewed = computed(at(now), now, only=chosen)
        held = {person: row for person, row in held.items() if person not in chosen} | renewed
        assert held == computed(at(now), now, shuffle=seed)
    assert 0 < recomputed < 3 * 40


def test_the_rate_for_unknown_costs_is_the_file_s() -> None:
    world = World()
    world.person(1, 11)
    world.order(11, berlin("2026-04-01 10:00"), 100.0)
    assert computed(world, AS_OF, costs=Costs(goods_share=0.3))[1]["margin"] == Decimal(70)
