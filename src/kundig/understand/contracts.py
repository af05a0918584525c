"""Contracts in a workspace: a model of renewals from `subscriptions`, and what each person's running contracts are expected to bring.

Whether a contract runs is seen, so the shifted beta-geometric (Fader, Hardie 2007) asks only how many renewals it lasts. Contracts of each
length have a model of their own where there are enough of them: who may leave each month leaves otherwise than who may leave once a year.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any, Literal

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from kundig.clock import local_day, micros, midnight
from kundig.config.understand import Costs
from kundig.schema import step
from kundig.store.engines.session import arrow_schema
from kundig.tables.collect import SUBSCRIPTIONS
from kundig.tables.understand import CONTRACT_VALUES, MODELS
from kundig.tables.unify import IDENTITIES
from kundig.understand.lifetime_value.contracts import Renewing, fit_renewals
from kundig.understand.lifetime_value.descent import axes
from kundig.understand.lifetime_value.fitted import MONTH, WIDE, Z90
from kundig.understand.lifetime_value.holdout import FEW_PERSONS, FEW_REPEATS, GOOD, POOR
from kundig.understand.lifetime_value.process import Floats, Ints
from kundig.understand.models import model_row
from kundig.understand.purchases import of_persons

CONTRACTS = "contract_value"
ALL_LENGTHS = 0
"""Stands for contracts of any length."""
DAY = 86_400_000_000
SLACK = 0.1
"""Part of a period by which an end may be late and still be that of the period before: months are not equally long."""
Level = Literal["usable", "weak", "not_usable"]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Contracts by row: the day a first payment fell due, the day they end (infinite: not known to), months of a period."""

    start: Floats
    end: Floats
    months: Ints

    def renewals(self, now: float) -> tuple[Floats, np.ndarray[Any, np.dtype[np.bool_]]]:
        """Renewals until a day or the end known by then, and whether the contract had run without a known end."""
        length = self.months * MONTH
        runs = ~np.isfinite(self.end)
        passed = np.floor((now - self.start) / length + 1e-9)
        lasted = np.ceil((np.where(runs, 0.0, self.end) - self.start) / length - SLACK) - 1.0
        return np.maximum(np.where(runs, passed, lasted), 0.0), runs

    def take(self, rows: np.ndarray[Any, Any]) -> Terms:
        """Some of them."""
        return Terms(start=self.start[rows], end=self.end[rows], months=self.months[rows])


@step(reads=(SUBSCRIPTIONS,), writes=MODELS, kind="fit")
def contract_model(subscriptions: ir.Table, *, as_of: dt.datetime) -> pa.Table:
    """The model of renewals by length of contract, with a back-test and a verdict; no row where there is no contract."""
    rows = subscriptions.select("subscription_id", "started_at", "ended_at", "trial_until", "period_months").to_pyarrow()
    now = micros(as_of) / DAY
    terms = terms_of(rows)
    begun = np.flatnonzero((terms.start <= now) & (terms.end > terms.start))
    if not len(begun):
        return arrow_schema(MODELS).empty_table()
    terms = terms.take(begun)
    fits = fitted(terms, now)
    level, reason, change, check = _verdict(terms, now)
    renewals, runs = terms.renewals(now)
    whole = fits[ALL_LENGTHS]
    parameters = json.dumps({str(months): {"z": one.z.tolist(), "covariance": one.covariance.tolist(), "log_likelihood": one.log_likelihood} for months, one in fits.items()}, sort_keys=True)
    told = {months: _told(one) for months, one in fits.items()}
    inputs = {
        "contracts": len(begun), "running": int(runs.sum()), "renewals": int(renewals.sum()),
        "parameters": {str(months): one[0] for months, one in told.items()}, "standard_errors": {str(months): one[1] for months, one in told.items()},
    }  # fmt: skip
    return model_row(
        CONTRACTS, parameters, as_of=as_of, observations=len(begun), log_likelihood=whole.log_likelihood, verdict=level, reason=reason,
        holdout=json.dumps({"model": "sbg", "contract_check": check, "would_change": change}, sort_keys=True), inputs=json.dumps(inputs, sort_keys=True),
    )  # fmt: skip


def _told(one: Renewing) -> tuple[dict[str, float], dict[str, float]]:
    values = np.exp(one.z)
    errors = np.sqrt(np.maximum(np.diag(one.covariance), 0.0)) * values
    return dict(zip(("alpha", "beta"), values.tolist(), strict=True)), dict(zip(("alpha", "beta"), errors.tolist(), strict=True))


def fitted(terms: Terms, now: float) -> dict[int, Renewing]:
    """Models of renewals by months of a period, those of which there are enough, and of all together under `ALL_LENGTHS`."""
    renewals, runs = terms.renewals(now)
    lengths, sizes = np.unique(terms.months, return_counts=True)
    groups = {ALL_LENGTHS: np.ones(len(renewals), bool)} | {int(length): terms.months == length for length, size in zip(lengths, sizes, strict=True) if size >= FEW_PERSONS}
    found = {}
    for length, mine in groups.items():
        most = int(renewals[mine].max(initial=0)) + 1
        stay, left = (np.bincount(renewals[mine & kind].astype(np.int64), minlength=most).astype(np.float64) for kind in (runs, ~runs))
        found[length] = fit_renewals(left, stay)
    return found


