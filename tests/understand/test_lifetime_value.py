"""Lifetime value as a library: truth on simulated shops, the real shop's trap, inputs as people give them."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from bench.lifetime_value import RETAIL, retail
from tests.understand.shop import START, Truth, purchases

import kundig
from kundig.errors import EstimateError
from kundig.understand.lifetime_value import holdout
from kundig.understand.lifetime_value.fitted import Fitted
from kundig.understand.lifetime_value.histories import day_number, read

fit = kundig.lifetime_value.fit
WEEKS, AHEAD = 104, 26
CUT = START + dt.timedelta(days=7 * (WEEKS - AHEAD))
DAYS = 7 * AHEAD


def _past_and_future(orders: pa.Table) -> tuple[pa.Table, pa.Table]:
    known = pa.array(orders["ordered_at"].to_numpy() <= np.datetime64(CUT))
    return orders.filter(known), orders.filter(pa.compute.invert(known))


def _judged(persons: int, seed: int, breaks: str, model: str = "auto"):
    past, future = _past_and_future(purchases(persons, WEEKS, seed, breaks=breaks, entry_weeks=40))
    found = fit(past, model, as_of=CUT)
    predicted = found.predict(DAYS)
    ids = predicted["person_id"].to_numpy()
    came = np.bincount(future["person_id"].to_numpy(), minlength=persons)[ids]
    worth = np.bincount(future["person_id"].to_numpy(), future["value"].to_numpy(), minlength=persons)[ids]
    return found, predicted, came, worth


def _pit(found, came: np.ndarray, seed: int = 0) -> np.ndarray:
    """Randomised probability integral transform: uniform where the distribution of counts is right."""
    below = np.where(came > 0, 1 - found.count_survival(came, DAYS), 0.0)
    upto = 1 - found.count_survival(came + 1, DAYS)
    return below + np.random.default_rng(seed).random(len(came)) * (upto - below)


@pytest.fixture(scope="module")
def whole():
    """A world as the model says: fitted, predicted, what came and its worth."""
    return _judged(8_000, 11, "none", "bg_nbd")


def test_parameters_return_where_the_model_holds() -> None:
    truth = Truth()
    found = fit(purchases(12_000, 104, 4, truth), "bg_nbd")
    for name in ("r", "alpha", "a", "b", "p", "q", "gamma"):
        assert abs(found.parameters[name] - getattr(truth, name)) < 3.5 * found.standard_errors[name] + 0.02 * getattr(truth, name), name


def test_nine_in_ten_counts_lie_in_the_interval_overall_and_in_each_tenth(whole) -> None:
    found, predicted, came, _ = whole
    pit = _pit(found, came)
    assert np.mean((pit > 0.05) & (pit < 0.95)) == pytest.approx(0.9, abs=0.03)
    tenth = np.argsort(np.argsort(predicted["expected_value"].to_numpy())) * 10 // len(came)
    inside = (pit > 0.05) & (pit < 0.95)
    for number in range(10):
        assert inside[tenth == number].mean() == pytest.approx(0.9, abs=0.04)


def test_outcome_intervals_cover_what_came_and_are_not_wider_than_an_oracle_s(whole) -> None:
    found, predicted, _, worth = whole
    low, high = predicted["outcome_low"].to_numpy(), predicted["outcome_high"].to_numpy()
    assert np.mean((low - 1e-9 <= worth) & (worth <= high)) >= 0.9
    truth, process = Truth(), found.fitted.process
    exact = np.log([truth.r, truth.a, truth.b, truth.alpha]) - process.z[:4]
    oracle = Fitted(
        kind="bg_nbd", clock=found.clock, process=process.moved(np.append(exact, 0.0)), end=found.fitted.end, shock=0.0,
        spending=found.fitted.spending.moved(np.log([truth.p, truth.q, truth.gamma]) - found.fitted.spending.z),
    )  # fmt: skip
    best = oracle.score(found._present[1], end=found.fitted.end, horizon=DAYS)
    assert (high - low).mean() <= 1.1 * (best.outcome_high - best.outcome_low).mean()


def test_the_expected_value_s_interval_holds_the_true_expectation(whole) -> None:
    """Parameters' doubt alone: of many fits, nine in ten hold what the true parameters would expect; here, several worlds pooled."""
    truth, inside, size = Truth(), 0, 0
    for seed in range(12):
        found = fit(purchases(1_500, 78, 100 + seed, truth), "bg_nbd")
        process, spending = found.fitted.process, found.fitted.spending
        exact = process.moved(np.append(np.log([truth.r, truth.a, truth.b, truth.alpha]) - process.z[:4], 0.0))
        oracle = Fitted(kind="bg_nbd", clock=found.clock, process=exact, end=found.fitted.end, shock=0.0, spending=spending.moved(np.log([truth.p, truth.q, truth.gamma]) - spending.z))
        mean = oracle.score(found._present[1], end=found.fitted.end, horizon=365).value
        predicted = found.predict(365)
        inside += int(np.sum((predicted["expected_value_low"].to_numpy() <= mean) & (mean <= predicted["expected_value_high"].to_numpy())))
        size += len(mean)
    assert 0.75 <= inside / size <= 0.99  # persons of one world share its parameters, so twelve worlds are twelve draws


