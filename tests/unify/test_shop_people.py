"""Persons of the simulated shop, through import and run with matching on, against the simulator's truth."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from bench.shop_people import Persons, judged, shop, told

from kundig.workspace import Workspace

PERSONS = 6_000 if os.environ.get("KUNDIG_FULL") else 400



@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Path]:
    root = tmp_path_factory.mktemp("shop")
    return shop(root, persons=PERSONS), root / "truth"


@pytest.fixture(scope="module")
def found(made: tuple[Workspace, Path]) -> Persons:
    return judged(*made)


def test_persons_are_those_of_the_truth(found: Persons, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print("\n" + told(f"{PERSONS:,} persons", found))
    assert found.persons.f1 >= 0.97
    assert max(found.exact.f1, found.address.f1) < 0.85, "the dirt is too mild to prove anything"


def test_no_device_glues_two_households(found: Persons) -> None:
    assert found.devices >= 5, "nothing was planted"
    assert found.glued == ()


def test_a_glued_household_would_be_seen(made: tuple[Workspace, Path]) -> None:
    workspace, truth = made

    class Everybody:
        """A workspace that says everybody is one person."""

        def rows(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
            names, rows = workspace.rows(sql)
            return names, [(*row[:-1], 1) for row in rows] if "person_key" in sql else rows

    glued = judged(Everybody(), truth)  # type: ignore[arg-type]  # stands in for its one method
    assert glued.glued
    assert glued.persons.f1 < 0.1
