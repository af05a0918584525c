"""Was this allowed at that moment, and why? Answered from the log alone: the standing, the record that decides, and all that was said until then."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from kundig.config.law import Purposes
from kundig.consent.folding import ConsentRecord, concerns, fold, standing, turn

if TYPE_CHECKING:
    from kundig.store.state import State


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """One record of the log as it stands there, and what it came to."""

    seq: int
    record_id: str
    source: str
    purpose: str
    channel: str
    status: str
    basis: str | None
    occurred_at: dt.datetime
    received_at: dt.datetime
    until: dt.datetime | None
    wording: str | None
    wording_hash: str | None
    evidence: str | None
    jurisdiction: str | None
    identifier_key: int
    then: str = ""
    """How purpose × channel stood once it and all of the same instant had taken effect; '' where it was not known yet."""
    decides: bool = False
    """The standing at the moment asked for rests on it."""
    text: str = ""
    """Whether the workspace still has the text that was shown: `same` (its hash is the one recorded), `other`, `gone`; '' where no text was recorded."""

    @property
    def effective_at(self) -> dt.datetime:
        """When it takes effect: when it was said, but never later than it was received."""
        return min(self.occurred_at, self.received_at)

    def record(self) -> ConsentRecord:
        """The record as the fold reads it."""
        return ConsentRecord(
            record_id=self.record_id, purpose=self.purpose, channel=self.channel, status=self.status, occurred_at=self.occurred_at, received_at=self.received_at,
            basis=self.basis, until=self.until, wording=self.wording, part=self.identifier_key,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """What the log says of one person, purpose and channel at a moment."""

    purpose: str
    channel: str
    at: dt.datetime
    known_at: dt.datetime
    """As the log stood at this moment: records that were received later are in `later`."""
    allowed: bool
    status: str
    basis: str | None
    until: dt.datetime | None
    """When it lapses, or lapsed."""
    reason: str
    """A code of `reasons`."""
    statements: tuple[Statement, ...]
    """What had been said and received by then, in the order in which it took effect."""
    later: tuple[Statement, ...]
    """What had taken effect by then, but was received only after `known_at`."""

    @property
    def decisive(self) -> Statement | None:
        """The record on which the standing rests; none where nothing was said."""
        return next((one for one in self.statements if one.decides), None)


def account(
    state: State, identifier_keys: Iterable[int], *, purposes: Purposes, purpose: str, channel: str, at: dt.datetime, known_at: dt.datetime | None = None,
    joined: Mapping[int, dt.datetime] | None = None,
) -> Account:  # fmt: skip
    """Whether the person with these identifiers might be addressed at a moment, and what that rests on.

    Without `known_at`, as it was known at that moment, which is what a sender could hold to; with it, as it is known since.
    `joined` says from when an identifier belongs to the person, as for `fold`.
    """
    known = at if known_at is None else known_at
    said = [one for one in statements(state, identifier_keys) if concerns(one.record(), purpose, channel, purposes) and one.effective_at <= at]
    heard = sorted((one for one in said if one.received_at <= known), key=lambda one: turn(one.record()))
    history = fold([one.record() for one in heard], purposes=purposes, at=at, known_at=known, joined=joined, only=[(purpose, channel)])
    now = standing(history, purpose=purpose, channel=channel, at=at)
    decides = None if now.consent is None else now.consent.record_id
    told = tuple(
        replace(
            one, then=standing(history, purpose=purpose, channel=channel, at=one.effective_at).status, decides=one.record_id == decides, text=_text(one, purposes),
        )
        for one in heard
    )  # fmt: skip
    later = tuple(replace(one, text=_text(one, purposes)) for one in sorted(said, key=lambda one: turn(one.record())) if one.received_at > known)
    return Account(
        purpose=purpose, channel=channel, at=at, known_at=known, allowed=now.allowed, status=now.status, basis=now.basis, until=now.until, reason=now.reason, statements=told, later=later,
    )  # fmt: skip


def statements(state: State, identifier_keys: Iterable[int], *, connection: sa.Connection | None = None) -> list[Statement]:
    """The log's records that name any of the identifiers, whole, each once, in the order of arrival."""
    if connection is None:
        with state.reading() as own:
            return statements(state, identifier_keys, connection=own)
    log, keys = state.sql("consent_log"), state.sql("consent_keys")
    found: dict[int, Statement] = {}
    wanted = sorted(set(identifier_keys))
    for start in range(0, len(wanted), 500):
        named = sa.select(keys.c.seq).where(keys.c.identifier_key.in_(wanted[start : start + 500]))
        for row in connection.execute(sa.select(log).where(log.c.seq.in_(named))).mappings():
            found[row["seq"]] = _statement(row)
    return [found[seq] for seq in sorted(found)]


def _statement(row: Mapping[Any, Any]) -> Statement:
    given = {name: row[name] for name in Statement.__dataclass_fields__ if name in row}
    return Statement(**given | {"source": row["source"] or ""})


def _text(one: Statement, purposes: Purposes) -> str:
    if not one.wording_hash:
        return ""
    known = purposes.purposes.get(one.purpose)
    texts = known.wordings.get(one.wording or "", {}) if known is not None else {}
    if not texts or known is None:
        return "gone"
    return "same" if one.wording_hash in {known.wording_hash(one.wording or "", locale) for locale in texts} else "other"


__all__ = ["Account", "Statement", "account", "statements"]
