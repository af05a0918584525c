"""Was this allowed at that moment, and why: the account equals the fold's answer, and shows every record with all that proves it."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundig import consent
from kundig.consent import proof
from kundig.store.state import State
from tests.ground.histories import LAW, PURPOSES, day, moments, record, unique

ASKED = {"purposes": PURPOSES, "purpose": "newsletter", "channel": "email"}


@pytest.fixture
def state(tmp_path):
    opened = State.open(f"sqlite:///{tmp_path / 'state.sqlite'}")
    yield opened
    opened.close()


def row(number: float, status: str, *, key: int = 7, received: float | None = None, **more: object) -> dict[str, object]:
    base = {"record_id": f"{status}-{number}", "source": "shop", "purpose": "newsletter", "channel": "email", "status": status, "occurred_at": day(number), "received_at": day(number if received is None else received)}
    return base | {"identifier_key": key, "other_keys": [], "basis": None, "until": None, "wording": None, "wording_hash": None, "evidence": None, "jurisdiction": None} | more


def test_the_deciding_record_is_shown_with_all_that_proves_it(state):
    kept = {"wording": "2025-01", "wording_hash": "ab" * 32, "evidence": "form 7", "jurisdiction": "DE", "basis": "consent"}
    consent.append(state, [row(1, "requested"), row(2, "confirmed", **kept), row(9, "withdrawn")])
    found = consent.account(state, [7], **ASKED, at=day(5))
    assert found.allowed and found.reason == "consent_given" and found.until == day(22)
    assert [(one.status, one.then, one.decides) for one in found.statements] == [("requested", "pending", False), ("confirmed", "given", True)]
    assert dataclasses.asdict(found.decisive).items() >= (kept | {"source": "shop", "seq": 2, "text": "gone"}).items()
    after = consent.account(state, [7], **ASKED, at=day(9))
    assert not after.allowed and after.decisive.status == "withdrawn"


def test_the_shown_text_is_held_against_its_hash(state):
    law = PURPOSES.model_copy(update={"purposes": {"newsletter": PURPOSES.purposes["newsletter"].model_copy(update={"wordings": {"v1": {"de": "Ja, gern."}}})}})
    shown = law.purposes["newsletter"].wording_hash("v1", "de")
    consent.append(state, [row(1, "confirmed", wording="v1", wording_hash=shown), row(2, "confirmed", wording="v1", wording_hash="0" * 64), row(3, "confirmed", wording="v0", wording_hash=shown), row(4, "confirmed", wording="v1")])
    told = consent.account(state, [7], purposes=law, purpose="newsletter", channel="email", at=day(9)).statements
    assert [one.text for one in told] == ["same", "other", "gone", ""]


def test_what_came_late_is_named_and_changes_the_answer_only_where_asked(state):
    consent.append(state, [row(1, "confirmed"), row(2, "withdrawn", received=5)])
    then = consent.account(state, [7], **ASKED, at=day(3))
    since = consent.account(state, [7], **ASKED, at=day(3), known_at=day(6))
    assert then.allowed and [one.status for one in then.later] == ["withdrawn"]
    assert not since.allowed and since.later == () and since.decisive.status == "withdrawn"


def test_an_objection_to_another_purpose_that_is_not_declared_and_nothing_said(state):
    assert consent.account(state, [7], **ASKED, at=day(3)).reason == "consent_missing"
    consent.append(state, [row(1, "confirmed"), row(2, "objected", purpose="anything", channel="push")])
    found = consent.account(state, [7], **ASKED, at=day(3))
    assert found.reason == "objected" and found.decisive.purpose == "anything"


def test_other_peoples_words_are_not_counted(state):
    consent.append(state, [row(1, "confirmed", key=8), row(1.5, "requested", key=9, other_keys=[7])])
    found = consent.account(state, [7], **ASKED, at=day(3))
    assert [one.identifier_key for one in found.statements] == [9] and not found.allowed


def _agrees(records, at, known) -> None:
    opened = State.open("sqlite://")
    try:
        consent.append(opened, [{field.name: getattr(one, field.name) for field in dataclasses.fields(one) if field.name != "part"} | {"identifier_key": one.part, "other_keys": []} for one in records])
        for purpose, channel in PURPOSES.pairs():
            joined = {2: day(20)}
            found = consent.account(opened, [1, 2], purposes=PURPOSES, purpose=purpose, channel=channel, at=at, known_at=known, joined=joined)
            status = consent.status(opened, [1, 2], purposes=PURPOSES, purpose=purpose, channel=channel, at=at, known_at=known, joined=joined)
            assert (found.allowed, found.reason, found.until) == (status.allowed, status.reason, status.until)
            assert (found.decisive is None) == (status.consent is None)
            if found.decisive is not None:
                assert found.decisive.record_id == status.consent.record_id
            assert all(one.received_at <= (known or at) for one in found.statements) and all(one.received_at > (known or at) for one in found.later)
    finally:
        opened.close()


@LAW
@given(st.lists(record(parts=(1, 2)), max_size=8).map(unique), moments, st.none() | moments)
def test_the_account_is_the_folds_answer(records, at, known):
    _agrees(records, at, known)


def test_a_planted_fault_is_seen(monkeypatch):
    """Positive control: an account that takes an objection for one channel's alone differs from the fold's answer."""
    honest = proof.concerns
    monkeypatch.setattr(proof, "concerns", lambda one, purpose, channel, purposes: honest(one, purpose, channel, purposes) and one.channel in (channel, "*"))
    records = [consent.ConsentRecord(record_id=name, purpose="newsletter", channel=way, status=name, occurred_at=day(number), received_at=day(number), part=1) for number, (name, way) in enumerate([("confirmed", "email"), ("objected", "push")])]
    with pytest.raises(AssertionError):
        _agrees(records, day(9), None)
