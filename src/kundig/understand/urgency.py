"""Urgency: whom to turn to first; what may be lost, times how much nearer the loss comes within the next decision window."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kundig.clock import local_day, micros, midnight
from kundig.schema import step
from kundig.tables.understand import CONTRACT_VALUES, FEATURES, LIFECYCLE_STATES, LIFETIME_VALUES, MODELS, URGENCY
from kundig.understand.lifetime_value.fitted import MONTH, Fitted
from kundig.understand.lifetime_value.histories import EPOCH, day_number
from kundig.understand.models import LIFETIME, model_named
from kundig.understand.valuation import by_group, numbers, summary_of

WINDOW_DAYS = 14
"""The decision window: how long one may wait before deciding anew."""
HIGH_VALUE = 0.8
"""Quantile of the value at stake from which on a person at risk is listed for the value."""


@step(reads=(FEATURES, LIFETIME_VALUES, LIFECYCLE_STATES, CONTRACT_VALUES, MODELS), writes=URGENCY, kind="array", bound=2_000)
def urgency(
    features: pa.Table, lifetime_values: pa.Table, lifecycle_states: pa.Table, contract_values: pa.Table, models: pa.Table, *, as_of: dt.datetime, zone: str,
    horizon_months: int = 12, window_days: int = WINDOW_DAYS,
) -> pa.Table:  # fmt: skip
    """One row per person with a lifetime value, ranked.

    The loss of a buyer is that nothing more is bought within the horizon. Its rise is the probability of that after another window of
    silence, less the probability now; at stake is the value the person would have if surely living. A contract is lost at a renewal that
    falls into the window, with the probability that it is not made. Where both are held, the rise is their mean weighed by value.
    """
    model = model_named(models, LIFETIME)
    bought = _rows(features, lifetime_values).sort_by("person_key")
    values, states, contracts = (_beside(bought, other) for other in (lifetime_values, lifecycle_states, contract_values))
    held = np.maximum(np.nan_to_num(numbers(contracts, "expected_value")) + np.nan_to_num(numbers(contracts, "value_at_risk")), 0.0)
    whole = np.nan_to_num(numbers(values, "expected_value")) - np.nan_to_num(numbers(values, "contract_value"))
    own = np.maximum(whole + np.nan_to_num(numbers(values, "value_at_risk")) - np.nan_to_num(numbers(contracts, "value_at_risk")), 0.0)
    today = day_number(local_day(as_of, zone))
    rise = np.zeros(bought.num_rows)
    buys = np.flatnonzero(np.nan_to_num(numbers(bought, "purchase_days")) > 0)
    if model is not None and len(buys):
        def risen(fitted: Fitted, rows: pa.Table) -> dict[str, Any]:
            summary, horizon = summary_of(rows), horizon_months * MONTH
            once = np.ones(len(summary), np.int64)
            now, then = (fitted.count_survival(summary, end=day, horizon=horizon, k=once) for day in (today, today + window_days))
            return {"rise": np.maximum(now - then, 0.0)}

        rise[buys] = by_group(model[0], bought.take(pa.array(buys)), risen)["rise"]
    due = numbers(contracts.append_column("due", contracts["next_renewal_at"].cast(pa.int64())), "due")
    soon = np.nan_to_num(due, nan=np.inf) < micros(midnight(EPOCH + dt.timedelta(days=today + window_days + 1), zone))
    lost = np.where(soon, 1.0 - np.nan_to_num(numbers(contracts, "renewal_probability"), nan=1.0), 0.0)
    stake = own + held
    renews = held * lost > own * rise
    rise = np.where(held > 0, (own * rise + held * lost) / np.maximum(stake, 1e-12), rise)
    product = stake * rise
    order = np.lexsort((np.asarray(bought["person_key"].to_numpy()), -product))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    columns = {
        "person_key": bought["person_key"], "value_at_stake": pa.array(np.round(stake, 4)), "loss_rise": pa.array(np.round(rise, 9)),
        "urgency": pa.array(np.round(product, 6)), "rank": pa.array(rank), "reason": _reasons(bought, states, stake, renews),
    }  # fmt: skip
    return pa.table(columns)


def _rows(features: pa.Table, values: pa.Table) -> pa.Table:
    """The features of persons who have a lifetime value."""
    return features.filter(pc.is_in(features["person_key"], values["person_key"].combine_chunks()))


def _beside(bought: pa.Table, other: pa.Table) -> pa.Table:
    """The other table's rows of these persons, in their order; a person it lacks has nulls."""
    keys, position = np.asarray(other["person_key"].to_numpy()), np.asarray(bought["person_key"].to_numpy())
    order = np.argsort(keys, kind="stable")
    place = np.searchsorted(keys[order], position)
    found = (place < len(keys)) & (keys[order[np.minimum(place, max(len(keys) - 1, 0))]] == position) if len(keys) else np.zeros(len(position), bool)
    index = np.where(found, order[np.minimum(place, max(len(keys) - 1, 0))], 0) if len(keys) else np.zeros(len(position), np.int64)
    return other.take(pa.array(index, mask=~found))


def _reasons(bought: pa.Table, states: pa.Table, stake: np.ndarray, renews: np.ndarray) -> pa.Array:
    state = np.asarray(states["state"].to_pylist(), dtype=object)
    high = np.quantile(stake, HIGH_VALUE) if len(stake) else 0.0
    open_case = np.nan_to_num(numbers(bought, "open_cases")) > 0
    lost = np.isin(state, ["dormant", "former"])
    chosen = np.select(
        [lost, state == "onboarding", open_case, renews, (state == "at_risk") & (stake >= high), state == "at_risk"],
        ["probably_gone", "new_customer", "ticket_open", "renewal_due", "value_at_risk", "overdue"],
        "on_schedule",
    )
    return pa.array(chosen.tolist(), pa.string())
