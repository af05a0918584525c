"""Prediction as a library: fit a model on a frame, read its report and what it refused, and score people."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kundig.errors import EstimateError, Fault, nearest
from kundig.understand.propensity import election, judging, learners
from kundig.understand.propensity.calibrating import Calibration
from kundig.understand.propensity.card import Card, Language, card
from kundig.understand.propensity.folds import Fold, by_time, stratified
from kundig.understand.propensity.frames import Bools, Encoder, Floats, Ints, arrow, instant, kind_of, learn, micros, numbers
from kundig.understand.propensity.leaks import Moment, Refusal, empty_columns, late_columns
from kundig.understand.propensity.report import Report, judged

SAMPLE = 100_000
"""Rows trained on at most."""
JUDGED, JUDGED_OF_MANY = 60_000, 30_000
"""Rows that all judge in the election; where there are more, so many of them do: differences of candidates show, and the champion learns from all of the sample."""
CHUNK = 100_000
"""Rows scored at a time."""
EXPLAINED = 1_000
"""Rows whose effects make the importance of features."""
POSITIVE: tuple[Any, ...] = (True, 1, "yes", "true", "1", "ja", "y")


@dataclass(frozen=True, kw_only=True)
class Propensity:
    """A fitted prediction: probabilities of rows, their reasons, their drift, and the report."""

    report: Report
    encoder: Encoder
    members: tuple[tuple[float, learners.Learner], ...]
    calibration: Calibration
    cells: Mapping[str, Mapping[str, list[float]]]
    key: str | None = None

    @property
    def refused(self) -> dict[str, Refusal]:
        """The columns that are no features, with the reason of each."""
        return dict(self.report.refused)

    def card(self, *, name: str = "", language: Language = "en") -> Card:
        """The model card, German or English; `.markdown()` and `.html()` write it."""
        return card(self.report, name=name, language=language)

    def predict(self, frame: Any) -> pa.Table:
        """One row per row of the frame: `probability` of the target, beside the key column where one was named.

        Raises:
            EstimateError: A feature is missing in the frame, or is of another type.
        """
        table = arrow(frame)
        parts = [self.probabilities(self.encoder.matrix(part)) for part in _chunks(table)]
        found = pa.array(np.concatenate(parts) if parts else np.empty(0))
        return pa.table(({self.key: table[self.key]} if self.key else {}) | {"probability": found})

    def probabilities(self, matrix: Floats) -> Floats:
        """Probabilities of the rows of a feature matrix."""
        return self.calibration(_odds(self.members, matrix))

    def reasons(self, frame: Any, *, most: int = 3) -> pa.Table:
        """Why each row has its probability: its `most` strongest features, with `value` as text and `effect` in log-odds against a mean row.

        One row per row and place: `row` (its number, or the key column), `place` from 1, `feature`, `value`, `effect`.
        """
        table = arrow(frame)
        effects = self._effects(self.encoder.matrix(table)) if self.encoder.features else np.zeros((table.num_rows, 0))
        most = min(most, effects.shape[1])
        strongest = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :most]
        names = self.encoder.names
        texts = {name: _as_text(table[name]) for name in {names[place] for place in np.unique(strongest)}}
        row = np.repeat(np.arange(table.num_rows), most)
        flat = strongest.ravel()
        label = table[self.key].combine_chunks().take(pa.array(row)) if self.key else pa.array(row)
        return pa.table({
            self.key or "row": label, "place": pa.array(np.tile(np.arange(1, most + 1), table.num_rows)), "feature": pa.array([names[place] for place in flat], pa.string()),
            "value": pa.array([texts[names[place]][number] for number, place in zip(row, flat, strict=True)], pa.string()),
            "effect": pa.array(np.take_along_axis(effects, strongest, axis=1).ravel()),
        })  # fmt: skip

    def _effects(self, matrix: Floats) -> Floats:
        return self.calibration.slope * sum((share * learner.effects(matrix) for share, learner in self.members), np.zeros(matrix.shape))

    def drift(self, frame: Any) -> dict[str, float]:
        """Population stability index of each feature, and of the `probability`, between the rows trained on and this frame.

        From 0.1 on a column has moved, from 0.25 on it has drifted.
        """
        matrix = self.encoder.matrix(arrow(frame))
        now = {name: matrix[:, place] for place, name in enumerate(self.encoder.names)} | {"probability": self.probabilities(matrix)}
        return {name: judging.psi(np.asarray(cell["rows"]), _counted(now[name], np.asarray(cell["edges"]))) for name, cell in self.cells.items()}

    def to_json(self) -> str:
        """The model as text: what `models` keeps."""
        return json.dumps({
            "encoder": self.encoder.as_dict(), "members": [[share, learner.as_dict()] for share, learner in self.members], "calibration": self.calibration.as_dict(),
            "cells": {name: dict(cell) for name, cell in self.cells.items()}, "key": self.key,
        }, sort_keys=True)  # fmt: skip

    @classmethod
    def from_json(cls, text: str, report: Report) -> Propensity:
        """The model that `to_json` wrote, beside its report."""
        told = json.loads(text)
        encoder = Encoder.from_dict(told["encoder"])
        members = tuple((share, learners.restore(learner, encoder)) for share, learner in told["members"])
        return cls(report=report, encoder=encoder, members=members, calibration=Calibration.from_dict(told["calibration"]), cells=told["cells"], key=told["key"])


def fit(
    frame: Any,
    *,
    target: str,
    time: str | None = None,
    known_at: Mapping[str, Moment] | None = None,
    moments: Sequence[str] = (),
    positive: Any = None,
    key: str | None = None,
    groups: Sequence[str] = (),
    leave_out: Sequence[str] = (),
    gain: float | None = None,
    cost: float | None = None,
    sample: int = SAMPLE,
    seed: int = 1,
    only: str | None = None,
) -> Propensity:
    """Learn to predict a target of two values from all other columns of a frame.

    Args:
        frame: A data frame, Arrow table or Ibis table, one row per person (and cut-off). Rows without a target are not learnt from.
        target: The column to predict, of two values.
        time: A column that orders the rows (the cut-off of each): then each block of time is judged by models of the blocks before it, and
            the level is that of the newest block. Otherwise folds are stratified.
        known_at: When a column (and the target) becomes known: a column of moments, a moment, a time after the cut-off, or a named moment.
            What is known only with the outcome or later is refused.
        moments: The order of named moments, earliest first.
        positive: The value of the target that counts as yes; by default true, 1 or "yes".
        key: A column that names the person, handed through to scores.
        groups: Columns for which fairness is told; they are not features.
        leave_out: Further columns that are not features.
        gain: What a positive acted on brings; with `cost`, the cost of acting on one row, the report has a cost curve.
        cost: See `gain`.
        sample: Rows learnt from at most; positives are kept before negatives, and weights make up for it.
        seed: Of the sample, the folds and the trees: the same input gives the same model.
        only: The one candidate that stands: "linear", "small", "tuned" or "default".

    Raises:
        EstimateError: The target or a named column is missing, or the target has not two values.
        MissingExtra: LightGBM is not installed.
    """
    table, known_at = arrow(frame), dict(known_at or {})
    _require(table, [target, *filter(None, (time, key)), *groups, *leave_out])
    table = table.filter(pc.is_valid(table[target]))
    outcome = _outcome(table[target], target, positive)
    refused = late_columns(table, target, time, known_at, moments)
    apart = {target, time, key, *groups, *leave_out, *refused, *(moment for moment in known_at.values() if isinstance(moment, str))}
    names = [name for name in table.column_names if name not in apart]
    rows, weight = _sampled(outcome, sample, seed)
    small = table.take(pa.array(rows)) if len(rows) < table.num_rows else table
    refused |= empty_columns(small, names, time)
    names = [name for name in names if name not in refused]
    own = outcome[rows]
    encoder = learn(small, names, time if time is not None and kind_of(table[time].type) == "moment" else None)
    matrix = encoder.matrix(small)
    facts: dict[str, Any] = {"target": target, "rows": len(outcome), "positives": int(outcome.sum()), "rows_trained": len(own), "refused": refused, "folds": "stratified" if time is None else "time", "gain": gain, "cost": cost}
    few = min(own.sum(), len(own) - own.sum()) < judging.FEWEST
    many = len(own) >= election.MANY
    held = np.arange(len(own)) if len(own) <= JUDGED else np.sort(np.random.default_rng(seed).choice(len(own), JUDGED_OF_MANY, replace=False))
    electorate = small if len(held) == len(own) else small.take(pa.array(held))
    folds = [] if few or not names else _folds(electorate, own[held], time, known_at.get(target), seed, many=many)
    if not folds:
        return _by_rate(facts, encoder, float(outcome.mean()) if len(outcome) else 0.0, key)
    elected = election.hold(encoder, matrix[held], own[held], weight[held], folds, seed=seed, in_time=time is not None, only=only, many=many)
    members: list[tuple[float, learners.Learner]] = []
    if elected.share > 0:
        members.append((elected.share, learners.linear(encoder, matrix, own, weight)))
    if elected.share < 1:
        members.append((1 - elected.share, learners.trees(encoder, matrix, own, weight, elected.size, seed)))
    model = Propensity(report=Report(**facts, champion="", verdict="weak", because=()), encoder=encoder, members=tuple(members), calibration=elected.calibration, cells={}, key=key)
    labels = {name: ["?" if value is None else str(value) for value in electorate[name].to_pylist()] for name in groups}
    report = _report(facts, elected, own[held], weight[held], folds, labels, model, matrix[held])
    return Propensity(report=report, encoder=encoder, members=model.members, calibration=model.calibration, cells=_cells(encoder, matrix, weight, model), key=key)


def _report(
    facts: dict[str, Any], elected: election.Election, outcome: Floats, weight: Floats, folds: Sequence[Fold], labels: Mapping[str, list[str]], model: Propensity, matrix: Floats
) -> Report:
    rows = np.flatnonzero(elected.judged)
    own, probability, own_weight = outcome[rows], elected.probability[rows], weight[rows]
    ranking = election.mean_auc(elected.odds, outcome, weight, folds)
    low, high = _bounds(ranking, own.sum(), len(own) - own.sum())
    steep, start = judging.slope(own, probability, own_weight)
    level, because = judged(facts["positives"], facts["rows"] - facts["positives"], low, steep)
    lift = judging.tenths(own, probability, own_weight)
    gain, cost = facts["gain"], facts["cost"]
    curve = judging.cost_curve(own, probability, gain=gain, cost=cost, weight=own_weight) if gain is not None and cost is not None else ()
    best = max(curve, key=lambda choice: choice.net) if curve else None
    chosen: Bools = probability >= (best.threshold if best else np.quantile(probability, 0.9))
    fairness = {name: judging.groups(own, probability, [names[row] for row in rows], chosen, own_weight) for name, names in labels.items()}
    few = np.random.default_rng(1).choice(len(matrix), min(EXPLAINED, len(matrix)), replace=False)
    strength = np.abs(model._effects(matrix[few])).mean(axis=0)
    ranked = sorted(zip(model.encoder.names, strength.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
    rate = np.full(len(own), np.average(own, weights=own_weight))
    return Report(
        **facts, champion=elected.name, verdict=level, because=because, auc=ranking, auc_low=low, auc_high=high,
        log_loss=judging.log_loss(own, probability, own_weight), log_loss_of_rate=judging.log_loss(own, rate, own_weight),
        calibration_error=judging.calibration_error(lift), calibration_slope=steep, calibration_intercept=start, calibration=elected.calibration.kind,
        candidates=elected.candidates, lift=lift, curve=curve, best=best, fairness=fairness, importance=dict(ranked),
    )  # fmt: skip


def _bounds(ranking: float, positives: float, negatives: float) -> tuple[float, float]:
    """95 % bounds of an AUC (Hanley, McNeil 1982)."""
    one, two = ranking / (2 - ranking), 2 * ranking**2 / (1 + ranking)
    variance = (ranking * (1 - ranking) + (positives - 1) * (one - ranking**2) + (negatives - 1) * (two - ranking**2)) / (positives * negatives)
    half = 1.96 * float(np.sqrt(max(variance, 0.0)))
    return max(ranking - half, 0.0), min(ranking + half, 1.0)


def _by_rate(facts: dict[str, Any], encoder: Encoder, rate: float, key: str | None) -> Propensity:
    """The model of a target with too few outcomes, or without features: everybody's probability is the rate."""
    report = Report(**facts, champion="rate", verdict="not_usable", because=("too_few_outcomes",) if encoder.features else ("no_features",))
    constant = Calibration(slope=0.0, intercept=float(judging.logit(np.array([np.clip(rate, 1e-6, 1 - 1e-6)]))[0]))
    return Propensity(report=report, encoder=encoder, members=(), calibration=constant, cells={}, key=key)


