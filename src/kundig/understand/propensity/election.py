"""Which model is champion: both kinds and their blends, judged on rows they did not learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kundig.understand.propensity import calibrating, learners
from kundig.understand.propensity.calibrating import Calibration
from kundig.understand.propensity.folds import Fold
from kundig.understand.propensity.frames import Bools, Encoder, Floats
from kundig.understand.propensity.judging import auc, expit, log_loss

MANY = 50_000
"""From this many rows on, LightGBM's own defaults are as good as the other sizes, and stand alone for the trees."""
CLOSE = 0.001
"""Candidates within this AUC of the best are told apart by log-loss."""
BLENDS = (0.25, 0.5, 0.75)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One model that stood for election: mean AUC and log-loss over folds, before calibration."""

    name: str
    auc: float
    log_loss: float


@dataclass(frozen=True, kw_only=True)
class Election:
    """The champion, everyone that stood, and the champion's log-odds and probabilities of rows judged by others' model.

    `share` is the weight of the linear model, 1 less it that of the trees of size `size`.
    """

    name: str
    size: str
    share: float
    candidates: tuple[Candidate, ...]
    odds: Floats
    probability: Floats
    judged: Bools
    calibration: Calibration


def hold(
    encoder: Encoder, matrix: Floats, outcome: Floats, weight: Floats, folds: Sequence[Fold], *, seed: int, in_time: bool, only: str | None = None, many: bool = False
) -> Election:
    """Elect the champion over the folds, and calibrate it.

    In time order each fold is calibrated by the folds before it alone, with the intercept of the newest of them; otherwise by the other folds. The
    oldest fold has none before it and judges the ranking alone, not the probabilities.
    `many`: the champion will learn from so many rows that LightGBM's own defaults stand alone for the trees.
    `only` names the one candidate that stands ("linear", or a size of the trees).
    """
    sizes = ("default",) if many else tuple(learners.SIZES)
    found: dict[str, Floats] = {}
    for name in ("linear", *sizes) if only is None else (only,):
        odds = np.full(len(outcome), np.nan)
        for known, held in folds:
            own = matrix[known], outcome[known], weight[known]
            learner = learners.linear(encoder, *own) if name == "linear" else learners.trees(encoder, *own, name, seed)
            odds[held] = learner.odds(matrix[held])
        found[name] = odds
    size = max((name for name in found if name != "linear"), key=lambda name: mean_auc(found[name], outcome, weight, folds), default="")
    shares = {"linear": 1.0} | {name: 0.0 for name in found if name != "linear"}
    if "linear" in found and size:
        for share in BLENDS:
            found[f"blend {share:.2f}"] = share * found["linear"] + (1 - share) * found[size]
            shares[f"blend {share:.2f}"] = share
    standing = [Candidate(name=name, auc=mean_auc(odds, outcome, weight, folds), log_loss=_mean_loss(odds, outcome, weight, folds)) for name, odds in found.items()]
    top = max(candidate.auc for candidate in standing)
    champion = min((candidate for candidate in standing if candidate.auc >= top - CLOSE), key=lambda candidate: candidate.log_loss).name
    odds = found[champion]
    probability, calibration = _calibrated(odds, outcome, weight, folds, in_time=in_time)
    judged: Bools = np.isfinite(probability)
    return Election(
        name=champion, size=champion if champion in learners.SIZES else size, share=shares[champion], candidates=tuple(standing), odds=odds, probability=probability, judged=judged, calibration=calibration,
    )  # fmt: skip


def _calibrated(odds: Floats, outcome: Floats, weight: Floats, folds: Sequence[Fold], *, in_time: bool) -> tuple[Floats, Calibration]:
    """Probabilities of each fold by a calibration that did not see it, and the calibration of all for scoring."""
    probability = np.full(len(odds), np.nan)
    for place, (_, rows) in enumerate(folds):
        others = [other for number, (_, other) in enumerate(folds) if (number < place if in_time else number != place)]
        if not others:
            if len(folds) == 1:
                probability[rows] = expit(odds[rows])
            continue
        own = np.concatenate(others)
        made = calibrating.best(odds[own], outcome[own], weight[own], only_line=in_time)
        if in_time:
            made = calibrating.shifted(made, odds[others[-1]], outcome[others[-1]], weight[others[-1]])
        probability[rows] = made(odds[rows])
    judged = np.concatenate([rows for _, rows in folds])
    whole = calibrating.best(odds[judged], outcome[judged], weight[judged], only_line=in_time)
    if in_time:
        newest = folds[-1][1]
        whole = calibrating.shifted(whole, odds[newest], outcome[newest], weight[newest])
    return probability, whole


def mean_auc(score: Floats, outcome: Floats, weight: Floats, folds: Sequence[Fold]) -> float:
    """Mean AUC over the folds, by rows: scores of different folds come from different models and are not ranked together."""
    parts = [(auc(outcome[rows], score[rows], weight[rows]), weight[rows].sum()) for _, rows in folds]
    return float(np.average([part for part, _ in parts], weights=[size for _, size in parts]))


def _mean_loss(odds: Floats, outcome: Floats, weight: Floats, folds: Sequence[Fold]) -> float:
    judged = np.concatenate([rows for _, rows in folds])
    return log_loss(outcome[judged], expit(odds[judged]), weight[judged])
