"""Pareto/NBD against the published figures, mpmath, brute force and simulation; and what breaks naive code."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from bench.lifetime_value import cdnow
from scipy.integrate import quad
from scipy.special import gammaln
from tests.understand.test_purchase_models import CUT, _tuples, needs_cdnow

from kundig.understand.lifetime_value import fit, pareto_nbd
from kundig.understand.lifetime_value.fitted import Fitted
from kundig.understand.lifetime_value.pareto_nbd import Likelihood, ParetoNBD

TRUTH = {"r": 0.9, "alpha": 6.0, "s": 0.7, "beta": 12.0}


def _process(r: float, s: float, beta: float, alpha: float) -> ParetoNBD:
    z = np.append(np.log([r, s, beta, alpha]), 0.0)
    return ParetoNBD(z=z, covariance=np.zeros((5, 5)), log_likelihood=0.0, converged=True)


@needs_cdnow
def test_cdnow_gives_the_published_figures() -> None:
    found = fit(cdnow(), "pareto_nbd", as_of=CUT, count_free=True)
    published = {"r": (0.5533, 0.048), "alpha": (10.578, 0.843), "s": (0.6062, 0.187), "beta": (11.669, 6.211)}
    for name, (value, error) in published.items():
        assert found.parameters[name] == pytest.approx(value, abs=6e-5 if value < 10 else 6e-4), name
        assert found.standard_errors[name] == pytest.approx(error, abs=6e-4), name
    assert found.log_likelihood == pytest.approx(-9594.98, abs=0.006)
    expected = found.predict(273)["expected_purchases"].to_numpy()
    assert expected.sum() / 1882 - 1 == pytest.approx(-0.115, abs=6e-4)
    came = fit(cdnow(), "bg_nbd", as_of=CUT + dt.timedelta(days=273), count_free=True).histories
    persons, _ = found.histories.until(found.fitted.end)
    actual, _ = came.bought(persons, found.fitted.end, found.fitted.end + 273)
    assert np.abs(expected - actual).mean() == pytest.approx(0.7545, abs=6e-5)
    days = fit(cdnow(), "pareto_nbd", as_of=CUT, count_free=True, time_unit="day")
    assert (days.parameters["beta"], days.parameters["alpha"]) == pytest.approx((7 * 11.669, 7 * 10.578), rel=6e-5)


@pytest.mark.parametrize("z", [(0.9, 0.7, 2.2, 6.0), (0.3, 0.4, 0.05, 30.0), (2.0, 3.0, 900.0, 1.5), (0.5, 1.0, 8.0, 8.0)])
@pytest.mark.parametrize("x, tx, T", [(0, 0.0, 10.0), (1, 4.0, 10.0), (3, 10.0, 10.0), (60, 90.0, 104.0), (500, 20.0, 100.0)])
def test_the_likelihood_is_that_of_the_story(z, x, tx, T) -> None:
    """Against adaptive quadrature over the moment of loss."""
    r, s, beta, alpha = z

    def lost(u: float) -> float:
        return (s / beta) * np.exp(-(r + x) * np.log((alpha + u) / (alpha + tx)) - (s + 1) * np.log1p(u / beta))

    ends = [min(tx + (alpha + tx) * step / (r + x), T) for step in (0.01, 0.1, 1, 4, 16, 40)]
    integral = sum(quad(lost, low, high, epsabs=0, epsrel=1e-11, limit=400)[0] for low, high in zip([tx, *ends], [*ends, T], strict=True) if high > low)
    living = np.exp(-(r + x) * np.log((alpha + T) / (alpha + tx)) - s * np.log1p(T / beta))
    expected = gammaln(r + x) - gammaln(r) + r * np.log(alpha) - (r + x) * np.log(alpha + tx) + np.log(living + integral)
    assert Likelihood(_tuples([x], [tx], [T]))(np.append(np.log(z), 0.0))[0] == pytest.approx(expected, rel=1e-9, abs=1e-8)
    alive = _process(*z).alive(np.array([x]), np.array([tx]), np.array([T]), np.zeros(1))[0]
    assert alive == pytest.approx(living / (living + integral), rel=1e-7, abs=1e-12)


def test_gradients_are_those_of_the_likelihood() -> None:
    chance = np.random.default_rng(0)
    x, T = chance.integers(0, 6, 50), chance.uniform(5, 50, 50)
    likelihood = Likelihood(_tuples(x, np.where(x > 0, T * chance.random(50), 0), T, chance.integers(1, 4, 50), chance.random(50)))
    z = np.array([-0.3, 0.2, 0.9, 1.4, 0.3])
    for place in range(5):
        move = np.eye(5)[place] * 1e-5
        assert likelihood(z)[1][place] == pytest.approx((likelihood(z + move)[0] - likelihood(z - move)[0]) / 2e-5, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("s", [0.4, 1.0, 2.0, 3.5])
def test_counts_are_those_of_simulated_lives(s: float) -> None:
    chance, size = np.random.default_rng(5), 400_000
    process, x, T, span = _process(0.9, s, 12.0, 6.0), np.array([2]), np.array([20.0]), 30.0
    rate, loss = chance.gamma(2.9, 1 / 26.0, size), chance.gamma(s, 1 / 32.0, size)
    drawn = chance.poisson(rate * np.minimum(chance.exponential(1.0, size) / loss, span))
    none = np.zeros(1)
    found = process.moments(x, T, none, np.array([[span]]))
    assert found.mean[0, 0] == pytest.approx(drawn.mean(), abs=4 * drawn.std() / size**0.5)
    assert found.square[0, 0] == pytest.approx((drawn**2.0).mean(), rel=0.02)
    assert found.any[0, 0] == pytest.approx((drawn > 0).mean(), abs=0.004)
    table = process.survivals(x, T, none, np.array([span]))[0]
    for k in range(1, len(table) + 1):
        assert table[k - 1] == pytest.approx((drawn >= k).mean(), abs=0.004)
        assert table[k - 1] == pytest.approx(process.survival(x, T, none, np.array([span]), np.array([k]))[0], abs=1e-9)
    assert table.sum() == pytest.approx(found.mean[0, 0], rel=2e-3)


def simulated(persons: int, seed: int, weeks: float = 104.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lives as the model has them: x, tx, T."""
    chance = np.random.default_rng(seed)
    rate, loss = chance.gamma(TRUTH["r"], 1 / TRUTH["alpha"], persons), chance.gamma(TRUTH["s"], 1 / TRUTH["beta"], persons)
    T = chance.uniform(weeks / 4, weeks, persons)
    until = np.minimum(T, chance.exponential(1.0, persons) / np.maximum(loss, 1e-12))
    x = chance.poisson(rate * until)
    return x, np.where(x > 0, until * chance.random(persons) ** (1 / np.maximum(x, 1)), 0.0), T


