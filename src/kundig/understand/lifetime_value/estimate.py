"""Lifetime value as a library: fit a model on orders, ask for its verdict, and predict each person's purchases and value."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, overload

import numpy as np
import pyarrow as pa

from kundig.errors import EstimateError, nearest
from kundig.understand.lifetime_value import choice, gamma_gamma, holdout, season
from kundig.understand.lifetime_value.bg_nbd import BetaGeometric
from kundig.understand.lifetime_value.contracts import ContractValue, estimate_contracts
from kundig.understand.lifetime_value.fitted import Z90, Fitted, Scores, Terms
from kundig.understand.lifetime_value.groups import Groups, grouped
from kundig.understand.lifetime_value.habits import habits
from kundig.understand.lifetime_value.histories import Histories, Summary, day_number, labels_of, read
from kundig.understand.lifetime_value.holdout import Check, Counting, Verdict
from kundig.understand.lifetime_value.kinds import Kind
from kundig.understand.lifetime_value.process import Floats, Ints

MODELS = ("auto", "bg_nbd", "mbg_nbd", "pareto_nbd", "season", "sbg")
UNITS = {"day": 1.0, "week": 7.0}


@dataclass(frozen=True, kw_only=True)
class Total:
    """What all persons together are expected to bring, and the interval the actual total lies in nine times of ten."""

    expected: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class LifetimeValue:
    """A fitted model and the persons it was fitted on.

    `parameters` and `standard_errors` are in the time unit asked for. The season clock is in `clock`: the relative speed of each week of
    the year, and the decay with age.
    """

    fitted: Fitted
    histories: Histories
    verdict: Verdict
    checks: tuple[Check, ...]
    rivals: dict[str, tuple[Check, ...]]
    time_unit: Literal["day", "week"]
    groups: Groups | None = None

    @cached_property
    def _present(self) -> tuple[Ints, Summary]:
        return self.histories.until(self.fitted.end)

    @property
    def model(self) -> Kind:
        """The model in use; with "auto", the one chosen."""
        return self.fitted.kind

    @property
    def clock(self) -> season.Clock:
        """How fast the model's time runs."""
        return self.fitted.clock

    @property
    def parameters(self) -> dict[str, float]:
        """Parameters by name: r, alpha, a, b of purchases (alpha of those seen on the first day, with `entry` its change), p, q, gamma of spend."""
        process, spending = self.fitted.process, self.fitted.spending
        found = process.parameters(self._unit)
        if self.model == "season":
            found |= {"entry": float(process.z[4]), "decay": self.clock.decay}
        return found | {"p": spending.p, "q": spending.q, "gamma": spending.gamma}

    @property
    def standard_errors(self) -> dict[str, float]:
        """Standard errors of the parameters, from the curvature of the likelihood."""
        found = self.fitted.process.standard_errors(self._unit)
        if self.model == "season":
            found["entry"] = float(np.sqrt(self.fitted.process.covariance[4, 4]))
        return {name: float(value) for name, value in (found | gamma_gamma.standard_errors(self.fitted.spending)).items()}

    @property
    def log_likelihood(self) -> float:
        """Log-likelihood of the purchases, in the time unit asked for (the season model's in its own clock)."""
        _, summary = self._present
        return self.fitted.process.log_likelihood - float(np.sum(summary.count - 1)) * float(np.log(self._unit))

    @property
    def spend_log_likelihood(self) -> float:
        """Log-likelihood of the spend."""
        return self.fitted.spending.log_likelihood

    @property
    def _unit(self) -> float:
        return 7.0 / UNITS[self.time_unit]

    def predict(self, horizon: float = 365, *, discount: float = 0.0, margin: float = 1.0, cost_per_order: float = 0.0, cost_per_month: float = 0.0) -> pa.Table:
        """What each person is expected to do within the next `horizon` days.

        Value is Σ over months t of (purchases · (value · margin - cost_per_order) - cost_per_month while the person lives) / (1 + discount)^(t / 12).
        `expected_value_low` and `_high` are the 90 % interval of the expected value: the parameters' doubt alone. `outcome_low` and `_high`
        are that of what the person in fact brings, and `purchases_low` and `_high` of the purchases in fact made. `next_purchase_at` is the day by
        whose end the person, if living, has bought again with a probability of one half; where it is null, `next_purchase_reason` says why:
        `rather_gone` (probability alive below one half) or `beyond_horizon`.

        Raises:
            EstimateError: A number is out of its range.
        """
        scores = self._scores(horizon, discount, margin, cost_per_order, cost_per_month)
        persons, _ = self._present
        columns: dict[str, Any] = {
            "person_id": self.histories.persons.take(pa.array(persons)), "probability_alive": scores.alive, "probability_purchase": scores.any,
            "expected_purchases": scores.purchases, "expected_order_value": scores.order_value, "expected_value": scores.value,
            "expected_value_low": scores.value_low, "expected_value_high": scores.value_high, "outcome_low": scores.outcome_low, "outcome_high": scores.outcome_high,
            "purchases_low": scores.purchases_low, "purchases_high": scores.purchases_high, "value_at_risk": scores.at_risk,
            "next_purchase_at": pa.array(scores.next_day.astype(np.int32), pa.int32(), mask=scores.next_reason != "").cast(pa.date32()),
            "next_purchase_reason": pa.array(scores.next_reason, pa.string(), mask=scores.next_reason == ""),
        }  # fmt: skip
        return pa.table(columns)

    def total(self, horizon: float = 365, *, discount: float = 0.0, margin: float = 1.0, of: Literal["purchases", "value"] = "value") -> Total:
        """The total of all persons with its 90 % interval.

        Persons are not independent: what moves one (a season, a crisis, a price) moves all. So the interval is that of a common shock as
        wide as back-tests were off, beside which the sum of the persons' own chance is small.
        """
        scores = self._scores(horizon, discount, margin, 0.0, 0.0)
        amounts = scores.purchases if of == "purchases" else scores.value
        expected = float(amounts.sum())
        if of == "purchases":
            own = float(np.sqrt(max(expected, 0.0)))
        else:
            own = float(np.sqrt(np.sum(((scores.outcome_high - scores.outcome_low) / (2 * Z90)) ** 2)))
        spread = float(np.hypot(self.fitted.shock, own / max(abs(expected), 1e-9)))
        return Total(expected=expected, low=expected * float(np.exp(-Z90 * spread)), high=expected * float(np.exp(Z90 * spread)))

    def habits(self) -> pa.Table:
        """How each person buys: usual gap, its regularity, spread of spend, and the expected date of the next purchase; see `habits.habits`."""
        return habits(self.histories, self.fitted)

    def count_survival(self, k: Ints, horizon: float) -> Floats:
        """P(at least k purchases within the horizon), person by person: for checking intervals against what came."""
        return self.fitted.count_survival(self._present[1], end=self.fitted.end, horizon=horizon, k=k)

    def unseen_days(self, horizon: int) -> int:
        """Days of the horizon that lie in weeks of the year the season clock has never seen; 0 for an even clock."""
        return self.clock.unseen(self.fitted.end, self.fitted.end + horizon)

    def _scores(self, horizon: float, discount: float, margin: float, cost_per_order: float, cost_per_month: float) -> Scores:
        if not 0 < horizon <= 36_525:
            raise EstimateError(f"the horizon is {horizon} days", at="predict", mend="give days between 1 and 36525")
        if not 0 <= discount < 10:
            raise EstimateError(f"the discount is {discount} a year", at="predict", mend="give a yearly rate such as 0.1")
        terms = Terms(share=margin, order=cost_per_order, month=cost_per_month, discount=discount)
        persons, summary = self._present
        if self.groups is not None:
            return self.groups.scores(persons, summary, end=self.fitted.end, horizon=horizon, terms=terms)
        return self.fitted.score(summary, end=self.fitted.end, horizon=horizon, terms=terms)


