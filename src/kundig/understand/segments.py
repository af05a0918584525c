"""Segments: which cell of persona_matrix.csv each person is in; value tier × behaviour cluster × state."""

from __future__ import annotations

import datetime as dt

import ibis
import ibis.expr.datatypes as types
import ibis.expr.types as ir

from kundig.config.understand import ANY, NUMBERS, TEXTS, VALUES, Axes, Condition, Matrix, fitting
from kundig.schema import step
from kundig.store.engines import portable
from kundig.tables.understand import FEATURES, LIFECYCLE_STATES, LIFETIME_VALUES, MODELS, SEGMENT_MEMBERS
from kundig.understand.models import TIERS

LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


_duckdb_json = portable.builtin("json_extract_string", (types.string, types.string), types.string)
_spark_json = portable.builtin("get_json_object", (types.string, types.string), types.string)


@step(reads=(FEATURES, LIFETIME_VALUES, LIFECYCLE_STATES, MODELS), writes=SEGMENT_MEMBERS, by="person_key")
def segments(features: ir.Table, lifetime_values: ir.Table, lifecycle_states: ir.Table, models: ir.Table, *, axes: Axes, matrix: Matrix) -> ir.Table:
    """The segment of every person: one row each, the present membership.

    Tiers begin where the last refit put them; a person without a value is in the lowest. `occurred_at` is since when the person's
    state holds, else the first fact about the person: moments that the data fix, so that re-runs write the same row. Tier and cluster
    are those of the run.

    Raises:
        ConfigError: Axes and matrix do not fit each other.
    """
    fitting(axes, matrix)
    placed = cells(features, lifetime_values, lifecycle_states, models, axes)
    moment = ibis.coalesce(placed.since, placed.first_fact_at, ibis.literal(LONG_AGO, type="timestamp('UTC', 6)"))
    return placed.select(
        "person_key", "value_tier", "behavior_cluster", segment_id=segment_of(placed, matrix), state=placed.matrix_state, member=ibis.literal(True),
        occurred_at=moment, received_at=moment, until=ibis.null("timestamp('UTC', 6)"), seq=ibis.literal(0, type="int64"), due_at=placed.turn_at,
    )  # fmt: skip


def cells(features: ir.Table, lifetime_values: ir.Table, lifecycle_states: ir.Table, models: ir.Table, axes: Axes) -> ir.Table:
    """Each person's member of the three axes (`value_tier`, `behavior_cluster`, `matrix_state`), whatever the matrix makes of them."""
    values = lifetime_values.select("person_key", *VALUES)
    states = lifecycle_states.select("person_key", "since", lifecycle="state", turn_at="due_at")
    wide = features.select("person_key", "first_fact_at", *NUMBERS, *TEXTS)
    wide = wide.left_join(values, "person_key").drop("person_key_right")
    wide = wide.left_join(states, "person_key").drop("person_key_right")
    placed = _tiered(wide, models, axes)
    placed = placed.mutate(behavior_cluster=_first_fitting(placed, [(c.name, c.when, ()) for c in axes.behaviour.clusters], axes.behaviour.default))
    return placed.mutate(matrix_state=_first_fitting(placed, [(s.name, s.when, s.lifecycle) for s in axes.state.states], axes.state.default))


def _tiered(wide: ir.Table, models: ir.Table, axes: Axes) -> ir.Table:
    """The value tier by the bounds of the last refit."""
    names = axes.value.names
    fitted = models.filter(models.model == TIERS)
    extract = _duckdb_json if portable.DIALECT.get() == "duckdb" else _spark_json
    bounds = fitted.aggregate(
        **{f"bound_{number}": extract(fitted.parameters, f"$.bounds[{number}]").try_cast("float64").max() for number in range(len(names) - 1)}
    ) if len(names) > 1 else None  # fmt: skip
    if bounds is None:
        return wide.mutate(value_tier=ibis.literal(names[0]))
    joined = wide.cross_join(bounds)
    amount = joined[axes.value.measure].cast("float64")
    cases = [((amount >= joined[f"bound_{number}"]).fill_null(False), names[number + 1]) for number in reversed(range(len(names) - 1))]
    return joined.mutate(value_tier=ibis.cases(*cases, else_=names[0]))


def _first_fitting(rows: ir.Table, entries: list[tuple[str, tuple[Condition, ...], tuple[str, ...]]], default: str) -> ir.Value:
    cases = [(_all(rows, when, lifecycle), name) for name, when, lifecycle in entries]
    return ibis.cases(*cases, else_=default) if cases else ibis.literal(default)


def _all(rows: ir.Table, conditions: tuple[Condition, ...], lifecycle: tuple[str, ...]) -> ir.BooleanValue:
    held = ibis.literal(True)
    if lifecycle:
        held = held & rows.lifecycle.isin(lifecycle).fill_null(False)
    for condition in conditions:
        held = held & _holds(rows, condition)
    return held


def _holds(rows: ir.Table, condition: Condition) -> ir.BooleanValue:
    """One condition; a missing value fails every test but that for missing."""
    column = rows[condition.feature]
    held = ibis.literal(True)
    if condition.missing is not None:
        held = held & (column.isnull() if condition.missing else column.notnull())
    if condition.one_of:
        held = held & column.isin(condition.one_of).fill_null(False)
    number = column.cast("float64") if condition.feature not in TEXTS else column
    if condition.at_least is not None:
        held = held & (number >= condition.at_least).fill_null(False)
    if condition.less_than is not None:
        held = held & (number < condition.less_than).fill_null(False)
    return held


def segment_of(rows: ir.Table, matrix: Matrix) -> ir.Value:
    """The first row of the matrix that fits, from above down."""
    cases = []
    for row in matrix.rows:
        fits = ibis.literal(True)
        for axis, column in (("value_tier", "value_tier"), ("behavior_cluster", "behavior_cluster"), ("state", "matrix_state")):
            if row[axis] != ANY:
                fits = fits & (rows[column] == row[axis])
        cases.append((fits, row["segment_id"]))
    return ibis.cases(*cases, else_=ibis.null("string"))
