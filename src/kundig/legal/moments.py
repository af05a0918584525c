"""Was this allowed at 10:04 on that day, and why? The consent log's answer for a person, in words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from kundig import consent, reasons
from kundig.answers import resolve
from kundig.collect.identifiers import Rules, identifier_key, normalise
from kundig.consent import Account, Statement, suppression
from kundig.errors import ConfigError, IdentityError, KundigError, nearest
from kundig.legal.wording import named, text
from kundig.report.words import DASH, Words

if TYPE_CHECKING:
    from kundig.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the log says of one purpose and channel, in words."""

    account: Account
    allowed: bool
    """As the account says, and not on the list of suppressed people by then."""
    suppressed: str
    """erased, suppressed, restricted or objected: since when the list holds the person is said in the sentence; '' where it does not."""
    sentence: str
    lines: tuple[str, ...]
    """What was said, one line a record, in the order in which it took effect."""


def allowed_at(
    workspace: Workspace, identifier: str, at: dt.datetime, *, purpose: str | None = None, channel: str | None = None, known_at: dt.datetime | None = None, locale: str | None = None
) -> tuple[Answer, ...]:  # fmt: skip
    """What might be sent to a person at a moment, and why: for one purpose and channel, or for each that is declared.

    The answer rests on the log in state, so it holds what was said a moment ago; who the person is comes from the newest release, as of the moment
    asked for. Without `known_at` the log is read as it stood at that moment.

    Raises:
        IdentityError: Nobody has the identifier, and the log has no word of it.
        ConfigError: There is no such purpose or channel.
    """
    config = workspace.config
    pairs = _pairs(workspace, purpose, channel)
    w = Words(locale=locale or config.settings.workspace.locale, currency=config.settings.workspace.currency, zone=config.settings.workspace.zone)
    keys, joined = _identifiers(workspace, identifier, at)
    listed = _listed(workspace, keys, at)
    found = []
    for name, way in pairs:
        one = consent.account(workspace.state, keys, purposes=config.purposes, purpose=name, channel=way, at=at, known_at=known_at, joined=joined)
        found.append(_answer(one, listed, w, workspace))
    return tuple(found)


def _pairs(workspace: Workspace, purpose: str | None, channel: str | None) -> list[tuple[str, str]]:
    purposes = workspace.config.purposes
    if purpose is not None and purpose not in purposes.purposes:
        raise ConfigError(f"there is no purpose '{purpose}'", at="purposes.yaml", mend=nearest(purpose, purposes.purposes))
    pairs = [pair for pair in purposes.pairs() if purpose in (None, pair[0]) and channel in (None, pair[1])]
    if channel is not None and not pairs:
        raise ConfigError(f"no purpose that was asked for has the channel '{channel}'", at="purposes.yaml", mend=nearest(channel, {pair[1] for pair in purposes.pairs()}))
    return pairs


def _identifiers(workspace: Workspace, identifier: str, at: dt.datetime) -> tuple[list[int], dict[int, dt.datetime]]:
    """The person's identifiers at a moment, and which joined when; of somebody no release knows yet, the identifier alone."""
    try:
        key, _ = resolve(workspace, identifier)
    except KundigError as error:
        if not isinstance(error, IdentityError) and workspace.lake.release() is not None:
            raise
        alone = _unreleased(workspace, identifier)
        if not alone:
            raise
        return alone, {}
    moment = f"TIMESTAMPTZ '{at.astimezone(dt.UTC).isoformat(sep=' ')}'"
    held = f"SELECT DISTINCT identifier_key FROM identities WHERE person_key = {key} AND NOT coalesce(shared, false) AND valid_from <= {moment} AND (valid_until IS NULL OR valid_until > {moment}) ORDER BY 1"
    joined = workspace.rows(f"SELECT other_key, occurred_at FROM merges WHERE kind = 'merge' AND person_key = {key}")[1]
    return [int(row[0]) for row in workspace.rows(held)[1]], {int(part): moment for part, moment in joined}


def _unreleased(workspace: Workspace, identifier: str) -> list[int]:
    """Keys under which the log knows a value that no release knows yet."""
    config, given = workspace.config, identifier.strip()
    rules = Rules(identity=config.identity)
    namespaces = sorted({*config.identity.namespaces, *(one.namespace for one in config.channels.channels.values())})
    forms = {name: {given, normalise(name, given, country=config.settings.workspace.country, rules=rules) or given} for name in namespaces}
    keys = sorted({identifier_key(name, form) for name, values in forms.items() for form in values})
    return keys if consent.statements(workspace.state, keys) else []


