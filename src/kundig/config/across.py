"""What files must agree on with each other: names that one uses and another declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kundig.config.understand import matrix_faults
from kundig.errors import Fault, nearest


def faults_across(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Every disagreement between files that are each right by themselves."""
    yield from matrix_faults(values["axes"], values["matrix"])
    yield from _audiences(values)


def _audiences(values: Mapping[str, Any]) -> Iterator[Fault]:
    creatives = {name.split("/")[0] for name in values["briefs"]}
    for name, audience in sorted(values["audiences"].items()):
        at = f"audiences/{name}.yaml"
        for what, given, known in (
            ("scenario", audience.scenario, values["policies"]), ("purpose", audience.purpose, values["purposes"].purposes), ("creative", audience.creative, creatives),
        ):  # fmt: skip
            if given not in known:
                yield Fault(what=f"there is no {what} '{given}'", at=at, mend=nearest(given, known))
        for channel in audience.channels:
            if channel not in values["channels"].channels:
                yield Fault(what=f"there is no channel '{channel}'", at=at, mend=nearest(channel, values["channels"].channels))
