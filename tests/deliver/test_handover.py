"""A delivery of a release in the lake: sent once, and only what the log, the caps and the lists still allow at the claim."""

from __future__ import annotations

import csv
import datetime as dt
from email import message_from_bytes, policy

import pyarrow as pa
import pytest
from tests.decide.world import AS_OF, DAY, rows

from kundig import consent, tables
from kundig.config.defaults import write_defaults
from kundig.config.load import load
from kundig.consent.suppression import digest, restricted_digest
from kundig.create.orchestrator import creatives
from kundig.deliver.channels.files import FilesChannel
from kundig.deliver.fresh import FreshGate
from kundig.deliver.handover import hand_over
from kundig.errors import StoreError
from kundig.store.engines.session import arrow_schema
from kundig.store.lake import Append, Lake, ReleaseMark
from kundig.store.state import State

EMAIL, PUSH, CUSTOMER = 1, 2, 3


def identifier(person, kind=EMAIL):
    return person * 10 + kind


class Shop:
    """A workspace whose newest release has members; what the steps would write is written by hand."""

    def __init__(self, folder, persons=5):
        self.folder = folder
        write_defaults(folder)
        self.config = load(folder)
        self.lake = Lake(f"sqlite:///{folder / 'lake.sqlite'}", folder / "lake", tables.LAKE)
        self.state = State.open(f"sqlite:///{folder / 'state.sqlite'}")
        self.creatives = creatives(
            rows("offers", []), rows("approvals", []), as_of=AS_OF, matrix=self.config.matrix, briefs=self.config.briefs, copies=self.config.copies,
            email_templates=self.config.email_templates, liquid_templates=self.config.liquid_templates, brand_voice=self.config.brand_voice, brand_tokens=self.config.brand_tokens,
            brand_variables=self.config.brand_variables, brand_words=self.config.brand_words, settings=self.config.settings,
        ).to_pylist()  # fmt: skip
        self.persons = persons
        self.changes = {}

    def creative(self, channel, locale="de", name="win_back"):
        return next(row["creative_id"] for row in self.creatives if (row["creative"], row["segment_id"], row["channel"], row["locale"]) == (name, "at_risk", channel, locale))

    def release(self, *, members=None, run_id=7, channel="email", audience="win_back"):
        chosen = range(1, self.persons + 1) if members is None else members
        fact = {
            "audience": audience, "channel": channel, "purpose": "newsletter", "preference": 0, "objected": False, "consent_status": "given", "consent_basis": "consent", "creative": "approved",
            "messages_24h": 0, "messages_7d": 0, "messages_30d": 0, "channel_24h": 0, "channel_7d": 0, "channel_30d": 0, "address": "deliverable", "locale": "de", "segment_id": "at_risk",
            "creative_id": self.creative(channel, name=audience),
        }  # fmt: skip
        people = range(1, self.persons + 1)
        given = {
            "creatives": self.creatives,
            "audience_members": [{"audience": audience, "person_key": p, "channel": channel, "segment_id": "at_risk", "rank": p, "priority": 1.0, "reason": "consent_given"} for p in chosen],
            "gate_facts": [fact | {"person_key": p, "address_key": identifier(p, EMAIL if channel == "email" else PUSH)} | self.changes.get(p, {}) for p in chosen],
            "profiles": [{"person_key": p, "person_id": f"p{p}", "first_name": f"Kim{p}", "last_name": "Beispiel", "records": 1} for p in people],
            "identifiers": [
                {"identifier_key": identifier(p, kind), "namespace": namespace, "value": f"{namespace}{p}" + ("@example.org" if kind == EMAIL else "")}
                for p in people for kind, namespace in ((EMAIL, "email"), (PUSH, "push_token"), (CUSTOMER, "customer_id"))
            ],
            "identities": [{"identifier_key": identifier(p, kind), "person_key": p, "valid_from": AS_OF - 900 * DAY, "shared": False} for p in people for kind in (EMAIL, PUSH, CUSTOMER)],
            "consent_records": [record(f"c{p}", identifier(p), "given", AS_OF - 30 * DAY) | {"source": "crm", "seq": p} for p in people],
        }  # fmt: skip
        if self.lake.release() is None:
            consent.append(self.state, [{k: v for k, v in row.items() if k not in ("seq",)} for row in given["consent_records"]])
        else:
            given.pop("consent_records")
        from kundig.store.lake import Replace

        changes = [Replace(table=name, source=self._arrow(name, found)) if name != "consent_records" else Append(table=name, source=self._arrow(name, found)) for name, found in given.items()]
        self.lake.commit(changes, release=ReleaseMark(run_id=run_id, moment=AS_OF))

    def _arrow(self, name, found):
        return pa.Table.from_pylist([{"changed_run": 1} | {c: row.get(c) for c in tables.ALL[name].names if c != "changed_run"} for row in found], schema=arrow_schema(tables.ALL[name]))

    def say(self, record_id, key, status, at=AS_OF + DAY / 24, channel="email", others=()):
        consent.append(self.state, [record(record_id, key, status, at, channel) | {"source": "page", "other_keys": list(others)}])

    def deliver(self, at=AS_OF + DAY / 12, **changes):
        return hand_over(self.lake, self.state, self.config, at=at, channel=FilesChannel(folder=self.folder / "out", durable=False), **changes)

    def sent(self):
        found = {}
        for path in (self.folder / "out").glob("*/part-*/messages.csv"):
            for row in csv.DictReader(path.open(encoding="utf-8", newline="")):
                assert row["message_id"] not in found, "sent twice"
                found[row["message_id"]] = row
        return sorted(int(row["person_id"].removeprefix("p")) for row in found.values())

    def reasons(self):
        return {row["person_key"]: row["reason"] for row in self.state.select("messages") if row["status"] == "refused"}