def test_parameters_return_where_the_model_holds() -> None:
    found = pareto_nbd.fit(_tuples(*simulated(20_000, 3)))
    errors = found.standard_errors()
    for name, value in found.parameters().items():
        assert abs(value - TRUTH[name]) < 3.5 * errors[name], name
        assert errors[name] < 0.2 * TRUTH[name]


@pytest.mark.parametrize(
    "rows",
    [([0], [0], [0]), ([0, 0, 0], [0, 0, 0], [10, 20, 30]), ([3], [12.0], [12.0]), ([2] * 5, [9.0] * 5, [20.0] * 5), ([5_000], [100.0], [100.5])],
    ids=["T=0", "no repeats", "recency=T", "all alike", "very many"],
)
def test_cases_that_break_naive_code_stay_finite(rows) -> None:
    tuples = _tuples(*rows)
    found = pareto_nbd.fit(tuples)
    assert np.isfinite(found.z).all()
    assert np.isfinite(found.covariance).all()
    alive = found.alive(tuples.x, tuples.tx, tuples.T, tuples.entry)
    assert ((alive >= 0) & (alive <= 1)).all()
    ahead = found.moments(tuples.x, tuples.T, tuples.entry, np.full((len(tuples), 1), 10.0))
    assert all(np.isfinite(part).all() for part in (ahead.mean, ahead.square, ahead.living, ahead.any))
    assert np.isfinite(found.lost_at(tuples.x, tuples.tx, tuples.T, tuples.entry)).all()


@needs_cdnow
def test_it_fits_into_one_text() -> None:
    found = fit(cdnow(), "pareto_nbd", as_of=CUT, count_free=True)
    again = Fitted.from_json(found.fitted.to_json())
    assert again.process.name == "pareto_nbd"
    summary = found._present[1]
    assert np.array_equal(again.score(summary, end=again.end, horizon=90).value, found.fitted.score(summary, end=again.end, horizon=90).value)
