"""The purchase process in which customers are lost at a personal rate, whether they buy or not (Pareto/NBD).

Schmittlein, Morrison, Colombo (1987). Purchase rates are gamma (r, α) over persons, rates of loss gamma (s, β). The usual likelihood is a
difference of two Gaussian hypergeometric functions, which cancels where customers bought late; here the time of loss is integrated
over instead, by Gauss-Legendre nodes in the logarithm of time: a sum of positive terms, with exact gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy

from kundig.understand.lifetime_value.cells import numbered
from kundig.understand.lifetime_value.counts import MOST, Moments
from kundig.understand.lifetime_value.process import BOUND, Floats, Ints, Prior, Purchasing, Tuples, greatest

STARTS = [np.log([0.6, 0.6, 10.0, 10.0, 1.0]), np.log([1.0, 2.0, 60.0, 5.0, 1.0])]
NODES, WEIGHTS = (part.astype(np.float64) for part in np.polynomial.legendre.leggauss(32))
"""Of the time of loss in the likelihood: relative errors of 1e-9 within the bounds of the parameters."""
LATER, SHARES = (part.astype(np.float64) for part in np.polynomial.legendre.leggauss(16))
"""Of the time of loss within a horizon."""
FOLDS = 40.0
"""Where the integrand has fallen by so many factors of e, nothing is left of it."""
PRECISION = 1e-12
"""Below which changes of the likelihood are rounding: customers may be lost at a rate that hardly varies, and then the ridge is flat."""
ROWS = 50_000
"""Distinct persons that are worked on at once."""


@dataclass(frozen=True, kw_only=True)
class ParetoNBD(Purchasing):
    """A fitted process: z = (log r, log s, log β of loss, β0, β1)."""

    names: ClassVar[tuple[str, str, str, str]] = ("r", "s", "beta", "alpha")
    timed: ClassVar[tuple[int, ...]] = (2, 3)

    @property
    def name(self) -> str:
        return "pareto_nbd"

    @property
    def s(self) -> float:
        """Shape of the rates of loss."""
        return float(np.exp(self.z[1]))

    @property
    def beta(self) -> float:
        """Scale of the rates of loss."""
        return float(np.exp(self.z[2]))

    def alive(self, x: Ints, tx: Floats, T: Floats, entry: Floats) -> Floats:
        def share(rows: slice) -> Floats:
            living, lost, _ = _terms(self.z, x[rows], tx[rows], T[rows], entry[rows])
            return np.asarray(1.0 / (1.0 + np.exp(np.minimum(_total(lost) - living, 700.0))))

        return _by_rows(share, len(x))

    def lost_at(self, x: Ints, tx: Floats, T: Floats, entry: Floats) -> Floats:
        def mean(rows: slice) -> Floats:
            _, lost, u = _terms(self.z, x[rows], tx[rows], T[rows], entry[rows])
            with np.errstate(invalid="ignore"):  # who had no time to be lost in
                weight = np.exp(lost - _total(lost)[:, None])
            return np.asarray(np.where(T[rows] > tx[rows], np.sum(weight * u, axis=1), tx[rows]))

        return _by_rows(mean, len(x))

    def moments(self, x: Ints, T: Floats, entry: Floats, spans: Floats) -> Moments:
        shape, rate, loss = self.r + x, self.alpha(entry) + T, self.beta + T
        long = np.log1p(spans / loss[:, None])
        living = np.exp(-self.s * long)
        # mean and mean square of the time a person still lives within the span, which is min(Lomax, span)
        once = loss[:, None] * long * scipy.special.exprel((1.0 - self.s) * long)
        twice = 2.0 * loss[:, None] ** 2 * long * (scipy.special.exprel((2.0 - self.s) * long) - scipy.special.exprel((1.0 - self.s) * long))
        mean = (shape / rate)[:, None] * once
        square = mean + (shape * (shape + 1.0) / rate**2)[:, None] * np.maximum(twice, once**2)
        none = np.empty_like(spans)
        for place in range(spans.shape[1]):
            at, weight = self._losses(loss, spans[:, place])
            none[:, place] = np.sum(weight * np.exp(-shape[:, None] * np.log1p(at / rate[:, None])), axis=1)
        return Moments(mean=mean, square=square, living=living, any=1.0 - none)

    def survivals(self, x: Ints, T: Floats, entry: Floats, span: Floats) -> Floats:
        shape, rate = (self.r + x)[:, None], (self.alpha(entry) + T)[:, None]
        at, weight = self._losses(self.beta + T, span)
        log_pmf = -shape * np.log1p(at / rate)
        log_share = np.log(np.maximum(at / (rate + at), 1e-300))
        above, columns = 1.0 - np.exp(log_pmf), []
        for k in range(1, MOST):
            column = np.maximum(np.sum(weight * above, axis=1), 0.0)
            columns.append(column)
            if column.max(initial=0.0) < 1e-4:
                break
            log_pmf = log_pmf + np.log((shape + (k - 1)) / k) + log_share
            above = above - np.exp(log_pmf)
        return np.stack(columns, axis=1)

    def survival(self, x: Ints, T: Floats, entry: Floats, span: Floats, k: Ints) -> Floats:
        k = np.asarray(k)
        at, weight = self._losses(self.beta + T, span)
        share = at / ((self.alpha(entry) + T)[:, None] + at)
        tail = scipy.special.betainc(np.maximum(k, 1)[:, None].astype(np.float64), (self.r + x)[:, None], share)
        return np.where(k <= 0, 1.0, np.sum(weight * tail, axis=1))

    def _losses(self, loss: Floats, span: Floats) -> tuple[Floats, Floats]:
        """Times at which living persons end within a span, and how likely each is; the last is the end of the span, reached alive."""
        stays = np.exp(-self.s * np.log1p(span / loss))
        level = stays[:, None] + (1.0 - stays)[:, None] * (LATER + 1.0) / 2.0
        at = loss[:, None] * np.expm1(np.minimum(-np.log(np.maximum(level, 1e-300)) / self.s, 700.0))
        at = np.minimum(at, span[:, None])
        weight = (1.0 - stays)[:, None] * SHARES / 2.0
        return np.concatenate([at, span[:, None]], axis=1), np.concatenate([weight, stays[:, None]], axis=1)


def fit(tuples: Tuples, *, covariate: bool = False, start: Floats | None = None, prior: Prior | None = None) -> ParetoNBD:
    """The process of greatest likelihood.

    Args:
        tuples: Distinct persons; at least one.
        covariate: Let the purchase rate depend on `entry`; else β1 is 0.
        start: z to start from instead of the two built-in starts.
        prior: What is known of z beforehand.
    """
    found = greatest(Likelihood, tuples, timed=ParetoNBD.timed, starts=STARTS, covariate=covariate, start=start, prior=prior, precision=PRECISION)
    return ParetoNBD(z=found.z, covariance=found.covariance, log_likelihood=found.log_likelihood, converged=found.inside)


class Likelihood:
    """Log-likelihood of z in scaled time, with its gradient."""

    def __init__(self, tuples: Tuples, scale: float = 1.0) -> None:
        self.x, self.w, self.entry = tuples.x, tuples.weight, tuples.entry
        self.tx, self.T = tuples.tx / scale, tuples.T / scale
        self.counts = numbered(tuples.x[None, :])[0][0]
        self.by_x = np.bincount(numbered(tuples.x[None, :])[1], self.w)

    def __call__(self, z: Floats) -> tuple[float, Floats]:
        r = float(np.exp(z[0]))
        value, gradient = 0.0, np.zeros(len(z))
        for begin in range(0, len(self.x), ROWS):
            part, slope = self._part(z, slice(begin, begin + ROWS))
            value, gradient = value + part, gradient + slope
        value += float(self.by_x @ (scipy.special.gammaln(r + self.counts) - scipy.special.gammaln(r)))
        gradient[0] += r * float(self.by_x @ (scipy.special.digamma(r + self.counts) - scipy.special.digamma(r)))
        return value, gradient

    def _part(self, z: Floats, rows: slice) -> tuple[float, Floats]:
        r, s, b = np.exp(z[:3])
        x, tx, T, w, entry = self.x[rows], self.tx[rows], self.T[rows], self.w[rows], self.entry[rows]
        alpha = _alpha(z, entry)
        living, lost, u = _terms(z, x, tx, T, entry)
        both = np.logaddexp(living, _total(lost))
        stays, goes = np.exp(living - both), np.exp(lost - both[:, None])
        left = np.sum(goes, axis=1)
        value = float(np.sum(w * (r * np.log(alpha) + both)))
        rated, faded = alpha[:, None] + u, b + u
        d_r = np.log(alpha) - stays * np.log(alpha + T) - np.sum(goes * np.log(rated), axis=1)
        d_alpha = r / alpha - (r + x) * (stays / (alpha + T) + np.sum(goes / rated, axis=1))
        log_faded = np.sum(goes * np.log(faded), axis=1)
        d_s = np.log(b) - stays * np.log(b + T) - log_faded + left / s
        d_b = s / b - s * stays / (b + T) - (s + 1.0) * np.sum(goes / faded, axis=1)
        by_0 = w * d_alpha * alpha
        return value, np.array([np.sum(w * d_r) * r, np.sum(w * d_s) * s, np.sum(w * d_b) * b, by_0.sum(), (by_0 * entry).sum()])


def _alpha(z: Floats, entry: Floats) -> Floats:
    return np.asarray(np.exp(np.clip(z[3] + z[4] * entry, -2 * BOUND, 2 * BOUND)))


def _terms(z: Floats, x: Ints, tx: Floats, T: Floats, entry: Floats) -> tuple[Floats, Floats, Floats]:
    """Log of the likelihood of living (less what both share), logs of the parts of being lost at each node, and the nodes' times."""
    r, s, b = np.exp(z[:3])
    alpha = _alpha(z, entry)
    count = r + x
    living = -count * np.log(alpha + T) - s * np.log1p(T / b)
    small = np.minimum(alpha, b)
    # in the logarithm of time; what lies so late that nothing is left of the integrand is cut off
    until = np.minimum(T, tx + (alpha + tx) * np.expm1(np.minimum(FOLDS / count, 700.0)))
    low, high = np.log(small + tx), np.log(small + until)
    half = (high - low) / 2.0
    u = (small + tx)[:, None] * np.exp(half[:, None] * (NODES + 1.0)) - small[:, None]
    u = np.clip(u, tx[:, None], T[:, None])
    with np.errstate(divide="ignore"):
        measure = np.log(half)[:, None] + np.log(WEIGHTS) + np.log(small[:, None] + u)
    lost = np.log(s) - np.log(b) - count[:, None] * np.log(alpha[:, None] + u) - (s + 1.0) * np.log1p(u / b) + measure
    return living, lost, u


def _total(lost: Floats) -> Floats:
    """Log of a row's sum; minus infinity where there was no time to be lost in."""
    most = np.max(lost, axis=1)
    safe = np.where(np.isfinite(most), most, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(safe + np.log(np.sum(np.exp(lost - safe[:, None]), axis=1)))


def _by_rows(work: Callable[[slice], Floats], size: int) -> Floats:
    if size <= ROWS:
        return work(slice(None))
    return np.concatenate([work(slice(begin, begin + ROWS)) for begin in range(0, size, ROWS)])
