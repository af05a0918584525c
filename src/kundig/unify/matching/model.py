"""The model: how much each level of agreement proves, learnt without labels (Fellegi and Sunter 1969; EM as Winkler 1988).

For each level of each component `m` is its share among pairs of one person, `u` among pairs of two; log2(m / u) is its weight. `u` comes from
random pairs, less what pairs of one person add to it; `m` from the pairs of several blocking rules, each of which teaches the components it does not look at. Where
two records are the same, a rare value proves more than a common one: there the value's own frequency takes the place of `u`.

Two people of one household are not two people taken at random: they share surname and address as one person's records do, and at times a phone. So
pairs of two are a mixture of strangers and of people who live together, and how many of the latter there are is learnt as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kundig.unify.matching.blocks import Candidates, Rule
from kundig.unify.matching.columns import Codes, Keys, Records
from kundig.unify.matching.levels import Component, Levels, compare, components

Floats = npt.NDArray[np.float64]

RANDOM_PAIRS = 1_000_000
ROUNDS = 60
SHARED = {"last_name": 1.0, "address": 1.0, "phone": 0.5, "email": 0.1, "birth_date": 0.03}
"""What people of one household share: always, or in so many of a hundred cases; a birth date as twins do."""
RAREST = 1e-6
"""Frequency below which a value proves no more: with so few, a clerk's habit is as likely as one person."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """What was learnt: shares of each level, the frequencies of values, and how many pairs of all are one person's."""

    m: Mapping[str, Floats]
    u: Mapping[str, Floats]
    prior: float
    household: float
    """The share of all pairs that are two people of one household; 0 where addresses or surnames were not given."""
    frequencies: Mapping[str, tuple[Keys, Floats]]
    """Per component: hashes of values (sorted) and the share of records that have them."""
    rare: Mapping[str, float]
    """Per component: what is assumed of values that are not listed."""
    records: int

    def weights(self, name: str) -> Floats:
        """log2(m / u) by level; 0 where nothing is known."""
        return level_weights(self.m[name], self.u[name])

    def to_json(self, *, least: int = 20) -> str:
        """The parameters as JSON; of frequencies only values that at least so many records have, by their hash: no value of a single person is in it."""
        said = {}
        for name, (hashes, shares) in self.frequencies.items():
            common = shares * self.records >= least
            said[name] = [[int(h), float(f"{s:.6g}")] for h, s in zip(hashes[common].tolist(), shares[common].tolist(), strict=True)]
        shares_of = {name: {"m": [float(f"{x:.6g}") for x in self.m[name]], "u": [float(f"{x:.6g}") for x in self.u[name]]} for name in sorted(self.m)}
        whole = {"components": shares_of, "prior": float(f"{self.prior:.6g}"), "household": float(f"{self.household:.6g}"), "frequencies": said, "rare": {k: float(f"{v:.6g}") for k, v in self.rare.items()}, "records": self.records}
        return json.dumps(whole, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Model:
        """The model that `to_json` wrote."""
        said = json.loads(text)
        shares = said["components"]
        return cls(
            m={name: np.array(one["m"]) for name, one in shares.items()}, u={name: np.array(one["u"]) for name, one in shares.items()}, prior=said["prior"], household=said["household"],
            frequencies={name: (np.array([h for h, _ in rows], np.int64), np.array([s for _, s in rows])) for name, rows in said["frequencies"].items()},
            rare=said["rare"], records=said["records"],
        )  # fmt: skip


def level_weights(m: Floats, u: Floats) -> Floats:
    """log2(m / u) by level; 0 where nothing is known."""
    found = np.log2(np.maximum(m, 1e-6) / np.maximum(u, 1e-9))
    found[0] = 0.0
    return np.asarray(found)


@dataclass(frozen=True, kw_only=True)
class Patterns:
    """Pairs by their pattern of levels: few thousand patterns stand for millions of pairs."""

    names: tuple[str, ...]
    levels: Levels
    """Per pattern a row of levels, in the order of `names`."""
    of_pair: Codes

    def counts(self, chosen: npt.NDArray[np.bool_] | None = None) -> Floats:
        """How many pairs (of those chosen) have each pattern."""
        which = self.of_pair if chosen is None else self.of_pair[chosen]
        return np.bincount(which, minlength=len(self.levels)).astype(np.float64)


def patterns(of: Records, left: Codes, right: Codes, tops: Mapping[str, int]) -> Patterns:
    """The pattern of each pair, and the distinct patterns."""
    names = tuple(tops)
    packed = np.zeros(left.size, np.int64)
    for part, found in chunked(of, left, right):
        for name in names:
            packed[part] *= tops[name] + 1
            packed[part] += found[name]
    coded = pc.dictionary_encode(pa.array(packed))
    distinct = coded.dictionary.to_numpy().copy()
    levels = np.zeros((len(distinct), len(names)), np.int8)
    for column in range(len(names) - 1, -1, -1):
        levels[:, column] = distinct % (tops[names[column]] + 1)
        distinct //= tops[names[column]] + 1
    return Patterns(names=names, levels=levels, of_pair=np.asarray(coded.indices.to_numpy(), np.int32))


def fit(of: Records, found: Sequence[Rule], pairs: Candidates, seen: Patterns) -> Model:
    """Learn the model from records, without being told who is who."""
    parts = components(of)
    frequencies = {one.name: value_shares(one) for one in parts if one.codes is not None}
    everywhere = random_shares(of, parts, frequencies)
    total = of.size * (of.size - 1) / 2
    u = everywhere
    prior, household, m = 0.0, 0.0, {name: _start(len(u[name])) for name in u}
    for _ in range(3):
        m = _learn(found, pairs, seen, u, m)
        prior, household = _priors(seen, m, u, total, prior)
        u = {name: _without_matches(everywhere[name], m[name], prior) for name in u}
    rare = {name: _rare(shares) for name, (_, shares) in frequencies.items()}
    return Model(m=m, u=u, prior=prior, household=household, frequencies=frequencies, rare=rare, records=of.size)


def value_shares(one: Component) -> tuple[Keys, Floats]:
    """Hashes of a component's values, sorted, and the share of records that have each, of those that have any."""
    assert one.codes is not None
    assert one.hashes is not None
    counts = np.bincount(one.codes[one.codes >= 0], minlength=len(one.hashes)).astype(np.float64)
    order = np.argsort(one.hashes, kind="stable")
    order = order[counts[order] > 0]
    return one.hashes[order], counts[order] / max(counts.sum(), 1.0)


