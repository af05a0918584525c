"""A matrix of segments from data: how many persons and how much value each cell holds, where tiers should begin, and which rows are worth a message of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import numpy.typing as npt

from kundig.config.understand import ANY, MATRIX_COLUMNS, Axes, Condition, Matrix, Tier

Key = tuple[str, ...]
"""Value tier, behaviour cluster and state."""
NOTHING = (0, 0.0)
USEFUL = (0.02, 0.8)
"""Shares of the buyers between which a cluster sets somebody apart."""
CUT = 0.8
"""Quantile at which the threshold of a cluster is put that sets nobody, or nearly everybody, apart."""


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Persons and expected value (the workspace's currency) of each cell that has somebody."""

    held: Mapping[Key, tuple[int, float]]

    def of(self, axes: Axes, row: Mapping[str, str]) -> tuple[int, float]:
        """Persons and value of all cells that a row names, whichever row takes them."""
        found = [self.held.get(key, NOTHING) for key in product(*_members(axes, row))]
        return sum(persons for persons, _ in found), sum(value for _, value in found)


@dataclass(frozen=True, kw_only=True)
class RowFound:
    """A row of a matrix with who is in it."""

    row: Mapping[str, str]
    persons: int
    value: float
    small: bool
    """Fewer persons than `least`: too few to learn anything from."""
    hidden: int
    """Persons its cells hold whom rows above it take: what its place decides."""
    new: bool
    """The matrix before has no such row."""


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A matrix made from data beside the one that is there."""

    axes: Axes
    matrix: Matrix
    present: tuple[RowFound, ...]
    """Rows of the matrix that is there."""
    rows: tuple[RowFound, ...]
    """Rows of the one suggested."""
    empty: tuple[Key, ...]
    """Cells that nobody is in."""
    least: int


def tier_starts(values: npt.NDArray[np.float64], count: int) -> list[float] | None:
    """The quantiles at which `count` tiers begin, so that each tier from the top down brings half of the value that is left; None where values carry no order.

    Raises:
        ValueError: There are no tiers.

    Examples:
        >>> import numpy as np
        >>> tier_starts(np.array([1.0] * 80 + [10.0] * 20), 3)
        [0.7, 0.85]
        >>> tier_starts(np.zeros(10), 3) is None
        True
    """
    if count < 1:
        raise ValueError("there is at least one tier")
    amounts = np.sort(values[np.isfinite(values) & (values > 0)])[::-1]
    if count == 1 or not len(amounts):
        return [] if count == 1 else None
    brought = np.cumsum(amounts) / amounts.sum()
    starts: list[float] = []
    for place in range(1, count):
        persons = int(np.searchsorted(brought, 1 - 0.5**place - 1e-9)) + 1
        starts.append(round(round((1 - persons / len(values)) * 20) / 20, 2))
    starts = starts[::-1]
    rising = all(0 < start < 1 for start in starts) and all(high > low for low, high in pairwise(starts))
    return starts if rising else None


def suggested_axes(axes: Axes, measured: npt.NDArray[np.float64], features: Mapping[str, npt.NDArray[np.float64]]) -> Axes:
    """The axes with tiers that halve the value, and clusters that set somebody apart.

    Args:
        axes: Those that are there; names, measures and states stay.
        measured: The measure of the value axis, one number a buyer.
        features: Numbers that clusters test, one a buyer, missing as nan.
    """
    value = axes.value
    if value.method == "quantiles" and (starts := tier_starts(measured, len(value.tiers))) is not None:
        tiers = [Tier(name=tier.name, start=start) for tier, start in zip(value.tiers, (None, *starts), strict=True)]
        value = value.model_copy(update={"tiers": tuple(tiers)})
    clusters = []
    for cluster in axes.behaviour.clusters:
        condition = cluster.when[0]
        known = features.get(condition.feature)
        if len(cluster.when) == 1 and condition.at_least is not None and condition.less_than is None and known is not None:
            moved = _threshold(known, condition.at_least)
            if moved is not None:
                cluster = cluster.model_copy(update={"when": (Condition(feature=condition.feature, at_least=moved),)})
        clusters.append(cluster)
    return axes.model_copy(update={"value": value, "behaviour": axes.behaviour.model_copy(update={"clusters": tuple(clusters)})})


def _threshold(values: npt.NDArray[np.float64], start: float) -> float | None:
    """A better threshold where the present one sets nobody or nearly everybody apart; None: it may stay, or none is better."""
    known = values[np.isfinite(values)]
    if not len(known) or USEFUL[0] <= np.count_nonzero(known >= start) / len(values) <= USEFUL[1]:
        return None
    moved = float(f"{np.quantile(known, CUT):.3g}")
    share = np.count_nonzero(known >= moved) / len(values)
    return moved if moved != start and USEFUL[0] <= share <= USEFUL[1] else None


def suggest(before: Matrix, axes: Axes, cells: Cells, *, present: Cells | None = None, before_axes: Axes | None = None, least: int = 50) -> Suggestion:
    """A matrix whose rows each hold at least `least` persons, where the data allow it.

    Within each state, from the top tier down, a tier gets a row of its own where it and what is left of the state are large enough, and so does a
    cluster within it; then the clusters of what is left; a last row takes the rest, so that no cell is without one. A row that was there keeps name and
    texts; a new one inherits the texts of the row that takes its cell today, so that no message is blank.
    """
    rows: list[dict[str, str]] = []
    for state in axes.state.names:
        left: dict[Key, int] = {key: cells.held.get(key, NOTHING)[0] for key in product(axes.value.names, axes.behaviour.names, (state,))}
        for tier in reversed(axes.value.names):
            mine = {key: persons for key, persons in left.items() if key[0] == tier}
            if _splits(mine, left, least):
                left = {key: persons for key, persons in left.items() if key not in mine}
                rows += [_row(before, (tier, cluster, state), axes) for cluster in _clusters(mine, axes, least)]
                rows.append(_row(before, (tier, ANY, state), axes))
        rows += [_row(before, (ANY, cluster, state), axes) for cluster in _clusters(left, axes, least)]
        rows.append(_row(before, (ANY, ANY, state), axes))
    matrix = Matrix(rows=tuple(_named_once(rows)))
    empty = tuple(key for key in product(*axes.members().values()) if cells.held.get(key, NOTHING)[0] == 0)
    known = {_cell_of(row) for row in before.rows}
    return Suggestion(
        axes=axes, matrix=matrix, empty=empty, least=least, rows=tuple(found(matrix, axes, cells, least=least, known=known)),
        present=tuple(found(before, before_axes or axes, present or cells, least=least, known=known)),
    )  # fmt: skip


def _splits(part: Mapping[Key, int], whole: Mapping[Key, int], least: int) -> bool:
    return sum(part.values()) >= least and sum(whole.values()) - sum(part.values()) >= least


def _clusters(left: dict[Key, int], axes: Axes, least: int) -> list[str]:
    """Clusters that are split off, each large enough and leaving enough."""
    split: list[str] = []
    for cluster in axes.behaviour.names:
        mine = {key: persons for key, persons in left.items() if key[1] == cluster}
        if _splits(mine, left, least):
            left = {key: persons for key, persons in left.items() if key not in mine}
            split.append(cluster)
    return split


def found(matrix: Matrix, axes: Axes, cells: Cells, *, least: int, known: Iterable[Key] = ()) -> list[RowFound]:
    """Who is in each row of a matrix, and whom rows above it take."""
    there, taken = set(known), set[Key]()
    rows = []
    for row in matrix.rows:
        mine = list(product(*_members(axes, row)))
        own = [cells.held.get(key, NOTHING) for key in mine if key not in taken]
        persons = sum(held[0] for held in own)
        hidden = cells.of(axes, row)[0] - persons
        taken.update(mine)
        rows.append(RowFound(row=row, persons=persons, value=sum(held[1] for held in own), small=persons < least, hidden=hidden, new=_cell_of(row) not in there))
    return rows


def _members(axes: Axes, row: Mapping[str, str]) -> list[Sequence[str]]:
    return [names if row[column] == ANY else (row[column],) for column, names in axes.members().items()]


def _cell_of(row: Mapping[str, str]) -> Key:
    return (row["value_tier"], row["behavior_cluster"], row["state"])


def _row(before: Matrix, key: Key, axes: Axes) -> dict[str, str]:
    """The row of a cell or several: that which is there, else a new one with the texts of the row that takes its first cell today."""
    same = next((row for row in before.rows if _cell_of(row) == key), None)
    if same is not None:
        return dict(same)
    first = [axes.members()[column][0] if member == ANY else member for column, member in zip(MATRIX_COLUMNS[1:4], key, strict=True)]
    source = next((row for row in before.rows if row["segment_id"] == before.cell(*first)), before.rows[-1])
    name = "_".join((key[2], *(member for member in key[:2] if member != ANY)))
    return dict(source) | dict(zip(MATRIX_COLUMNS[:4], (name, *key), strict=True))


def _named_once(rows: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    named: list[dict[str, str]] = []
    seen: set[str] = set()
    for row in rows:
        name, number = row["segment_id"], 2
        while name in seen:
            name, number = f"{row['segment_id']}_{number}", number + 1
        seen.add(name)
        named.append(row | {"segment_id": name})
    return named
