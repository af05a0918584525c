"""Pages keep connections that know the tables of a release: a newer release and an erasure are seen by the next page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import kundig
from kundig.clock import now
from kundig.privacy import erase
from kundig.server.app import make_app
from kundig.store import query
from kundig.testing import END, World, land
from kundig.workspace import Workspace


@pytest.fixture
def served(root: Path, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the workspace, as a server has it open."""
    shutil.copytree(root, tmp_path / "shop")
    workspace = kundig.open(tmp_path / "shop")
    yield workspace
    workspace.state.close()
    workspace.lake.close()


@pytest.fixture
def client(served: Workspace) -> Iterator[TestClient]:
    with TestClient(make_app(served), base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture
def beside(served: Workspace) -> Iterator[Workspace]:
    """The same workspace as another process has it open."""
    workspace = kundig.open(served.root)
    yield workspace
    workspace.state.close()
    workspace.lake.close()


def person_of(workspace: Workspace) -> tuple[str, str, int]:
    """A person with an address: id, address and key."""
    sql = "SELECT p.person_id, i.value, p.person_key FROM profiles p JOIN identities d USING (person_key) JOIN identifiers i USING (identifier_key) WHERE i.namespace = 'email' AND d.valid_until IS NULL AND NOT d.shared ORDER BY 1 LIMIT 1"
    found = workspace.rows(sql)[1][0]
    return str(found[0]), str(found[1]), int(found[2])


def test_a_new_release_is_seen_by_the_next_page(served: Workspace, beside: Workspace, client: TestClient) -> None:
    person, _, key = person_of(served)
    before = client.get(f"/api/people/{person}").json()
    assert client.get(f"/api/people/{person}").json() == before and served.lake.readers, "the second page asks a connection that was kept"
    land(beside.lake, World(1, people=40).rows(until=END + timedelta(days=40)), batch="second")
    assert client.get(f"/api/people/{person}").json() == before, "what has landed is not released yet"
    beside.run(as_of=END + timedelta(days=40))
    after = client.get(f"/api/people/{person}").json()
    assert after["profile"]["last_seen_at"] > before["profile"]["last_seen_at"] and after["timeline"] != before["timeline"]
    assert {reader.at for reader in served.lake.readers} == {served.release_snapshot()}, "no connection of the older release is kept"
    assert served.rows(f"SELECT count(*) FROM features WHERE person_key = {key}") == beside.rows(f"SELECT count(*) FROM features WHERE person_key = {key}")


def test_an_erasure_is_seen_by_the_next_page(served: Workspace, beside: Workspace, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUNDIG_SUPPRESSION_KEY", raising=False)
    person, address, _ = person_of(served)
    for path in (f"/people/{person}", f"/api/people/{address}", f"/identity/{person}", f"/api/why/{person}"):
        assert client.get(path).status_code == 200
    assert address in client.get(f"/people/{person}").text
    for name in ("exports", "out"):
        shutil.rmtree(beside.root / name, ignore_errors=True)
    erase(beside, address)
    for path in (f"/people/{person}", f"/people/{address}", f"/api/people/{person}", f"/api/people/{address}", f"/api/why/{person}"):
        answer = client.get(path)
        assert answer.status_code == 404, (path, answer.status_code)
        assert path.endswith(address) or address not in answer.text
    assert served.rows(f"SELECT count(*) FROM identifiers WHERE value = '{address}'")[1] == [(0,)]


def test_rows_erased_from_a_kept_release_are_gone_without_a_newer_one(served: Workspace, beside: Workspace, tmp_path: Path) -> None:
    """Even while the old files stay on the disk for a moment."""
    key = person_of(served)[2]
    asked, at = f"SELECT count(*) FROM profiles WHERE person_key = {key}", served.release_snapshot()
    assert served.rows(asked)[1] == [(1,)]
    folder = served.lake.data / "main" / "profiles"
    shutil.copytree(folder, tmp_path / "old")
    beside.lake.erase({"profiles": ("person_key", [key])})
    shutil.copytree(tmp_path / "old", folder, dirs_exist_ok=True)
    assert served.release_snapshot() == at and served.rows(asked)[1] == [(0,)]


def test_a_list_that_an_erasure_overtakes_is_taken_once_more(served: Workspace, beside: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    key, at = person_of(served)[2], served.release_snapshot()
    asked, standing = f"SELECT count(*) FROM profiles WHERE person_key = {key}", served.lake.standing(at)
    assert served.rows(asked)[1] == [(1,)]
    other = query.Reader(served.lake, at, standing)
    other.open(served.lake, "profiles")
    served.lake.readers.append(other)
    beside.lake.erase({"profiles": ("person_key", [key])})
    monkeypatch.setattr(served.lake, "standing", lambda at: standing)
    assert served.rows(asked)[1] == [(0,)], "the old file is gone, so no list that names it is of use"


def test_queries_that_differ_in_numbers_are_parsed_once(served: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed, real = [], query._parsed
    monkeypatch.setattr(query, "_parsed", lambda connection, sql: (parsed.append(sql), real(connection, sql))[1])
    stamp = f"a{now().timestamp():.0f}"
    assert [served.rows(f"SELECT {number} AS {stamp}")[1] for number in (1, 22)] == [[(1,)], [(22,)]]
    assert len(parsed) == 1
    assert [served.rows(f"SELECT {number} AS \"{stamp}\"")[1] for number in (1, 22)] == [[(1,)], [(22,)]]
    assert len(parsed) == 3, "digits may spell a quoted name"


def test_state_tables_are_read_as_they_are_now(served: Workspace, beside: Workspace) -> None:
    asked = "SELECT count(*) FROM messages"
    before = served.rows(asked)[1][0][0]
    sent = beside.state.select("messages")
    assert before == len(sent) > 0
    table = beside.state.sql("messages")
    with beside.state.transaction() as connection:
        connection.execute(table.delete().where(table.c.message_id == sent[0]["message_id"]))
    assert served.rows(asked)[1] == [(before - 1,)]
