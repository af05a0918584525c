"""The gate: its order, one answer alone and in a crowd, nights across clock changes, and planted faults that must be seen."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import json
import time
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundig import consent, gate, reasons
from kundig.config.law import Approval, Cap, Channels, Policy, Purpose, Purposes, Quiet
from kundig.errors import ContractError
from kundig.gate import Decision, Facts, Request, Scenario, decide, decide_many, quiet_until
from tests.ground.histories import LAW, PURPOSES, day, planted, record, unique

AT = dt.datetime(2026, 3, 3, 12, tzinfo=dt.UTC)
NIGHT = Quiet(**{"from": "21:00", "until": "08:00"})
SCENARIO = Scenario(name="win_back", approved=True, channels=("email", "push", "direct_mail"), similar_goods=True, legitimate_interest=True)
REQUEST = Request(
    purpose="newsletter", channel="email", at=AT, scenario=SCENARIO, rule=PURPOSES.rule("newsletter", "email"), caps=(Cap(days=1, most=1), Cap(days=7, most=3), Cap(days=30, most=8)),
    channel_caps=(Cap(days=7, most=2),), quiet=NIGHT,
)  # fmt: skip
FINE = Facts(consent_status="given", consent_basis="consent", creative="approved", address="deliverable", offer_valid=True, offer_stock=5, last_order_at=AT - dt.timedelta(days=10))

WRONGS = [
    ("erased", {"erased": True}, {}),
    ("suppressed", {"suppressed": True}, {}),
    ("restricted", {"restricted": True}, {}),
    ("objected", {"objected": True}, {}),
    ("consent_withdrawn", {"consent_status": "withdrawn"}, {}),
    ("scenario_not_approved", {}, {"scenario": dataclasses.replace(SCENARIO, approved=False)}),
    ("creative_stale", {"creative": "stale"}, {}),
    ("cap_reached", {"messages_7d": 3}, {}),
    ("quiet_hours", {}, {"at": dt.datetime(2026, 3, 3, 23, tzinfo=dt.UTC)}),
    ("offer_invalid", {"offer_valid": False}, {}),
    ("address_missing", {"address": "missing"}, {}),
]
"""In the order the gate asks."""


def made(wrongs):
    facts = {name: value for _, changed, _ in wrongs for name, value in changed.items()}
    request = {name: value for _, _, changed in wrongs for name, value in changed.items()}
    return decide(dataclasses.replace(REQUEST, **request), dataclasses.replace(FINE, **facts))


def test_order_of_questions():
    """Of any set of wrongs the first in the gate's order is the answer."""
    assert made([]) == Decision(allow=True, reason="consent_given", evidence={"purpose": "newsletter", "channel": "email"})
    for size in (1, 2, 3, len(WRONGS)):
        for wrongs in itertools.combinations(WRONGS, size):
            assert made(wrongs).reason == wrongs[0][0]


CASES = {
    "consent_missing": {"consent_status": "missing"},
    "consent_pending": {"consent_status": "pending"},
    "consent_expired": {"consent_until": AT},
    "consent_given": {"consent_until": AT + dt.timedelta(microseconds=1)},
    "existing_customer": {"consent_basis": "existing_customer"},
    "customer_lapsed": {"consent_basis": "existing_customer", "last_order_at": AT - dt.timedelta(days=731)},
    "objected": {"consent_status": "objected"},
    "creative_not_approved": {"creative": "rejected"},
    "creative_missing": {"creative": "missing"},
    "offer_out_of_stock": {"offer_stock": 0},
    "address_undeliverable": {"address": "undeliverable"},
}


@pytest.mark.parametrize("reason", CASES)
def test_reasons_of_facts(reason):
    decision = decide(REQUEST, dataclasses.replace(FINE, **CASES[reason]))
    assert decision.reason == reason
    assert decision.allow == (reason in reasons.codes("allow"))


