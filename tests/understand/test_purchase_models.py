"""BG/NBD, its counts and Gamma-Gamma against published results, brute force and simulation; and what breaks naive code."""

from __future__ import annotations

import datetime as dt
import importlib.util

import numpy as np
import pytest
from bench.lifetime_value import cdnow
from scipy.integrate import quad
from scipy.special import beta as beta_function
from scipy.special import gammaln, hyp2f1
from tests.understand.shop import purchases

from kundig.understand.lifetime_value import bg_nbd, counts, fit, gamma_gamma, holdout, season
from kundig.understand.lifetime_value import process as processes
from kundig.understand.lifetime_value.histories import day_number, read
from kundig.understand.lifetime_value.process import Tuples

CUT = dt.date(1997, 9, 30)
needs_cdnow = pytest.mark.skipif(importlib.util.find_spec("lifetimes") is None, reason="CDNOW's data come with the package lifetimes")


def _tuples(x, tx, T, weight=None, entry=None) -> Tuples:
    ones = np.ones(len(x))
    return Tuples(x=np.array(x), tx=np.array(tx, float), T=np.array(T, float), weight=ones if weight is None else np.array(weight, float), entry=0 * ones if entry is None else np.array(entry, float))


@pytest.fixture(scope="module")
def calibration():
    histories, _ = read(cdnow(), zone="UTC", as_of=None, count_free=True)
    persons, summary = histories.until(day_number(CUT))
    return histories, persons, summary


@needs_cdnow
@pytest.mark.parametrize(
    "modified, parameters, errors, log_likelihood, total, mae",
    [
        (False, (0.2426, 4.4136, 0.7929, 2.4259), (0.0126, 0.378, 0.186, 0.705), -9582.43, -0.121, 0.7855),
        (True, (0.5248, 6.1831, 0.8914, 1.6140), (0.083, 0.696, 0.155, 0.538), -9582.14, -0.162, 0.7648),
    ],
)
def test_cdnow_gives_the_published_figures(calibration, modified, parameters, errors, log_likelihood, total, mae) -> None:
    histories, persons, summary = calibration
    end = day_number(CUT)
    clock = season.even(int(summary.first.min()))
    process = bg_nbd.fit(season.tuples_of(summary, clock, end, covariate=False), modified=modified)
    assert (process.r, np.exp(process.z[3]), process.a, process.b) == pytest.approx(parameters, abs=6e-5)
    assert tuple(process.standard_errors()[name] for name in ("r", "alpha", "a", "b")) == pytest.approx(errors, abs=1.1e-3)
    assert process.log_likelihood == pytest.approx(log_likelihood, abs=0.006)
    expected = holdout.Counting(kind="bg_nbd", clock=clock, process=process).expected(summary, end, 273)
    actual, _ = histories.bought(persons, end, end + 273)
    assert actual.sum() == 1882
    assert expected.sum() / 1882 - 1 == pytest.approx(total, abs=6e-4)
    assert np.abs(expected - actual).mean() == pytest.approx(mae, abs=6e-5)


@needs_cdnow
def test_cdnow_by_the_library_in_either_unit() -> None:
    weeks = fit(cdnow(), "bg_nbd", as_of=CUT, count_free=True)
    days = fit(cdnow(), "bg_nbd", as_of=CUT, count_free=True, time_unit="day")
    assert weeks.parameters["alpha"] == pytest.approx(4.4136, abs=6e-5)
    assert days.parameters["alpha"] == pytest.approx(7 * 4.4136, abs=6e-4)
    assert weeks.log_likelihood == pytest.approx(-9582.43, abs=0.006)
    assert weeks.predict(273)["expected_purchases"].to_numpy().sum() == pytest.approx(1882 * (1 - 0.121), rel=1e-3)
    assert days.predict(273) == weeks.predict(273)


