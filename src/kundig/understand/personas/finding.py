"""Personas as a library: find groups in attributes of any type, with a verdict, and say what sets each apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kundig.errors import EstimateError
from kundig.understand.personas import choosing, telling
from kundig.understand.personas.choosing import Candidate
from kundig.understand.personas.columns import IDS, Column, Floats, Ints, Plan, arrow, planned
from kundig.understand.personas.mixture import Mixture, Sample
from kundig.understand.personas.telling import Counts
from kundig.understand.personas.tree import Rule, Tree, grow, rules

FIT_ON = 20_000
"""Persons a mixture is fitted on; everyone else is assigned by one E-step."""
SEARCH_ON = 4_000
"""Persons the number of groups is searched on."""
LEAST_PERSONS = 100
CHUNK = 65_536


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the personas may be used for: `usable`, `weak` (they hardly come back when looked for again), `none` (there are no groups) or `not_usable` (too little is known); why; and what would change it."""

    level: Literal["usable", "weak", "none", "not_usable"]
    reason: str
    change: str = ""

    def __str__(self) -> str:
        return f"{self.level}: {self.reason}" + (f" ({self.change})" if self.change else "")


@dataclass(frozen=True, kw_only=True)
class Model:
    """What assigns persons: how attributes are read, and the mixture; it holds no person."""

    plan: Plan
    mixture: Mixture

    @property
    def names(self) -> list[str]:
        """Ids of the personas, the largest first."""
        return [f"p{number + 1}" for number in range(self.mixture.groups)]

    def memberships(self, table: pa.Table) -> Floats:
        """Probability of each persona for each person (persons × personas), piece by piece; to six places, so that a person's do not depend on who else is asked about."""
        out = np.zeros((table.num_rows, self.mixture.groups))
        for start in range(0, table.num_rows, CHUNK):
            piece = table.slice(start, CHUNK)
            out[start : start + CHUNK] = np.round(self.mixture.memberships(self.plan.features(piece)), 6)
        return out

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `models`."""
        columns = [{name: getattr(column, name) for name in ("name", "kind", "levels", "edges", "knots", "scores", "dated")} for column in self.plan.columns]
        return {"columns": columns, "left_out": self.plan.left_out, "mixture": self.mixture.as_dict()}

    @classmethod
    def of(cls, told: dict[str, Any]) -> Model:
        """The model of such values."""
        columns = tuple(
            Column(
                name=one["name"], kind=one["kind"], levels=tuple(one["levels"]), edges=tuple(one["edges"]), knots=tuple(one["knots"]), scores=tuple(one["scores"]), dated=one["dated"],
            )
            for one in told["columns"]
        )  # fmt: skip
        return cls(plan=Plan(columns=columns, left_out=told["left_out"]), mixture=Mixture.of(told["mixture"]))


@dataclass(frozen=True, kw_only=True)
class Personas:
    """Groups found in the data; `count` is 0 where there are none.

    `members`: `person_id, persona_id, probability`, one row a person. `attributes`: `persona_id, attribute, level, weight, share,
    share_elsewhere`, the most telling first. `stability`: adjusted Rand index of two searches on different persons; `recovered`: of each
    persona, the share that both find (Jaccard). `rules`: of each persona a readable rule with its precision and recall (None where no leaf of a
    shallow tree names it); `tree`: one tree for all, with its accuracy. `looked_at`: the gains of each number of groups. `left_out`: attributes not used, and why.
    """

    count: int
    members: pa.Table
    attributes: pa.Table
    verdict: Verdict
    stability: float
    recovered: tuple[float, ...]
    looked_at: tuple[Candidate, ...]
    left_out: dict[str, str]
    model: Model | None
    tree: Tree | None
    rules: dict[str, Rule | None]
    sizes: tuple[int, ...]
    certainty: float

    @property
    def names(self) -> list[str]:
        """Ids of the personas, the largest first."""
        return self.model.names if self.model is not None else []

    def assign(self, profiles: Any) -> pa.Table:
        """Members, as `members`, of other persons with the same columns.

        Raises:
            EstimateError: A column is missing, or there are no personas.
        """
        if self.model is None:
            raise EstimateError("there are no personas to assign to", at="assign", mend=str(self.verdict))
        table = _complete(arrow(profiles), self.model.plan)
        return _members(table, self.names, self.model.memberships(table))


def find(profiles: Any, *, count: int | None = None, most: int = 9, seed: int = 0, nulls: int = 2) -> Personas:
    """The personas of a data frame, Arrow or Ibis table: one row a person, its attributes in columns of any type.

    A column `person_id` (or `person_key`) names the person; else the position does. Numbers, dates, yes/no, texts with few values and missing
    cells may be mixed; columns that name persons are left out. There may be no groups: then `count` is 0 and the verdict "none".

    Args:
        profiles: At least 100 persons for an answer.
        count: Number of personas, where it is known; else it is searched for up to `most`.
        most: Largest number looked at.
        seed: The same seed gives the same personas.
        nulls: Populations without groups that the search is held against.

    Raises:
        EstimateError: The table cannot be read, or a number is out of its range.

    Examples:
        >>> random = np.random.default_rng(0)
        >>> group = random.integers(0, 2, 400)
        >>> people = pa.table({"visits": random.normal(group * 4.0), "spend": random.normal(group * -3.0), "channel": np.where(group == 1, "app", "mail")})
        >>> found = find(people)
        >>> found.count, found.verdict.level
        (2, 'usable')
    """
    if count is not None and not 1 <= count <= 50:
        raise EstimateError(f"{count} personas are asked for", at="count", mend="give a number from 1 to 50")
    if not 2 <= most <= 30:
        raise EstimateError(f"at most {most} personas are asked for", at="most", mend="give a number from 2 to 30")
    table = arrow(profiles)
    plan = planned(table)
    if table.num_rows < LEAST_PERSONS or not plan.columns:
        reason = f"{table.num_rows} persons" if plan.columns else "no attribute tells persons apart"
        return _nobody(table, plan, Verdict(level="not_usable", reason=reason, change=f"at least {LEAST_PERSONS} persons, and attributes with values that differ"))
    fitted = table.take(_spread_rows(table.num_rows, FIT_ON, seed))
    features = plan.features(fitted)
    looked_at: list[Candidate] = []
    groups = count
    if groups is None:
        few = _spread_rows(fitted.num_rows, SEARCH_ON, seed + 1)
        looked_at = choosing.candidates(plan, fitted.take(few), features[few.to_numpy()], most=most, nulls=nulls, seed=seed)
        chosen = choosing.best(looked_at)
        if chosen is None:
            peak = max(looked_at, key=lambda one: one.worth)
            reason = f"groups tell {max(peak.gain, 0.0):.3f} per person beyond what goes together anyway, and chance alone up to {choosing.LEAST_DOUBTS * peak.doubt:.3f}"
            return _nobody(table, plan, Verdict(level="none", reason=reason, change="attributes of another kind, such as interests, content read or answers"), looked_at)
        groups = chosen.groups
    sample = Sample.of(plan, features)
    mixture = sample.fit(groups, seed, starts=8, keep=3, rounds=200, tolerance=1e-5).mixture
    mixture = mixture.take(np.argsort(-sample.groups(mixture).sum(axis=0), kind="stable"))
    return _told(table, Model(plan=plan, mixture=mixture), sample, looked_at, seed)


def _told(table: pa.Table, model: Model, sample: Sample, looked_at: list[Candidate], seed: int) -> Personas:
    groups = model.mixture.groups
    probabilities = model.memberships(table)
    label = probabilities.argmax(axis=1).astype(np.int64)
    counts = Counts.none(model.plan, groups)
    for start in range(0, table.num_rows, CHUNK):
        piece = table.slice(start, CHUNK)
        counts.add(model.plan.codes(piece), label[start : start + CHUNK])
    stability, recovered = _stability(sample, model.mixture, seed)
    some = _spread_rows(table.num_rows, FIT_ON, seed)
    codes, named = model.plan.codes(table.take(some)), label[some.to_numpy()]
    return Personas(
        count=groups, members=_members(table, model.names, probabilities), attributes=telling.attributes(model.plan, counts, model.names), verdict=_verdict(stability, groups),
        stability=stability, recovered=recovered, looked_at=tuple(looked_at), left_out=model.plan.left_out, model=model,
        tree=grow(model.plan, codes, named, groups, seed=seed), rules=dict(zip(model.names, rules(model.plan, codes, named, groups, seed=seed), strict=True)),
        sizes=tuple(int(size) for size in counts.sizes), certainty=float(probabilities.max(axis=1).mean()),
    )  # fmt: skip


def _verdict(stability: float, groups: int) -> Verdict:
    if groups == 1:
        return Verdict(level="usable", reason="one persona was asked for")
    said = f"two searches on different persons agree to {stability:.2f}"
    if stability >= 0.6:
        return Verdict(level="usable", reason=said)
    return Verdict(level="weak", reason=said, change="more persons, fewer personas, or attributes that tell more")


def _stability(sample: Sample, mixture: Mixture, seed: int) -> tuple[float, tuple[float, ...]]:
    """How far the personas of two halves agree, and the share of each persona that both halves find."""
    if mixture.groups == 1:
        return 1.0, (1.0,)
    half = np.random.default_rng([seed, 3]).permutation(len(sample)) % 2 == 0
    fits = [sample.rows(part).fit(mixture.groups, seed + 5, starts=6) for part in (half, ~half)]
    mine = sample.groups(mixture).argmax(axis=1)
    labels = [sample.groups(fit.mixture).argmax(axis=1) for fit in fits]
    found = np.mean([[max(_jaccard(mine == group, label == other) for other in range(mixture.groups)) for group in range(mixture.groups)] for label in labels], axis=0)
    return choosing.rand_index(*labels), tuple(float(share) for share in found)


def _jaccard(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    return float((one & other).sum() / max((one | other).sum(), 1))


def _spread_rows(size: int, most: int, seed: int) -> pa.Array:
    """At most so many rows, the same ones for a seed."""
    if size <= most:
        return pa.array(np.arange(size))
    return pa.array(np.sort(np.random.default_rng([seed, 6]).choice(size, most, replace=False)))


def _members(table: pa.Table, names: list[str], probabilities: Floats) -> pa.Table:
    label: Ints = probabilities.argmax(axis=1).astype(np.int32)
    persona = pa.DictionaryArray.from_arrays(pa.array(label, pa.int32()), pa.array(names, pa.string())).cast(pa.string()) if names else pa.array([], pa.string())
    return pa.table({"person_id": _persons(table), "persona_id": persona, "probability": pa.array(probabilities[np.arange(len(label)), label])})


def _persons(table: pa.Table) -> pa.ChunkedArray | pa.Array:
    for name in IDS:
        if name in table.column_names:
            return table[name]
    return pa.array(np.arange(table.num_rows))


def _complete(table: pa.Table, plan: Plan) -> pa.Table:
    missing = [column.name for column in plan.columns if column.name not in table.column_names]
    if missing:
        raise EstimateError(f"column '{missing[0]}' is missing", at="profiles", mend=f"the personas rest on {', '.join(column.name for column in plan.columns)}")
    return table


def _nobody(table: pa.Table, plan: Plan, verdict: Verdict, looked_at: list[Candidate] | None = None) -> Personas:
    none = table.slice(0, 0)
    empty = Counts.none(Plan(columns=(), left_out={}), 0)
    return Personas(
        count=0, members=_members(none, [], np.zeros((0, 1))), attributes=telling.attributes(plan, empty, []), verdict=verdict, stability=0.0, recovered=(),
        looked_at=tuple(looked_at or ()), left_out=plan.left_out, model=None, tree=None, rules={}, sizes=(), certainty=0.0,
    )  # fmt: skip
