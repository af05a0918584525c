"""Live equals batch: what is said before the next run is what the run will say; links stay certain, consents stay narrow."""

from __future__ import annotations

import datetime as dt
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from kundig import consent
from kundig.collect.identifiers import identifier_key
from tests.live.world import BEGIN, Street, wander

SEEDS = range(1, 13) if os.environ.get("KUNDIG_FULL") else (1,)


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    found = Street(tmp_path)
    yield found
    found.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_live_answers_as_the_warehouse_will(street: Street, seed: int) -> None:
    chance = random.Random(seed)
    wander(street, chance, 25)
    street.release()
    parsed = street.rules()
    compared = 0
    for _ in range(3):
        wander(street, chance, 12)
        street.fold()
        at = street.at + dt.timedelta(minutes=chance.choice((0, 1, 500)))
        told = {person: street.now.judge(parsed, person, at=at) for person in {row["person_key"] for row in street.identities() if not row["shared"]}}
        street.land()
        batch = street.batch_answers(at)
        assert {person: batch[person] for person in told} == told
        compared += sum(any(answers.values()) for answers in told.values())
    assert compared > 3, "nobody fits any rule: the comparison says nothing"


def test_sessions_go_on_from_the_release_and_equal_the_runs(street: Street) -> None:
    chance = random.Random(5)
    wander(street, chance, 15)
    street.release()
    for number in range(12):
        street.at += dt.timedelta(minutes=chance.choice((5, 10, 15)))
        device = f"d{number % 3}-0"
        street.send({"messageId": f"s{street.at}", "type": "page", "anonymousId": device, "timestamp": street.at.isoformat(), "context": {"page": {"url": "https://shop.example/x"}}})
    street.fold()
    told = {}
    for number in range(3):
        person = street.now.person(f"d{number}-0")
        assert person is not None and person.session is not None
        told[person.session["identifier_key"]] = (person.session["started_at"], person.session["ended_at"], person.session["events"], person.session["pages"])
    street.release()
    sql = "SELECT identifier_key, started_at, ended_at, events, pages FROM sessions QUALIFY row_number() OVER (PARTITION BY identifier_key ORDER BY started_at DESC) = 1"
    batch = {row[0]: tuple(row[1:]) for row in street.workspace.rows(sql)[1]}
    assert {key: batch[key] for key in told} == told


def test_a_person_is_known_the_moment_the_call_is_folded(street: Street) -> None:
    street.send(street.call("Product Added", device="d1", product_id="A", quantity=2, price=10), street.call("Product Viewed", device="d1", product_id="B", price=5))
    assert street.now.person("d1") is None
    street.fold()
    person = street.now.person("d1")
    assert person is not None and not person.known
    assert person.basket == {"A": 2}
    assert person.counters["product_viewed"]["count"] == 1
    assert [event["name"] for event in person.events] == ["product_viewed", "product_added"]
    street.send(street.call("Checkout Confirmed", customer="c1", device="d1"))
    street.fold()
    by_customer, by_device = street.now.person("c1"), street.now.person("d1")
    assert by_customer == by_device and by_customer is not None
    assert by_customer.basket == {} and len(by_customer.events) == 3


def test_a_visitor_of_the_release_becomes_who_signs_in(street: Street) -> None:
    street.send(street.call(customer="c1"), street.call(device="d1"))
    street.release()
    customer, visitor = street.now.resolve("c1"), street.now.resolve("d1")
    assert customer != visitor
    street.send(street.call("Signed In", customer="c1", device="d1"))
    street.fold()
    assert street.now.resolve("d1") == street.now.resolve("c1") == customer
    assert {row["identifier_key"] for row in street.now.owned(customer or 0).rows} == {identifier_key("customer_id", "c1"), identifier_key("anonymous_id", "d1")}
    street.release()
    assert street.workspace.person("d1").person_key == street.workspace.person("c1").person_key, "the run joins them as well"


def test_two_people_the_release_knows_are_never_joined(street: Street) -> None:
    street.send(street.call(customer="c1", device="d1"), street.call(customer="c2", device="d2"))
    street.release()
    one, two = street.now.resolve("c1"), street.now.resolve("c2")
    street.send(street.call(customer="c1", device="d2"), street.call(customer="c2", device="d1"))
    street.fold()
    assert (street.now.resolve("c1"), street.now.resolve("c2")) == (one, two) and one != two


def test_a_device_two_people_used_is_nobodys(street: Street) -> None:
    street.send(street.call(customer="c1", device="new"), street.call(device="new"), street.call(customer="c2", device="new"), street.call(device="new"))
    street.fold()
    with street.store.reading() as connection:
        owners = dict(connection.execute("SELECT e.event_id, e.person_key FROM events e").fetchall())
    one, two = street.now.resolve("c1"), street.now.resolve("c2")
    assert owners == {"web:m1": one, "web:m2": None, "web:m3": two, "web:m4": None}
    street.release()
    assert street.workspace.rows("SELECT count(DISTINCT person_key) FROM profiles WHERE kind <> 'visitor' OR true")[1][0][0] >= 2