@step(reads=(SUBSCRIPTIONS, IDENTITIES, MODELS), writes=CONTRACT_VALUES, kind="array", by="person_key", bound=2_000)
def contract_values(
    subscriptions: ir.Table, identities: ir.Table, models: pa.Table, *, as_of: dt.datetime, zone: str, costs: Costs, horizon_months: int = 12, discount_rate: float = 0.1
) -> pa.Table:
    """One row per person with a running contract.

    A payment brings its amount less goods, at the rate of costs.yaml, and payment fees. One whose end is known pays until then for certain.
    Of several contracts, values add; so do the bounds, which is exact for the expected value (one model's doubt moves them alike) and
    wide for the outcome.
    """
    mine = of_persons(subscriptions, identities).select("person_key", "subscription_id", "started_at", "ended_at", "trial_until", "period_months", "amount")
    rows = mine.to_pyarrow().sort_by([("person_key", "ascending"), ("subscription_id", "ascending")])
    moment = midnight(local_day(as_of, zone), zone)
    now = micros(moment) / DAY
    terms = terms_of(rows)
    begun = _days(rows, "started_at")
    model = fits_of(models)
    kept = np.flatnonzero((begun < now + 1) & (terms.end > now)) if model is not None else np.zeros(0, np.int64)
    keys = np.asarray(rows["person_key"].to_numpy(), np.int64)[kept]
    amount = np.nan_to_num(np.asarray(rows["amount"].cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64))[kept]
    unit = amount * (1.0 - costs.goods_share - costs.payment_share * (1.0 + costs.tax_share)) - costs.payment_order
    fits, version, verdict = model if model is not None else ({}, "", "")
    worth = valued(fits, terms.take(kept), unit, now=now, horizon_months=horizon_months, discount_rate=discount_rate)
    persons, first = np.unique(keys, return_index=True)
    summed = {name: np.add.reduceat(column, first) if len(first) else np.zeros(0) for name, column in worth.items() if name not in ("next_day", "renewal_probability")}
    next_day = np.minimum.reduceat(worth["next_day"], first) if len(first) else np.zeros(0)
    soonest = worth["next_day"] <= np.repeat(next_day, np.diff(np.append(first, len(keys)))) + 1e-9
    due = np.minimum.reduceat(np.where(soonest, worth["renewal_probability"], 1.0), first) if len(first) else np.zeros(0)
    counts = np.diff(np.append(first, len(keys)))
    at = np.where(np.isfinite(next_day), np.round(np.where(np.isfinite(next_day), next_day, 0.0) * DAY), 0).astype(np.int64)
    size = len(persons)
    columns = {name: pa.array(np.round(column, 9)) for name, column in summed.items()} | {
        "person_key": pa.array(persons), "as_of": pa.repeat(pa.scalar(moment, pa.timestamp("us", "UTC")), size), "model": pa.repeat(f"sbg@{version}", size),
        "contracts": pa.array(counts.astype(np.int64)), "next_renewal_at": pa.array(at, pa.timestamp("us", "UTC"), mask=~np.isfinite(next_day)),
        "renewal_probability": pa.array(np.round(due, 9), mask=~np.isfinite(next_day)), "verdict": pa.repeat(verdict, size),
    }  # fmt: skip
    return pa.table({name: columns[name] for name in CONTRACT_VALUES.names if name != "changed_run"})


def valued(fits: dict[int, Renewing], terms: Terms, unit: Floats, *, now: float, horizon_months: int, discount_rate: float) -> dict[str, Floats]:
    """Columns of `contract_values` by contract; days are since 1970, money is discounted."""
    size, length = len(unit), terms.months * MONTH
    horizon = horizon_months * MONTH
    passed, _ = Terms(start=terms.start, end=np.full(size, np.inf), months=terms.months).renewals(now)
    trial = terms.start >= now + 1  # a first payment of today counts as made, at whatever hour one asks
    most = int(np.ceil(horizon / MONTH / max(int(terms.months.min(initial=1)), 1))) + 1
    step_ = np.arange(1, most + 1)[None, :]
    due = terms.start[:, None] + length[:, None] * (passed[:, None] + step_ - trial[:, None])
    open_end = ~np.isfinite(terms.end)
    within = (due <= now + horizon) & (due < np.where(open_end, np.inf, terms.end - SLACK * length)[:, None])
    paid = within / (1.0 + discount_rate) ** (np.maximum(due - now, 0.0) / 365.25)
    stays, spread = np.ones((size, most)), np.zeros(size)
    for months, one in fits.items():
        mine = np.flatnonzero((terms.months == months) if months else ~np.isin(terms.months, list(fits)))
        after, before = passed[mine, None] + step_, passed[mine]
        certain = ~open_end[mine, None]

        def stay(z: Floats, one: Renewing = one, after: Floats = after, before: Floats = before, certain: Any = certain) -> Floats:
            return np.where(certain, 1.0, one.survival(after, z) / one.survival(before, z)[:, None])

        stays[mine] = stay(one.z)
        variance = sum((((stay(one.z + axis) - stay(one.z - axis)) * paid[mine]).sum(axis=1) / 2) ** 2 for axis in axes(one.covariance))
        spread[mine] = np.minimum(np.sqrt(variance) / np.maximum((stays[mine] * paid[mine]).sum(axis=1), 1e-12), WIDE)
    value = (stays * paid).sum(axis=1) * unit
    low, high = value * np.exp(-Z90 * spread), value * np.exp(Z90 * spread)
    whole = np.concatenate([np.zeros((size, 1)), np.cumsum(paid, axis=1)], axis=1)
    row = np.arange(size)
    bounds = [whole[row, (stays > level).sum(axis=1)] * unit for level in (0.95, 0.05)]
    first = np.where(open_end, due[:, 0], np.inf) if size else np.zeros(0)
    return {
        "expected_payments": (stays * within).sum(axis=1), "expected_months": (stays * paid).sum(axis=1) * terms.months, "expected_value": value,
        "expected_value_low": np.minimum(low, high), "expected_value_high": np.maximum(low, high), "outcome_low": np.minimum(*bounds), "outcome_high": np.maximum(*bounds),
        "value_at_risk": np.maximum(paid.sum(axis=1) * unit - value, 0.0), "next_day": first, "renewal_probability": stays[:, 0],
    }  # fmt: skip


