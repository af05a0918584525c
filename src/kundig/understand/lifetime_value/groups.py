"""Groups of persons (channel of acquisition, segment): a process each, drawn to that of all as far as the group says little (empirical Bayes).

Parameters of groups are taken as normal around a common mean, on the log scale. Mean and spread come from the groups themselves, by
expectation-maximisation: each group's parameters with the greatest posterior, their doubt from the curvature there. A group of many
persons keeps its own, one of few is given everybody's, and where groups do not differ the spread goes to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from kundig.understand.lifetime_value.fitted import Fitted, Scores, Terms
from kundig.understand.lifetime_value.histories import Histories, Summary
from kundig.understand.lifetime_value.kinds import Kind, fitted_process
from kundig.understand.lifetime_value.process import SIZE, Floats, Ints, Prior, Purchasing, Tuples
from kundig.understand.lifetime_value.season import tuples_of

ROUNDS = 12
SETTLED = 0.01
FLOOR, WEIGHT = 0.1, 1.0
"""A spread of 0.1 is assumed with the weight of one group: so few groups cannot say that they are all alike, or all apart."""


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """A process per group, the mean of their parameters and how far groups lie from it (standard deviation of z)."""

    processes: tuple[Purchasing, ...]
    mean: Floats
    spread: Floats


def pooled(groups: list[Tuples], kind: Kind = "bg_nbd", *, covariate: bool = False) -> Pooled:
    """Partially pooled processes of groups.

    Args:
        groups: Distinct persons of each group, in the same clock; at least one group, each with a person.
        kind: The model.
        covariate: Whether its rate depends on `entry`.
    """
    whole = fitted_process(kind, _together(groups), covariate=covariate)
    mean, variance = whole.z.copy(), np.full(SIZE, FLOOR)
    found = [whole] * len(groups)
    for _ in range(ROUNDS):
        prior = Prior(mean=mean, precision=1.0 / variance)
        found = [fitted_process(kind, part, covariate=covariate, start=one.z, prior=prior) for part, one in zip(groups, found, strict=True)]
        z = np.stack([one.z for one in found])
        doubt = np.stack([np.diag(one.covariance) for one in found])
        sure = 1.0 / (variance + doubt)  # the mean is that of those who are sure of theirs
        moved = np.sum(sure * z, axis=0) / np.sum(sure, axis=0)
        after = (np.sum((z - moved) ** 2 + doubt, axis=0) + WEIGHT * FLOOR**2) / (len(groups) + WEIGHT)
        still = float(np.max(np.abs(moved - mean))) < SETTLED and float(np.max(np.abs(np.log(after / variance))[:4])) < 10 * SETTLED
        mean, variance = moved, np.maximum(after, 1e-6)
        if still:
            break
    return Pooled(processes=tuple(found), mean=mean, spread=np.sqrt(variance))


def _together(groups: list[Tuples]) -> Tuples:
    parts = {name: np.concatenate([getattr(group, name) for group in groups]) for name in ("x", "tx", "T", "weight", "entry")}
    return Tuples(**parts)


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Names of groups, the group of each person of the histories (-1: none), and the pooled model of each."""

    names: tuple[str, ...]
    of: Ints
    fits: tuple[Fitted, ...]
    spread: Floats

    def scores(self, whole: Fitted, persons: Ints, summary: Summary, *, end: int, horizon: float, terms: Terms) -> Scores:
        """What is expected of these persons, each by the model of the person's group; of those without a group by that of all."""
        of = self.of[persons]
        parts: list[tuple[npt.NDArray[np.int64], Scores]] = []
        for number, model in ((-1, whole), *enumerate(self.fits)):
            mine = np.flatnonzero(of == number)
            if len(mine):
                parts.append((mine, model.score(summary.take(mine), end=end, horizon=horizon, terms=terms)))
        place = np.argsort(np.concatenate([mine for mine, _ in parts])) if parts else np.zeros(0, np.int64)
        if not parts:
            return whole.score(summary, end=end, horizon=horizon, terms=terms)
        return Scores(**{part.name: np.concatenate([getattr(found, part.name) for _, found in parts])[place] for part in fields(Scores)})


def grouped(whole: Fitted, histories: Histories, labels: dict[Any, str]) -> Groups:
    """The pooled models of groups.

    Args:
        whole: The model of all; its clock and its spend hold for every group.
        labels: The group of persons, by person.
    """
    names = tuple(sorted(set(labels.values())))
    number = {name: place for place, name in enumerate(names)}
    of = np.array([number.get(labels.get(person, ""), -1) for person in histories.persons.to_pylist()], dtype=np.int64)
    persons, summary = histories.until(whole.end)
    covariate = whole.process.has_entry
    mine = [np.flatnonzero(of[persons] == place) for place in range(len(names))]
    filled = [place for place, rows in enumerate(mine) if len(rows)]
    if not filled:
        return Groups(names=(), of=np.full(len(histories), -1), fits=(), spread=np.zeros(SIZE))
    found = pooled([tuples_of(summary.take(mine[place]), whole.clock, whole.end, covariate=covariate) for place in filled], whole.kind, covariate=covariate)
    processes = dict(zip(filled, found.processes, strict=True))
    fits = tuple(replace(whole, process=processes.get(place, whole.process)) for place in range(len(names)))
    return Groups(names=names, of=of, fits=fits, spread=found.spread)