@pytest.mark.parametrize(
    ("changed", "facts", "reason"),
    [
        ({"rule": None}, {}, "purpose_undeclared"),
        ({"scenario": dataclasses.replace(SCENARIO, similar_goods=False)}, {"consent_basis": "existing_customer"}, "goods_not_similar"),
        ({"scenario": dataclasses.replace(SCENARIO, channels=("push",))}, {}, "channel_not_in_scenario"),
        ({"scenario": dataclasses.replace(SCENARIO, forbidden=("gender",))}, {}, "forbidden_attribute"),
        ({"rule": PURPOSES.rule("newsletter", "direct_mail")}, {"consent_status": "missing"}, "legitimate_interest"),
        ({"rule": PURPOSES.rule("newsletter", "direct_mail")}, {"consent_status": "withdrawn"}, "consent_withdrawn"),
        ({"rule": PURPOSES.rule("newsletter", "direct_mail"), "scenario": dataclasses.replace(SCENARIO, legitimate_interest=False)}, {"consent_status": "missing"}, "legitimate_interest_not_allowed"),
        ({"rule": PURPOSES.rule("order_updates", "email")}, {"consent_status": "missing"}, "contract_missing"),
        ({"rule": PURPOSES.rule("order_updates", "email")}, {"consent_status": "missing", "contract_until": AT + dt.timedelta(days=1)}, "contract"),
        ({"needs_creative": False}, {"creative": "missing"}, "consent_given"),
        ({}, {"channel_7d": 2}, "cap_reached"),
        ({}, {"double_opt_in": False}, "consent_pending"),
        ({"at": dt.datetime(2026, 3, 3, 23, tzinfo=dt.UTC)}, {"zone": "Asia/Tokyo"}, "consent_given"),
        ({}, {"zone": "Asia/Tokyo"}, "quiet_hours"),
        ({}, {"zone": "Mars/Olympus"}, "consent_given"),
    ],
)  # fmt: skip
def test_reasons_of_requests(changed, facts, reason):
    assert decide(dataclasses.replace(REQUEST, **changed), dataclasses.replace(FINE, **facts)).reason == reason


moments = st.sampled_from([None, AT - dt.timedelta(days=731), AT - dt.timedelta(days=730), AT - dt.timedelta(days=1), AT, AT + dt.timedelta(microseconds=1), AT + dt.timedelta(days=3)])
counts = st.integers(0, 9)
some_facts = st.builds(
    Facts,
    erased=st.sampled_from([False] * 9 + [True]), suppressed=st.sampled_from([False] * 9 + [True]), restricted=st.sampled_from([False] * 9 + [True]), objected=st.sampled_from([False] * 6 + [True]),
    consent_status=st.sampled_from(["given"] * 6 + ["missing", "pending", "withdrawn", "objected"]), consent_basis=st.sampled_from([None, "consent", "consent", "existing_customer", "contract", "legitimate_interest"]),
    consent_until=moments, double_opt_in=st.sampled_from([None, True, False]), last_order_at=moments, contract_until=moments,
    creative=st.sampled_from(["approved"] * 6 + ["draft", "rejected", "stale", "missing", "none"]),
    messages_24h=st.sampled_from([0] * 6 + [1, 2]), messages_7d=st.sampled_from([0, 1, 2, 2, 3]), messages_30d=counts, channel_24h=counts, channel_7d=st.sampled_from([0, 1, 1, 2]), channel_30d=counts,
    zone=st.sampled_from([None, "Europe/Berlin", "Asia/Tokyo", "America/New_York", "Mars/Olympus"]), offer_valid=st.sampled_from([None, True, True, False]), offer_stock=st.sampled_from([None, 3, 1, 0, -2]),
    address=st.sampled_from(["deliverable"] * 6 + ["missing", "undeliverable"]),
)  # fmt: skip
some_requests = st.builds(
    lambda pair, scenario, hour, caps, quiet, creative: dataclasses.replace(
        REQUEST, purpose=pair[0], channel=pair[1], rule=PURPOSES.rule(*pair), scenario=scenario, at=AT.replace(hour=hour), caps=caps, quiet=quiet, needs_creative=creative
    ),
    st.sampled_from([*PURPOSES.pairs(), ("undeclared", "email")]),
    st.sampled_from([SCENARIO] * 4 + [dataclasses.replace(SCENARIO, **changed) for changed in ({"approved": False}, {"legitimate_interest": False}, {"similar_goods": False}, {"forbidden": ("gender",)})]),
    st.integers(0, 23), st.sampled_from([(), REQUEST.caps, (Cap(days=30, most=0),), (Cap(days=7, most=2), Cap(days=7, most=5))]), st.sampled_from([None, NIGHT]), st.booleans(),
)  # fmt: skip


