"""A record that goes on from what it made of earlier events equals one folded anew from all of them, wherever the cut is."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kundig.live.record import GAP, State, Visit, ordered, record
from kundig.store.live import LiveEvent

NAMES = ("product_viewed", "product_added", "product_removed", "order_completed", "page_viewed", "signed_in")


@st.composite
def events(draw: st.DrawFn) -> list[LiveEvent]:
    """Events of one person: several identifiers, articles, amounts, gaps, ties of moments, calls from behind."""
    made = []
    for number in range(draw(st.integers(0, 25))):
        facts = {"product_id": draw(st.sampled_from("ABC")), "quantity": draw(st.integers(1, 3)), "platform": draw(st.sampled_from(("web", "shop", None))), "channel": draw(st.sampled_from((None, "search"))), "page_path": "/a"}
        if draw(st.booleans()):
            facts["value"] = draw(st.sampled_from(("1.50", "2", "0.1000")))
        made.append(LiveEvent(
            event_id=f"e{draw(st.integers(0, 3))}{number:02d}", identifier_key=draw(st.integers(1, 3)), other_keys=(), source="web", name=draw(st.sampled_from(NAMES)), kind=draw(st.sampled_from(("track", "page", "identify"))),
            occurred_at=draw(st.integers(0, 12)) * GAP // 2, received_at=draw(st.integers(0, 50)), facts=facts,
        ))  # fmt: skip
    return made


SEEDS = {1: Visit(identifier_key=1, started_at=0, ended_at=GAP // 4, events=3, pages=1, visited=True)}


@given(events(), st.integers(0, 25), st.booleans())
def test_going_on_equals_beginning_anew(found: list[LiveEvent], cut: int, seeded: bool) -> None:
    seeds = SEEDS if seeded else {}
    whole = ordered(found)
    first, rest = whole[:cut], whole[cut:]
    kept = msgspec.json.decode(msgspec.json.encode(State().take(first, seeds).record()))  # as the store gives it back
    state = State.of(kept)
    assert state.goes_on(rest), "the later part happened after the earlier one"
    assert msgspec.json.encode(state.take(rest, seeds).record()) == msgspec.json.encode(record(found, seeds))


@given(events())
def test_events_from_before_are_seen_as_such(found: list[LiveEvent]) -> None:
    whole = ordered(found)
    for place in range(1, len(whole)):
        assert not State().take(whole[place:]).goes_on(whole[:place]), "these must be folded anew"
