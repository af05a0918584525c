"""Contracts in a workspace: the model finds the truth, values equal a plain reading, and they are added to what purchases bring."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.understand.shop import Steps, by_person, purchases, world_of
from tests.understand.world import ZONE, Engine, arrow, berlin

from kundig.clock import micros
from kundig.config.understand import Costs
from kundig.tables.collect import SUBSCRIPTIONS
from kundig.tables.understand import CONTRACT_VALUES, MODELS
from kundig.tables.unify import IDENTITIES
from kundig.understand.contracts import ALL_LENGTHS, contract_model, contract_values, fits_of
from kundig.understand.lifecycle import lifecycle
from kundig.understand.lifetime_value.fitted import MONTH
from kundig.understand.urgency import urgency
from kundig.understand.values import lifetime_values

AS_OF = berlin("2025-06-20 09:00")
COSTS = Costs(goods_share=0.2, payment_share=0.0, payment_order=1.0)


def _contract(number: int, start: dt.datetime, *, end: dt.datetime | None = None, months: int = 1, amount: float = 20.0, trial: dt.datetime | None = None) -> dict[str, Any]:
    return {
        "subscription_id": f"s{number:06d}", "source": "abos", "occurred_at": start, "received_at": start, "identifier_key": 1_000 + number, "plan": "p", "amount": round(amount, 2),
        "period_months": months, "started_at": start, "ended_at": end, "trial_until": trial,
    }  # fmt: skip


def _simulated(persons: int, alpha: float, beta: float, seed: int, months: int = 1) -> list[dict[str, Any]]:
    """Contracts whose holders leave at each renewal with a probability that is beta (alpha, beta) over them."""
    chance = np.random.default_rng(seed)
    leave, lasted = chance.beta(alpha, beta, persons), np.zeros(persons, np.int64)
    living = np.arange(persons)
    while len(living) and lasted.max() < 60:
        lasted[living] += 1
        living = living[chance.random(len(living)) >= leave[living]]
    rows = []
    for number, (periods, back) in enumerate(zip(lasted, chance.integers(20, 700, persons), strict=True)):
        start = AS_OF - dt.timedelta(days=int(back))
        end = start + dt.timedelta(days=float(periods) * months * MONTH)
        rows.append(_contract(number, start, end=end if end <= AS_OF else None, months=months))
    return rows


def _made(rows: list[dict[str, Any]], as_of: dt.datetime = AS_OF, models: pa.Table | None = None) -> tuple[pa.Table, pa.Table]:
    from decimal import Decimal

    engine = Engine()
    kept = [row | {"amount": Decimal(str(row["amount"]))} for row in rows]
    long_ago = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    people = [{"identifier_key": key, "person_key": key - 999, "valid_from": long_ago, "valid_until": None, "shared": False} for key in sorted({row["identifier_key"] for row in kept})]
    subscriptions, identities = engine.table(arrow(SUBSCRIPTIONS, kept)), engine.table(arrow(IDENTITIES, people))
    found = contract_model(subscriptions, as_of=as_of) if models is None else models
    return found, contract_values(subscriptions, identities, found, as_of=as_of, zone=ZONE, costs=COSTS, horizon_months=12, discount_rate=0.1)


@pytest.fixture(scope="module")
def monthly() -> tuple[list[dict[str, Any]], pa.Table, pa.Table]:
    rows = _simulated(3_000, 0.7, 5.0, 3)
    return rows, *_made(rows)


def test_the_model_finds_the_truth_within_its_own_errors(monthly) -> None:
    _, models, _ = monthly
    [row] = models.to_pylist()
    inputs = json.loads(row["inputs"])
    for name, truth in (("alpha", 0.7), ("beta", 5.0)):
        assert abs(inputs["parameters"]["1"][name] - truth) <= 3.5 * inputs["standard_errors"]["1"][name]
    assert row["verdict"] == "usable", row["reason"]
    assert inputs["parameters"]["0"] == pytest.approx(inputs["parameters"]["1"])


def test_a_break_with_the_past_lowers_the_verdict(monthly) -> None:
    rows, _, _ = monthly
    exodus = AS_OF - dt.timedelta(days=150)
    broken = [row | {"ended_at": exodus} if row["ended_at"] is None and row["started_at"] < exodus and number % 3 else row for number, row in enumerate(rows)]
    assert contract_model(Engine().table(arrow(SUBSCRIPTIONS, [row | {"amount": None} for row in broken])), as_of=AS_OF).to_pylist()[0]["verdict"] == "not_usable"


def test_values_equal_a_plain_reading(monthly) -> None:
    """Each running contract, payment by payment in plain Python."""
    rows, models, values = monthly
    fits, _, _ = fits_of(models)
    one, found = fits[1], by_person(values)
    now = micros(berlin("2025-06-20 00:00")) / 86_400_000_000
    assert set(found) == {row["identifier_key"] - 999 for row in rows if row["ended_at"] is None or row["ended_at"] > AS_OF.replace(hour=0)}
    for row in [row for row in rows if row["ended_at"] is None][:200]:
        start = micros(row["started_at"]) / 86_400_000_000
        made, payments, value, months = int((now - start) / MONTH + 1e-9), 0.0, 0.0, 0.0
        for k in range(1, 14):
            due = start + (made + k) * MONTH - now
            if due > 12 * MONTH:
                break
            stays = float(one.survival(np.array([made + k]))[0] / one.survival(np.array([made]))[0])
            payments, months = payments + stays, months + stays / 1.1 ** (due / 365.25)
            value += stays * (20.0 * 0.8 - 1.0) / 1.1 ** (due / 365.25)
        mine = found[row["identifier_key"] - 999]
        assert mine["expected_payments"] == pytest.approx(payments, abs=1e-6)
        assert mine["expected_months"] == pytest.approx(months, abs=1e-6)
        assert float(mine["expected_value"]) == pytest.approx(value, abs=1e-3)
        assert float(mine["expected_value_low"]) < value < float(mine["expected_value_high"])
        assert float(mine["outcome_low"]) <= value <= float(mine["outcome_high"]) + 1e-3
        assert float(mine["value_at_risk"]) > 0
        assert AS_OF.replace(hour=0) <= mine["next_renewal_at"] < AS_OF + dt.timedelta(days=32)
        assert 0.5 < mine["renewal_probability"] < 1


def test_outcomes_of_the_months_that_followed_lie_in_the_interval() -> None:
    """Fitted a year earlier; what came is payments of contracts whose end that moment did not know."""
    rows, cut = _simulated(4_000, 0.7, 5.0, 8), AS_OF - dt.timedelta(days=360)
    past = [row | {"ended_at": row["ended_at"] if row["ended_at"] is not None and row["ended_at"] <= cut else None} for row in rows if row["started_at"] <= cut]
    _, values = _made(past, as_of=cut)
    found, inside, came, expected = by_person(values), [], 0.0, 0.0
    now = micros(berlin("2024-06-25 00:00")) / 86_400_000_000
    for row in rows:
        mine = found.get(row["identifier_key"] - 999)
        if mine is None:
            continue
        start, end = (micros(row[name] or AS_OF + dt.timedelta(days=9)) / 86_400_000_000 for name in ("started_at", "ended_at"))
        made = int((now - start) / MONTH + 1e-9)
        dues = [start + (made + k) * MONTH - now for k in range(1, 14)]
        paid = [due for due in dues if due <= 355 and now + due < end - 0.1 * MONTH]
        came, expected = came + len(paid), expected + mine["expected_payments"]
        worth = sum((20.0 * 0.8 - 1.0) / 1.1 ** (due / 365.25) for due in paid)
        inside.append(float(mine["outcome_low"]) - 16.0 <= worth <= float(mine["outcome_high"]) + 0.01)
    assert came == pytest.approx(expected, rel=0.08)
    assert np.mean(inside) >= 0.9


def test_trials_known_ends_and_several_contracts(monthly) -> None:
    _, models, _ = monthly
    known = [
        _contract(0, AS_OF - dt.timedelta(days=40), end=AS_OF + dt.timedelta(days=65)),
        _contract(1, AS_OF - dt.timedelta(days=3), trial=AS_OF + dt.timedelta(days=11)),
        _contract(2, AS_OF - dt.timedelta(days=40), months=12, amount=240.0),
        {**_contract(3, AS_OF - dt.timedelta(days=40)), "identifier_key": 1_002},
        _contract(4, AS_OF - dt.timedelta(days=90), end=AS_OF - dt.timedelta(days=1)),
        _contract(5, AS_OF + dt.timedelta(days=3)),
    ]
    found = by_person(_made(known, models=models)[1])
    assert set(found) == {1, 2, 3}
    sure = found[1]
    assert sure["expected_payments"] == 2.0  # one in 21, one in 51 days; at the third the contract has ended
    assert sure["next_renewal_at"] is None
    assert sure["expected_value"] == sure["expected_value_low"] == sure["expected_value_high"] == sure["outcome_low"]
    assert found[2]["next_renewal_at"].date() == (AS_OF + dt.timedelta(days=11)).date()
    assert found[3]["contracts"] == 2
    assert found[3]["expected_payments"] > 1
    assert ALL_LENGTHS in fits_of(models)[0]  # a yearly contract is none of those the model knows: it takes that of all


def test_nothing_is_said_where_there_are_no_contracts() -> None:
    models, values = _made([])
    assert models.num_rows == values.num_rows == 0
    assert models.schema.names == list(MODELS.names)
    few, _ = _made([_contract(0, AS_OF - dt.timedelta(days=10))])
    assert few.to_pylist()[0]["verdict"] == "not_usable"


def test_contracts_are_added_to_purchases_and_make_holders_active_and_renewals_urgent(monthly) -> None:
    _, contracts_model, _ = monthly
    world = world_of(purchases(300, 90, 1))
    shop = Steps(world, costs=COSTS)
    features = shop.features(AS_OF)
    models = shop.fits(AS_OF, features)
    dead = [key for key, row in by_person(shop.states(AS_OF, features, models)).items() if row["state"] in ("dormant", "former")]
    holders = [dead[0], 7_777]
    rows = [{**_contract(number, AS_OF - dt.timedelta(days=55)), "identifier_key": person + 999} for number, person in enumerate(holders)]
    contracts = _made(rows, models=contracts_model)[1]
    plain = by_person(shop.values(AS_OF, features, models))
    blank = features.slice(0, 1).to_pylist()[0]
    lone = dict.fromkeys(blank) | {"person_key": 7_777, "subscriptions": 1, "first_fact_at": AS_OF, "purchase_days": 0}
    features = pa.concat_tables([features, pa.Table.from_pylist([lone], schema=features.schema)])
    held = pc.if_else(pc.is_in(features["person_key"], pa.array(holders)), 1, features["subscriptions"])
    features = features.set_column(features.column_names.index("subscriptions"), "subscriptions", held)
    values = lifetime_values(features, contracts, models, as_of=AS_OF, zone=ZONE, costs=COSTS)
    joined, bring = by_person(values), by_person(contracts)
    assert set(joined) == set(plain) | {7_777}
    for key, row in joined.items():
        if key not in holders:
            assert row["contract_value"] == 0
            assert row["expected_value"] == pytest.approx(float(plain[key]["expected_value"]), abs=1e-4)
    both = joined[dead[0]]
    assert both["expected_value"] == pytest.approx(float(plain[dead[0]]["expected_value"]) + bring[dead[0]]["expected_value"], abs=1e-3)
    assert both["contract_value"] == bring[dead[0]]["expected_value"]
    assert both["expected_value_low"] <= both["expected_value"] <= both["expected_value_high"]
    alone = joined[7_777]
    assert alone["expected_value"] == pytest.approx(bring[7_777]["expected_value"] - COSTS.month() * bring[7_777]["expected_months"])
    assert alone["probability_alive"] is None
    assert (alone["next_purchase_at"], alone["next_purchase_reason"]) == (None, "never_bought")
    assert alone["model"].startswith("sbg@")
    states = lifecycle(features, models, as_of=AS_OF, zone=ZONE)
    assert {by_person(states)[key]["state"] for key in holders} <= {"active", "loyal"}
    ranked = by_person(urgency(features, values, states, contracts, models, as_of=AS_OF, zone=ZONE))
    assert set(ranked) == set(joined)
    assert all(ranked[key]["reason"] == "renewal_due" for key in holders)
    later = by_person(urgency(features, values, states, contracts, models, as_of=AS_OF - dt.timedelta(days=21), zone=ZONE))
    assert later[7_777]["urgency"] == 0.0
    assert set(CONTRACT_VALUES.names) - {"changed_run"} == set(contracts.column_names)