def random_shares(of: Records, parts: Sequence[Component], frequencies: Mapping[str, tuple[Keys, Floats]]) -> dict[str, Floats]:
    """The share of each level among pairs taken at random; that of equal values by their frequencies."""
    rng = np.random.default_rng(1)
    left, right = (rng.integers(0, max(of.size, 1), RANDOM_PAIRS).astype(np.int32) for _ in range(2))
    apart = left != right
    levels = compare(of, left[apart], right[apart])
    found = {}
    for one in parts:
        counts = np.bincount(levels[one.name], minlength=one.top + 1).astype(np.float64)
        counts[0] = 0
        counts[1:] += 0.5
        shares = np.asarray(counts / counts.sum(), np.float64)
        if one.name in frequencies:
            same = float((frequencies[one.name][1] ** 2).sum())
            shares *= (1 - same) / max(1 - shares[one.top], 1e-9)
            shares[one.top] = same
        found[one.name] = shares
    return found


def _start(size: int) -> Floats:
    m = 0.02 + 0.98 * np.linspace(0, 1, size) ** 2
    m[0] = 0
    m[-1] *= 3
    return np.asarray(m / m.sum())


def _learn(found: Sequence[Rule], pairs: Candidates, seen: Patterns, u: Mapping[str, Floats], m: Mapping[str, Floats]) -> dict[str, Floats]:
    """m from one run of EM per rule, averaged by how many pairs of one person it found."""
    sums = {name: np.zeros(len(u[name])) for name in u}
    mass = dict.fromkeys(u, 0.0)
    for number, rule in enumerate(found):
        if not rule.teaches:
            continue
        counts = seen.counts((pairs.rules >> np.int64(number)) & 1 == 1)
        use = [name for name in seen.names if name not in rule.sees]
        if counts.sum() < 50 or not use:
            continue
        learnt, matches = _expectation(seen, counts, use, u, m)
        for name in use:
            sums[name] += learnt[name] * matches
            mass[name] += matches
    return {name: sums[name] / mass[name] if mass[name] > 0 else m[name] for name in u}


def _expectation(seen: Patterns, counts: Floats, use: Sequence[str], u: Mapping[str, Floats], m: Mapping[str, Floats]) -> tuple[dict[str, Floats], float]:
    there = counts > 0
    counts = counts[there]
    columns = {name: seen.levels[there, seen.names.index(name)] for name in use}
    learnt = {name: m[name] for name in use}
    share = 0.3
    for _ in range(ROUNDS):
        weight = np.full(len(counts), np.log(share / (1 - share)), np.float64)
        for name in use:
            by_level = np.log(np.maximum(learnt[name], 1e-9) / np.maximum(u[name], 1e-9))
            by_level[0] = 0
            weight += by_level[columns[name]]
        matching = counts / (1 + np.exp(-np.clip(weight, -60, 60)))
        before, share = share, float(np.clip(matching.sum() / counts.sum(), 1e-6, 1 - 1e-6))
        for name in use:
            by_level = np.bincount(columns[name], weights=matching, minlength=len(u[name])).astype(np.float64)
            by_level[0] = 0
            by_level[1:] += 0.5
            learnt[name] = np.asarray(by_level / by_level.sum(), np.float64)
        if abs(before - share) < 1e-6:
            break
    return learnt, float(share * counts.sum())


