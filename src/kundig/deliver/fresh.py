"""The gate asked again at the claim: the release's facts, refreshed by what the state has heard since, through the claim's own connection."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from kundig import consent, gate
from kundig.config.law import Purposes
from kundig.consent import suppression
from kundig.deliver.outbox import Answer, Row, split_claim
from kundig.store.state import State

WINDOWS = (("24h", 1), ("7d", 7), ("30d", 30))
"""Windows of the caps: the suffix of the gate's facts, and days of 24 hours."""

_COUNTED = tuple(f"{scope}_{window}" for scope in ("messages", "channel") for window, _ in WINDOWS)

_TYPES = {
    "erased": pa.bool_(), "suppressed": pa.bool_(), "restricted": pa.bool_(), "objected": pa.bool_(), "consent_until": pa.timestamp("us", "UTC"), "last_order_at": pa.timestamp("us", "UTC"),
    "contract_until": pa.timestamp("us", "UTC"), "double_opt_in": pa.bool_(), "offer_valid": pa.bool_(), "offer_stock": pa.int64(),
} | dict.fromkeys(_COUNTED, pa.int64())  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class People:
    """Who the persons of a delivery are; read when first asked, for most deliveries have nothing to ask.

    `identified` gives their identifiers now (person_key, identifier_key, namespace, value), `merged` which parts joined them when
    (person_key, other_key, occurred_at).
    """

    identified: Callable[[], pa.Table]
    merged: Callable[[], pa.Table]

    @cached_property
    def identifiers(self) -> pa.Table:
        """Their identifiers now."""
        return self.identified()

    @cached_property
    def merges(self) -> pa.Table:
        """The merges that joined parts to them."""
        return self.merged()

    def holders(self, keys: Iterable[int]) -> set[int]:
        """The persons who hold one of the identifiers."""
        wanted = sorted(set(keys))
        return set(_among(self.identifiers, "identifier_key", wanted)["person_key"].to_pylist()) if wanted else set()

    def held(self, persons: Iterable[int]) -> dict[int, list[tuple[int, str, str]]]:
        """The identifiers (key, namespace, value) of some of the persons."""
        found: dict[int, list[tuple[int, str, str]]] = {}
        mine = _among(self.identifiers, "person_key", persons)
        for person, *identifier in zip(*(mine[name].to_pylist() for name in ("person_key", "identifier_key", "namespace", "value")), strict=True):
            found.setdefault(person, []).append((identifier[0], identifier[1], identifier[2]))
        return found

    def joined(self, persons: Iterable[int]) -> dict[int, dict[int, dt.datetime]]:
        """Which parts joined some of the persons, and when."""
        found: dict[int, dict[int, dt.datetime]] = {}
        for row in _among(self.merges, "person_key", persons).to_pylist():
            found.setdefault(row["person_key"], {})[row["other_key"]] = row["occurred_at"]
        return found


def _among(rows: pa.Table, column: str, wanted: Iterable[int]) -> pa.Table:
    return rows.filter(pc.is_in(rows[column], pa.array(sorted(set(wanted)), pa.int64())))


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """What the facts rest on: the run whose release it is, its as-of moment, and the records of consent it had seen."""

    run_id: int
    moment: dt.datetime
    consents: pa.ChunkedArray


