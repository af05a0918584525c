"""The live fold: the inbox's cursor `live` into one record per person, at once; and its base, the newest release, when that changes."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from kundig.clock import Clock, micros
from kundig.clock import now as present
from kundig.collect.form_calls import form_calls
from kundig.collect.inbox_landing import READERS, read_calls, read_forms
from kundig.collect.judging import READ, Carried, Judged, judged
from kundig.consent import suppression
from kundig.live.base import Base
from kundig.live.record import State, ordered
from kundig.live.ties import Name, Ties
from kundig.store import live as kept
from kundig.store.inbox import Batch, Entry, Inbox
from kundig.store.live import Heard, LiveEvent, LiveStore, Minute

if TYPE_CHECKING:
    from kundig.config.load import Config
    from kundig.schema import Table
    from kundig.store import Lake

CURSOR = "live"
"""The inbox's cursor that the fold reads with."""

MOST = 5_000
"""Events of a person that session and basket are cut from, the newest."""

_APART = frozenset({"event_id", "source", "name", "kind", "occurred_at", "received_at", "identifier_key", "other_keys", "local_day", "batch_id"})


class Live:
    """Folds calls into the live store; one process does, others read the store."""

    def __init__(self, lake: Lake, config: Config, events: Table, store: LiveStore, *, clock: Clock = present, state: Any = None) -> None:
        self.lake, self.config, self.declared, self.store, self.clock, self.state = lake, config, events, store, clock, state
        self.released = Base(lake, config)
        self.calls = 0
        """Calls that this process has folded."""
        for left in lake.data.glob(f"{READ}*"):
            shutil.rmtree(left, ignore_errors=True)

    # folding

    def fold(self, inbox: Inbox, *, most: int = 2_000, bytes: int = 8 << 20) -> int:
        """Take in the next batch of the inbox; returns how many requests it had.

        What was taken stands in the store in one transaction with the batch's name; only then the cursor moves on.
        """
        self.base(inbox)
        batch = inbox.read(CURSOR, most=most, bytes=bytes)
        if batch is None:
            return 0
        name = f"{batch.id}:{batch.entries[0].received_at}" if batch.entries else batch.id
        if self.store.mark("batch") != name:
            self._take(batch, name)
        inbox.advance(batch)
        return len(batch.entries)

    def base(self, inbox: Inbox) -> None:
        """Stand on the newest release: events it holds are forgotten, links are made anew. An empty store is filled from the log first."""
        release = self.lake.release()
        named = "none" if release is None else str(release.id)
        stands = self.store.mark("release")
        if not stands:
            self.rebuild(inbox)
        elif stands != named:
            with self.store.transaction() as connection:
                self._restart(connection, kept.every_event(connection), named, _names(connection))

    def rebuild(self, inbox: Inbox) -> None:
        """Make the store again from the log: what came through the inbox and is in no release, landed or still waiting."""
        inbox.forget(CURSOR)
        inbox.register(CURSOR)
        self.store.clear()
        release = self.lake.release()
        landed, names = self._landed()
        with self.store.transaction() as connection:
            self._restart(connection, landed, "none" if release is None else str(release.id), names)

    # one batch

    def _take(self, batch: Batch, name: str) -> None:
        groups: dict[str, list[Entry]] = {}
        others: list[Entry] = []
        for entry in batch.entries:
            reader = READERS.get(entry.kind)
            if reader in (read_calls, read_forms):
                groups.setdefault(entry.source, []).append(form_calls(entry) if reader is read_forms else entry)
            else:
                others.append(entry)
        heard: list[Heard] = [Heard(received_at=e.received_at, source=e.source, event_id="", name=e.kind, verdict="waiting", reason="judged when it lands") for e in others]
        minutes: list[Minute] = _requests(others)
        events: list[LiveEvent] = []
        carried: dict[int, Name] = {}
        con = self.lake.duck.cursor()
        try:
            for source, entries in sorted(groups.items()):
                found = judged(con, self.config, self.declared, source, entries, folder=self.lake.data, now=self.clock(), existing=self._existing)
                said, away = self._let_in(found)
                carried |= {one.identifier_key: _name(one) for one in found.carried if one.identifier_key not in away}
                fresh, again = self._new(said)
                events += fresh
                heard += [_heard(event, "taken") for event in fresh] + [_heard(event, "repeated") for event in again]
                last = entries[-1].received_at
                heard += [Heard(received_at=last, source=source, event_id="", name="", verdict="held", reason=broken.what, identifier_key=broken.identifier_key) for broken in found.broken if broken.identifier_key not in away]
                minutes += [*_requests(entries), Minute(source=source, minute=_minute(last), taken=len(fresh), held=len(found.broken), repeated=len(again), requests=0, last_at=last)]
        finally:
            con.close()
        events.sort(key=lambda event: event.received_at)
        heard.sort(key=lambda one: one.received_at)
        with self.store.transaction() as connection:
            self._hear(connection, events, carried)
            kept.write_heard(connection, heard)
            if batch.entries and batch.entries[0].received_at > int(kept.read_mark(connection, "counted") or 0):
                kept.count(connection, minutes)  # what is read again, because the store was made anew, was counted before
                kept.write_mark(connection, "counted", str(batch.entries[-1].received_at))
            kept.write_mark(connection, "batch", name)
        self.calls += len(heard)

    def _let_in(self, found: Judged) -> tuple[list[dict[str, Any]], frozenset[int]]:
        """Rows that name nobody suppressed, and the identifiers that stay out: those on the list, and those that came beside one."""
        rows = found.rows.to_pylist()
        refused = suppression.refused(self.config, self.state, ((one.identifier_key, one.namespace, one.value) for one in found.carried)).keys()
        if not refused:
            return rows, frozenset()
        named = [{row["identifier_key"], *(row["other_keys"] or ())} for row in rows]
        away = frozenset(refused).union(*(keys for keys in named if keys & refused))
        return [row for row, keys in zip(rows, named, strict=True) if not keys & refused], away

    def _new(self, rows: Sequence[Mapping[str, Any]]) -> tuple[list[LiveEvent], list[LiveEvent]]:
        """Events that are new, and those that were heard, landed or sent before."""
        events = [_event(row) for row in rows]
        ids, keys = [event.event_id for event in events], {event.identifier_key for event in events}
        with self.store.reading() as connection:
            known = kept.known_events(connection, ids)
        release = self.lake.release()
        if release is not None and events:
            wanted = ", ".join(_text(one) for one in ids)
            found = self.lake.answer(lambda table: f"SELECT event_id FROM {table('events')} WHERE identifier_key IN ({_listed(keys)}) AND event_id IN ({wanted})", release.snapshot_id)
            known |= set(found["event_id"].to_pylist())
        fresh: list[LiveEvent] = []
        again: list[LiveEvent] = []
        for event in events:
            (again if event.event_id in known else fresh).append(event)
            known.add(event.event_id)
        return fresh, again

    def _hear(self, connection: kept.Connection, events: Sequence[LiveEvent], carried: Mapping[int, Name]) -> None:
        """Take events in: links first, then whose they are, then the records of everybody they touch."""
        keys = {key for event in events for key in (event.identifier_key, *event.other_keys)}
        released, names = self.released.known(keys)
        owners = kept.owners_of(connection, keys)
        alias = kept.aliases(connection)
        persons = {one.person_key for one in owners.values() if one.person_key is not None} | {alias.get(known.person_key, known.person_key) for known in released.values()}
        owners |= {one.identifier_key: one for held in kept.owned_by_each(connection, persons).values() for one in held}
        named = {**names, **carried}
        ties = Ties(self.config.identity, released, named, owners=owners, aliases=alias)
        for event in events:
            ties.hear(_by_strength(event, self.config, named), source=event.source)
        kept.write_owners(connection, (ties.owners[key] for key in ties.changed if key in ties.owners))
        if len(ties.aliases) > len(alias):
            kept.write_aliases(connection, ties.aliases)
        fresh: dict[int, list[LiveEvent]] = {}
        for event in events:
            if (owner := ties.owner(event.identifier_key)) is not None:
                fresh.setdefault(owner, []).append(event)
        anew: set[int] = set()
        for key in sorted(ties.changed):
            owner = ties.owner(key)
            moved = connection.execute("SELECT DISTINCT person_key FROM events WHERE identifier_key = ? AND person_key IS NOT ?", (key, owner)).fetchall()
            if moved:
                connection.execute("UPDATE events SET person_key = ? WHERE identifier_key = ?", (owner, key))
                anew |= {person for (person,) in moved if person is not None} | ({owner} if owner is not None else set())
        kept.write_events(connection, (_of(event, ties.owner(event.identifier_key)) for event in events))
        kin = {owner for key in ties.changed if (owner := ties.owner(key)) is not None}
        self._record(connection, fresh, anew, kin)

    def _record(self, connection: kept.Connection, fresh: Mapping[int, Sequence[LiveEvent]], anew: set[int], kin: set[int]) -> None:
        """Write the records of all whom events came to, whose events went or came, or whose identifiers changed."""
        touched = sorted({*fresh, *anew, *kin})
        told = kept.records(connection, touched)
        states: dict[int, State] = {}
        taken: dict[int, Sequence[LiveEvent]] = {}
        for person in touched:
            events = ordered(fresh.get(person, ()))
            before = told.get(person)
            state = State() if before is None else State.of(before)
            if person in anew or not state.goes_on(events) or state.events + len(events) > MOST:
                state, events = State(), ordered(kept.events_of(connection, person, most=MOST))
            states[person], taken[person] = state, events
        seeds = self.released.seeds(event.identifier_key for person, events in taken.items() for event in events if event.identifier_key not in states[person].visits)
        held = kept.owned_by_each(connection, touched)
        rows: list[tuple[int, str]] = []
        for person, state in states.items():
            state.take(taken[person], seeds)
            if state.events:
                names = [{"namespace": one.namespace, "value": one.value, "source": one.source} for one in held.get(person, ())]
                rows.append((person, _json(state.record() | {"identifiers": names})))
        connection.executemany("DELETE FROM people WHERE person_key = ?", [(person,) for person, state in states.items() if not state.events and person in told])
        connection.executemany("INSERT INTO people VALUES (?, ?) ON CONFLICT (person_key) DO UPDATE SET record = excluded.record", rows)

    # the release below

    def _restart(self, connection: kept.Connection, events: Sequence[LiveEvent], release: str, names: Mapping[int, Name]) -> None:
        gone = self._held([event.event_id for event in events])
        left = sorted((event for event in events if event.event_id not in gone), key=lambda event: (event.received_at, event.event_id))
        for table in ("events", "owners", "aliases", "people"):
            connection.execute(f"DELETE FROM {table}")
        self._hear(connection, left, names)
        kept.write_mark(connection, "release", release)

    def _held(self, ids: Sequence[str]) -> set[str]:
        """Those of these events that the release knows."""
        import pyarrow as pa

        release = self.lake.release()
        if release is None or not ids:
            return set()
        con = self.lake.duck.cursor()
        try:
            con.register("_asked", pa.table({"event_id": pa.array(ids, pa.string())}))
            moment = f"TIMESTAMPTZ '{release.moment.isoformat(sep=' ')}'"
            sql = f"SELECT event_id FROM {self.lake.scan('events', release.snapshot_id)} e SEMI JOIN _asked a USING (event_id) WHERE e.received_at <= {moment}"
            return {row[0] for row in con.execute(sql).fetchall()}
        finally:
            con.close()

    def _landed(self) -> tuple[list[LiveEvent], dict[int, Name]]:
        """Events that came through the inbox, landed, and are in no release; kind and value of what they carry."""
        release = self.lake.release()
        moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) if release is None else release.moment
        at = self.lake.snapshot()
        _, files = self.lake.files("events", at)
        if not files:
            return [], {}
        before = "" if release is None else f" AND NOT EXISTS (SELECT 1 FROM {self.lake.scan('events', release.snapshot_id)} r WHERE r.event_id = e.event_id AND r.received_at <= TIMESTAMPTZ '{moment.isoformat(sep=' ')}')"
        rows = self.lake.answer(lambda table: f"SELECT * EXCLUDE (properties), CAST(properties AS VARCHAR) AS properties FROM {table('events')} e WHERE starts_with(batch_id, 'inbox:'){before}", at)
        events = [_event(row) for row in rows.to_pylist() if row["identifier_key"] is not None]
        keys = {key for event in events for key in (event.identifier_key, *event.other_keys)}
        return events, self._named(keys, at)

    def _named(self, keys: Iterable[int], at: int) -> dict[int, Name]:
        wanted = sorted(set(keys))
        if not wanted:
            return {}
        rows = self.lake.answer(lambda table: f"SELECT identifier_key, namespace, value FROM {table('identifiers')} WHERE identifier_key IN ({_listed(wanted)})", at)
        return {row["identifier_key"]: Name(namespace=row["namespace"], value=row["value"]) for row in rows.to_pylist()}

    def _existing(self, table: str) -> str | None:
        _, files = self.lake.files(table)
        return self.lake.scan(table) if files else None


