"""Use cases: the answer follows the KPI's interval, the last whole month and the day of the goal; without them it is null with its reason."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kundig.config.usecases import Goal, UseCase
from kundig.understand.usecases import judge, use_cases

ZONE = "Europe/Berlin"
AS_OF = dt.datetime(2026, 10, 31, 22, 59, 59, tzinfo=dt.UTC)
"""The last second of October in Berlin: October is not over."""


def kpi(name: str, month: int, value: float | None, low: float | None = None, high: float | None = None, *, unit: str = "share", reason: str = "", member: str = "") -> dict[str, Any]:
    return {
        "kpi": name, "period_start": dt.date(2026, month, 1), "dimension": "channel" if member else "", "member": member, "value": value, "low": low, "high": high, "unit": unit, "reason": reason,
    }  # fmt: skip


ROWS = [
    kpi("conversion_rate", 8, 0.30, 0.28, 0.32), kpi("conversion_rate", 9, 0.22, 0.18, 0.26), kpi("conversion_rate", 10, 0.01, 0.0, 0.02), kpi("conversion_rate", 9, 0.5, 0.4, 0.6, member="email"),
    kpi("revenue", 9, 1_000.0, unit="currency"), kpi("clv", 9, 80.0, unit="currency"), kpi("churn", 10, 0.3, 0.28, 0.32), kpi("open_rate", 10, None, reason="source_missing"), kpi("cac", 10, 5.0, unit="currency"),
]  # fmt: skip


def answered(**goal: Any) -> dict[str, Any]:
    kpis = pa.Table.from_pylist(ROWS)
    made = use_cases(kpis, as_of=AS_OF, zone=ZONE, usecases={"one": UseCase(problem="p", goal=Goal(**goal))})
    return dict(made.to_pylist()[0])


@pytest.mark.parametrize(
    ("goal", "answer", "reason"),
    [
        ({"kpi": "conversion_rate", "at_most": 0.3}, "reached", ""), ({"kpi": "conversion_rate", "at_most": 0.2}, "open", ""), ({"kpi": "conversion_rate", "at_most": 0.1}, "not_reached", ""),
        ({"kpi": "conversion_rate", "at_most": 0.3, "until": "2026-08-31"}, "open", ""), ({"kpi": "conversion_rate", "at_most": 0.3, "dimension": "channel", "member": "email"}, "not_reached", ""),
        ({"kpi": "churn", "at_most": 0.4}, "reached", ""), ({"kpi": "revenue", "at_least": 900}, "reached", ""), ({"kpi": "revenue", "at_least": 1_100}, "not_reached", ""), ({"kpi": "clv", "at_least": 10}, None, "no_interval"),
        ({"kpi": "open_rate", "at_least": 0.1}, None, "source_missing"), ({"kpi": "nothing", "at_least": 0.1}, None, "no_such_kpi"), ({"kpi": "cac", "at_most": 9}, None, "no_period"),
    ],
)  # fmt: skip
def test_answers(goal: dict[str, Any], answer: str | None, reason: str) -> None:
    row = answered(**goal)
    assert (row["answer"], row["reason"]) == (answer, reason)
    assert goal["kpi"] == "churn" or row["period_start"] != dt.date(2026, 10, 1) or row["value"] is None, "a month that runs is not judged"


def test_what_is_shown_is_what_was_judged() -> None:
    row = answered(kpi="conversion_rate", at_most=0.2, until="2026-10-15")
    assert (row["value"], row["low"], row["high"], row["period_start"], row["status"]) == (0.22, 0.18, 0.26, dt.date(2026, 9, 1), "done")
    assert answered(kpi="conversion_rate", at_most=0.2, until="2026-12-15")["status"] == "running"


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_at_least_mirrors_at_most(low: float, high: float, target: float) -> None:
    low, high = sorted((low, high))
    row = {"value": (low + high) / 2, "low": low, "high": high, "unit": "share", "reason": ""}
    mirrored = row | {"value": -row["value"], "low": -high, "high": -low}
    assert judge(Goal(kpi="k", at_least=target), row, known=True) == judge(Goal(kpi="k", at_most=-target), mirrored, known=True)


def test_a_goal_has_one_bound() -> None:
    for wrong in ({}, {"at_least": 1, "at_most": 2}, {"at_least": 1, "dimension": "channel"}):
        with pytest.raises(ValidationError):
            Goal(kpi="conversion_rate", **wrong)