def record(record_id, key, status, at, channel="email"):
    return {
        "record_id": record_id, "identifier_key": key, "other_keys": [], "purpose": "newsletter", "channel": channel, "status": status, "basis": "consent", "occurred_at": at, "received_at": at,
    }  # fmt: skip


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path / "shop")
    made.release()
    yield made
    made.state.close()
    made.lake.close()


def test_every_member_gets_one_message_and_a_second_delivery_sends_nothing(shop):
    done = shop.deliver()
    assert (done.sent, done.by_channel, done.refused) == (5, {"email": 5}, {})
    assert shop.sent() == [1, 2, 3, 4, 5]
    again = shop.deliver()
    assert (again.sent, again.queued.known, again.folders) == (0, 5, [])
    assert shop.sent() == [1, 2, 3, 4, 5]
    assert {row["status"] for row in shop.state.select("messages")} == {"sent"}
    assert "handed over 5 (email 5)" in done.lines()
    path = next((shop.folder / "out").glob("7/part-*/*.eml"))
    read = message_from_bytes(path.read_bytes(), policy=policy.SMTP)
    key = path.stem
    assert read["To"].endswith("@example.org")
    assert f"/u/{key}-" in read["List-Unsubscribe"]
    assert "Hallo Kim" in read.get_body(("plain",)).get_content()


def test_a_push_message_goes_to_the_token(shop):
    shop.release(channel="push", run_id=8)
    done = shop.deliver()
    assert done.by_channel == {"push": 5}
    assert all(row["address"].startswith("push_token") for row in shop.state.select("messages"))


def test_no_release_is_said(tmp_path):
    shop = Shop(tmp_path / "shop")
    with pytest.raises(StoreError, match="no run has finished"):
        shop.deliver()


def test_a_withdrawal_after_the_release_is_heard(shop):
    shop.say("w2", identifier(2), "withdrawn")
    shop.say("w3", identifier(3, CUSTOMER), "withdrawn")  # by another identifier of the person
    shop.say("w4", 999, "withdrawn", others=[identifier(4)])  # by an account nobody knew, beside the address
    shop.say("o5", identifier(5), "objected", channel="push")  # an objection holds on every channel
    shop.deliver()
    assert shop.sent() == [1]
    assert shop.reasons() == {2: "consent_withdrawn", 3: "consent_withdrawn", 4: "consent_withdrawn", 5: "objected"}


def test_who_objected_and_then_consented_to_a_channel_is_written_to_there_alone(shop):
    shop.release(channel="push", run_id=8)
    for key in (1, 2):
        shop.say(f"o{key}", identifier(key), "objected", channel="*")
    shop.say("y1", identifier(1), "confirmed", at=AS_OF + DAY / 23, channel="push")
    shop.say("y2", identifier(2), "confirmed", at=AS_OF + DAY / 23, channel="email")
    shop.say("y3", identifier(3), "confirmed", channel="push")
    shop.deliver()
    assert shop.sent() == [1, 3, 4, 5]
    assert shop.reasons() == {2: "objected"}


def test_a_withdrawal_with_an_old_date_is_heard_too(shop):
    shop.say("w2", identifier(2), "withdrawn", at=AS_OF - DAY)
    shop.deliver()
    assert shop.sent() == [1, 3, 4, 5]


@pytest.mark.parametrize("deaf", [False, True])
def test_a_withdrawal_while_the_delivery_runs_is_heard(shop, monkeypatch, deaf):
    prepare = FreshGate.prepare

    def late(self):
        prepare(self)
        shop.say("w2", identifier(2), "withdrawn")

    monkeypatch.setattr(FreshGate, "prepare", late)
    if deaf:  # the positive control: without the log read in the claim's transaction the person is written to
        monkeypatch.setattr(FreshGate, "_consents", lambda self, connection, persons, at: {})
    shop.deliver()
    assert shop.sent() == ([1, 2, 3, 4, 5] if deaf else [1, 3, 4, 5])


def test_a_consent_that_lapsed_since_the_release(shop):
    shop.changes = {1: {"consent_until": AS_OF + DAY / 24}, 2: {"consent_until": AS_OF + DAY}}
    shop.release(run_id=8)
    shop.deliver()
    assert shop.sent() == [2, 3, 4, 5]
    assert shop.reasons() == {1: "consent_expired"}


