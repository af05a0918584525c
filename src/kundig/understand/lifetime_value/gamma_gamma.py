"""What a purchase is worth: gamma spend per purchase whose scale is gamma over persons (Gamma-Gamma; Fader and Hardie, 2013)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import digamma, gammaln

from kundig.understand.lifetime_value.bg_nbd import BOUND, _covariance

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


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
        return self.p * (self.gamma + count * value) / np.maximum(self.p * count + self.q - 1.0, 1e-6)

    def moved(self, step: Floats) -> Spending:
        """The model with parameters a step away."""
        return Spending(z=self.z + step, covariance=self.covariance, log_likelihood=self.log_likelihood, persons=self.persons, converged=self.converged)

    def axes(self) -> list[Floats]:
        """Principal axes of the parameters' doubt, each one standard deviation long."""
        values, vectors = np.linalg.eigh(self.covariance)
        return [vectors[:, i] * np.sqrt(values[i]) for i in range(len(values)) if values[i] > 1e-14]


def fit(count: Ints, value: Floats, weight: Floats | None = None) -> Spending:
    """The spend model of greatest likelihood.

    Args:
        count: Purchases of each person, at least 1.
        value: Their mean value, above 0.
        weight: How many such persons; each is one where not given.
    """
    w = np.ones(len(count)) if weight is None else weight
    scale = float(np.exp(np.average(np.log(value), weights=w))) if len(count) else 1.0
    counts, place = np.unique(count, return_inverse=True)
    by_count = np.bincount(place, w)
    z_value = value / scale
    log_value, log_count = np.log(z_value), np.log(count.astype(np.float64))
    n = count.astype(np.float64)
    total = max(float(w.sum()), 1e-300)
    constant = -float(w @ np.full(len(count), np.log(scale))) if len(count) else 0.0

    def likelihood(z: Floats) -> tuple[float, Floats]:
        p, q, g = np.exp(z)
        shape = gammaln(p * counts + q) - gammaln(p * counts) - gammaln(q)
        spread = np.log(g + n * z_value)
        value_ = float(by_count @ shape + w @ (q * np.log(g) + (p * n - 1) * log_value + p * n * log_count - (p * n + q) * spread))
        d_p = by_count @ (counts * (digamma(p * counts + q) - digamma(p * counts))) + w @ (n * (log_value + log_count - spread))
        d_q = by_count @ (digamma(p * counts + q) - digamma(q)) + w @ (np.log(g) - spread)
        d_g = w @ (q / g - (p * n + q) / (g + n * z_value))
        return value_, np.array([d_p * p, d_q * q, d_g * g])

    # q stays above 1, or the mean over persons would not exist
    bounds = [(-BOUND, BOUND), (0.02, BOUND), (-BOUND, BOUND)]

    def objective(z: Floats) -> tuple[float, Floats]:
        value_, gradient = likelihood(z)
        return -value_ / total, -gradient / total

    starts = [np.log([4.0, 3.0, 4.0]), np.log([1.5, 8.0, 6.0])] if len(count) else []
    found = [minimize(objective, z, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8}) for z in starts]
    z = np.asarray(min(found, key=lambda result: float(result.fun)).x, dtype=np.float64) if found else np.log([4.0, 3.0, 4.0])
    covariance = _covariance(lambda point: -likelihood(point)[1], z)
    inside = bool(found) and all(low + 1e-6 < part < high - 1e-6 for part, (low, high) in zip(z, bounds, strict=True))
    log_likelihood = likelihood(z)[0] + constant if found else 0.0
    return Spending(z=z + np.array([0.0, 0.0, np.log(scale)]), covariance=covariance, log_likelihood=log_likelihood, persons=int(w.sum()), converged=inside)


def standard_errors(spending: Spending) -> dict[str, float]:
    """Standard errors of p, q and γ, by the delta method."""
    deviations = np.sqrt(np.maximum(np.diag(spending.covariance), 0.0))
    return {"p": spending.p * deviations[0], "q": spending.q * deviations[1], "gamma": spending.gamma * deviations[2]}
