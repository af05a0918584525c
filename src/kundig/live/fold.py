"""The live fold: the inbox's cursor `live` into one record per person, at once; and its base, the newest release, when that changes."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from kundig.clock import Clock, instant, micros
from kundig.clock import now as present
from kundig.collect.form_calls import form_calls
from kundig.collect.inbox_landing import READERS, read_calls, read_forms
from kundig.collect.judging import READ, Carried, judged
from kundig.live.record import Visit, record
from kundig.live.ties import Known, Name, Ties
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

    def __init__(self, lake: Lake, config: Config, events: Table, store: LiveStore, *, clock: Clock = present) -> None:
        self.lake, self.config, self.declared, self.store, self.clock = lake, config, events, store, clock
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
        minutes: list[Minute] = [_minute(entry.source, entry.received_at, Counter()) for entry in others]
        events: list[LiveEvent] = []
        carried: dict[int, Name] = {}
        con = self.lake.duck.cursor()
        try:
            for source, entries in sorted(groups.items()):
                found = judged(con, self.config, self.declared, source, entries, folder=self.lake.data, now=self.clock(), existing=self._existing)
                carried |= {one.identifier_key: _name(one) for one in found.carried}
                fresh, again = self._new(found.rows.to_pylist())
                events += fresh
                heard += [_heard(event, "taken") for event in fresh] + [_heard(event, "repeated") for event in again]
                last = entries[-1].received_at
                heard += [Heard(received_at=last, source=source, event_id="", name="", verdict="held", reason=broken.what, identifier_key=broken.identifier_key) for broken in found.broken]
                minutes += [_minute(source, entry.received_at, Counter()) for entry in entries]
                minutes.append(_minute(source, last, Counter(taken=len(fresh), repeated=len(again), held=len(found.broken)), requests=0))
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
        released, names = self._released(keys)
        owners = kept.owners_of(connection, keys)
        alias = kept.aliases(connection)
        for person in {one.person_key for one in owners.values() if one.person_key is not None} | {alias.get(known.person_key, known.person_key) for known in released.values()}:
            owners |= {one.identifier_key: one for one in kept.owned_by(connection, person)}
        ties = Ties(self.config.identity, released, {**names, **carried}, owners=owners, aliases=alias)
        for event in events:
            ties.hear(_by_strength(event, self.config, {**names, **carried}), source=event.source)
        kept.write_owners(connection, (ties.owners[key] for key in ties.changed if key in ties.owners))
        kept.write_aliases(connection, ties.aliases)
        kept.write_events(connection, (_of(event, ties.owner(event.identifier_key)) for event in events))
        touched = {owner for event in events if (owner := ties.owner(event.identifier_key)) is not None}
        for key in sorted(ties.changed):
            owner = ties.owner(key)
            moved = connection.execute("SELECT DISTINCT person_key FROM events WHERE identifier_key = ? AND person_key IS NOT ?", (key, owner)).fetchall()
            if moved:
                connection.execute("UPDATE events SET person_key = ? WHERE identifier_key = ?", (owner, key))
            touched |= {person for (person,) in moved if person is not None} | ({owner} if owner is not None else set())
        self._record(connection, touched)

    def _record(self, connection: kept.Connection, persons: Iterable[int]) -> None:
        told = {person: kept.events_of(connection, person, most=MOST) for person in sorted(persons)}
        seeds = self._seeds({event.identifier_key for events in told.values() for event in events})
        for person, events in told.items():
            if not events:
                connection.execute("DELETE FROM people WHERE person_key = ?", (person,))
                continue
            found = record(events, seeds)
            found["identifiers"] = [{"namespace": one.namespace, "value": one.value, "source": one.source} for one in kept.owned_by(connection, person)]
            connection.execute("INSERT INTO people VALUES (?, ?) ON CONFLICT (person_key) DO UPDATE SET record = excluded.record", (person, _json(found)))

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

    def _released(self, keys: Iterable[int]) -> tuple[dict[int, Known], dict[int, Name]]:
        """What the release says of identifiers: whose they are now, and what they are."""
        release = self.lake.release()
        wanted = sorted(set(keys))
        if release is None or not wanted:
            return {}, {}
        sql = "SELECT d.identifier_key, d.person_key, coalesce(d.shared, false) AS shared, p.kind FROM {} d LEFT JOIN {} p ON p.person_key = d.person_key WHERE d.valid_until IS NULL AND d.identifier_key IN ({})"
        rows = self.lake.answer(lambda table: sql.format(table("identities"), table("profiles"), _listed(wanted)), release.snapshot_id).to_pylist()
        visitors = self._visitors({row["person_key"] for row in rows if row["kind"] == "visitor"}, release.snapshot_id)
        known = {row["identifier_key"]: Known(person_key=row["person_key"], shared=row["shared"], visitor=row["person_key"] in visitors) for row in rows}
        return known, self._named(known, release.snapshot_id)

    def _visitors(self, persons: Iterable[int], at: int) -> set[int]:
        """Those of these persons of whom nothing but devices is known."""
        wanted = sorted(set(persons))
        if not wanted:
            return set()
        rows = self.lake.answer(lambda table: f"SELECT identifier_key, person_key FROM {table('identities')} WHERE person_key IN ({_listed(wanted)})", at).to_pylist()
        names = self._named((row["identifier_key"] for row in rows), at)
        firm = {row["person_key"] for row in rows if row["identifier_key"] not in names or self.config.identity.namespace(names[row["identifier_key"]].namespace).kind != "device"}
        return set(wanted) - firm

    def _named(self, keys: Iterable[int], at: int) -> dict[int, Name]:
        wanted = sorted(set(keys))
        if not wanted:
            return {}
        rows = self.lake.answer(lambda table: f"SELECT identifier_key, namespace, value FROM {table('identifiers')} WHERE identifier_key IN ({_listed(wanted)})", at)
        return {row["identifier_key"]: Name(namespace=row["namespace"], value=row["value"]) for row in rows.to_pylist()}

    def _seeds(self, keys: Iterable[int]) -> dict[int, Visit]:
        """The newest session of each identifier in the release."""
        release = self.lake.release()
        if release is None or not (wanted := sorted(set(keys))):
            return {}
        chosen = f"identifier_key IN ({_listed(wanted)})"
        rows = self.lake.answer(lambda table: f"SELECT * FROM {table('sessions')} WHERE {chosen} QUALIFY row_number() OVER (PARTITION BY identifier_key ORDER BY started_at DESC) = 1", release.snapshot_id)
        return {row["identifier_key"]: _visit(row) for row in rows.to_pylist()}

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


def _visit(row: Mapping[str, Any]) -> Visit:
    return Visit(
        identifier_key=row["identifier_key"], started_at=micros(row["started_at"]), ended_at=micros(row["ended_at"]), events=row["events"], pages=row["pages"], channel=row["channel"],
        campaign=row["campaign"], landing_path=row["landing_path"], converted=bool(row["converted"]), visited=True,
    )  # fmt: skip


def _heard(event: LiveEvent, verdict: str) -> Heard:
    shown = {name: value for name, value in event.facts.items() if name != "properties"}
    marks = "breaks the tracking plan" if "_violations" in str(event.facts.get("properties", "")) else ""
    return Heard(
        received_at=event.received_at, source=event.source, event_id=event.event_id, name=event.name, verdict=verdict, reason=marks if verdict == "taken" else "it was sent before",
        identifier_key=event.identifier_key, occurred_at=event.occurred_at, facts=shown,
    )  # fmt: skip


def _minute(source: str, received: int, verdicts: Counter[str], *, requests: int = 1) -> Minute:
    return Minute(
        source=source, minute=int(instant(received).timestamp()) // 60 * 60, taken=verdicts["taken"], held=verdicts["held"], repeated=verdicts["repeated"], requests=requests, last_at=received
    )  # fmt: skip


def _name(one: Carried) -> Name:
    return Name(namespace=one.namespace, value=one.value)


def _listed(keys: Iterable[int]) -> str:
    return ", ".join(str(key) for key in sorted(keys))


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


__all__ = ["CURSOR", "Live"]
