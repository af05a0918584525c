"""Which rows judge which: stratified folds, or blocks of time of which each is judged by what came before it."""

from __future__ import annotations

import numpy as np

from kundig.understand.propensity.frames import Floats, Ints

Fold = tuple[Ints, Ints]


def stratified(outcome: Floats, count: int, seed: int) -> list[Fold]:
    """Folds with the same share of positives: (rows to learn from, rows to judge by), each row judged once."""
    chance = np.random.default_rng(seed)
    place = np.empty(len(outcome), np.int64)
    for kind in (0.0, 1.0):
        rows = np.flatnonzero(outcome == kind)
        place[chance.permutation(rows)] = np.arange(len(rows)) % count
    return [(np.flatnonzero(place != fold), np.flatnonzero(place == fold)) for fold in range(count)]


def by_time(time: Floats, outcome: Floats, count: int, decided: Floats | None = None) -> list[Fold]:
    """Folds in the order of time: block 2 is judged by a model of block 1, block 3 by one of blocks 1 and 2, and so on.

    Rows of one moment stay together. With `decided`, the moment each outcome was known, rows whose outcome was still open when the judged
    block began are not learnt from. Blocks without both outcomes on either side are left out.
    """
    _, place = np.unique(time, return_inverse=True)
    reached = np.cumsum(np.bincount(place)) / len(time)
    block_of = np.minimum((np.concatenate([[0.0], reached[:-1]]) * (count + 1)).astype(np.int64), count)
    block = block_of[place]
    found = []
    for fold in np.unique(block)[1:]:
        judged = np.flatnonzero(block == fold)
        before = block < fold
        if decided is not None:
            before &= decided <= time[judged].min()
        known = np.flatnonzero(before)
        if min(len(set(outcome[known].tolist())), len(set(outcome[judged].tolist()))) == 2:
            found.append((known, judged))
    return found
