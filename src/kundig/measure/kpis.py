"""KPIs of the four layers: one row a KPI, month and split; what cannot be known is null with its reason, never zero."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa

from kundig import hooks
from kundig.clock import local_day
from kundig.config.measure import Metric
from kundig.measure.measures import MEASURES, Measure
from kundig.measure.sources import Sources
from kundig.schema import step
from kundig.tables.collect import AD_SPEND, CAMPAIGN_MESSAGES, EVENTS, ORDERS, REFERRALS, SESSIONS, SUBSCRIPTIONS, SURVEY_ANSWERS
from kundig.tables.measure import EXPERIMENT_RESULTS, KPIS
from kundig.tables.understand import FEATURES, LIFECYCLE_STATES, LIFETIME_VALUES, SEGMENT_MEMBERS
from kundig.tables.unify import IDENTITIES, PERSON_DAYS, PROFILES

_FIELDS = pa.schema(
    [
        ("kpi", pa.string()), ("layer", pa.string()), ("period", pa.string()), ("period_start", pa.date32()), ("dimension", pa.string()), ("member", pa.string()),
        ("value", pa.float64()), ("low", pa.float64()), ("high", pa.float64()), ("numerator", pa.float64()), ("denominator", pa.float64()), ("unit", pa.string()),
        ("reason", pa.string()), ("basis", pa.string()),
    ]
)  # fmt: skip
Z90 = 1.6448536269514722
"""Quantile of the standard normal for a central interval of 90 %."""


@step(
    reads=(
        ORDERS, EVENTS, SESSIONS, CAMPAIGN_MESSAGES, AD_SPEND, SUBSCRIPTIONS, SURVEY_ANSWERS, REFERRALS, IDENTITIES, PROFILES, PERSON_DAYS, FEATURES,
        LIFECYCLE_STATES, LIFETIME_VALUES, SEGMENT_MEMBERS, EXPERIMENT_RESULTS,
    ),
    writes=KPIS, kind="array", bound=0,
)  # fmt: skip
def kpis(
    orders: ir.Table, events: ir.Table, sessions: ir.Table, campaign_messages: ir.Table, ad_spend: ir.Table, subscriptions: ir.Table, survey_answers: ir.Table,
    referrals: ir.Table, identities: ir.Table, profiles: ir.Table, person_days: ir.Table, features: ir.Table, lifecycle_states: ir.Table,
    lifetime_values: ir.Table, segment_members: ir.Table, experiment_results: ir.Table, *, as_of: dt.datetime, zone: str, metrics: Mapping[str, Metric],
) -> pa.Table:  # fmt: skip
    """Every KPI by local month, in all and by its splits.

    Only aggregates leave the engine, so memory does not grow with persons. Which measures are computed, and in which layer they
    stand, is said by metrics/*.yaml; without such files all built-in ones are. A share's interval is Wilson's at 90 %.
    """
    tables = {
        "orders": orders, "events": events, "sessions": sessions, "campaign_messages": campaign_messages, "ad_spend": ad_spend, "subscriptions": subscriptions,
        "survey_answers": survey_answers, "referrals": referrals, "identities": identities, "profiles": profiles, "person_days": person_days, "features": features,
        "lifecycle_states": lifecycle_states, "lifetime_values": lifetime_values, "segment_members": segment_members, "experiment_results": experiment_results,
    }  # fmt: skip
    sources = Sources(tables=tables, as_of=as_of, zone=zone)
    built_in = {measure.name: measure for measure in known_measures()}
    wanted = [(name, built_in[metric.measure], metric.layer) for name, metric in sorted(metrics.items()) if metric.measure in built_in] or [
        (measure.name, measure, None) for measure in built_in.values()
    ]
    rows = [row for name, measure, layer in wanted for row in _rows(name, measure, layer or measure.layer, sources, lifetime_values)]
    return pa.Table.from_pylist(rows, schema=_FIELDS)


def known_measures() -> tuple[Measure, ...]:
    """The measures that are registered at the extension point `kpis`: the built-in ones and those of plugins, by name."""
    registered = hooks.load("kpis") or {"built_in": MEASURES}
    found = {measure.name: measure for collection in registered.values() for measure in collection}
    return tuple(found.values())


def _rows(name: str, measure: Measure, layer: str, sources: Sources, values: ir.Table) -> list[dict[str, Any]]:
    common = {"kpi": name, "layer": layer, "period": "month", "unit": measure.unit, "basis": measure.basis}
    month = local_day(sources.as_of, sources.zone).replace(day=1)
    missing = [table for table in measure.needs if sources.empty(table)]
    if measure.body is None or missing:
        reason = "source_missing" if measure.body is not None else measure.absent
        return [common | _null(month, reason) | {"basis": f"{measure.basis} (without: {', '.join(missing or measure.needs)})"}]
    found = sorted(measure.body(sources).to_pyarrow().to_pylist(), key=lambda row: (row["period_start"], row["dimension"], row["member"]))
    if not found:
        return [common | _null(month, "no_rows")]
    bounds = _mean_bounds(values) if measure.interval == "given" else {}
    return [common | _valued(row, measure, bounds) for row in found if row["period_start"] is not None]


def _null(month: dt.date, reason: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("value", "low", "high", "numerator", "denominator"))
    return {"period_start": month, "dimension": "", "member": "", "reason": reason} | nothing


def _valued(row: dict[str, Any], measure: Measure, bounds: Mapping[str, float]) -> dict[str, Any]:
    above, below = row["numerator"], row["denominator"]
    place = {name: row[name] for name in ("period_start", "dimension", "member")}
    counted = place | {"numerator": above, "denominator": below, "low": None, "high": None}
    divided = measure.unit in ("share", "ratio", "days") or measure.name in ("clv", "cac", "cost_per_activation")
    if not divided:
        return counted | {"value": above, "reason": ""}
    if not below or above is None:
        return counted | {"value": None, "reason": "no_denominator"}
    value = above / below
    low: float | None = None
    high: float | None = None
    if measure.interval == "share":
        low, high = wilson(above, below)
    elif measure.interval == "given" and row["dimension"] == "" and bounds:
        low, high = bounds["low"], bounds["high"]
    return counted | {"value": value, "low": low, "high": high, "reason": ""}


def _mean_bounds(values: ir.Table) -> dict[str, float]:
    means = values.aggregate(low=values.expected_value_low.cast("float64").mean(), high=values.expected_value_high.cast("float64").mean()).to_pyarrow().to_pylist()[0]
    return {name: float(value) for name, value in means.items() if value is not None} if all(v is not None for v in means.values()) else {}


def wilson(successes: float, trials: float, z: float = Z90) -> tuple[float, float]:
    """Wilson's central interval of a share (Wilson 1927); stays within 0 and 1, and does not collapse at either.

    Examples:
        >>> [round(bound, 4) for bound in wilson(0, 10)]
        [0.0, 0.2129]
    """
    share = min(1.0, successes / trials)
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    low = 0.0 if successes <= 0 else max(0.0, centre - half)
    return low, 1.0 if share >= 1 else min(1.0, centre + half)