@overload
def fit(
    orders: Any, model: Literal["sbg"], *, as_of: dt.datetime | dt.date | None = None, time_unit: Literal["day", "week"] = "week", zone: str = "UTC", count_free: bool = False
) -> ContractValue: ...
@overload
def fit(
    orders: Any, model: str = "auto", *, as_of: dt.datetime | dt.date | None = None, time_unit: Literal["day", "week"] = "week", zone: str = "UTC", count_free: bool = False,
    group: str | None = None,
) -> LifetimeValue: ...  # fmt: skip
def fit(
    orders: Any,
    model: str = "auto",
    *,
    as_of: dt.datetime | dt.date | None = None,
    time_unit: Literal["day", "week"] = "week",
    zone: str = "UTC",
    count_free: bool = False,
    group: str | None = None,
) -> LifetimeValue | ContractValue:
    """The lifetime-value model of a data frame, Arrow or Ibis table with `person_id`, `ordered_at` and `value`.

    Rows of one person and day are one purchase; days whose values do not sum above zero are none (with `count_free`, days of zero count).
    "auto" fits every model of repeat purchases, on an even clock and on that of the season, and takes the one that back-tests prefer. Nothing is refused for being little:
    the verdict says what the numbers are good for.

    Args:
        orders: One row an order (or line); value is what its purchases are worth, net.
        model: "bg_nbd", "mbg_nbd", "pareto_nbd", "season" or "auto" for purchases; "sbg" where each row is a payment of a running contract.
        as_of: What was known then; the day of the last order where not given. A date counts to its end.
        time_unit: Unit of `parameters`.
        zone: Zone whose days count, for moments that know theirs.
        count_free: Whether a day with a sum of zero is a purchase.
        group: A column such as the channel of acquisition: its groups get parameters of their own, drawn to everybody's where they are small.

    Raises:
        EstimateError: A column is missing or cannot be read, currencies are mixed, or the model's name is unknown.

    Examples:
        >>> import datetime as dt
        >>> orders = pa.table({"person_id": ["a", "a", "b"], "ordered_at": [dt.date(2026, 1, 1), dt.date(2026, 2, 1), dt.date(2026, 2, 9)], "value": [10.0, 12.0, 9.0]})
        >>> found = fit(orders, as_of=dt.date(2026, 3, 1))
        >>> found.verdict.level, found.predict(horizon=90).num_rows
        ('not_usable', 2)
    """
    if model not in MODELS:
        raise EstimateError(f"there is no model '{model}'", at="model", mend=nearest(model, MODELS))
    if time_unit not in UNITS:
        raise EstimateError(f"the time unit is '{time_unit}'", at="time_unit", mend=nearest(time_unit, UNITS))
    histories, end = read(orders, zone=zone, as_of=as_of, count_free=count_free)
    if model == "sbg":
        return estimate_contracts(histories, end)
    found = estimate(histories, end, model, time_unit=time_unit)
    return found if group is None else replace(found, groups=grouped(found.fitted, histories, labels_of(orders, group), by=group))


