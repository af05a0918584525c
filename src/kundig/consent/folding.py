"""The fold of one person's consent records, as a pure function, and what it says of a moment.

How a history is folded, per purpose × channel:

- A record takes effect when it occurred, but never later than it was received: a clock that runs ahead delays no withdrawal.
- At one instant the stricter record has the last word; resent records and the order of arrival change nothing.
- An objection beats every basis at once, on every channel of its purpose (of every purpose, where its purpose is not declared).
  Only a later consent of the person lifts it, confirmed where double opt-in is required, and only on the channel it was given to.
- A withdrawal says no to every basis on its channel. Only a later consent of the person lifts it; a new order does not.
- Where double opt-in is required, a consent is pending until it is confirmed.
- A consent lapses at its own end, else by the purpose's rule.
- Unknown statuses count as a withdrawal; undeclared purposes and channels as missing.
- What a part of a person (an identifier or an earlier person) said before it was joined stands beside what the person said: the
  strictest holds, until the person is asked again. A record made after the joining speaks for all parts joined by then.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kundig.clock import micros
from kundig.config.law import ChannelRule, Purposes

SPOKEN = ("given", "confirmed", "customer", "contract", "legitimate_interest", "requested", "withdrawn", "objected")
"""Statuses a record may have, in the order in which records of one instant are applied: the stricter, the later."""

STANDINGS = ("given", "missing", "pending", "withdrawn", "objected")
"""Statuses a fold may have, the strictest last."""

_BASIS_OF = {"given": "consent", "confirmed": "consent", "requested": "consent", "customer": "existing_customer", "contract": "contract", "legitimate_interest": "legitimate_interest"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsentRecord:
    """One record of the log, as far as the fold reads it. `part` is the identifier or earlier person that it speaks for."""

    record_id: str
    purpose: str
    channel: str
    status: str
    occurred_at: dt.datetime
    received_at: dt.datetime
    basis: str | None = None
    until: dt.datetime | None = None
    wording: str | None = None
    part: int = 0

    @property
    def effective_at(self) -> dt.datetime:
        """When it takes effect."""
        return min(self.occurred_at, self.received_at)

    @property
    def spoken(self) -> str:
        """Its status in terms of the fold: a consent given on another basis is that basis' status, an unknown status a withdrawal."""
        if self.status not in SPOKEN:
            return "withdrawn"
        if self.status == "given" and self.basis in ("existing_customer", "contract", "legitimate_interest"):
            return {"existing_customer": "customer"}.get(self.basis, self.basis)
        return self.status


