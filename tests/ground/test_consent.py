"""Consent: laws of the fold by Hypothesis, timelines as data, arrays against the pure fold, and planted faults that must be seen."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundig import consent
from kundig.config.law import ChannelRule, Purpose, Purposes
from kundig.consent import ConsentRecord, folding, many
from kundig.errors import ContractError
from kundig.store.state import State
from tests.ground.histories import LAW, PURPOSES, START, day, moments, planted, record, unique

PAIRS = PURPOSES.pairs()


def said(status, number, *, channel="email", purpose="newsletter", received=None, part=0, until=None, basis=None):
    return ConsentRecord(
        record_id=f"{status}-{number}-{channel}-{purpose}-{part}", purpose=purpose, channel=channel, status=status, occurred_at=day(number),
        received_at=day(number if received is None else received), part=part, until=None if until is None else day(until), basis=basis,
    )  # fmt: skip


TIMELINES = {
    "nothing was ever said": ([], {1: "consent_missing"}),
    "pending until confirmed": ([said("requested", 1), said("confirmed", 2)], {0: "consent_missing", 1: "consent_pending", 2: "consent_given"}),
    "a consent without double opt-in is pending where it is required": ([said("given", 1)], {2: "consent_pending"}),
    "and given where it is not": ([said("given", 1, channel="push")], {2: "consent_missing"}),
    "lapses by the purpose's rule": ([said("confirmed", 1)], {20.9: "consent_given", 21: "consent_expired"}),
    "lapses at its own end": ([said("confirmed", 1, until=4)], {3.9: "consent_given", 4: "consent_expired"}),
    "ends before it starts": ([said("confirmed", 5, until=4)], {6: "consent_expired"}),
    "withdrawal then re-grant": ([said("confirmed", 1), said("withdrawn", 3), said("given", 5), said("confirmed", 6)], {2: "consent_given", 4: "consent_withdrawn", 5.5: "consent_pending", 7: "consent_given"}),
    "renewal without a new confirmation": ([said("confirmed", 1), said("given", 15)], {30: "consent_given", 35: "consent_expired"}),
    "objection on another channel": ([said("confirmed", 1), said("objected", 3, channel="push")], {2: "consent_given", 3: "objected"}),
    "objection beats the existing customer": ([said("customer", 1), said("objected", 2, channel="*")], {1.5: "existing_customer", 2: "objected"}),
    "objection to an undeclared purpose": ([said("confirmed", 1), said("objected", 2, purpose="marketing")], {2: "objected"}),
    "an order after an objection lifts nothing": ([said("objected", 1), said("customer", 5)], {6: "objected"}),
    "an order after a withdrawal lifts nothing": ([said("confirmed", 1), said("withdrawn", 2), said("customer", 5)], {6: "consent_withdrawn"}),
    "a consent confirmed after an objection does": ([said("objected", 1), said("given", 4), said("confirmed", 5)], {4.5: "objected", 6: "consent_given"}),
    "withdrawal on all channels": ([said("confirmed", 1), said("withdrawn", 2, channel="*")], {3: "consent_withdrawn"}),
    "a withdrawal does not soften an objection": ([said("objected", 1), said("withdrawn", 2)], {3: "objected"}),
    "a stranger types the address of a subscriber": ([said("confirmed", 1), said("requested", 5)], {6: "consent_given"}),
    "at one instant the stricter wins": ([said("withdrawn", 1), said("confirmed", 1)], {1: "consent_withdrawn"}),
    "a clock that runs ahead delays no withdrawal": ([said("confirmed", 1), said("withdrawn", 9, received=2)], {2: "consent_withdrawn"}),
    "an unknown status is a no": ([said("confirmed", 1), said("???", 2)], {3: "consent_withdrawn"}),
    "contract on a purpose that does not know it": ([said("contract", 1)], {2: "consent_missing"}),
    "consent given as existing customer": ([said("given", 1, basis="existing_customer")], {2: "existing_customer"}),
    "a confirmed consent outranks the customer": ([said("confirmed", 1), said("customer", 2)], {3: "consent_given"}),
}  # fmt: skip


@pytest.mark.parametrize("name", TIMELINES)
def test_timeline(name):
    records, expected = TIMELINES[name]
    for number, reason in expected.items():
        at = day(number)
        history = consent.fold(records, purposes=PURPOSES, at=at)
        assert consent.standing(history, purpose="newsletter", channel="email", at=at).reason == reason, number


def by_channel(history, at):
    return {channel: consent.standing(history, purpose="newsletter", channel=channel, at=at).reason for channel in ("email", "push", "direct_mail")}


def test_a_later_consent_lifts_an_objection_on_its_own_channel_alone():
    """Whatever channel an objection names it closes all; each opens by its own consent, confirmed where that is required; `*` opens all."""
    said_so = [said("confirmed", 1), said("objected", 3, channel="push"), said("customer", 4, channel="*"), said("requested", 5), said("confirmed", 6)]
    shut = dict.fromkeys(("email", "push", "direct_mail"), "objected")
    for number, expected in {4: shut, 5: shut, 6: shut | {"email": "consent_given"}, 20: shut | {"email": "consent_given"}}.items():
        history = consent.fold(said_so, purposes=PURPOSES, at=day(number))
        assert by_channel(history, day(number)) == expected, number
    whole = consent.fold([*said_so, said("confirmed", 8, channel="*")], purposes=PURPOSES, at=day(9))
    assert by_channel(whole, day(9)) == dict.fromkeys(shut, "consent_given")
    again = consent.fold([*said_so, said("objected", 7, channel="direct_mail")], purposes=PURPOSES, at=day(9))
    assert by_channel(again, day(9)) == shut


def allowed(history, at):
    return {pair: consent.standing(history, purpose=pair[0], channel=pair[1], at=at).allowed for pair in PAIRS}


def narrower(one, other):
    """No pair is allowed in `one` that is not in `other`."""
    return all(other[pair] or not one[pair] for pair in PAIRS)


@LAW
@given(st.lists(record(), max_size=12), moments, st.randoms())
def test_order_and_resends_change_nothing(records, at, shuffler):
    again = [*records, *records[: len(records) // 2]]
    shuffler.shuffle(again)
    assert consent.fold(again, purposes=PURPOSES, at=at) == consent.fold(records, purposes=PURPOSES, at=at)


@LAW
@given(st.lists(record(), max_size=12).map(unique), moments)
def test_history_answers_every_moment_before(records, at):
    """What the fold at `at` says of an earlier moment is what a fold at that moment says, known the same."""
    history = consent.fold(records, purposes=PURPOSES, at=at, known_at=day(99))
    for half in range(0, 81, 7):
        earlier = day(half / 2)
        if earlier <= at:
            then = consent.fold(records, purposes=PURPOSES, at=earlier, known_at=day(99))
            assert allowed(history, earlier) == allowed(then, earlier)


@LAW
@given(st.lists(record(), min_size=1, max_size=10).map(unique), moments, st.integers(0, 9), st.sampled_from(["withdrawn", "objected"]))
def test_a_restriction_only_narrows(records, at, which, status):
    """A withdrawal or objection more, anywhere in the history, allows nothing more at any time."""
    like = records[which % len(records)]
    more = [*records, dataclasses.replace(like, record_id="more", status=status)]
    assert narrower(allowed(consent.fold(more, purposes=PURPOSES, at=at), at), allowed(consent.fold(records, purposes=PURPOSES, at=at), at))


@LAW
@given(st.lists(record(parts=(1, 2, 3), ids=st.integers(0, 10_000)), max_size=12).map(unique), moments)
def test_a_merge_is_no_wider_than_any_part(records, at):
    """Joined after all was said: what each part alone denies, after having spoken, the whole denies."""
    late = {2: day(200), 3: day(200)}
    whole = consent.fold(records, purposes=PURPOSES, at=at, joined=late)
    for part in (1, 2, 3):
        alone = consent.fold([one for one in records if one.part == part], purposes=PURPOSES, at=at)
        spoken = {(row.purpose, row.channel) for row in alone}
        before, after = allowed(alone, at), allowed(whole, at)
        assert all(before[pair] or not after[pair] for pair in spoken)


@LAW
@given(st.lists(record(parts=(1, 2), ids=st.integers(0, 10_000)), max_size=12).map(unique), moments, moments)
def test_after_the_joining_both_parts_are_asked_at_once(records, at, join):
    """Joined in the middle: no wider than a part's own words followed by all that was said since."""
    whole = allowed(consent.fold(records, purposes=PURPOSES, at=at, joined={2: join}), at)
    for part in (1, 2):
        words = [one for one in records if one.part == part or one.effective_at >= join]
        history = consent.fold([dataclasses.replace(one, part=1) for one in words], purposes=PURPOSES, at=at)
        before = [dataclasses.replace(one, part=1) for one in records if one.part == part and one.effective_at < join]
        spoken = {(row.purpose, row.channel) for row in consent.fold(before, purposes=PURPOSES, at=at)}
        own = allowed(history, at)
        assert all(own[pair] or not whole[pair] for pair in spoken)


