"""What is known of a person now: the newest release, and what was heard since; and what rules answer on it, as the next run would.

The live answer at a moment is the batch answer with `as_of` that moment over the calls acknowledged before it, given the identities, scores,
segments and traits of the release, and the certain links since.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from kundig import rules as language
from kundig.clock import instant, micros
from kundig.collect.identifiers import Rules, identifier_key, normalise
from kundig.consent import fold, records_of, standing, suppression
from kundig.rules.facts import Event, State, Timeline
from kundig.store import live as kept
from kundig.store.live import LiveEvent, LiveStore

if TYPE_CHECKING:
    import pyarrow as pa

    from kundig.config.load import Config
    from kundig.rules import Rule
    from kundig.schema import Table
    from kundig.store import Lake
    from kundig.store.state import State as Truth

HISTORY = ("trait_changes", "scores", "segment_members", "list_members", "consents")
"""Tables of the release that rules read states of a person from."""


@dataclass(frozen=True, kw_only=True)
class LivePerson:
    """What was heard of a person since the newest release."""

    person_id: str
    person_key: int
    known: bool
    """The release knows them."""
    heard_at: dt.datetime | None
    session: dict[str, Any] | None
    basket: dict[str, int]
    counters: dict[str, Any]
    identifiers: tuple[dict[str, str], ...]
    events: tuple[dict[str, Any], ...]
    """The newest events, the newest first."""


@dataclass(frozen=True, kw_only=True)
class Owned:
    """Identifiers of a person now, and for how long they have been: rows of `identities`."""

    person_key: int
    rows: tuple[dict[str, Any], ...] = field(default_factory=tuple)

    @property
    def keys(self) -> tuple[int, ...]:
        """The identifiers, each once."""
        return tuple(sorted({row["identifier_key"] for row in self.rows}))


class Now:
    """Reads the live store over the newest release; any thread and any process may."""

    def __init__(self, lake: Lake, config: Config, events: Table, store: LiveStore, *, state: Truth | None = None) -> None:
        self.lake, self.config, self.declared, self.store, self.state = lake, config, events, store, state

    # who

    def resolve(self, identifier: str) -> int | None:
        """The person that an identifier belongs to by now: a person id, or any value as it is written; None where nobody was heard with it."""
        given = identifier.replace("\0", "").strip()
        if re.fullmatch(r"p[0-9a-f]{15}", given):
            return self._turned(int(given[1:], 16))
        country = self.config.settings.workspace.country
        forms = sorted({given, *(form for namespace in self._namespaces() if (form := normalise(namespace, given, country=country, rules=Rules(identity=self.config.identity))))})
        heard = self.store.named(forms)
        if heard is not None and heard.person_key is not None:
            return self._turned(heard.person_key)
        keys = [identifier_key(namespace, form) for namespace in self._namespaces() for form in forms]
        found = self._released(f"identifier_key IN ({', '.join(map(str, sorted(keys)))}) AND valid_until IS NULL AND NOT coalesce(shared, false)")
        return self._turned(found[0]["person_key"]) if found else None

    def _namespaces(self) -> list[str]:
        return sorted({*self.config.identity.namespaces, *(given.segment.user_id for source in self.config.sources.values() for given in source.inputs if given.segment)})

    def _turned(self, person: int) -> int:
        with self.store.reading() as connection:
            alias = kept.aliases(connection)
        while person in alias:
            person = alias[person]
        return person

    def owned(self, person: int) -> Owned:
        """The person's identifiers: the release's, those of visitors who turned out to be them, and those heard since; shared ones are nobody's."""
        with self.store.reading() as connection:
            alias, heard, shared = kept.aliases(connection), kept.owned_by(connection, person), kept.shared_keys(connection)
        persons = sorted({person, *(other for other in alias if self._turned(other) == person)})
        rows = self._released(f"person_key IN ({', '.join(map(str, persons))})") if self.lake.release() is not None else []
        own = {one.identifier_key for one in heard}
        mine = [row | {"person_key": person} for row in rows if row["identifier_key"] not in shared and row["identifier_key"] not in own]
        fresh = [{"identifier_key": key, "person_key": person, "valid_from": dt.datetime(1900, 1, 1, tzinfo=dt.UTC), "valid_until": None, "shared": False} for key in sorted(own)]
        return Owned(person_key=person, rows=(*mine, *fresh))

    def _released(self, where: str) -> list[dict[str, Any]]:
        release = self.lake.release()
        if release is None:
            return []
        sql = f"WHERE {where} ORDER BY valid_from DESC, identifier_key"
        found: list[dict[str, Any]] = self.lake.answer(
            lambda table: f"SELECT identifier_key, person_key, valid_from, valid_until, coalesce(shared, false) AS shared FROM {table('identities')} {sql}", release.snapshot_id
        ).to_pylist()
        return found

    # what

    def person(self, identifier: str, *, most: int = 50) -> LivePerson | None:
        """What was heard of a person since the release; None where nothing was."""
        key = self.resolve(identifier)
        record = None if key is None else self.store.person(key)
        if key is None or record is None:
            return None
        with self.store.reading() as connection:
            events = kept.events_of(connection, key, most=most)
        release = self.lake.release()
        known = release is not None and bool(self.lake.answer(lambda table: f"SELECT 1 FROM {table('profiles')} WHERE person_key = {key}", release.snapshot_id).num_rows)
        session = record["session"]
        return LivePerson(
            person_id=f"p{key:015x}", person_key=key, known=known, heard_at=None if record["heard_at"] is None else instant(record["heard_at"]),
            session=None if session is None else session | {name: instant(session[name]) for name in ("started_at", "ended_at")}, basket=record["basket"],
            counters={name: counted | {at: instant(counted[at]) for at in ("first_at", "last_at")} for name, counted in record["counters"].items()},
            identifiers=tuple(record["identifiers"]), events=tuple(_shown(event) for event in reversed(events)),
        )  # fmt: skip

    # rules

    def timeline(self, wanted: Iterable[Rule], person: int) -> Timeline:
        """All that these rules need to know of a person: the release's history and the events since, each once."""
        import ibis
        import pyarrow as pa

        chosen = list(wanted)
        owned = self.owned(person)
        release = self.lake.release()
        events: dict[str, Event] = {}
        states: tuple[State, ...] = ()
        if release is not None:
            tables = {name: self.lake.ibis(name, release.snapshot_id) for name in HISTORY}
            of = self.lake.ibis("events", release.snapshot_id)
            keys = list(owned.keys) or [-1]
            tables["events"] = of.filter(of.identifier_key.isin(keys), of.received_at <= ibis.literal(release.moment))
            tables["profiles"] = ibis.memtable(pa.table({"person_key": pa.array([person], pa.int64()), "person_id": pa.array([f"p{person:015x}"], pa.string())}))
            tables["identities"] = ibis.memtable(pa.Table.from_pylist(list(owned.rows), schema=_identities()))
            found = language.timelines(chosen, tables, [person]).get(person)
            if found is not None:
                states = found.states
                events = {event.id: event for event in found.events}
        for heard in self.store.events(person):
            events.setdefault(heard.event_id, self._event(heard))
        return Timeline(person=f"p{person:015x}", events=tuple(events.values()), states=states)

    def judge(self, wanted: Mapping[str, Rule], person: int, *, at: dt.datetime) -> dict[str, bool]:
        """The answer of each rule for a person at a moment."""
        if not wanted:
            return {}
        timeline = self.timeline(wanted.values(), person)
        return {name: rule.evaluate(timeline, at=at) for name, rule in wanted.items()}

    def _event(self, heard: LiveEvent) -> Event:
        facts = {name: _typed(heard.facts.get(name), self.declared.column(name).type) for name in self.declared.names if name in heard.facts}
        return Event(id=heard.event_id, name=heard.name, at=heard.occurred_at, received=heard.received_at, properties=facts)

    # consent

    def allows(self, person: int, *, purpose: str, channel: str, at: dt.datetime) -> bool:
        """Whether a purpose may reach a person on a channel now: by what the identifiers of the release say, and all the identifiers they have now.

        A link since the release can take a consent away and never gives one: it must hold without the link and with it. What the log heard
        since the release counts either way.
        """
        if self.state is None:
            return False
        owned = self.owned(person)
        release = {row["identifier_key"] for row in self._released(f"person_key = {person} AND valid_until IS NULL AND NOT coalesce(shared, false)")}
        parts = [release, set(owned.keys)] if release else [set(owned.keys)]
        if self._listed(owned.keys):
            return False
        return all(self._allowed(keys, purpose, channel, at) for keys in parts)

    def _listed(self, keys: Iterable[int]) -> bool:
        """Whether one of these identifiers stands on the suppression list, for whatever reason."""
        wanted = sorted(set(keys))
        listed = {} if self.state is None or not wanted else {row["digest"]: row["reason"] for row in self.state.select("suppressions")}
        if not listed:
            return False
        secret = suppression.key(self.config, in_use=True)
        with self.store.reading() as connection:
            named = {(one.namespace, one.value) for one in kept.owners_of(connection, wanted).values()}
        sql = f"WHERE identifier_key IN ({', '.join(map(str, wanted))})"
        named |= {(row["namespace"], row["value"]) for row in self.lake.answer(lambda table: f"SELECT namespace, value FROM {table('identifiers')} {sql}", self.lake.snapshot()).to_pylist()}
        return any(suppression.reasons_of(namespace, value, listed, secret=secret) for namespace, value in named)

    def _allowed(self, keys: Iterable[int], purpose: str, channel: str, at: dt.datetime) -> bool:
        assert self.state is not None
        records = [record for found in records_of(self.state, keys).values() for record in found]
        history = fold(records, purposes=self.config.purposes, at=at, only=[(purpose, channel)])
        return standing(history, purpose=purpose, channel=channel, at=at).allowed


def _shown(event: LiveEvent) -> dict[str, Any]:
    facts = {name: value for name, value in event.facts.items() if name not in ("properties", "session_key")}
    return {"event_id": event.event_id, "source": event.source, "name": event.name, "at": instant(event.occurred_at), "received_at": instant(event.received_at), "verdict": "taken", **facts}


def _typed(value: Any, type: str) -> Any:
    """A fact as the warehouse gives it to rules."""
    if value is None or type in ("string", "json", "bool", "int64", "float64") or type.startswith("list"):
        return value
    if type.startswith("decimal"):
        return Decimal(str(value))
    if type == "date":
        return dt.date.fromisoformat(str(value))
    return micros(dt.datetime.fromisoformat(str(value))) if type == "timestamp" else value


def _identities() -> pa.Schema:
    import pyarrow as pa

    moment = pa.timestamp("us", tz="UTC")
    return pa.schema([("identifier_key", pa.int64()), ("person_key", pa.int64()), ("valid_from", moment), ("valid_until", moment), ("shared", pa.bool_())])
