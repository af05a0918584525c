"""Clusters from scored pairs: average linkage within each connected component, so that evidence against counts as evidence for does.

A chain of likely pairs makes strangers one person if only the pairs of the chain are asked. Here all pairs of a component are scored, also those that no rule
proposed, and two groups join only while the mean weight between them is positive: a component falls apart where its evidence is weakest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kundig.unify.matching.columns import Codes, Keys
from kundig.unify.union_find import compiled, components

Weights = npt.NDArray[np.float32]
Score = Callable[[Codes, Codes], Weights]

STOP = 0.0
"""Mean weight that two groups must reach to join."""
CAP, FLOOR = 12.0, -4.0
"""A single pair says no more than this for or against: what two records share by mistake is not outvoted otherwise."""
LARGEST = 600
"""Records of a component that are compared each with each; a larger one is cut at its weakest pairs first."""
CHUNK = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Linked:
    """The cluster of each record, named by its smallest record, and the pairs that were scored on the way."""

    label: Codes
    left: Codes
    right: Codes
    weight: Weights


def clusters(count: int, left: Codes, right: Codes, weight: Weights, score: Score, *, stop: float = STOP, kept: float = -6.0) -> Linked:
    """The clusters of `count` records.

    Args:
        count: Number of records.
        left: Of each scored pair one record.
        right: And the other.
        weight: log2 of the odds that both are one person's.
        score: Gives the weights of pairs that were not scored yet.
        stop: Mean weight at which groups no longer join.
        kept: Weight from which on a pair that was scored on the way is told.
    """
    positive = weight >= stop
    left, right, weight = left[positive], right[positive], weight[positive]
    label = _within(count, left, right, weight, stop)
    order = np.argsort(label, kind="stable").astype(np.int32)
    more: list[tuple[Codes, Codes, Weights]] = []
    starts = np.flatnonzero(np.concatenate([[True], label[order][1:] != label[order][:-1]])) if count else np.empty(0, np.int64)
    sizes = np.diff(np.append(starts, count))
    for part in _parts(starts[sizes > 2], sizes[sizes > 2]):
        begin, size = part
        a, b = _all_pairs(order, begin, size)
        found = score(a, b)
        _join(order, begin, size, np.clip(found, FLOOR, CAP).astype(np.float32), np.float32(stop), label)
        likely = found >= kept
        more.append((a[likely], b[likely], found[likely]))
    one, other, weights = (np.concatenate([part[side] for part in more]) if more else np.empty(0, kind) for side, kind in enumerate((np.int32, np.int32, np.float32)))
    return Linked(label=label, left=np.minimum(one, other), right=np.maximum(one, other), weight=weights)


def _within(count: int, left: Codes, right: Codes, weight: Weights, stop: float) -> Codes:
    """Components of at most LARGEST records: of larger ones the weakest pairs are left out until they fall apart."""
    kept = np.ones(left.size, np.bool_)
    while True:
        label = components(left, right, count, kept) if left.size else np.arange(count, dtype=np.int32)
        sizes = np.bincount(label, minlength=count)
        large = kept & (sizes[label[left]] > LARGEST) if left.size else kept
        if not large.any():
            return label
        stop += 1.0
        kept &= ~(large & (weight < stop))
        if stop > 4 * CAP:  # all alike: nothing tells them apart
            kept &= ~large


def _parts(starts: Keys, sizes: Keys) -> list[tuple[Keys, Keys]]:
    """Components in groups whose pairs fit into memory."""
    pairs = np.cumsum(sizes * (sizes - 1) // 2)
    group = pairs // CHUNK
    cuts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1], [True]])) if sizes.size else np.empty(0, np.int64)
    return [(starts[a:b], sizes[a:b]) for a, b in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)]


@compiled
def _all_pairs(order: Any, starts: Any, sizes: Any) -> Any:
    total = 0
    for size in sizes:
        total += size * (size - 1) // 2
    one, other = np.empty(total, np.int32), np.empty(total, np.int32)
    at = 0
    for c in range(starts.size):
        for i in range(sizes[c]):
            for j in range(i + 1, sizes[c]):
                one[at], other[at] = order[starts[c] + i], order[starts[c] + j]
                at += 1
    return one, other


@compiled
def _join(order: Any, starts: Any, sizes: Any, weight: Any, stop: Any, label: Any) -> Any:
    """Average linkage of each component by chains of nearest neighbours; of equals the first one is nearer."""
    at = 0
    for c in range(starts.size):
        size = sizes[c]
        near = np.empty((size, size), np.float32)
        for i in range(size):
            near[i, i] = -1e9
            for j in range(i + 1, size):
                near[i, j] = weight[at]
                near[j, i] = weight[at]
                at += 1
        members = np.ones(size, np.int32)
        group = np.arange(size)
        open_ = np.ones(size, np.bool_)
        chain = np.empty(size + 1, np.int64)
        length = 0
        first = 0
        while True:
            if length == 0:
                while first < size and not open_[first]:
                    first += 1
                if first == size:
                    break
                chain[0] = first
                length = 1
            a = chain[length - 1]
            best, b = np.float32(-1e9), -1
            if length > 1:
                b = chain[length - 2]
                best = near[a, b]
            for j in range(size):
                if open_[j] and near[a, j] > best and j != a:
                    best, b = near[a, j], j
            if b < 0 or best < stop:
                open_[a] = False  # nobody is near enough, and joins of others bring nobody nearer
                length -= 1
                continue
            if length > 1 and b == chain[length - 2]:
                keep, gone = min(a, b), max(a, b)
                total = members[keep] + members[gone]
                for j in range(size):
                    if open_[j] and j != keep and j != gone:
                        mean = (near[keep, j] * members[keep] + near[gone, j] * members[gone]) / total
                        near[keep, j] = mean
                        near[j, keep] = mean
                members[keep] = total
                open_[gone] = False
                for j in range(size):
                    if group[j] == gone:
                        group[j] = keep
                length -= 2
                continue
            chain[length] = b
            length += 1
        for i in range(size):
            label[order[starts[c] + i]] = order[starts[c] + group[i]]
