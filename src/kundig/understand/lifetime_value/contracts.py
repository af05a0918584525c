"""Contracts: whether a customer renews is seen, so only how long contracts last is to be estimated (shifted beta-geometric; Fader, Hardie 2007).

At each renewal a customer leaves with a personal probability that is beta (α, β) over persons. Leaving with those who leave easily, the
rest look ever more loyal, without anyone having changed. All that is needed of the persons is how many left, and how many are still
there, after each number of renewals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import scipy

from kundig.errors import EstimateError
from kundig.understand.lifetime_value.descent import axes, covariance_at, least
from kundig.understand.lifetime_value.fitted import WIDE, Z90
from kundig.understand.lifetime_value.histories import Histories, Summary
from kundig.understand.lifetime_value.holdout import FEW_PERSONS, FEW_REPEATS, GOOD, POOR, Verdict
from kundig.understand.lifetime_value.process import BOUND, Floats, Ints

PERIODS = (7.0, 14.0, 365.25 / 12, 365.25 / 4, 365.25 / 2, 365.25)
"""What contracts run for, in days."""
LATE = 1.5
"""Periods after the last payment at which a customer counts as gone."""


@dataclass(frozen=True, kw_only=True)
class Renewing:
    """Fitted (log α, log β) of the probability of leaving at a renewal, and their covariance."""

    z: Floats
    covariance: Floats
    log_likelihood: float

    def survival(self, renewals: Floats, z: Floats | None = None) -> Floats:
        """Share of contracts that last through so many renewals.

        Examples:
            >>> Renewing(z=np.log([1.0, 1.0]), covariance=np.eye(2), log_likelihood=0.0).survival(np.array([0, 1, 3])).round(6).tolist()
            [1.0, 0.5, 0.25]
        """
        a, b = np.exp(self.z if z is None else z)
        return np.asarray(np.exp(scipy.special.betaln(a, b + renewals) - scipy.special.betaln(a, b)))


def fit_renewals(left: Floats, stay: Floats) -> Renewing:
    """The probabilities of leaving with the greatest likelihood.

    Args:
        left: Contracts that ended at their first, second, … renewal.
        stay: Contracts that run and have been renewed 0, 1, 2, … times.
    """
    t, n = np.arange(1, len(left) + 1), np.arange(len(stay))
    total = max(float(left.sum() + stay[1:].sum()), 1e-300)

    def likelihood(z: Floats) -> tuple[float, Floats]:
        a, b = np.exp(z)
        value = float(left @ scipy.special.betaln(a + 1, b + t - 1) + stay @ scipy.special.betaln(a, b + n) - (left.sum() + stay.sum()) * scipy.special.betaln(a, b))
        end, run, all_ = scipy.special.digamma(a + b + t), scipy.special.digamma(a + b + n), (left.sum() + stay.sum())
        d_a = left @ (scipy.special.digamma(a + 1) - end) + stay @ (scipy.special.digamma(a) - run) - all_ * (scipy.special.digamma(a) - scipy.special.digamma(a + b))
        d_b = left @ (scipy.special.digamma(b + t - 1) - end) + stay @ (scipy.special.digamma(b + n) - run) - all_ * (scipy.special.digamma(b) - scipy.special.digamma(a + b))
        return value, np.array([d_a * a, d_b * b])

    def objective(z: Floats) -> tuple[float, Floats]:
        value, gradient = likelihood(z)
        return -value / total, -gradient / total

    z = least(objective, [np.log([0.7, 2.0]), np.log([3.0, 20.0])], [(-BOUND, BOUND)] * 2)
    return Renewing(z=z, covariance=covariance_at(lambda point: -likelihood(point)[1], z), log_likelihood=likelihood(z)[0])


@dataclass(frozen=True, kw_only=True)
class ContractValue:
    """A model of contracts and the persons it was fitted on; the same words as a model of purchases has."""

    renewing: Renewing
    histories: Histories
    end: int
    period: float
    verdict: Verdict
    model: Literal["sbg"] = "sbg"

    @property
    def parameters(self) -> dict[str, float]:
        """alpha and beta of the probability of leaving, and the days a contract runs for."""
        alpha, beta = np.exp(self.renewing.z)
        return {"alpha": float(alpha), "beta": float(beta), "period_days": self.period}

    @property
    def standard_errors(self) -> dict[str, float]:
        """Standard errors of alpha and beta, by the delta method."""
        deviations = np.sqrt(np.maximum(np.diag(self.renewing.covariance), 0.0)) * np.exp(self.renewing.z)
        return {"alpha": float(deviations[0]), "beta": float(deviations[1])}

    @property
    def log_likelihood(self) -> float:
        """Log-likelihood of the renewals."""
        return self.renewing.log_likelihood

    def predict(self, horizon: float = 365, *, discount: float = 0.0, margin: float = 1.0) -> pa.Table:
        """What each person is expected to pay within the next `horizon` days; the columns of a model of purchases.

        A payment is worth the mean of the person's payments. `probability_alive` is 1 or 0: whether a contract runs is seen.

        Raises:
            EstimateError: A number is out of its range.
        """
        if not 0 < horizon <= 36_525 or not 0 <= discount < 10:
            raise EstimateError(f"the horizon is {horizon} days and the discount {discount}", at="predict", mend="give days between 1 and 36525 and a yearly rate such as 0.1")
        persons, summary = self.histories.until(self.end)
        renewals, runs = _renewals(summary, self.end, self.period)
        most = int(np.ceil(horizon / self.period)) + 2
        due = summary.last[:, None] + self.period * np.arange(1, most + 1)[None, :]
        within = runs[:, None] & (due <= self.end + horizon)
        worth = (1.0 + discount) ** (-np.maximum(due - self.end, 0.0) / 365.25)
        stays = self._stays(renewals, most) * within
        unit = summary.value * margin
        purchases, earned = stays.sum(axis=1), (stays * worth).sum(axis=1)
        variance = np.zeros(len(persons))
        for axis in axes(self.renewing.covariance):
            up, down = (self._stays(renewals, most, self.renewing.z + sign * axis) * within * worth for sign in (1, -1))
            variance += ((up.sum(axis=1) - down.sum(axis=1)) / 2) ** 2
        spread = np.minimum(np.sqrt(variance) / np.maximum(earned, 1e-12), WIDE)
        # the k-th payment comes with probability stays[k]: quantiles are counts of those above a level
        few, many = (stays > 0.95).sum(axis=1), (stays > 0.05).sum(axis=1)
        paid = np.concatenate([np.zeros((len(persons), 1)), np.cumsum(worth * within, axis=1)], axis=1)
        row = np.arange(len(persons))
        value = earned * unit
        return pa.table(
            {
                "person_id": self.histories.persons.take(pa.array(persons)), "probability_alive": runs.astype(np.float64), "probability_purchase": stays.max(axis=1, initial=0.0),
                "expected_purchases": purchases, "expected_order_value": summary.value, "expected_value": value,
                "expected_value_low": value * np.exp(-Z90 * spread), "expected_value_high": value * np.exp(Z90 * spread),
                "outcome_low": paid[row, few] * unit, "outcome_high": paid[row, many] * unit, "purchases_low": few, "purchases_high": many,
                "value_at_risk": (within * worth).sum(axis=1) * unit - value,
            }
        )  # fmt: skip

    def _stays(self, renewals: Ints, most: int, z: Floats | None = None) -> Floats:
        """Probability of each of the next payments, for contracts that run."""
        after = renewals[:, None] + np.arange(1, most + 1)[None, :]
        return np.asarray(self.renewing.survival(after.astype(np.float64), z) / self.renewing.survival(renewals.astype(np.float64), z)[:, None])


def estimate_contracts(histories: Histories, end: int) -> ContractValue:
    """The model of contracts whose payments these are; the period is the usual gap between payments."""
    period = _period(histories, end)
    _, summary = histories.until(end)
    renewing = _fitted(summary, end, period)
    return ContractValue(renewing=renewing, histories=histories, end=end, period=period, verdict=_verdict(histories, end, period))


def _period(histories: Histories, end: int) -> float:
    kept = histories.day <= end
    person, day = histories.person[kept], histories.day[kept]
    gaps = np.diff(day)[person[1:] == person[:-1]] if len(day) > 1 else np.zeros(0)
    usual = float(np.median(gaps)) if len(gaps) else PERIODS[2]
    return min(PERIODS, key=lambda days: abs(np.log(days / max(usual, 1.0))))


def _renewals(summary: Summary, end: int, period: float) -> tuple[Ints, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """Renewals of each contract, and whether it runs."""
    return summary.count - 1, (end - summary.last) <= LATE * period


def _fitted(summary: Summary, end: int, period: float) -> Renewing:
    renewals, runs = _renewals(summary, end, period)
    most = int(renewals.max(initial=0)) + 1
    stay = np.bincount(renewals[runs], minlength=most).astype(np.float64)
    left = np.bincount(renewals[~runs], minlength=most).astype(np.float64)
    return fit_renewals(left, stay)


def _verdict(histories: Histories, end: int, period: float) -> Verdict:
    """From one back-test: the payments of as many whole periods as fit into a quarter of the history, at least one."""
    persons, summary = histories.until(end)
    repeats = int(np.sum(summary.count - 1))
    if len(persons) < FEW_PERSONS or repeats < FEW_REPEATS:
        needed = f"needs at least {FEW_PERSONS} contracts and {FEW_REPEATS} renewals"
        return Verdict(level="not_usable", reason=f"{len(persons)} contracts with {repeats} renewals are too few", change=needed)
    days = round(period * max(1, int((end - int(summary.first.min())) / 4 / period)))
    cut = end - days
    before, past = histories.until(cut)
    if len(before) < FEW_PERSONS:
        return Verdict(level="weak", reason="the history is too short to test it on the past", change="needs more renewals of the first contracts")
    earlier = ContractValue(renewing=_fitted(past, cut, period), histories=histories, end=cut, period=period, verdict=Verdict(level="weak", reason="", change=""))
    predicted = float(np.sum(earlier.predict(days)["expected_purchases"].to_numpy()))
    actual = float(histories.bought(before, cut, end)[0].sum())
    off = max(0.0, abs(float(np.log((predicted + 1) / (actual + 1)))) - 2.0 / float(np.sqrt(predicted + 1)))
    level: Literal["usable", "weak", "not_usable"] = "not_usable" if off > np.log1p(POOR) else "weak" if off > np.log1p(GOOD) else "usable"
    told = f"fitted {days} days earlier it predicted {predicted:,.0f} payments, {actual:,.0f} came ({predicted / max(actual, 1) - 1:+.0%})"
    return Verdict(level=level, reason=told, change="" if level == "usable" else "a check of what changed then, or of the period that contracts run for")