def test_totals_and_verdict_where_the_model_holds(whole) -> None:
    found, predicted, came, worth = whole
    total = found.total(DAYS, of="purchases")
    assert total.low <= came.sum() <= total.high
    assert total.high / total.low < 1.4
    assert found.verdict.level == "usable"
    assert predicted["expected_purchases"].to_numpy().sum() == pytest.approx(came.sum(), rel=0.06)
    assert predicted["expected_value"].to_numpy().sum() == pytest.approx(worth.sum(), rel=0.08)


@pytest.mark.parametrize("breaks", ["christmas", "erlang", "trend", "censored", "wholesale"])
def test_where_the_model_does_not_hold_the_verdict_falls_or_the_interval_widens(breaks: str) -> None:
    found, _, came, _ = _judged(4_000, 2, breaks, "bg_nbd")
    total = found.total(DAYS, of="purchases")
    assert found.verdict.level != "usable" or total.low <= came.sum() <= total.high
    if breaks in ("christmas", "trend"):
        assert found.verdict.level != "usable"
        assert found.fitted.shock > 0.15
        assert found.verdict.change


def test_auto_finds_the_season_and_only_where_there_is_one() -> None:
    seasonal, _, came, _ = _judged(4_000, 2, "christmas")
    assert seasonal.model == "season"
    plain, _, _, _ = _judged(4_000, 2, "christmas", "bg_nbd")
    off = {name: abs(model.total(DAYS, of="purchases").expected / came.sum() - 1) for name, model in (("season", seasonal), ("plain", plain))}
    assert off["season"] < 0.6 * off["plain"]
    weeks = seasonal.clock.speed
    assert weeks[46:50].mean() > 2 * weeks[10:40].mean()
    even, _, _, _ = _judged(4_000, 2, "none")
    assert even.model == "bg_nbd"


# the real shop

needs_retail = pytest.mark.skipif(not RETAIL.is_file(), reason="the real data are not in examples/")


@pytest.fixture(scope="module")
def real() -> pa.Table:
    return retail(RETAIL)


@needs_retail
@pytest.mark.parametrize(
    "cut, customers, parameters, log_likelihood, predicted, actual, maes, correlation",
    [
        ("2011-03-31", 4_691, (0.719, 9.803, 0.141, 4.280), -49_702.47, 10_610, 9_822, (1.407, 1.473, 2.252), 0.852),
        ("2010-12-09", 4_285, (0.886, 10.339, 0.146, 79.80), -38_128.58, 18_740, 12_190, (2.517, 2.633, 3.008), 0.829),
    ],
)
def test_online_retail_gives_the_careful_analyst_s_figures(real, cut, customers, parameters, log_likelihood, predicted, actual, maes, correlation) -> None:
    day = dt.date.fromisoformat(cut)
    histories, _ = read(real, zone="UTC", as_of=None)
    assert (len(histories.day), len(histories), round(float(histories.value.sum()), 2)) == (32_878, 5_852, 17_124_926.23)
    found = fit(real, "bg_nbd", as_of=day)
    assert found.predict(91).num_rows == customers
    assert [found.parameters[name] for name in ("r", "alpha", "a", "b")] == pytest.approx(parameters, rel=0.005)
    assert found.log_likelihood == pytest.approx(log_likelihood, abs=0.01)
    check = holdout.checked(holdout.counting("bg_nbd", histories, day_number(day)), histories, day_number(day), (dt.date(2011, 12, 9) - day).days)
    assert (check.predicted, check.actual) == (pytest.approx(predicted, abs=2), actual)
    assert (check.mae, check.mae_own_rate, check.mae_mean) == pytest.approx(maes, abs=6e-4)
    assert check.correlation == pytest.approx(correlation, abs=6e-4)


