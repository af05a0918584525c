"""Matching without a workspace: which records of a table are one person's, and what each pair rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from kundig.errors import IdentityError, nearest
from kundig.unify.matching.blocks import MOST, Candidates, Rule, candidates, rules
from kundig.unify.matching.columns import KNOWN, Codes, Records, records
from kundig.unify.matching.levels import components
from kundig.unify.matching.linkage import STOP, Weights, clusters
from kundig.unify.matching.model import Floats, Model, Patterns, chunked, fit, patterns, probability, scores

KEPT = -6.0
"""Weight below which a proposed pair is forgotten."""

PAIRS_PER_RECORD = 8
"""Candidates per record up to which rules are asked; three million of them are always allowed."""
ALWAYS = 3_000_000


@dataclass(frozen=True)
class Matches:
    """Which records are one person's: the answer of `match`."""

    table: pa.Table
    """record_id, cluster_id, and the probability that the record belongs to its cluster (1 for a record alone)."""
    model: Model
    scored: _Scored

    @cached_property
    def pairs(self) -> pa.Table:
        """Scored pairs: left_id, right_id, weight (log2 of the odds), probability, and evidence in words; the likeliest first."""
        return self.scored.told(self.model)

    def to_pyarrow(self) -> pa.Table:
        """The clusters as an Arrow table."""
        return self.table

    def to_pandas(self) -> Any:
        """The clusters as a data frame."""
        return self.table.to_pandas()

    def __len__(self) -> int:
        return int(self.table.num_rows)


@dataclass(frozen=True, kw_only=True)
class _Scored:
    """Pairs with their weights, and the patterns of levels they show."""

    ids: pa.Array
    left: Codes
    right: Codes
    weight: Weights
    seen: Patterns
    words: Mapping[str, tuple[str, ...]]

    def told(self, model: Model) -> pa.Table:
        order = np.lexsort((self.right, self.left, -self.weight))
        sentences = pa.array([evidence(self.seen.names, row, self.words) for row in self.seen.levels.tolist()], pa.string())
        said = pa.DictionaryArray.from_arrays(pa.array(self.seen.of_pair[order], pa.int32()), sentences)
        weight = self.weight[order].astype(np.float64)
        return pa.table(
            {
                "left_id": self.ids.take(pa.array(self.left[order])), "right_id": self.ids.take(pa.array(self.right[order])), "weight": weight,
                "probability": probability(weight), "evidence": said.cast(pa.string()),
            }
        )  # fmt: skip


def evidence(names: tuple[str, ...], levels: list[int], words: Mapping[str, tuple[str, ...]]) -> str:
    """What a pair's levels say, as a sentence.

    Examples:
        >>> evidence(("email", "phone"), [2, 0], {"email": ("", "differs", "same"), "phone": ("", "differs", "same")})
        'email: same'
    """
    return "; ".join(f"{name.replace('_', ' ')}: {words[name][level]}" for name, level in zip(names, levels, strict=True) if level)


def match(given: Any, *, model: Model | None = None, key: str = "record_id", most: int = MOST) -> Matches:
    """Which records are one person's: (record_id, cluster_id, probability), and `.pairs` with scores and evidence.

    The model is learnt from the records themselves, without labels; or it is one learnt before. A cluster's id is the id of its first record.

    Args:
        given: A data frame, an Arrow table or an Ibis table: a `record_id`, and any of first_name, last_name, full_name, birth_date, street (a house number at its
            end is split off), house_number, postcode, city, email, phone, or other columns of text.
        model: A model learnt before; else one is fitted.
        key: The column that names a record.
        most: Records that may share a blocking key for it to propose pairs.

    Raises:
        IdentityError: The column of ids is missing, has gaps or repeats, or there is nothing to compare by.

    Examples:
        >>> people = pa.table({"record_id": ["a", "b", "c"], "first_name": ["Jörg", "Joerg", "Anna"], "last_name": ["Weiß", "WEISS", "Weiß"]})
        >>> match(people).table.column_names
        ['record_id', 'cluster_id', 'probability']
    """
    table = as_arrow(given)
    ids = _ids(table, key)
    of = records(table, key=key)
    proposed = chosen(of, most=most)
    pairs = candidates(proposed, most=most)
    seen = levels_of(of, pairs.left, pairs.right)
    learnt = model if model is not None else fit(of, proposed, pairs, seen)
    weight = scored(learnt, of, pairs, seen)
    kept = weight >= KEPT
    left, right, weight = pairs.left[kept], pairs.right[kept], weight[kept]
    linked = clusters(of.size, left, right, weight, lambda a, b: score(learnt, of, a, b), kept=KEPT)
    label = linked.label
    left, right, weight = together((left, right, weight), (linked.left, linked.right, linked.weight))
    said = _Scored(ids=ids, left=left, right=right, weight=weight, words={one.name: one.words for one in components(of)}, seen=levels_of(of, left, right))
    found = pa.table({"record_id": ids, "cluster_id": ids.take(pa.array(label)), "probability": belonging(of.size, left, right, weight, label)})
    return Matches(table=found, model=learnt, scored=said)


