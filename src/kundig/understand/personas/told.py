"""Personas as people tell them: who is of them, and where the data see it otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kundig.config.personas import Answers, Said
from kundig.understand.personas.columns import numbers, texts_of

MOST = 0.5
"""Share of those known from which on something is true of most."""
OFF_SHARE, OFF_VALUE = 1.5, 1.3
"""Ratio of said and found share, and value, from which on they disagree."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One thing that was said of a persona, and what the data say: `agrees` is None where too little is known (fewer than 20)."""

    about: str
    said: str
    found: str
    share: float | None
    known: int
    agrees: bool | None


def holds(people: pa.Table, said: Mapping[str, Said]) -> npt.NDArray[np.bool_]:
    """Of which persons all of it holds; of what is not known nothing holds."""
    found = np.ones(people.num_rows, dtype=bool)
    for name, one in said.items():
        found &= _passes(people, name, one) if name in people.column_names else False
    return found


def _passes(people: pa.Table, name: str, said: Said) -> npt.NDArray[np.bool_]:
    column = people[name]
    if said.one_of:
        if pa.types.is_list(column.type):
            values = column.combine_chunks()
            hit = pc.list_parent_indices(values).filter(pc.fill_null(pc.is_in(pc.list_flatten(values), value_set=pa.array(said.one_of)), False))
            found = np.zeros(len(values), dtype=bool)
            found[hit.to_numpy(zero_copy_only=False)] = True
            return found
        return np.asarray(pc.fill_null(pc.is_in(texts_of(column), value_set=pa.array(said.one_of)), False).to_numpy(zero_copy_only=False), dtype=bool)
    values = numbers(column)
    with np.errstate(invalid="ignore"):
        return np.asarray((values >= (-np.inf if said.at_least is None else said.at_least)) & (values < (np.inf if said.less_than is None else said.less_than)))


def claims(people: pa.Table, inside: npt.NDArray[np.bool_], answers: Answers) -> list[Claim]:
    """What was said beforehand against what the data say of the persons inside."""
    found = []
    if answers.share is not None:
        part = float(inside.mean()) if len(inside) else 0.0
        ratio = max(part, 1e-9) / answers.share
        found.append(Claim(about="share", said=f"{answers.share:.0%}", found=f"{part:.1%}", share=part, known=len(inside), agrees=1 / OFF_SHARE <= ratio <= OFF_SHARE if len(inside) >= 20 else None))
    mine = people.filter(pa.array(inside))
    for name, said in answers.believed.items():
        if name not in mine.column_names:
            found.append(Claim(about=name, said=words(said), found="", share=None, known=0, agrees=None))
            continue
        known = int(len(mine) - mine[name].null_count)
        share = float(_passes(mine, name, said).sum()) / known if known else None
        found.append(Claim(about=name, said=words(said), found=_usual(mine, name), share=share, known=known, agrees=None if share is None or known < 20 else share >= MOST))
    return found


def words(said: Said) -> str:
    """What was said, in short.

    Examples:
        >>> words(Said(one_of=("a", "b"))), words(Said(at_least=2, less_than=5))
        ('a, b', '≥ 2, < 5')
    """
    if said.one_of:
        return ", ".join(said.one_of)
    parts = [f"≥ {said.at_least:g}"] if said.at_least is not None else []
    return ", ".join(parts + ([f"< {said.less_than:g}"] if said.less_than is not None else []))


def _usual(people: pa.Table, name: str) -> str:
    """The most frequent value, or the middle half of a number."""
    column: Any = people[name]
    if pa.types.is_list(column.type):
        column = pc.list_flatten(column.combine_chunks())
    if pa.types.is_string(column.type):
        counts = sorted(column.drop_null().value_counts().to_pylist(), key=lambda one: (-int(one["counts"]), str(one["values"])))
        return str(counts[0]["values"]) if counts else ""
    values = numbers(column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column]))
    values = values[np.isfinite(values)]
    return f"{np.quantile(values, 0.25):.4g}–{np.quantile(values, 0.75):.4g}" if len(values) else ""
