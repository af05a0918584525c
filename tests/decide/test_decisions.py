"""Decisions: complete, equal to the gate asked one by one, one channel per person, limits from the lowest rank up, funnels that add up."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter

import pytest
from tests.decide.world import AS_OF, CHANNELS, DAY, POLICY, PURPOSES, World, audience

from kundig import gate, reasons, rules
from kundig.decide.funnel import GATES, funnel, lines
from kundig.decide.policy import requests
from kundig.errors import PolicyError


@pytest.fixture(autouse=True)
def plain_schema(monkeypatch):
    """Rules over a schema of no workspace: what is tested here is what follows the rule."""
    schema = rules.RuleSchema.of(events={"order_completed": {}}, traits={"gender": "text", "city": "text"})
    monkeypatch.setitem(rules.__dict__, "schema_of", lambda config: schema)


@pytest.fixture
def world():
    return World()


def test_every_candidate_has_one_row_per_channel_with_a_known_reason(world):
    for key in range(1, 8):
        world.person(key, consents=("email",) if key % 2 else ())
    decided = world.decisions().to_pylist()
    assert Counter((row["person_key"], row["channel"]) for row in decided) == dict.fromkeys([(key, channel) for key in range(1, 8) for channel in ("email", "push")], 1)
    for row in decided:
        reasons.sentence(row["reason"], "de", **({"purpose": "newsletter", "channel": row["channel"]} | json.loads(row["evidence"])))
        assert row["policy_version"] == POLICY.version
        assert row["decided_at"] == AS_OF


def test_one_channel_by_the_order_of_preference(world):
    world.person(1)
    world.person(2, consents=("push",))
    world.person(3, consents=())
    found = {(row["person_key"], row["channel"]): (row["allow"], row["reason"]) for row in world.decisions().to_pylist()}
    assert found == {
        (1, "email"): (True, "consent_given"), (1, "push"): (False, "other_channel"), (2, "email"): (False, "consent_missing"), (2, "push"): (True, "consent_given"),
        (3, "email"): (False, "consent_missing"), (3, "push"): (False, "consent_missing"),
    }  # fmt: skip
    world.audiences["win_back"] = audience(channels=["push", "email"])
    found = {(row["person_key"], row["channel"]): row["allow"] for row in world.decisions().to_pylist()}
    assert found[1, "push"]
    assert not found[1, "email"]


def test_each_gate_speaks(world):
    far = AS_OF - 800 * DAY
    world.person(1, status="withdrawn")
    world.person(2, until=AS_OF)
    world.person(3)
    for key in (3, 12):  # an objection closes every channel; the second of them asks for e-mail again
        for channel in ("email", "push"):
            world.consent(key, channel, status="objected", at=AS_OF - DAY, seq=1)
    world.person(12)
    world.consent(12, "email", at=AS_OF - DAY / 2, seq=2)
    world.person(4, status="pending")
    world.person(5, segment=None)
    world.person(6, email=False)
    world.person(7, email="no address")
    world.person(8)
    world.tables["contact_pressure"] += [{"person_key": 8, "channel": channel, "messages_1": 0, "messages_7": 3, "messages_30": 3} for channel in ("*", "push")]
    world.person(9, basis="existing_customer", consents=("email",))
    world.person(10, basis="existing_customer", consents=("email",))
    world.tables["orders"] += [
        {"identifier_key": 91, "occurred_at": AS_OF - DAY, "received_at": AS_OF - DAY, "status": "completed"}, {"identifier_key": 101, "occurred_at": far, "received_at": far, "status": "completed"},
        {"identifier_key": 101, "occurred_at": AS_OF - DAY, "received_at": AS_OF - DAY, "status": "cancelled"},
    ]  # fmt: skip
    world.person(11)
    world.tables["campaign_messages"] += [
        {"message_id": "a", "identifier_key": 111, "channel": "email", "outcome": "delivered", "occurred_at": AS_OF - 3 * DAY}, {"message_id": "b", "identifier_key": 111, "channel": "email", "outcome": "bounced", "occurred_at": AS_OF - 2 * DAY},
    ]  # fmt: skip
    expected = {
        1: "consent_withdrawn", 2: "consent_expired", 3: "objected", 4: "consent_pending", 5: "creative_missing", 6: "address_missing", 7: "address_undeliverable", 8: "cap_reached",
        9: "existing_customer", 10: "customer_lapsed", 11: "address_undeliverable", 12: "consent_given",
    }  # fmt: skip
    rows = world.decisions().to_pylist()
    assert {row["person_key"]: row["reason"] for row in rows if row["channel"] == "email"} == expected
    assert {row["person_key"]: row["reason"] for row in rows if row["channel"] == "push" and row["person_key"] in (3, 12)} == {3: "objected", 12: "objected"}


@pytest.mark.parametrize("status, reason", [("draft", "creative_not_approved"), ("rejected", "creative_not_approved"), ("stale", "creative_stale"), ("approved", "consent_given")])
def test_a_creative_must_be_approved(world, status, reason):
    world.creative("email", "de", status)
    world.person(1)
    assert world.reason(1) == reason


def test_the_offer_of_the_cell_must_be_valid_and_in_stock(world):
    world.person(1)
    world.matrix = [{"segment_id": "s1", "offer_code": "TEN"}]
    assert world.reason(1) == "offer_invalid"
    for offer, reason in (
        ({"meaning": "x"}, "consent_given"), ({"meaning": "x", "active": False}, "offer_invalid"), ({"meaning": "x", "valid_until": "2026-11-02"}, "offer_invalid"),
        ({"meaning": "x", "valid_until": "2026-11-03"}, "consent_given"), ({"meaning": "x", "valid_from": "2026-11-04"}, "offer_invalid"), ({"meaning": "x", "product_id": "p1"}, "offer_out_of_stock"),
    ):  # fmt: skip
        world.offers = type(world.offers).model_validate({"offers": {"TEN": offer}})
        assert world.reason(1) == reason
    world.tables["stock_levels"] = [{"product_id": "p1", "place": "a", "quantity": 0}, {"product_id": "p1", "place": "b", "quantity": 2}]
    assert world.reason(1) == "consent_given"


def test_suppressed_identifiers_are_found_by_their_hmac_alone(world):
    from kundig.consent.suppression import digest, restricted_digest

    for key in (1, 2, 3, 4, 5):
        world.person(key)
    for key, reason in ((1, "erased"), (2, "suppressed"), (3, "objected")):
        world.tables["suppressions"].append({"digest": digest("email", f"p{key}@example.org", secret=b"key"), "reason": reason})
    for key in (1, 3, 5):
        world.tables["suppressions"].append({"digest": restricted_digest("email", f"p{key}@example.org", secret=b"key"), "reason": "restricted"})
    decided = world.decisions().to_pylist()
    assert {row["person_key"]: row["reason"] for row in decided if row["channel"] == "push"} == {1: "erased", 2: "suppressed", 3: "restricted", 4: "other_channel", 5: "restricted"}
    world.secrets = {"${KUNDIG_SUPPRESSION_KEY}": "another"}  # the positive control: with a wrong key nobody is found
    assert {row["reason"] for row in world.decisions().to_pylist()} == {"consent_given", "other_channel"}


def test_limits_cut_from_the_lowest_rank_and_say_so(world):
    for key in range(1, 7):
        world.person(key, priority=float(key % 4), value=key)
    world.audiences["win_back"] = audience(size=4, budget={"amount": "0.03"})
    decided = world.decisions()
    told = {row["person_key"]: (row["reason"], json.loads(row["evidence"])) for row in decided.to_pylist() if row["channel"] == "email"}
    assert [told[key][0] for key in (3, 6, 2)] == ["consent_given"] * 3
    assert told[5] == ("budget_spent", {"budget": "win_back", "rank": 4})
    assert told[1] == ("below_limit", {"rank": 5, "most": 4})
    assert told[4] == ("below_limit", {"rank": 6, "most": 4})
    members = sorted(world.members(decided).to_pylist(), key=lambda row: row["rank"])
    assert [(row["person_key"], row["rank"], row["channel"]) for row in members] == [(3, 1, "email"), (6, 2, "email"), (2, 3, "email")]


def test_protected_attributes_need_their_approver(world):
    world.person(1)
    world.audiences["win_back"] = audience(rule={"trait": "gender", "is": "f"})
    assert world.reason(1) == "forbidden_attribute"
    world.audiences["win_back"] = audience(attributes=["gender"])
    assert world.reason(1) == "forbidden_attribute"
    pardon = {"role": "legal", "reason": "checked", "attributes": ["gender"]}
    world.policies["win_back"] = POLICY.model_validate(POLICY.model_dump(mode="json", by_alias=True) | {"approval": pardon})
    assert world.reason(1) == "consent_given"


def test_variants_share_the_persons(world):
    world.creative("email", "de", variant="b")
    for key in range(1, 401):
        world.person(key)
    shares = Counter(row["creative_id"] for row in world.facts().to_pylist() if row["channel"] == "email")
    assert set(shares) == {"win_back.s1.email.de.a", "win_back.s1.email.de.b"}
    assert min(shares.values()) > 150
    world.creative("email", "de", variant="b", status="draft")
    assert Counter(row["creative_id"] for row in world.facts().to_pylist() if row["channel"] == "email") == {"win_back.s1.email.de.a": 400}


def test_audiences_that_name_what_is_not_there_are_refused_at_once(world):
    world.audiences = {"a": audience(scenario="winback"), "b": audience(purpose="newsletters"), "c": audience(channels=["e_mail"])}
    world.person(1, audience="a")
    with pytest.raises(PolicyError) as refused:
        requests(world.audiences, {name: rules.parse({"everyone": True}, rules.schema_of(None)) for name in "abc"}, policies=world.policies, purposes=PURPOSES, channels=CHANNELS, at=AS_OF, zone="UTC")
    for part in ("did you mean 'win_back'?", "did you mean 'newsletter'?", "did you mean 'email'?"):
        assert part in str(refused.value)


def random_world(seed, persons=120):
    dice = random.Random(seed)
    world = World()
    world.audiences = {"win_back": audience(size=dice.choice([None, 10, 40])), "other": audience(channels=["push", "email"], ranking="value")}
    world.creative("push", "en", dice.choice(["approved", "stale"]))
    for key in range(1, persons + 1):
        for name in world.audiences:
            if dice.random() < 0.8:
                first = not any(row["person_key"] == key for row in world.tables["audience_candidates"])
                world.person(
                    key, audience=name, locale=dice.choice(["de", "en"]), segment=dice.choice(["s1", "s1", "s1", None]), priority=float(dice.randrange(4)), value=dice.randrange(3),
                    email=first and dice.random() < 0.9, push=first and dice.random() < 0.5, consents=(),
                )  # fmt: skip
        for channel in ("email", "push"):
            for seq in range(dice.randrange(3)):
                at = AS_OF - DAY * dice.randrange(1, 50)
                world.consent(key, channel, dice.choice(["given", "given", "given", "withdrawn", "pending", "objected"]), "consent", at, dice.choice([None, AS_OF + DAY, AS_OF - DAY / 2]), seq)
        if dice.random() < 0.4:
            world.tables["contact_pressure"].append({"person_key": key, "channel": "*", "messages_1": 0, "messages_7": dice.randrange(5), "messages_30": 4})
    return world


@pytest.mark.parametrize("seed", range(3))
def test_the_set_wise_way_equals_the_gate_asked_one_by_one(seed):
    world = random_world(seed)
    facts, decided = world.facts(), {}
    for row in world.decisions(facts).to_pylist():
        decided[row["audience"], row["person_key"], row["channel"]] = row
    assert len(decided) == facts.num_rows == 2 * len(world.tables["audience_candidates"])
    scenario = gate.Scenario.of("win_back", POLICY)
    allowed: dict = {}
    for row in facts.to_pylist():
        request = gate.Request.of(purpose="newsletter", channel=row["channel"], at=AS_OF, scenario=scenario, purposes=PURPOSES, channels=CHANNELS)
        answer = gate.decide(request, gate.Facts(**{name: row[name] for name in gate.COLUMNS if name in row}))
        told = decided[row["audience"], row["person_key"], row["channel"]]
        if answer.allow:
            allowed.setdefault((row["audience"], row["person_key"]), []).append((row["preference"], row["channel"]))
        else:
            assert (told["allow"], told["reason"]) == (False, answer.reason)
    for name, most in (("win_back", world.audiences["win_back"].size), ("other", None)):
        candidates = [row for row in world.tables["audience_candidates"] if row["audience"] == name and (name, row["person_key"]) in allowed]
        ranked = sorted(candidates, key=lambda row: (-row["priority"], -row["value"], row["person_key"]))
        for place, row in enumerate(ranked, 1):
            ways = sorted(allowed[name, row["person_key"]])
            told = decided[name, row["person_key"], ways[0][1]]
            assert (told["allow"], told["reason"]) == ((True, "consent_given") if most is None or place <= most else (False, "below_limit"))
            assert all(decided[name, row["person_key"], channel]["reason"] == "other_channel" for _, channel in ways[1:])


@pytest.mark.parametrize("seed", range(3))
def test_funnels_add_up(seed):
    world = random_world(seed)
    decided = world.decisions()
    members = Counter(row["audience"] for row in world.members(decided).to_pylist())
    table = funnel(decided)
    for name in world.audiences:
        steps = [row for row in table if row.audience == name]
        assert [row.gate for row in steps] == [gate_name for gate_name, _ in GATES]
        assert steps[0].before == sum(row["audience"] == name for row in world.tables["audience_candidates"])
        assert steps[-1].after == members[name]
        for one, other in itertools.pairwise(steps):
            assert one.after == other.before
        for row in steps:
            assert sum(count for _, count in row.reasons) == row.stopped
    assert lines(table)


def test_every_refusal_has_its_gate_in_the_funnel():
    listed = {code for _, codes in GATES for code in codes}
    assert set(reasons.codes("refusal")) - {"already_claimed", "rendering_failed"} <= listed
    assert len(listed) == sum(len(codes) for _, codes in GATES)


def test_no_audience_and_nobody_give_no_rows(world):
    assert world.decisions().num_rows == 0
    world.audiences = {}
    assert world.facts().num_rows == 0
    assert world.decisions().num_rows == 0
    assert funnel(world.decisions()) == []
