"""What files must agree on with each other: names that one uses and another declares."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from kundig.config.predictions import groupable
from kundig.config.understand import matrix_faults
from kundig.config.unify import NAME
from kundig.errors import Fault, nearest


def faults_across(values: Mapping[str, Any], broken: Collection[str] = ()) -> Iterator[Fault]:
    """Every disagreement between files that are each right by themselves; nothing is said of names whose file (its kind is `broken`) cannot be read."""
    if not {"axes", "matrix"} & set(broken):
        yield from matrix_faults(values["axes"], values["matrix"])
    yield from _audiences(values, broken)
    yield from _traits(values)
    yield from _rule_segments(values)
    yield from _predictions(values)
    yield from _usecases(values, broken)
    if "persona_answers" not in broken:
        yield from _leads(values)
    if "purposes" not in broken:
        yield from _destinations(values, broken)


def _audiences(values: Mapping[str, Any], broken: Collection[str]) -> Iterator[Fault]:
    kinds = {"scenario": "policies", "purpose": "purposes", "creative": "briefs"}
    creatives = {name.split("/")[0] for name in values["briefs"]}
    for name, audience in sorted(values["audiences"].items()):
        at = f"audiences/{name}.yaml"
        for what, given, known in (
            ("scenario", audience.scenario, values["policies"]), ("purpose", audience.purpose, values["purposes"].purposes), ("creative", audience.creative, creatives),
        ):  # fmt: skip
            if given not in known and kinds[what] not in broken:
                yield Fault(what=f"there is no {what} '{given}'", at=at, mend=nearest(given, known))
        if not {"rule_segments", "matrix"} & set(broken):
            segments = (*values["rule_segments"], *values["matrix"].segments)
            for part, names in (("include", audience.include), ("exclude", audience.exclude)):
                for segment in names:
                    if segment not in segments:
                        yield Fault(what=f"there is no segment '{segment}'", at=f"{at}, {part}", mend=nearest(segment, segments, most=40))
        for channel in audience.channels:
            if channel not in values["channels"].channels and "channels" not in broken:
                yield Fault(what=f"there is no channel '{channel}'", at=at, mend=nearest(channel, values["channels"].channels))


def _traits(values: Mapping[str, Any]) -> Iterator[Fault]:
    known = values["profiles"].types
    for name in sorted(values["traits"]):
        if not re.fullmatch(NAME, name):
            yield Fault(what=f"'{name}' is no name of a trait", at=f"traits/{name}.yaml", mend="name the file in lower case, digits and _")
        elif name in known:
            yield Fault(what=f"'{name}' is an attribute of profiles already", at=f"traits/{name}.yaml", mend="give the file another name")


def _rule_segments(values: Mapping[str, Any]) -> Iterator[Fault]:
    for name in sorted(values["rule_segments"]):
        at = f"segments/rules/{name}.yaml"
        if not re.fullmatch(NAME, name):
            yield Fault(what=f"'{name}' is no name of a segment", at=at, mend="name the file in lower case, digits and _")
        elif values["matrix"] is not None and name in values["matrix"].segments:
            yield Fault(what=f"'{name}' is a segment of persona_matrix.csv already", at=at, mend="give the file another name")


def _predictions(values: Mapping[str, Any]) -> Iterator[Fault]:
    for name, prediction in sorted(values["predictions"].items()):
        at = f"predictions/{name}.yaml"
        if not re.fullmatch(NAME, name):
            yield Fault(what=f"'{name}' is no name of a prediction", at=at, mend="name the file in lower case, digits and _")
        known = groupable(values["profiles"])
        for group in prediction.groups:
            if group not in known:
                yield Fault(what=f"there is no attribute '{group}' to tell fairness by", at=f"{at}, groups", mend=nearest(group, known, most=40))


def _usecases(values: Mapping[str, Any], broken: Collection[str]) -> Iterator[Fault]:
    for name, one in sorted(values["usecases"].items()):
        for what, given, kind in (("prediction", one.prediction, "predictions"), ("audience", one.audience, "audiences")):
            if given and given not in values[kind] and kind not in broken:
                yield Fault(what=f"there is no {what} '{given}'", at=f"usecases/{name}.yaml", mend=nearest(given, values[kind]))


def _leads(values: Mapping[str, Any]) -> Iterator[Fault]:
    for name in values["lead_scoring"].personas:
        if name not in values["persona_answers"]:
            yield Fault(what=f"there is no persona '{name}' that people tell", at="leads.yaml, personas", mend=nearest(name, values["persona_answers"]) if values["persona_answers"] else "write personas/answers/<name>.yaml (docs/personas.md)")


def _destinations(values: Mapping[str, Any], broken: Collection[str]) -> Iterator[Fault]:
    pairs = [f"{purpose}/{channel}" for purpose, channel in values["purposes"].pairs()]
    for name, destination in sorted(values["destinations"].items()):
        wanted = f"{destination.purpose}/{destination.channel}"
        if destination.purpose and wanted not in pairs:
            yield Fault(what=f"purposes.yaml has no rule for {wanted}", at=f"destinations/{name}.yaml", mend=nearest(wanted, pairs))
        for source in destination.sources:
            if source not in values["sources"] and "sources" not in broken:
                yield Fault(what=f"there is no source '{source}'", at=f"destinations/{name}.yaml", mend=nearest(source, values["sources"]))
