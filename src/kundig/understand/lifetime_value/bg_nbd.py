"""The purchase process: purchases at a personal rate until a personal coin says stop (BG/NBD; MBG/NBD, where the first purchase may be the last).

Fader, Hardie, Lee (2005), "Counting your customers the easy way"; Batislam, Denizel, Filiztekin (2007) for the modified form. The rate
is gamma (r, α) over persons, the coin beta (a, b); α may depend on a covariate: α = exp(β0 + β1·entry). Time is whatever clock the
caller counts in. Parameters are fitted as bounded logarithms in scaled time, with analytic gradients and no penalty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, digamma, gammaln

from kundig.understand.lifetime_value.cells import inner, numbered
from kundig.understand.lifetime_value.descent import axes, covariance_at, least, polished

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
BOUND = 9.0
"""Parameters lie between exp(-9) and exp(9) in scaled time."""
NAMES = ("r", "alpha", "a", "b")
SAMPLE = 20_000
"""Distinct persons that a first fit is made on where there are many more: the whole then needs a few steps."""


@dataclass(frozen=True, kw_only=True)
class Tuples:
    """Distinct persons: repeat purchases x, time of the last one tx, observed time T, how many such persons, and their covariate."""

    x: Ints
    tx: Floats
    T: Floats
    weight: Floats
    entry: Floats

    def __len__(self) -> int:
        return len(self.x)

    def sample(self, most: int) -> Tuples:
        """Every n-th tuple, so that about so many are left."""
        part = slice(None, None, max(1, len(self) // most))
        return Tuples(x=self.x[part], tx=self.tx[part], T=self.T[part], weight=self.weight[part], entry=self.entry[part])


@dataclass(frozen=True, kw_only=True)
class Purchasing:
    """A fitted process: z = (log r, log a, log b, β0, β1), its covariance, and `modified` (MBG/NBD)."""

    z: Floats
    covariance: Floats
    log_likelihood: float
    modified: bool
    converged: bool

    @property
    def r(self) -> float:
        """Shape of the rates."""
        return float(np.exp(self.z[0]))

    @property
    def a(self) -> float:
        """First parameter of the coin."""
        return float(np.exp(self.z[1]))

    @property
    def b(self) -> float:
        """Second parameter of the coin."""
        return float(np.exp(self.z[2]))

    def alpha(self, entry: Floats) -> Floats:
        """Scale of the rates of persons with that covariate."""
        return np.asarray(np.exp(self.z[3] + self.z[4] * entry))

    def moved(self, step: Floats) -> Purchasing:
        """The process with parameters a step away."""
        return Purchasing(z=self.z + step, covariance=self.covariance, log_likelihood=self.log_likelihood, modified=self.modified, converged=self.converged)

    def axes(self) -> list[Floats]:
        """Principal axes of the parameters' doubt, each one standard deviation long."""
        return axes(self.covariance)

    def alive(self, x: Ints, tx: Floats, T: Floats, entry: Floats) -> Floats:
        """Probability that a person has not stopped."""
        alpha = self.alpha(entry)
        seen = self.b + x + (0 if self.modified else -1)
        with np.errstate(over="ignore"):
            odds = self.a / np.maximum(seen, 1e-300) * np.exp((self.r + x) * (np.log(alpha + T) - np.log(alpha + tx)))
        return np.where((x > 0) | self.modified, 1.0 / (1.0 + odds), 1.0)


def fit(tuples: Tuples, *, modified: bool = False, covariate: bool = False, start: Floats | None = None) -> Purchasing:
    """The process of greatest likelihood.

    Args:
        tuples: Distinct persons; at least one.
        modified: Persons may stop right after their first purchase.
        covariate: Let the rate depend on `entry`; else β1 is 0.
        start: z to start from instead of the two built-in starts.
    """
    metric: Floats | None = None
    if len(tuples) > 2 * SAMPLE:
        sample = tuples.sample(SAMPLE)
        part = fit(sample, modified=modified, covariate=covariate, start=start)
        start, metric = part.z, part.covariance * sample.weight.sum()
    scale = max(float(tuples.T.max(initial=0.0)) / 40.0, 1.0)
    shift = np.array([0.0, 0.0, 0.0, np.log(scale), 0.0])
    likelihood = Likelihood(tuples, modified=modified, scale=scale)
    free = np.array([True, True, True, True, covariate])
    total = tuples.weight.sum()

    def objective(z: Floats) -> tuple[float, Floats]:
        value, gradient = likelihood(_whole(z, free))
        return -value / total, -gradient[free] / total

    starts = [start - shift] if start is not None else [np.log([0.6, 0.8, 2.5, 5.0, 1.0]), np.log([1.0, 0.3, 5.0, 5.0, 1.0])]
    bounds = [(-BOUND, BOUND)] * int(free.sum())
    found = polished(objective, starts[0][free], metric[np.ix_(free, free)], bounds) if metric is not None and start is not None else None
    if found is None:
        found = least(objective, [z[free] for z in starts], bounds)
    z = _whole(found, free)
    covariance = np.zeros((5, 5))
    covariance[np.ix_(free, free)] = covariance_at(lambda point: -likelihood(_whole(point, free))[1][free], z[free])
    inside = bool(np.all(np.abs(z[free]) < BOUND - 1e-6))
    return Purchasing(z=z + shift, covariance=covariance, log_likelihood=float(likelihood(z)[0] + likelihood.constant), modified=modified, converged=inside)


