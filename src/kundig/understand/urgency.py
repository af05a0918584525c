"""Urgency: whom to turn to first; what may be lost, times how much nearer the loss comes within the next decision window."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa

from kundig.clock import local_day
from kundig.schema import step
from kundig.tables.understand import FEATURES, LIFECYCLE_STATES, LIFETIME_VALUES, MODELS, URGENCY
from kundig.understand.lifetime_value.fitted import MONTH
from kundig.understand.lifetime_value.histories import day_number
from kundig.understand.models import LIFETIME, model_named
from kundig.understand.valuation import buyers, numbers, summary_of

WINDOW_DAYS = 14
"""The decision window: how long one may wait before deciding anew."""
HIGH_VALUE = 0.8
"""Quantile of the value at stake from which on a person at risk is listed for the value."""


@step(reads=(FEATURES, LIFETIME_VALUES, LIFECYCLE_STATES, MODELS), writes=URGENCY, kind="array", bound=2_000)
def urgency(
    features: pa.Table, lifetime_values: pa.Table, lifecycle_states: pa.Table, models: pa.Table, *, as_of: dt.datetime, zone: str, horizon_months: int = 12,
    window_days: int = WINDOW_DAYS,
) -> pa.Table:  # fmt: skip
    """One row per buyer, ranked.

    The loss is that a person buys nothing more within the horizon. Its rise is the probability of that after another window of silence,
    less the probability now. At stake is the value the person would have if surely living.
    """
    model = model_named(models, LIFETIME)
    bought = buyers(features).sort_by("person_key")
    values, states = _beside(bought, lifetime_values), _beside(bought, lifecycle_states)
    if model is None:
        bought = bought.slice(0, 0)
        values, states = values.slice(0, 0), states.slice(0, 0)
    summary = summary_of(bought)
    stake = np.maximum(np.nan_to_num(numbers(values, "expected_value")) + np.nan_to_num(numbers(values, "value_at_risk")), 0.0)
    rise = np.zeros(len(summary))
    if model is not None and len(summary):
        today, horizon = day_number(local_day(as_of, zone)), horizon_months * MONTH
        once = np.ones(len(summary), np.int64)
        now, then = (model[0].count_survival(summary, end=day, horizon=horizon, k=once) for day in (today, today + window_days))
        rise = np.maximum(now - then, 0.0)
    product = stake * rise
    order = np.lexsort((np.asarray(bought["person_key"].to_numpy()), -product))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    columns = {
        "person_key": bought["person_key"], "value_at_stake": pa.array(np.round(stake, 4)), "loss_rise": pa.array(np.round(rise, 9)),
        "urgency": pa.array(np.round(product, 6)), "rank": pa.array(rank), "reason": _reasons(bought, states, stake),
    }  # fmt: skip
    return pa.table(columns)


def _beside(bought: pa.Table, other: pa.Table) -> pa.Table:
    """The other table's rows of these persons, in their order; a person it lacks has nulls."""
    keys, position = np.asarray(other["person_key"].to_numpy()), np.asarray(bought["person_key"].to_numpy())
    order = np.argsort(keys, kind="stable")
    place = np.searchsorted(keys[order], position)
    found = (place < len(keys)) & (keys[order[np.minimum(place, max(len(keys) - 1, 0))]] == position) if len(keys) else np.zeros(len(position), bool)
    index = np.where(found, order[np.minimum(place, max(len(keys) - 1, 0))], 0) if len(keys) else np.zeros(len(position), np.int64)
    return other.take(pa.array(index, mask=~found))


def _reasons(bought: pa.Table, states: pa.Table, stake: np.ndarray) -> pa.Array:
    state = np.asarray(states["state"].to_pylist(), dtype=object)
    high = np.quantile(stake, HIGH_VALUE) if len(stake) else 0.0
    open_case = np.nan_to_num(numbers(bought, "open_cases")) > 0
    lost = np.isin(state, ["dormant", "former"])
    chosen = np.select(
        [lost, state == "onboarding", open_case, (state == "at_risk") & (stake >= high), state == "at_risk"],
        ["probably_gone", "new_customer", "ticket_open", "value_at_risk", "overdue"],
        "on_schedule",
    )
    return pa.array(chosen.tolist(), pa.string())
