"""Models of predictions as they are kept in `prediction_models`: read, written, and which of them stands."""

from __future__ import annotations

import datetime as dt
import hashlib
import inspect
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from kundig.config.predictions import Prediction
from kundig.understand.models import model_row
from kundig.understand.predictions import knowing, making, targets
from kundig.understand.predictions.making import Plan
from kundig.understand.propensity.election import Candidate
from kundig.understand.propensity.estimate import Propensity
from kundig.understand.propensity.frames import Floats
from kundig.understand.propensity.judging import Choice, Group
from kundig.understand.propensity.leaks import Refusal
from kundig.understand.propensity.report import Report

CHAMPION, CHALLENGER, WATCHED = "champion", "challenger", "watched"
GRID = 200
"""Steps of the distribution that percentiles are read from."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A model that was kept: its version, since when, what it makes, and what is known of it."""

    name: str
    version: str
    fitted_at: dt.datetime
    fingerprint: str
    model: Propensity
    plan: Plan
    grid: tuple[float, ...]
    cut_offs: tuple[dt.datetime, ...]
    facts: Mapping[str, Any]

    def percentile(self, probability: Floats) -> Floats:
        """Share of the population at the fit with a lower probability, 0 to 100."""
        if not self.grid:
            return np.full(len(probability), np.nan)
        return np.round(100.0 * np.searchsorted(np.asarray(self.grid), probability, side="left") / len(self.grid), 4)


def fingerprint(prediction: Prediction) -> str:
    """A hash of what the file asks to be learnt, and of how features are made."""
    asked = prediction.model_dump(mode="json", include={"target", "population", "horizon", "leave_out", "groups", "cut_offs"})
    sources = [inspect.getsource(module) for module in (knowing, making, targets)]
    return hashlib.sha256("\n".join([json.dumps(asked, sort_keys=True), *sources]).encode()).hexdigest()[:16]


def row_of(
    name: str, prediction: Prediction, model: Propensity, plan: Plan, grid: Iterable[float], cuts: Iterable[dt.datetime], *, as_of: dt.datetime, role: str, drift: Mapping[str, float], because: str
) -> pa.Table:
    """The row of `prediction_models` of a fit."""
    told = {"model": json.loads(model.to_json()), "plan": plan.as_dict(), "grid": list(grid)}
    report = model.report
    inputs = {"rows": report.rows, "positives": report.positives, "cut_offs": [cut.isoformat() for cut in cuts]}
    reason = "; ".join(filter(None, (", ".join(report.because), because)))
    row = model_row(
        name, json.dumps(told, sort_keys=True), as_of=as_of, observations=report.rows_trained, log_likelihood=None if report.log_loss is None else -report.log_loss * report.rows,
        verdict=report.verdict, reason=reason, holdout=_plain(report.as_dict()), inputs=json.dumps(inputs),
    )  # fmt: skip
    return _beside(row, role, drift, fingerprint(prediction))


def watched(kept: Kept, drift: Mapping[str, float], *, as_of: dt.datetime) -> pa.Table:
    """The row of a look at a champion's drift, without a fit."""
    row = model_row(kept.name, "{}", as_of=as_of, observations=None, log_likelihood=None, verdict=kept.model.report.verdict, reason="", holdout="{}", inputs="{}")
    row = row.set_column(row.column_names.index("version"), "version", pa.array([kept.version]))
    return _beside(row, WATCHED, drift, kept.fingerprint)


def _beside(row: pa.Table, role: str, drift: Mapping[str, float], print_: str) -> pa.Table:
    said = _plain({name: round(value, 4) for name, value in drift.items()})
    return row.append_column("role", pa.array([role])).append_column("drift", pa.array([said])).append_column("fingerprint", pa.array([print_]))


def champion(rows: Iterable[Mapping[str, Any]], name: str, print_: str | None = None) -> Kept | None:
    """The newest champion of a prediction; with `print_` only one that was fitted for the same question. None where there is none."""
    standing = [row for row in rows if row["model"] == name and row["role"] == CHAMPION and print_ in (None, row["fingerprint"])]
    return kept(max(standing, key=lambda row: (row["fitted_at"], row["version"]))) if standing else None


def kept(row: Mapping[str, Any]) -> Kept:
    """The model of a row."""
    told, inputs = json.loads(row["parameters"]), json.loads(row["inputs"])
    report = report_of(json.loads(row["holdout"]))
    return Kept(
        name=row["model"], version=row["version"], fitted_at=row["fitted_at"], fingerprint=row["fingerprint"], model=Propensity.from_json(json.dumps(told["model"]), report), plan=Plan.from_dict(told["plan"]),
        grid=tuple(told["grid"]), cut_offs=tuple(dt.datetime.fromisoformat(cut) for cut in inputs["cut_offs"]), facts=row,
    )  # fmt: skip


def report_of(told: Mapping[str, Any]) -> Report:
    """The report that `Report.as_dict` told of."""
    plain = {name: value for name, value in told.items() if name != "rate"}
    groups = {name: tuple(Group(**one) for one in rows) for name, rows in plain["fairness"].items()}
    return Report(**{
        **plain, "because": tuple(plain["because"]), "candidates": tuple(Candidate(**one) for one in plain["candidates"]), "lift": tuple(Group(**one) for one in plain["lift"]),
        "curve": tuple(Choice(**one) for one in plain["curve"]), "best": None if plain["best"] is None else Choice(**plain["best"]), "fairness": groups,
        "importance": dict(sorted(plain["importance"].items(), key=lambda pair: (-pair[1], pair[0]))),
        "refused": {name: Refusal(**one) for name, one in plain["refused"].items()},
    })  # fmt: skip


def grid_of(probability: Floats) -> list[float]:
    """The distribution of probabilities, as its quantiles."""
    if not len(probability):
        return []
    return [round(float(value), 9) for value in np.quantile(probability, (np.arange(GRID) + 0.5) / GRID)]


def _plain(told: Any) -> str:
    """JSON without NaN: what is no number is null."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): clean(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [clean(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value.item() if isinstance(value, np.generic) else value

    return json.dumps(clean(told), sort_keys=True)
