"""What sets a persona apart: how often each level of each attribute is found in it and elsewhere, weighted by how much that tells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kundig.understand.personas.columns import OTHER, Floats, Plan

Codes = npt.NDArray[np.int16]
LEAST_WEIGHT = 0.005


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Persons by persona, attribute and level (one matrix personas × levels per attribute); whom nothing is known of is left out."""

    by_column: tuple[Floats, ...]
    sizes: Floats

    @classmethod
    def none(cls, plan: Plan, groups: int) -> Counts:
        """Nobody counted yet."""
        return cls(by_column=tuple(np.zeros((groups, len(column.levels))) for column in plan.columns), sizes=np.zeros(groups))

    def add(self, codes: Codes, label: npt.NDArray[np.int64]) -> None:
        """Count these persons: their levels (persons × attributes, -1 not known) and personas."""
        groups = len(self.sizes)
        self.sizes[:] += np.bincount(label, minlength=groups)
        for j, counts in enumerate(self.by_column):
            levels = counts.shape[1]
            known = codes[:, j] >= 0
            counts += np.bincount(label[known] * levels + codes[known, j], minlength=groups * levels).reshape(groups, levels)


def attributes(plan: Plan, counts: Counts, names: list[str]) -> pa.Table:
    """One row per persona, attribute and level that is more frequent in the persona than elsewhere, the most telling first.

    `weight`: the share of what sets the persona apart that this level carries; the weights of a persona sum to at most 1. An attribute's
    part is the information (Kullback-Leibler divergence, persona against elsewhere) that it gives of a member, times how often it is known,
    less what chance alone would give; it is divided among the levels that are more frequent. `share` and `share_elsewhere` are among
    those of whom the attribute is known.
    """
    rows: dict[str, list[str | float]] = {name: [] for name in ("persona_id", "attribute", "level", "weight", "share", "share_elsewhere")}
    for group, name in enumerate(names):
        told: list[tuple[str, str, float, float, float]] = []
        for column, table in zip(plan.columns, counts.by_column, strict=True):
            told += [(column.name, *one) for one in _levels(column.levels, table, group, counts.sizes[group])]
        total = sum(weight for *_, weight in told)
        for attribute, level, share, elsewhere, weight in sorted(told, key=lambda one: -one[-1]):
            if weight >= LEAST_WEIGHT * total:
                row: tuple[str | float, ...] = (name, attribute, level, weight / total, share, elsewhere)
                for key, value in zip(rows, row, strict=True):
                    rows[key].append(value)
    types = {"weight": pa.float64(), "share": pa.float64(), "share_elsewhere": pa.float64()}
    return pa.table({key: pa.array(values, types.get(key, pa.string())) for key, values in rows.items()})


def _levels(levels: tuple[str, ...], table: Floats, group: int, size: float) -> list[tuple[str, float, float, float]]:
    """Level, share, share elsewhere and information of each level that speaks for the persona."""
    inside, outside = table[group], table.sum(axis=0) - table[group]
    known = inside.sum()
    if known < 5 or outside.sum() < 5:
        return []
    everyone = (inside + outside + 0.5) / (inside + outside + 0.5).sum()
    p = (inside + 2 * everyone) / (known + 2)
    q = (outside + 2 * everyone) / (outside.sum() + 2)
    parts = p * np.log(p / q)
    chance = (len(levels) - 1) / known
    information = max(0.0, float(parts.sum()) - chance) * known / size
    for_it = np.where((parts > 0) & (np.array(levels) != OTHER), parts, 0.0)
    if information == 0.0 or for_it.sum() == 0.0:
        return []
    weights = information * for_it / for_it.sum()
    return [(level, float(inside[i] / known), float(outside[i] / outside.sum()), float(weights[i])) for i, level in enumerate(levels) if weights[i] > 0]