def _names(connection: kept.Connection) -> dict[int, Name]:
    return {key: Name(namespace=namespace, value=value) for key, namespace, value in connection.execute("SELECT identifier_key, namespace, value FROM owners")}


def _by_strength(event: LiveEvent, config: Config, names: Mapping[int, Name]) -> list[int]:
    """The event's identifiers, the strongest first."""
    others = sorted((key for key in event.other_keys if key in names), key=lambda key: (*config.identity.strength(names[key].namespace), key))
    return [event.identifier_key, *others]


def _event(row: Mapping[str, Any]) -> LiveEvent:
    facts = {name: _plain(value) for name, value in row.items() if name not in _APART and value is not None}
    return LiveEvent(
        event_id=row["event_id"], identifier_key=row["identifier_key"], other_keys=tuple(row["other_keys"] or ()), source=row["source"], name=row["name"], kind=row["kind"],
        occurred_at=micros(row["occurred_at"]), received_at=micros(row["received_at"]), facts=facts,
    )  # fmt: skip


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, (Decimal, dt.datetime, dt.date)) else value


def _of(event: LiveEvent, person: int | None) -> LiveEvent:
    return LiveEvent(
        event_id=event.event_id, identifier_key=event.identifier_key, other_keys=event.other_keys, source=event.source, name=event.name, kind=event.kind, occurred_at=event.occurred_at,
        received_at=event.received_at, facts=event.facts, person_key=person,
    )  # fmt: skip


