"""Segments by rule: members and moments of the table are those that each person's own timeline gives, one by one."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

import kundig
from kundig import rules
from kundig.clock import micros
from kundig.config.load import load
from kundig.decide.policy import lineage, parsed_rules
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


@pytest.mark.parametrize(("named", "said"), (("include: [bussy]", "did you mean 'busy'"), ("exclude: [activ]", "did you mean 'active'"), ("include: [busy]\nexclude: [busy]", "included and excluded")))
def test_segments_of_audiences_are_checked(tmp_path: Path, named: str, said: str) -> None:
    folder = default_workspace(tmp_path / "shop", traits=True)
    with (folder / "audiences/welcome.yaml").open("a", encoding="utf-8") as file:
        file.write(f"{named}\n")
    with pytest.raises(ConfigError, match=said):
        load(folder)


def everyone(name: str, folder: Path, named: str) -> None:
    """An audience of everybody, within and without segments."""
    text = (folder / "audiences/welcome.yaml").read_text(encoding="utf-8")
    head = text[: text.index("rule:")] + "rule: {everyone: true}\n" + text[text.index("purpose:") :]
    (folder / f"audiences/{name}.yaml").write_text(f"{head}{named}\n", encoding="utf-8")


def test_an_audience_is_within_and_without_the_segments_it_names(tmp_path: Path) -> None:
    folder = default_workspace(tmp_path / "shop", traits=True)
    named = {"those": "include: [busy, browsing]", "others": "exclude: [busy]", "both": "include: [browsing, active]\nexclude: [busy]"}
    for name, text in named.items():
        everyone(name, folder, text)
    world = World(3, people=40)
    found = kundig.open(folder)

    def agree() -> dict[str, set[int]]:
        """Candidates by audience, after they were found to be those of the tables of segments."""
        members = found.table("rule_members").to_pyarrow().to_pylist()
        cells = {row["person_key"] for row in found.table("segment_members").to_pyarrow().to_pylist() if row["segment_id"] == "active"}
        people = set(found.table("profiles").to_pyarrow()["person_key"].to_pylist())
        by_rule = {name: {row["person_key"] for row in members if row["segment"] == name and row["member"]} for name in SEGMENT_RULES}
        rows = found.table("audience_candidates").to_pyarrow().to_pylist()
        held = {name: {row["person_key"] for row in rows if row["audience"] == name} for name in named}
        assert held["those"] == by_rule["busy"] | by_rule["browsing"] and held["others"] == people - by_rule["busy"]
        assert held["both"] == (by_rule["browsing"] | cells) - by_rule["busy"]
        return held

    earlier = END - dt.timedelta(days=6)
    land(found.lake, world.rows(until=earlier), batch="first")
    found.run(as_of=earlier, only=["audience_candidates", "rule_members"])
    first = agree()
    found.run(as_of=END, only=["audience_candidates", "rule_members"])
    later = agree()
    assert later["those"] != first["those"], "windows closed in silence, and the audience heard of it"
    (folder / "segments/rules/busy.yaml").write_text("{meaning: Bought once in two months, rule: {event: order_completed, within: 60 days}}\n", encoding="utf-8")
    found = kundig.open(folder)
    found.apply()
    found.run(as_of=END, only=["audience_candidates", "rule_members"])
    assert agree()["others"] < later["others"], "a rule of a segment that changed changes the audience"


def test_a_scenario_answers_for_the_attributes_of_the_segments_an_audience_names(tmp_path: Path) -> None:
    folder = default_workspace(tmp_path / "shop", traits=True)
    (folder / "segments/rules/locals.yaml").write_text("{meaning: Live here, rule: {trait: city, is: Berlin}}\n", encoding="utf-8")
    everyone("near", folder, "include: [locals]")
    config = load(folder)
    rule = parsed_rules(config.audiences, config, config.rule_segments)["near"]
    assert lineage(rule, config.audiences["near"]) == ("city",) and "„locals“" in rule.sentence("de")