@st.composite
def crowds(draw, least=1):
    """People who differ from one another in few facts, so that each comparison alone decides for some of them."""
    base = draw(st.sampled_from([FINE, dataclasses.replace(FINE, consent_basis="existing_customer"), dataclasses.replace(FINE, consent_status="missing"), draw(some_facts)]))
    changes = draw(st.lists(st.tuples(some_facts, st.sets(st.sampled_from(gate.COLUMNS), min_size=1, max_size=2)), min_size=least, max_size=25))
    return [dataclasses.replace(base, **{name: getattr(other, name) for name in names}) for other, names in changes]


def as_table(crowd):
    moment = pa.timestamp("us", tz="UTC")
    types = {"consent_until": moment, "last_order_at": moment, "contract_until": moment, "offer_stock": pa.int64(), "offer_valid": pa.bool_(), "double_opt_in": pa.bool_(), "zone": pa.string(), "consent_basis": pa.string()}
    columns = {name: pa.array([getattr(one, name) for one in crowd], types.get(name)) for name in gate.COLUMNS}
    return pa.table({"person_key": pa.array(range(len(crowd)), pa.int64())} | columns)


@LAW
@given(some_requests, crowds())
def test_a_crowd_is_answered_as_each_alone(request_, crowd):
    answers = decide_many(request_, as_table(crowd)).to_pylist()
    for number, (facts, answer) in enumerate(zip(crowd, answers, strict=True)):
        alone = decide(request_, facts)
        assert answer == {"person_key": number, "allow": alone.allow, "reason": alone.reason, "evidence": json.dumps(alone.evidence, ensure_ascii=False, sort_keys=True)}


@LAW
@given(some_requests, some_facts)
def test_every_answer_is_a_sentence_in_both_languages(request_, facts):
    decision = decide(request_, facts)
    assert decision.allow == (reasons.ALL[decision.reason].group == "allow")
    for locale in ("de", "en"):
        assert "{" not in reasons.sentence(decision.reason, locale, **decision.evidence)


@LAW
@given(st.sampled_from(PURPOSES.pairs()), st.sampled_from(["consent", "existing_customer", "contract", "legitimate_interest"]), moments, st.sampled_from(["erased", "suppressed", "restricted", "objected"]))
def test_restrictions_beat_every_basis(pair, basis, until, which):
    request_ = dataclasses.replace(REQUEST, purpose=pair[0], channel=pair[1], rule=PURPOSES.rule(*pair))
    facts = dataclasses.replace(FINE, consent_basis=basis, consent_until=until, contract_until=AT + dt.timedelta(days=9))
    decision = decide(request_, dataclasses.replace(facts, **{which: True}))
    assert (decision.allow, decision.reason) == (False, which)


def asked_of(records, pair, at):
    """The gate's answer on the standing that a fold gives, all else being fine."""
    one = consent.standing(consent.fold(records, purposes=PURPOSES, at=at), purpose=pair[0], channel=pair[1], at=at)
    row = one.consent
    facts = dataclasses.replace(
        FINE, objected=one.status == "objected", consent_status=row.status if row else "missing", consent_basis=row.basis if row else None, consent_until=row.until if row else None,
        last_order_at=at - dt.timedelta(days=1),
    )  # fmt: skip
    return decide(dataclasses.replace(REQUEST, purpose=pair[0], channel=pair[1], rule=PURPOSES.rule(*pair), at=at, quiet=None), facts)


@LAW
@given(st.lists(record(ids=st.integers(0, 10_000)), max_size=8).map(unique), st.sampled_from(PURPOSES.pairs()), st.integers(0, 80).map(lambda half: day(half / 2)))
def test_an_objection_closes_every_channel_until_that_channel_is_consented_to(records, pair, at):
    """The one reading of docs/consent.md: after the last objection to a purpose its channel is open only by a consent of later date that names it."""
    answer = asked_of(records, pair, at)
    known = [one for one in records if one.received_at <= at]
    against = [one.effective_at for one in known if one.status == "objected" and (one.purpose in (pair[0], "*") or one.purpose not in PURPOSES.purposes)]
    if not against:
        assert answer.reason != "objected"
        return
    lifting = [
        one for one in known
        if one.effective_at > max(against) and one.spoken in ("given", "confirmed") and one.purpose in (pair[0], "*") and one.channel in (pair[1], "*")
        and (one.spoken == "confirmed" or not PURPOSES.rule(*pair).double_opt_in) and "consent" in PURPOSES.rule(*pair).bases
    ]  # fmt: skip
    assert (answer.reason == "objected") == (not lifting)
    assert lifting or not answer.allow


