"""A person's record: session, basket and counters, folded from the events since the release; the order of arrival changes nothing.

The fold goes on from what it made of earlier events (`State`) where the new ones happened after them, and begins anew where they did not.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any

from kundig.clock import instant
from kundig.collect.sessions import BACKGROUND, PURCHASES, VISITED
from kundig.store.live import LiveEvent

GAP = 30 * 60 * 1_000_000
"""Microseconds without an event after which a session is over."""

ADDED, REMOVED = ("product_added",), ("product_removed",)
"""Events that put an article into the basket, and take it out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """The newest session of one of a person's identifiers; moments in microseconds."""

    identifier_key: int
    started_at: int
    ended_at: int
    events: int
    pages: int
    channel: str | None = None
    campaign: str | None = None
    landing_path: str | None = None
    converted: bool = False
    visited: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """Events of one name since the release."""

    count: int
    value: str
    first_at: int
    last_at: int


class Ordered(tuple[LiveEvent, ...]):
    """Events in the order in which they happened: sorted once, folded several times."""


def ordered(events: Iterable[LiveEvent]) -> Ordered:
    """Events by when they happened; ties by id."""
    return events if isinstance(events, Ordered) else Ordered(sorted(events, key=lambda event: (event.occurred_at, event.event_id)))


@dataclass(kw_only=True, slots=True)
class State:
    """What the fold has made of the events up to a last one, and goes on from."""

    last: tuple[int, str] | None = None
    """When the last event happened, and its id: where the next one may begin."""
    events: int = 0
    heard_at: int | None = None
    visits: dict[int, Visit] = field(default_factory=dict)
    """The newest session of each identifier, told or not."""
    basket: dict[str, int] = field(default_factory=dict)
    counters: dict[str, Counted] = field(default_factory=dict)

    def goes_on(self, events: Sequence[LiveEvent]) -> bool:
        """Whether all of these events, in order, happened after the last one."""
        return self.last is None or not events or (events[0].occurred_at, events[0].event_id) > self.last

    def take(self, events: Iterable[LiveEvent], seeds: Mapping[int, Visit] | None = None) -> State:
        """Fold events in; itself. `seeds` are the release's newest sessions, of identifiers that were not heard yet."""
        for event in ordered(events):
            self.last = (event.occurred_at, event.event_id)
            self.events += 1
            self.heard_at = event.received_at if self.heard_at is None else max(self.heard_at, event.received_at)
            _visit(self.visits, event, seeds or {})
            _shop(self.basket, event)
            _count(self.counters, event)
        return self

    def record(self) -> dict[str, Any]:
        """What is kept of a person: the newest session, the basket, counters, the last moment anything was heard; and what the fold goes on from."""
        shown = [visit for visit in self.visits.values() if visit.visited]
        newest = max(shown, key=lambda visit: (visit.ended_at, visit.identifier_key), default=None)
        return {
            "heard_at": self.heard_at, "events": self.events, "session": None if newest is None else _plain(newest), "basket": self.basket,
            "counters": {name: {part: getattr(counted, part) for part in _COUNTED} for name, counted in sorted(self.counters.items())},
            "last": self.last, "visits": [_plain(visit) for visit in self.visits.values()],
        }  # fmt: skip

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> State:
        """The state that a record was told from."""
        visits = {visit["identifier_key"]: Visit(**visit) for visit in record["visits"]}
        counters = {name: Counted(**counted) for name, counted in record["counters"].items()}
        last = record["last"]
        return cls(last=None if last is None else (last[0], last[1]), events=record["events"], heard_at=record["heard_at"], visits=visits, basket=dict(record["basket"]), counters=counters)


def _visit(newest: dict[int, Visit], event: LiveEvent, seeds: Mapping[int, Visit], *, gap: int = GAP) -> None:
    """Take an event into the newest session of its identifier.

    The cut is that of `collect.sessions`: a new session after more than `gap` without an event of the identifier.
    """
    if event.kind in BACKGROUND:
        return
    before = newest.get(event.identifier_key) or seeds.get(event.identifier_key)
    goes_on = before is not None and 0 <= event.occurred_at - before.ended_at <= gap
    if before is not None and event.occurred_at < before.ended_at:
        return  # of a session that is over in the release: the run cuts it anew
    newest[event.identifier_key] = _with(before if goes_on else None, event)