def estimate(histories: Histories, end: int, model: str, *, time_unit: Literal["day", "week"] = "week") -> LifetimeValue:
    """The model of histories that end on a day; back-tests and the season clock rest on at most 100,000 persons."""
    sample = histories.sample(holdout.SAMPLE)
    kind, tests = choice.chosen(sample, end, model)
    persons, summary = histories.until(end)
    if len(summary) == 0:
        counting = Counting(kind="bg_nbd", clock=season.even(end), process=_nobody())
        tests = {"bg_nbd": []}
        kind = "bg_nbd"
    else:
        counting = holdout.counting(kind, sample if kind == "season" else histories, end)
    checks = tests[kind]
    drift = holdout.calendar_drift(counting, sample, end) if kind != "season" and len(summary) else 0.0
    repeats = int(np.sum(summary.count - 1))
    days = end - int(summary.first.min()) if len(summary) else 0
    verdict = holdout.judged(kind, checks, persons=len(persons), repeats=repeats, days=days, drift=drift, clock=counting.clock)
    shock = float(np.hypot(holdout.shock(checks), drift if verdict.level != "usable" else 0.0))
    fitted = Fitted(kind=kind, clock=counting.clock, process=counting.process, spending=holdout.spending_of(summary), end=end, shock=shock)
    rivals = {name: tuple(found) for name, found in tests.items() if name != kind}
    return LifetimeValue(fitted=fitted, histories=histories, verdict=verdict, checks=tuple(checks), rivals=rivals, time_unit=time_unit)


def _nobody() -> BetaGeometric:
    return BetaGeometric(z=np.log(np.array([0.6, 0.8, 2.5, 5.0, 1.0])), covariance=np.eye(5), log_likelihood=0.0, modified=False, converged=False)


__all__ = ["LifetimeValue", "Total", "day_number", "estimate", "fit"]