def test_a_batch_that_was_folded_and_not_noted_is_not_counted_twice(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    street.send(street.call(device="d1", price=7), street.call("Signed In", device="d1"))

    class Killed(BaseException):
        """Stands for a process that is no more."""

    def die(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(type(street.inbox), "advance", die)
    with pytest.raises(Killed):
        street.fold()
    monkeypatch.undo()
    street.fold()
    person = street.now.person("d1")
    assert person is not None and {name: counted["count"] for name, counted in person.counters.items()} == {"product_viewed": 1, "signed_in": 1}
    assert sum(minute.taken for minute in street.store.minutes()) == 2
    assert len(street.store.heard()) == 2


def test_the_store_is_made_again_from_the_log(street: Street) -> None:
    chance = random.Random(3)
    wander(street, chance, 10)
    street.release()
    wander(street, chance, 10)
    street.fold()
    street.land()
    wander(street, chance, 5)
    street.fold()
    before, counted = _contents(street), sum(minute.taken for minute in street.store.minutes())
    assert before[0] and before[1]
    street.store.clear()
    street.fold()
    assert _contents(street) == before
    assert sum(minute.taken for minute in street.store.minutes()) == counted, "what is read again is not counted again"


def _contents(street: Street) -> tuple[list[tuple[object, ...]], ...]:
    with street.store.reading() as connection:
        queries = ("SELECT event_id, person_key, facts FROM events ORDER BY 1", "SELECT identifier_key, person_key FROM owners ORDER BY 1", "SELECT person_key, record FROM people ORDER BY 1")
        return tuple(connection.execute(query).fetchall() for query in queries)


def test_a_new_release_takes_over_what_it_holds(street: Street) -> None:
    first = street.call(customer="c1", device="d1")
    street.send(first)
    street.fold()
    street.release()
    street.at += dt.timedelta(minutes=1)
    street.send(street.call("Signed In", device="d1"))
    street.fold()
    person = street.now.person("c1")
    assert person is not None and person.known
    assert [event["name"] for event in person.events] == ["signed_in"]
    street.send(first)  # sent again, long after the release took it in
    street.fold()
    assert [one.verdict for one in street.store.heard()] == ["taken", "taken", "repeated"]


def test_a_link_since_the_release_never_widens_a_consent_and_narrows_it_at_once(street: Street) -> None:
    street.send(street.call(customer="c1"), street.call(customer="c2"))
    street.release()
    moment = street.at

    def said(record: str, key: int, status: str) -> None:
        row = {"record_id": record, "source": "web", "occurred_at": street.at, "received_at": street.at, "identifier_key": key, "other_keys": [], "purpose": "newsletter", "channel": "email", "status": status}
        consent.append(street.workspace.state, [row | {"basis": "consent", "jurisdiction": "DE"}])

    def allows(customer: str) -> bool:
        person = street.now.resolve(customer)
        return person is not None and street.now.allows(person, purpose="newsletter", channel="email", at=street.at)

    mail = identifier_key("email", "a@example.org")
    said("r1", mail, "confirmed")
    street.send({"messageId": "i1", "type": "identify", "userId": "c1", "traits": {"email": "a@example.org"}, "timestamp": street.at.isoformat()})
    street.fold()
    assert street.now.resolve("a@example.org") == street.now.resolve("c1")
    assert not allows("c1"), "the address gave it; whether the address is this customer's is for the run to weigh"
    said("r2", identifier_key("customer_id", "c2"), "confirmed")
    assert allows("c2")
    other = identifier_key("email", "b@example.org")
    said("r3", other, "withdrawn")
    street.send({"messageId": "i2", "type": "identify", "userId": "c2", "traits": {"email": "b@example.org"}, "timestamp": street.at.isoformat()})
    street.fold()
    assert not allows("c2"), "what the address withdrew holds at once"
    assert moment > BEGIN


def test_what_is_heard_carries_its_verdict(street: Street) -> None:
    street.send(street.call(device="d1"), street.call(event="", device="d1"), 7)  # type: ignore[arg-type]
    street.send(street.call(device="d1") | {"messageId": "m1"})
    street.inbox.append(b"{}", source="stripe", kind="webhook")
    street.fold()
    heard = street.store.heard()
    assert [(one.source, one.verdict) for one in heard] == [("web", "taken"), ("web", "held"), ("web", "held"), ("web", "repeated"), ("stripe", "waiting")] or sorted(
        (one.source, one.verdict) for one in heard
    ) == sorted([("web", "taken"), ("web", "held"), ("web", "held"), ("web", "repeated"), ("stripe", "waiting")])
    assert {one.reason for one in heard if one.verdict == "held"} == {"a track call without `event`", "the call is no JSON object"}
    (minute, other) = sorted(street.store.minutes(), key=lambda one: one.source, reverse=True)
    assert (minute.taken, minute.held, minute.repeated, minute.requests) == (1, 2, 1, 2)
    assert other.requests == 1


def test_forgetting_takes_a_person_out_and_nobody_else(street: Street) -> None:
    street.send(street.call(customer="c1", device="d1"), street.call(customer="c2", device="d2"))
    street.fold()
    before = b"".join(path.read_bytes() for path in street.store.path.parent.glob("live.sqlite*"))
    assert b"d1" in before, "the search finds them while they are there"
    street.store.forget([identifier_key("customer_id", "c1"), identifier_key("anonymous_id", "d1")])
    assert street.now.person("c1") is None and street.now.person("c2") is not None
    after = b"".join(path.read_bytes() for path in street.store.path.parent.glob("live.sqlite*"))
    assert b'"d1"' not in after and b"anonymous_idd1" not in after
