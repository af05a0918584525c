"""The inbox into the lake: every call once, one bad call held, whatever dies in between."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.collect.shop import NOW, Shop

from kundig.collect import quarantine
from kundig.collect.inbox_landing import READERS, Portion, land_inbox
from kundig.collect.land import Landed
from kundig.errors import KundigError, StoreError
from kundig.store.inbox import Inbox

SOURCE = """
received_at: as_occurred
inputs:
  - files: in/*.ndjson
    format: segment_ndjson
    optional: true
    segment: {user_id: shop_customer}
"""


class Taken:
    """A shop whose calls come through an inbox; its clock goes a second further with each request."""

    def __init__(self, root: Path) -> None:
        self.shop = Shop(root)
        self.shop.source(SOURCE, "web")
        self.at = NOW
        self.inbox = Inbox(root / "inbox.sqlite", writing=True, clock=self._tick)

    def _tick(self) -> dt.datetime:
        self.at += dt.timedelta(seconds=1)
        return self.at

    def send(self, body: Any, source: str = "web", kind: str = "call", **meta: str) -> int:
        """One request."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.inbox.append(raw, source=source, kind=kind, meta=json.dumps({"type": "batch"} | meta))

    def land(self, **more: Any) -> tuple[Landed, ...]:
        """Land what waits."""
        return land_inbox(self.shop.lake, self.shop.config, self.inbox, clock=lambda: self.at, **more)

    def held(self) -> list[str]:
        """Reasons of what is held, sorted."""
        return sorted(one.what for one in quarantine.held(self.shop.lake))


@pytest.fixture
def taken(tmp_path: Path) -> Any:
    found = Taken(tmp_path)
    yield found
    found.inbox.close()


def call(number: int, **more: Any) -> dict[str, Any]:
    base = {"messageId": f"m{number}", "type": "track", "event": "Product Viewed", "anonymousId": "a1", "timestamp": "2026-11-01T11:00:00Z"}
    return {name: value for name, value in (base | more).items() if value is not None}


def test_calls_alone_in_batches_and_in_lists_land_once(taken: Taken) -> None:
    taken.send({"batch": [call(1), call(2)], "sentAt": "2026-11-01T11:00:00Z"})
    taken.send(call(3, type=None), type="track")
    taken.send([call(4)])
    taken.send({"batch": [call(2), call(5)]})  # a client that saw no answer sends again
    landed = taken.land()
    assert sorted(taken.shop.rows("events", "event_id")) == [(f"web:m{n}",) for n in range(1, 6)]
    assert sum(one.duplicates for one in landed) == 1
    taken.send({"batch": [call(1)]})
    assert sum(one.duplicates for one in taken.land()) == 1
    assert taken.shop.rows("events", "count(*)") == [(5,)]


def test_the_senders_clock_is_corrected_and_the_moment_of_receipt_is_ours(taken: Taken) -> None:
    slow = {"timestamp": "2026-11-01T10:00:00Z", "receivedAt": "2020-01-01T00:00:00Z"}
    taken.send({"batch": [call(1, **slow)], "sentAt": "2026-11-01T11:00:00Z"})  # its clock is an hour behind
    taken.send({"batch": [call(2, timestamp=None, sentAt="1999-01-01T00:00:00Z")]})
    taken.send({"batch": [call(3, timestamp=None, originalTimestamp=None)], "sentAt": "2026-11-01T10:00:00Z"})
    taken.land()
    found = {row[0]: row[1:] for row in taken.shop.rows("events", "event_id, occurred_at, received_at")}
    first = NOW + dt.timedelta(seconds=1)
    assert found["web:m1"] == (first - dt.timedelta(hours=1), first)
    assert found["web:m2"] == (first + dt.timedelta(seconds=1),) * 2
    assert found["web:m3"] == (first + dt.timedelta(seconds=2),) * 2


def test_a_history_keeps_its_clocks_where_the_source_may_tell_one(taken: Taken) -> None:
    old = call(1, timestamp="2024-05-01T10:00:00Z", receivedAt="2024-05-01T10:00:05Z")
    taken.send({"batch": [old]}, type="import")
    taken.send({"batch": [old | {"messageId": "m2"}]}, type="batch")
    taken.send({"batch": [old | {"messageId": "m3"}]}, source="unheard_of", type="import")
    taken.land()
    found = {row[0]: row[1:] for row in taken.shop.rows("events", "event_id, occurred_at, received_at")}
    assert found["web:m1"] == (dt.datetime(2024, 5, 1, 10, tzinfo=dt.UTC), dt.datetime(2024, 5, 1, 10, 0, 5, tzinfo=dt.UTC))
    assert found["web:m2"][1] == NOW + dt.timedelta(seconds=2), "what comes as it happens is received when it comes"
    assert found["unheard_of:m3"][1] == NOW + dt.timedelta(seconds=3), "a source that no file lets tell of the past cannot date itself back"


def test_one_bad_call_is_held_with_its_reason_and_the_others_land(taken: Taken) -> None:
    bad = [call(2, anonymousId=None), call(3, type="tracked"), call(4, event=None), 7, call(5, properties={"text": "x" * 40_000})]
    taken.send({"batch": [call(1), *bad]})
    taken.send(b'{"batch": [{"type": "tr')
    taken.send(b'{"batch": [{"type": "\xff"}]}')
    landed = taken.land()
    assert taken.shop.rows("events", "event_id") == [("web:m1",)]
    assert sum(one.quarantined for one in landed) == 7
    reasons = taken.held()
    assert len(reasons) == 7
    for part in ("names nobody", "'type' is none of", "without `event`", "is no JSON object", "32,768 are the most"):
        assert any(part in reason for reason in reasons), part
    assert sum("no JSON that holds calls" in reason for reason in reasons) == 2


def test_a_batch_of_nothing_but_faults_is_held_once(taken: Taken) -> None:
    taken.send(b"nothing")
    taken.land()
    taken.send(b"nothing")
    taken.land()
    assert len(taken.held()) == 2


def test_a_held_call_is_mended_and_lands_with_the_moment_it_came(taken: Taken) -> None:
    taken.send({"batch": [call(1, event=None)]})
    taken.land()
    (held,) = quarantine.held(taken.shop.lake)
    body = json.loads(held.body) | {"event": "Signed In"}
    quarantine.fix(taken.shop.lake, held.record_id, json.dumps(body))
    quarantine.replay(taken.shop.lake, taken.shop.config, now=NOW + dt.timedelta(days=9))
    assert taken.shop.rows("events", "name, received_at") == [("signed_in", NOW + dt.timedelta(seconds=1))]


def test_a_source_without_a_file_lands_and_its_held_calls_can_be_replayed(taken: Taken) -> None:
    taken.send({"batch": [call(1), call(2, event=None)]}, source="unheard_of")
    taken.land()
    assert taken.shop.rows("events", "source") == [("unheard_of",)]
    (held,) = quarantine.held(taken.shop.lake)
    quarantine.fix(taken.shop.lake, held.record_id, json.dumps(json.loads(held.body) | {"event": "x"}))
    quarantine.replay(taken.shop.lake, taken.shop.config)
    assert taken.shop.rows("events", "count(*)") == [(2,)]


def test_kinds_go_to_their_readers_and_unknown_ones_are_held(taken: Taken, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Portion] = []
    monkeypatch.setitem(READERS, "webhook", lambda portion: seen.append(portion) or Landed(source=portion.source))
    taken.send({"id": 1}, kind="webhook", source="stripe")
    taken.send({"id": 2}, kind="smoke_signal")
    taken.land()
    assert [(one.source, [entry.body for entry in one.entries]) for one in seen] == [("stripe", [b'{"id": 1}'])]
    assert taken.held() == ["nothing reads requests of kind 'smoke_signal'"]


class _Killed(BaseException):
    """Stands for a process that is no more."""


@pytest.mark.parametrize("step", ["landed", "advanced", "trimmed"])
def test_what_dies_after_any_step_lands_nothing_twice_and_loses_nothing(taken: Taken, step: str) -> None:
    for number in range(6):
        taken.send({"batch": [call(number, messageId=None, properties={"n": number}), call(100 + number), call(200 + number, event=None)]}, source=("web", "app")[number % 2])

    def die(done: str) -> None:
        if done == step:
            raise _Killed

    with pytest.raises(_Killed):
        taken.land(most=2, told=die)
    taken.land(most=2)
    assert taken.shop.rows("events", "count(*), count(DISTINCT event_id)") == [(12, 12)]
    assert len(taken.held()) == 6
    assert taken.inbox.waiting("land") == 0
    assert taken.shop.rows("touched", "count(*) - count(DISTINCT (batch_id, identifier_key))") == [(0,)]


def test_calls_read_ahead_land_as_those_read_in_turn(taken: Taken) -> None:
    for number in range(5):
        taken.send({"batch": [call(number), call(number, messageId=f"b{number}", event=None), call(0)]}, source=("web", "app")[number % 2])
        taken.send({"name": number}, kind=("form", "call")[number % 2])
    came: list[int] = []

    def more(done: str) -> None:
        if done == "landed" and not came:
            came.append(taken.send({"batch": [call(90)]}))
            noted = taken.inbox.read("land")
            assert noted is not None
            assert noted.until == 1, "what was noted stays noted while the next is read"

    ids = [one.batches[0] for one in taken.land(most=1, told=more) if one.batches]
    assert len(ids) == len(set(ids))
    assert taken.shop.rows("events", "count(*), count(DISTINCT event_id)") == [(6, 6)], "the first call of each, and one of either source that was sent again"
    assert taken.inbox.waiting("land") == 1, "what came meanwhile is left for the next time"


def test_a_row_damaged_ahead_is_named_after_what_came_before_it_landed(taken: Taken) -> None:
    for number in range(3):
        taken.send({"batch": [call(number)]})
    with sqlite3.connect(taken.inbox.path) as connection:
        connection.execute("UPDATE requests SET body = x'7b7d' WHERE seq = 2")
    with pytest.raises(StoreError, match="row 2 of the inbox is damaged"):
        taken.land(most=1)
    assert taken.shop.rows("events", "count(*)") == [(1,)]


def test_an_inbox_that_begins_anew_repeats_no_batch(taken: Taken, tmp_path: Path) -> None:
    taken.send({"batch": [call(1)]})
    taken.land()
    taken.inbox.close()
    for path in tmp_path.glob("inbox.sqlite*"):
        path.unlink()
    taken.inbox = Inbox(tmp_path / "inbox.sqlite", writing=True, clock=taken._tick)
    taken.send({"batch": [call(2)]})
    taken.land()
    assert taken.shop.rows("events", "count(*)") == [(2,)]


def test_nothing_is_trimmed_before_every_cursor_is_past_it(taken: Taken) -> None:
    taken.inbox.register("live")
    taken.send({"batch": [call(1)]})
    taken.land()
    assert taken.inbox.waiting("live") == 1
    batch = taken.inbox.read("live")
    assert batch is not None
    taken.inbox.advance(batch)
    taken.inbox.trim()
    assert taken.inbox.waiting("live") == 0


def test_a_failing_commit_leaves_the_batch_for_the_next_try(taken: Taken, monkeypatch: pytest.MonkeyPatch) -> None:
    taken.send({"batch": [call(1)]})
    monkeypatch.setattr(type(taken.shop.lake), "commit", lambda *_, **__: (_ for _ in ()).throw(KundigError("the disk is full")))
    with pytest.raises(KundigError):
        taken.land()
    monkeypatch.undo()
    taken.land()
    assert taken.shop.rows("events", "count(*)") == [(1,)]


_values = st.one_of(st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20), st.lists(st.integers(), max_size=2))
_calls = st.fixed_dictionaries(
    {},
    optional={
        "messageId": st.text(min_size=1, max_size=8), "type": st.sampled_from(["track", "identify", "page", "nonsense"]), "event": st.text(max_size=5), "userId": _values,
        "anonymousId": st.text(max_size=5), "timestamp": st.sampled_from(["2026-11-01T11:00:00Z", "9999-12-31T23:59:59Z", "yesterday", ""]), "properties": st.dictionaries(st.text(max_size=5), _values, max_size=3),
        "context": st.dictionaries(st.sampled_from(["page", "ip", "x"]), _values, max_size=2), "receivedAt": _values, "sentAt": _values,
    },
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies=st.lists(st.lists(st.one_of(_calls, _values), min_size=1, max_size=4), min_size=1, max_size=3), most=st.sampled_from([1, 100_000]))
def test_every_call_is_an_event_a_duplicate_or_held(tmp_path_factory: pytest.TempPathFactory, bodies: list[Any], most: int) -> None:
    taken = Taken(tmp_path_factory.mktemp("law"))
    for calls in bodies:
        taken.send({"batch": calls})
    landed = taken.land(most=most)
    taken.inbox.close()
    events = sum(one.rows.get("events", 0) for one in landed)
    assert events + sum(one.duplicates for one in landed) + sum(one.quarantined for one in landed) >= sum(map(len, bodies))
    assert taken.shop.lake.snapshot() == 0 or taken.shop.rows("events", "count(*) - count(DISTINCT event_id)") == [(0,)]