@needs_cdnow
def test_cdnow_spend_of_repeat_buyers(calibration) -> None:
    histories, persons, summary = calibration
    first = np.zeros(len(histories), np.int64)
    first[persons] = summary.first
    again = (histories.day <= day_number(CUT)) & (histories.day > first[histories.person])
    spent, times = np.bincount(histories.person[again], histories.value[again], len(histories)), np.bincount(histories.person[again], minlength=len(histories))
    buyers = times > 0
    assert buyers.sum() == 946
    found = gamma_gamma.fit(times[buyers], spent[buyers] / times[buyers])
    assert found.log_likelihood == pytest.approx(-4055.92, abs=0.006)
    assert (found.p, found.q, found.gamma) == pytest.approx((6.249, 3.745, 15.448), rel=5e-4)


def test_gradients_are_those_of_the_likelihood() -> None:
    chance = np.random.default_rng(0)
    x = chance.integers(0, 6, 50)
    T = chance.uniform(5, 50, 50)
    tuples = _tuples(x, np.where(x > 0, T * chance.random(50), 0), T, chance.integers(1, 4, 50), chance.random(50))
    for modified in (False, True):
        likelihood = bg_nbd.Likelihood(tuples, modified=modified, scale=1.0)
        z = np.array([-0.3, 0.2, 0.9, 1.4, 0.3])
        value, gradient = likelihood(z)
        for place in range(5):
            move = np.eye(5)[place] * 1e-5
            assert gradient[place] == pytest.approx((likelihood(z + move)[0] - likelihood(z - move)[0]) / 2e-5, rel=1e-6, abs=1e-6)
        assert np.isfinite(value)


def test_the_likelihood_is_that_of_the_story_told_person_by_person() -> None:
    """Integrate rate and coin by quadrature: λ^x e^{-λT} alive, or dead after the last purchase."""
    r, alpha, a, b = 0.9, 6.0, 0.7, 2.2
    for x, tx, T in [(0, 0.0, 10.0), (1, 4.0, 10.0), (3, 10.0, 10.0)]:
        def over_rate(time: float, x: int = x) -> float:
            density = lambda rate: rate**x * np.exp(-rate * time) * np.exp(r * np.log(alpha) + (r - 1) * np.log(rate) - alpha * rate - gammaln(r))  # noqa: E731
            return quad(density, 0, np.inf)[0]

        survives = beta_function(a, b + x) / beta_function(a, b)
        stops = beta_function(a + 1, b + x - 1) / beta_function(a, b) if x else 0.0
        expected = np.log(survives * over_rate(T) + stops * over_rate(tx))
        z = np.log([r, a, b, alpha, 1.0])
        assert bg_nbd.Likelihood(_tuples([x], [tx], [T]), modified=False, scale=1.0)(z)[0] == pytest.approx(expected, abs=1e-7)


def test_mean_count_is_the_published_formula() -> None:
    """Fader, Hardie, Lee (2005), equation 10, for living persons."""
    r, alpha, a, b = 0.24, 4.4, 0.79, 2.43
    x, T, t = np.array([0, 2, 7, 40]), np.array([39.0, 30.0, 38.0, 20.0]), 39.0
    found = counts.moments(r + x, alpha + T, a, b + x, np.full((4, 1), t)).mean[:, 0]
    by_formula = (a + b + x - 1) / (a - 1) * (1 - ((alpha + T) / (alpha + T + t)) ** (r + x) * hyp2f1(r + x, b + x, a + b + x - 1, t / (alpha + T + t)))
    assert found == pytest.approx(by_formula, rel=1e-6)


