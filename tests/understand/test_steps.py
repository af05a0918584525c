"""The steps of understand over a small shop: golden states, and the law that recomputing touched and due persons equals a full run."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.understand.shop import START, Steps, by_person, purchases, world_of
from tests.understand.world import ZONE, World, berlin

from kundig.clock import midnight
from kundig.config.understand import Axes, Costs, Matrix, Tier, ValueAxis
from kundig.errors import ConfigError
from kundig.reasons import codes
from kundig.tables.understand import LIFECYCLE_STATES
from kundig.understand.lifecycle import DORMANT, FORMER, LIMITS, RISK, lifecycle, turning_days
from kundig.understand.lifetime_value.histories import Summary, day_number
from kundig.understand.models import LIFETIME, TIERS, model_named
from kundig.understand.urgency import urgency

MATRIX = Matrix(
    rows=tuple(
        dict(zip(("segment_id", "value_tier", "behavior_cluster", "state", "key_message", "visual_guideline", "offer_code"), (*cell, "", "", ""), strict=True))
        for cell in (("prospect", "*", "*", "prospect"), ("top_active", "top", "*", "active"), ("bargain", "*", "bargain", "*"), ("rest", "*", "*", "*"))
    )
)
AS_OF = berlin("2025-06-20 09:00")


@pytest.fixture(scope="module")
def shop() -> Steps:
    world = world_of(purchases(500, 90, 1))
    world.person(9_001, 99_001)
    return Steps(world, matrix=MATRIX)


@pytest.fixture(scope="module")
def made(shop: Steps) -> dict[str, pa.Table]:
    features = shop.features(AS_OF)
    models = shop.fits(AS_OF, features)
    values, states = shop.values(AS_OF, features, models), shop.states(AS_OF, features, models)
    return {
        "features": features, "models": models, "values": values, "states": states,
        "urgency": shop.urgency(AS_OF, features, values, states, models), "segments": shop.segments(features, values, states, models),
    }  # fmt: skip


def test_fits_are_rows_of_models_with_their_verdict_and_back_tests(made) -> None:
    rows = {row["model"]: row for row in made["models"].to_pylist()}
    assert set(rows) == {LIFETIME, TIERS}
    lifetime = rows[LIFETIME]
    assert lifetime["verdict"] in ("usable", "weak")
    assert lifetime["fitted_at"] == AS_OF
    holdout = json.loads(lifetime["holdout"])
    assert len(holdout["checks"]) == 3
    assert {"predicted", "actual", "error", "mae", "mae_own_rate", "mae_mean", "correlation", "cut_off"} <= set(holdout["checks"][0])
    inputs = json.loads(lifetime["inputs"])
    assert inputs["persons"] == lifetime["observations"] == made["values"].num_rows
    assert inputs["standard_errors"]["r"] > 0


def test_buyers_have_a_value_and_others_none(made) -> None:
    buyers = {key for key, row in by_person(made["features"]).items() if row["purchase_days"]}
    values = by_person(made["values"])
    assert set(values) == buyers
    assert 9_001 not in values
    row = next(iter(values.values()))
    assert row["as_of"] == midnight(dt.date(2025, 6, 20), ZONE)
    for row in values.values():
        assert row["expected_value_low"] <= row["expected_value"] <= row["expected_value_high"]
        assert row["outcome_low"] <= row["outcome_high"]
        assert 0 <= row["probability_purchase"] <= row["probability_alive"] <= 1


def test_the_next_purchase_is_told_within_the_horizon_of_those_rather_alive(made) -> None:
    model = model_named(made["models"], LIFETIME)[0]
    values, features = by_person(made["values"]), by_person(made["features"])
    assert {row["next_purchase_reason"] for row in values.values()} == {None, "rather_gone", "beyond_horizon"}
    assert {row["next_purchase_reason"] for row in values.values()} - {None} <= set(codes("purchase"))
    for key, row in values.items():
        x, known = features[key]["purchase_days"] - 1, (AS_OF.date() - features[key]["first_order_day"]).days / 7 + float(model.process.alpha(np.zeros(1))[0])
        weeks = known * (2 ** (1 / (model.process.r + x)) - 1)
        told = AS_OF.date() + dt.timedelta(days=int(np.ceil(7 * weeks - 1e-8)))
        why = "rather_gone" if row["probability_alive"] < 0.5 else "beyond_horizon" if told > AS_OF.date() + dt.timedelta(days=365) else None
        assert (row["next_purchase_reason"], row["next_purchase_at"]) == (why, midnight(told, ZONE) if why is None else None)


def test_costs_and_horizon_come_from_the_files(shop: Steps, made) -> None:
    free = Costs(goods_share=0.0, service_month=0, contact=0, fulfilment_order=0, payment_share=0, payment_order=0, return_order=0)
    dear = by_person(made["values"])
    shop.costs, before = free, shop.costs
    try:
        cheap = by_person(shop.values(AS_OF, made["features"], made["models"]))
    finally:
        shop.costs = before
    assert all(cheap[key]["expected_value"] > dear[key]["expected_value"] for key in dear)
    assert all(cheap[key]["expected_purchases"] == dear[key]["expected_purchases"] for key in dear)


def test_two_runs_of_one_day_write_the_same_values(shop: Steps, made) -> None:
    later = AS_OF + dt.timedelta(hours=3)  # before noon, when this shop's orders of the day come
    assert by_person(shop.values(later, shop.features(later), made["models"])) == by_person(made["values"])


def test_states_follow_silence_and_say_when_they_turn(shop: Steps, made) -> None:
    found = by_person(made["states"])
    assert found[9_001] == {"person_key": 9_001, "state": "prospect", "since": None, "at_risk_at": None, "dormant_at": None, "former_at": None, "due_at": None, "changed_run": 1}
    assert {"active", "at_risk", "dormant"} <= set(Counter(row["state"] for row in found.values()))
    order = ["onboarding", "active", "loyal", "at_risk", "dormant", "former"]
    for row in found.values():
        if row["due_at"] is None:
            assert row["state"] in ("prospect", "former")
            continue
        assert row["since"] <= AS_OF < row["due_at"]
        assert row["at_risk_at"] < row["dormant_at"] < row["former_at"]
    sample = [key for key, row in found.items() if row["due_at"] is not None and row["due_at"] < AS_OF + dt.timedelta(days=60)][:10]
    assert sample
    for key in sample:
        just = found[key]["due_at"]
        mine = made["features"].filter(pc.equal(made["features"]["person_key"], key))
        before = by_person(shop.states(just - dt.timedelta(microseconds=1), mine, made["models"]))[key]
        after = by_person(shop.states(just, mine, made["models"]))[key]
        assert before["state"] == found[key]["state"] != after["state"]
        assert after["since"] == just
        if found[key]["state"] != "onboarding":
            assert order.index(after["state"]) > order.index(before["state"])


def test_turning_days_are_where_the_silence_becomes_so_improbable(made) -> None:
    model = model_named(made["models"], LIFETIME)[0]
    process, end = model.process, day_number(START)
    summary = Summary(first=np.array([end, end]), last=np.array([end + 200, end + 100]), count=np.array([12, 4]), value=np.array([10.0, 10.0]))
    turns = turning_days(model, summary, np.zeros(2))
    alpha = process.alpha(np.zeros(2))
    for days, level, limit in zip(turns, (RISK, DORMANT, FORMER), LIMITS, strict=True):
        for shift, sign in ((0, -1), (-1, 1)):
            silence = (days + shift - summary.last) / 7
            probability = ((alpha + (summary.last - summary.first) / 7) / (alpha + (summary.last - summary.first) / 7 + silence)) ** (process.r + summary.count - 1)
            reached = days == summary.last + limit
            assert (reached | (sign * (probability - level) >= 0)).all()


def test_rare_buyers_turn_at_the_limits_and_slow_ones_later() -> None:
    end = day_number(START)
    summary = Summary(first=np.array([end, end]), last=np.array([end, end + 800]), count=np.array([1, 3]), value=np.array([10.0, 10.0]))
    turns = turning_days(None, summary, np.array([0.0, 400.0]))
    assert [int(days[0]) - end for days in turns] == list(LIMITS)
    assert [int(days[1]) - end - 800 for days in turns] == [1_200, 1_201, 1_202]


def test_without_a_model_states_still_stand(made) -> None:
    rows = lifecycle(made["features"], made["models"].slice(0, 0), as_of=AS_OF, zone=ZONE)
    assert rows.num_rows == made["features"].num_rows
    assert set(rows.column_names) == set(LIFECYCLE_STATES.names) - {"changed_run"}


def test_urgency_ranks_value_at_stake_times_rise_of_the_loss(made) -> None:
    rows = made["urgency"].sort_by("rank").to_pylist()
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    products = [row["urgency"] for row in rows]
    assert products == sorted(products, reverse=True)
    assert products[0] > 0
    for row in rows:
        assert float(row["value_at_stake"]) * row["loss_rise"] == pytest.approx(row["urgency"], abs=1e-3, rel=1e-4)
        assert row["reason"] in codes("urgency")
    states = by_person(made["states"])
    assert all((row["reason"] == "probably_gone") == (states[row["person_key"]]["state"] in ("dormant", "former")) for row in rows)


def test_urgency_does_not_depend_on_the_order_of_rows(shop: Steps, made) -> None:
    chance = np.random.default_rng(0)
    mixed = [rows.take(pa.array(chance.permutation(rows.num_rows))) for rows in (made["features"], made["values"], made["states"])]
    again = urgency(*mixed, shop.contracts, made["models"], as_of=AS_OF, zone=ZONE)
    assert by_person(again).keys() == by_person(made["urgency"]).keys()
    assert {k: v["rank"] for k, v in by_person(again).items()} == {k: v["rank"] for k, v in by_person(made["urgency"]).items()}


def test_each_person_is_in_one_cell_as_the_axes_say(shop: Steps, made) -> None:
    members, states = by_person(made["segments"]), by_person(made["states"])
    features, values = by_person(made["features"]), by_person(made["values"])
    assert set(members) == set(features)
    bounds = json.loads(next(row["parameters"] for row in made["models"].to_pylist() if row["model"] == TIERS))["bounds"]
    lifecycle_of = {"prospect": "prospect", "onboarding": "new", "active": "active", "loyal": "active", "at_risk": "at_risk", "dormant": "lapsed", "former": "lapsed"}
    for key, row in members.items():
        worth = float(values[key]["expected_value"]) if key in values else float("-inf")
        assert row["value_tier"] == ("top" if worth >= bounds[1] else "plus" if worth >= bounds[0] else "basic")
        share, seen = features[key]["discount_share"], features[key]["categories_seen"]
        assert row["behavior_cluster"] == ("bargain" if (share or 0) >= 0.25 else "explorer" if seen >= 4 else "focused")
        assert row["state"] == lifecycle_of[states[key]["state"]]
        assert row["segment_id"] == MATRIX.cell(row["value_tier"], row["behavior_cluster"], row["state"])
        assert row["occurred_at"] == (states[key]["since"] or features[key]["first_fact_at"] or dt.datetime(1970, 1, 1, tzinfo=dt.UTC))
    assert set(Counter(row["segment_id"] for row in members.values())) == {"prospect", "top_active", "bargain", "rest"}
    tiers = Counter(row["value_tier"] for key, row in members.items() if key in values)
    assert tiers["top"] == pytest.approx(0.2 * len(values), abs=2)
    assert tiers["plus"] == pytest.approx(0.3 * len(values), abs=2)


def test_thresholds_and_feature_measures_serve_as_well(made) -> None:
    axis = ValueAxis(measure="net_revenue", method="thresholds", tiers=(Tier(name="basic"), Tier(name="plus", start=50.0), Tier(name="top", start=200.0)))
    world = World()
    world.person(1, 11)
    world.person(2, 21)
    world.order(11, berlin("2025-06-01 10:00"), 50.0)
    world.order(21, berlin("2025-06-01 10:00"), 199.99)
    world.order(21, berlin("2025-06-02 10:00"), 0.01)
    steps = Steps(world, axes=Axes(value=axis))
    features = steps.features(AS_OF)
    models = steps.fits(AS_OF, features)
    values, states = steps.values(AS_OF, features, models), steps.states(AS_OF, features, models)
    found = by_person(steps.segments(features, values, states, models))
    assert (found[1]["value_tier"], found[2]["value_tier"]) == ("plus", "top")
    assert by_person(states)[1]["state"] == "onboarding"


def test_an_empty_shop_has_models_that_say_so() -> None:
    steps = Steps(World())
    features = steps.features(AS_OF)
    models = steps.fits(AS_OF, features, "auto")
    values, states = steps.values(AS_OF, features, models), steps.states(AS_OF, features, models)
    assert models.num_rows == 2
    assert models.to_pylist()[0]["verdict"] == "not_usable"
    assert [rows.num_rows for rows in (features, values, states, steps.urgency(AS_OF, features, values, states, models), steps.segments(features, values, states, models))] == [0] * 5


def test_axes_and_matrix_that_do_not_fit_are_refused(shop: Steps, made) -> None:
    wrong = Matrix(rows=({**MATRIX.rows[0], "value_tier": "topp"}, *MATRIX.rows[1:]))
    with pytest.raises(ConfigError, match="'topp' of segment 'prospect' is not defined") as caught:
        Steps(World(), matrix=wrong).segments(made["features"], made["values"], made["states"], made["models"])
    assert "did you mean 'top'" in str(caught.value)


@pytest.mark.parametrize("model", ["bg_nbd", "season"])
def test_recomputing_touched_and_due_persons_equals_a_full_run(model: str) -> None:
    """Features, states, values and segments over four moments, with one model."""
    world = world_of(purchases(260, 95, 7))
    steps = Steps(world, matrix=MATRIX)
    moments = [berlin("2025-03-28 12:00"), berlin("2025-03-30 00:00"), berlin("2025-05-02 07:00"), berlin("2025-08-20 23:59")]
    held_features = by_person(steps.features(moments[0]))
    models = steps.fits(moments[0], steps.features(moments[0]), model)
    assert model_named(models, LIFETIME)[0].kind == model
    held = by_person(steps.states(moments[0], steps.features(moments[0]), models))
    chosen_in_all = 0
    for before, now in itertools.pairwise(moments):
        owners = {row["identifier_key"]: row["person_key"] for row in world.facts["identities"]}
        touched = {owners[row["identifier_key"]] for name in ("orders", "order_lines") for row in world.facts[name] if before < row["received_at"] <= now}
        full = steps.features(now)
        due = {key for key, row in held_features.items() if row["due_at"] is not None and row["due_at"] <= now}
        changed = touched | due
        held_features = {key: row for key, row in held_features.items() if key not in changed} | {key: row for key, row in by_person(full).items() if key in changed}
        assert held_features == by_person(full)
        turning = changed | {key for key, row in held.items() if row["due_at"] is not None and row["due_at"] <= now}
        chosen_in_all += len(turning)
        part = full.filter(pc.is_in(full["person_key"], pa.array(sorted(turning), pa.int64())))
        held = {key: row for key, row in held.items() if key not in turning} | by_person(steps.states(now, part, models))
        whole_states = steps.states(now, full, models)
        assert held == by_person(whole_states)
        values = steps.values(now, full, models)
        part_values = by_person(steps.values(now, part, models))
        for key, row in part_values.items():
            other = by_person(values)[key]
            assert {k: v for k, v in row.items() if not isinstance(v, float)} == {k: v for k, v in other.items() if not isinstance(v, float)}
            assert [v for v in row.values() if isinstance(v, float)] == pytest.approx([v for v in other.values() if isinstance(v, float)], abs=1e-9)
        whole = by_person(steps.segments(full, values, whole_states, models))
        some = by_person(steps.segments(part, values, whole_states, models))
        assert some == {key: whole[key] for key in some}
    assert 0 < chosen_in_all < 3 * 260