@needs_retail
@pytest.mark.parametrize("cut", ["2010-12-09", "2011-03-31"])
def test_the_plain_model_flags_itself_and_the_chosen_one_hits_the_total(real, cut) -> None:
    day, end = dt.date.fromisoformat(cut), dt.date(2011, 12, 9)
    plain = fit(real, "bg_nbd", as_of=day)
    assert plain.verdict.level != "usable"
    assert "came" in plain.verdict.reason
    chosen = fit(real, "auto", as_of=day)
    histories, _ = read(real, zone="UTC", as_of=None)
    persons, _ = histories.until(day_number(day))
    actual = histories.bought(persons, day_number(day), day_number(end))[0].sum()
    total = chosen.total((end - day).days, of="purchases")
    assert abs(total.expected / actual - 1) <= 0.10
    assert total.low <= actual <= total.high


# inputs

ORDERS = pa.table(
    {
        "person_id": ["b", "a", "a", None, "a", "b"],
        "ordered_at": pa.array([dt.datetime(2026, 3, d, h, tzinfo=dt.UTC) for d, h in ((2, 9), (1, 9), (1, 15), (1, 9), (8, 9), (3, 9))], pa.timestamp("us", "UTC")),
        "value": [5.0, 10.0, 20.0, 99.0, 6.0, -5.0],
    }
)


def test_rows_of_a_day_are_one_purchase_guests_and_returned_days_none() -> None:
    histories, end = read(ORDERS, zone="Europe/Berlin", as_of=None)
    assert histories.persons.to_pylist() == ["a", "b"]
    assert histories.person.tolist() == [0, 0, 1]
    assert histories.value.tolist() == [30.0, 6.0, 5.0]
    assert end == day_number(dt.date(2026, 3, 8))


def test_any_frame_and_any_order_of_rows_gives_the_same() -> None:
    base = fit(purchases(300, 60, 1), "bg_nbd").predict(90)
    table = purchases(300, 60, 1)
    shuffled = table.take(pa.array(np.random.default_rng(3).permutation(table.num_rows)))
    frame = table.to_pandas()
    text = table.set_column(1, "ordered_at", table["ordered_at"].cast(pa.string()))
    for other in (shuffled, frame, ibis.memtable(frame), text):
        assert fit(other, "bg_nbd").predict(90).equals(base)


def test_as_of_cuts_at_the_moment_and_a_date_at_its_end() -> None:
    at = dt.datetime(2026, 3, 8, 8, 59, tzinfo=dt.UTC)
    assert len(read(ORDERS, zone="UTC", as_of=at)[0].day) == 2
    assert len(read(ORDERS, zone="UTC", as_of=at + dt.timedelta(minutes=1))[0].day) == 3
    assert len(read(ORDERS, zone="UTC", as_of=dt.date(2026, 3, 8))[0].day) == 3


