"""From the sender to the lake: landed + quarantined + refused = sent, whatever the events are."""

from __future__ import annotations

import json
from collections import Counter

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kundig.collect.inbox_landing import land_inbox
from kundig.store.inbox import Inbox
from tests.intake.conftest import FULL
from tests.intake.test_fuzz import CALLS

BAD = {
    "no object": 7, "no ids": {"type": "track", "event": "A"}, "no kind": {"type": "nonsense", "userId": "u1"}, "no name": {"type": "track", "userId": "u1"},
    "too large": {"type": "track", "event": "A", "userId": "u1", "properties": {"text": "y" * 40_000}}, "long integer": {"type": "track", "event": "A", "userId": 10**40, "properties": {"n": 10**400}},
    "deep": {"type": "track", "event": "A", "userId": "u1", "properties": json.loads("[" * 500 + "]" * 500)}, "year 9999": {"type": "track", "event": "A", "userId": "u1", "timestamp": "9999-12-31T23:59:59Z"},
    "year 0": {"type": "track", "event": "A", "userId": "u1", "timestamp": "0000-00-00T00:00:00Z"}, "no moment": {"type": "track", "event": "A", "userId": "u1", "timestamp": "never"}, "zero byte": {"type": "track", "event": "A\0B", "userId": "u1"},
}  # fmt: skip


def counted(workspace):
    """Events in the lake and records held, after landing."""
    with workspace.writing("land"):
        done = land_inbox(workspace.lake, workspace.config, Inbox(workspace.root / "data/inbox.sqlite"), state=workspace.state)
    read = lambda sql: workspace.lake.duck.execute(sql).fetchall()  # noqa: E731
    events = read(f"SELECT count(*) FROM {workspace.lake.scan('events')}")[0][0]
    held = Counter(what for (what,) in read(f"SELECT what FROM {workspace.lake.scan('quarantined_records')}"))
    return events, held, sum(one.duplicates for one in done)


def test_bad_events_in_a_good_batch_are_held_with_their_reason(intake, track):
    good = [track(n) for n in range(3)]
    refused = [intake.post("/v1/track", event).code for event in (BAD["long integer"], {}, BAD["no object"])]
    assert refused == ["json_integer", "no_event", "no_event"], "alone, what nobody can read is refused"
    sent = [{**event, "messageId": name} if isinstance(event, dict) else event for name, event in BAD.items()]
    assert intake.post("/v1/batch", {"batch": [good[0], *sent, *good[1:]]}).status == 200
    events, held, twice = counted(intake.workspace)
    assert twice == 0
    assert events + sum(held.values()) == len(good) + len(sent), (events, held)
    assert events >= len(good) and sum(held.values()) >= 5
    assert all(held), "each with a reason"


@settings(max_examples=12 if FULL else 2, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(CALLS, min_size=1, max_size=8), min_size=10, max_size=20))
def test_nothing_is_dropped_on_the_way(intake, batches):
    before, held_before, _ = counted(intake.workspace)
    sent = refused = 0
    for number, events in enumerate(batches):
        named = [{**event, "messageId": f"{before}-{sum(held_before.values())}-{number}-{n}"} if isinstance(event, dict) else event for n, event in enumerate(events)]
        sent += len(named)
        if intake.ask("POST", "/v1/batch", json.dumps({"batch": named}).encode()).status != 200:
            refused += len(named)
    after, held_after, twice = counted(intake.workspace)
    assert after - before + sum(held_after.values()) - sum(held_before.values()) + refused + twice == sent