def _listed(workspace: Workspace, keys: Iterable[int], at: dt.datetime) -> tuple[str, dt.datetime | None]:
    """Why, and since when, the list of suppressed people held one of the identifiers at a moment."""
    listed = {row["digest"]: row for row in workspace.state.select("suppressions")}
    wanted = ", ".join(map(str, keys))
    if not listed or not wanted or workspace.lake.release() is None:
        return "", None
    secret = workspace.config.secret(suppression.SECRET).encode()
    named = workspace.rows(f"SELECT namespace, value FROM identifiers WHERE identifier_key IN ({wanted})")[1]
    digests = [of(namespace, value, secret=secret) for namespace, value in named for of in (suppression.digest, suppression.restricted_digest)]
    rows = [listed[digest] for digest in digests if digest in listed]
    rows = sorted((row for row in rows if row["at"] is None or row["at"] <= at), key=lambda row: suppression.ORDER.index(row["reason"]))
    return (rows[0]["reason"], rows[0]["at"]) if rows else ("", None)


def _answer(one: Account, listed: tuple[str, dt.datetime | None], w: Words, workspace: Workspace) -> Answer:
    code, since = listed
    allowed = one.allowed and not code
    rule = workspace.config.purposes.rule(one.purpose, one.channel)
    parts = [_say(w, "allowed" if allowed else "refused", purpose=one.purpose, channel=w.channel(one.channel), at=moment(one.at, w), zone=w.zone)]
    if code:
        parts += [reasons.sentence(code, w.locale), _say(w, "listed", at=moment(since, w))]
    else:
        parts.append(_why(one, w, 0 if rule is None else rule.customer_days))
        if one.decisive is not None:
            parts.append(_say(w, "rests", record=_line(one.decisive, w)))
            if one.until is not None:
                parts.append(_say(w, "lapsed" if one.until <= one.at else "lapses", at=moment(one.until, w)))
    if one.later:
        parts.append(_say(w, "later", count=w.number(len(one.later))))
    lines = tuple(f"{_line(said, w)} → {named(w.locale, 'stands', said.then)}" for said in one.statements)
    return Answer(account=one, allowed=allowed, suppressed=code, sentence=" ".join(parts), lines=lines)


def _why(one: Account, w: Words, days: int) -> str:
    """The reason's sentence; of a basis that the gate weighs further, what it would still have asked."""
    if one.reason in ("existing_customer", "legitimate_interest"):
        return _say(w, "customer" if one.reason == "existing_customer" else "interest", days=w.number(days))
    return reasons.sentence(one.reason, w.locale, purpose=one.purpose, channel=one.channel)


def _line(said: Statement, w: Words) -> str:
    """A record in words, with all that proves it."""
    parts = [f"{named(w.locale, 'said', said.status)} ({said.purpose}/{said.channel}), {moment(said.effective_at, w)}"]
    if said.received_at > said.occurred_at:
        parts.append(_say(w, "received", at=moment(said.received_at, w)))
    parts.append(_say(w, "record", seq=said.seq, id=said.record_id))
    parts += [_say(w, key, name=value) for key, value in (("source", said.source), ("basis", said.basis), ("wording", said.wording)) if value]
    if said.wording_hash:
        kept = f" ({text(w.locale, f'moment.text.{said.text}')})" if said.text else ""
        parts.append(f"SHA-256 {said.wording_hash[:16]}…{kept}")
    parts += [_say(w, "odd", at=moment(said.until, w))] if said.until is not None and said.until <= said.effective_at else []
    parts += [_say(w, "evidence", text=said.evidence)] if said.evidence else []
    parts += [_say(w, "law", country=said.jurisdiction)] if said.jurisdiction else []
    return ", ".join(parts)


def _say(w: Words, key: str, **values: Any) -> str:
    return text(w.locale, f"moment.{key}", **values)


def moment(value: dt.datetime | None, w: Words) -> str:
    """A moment to the second in the workspace's zone: a proof names it exactly."""
    if value is None:
        return DASH
    return f"{w.day(value)}, {value.astimezone(ZoneInfo(w.zone)):%H:%M:%S}"


__all__ = ["Answer", "allowed_at"]
