"""What listens for consent and what lands read a body alike: like names in one object, and integers that nobody can hold."""

from __future__ import annotations

import json

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kundig.collect.identifiers import identifier_key
from kundig.collect.inbox_landing import land_inbox
from kundig.collect.plain_json import decoded, long_integer
from kundig.store.inbox import Inbox

LONG = 10**20
AT = '"timestamp": "2026-01-01T12:00:00Z"'


def land(workspace):
    with workspace.writing("land"):
        land_inbox(workspace.lake, workspace.config, Inbox(workspace.root / "data/inbox.sqlite"), state=workspace.state)
    read = lambda sql: workspace.lake.duck.execute(sql).fetchall()  # noqa: E731
    events = read(f"SELECT event_id, name, identifier_key, other_keys FROM {workspace.lake.scan('events')} ORDER BY 1")
    held = read(f"SELECT what, mend, status, record_id FROM {workspace.lake.scan('quarantined_records')} ORDER BY 1")
    return events, held


# like names


DOUBLED = {
    "person": '{"type": "track", "event": "Unsubscribed", "messageId": "d", "userId": "first", "userId": "last"}',
    "event first": '{"type": "track", "event": "Unsubscribed", "event": "Order", "messageId": "d", "userId": "first"}',
    "event last": '{"type": "track", "event": "Order", "event": "Unsubscribed", "messageId": "d", "userId": "first"}',
    "message": '{"type": "track", "event": "Unsubscribed", "messageId": "d", "messageId": "e", "userId": "first"}',
    "traits": '{"type": "identify", "messageId": "d", "userId": "first", "traits": {"email": "first@example.org", "email": "last@example.org"}, "context": {"consent": {"categoryPreferences": {"analytics": true}}}}',
    "context": '{"type": "track", "event": "Unsubscribed", "messageId": "d", "userId": "first", "context": {"device": {"id": "D1"}}, "context": {"device": {"id": "D2"}}}',
    "device": '{"type": "track", "event": "Unsubscribed", "messageId": "d", "userId": "first", "context": {"device": {"id": "D1"}, "device": {"id": "D2"}}}',
    "with its own receipt": '{"type": "track", "event": "Unsubscribed", "messageId": "d", "userId": "first", "userId": "last", "receivedAt": "2020-01-01T00:00:00Z"}',
    "without a moment": '{"type": "track", "event": "Unsubscribed", "messageId": "d", "userId": "first", "userId": "last", "timestamp": ""}',
}


@pytest.mark.parametrize("shape", ("single", "batch"))
@pytest.mark.parametrize("name", DOUBLED)
def test_the_log_and_the_lake_name_the_same_person_and_the_same_event(intake, name, shape):
    call = DOUBLED[name]
    body = call if shape == "single" else f'{{"batch": [{call}]}}'
    assert intake.ask("POST", "/v1/batch", body.encode()).status == 200
    logged = intake.workspace.state.select("consent_log")
    ((event, kept, key, others),), held = land(intake.workspace)
    assert not held and event == "web:d"
    assert bool(logged) == (kept == "unsubscribed" or name == "traits"), "a word on consent is heard where the event lands as one"
    for row in logged:
        assert (row["identifier_key"], sorted(row["other_keys"])) == (key, sorted(others)) and row["record_id"].startswith("web:d:")
    assert identifier_key("customer_id", "last") not in (key, *others)


def test_a_reader_that_takes_the_last_would_be_seen():
    body = DOUBLED["person"]
    assert decoded(body)["userId"] == "first" and json.loads(body)["userId"] == "last", "the positive control: Python by itself takes the other"


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.one_of(st.integers(0, 9), st.lists(st.tuples(st.sampled_from(["x", "y"]), st.integers(0, 9)), min_size=1, max_size=3))), min_size=1, max_size=5))
def test_the_first_counts_as_in_duckdb_at_every_level(pairs):
    def text(value):
        return str(value) if isinstance(value, int) else "{" + ", ".join(f'"{name}": {inner}' for name, inner in value) + "}"

    body = "{" + ", ".join(f'"{name}": {text(value)}' for name, value in pairs) + "}"
    with duckdb.connect() as con:
        for path in ("$.a", "$.b", "$.a.x", "$.b.y"):
            (theirs,) = con.execute("SELECT json_extract_string(?, ?)", [body, path]).fetchone()
            ours = decoded(body)
            for part in path.split(".")[1:]:
                ours = ours.get(part) if isinstance(ours, dict) else None
            assert (None if theirs is None else json.loads(theirs) if theirs[:1] in "{" else int(theirs)) == (decoded(json.dumps(ours)) if ours is not None else None) or isinstance(ours, dict)


