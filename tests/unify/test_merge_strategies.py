"""All merge strategies over random records, against a plain Python reading of docs/profiles.md."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from typing import Any

import pytest
from tests.unify.test_profiles import told
from tests.unify.world import World

from kundig.config.unify import ProfileRules

PERSONS = 400 if os.environ.get("KUNDIG_FULL") == "1" else 40
SOURCES = ("crm", "fair", "form", "shop")
CITIES = ("Bonn", "Köln", "Berlin")


def records(seed: int) -> list[list[dict[str, Any]]]:
    """What sources say of each person: few values and moments, so that ties happen."""
    chance = random.Random(seed)
    found = []
    for person in range(PERSONS):
        mine = [
            {
                "at": chance.choice((0, 1, 1, 2, 3)), "source": chance.choice(SOURCES), "contact_id": f"c{person:03}:{number}", "city": chance.choice((*CITIES, None, "")), "age": chance.choice((9, 10, 31, None)),
                "hobbies": chance.choice((["a"], ["b", "c"], [], None, ["a", "b"])),
            }
            for number in range(chance.randint(1, 7))
        ]  # fmt: skip
        found.append(mine)
    return found


def oracle(said: list[dict[str, Any]], attribute: str, strategy: str, trust: tuple[str, ...], trusted_for: tuple[str, ...] = ()) -> Any:
    """The value that wins, as the guide says it."""
    ordered = [one for one in sorted(said, key=lambda one: (one["at"], one["contact_id"])) if one[attribute] not in (None, "", [])]
    if not ordered:
        return None
    values = [one[attribute] for one in ordered]
    if strategy == "union":
        return sorted({item for value in values for item in value})
    if strategy == "minimum":
        return min(values)
    if strategy == "maximum":
        return max(values)
    if strategy == "latest":
        return values[-1]
    if strategy == "trusted":
        ranked = (*trusted_for, *(source for source in trust if source not in trusted_for))
        best = min(ranked.index(one["source"]) if one["source"] in ranked else len(ranked) for one in ordered)
        return [one[attribute] for one in ordered if (ranked.index(one["source"]) if one["source"] in ranked else len(ranked)) == best][-1]
    counted: Counter[Any] = Counter()
    winner = None
    for value in values:
        counted[value] += 1
        winner = value if counted[value] >= max(counted.values()) else winner
    return winner


def merged(people: list[list[dict[str, Any]]], rules: ProfileRules) -> list[dict[str, Any]]:
    world = World()
    for number, mine in enumerate(people):
        for one in mine:
            world.contact(one["at"], [f"email:p{number}@example.org"], **{name: value for name, value in one.items() if name != "at"})
    tables = told(world, rules)
    rows = {row["email"]: row for row in tables["profiles"].to_pylist()}
    assert len(rows) == len(people)
    return [rows[f"p{number}@example.org"] for number in range(len(people))]


CASES = (
    ("city", "latest", (), ()), ("city", "frequent", (), ()), ("city", "trusted", ("fair", "crm"), ()), ("city", "trusted", ("fair",), ("shop", "form")),
    ("age", "minimum", (), ()), ("age", "maximum", (), ()), ("age", "latest", (), ()), ("age", "frequent", (), ()), ("hobbies", "union", (), ()),
)  # fmt: skip


@pytest.mark.parametrize("group", (("latest", "union"), ("frequent",), ("trusted",), ("minimum",), ("maximum",)))
def test_the_value_that_wins_is_the_plain_readings(group: tuple[str, ...]) -> None:
    people = records(7)
    compared = 0
    for attribute, strategy, trust, first in (case for case in CASES if case[1] in group):
        made = merged(people, ProfileRules.model_validate({"trust": trust, "strategies": {attribute: strategy}, "trusted_for": {attribute: first} if first else {}}))
        for said, row in zip(people, made, strict=True):
            won = sorted(row[attribute]) if isinstance(row[attribute], list) else row[attribute]
            assert won == oracle(said, attribute, strategy, trust, first), (said, attribute, strategy)
            compared += won is not None
    assert compared > len(people) // 2


def test_another_strategy_would_be_seen() -> None:
    """Positive control: over these records each pair of strategies differs for somebody, so a mistaken one cannot pass."""
    people = records(7)
    made = {strategy: json.dumps([oracle(said, "age", strategy, ("fair",)) for said in people]) for strategy in ("latest", "frequent", "trusted", "minimum", "maximum")}
    assert len(set(made.values())) == len(made)