@dataclass(kw_only=True, slots=True)
class FreshGate:
    """Asks the gate about claimed messages.

    `facts` are rows of `gate_facts` with a unique `message_id`. Consents of persons about whom the log has heard something since
    the release are folded anew from the log; caps, suppressions and verdicts on creatives are read anew for all. What outside
    tools sent is known as of the release.
    """

    state: State
    requests: Mapping[tuple[str, str], gate.Request]
    facts: pa.Table
    creatives: Mapping[str, Row]
    people: People
    release: Release
    purposes: Purposes
    secret: bytes | None = None
    seen_seq: int = 0
    unsettled: frozenset[int] = frozenset()
    places: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        """Note where each message's facts stand."""
        self.places = {key: place for place, key in enumerate(self.facts["message_id"].to_pylist())}

    def prepare(self) -> None:
        """Note how far the log was read before the first claim, and which persons it has news of since the release."""
        keys = self.state.sql("consent_keys")
        with self.state.reading() as connection:
            said = self.state.stored("SELECT seq, record_id FROM consent_log ORDER BY seq", connection=connection)
            self.seen_seq = said[-1][0] if said else 0
            known = pc.is_in(pa.array([record for _, record in said], pa.string()), self.release.consents)
            news = [said[place][0] for place in pc.indices_nonzero(pc.invert(known)).to_pylist()]
            named: set[int] = set()
            for start in range(0, len(news), 10_000):
                named.update(connection.execute(sa.select(keys.c.identifier_key).where(keys.c.seq.in_(news[start : start + 10_000]))).scalars())
        self.unsettled = frozenset(self.people.holders(named))

    def __call__(self, connection: sa.Connection, rows: Sequence[Row], at: dt.datetime) -> list[Answer]:
        """The gate's answer for each message; a message without facts is refused."""
        answers = [Answer(allow=False, reason="rule_not_met")] * len(rows)
        asked = [number for number, row in enumerate(rows) if row["message_id"] in self.places and (row["audience"], row["channel"]) in self.requests]
        if not asked:
            return answers
        known = [rows[number] for number in asked]
        facts = self._refreshed(connection, known, at)
        groups: dict[tuple[str, str], list[int]] = {}
        for place, row in enumerate(known):
            groups.setdefault((row["audience"], row["channel"]), []).append(place)
        told: dict[tuple[bool, str], Answer] = {}
        for key, places in groups.items():
            decided = gate.decide_many(self.requests[key], facts if len(groups) == 1 else facts.take(pa.array(places)))
            for place, allow, reason in zip(places, decided["allow"].to_pylist(), decided["reason"].to_pylist(), strict=True):
                answers[asked[place]] = told.get((allow, reason)) or told.setdefault((allow, reason), Answer(allow=allow, reason=reason))
        return answers

    def _refreshed(self, connection: sa.Connection, rows: Sequence[Row], at: dt.datetime) -> pa.Table:
        """The facts of the messages, as of the claim, in their order."""
        persons = {row["person_key"] for row in rows}
        consents = self._consents(connection, persons, at)
        listed = self._suppressed(connection, persons)
        rejected = self._rejected(connection)
        found = self.facts.take(pa.array([self.places[row["message_id"]] for row in rows], pa.int64()))
        columns = {name: found[name] for name in gate.COLUMNS if name in found.column_names} | self._counted(found, self._heard(connection, persons, at), rows, at)
        none = pa.repeat(pa.scalar(False), len(rows))
        columns |= {"erased": none, "suppressed": none, "restricted": none, "objected": pc.fill_null(columns["objected"], False) if "objected" in columns else none}
        fresh: dict[str, dict[int, Any]] = {}
        for place, row in enumerate(rows):
            for name, value in consents.get((row["person_key"], row["purpose"], row["channel"]), {}).items():
                fresh.setdefault(name, {})[place] = value
            if why := listed.get(row["person_key"]):
                fresh.setdefault(why, {})[place] = True
            if row["creative_id"] in rejected:
                fresh.setdefault("creative", {})[place] = "rejected"
        size = len(rows)
        columns |= {name: _with(columns.get(name), values, size, _TYPES.get(name, pa.string())) for name, values in fresh.items()}
        return pa.table({"person_key": pa.array([row["person_key"] for row in rows], pa.int64())} | columns)

    def _consents(self, connection: sa.Connection, persons: set[int], at: dt.datetime) -> dict[tuple[int, str, str], dict[str, Any]]:
        """Consent facts, folded anew, of the persons the log has news of: before this delivery, or since it began."""
        log = self.state.sql("consent_log")
        named: set[int] = set()
        for strongest, others in connection.execute(sa.select(log.c.identifier_key, log.c.other_keys).where(log.c.seq > self.seen_seq)):
            named |= {strongest, *(others or ())}
        found: dict[tuple[int, str, str], dict[str, Any]] = {}
        spoken = persons & (self.unsettled | self.people.holders(named))
        if not spoken:
            return found
        held, joined = self.people.held(spoken), self.people.joined(spoken)
        for person in spoken:
            keys = [key for key, _, _ in held.get(person, ())]
            records = [record for said in consent.records_of(self.state, keys, connection=connection).values() for record in said]
            history = consent.fold(records, purposes=self.purposes, at=at, joined=joined.get(person))
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

    def _counted(self, facts: pa.Table, heard: Mapping[int, Sequence[tuple[dt.datetime, str, bool]]], rows: Sequence[Row], at: dt.datetime) -> dict[str, pa.Array]:
        """Messages per window now: what outside tools sent as of the release, and our own as of the claim."""
        zeros = pa.repeat(pa.scalar(0, pa.int64()), len(rows))
        counted = {name: pc.fill_null(facts[name].cast(pa.int64()), 0).to_numpy().copy() if name in facts.column_names else zeros.to_numpy().copy() for name in _COUNTED}
        for place, row in enumerate(rows):
            ours = heard.get(row["person_key"])
            for scope, mine in (("messages", ours), ("channel", [one for one in ours if one[1] == row["channel"]])) if ours else ():
                for window, days in WINDOWS:
                    span = dt.timedelta(days=days)
                    then = sum(before and moment > self.release.moment - span for moment, _, before in mine)
                    now = sum(moment > at - span for moment, _, _ in mine)
                    counted[f"{scope}_{window}"][place] = max(0, counted[f"{scope}_{window}"][place] - then) + now
        return {name: pa.array(values.clip(0)) for name, values in counted.items()}

    def _suppressed(self, connection: sa.Connection, persons: set[int]) -> dict[int, str]:
        table = self.state.sql("suppressions")
        listed = {row.digest: row.reason for row in connection.execute(sa.select(table.c.digest, table.c.reason))}
        if not listed:
            return {}
        if self.secret is None:
            return dict.fromkeys(persons, "suppressed")
        named = ((person, namespace, value) for person, held in self.people.held(persons).items() for _, namespace, value in held)
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


def _with(column: pa.ChunkedArray | None, values: Mapping[int, Any], size: int, kind: pa.DataType) -> pa.Array:
    """The column with some values put in their places."""
    held = [None] * size if column is None else column.to_pylist()
    for place, value in values.items():
        held[place] = value
    return pa.array(held, kind)
