"""Groups of persons (channel of acquisition, segment): a process each, drawn to that of all as far as the group says little (empirical Bayes).

Parameters of groups are taken as normal around a common mean, on the log scale. Mean and spread come from the groups themselves, by
expectation-maximisation: each group's parameters with the greatest posterior, their doubt from the curvature there. A group of many
persons keeps its own, one of few is given everybody's, and where groups do not differ the spread goes to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kundig.understand.lifetime_value import holdout
from kundig.understand.lifetime_value.fitted import Fitted, Scores, Terms
from kundig.understand.lifetime_value.histories import Histories, Summary
from kundig.understand.lifetime_value.kinds import Kind, fitted_process
from kundig.understand.lifetime_value.process import SIZE, Floats, Ints, Prior, Purchasing, Tuples
from kundig.understand.lifetime_value.season import Clock, tuples_of

ROUNDS = 12
SETTLED = 0.01
FLOOR, WEIGHT = 0.1, 1.0
"""A spread of 0.1 is assumed with the weight of one group: so few groups cannot say that they are all alike, or all apart."""
MOST = 20
"""Groups that get parameters of their own, those of most persons: what is beyond that says little, and costs as much."""


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
    """The model with a process for each group, the group of each person of the histories (null: none), and how far groups lie apart."""

    fitted: Fitted
    labels: pa.Array
    spread: Floats

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the groups that have a person."""
        return tuple(self.fitted.groups)

    def scores(self, persons: Ints, summary: Summary, *, end: int, horizon: float, terms: Terms) -> Scores:
        """What is expected of these persons, each by the model of the person's group; of those without a group by that of all. `terms` are alike for all."""
        parts = [(mine, model.score(summary.take(mine), end=end, horizon=horizon, terms=terms)) for model, mine in apart(self.fitted, self.labels.take(pa.array(persons))) if len(mine)]
        if not parts:
            return self.fitted.score(summary, end=end, horizon=horizon, terms=terms)
        place = np.argsort(np.concatenate([mine for mine, _ in parts]))
        return Scores(**{part.name: np.concatenate([getattr(found, part.name) for _, found in parts])[place] for part in fields(Scores)})


def grouped(whole: Fitted, histories: Histories, labels: dict[Any, str], *, by: str) -> Groups:
    """The pooled models of groups.

    Args:
        whole: The model of all; its clock and its spend hold for every group.
        labels: The group of persons, by person.
        by: What the groups are, as the column is called.
    """
    said = pa.array([labels.get(person) for person in histories.persons.to_pylist()], pa.string())
    names = sorted(set(labels.values()))
    persons, summary = histories.until(whole.end)
    of = _numbers(said, names)[persons]
    processes, spread = _processes(whole.kind, whole.clock, whole.process.has_entry, summary, of, whole.end)
    return Groups(fitted=replace(whole, groups={names[place]: process for place, process in processes.items()}, grouped_by=by), labels=said, spread=spread)


def _numbers(labels: pa.Array | pa.ChunkedArray, names: Sequence[str]) -> Ints:
    """The number of each label among the names; -1 where it is none of them."""
    return np.asarray(pc.fill_null(pc.index_in(labels, value_set=pa.array(names, pa.string())), -1).to_numpy(zero_copy_only=False), np.int64)


def _processes(kind: Kind, clock: Clock, covariate: bool, summary: Summary, of: Ints, end: int) -> tuple[dict[int, Purchasing], Floats]:
    """The pooled process of each group that has a person, by its number, and how far groups lie apart."""
    filled = [int(place) for place in np.unique(of) if place >= 0]
    if not filled:
        return {}, np.zeros(SIZE)
    found = pooled([tuples_of(summary.take(np.flatnonzero(of == place)), clock, end, covariate=covariate) for place in filled], kind, covariate=covariate)
    return dict(zip(filled, found.processes, strict=True)), found.spread


@dataclass(frozen=True, kw_only=True)
class Tested:
    """The model with its groups where back-tests prefer them, else as it was; with the back-tests of both, the newest first."""

    fitted: Fitted
    names: tuple[str, ...]
    checks: tuple[tuple[holdout.Check, holdout.Check], ...]
    vote: float

    @property
    def used(self) -> bool:
        """Whether groups have processes of their own."""
        return bool(self.fitted.groups)

    def as_dict(self) -> dict[str, Any]:
        """What is told of it: names, vote, and the back-tests of groups."""
        return {"by": self.fitted.grouped_by, "names": list(self.names), "used": self.used, "vote": self.vote, "checks": [grouped.as_dict() for _, grouped in self.checks]}


def tested(whole: Fitted, histories: Histories, persons: pa.Array, labels: pa.Array, *, by: str) -> Tested:
    """The model with a process for each group, where back-tests prefer it to that of all.

    Without a back-test nothing is known for groups, and the model of all stays.

    Args:
        whole: The model of all.
        histories: The histories it was fitted on.
        persons: Persons with a label.
        labels: The group of each; null: none.
        by: What the groups are, as the column is called.
    """
    sizes = pc.value_counts(labels.drop_null())
    most = sorted(((-row["counts"], row["values"]) for row in sizes.to_pylist()), key=lambda pair: pair)[:MOST]
    names = tuple(sorted(name for _, name in most))
    place = pc.index_in(histories.persons, value_set=persons)
    of = _numbers(labels.take(place), names)
    stride = -(-len(histories) // holdout.SAMPLE)
    sample = histories.sample(holdout.SAMPLE)
    checks = tuple(_compared(whole.kind, sample, of[:: max(stride, 1)], whole.end))
    vote = float(np.mean([holdout.vote(one, other) for one, other in checks])) if checks else 0.0
    told = replace(whole, groups={}, grouped_by=by)
    if vote <= 0.0:
        return Tested(fitted=told, names=names, checks=checks, vote=vote)
    there, summary = histories.until(whole.end)
    processes, _ = _processes(whole.kind, whole.clock, whole.process.has_entry, summary, of[there], whole.end)
    return Tested(fitted=replace(told, groups={names[place]: process for place, process in processes.items()}), names=names, checks=checks, vote=vote)


def _compared(kind: Kind, histories: Histories, of: Ints, end: int) -> Iterator[tuple[holdout.Check, holdout.Check]]:
    """Back-tests of the model of all and of that of groups, from the same days."""
    for cut, days in holdout.cut_offs(histories, end):
        model = holdout.counting(kind, histories, cut)
        persons, summary = histories.until(cut)
        predicted = model.expected(summary, cut, days)
        processes, _ = _processes(kind, model.clock, model.process.has_entry, summary, of[persons], cut)
        one = holdout.checked(model, histories, cut, days, told=predicted.copy())
        for place, process in processes.items():
            mine = np.flatnonzero(of[persons] == place)
            predicted[mine] = replace(model, process=process).expected(summary.take(mine), cut, days)
        yield one, holdout.checked(model, histories, cut, days, told=predicted)


def apart(whole: Fitted, labels: pa.Array | pa.ChunkedArray) -> Iterator[tuple[Fitted, Ints]]:
    """The model of each group with the positions of the labels it speaks for; those of no such group are spoken for by the model of all."""
    names = list(whole.groups)
    plain = replace(whole, groups={}, grouped_by="")
    number = _numbers(labels, names)
    for place, model in ((-1, plain), *((place, replace(plain, process=whole.groups[name])) for place, name in enumerate(names))):
        yield model, np.flatnonzero(number == place)
