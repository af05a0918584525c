"""A person's record: session, basket and counters, folded from the events since the release; the order of arrival changes nothing."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
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


def sessions(events: Iterable[LiveEvent], seeds: Mapping[int, Visit] | None = None, *, gap: int = GAP) -> tuple[Visit, ...]:
    """The newest session of each identifier, by its last event; `seeds` are the release's newest ones, which go on where the gap is small enough.

    The cut is that of `collect.sessions`: a new session after more than `gap` without an event of the identifier.
    """
    newest: dict[int, Visit] = {}
    for event in ordered(events):
        if event.kind in BACKGROUND:
            continue
        before = newest.get(event.identifier_key) or (seeds or {}).get(event.identifier_key)
        goes_on = before is not None and 0 <= event.occurred_at - before.ended_at <= gap
        if before is not None and event.occurred_at < before.ended_at:
            continue  # of a session that is over in the release: the run cuts it anew
        newest[event.identifier_key] = _with(before if goes_on else None, event)
    return tuple(sorted((visit for visit in newest.values() if visit.visited), key=lambda visit: (visit.ended_at, visit.identifier_key)))


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


def basket(events: Iterable[LiveEvent]) -> dict[str, int]:
    """Article to pieces: what was put in and not taken out since the last purchase.

    Examples:
        >>> def event(name, at, **facts):
        ...     return LiveEvent(event_id=str(at), identifier_key=1, other_keys=(), source="web", name=name, kind="track", occurred_at=at, received_at=at, facts=facts)
        >>> basket([event("product_added", 2, product_id="B", quantity=2), event("order_completed", 1), event("product_added", 0, product_id="A")])
        {'B': 2}
    """
    found: dict[str, int] = {}
    for event in ordered(events):
        if event.name in PURCHASES:
            found = {}
        if event.name not in ADDED and event.name not in REMOVED:
            continue
        article = said(event, "product_id", "productId", "sku")
        if article is None:
            continue
        pieces = _pieces(said(event, "quantity"))
        left = found.get(str(article), 0) + (pieces if event.name in ADDED else -pieces)
        found = {name: number for name, number in {**found, str(article): left}.items() if number > 0}
    return found


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


def counters(events: Iterable[LiveEvent]) -> dict[str, Counted]:
    """Number, sum of amounts, first and last moment of the events of each name."""
    groups: dict[str, list[LiveEvent]] = {}
    for event in ordered(events):
        groups.setdefault(event.name, []).append(event)
    return {
        name: Counted(
            count=len(found), value=str(sum((Decimal(str(event.facts["value"])) for event in found if event.facts.get("value")), Decimal(0))), first_at=found[0].occurred_at, last_at=found[-1].occurred_at
        )
        for name, found in groups.items()
    }  # fmt: skip


def record(events: Sequence[LiveEvent], seeds: Mapping[int, Visit] | None = None) -> dict[str, Any]:
    """What is kept of a person: the newest session, the basket, counters, the last moment anything was heard."""
    events = ordered(events)
    visits = sessions(events, seeds)
    return {
        "heard_at": max((event.received_at for event in events), default=None), "events": len(events), "session": asdict(visits[-1]) if visits else None, "basket": basket(events),
        "counters": {name: asdict(counted) for name, counted in sorted(counters(events).items())},
    }  # fmt: skip


def told(value: int | None) -> dt.datetime | None:
    """A moment for faces."""
    return None if value is None else instant(value)
