"""How good probabilities are: ranking, calibration, lift, money, fairness and drift. Everything takes weights of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kundig.understand.propensity.frames import Bools, Floats

TINY = 1e-9
FEWEST = 20
"""Outcomes of either kind without which nothing can be learnt."""
PSI_MOVED, PSI_DRIFTED = 0.1, 0.25
"""From these population stability indices on, a column has moved a little, and has drifted (the field's usual bounds)."""


def logit(probability: Floats) -> Floats:
    """Log-odds of probabilities."""
    kept = np.clip(probability, TINY, 1 - TINY)
    return np.log(kept / (1 - kept))


def expit(odds: Floats) -> Floats:
    """Probabilities of log-odds."""
    return 1.0 / (1.0 + np.exp(-np.clip(odds, -40, 40)))


def auc(outcome: Floats, score: Floats, weight: Floats | None = None) -> float:
    """Probability that a random positive row has a higher score than a random negative one; ties count half; NaN without both kinds.

    Examples:
        >>> auc(np.array([0.0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
        0.75
    """
    weight = np.ones(len(score)) if weight is None else weight
    _, place = np.unique(score, return_inverse=True)
    yes = np.bincount(place, weight * outcome)
    no = np.bincount(place, weight * (1 - outcome))
    both = yes.sum() * no.sum()
    return float((yes * (np.cumsum(no) - no / 2)).sum() / both) if both > 0 else float("nan")


def log_loss(outcome: Floats, probability: Floats, weight: Floats | None = None) -> float:
    """Mean negative log-likelihood of the outcomes."""
    kept = np.clip(probability, TINY, 1 - TINY)
    return float(np.average(-(outcome * np.log(kept) + (1 - outcome) * np.log1p(-kept)), weights=weight))


def slope(outcome: Floats, probability: Floats, weight: Floats | None = None) -> tuple[float, float]:
    """Calibration slope and intercept: of the logistic regression of the outcome on the log-odds; 1 and 0 are perfect (Cox 1958)."""
    odds = logit(probability)
    weight = np.ones(len(odds)) if weight is None else weight
    beta = np.array([0.0, 1.0])
    design = np.column_stack([np.ones(len(odds)), odds])
    for _ in range(50):
        fitted = expit(design @ beta)
        curve = design.T @ (design * (weight * np.maximum(fitted * (1 - fitted), 1e-10))[:, None])
        move = np.linalg.solve(curve + 1e-9 * np.eye(2), design.T @ (weight * (outcome - fitted)))
        beta = beta + np.clip(move, -2, 2)
        if np.abs(move).max() < 1e-9:
            break
    return float(beta[1]), float(beta[0])


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows of one tenth of the score, or of one group of persons: how many, what was expected, what came."""

    name: str
    rows: float
    expected: float
    actual: float
    lift: float | None = None
    auc: float | None = None
    chosen: float | None = None


def tenths(outcome: Floats, probability: Floats, weight: Floats | None = None, parts: int = 10) -> tuple[Group, ...]:
    """The rows by score from the highest tenth down, each with its mean probability, its rate and its lift over all."""
    weight = np.ones(len(probability)) if weight is None else weight
    order = np.argsort(-probability, kind="stable")
    reached = np.cumsum(weight[order])
    tenth = np.minimum(((reached - weight[order] / 2) / reached[-1] * parts).astype(np.int64), parts - 1)
    base = float(np.average(outcome, weights=weight))
    found = []
    for part in range(parts):
        rows = order[tenth == part]
        if len(rows):
            rate = float(np.average(outcome[rows], weights=weight[rows]))
            expected = float(np.average(probability[rows], weights=weight[rows]))
            found.append(Group(name=str(part + 1), rows=float(weight[rows].sum()), expected=expected, actual=rate, lift=rate / base if base > 0 else None))
    return tuple(found)


def calibration_error(groups: tuple[Group, ...]) -> float:
    """Expected calibration error: mean distance of expected and actual rates over tenths, by rows."""
    total = sum(group.rows for group in groups)
    return sum(group.rows * abs(group.expected - group.actual) for group in groups) / total if total else float("nan")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Acting on everyone from a probability on: the share of rows acted on, the share of positives among all found, and the net result per 1,000 rows."""

    threshold: float
    share: float
    found: float
    net: float


def cost_curve(outcome: Floats, probability: Floats, *, gain: float, cost: float, weight: Floats | None = None, points: int = 20) -> tuple[Choice, ...]:
    """What acting on the highest share brings: `gain` for each positive acted on, less `cost` for each row acted on, per 1,000 rows.

    Examples:
        >>> curve = cost_curve(np.array([1.0, 0.0]), np.array([0.9, 0.1]), gain=10, cost=1, points=2)
        >>> [(choice.share, choice.net) for choice in curve]
        [(0.5, 4500.0), (1.0, 4000.0)]
    """
    weight = np.ones(len(probability)) if weight is None else weight
    order = np.argsort(-probability, kind="stable")
    acted, caught = np.cumsum(weight[order]), np.cumsum((weight * outcome)[order])
    ends = np.searchsorted(acted, acted[-1] * np.arange(1, points + 1) / points - 1e-9).clip(0, len(order) - 1)
    return tuple(
        Choice(
            threshold=float(probability[order[end]]), share=float(acted[end] / acted[-1]), found=float(caught[end] / max(caught[-1], TINY)),
            net=float(1000 * (gain * caught[end] - cost * acted[end]) / acted[-1]),
        )
        for end in ends
    )  # fmt: skip


def groups(outcome: Floats, probability: Floats, names: list[str], chosen: Bools, weight: Floats | None = None) -> tuple[Group, ...]:
    """Each group's rows, mean probability, rate, ranking and share chosen, so that unlike treatment shows."""
    weight = np.ones(len(probability)) if weight is None else weight
    labels = np.asarray(names)
    found = []
    for name in sorted(set(names)):
        own = labels == name
        ranking = auc(outcome[own], probability[own], weight[own])
        found.append(
            Group(
                name=name, rows=float(weight[own].sum()), expected=float(np.average(probability[own], weights=weight[own])),
                actual=float(np.average(outcome[own], weights=weight[own])), auc=ranking if np.isfinite(ranking) else None,
                chosen=float(np.average(chosen[own], weights=weight[own])),
            )
        )  # fmt: skip
    return tuple(found)


def psi(then: Floats, now: Floats) -> float:
    """Population stability index of two distributions over the same cells: Σ (now − then) · ln(now / then); empty cells count as half a row.

    Examples:
        >>> round(psi(np.array([50.0, 50.0]), np.array([80.0, 20.0])), 3)
        0.416
    """
    first, second = np.maximum(then, 0.5), np.maximum(now, 0.5)
    first, second = first / first.sum(), second / second.sum()
    return float(((second - first) * np.log(second / first)).sum())
