"""A shallow tree that says in a few tests which persona a person belongs to, and how often it is right on persons it was not grown on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from kundig.understand.personas.columns import Column, Floats, Ints, Plan, said

Codes = npt.NDArray[np.int16]
Known = npt.NDArray[np.bool_]
LEAST_LEAF = 0.01


@dataclass(frozen=True, kw_only=True)
class Test:
    """One test of one attribute: a band's edge or a level. A value that is not known fails `at_least` and `is`, and passes their opposites."""

    attribute: str
    how: Literal["at_least", "less_than", "is", "is_not"]
    value: str
    code: int = 0

    def holds(self, column: Column, codes: npt.NDArray[np.int16]) -> Known:
        """Whether each person passes, by the codes of the attribute."""
        if column.kind == "level":
            return np.asarray((codes == self.code) == (self.how == "is"))
        return np.asarray((codes >= self.code) == (self.how == "at_least"))

    def __str__(self) -> str:
        signs = {"at_least": "≥", "less_than": "<", "is": "is", "is_not": "is not"}
        return f"{self.attribute} {signs[self.how]} {self.value}"


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """Where a path of tests ends: what persona most persons there are of, and their counts by persona."""

    tests: tuple[Test, ...]
    persona: int
    counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The readable rule of one persona: all tests hold. `precision`: share of those it finds that are of the persona; `recall`: share of the persona that it finds. Both on persons the tree was not grown on."""

    tests: tuple[Test, ...]
    precision: float
    recall: float

    def __str__(self) -> str:
        return " and ".join(map(str, self.tests)) or "everyone else"


@dataclass(frozen=True, kw_only=True)
class Tree:
    """Leaves, the share of other persons whose persona it names rightly, and the share the largest persona alone would give."""

    leaves: tuple[Leaf, ...]
    accuracy: float
    baseline: float


def rules(plan: Plan, codes: Codes, label: Ints, groups: int, *, seed: int = 0) -> tuple[Rule | None, ...]:
    """A rule for each persona: of a tree that tells it from all others, the leaf that is best by F1 (precision and recall), without tests that add nothing; None where none names it."""
    return tuple(_rule(plan, codes, label == persona, seed) for persona in range(groups))


def _rule(plan: Plan, codes: Codes, member: Known, seed: int) -> Rule | None:
    tree = grow(plan, codes, member.astype(np.int64), 2, seed=seed, deepest=3)
    held, _ = _thirds(len(codes), seed)
    rules = [_measured(plan, codes[held], member[held], leaf.tests) for leaf in tree.leaves if leaf.tests and leaf.persona == 1]
    best = max(rules, key=_f1, default=None)
    while best is not None and len(best.tests) > 1:
        shorter = max((_measured(plan, codes[held], member[held], (*best.tests[:i], *best.tests[i + 1 :])) for i in range(len(best.tests))), key=_f1)
        if _f1(shorter) < _f1(best) - 0.01:
            break
        best = shorter
    return best


def _measured(plan: Plan, codes: Codes, member: Known, tests: tuple[Test, ...]) -> Rule:
    place = {column.name: j for j, column in enumerate(plan.columns)}
    found = np.ones(len(codes), dtype=bool)
    for test in tests:
        found &= test.holds(plan.columns[place[test.attribute]], codes[:, place[test.attribute]])
    hits = float((found & member).sum())
    return Rule(tests=tests, precision=hits / max(float(found.sum()), 1.0), recall=hits / max(float(member.sum()), 1.0))


def _f1(rule: Rule) -> float:
    return 2 * rule.precision * rule.recall / max(rule.precision + rule.recall, 1e-9)


def _thirds(size: int, seed: int) -> tuple[Ints, Ints]:
    """Persons a tree is measured on, and those it is grown on."""
    order = np.random.default_rng([seed, 2]).permutation(size)
    cut = max(1, size // 3)
    return order[:cut], order[cut:]


def grow(plan: Plan, codes: Codes, label: Ints, groups: int, *, seed: int = 0, deepest: int = 4) -> Tree:
    """The tree grown on two thirds of the persons by Gini's impurity, measured on the last third.

    Codes are levels or bands (persons × attributes, -1 not known).
    """
    test, train = _thirds(len(codes), seed)
    depth = min(deepest, int(np.ceil(np.log2(max(groups, 2)))) + 2)
    leaves: list[Leaf] = []
    right = 0
    waiting: list[tuple[tuple[Test, ...], Ints, Ints, int]] = [((), train, test, 0)]
    while waiting:
        path, inside, held, level = waiting.pop()
        split = _split(plan, codes[inside], label[inside], groups, least=max(5, int(LEAST_LEAF * len(train)))) if level < depth else None
        if split is None:
            counts = np.bincount(label[inside], minlength=groups)
            seen = np.bincount(label[held], minlength=groups)
            right += int(seen[counts.argmax()])
            leaves.append(Leaf(tests=_short(path), persona=int(counts.argmax()), counts=tuple(int(n) for n in seen)))
            continue
        j, code = split
        yes, no = _tests(plan.columns[j], code)
        passes, passed = yes.holds(plan.columns[j], codes[inside, j]), yes.holds(plan.columns[j], codes[held, j])
        waiting.append(((*path, no), inside[~passes], held[~passed], level + 1))
        waiting.append(((*path, yes), inside[passes], held[passed], level + 1))
    most = np.bincount(label[train], minlength=groups).argmax()
    return Tree(leaves=tuple(leaves), accuracy=right / len(test), baseline=float(np.mean(label[test] == most)))


def _tests(column: Column, code: int) -> tuple[Test, Test]:
    if column.kind == "level":
        return Test(attribute=column.name, how="is", value=column.levels[code], code=code), Test(attribute=column.name, how="is_not", value=column.levels[code], code=code)
    edge = said(column.edges[code - 1], dated=column.dated)
    return Test(attribute=column.name, how="at_least", value=edge, code=code), Test(attribute=column.name, how="less_than", value=edge, code=code)


def _split(plan: Plan, codes: Codes, label: Ints, groups: int, *, least: int) -> tuple[int, int] | None:
    """The attribute and level whose test leaves least impurity; None where no test gains anything."""
    size = len(label)
    totals = np.bincount(label, minlength=groups).astype(np.float64)
    if size < 2 * least or totals.max() == size:
        return None
    best, chosen = _purity(totals[None])[0] + 1e-3 * size, None
    for j, column in enumerate(plan.columns):
        levels = len(column.levels)
        table = np.bincount(label * (levels + 1) + codes[:, j] + 1, minlength=groups * (levels + 1)).reshape(groups, -1).T.astype(np.float64)
        passing = table[1:] if column.kind == "level" else table[1:][::-1].cumsum(axis=0)[::-1]
        first = 0 if column.kind == "level" else 1
        sizes = passing.sum(axis=1)
        purity = np.where((sizes >= least) & (size - sizes >= least), _purity(passing) + _purity(totals - passing), -np.inf)
        for code in range(first, levels):
            if purity[code] > best:
                best, chosen = float(purity[code]), (j, code)
    return chosen


def _purity(counts: Floats) -> Floats:
    return np.asarray((counts**2).sum(axis=1) / np.maximum(counts.sum(axis=1), 1e-9))


def _short(path: tuple[Test, ...]) -> tuple[Test, ...]:
    """Tests without those that a later, narrower one of the same attribute says as well."""
    kept: dict[tuple[str, str, str], Test] = {}
    for test in path:
        key = (test.attribute, test.how, test.value if test.how == "is_not" else "")
        if test.how == "is":
            kept = {known: one for known, one in kept.items() if known[:2] != (test.attribute, "is_not")}
        kept[key] = test
    return tuple(kept.values())
