"""What a card of a persona says beside its attributes: where and when they come, what they buy, what they object; and whether it is the one of before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kundig.understand.personas.columns import Floats, Ints, numbers
from kundig.understand.personas.tree import Rule

Known = npt.NDArray[np.bool_]

SIGNS: dict[str, tuple[tuple[str, float], ...]] = {
    "price": (("discount_share", 1.0),), "doubts": (("returned_share", 1.0),), "service": (("tickets", 1.0), ("satisfaction", -1.0)), "attention": (("open_rate", -1.0),),
}  # fmt: skip
"""Objections, and the numbers that speak for them where they are high (1) or low (-1)."""
DECIDES = ("decides", "entscheidet")
LEAST_SIGN = 0.2
"""Standard deviations that a persona must differ by for an objection to be told."""
SAME = 0.3
"""Share (Jaccard) from which on a persona is the one of before."""
MOVED = 0.03


@dataclass(frozen=True, kw_only=True)
class Story:
    """What one persona is told by."""

    channel: str | None
    hour: float | None
    content: str | None
    objection: str


def story(people: pa.Table, inside: Known) -> Story:
    """The story of these persons, against the others of the table.

    `content` is the category whose share is highest against the others', of those that at least a tenth of them buy most.
    """
    return Story(channel=_most(people, "channel", inside), hour=_middle(people, "hour", inside), content=_typical(people, "top_category", inside), objection=objection(people, inside))


def objection(people: pa.Table, inside: Known) -> str:
    """The objection that the persona differs most by; none where it differs by little."""
    found = {name: max(sign * _apart(people, column, inside) for column, sign in signs) for name, signs in SIGNS.items()}
    if "decision_power" in people.column_names:
        told = people["decision_power"]
        others = pc.if_else(pc.is_valid(told), pc.cast(pc.invert(pc.is_in(told, value_set=pa.array(DECIDES))), pa.float64()), pa.scalar(None, pa.float64()))
        found["decision"] = _difference(np.array(others.to_numpy(zero_copy_only=False), np.float64), inside)
    best = max(sorted(found), key=lambda name: found[name])
    return best if found[best] >= LEAST_SIGN else "none"


def _apart(people: pa.Table, column: str, inside: Known) -> float:
    return _difference(numbers(people[column]), inside) if column in people.column_names else 0.0


def _difference(values: Floats, inside: Known) -> float:
    """Mean inside less mean outside, in standard deviations; 0 where too few are known."""
    known = np.isfinite(values)
    mine, others = values[known & inside], values[known & ~inside]
    spread = float(values[known].std()) if known.any() else 0.0
    return float(mine.mean() - others.mean()) / spread if len(mine) >= 10 and len(others) >= 10 and spread > 0 else 0.0


def _counted(people: pa.Table, column: str, chosen: Known) -> dict[str, int]:
    if column not in people.column_names:
        return {}
    counts = people[column].filter(pa.array(chosen)).drop_null().value_counts().to_pylist()
    return {str(one["values"]): int(one["counts"]) for one in sorted(counts, key=lambda one: (-int(one["counts"]), str(one["values"]))) if one["values"] != ""}


def _most(people: pa.Table, column: str, inside: Known) -> str | None:
    return next(iter(_counted(people, column, inside)), None)


def _middle(people: pa.Table, column: str, inside: Known) -> float | None:
    values = numbers(people[column])[inside] if column in people.column_names else np.zeros(0)
    values = values[np.isfinite(values)]
    return round(float(np.median(values)), 2) if len(values) else None


def _typical(people: pa.Table, column: str, inside: Known) -> str | None:
    mine, others = _counted(people, column, inside), _counted(people, column, ~inside)
    size, rest = sum(mine.values()), sum(others.values())
    if not size:
        return None
    lift = {name: (count / size) / ((others.get(name, 0) + 1) / (rest + len(mine))) for name, count in mine.items() if count >= 0.1 * size}
    return max(lift, key=lambda name: (lift[name], name)) if lift else _most(people, column, inside)


def kept_ids(now: Ints, before: Ints, names_before: list[str], groups: int, prefix: str) -> list[str]:
    """An id for each persona: that of before where it is the same people (the pairs with most in common first), else a new number."""
    pairs = [
        (float(((now == group) & (before == old)).sum() / max(((now == group) | (before == old)).sum(), 1)), group, old) for group in range(groups) for old in range(len(names_before))
    ]  # fmt: skip
    ids: dict[int, str] = {}
    for share, group, old in sorted(pairs, reverse=True):
        if share >= SAME and group not in ids and names_before[old] not in ids.values():
            ids[group] = names_before[old]
    number = max([int(name.rpartition("_")[2]) for name in names_before], default=0)
    for group in range(groups):
        if group not in ids:
            number += 1
            ids[group] = f"{prefix}_{number}"
    return [ids[group] for group in range(groups)]


def drift(share: float, before: float | None, persons: int) -> str:
    """What became of a persona since the fit before: new, grown, shrunk or steady; a change counts from three points and two standard errors on.

    Examples:
        >>> drift(0.2, None, 5_000), drift(0.2, 0.3, 5_000), drift(0.2, 0.19, 5_000)
        ('new', 'shrunk', 'steady')
    """
    if before is None:
        return "new"
    error = 2 * float(np.sqrt(2 * max(share * (1 - share), 1e-6) / max(persons, 1)))
    if abs(share - before) < max(MOVED, error):
        return "steady"
    return "grown" if share > before else "shrunk"


def rule_told(rule: Rule | None) -> dict[str, Any]:
    """A rule as columns."""
    if rule is None:
        return {"rule": None, "rule_tests": None, "rule_precision": None, "rule_recall": None}
    return {"rule": str(rule), "rule_tests": [[test.attribute, test.how, test.value] for test in rule.tests], "rule_precision": rule.precision, "rule_recall": rule.recall}
