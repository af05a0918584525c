"""Groups with partial pooling, and how persons buy, against simulated truth."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from tests.understand.shop import Truth, purchases

from kundig.errors import EstimateError
from kundig.understand.lifetime_value import bg_nbd, fit, season
from kundig.understand.lifetime_value.groups import pooled
from kundig.understand.lifetime_value.histories import Summary, read


def _tuples(persons: int, seed: int, truth: Truth):
    histories, end = read(purchases(persons, 78, seed, truth), zone="UTC", as_of=None)
    _, summary = histories.until(end)
    return season.tuples_of(summary, season.even(int(summary.first.min())), end, covariate=False)


def _rate(process) -> float:
    """Log of the mean purchase rate: what a group's data say most of."""
    return float(process.z[0] - process.z[3])


def test_small_groups_are_drawn_to_the_mean_and_large_ones_keep_their_own() -> None:
    chance = np.random.default_rng(1)
    sizes = [3_000, 3_000, 1_000, 1_000] + [60] * 8
    truths = [Truth(alpha=8.0 * float(np.exp(chance.normal(0, 0.3)))) for _ in sizes]
    groups = [_tuples(size, 40 + number, truth) for number, (size, truth) in enumerate(zip(sizes, truths, strict=True))]
    found = pooled(groups)
    exact = np.array([np.log(truth.r / truth.alpha) for truth in truths])
    alone = np.array([_rate(bg_nbd.fit(group)) for group in groups])
    shared = np.array([_rate(one) for one in found.processes])
    large, small = slice(0, 2), slice(4, None)
    assert shared[large] == pytest.approx(alone[large], abs=0.1)
    common = float(found.mean[0] - found.mean[3])
    assert np.std(shared[small]) < np.std(alone[small])
    assert np.mean((shared - exact)[small] ** 2) < np.mean((alone - exact)[small] ** 2)
    assert np.mean((shared - exact)[small] ** 2) < np.mean((common - exact[small]) ** 2) + 0.05


def test_groups_that_do_not_differ_come_out_alike() -> None:
    found = pooled([_tuples(size, 70 + number, Truth()) for number, size in enumerate([1_500, 1_500, 100, 100])])
    rates = [_rate(one) for one in found.processes]
    assert np.std(rates) < 0.12
    assert found.spread[3] < 0.25


def test_habits_are_what_the_orders_say() -> None:
    day = dt.date(2026, 1, 1)
    rows = [("a", 0, 10.0), ("a", 10, 10.0), ("a", 20, 10.0), ("b", 0, 10.0), ("b", 30, 30.0), ("c", 5, 8.0)]
    orders = pa.table({"person_id": [r[0] for r in rows], "ordered_at": [day + dt.timedelta(days=r[1]) for r in rows], "value": [r[2] for r in rows]})
    found = {row["person_id"]: row for row in fit(orders, "bg_nbd", as_of=day + dt.timedelta(days=40)).habits().to_pylist()}
    assert (found["a"]["usual_gap_days"], found["a"]["gap_variation"], found["a"]["value_variation"]) == (10.0, 0.0, 0.0)
    assert (found["b"]["usual_gap_days"], found["b"]["gap_variation"]) == (30.0, None)
    assert found["b"]["value_variation"] == pytest.approx(np.std([10, 30], ddof=1) / 20)
    assert (found["c"]["usual_gap_days"], found["c"]["value_variation"]) == (None, None)


@pytest.mark.parametrize("model", ["bg_nbd", "season"])
def test_half_of_the_living_buy_by_the_day_foretold(model: str) -> None:
    weeks, cut = 130, dt.date(2024, 1, 1) + dt.timedelta(days=7 * 78)
    orders = purchases(4_000, weeks, 6, Truth(a=0.05, b=30.0), entry_weeks=40)
    found = fit(orders, model, as_of=cut)
    rows = found.habits()
    ahead = orders.filter(pa.array(orders["ordered_at"].to_numpy() > np.datetime64(cut))).group_by("person_id").aggregate([("ordered_at", "min")]).to_pylist()
    came = {row["person_id"]: row["ordered_at_min"] for row in ahead}
    told = [(row["person_id"], row["next_purchase"]) for row in rows.to_pylist() if row["next_purchase"] is not None]
    known = [(came.get(person, dt.date.max) <= due) for person, due in told if due <= dt.date(2024, 1, 1) + dt.timedelta(days=7 * weeks)]
    assert len(known) > 2_000
    assert np.mean(known) == pytest.approx(0.5, abs=0.05)


