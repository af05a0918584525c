"""Was this allowed at 10:04 on that day, and why: answered for people of the made-up shop, in both languages, from the log alone."""

from __future__ import annotations

import datetime as dt
import json

import pytest

import kundig as kd
from kundig import consent
from kundig.collect.identifiers import identifier_key
from kundig.consent import suppression
from kundig.errors import ConfigError, IdentityError
from kundig.legal import allowed_at

ASKED = {"purpose": "newsletter", "channel": "email"}


@pytest.fixture(name="shop")
def _shop(copy):
    with (copy / "secrets.toml").open("a", encoding="utf-8") as secrets:
        secrets.write('KUNDIG_SUPPRESSION_KEY = "a key of this test"\n')
    workspace = kd.open(copy)
    yield workspace
    workspace.state.close()
    workspace.lake.close()


def standing(workspace, status: str):
    sql = f"""SELECT p.person_id, c.occurred_at FROM consents c JOIN profiles p USING (person_key) WHERE c.purpose = 'newsletter' AND c.channel = 'email'
        QUALIFY row_number() OVER (PARTITION BY person_key ORDER BY c.occurred_at DESC, c.seq DESC) = 1 AND c.status = '{status}' ORDER BY 2 DESC, 1 LIMIT 1"""
    return workspace.rows(sql)[1][0]


def test_the_answer_names_the_record_and_its_proof_in_both_languages(shop):
    person, since = standing(shop, "given")
    asked = since + dt.timedelta(hours=1)
    german, english = (allowed_at(shop, person, asked, **ASKED, known_at=asked + dt.timedelta(days=30), locale=locale)[0] for locale in ("de", "en"))
    assert german.allowed and english.allowed and "war erlaubt" in german.sentence and "was allowed" in english.sentence
    decisive = german.account.decisive
    for word in (decisive.record_id, decisive.source, f"SHA-256 {decisive.wording_hash[:16]}" if decisive.wording_hash else "bestätigt"):
        assert word in german.sentence
    before = allowed_at(shop, person, since - dt.timedelta(days=800), **ASKED, locale="en")[0]
    assert not before.allowed and "was not allowed" in before.sentence


def test_an_answer_agrees_with_the_release_for_everybody(shop):
    """The log asked person by person says what the fold of the run says of all."""
    at = shop.lake.release().moment
    rows = shop.rows(f"""SELECT p.person_id, c.status = 'given' AND (c.until IS NULL OR c.until > TIMESTAMPTZ '{at.isoformat()}') FROM consents c JOIN profiles p USING (person_key)
        WHERE c.purpose = 'newsletter' AND c.channel = 'email' QUALIFY row_number() OVER (PARTITION BY person_key ORDER BY c.occurred_at DESC, c.received_at DESC, c.seq DESC) = 1 ORDER BY 1 LIMIT 60""")[1]
    told = {person: allowed_at(shop, person, at, **ASKED)[0].allowed for person, _ in rows}
    assert len(set(told.values())) == 2, "both answers must occur, else this compares nothing"
    assert told == dict(rows)


def test_what_was_said_a_moment_ago_counts_without_a_run(shop):
    person, _ = standing(shop, "given")
    at = shop.lake.release().moment + dt.timedelta(days=1)
    key = shop.rows(f"SELECT d.identifier_key FROM identities d JOIN profiles p USING (person_key) WHERE p.person_id = '{person}' AND d.valid_until IS NULL AND NOT d.shared ORDER BY 1 LIMIT 1")[1][0][0]
    consent.append(shop.state, [{"record_id": "new", "source": "phone", "occurred_at": at, "received_at": at, "identifier_key": key, "other_keys": [], "purpose": "*", "channel": "*", "status": "objected", "evidence": "call 12"}])
    answers = allowed_at(shop, person, at, locale="de")
    assert len(answers) == len(shop.config.purposes.pairs()) and not any(one.allowed for one in answers)
    assert {one.account.reason for one in answers} == {"objected"} and "Nachweis: call 12" in answers[0].sentence
    assert allowed_at(shop, person, at - dt.timedelta(seconds=1), **ASKED)[0].account.reason != "objected"


def test_somebody_no_release_knows_is_answered_from_the_log(shop):
    at = dt.datetime(2031, 3, 3, 9, 4, tzinfo=dt.UTC)
    key = identifier_key("email", "new@example.org")
    consent.append(shop.state, [{"record_id": "n1", "source": "web", "occurred_at": at, "received_at": at, "identifier_key": key, "other_keys": [], "purpose": "newsletter", "channel": "push", "status": "given"}])
    assert allowed_at(shop, "New@Example.org ", at, purpose="newsletter", channel="push")[0].allowed
    with pytest.raises(IdentityError, match="nobody is known"):
        allowed_at(shop, "nobody@example.org", at)


def test_the_suppression_list_speaks_first(shop):
    person, since = standing(shop, "given")
    value = shop.rows(f"SELECT i.value FROM identities d JOIN identifiers i USING (identifier_key) JOIN profiles p USING (person_key) WHERE p.person_id = '{person}' AND i.namespace = 'email' AND d.valid_until IS NULL")[1][0][0]
    at = since + dt.timedelta(days=40)
    secret = shop.config.secret(suppression.SECRET).encode()
    with shop.state.transaction() as connection:
        connection.execute(shop.state.sql("suppressions").insert().values(digest=suppression.digest("email", value, secret=secret), reason="suppressed", at=at))
    late, early = (allowed_at(shop, person, moment, **ASKED, known_at=at, locale="en")[0] for moment in (at + dt.timedelta(seconds=1), at - dt.timedelta(seconds=1)))
    assert early.allowed and not early.suppressed
    assert not late.allowed and late.suppressed == "suppressed" and "suppression list" in late.sentence


def test_a_purpose_that_is_not_declared_is_refused_with_the_nearest_name(shop):
    with pytest.raises(ConfigError, match="there is no purpose 'newsletters'"):
        allowed_at(shop, "x", dt.datetime(2026, 1, 1, tzinfo=dt.UTC), purpose="newsletters")
    with pytest.raises(ConfigError, match="channel 'fax'"):
        allowed_at(shop, "x", dt.datetime(2026, 1, 1, tzinfo=dt.UTC), channel="fax")


def test_the_command_says_the_same(root, kundig):
    workspace = kd.open(root)
    person, since = standing(workspace, "given")
    when = (since + dt.timedelta(hours=1)).isoformat()
    done = kundig("consent", "at", person, when, "-w", root, "--purpose", "newsletter", "--channel", "email", "--known", "2035-01-01", "--language", "en")
    assert done.code == 0 and done.out.startswith("“newsletter” by e-mail was allowed: ") and "→ allowed" in done.out
    told = json.loads(kundig("consent", "at", person, when, "-w", root, "--json").out)
    assert {(one["account"]["purpose"], one["account"]["channel"]) for one in told} == set(workspace.config.purposes.pairs())
    assert kundig("consent", "at", person, "noon", "-w", root).code == 2
