"""How well records were matched: precision, recall and F1 over all true pairs, over clusters, and B-cubed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Score:
    """Precision, recall and their harmonic mean."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    def __str__(self) -> str:
        return f"{self.precision:.4f} / {self.recall:.4f} / {self.f1:.4f}"


def numbered(values: Any) -> Ints:
    """Small numbers for any labels.

    Examples:
        >>> numbered(["b", "a", "b"]).tolist()
        [1, 0, 1]
    """
    return np.asarray(np.unique(np.asarray(values).astype(str), return_inverse=True)[1], np.int64)


def pairs_in(labels: Ints) -> int:
    """How many pairs of records have the same label."""
    sizes = np.bincount(labels).astype(np.int64)
    return int((sizes * (sizes - 1) // 2).sum())


def of_pairs(left: Ints, right: Ints, truth: Ints) -> Score:
    """Pairs said to be one person's, against all pairs that are."""
    right_ones = int((truth[left] == truth[right]).sum())
    return Score(precision=right_ones / max(len(left), 1), recall=right_ones / max(pairs_in(truth), 1))


def best_of_pairs(left: Ints, right: Ints, weight: Any, truth: Ints) -> tuple[float, Score]:
    """The weight with the best F1, found with the truth in view, and the scores there."""
    order = np.argsort(-np.asarray(weight), kind="stable")
    hits = np.cumsum(truth[left[order]] == truth[right[order]])
    said = np.arange(1, len(order) + 1)
    precision, recall = hits / said, hits / max(pairs_in(truth), 1)
    best = int(np.argmax(2 * precision * recall / np.maximum(precision + recall, 1e-12)))
    return float(np.asarray(weight)[order[best]]), Score(precision=float(precision[best]), recall=float(recall[best]))


def of_clusters(found: Ints, truth: Ints) -> tuple[Score, Score]:
    """Pairs within clusters, and B-cubed: per record the share of its cluster that is its person's, and of its person that is in its cluster."""
    width = int(truth.max(initial=0)) + 1
    _, cell, counts = np.unique(found * width + truth, return_inverse=True, return_counts=True)
    counts = counts.astype(np.int64)
    right = int((counts * (counts - 1) // 2).sum())
    pairs = Score(precision=right / max(pairs_in(found), 1), recall=right / max(pairs_in(truth), 1))
    inside = counts[cell]
    return pairs, Score(precision=float((inside / np.bincount(found)[found]).mean()), recall=float((inside / np.bincount(truth)[truth]).mean()))


def exact_match(columns: list[Any]) -> Ints:
    """Clusters by plain equality of all of these columns; a record that lacks one of them is alone.

    Examples:
        >>> exact_match([["a", "a", None, None], ["x", "x", "y", "y"]]).tolist()
        [0, 0, 1, 2]
    """
    seen: dict[Any, int] = {}
    return np.array([seen.setdefault(row if None not in row else ("alone", number), len(seen)) for number, row in enumerate(zip(*columns, strict=True))], np.int64)
