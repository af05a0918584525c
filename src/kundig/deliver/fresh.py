"""The gate asked again at the claim: the release's facts, refreshed by what the state has heard since, through the claim's own connection."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from kundig import consent, gate
from kundig.config.law import Purposes
from kundig.consent import suppression
from kundig.deliver.outbox import Answer, Row, split_claim
from kundig.store.state import State

WINDOWS = (("24h", 1), ("7d", 7), ("30d", 30))
"""Windows of the caps: the suffix of the gate's facts, and days of 24 hours."""

_TYPES = {
    "erased": pa.bool_(), "suppressed": pa.bool_(), "objected": pa.bool_(), "consent_until": pa.timestamp("us", "UTC"), "last_order_at": pa.timestamp("us", "UTC"),
    "contract_until": pa.timestamp("us", "UTC"), "offer_valid": pa.bool_(), "offer_stock": pa.int64(),
} | {f"{scope}_{window}": pa.int64() for scope in ("messages", "channel") for window, _ in WINDOWS}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class People:
    """Who the persons of a delivery are: their identifiers now (key, namespace, value), and which parts joined them when."""

    identifiers: Mapping[int, Sequence[tuple[int, str, str]]]
    joined: Mapping[int, Mapping[int, dt.datetime]] = field(default_factory=dict)

    def holders(self, keys: Iterable[int]) -> set[int]:
        """The persons who hold one of the identifiers."""
        wanted = set(keys)
        return {person for person, held in self.identifiers.items() if any(key in wanted for key, _, _ in held)} if wanted else set()


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """What the facts rest on: the run whose release it is, its as-of moment, and the records of consent it had seen."""

    run_id: int
    moment: dt.datetime
    consents: frozenset[str]


