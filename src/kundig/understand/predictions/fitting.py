"""Fits of predictions: when one is due, how champion and challenger are told apart, and what is kept of either."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kundig.config.predictions import Prediction
from kundig.understand.predictions.frames import CUT_OFF, DECIDED, OUTCOME, Place, boundary, cut_offs, first_fact, learnt, present, sampled
from kundig.understand.predictions.knowing import Facts, owned
from kundig.understand.predictions.making import Plan, planned
from kundig.understand.predictions.models import CHALLENGER, CHAMPION, Kept, champion, fingerprint, grid_of, row_of, watched
from kundig.understand.predictions.targets import Asked
from kundig.understand.propensity.estimate import Propensity, fit
from kundig.understand.propensity.judging import log_loss

PERSONS = 60_000
"""Persons that a fit looks at; beyond that, an even share of them."""
LEADING = 10
"""Features whose drift is looked at: those with the most effect."""
FEWEST_NEW = 20
"""Outcomes of each kind since the champion's last cut-off, from which on the two can be told apart."""


def fits_of(
    facts: Facts, rows: list[dict[str, Any]], predictions: Mapping[str, Prediction], asked: Mapping[str, Asked], attributes: Mapping[str, str], consents: tuple[tuple[str, str], ...], place: Place,
    *, as_of: dt.datetime,
) -> list[pa.Table]:  # fmt: skip
    """A row for each prediction that has something new to tell: a fit that was due, or the champion's drift."""
    persons = int(facts["profiles"].count().to_pyarrow().as_py())
    some = sampled(facts, -(-persons // PERSONS))
    began = first_fact(some)
    found = []
    for name, prediction in sorted(predictions.items()):
        mine = wanted(attributes, prediction)
        now = boundary(as_of, place.zone)
        standing = champion(rows, name, fingerprint(prediction))
        if standing is None:
            plan = planned(owned(some, some["identities"])["events"], mine, consents)
            found.append(_fitted(name, prediction, some, asked[name], plan, place, None, {}, began=began, as_of=as_of, now=now, because="first fit"))
            continue
        frame = _shaped(present(some, asked[name], standing.plan, place, at=now, heard=as_of), prediction)
        drift = standing.model.drift(frame) if standing.model.cells and frame.num_rows else {}
        because = _due(standing, prediction, drift, as_of)
        if because is None:
            found.append(watched(standing, drift, as_of=as_of))
            continue
        plan = planned(owned(some, some["identities"])["events"], mine, consents)
        found.append(_fitted(name, prediction, some, asked[name], plan, place, standing, drift, began=began, as_of=as_of, now=now, because=because))
    return found


def trial(
    facts: Facts, prediction: Prediction, asked: Asked, attributes: Mapping[str, str], consents: tuple[tuple[str, str], ...], place: Place, *, as_of: dt.datetime
) -> tuple[Propensity, int]:
    """The model a first fit would make, and how many persons the population has now: those of the sample, made up to all."""
    stride = -(-int(facts["profiles"].count().to_pyarrow().as_py()) // PERSONS)
    some = sampled(facts, stride)
    plan = planned(owned(some, some["identities"])["events"], wanted(attributes, prediction), consents)
    cuts = cut_offs(first_fact(some), as_of, place.zone, prediction)
    frame = _shaped(learnt(some, asked, plan, place, cuts), prediction) if cuts else _nothing()
    now = present(some, asked, plan, place, at=boundary(as_of, place.zone), heard=as_of)
    return _model(frame, prediction, len(cuts)), now.num_rows * max(stride, 1)


def wanted(attributes: Mapping[str, str], prediction: Prediction) -> dict[str, str]:
    """Attributes of a prediction's frames with their types: features, and groups to tell fairness by."""
    return {key: attributes[key] for key in attributes if key not in prediction.groups} | {key: attributes.get(key, "string") for key in prediction.groups}


def _due(standing: Kept, prediction: Prediction, drift: Mapping[str, float], as_of: dt.datetime) -> str | None:
    """Why a challenger is fitted now; None: it is not due."""
    if as_of - standing.fitted_at >= dt.timedelta(days=prediction.refit_days):
        return "on schedule"
    leading = ["probability", *list(standing.model.report.importance)[:LEADING]]
    moved = [name for name in leading if drift.get(name, 0.0) >= prediction.drift]
    return f"drift of {moved[0]}" if moved else None


def _fitted(
    name: str, prediction: Prediction, facts: Facts, asked: Asked, plan: Plan, place: Place, standing: Kept | None, drift: Mapping[str, float],
    *, began: dt.datetime | None, as_of: dt.datetime, now: dt.datetime, because: str,
) -> pa.Table:  # fmt: skip
    cuts = cut_offs(began, as_of, place.zone, prediction)
    frame = _shaped(learnt(facts, asked, plan, place, cuts), prediction) if cuts else _nothing()
    model = _model(frame, prediction, len(cuts))
    role, why = CHAMPION, because
    if standing is not None:
        better, told = _better(frame, prediction, standing, facts, asked, place, cuts)
        role, why = (CHAMPION if better else CHALLENGER), f"{because}, {told}"
    present_rows = _shaped(present(facts, asked, plan, place, at=now, heard=as_of), prediction)
    probabilities = np.asarray(model.predict(present_rows)["probability"].to_numpy(), np.float64)
    return row_of(name, prediction, model, plan, grid_of(probabilities), [start for start, _ in cuts], as_of=as_of, role=role, drift=drift, because=why)


def _model(frame: pa.Table, prediction: Prediction, moments: int) -> Propensity:
    """The propensity model of a frame; in time order where there are several cut-offs."""
    in_time = moments > 1
    return fit(
        frame, target=OUTCOME, time=CUT_OFF, known_at={OUTCOME: DECIDED} if in_time else None, key="person_key", groups=[f"group: {name}" for name in prediction.groups if frame.num_rows],
        leave_out=[*left_out(frame.column_names, prediction), *([] if in_time else [DECIDED])], gain=prediction.gain, cost=prediction.cost,
    )  # fmt: skip


def _better(
    frame: pa.Table, prediction: Prediction, standing: Kept, facts: Facts, asked: Asked, place: Place, cuts: list[tuple[dt.datetime, dt.datetime]]
) -> tuple[bool, str]:
    """Whether a new model beats the champion on the cut-offs since the outcomes it learnt from were decided; and how that is told.

    Without enough outcomes since then there is nothing to judge by, and the newer data decide.
    """
    decided = max(standing.cut_offs, default=None)
    fresh = [] if decided is None else [cut for cut in cuts if cut[0] - decided >= dt.timedelta(days=prediction.days, hours=-2)]
    older = [cut for cut in cuts if cut not in fresh]
    starts = pa.array([start for start, _ in fresh], pa.timestamp("us", "UTC"))
    held = frame.filter(pc.is_in(frame[CUT_OFF], value_set=starts)) if fresh else frame.slice(0, 0)
    outcome = np.asarray(held[OUTCOME].cast(pa.float64()).to_numpy(), np.float64) if held.num_rows else np.empty(0)
    if not older or min(outcome.sum(), len(outcome) - outcome.sum()) < FEWEST_NEW:
        return True, "too few outcomes since the champion to judge the two: the newer data stand"
    rival = _model(frame.filter(pc.invert(pc.is_in(frame[CUT_OFF], value_set=starts))), prediction, len(older))
    old = _shaped(learnt(facts, asked, standing.plan, place, fresh), prediction)
    lost = {"champion": _loss(standing.model, old), "challenger": _loss(rival, held)}
    told = f"log-loss {lost['challenger']:.4f} against the champion's {lost['champion']:.4f} on {len(outcome)} persons since"
    return lost["challenger"] <= lost["champion"], told


def _loss(model: Propensity, frame: pa.Table) -> float:
    outcome = np.asarray(frame[OUTCOME].cast(pa.float64()).to_numpy(), np.float64)
    return log_loss(outcome, np.asarray(model.predict(frame)["probability"].to_numpy(), np.float64))


def _shaped(frame: pa.Table, prediction: Prediction) -> pa.Table:
    """The frame with the columns of groups set apart from features; numbers among them in bands of ten."""
    for name in prediction.groups:
        if name in frame.column_names:
            column = frame[name]
            if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
                band = pc.multiply(pc.floor(pc.divide(column.cast(pa.float64()), 10.0)), 10.0)
                column = pc.cast(pc.cast(band, pa.int64()), pa.string())
            frame = frame.drop_columns([name]).append_column(f"group: {name}", column)
    return frame


def left_out(columns: list[str], prediction: Prediction) -> list[str]:
    """The columns that the file leaves out."""
    found = []
    for asked in prediction.leave_out:
        found += [name for name in columns if name == asked or (asked.endswith("*") and name.startswith(asked[:-1]))]
    return [name for name in dict.fromkeys(found) if name not in ("person_key", CUT_OFF, DECIDED, OUTCOME)]


def _nothing() -> pa.Table:
    """A frame of nobody: there is too little past to learn from."""
    moment = pa.timestamp("us", "UTC")
    return pa.table({"person_key": pa.array([], pa.int64()), CUT_OFF: pa.array([], moment), DECIDED: pa.array([], moment), OUTCOME: pa.array([], pa.bool_())})