@dataclass(frozen=True, kw_only=True, slots=True)
class Consent:
    """One row of the fold's history: the standing of purpose × channel from `occurred_at` on."""

    purpose: str
    channel: str
    status: str
    basis: str | None
    occurred_at: dt.datetime
    received_at: dt.datetime
    until: dt.datetime | None
    seq: int
    wording: str | None
    record_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What holds of purpose × channel at one moment: `reason` is a code of `reasons`, `consent` the row that decides."""

    allowed: bool
    status: str
    basis: str | None
    until: dt.datetime | None
    reason: str
    consent: Consent | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Lane:
    """The state of one part for one purpose × channel."""

    status: str = "missing"
    basis: str | None = None
    until: dt.datetime | None = None
    confirmed: bool = False
    record: ConsentRecord | None = None

    def at(self, moment: dt.datetime) -> str:
        return "missing" if self.status == "given" and self.until is not None and self.until <= moment else self.status


def fold(
    records: Iterable[ConsentRecord], *, purposes: Purposes, at: dt.datetime, known_at: dt.datetime | None = None,
    joined: Mapping[int, dt.datetime] | None = None, only: Iterable[tuple[str, str]] | None = None,
) -> tuple[Consent, ...]:  # fmt: skip
    """The history of one person's consents up to `at`, as known at `known_at`: one row per change, by purpose, channel, moment.

    `joined` says from when a part belongs to the person; parts it does not name always did. `only` limits the fold to some
    purpose × channel pairs.

    Examples:
        >>> from kundig.config.law import ChannelRule, Purpose
        >>> law = Purposes(purposes={"newsletter": Purpose(channels={"email": ChannelRule(bases=("consent",), double_opt_in=True)})})
        >>> def said(record_id, status, hour):
        ...     moment = dt.datetime(2026, 3, 1, hour, tzinfo=dt.UTC)
        ...     return ConsentRecord(record_id=record_id, purpose="newsletter", channel="email", status=status, occurred_at=moment, received_at=moment)
        >>> history = fold([said("b", "confirmed", 10), said("c", "withdrawn", 12), said("a", "requested", 9)], purposes=law, at=dt.datetime(2026, 3, 2, tzinfo=dt.UTC))
        >>> [(row.occurred_at.hour, row.status) for row in history]
        [(9, 'pending'), (10, 'given'), (12, 'withdrawn')]
        >>> standing(history, purpose="newsletter", channel="email", at=dt.datetime(2026, 3, 1, 11, tzinfo=dt.UTC)).reason
        'consent_given'
    """
    known = at if known_at is None else known_at
    first: dict[str, ConsentRecord] = {}
    for record in records:
        if record.received_at <= known and record.effective_at <= at:
            kept = first.get(record.record_id)
            if kept is None or _identity(record) < _identity(kept):
                first[record.record_id] = record
    ordered = sorted(first.values(), key=turn)
    since = joined or {}
    rows: list[Consent] = []
    for purpose, channel in purposes.pairs() if only is None else sorted(set(only)):
        rule = purposes.rule(purpose, channel)
        if rule is None:
            continue
        spoken = [record for record in ordered if concerns(record, purpose, channel, purposes)]
        rows += _history(spoken, purpose, channel, rule, since)
    return tuple(rows)


def _identity(record: ConsentRecord) -> tuple[Any, ...]:
    return (record.received_at, turn(record), record.wording or "")


def turn(record: ConsentRecord) -> tuple[Any, ...]:
    """Order of application: by moment; at one moment the stricter status and the earlier end come last."""
    ends = -1 if record.until is None else 1
    lasting = 0 if record.until is None else -micros(record.until)
    return (record.effective_at, SPOKEN.index(record.spoken), ends, lasting, record.record_id, record.purpose, record.channel, record.status, record.part)


def concerns(record: ConsentRecord, purpose: str, channel: str, purposes: Purposes) -> bool:
    """Whether a record speaks of purpose × channel: an objection does on every channel, and on every purpose where its own is not declared."""
    if record.status == "objected":
        return record.purpose in (purpose, "*") or record.purpose not in purposes.purposes
    return record.purpose in (purpose, "*") and record.channel in (channel, "*")


def _history(records: Sequence[ConsentRecord], purpose: str, channel: str, rule: ChannelRule, joined: Mapping[int, dt.datetime]) -> list[Consent]:
    lanes: dict[int | None, _Lane] = {None: _Lane()}  # None: the person; besides, each part that spoke before it was joined
    rows: list[Consent] = []
    for record in records:
        moment = record.effective_at
        apart = record.part in joined and joined[record.part] > moment
        for part in [record.part] if apart else [one for one in lanes if one is None or joined[one] <= moment]:
            lanes[part] = _next(lanes.get(part, _Lane()), record, rule)
        now = _strictest(list(lanes.values()), moment, rule)
        row = _row(now, record, purpose, channel, len(rows), moment)
        if row is not None and (not rows or _content(row) != _content(rows[-1])):
            rows.append(row)
    return rows


def _content(row: Consent) -> tuple[Any, ...]:
    return (row.status, row.basis, row.until, row.record_id)


def _next(lane: _Lane, record: ConsentRecord, rule: ChannelRule) -> _Lane:
    """What a lane is after a record."""
    moment, spoken = record.effective_at, record.spoken
    status = lane.at(moment)
    if spoken == "objected":
        return _Lane(status="objected", record=record)
    if spoken == "withdrawn":
        return lane if status == "objected" else _Lane(status="withdrawn", record=record)
    basis = _BASIS_OF[spoken]
    if basis not in rule.bases:
        return lane
    if basis == "consent":
        sure = spoken == "confirmed" or (spoken == "given" and (not rule.double_opt_in or (status == "given" and lane.confirmed)))
        if sure:
            confirmed = spoken == "confirmed" or (status == "given" and lane.confirmed)
            return _Lane(status="given", basis="consent", until=_end(record, rule), confirmed=confirmed, record=record)
        return lane if status in ("given", "objected") else _Lane(status="pending", basis="consent", record=record)
    if status in ("objected", "withdrawn"):
        return lane
    if status == "given" and lane.basis is not None and rule.bases.index(lane.basis) < rule.bases.index(basis):
        return lane
    return _Lane(status="given", basis=basis, until=record.until, record=record)


def _end(record: ConsentRecord, rule: ChannelRule) -> dt.datetime | None:
    if record.until is not None or rule.expires_days is None:
        return record.until
    return record.effective_at + dt.timedelta(days=rule.expires_days)


def _strictest(lanes: Sequence[_Lane], moment: dt.datetime, rule: ChannelRule) -> _Lane:
    """The strictest of what the parts of a person said: no wider than any of them."""
    spoken = [(STANDINGS.index(lane.at(moment)), _rank(lane, rule), turn(lane.record), lane) for lane in lanes if lane.record is not None]
    if not spoken:
        return _Lane()
    worst = max(spoken, key=lambda one: one[:3])[3]
    if worst.at(moment) != "given":
        return replace(worst, status=worst.at(moment)) if worst.status == "given" else worst
    ends = [lane.until for *_, lane in spoken if lane.until is not None]
    return replace(worst, until=min(ends) if ends else None)


def _rank(lane: _Lane, rule: ChannelRule) -> int:
    return rule.bases.index(lane.basis) if lane.basis in rule.bases else -1


def _row(lane: _Lane, trigger: ConsentRecord, purpose: str, channel: str, seq: int, moment: dt.datetime) -> Consent | None:
    record = lane.record
    if record is None:
        return None
    gone = lane.at(moment) == "missing"
    return Consent(
        purpose=purpose, channel=channel, status="missing" if gone else lane.status, basis=None if gone or lane.status in ("withdrawn", "objected") else lane.basis,
        occurred_at=moment, received_at=max(record.received_at, trigger.received_at), until=None if gone or lane.status != "given" else lane.until, seq=seq,
        wording=record.wording, record_id=record.record_id,
    )  # fmt: skip


def standing(history: Iterable[Consent], *, purpose: str, channel: str, at: dt.datetime) -> Standing:
    """What a fold's history says of purpose × channel at a moment."""
    rows = [row for row in history if row.purpose == purpose and row.channel == channel and row.occurred_at <= at]
    if not rows:
        return Standing(allowed=False, status="missing", basis=None, until=None, reason="consent_missing", consent=None)
    row = max(rows, key=lambda one: (one.occurred_at, one.seq))
    lapsed = row.status == "missing" or (row.until is not None and row.until <= at)
    status = "missing" if lapsed else row.status
    allows = {"consent": "consent_given", "existing_customer": "existing_customer", "contract": "contract", "legitimate_interest": "legitimate_interest"}
    denies = {"missing": "consent_expired", "pending": "consent_pending", "withdrawn": "consent_withdrawn", "objected": "objected"}
    reason = allows[row.basis or "consent"] if status == "given" else denies[status]
    return Standing(allowed=status == "given", status=status, basis=row.basis if status == "given" else None, until=row.until, reason=reason, consent=row)