class Likelihood:
    """Log-likelihood of z in scaled time, with its gradient; what depends on x alone is looked up."""

    def __init__(self, tuples: Tuples, *, modified: bool, scale: float) -> None:
        self.m = int(modified)
        self.w, self.entry = tuples.weight, tuples.entry
        self.tx, self.T = tuples.tx / scale, tuples.T / scale
        found, self.place = numbered(tuples.x[None, :])
        self.counts = found[0]
        self.x = tuples.x.astype(np.float64)
        self.by_x = np.bincount(self.place, self.w)
        self.constant = -inner(self.w, self.x) * np.log(scale)
        self.stops = (tuples.x > 0) | modified
        self.no_covariate = not np.any(tuples.entry)

    def __call__(self, z: Floats) -> tuple[float, Floats]:
        r, a, b = np.exp(z[:3])
        x, k, m, w = self.x, self.counts, self.m, self.w
        alpha = np.exp(z[3]) if self.no_covariate else np.exp(np.clip(z[3] + z[4] * self.entry, -2 * BOUND, 2 * BOUND))
        log_T, log_tx = np.log(alpha + self.T), np.log(alpha + self.tx)
        beta_A, beta_D = betaln(a, b + k + m), betaln(a + 1, np.maximum(b + k + m - 1, 1e-12))
        A = beta_A[self.place] - (r + x) * log_T
        D = np.where(self.stops, beta_D[self.place] - (r + x) * log_tx, -np.inf)
        both = np.logaddexp(A, D)
        wA = np.exp(A - both)
        wD = 1.0 - wA
        shape = gammaln(r + k) - gammaln(r) - betaln(a, b)
        value = float(self.by_x @ shape + np.sum(w * (r * np.log(alpha) + both)))
        A_by_x, D_by_x = np.bincount(self.place, w * wA), np.bincount(self.place, w * wD)
        total = digamma(a + b + k + m)
        by_alpha = r / alpha - (r + x) * (wA / (alpha + self.T) + wD / (alpha + self.tx))
        d_r = self.by_x @ (digamma(r + k) - digamma(r)) + np.sum(w * (np.log(alpha) - wA * log_T - wD * log_tx))
        d_a = -self.by_x.sum() * (digamma(a) - digamma(a + b)) + A_by_x @ (digamma(a) - total) + D_by_x @ (digamma(a + 1) - total)
        d_b = -self.by_x.sum() * (digamma(b) - digamma(a + b)) + A_by_x @ (digamma(b + k + m) - total)
        d_b += D_by_x @ np.where(D_by_x > 0, digamma(np.maximum(b + k + m - 1, 1e-12)) - total, 0.0)
        d_0 = w * by_alpha * alpha
        return value, np.array([d_r * r, d_a * a, d_b * b, d_0.sum(), (d_0 * self.entry).sum()])


def _whole(z: Floats, free: npt.NDArray[np.bool_]) -> Floats:
    whole = np.zeros(5)
    whole[free] = z
    return whole


def standard_errors(process: Purchasing) -> dict[str, float]:
    """Standard errors of r, α, a and b, by the delta method."""
    deviations = np.sqrt(np.maximum(np.diag(process.covariance), 0.0))
    r, a, b, alpha = process.r, process.a, process.b, float(np.exp(process.z[3]))
    return {"r": r * deviations[0], "alpha": alpha * deviations[3], "a": a * deviations[1], "b": b * deviations[2]}
