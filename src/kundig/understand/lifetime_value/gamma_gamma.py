"""What a purchase is worth: gamma spend per purchase whose scale is gamma over persons (Gamma-Gamma; Fader and Hardie, 2013)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from kundig.understand.lifetime_value.cells import distinct, inner, numbered
from kundig.understand.lifetime_value.descent import axes, covariance_at, least
from kundig.understand.lifetime_value.process import BOUND

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
GROUPED = 200_000
"""Persons above which like ones are taken together."""
FINENESS = 512
"""Groups of value per factor of e."""


@dataclass(frozen=True, kw_only=True)
class Spending:
    """A fitted spend model: z = (log p, log q, log γ), its covariance, and the persons it was fitted on."""

    z: Floats
    covariance: Floats
    log_likelihood: float
    persons: int
    converged: bool

    @property
    def p(self) -> float:
        """Shape of a purchase's value."""
        return float(np.exp(self.z[0]))

    @property
    def q(self) -> float:
        """Shape of the persons' scales."""
        return float(np.exp(self.z[1]))

    @property
    def gamma(self) -> float:
        """Scale of the persons' scales, in money."""
        return float(np.exp(self.z[2]))

    def mean(self, count: Ints, value: Floats) -> Floats:
        """Expected value of a person's next purchase, given the number and mean of those seen."""
        return np.asarray(self.p * (self.gamma + count * value) / np.maximum(self.p * count + self.q - 1.0, 1e-6))

    def moved(self, step: Floats) -> Spending:
        """The model with parameters a step away."""
        return Spending(z=self.z + step, covariance=self.covariance, log_likelihood=self.log_likelihood, persons=self.persons, converged=self.converged)

    def axes(self) -> list[Floats]:
        """Principal axes of the parameters' doubt, each one standard deviation long."""
        return axes(self.covariance)


def fit(count: Ints, value: Floats) -> Spending:
    """The spend model of greatest likelihood.

    Above 200,000 persons, those with the same number of purchases and the same mean value to a five-hundredth are taken together at their
    mean: that moves the likelihood by less than a millionth and makes the work independent of the number of persons.

    Args:
        count: Purchases of each person, at least 1.
        value: Their mean value, above 0.
    """
    persons = len(count)
    scale = float(np.exp(np.mean(np.log(value)))) if persons else 1.0
    log_value = float(np.sum(np.log(value / scale))) if persons else 0.0
    n, spent, w = count.astype(np.float64), count * (value / scale), np.ones(persons)
    log_spent = inner(n, np.log(spent)) if persons else 0.0
    counts, by = distinct(count[None, :])
    k, by_count = counts[0], by.astype(np.float64)
    if persons > GROUPED:
        n, spent, w = _grouped(count, spent)
    weighted, total = w * n, max(float(persons), 1e-300)

    def likelihood(z: Floats) -> tuple[float, Floats]:
        p, q, g = np.exp(z)
        above = g + spent
        spread, inverse = np.log(above), 1.0 / above
        n_spread, all_spread = inner(weighted, spread), inner(w, spread)
        shape = scipy.special.gammaln(p * k + q) - scipy.special.gammaln(p * k) - scipy.special.gammaln(q)
        found = float(by_count @ shape) + persons * q * z[2] + p * log_spent - log_value - p * n_spread - q * all_spread
        by_k = scipy.special.digamma(p * k + q)
        d_p = by_count @ (k * (by_k - scipy.special.digamma(p * k))) + log_spent - n_spread
        d_q = by_count @ (by_k - scipy.special.digamma(q)) + persons * z[2] - all_spread
        d_g = persons * q / g - p * inner(weighted, inverse) - q * inner(w, inverse)
        return found, np.array([d_p * p, d_q * q, d_g * g])

    # q stays above 1, or the mean over persons would not exist
    bounds = [(-BOUND, BOUND), (0.02, BOUND), (-BOUND, BOUND)]

    def objective(z: Floats) -> tuple[float, Floats]:
        value_, gradient = likelihood(z)
        return -value_ / total, -gradient / total

    starts = [np.log([4.0, 3.0, 4.0]), np.log([1.5, 8.0, 6.0])]
    z = least(objective, starts, bounds) if persons else starts[0]
    covariance = covariance_at(lambda point: -likelihood(point)[1], z)
    inside = persons > 0 and all(low + 1e-6 < part < high - 1e-6 for part, (low, high) in zip(z, bounds, strict=True))
    log_likelihood = likelihood(z)[0] - persons * float(np.log(scale)) if persons else 0.0
    return Spending(z=z + np.array([0.0, 0.0, np.log(scale)]), covariance=covariance, log_likelihood=log_likelihood, persons=persons, converged=inside)


def _grouped(count: Ints, spent: Floats) -> tuple[Floats, Floats, Floats]:
    """Purchases, mean spend and number of persons of each group."""
    bins = np.floor(np.log(spent / count) * FINENESS).astype(np.int64)
    found, place = numbered(np.stack([count, bins]))
    weight = np.bincount(place).astype(np.float64)
    return found[0].astype(np.float64), np.bincount(place, spent) / weight, weight


def standard_errors(spending: Spending) -> dict[str, float]:
    """Standard errors of p, q and γ, by the delta method."""
    deviations = np.sqrt(np.maximum(np.diag(spending.covariance), 0.0))
    return {"p": spending.p * deviations[0], "q": spending.q * deviations[1], "gamma": spending.gamma * deviations[2]}
