"""Fits: what is estimated from everybody at once and stored in `models`, so that scores of single persons rest on a named model.

The lifetime model comes from purchase days; the tiers of value from the values that model gives. Each row says what it was fitted on,
how its back-tests went, and what it may be used for.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from typing import Any, Literal

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kundig.clock import local_day
from kundig.config.understand import VALUES, Axes, Costs
from kundig.schema import step
from kundig.tables.collect import AD_SPEND, ORDERS
from kundig.tables.understand import FEATURES, MODELS
from kundig.tables.unify import IDENTITIES
from kundig.understand import acquisition
from kundig.understand.lifetime_value.estimate import LifetimeValue, estimate
from kundig.understand.lifetime_value.fitted import Fitted
from kundig.understand.lifetime_value.groups import tested
from kundig.understand.lifetime_value.histories import day_number, purchase_days
from kundig.understand.purchases import daily, of_persons, standing
from kundig.understand.valuation import buyers, numbers, valued

LIFETIME = "lifetime_value"
TIERS = "segment_tiers"
MOST_PERSONS = 1_000_000
"""Persons the purchase process is fitted on: beyond that, an even share of them is taken, and standard errors are small anyway."""


@step(reads=(ORDERS, IDENTITIES, FEATURES), writes=MODELS, kind="fit")
def lifetime_model(
    orders: ir.Table, identities: ir.Table, features: ir.Table, *, as_of: dt.datetime, zone: str,
    lifetime_model: Literal["auto", "bg_nbd", "mbg_nbd", "pareto_nbd", "season"] = "auto", lifetime_groups: Literal["none", "acquisition_channel"] = "none",
) -> pa.Table:  # fmt: skip
    """The model of purchases and spend, with its back-tests and verdict; where groups are asked for and back-tests prefer them, with a process for each."""
    days = daily(of_persons(standing(orders), identities))
    persons = int(days.person_key.nunique().to_pyarrow().as_py() or 0)
    stride = -(-persons // MOST_PERSONS)
    if stride > 1:
        days = days.filter(days.person_key % stride == 0)
    rows = days.select("person_key", day=days.local_day, net=days.net.cast("float64")).to_pyarrow()
    day = rows["day"].cast(pa.date32()).cast(pa.int32()).to_numpy().astype(np.int64)
    histories = purchase_days(rows["person_key"].combine_chunks(), day, rows["net"].to_numpy())
    found = estimate(histories, day_number(local_day(as_of, zone)), lifetime_model)
    if lifetime_groups == "none":
        return model_row(LIFETIME, found.fitted.to_json(), as_of=as_of, **_told(found, {}))
    labels = features.filter(features.purchase_days > 0).select("person_key", label=features[lifetime_groups]).to_pyarrow()
    grouped = tested(found.fitted, histories, labels["person_key"].combine_chunks(), labels["label"].combine_chunks(), by=lifetime_groups)
    return model_row(LIFETIME, grouped.fitted.to_json(), as_of=as_of, **_told(found, {"groups": grouped.as_dict()}))


def _told(found: LifetimeValue, more: dict[str, Any]) -> dict[str, Any]:
    histories = found.histories
    holdout = {
        "model": found.model, "checks": [check.as_dict() for check in found.checks],
        "rivals": {name: [check.as_dict() for check in checks] for name, checks in found.rivals.items()},
        "total_shock": found.fitted.shock, "would_change": found.verdict.change,
    } | more  # fmt: skip
    inputs = {
        "persons": len(histories), "purchase_days": len(histories.day), "first_day": int(histories.day.min(initial=0)), "last_day": found.fitted.end,
        "standard_errors": found.standard_errors, "parameters": found.parameters,
    }  # fmt: skip
    return {
        "observations": len(histories), "log_likelihood": found.log_likelihood, "verdict": found.verdict.level, "reason": found.verdict.reason,
        "holdout": json.dumps(holdout, sort_keys=True), "inputs": json.dumps(inputs, sort_keys=True),
    }  # fmt: skip


@step(reads=(AD_SPEND, FEATURES), writes=MODELS, kind="fit")
def acquisition_cost(ad_spend: ir.Table, features: ir.Table, *, as_of: dt.datetime, zone: str) -> pa.Table:
    """What a new customer of each channel and month cost in advertising."""
    spend = ad_spend.filter(ad_spend.channel.notnull()).group_by("channel", "local_day").aggregate(amount=ad_spend.amount.cast("float64").sum()).to_pyarrow()
    customers = features.filter(((features.purchase_days > 0) | (features.subscriptions > 0)) & features.acquisition_channel.notnull())
    rows = customers.select("acquisition_channel", "first_order_day", first_fact_at=ibis.ifelse(customers.first_order_day.isnull(), customers.first_fact_at, ibis.null("timestamp('UTC', 6)")))
    won = rows.group_by("acquisition_channel", "first_order_day", "first_fact_at").aggregate(persons=rows.count()).to_pyarrow()
    months = acquisition.months_of(won, zone).to_pylist()
    spent = [(row["channel"], 12 * row["local_day"].year + row["local_day"].month - 1, row["amount"] or 0.0) for row in spend.to_pylist()]
    arrived = [(row["acquisition_channel"], month, row["persons"]) for row, month in zip(won.to_pylist(), months, strict=True) if month is not None]
    found = acquisition.rates(spent, arrived)
    persons = int(pc.sum(won["persons"]).as_py() or 0)
    told = f"{len(found['channels'])} channels with spend" if spent else "no advertising spend has landed"
    inputs = json.dumps({"persons": persons, "spent": round(sum(amount for _, _, amount in spent), 2)}, sort_keys=True)
    parameters = json.dumps(found, sort_keys=True)
    return model_row(acquisition.ACQUISITION, parameters, as_of=as_of, observations=persons, log_likelihood=None, verdict="usable" if spent else "not_usable", reason=told, holdout="{}", inputs=inputs)


@step(reads=(FEATURES, MODELS), writes=MODELS, kind="fit")
def segment_tiers(
    features: pa.Table, models: pa.Table, *, as_of: dt.datetime, zone: str, axes: Axes, costs: Costs, horizon_months: int = 12, discount_rate: float = 0.1
) -> pa.Table:
    """Where the tiers of value begin: the quantiles of all buyers now, or the amounts that segments/axes.yaml names.

    Quantiles are taken once per refit and kept: a person changes tier because the person's value changed, not because others' did.
    """
    axis = axes.value
    starts = [tier.start for tier in axis.tiers[1:] if tier.start is not None]
    bought = buyers(features)
    bounds: list[float | None] = list(starts)
    if axis.method == "quantiles":
        if axis.measure in VALUES:
            values = valued(bought, model_named(models, LIFETIME), as_of=as_of, zone=zone, costs=costs, horizon_months=horizon_months, discount_rate=discount_rate)
            values |= won_for(values["expected_value"], acquisition.costs_of(bought, acquisition.newest(models), zone))
            amounts = np.asarray(values[axis.measure])
        else:
            amounts = numbers(bought, axis.measure)
        amounts = amounts[np.isfinite(amounts)]
        bounds = [round(float(q), 4) for q in np.quantile(amounts, starts)] if len(amounts) and starts else [None] * len(starts)
    parameters = json.dumps({"measure": axis.measure, "bounds": bounds}, sort_keys=True)
    verdict = "usable" if bought.num_rows >= 20 * len(axis.tiers) or axis.method == "thresholds" else "weak"
    reason = f"{bought.num_rows} buyers" if axis.method == "quantiles" else "amounts of segments/axes.yaml"
    inputs = json.dumps({"persons": bought.num_rows})
    return model_row(TIERS, parameters, as_of=as_of, observations=bought.num_rows, log_likelihood=None, verdict=verdict, reason=reason, holdout="{}", inputs=inputs)


def won_for(value: np.ndarray, cost: np.ndarray) -> dict[str, np.ndarray]:
    """The columns about what winning persons cost, whose expected value this is."""
    return {"acquisition_cost": cost, "value_less_acquisition": value - cost}


def model_row(name: str, parameters: str, *, as_of: dt.datetime, **told: Any) -> pa.Table:
    """One row of `models`; its version is a hash of what was fitted and when."""
    version = hashlib.sha256(f"{name}\n{as_of.isoformat()}\n{parameters}".encode()).hexdigest()[:16]
    row = {"model": name, "version": version, "fitted_at": as_of, "parameters": parameters} | told
    types = {"fitted_at": pa.timestamp("us", "UTC"), "observations": pa.int64(), "log_likelihood": pa.float64()}
    return pa.table({column: pa.array([row[column]], types.get(column, pa.string())) for column in MODELS.names})


def model_named(models: pa.Table, name: str) -> tuple[Fitted, str, str] | None:
    """The newest lifetime model of that name, its version and its verdict; None where nothing was fitted yet."""
    rows = [row for row in models.to_pylist() if row["model"] == name]
    if not rows:
        return None
    newest = max(rows, key=lambda row: (row["fitted_at"], row["version"]))
    return Fitted.from_json(newest["parameters"]), str(newest["version"]), str(newest["verdict"])
