"""Contact pressure against a slow plain-Python twin, at the windows' edges and over channels."""

from __future__ import annotations

import datetime as dt
import random

import ibis
import pyarrow as pa
import pytest

from kundig.decide.pressure import WINDOWS, contact_pressure
from kundig.store.engines.session import arrow_schema
from kundig.tables.collect import CAMPAIGN_MESSAGES
from kundig.tables.govern import CAPS
from kundig.tables.unify import IDENTITIES

AS_OF = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def rows(table, dicts):
    return pa.Table.from_pylist([{name: row.get(name) for name in table.names} for row in dicts], schema=arrow_schema(table))


def pressure(messages, identities, caps):
    made = contact_pressure(ibis.memtable(rows(CAMPAIGN_MESSAGES, messages)), ibis.memtable(rows(IDENTITIES, identities)), ibis.memtable(rows(CAPS, caps)), as_of=AS_OF)
    return {(row["person_key"], row["channel"]): row for row in made.to_pyarrow().to_pylist()}


def identity(identifier, person, since=dt.datetime(2020, 1, 1, tzinfo=dt.UTC), until=None):
    return {"identifier_key": identifier, "person_key": person, "valid_from": since, "valid_until": until}


def sent(message_id, identifier, at, channel="email", outcome="sent"):
    return {"message_id": message_id, "identifier_key": identifier, "occurred_at": at, "received_at": at, "channel": channel, "outcome": outcome}


def test_the_window_ends_are_exact():
    edge = [AS_OF, AS_OF - DAY + dt.timedelta(microseconds=1), AS_OF - DAY, AS_OF - 7 * DAY, AS_OF - 30 * DAY, AS_OF + dt.timedelta(microseconds=1)]
    found = pressure([sent(f"m{n}", 1, at) for n, at in enumerate(edge)], [identity(1, 10)], [])
    row = found[10, "email"]
    assert (row["messages_1"], row["messages_7"], row["messages_30"]) == (2, 3, 4)
    assert row["due_at"] == AS_OF + dt.timedelta(microseconds=1)
    assert row["last_at"] == AS_OF
    assert found[10, "*"]["messages_30"] == 4


def test_our_own_messages_count_once_though_the_tool_reports_them_back():
    at = AS_OF - dt.timedelta(hours=2)
    found = pressure([sent("esp:abc", 1, at), sent("esp:other", 1, at, "push")], [identity(1, 10)], [{"message_id": "abc", "person_key": 10, "channel": "email", "at": at}])
    assert {key: row["messages_1"] for key, row in found.items()} == {(10, "email"): 1, (10, "push"): 1, (10, "*"): 2}


def test_opens_are_no_messages_and_empty_inputs_give_no_rows():
    assert pressure([sent("m", 1, AS_OF - DAY / 2, outcome="opened")], [identity(1, 10)], []) == {}
    assert pressure([], [], []) == {}


@pytest.mark.parametrize("seed", range(4))
def test_it_equals_the_plain_twin(seed):
    dice = random.Random(seed)
    change = AS_OF - 10 * DAY
    identities = [identity(1, 10, until=change), identity(1, 11, since=change), identity(2, 11), identity(3, 12)]
    messages = [
        sent(f"t:{n}", dice.choice([1, 2, 3, 4]), AS_OF - dt.timedelta(minutes=dice.randrange(45 * 1440)), dice.choice(["email", "push"]), dice.choice(["sent", "opened"]))
        for n in range(120)
    ]
    caps = [{"message_id": f"c{n}", "person_key": dice.choice([10, 13]), "channel": "email", "at": AS_OF - dt.timedelta(minutes=dice.randrange(45 * 1440))} for n in range(20)]
    dice.shuffle(messages)
    expected: dict = {}
    heard = [(row["person_key"], row["channel"], row["at"]) for row in caps]
    for message in messages:
        for row in identities:
            fits = row["identifier_key"] == message["identifier_key"] and row["valid_from"] <= message["occurred_at"]
            if message["outcome"] == "sent" and fits and (row["valid_until"] is None or message["occurred_at"] < row["valid_until"]):
                heard.append((row["person_key"], message["channel"], message["occurred_at"]))
    for person, channel, at in heard:
        for key in ((person, channel), (person, "*")):
            if at > AS_OF - 30 * DAY:
                expected.setdefault(key, []).append(at)
    found = pressure(messages, identities, caps)
    assert found.keys() == expected.keys()
    for key, moments in expected.items():
        for days in WINDOWS:
            assert found[key][f"messages_{days}"] == sum(at > AS_OF - days * DAY for at in moments)
        assert found[key]["due_at"] == min(at + days * DAY for at in moments for days in WINDOWS if at + days * DAY > AS_OF)
