"""Consent records for others to read: valid JSON-LD that fetches nothing, every statement in it, and standings as the gate sees them."""

from __future__ import annotations

import datetime as dt
import io
import json

import pytest
from pyld import jsonld

from kundig import consent
from kundig.config.law import ChannelRule, Purpose, Purposes
from kundig.govern.consent_export import CONTEXT, Controller, documents, write

AT = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
LAW = Purposes(purposes={
    "newsletter": Purpose(meaning={"de": "Werbung", "en": "Advertising"}, wordings={"2025-01": {"de": "Ja", "en": "Yes"}}, channels={"email": ChannelRule(bases=("consent",), expires_days=365), "push": ChannelRule(bases=("consent",))}),
    "analytics": Purpose(channels={"web": ChannelRule(bases=("consent",))}),
})  # fmt: skip
CONTROLLER = Controller(name="Shop", website="https://www.example.org")
DPV = "https://w3id.org/dpv#"


def row(number: int, status: str, *, person: str = "p1", purpose: str = "newsletter", channel: str = "email", day: int = 1, **more: object) -> dict[str, object]:
    moment = dt.datetime(2026, 3, day, tzinfo=dt.UTC)
    held = {"basis": "consent" if status == "given" else None, "until": None, "wording": None, "wording_hash": None, "evidence": "form", "jurisdiction": "DE", "occurred_at": moment, "received_at": moment, "identifier_key": 7}
    return {"person_id": person, "record_id": f"r{number}", "source": "web", "purpose": purpose, "channel": channel, "status": status} | held | more


ROWS = [
    row(1, "given", wording="2025-01", wording_hash="ab"), row(2, "withdrawn", day=5), row(3, "given", channel="push", day=2), row(4, "given", purpose="analytics", channel="web", day=3),
    row(5, "objected", person="p2", purpose="*", channel="*", day=4), row(6, "given", person="p2", day=1), row(7, "customer", person="p3", basis="existing_customer"),
]  # fmt: skip


def made() -> dict[str, dict]:
    return {one["identifier"]: one for one in documents(ROWS, purposes=LAW, controller=CONTROLLER, at=AT)}


def nothing_is_fetched(url: str, _: object) -> None:
    pytest.fail(f"{url} was to be fetched")


def test_the_document_expands_by_itself_and_keeps_every_statement():
    file = io.StringIO()
    assert write(file, documents(ROWS, purposes=LAW, controller=CONTROLLER, at=AT)) == 4
    expanded = jsonld.expand(json.loads(file.getvalue()), {"documentLoader": nothing_is_fetched})
    assert len(expanded) == 4 and all(one["@type"] == [f"{DPV}ConsentRecord"] for one in expanded)
    events = [event[f"{DPV}hasIdentifier"][0]["@value"] for one in expanded for part in one["http://purl.org/dc/terms/hasPart"] for event in part["@list"]]
    assert sorted(set(events)) == ["r1", "r2", "r3", "r4", "r5", "r6", "r7"]
    terms = {key for one in expanded for key in one}
    assert {f"{DPV}hasDataSubject", f"{DPV}hasPurpose", f"{DPV}hasDataController", f"{DPV}hasConsentStatus", f"{DPV}hasJurisdiction"} <= terms


def test_the_check_sees_a_name_without_meaning():
    """The control: a name that the context does not know is lost on expansion, and a context elsewhere would be fetched."""
    lost = jsonld.expand({"@context": CONTEXT, "@type": "dpv:ConsentRecord", "nonsense": 1}, {"documentLoader": nothing_is_fetched})
    assert lost == [{"@type": [f"{DPV}ConsentRecord"]}]
    with pytest.raises(pytest.fail.Exception):
        jsonld.expand({"@context": "https://example.org/context", "name": 1}, {"documentLoader": nothing_is_fetched})


def test_every_name_of_a_record_has_a_meaning():
    def names(node: object) -> set[str]:
        if isinstance(node, dict):
            return {key for key in node if not key.startswith("@")} | {name for value in node.values() for name in names(value)}
        return {name for value in node for name in names(value)} if isinstance(node, list) else set()

    assert names(list(made().values())) <= set(CONTEXT)


def test_standings_are_those_of_the_fold():
    found = made()
    told = {(name, one["channel"]): one["@type"] for name, record in found.items() for one in record["status"]}
    assert told == {
        ("p1:newsletter", "email"): "dpv:ConsentWithdrawn", ("p1:newsletter", "push"): "dpv:ConsentGiven", ("p1:analytics", "web"): "dpv:ConsentGiven",
        ("p2:newsletter", "email"): "dpv:ConsentRefused", ("p2:newsletter", "push"): "dpv:ConsentRefused", ("p3:newsletter", "email"): "dpv:ConsentUnknown", ("p3:newsletter", "push"): "dpv:ConsentUnknown",
    }  # fmt: skip
    records = [consent.ConsentRecord(record_id=one["record_id"], purpose=one["purpose"], channel=one["channel"], status=one["status"], occurred_at=one["occurred_at"], received_at=one["received_at"]) for one in ROWS[:4]]
    assert consent.standing(consent.fold(records, purposes=LAW, at=AT), purpose="newsletter", channel="email", at=AT).reason == "consent_withdrawn"


def test_a_consent_that_lapsed_says_so():
    late = dt.datetime(2028, 1, 1, tzinfo=dt.UTC)
    (record,) = documents([row(1, "given")], purposes=LAW, controller=CONTROLLER, at=late)
    assert record["status"][0]["@type"] == "dpv:ConsentExpired" and record["status"][0]["validUntil"] == "2027-03-01T00:00:00Z"


def test_evidence_and_wording_are_kept():
    first, second = made()["p1:newsletter"]["events"][0], made()["p1:newsletter"]["events"][-1]
    assert first["notice"] == {"@type": "dpv:ConsentNotice", "version": "2025-01", "digest": "ab", "text": [{"@value": "Ja", "@language": "de"}, {"@value": "Yes", "@language": "en"}]}
    assert first["evidence"] == "form" and "notice" not in second and second["@type"] == "dpv:ConsentWithdrawn"