def _priors(seen: Patterns, m: Mapping[str, Floats], u: Mapping[str, Floats], total: float, start: float) -> tuple[float, float]:
    """The shares of all pairs that are one person's, and that are two people's of one household: the fixed point of what the candidates say."""
    counts = seen.counts()
    person, house = np.zeros(len(counts)), np.zeros(len(counts))
    for column, name in enumerate(seen.names):
        by_level = level_weights(m[name], u[name])
        person += by_level[seen.levels[:, column]]
        house += _of_household(name, by_level)[seen.levels[:, column]]
    total = max(total, 1.0)
    least = 1 / (total + 1)
    prior = start or 1.0 / np.sqrt(total + 1)
    living = {"last_name", "address"} <= set(seen.names)
    household = prior / 10 if living else 0.0
    for _ in range(200):
        one, two = prior * np.exp2(np.minimum(person, 200)), household * np.exp2(np.minimum(house, 200))
        every = one + two + (1 - prior - household)
        before = prior
        prior = float(np.clip((counts * one / every).sum() / total, least, 0.5))
        household = float(np.clip((counts * two / every).sum() / total, least / 10, 0.4)) if living else 0.0
        if abs(np.log(prior / before)) < 1e-5:
            break
    return prior, household


def _of_household(name: str, by_level: Floats) -> Floats:
    """What a level says for two people of one household against two strangers, as log2."""
    share = SHARED.get(name, 0.0)
    return np.asarray(by_level if share == 1.0 else np.log2((1 - share) + share * np.exp2(by_level)))


def _without_matches(everywhere: Floats, m: Floats, prior: float) -> Floats:
    """The shares among pairs of two people: what random pairs show, less the part that pairs of one person have in it."""
    u = np.maximum(everywhere - prior * m, 0.05 * everywhere)
    return np.asarray(u / u.sum())


def _rare(shares: Floats) -> float:
    """The usual share of values that stand on no list: the median of all."""
    return float(np.median(shares)) if shares.size else 1.0


def scores(model: Model, of: Records, left: Codes, right: Codes, levels: Mapping[str, Levels]) -> npt.NDArray[np.float32]:
    """The weight of each pair: log2 of the odds that both records are one person's."""
    person, house = np.zeros(left.size, np.float32), np.zeros(left.size, np.float32)
    for one in components(of):
        by_level = model.weights(one.name)
        level = levels[one.name]
        person += by_level.astype(np.float32)[level]
        if model.household:
            house += _of_household(one.name, by_level).astype(np.float32)[level]
        if one.codes is not None and one.name in model.frequencies:
            same = np.flatnonzero(level == one.top)
            share = np.maximum(shares_of(model, one), RAREST)
            own = np.log2(model.u[one.name][one.top] / share).astype(np.float32)[one.codes[left[same]]]
            person[same] += own
            if SHARED.get(one.name) == 1.0:
                house[same] += own
    strangers = 1 - model.prior - model.household
    others = np.log2(strangers + model.household * np.exp2(np.clip(house, -100, 100))) if model.household else np.float32(np.log2(strangers))
    return np.asarray(np.float32(np.log2(model.prior)) + person - others, np.float32)


def shares_of(model: Model, one: Component) -> Floats:
    """The frequency of each value of a component, as the model knows it."""
    assert one.hashes is not None
    hashes, shares = model.frequencies[one.name]
    found = np.full(one.hashes.size, model.rare[one.name])
    if hashes.size:
        place = np.clip(np.searchsorted(hashes, one.hashes), 0, hashes.size - 1)
        known = hashes[place] == one.hashes
        found[known] = shares[place[known]]
    return found


def probability(weight: Any) -> Floats:
    """The probability that a weight stands for.

    Examples:
        >>> probability(np.array([0.0, 10.0])).round(4).tolist()
        [0.5, 0.999]
    """
    return np.asarray(1 / (1 + np.exp2(-np.clip(np.asarray(weight, np.float64), -60, 60))))


def chunked(of: Records, left: Codes, right: Codes, *, size: int = 2_000_000) -> Any:
    """Levels of many pairs, a part at a time: (slice, levels)."""
    for start in range(0, left.size, size):
        part = slice(start, min(start + size, left.size))
        yield part, compare(of, left[part], right[part])


