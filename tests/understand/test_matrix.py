"""The suggested matrix: rows large enough, no cell without a row, names and texts kept; tiers that halve the value."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kundig.config.understand import ANY, Axes, Condition, Matrix, matrix_faults
from kundig.understand.matrix import Cells, found, suggest, suggested_axes, tier_starts

AXES = Axes()
KEYS = list(product(*AXES.members().values()))
BEFORE = Matrix(rows=tuple(
    {"segment_id": name, "value_tier": tier, "behavior_cluster": "*", "state": state, "key_message": f"say {name}", "visual_guideline": "", "offer_code": ""}
    for name, tier, state in (("best", "top", "active"), ("rest", "*", "*"))
))  # fmt: skip


def plain(matrix: Matrix, cells: Cells) -> dict[str, int]:
    """Persons of each segment, cell by cell through `Matrix.cell`."""
    counted = dict.fromkeys(matrix.segments, 0)
    for key, (persons, _) in cells.held.items():
        name = matrix.cell(*key)
        assert name is not None
        counted[name] += persons
    return counted


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), st.tuples(st.integers(0, 300), st.floats(0, 1e6))), st.integers(1, 200))
def test_rows_are_large_enough_and_no_cell_is_without_one(held, least) -> None:
    cells = Cells(held=held)
    suggestion = suggest(BEFORE, AXES, cells, least=least)
    assert list(matrix_faults(AXES, suggestion.matrix)) == [], "no gap, no row that nobody can reach, no unknown member"
    assert {row.row["segment_id"]: row.persons for row in suggestion.rows} == plain(suggestion.matrix, cells)
    states = {state: sum(persons for key, (persons, _) in held.items() if key[2] == state) for state in AXES.state.names}
    for row in suggestion.rows:
        assert row.persons >= min(least, states[row.row["state"]]), "only a whole state may be small"
        assert row.row["key_message"].startswith("say "), "no message is blank"
    assert {row.row["segment_id"]: row.persons for row in suggestion.present} == plain(BEFORE, cells)


def test_overlaps_and_kept_rows() -> None:
    cells = Cells(held={("top", "focused", "active"): (70, 900.0), ("basic", "focused", "active"): (200, 50.0), ("top", "focused", "at_risk"): (9, 5.0)})
    suggestion = suggest(BEFORE, AXES, cells, least=50)
    best, rest = suggestion.present
    assert (best.persons, best.value, best.hidden) == (70, 900.0, 0)
    assert (rest.persons, rest.value, rest.hidden) == (209, 55.0, 70), "seventy persons of its cells are taken by the row above"
    kept = next(row for row in suggestion.rows if row.row["value_tier"] == "top" and row.row["state"] == "active")
    assert kept.row == BEFORE.rows[0] and not kept.new
    risk = next(row for row in suggestion.rows if row.row["state"] == "at_risk")
    assert risk.small and risk.new and risk.row["key_message"] == "say rest" and risk.row["value_tier"] == ANY


def test_tiers_halve_the_value_that_is_left() -> None:
    values = np.random.default_rng(1).lognormal(3, 1.2, 5_000)
    starts = tier_starts(values, 3)
    assert starts is not None
    ordered = np.sort(values)
    top = ordered[int(starts[1] * 5_000) :].sum() / ordered.sum()
    assert top == pytest.approx(0.5, abs=0.06), "starts are rounded to a twentieth of the persons"
    assert ordered[int(starts[0] * 5_000) :].sum() / ordered.sum() == pytest.approx(0.75, abs=0.06)
    assert tier_starts(np.full(10, np.nan), 3) is None


def test_a_cluster_that_sets_nobody_apart_gets_another_threshold() -> None:
    rng = np.random.default_rng(2)
    numbers = {"discount_share": rng.random(1_000) * 0.2, "categories_seen": rng.integers(1, 9, 1_000).astype(float)}
    axes = suggested_axes(AXES, rng.lognormal(3, 1, 1_000), numbers)
    bargain, explorer = axes.behaviour.clusters
    assert bargain.when != AXES.behaviour.clusters[0].when and bargain.when[0].at_least is not None
    assert 0.15 < (numbers["discount_share"] >= bargain.when[0].at_least).mean() < 0.25
    assert explorer == AXES.behaviour.clusters[1], "a threshold that parts the buyers stays"
    assert suggested_axes(AXES, np.zeros(5), {}).behaviour == AXES.behaviour
    assert bargain.when == (Condition(feature="discount_share", at_least=bargain.when[0].at_least),)


def test_found_counts_each_person_once() -> None:
    cells = Cells(held={key: (number, 1.0) for number, key in enumerate(KEYS)})
    assert sum(row.persons for row in found(BEFORE, AXES, cells, least=1)) == sum(range(len(KEYS)))