def test_stricter_on_merge_until_asked_again():
    records = [said("given", 1, channel="push", part=1), said("withdrawn", 0, channel="push", part=2), said("given", 9, channel="push", part=1)]
    law = Purposes(purposes={"newsletter": Purpose(channels={"push": ChannelRule(bases=("consent",))})})

    def at(number):
        history = consent.fold(records, purposes=law, at=day(number), joined={2: day(5)})
        return consent.standing(history, purpose="newsletter", channel="push", at=day(number)).reason

    assert [at(2), at(6), at(9)] == ["consent_withdrawn", "consent_withdrawn", "consent_given"]


def table(records, person=lambda one: 1, joined=None):
    rows = [
        {"person_key": person(one), "joined_at": (joined or {}).get(one.part)} | {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}
        for one in records
    ]
    moment = pa.timestamp("us", tz="UTC")
    schema = pa.schema(
        [("person_key", pa.int64()), ("record_id", pa.string()), ("purpose", pa.string()), ("channel", pa.string()), ("status", pa.string()), ("occurred_at", moment),
         ("received_at", moment), ("basis", pa.string()), ("until", moment), ("wording", pa.string()), ("part", pa.int64()), ("joined_at", moment)]
    )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=schema)


def by_person(records, at, joined=None, person=lambda one: 1):
    rows = []
    for who in sorted({person(one) for one in records}):
        history = consent.fold([one for one in records if person(one) == who], purposes=PURPOSES, at=at, joined=joined)
        rows += [{"person_key": who} | dataclasses.asdict(row) for row in history]
    return pa.Table.from_pylist(rows, schema=many.SCHEMA)