# integers


@pytest.mark.parametrize("place", ("userId", "properties", "deep", "negative", "traits"))
def test_one_long_integer_in_a_good_batch_is_held_and_the_rest_lands(intake, track, place):
    bad = track(9, messageId="bad")
    more = {"userId": {"userId": LONG}, "properties": {"properties": {"n": 2**63}}, "deep": {"context": {"a": [{"b": -LONG}]}}, "negative": {"properties": {"n": -(2**63) - 1}}, "traits": {"type": "identify", "traits": {"id": LONG}}}
    assert intake.post("/v1/batch", {"batch": [track(1, messageId="a"), bad | more[place], track(2, messageId="b")]}).status == 200
    events, held = land(intake.workspace)
    assert [row[0] for row in events] == ["web:a", "web:b"]
    ((what, mend, status, _),) = held
    assert what.startswith("an integer has more than 64 bits, at $.") and "as text" in mend and status == "held"


def test_numbers_that_fit_are_no_fault(intake, track):
    fits = [2**63 - 1, -(2**63), 1_700_000_000_123_456_789, 1e300, 0.1234567890123456789]
    assert intake.post("/v1/batch", {"batch": [track(n, messageId=f"m{n}", properties={"n": value, "text": "9" * 40}) for n, value in enumerate(fits)]}).status == 200
    events, held = land(intake.workspace)
    assert len(events) == len(fits) and not held


def test_an_integer_of_thousands_of_digits_and_consent_beside_it(intake, track):
    call = track(1, event="Unsubscribed", messageId="a")
    huge = '{"type": "track", "event": "Unsubscribed", "messageId": "h", "userId": "u", "properties": {"n": %s}, "receivedAt": "x"}' % ("9" * 6_000)
    wide = '{"type": "track", "event": "Unsubscribed", "userId": "u", "properties": {"n": 1e400}, "receivedAt": "x"}'
    calls = (huge, json.dumps(call), json.dumps(call | {"messageId": None, "properties": {"n": LONG}}), wide)
    body = f'{{"batch": [{", ".join(calls)}]}}'
    assert intake.ask("POST", "/v1/batch", body.encode()).status == 200
    assert {row["record_id"].split(":")[1] for row in intake.workspace.state.select("consent_log")} >= {"a"}, "words on consent beside it are heard"
    events, held = land(intake.workspace)
    assert len(events) == 2 and len(held) == 2 and all("more than 64 bits" in row[0] for row in held)


def test_a_long_integer_alone_is_refused_and_a_mended_one_lands(intake, track):
    assert intake.post("/v1/track", track(1, properties={"n": 2**63})).code == "json_integer"
    assert intake.post("/v1/batch", {"batch": [track(1, messageId="a", properties={"n": LONG})]}).status == 200
    _, ((_, _, _, record),) = land(intake.workspace)
    from kundig.collect.amending import amendment
    from kundig.collect.quarantine import fix, replay

    workspace = intake.workspace
    fix(workspace.lake, record, [amendment("properties.n=100000000000000000000")], state=workspace.state)
    assert replay(workspace.lake, workspace.config, state=workspace.state).replayed == 1
    assert [row[0] for row in land(workspace)[0]] == ["web:a"]


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.one_of(st.integers(-(2**70), 2**70), st.text(max_size=30), st.floats(allow_nan=False, allow_infinity=False)), lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)), max_leaves=8))
def test_every_long_integer_is_found(value):
    def long(one):
        if isinstance(one, dict):
            return any(map(long, one.values()))
        if isinstance(one, list):
            return any(map(long, one))
        return isinstance(one, int) and not -(2**63) <= one < 2**63

    assert bool(long_integer(json.dumps(value).encode())) == long(value)