def test_unknown_is_a_no():
    """A null where the gate must know is a no, in a crowd as alone; a column left out has the strict default."""
    assert decide(REQUEST, Facts()).reason == "consent_missing"
    rows = as_table([FINE]).set_column(as_table([FINE]).column_names.index("objected"), "objected", pa.array([None], pa.bool_()))
    assert decide_many(REQUEST, rows)["reason"].to_pylist() == ["objected"]
    assert decide_many(REQUEST, as_table([FINE]).drop(["creative"]))["reason"].to_pylist() == ["creative_missing"]
    assert decide_many(REQUEST, as_table([FINE])[:0]).num_rows == 0
    with pytest.raises(ContractError, match="'consented' is no fact"):
        decide_many(REQUEST, pa.table({"person_key": [1], "consented": [True]}))


def test_planted_faults_are_seen(monkeypatch):
    """Positive control: a gate that ignores objections fails the laws above."""
    honest = gate.decide
    with monkeypatch.context() as patch:
        patch.setitem(globals(), "decide", lambda request, facts: honest(request, dataclasses.replace(facts, objected=False)))
        with pytest.raises(AssertionError):
            test_order_of_questions()
        with pytest.raises(AssertionError):
            planted(test_restrictions_beat_every_basis, st.sampled_from(PURPOSES.pairs()), st.just("consent"), st.none(), st.just("objected"))


TWINS = {
    "erased": True, "suppressed": True, "restricted": True, "objected": True, "consent_status": "withdrawn", "consent_basis": "contract", "consent_until": AT, "double_opt_in": False, "creative": "stale",
    "messages_24h": 1, "messages_7d": 3, "messages_30d": 8, "channel_7d": 2, "zone": "Asia/Tokyo", "offer_valid": False, "offer_stock": 0, "address": "missing",
}  # fmt: skip
"""Facts, each of which alone turns the gate's yes into a no."""


@pytest.mark.parametrize("column", TWINS)
def test_a_crowd_that_overlooks_one_fact_is_seen(monkeypatch, column):
    """Positive control of the law above, for each fact: two people who differ in it alone are told apart, and if they are not, the law fails."""
    crowd = [FINE, dataclasses.replace(FINE, **{column: TWINS[column]})]
    test_a_crowd_is_answered_as_each_alone.hypothesis.inner_test(REQUEST, crowd)
    assert [decide(REQUEST, one).allow for one in crowd] == [True, False]
    compared = gate._compared
    monkeypatch.setattr(gate, "_compared", lambda request, name, values: compared(request, name, values) * (name != column))
    with pytest.raises(AssertionError):
        test_a_crowd_is_answered_as_each_alone.hypothesis.inner_test(REQUEST, crowd)


@lru_cache(maxsize=64)
def minutes_of(day, zone):
    """The minutes of a day and those around it, with what the clock on the wall shows."""
    start = dt.datetime.combine(day, dt.time(), dt.UTC) - dt.timedelta(hours=15)
    moments_ = [start + dt.timedelta(minutes=number) for number in range(60 * 66)]
    return [(moment, moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)) for moment in moments_]


def by_the_wall(at, night, zone):
    """The oracle: whether the minute lies between the first minute that shows `from` (or later) and the last that shows `until`."""
    step = dt.timedelta(minutes=1)
    local = ZoneInfo(zone)
    for shift in (-1, 0, 1):
        day = at.astimezone(local).date() + dt.timedelta(days=shift)
        opens = dt.datetime.combine(day, night.start)
        closes = dt.datetime.combine(day + dt.timedelta(days=int(night.end < night.start)), night.end)
        shown = minutes_of(day, zone)
        begins = next(moment for moment, wall in shown if wall >= opens)
        ends = next(moment + step for moment, wall in reversed(shown) if wall < closes)
        if begins <= at < ends:
            return True
    return False


