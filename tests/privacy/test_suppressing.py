"""Suppressed people do not come in again, by whatever door, and are known by digests alone."""

from __future__ import annotations

import json
import stat

import pytest
from tests.collect.test_inbox_landing import Taken, call

import kundig as kd
from kundig.consent import suppression
from kundig.errors import ConfigError, IdentityError
from kundig.privacy import Named, named, suppress, unsuppress
from kundig.store.state import State

ANNA = {"type": "identify", "userId": "c1", "anonymousId": "a1", "traits": {"email": "Anna@Example.org"}}


@pytest.fixture
def taken(tmp_path):
    found = Taken(tmp_path)
    yield found
    found.inbox.close()


@pytest.fixture
def state(tmp_path):
    found = State.open(f"sqlite:///{tmp_path / 'state.sqlite'}")
    yield found
    found.close()


def put(taken, state, namespace, value, reason):
    secret = suppression.key(taken.shop.config, in_use=False)
    from kundig.clock import now

    state.insert("suppressions", [{"digest": suppression.digest(namespace, value, secret=secret), "reason": reason, "at": now()}])


@pytest.mark.parametrize("reason", ["erased", "suppressed", "objected"])
def test_calls_of_a_suppressed_address_do_not_land_and_are_counted(taken, state, reason):
    put(taken, state, "email", "anna@example.org", reason)
    broken = call(4, anonymousId=None, userId="c9", event=None, context={"traits": {"email": "anna@example.org"}})
    taken.send({"batch": [call(1, **ANNA), call(2, anonymousId="a2"), call(3, userId="c1", context={"traits": {"email": "ANNA@example.org "}}), broken]})
    landed = taken.land(state=state)
    events = sorted(one for (one,) in taken.shop.rows("events", "event_id"))
    held = taken.held()
    if reason == "objected":
        assert events == ["web:m1", "web:m2", "web:m3"] and len(held) == 1 and sum(one.suppressed for one in landed) == 0
        return
    assert events == ["web:m2"] and held == []
    assert taken.shop.rows("identifiers", "value") == [("a2",)]
    assert not taken.shop.rows("contacts", "email")
    assert sum(one.suppressed for one in landed) >= 3


def test_without_its_key_the_list_refuses_to_be_read(taken, state, monkeypatch):
    monkeypatch.delenv("KUNDIG_SUPPRESSION_KEY", raising=False)
    put(taken, state, "email", "anna@example.org", "erased")
    (taken.shop.config.root / "secrets.toml").unlink()
    taken.send(call(1))
    with pytest.raises(ConfigError, match="made under it"):
        taken.land(state=state)


def test_the_key_is_made_once_first_in_the_file_and_for_its_owner_alone(taken, monkeypatch):
    monkeypatch.delenv("KUNDIG_SUPPRESSION_KEY", raising=False)
    path = taken.shop.config.root / "secrets.toml"
    path.write_text('OTHER = "x"\n[table]\na = "b"\n', encoding="utf-8")
    first = suppression.key(taken.shop.config, in_use=False)
    assert len(first) >= 32 and suppression.key(taken.shop.config, in_use=True) == first
    assert 'OTHER = "x"' in path.read_text(encoding="utf-8") and stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_person_is_suppressed_with_every_identifier_and_who_was_erased_stays_so(copy, kundig, monkeypatch):
    monkeypatch.delenv("KUNDIG_SUPPRESSION_KEY", raising=False)
    workspace = kd.open(copy)
    sql = """SELECT min(i.value) FILTER (i.namespace = 'email') FROM identifiers i JOIN identities d USING (identifier_key) WHERE d.valid_until IS NULL
        GROUP BY d.person_key HAVING count(*) > 2 AND count(*) FILTER (i.namespace = 'email') > 0 ORDER BY d.person_key LIMIT 1"""
    email = workspace.rows(sql)[1][0][0]
    found = named(workspace, email)
    assert Named(namespace="email", value=email) in found and len(found) > 1
    done = kundig("privacy", "suppress", email, "--workspace", copy, "--json")
    assert done.code == 0 and json.loads(done.out) == {"identifiers": len(found), "new": len(found)}
    assert suppress(workspace, found) == 0, "a second time changes nothing"
    assert not any(one.value in json.dumps(workspace.state.select("suppressions"), default=str) for one in found)
    assert unsuppress(workspace, [Named(namespace="email", value="nobody@example.org")]) == 0
    done = kundig("privacy", "unsuppress", email, "--workspace", copy, "--json")
    assert json.loads(done.out) == {"identifiers": len(found)} and workspace.state.select("suppressions") == []
    suppress(workspace, found, reason="erased")
    assert suppress(workspace, found) == 0 and unsuppress(workspace, found) == 0, "who was erased stays so"
    with pytest.raises(IdentityError, match="kind"):
        named(workspace, "nobody-knows-this")
    workspace.state.close()
    workspace.lake.close()
