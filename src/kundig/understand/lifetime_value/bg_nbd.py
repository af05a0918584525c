"""The purchase process: purchases at a personal rate until a personal coin says stop (BG/NBD; MBG/NBD, where the first purchase may be the last).

Fader, Hardie, Lee (2005), "Counting your customers the easy way"; Batislam, Denizel, Filiztekin (2007) for the modified form. The rate
is gamma (r, α) over persons, the coin beta (a, b); α may depend on a covariate: α = exp(β0 + β1·entry). Time is whatever clock the
caller counts in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy

from kundig.understand.lifetime_value import counts
from kundig.understand.lifetime_value.cells import numbered
from kundig.understand.lifetime_value.counts import Moments
from kundig.understand.lifetime_value.process import BOUND, Floats, Ints, Prior, Purchasing, Tuples, greatest

STARTS = [np.log([0.6, 0.8, 2.5, 5.0, 1.0]), np.log([1.0, 0.3, 5.0, 5.0, 1.0])]


@dataclass(frozen=True, kw_only=True)
class BetaGeometric(Purchasing):
    """A fitted process: z = (log r, log a, log b, β0, β1), its covariance, and `modified` (MBG/NBD)."""

    modified: bool
    names: ClassVar[tuple[str, str, str, str]] = ("r", "a", "b", "alpha")
    timed: ClassVar[tuple[int, ...]] = (3,)

    @property
    def name(self) -> str:
        return "mbg_nbd" if self.modified else "bg_nbd"

    @property
    def a(self) -> float:
        """First parameter of the coin."""
        return float(np.exp(self.z[1]))

    @property
    def b(self) -> float:
        """Second parameter of the coin."""
        return float(np.exp(self.z[2]))

    def alive(self, x: Ints, tx: Floats, T: Floats, entry: Floats) -> Floats:
        alpha = self.alpha(entry)
        seen = self.b + x + (0 if self.modified else -1)
        with np.errstate(over="ignore"):
            odds = self.a / np.maximum(seen, 1e-300) * np.exp((self.r + x) * (np.log(alpha + T) - np.log(alpha + tx)))
        return np.where((x > 0) | self.modified, 1.0 / (1.0 + odds), 1.0)

    def lost_at(self, x: Ints, tx: Floats, T: Floats, entry: Floats) -> Floats:
        return tx

    def moments(self, x: Ints, T: Floats, entry: Floats, spans: Floats) -> Moments:
        return counts.moments(*self._rate(x, T, entry), self.a, self._stays(x), spans)

    def survivals(self, x: Ints, T: Floats, entry: Floats, span: Floats) -> Floats:
        return counts.survivals(*self._rate(x, T, entry), self.a, self._stays(x), span)

    def survival(self, x: Ints, T: Floats, entry: Floats, span: Floats, k: Ints) -> Floats:
        return counts.survival(*self._rate(x, T, entry), self.a, self._stays(x), span, k)

    def _rate(self, x: Ints, T: Floats, entry: Floats) -> tuple[Floats, Floats]:
        """Shape and scale of the rate of a person with that history."""
        return np.asarray(self.r + x, dtype=np.float64), np.asarray(self.alpha(entry) + T, dtype=np.float64)

    def _stays(self, x: Ints) -> Floats:
        """Second parameter of a living person's coin."""
        return np.asarray(self.b + x + int(self.modified), dtype=np.float64)


def fit(tuples: Tuples, *, modified: bool = False, covariate: bool = False, start: Floats | None = None, prior: Prior | None = None) -> BetaGeometric:
    """The process of greatest likelihood.

    Args:
        tuples: Distinct persons; at least one.
        modified: Persons may stop right after their first purchase.
        covariate: Let the rate depend on `entry`; else β1 is 0.
        start: z to start from instead of the two built-in starts.
        prior: What is known of z beforehand.
    """

    def likelihood(part: Tuples, scale: float) -> Likelihood:
        return Likelihood(part, modified=modified, scale=scale)

    found = greatest(likelihood, tuples, timed=BetaGeometric.timed, starts=STARTS, covariate=covariate, start=start, prior=prior)
    return BetaGeometric(z=found.z, covariance=found.covariance, log_likelihood=found.log_likelihood, modified=modified, converged=found.inside)


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
        self.stops = (tuples.x > 0) | modified
        self.no_covariate = not np.any(tuples.entry)

    def __call__(self, z: Floats) -> tuple[float, Floats]:
        r, a, b = np.exp(z[:3])
        x, k, m, w = self.x, self.counts, self.m, self.w
        alpha = np.exp(z[3]) if self.no_covariate else np.exp(np.clip(z[3] + z[4] * self.entry, -2 * BOUND, 2 * BOUND))
        log_T, log_tx = np.log(alpha + self.T), np.log(alpha + self.tx)
        beta_A, beta_D = scipy.special.betaln(a, b + k + m), scipy.special.betaln(a + 1, np.maximum(b + k + m - 1, 1e-12))
        A = beta_A[self.place] - (r + x) * log_T
        D = np.where(self.stops, beta_D[self.place] - (r + x) * log_tx, -np.inf)
        both = np.logaddexp(A, D)
        wA = np.exp(A - both)
        wD = 1.0 - wA
        shape = scipy.special.gammaln(r + k) - scipy.special.gammaln(r) - scipy.special.betaln(a, b)
        value = float(self.by_x @ shape + np.sum(w * (r * np.log(alpha) + both)))
        A_by_x, D_by_x = np.bincount(self.place, w * wA), np.bincount(self.place, w * wD)
        total = scipy.special.digamma(a + b + k + m)
        by_alpha = r / alpha - (r + x) * (wA / (alpha + self.T) + wD / (alpha + self.tx))
        d_r = self.by_x @ (scipy.special.digamma(r + k) - scipy.special.digamma(r)) + np.sum(w * (np.log(alpha) - wA * log_T - wD * log_tx))
        d_a = -self.by_x.sum() * (scipy.special.digamma(a) - scipy.special.digamma(a + b)) + A_by_x @ (scipy.special.digamma(a) - total) + D_by_x @ (scipy.special.digamma(a + 1) - total)
        d_b = -self.by_x.sum() * (scipy.special.digamma(b) - scipy.special.digamma(a + b)) + A_by_x @ (scipy.special.digamma(b + k + m) - total)
        d_b += D_by_x @ np.where(D_by_x > 0, scipy.special.digamma(np.maximum(b + k + m - 1, 1e-12)) - total, 0.0)
        d_0 = w * by_alpha * alpha
        return value, np.array([d_r * r, d_a * a, d_b * b, d_0.sum(), (d_0 * self.entry).sum()])
