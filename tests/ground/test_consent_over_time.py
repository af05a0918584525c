"""Consent over merges, splits and undo: never wider than any part, the same again after undo, and what the log answers is what the gate answers."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kundig import consent, gate
from kundig.consent import folding
from kundig.store.state import State
from tests.ground.histories import FULL, LAW, PURPOSES, day, moments, record, unique

PARTS = (1, 2, 3)
histories = st.lists(record(parts=PARTS, ids=st.integers(0, 10_000)), max_size=12).map(unique)
ledgers = st.lists(st.tuples(moments, st.sampled_from(("merge", "split", "undo")), st.permutations(PARTS)), max_size=5)
"""Decisions of the ledger: when, what, and about which two parts."""


def groups(ledger, at: dt.datetime) -> list[dict[int, dt.datetime | None]]:
    """The persons at a moment, each as its parts → when each joined (None: it was there from the start); `undo` takes back the decision before it."""
    standing: list[tuple[dt.datetime, str, int, int]] = []
    for moment, kind, (one, other, _) in sorted(ledger, key=lambda decision: decision[0]):
        if moment > at:
            continue
        if kind == "undo":
            standing = standing[:-1]
        else:
            standing.append((moment, kind, one, other))
    persons: list[dict[int, dt.datetime | None]] = [{part: None} for part in PARTS]
    for moment, kind, one, other in standing:
        mine, theirs = (next(person for person in persons if part in person) for part in (one, other))
        if kind == "merge" and mine is not theirs:
            persons.remove(theirs)
            mine.update({part: joined if joined is not None and joined > moment else moment for part, joined in theirs.items()})
        elif kind == "split" and mine is theirs:
            del mine[other]
            persons.append({other: None})
            if all(joined is not None for joined in mine.values()):
                mine[min(mine)] = None
    return persons


def standings(records, person, at):
    joined = {part: moment for part, moment in person.items() if moment is not None}
    history = consent.fold([one for one in records if one.part in person], purposes=PURPOSES, at=at, joined=joined)
    return {pair: consent.standing(history, purpose=pair[0], channel=pair[1], at=at) for pair in PURPOSES.pairs()}


@LAW
@given(histories, ledgers, moments)
def test_a_person_is_never_allowed_more_than_any_of_its_parts(records, ledger, at):
    """What a part alone denies, with all that was said to it and, since it joined, to the whole, the whole denies; where it was silent until it joined, it denies nothing."""
    for person in groups(ledger, at):
        whole = standings(records, person, at)
        for part, joined in person.items():
            since = max((moment for moment in person.values() if moment is not None), default=None) if joined is None else joined
            own = [one for one in records if one.part == part]
            later = [dataclasses.replace(one, part=part) for one in records if one.part in person and one.part != part and since is not None and one.effective_at >= since]
            alone = consent.fold([*own, *later], purposes=PURPOSES, at=at)
            before = [one for one in own if since is None or one.effective_at < since]
            spoken = {(row.purpose, row.channel) for row in consent.fold(before, purposes=PURPOSES, at=at)}
            for purpose, channel in spoken:
                assert consent.standing(alone, purpose=purpose, channel=channel, at=at).allowed or not whole[purpose, channel].allowed


@LAW
@given(histories, ledgers, moments, st.permutations(PARTS))
def test_a_merge_undone_leaves_no_trace(records, ledger, at, whom):
    before = [{pair: one.reason for pair, one in standings(records, person, at).items()} for person in groups(ledger, at)]
    after = [{pair: one.reason for pair, one in standings(records, person, at).items()} for person in groups([*ledger, (at, "merge", whom), (at, "undo", whom)], at)]
    assert before == after


@LAW
@given(histories, ledgers, moments, st.sampled_from(["withdrawn", "objected"]), st.sampled_from(PARTS))
def test_a_no_more_allows_nothing_more_to_anybody(records, ledger, at, status, part):
    more = folding.ConsentRecord(record_id="more", purpose="newsletter", channel="email", status=status, occurred_at=at, received_at=at, part=part)
    for person in groups(ledger, at):
        before, after = standings(records, person, at), standings([*records, more], person, at)
        assert all(before[pair].allowed or not after[pair].allowed for pair in before)
        if part in person:
            assert not after["newsletter", "email"].allowed


def asked(one, purpose: str, channel: str, at: dt.datetime) -> gate.Decision:
    """What the gate says where nothing but the consent can be in the way."""
    scenario = gate.Scenario(name="s", approved=True, channels=(channel,), legitimate_interest=one.basis == "legitimate_interest", similar_goods=True)
    request = gate.Request(purpose=purpose, channel=channel, at=at, scenario=scenario, rule=PURPOSES.rule(purpose, channel))
    facts = gate.Facts(consent_status=one.status, consent_basis=one.basis, consent_until=one.until, last_order_at=at, creative="approved", address="deliverable", objected=one.status == "objected")
    return gate.decide(request, facts)


@settings(LAW, max_examples=1_000 if FULL else 25)
@given(histories, ledgers, moments)
def test_the_logs_answer_is_the_gates(records, ledger, at):
    """`consent at` reads the log; the gate is told the standing of the fold: both say the same, and name the same objection or withdrawal."""
    state = State.open("sqlite://")
    try:
        consent.append(state, [{field.name: getattr(one, field.name) for field in dataclasses.fields(one) if field.name != "part"} | {"identifier_key": one.part, "other_keys": []} for one in records])
        for person in groups(ledger, at):
            joined = {part: moment for part, moment in person.items() if moment is not None}
            for (purpose, channel), one in standings(records, person, at).items():
                told = consent.account(state, person, purposes=PURPOSES, purpose=purpose, channel=channel, at=at, joined=joined)
                said = asked(one, purpose, channel, at)
                assert told.allowed == said.allow, (told.reason, said.reason)
                assert not {told.reason, said.reason} & {"objected", "consent_withdrawn"} or told.reason == said.reason
    finally:
        state.close()


def test_a_whole_that_forgets_its_parts_is_seen(monkeypatch):
    """Positive control: a fold without what parts said before they joined is wider than a part."""
    honest = consent.fold
    monkeypatch.setattr(consent, "fold", lambda records, *, joined=None, **more: honest([one for one in records if not joined or joined.get(one.part, one.effective_at) <= one.effective_at], joined=joined, **more))
    said = [folding.ConsentRecord(record_id=status, purpose="newsletter", channel="push", status=status, occurred_at=day(number), received_at=day(number), part=part) for number, (status, part) in enumerate((("withdrawn", 2), ("given", 1)))]
    law = test_a_person_is_never_allowed_more_than_any_of_its_parts.hypothesis.inner_test
    with pytest.raises(AssertionError):
        law(said, [(day(5), "merge", (1, 2, 3))], day(6))
    monkeypatch.undo()
    law(said, [(day(5), "merge", (1, 2, 3))], day(6))


def test_a_gate_that_overlooks_an_objection_is_seen(monkeypatch):
    """Positive control: the gate told of a consent where the log has an objection."""
    honest = gate.decide
    monkeypatch.setattr(gate, "decide", lambda request, facts: honest(request, dataclasses.replace(facts, objected=False, consent_status="given" if facts.consent_status == "objected" else facts.consent_status, consent_basis="consent")))
    said = [folding.ConsentRecord(record_id="no", purpose="newsletter", channel="push", status="objected", occurred_at=day(1), received_at=day(1), part=1)]
    with pytest.raises(AssertionError):
        test_the_logs_answer_is_the_gates.hypothesis.inner_test(said, [], day(6))
    monkeypatch.undo()
    test_the_logs_answer_is_the_gates.hypothesis.inner_test(said, [], day(6))


def test_a_consent_that_ends_before_it_begins_allows_nothing_and_is_no_fault():
    one = folding.ConsentRecord(record_id="r", purpose="newsletter", channel="push", status="given", occurred_at=day(5), received_at=day(5), until=day(2), part=1)
    for number in (1, 3, 5, 6):
        found = standings([one], {1: None}, day(number))["newsletter", "push"]
        assert not found.allowed
    assert found.reason == "consent_expired"