def _folds(table: pa.Table, outcome: Floats, time: str | None, decided: Moment | None, seed: int, *, many: bool = False) -> list[Fold]:
    count = 3 if many else 5
    if time is None:
        return stratified(outcome, count, seed)
    in_moments = kind_of(table[time].type) == "moment"
    order = micros(table[time]) if in_moments else numbers(table[time], time)
    if not np.isfinite(order).all():
        raise EstimateError(f"{int((~np.isfinite(order)).sum())} rows have no '{time}'", at=f"frame, {time}", mend="fill it in, or leave the rows out")
    known: Floats | None = None
    if isinstance(decided, str) and decided in table.column_names:
        known = micros(table[decided])
    elif isinstance(decided, dt.timedelta) and in_moments:
        known = order + decided / dt.timedelta(microseconds=1)
    elif isinstance(decided, dt.date):
        known = np.full(len(order), instant(decided))
    return by_time(order, outcome, count, known if in_moments else None)


def _sampled(outcome: Floats, most: int, seed: int) -> tuple[Ints, Floats]:
    """Rows to learn from, in order, and their weights: where there are too many, negatives are thinned first."""
    if len(outcome) <= most:
        return np.arange(len(outcome)), np.ones(len(outcome))
    chance = np.random.default_rng(seed)
    taken, weight = [], []
    yes, no = np.flatnonzero(outcome == 1), np.flatnonzero(outcome == 0)
    share = most / len(outcome)
    keep_yes = int(min(len(yes), max(round(len(yes) * share), most // 5)))
    keep_no = int(min(len(no), most - keep_yes))
    for rows, keep in ((yes, keep_yes), (no, keep_no)):
        taken.append(chance.choice(rows, keep, replace=False))
        weight.append(np.full(keep, len(rows) / max(keep, 1)))
    rows, weights = np.concatenate(taken), np.concatenate(weight)
    order = np.argsort(rows)
    return rows[order], (weights / weights.mean())[order]


def _outcome(column: pa.ChunkedArray, target: str, positive: Any) -> Floats:
    values = pc.unique(column).to_pylist()
    if positive is None:
        found = [value for value in values if value in POSITIVE]
        if len(values) > 2 or (len(found) != 1 and values not in ([], [0], [False], ["no"])):
            shown = ", ".join(sorted(map(str, values))[:5])
            raise EstimateError(f"which value of '{target}' counts as yes is not clear: {shown}", at=f"frame, {target}", mend="give two values, or say positive=")
        positive = found[0] if found else True
        if not found:
            return np.zeros(len(column))
    elif values and positive not in values:
        raise EstimateError(f"no row of '{target}' is {positive!r}", at=f"frame, {target}", mend=nearest(str(positive), [str(value) for value in values]))
    return np.asarray(pc.equal(column, pa.scalar(positive).cast(column.type)).to_numpy(), np.float64)


def _require(table: pa.Table, names: Sequence[str]) -> None:
    faults = [Fault(what=f"column '{name}' is missing", at="frame", mend=nearest(name, table.column_names)) for name in names if name not in table.column_names]
    if faults:
        raise EstimateError(faults=faults)


def _odds(members: Sequence[tuple[float, learners.Learner]], matrix: Floats) -> Floats:
    return sum((share * learner.odds(matrix) for share, learner in members), np.zeros(len(matrix)))


def _chunks(table: pa.Table) -> Iterator[pa.Table]:
    for start in range(0, table.num_rows, CHUNK):
        yield table.slice(start, CHUNK)


def _cells(encoder: Encoder, matrix: Floats, weight: Floats, model: Propensity) -> dict[str, dict[str, list[float]]]:
    """Counts of the rows trained on, by tenths of numbers and levels of texts, with those not known: what drift is held against."""
    found = {}
    columns = [(feature.name, feature.kind, matrix[:, place]) for place, feature in enumerate(encoder.features)]
    for name, kind, column in [*columns, ("probability", "number", model.probabilities(matrix))]:
        known = column[np.isfinite(column)]
        if kind == "category":
            edges = np.arange(np.max(known, initial=0.0)) + 0.5
        else:
            edges = np.unique(np.quantile(known, np.linspace(0.1, 0.9, 9))) if len(known) else np.empty(0)
        found[name] = {"edges": edges.tolist(), "rows": _counted(column, edges, weight).tolist()}
    return found


def _counted(column: Floats, edges: Floats, weight: Floats | None = None) -> Floats:
    place = np.where(np.isfinite(column), np.searchsorted(edges, column, side="left"), len(edges) + 1)
    return np.bincount(place, weight, minlength=len(edges) + 2).astype(np.float64)


def _as_text(column: pa.ChunkedArray) -> list[str | None]:
    def said(value: Any) -> str | None:
        return None if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)

    return [said(value) for value in column.to_pylist()]
