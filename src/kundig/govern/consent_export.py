"""Consents for others to read: records after ISO/IEC TS 27560 as JSON-LD in the W3C's Data Privacy Vocabulary, and what lapses soon.

Source: the consent records of the W3C Data Privacy Vocabularies and Controls Community Group; the text of ISO/IEC TS 27560:2023 itself was
not read. One record a person and purpose, one event a statement in the log, in order.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TextIO

from kundig import consent
from kundig.config.law import Purposes
from kundig.consent.folding import ConsentRecord

VERSION = "27560:2023"

EVERY = "*"
"""The purpose of a statement about all of them; it stands in the record of each."""

CONTEXT: dict[str, Any] = {
    "dpv": "https://w3id.org/dpv#", "dct": "http://purl.org/dc/terms/", "xsd": "http://www.w3.org/2001/XMLSchema#", "date": {"@id": "dct:date", "@type": "xsd:dateTime"},
    "validUntil": {"@id": "dct:valid", "@type": "xsd:dateTime"}, "received": {"@id": "dct:dateAccepted", "@type": "xsd:dateTime"}, "schemaVersion": "dct:hasVersion", "events": {"@id": "dct:hasPart", "@container": "@list"},
    "identifier": "dpv:hasIdentifier", "dataSubject": "dpv:hasDataSubject", "purpose": "dpv:hasPurpose", "controller": "dpv:hasDataController", "status": "dpv:hasConsentStatus",
    "legalBasis": {"@id": "dpv:hasLegalBasis", "@type": "@id"}, "jurisdiction": "dpv:hasJurisdiction", "notice": "dpv:hasNotice", "title": "dct:title", "channel": "dct:medium", "source": "dct:source",
    "evidence": "dct:provenance", "digest": "dct:identifier", "version": "dct:hasVersion", "name": "dpv:hasName", "text": "dct:description", "language": "dct:language",
}  # fmt: skip
"""Names of the documents, each an IRI of the vocabulary; nothing has to be fetched to read them."""

_EVENTS = {
    "given": "dpv:ConsentGiven", "confirmed": "dpv:ConsentGiven", "requested": "dpv:ConsentRequested", "withdrawn": "dpv:ConsentWithdrawn", "objected": "dpv:ConsentRefused",
    "customer": "dpv:LegitimateInterest", "contract": "dpv:Contract", "legitimate_interest": "dpv:LegitimateInterest",
}  # fmt: skip
_STANDINGS = {"given": "dpv:ConsentGiven", "pending": "dpv:ConsentRequested", "withdrawn": "dpv:ConsentWithdrawn", "objected": "dpv:ConsentRefused", "missing": "dpv:ConsentUnknown"}
_BASES = {"consent": "dpv:Consent", "existing_customer": "dpv:LegitimateInterest", "legitimate_interest": "dpv:LegitimateInterest", "contract": "dpv:Contract"}

COLUMNS = ("person_id", "record_id", "source", "purpose", "channel", "status", "basis", "until", "wording", "wording_hash", "evidence", "jurisdiction", "occurred_at", "received_at", "identifier_key")
"""What a row that is exported must have."""

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Controller:
    """Who answers for the data."""

    name: str
    website: str


def documents(rows: Iterable[Row], *, purposes: Purposes, controller: Controller, at: dt.datetime) -> Iterator[dict[str, Any]]:
    """One record a person and purpose.

    Args:
        rows: Statements of the log with `COLUMNS`, in the order of person_id.
        purposes: What each purpose means and needs.
        controller: Who answers for the data.
        at: The moment whose standing is told.
    """
    for person, all_said in groupby(rows, key=lambda row: row["person_id"]):
        said = sorted(all_said, key=lambda row: (row["occurred_at"], row["received_at"], row["record_id"]))
        for name in sorted({row["purpose"] for row in said} - {EVERY}) or [EVERY]:
            yield _document(person, name, [row for row in said if row["purpose"] in (name, EVERY)], purposes, controller, at)


def _document(person: str, name: str, said: list[Row], purposes: Purposes, controller: Controller, at: dt.datetime) -> dict[str, Any]:
    purpose = purposes.purposes.get(name)
    fold = [
        ConsentRecord(
            record_id=row["record_id"], purpose=name, channel=row["channel"], status=row["status"], occurred_at=row["occurred_at"], received_at=row["received_at"], basis=row["basis"], until=row["until"],
            wording=row["wording"], part=row["identifier_key"],
        )
        for row in said
    ]  # fmt: skip
    history = consent.fold(fold, purposes=purposes, at=at)
    channels = [] if purpose is None else list(purpose.channels)
    standings = [(channel, consent.standing(history, purpose=name, channel=channel, at=at)) for channel in channels]
    return _without({
        "@id": f"urn:kundig:consent:{person}:{name}", "@type": "dpv:ConsentRecord", "schemaVersion": VERSION, "identifier": f"{person}:{name}", "dataSubject": person,
        "controller": {"@type": "dpv:DataController", "name": controller.name, "@id": controller.website},
        "purpose": {"@type": "dpv:Purpose", "identifier": name, "title": [{"@value": text, "@language": language} for language, text in sorted(purpose.meaning.items())] if purpose else name},
        "jurisdiction": next((row["jurisdiction"] for row in reversed(said) if row["jurisdiction"]), None if purpose is None else purpose.jurisdiction),
        "status": [_without({"@type": "dpv:ConsentExpired" if one.reason == "consent_expired" else _STANDINGS[one.status], "channel": channel, "validUntil": _moment(one.until)}) for channel, one in standings],
        "events": [_event(row, purposes) for row in said],
    })  # fmt: skip


def _event(row: Row, purposes: Purposes) -> dict[str, Any]:
    told = {
        "@type": _EVENTS.get(row["status"], "dpv:ConsentWithdrawn"), "identifier": row["record_id"], "date": _moment(row["occurred_at"]), "received": _moment(row["received_at"]), "channel": row["channel"],
        "legalBasis": _BASES.get(row["basis"] or ""), "validUntil": _moment(row["until"]), "source": row["source"], "evidence": row["evidence"],
    }  # fmt: skip
    if row["wording"]:
        purpose = purposes.purposes.get(row["purpose"])
        texts = {} if purpose is None else purpose.wordings.get(row["wording"], {})
        notice = [{"@value": text, "@language": language} for language, text in sorted(texts.items())]
        told["notice"] = _without({"@type": "dpv:ConsentNotice", "version": row["wording"], "digest": row["wording_hash"], "text": notice})
    return _without(told)


def _without(told: Mapping[str, Any]) -> dict[str, Any]:
    """What is told, without what is not."""
    return {key: value for key, value in told.items() if value not in (None, [], "")}


def _moment(value: dt.datetime | None) -> str | None:
    return None if value is None else value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def write(file: TextIO, found: Iterable[Mapping[str, Any]]) -> int:
    """Write records as one JSON-LD document, one record a line; gives how many."""
    file.write('{"@context": ' + json.dumps(CONTEXT) + ', "@graph": [')
    count = 0
    for count, document in enumerate(found, 1):
        file.write(("," if count > 1 else "") + "\n" + json.dumps(document, ensure_ascii=False))
    file.write("\n]}\n")
    return count


def statements_sql(person_id: str | None = None) -> str:
    """Query of the log's copy in the lake with the person whom each statement concerns by now, for `documents`."""
    chosen = "" if person_id is None else f"WHERE p.person_id = '{person_id.replace(chr(39), chr(39) * 2)}'"
    rest = ", ".join(f"r.{name}" for name in COLUMNS[1:])
    return f"""
        SELECT DISTINCT p.person_id, {rest} FROM consent_records r JOIN identities d ON d.valid_until IS NULL AND (d.identifier_key = r.identifier_key OR list_contains(r.other_keys, d.identifier_key))
        JOIN profiles p ON p.person_key = d.person_key {chosen} ORDER BY p.person_id, r.purpose"""


def expiring_sql(*, at: dt.datetime, days: int) -> str:
    """Query of consents that hold at a moment and lapse within so many days, the soonest first: person_id, purpose, channel, until."""
    moment, end = (f"TIMESTAMPTZ '{value.astimezone(dt.UTC).isoformat(sep=' ')}'" for value in (at, at + dt.timedelta(days=days)))
    return f"""
        SELECT p.person_id, c.purpose, c.channel, c.until FROM (
            SELECT * FROM consents WHERE occurred_at <= {moment}
            QUALIFY row_number() OVER (PARTITION BY person_key, purpose, channel ORDER BY occurred_at DESC, received_at DESC, seq DESC) = 1
        ) c JOIN profiles p USING (person_key) WHERE c.status = 'given' AND c.until > {moment} AND c.until <= {end} ORDER BY c.until, p.person_id, c.purpose, c.channel"""


__all__ = ["COLUMNS", "CONTEXT", "Controller", "documents", "expiring_sql", "statements_sql", "write"]
