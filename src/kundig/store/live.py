"""The live store: what was heard since the newest release, by person; a file that can be thrown away, since the log can say it all again.

One process writes. Everything of one batch of the inbox stands in one transaction with the name of the batch, so that a batch that is read
again after a crash changes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from kundig.errors import StoreError
from kundig.store.sqlite import prepare

Connection = sqlite3.Connection
"""A connection of the live store, within one of its transactions."""

VERSION = 2
"""2: records hold what the fold goes on from. A store of version 1 is emptied, and filled from the log."""

KEPT = 10_000
"""Newest calls that are kept to be looked at, held ones among them."""

_TABLES = """
CREATE TABLE events (
    event_id TEXT PRIMARY KEY, person_key INTEGER, identifier_key INTEGER NOT NULL, other_keys TEXT NOT NULL, source TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
    occurred_at INTEGER NOT NULL, received_at INTEGER NOT NULL, facts TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX events_of_person ON events (person_key, occurred_at);
CREATE INDEX events_of_identifier ON events (identifier_key);
CREATE TABLE owners (identifier_key INTEGER PRIMARY KEY, person_key INTEGER, namespace TEXT NOT NULL, value TEXT NOT NULL, source TEXT NOT NULL);
CREATE INDEX owners_of_person ON owners (person_key);
CREATE INDEX owners_by_value ON owners (value);
CREATE TABLE aliases (person_key INTEGER PRIMARY KEY, other_key INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE people (person_key INTEGER PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE heard (
    number INTEGER PRIMARY KEY AUTOINCREMENT, received_at INTEGER NOT NULL, source TEXT NOT NULL, event_id TEXT NOT NULL, name TEXT NOT NULL, verdict TEXT NOT NULL, reason TEXT NOT NULL,
    identifier_key INTEGER, occurred_at INTEGER, facts TEXT NOT NULL
);
CREATE TABLE minutes (
    source TEXT NOT NULL, minute INTEGER NOT NULL, taken INTEGER NOT NULL, held INTEGER NOT NULL, repeated INTEGER NOT NULL, requests INTEGER NOT NULL, last_at INTEGER NOT NULL,
    PRIMARY KEY (source, minute)
) WITHOUT ROWID;
CREATE TABLE duties (name TEXT PRIMARY KEY, at INTEGER NOT NULL, error TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE marks (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


_EMPTIED = "DELETE FROM events; DELETE FROM owners; DELETE FROM aliases; DELETE FROM people; DELETE FROM heard; DELETE FROM marks WHERE name <> 'counted';"


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveEvent:
    """One event since the newest release; moments in microseconds since 1970. `facts` holds its other columns and its properties."""

    event_id: str
    identifier_key: int
    other_keys: tuple[int, ...]
    source: str
    name: str
    kind: str
    occurred_at: int
    received_at: int
    facts: Mapping[str, Any] = field(default_factory=dict)
    person_key: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """To whom an identifier belongs by what was heard since the release; nobody where several people were seen with it."""

    identifier_key: int
    person_key: int | None
    namespace: str
    value: str
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """A call as it came, with its verdict: taken, held or repeated."""

    received_at: int
    source: str
    event_id: str
    name: str
    verdict: str
    reason: str = ""
    identifier_key: int | None = None
    occurred_at: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    number: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Minute:
    """What a source sent in one minute (seconds since 1970, a multiple of 60)."""

    source: str
    minute: int
    taken: int
    held: int
    repeated: int
    requests: int
    last_at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Duty:
    """When a duty of the worker was last done (microseconds), and its error if it failed since."""

    name: str
    at: int
    error: str = ""


class LiveStore:
    """The live store at a path; made anew where it is missing or of another version."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.reading() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, 1, VERSION):
            raise StoreError(f"the live store has version {version}, which this release does not know", at=str(self.path), mend="stop kundig serve and delete the file: it is made again from the log")
        if version != VERSION:
            self._make()

    def _make(self) -> None:
        """Tables of this version. Several processes may open a new store at the same moment: the first makes them."""
        with self.transaction() as connection:
            made = {0: _TABLES, 1: _EMPTIED}.get(connection.execute("PRAGMA user_version").fetchone()[0])
            if made is not None:
                for statement in (*made.split(";"), f"PRAGMA user_version = {VERSION}"):
                    connection.execute(statement)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees what is committed."""
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=60)) as connection:
            prepare(connection, synchronous="NORMAL")
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction that writes: all of it or nothing."""
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    # what is known

    def mark(self, name: str) -> str:
        """A text kept under a name; '' where there is none."""
        with self.reading() as connection:
            return read_mark(connection, name)

    def person(self, person_key: int) -> dict[str, Any] | None:
        """A person's record, or None where nothing was heard of them."""
        with self.reading() as connection:
            found = connection.execute("SELECT record FROM people WHERE person_key = ?", (person_key,)).fetchone()
            return None if found is None else msgspec.json.decode(found[0])

    def named(self, values: Sequence[str]) -> Owner | None:
        """The owner of the first identifier with one of these values."""
        with self.reading() as connection:
            found = connection.execute(f"SELECT {_OWNER} FROM owners WHERE value IN ({_places(values)}) AND person_key IS NOT NULL ORDER BY identifier_key LIMIT 1", list(values)).fetchone()
            return None if found is None else _owner(found)

    def events(self, person_key: int, *, most: int = 1_000_000) -> tuple[LiveEvent, ...]:
        """A person's events since the release, oldest first; the newest ones where there are more than `most`."""
        with self.reading() as connection:
            return events_of(connection, person_key, most=most)

    def heard(self, *, after: int = 0, source: str | None = None, most: int = 200) -> tuple[Heard, ...]:
        """Calls that came after a number, in their order; with `after=-1` the newest ones."""
        values: list[int | str] = [after] if after >= 0 else []
        where = "number > ?" if after >= 0 else "1 = 1"
        if source is not None:
            where, values = f"{where} AND source = ?", [*values, source]
        with self.reading() as connection:
            rows = connection.execute(f"SELECT {_HEARD} FROM heard WHERE {where} ORDER BY number {'' if after >= 0 else 'DESC'} LIMIT ?", [*values, most]).fetchall()
        found = [_heard(row) for row in rows]
        return tuple(found if after >= 0 else found[::-1])

    def minutes(self, *, since: int = 0) -> tuple[Minute, ...]:
        """What each source sent, minute by minute, from a moment (seconds since 1970) on."""
        with self.reading() as connection:
            rows = connection.execute("SELECT source, minute, taken, held, repeated, requests, last_at FROM minutes WHERE minute >= ? ORDER BY minute, source", (since,)).fetchall()
        names = ("source", "minute", "taken", "held", "repeated", "requests", "last_at")
        return tuple(Minute(**dict(zip(names, row, strict=True))) for row in rows)

    def duties(self) -> tuple[Duty, ...]:
        """What the worker last did, by name."""
        with self.reading() as connection:
            return tuple(Duty(name=name, at=at, error=error) for name, at, error in connection.execute("SELECT name, at, error FROM duties ORDER BY name"))

    # writing

    def did(self, name: str, *, at: int, error: str = "") -> None:
        """Note that a duty was done, or failed; of a failed one the moment it was last done stays."""
        with self.transaction() as connection:
            if error:
                connection.execute("INSERT INTO duties VALUES (?, 0, ?) ON CONFLICT (name) DO UPDATE SET error = excluded.error", (name, error))
            else:
                connection.execute("INSERT INTO duties VALUES (?, ?, '') ON CONFLICT (name) DO UPDATE SET at = excluded.at, error = ''", (name, at))

    def landed(self, source: str, *, taken: int, held: int, repeated: int, requests: int, at: int) -> None:
        """Count what landed at a moment (microseconds) where no fold has counted it as it came."""
        with self.transaction() as connection:
            count(connection, [Minute(source=source, minute=at // 60_000_000 * 60, taken=taken, held=held, repeated=repeated, requests=requests, last_at=at)])

    def prune(self, *, before: int) -> None:
        """Add counts of minutes that began before a moment (seconds since 1970) to one row per source, of minute 0: totals stay."""
        with self.transaction() as connection:
            sums = "sum(taken), sum(held), sum(repeated), sum(requests), max(last_at)"
            old = connection.execute(f"SELECT source, 0, {sums} FROM minutes WHERE minute < ? GROUP BY source HAVING count(*) > 1 OR max(minute) > 0", (before,)).fetchall()
            connection.executemany("DELETE FROM minutes WHERE source = ? AND minute < ?", [(row[0], before) for row in old])
            connection.executemany("INSERT INTO minutes VALUES (?, ?, ?, ?, ?, ?, ?)", old)

    def clear(self) -> None:
        """Forget everything but the counts of sources and duties: it will be read from the log again."""
        with self.transaction() as connection:
            for statement in _EMPTIED.split(";")[:-1]:
                connection.execute(statement)

    def forget(self, identifier_keys: Iterable[int]) -> int:
        """Take out everything that carries one of these identifiers; gives how many events went. Free pages and the log are overwritten."""
        keys = sorted(set(identifier_keys))
        gone: set[str] = set()
        with self.transaction() as connection:
            persons: set[int] = set()
            for start in range(0, len(keys), 500):
                part = keys[start : start + 500]
                wanted = f"identifier_key IN ({_places(part)}) OR EXISTS (SELECT 1 FROM json_each(other_keys) WHERE value IN ({_places(part)}))"
                for event_id, person in connection.execute(f"SELECT event_id, person_key FROM events WHERE {wanted}", [*part, *part]).fetchall():
                    gone.add(event_id)
                    persons |= {person} if person is not None else set()
                persons |= {row[0] for row in connection.execute(f"SELECT person_key FROM owners WHERE identifier_key IN ({_places(part)}) AND person_key IS NOT NULL", part)}
                connection.execute(f"DELETE FROM owners WHERE identifier_key IN ({_places(part)})", part)
                connection.execute(f"DELETE FROM heard WHERE identifier_key IN ({_places(part)})", part)
            connection.executemany("DELETE FROM events WHERE event_id = ?", [(one,) for one in gone])
            connection.executemany("DELETE FROM heard WHERE event_id = ?", [(one,) for one in gone])
            connection.executemany("DELETE FROM people WHERE person_key = ?", [(one,) for one in persons])
        with self.reading() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return len(gone)


_OWNER = "identifier_key, person_key, namespace, value, source"
_EVENT = "event_id, identifier_key, other_keys, source, name, kind, occurred_at, received_at, facts, person_key"
_HEARD = "number, received_at, source, event_id, name, verdict, reason, identifier_key, occurred_at, facts"


def read_mark(connection: Connection, name: str) -> str:
    """A text kept under a name; '' where there is none."""
    found = connection.execute("SELECT value FROM marks WHERE name = ?", (name,)).fetchone()
    return "" if found is None else str(found[0])


def write_mark(connection: Connection, name: str, value: str) -> None:
    """Keep a text under a name."""
    connection.execute("INSERT INTO marks VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value))


def owners_of(connection: Connection, keys: Iterable[int]) -> dict[int, Owner]:
    """Live owners of these identifiers."""
    found: dict[int, Owner] = {}
    wanted = sorted(set(keys))
    for start in range(0, len(wanted), 500):
        part = wanted[start : start + 500]
        found |= {row[0]: _owner(row) for row in connection.execute(f"SELECT {_OWNER} FROM owners WHERE identifier_key IN ({_places(part)})", part)}
    return found


def owned_by(connection: Connection, person_key: int) -> tuple[Owner, ...]:
    """Identifiers that belong to a person by what was heard since the release."""
    return tuple(_owner(row) for row in connection.execute(f"SELECT {_OWNER} FROM owners WHERE person_key = ? ORDER BY namespace, value", (person_key,)))


def owned_by_each(connection: Connection, person_keys: Iterable[int]) -> dict[int, tuple[Owner, ...]]:
    """Identifiers of each of these persons by what was heard since the release; persons without any are left out."""
    found: dict[int, list[Owner]] = {}
    wanted = sorted(set(person_keys))
    for start in range(0, len(wanted), 500):
        part = wanted[start : start + 500]
        for row in connection.execute(f"SELECT {_OWNER} FROM owners WHERE person_key IN ({_places(part)}) ORDER BY namespace, value", part):
            found.setdefault(row[1], []).append(_owner(row))
    return {person: tuple(held) for person, held in found.items()}


def records(connection: Connection, person_keys: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Records of these persons; those of whom nothing was heard are left out."""
    found: dict[int, dict[str, Any]] = {}
    wanted = sorted(set(person_keys))
    for start in range(0, len(wanted), 500):
        part = wanted[start : start + 500]
        found |= {row[0]: msgspec.json.decode(row[1]) for row in connection.execute(f"SELECT person_key, record FROM people WHERE person_key IN ({_places(part)})", part)}
    return found


def shared_keys(connection: Connection) -> frozenset[int]:
    """Identifiers that were heard with several people since the release."""
    return frozenset(row[0] for row in connection.execute("SELECT identifier_key FROM owners WHERE person_key IS NULL"))


def write_owners(connection: Connection, owners: Iterable[Owner]) -> None:
    """Keep who owns which identifiers."""
    rows = [(one.identifier_key, one.person_key, one.namespace, one.value, one.source) for one in owners]
    connection.executemany("INSERT INTO owners VALUES (?, ?, ?, ?, ?) ON CONFLICT (identifier_key) DO UPDATE SET person_key = excluded.person_key", rows)


def aliases(connection: Connection) -> dict[int, int]:
    """Visitors of the release and the persons they turned out to be."""
    return dict(connection.execute("SELECT person_key, other_key FROM aliases").fetchall())


def write_aliases(connection: Connection, found: Mapping[int, int]) -> None:
    """Keep who turned out to be whom."""
    connection.executemany("INSERT INTO aliases VALUES (?, ?) ON CONFLICT (person_key) DO UPDATE SET other_key = excluded.other_key", sorted(found.items()))


def known_events(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Those of these events that are held already."""
    found: set[str] = set()
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500]
        found |= {row[0] for row in connection.execute(f"SELECT event_id FROM events WHERE event_id IN ({_places(part)})", list(part))}
    return found


def write_events(connection: Connection, events: Iterable[LiveEvent]) -> None:
    """Keep events, each once."""
    rows = [
        (e.event_id, e.person_key, e.identifier_key, _json(e.other_keys), e.source, e.name, e.kind, e.occurred_at, e.received_at, _json(e.facts))
        for e in events
    ]  # fmt: skip
    connection.executemany("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def every_event(connection: Connection) -> list[LiveEvent]:
    """All events since the release."""
    return [as_event(row) for row in connection.execute(f"SELECT {_EVENT} FROM events").fetchall()]


def events_of(connection: Connection, person_key: int, *, most: int = 1_000_000) -> tuple[LiveEvent, ...]:
    """A person's events since the release, oldest first; the newest ones where there are more than `most`."""
    rows = connection.execute(f"SELECT {_EVENT} FROM events WHERE person_key = ? ORDER BY occurred_at DESC, event_id DESC LIMIT ?", (person_key, most)).fetchall()
    return tuple(as_event(row) for row in reversed(rows))


def write_heard(connection: Connection, heard: Iterable[Heard]) -> None:
    """Keep calls to be looked at; the oldest of them go."""
    rows = [(h.received_at, h.source, h.event_id, h.name, h.verdict, h.reason, h.identifier_key, h.occurred_at, _json(h.facts)) for h in heard]
    connection.executemany("INSERT INTO heard (received_at, source, event_id, name, verdict, reason, identifier_key, occurred_at, facts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    connection.execute("DELETE FROM heard WHERE number <= (SELECT max(number) FROM heard) - ?", (KEPT,))


def count(connection: Connection, minutes: Iterable[Minute]) -> None:
    """Add to the counts of sources."""
    sums = "taken = taken + excluded.taken, held = held + excluded.held, repeated = repeated + excluded.repeated, requests = requests + excluded.requests"
    rows = [(m.source, m.minute, m.taken, m.held, m.repeated, m.requests, m.last_at) for m in minutes]
    connection.executemany(f"INSERT INTO minutes VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (source, minute) DO UPDATE SET {sums}, last_at = max(last_at, excluded.last_at)", rows)


def _json(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()


def _places(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def _owner(row: Sequence[Any]) -> Owner:
    return Owner(identifier_key=row[0], person_key=row[1], namespace=row[2], value=row[3], source=row[4])


def as_event(row: Sequence[Any]) -> LiveEvent:
    """The event of a row of the store: the columns of `LiveEvent` in the order they are kept in, the person last."""
    return LiveEvent(
        event_id=row[0], identifier_key=row[1], other_keys=tuple(msgspec.json.decode(row[2])), source=row[3], name=row[4], kind=row[5], occurred_at=row[6], received_at=row[7],
        facts=msgspec.json.decode(row[8]), person_key=row[9],
    )  # fmt: skip


def _heard(row: Sequence[Any]) -> Heard:
    return Heard(
        number=row[0], received_at=row[1], source=row[2], event_id=row[3], name=row[4], verdict=row[5], reason=row[6], identifier_key=row[7], occurred_at=row[8], facts=msgspec.json.decode(row[9])
    )  # fmt: skip
