"""What a person is worth: features and a lifetime model turned into expected margin, less what serving the person costs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kundig.clock import local_day
from kundig.config.understand import Costs
from kundig.understand.lifetime_value.fitted import MONTH, Fitted, Terms
from kundig.understand.lifetime_value.groups import apart
from kundig.understand.lifetime_value.histories import Summary, day_number

Floats = npt.NDArray[np.float64]
OWN_WEIGHT = 3.0
"""How many purchases of everybody's a person's own margin and returns are mixed with."""

COLUMNS = (
    "probability_alive", "probability_purchase", "expected_purchases", "expected_order_value", "expected_revenue", "expected_value", "expected_value_low",
    "expected_value_high", "outcome_low", "outcome_high", "value_at_risk",
)  # fmt: skip


def buyers(features: pa.Table) -> pa.Table:
    """The rows of persons with a purchase day."""
    return features.filter(pc.greater(pc.fill_null(features["purchase_days"], 0), 0))


def numbers(rows: pa.Table, column: str) -> Floats:
    """A column as float64; what is not known is NaN."""
    return np.asarray(rows[column].cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def day_numbers(rows: pa.Table, column: str) -> npt.NDArray[np.int64]:
    """A column of dates as days since 1970; what is not known is 0."""
    days = pc.fill_null(rows[column].cast(pa.date32()).cast(pa.int32()), 0)
    return np.asarray(days.to_numpy(), dtype=np.int64)


def summary_of(bought: pa.Table) -> Summary:
    """The summaries of buyers."""
    return Summary(
        first=day_numbers(bought, "first_order_day"), last=day_numbers(bought, "last_order_day"),
        count=np.asarray(bought["purchase_days"].to_numpy(), dtype=np.int64), value=np.nan_to_num(numbers(bought, "order_value")),
    )  # fmt: skip


def terms_of(bought: pa.Table, costs: Costs, *, discount_rate: float) -> Terms:
    """What is left of a purchase of each person.

    Margin and share of returns are the person's own, mixed with those of three purchases at everybody's rate; net values have returns
    taken off already, so a return costs its handling.
    """
    count = np.asarray(bought["purchase_days"].to_numpy(), dtype=np.float64)
    net, margin, value = (np.nan_to_num(numbers(bought, column)) for column in ("net_revenue", "margin", "order_value"))
    prior = OWN_WEIGHT * value
    share = (margin + prior * (1.0 - costs.goods_share)) / np.maximum(np.maximum(net, 0.0) + prior, 1e-9)
    returned = numbers(bought, "returned_share")
    known = np.isfinite(returned)
    back = np.where(known, (np.nan_to_num(returned) * count + costs.return_share * OWN_WEIGHT) / (count + OWN_WEIGHT), costs.return_share)
    order = costs.fulfilment_order + costs.payment_order + np.clip(back, 0.0, 1.0) * costs.return_order
    return Terms(share=np.clip(share, -1.0, 1.0) - costs.payment_share * (1.0 + costs.tax_share), order=order, month=costs.month(), discount=discount_rate)


def valued(
    bought: pa.Table, model: tuple[Fitted, str, str] | None, *, as_of: dt.datetime, zone: str, costs: Costs, horizon_months: int, discount_rate: float
) -> dict[str, Any]:
    """The columns of `lifetime_values` that are numbers, for these buyers, as of the local day of a moment; all NaN without a model.

    Beside them `next_day` and `next_reason`, as `Scores` has them.
    """
    if model is None or bought.num_rows == 0:
        none = {"next_day": np.zeros(bought.num_rows, np.int64), "next_reason": np.full(bought.num_rows, "beyond_horizon")}
        return {column: np.full(bought.num_rows, np.nan) for column in COLUMNS} | none
    today = day_number(local_day(as_of, zone))

    def scored(fitted: Fitted, rows: pa.Table) -> dict[str, Any]:
        scores = fitted.score(summary_of(rows), end=today, horizon=horizon_months * MONTH, terms=terms_of(rows, costs, discount_rate=discount_rate))
        found = (
            scores.alive, scores.any, scores.purchases, scores.order_value, scores.revenue, scores.value, scores.value_low, scores.value_high,
            scores.outcome_low, scores.outcome_high, scores.at_risk,
        )  # fmt: skip
        return dict(zip(COLUMNS, found, strict=True)) | {"next_day": scores.next_day, "next_reason": scores.next_reason}

    return by_group(model[0], bought, scored)


def by_group(model: Fitted, rows: pa.Table, ask: Callable[[Fitted, pa.Table], dict[str, Any]]) -> dict[str, Any]:
    """What is asked of the model about these persons: arrays, a value a person, in their order; each is told by the model of the person's own group."""
    if not model.groups:
        return ask(model, rows)
    said = rows[model.grouped_by].cast(pa.string())
    parts = [(mine, ask(fitted, rows.take(pa.array(mine)))) for fitted, mine in apart(model, said) if len(mine)]
    place = np.argsort(np.concatenate([mine for mine, _ in parts]))
    return {name: np.concatenate([found[name] for _, found in parts])[place] for name in parts[0][1]}
