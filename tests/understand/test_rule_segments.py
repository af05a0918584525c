"""Segments by rule: members and moments of the table are those that each person's own timeline gives, one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

import kundig
from kundig import rules
from kundig.clock import micros
from kundig.config.load import load
from kundig.errors import ConfigError
from kundig.testing import END, SEGMENT_RULES, World, default_workspace, land
from kundig.workspace import Workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    found = kundig.open(default_workspace(tmp_path_factory.mktemp("rules") / "shop", traits=True))
    land(found.lake, World(3, people=40).rows(until=END), batch="first")
    found.run(as_of=END, only=["rule_members"])
    return found


def test_members_are_those_of_each_persons_timeline(workspace: Workspace) -> None:
    rows = {(row["person_key"], row["segment"]): row for row in workspace.table("rule_members").to_pyarrow().to_pylist()}
    parsed = rules.parse_all({name: one.rule for name, one in workspace.config.rule_segments.items()}, rules.schema_of(workspace.config))
    tables = {name: workspace.table(name) for name in ("profiles", "events", "identities", "trait_changes", "scores", "consents", "segment_members", "list_members")}
    people = workspace.table("profiles").to_pyarrow()["person_key"].to_pylist()
    lines = rules.timelines(list(parsed.values()), tables, people)
    held = dict.fromkeys(SEGMENT_RULES, 0)
    for person in people:
        for name, rule in parsed.items():
            row, alone = rows.get((person, name)), lines[person]
            holds = rule.evaluate(alone, at=END)
            held[name] += holds
            assert (row is not None and row["member"]) == holds, (person, name)
            turns = rule.next_change(alone, at=END)
            if turns is not None:
                assert row is not None and row["due_at"] is not None and micros(row["due_at"]) <= turns, "no change is missed"
    assert all(0 < count < len(people) for count in held.values()), held


@pytest.mark.parametrize(("name", "said"), (("Busy-ones", "no name of a segment"), ("active", "already")))
def test_names_are_checked(tmp_path: Path, name: str, said: str) -> None:
    folder = default_workspace(tmp_path / "shop", traits=True)
    (folder / f"segments/rules/{name}.yaml").write_text(SEGMENT_RULES["busy"] + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        load(folder)
