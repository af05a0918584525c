"""The gate asked for many messages at once, against a slow twin that gathers each message's facts by itself and asks `gate.decide`."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from tests.decide.world import AS_OF, DAY

from kundig import consent, gate, tables
from kundig.config.defaults import write_defaults
from kundig.config.load import load
from kundig.consent.suppression import digest
from kundig.deliver.fresh import FreshGate, People, Release
from kundig.deliver.handover import _requests
from kundig.store.engines.session import arrow_schema
from kundig.store.state import State

AT = AS_OF + 3 * DAY / 24
SECRET = b"key"
AUDIENCES = ("win_back", "welcome", "gone")
CREATIVE = {"creative": "win_back", "segment_id": "s", "channel": "email", "locale": "de", "variant": "a", "made_from": "v1"}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_defaults(folder)
    return load(folder)


class World:
    """Forty persons with random facts, and a state that has heard more since the release."""

    def __init__(self, seed, state, config):
        self.rng, self.state, self.config = random.Random(seed), state, config
        self.persons = list(range(1, 41))
        self.identifiers = [(person, person * 10 + kind, name, f"{name}{person}") for person in self.persons for kind, name in ((1, "email"), (3, "customer_id"))]
        self.facts = [self.fact(number, person) for number, person in enumerate(self.persons)]
        self.rows = [
            {"message_id": fact["message_id"], "person_key": fact["person_key"], "audience": fact["audience"], "channel": fact["channel"], "purpose": fact["purpose"], "creative_id": fact["creative_id"]}
            for fact in self.facts
        ] + [{"message_id": "unknown", "person_key": 1, "audience": "win_back", "channel": "email", "purpose": "newsletter", "creative_id": "c0"}]  # fmt: skip
        self.caps = [(f"c{n}", self.rng.choice(self.persons), self.rng.choice(["email", "push"]), AT - self.rng.random() * 32 * DAY) for n in range(60)]
        self.consents = [self.said(n) for n in range(30)]
        self.seen = self.consents[:10]
        self.listed = {digest(name, value, secret=SECRET): self.rng.choice(["erased", "suppressed", "objected"]) for _, _, name, value in self.rng.sample(self.identifiers, 6)}
        self.rejected = self.rng.random() < 0.5

    def fact(self, number, person):
        rng = self.rng
        heard = {f"{scope}_{window}": rng.choice([None, 0, 0, 1, 2]) for scope in ("messages", "channel") for window in ("24h", "7d", "30d")}
        return {
            "message_id": f"m{number:02d}", "audience": rng.choice(AUDIENCES), "person_key": person, "channel": rng.choice(["email", "email", "push"]), "purpose": "newsletter", "preference": 0,
            "objected": rng.choice([None, False, False, True]) if rng.random() < 0.2 else False, "consent_status": rng.choice(["given"] * 5 + ["missing", "withdrawn", "pending"]),
            "consent_basis": rng.choice(["consent"] * 3 + ["existing_customer", None]), "consent_until": rng.choice([None, AT - DAY / 48, AT + DAY]), "last_order_at": rng.choice([None, AT - 30 * DAY, AT - 900 * DAY]),
            "creative": rng.choice(["approved"] * 4 + ["stale", "missing"]), "offer_valid": rng.choice([None, None, True, False]), "offer_stock": rng.choice([None, 0, 3]), "address": "deliverable",
            "creative_id": rng.choice(["c0", "c1"]),
        } | (heard if rng.random() < 0.5 else dict.fromkeys(heard, 0))  # fmt: skip

    def said(self, number):
        person = self.rng.choice(self.persons[:20])
        at = AS_OF + (self.rng.random() - 0.5) * DAY / 12
        return {
            "record_id": f"r{number}", "identifier_key": person * 10 + self.rng.choice([1, 3]), "other_keys": [], "purpose": "newsletter", "channel": self.rng.choice(["email", "push", "*"]),
            "status": self.rng.choice(["given", "withdrawn", "objected"]), "basis": "consent", "occurred_at": at, "received_at": at,
        }  # fmt: skip

    def fill(self):
        for name in ("caps", "suppressions", "approvals", "consent_log", "consent_keys"):
            with self.state.transaction() as connection:
                connection.exec_driver_sql(f"DELETE FROM {name}")
        self.state.insert("caps", [{"message_id": key, "person_key": person, "channel": channel, "at": at} for key, person, channel, at in self.caps])
        self.state.insert("suppressions", [{"digest": key, "reason": reason, "at": AT} for key, reason in self.listed.items()])
        consent.append(self.state, self.consents)
        if self.rejected:
            verdict = {"approval_id": "1", "object_kind": "creative", "object_id": "win_back/s/email/de/a", "version": "v1", "verdict": "rejected", "decided_at": AT}
            self.state.insert("approvals", [verdict])

    def gate(self):
        schema = arrow_schema(tables.ALL["gate_facts"])
        names = [name for name in self.facts[0] if name != "message_id"]
        facts = pa.table({name: pa.array([row[name] for row in self.facts], schema.field(name).type) for name in names} | {"message_id": pa.array([row["message_id"] for row in self.facts])})
        identified = pa.table(dict(zip(("person_key", "identifier_key", "namespace", "value"), map(pa.array, zip(*self.identifiers, strict=True)), strict=True)))
        merged = pa.table({"person_key": pa.array([], pa.int64()), "other_key": pa.array([], pa.int64()), "occurred_at": pa.array([], pa.timestamp("us", "UTC"))})
        return FreshGate(
            state=self.state, requests=_requests(self.config.audiences, self.config, AT), facts=facts, creatives={"c0": CREATIVE, "c1": CREATIVE | {"made_from": "v0"}},
            people=People(identified=lambda: identified, merged=lambda: merged), purposes=self.config.purposes, secret=SECRET,
            release=Release(run_id=7, moment=AS_OF, consents=pa.chunked_array([pa.array([row["record_id"] for row in self.seen], pa.string())])),
        )  # fmt: skip

    def twin(self, requests):
        """Each message's answer, gathered by itself."""
        found = []
        for row in self.rows:
            fact = next((fact for fact in self.facts if fact["message_id"] == row["message_id"]), None)
            request = requests.get((row["audience"], row["channel"]))
            if fact is None or request is None:
                found.append((False, "rule_not_met"))
                continue
            known = {name: value for name, value in fact.items() if name in gate.COLUMNS} | self.spoken(row) | self.counted(fact, row)
            named = [digest(name, value, secret=SECRET) for person, _, name, value in self.identifiers if person == row["person_key"]]
            why = min((self.listed[key] for key in named if key in self.listed), key=("erased", "suppressed", "objected").index, default=None)
            known |= {"erased": why == "erased", "suppressed": why == "suppressed", "objected": bool(known["objected"]) or why == "objected"}
            if self.rejected and row["creative_id"] == "c0":
                known["creative"] = "rejected"
            decision = gate.decide(request, gate.Facts(**known))
            found.append((decision.allow, decision.reason))
        return found

    def spoken(self, row):
        keys = {key for person, key, _, _ in self.identifiers if person == row["person_key"]}
        if not any(record["identifier_key"] in keys for record in self.consents if record not in self.seen):
            return {}
        records = [record for said in consent.records_of(self.state, keys).values() for record in said]
        history = consent.fold(records, purposes=self.config.purposes, at=AT, joined=None)
        standing = consent.standing(history, purpose="newsletter", channel=row["channel"], at=AT)
        one = standing.consent
        return {
            "objected": standing.status == "objected", "consent_status": one.status if one else "missing", "consent_basis": one.basis if one else None,
            "consent_until": one.until if one else None,
        }  # fmt: skip

    def counted(self, fact, row):
        found = {}
        for scope in ("messages", "channel"):
            mine = [at for _, person, channel, at in self.caps if person == row["person_key"] and at > AS_OF - 30 * DAY and (scope == "messages" or channel == row["channel"])]
            for window, days in (("24h", 1), ("7d", 7), ("30d", 30)):
                before = sum(AS_OF - days * DAY < at <= AS_OF for at in mine)
                found[f"{scope}_{window}"] = max(0, (fact[f"{scope}_{window}"] or 0) - before) + sum(at > AT - days * DAY for at in mine)
        return found