@pytest.mark.parametrize("night", [("21:00", "08:00"), ("22:00", "02:30"), ("02:15", "06:00"), ("02:30", "02:45"), ("01:30", "02:30")])
@pytest.mark.parametrize(("zone", "day"), [("Europe/Berlin", "2026-03-29"), ("Europe/Berlin", "2026-10-25"), ("America/New_York", "2026-11-01"), ("Australia/Lord_Howe", "2026-04-05"), ("Asia/Tokyo", "2026-03-29")])
def test_nights_across_clock_changes(night, zone, day):
    quiet = Quiet(**{"from": night[0], "until": night[1]})
    start = dt.datetime.combine(dt.date.fromisoformat(day), dt.time(), ZoneInfo(zone)).astimezone(dt.UTC)
    for minutes in range(-120, 60 * 9, 15):
        at = start + dt.timedelta(minutes=minutes)
        assert (quiet_until(at, quiet, zone) is not None) == by_the_wall(at, quiet, zone), (at, night)
        end = quiet_until(at, quiet, zone)
        assert end is None or (end > at and quiet_until(end, quiet, zone) is None)


def test_request_of_files():
    channels = Channels(caps=(Cap(days=7, most=3),), quiet=NIGHT, channels={"email": {"namespace": "email", "disturbs": False}, "push": {"namespace": "push_token", "caps": ({"days": 1, "most": 1},)}})
    purposes = Purposes(purposes=PURPOSES.purposes | {"service": Purpose(channels={"email": {"bases": ("contract",)}}, capped=False)})
    common = {"at": AT, "scenario": SCENARIO, "purposes": purposes, "channels": channels}
    push = Request.of(purpose="newsletter", channel="push", **common)
    assert (push.caps, push.channel_caps, push.quiet) == ((Cap(days=7, most=3),), (Cap(days=1, most=1),), NIGHT)
    assert Request.of(purpose="newsletter", channel="email", **common).quiet is None
    service = Request.of(purpose="service", channel="email", **common)
    assert (service.caps, service.quiet, service.rule.bases) == ((), None, ("contract",))


def test_scenario_of_a_file():
    policy = Policy(purpose="newsletter", channels=("email",), approval=Approval(role="crm_manager", reason="r", legitimate_interest=True, attributes=("gender",)))
    assert not Scenario.of("s", policy).legitimate_interest, "only legal or the owner can allow it"
    assert Scenario.of("s", policy, lineage=["gender", "postcode"]).forbidden == ("gender",)
    legal = Policy(purpose="newsletter", approval=Approval(role="legal", reason="r", legitimate_interest=True, attributes=("gender",)))
    assert Scenario.of("s", legal, lineage=["gender"]).forbidden == ()
    assert Scenario.of("s", legal).legitimate_interest
    changed = Policy(purpose="newsletter", similar_goods=True, approval=Approval(role="legal", reason="r", version=legal.version))
    assert not Scenario.of("s", changed).approved, "it was changed after the approval"
    assert not Scenario.of("s", Policy(purpose="newsletter")).approved


def test_a_crowd_of_many_is_fast():
    size = 300_000
    draw = np.random.default_rng(2)
    crowd = pa.table(
        {
            "person_key": np.arange(size), "consent_status": pa.array(np.array(["given", "withdrawn", "missing"])[draw.integers(0, 3, size)]), "consent_basis": pa.array(["consent"] * size),
            "consent_until": pa.array(draw.integers(0, 2 * 10**9, size) * 1_000_000).cast(pa.timestamp("us", tz="UTC")), "messages_30d": draw.integers(0, 50, size),
            "creative": pa.array(["approved"] * size), "address": pa.array(["deliverable"] * size),
        }
    )  # fmt: skip
    began = time.perf_counter()
    answers = decide_many(REQUEST, crowd)
    assert time.perf_counter() - began < 5
    assert set(answers["reason"].unique().to_pylist()) == {"consent_given", "consent_withdrawn", "consent_missing", "consent_expired", "cap_reached"}