def _with(visit: Visit | None, event: LiveEvent) -> Visit:
    page = event.kind in ("page", "screen") or event.name in ("page_viewed", "screen_viewed")
    visited = event.kind in ("page", "screen") or (event.facts.get("platform") in VISITED and not event.name.startswith("order_"))
    told = {name: event.facts.get(column) for name, column in (("channel", "channel"), ("campaign", "campaign"), ("landing_path", "page_path"))}
    if visit is None:
        return Visit(
            identifier_key=event.identifier_key, started_at=event.occurred_at, ended_at=event.occurred_at, events=1, pages=int(page), converted=event.name in PURCHASES, visited=visited, **told
        )  # fmt: skip
    return Visit(
        identifier_key=visit.identifier_key, started_at=visit.started_at, ended_at=event.occurred_at, events=visit.events + 1, pages=visit.pages + page,
        channel=visit.channel if visit.channel is not None else told["channel"], campaign=visit.campaign if visit.campaign is not None else told["campaign"],
        landing_path=visit.landing_path if visit.landing_path is not None else told["landing_path"], converted=visit.converted or event.name in PURCHASES, visited=visit.visited or visited,
    )  # fmt: skip


def _shop(basket: dict[str, int], event: LiveEvent) -> None:
    """Take an event into the basket: article to pieces, what was put in and not taken out since the last purchase."""
    if event.name in PURCHASES:
        basket.clear()
    if event.name not in ADDED and event.name not in REMOVED:
        return
    article = said(event, "product_id", "productId", "sku")
    if article is None:
        return
    pieces = _pieces(said(event, "quantity"))
    left = basket.get(str(article), 0) + (pieces if event.name in ADDED else -pieces)
    if left > 0:
        basket[str(article)] = left
    else:
        basket.pop(str(article), None)


def said(event: LiveEvent, *names: str) -> Any:
    """The first of these facts that an event has, planned or not; None where it has none."""
    for name in names:
        if event.facts.get(name) is not None:
            return event.facts[name]
    try:
        more = json.loads(event.facts.get("properties") or "{}")
    except (TypeError, ValueError):
        return None
    return next((more[name] for name in names if more.get(name) is not None), None) if isinstance(more, dict) else None


def _pieces(value: Any) -> int:
    try:
        return max(1, int(Decimal(str(value)))) if value is not None else 1
    except (InvalidOperation, ValueError, OverflowError):
        return 1


def _count(counters: dict[str, Counted], event: LiveEvent) -> None:
    """Take an event into number, sum of amounts, first and last moment of the events of its name."""
    amount = Decimal(str(event.facts["value"])) if event.facts.get("value") else Decimal(0)
    before = counters.get(event.name)
    if before is None:
        counters[event.name] = Counted(count=1, value=str(Decimal(0) + amount), first_at=event.occurred_at, last_at=event.occurred_at)
    else:
        counters[event.name] = Counted(count=before.count + 1, value=str(Decimal(before.value) + amount), first_at=before.first_at, last_at=event.occurred_at)


def record(events: Sequence[LiveEvent], seeds: Mapping[int, Visit] | None = None) -> dict[str, Any]:
    """The record of a person of whom these events were heard.

    Examples:
        >>> def event(name, at, **facts):
        ...     return LiveEvent(event_id=str(at), identifier_key=1, other_keys=(), source="web", name=name, kind="track", occurred_at=at, received_at=at, facts=facts)
        >>> record([event("product_added", 2, product_id="B", quantity=2), event("order_completed", 1), event("product_added", 0, product_id="A")])["basket"]
        {'B': 2}
    """
    return State().take(events, seeds).record()


_VISIT = tuple(one.name for one in fields(Visit))
_COUNTED = tuple(one.name for one in fields(Counted))


def _plain(visit: Visit) -> dict[str, Any]:
    return {name: getattr(visit, name) for name in _VISIT}


def told(value: int | None) -> dt.datetime | None:
    """A moment for faces."""
    return None if value is None else instant(value)
