"""Which model serves: by what each would have said at earlier days, judged by total, deviance and rank together."""

from __future__ import annotations

import numpy as np

from kundig.understand.lifetime_value import holdout, season
from kundig.understand.lifetime_value.histories import Histories
from kundig.understand.lifetime_value.holdout import Check
from kundig.understand.lifetime_value.kinds import EVEN, Kind

TESTED = 4_000
"""Persons on which the models that run evenly are compared: their back-tests differ far less than persons do."""
FEW = 500
"""Persons under which the BG/NBD is not left: so few cannot tell the models apart."""
MARGIN = 0.5
"""Votes by which another model must beat the BG/NBD: half of what would matter, or chance would choose."""


def chosen(sample: Histories, end: int, model: str) -> tuple[Kind, dict[str, list[Check]]]:
    """The model to use, and the back-tests of each that was considered, of the persons given."""
    if model == "season" and fits_season(sample):
        return "season", {"season": holdout.back_tests("season", sample, end)}
    asked: Kind = next((kind for kind in EVEN if kind == model), "bg_nbd")
    if model != "auto":
        return asked, {asked: holdout.back_tests(asked, sample, end)}
    kind, tests = _even(sample, end)
    if not tests[kind] or not fits_season(sample):
        return kind, tests
    tests["season"] = holdout.back_tests("season", sample, end)
    gain = holdout.held_out_gain(sample, end, kind)
    persons, _ = sample.until(end)
    seasonal = holdout.prefers_season(tests[kind], tests["season"], likelihood_gain=gain, persons=len(persons) // 2)
    return ("season" if seasonal else kind), tests


def _even(sample: Histories, end: int) -> tuple[Kind, dict[str, list[Check]]]:
    """The best of the models whose time runs evenly, with its back-tests on the whole sample."""
    if len(sample) < FEW:
        return "bg_nbd", {"bg_nbd": holdout.back_tests("bg_nbd", sample, end)}
    few = sample.sample(TESTED)
    tests: dict[str, list[Check]] = {kind: holdout.back_tests(kind, few, end) for kind in EVEN}
    kind: Kind = "bg_nbd"
    if tests["bg_nbd"]:
        votes = {other: np.mean([holdout.vote(one, two) for one, two in zip(tests["bg_nbd"], tests[other], strict=True)]) for other in EVEN[1:]}
        best = max(votes, key=lambda name: float(votes[name]))
        kind = best if votes[best] > MARGIN else "bg_nbd"
    if few is not sample:
        tests[kind] = holdout.back_tests(kind, sample, end)
    return kind, tests


def fits_season(sample: Histories) -> bool:
    """Whether there is enough to estimate fifty-two speeds from: fewer purchases than that make a clock of noise."""
    return len(sample.day) - len(sample) >= 10 * season.BINS