@LAW
@given(st.lists(record(parts=(1, 2, 3, 4)), max_size=40), moments)
def test_arrays_fold_as_the_pure_fold(records, at):
    who = lambda one: one.part  # noqa: E731
    assert consent.fold_table(table(records, who), purposes=PURPOSES, as_of=at).equals(by_person(records, at, person=who))


@LAW
@given(st.lists(record(parts=(1, 2, 3)), max_size=20), moments, st.dictionaries(st.integers(2, 3), moments))
def test_arrays_fold_merged_persons_as_the_pure_fold(records, at, joined):
    assert consent.fold_table(table(records, joined=joined), purposes=PURPOSES, as_of=at).equals(by_person(records, at, joined))


def test_empty_tables():
    assert consent.fold_table(table([]), purposes=PURPOSES, as_of=START).num_rows == 0
    assert consent.fold_table(table([said("given", 1)]), purposes=Purposes(), as_of=day(2)).num_rows == 0


def test_a_planted_fault_is_seen(monkeypatch):
    """Positive control: a fold that overlooks objections on other channels fails a timeline and the narrowing law."""
    honest = folding.concerns
    monkeypatch.setattr(folding, "concerns", lambda one, purpose, channel, purposes: honest(dataclasses.replace(one, status="withdrawn") if one.status == "objected" else one, purpose, channel, purposes))
    with pytest.raises(AssertionError):
        test_timeline("objection on another channel")
    with pytest.raises(AssertionError):
        planted(test_arrays_fold_as_the_pure_fold, st.lists(record(parts=(1, 2)), min_size=10, max_size=40), moments)


@pytest.fixture
def state(tmp_path):
    opened = State.open(f"sqlite:///{tmp_path / 'state.sqlite'}")
    yield opened
    opened.close()


def logged(one, key=7, others=()):
    return {field.name: getattr(one, field.name) for field in dataclasses.fields(one) if field.name != "part"} | {"identifier_key": key, "other_keys": list(others)}


def test_log_holds_each_record_once_and_answers(state):
    records = [said("requested", 1), said("confirmed", 2), said("withdrawn", 4)]
    assert consent.append(state, [logged(one) for one in records[:2]]) == 2
    assert consent.append(state, [logged(one, key=8, others=[7]) for one in [*records, records[2]]]) == 1
    assert [row["seq"] for row in state.select("consent_log", order_by=state.sql("consent_log").c.seq)] == [1, 2, 3]
    reasons = {number: consent.status(state, [7], purposes=PURPOSES, purpose="newsletter", channel="email", at=day(number)).reason for number in (1, 3, 5)}
    assert reasons == {1: "consent_pending", 3: "consent_given", 5: "consent_withdrawn"}
    assert [one.status for one in consent.records_of(state, [8])[8]] == ["withdrawn"]
    assert consent.records_of(state, [7], after=2)[7] == [dataclasses.replace(records[2], part=8)]