def test_days_are_those_of_the_zone() -> None:
    night = dt.datetime(2026, 3, 29, 23, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    orders = pa.table({"person_id": [1], "ordered_at": pa.array([night], pa.timestamp("us", "UTC")), "value": [1.0]})
    assert read(orders, zone="Europe/Berlin", as_of=None)[0].day.tolist() == [day_number(dt.date(2026, 3, 29))]
    assert read(orders, zone="Asia/Tokyo", as_of=None)[0].day.tolist() == [day_number(dt.date(2026, 3, 30))]


@pytest.mark.parametrize("model", ["auto", "bg_nbd", "season"])
@pytest.mark.parametrize(
    "rows",
    [
        [],
        [("a", 1, 5.0)],
        [("a", 1, 5.0), ("b", 1, 5.0), ("c", 1, 5.0)],
        [("a", 1, 5.0), ("b", 9, 7.0)],
        [("a", 1, 5.0), ("a", 60, 5.0)],
        [("a", 1, -5.0), ("b", 2, 0.0)],
        [(str(n), d, 5.0) for n in range(30) for d in (1, 20)],
    ],
    ids=["nothing", "one customer", "T=0", "no repeats", "recency=T", "no value above 0", "all alike"],
)
def test_little_data_is_judged_not_refused(rows, model) -> None:
    orders = pa.table(
        {
            "person_id": pa.array([r[0] for r in rows], pa.string()),
            "ordered_at": pa.array([dt.date(2026, 1, 1) + dt.timedelta(days=r[1]) for r in rows], pa.date32()),
            "value": pa.array([r[2] for r in rows], pa.float64()),
        }
    )
    found = fit(orders, model)
    assert found.verdict.level == "not_usable"
    assert found.verdict.reason
    assert found.verdict.change
    predicted = found.predict(365, discount=0.1, margin=0.4)
    assert predicted.num_rows == len({r[0] for r in rows if r[2] > 0})
    due, why = predicted["next_purchase_at"], predicted["next_purchase_reason"]
    assert pc.xor(due.is_null(), why.is_null()).to_pylist() == [True] * predicted.num_rows
    for column in predicted.drop_columns(["person_id", "next_purchase_at", "next_purchase_reason"]).column_names:
        assert np.isfinite(predicted[column].to_numpy()).all(), column
    assert all(np.isfinite(value) for value in [*found.parameters.values(), *found.standard_errors.values()])
    assert found.total(365).expected >= 0


@pytest.mark.parametrize(
    "change, what, mend",
    [
        (lambda t: t.rename_columns(["customer", "ordered_at", "value"]), "column 'person_id' is missing", "known: customer"),
        (lambda t: t.rename_columns(["person_id", "ordered_at", "vallue"]), "column 'value' is missing", "did you mean 'vallue'"),
        (lambda t: t.set_column(2, "value", pa.array([1.0, None, 2.0, 3.0, 4.0, float("nan")])), "2 orders have no finite amount", "leave"),
        (lambda t: t.set_column(1, "ordered_at", pa.array(["gestern"] * 6)), "a moment cannot be read", "ISO"),
        (lambda t: t.set_column(1, "ordered_at", pa.array([None] * 6, pa.date32())), "orders have no moment", "leave"),
        (lambda t: t.append_column("currency", pa.array(["EUR"] * 5 + ["USD"])), "2 currencies: EUR, USD", "convert"),
    ],
)
def test_faults_of_the_input_say_what_and_mend(change, what, mend) -> None:
    with pytest.raises(EstimateError, match=what) as caught:
        fit(change(ORDERS))
    assert mend in str(caught.value)


def test_faults_of_the_call_say_what_and_mend() -> None:
    with pytest.raises(EstimateError, match="there is no model 'bgnbd'") as caught:
        fit(ORDERS, "bgnbd")
    assert "did you mean 'bg_nbd'" in str(caught.value)
    with pytest.raises(EstimateError, match="the horizon is 0 days"):
        fit(ORDERS).predict(0)
    with pytest.raises(EstimateError, match="data frame"):
        fit([1, 2])


def test_value_is_discounted_margin_less_costs() -> None:
    found = fit(purchases(2_000, 80, 5), "bg_nbd")
    plain, half = found.predict(365), found.predict(365, margin=0.5)
    assert half["expected_value"].to_numpy() == pytest.approx(0.5 * plain["expected_value"].to_numpy())
    later = found.predict(365, discount=0.2)["expected_value"].to_numpy()
    ratio = later / plain["expected_value"].to_numpy()
    assert ((ratio < 1) & (ratio > 1.2**-1)).all()
    by_order = plain["expected_value"].to_numpy() - found.predict(365, cost_per_order=2.0)["expected_value"].to_numpy()
    assert by_order == pytest.approx(2.0 * plain["expected_purchases"].to_numpy(), rel=1e-6)
    by_month = plain["expected_value"].to_numpy() - found.predict(365, cost_per_month=1.0)["expected_value"].to_numpy()
    assert ((by_month > 0) & (by_month <= 12.0 * plain["probability_alive"].to_numpy() + 1e-9)).all()


def test_parameters_fit_into_one_text_without_a_person() -> None:
    found = fit(purchases(500, 80, 5), "season")
    assert found.model == "season"
    again = Fitted.from_json(found.fitted.to_json())
    summary = found._present[1]
    one, other = (model.score(summary, end=model.end, horizon=200) for model in (found.fitted, again))
    assert np.array_equal(one.value, other.value)


def test_a_frame_of_pandas_with_extension_types_is_read() -> None:
    frame = pd.DataFrame({"person_id": pd.array([1, 1, 2], dtype="Int64"), "ordered_at": pd.to_datetime(["2026-01-01", "2026-02-01", "2026-01-05"]), "value": [1, 2, 3]})
    assert len(read(frame, zone="UTC", as_of=None)[0]) == 2