def _heard(event: LiveEvent, verdict: str) -> Heard:
    shown = {name: value for name, value in event.facts.items() if name != "properties"}
    marks = "breaks the tracking plan" if "_violations" in str(event.facts.get("properties", "")) else ""
    return Heard(
        received_at=event.received_at, source=event.source, event_id=event.event_id, name=event.name, verdict=verdict, reason=marks if verdict == "taken" else "it was sent before",
        identifier_key=event.identifier_key, occurred_at=event.occurred_at, facts=shown,
    )  # fmt: skip


def _minute(received: int) -> int:
    """The minute of a moment in microseconds, in seconds."""
    return received // 60_000_000 * 60


def _requests(entries: Iterable[Entry]) -> list[Minute]:
    """How many requests came in each minute, by source."""
    found: dict[tuple[str, int], list[int]] = {}
    for entry in entries:
        found.setdefault((entry.source, _minute(entry.received_at)), []).append(entry.received_at)
    return [Minute(source=source, minute=minute, taken=0, held=0, repeated=0, requests=len(moments), last_at=max(moments)) for (source, minute), moments in found.items()]


def _name(one: Carried) -> Name:
    return Name(namespace=one.namespace, value=one.value)


def _listed(keys: Iterable[int]) -> str:
    return ", ".join(str(key) for key in sorted(keys))


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


__all__ = ["CURSOR", "Live"]
