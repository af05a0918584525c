"""A population without groups: the same margins, the same gaps and the same correlations as a real one, joined by a Gaussian copula.

What a search for groups gains on it is what correlation alone can give; only what it gains beyond that speaks for groups.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import scipy

from kundig.understand.personas.columns import Column, Floats, Ints, Plan, numbers

Known = npt.NDArray[np.bool_]


class Null:
    """What is drawn from: the latent correlation of all columns, and each column's own values in their order.

    Each column is taken as a standard normal that was cut into its distinct values: a level in the place it has along what it goes with most.
    The correlation of two latent normals is that of the means of their cuts, over the variances of those means, since a cut hides a part of it.
    """

    def __init__(self, plan: Plan, table: pa.Table) -> None:
        self.names = [column.name for column in plan.columns]
        self.values = [table[name].combine_chunks() for name in self.names]
        latent, self.known = np.zeros((table.num_rows, len(self.names))), np.zeros((table.num_rows, len(self.names)), dtype=bool)
        codes = {j: column.codes(table[column.name]) for j, column in enumerate(plan.columns) if column.kind == "level"}
        for j, column in enumerate(plan.columns):
            if j not in codes:
                amounts = numbers(table[column.name])
                self.known[:, j] = np.isfinite(amounts)
                latent[self.known[:, j], j] = _means_of_cuts(amounts[self.known[:, j]])
        points = _points(latent, plan.columns, codes)
        for j, levels in codes.items():
            self.known[:, j] = levels >= 0
            others = np.concatenate([part for other, part in points.items() if other != j] or [np.zeros((len(latent), 1))], axis=1)
            latent[self.known[:, j], j] = _means_of_cuts(_places(levels[self.known[:, j]], others[self.known[:, j]]))
        self.order: list[Ints] = []
        for j in range(len(self.names)):
            rows = np.flatnonzero(self.known[:, j])
            self.order.append(rows[np.argsort(latent[rows, j], kind="stable")])
        self.root = np.linalg.cholesky(_correlation(latent, self.known))

    def draw(self, seed: int) -> pa.Table:
        """A table of as many persons, groups taken out."""
        random = np.random.default_rng([seed, 4711])
        latent = random.standard_normal(self.known.shape) @ self.root.T
        columns = {}
        for j, name in enumerate(self.names):
            order = self.order[j]
            rows = order[np.minimum((scipy.special.ndtr(latent[:, j]) * len(order)).astype(np.int64), len(order) - 1)]
            columns[name] = self.values[j].take(pa.array(rows, mask=~self.known[:, j]))
        return pa.table(columns)


def _means_of_cuts(values: Floats) -> Floats:
    """Of each value the mean of a standard normal between the quantiles that the value spans."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    edges = np.exp(-0.5 * scipy.special.ndtri(np.r_[0.0, np.cumsum(counts)] / counts.sum()) ** 2) / math.sqrt(2 * math.pi)
    return np.asarray(((edges[:-1] - edges[1:]) * (counts.sum() / counts))[place])


def _points(latent: Floats, columns: tuple[Column, ...], codes: dict[int, Ints]) -> dict[int, Floats]:
    """Each column as coordinates: normal scores, or levels as (one-hot - share) / √share."""
    found = {j: latent[:, [j]] for j in range(len(columns)) if j not in codes}
    for j, levels in codes.items():
        hot = np.eye(len(columns[j].levels) + 1)[levels][:, :-1]
        share = np.maximum(hot.sum(axis=0) / max(hot.sum(), 1.0), 1e-6)
        found[j] = (hot - hot.sum(axis=1, keepdims=True) * share) / np.sqrt(share)
    return found


def _places(codes: Ints, others: Floats) -> Floats:
    """Levels as numbers in the order they have along the direction in which their persons differ most."""
    _, place = np.unique(codes, return_inverse=True)
    sizes = np.bincount(place).astype(np.float64)
    means = np.stack([np.bincount(place, column) for column in others.T], axis=1) / sizes[:, None]
    means -= sizes @ means / sizes.sum()
    along = np.linalg.svd(means * np.sqrt(sizes)[:, None], full_matrices=False)[2][0]
    return np.asarray(np.argsort(np.argsort(means @ along, kind="stable"), kind="stable")[place], dtype=np.float64)


def _correlation(latent: Floats, known: Known) -> Floats:
    """Correlations of the uncut normals, by the pairs that are known together, made positive definite."""
    pairs = np.maximum(known.T.astype(np.float64) @ known, 1.0)
    covariance = latent.T @ latent / pairs
    variance = np.maximum(np.diag(covariance), 1e-9)
    found = np.clip(covariance / np.outer(variance, variance), -0.98, 0.98)
    np.fill_diagonal(found, 1.0)
    values, vectors = np.linalg.eigh(found)
    found = (vectors * np.maximum(values, 1e-2)) @ vectors.T
    spread = np.sqrt(np.diag(found))
    return np.asarray(found / np.outer(spread, spread))