@dataclass(kw_only=True, slots=True)
class FreshGate:
    """Asks the gate about claimed messages.

    `facts` are rows of `gate_facts` by message id. Consents of persons about whom the log has heard something since the release
    are folded anew from the log; caps, suppressions and verdicts on creatives are read anew for all. What outside tools sent is
    known as of the release.
    """

    state: State
    requests: Mapping[tuple[str, str], gate.Request]
    facts: Mapping[str, Row]
    creatives: Mapping[str, Row]
    people: People
    release: Release
    purposes: Purposes
    secret: bytes | None = None
    seen_seq: int = 0
    unsettled: frozenset[int] = frozenset()

    def prepare(self) -> None:
        """Note how far the log was read before the first claim, and which persons it has news of since the release."""
        log, keys = self.state.sql("consent_log"), self.state.sql("consent_keys")
        with self.state.reading() as connection:
            self.seen_seq = connection.execute(sa.select(sa.func.coalesce(sa.func.max(log.c.seq), 0))).scalar_one()
            news = [seq for seq, record in connection.execute(sa.select(log.c.seq, log.c.record_id)) if record not in self.release.consents]
            named: set[int] = set()
            for start in range(0, len(news), 10_000):
                named.update(connection.execute(sa.select(keys.c.identifier_key).where(keys.c.seq.in_(news[start : start + 10_000]))).scalars())
        self.unsettled = frozenset(self.people.holders(named))

    def __call__(self, connection: sa.Connection, rows: Sequence[Row], at: dt.datetime) -> list[Answer]:
        """The gate's answer for each message; a message without facts is refused."""
        persons = {row["person_key"] for row in rows}
        consents = self._consents(connection, persons, at)
        heard = self._heard(connection, persons, at)
        listed = self._suppressed(connection, persons)
        rejected = self._rejected(connection)
        answers: dict[str, Answer] = {}
        groups: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            known = self.facts.get(row["message_id"])
            if known is None or (row["audience"], row["channel"]) not in self.requests:
                answers[row["message_id"]] = Answer(allow=False, reason="rule_not_met")
                continue
            facts = {name: known.get(name) for name in gate.COLUMNS if name in known}
            facts |= consents.get((row["person_key"], row["purpose"], row["channel"]), {}) | self._counted(known, heard.get(row["person_key"], []), row["channel"], at)
            why = listed.get(row["person_key"])
            facts |= {"erased": why == "erased", "suppressed": why == "suppressed", "objected": bool(facts.get("objected")) or why == "objected"}
            if row["creative_id"] in rejected:
                facts["creative"] = "rejected"
            groups.setdefault((row["audience"], row["channel"]), []).append({"message_id": row["message_id"], "person_key": row["person_key"]} | facts)
        for key, asked in groups.items():
            names = ["person_key", *[name for name in gate.COLUMNS if name in asked[0]]]
            table = pa.table({name: pa.array([fact[name] for fact in asked], _TYPES.get(name, pa.int64() if name == "person_key" else pa.string())) for name in names})
            told = gate.decide_many(self.requests[key], table)
            for fact, allow, reason in zip(asked, told["allow"].to_pylist(), told["reason"].to_pylist(), strict=True):
                answers[fact["message_id"]] = Answer(allow=allow, reason=reason)
        return [answers[row["message_id"]] for row in rows]

    def _consents(self, connection: sa.Connection, persons: set[int], at: dt.datetime) -> dict[tuple[int, str, str], dict[str, Any]]:
        """Consent facts, folded anew, of the persons the log has news of: before this delivery, or since it began."""
        log = self.state.sql("consent_log")
        named: set[int] = set()
        for strongest, others in connection.execute(sa.select(log.c.identifier_key, log.c.other_keys).where(log.c.seq > self.seen_seq)):
            named |= {strongest, *(others or ())}
        found: dict[tuple[int, str, str], dict[str, Any]] = {}
        for person in persons & (self.unsettled | self.people.holders(named)):
            keys = [key for key, _, _ in self.people.identifiers.get(person, ())]
            records = [record for said in consent.records_of(self.state, keys, connection=connection).values() for record in said]
            history = consent.fold(records, purposes=self.purposes, at=at, joined=self.people.joined.get(person))
            for purpose, rules in self.purposes.purposes.items():
                standing = {channel: consent.standing(history, purpose=purpose, channel=channel, at=at) for channel in rules.channels}
                for channel, one in standing.items():
                    row = one.consent
                    found[person, purpose, channel] = {
                        "objected": one.status == "objected", "consent_status": row.status if row else "missing", "consent_basis": row.basis if row else None, "consent_until": row.until if row else None,
                    }  # fmt: skip
        return found

    def _heard(self, connection: sa.Connection, persons: set[int], at: dt.datetime) -> dict[int, list[tuple[dt.datetime, str, bool]]]:
        """Our own messages of the longest window: moment, channel, and whether the release's contact pressure counts it already."""
        caps, messages = self.state.sql("caps"), self.state.sql("messages")
        longest = min(at, self.release.moment) - dt.timedelta(days=WINDOWS[-1][1])
        joined = sa.select(caps.c.person_key, caps.c.channel, caps.c.at, messages.c.claim).join(messages, messages.c.message_id == caps.c.message_id, isouter=True)
        found: dict[int, list[tuple[dt.datetime, str, bool]]] = {}
        wanted = sorted(persons)
        for start in range(0, len(wanted), 5_000):
            for row in connection.execute(joined.where(caps.c.person_key.in_(wanted[start : start + 5_000]), caps.c.at > longest)):
                before = row.at <= self.release.moment and (row.claim is None or split_claim(row.claim)[0] < self.release.run_id)
                found.setdefault(row.person_key, []).append((row.at, row.channel, before))
        return found

    def _counted(self, known: Row, heard: Sequence[tuple[dt.datetime, str, bool]], channel: str, at: dt.datetime) -> dict[str, int]:
        """Messages per window now: what outside tools sent as of the release, and our own as of the claim."""
        counted: dict[str, int] = {}
        for scope, mine in (("messages", list(heard)), ("channel", [one for one in heard if one[1] == channel])):
            for window, days in WINDOWS:
                span = dt.timedelta(days=days)
                then = sum(before and moment > self.release.moment - span for moment, _, before in mine)
                now = sum(moment > at - span for moment, _, _ in mine)
                counted[f"{scope}_{window}"] = max(0, (known.get(f"{scope}_{window}") or 0) - then) + now
        return counted

    def _suppressed(self, connection: sa.Connection, persons: set[int]) -> dict[int, str]:
        table = self.state.sql("suppressions")
        listed = {row.digest: row.reason for row in connection.execute(sa.select(table.c.digest, table.c.reason))}
        if not listed:
            return {}
        if self.secret is None:
            return dict.fromkeys(persons, "suppressed")
        named = ((person, namespace, value) for person in persons for _, namespace, value in self.people.identifiers.get(person, ()))
        return suppression.found(named, listed, secret=self.secret)

    def _rejected(self, connection: sa.Connection) -> set[str]:
        """Creatives whose newest verdict rejects exactly what they are made from."""
        table = self.state.sql("approvals")
        order = (table.c.decided_at, table.c.approval_id)
        newest = {row.object_id: row for row in connection.execute(sa.select(table).where(table.c.object_kind == "creative").order_by(*order))}
        found = set()
        for creative_id, row in self.creatives.items():
            verdict = newest.get("/".join((row["creative"], row["segment_id"], row["channel"], row["locale"], row["variant"])))
            if verdict is not None and verdict.verdict == "rejected" and verdict.version == row["made_from"]:
                found.add(creative_id)
        return found