def terms_of(rows: pa.Table) -> Terms:
    """Terms of rows of `subscriptions`; a trial's end is when the first payment falls due."""
    ended = _days(rows, "ended_at")
    months = np.nan_to_num(np.asarray(rows["period_months"].cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64), nan=1.0)
    return Terms(start=np.fmax(_days(rows, "started_at"), _days(rows, "trial_until")), end=np.where(np.isnan(ended), np.inf, ended), months=np.maximum(months, 1.0).astype(np.int64))


def _days(rows: pa.Table, column: str) -> Floats:
    """A column of moments as days since 1970; NaN where there is none."""
    values = rows[column].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float64) / DAY


def fits_of(models: pa.Table) -> tuple[dict[int, Renewing], str, str] | None:
    """The newest models of renewals by length, their version and verdict; None where none was fitted."""
    rows = [row for row in models.to_pylist() if row["model"] == CONTRACTS]
    if not rows:
        return None
    newest = max(rows, key=lambda row: (row["fitted_at"], row["version"]))
    found = {
        int(months): Renewing(z=np.array(one["z"]), covariance=np.array(one["covariance"]), log_likelihood=one["log_likelihood"])
        for months, one in json.loads(newest["parameters"]).items()
    }
    return found, str(newest["version"]), str(newest["verdict"])


def _verdict(terms: Terms, now: float) -> tuple[Level, str, str, dict[str, float] | None]:
    """Level, reason, what would change it, and figures: the renewals of the newest quarter of the history, foretold from what was known before."""
    renewals, _ = terms.renewals(now)
    if len(renewals) < FEW_PERSONS or renewals.sum() < FEW_REPEATS:
        return "not_usable", f"{len(renewals)} contracts with {int(renewals.sum())} renewals are too few", f"needs at least {FEW_PERSONS} contracts and {FEW_REPEATS} renewals", None
    cut = now - (now - float(terms.start.min())) / 4
    known = terms.take(np.flatnonzero(terms.start <= cut))
    past = Terms(start=known.start, end=np.where(known.end <= cut, known.end, np.inf), months=known.months)
    running = np.flatnonzero(~np.isfinite(past.end))
    ahead = past.take(running)
    length = ahead.months * MONTH
    before, after = np.floor((cut - ahead.start) / length + 1e-9), np.floor((now - ahead.start) / length + 1e-9)
    if len(running) < FEW_PERSONS or (after > before).sum() < FEW_REPEATS:
        return "weak", "the history is too short to test it on the past", "needs more renewals of the first contracts", None
    fits = fitted(past, cut)
    predicted = 0.0
    for number in range(1, int((after - before).max()) + 1):
        for months, one in fits.items():
            mine = ((ahead.months == months) if months else ~np.isin(ahead.months, list(fits))) & (before + number <= after)
            predicted += float((one.survival(before[mine] + number) / one.survival(before[mine])).sum())
    until, runs = known.take(running).renewals(now)
    came = float(np.maximum(np.where(runs, after, np.minimum(until, after)) - before, 0.0).sum())
    off = max(0.0, abs(float(np.log((predicted + 1) / (came + 1)))) - 2.0 / float(np.sqrt(predicted + 1)))
    level: Level = "not_usable" if off > np.log1p(POOR) else "weak" if off > np.log1p(GOOD) else "usable"
    days = round(now - cut)
    reason = f"fitted {days} days earlier it predicted {predicted:,.0f} renewals, {came:,.0f} came ({predicted / max(came, 1) - 1:+.0%})"
    return level, reason, "" if level == "usable" else "a check of what changed then, or of the lengths of the contracts", {"days": days, "predicted": predicted, "actual": came}
