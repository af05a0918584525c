"""Objections and withdrawals of a quarter: when each was said, received and in force, and what was sent after it all the same."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from kundig.consent import ConsentRecord, fold, records_of, standing
from kundig.consent.folding import concerns
from kundig.legal.sheets import Quarter, Sheet

if TYPE_CHECKING:
    from kundig.config.law import Purposes
    from kundig.workspace import Workspace

COLUMNS = (
    "seq", "person_id", "status", "purpose", "channel", "source", "said_at", "received_at", "in_force_at", "seconds_from_receipt", "seconds_from_saying", "still_allowed", "sent_after", "last_sent_after",
)  # fmt: skip
CLOSED = ("objected", "withdrawn")


def objections(workspace: Workspace, quarter: Quarter) -> Sheet:
    """Each objection and withdrawal received in the quarter, in the order of the log.

    `in_force_at` is the first moment at which the log, as it stood then, refuses everything that the record closes; empty where it never did
    (`still_allowed` names the pairs). It is found by asking, not assumed. `sent_after` counts messages of the outbox that left after it on a
    purpose and channel that stood closed at that moment; a consent given later opens them again.
    """
    said = workspace.rows(
        f"""SELECT seq, record_id, source, purpose, channel, status, occurred_at, received_at, identifier_key FROM consent_log
        WHERE status IN ('objected', 'withdrawn') AND received_at >= {_moment(quarter.start)} AND received_at < {_moment(quarter.end)} ORDER BY seq"""
    )[1]
    people = _people(workspace, [row[8] for row in said])
    keys = {key for row in said for key in (row[8], *people.keys_of(row[8]))}
    records = records_of(workspace.state, keys)
    outbox = _outbox(workspace, people.everybody())
    rows = []
    for seq, record_id, source, purpose, channel, status, occurred, received, key in said:
        mine = list({one.record_id: one for own in (key, *people.keys_of(key)) for one in records.get(own, ())}.values())
        record = next(one for one in mine if one.record_id == record_id)
        pairs = [pair for pair in workspace.config.purposes.pairs() if concerns(record, pair[0], pair[1], workspace.config.purposes)]
        since, open_ = in_force(record, mine, pairs, workspace.config.purposes, joined=people.joined(key))
        sent = [] if since is None else _after(since, mine, pairs, outbox.get(people.person(key), ()), workspace.config.purposes, people.joined(key))
        seconds = None if since is None else (since - received).total_seconds()
        rows.append((
            seq, people.name(key), status, purpose, channel, source or "", occurred, received, since, seconds, None if since is None else (since - record.effective_at).total_seconds(),
            tuple(f"{one}/{way}" for one, way in open_), len(sent), max(sent, default=None),
        ))  # fmt: skip
    return Sheet(name="objections", columns=COLUMNS, rows=tuple(rows))


def in_force(
    record: ConsentRecord, records: Sequence[ConsentRecord], pairs: Sequence[tuple[str, str]], purposes: Purposes, *, joined: Mapping[int, dt.datetime] | None = None
) -> tuple[dt.datetime | None, list[tuple[str, str]]]:  # fmt: skip
    """The first moment at which the log as it stood then closes all pairs, and the pairs still allowed when the record was received.

    Asked are the moment of receipt, and each later one at which the log learnt something or the record takes effect. A pair which a consent
    opened again, effective later than the record, needs not be closed.
    """
    moments = sorted({record.received_at, *(one.received_at for one in records if one.received_at > record.received_at)})
    first_open: list[tuple[str, str]] = []
    for moment in moments:
        history = fold(records, purposes=purposes, at=moment, joined=joined, only=pairs)
        open_ = [pair for pair in pairs if standing(history, purpose=pair[0], channel=pair[1], at=moment).allowed and not _reopened(record, records, pair, purposes, moment)]
        if not open_:
            return moment, first_open
        first_open = first_open or open_
    return None, first_open


def _reopened(record: ConsentRecord, records: Iterable[ConsentRecord], pair: tuple[str, str], purposes: Purposes, moment: dt.datetime) -> bool:
    return any(one.spoken in ("given", "confirmed") and one.effective_at > record.effective_at and one.received_at <= moment and concerns(one, pair[0], pair[1], purposes) for one in records)


def _after(
    since: dt.datetime, records: Sequence[ConsentRecord], pairs: Sequence[tuple[str, str]], sent: Iterable[tuple[str, str, dt.datetime]], purposes: Purposes, joined: Mapping[int, dt.datetime]
) -> list[dt.datetime]:  # fmt: skip
    """Moments of messages that left after it on a pair that stood closed when they left."""
    found = []
    for purpose, channel, at in sent:
        if at > since and (purpose, channel) in pairs:
            history = fold(records, purposes=purposes, at=at, joined=joined, only=[(purpose, channel)])
            if standing(history, purpose=purpose, channel=channel, at=at).status in CLOSED:
                found.append(at)
    return found


class _People:
    """Whose an identifier is by now, with all that person's identifiers."""

    def __init__(self, owner: dict[int, int], keys: dict[int, list[int]], names: dict[int, str], merged: dict[int, dict[int, dt.datetime]]) -> None:
        self._owner, self._keys, self._names, self._merged = owner, keys, names, merged

    def person(self, key: int) -> int:
        return self._owner.get(key, -1)

    def keys_of(self, key: int) -> list[int]:
        return self._keys.get(self.person(key), [])

    def name(self, key: int) -> str:
        return self._names.get(self.person(key), "")

    def joined(self, key: int) -> dict[int, dt.datetime]:
        return self._merged.get(self.person(key), {})

    def everybody(self) -> dict[int, int]:
        """Each person's key and those merged into it → the person."""
        return {person: person for person in self._keys} | {other: person for person, others in self._merged.items() for other in others}


