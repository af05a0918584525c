"""How many groups there are: what a model of one half of the persons says of the other half, less what it would say of people without groups.

Each number of groups is fitted on two halves. `held_out` is what the half not fitted on gains per person over one group; `null` is the
same for populations of the same margins and correlations without groups (copula); `gain` is what is left. `agreement` is the adjusted Rand index of the two halves' models on all persons: whether the same groups come back. The number of groups is where gain × agreement peaks: the likelihood alone creeps on
where columns are not quite as the model says, and agreement alone calls any cut through one cloud stable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from kundig.understand.personas.columns import Floats, Ints, Plan
from kundig.understand.personas.mixture import Fit, Sample
from kundig.understand.personas.null import Null

LEAST_GAIN, LEAST_DOUBTS = 0.02, 2.3
"""Gain per person (in nats), and gain in standard errors, under which there are no groups."""
WORSE = 2
"""Numbers of groups in a row without a new peak after which the search ends."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One number of groups: gains per person, the standard error of what is left of them, and whether the groups come back."""

    groups: int
    held_out: float
    null: float
    agreement: float
    doubt: float

    @property
    def gain(self) -> float:
        """What the groups tell of persons not seen, beyond what correlations tell."""
        return self.held_out - max(0.0, self.null)

    @property
    def worth(self) -> float:
        """The gain, as far as the groups come back: what numbers of groups are compared by."""
        return self.gain * max(self.agreement, 0.0)


def candidates(plan: Plan, table: pa.Table, features: Floats, *, most: int, nulls: int, seed: int) -> list[Candidate]:
    """The numbers of groups that were looked at, from 2 up, on a table of a few thousand persons and its features."""
    whole = Sample.of(plan, features)
    halves = _halves(len(whole), seed)
    null = Null(plan, table)
    made = [Sample.of(plan, plan.features(null.draw(seed + draw))) for draw in range(nulls)]
    grounds = [_held_out(sample, halves, 1, seed)[0] for sample in (whole, *made)]
    found: list[Candidate] = []
    for groups in range(2, most + 1):
        densities, fits = _held_out(whole, halves, groups, seed)
        told = densities - grounds[0]
        labels = [whole.groups(fit.mixture).argmax(axis=1) for fit in fits]
        empty = [float((_held_out(sample, halves, groups, seed)[0] - ground).mean()) for sample, ground in zip(made, grounds[1:], strict=True)]
        found.append(
            Candidate(
                groups=groups, held_out=float(told.mean()), null=float(np.mean(empty)) if empty else 0.0, agreement=rand_index(*labels),
                doubt=float(told.std()) * math.sqrt((1 + 1 / max(nulls, 1)) / len(whole)),
            )
        )  # fmt: skip
        if len(found) - 1 - max(range(len(found)), key=lambda i: found[i].worth) >= WORSE:
            break
    return found


def best(looked_at: list[Candidate]) -> Candidate | None:
    """The candidate worth most; None where it gains too little: there are no groups."""
    peak = max(looked_at, key=lambda one: one.worth, default=None)
    return peak if peak is not None and peak.gain >= max(LEAST_GAIN, LEAST_DOUBTS * peak.doubt) else None


def rand_index(one: Ints, other: Ints) -> float:
    """Adjusted Rand index of two labellings (Hubert and Arabie 1985): 1 the same groups, 0 no more agreement than by chance.

    Examples:
        >>> rand_index(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]))
        1.0
    """
    table = np.zeros((int(one.max()) + 1, int(other.max()) + 1))
    np.add.at(table, (one, other), 1.0)
    pairs = float((table * (table - 1)).sum() / 2)
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    a, b = float((rows * (rows - 1)).sum() / 2), float((columns * (columns - 1)).sum() / 2)
    size = len(one)
    chance = a * b / max(size * (size - 1) / 2, 1.0)
    most = (a + b) / 2
    return 1.0 if most == chance else (pairs - chance) / (most - chance)


def _halves(size: int, seed: int) -> tuple[Ints, Ints]:
    order = np.random.default_rng([seed, 1]).permutation(size)
    return np.sort(order[: size // 2]), np.sort(order[size // 2 :])


def _held_out(whole: Sample, halves: tuple[Ints, Ints], groups: int, seed: int) -> tuple[Floats, list[Fit]]:
    """Log density of each person under the model of the other half; and the two models."""
    parts = [whole.rows(half) for half in halves]
    fits = [part.fit(groups, seed + number) for number, part in enumerate(parts)]
    return np.concatenate([parts[0].densities(fits[1].mixture), parts[1].densities(fits[0].mixture)]), fits
