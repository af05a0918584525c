"""Forwarding: nothing lost, order kept per person, one slow destination stops only itself, what was refused can be sent again."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.deliver.destination import Destination, destination

from kundig import consent
from kundig.config.deliver import Destination as Settings
from kundig.config.deliver import ready
from kundig.config.law import Purposes
from kundig.deliver.forward import Event, Forwarder
from kundig.deliver.forward.events import filled
from kundig.deliver.forward.letters import drop, held, replay
from kundig.deliver.forward.permission import Permission
from kundig.deliver.forward.targets import opened
from kundig.store.inbox import Entry, Inbox
from kundig.store.state import State

T0 = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
PURPOSES = Purposes.model_validate({"purposes": {"analytics": {"channels": {"web": {"bases": ["consent"]}}}}})


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.moment = T0

    def __call__(self) -> dt.datetime:
        return self.moment

    def pass_(self, **span: float) -> None:
        self.moment += dt.timedelta(**span)


def read(entries: Sequence[Entry]) -> list[tuple[int, Event]]:
    """Events of bodies that are lists of {id, user, name, properties}."""
    return [
        (entry.seq, Event(
            message_id=one["id"], source=entry.source, kind="track", name=one.get("name", "order_completed"), occurred_at=T0, received_at=T0, user_id=one.get("user"),
            identifiers=(("shop_customer", one["user"], int(one["user"])),) if one.get("user") else (), properties=one.get("properties", {}), context=one.get("context", {}), fault=one.get("fault", ""),
        ))
        for entry in entries for one in json.loads(entry.body)
    ]  # fmt: skip


class World:
    """An inbox, a state and one forwarder."""

    def __init__(self, folder: Path, settings: dict[str, Any], *, name: str = "partner") -> None:
        self.clock = Hand()
        self.folder, self.name = folder, name
        self.inbox = Inbox(folder / "inbox.sqlite", writing=True, clock=self.clock)
        self.state = State.open(f"sqlite:///{folder / 'state.sqlite'}", clock=self.clock)
        self.settings = Settings.model_validate({"meaning": "test", "owner": "data", "no_consent_needed": "test", "rate": {"requests": 10_000}} | settings)
        self.forwarder = self.again()

    def again(self) -> Forwarder:
        """A forwarder as after a restart."""
        ask = Permission(self.settings, state=self.state, purposes=PURPOSES)
        target = opened(self.settings, secret=lambda text: text, folder=self.folder, clock=self.clock)
        return Forwarder(name=self.name, destination=self.settings, target=target, inbox=self.inbox, state=self.state, read=read, ask=ask, clock=self.clock)

    def put(self, *events: dict[str, Any], source: str = "web") -> None:
        self.inbox.append(json.dumps(events).encode(), source=source)

    def until_idle(self, *, most: int = 200, **span: float) -> None:
        """Step until nothing is left, letting time pass in between."""
        for _ in range(most):
            self.forwarder.step()
            if not self.forwarder.backlog():
                return
            self.clock.pass_(**(span or {"seconds": 400}))
        raise AssertionError(f"{self.forwarder.backlog()} are left")


def http(to: Destination, **more: Any) -> dict[str, Any]:
    return {"http": {"url": to.url, "body": {"id": {"$from": "message_id"}, "user": {"$from": "user_id"}}} | more}


def test_what_is_accepted_leaves_once_in_order_with_an_idempotency_key(tmp_path: Path) -> None:
    with destination() as there:
        world = World(tmp_path, http(there))
        world.put({"id": "a", "user": "1"}, {"id": "b", "user": "2"}, {"id": "c", "user": "1"}, {"id": "bad", "user": "1", "fault": "no such event"})
        world.put({"id": "a", "user": "1"})
        told = world.forwarder.step()
        assert told.sent == 3 and told.left_out == {"not_accepted": 1, "duplicate": 1}
        world.put({"id": "a", "user": "1"})
        assert world.forwarder.step().left_out == {"duplicate": 1}
        of_one = [body["id"] for body in there.taken if body["user"] == "1"]
        assert of_one == ["a", "c"] and sorted(body["id"] for body in there.taken) == ["a", "b", "c"]
        assert {headers["Idempotency-Key"] for _, headers, _ in there.asked} == {"partner:web:a", "partner:web:b", "partner:web:c"}


def test_a_person_whose_event_fails_waits_and_others_go_on(tmp_path: Path) -> None:
    def script(body: Any, number: int) -> tuple[int, dict[str, str]]:
        return (500 if body["id"] == "a1" and number < 9 else 200), {}

    with destination(script) as there:
        world = World(tmp_path, http(there) | {"parallel": 1})
        world.put({"id": "a1", "user": "1"}, {"id": "a2", "user": "1"}, {"id": "b1", "user": "2"})
        world.put({"id": "a3", "user": "1"}, {"id": "b2", "user": "2"})
        world.forwarder.step()
        assert [body["id"] for body in there.taken] == ["b1", "b2"]
        world.until_idle()
        assert [body["id"] for body in there.taken if body["user"] == "1"] == ["a1", "a2", "a3"]


def test_a_destination_that_is_down_shows_its_backlog_and_asks_again_when_told(tmp_path: Path) -> None:
    down = {"now": True}
    with destination(lambda body, number: (429, {"Retry-After": "30"}) if down["now"] else (200, {})) as there:
        world = World(tmp_path, http(there))
        for number in range(40):
            world.put({"id": f"m{number:02d}", "user": str(number % 7 + 1)})
        told = world.forwarder.step()
        assert told.sent == 0 and told.paused_until == T0 + dt.timedelta(seconds=30) and "HTTP 429" in told.reason
        assert world.forwarder.backlog() == 40
        asked = len(there.asked)
        world.clock.pass_(seconds=29)
        world.forwarder.step()
        assert len(there.asked) == asked, "it was asked although it had said when to come again"
        world.clock.pass_(seconds=2)
        world.forwarder.step()
        assert len(there.asked) == asked + 1, "one sending finds out whether it is back"
        down["now"] = False
        world.until_idle()
        by_user: dict[str, list[str]] = {}
        for body in there.taken:
            by_user.setdefault(body["user"], []).append(body["id"])
        assert sum(map(len, by_user.values())) == 40 and all(ids == sorted(ids) for ids in by_user.values())


def test_one_destination_that_hangs_does_not_stop_another(tmp_path: Path) -> None:
    with destination(lambda body, number: (503, {})) as sick, destination() as well:
        one = World(tmp_path, http(sick))
        two = Forwarder(
            name="other", destination=one.settings, target=opened(Settings.model_validate({"meaning": "m", "owner": "o", "no_consent_needed": "t"} | http(well)), secret=str, folder=tmp_path),
            inbox=one.inbox, state=one.state, read=read, ask=lambda event, at: "", clock=one.clock,
        )  # fmt: skip
        one.put({"id": "a", "user": "1"})
        one.forwarder.step()
        assert two.step().sent == 1 and len(well.taken) == 1
        assert one.forwarder.backlog() == 1 and two.backlog() == 0


def test_refused_and_given_up_become_letters_and_are_sent_again(tmp_path: Path) -> None:
    mended = {"now": False}

    def script(body: Any, number: int) -> tuple[int, dict[str, str]]:
        if mended["now"] or body["id"] == "good":
            return 200, {}
        return (422, {}) if body["id"] == "wrong" else (500, {})

    with destination(script) as there:
        world = World(tmp_path, http(there) | {"retry_hours": 1})
        world.put({"id": "wrong", "user": "1"}, {"id": "good", "user": "1"}, {"id": "never", "user": "2"})
        world.until_idle(minutes=20)
        letters = {letter["message_id"]: letter["reason"] for letter in held(world.state, "partner")}
        assert letters == {"wrong": "HTTP 422", "never": "tried for 1 hours: HTTP 500"}
        assert [body["id"] for body in there.taken] == ["good"]
        mended["now"] = True
        assert replay(world.state, "partner", now=world.clock()) == 2
        world.until_idle()
        assert sorted(body["id"] for body in there.taken) == ["good", "never", "wrong"] and held(world.state) == []
        assert drop(world.state, "partner") == 0


def test_a_letter_that_is_refused_again_is_held_again(tmp_path: Path) -> None:
    with destination(lambda body, number: (400, {})) as there:
        world = World(tmp_path, http(there))
        world.put({"id": "a", "user": "1"})
        world.until_idle()
        replay(world.state, "partner", now=world.clock())
        world.until_idle()
        (letter,) = held(world.state, "partner")
        assert letter["status"] == "held" and len(there.asked) == 2
        assert drop(world.state, "partner", ids=[letter["letter_id"]]) == 1 and held(world.state) == []


def test_long_outages_do_not_hold_the_inbox_for_ever(tmp_path: Path) -> None:
    with destination(lambda body, number: (503, {})) as there:
        world = World(tmp_path, http(there) | {"retry_hours": 2})
        for hour in range(6):
            world.put({"id": f"m{hour}", "user": str(hour + 1)})
            world.forwarder.step()
            world.clock.pass_(hours=1)
        for _ in range(3):
            world.forwarder.step()
            world.clock.pass_(hours=1)
        assert len(held(world.state, "partner")) >= 4
        assert world.inbox.waiting(world.forwarder.cursor) <= 2


def test_a_bad_event_in_a_batch_does_not_take_others_with_it(tmp_path: Path) -> None:
    def script(body: Any, number: int) -> tuple[int, dict[str, str]]:
        return (400 if any(one["id"] == "bad" for one in body["inputs"]) else 200), {}

    with destination(script) as there:
        world = World(tmp_path, http(there, batch=10, batch_into="inputs"))
        world.put(*({"id": name, "user": str(number + 1)} for number, name in enumerate(["a", "b", "bad", "c", "d"])))
        world.until_idle()
        assert sorted(one["id"] for body in there.taken for one in body["inputs"]) == ["a", "b", "c", "d"]
        assert [letter["message_id"] for letter in held(world.state, "partner")] == ["bad"]


def test_consent_is_asked_when_the_event_leaves(tmp_path: Path) -> None:
    with destination(lambda body, number: (500, {}) if number == 0 else (200, {})) as there:
        world = World(tmp_path, http(there) | {"no_consent_needed": "", "purpose": "analytics", "channel": "web", "parallel": 1})

        def say(user: int, status: str, at: dt.datetime) -> None:
            record = {"record_id": f"{user}-{status}", "purpose": "analytics", "channel": "web", "status": status, "occurred_at": at, "received_at": at, "identifier_key": user}
            consent.append(world.state, [record])

        say(1, "given", T0)
        say(2, "given", T0)
        world.put({"id": "a", "user": "1"}, {"id": "b", "user": "2"}, {"id": "c", "user": "3"}, {"id": "d"})
        told = world.forwarder.step()
        assert told.left_out == {"consent_missing": 1, "no_identifier": 1} and [body["id"] for body in there.taken] == ["b"]
        world.clock.pass_(minutes=1)
        say(1, "withdrawn", world.clock())
        world.clock.pass_(minutes=9)
        assert world.forwarder.step().left_out == {"consent_withdrawn": 1}, "it was withdrawn while the event waited"
        assert [body["id"] for body in there.taken] == ["b"] and world.forwarder.backlog() == 0


@pytest.mark.parametrize(
    ("context", "leaves"),
    [({}, True), ({"consent": {"categoryPreferences": {"ads": True, "stats": True}}}, True), ({"consent": {"categoryPreferences": {"ads": True, "stats": False}}}, False),
     ({"consent": {"categoryPreferences": {"ads": True}}}, False), ({"consent": {"categoryPreferences": {}}}, False), ({"consent": {}}, False)],
)  # fmt: skip
def test_all_categories_of_the_event_itself_must_be_true(tmp_path: Path, context: dict[str, Any], leaves: bool) -> None:
    with destination() as there:
        world = World(tmp_path, http(there) | {"categories": ["ads", "stats"]})
        world.put({"id": "a", "user": "1", "context": context})
        assert world.forwarder.step().sent == int(leaves)


def test_rows_of_a_database_are_written_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'there.sqlite'}"
    world = World(tmp_path, {"sql": {"url": url, "table": "orders", "columns": {"customer": {"$from": "user_id"}, "total": {"$from": "properties.total", "as": "number"}}}})
    world.put({"id": "a", "user": "1", "properties": {"total": "12.50"}}, {"id": "b", "user": "1", "properties": {"total": "no number"}})
    world.until_idle()
    with world.state.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM forwarded")
    world.put({"id": "a", "user": "1", "properties": {"total": "12.50"}}, {"id": "c", "user": "2", "properties": {"total": 3}})
    world.until_idle()
    with sqlite3.connect(tmp_path / "there.sqlite") as there:
        assert there.execute("SELECT message_id, customer, total FROM orders ORDER BY 1").fetchall() == [("a", "1", 12.5), ("b", "1", None), ("c", "2", 3)]


def test_files_hold_each_event_once_also_after_a_crash_between_sending_and_noting(tmp_path: Path) -> None:
    world = World(tmp_path, {"files": {"folder": "out", "body": {"id": {"$from": "message_id"}}}})
    world.put({"id": "a", "user": "1"}, {"id": "b", "user": "2"})
    real, world.state.insert = world.state.insert, lambda *given, **more: (_ for _ in ()).throw(KeyboardInterrupt())  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        world.forwarder.step()
    world.state.insert = real  # type: ignore[method-assign]
    world.forwarder = world.again()
    world.until_idle()
    lines = [json.loads(line)["id"] for path in (tmp_path / "out").rglob("*.ndjson") for line in path.read_text().splitlines()]
    assert sorted(lines) == ["a", "b"]


def test_signed_requests_verify_and_a_changed_body_does_not(tmp_path: Path) -> None:
    from standardwebhooks import Webhook, WebhookVerificationError

    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    with destination() as there:
        world = World(tmp_path, http(there, sign=secret))
        world.clock.moment = dt.datetime.now(dt.UTC)
        world.put({"id": "a", "user": "1"})
        world.until_idle()
        (body, headers, _) = there.asked[0]
        sent = json.dumps(body, separators=(",", ":"))
        lowered = {name.lower(): value for name, value in headers.items()}
        assert Webhook(secret).verify(sent, lowered) == body
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(sent.replace("a", "b"), lowered)


def test_ready_destinations_make_the_documented_requests() -> None:
    event = Event(
        message_id="m1", source="web", kind="track", name="order_completed", occurred_at=T0, received_at=T0, user_id="7", anonymous_id="x-1", identifiers=(("email", "kim@example.org", 5), ("shop_customer", "7", 7)),
        properties={"order_id": "A1", "total": "19.90", "currency": "EUR", "products": [{"sku": "S", "name": "Schuh", "price": 19.9, "quantity": 1}]},
    ).view()  # fmt: skip
    google = filled(ready()["ga4"]["http"]["body"], event)
    assert google == {
        "client_id": "x-1", "user_id": "7", "timestamp_micros": 1772366400000000,
        "events": [{"name": "purchase", "params": {"engagement_time_msec": 1, "transaction_id": "A1", "value": 19.9, "currency": "EUR", "items": [{"item_id": "S", "item_name": "Schuh", "price": 19.9, "quantity": 1}]}}],
    }  # fmt: skip
    hubspot = filled(ready()["hubspot"]["http"]["body"], event)
    assert hubspot["email"] == "kim@example.org" and hubspot["uuid"] == "m1" and hubspot["eventName"].endswith("_order_completed") and hubspot["occurredAt"] == "2026-03-01T12:00:00.000Z"


@pytest.mark.parametrize(
    ("change", "told"),
    [({"http": None}, "has 0"), ({"no_consent_needed": ""}, "give either purpose"), ({"purpose": "analytics", "no_consent_needed": ""}, "belong together"), ({"extends": "ga5"}, "did you mean 'ga4'"),
     ({"http": {"url": "https://example.org", "body": {"a": {"$from": "event", "as": "unixx"}}}}, "there is no form 'unixx'"), ({"http": {"url": "example.org", "body": {}}}, "begin it with https"),
     ({"http": {"url": "https://example.org", "body": [{"$from": "event", "orr": "x"}]}}, "did you mean 'or'")],
)  # fmt: skip
def test_faults_are_told(change: dict[str, Any], told: str) -> None:
    right = {"meaning": "m", "owner": "o", "no_consent_needed": "contract", "http": {"url": "https://example.org", "body": {}}}
    assert Settings.model_validate(right)
    with pytest.raises(ValidationError, match=told):
        Settings.model_validate({name: value for name, value in (right | change).items() if value is not None})


def test_a_file_may_extend_a_ready_one() -> None:
    made = Settings.model_validate({"extends": "hubspot", "owner": "crm", "http": {"batch": 10}})
    assert made.http is not None and made.http.batch == 10 and made.http.batch_into == "inputs" and made.owner == "crm" and made.purpose == "personalisation"
