"""The mixture of groups: normal scores and levels, independent within a group but for one common factor; fitted by EM in two matrix products.

People's numbers go together without there being groups: who orders more visits more and spends more. A mixture of independent columns
takes that for groups. So each person has, beside a group, a factor f ~ N(0, 1), on which scores load by `loads` and levels by `tilts`, the
same in all groups. The integral over f is a sum over a few Gauss-Hermite nodes, so that a group times a node is a column of the E-step's product
features × weights, and sums of the features by responsibility are the M-step's. What is not known has a zero in every feature and is left
out of the likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from kundig.understand.personas.columns import Floats, Ints, Plan

NODES = 5
"""Gauss-Hermite nodes of the factor: with three, a strong factor would look like groups."""
FLOOR = 0.2
"""Least variance of a score within a group: below it a group is a tie, not people."""
POOLED = 50.0
"""Persons of the pooled variance that each group's own is mixed with."""
RIDGE = 50.0
"""Persons' worth of doubt that levels go with the factor."""


@cache
def nodes(count: int) -> tuple[Floats, Floats]:
    """Places and log weights of a standard normal's nodes.

    Examples:
        >>> nodes(3)[0].round(3).tolist()
        [-1.732, 0.0, 1.732]
    """
    if count == 1:
        return np.zeros(1), np.zeros(1)
    places, weights = np.polynomial.hermite_e.hermegauss(count)
    return places, np.log(weights / weights.sum())


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Parameters of groups: `share` (groups), `mean` and `variance` (groups × scores), `loads` (scores), per levelled column `chance` (groups × levels, at f = 0) and `tilts` (levels)."""

    share: Floats
    mean: Floats
    variance: Floats
    loads: Floats
    chance: tuple[Floats, ...]
    tilts: tuple[Floats, ...]

    @property
    def groups(self) -> int:
        """Number of groups."""
        return len(self.share)

    @property
    def free(self) -> int:
        """Free parameters."""
        k = self.groups
        levels = sum(int(chance.shape[1]) - 1 for chance in self.chance)
        return k - 1 + (2 * k + 1) * len(self.loads) + (k + 1) * levels

    def weights(self, count: int) -> tuple[Floats, Floats]:
        """Weights (features × groups · nodes) and offsets, so that features @ weights + offsets is the log density of person, group and node."""
        places, logs = nodes(count)
        mean = self.mean[:, None, :] + self.loads * places[None, :, None]
        precision = np.broadcast_to(1.0 / self.variance[:, None, :], mean.shape)
        shape = (self.groups, count)
        blocks = [-0.5 * np.log(2 * np.pi / precision) - 0.5 * mean**2 * precision, mean * precision, -0.5 * precision]
        blocks += [np.broadcast_to(part, (*shape, part.shape[2])) for part in (tilted(c, t, places) for c, t in zip(self.chance, self.tilts, strict=True))]
        return np.concatenate(blocks, axis=2).reshape(self.groups * count, -1).T, (np.log(self.share)[:, None] + logs).reshape(-1)

    def memberships(self, features: Floats, count: int = NODES) -> Floats:
        """Probability of each group for each person (persons × groups)."""
        weights, offsets = self.weights(count)
        joint = features @ weights
        joint += offsets
        joint -= joint.max(axis=1, keepdims=True)
        np.exp(joint, out=joint)
        groups = joint.reshape(len(joint), self.groups, count).sum(axis=2)
        return np.asarray(groups / groups.sum(axis=1, keepdims=True))

    def as_dict(self) -> dict[str, Any]:
        """Plain lists, for `models`."""
        return {
            "share": self.share.tolist(), "mean": self.mean.tolist(), "variance": self.variance.tolist(), "loads": self.loads.tolist(),
            "chance": [part.tolist() for part in self.chance], "tilts": [part.tolist() for part in self.tilts],
        }  # fmt: skip

    @classmethod
    def of(cls, told: dict[str, Any]) -> Mixture:
        """The mixture of such lists."""
        groups = len(told["share"])
        return cls(
            share=np.array(told["share"]), mean=np.array(told["mean"]).reshape(groups, -1), variance=np.array(told["variance"]).reshape(groups, -1),
            loads=np.array(told["loads"], dtype=np.float64), chance=tuple(np.array(part) for part in told["chance"]), tilts=tuple(np.array(part) for part in told["tilts"]),
        )  # fmt: skip

    def take(self, order: Ints) -> Mixture:
        """The groups in another order."""
        return Mixture(
            share=self.share[order], mean=self.mean[order], variance=self.variance[order], loads=self.loads,
            chance=tuple(part[order] for part in self.chance), tilts=self.tilts,
        )  # fmt: skip


def tilted(chance: Floats, tilts: Floats, places: Floats) -> Floats:
    """Log chance of each level by group and node (groups × nodes × levels)."""
    logs = np.log(chance)[:, None, :] + tilts * places[None, :, None]
    top = logs.max(axis=2, keepdims=True)
    return np.asarray(logs - top - np.log(np.exp(logs - top).sum(axis=2, keepdims=True)))


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A mixture, its log-likelihood on the persons it was fitted on, and whether EM came to rest."""

    mixture: Mixture
    log_likelihood: float
    settled: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Persons that mixtures are fitted on: their features, and how those are laid out."""

    features: Floats
    scores: int
    slices: tuple[slice, ...]
    count: int = NODES
    everyone: tuple[Floats, ...] = field(init=False)

    def __post_init__(self) -> None:
        totals = self.features.sum(axis=0)
        shares = tuple((totals[place] + 0.5) / (totals[place].sum() + 0.5 * (place.stop - place.start)) for place in self.slices)
        object.__setattr__(self, "everyone", shares)

    @classmethod
    def of(cls, plan: Plan, features: npt.NDArray[Any], *, count: int = NODES) -> Sample:
        """A sample from a plan's feature matrix."""
        return cls(features=np.asfortranarray(features, dtype=np.float64), scores=len(plan.numbers), slices=plan.slices, count=count)

    def __len__(self) -> int:
        return len(self.features)

    def rows(self, chosen: npt.NDArray[Any], *, count: int | None = None) -> Sample:
        """These persons alone, or all with another number of nodes."""
        return Sample(features=np.asfortranarray(self.features[chosen]), scores=self.scores, slices=self.slices, count=count or self.count)

    def expect(self, mixture: Mixture) -> tuple[Floats, float]:
        """Responsibilities (persons × groups · nodes), and the log-likelihood."""
        joint, densities = self._expected(mixture)
        return joint, float(densities.sum())

    def densities(self, mixture: Mixture) -> Floats:
        """Log density of each person."""
        return self._expected(mixture)[1]

    def _expected(self, mixture: Mixture) -> tuple[Floats, Floats]:
        weights, offsets = mixture.weights(self.count)
        joint = scipy.linalg.blas.dgemm(1.0, self.features, weights)
        joint += offsets
        top = joint.max(axis=1, keepdims=True)
        joint -= top
        np.exp(joint, out=joint)
        total = joint.sum(axis=1, keepdims=True)
        joint /= total
        return joint, np.asarray((top + np.log(total))[:, 0])

    def groups(self, mixture: Mixture) -> Floats:
        """Probability of each group for each person."""
        return np.asarray(self.expect(mixture)[0].reshape(len(self), mixture.groups, self.count).sum(axis=2))

    def maximise(self, joint: Floats, mixture: Mixture) -> Mixture:
        """The parameters that responsibilities ask for, given the last ones."""
        k, d = mixture.groups, self.scores
        sums = scipy.linalg.blas.dgemm(1.0, joint, self.features, trans_a=True).reshape(k, self.count, -1)
        share = (joint.sum(axis=0).reshape(k, self.count).sum(axis=1) + 1.0) / (len(self) + k)
        mean, variance, loads = self._scores(sums[:, :, :d], sums[:, :, d : 2 * d], sums[:, :, 2 * d : 3 * d], mixture)
        pairs = [self._levels(sums[:, :, place], *parts) for place, parts in zip(self.slices, zip(mixture.chance, mixture.tilts, self.everyone, strict=True), strict=True)]
        return Mixture(share=share, mean=mean, variance=variance, loads=loads, chance=tuple(a for a, _ in pairs), tilts=tuple(b for _, b in pairs))

    def _scores(self, known: Floats, first: Floats, second: Floats, mixture: Mixture) -> tuple[Floats, Floats, Floats]:
        places = nodes(self.count)[0][None, :, None]
        mean, loads, size = mixture.mean, mixture.loads, known.sum(axis=1) + 1e-6
        for _ in range(2):
            mean = (first.sum(axis=1) - loads * (known * places).sum(axis=1)) / size
            if self.count > 1:
                pull = ((places * first).sum(axis=1) - mean * (places * known).sum(axis=1)) / mixture.variance
                loads = pull.sum(axis=0) / (((places**2 * known).sum(axis=1) / mixture.variance).sum(axis=0) + 1e-6)
        at = mean[:, None, :] + loads * places
        squares = (second - 2 * at * first + at**2 * known).sum(axis=1)
        pooled = squares.sum(axis=0) / size.sum(axis=0)
        return mean, np.maximum((squares + POOLED * pooled) / (size + POOLED), FLOOR), loads

    def _levels(self, counts: Floats, chance: Floats, tilts: Floats, everyone: Floats) -> tuple[Floats, Floats]:
        """One round of proportional fitting of the chances, and one damped Newton step of the tilts."""
        places = nodes(self.count)[0]
        persons, prior = counts.sum(axis=2, keepdims=True), everyone * len(everyone) / 2
        for _ in range(2 if self.count > 1 else 1):
            expected = (persons * np.exp(tilted(chance, tilts, places))).sum(axis=1)
            chance = np.maximum(chance * (counts.sum(axis=1) + prior) / (expected + prior), 1e-6)
            chance = chance / chance.sum(axis=1, keepdims=True)
            if self.count > 1:
                now, at = np.exp(tilted(chance, tilts, places)), places[None, :, None]
                slope = (at * (counts - persons * now)).sum(axis=(0, 1)) - RIDGE * tilts
                bend = (at**2 * persons * now * (1 - now)).sum(axis=(0, 1)) + RIDGE
                tilts = tilts + 0.7 * np.clip(slope / bend, -0.3, 0.3)
                tilts = tilts - tilts @ everyone
        return chance, tilts

    def start(self, groups: Floats) -> Mixture:
        """Parameters for probabilities of groups (persons × groups); the factor is the first one of what the groups leave unexplained."""
        d, sums = self.scores, groups.T @ self.features
        known, first, second = sums[:, :d] + 1e-6, sums[:, d : 2 * d], sums[:, 2 * d : 3 * d]
        mean = first / (known + 1.0)
        squares = second - 2 * mean * first + mean**2 * known
        pooled = squares.sum(axis=0) / known.sum(axis=0)
        variance = np.maximum((squares + POOLED * pooled) / (known + POOLED), FLOOR)
        loads = np.zeros(d)
        if self.count > 1 and d > 1:
            rest = self.features[:, d : 2 * d] - (groups @ mean) * self.features[:, :d]
            loads = _first_factor(rest.T @ rest / np.maximum(self.features[:, :d].T @ self.features[:, :d], 1.0))
            variance = np.maximum(variance - loads**2, FLOOR)
        chance = tuple((sums[:, place] + p * len(p) / 2) / (sums[:, place].sum(axis=1, keepdims=True) + len(p) / 2) for place, p in zip(self.slices, self.everyone, strict=True))
        return Mixture(
            share=(groups.sum(axis=0) + 1.0) / (len(self) + groups.shape[1]), mean=mean, variance=variance, loads=loads,
            chance=tuple(np.maximum(part, 1e-6) for part in chance), tilts=tuple(np.zeros(len(p)) for p in self.everyone),
        )  # fmt: skip

    def climb(self, mixture: Mixture, *, rounds: int, tolerance: float) -> Fit:
        """EM until a round gains less than `tolerance` per person, or `rounds` are over."""
        old, likelihood = -np.inf, -np.inf
        for _ in range(rounds):
            joint, likelihood = self.expect(mixture)
            if likelihood - old < tolerance * len(self):
                return Fit(mixture=mixture, log_likelihood=likelihood, settled=True)
            old, mixture = likelihood, self.maximise(joint, mixture)
        return Fit(mixture=mixture, log_likelihood=self.expect(mixture)[1], settled=False)

    @cached_property
    def spread(self) -> Floats:
        """Persons as points whose distances k-means may take: scores, and levels by (one-hot - share) / √share."""
        blocks = [self.features[:, self.scores : 2 * self.scores]]
        for place, share in zip(self.slices, self.everyone, strict=True):
            hot = self.features[:, place]
            blocks.append((hot - hot.sum(axis=1, keepdims=True) * share) / np.sqrt(share))
        return np.concatenate(blocks, axis=1)

    def fit(self, groups: int, seed: int, *, starts: int = 4, keep: int = 2, rounds: int = 80, tolerance: float = 4e-5) -> Fit:
        """The best of several starts: k-means each, a few rounds of EM, and the most promising to the end."""
        if groups == 1:
            return self.climb(self.start(np.ones((len(self), 1))), rounds=rounds, tolerance=tolerance)
        random = np.random.default_rng([seed, groups])
        tried = [self.climb(self.start(_clusters(self.spread, groups, random)), rounds=8, tolerance=1e-4) for _ in range(starts)]
        tried.sort(key=lambda fit: -fit.log_likelihood)
        ends = [self.climb(fit.mixture, rounds=rounds, tolerance=tolerance) for fit in tried[:keep]]
        return max(ends, key=lambda fit: fit.log_likelihood)