def test_many_at_once_are_answered_as_each_by_itself(tmp_path, config):
    state = State.open(f"sqlite:///{tmp_path / 'state.sqlite'}")
    reasons = set()
    for seed in range(25):
        world = World(seed, state, config)
        world.fill()
        asked = world.gate()
        asked.prepare()
        with state.transaction() as connection:
            told = [(answer.allow, answer.reason) for answer in asked(connection, world.rows, AT)]
        assert told == world.twin(asked.requests), f"seed {seed}"
        reasons |= {reason for _, reason in told}
    state.close()
    assert {"consent_given", "cap_reached", "erased", "objected", "consent_withdrawn", "creative_not_approved", "rule_not_met", "offer_invalid"} <= reasons


def test_nobody_is_looked_up_when_nothing_was_heard(tmp_path, config):
    state = State.open(f"sqlite:///{tmp_path / 'state.sqlite'}")
    world = World(1, state, config)
    world.consents, world.seen, world.listed = world.consents[:10], world.consents[:10], {}
    world.fill()
    asked = world.gate()
    asked.people = People(identified=lambda: pytest.fail("asked for identifiers"), merged=lambda: pytest.fail("asked for merges"))
    asked.prepare()
    with state.transaction() as connection:
        assert [(answer.allow, answer.reason) for answer in asked(connection, world.rows, AT)] == world.twin(asked.requests)
    state.close()
