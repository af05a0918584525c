"""Use cases: whether each reached its goal, judged by the goal's KPI with its interval."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from kundig.clock import local_day
from kundig.config.usecases import Goal, UseCase
from kundig.schema import step
from kundig.tables.measure import KPIS
from kundig.tables.understand import USE_CASES

EXACT = ("currency", "count")
"""Units of KPIs that are totals: what was counted is known, without an interval."""
ESTIMATES = ("clv", "cac", "cost_per_activation")
"""KPIs of such a unit that are means all the same."""

STANDING = ("clv", "arr", "churn")
"""KPIs that say how things stand at the run, not what came of a month: the newest is judged, also of the month that runs."""


@step(reads=(KPIS,), writes=USE_CASES, kind="array", bound=500, needs=("usecases",))
def use_cases(kpis: pa.Table, *, as_of: dt.datetime, zone: str, usecases: Mapping[str, UseCase]) -> pa.Table:
    """One row a use case: the value its goal is judged by, and the answer.

    `reached` and `not_reached` are said where the whole interval lies on one side of the target, or the KPI is a total; `open` where the interval
    holds the target. Without a value or an interval the answer is null, with the reason.
    """
    found = kpis.to_pylist()
    today = local_day(as_of, zone)
    rows = [_row(name, one, [row for row in found if row["kpi"] == one.goal.kpi], today) for name, one in sorted(usecases.items())]
    types = {"target": pa.float64(), "value": pa.float64(), "low": pa.float64(), "high": pa.float64(), "period_start": pa.date32(), "until": pa.date32()}
    return pa.table({name: pa.array([row[name] for row in rows], types.get(name, pa.string())) for name in USE_CASES.names})


def _row(name: str, one: UseCase, of_kpi: list[Mapping[str, Any]], today: dt.date) -> dict[str, Any]:
    goal = one.goal
    judged = _period(of_kpi, goal, today)
    answer, reason = judge(goal, judged, known=bool(of_kpi))
    status = "done" if goal.until is not None and today > goal.until else "running"
    shown = {column: judged[column] if judged is not None else None for column in ("value", "low", "high", "unit", "period_start")}
    return {
        "use_case": name, "problem": one.problem, "metric": goal.kpi, "member": goal.member or None, "direction": "at_least" if goal.at_least is not None else "at_most", "target": goal.target,
        "until": goal.until, "status": status, "answer": answer, "reason": reason, "prediction": one.prediction or None, "audience": one.audience or None, "experiment": one.experiment or None,
    } | shown  # fmt: skip


def _period(of_kpi: Iterable[Mapping[str, Any]], goal: Goal, today: dt.date) -> Mapping[str, Any] | None:
    """The newest whole month, of a standing KPI the newest row, not after the day by which the goal is to be reached."""
    last = min(today, goal.until + dt.timedelta(days=1)) if goal.until is not None else today
    whole = [row for row in of_kpi if (row["dimension"], row["member"]) == (goal.dimension, goal.member) and (_ends(row) <= last or row["value"] is None)]
    return max(whole, key=lambda row: row["period_start"], default=None)


def _ends(row: Mapping[str, Any]) -> dt.date:
    """The day from which a row may be judged."""
    day: dt.date = row["period_start"]
    return day if row["kpi"] in STANDING else _month_after(day)


def _month_after(day: dt.date) -> dt.date:
    return (day.replace(day=1) + dt.timedelta(days=32)).replace(day=1)


def judge(goal: Goal, row: Mapping[str, Any] | None, *, known: bool) -> tuple[str | None, str]:
    """The answer and, where there is none, why.

    Examples:
        >>> goal = Goal(kpi="churn", at_most=0.2)
        >>> judge(goal, {"value": 0.1, "low": 0.08, "high": 0.12, "unit": "share", "reason": ""}, known=True)
        ('reached', '')
        >>> judge(goal, {"value": 0.19, "low": 0.15, "high": 0.23, "unit": "share", "reason": ""}, known=True)
        ('open', '')
        >>> judge(goal, None, known=False)
        (None, 'no_such_kpi')
    """
    if row is None:
        return None, "no_period" if known else "no_such_kpi"
    if row["value"] is None:
        return None, str(row["reason"] or "no_rows")
    low, high = row["low"], row["high"]
    if low is None or high is None:
        if row["unit"] not in EXACT or goal.kpi in ESTIMATES:
            return None, "no_interval"
        low = high = row["value"]
    target = goal.target
    if goal.at_least is not None:
        return ("reached" if low >= target else "not_reached" if high < target else "open"), ""
    return ("reached" if high <= target else "not_reached" if low > target else "open"), ""