def as_arrow(given: Any) -> pa.Table:
    """The records as an Arrow table, whatever they came as."""
    if isinstance(given, pa.Table):
        return given
    if hasattr(given, "to_pyarrow"):
        return given.to_pyarrow()
    if hasattr(given, "to_arrow"):
        return given.to_arrow()
    if hasattr(given, "columns"):
        return pa.Table.from_pandas(given, preserve_index=False)
    raise IdentityError(f"records cannot be read from {type(given).__name__}", at="match(records)", mend="give a data frame, an Arrow table or an Ibis table")


def _ids(table: pa.Table, key: str) -> pa.Array:
    if key not in table.column_names:
        raise IdentityError(f"there is no column '{key}'", at="match(records)", mend=nearest(key, table.column_names))
    ids = table.column(key).combine_chunks()
    ids = ids if isinstance(ids, pa.Array) else pa.concat_arrays(ids.chunks) if ids.num_chunks else pa.array([], table.schema.field(key).type)
    if ids.null_count:
        raise IdentityError(f"{ids.null_count} records have no '{key}'", at="match(records)", mend="give each record an id of its own")
    if len(ids.unique()) != len(ids):
        raise IdentityError(f"'{key}' repeats: {len(ids) - len(ids.unique())} ids come twice", at="match(records)", mend="give each record an id of its own")
    return ids


def chosen(of: Records, *, most: int = MOST) -> list[Rule]:
    """Blocking rules in order of strength, until they propose more pairs than are worth comparing."""
    allowed = max(ALWAYS, PAIRS_PER_RECORD * of.size)
    found, total = [], 0
    for rule in rules(of):
        size = rule.size(most)
        if total and total + size > allowed:
            continue
        total += size
        if size:
            found.append(rule)
    return found


def levels_of(of: Records, left: Codes, right: Codes) -> Patterns:
    """The pattern of levels of each pair, and the distinct patterns."""
    return patterns(of, left, right, {one.name: one.top for one in components(of)})


def together(some: tuple[Codes, Codes, Weights], more: tuple[Codes, Codes, Weights]) -> tuple[Codes, Codes, Weights]:
    """Both lists of pairs (left < right), each pair once, in order."""
    left, right, weight = (np.concatenate(both) for both in zip(some, more, strict=True))
    _, first = np.unique((left.astype(np.int64) << 32) | right, return_index=True)
    return left[first], right[first], weight[first]


def scored(model: Model, of: Records, pairs: Candidates, seen: Patterns) -> Weights:
    """The weight of each candidate."""
    return scores(model, of, pairs.left, pairs.right, {name: seen.levels[:, column][seen.of_pair] for column, name in enumerate(seen.names)})


def score(model: Model, of: Records, left: Codes, right: Codes) -> Weights:
    """The weight of any pairs."""
    out = np.empty(left.size, np.float32)
    for part, levels in chunked(of, left, right):
        out[part] = scores(model, of, left[part], right[part], levels)
    return out


def belonging(count: int, left: Codes, right: Codes, weight: Weights, label: Codes) -> Floats:
    """Per record the probability of its strongest pair within its cluster; 1 for a record alone."""
    inside = label[left] == label[right]
    best = np.full(count, -60.0)
    for side in (left, right):
        np.maximum.at(best, side[inside], weight[inside].astype(np.float64))
    sizes = np.bincount(label, minlength=count)
    return np.where(sizes[label] > 1, probability(best), 1.0)


__all__ = ["KNOWN", "STOP", "Matches", "match"]