def test_caps_count_our_own_messages_and_those_of_other_tools(shop):
    # the default caps allow one message in 24 hours; person 2 heard from us, person 3 from another tool, person 4 both long ago
    shop.changes = {3: {"messages_24h": 1, "messages_7d": 1, "messages_30d": 1}, 4: {"messages_24h": 0, "messages_7d": 1, "messages_30d": 1}}
    shop.release(run_id=8)
    shop.state.insert("caps", [{"message_id": "x", "person_key": 2, "channel": "push", "at": AS_OF}, {"message_id": "y", "person_key": 4, "channel": "push", "at": AS_OF - 3 * DAY}])
    shop.deliver()
    assert shop.sent() == [1, 4, 5]
    assert shop.reasons() == {2: "cap_reached", 3: "cap_reached"}


def test_the_cap_holds_over_audiences_and_deliveries(shop):
    assert shop.deliver().sent == 5
    shop.release(run_id=8, audience="cross_sell")
    assert shop.deliver().refused == {"cap_reached": 5}
    shop.release(run_id=9, audience="cross_sell")
    assert shop.deliver(at=AS_OF + 2 * DAY).sent == 5


def test_suppressed_and_rejected_since_the_release(shop):
    (shop.folder / "secrets.toml").write_text('KUNDIG_SUPPRESSION_KEY = "key"\n', encoding="utf-8")
    shop.state.insert("suppressions", [{"digest": digest("customer_id", "customer_id2", secret=b"key"), "reason": "erased", "at": AS_OF}])
    shop.deliver()
    assert shop.sent() == [1, 3, 4, 5]
    assert shop.reasons() == {2: "erased"}


def test_restricted_since_the_release(shop):
    (shop.folder / "secrets.toml").write_text('KUNDIG_SUPPRESSION_KEY = "key"\n', encoding="utf-8")
    shop.state.insert("suppressions", [{"digest": restricted_digest("customer_id", "customer_id2", secret=b"key"), "reason": "restricted", "at": AS_OF}])
    shop.deliver()
    assert shop.sent() == [1, 3, 4, 5]
    assert shop.reasons() == {2: "restricted"}


def test_a_creative_rejected_since_the_release_is_not_sent(shop):
    version = next(row["made_from"] for row in shop.creatives if row["creative_id"] == shop.creative("email"))
    shop.state.insert(
        "approvals", [{"approval_id": "1", "object_kind": "creative", "object_id": "win_back/at_risk/email/de/a", "version": version, "verdict": "rejected", "decided_at": AS_OF + DAY / 24}]
    )
    shop.deliver()
    assert shop.sent() == []
    assert set(shop.reasons().values()) == {"creative_not_approved"}


def test_quiet_hours_hold_a_push_message_until_the_morning(shop):
    shop.release(channel="push", run_id=8)
    night = dt.datetime(2026, 11, 3, 22, tzinfo=dt.UTC)
    assert shop.deliver(at=night).refused == {"quiet_hours": 5}
    assert {row["status"] for row in shop.state.select("messages")} == {"queued"}
    assert shop.deliver(at=dt.datetime(2026, 11, 4, 8, tzinfo=dt.UTC)).sent == 5


def test_who_left_the_audience_before_the_claim_is_not_written_to(shop, monkeypatch):
    monkeypatch.setattr("kundig.deliver.handover._deliver", lambda *given, **named: None)
    shop.deliver()
    monkeypatch.undo()
    shop.release(members=[1, 2], run_id=8)
    done = shop.deliver()
    assert (done.queued.dropped, done.sent) == (3, 2)
    assert shop.sent() == [1, 2]


def test_a_delivery_that_died_is_finished_by_the_next(shop, monkeypatch):
    def die(self, run_id, part, messages):
        raise KeyboardInterrupt

    monkeypatch.setattr(FilesChannel, "hand_over", die)
    with pytest.raises(KeyboardInterrupt):
        shop.deliver()
    monkeypatch.undo()
    assert {row["status"] for row in shop.state.select("messages")} == {"claimed"}
    shop.say("w2", identifier(2), "withdrawn")
    done = shop.deliver()
    assert (done.resolved_sent, done.resolved_again, done.sent) == (0, 5, 4)
    assert shop.sent() == [1, 3, 4, 5]
    monkeypatch.setattr("kundig.deliver.handover.settle", die)
    shop.release(run_id=8, audience="cross_sell")
    with pytest.raises(TypeError):
        shop.deliver(at=AS_OF + 2 * DAY)
    monkeypatch.undo()
    done = shop.deliver(at=AS_OF + 2 * DAY)
    assert (done.resolved_sent, done.sent) == (4, 0)


def test_the_key_of_links_is_made_once_and_kept_out_of_git(shop):
    shop.deliver()
    text = (shop.folder / "secrets.toml").read_text(encoding="utf-8")
    assert text.startswith("KUNDIG_LINK_KEY")
    assert (shop.folder / "secrets.toml").stat().st_mode & 0o077 == 0
    shop.deliver()
    assert (shop.folder / "secrets.toml").read_text(encoding="utf-8") == text