def _first_factor(covariance: Floats) -> Floats:
    """Loadings of the first common factor of a covariance matrix."""
    own = np.diag(covariance)
    common, off = 0.3 * own, covariance - np.diag(own)
    loads = np.zeros(len(own))
    for _ in range(20):
        values, vectors = np.linalg.eigh(off + np.diag(common))
        loads = vectors[:, -1] * np.sqrt(max(float(values[-1]), 0.0))
        common = np.minimum(loads**2, 0.8 * own)
    return loads if loads.sum() >= 0 else -loads


def _clusters(points: Floats, groups: int, random: np.random.Generator) -> Floats:
    """Soft labels of a short k-means whose centres are drawn far apart."""
    centres = points[[int(random.integers(len(points)))]]
    away = ((points - centres[0]) ** 2).sum(axis=1)
    for _ in range(groups - 1):
        total = away.sum()
        drawn = int(random.choice(len(points), p=away / total)) if total > 0 else int(random.integers(len(points)))
        centres = np.vstack([centres, points[drawn]])
        away = np.minimum(away, ((points - points[drawn]) ** 2).sum(axis=1))
    label = np.zeros(len(points), np.int64)
    for _ in range(6):
        label = ((centres**2).sum(axis=1) - 2 * points @ centres.T).argmin(axis=1)
        hot = np.eye(groups)[label]
        sizes = hot.sum(axis=0)
        centres = np.where(sizes[:, None] > 0, (hot.T @ points) / np.maximum(sizes, 1.0)[:, None], centres)
    return np.asarray(np.eye(groups)[label] * 0.9 + 0.1 / groups)
