"""Who is who, asked and answered: the path of evidence, the ledger, questions, answers, undo, and what a change would do before it is done."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import kundig
from kundig.answers.evidence import explain, graph
from kundig.answers.ledger import answer, entries, questions, say, undo
from kundig.errors import IdentityError
from kundig.server.app import make_app
from kundig.tables.collect import CONSENT_RECORDS, CONTACTS, EVENTS, ORDERS
from kundig.testing import default_workspace, land
from kundig.workspace import Workspace
from tests.unify.world import World, day, key

END = day(120)
FULL = bool(os.environ.get("KUNDIG_FULL"))
LANDED = (EVENTS, ORDERS, CONTACTS, CONSENT_RECORDS)
ADA, BEA, CEM = "email:ada@example.org", "email:bea@example.org", "email:cem@example.org"


def story() -> World:
    """Ada known by four identifiers in a row, Bea who shares a tablet with Cem, and people in two systems whom only a model can join."""
    world = World()
    world.contact(1, ["customer_id:a1", ADA], first_name="Ada", last_name="Müller", contact_id="crm:ada")
    world.see(2, [ADA, "phone:+491701"])
    world.see(3, ["phone:+491701", "device_id:pad"])
    world.order(4, ["customer_id:a1"], order_id="o1")
    for at in range(5, 15):
        world.see(at, ["customer_id:b1" if at % 2 else "crm_id:c1", "device_id:shared"])
    world.contact(5, ["customer_id:b1", BEA], first_name="Bea", last_name="Weiß", contact_id="crm:bea")
    world.contact(6, ["crm_id:c1", CEM], first_name="Cem", last_name="Yıldız", contact_id="crm:cem")
    for who, record in ((ADA, "r1"), (BEA, "r2")):
        world.see(7, [who], CONSENT_RECORDS, source="form", record_id=record, purpose="newsletter", channel="email", status="confirmed", basis="consent", wording="v1", jurisdiction="DE")
    world.see(8, [CEM], CONSENT_RECORDS, source="form", record_id="r3", purpose="newsletter", channel="email", status="withdrawn", basis="consent", wording="v1", jurisdiction="DE")
    return world


def made(root: Path, world: World, change: Callable[[str], str] = lambda text: text) -> Workspace:
    root = default_workspace(root)
    file = root / "identity.yaml"
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
    workspace = kundig.open(root)
    land(workspace.lake, {table.name: world.table(table) for table in LANDED} | {"identifiers": world.identifiers()}, batch="first")
    workspace.run(as_of=END)
    return workspace


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = made(tmp_path_factory.mktemp("ledger"), story())
    workspace.lake.close()
    workspace.state.close()
    return workspace.root


@pytest.fixture
def workspace(released: Path, tmp_path: Path) -> Workspace:
    return kundig.open(shutil.copytree(released, tmp_path / "copy"))


def table(workspace: Workspace, sql: str) -> list[Any]:
    return workspace.rows(sql)[1]


def test_the_path_is_told_link_by_link_and_in_order(workspace: Workspace) -> None:
    found = explain(workspace, "customer_id:a1", "device_id:pad")
    assert found.together and [(edge.left.value, edge.right.value) for edge in found.path] == [("a1", "ada@example.org"), ("ada@example.org", "+491701"), ("+491701", "pad")]
    assert [edge.evidence for edge in found.path] == ["contacts:crm", "events:web", "events:web"]
    assert "one person" in found.lines()[0] and "joins" in found.lines()[1]
    person = table(workspace, f"SELECT person_id FROM profiles p JOIN identities i USING (person_key) WHERE identifier_key = {key(BEA)}")[0][0]
    assert explain(workspace, person, BEA).together


def test_what_was_refused_says_by_which_guard(workspace: Workspace) -> None:
    found = explain(workspace, BEA, CEM)
    assert not found.together and {edge.status for edge in found.beside} == {"overlap"}
    assert {edge.left.value for edge in found.beside} | {edge.right.value for edge in found.beside} == {"b1", "c1", "shared"}
    assert explain(workspace, ADA, CEM).lines()[-1].strip() == "no record, likeness or answer connects them"
    with pytest.raises(IdentityError, match="nobody is known"):
        explain(workspace, ADA, "nobody@example.org")


def test_the_graph_of_a_person_holds_its_links_and_what_they_were_refused(workspace: Workspace) -> None:
    nodes, edges = graph(workspace, table(workspace, f"SELECT person_key FROM identities WHERE identifier_key = {key(BEA)}")[0][0])
    assert {node.value for node in nodes} >= {"b1", "bea@example.org", "shared"}
    assert {edge.status for edge in edges} == {"used", "overlap"}


def state_of(workspace: Workspace) -> dict[str, list[Any]]:
    """Everything that follows from who is who, without what says when it was computed."""
    told = {}
    for name in ("identities", "profiles", "consents", "person_days", "lifetime_values", "segment_members", "audience_members", "contact_pressure"):
        rows = workspace.table(name).drop(*({"changed_run"} & set(workspace.table(name).columns))).to_pyarrow().to_pylist()
        told[name] = sorted(rows, key=repr)
    return told


def test_an_answer_is_previewed_and_waits_in_the_ledger(workspace: Workspace) -> None:
    decision = say(workspace, "same", BEA, CEM, reason="one household, one account")
    preview = workspace.plan(as_of=END).identity
    assert preview is not None and (preview.merges, preview.splits, preview.affected) == (1, 0, 2)
    assert preview.narrowed == 1, "Bea's consent does not outlive that Cem, now the same person, withdrew"
    assert entries(workspace)[0].line().endswith(f"(the next run acts on it)  [decision:{decision}]")


@pytest.mark.skipif(not FULL, reason="full counts only: tests/unify/test_decisions.py holds the law on links and identities")
def test_after_an_undo_each_part_has_its_own_again(workspace: Workspace) -> None:
    before = state_of(workspace)
    decision = say(workspace, "same", BEA, CEM, reason="one household, one account")
    workspace.run(as_of=END)
    joined = explain(workspace, BEA, CEM)
    assert joined.together and any("decided by cli: one household" in edge.evidence for edge in joined.path)
    assert table(workspace, f"SELECT DISTINCT status FROM consents WHERE person_key = {table(workspace, f'SELECT person_key FROM identities WHERE identifier_key = {key(BEA)}')[0][0]} AND channel = 'email' QUALIFY row_number() OVER (ORDER BY occurred_at DESC, seq DESC) = 1") == [("withdrawn",)]
    assert state_of(workspace) != before
    again = undo(workspace, decision, reason="it was a mistake")
    workspace.run(as_of=END)
    assert state_of(workspace) == before, "each part has its own again, never the union"
    with pytest.raises(IdentityError, match="taken back already"):
        undo(workspace, decision)
    undo(workspace, again)
    workspace.run(as_of=END)
    assert explain(workspace, BEA, CEM).together, "an undo can be undone"
    assert [(one.kind, one.standing) for one in entries(workspace, BEA) if one.kind in ("same", "undo")] == [("undo", True), ("undo", False), ("same", True)]


@pytest.mark.skipif(not FULL, reason="full counts only: a preview is tried above")
def test_a_merge_that_records_made_is_parted_by_its_undo(workspace: Workspace) -> None:
    row = next(one for one in entries(workspace, ADA) if one.kind == "merge" and "+491701" in (one.person.value, one.other.value))
    undo(workspace, row.merge_id)
    preview = workspace.plan(as_of=END).identity
    assert preview is not None and preview.splits == 1 and preview.most_valuable[0].becomes.__len__() == 2
    workspace.run(as_of=END)
    assert not explain(workspace, "customer_id:a1", "phone:+491701").together
    with pytest.raises(IdentityError, match="has no row"):
        undo(workspace, "merge:1:2")


@pytest.mark.skipif(not FULL, reason="full counts only: a preview is tried above")
def test_a_changed_rule_is_previewed_before_it_is_applied(workspace: Workspace) -> None:
    file = workspace.root / "identity.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace('blocked: ["000000*"', 'blocked: ["+491701", "000000*"'), encoding="utf-8")
    fresh = kundig.open(workspace.root)
    effect = fresh.plan(as_of=END).identity
    assert effect is not None and (effect.merges, effect.splits, effect.affected, effect.persons_after - effect.persons_before) == (0, 1, 1, 1), "without the number, the tablet is nobody's that is known"
    now, once = (table(one, f"SELECT person_key FROM identities WHERE identifier_key IN ({key('device_id:pad')}, {key(ADA)})") for one in (fresh, workspace))
    assert now == once and len(set(now)) == 1, "a preview changes nothing"


def crowd(world: World) -> None:
    from tests.unify.test_decisions import crowd as many

    many(world, people=60)


def test_questions_are_answered_once_and_beat_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = story()
    crowd(world)
    workspace = made(tmp_path, world, lambda text: text.replace("matching: {enabled: false, same: 0.95, ask: 0.5", "matching: {enabled: true, same: 0.99999999, ask: 0.3"))
    waiting = questions(workspace)
    assert waiting and all(one.left["last_name"] and one.right["last_name"] and one.left_person != one.right_person for one in waiting)
    assert [one.value for one in waiting] == sorted((one.value for one in waiting), reverse=True)
    first, second = waiting[0], waiting[-1]
    with TestClient(make_app(workspace), base_url="http://127.0.0.1:8700") as client:
        page = client.get("/identity?lang=de").text
        assert page.count('value="same"') == 10 and "Dieselbe Person" in page and "matching" not in page
        token = re.search(r'name="token" value="([^"]+)"', page)[1]  # type: ignore[index]  # the page has the form
        assert client.post("/identity/answer", data={"token": "another", "pair": first.pair, "verdict": "same"}).status_code == 403
        assert client.post("/identity/answer", data={"token": token, "pair": first.pair, "verdict": "perhaps"}).status_code == 422
        assert not workspace.state.select("identity_decisions"), "refused forms decide nothing"
        assert first.pair not in client.post("/identity/answer?lang=de", data={"token": token, "pair": first.pair, "verdict": "same"}).text
    assert second.pair in told(workspace, capsys, "identity", "review", "--limit", "100") and "is different" in told(workspace, capsys, "identity", "answer", second.pair, "different")
    assert {first.pair, second.pair}.isdisjoint(one.pair for one in questions(workspace)), "what is answered is asked no more"
    if FULL:
        workspace.run(as_of=END)
        persons = dict(table(workspace, "SELECT identifier_key, person_key FROM identities"))
        assert persons[first.left_key] == persons[first.right_key] and persons[second.left_key] != persons[second.right_key]
    with pytest.raises(IdentityError, match="there is no question"):
        answer(workspace, "0" * 10, "same")
    with pytest.raises(IdentityError, match="is no answer"):
        answer(workspace, first.pair, "perhaps")


def told(workspace: Workspace, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    from kundig.cli import main

    with pytest.raises(SystemExit) as stop:
        main([*words, "-w", str(workspace.root)])
    out = capsys.readouterr()
    assert stop.value.code == 0, out.err
    return out.out


def test_commands_speak_of_the_same(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert "1. customer_id a1" in told(workspace, capsys, "identity", "explain", "customer_id:a1", "device_id:pad")
    assert json.loads(told(workspace, capsys, "identity", "explain", BEA, CEM, "--json"))["together"] is False
    assert "overlap" in told(workspace, capsys, "identity", "merges")
    assert "no question waits" in told(workspace, capsys, "identity", "review")
    assert "d000001" in told(workspace, capsys, "identity", "decide", "same", BEA, CEM, "--because", "one account")
    if FULL:
        assert "merges 1, splits 0" in told(workspace, capsys, "identity", "preview", "--as-of", END.isoformat())
    assert "takes back d000001" in told(workspace, capsys, "identity", "undo", "d000001")
    assert [row["kind"] for row in json.loads(told(workspace, capsys, "identity", "merges", BEA, "--json"))][:2] == ["undo", "same"]


@pytest.mark.skipif(not FULL, reason="full counts only: one pair is tried above")
@pytest.mark.parametrize("pair", itertools.permutations(("customer_id:a1", BEA, CEM, "device_id:pad"), 2))
def test_any_decision_taken_back_leaves_no_trace(workspace: Workspace, pair: tuple[str, str]) -> None:
    before = state_of(workspace)
    for kind in ("same", "different"):
        made_id = say(workspace, kind, *pair)
        workspace.run(as_of=END)
        undo(workspace, made_id)
        workspace.run(as_of=END)
        assert state_of(workspace) == before, (kind, pair)
