"""Fits of personas in a workspace: what is found in the data, and what the data say of what people told; as rows of `persona_models`, which hold no person."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kundig.config.personas import ATTRIBUTES, Answers, Finding
from kundig.understand.personas import stories, telling
from kundig.understand.personas.columns import Ints, Plan, planned
from kundig.understand.personas.finding import Model, Personas, find
from kundig.understand.personas.knowing import PROTECTED, flat, typed, wanted
from kundig.understand.personas.telling import Counts
from kundig.understand.personas.told import claims, holds

FOUND, ANSWERS = "personas:", "persona_answers:"
"""How the names of models begin: of personas found, and of those that people told."""
MOST_TOLD = 40
"""Attributes kept of a persona."""


def current(models: pa.Table) -> list[dict[str, Any]]:
    """The newest fit of each file."""
    found: dict[str, dict[str, Any]] = {}
    for row in sorted(models.to_pylist(), key=lambda row: (row["fitted_at"], row["version"])):
        found[row["model"]] = row
    return [found[name] for name in sorted(found)]


def newest(models: pa.Table, name: str) -> dict[str, Any] | None:
    """The parameters of a model; None where it was never fitted."""
    return next((json.loads(row["parameters"]) for row in current(models) if row["model"] == name), None)


def find_in(people: pa.Table, name: str, finding: Finding, free: dict[str, str], before: dict[str, Any] | None) -> dict[str, Any]:
    """The columns of a row of `persona_models` for a file of personas; ids are those of the fit before where it is the same people."""
    frame = typed(flat(people, wanted(finding, free)), free)
    found = find(frame, count=finding.count, most=finding.most)
    told = {
        "finder": found.model.as_dict() if found.model is not None else None, "ids": [], "stories": [], "persons": people.num_rows, "certainty": found.certainty, "stability": found.stability,
        "looked_at": [asdict(one) for one in found.looked_at], "left_out": found.left_out,
        "tree": {"accuracy": found.tree.accuracy, "baseline": found.tree.baseline} if found.tree is not None else None,
    }  # fmt: skip
    if found.model is not None:
        label = found.model.memberships(frame).argmax(axis=1)
        told["ids"], shares_before = _ids(people, label, found.count, name, before)
        told["stories"] = _stories(people, label, told["ids"], found, shares_before, finding, free)
    return _row(told, people.num_rows, found.verdict.level, found.verdict.reason + (f"; what would change it: {found.verdict.change}" if found.verdict.change else ""))


def _ids(people: pa.Table, label: Ints, groups: int, name: str, before: dict[str, Any] | None) -> tuple[list[str], dict[str, float]]:
    if before is None or before["finder"] is None:
        return [f"{name}_{number + 1}" for number in range(groups)], {}
    model = Model.of(before["finder"])
    names = [column.name for column in model.plan.columns]
    frame = flat(people, list(dict.fromkeys(one.partition(": ")[0] for one in names)), listed=names)
    if any(one not in frame.column_names for one in names):
        return stories.kept_ids(label, np.full(len(label), -1), before["ids"], groups, name), {}
    then = model.memberships(frame).argmax(axis=1)
    return stories.kept_ids(label, then, before["ids"], groups, name), {one["id"]: float(one["share"]) for one in before["stories"]}


def _stories(people: pa.Table, label: Ints, ids: list[str], found: Personas, shares_before: dict[str, float], finding: Finding, free: dict[str, str]) -> list[dict[str, Any]]:
    plan, everything = _everything(people, free, finding.attributes)
    counts = Counts.none(plan, len(ids))
    counts.add(plan.codes(everything), label.astype(np.int64))
    used = {column.name for column in found.model.plan.columns} if found.model is not None else set()
    told = telling.attributes(plan, counts, ids).to_pylist()
    rows = []
    for group, name in enumerate(ids):
        inside = label == group
        share, share_before = float(inside.mean()), shares_before.get(name)
        rows.append(
            asdict(stories.story(people, inside)) | stories.rule_told(found.rules[found.names[group]])
            | {
                "id": name, "size": int(inside.sum()), "share": share, "share_before": share_before, "drift": stories.drift(share, share_before, len(label)), "recovered": found.recovered[group],
                "stability": found.stability, "attributes": _kept(told, name, used),
            }
        )  # fmt: skip
    return rows


def _everything(people: pa.Table, free: dict[str, str], also: tuple[str, ...]) -> tuple[Plan, pa.Table]:
    """All attributes, for telling: protected ones only where they were asked for."""
    names = [name for name in dict.fromkeys([*ATTRIBUTES, *free, *also]) if name not in PROTECTED or name in also]
    frame = typed(flat(people, names), free)
    return planned(frame), frame


def _kept(told: list[dict[str, Any]], name: str, used: set[str]) -> list[list[Any]]:
    mine = [row for row in told if row["persona_id"] == name][:MOST_TOLD]
    return [[row["attribute"], row["level"], row["weight"], row["share"], row["share_elsewhere"], row["attribute"] in used] for row in mine]


def tell_of(people: pa.Table, name: str, answers: Answers, free: dict[str, str]) -> dict[str, Any]:
    """The columns of a row of `persona_models` for a persona that people told: who it is in the data, and where they disagree."""
    people = typed(people, free)
    inside = holds(people, answers.who)
    size = int(inside.sum())
    one: dict[str, Any] = {
        "id": name, "title": answers.title.get("de") or next(iter(answers.title.values())), "titles": dict(answers.title), "size": size, "share": size / max(len(inside), 1), "attributes": [],
        "claims": [asdict(claim) for claim in claims(people, inside, answers)], "objection": answers.objection or "none", "rule": None,
    }  # fmt: skip
    if size >= 20 and size < len(inside):
        one |= asdict(stories.story(people, inside)) | ({"objection": answers.objection} if answers.objection else {})
        one["attributes"] = _apart(people, inside, name, answers, free)
    wrong = [claim["about"] for claim in one["claims"] if claim["agrees"] is False]
    level = "usable" if size >= 100 else "weak" if size >= 20 else "not_usable"
    reason = f"{size} of {len(inside)} persons" + (f"; the data disagree about {', '.join(wrong)}" if wrong else "")
    return _row({"finder": None, "ids": [name], "stories": [one], "persons": len(inside)}, len(inside), level, reason)


def _apart(people: pa.Table, inside: npt.NDArray[np.bool_], name: str, answers: Answers, free: dict[str, str]) -> list[list[Any]]:
    plan, everything = _everything(people, free, tuple(answers.who))
    counts = Counts.none(plan, 2)
    counts.add(plan.codes(everything), (~inside).astype(np.int64))
    return _kept(telling.attributes(plan, counts, [name, ""]).to_pylist(), name, set(answers.who))


def _row(told: dict[str, Any], persons: int, level: str, reason: str) -> dict[str, Any]:
    return {
        "parameters": json.dumps(told, sort_keys=True, ensure_ascii=False), "observations": persons, "log_likelihood": None, "verdict": level, "reason": reason,
        "holdout": json.dumps({"looked_at": told.get("looked_at", []), "stability": told.get("stability")}), "inputs": json.dumps({"persons": persons}),
    }  # fmt: skip