def _people(workspace: Workspace, keys: Iterable[int]) -> _People:
    wanted = ", ".join(map(str, sorted(set(keys)))) or "-1"
    owner = dict(workspace.rows(f"SELECT identifier_key, person_key FROM identities WHERE identifier_key IN ({wanted}) AND valid_until IS NULL AND NOT coalesce(shared, false)")[1])
    persons = ", ".join(map(str, sorted(set(owner.values())))) or "-1"
    held: dict[int, list[int]] = {}
    for person, key in workspace.rows(f"SELECT person_key, identifier_key FROM identities WHERE person_key IN ({persons}) AND valid_until IS NULL AND NOT coalesce(shared, false) ORDER BY 1, 2")[1]:
        held.setdefault(int(person), []).append(int(key))
    merged: dict[int, dict[int, dt.datetime]] = {}
    for person, other, at in workspace.rows(f"SELECT person_key, other_key, occurred_at FROM merges WHERE kind = 'merge' AND person_key IN ({persons})")[1]:
        merged.setdefault(int(person), {})[int(other)] = at
    names = dict(workspace.rows(f"SELECT person_key, person_id FROM profiles WHERE person_key IN ({persons})")[1])
    return _People(owner, held, names, merged)


def _outbox(workspace: Workspace, people: Mapping[int, int]) -> dict[int, list[tuple[str, str, dt.datetime]]]:
    """Messages handed over, by person: purpose, channel, moment."""
    found: dict[int, list[tuple[str, str, dt.datetime]]] = {}
    wanted = ", ".join(map(str, sorted(people))) or "-1"
    for person, purpose, channel, at in workspace.rows(f"SELECT person_key, purpose, channel, sent_at FROM messages WHERE status = 'sent' AND sent_at IS NOT NULL AND person_key IN ({wanted}) ORDER BY sent_at")[1]:
        found.setdefault(people[int(person)], []).append((purpose, channel, at))
    return found


def _moment(value: dt.datetime) -> str:
    return f"TIMESTAMPTZ '{value.astimezone(dt.UTC).isoformat(sep=' ')}'"


__all__ = ["COLUMNS", "in_force", "objections"]
