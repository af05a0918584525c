"""From log-odds to probabilities that come true: a line through the log-odds (Platt 1999), or steps that only rise (isotonic)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from kundig.understand.propensity.frames import Floats
from kundig.understand.propensity.judging import expit, log_loss, logit, slope

ISOTONIC_FROM = 1_000
"""Positives from which steps are tried beside the line."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How log-odds become probabilities: `line` with slope and intercept, or `steps` between points; `shift` moves the log-odds after it."""

    kind: Literal["line", "steps"] = "line"
    slope: float = 1.0
    intercept: float = 0.0
    points: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    shift: float = 0.0

    def __call__(self, odds: Floats) -> Floats:
        if self.kind == "line":
            return expit(self.intercept + self.slope * odds + self.shift)
        found = np.interp(odds, self.points, self.values)
        return expit(logit(found) + self.shift) if self.shift else found

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `models`."""
        return {"kind": self.kind, "slope": self.slope, "intercept": self.intercept, "points": list(self.points), "values": list(self.values), "shift": self.shift}

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Calibration:
        """The calibration that `as_dict` told of."""
        return cls(**{**told, "points": tuple(told["points"]), "values": tuple(told["values"])})


def line(odds: Floats, outcome: Floats, weight: Floats) -> Calibration:
    """The line through the log-odds; one that would fall is left level at the rate."""
    steep, start = slope(outcome, expit(odds), weight)
    return Calibration(slope=max(steep, 0.0), intercept=start)


def steps(odds: Floats, outcome: Floats, weight: Floats) -> Calibration:
    """The rising steps (pool adjacent violators), straight between the middles of the steps so that order is kept."""
    order = np.argsort(odds, kind="stable")
    blocks: list[list[float]] = []
    for x, y, w in zip(odds[order].tolist(), outcome[order].tolist(), weight[order].tolist(), strict=True):
        blocks.append([x * w, y * w, w])
        while len(blocks) > 1 and blocks[-2][1] * blocks[-1][2] >= blocks[-1][1] * blocks[-2][2]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    values = np.array([(y + 0.5 * w / weight.sum()) / (w + w / weight.sum()) for _, y, w in blocks])
    return Calibration(kind="steps", points=tuple(x / w for x, _, w in blocks), values=tuple(np.clip(values, 1e-5, 1 - 1e-5).tolist()))


def best(odds: Floats, outcome: Floats, weight: Floats, *, only_line: bool = False) -> Calibration:
    """The line or the steps, whichever loses less on the half it was not fitted on; in time order the line, which bears a moved base rate."""
    plain = line(odds, outcome, weight)
    if only_line or outcome.sum() < ISOTONIC_FROM:
        return plain
    half = np.arange(len(odds)) % 2 == 0
    losses = {}
    for name, fit in (("line", line), ("steps", steps)):
        losses[name] = sum(log_loss(outcome[out], fit(odds[own], outcome[own], weight[own])(odds[out]), weight[out]) for own, out in ((half, ~half), (~half, half)))
    return steps(odds, outcome, weight) if losses["steps"] < losses["line"] - 1e-4 else plain


def shifted(calibration: Calibration, odds: Floats, outcome: Floats, weight: Floats) -> Calibration:
    """The calibration with the log-odds moved so that these rows' mean probability is their rate: for when the base rate has moved."""
    rate = np.average(outcome, weights=weight)
    low, high = -8.0, 8.0
    for _ in range(60):
        middle = (low + high) / 2
        mean = np.average(replace(calibration, shift=middle)(odds), weights=weight)
        low, high = (middle, high) if mean < rate else (low, middle)
    return replace(calibration, shift=(low + high) / 2)
