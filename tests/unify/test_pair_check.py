"""The pair check: typos, swaps and initials agree, other people contradict."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from kundig.unify.pair_check import attributes, folded

Who = tuple[str | None, str | None, dt.date | None]
BORN = dt.date(1980, 2, 13)


def score(one: Who, other: Who) -> float:
    columns = list(zip(one, other, strict=True))
    known = attributes(
        np.array([0, 1], np.int32), pa.array(columns[0], pa.string()), pa.array(columns[1], pa.string()), pa.array(columns[2], pa.date32()), 2
    )
    first = np.array([0], np.int32)
    forth, back = known.scores(first, first + 1)[0], known.scores(first + 1, first)[0]
    assert forth == back, "the check knows no order"
    return float(forth)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("Ada", "Müller", BORN), ("ADA", "Mueller", BORN), 5.5), (("Ada", "Müller", BORN), ("Müller", "Ada", BORN), 5.5),
        (("Ada", "Muster", None), ("A.", "Muster", None), 2.0), (("Ada", "Muster", None), ("Ada", "Mustre", None), 2.3),
        (("Ada", "Muster", None), ("Bea", "Muster", None), -0.5), (("Ada", "Muster", BORN), ("Bea", "Probe", dt.date(1991, 7, 1)), -4.5),
        (("Ada", None, BORN), ("Ada", None, dt.date(1980, 2, 14)), 3.5), (("Ada", None, BORN), ("Ada", None, dt.date(1980, 1, 1)), 3.5),
        ((None, None, dt.date(1980, 2, 3)), (None, None, dt.date(1980, 3, 2)), 2.0), ((None, None, BORN), ("Ada", None, None), 0.0),
        ((None, None, None), ("Ada", "Muster", BORN), 0.0), (("Dr. Ada", "von Muster", None), ("Ada", "von  Muster", None), 2.5),
        ((None, None, dt.date(1908, 2, 13)), (None, None, dt.date(1980, 2, 13)), 2.0),
    ],
)  # fmt: skip
def test_scores(one: Who, other: Who, expected: float) -> None:
    assert score(one, other) == pytest.approx(expected)


def test_the_best_spelling_counts() -> None:
    node = np.array([0, 0, 1], np.int32)
    known = attributes(node, pa.array(["Zoe", "Ada", "Ada"]), pa.array(["Probe", "Muster", "Muster"]), pa.array([None, None, None], pa.date32()), 3)
    assert known.scores(np.array([0], np.int32), np.array([1], np.int32))[0] == pytest.approx(2.5)
    assert known.known.tolist() == [True, True, False]
    together = known.regrouped(np.array([2, 2, 2], np.int32))
    assert together.known.tolist() == [False, False, True]


def test_names_that_break_naive_code() -> None:
    odd = ["", " ", "\u202e", "x" * 10_000, "李", "A\u0301", "O'Neil-Ünal", "Herr", None]
    assert [folded(name) for name in odd] == ["", "", "", "x" * 24, "李", "a", "oneiluenal", "", ""]
    empty = attributes(np.empty(0, np.int32), pa.array([], pa.string()), pa.array([], pa.string()), pa.array([], pa.date32()), 0)
    assert empty.known.size == 0