def test_what_came_late_was_not_known_then(state):
    consent.append(state, [logged(said("confirmed", 1)), logged(said("withdrawn", 2, received=5))])
    asked = {"purposes": PURPOSES, "purpose": "newsletter", "channel": "email", "at": day(3)}
    assert consent.status(state, [7], **asked).allowed
    assert consent.status(state, [7], **asked, known_at=day(6)).reason == "consent_withdrawn"


def test_append_joins_a_transaction_and_takes_arrow(state):
    rows = pa.Table.from_pylist([logged(said("confirmed", 1))])

    def fails():
        with state.transaction() as connection:
            assert consent.append(state, rows, connection=connection) == 1
            raise RuntimeError("the transaction fails")

    with pytest.raises(RuntimeError):
        fails()
    assert state.select("consent_log") == []
    assert consent.append(state, rows) == 1


def test_a_record_that_names_nobody_is_refused(state):
    with pytest.raises(ContractError, match="lacks identifier_key"):
        consent.append(state, [logged(said("given", 1), key=None)])
    with pytest.raises(ContractError, match="without zone"):
        consent.append(state, [logged(said("given", 1)) | {"occurred_at": dt.datetime(2026, 1, 1)}])


def test_erasure_keeps_the_proof_and_no_trace(state, tmp_path):
    """With its positive control: before the erasure the same search finds the planted person."""
    mine = [logged(said("confirmed", 1), key=777_000_111_222, others=[8]) | {"evidence": "form needle", "wording_hash": "h"}, logged(said("withdrawn", 2), key=8, others=[777_000_111_222])]
    consent.append(state, [*mine, logged(said("given", 3), key=9)])
    traces = (b"needle", b"777000111222", (777_000_111_222).to_bytes(8, "big")[2:])
    found = lambda: [trace for trace in traces if any(trace in path.read_bytes() for path in tmp_path.iterdir())]  # noqa: E731
    assert set(found()) == set(traces)
    assert consent.forget(state, [777_000_111_222]) == 2
    state.scrub()
    assert found() == []
    first, second, third = state.select("consent_log", order_by=state.sql("consent_log").c.seq)
    assert (first["status"], first["occurred_at"], first["wording_hash"], first["evidence"], first["other_keys"]) == ("confirmed", day(1), "h", None, [8])
    assert (second["identifier_key"], second["other_keys"], third["identifier_key"]) == (8, [], 9)
    assert consent.records_of(state, [777_000_111_222]) == {}
    assert len(consent.records_of(state, [8])[8]) == 2


def test_a_million_records_take_seconds():
    """A tenth of it here; the time is bounded loosely, for a machine under load."""
    size = 100_000
    draw = np.random.default_rng(1)
    rows = pa.table(
        {
            "person_key": draw.integers(0, size // 2, size), "record_id": pa.array([f"r{number}" for number in range(size)]), "purpose": pa.array(["newsletter"] * size),
            "channel": pa.array(np.array(["email", "push", "*"])[draw.integers(0, 3, size)]), "status": pa.array(np.array(["given", "confirmed", "withdrawn", "objected"])[draw.integers(0, 4, size)]),
            "occurred_at": pa.array(draw.integers(0, 40 * 86_400, size) * 1_000_000 + 1_767_225_600_000_000).cast(pa.timestamp("us", tz="UTC")),
            "basis": pa.nulls(size, pa.string()), "until": pa.nulls(size, pa.timestamp("us", tz="UTC")), "wording": pa.nulls(size, pa.string()),
        }
    )  # fmt: skip
    rows = rows.append_column("received_at", rows["occurred_at"])
    began = dt.datetime.now()
    folded = consent.fold_table(rows, purposes=PURPOSES, as_of=day(90))
    assert (dt.datetime.now() - began).total_seconds() < 10
    some = random.Random(1).sample(range(size // 2), 50)
    for who in some:
        own = rows.filter(pa.compute.equal(rows["person_key"], who)).to_pylist()
        pure = consent.fold([ConsentRecord(**{k: v for k, v in row.items() if k != "person_key"}) for row in own], purposes=PURPOSES, at=day(90))
        assert [row.record_id for row in pure] == folded.filter(pa.compute.equal(folded["person_key"], who))["record_id"].to_pylist()
