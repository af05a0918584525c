"""Who is on the list is kept out at once: of the live store, of the consents that the intake notes, and in the form of a hash."""

from __future__ import annotations

import hashlib
import json

import pytest
from tests.collect.test_inbox_landing import Taken, call

import kundig as kd
from kundig.clock import now
from kundig.collect.hearing import Heard
from kundig.collect.identifiers import identifier_key
from kundig.collect.intake.consent import Listener, Recorder
from kundig.consent import suppression
from kundig.deliver.forward.permission import Permission
from kundig.live import Live, Now
from kundig.privacy import Named, suppress
from kundig.store.inbox import Inbox
from kundig.store.state import State

ADDRESS = "anna@example.org"
HASH = hashlib.sha256(ADDRESS.encode()).hexdigest()


@pytest.fixture
def shop(copy, monkeypatch):
    monkeypatch.delenv("KUNDIG_SUPPRESSION_KEY", raising=False)
    workspace = kd.open(copy)
    yield workspace
    workspace.state.close()
    workspace.lake.close()


def heard(workspace, *, state):
    inbox = Inbox(workspace.config.path(workspace.config.settings.store.inbox), writing=True)
    traits = [{"email": ADDRESS}, {"email": "else@example.org"}, {"email": ADDRESS.upper(), "phone": "0171 2345678"}]
    calls = [{"messageId": f"n{number}", "type": "identify", "anonymousId": f"device-{number}", "traits": each} for number, each in enumerate(traits)]
    inbox.append(json.dumps({"batch": calls}).encode(), source="web", kind="call")
    live = Live(workspace.lake, workspace.config, workspace.tables["events"], workspace.heard, state=state)
    live.fold(inbox)
    inbox.close()
    with workspace.heard.reading() as connection:
        return {table: str(connection.execute(f"SELECT * FROM {table}").fetchall()) for table in ("events", "owners", "people", "heard")}


@pytest.mark.parametrize("asking", [True, False])
def test_the_live_fold_asks_the_list(shop, asking):
    """Without asking, the positive control, the person is there."""
    suppress(shop, [Named(namespace="email", value=ADDRESS)], reason="erased")
    found = heard(shop, state=shop.state if asking else None)
    assert all("else@example.org" in found[table] for table in ("owners", "people"))
    for mark in (ADDRESS, "+491712345678", "device-0", "device-2"):
        assert (mark in " ".join(found.values())) is not asking, mark


def test_live_answers_allow_nothing_to_who_is_on_the_list(shop):
    rows = shop.rows("SELECT c.person_key, c.purpose, c.channel, min(i.value) FROM consents c JOIN identities d USING (person_key) JOIN identifiers i ON i.identifier_key = d.identifier_key WHERE c.status = 'given' AND c.channel <> '*' AND i.namespace = 'email' GROUP BY ALL ORDER BY 1 LIMIT 50")[1]
    ask = Now(shop.lake, shop.config, shop.tables["events"], shop.heard, state=shop.state)
    key, purpose, channel, email = next(row for row in rows if ask.allows(row[0], purpose=row[1], channel=row[2], at=now()))
    suppress(shop, [Named(namespace="email", value=email)])
    assert not ask.allows(key, purpose=purpose, channel=channel, at=now())


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


def listed(config, state, namespace, value, reason):
    secret = suppression.key(config, in_use=False)
    state.insert("suppressions", [{"digest": digest, "reason": reason, "at": now()} for digest in suppression.digests(namespace, value, secret=secret)])


@pytest.mark.parametrize(("reason", "kept"), [("erased", []), ("suppressed", ["withdrawn"]), ("objected", ["given", "withdrawn"]), ("", ["given", "withdrawn"])])
def test_the_intake_notes_no_consent_of_who_is_on_the_list_but_what_narrows(taken, state, reason, kept):
    recorder = Recorder(state, taken.shop.config)
    row = {"record_id": "", "source": "web", "occurred_at": now(), "received_at": now(), "other_keys": [], "purpose": "newsletter", "channel": "email", "basis": "consent", "until": None, "wording": None, "wording_hash": None, "evidence": None, "jurisdiction": "DE"}
    if reason:
        listed(taken.shop.config, state, "email", ADDRESS, reason)
    key = identifier_key("email", ADDRESS)
    before = len(state.select("consent_log"))
    body = Heard(said=tuple(row | {"record_id": f"r:{status}", "identifier_key": key, "status": status} for status in ("given", "withdrawn")), carried=(), named=((key, "email", ADDRESS),))
    recorder._append([body])
    log = state.select("consent_log", order_by=state.sql("consent_log").c.seq)[before:]
    recorder.close()
    assert [one["status"] for one in log] == kept


def test_a_body_tells_who_is_named_in_its_consents(taken, monkeypatch):
    listener = Listener(taken.shop.config)
    monkeypatch.setattr(listener, "_stated", lambda call, event, stamped: iter([("given", "newsletter", "email", "")] if event == "Asked" else []))
    body = {"batch": [{"type": "track", "event": "Asked", "userId": "c1", "context": {"traits": {"email": "Anna@Example.org"}}}, {"type": "track", "event": "Seen", "userId": "c2"}]}
    found = listener.heard(json.dumps(body).encode(), source="web", kind="batch", sent_at="", received_at=now())
    assert [row["status"] for row in found.carried] == ["given"] and {value for _, _, value in found.named} == {"c1", ADDRESS}, "who says nothing of consent is not looked at"


@pytest.mark.parametrize(("on_list", "arrives"), [("email", "email_hash"), ("email_hash", "email"), ("email", "email")])
def test_an_address_does_not_come_back_as_its_hash(taken, state, on_list, arrives):
    listed(taken.shop.config, state, on_list, ADDRESS if on_list == "email" else HASH, "erased")
    refused = suppression.refused(taken.shop.config, state, [(1, arrives, ADDRESS if arrives == "email" else HASH), (2, "email", "else@example.org"), (3, "email_hash", hashlib.sha256(b"else@example.org").hexdigest())])
    assert refused == {1: "erased"}
    taken.send({"batch": [call(1, type="identify", traits={"email": "Anna@Example.org"}), call(2, anonymousId="a2")]})
    taken.land(state=state)
    assert sorted(one for (one,) in taken.shop.rows("events", "event_id")) == ["web:m2"]


def test_forwarding_asks_with_the_key_of_now(shop):
    """A key that is made after the worker began is used; without one nothing leaves while the list has rows."""
    class Event:
        identifiers = (("email", ADDRESS, 1),)

    keys: list[bytes] = []
    ask = Permission.__new__(Permission)
    ask._state, ask._secret = shop.state, lambda: keys[0] if keys else None
    assert not ask._suppressed(Event())
    suppress(shop, [Named(namespace="email", value="else@example.org")])
    assert ask._suppressed(Event()), "nobody can tell who is on the list"
    keys.append(suppression.key(shop.config, in_use=True))
    assert not ask._suppressed(Event())
    suppress(shop, [Named(namespace="email_hash", value=HASH)])
    assert ask._suppressed(Event())