def test_groups_of_a_column_get_their_own_expectations() -> None:
    """Where groups differ in how they are lost, what came of each is foretold better; who is in none keeps the model of all."""
    truths = (Truth(a=0.3, b=6.0), Truth(a=2.0, b=2.0), Truth())
    parts = [purchases(size, 104, 90 + number, truth, entry_weeks=40) for number, (size, truth) in enumerate(zip((2_500, 2_500, 200), truths, strict=True))]
    named = [part.set_column(0, "person_id", pa.array(part["person_id"].to_numpy() + 10_000 * number)) for number, part in enumerate(parts)]
    channels = [pa.array([name] * part.num_rows, pa.string()) for name, part in zip(("search", "friend", None), named, strict=True)]
    orders = pa.concat_tables([part.append_column("channel", channel) for part, channel in zip(named, channels, strict=True)])
    cut = dt.date(2024, 1, 1) + dt.timedelta(days=7 * 78)
    plain, grouped = fit(orders, "bg_nbd", as_of=cut), fit(orders, "bg_nbd", as_of=cut, group="channel")
    assert grouped.groups is not None
    assert grouped.groups.names == ("friend", "search")
    one, other = plain.predict(182), grouped.predict(182)
    assert one["person_id"].equals(other["person_id"])
    person = one["person_id"].to_numpy()
    late = orders.filter(pa.array(orders["ordered_at"].to_numpy() > np.datetime64(cut)))
    came = np.bincount(late["person_id"].to_numpy(), minlength=30_000)[person]
    number = person // 10_000
    before, after = one["expected_purchases"].to_numpy(), other["expected_purchases"].to_numpy()
    for group in (0, 1):
        mine = number == group
        off = [abs(float(np.log(rows[mine].sum() / came[mine].sum()))) for rows in (before, after)]
        assert off[1] < 0.2  # the rarer group brought 484 purchases, of few persons
        assert off[1] < 0.5 * off[0]
    assert after[number == 2] == pytest.approx(before[number == 2])
    with pytest.raises(EstimateError, match="column 'chanel' is missing"):
        fit(orders, "bg_nbd", group="chanel")


@pytest.mark.parametrize("kind", ["bg_nbd", "mbg_nbd", "pareto_nbd"])
def test_the_next_purchase_is_the_median_of_the_waits_of_the_living(kind: str) -> None:
    """Persons drawn from the process itself: of those alive after a year with x repeat purchases, half wait no longer than foretold."""
    r, alpha, one, other, weeks, chance = 0.8, 8.0, 0.8, 2.5, 52.0, np.random.default_rng(4)
    rate = chance.gamma(r, 1 / alpha, 2_000_000)
    repeats = chance.poisson(rate * weeks)
    if kind == "pareto_nbd":
        alive = chance.random(len(rate)) < np.exp(-chance.gamma(one, 1 / (10 * other), len(rate)) * weeks)
    else:
        alive = chance.random(len(rate)) < (1 - chance.beta(one, other, len(rate))) ** (repeats + (kind == "mbg_nbd"))
    wait = 7 * chance.exponential(1 / rate)
    fitted = fit(purchases(300, 52, 3), kind, as_of=dt.date(2025, 1, 1)).fitted
    scale = 10 * other if kind == "pareto_nbd" else other
    fitted = replace(fitted, process=replace(fitted.process, z=np.log([r, one, scale, alpha, 1.0])))
    counts = np.array([0, 1, 2, 4, 8])
    end = fitted.end
    summary = Summary(first=np.full(5, end - 7 * int(weeks)), last=np.full(5, end), count=counts + 1, value=np.ones(5))
    told = fitted.next_days(summary, end=end, within=3_650) - end
    for days, x in zip(told, counts, strict=True):
        simulated = np.median(wait[alive & (repeats == x)])
        assert days == pytest.approx(simulated, rel=0.02, abs=1.0), (x, simulated)


def test_no_next_purchase_is_told_of_the_gone_and_of_the_slow() -> None:
    orders = purchases(1_000, 104, 8)
    found = fit(orders, "bg_nbd", as_of=dt.date(2025, 12, 20))
    horizon = 60
    rows, habits = found.predict(horizon).to_pylist(), {row["person_id"]: row["next_purchase"] for row in found.habits().to_pylist()}
    assert {row["next_purchase_reason"] for row in rows} == {None, "rather_gone", "beyond_horizon"}
    last = dt.date(2025, 12, 20) + dt.timedelta(days=horizon)
    for row in rows:
        due, why = row["next_purchase_at"], row["next_purchase_reason"]
        assert (due is None) == (why is not None)
        assert (why == "rather_gone") == (row["probability_alive"] < 0.5)
        if due is not None:
            assert due == habits[row["person_id"]] <= last
        elif why == "beyond_horizon":
            assert habits[row["person_id"]] is None or habits[row["person_id"]] > last