def test_counts_are_those_of_simulated_lives() -> None:
    chance = np.random.default_rng(5)
    shape, rate, a, b, span, size = 2.3, 20.0, 0.8, 3.1, 30.0, 400_000
    lam, coin = chance.gamma(shape, 1 / rate, size), chance.beta(a, b, size)
    drawn = np.minimum(chance.poisson(lam * span), chance.geometric(coin))
    one = lambda value: np.array([value])  # noqa: E731
    found = counts.moments(one(shape), one(rate), a, one(b), np.array([[span]]))
    assert found.mean[0, 0] == pytest.approx(drawn.mean(), abs=4 * drawn.std() / size**0.5)
    assert found.square[0, 0] == pytest.approx((drawn**2).mean(), rel=0.02)
    assert found.any[0, 0] == pytest.approx((drawn > 0).mean(), abs=0.004)
    living = (chance.poisson(lam * span) < chance.geometric(coin)).mean()
    assert found.living[0, 0] == pytest.approx(living, abs=0.004)
    table = counts.survivals(one(shape), one(rate), a, one(b), one(span))
    for k in range(1, table.shape[1] + 1):
        assert table[0, k - 1] == pytest.approx((drawn >= k).mean(), abs=0.004)
        assert table[0, k - 1] == pytest.approx(counts.survival(one(shape), one(rate), a, one(b), one(span), np.array([k]))[0], abs=1e-9)
    low, high = counts.quantiles(one(0.6), np.array([0]), table, (0.05, 0.95))
    mixed = np.where(chance.random(size) < 0.6, drawn, 0)
    assert (low[0], high[0]) == tuple(np.quantile(mixed, [0.05, 0.95], method="inverted_cdf"))


def test_an_underflowing_heavy_buyer_is_still_counted() -> None:
    found = counts.moments(np.array([3000.0]), np.array([100.0]), 0.5, np.array([1e6]), np.array([[90.0]]))
    assert found.mean[0, 0] == pytest.approx(2700 * (1 - 0.5 / 1e6 * 2700 / 2), rel=0.01)


@pytest.mark.parametrize(
    "tuples",
    [
        _tuples([0], [0], [0]),
        _tuples([0, 0, 0], [0, 0, 0], [10, 20, 30]),
        _tuples([3], [12.0], [12.0]),
        _tuples([2] * 5, [9.0] * 5, [20.0] * 5),
        _tuples([0, 0, 5], [0, 0, 0.1], [0, 0, 0.1]),
        _tuples([5_000], [100.0], [100.5]),
    ],
    ids=["T=0", "no repeats", "recency=T", "all alike", "T nearly 0", "very many"],
)
@pytest.mark.parametrize("modified", [False, True])
def test_cases_that_break_naive_code_stay_finite(tuples: Tuples, modified: bool) -> None:
    found = bg_nbd.fit(tuples, modified=modified)
    assert np.isfinite(found.z).all()
    assert np.isfinite(found.covariance).all()
    alive = found.alive(tuples.x, tuples.tx, tuples.T, tuples.entry)
    assert ((alive >= 0) & (alive <= 1)).all()
    expected = counts.moments(found.r + tuples.x, found.alpha(tuples.entry) + tuples.T, found.a, found.b + tuples.x + modified, np.full((len(tuples), 1), 10.0))
    assert np.isfinite(expected.mean).all()
    assert (expected.mean >= 0).all()


@pytest.mark.parametrize("count, value", [([1], [5.0]), ([1, 1, 1], [2.0, 2.0, 2.0]), ([3, 1], [1e-6, 1e9]), ([], [])])
def test_spend_of_few_or_alike_stays_finite(count, value) -> None:
    found = gamma_gamma.fit(np.array(count, np.int64), np.array(value, float))
    assert np.isfinite(found.z).all()
    assert np.isfinite(found.mean(np.array(count, np.int64), np.array(value, float))).all()


def test_grouping_many_persons_moves_nothing(monkeypatch) -> None:
    chance = np.random.default_rng(1)
    count = chance.integers(1, 6, 20_000)
    value = chance.gamma(4.0 * count) / chance.gamma(3.0, 1 / 20.0, 20_000) / count
    whole = gamma_gamma.fit(count, value)
    monkeypatch.setattr(gamma_gamma, "GROUPED", 1_000)
    grouped = gamma_gamma.fit(count, value)
    assert grouped.z == pytest.approx(whole.z, abs=5e-4)
    assert np.abs(grouped.z - whole.z).max() < 0.1 * np.sqrt(np.diag(whole.covariance)).min()


def test_a_sample_first_gives_the_same_maximum(monkeypatch) -> None:
    orders = purchases(6_000, 80, 3)
    whole = fit(orders, "bg_nbd")
    monkeypatch.setattr(processes, "SAMPLE", 300)
    stepped = fit(orders, "bg_nbd")
    assert stepped.parameters == pytest.approx(whole.parameters, rel=2e-4)
