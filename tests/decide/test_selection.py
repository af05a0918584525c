"""Candidates: what the default audiences' rules select, from days and from events alike, with cell, language and rank."""

from __future__ import annotations

from types import SimpleNamespace

import ibis
import pytest
from tests.decide.world import AS_OF, DAY, audience, rows

from kundig import rules, testing
from kundig.config.defaults import write_defaults
from kundig.config.load import load
from kundig.decide.audiences import audience_candidates
from kundig.decide.selection import selected


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_defaults(folder)
    return load(folder)


def tables(config, seed=3):
    landed = testing.World(seed, people=60).rows(until=testing.END, events=900, orders=300)
    identities = [{"identifier_key": key, "person_key": key, "valid_from": testing.END - 900 * DAY, "shared": False} for key in sorted(set(landed["events"]["identifier_key"].to_pylist()) - {None})]
    given = {name: ibis.memtable(rows(name, [])) for name in ("trait_changes", "scores", "consents", "segment_members", "list_members", "urgency", "lifetime_values")}
    given["profiles"] = ibis.memtable(rows("profiles", [{"person_key": row["person_key"], "person_id": f"p{row['person_key']}"} for row in identities]))
    given["identities"] = ibis.memtable(rows("identities", identities))
    given["events"] = ibis.memtable(landed["events"])
    events = given["events"].mutate(person_key=given["events"].identifier_key)
    parsed = rules.parse_all({name: found.rule for name, found in config.audiences.items()}, rules.schema_of(config))
    given["measure_days"] = rules.measure_days(events, rules.measures_of(parsed), zone="Europe/Berlin")
    return given, parsed


def pairs(table):
    return sorted(zip(*(table.to_pyarrow()[name].to_pylist() for name in ("audience", "person_key")), strict=True))


@pytest.mark.parametrize("days_back", [0, 40])
def test_days_and_events_select_the_same_persons(config, days_back):
    as_of = testing.END - days_back * DAY
    given, parsed = tables(config)
    known = given["events"].filter(given["events"].occurred_at <= as_of, given["events"].received_at <= as_of)
    measured = rules.measure_days(known.mutate(person_key=known.identifier_key), rules.measures_of(parsed), zone="Europe/Berlin")
    found = pairs(selected(config.audiences, given | {"events": known, "measure_days": measured}, as_of=as_of, config=config))
    expected = sorted((name, key) for name, rule in parsed.items() for key in rule.select(given, as_of=as_of).to_pyarrow()["person_key"].to_pylist())
    assert found == expected
    assert {name for name, _ in found} == {"win_back", "welcome", "cross_sell"}


def test_candidates_carry_cell_language_and_rank():
    everyone = {"all": audience(), "value": audience(ranking="value"), "urgency": audience(ranking="urgency")}
    config = SimpleNamespace()
    given = {name: [] for name in ("profiles", "events", "identities", "measure_days", "trait_changes", "scores", "consents", "segment_members", "list_members", "urgency", "lifetime_values")}
    given["profiles"] = [{"person_key": key, "person_id": f"p{key}", "language": language} for key, language in ((1, "de"), (2, "en-GB"), (3, "fr"), (4, None))]
    given["urgency"] = [{"person_key": 1, "urgency": 12.5, "loss_rise": 0.25}]
    given["lifetime_values"] = [{"person_key": 1, "expected_value": 50}, {"person_key": 2, "expected_value": 80}]
    entered = [(1, "s1", True, 9, None), (1, "s2", True, 5, None), (2, "s1", True, 9, None), (2, "s1", False, 3, None), (3, "s1", True, 4, AS_OF), (4, "loyal", True, 4, None)]
    given["segment_members"] = [
        {"person_key": key, "segment_id": segment, "member": member, "occurred_at": AS_OF - ago * DAY, "received_at": AS_OF - ago * DAY, "until": until, "seq": 0} for key, segment, member, ago, until in entered
    ]  # fmt: skip
    patched = pytest.MonkeyPatch()
    patched.setitem(rules.__dict__, "schema_of", lambda config: rules.RuleSchema.of())
    made = audience_candidates(
        *(ibis.memtable(rows(name, found)) for name, found in given.items()), as_of=AS_OF, config=config, audiences=everyone,
        matrix=SimpleNamespace(rows=[{"segment_id": "s1"}, {"segment_id": "s2"}]), locale="de", locales=("de", "en"),
    ).to_pyarrow().to_pylist()  # fmt: skip
    patched.undo()
    by_key = {(row["audience"], row["person_key"]): row for row in made}
    assert len(by_key) == len(made) == 12
    assert {key: (by_key["all", key]["segment_id"], by_key["all", key]["locale"]) for key in (1, 2, 3, 4)} == {1: ("s2", "de"), 2: (None, "en"), 3: (None, "de"), 4: (None, "de")}
    assert [by_key[name, 1]["priority"] for name in ("all", "value", "urgency")] == [12.5, 50.0, 0.25]
    assert [by_key[name, 2]["priority"] for name in ("all", "value", "urgency")] == [0.0, 80.0, 0.0]
