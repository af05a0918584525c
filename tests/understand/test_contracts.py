"""Contracts by the shifted beta-geometric: published figures, truth of simulated contracts, and what few or none give."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from kundig.understand.lifetime_value import fit
from kundig.understand.lifetime_value.contracts import fit_renewals

START, END = dt.date(2024, 1, 1), dt.date(2026, 1, 1)


@pytest.mark.parametrize(
    "survival, alpha, beta, year_7",
    [
        ((100, 63.1, 46.8, 38.2, 32.6, 28.9, 26.2, 24.1), 0.704, 1.182, 23.0),
        ((100, 86.9, 74.3, 65.3, 59.3, 55.1, 51.7, 49.1), 0.668, 3.806, 44.4),
    ],
    ids=["regular", "high end"],
)
def test_the_published_figures(survival, alpha, beta, year_7) -> None:
    """Parameters of seven years, and year 7 as the first four foretell it."""
    for years, expected in ((7, (alpha, beta)), (4, None)):
        stay = np.zeros(years + 1)
        stay[-1] = survival[years]
        found = fit_renewals(-np.diff(np.array(survival[: years + 1], float)), stay)
        if expected is not None:
            assert tuple(np.exp(found.z)) == pytest.approx(expected, abs=6e-4)
        else:
            assert 100 * found.survival(np.array([7.0]))[0] == pytest.approx(year_7, abs=0.06)


def contracts(persons: int, seed: int, until: dt.date = END) -> pa.Table:
    """Monthly payments of people who leave with a probability that is beta (0.7, 6) over them."""
    chance = np.random.default_rng(seed)
    start, leave = chance.integers(0, 600, persons), chance.beta(0.7, 6.0, persons)
    length = chance.geometric(np.maximum(leave, 1e-9))
    days = [np.round(first + 365.25 / 12 * np.arange(min(number, 200))).astype(int) for first, number in zip(start, length, strict=True)]
    person = np.repeat(np.arange(persons), [len(part) for part in days])
    dates = np.datetime64(START, "D") + np.concatenate(days)
    kept = dates <= np.datetime64(until)
    return pa.table({"person_id": person[kept], "ordered_at": dates[kept], "value": np.full(int(kept.sum()), 9.9)})


def test_parameters_and_payments_return() -> None:
    late = END + dt.timedelta(days=180)
    orders = contracts(6_000, 3, late)
    found = fit(orders, "sbg", as_of=END)
    assert found.parameters["period_days"] == pytest.approx(30.4, abs=0.1)
    for name, value in (("alpha", 0.7), ("beta", 6.0)):
        assert abs(found.parameters[name] - value) < 3.5 * found.standard_errors[name]
    assert found.verdict.level == "usable", found.verdict
    predicted = found.predict(180)
    ahead = orders.filter(pa.array(orders["ordered_at"].to_numpy() > np.datetime64(END)))
    came = np.bincount(ahead["person_id"].to_numpy(), minlength=6_000)[predicted["person_id"].to_numpy()]
    assert predicted["expected_purchases"].to_numpy().sum() == pytest.approx(came.sum(), rel=0.03)
    low, high = predicted["purchases_low"].to_numpy(), predicted["purchases_high"].to_numpy()
    assert np.mean((low <= came) & (came <= high)) >= 0.9
    value = predicted["expected_value"].to_numpy()
    assert (predicted["expected_value_low"].to_numpy() <= value + 1e-9).all()
    assert (value <= predicted["expected_value_high"].to_numpy() + 1e-9).all()
    assert value == pytest.approx(9.9 * predicted["expected_purchases"].to_numpy())
    assert (found.predict(180, discount=0.2)["expected_value"].to_numpy() <= value).all()


def test_a_wrong_period_or_a_break_lowers_the_verdict() -> None:
    """In the last half year many leave at once: the back-test must say so."""
    orders = contracts(3_000, 4)
    day = orders["ordered_at"].to_numpy()
    gone = (orders["person_id"].to_numpy() % 2 == 0) & (day > np.datetime64(END) - 170)
    assert fit(orders.filter(pa.array(~gone)), "sbg", as_of=END).verdict.level != "usable"


@pytest.mark.parametrize("rows", [[], [("a", START, 5.0)], [("a", START, 5.0), ("b", END, 5.0)]])
def test_few_or_none_stay_finite(rows) -> None:
    table = pa.table({"person_id": pa.array([r[0] for r in rows], pa.string()), "ordered_at": pa.array([r[1] for r in rows], pa.date32()), "value": pa.array([r[2] for r in rows], pa.float64())})
    found = fit(table, "sbg", as_of=END)
    assert found.verdict.level == "not_usable"
    predicted = found.predict(90)
    assert predicted.num_rows == len(rows)
    assert all(np.isfinite(predicted[name].to_numpy()).all() for name in predicted.column_names[1:])
