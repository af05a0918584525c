"""Distinct rows of small integers: many persons share their few numbers, and work is done once for all of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
DENSE = 4
"""Codes are marked in a table instead of sorted where the table has at most so many places per row."""
SMALL = 1_000_000
"""A table of that size is marked in any case."""


def inner(left: Floats, right: Floats) -> float:
    """Sum of products in one thread: BLAS spreads so small a work over threads, which costs more than it saves and is ruinous on a busy machine."""
    return float(np.einsum("i,i->", left, right))


def distinct(columns: Ints) -> tuple[Ints, Ints]:
    """Distinct columns of a table (rows × persons), and how many persons have each.

    Examples:
        >>> rows, weight = distinct(np.array([[1, 1, 2], [5, 5, 4]]))
        >>> rows.tolist(), weight.tolist()
        ([[1, 2], [5, 4]], [2, 1])
    """
    code, low, width = _coded(columns)
    if _dense(code, width):
        weight = np.bincount(code, minlength=1)
        found = np.flatnonzero(weight)
        return _decoded(found, low, width), weight[found].astype(np.int64)
    found, number = np.unique(code, return_counts=True)
    return _decoded(found, low, width), number.astype(np.int64)


def numbered(columns: Ints) -> tuple[Ints, Ints]:
    """Distinct columns of a table (rows × persons), and the number of the one that each person has.

    Examples:
        >>> rows, place = numbered(np.array([[1, 1, 2], [5, 5, 4]]))
        >>> rows.tolist(), place.tolist()
        ([[1, 2], [5, 4]], [0, 0, 1])
    """
    code, low, width = _coded(columns)
    if _dense(code, width):
        place = np.zeros(_space(width), np.int64)
        place[code] = 1
        found = np.flatnonzero(place)
        place[found] = np.arange(len(found))
        return _decoded(found, low, width), place[code]
    found, inverse = np.unique(code, return_inverse=True)
    return _decoded(found, low, width), inverse.astype(np.int64)


def _coded(columns: Ints) -> tuple[Ints, Ints, Ints]:
    if columns.shape[1] == 0:
        return np.zeros(0, np.int64), np.zeros(len(columns), np.int64), np.ones(len(columns), np.int64)
    low = columns.min(axis=1)
    width = columns.max(axis=1) - low + 1
    code = np.zeros(columns.shape[1], np.int64)
    for row, base, size in zip(columns, low, width, strict=True):
        code = code * size + (row - base)
    return code, low, width


def _decoded(codes: Ints, low: Ints, width: Ints) -> Ints:
    rows, rest = [], codes
    for base, size in zip(low[::-1], width[::-1], strict=True):
        rows.append(rest % size + base)
        rest = rest // size
    return np.stack(rows[::-1])


def _space(width: Ints) -> int:
    space = 1
    for size in width:
        space *= int(size)
    return space


def _dense(code: Ints, width: Ints) -> bool:
    return _space(width) <= max(SMALL, DENSE * len(code))
