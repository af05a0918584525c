"""Sessions: runs of events of one identifier with no long gap between them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import ibis
import ibis.expr.types as ir

from kundig.schema import Folded, step
from kundig.store.engines.portable import local_day, micros
from kundig.tables.collect import EVENTS, SESSIONS

PURCHASES = ("order_completed", "checkout_confirmed")
"""Events that make a session one that converted: the shop's order, or the tracker's own word for it."""

BACKGROUND = ("group", "alias")
"""Kinds of calls that nobody makes by visiting."""

VISITED = ("web", "ios", "android")
"""Platforms that people visit."""


DAY = 86_400_000_000
"""How far before the first new event a session's beginning is looked for, in microseconds; those that began earlier are cut from all events."""


def cut_anew(
    standing: ir.Table, events: ir.Table, *, added: Mapping[str, ir.Table], recent: Mapping[str, ir.Table], since: dt.datetime, keys: ir.Table, zone: str,
    gap_minutes: int = 30,
) -> Folded:  # fmt: skip
    """Cut anew from the session in which the first new event falls; what came before a gap stays as it stands.

    An identifier whose new events reach back further than `recent` does, or whose session goes on for more than a day, is declined.
    """
    gap = gap_minutes * 60_000_000
    news = _visits(added["events"])
    first = news.group_by("identifier_key").aggregate(new_at=news["at"].min())
    late = first.new_at < micros(ibis.literal(since, type="timestamp('UTC', 6)")) + DAY
    timely = first.filter(~late)
    near = _visits(recent["events"].semi_join(keys, "identifier_key")).inner_join(timely, "identifier_key")
    near = near.filter(near["at"] >= near.new_at - DAY)
    each = ibis.window(group_by=near.identifier_key, order_by=[near.occurred_at, near.event_id])
    near = near.mutate(before=ibis.coalesce(near["at"].lag(1).over(each), near.new_at - DAY))
    begins = near.filter((near["at"] - near.before > gap) & (near["at"] <= near.new_at))
    cuts = begins.group_by("identifier_key").aggregate(from_at=begins["at"].max())
    open_ones = near.drop("before", "new_at").inner_join(cuts, "identifier_key")
    rows = _cut(open_ones.filter(open_ones["at"] >= open_ones.from_at).drop("from_at"), zone, gap)
    stood = standing.filter(standing.started_at >= ibis.literal(since, type="timestamp('UTC', 6)")).inner_join(cuts, "identifier_key")
    gone = stood.filter(micros(stood.started_at) >= stood.from_at).anti_join(rows, "session_id")
    return Folded(rows=rows, gone=gone.select("session_id", "identifier_key"), declined=first.anti_join(cuts, "identifier_key"))


@step(reads=(EVENTS,), writes=SESSIONS, by="identifier_key", fold=cut_anew, folds=(EVENTS,))
def sessions(events: ir.Table, *, zone: str, gap_minutes: int = 30) -> ir.Table:
    """Cut each identifier's events into sessions.

    A new session starts when more than `gap_minutes` passed since the identifier's previous event. The cut depends on event time
    alone, ties broken by event id, so late events and re-runs give the same sessions. Events without an identifier belong to none.
    Channel, campaign and page of a session are those of its first event that names one. What only records tell (an order, a ticket, a
    lead: `order_…` is the shop's own word) belongs to the session it falls in, and makes none by itself.
    """
    return _cut(_visits(events), zone, gap_minutes * 60_000_000)


def _visits(events: ir.Table) -> ir.Table:
    """The events that sessions are made of, and of them what a session tells; `at`: microseconds since 1970."""
    kept = events.filter(events.identifier_key.notnull(), events.kind.notin(BACKGROUND))
    name = kept["name"].fill_null("")
    seen = kept.kind.isin(["page", "screen"])
    return kept.select(
        "identifier_key", "occurred_at", "event_id", "channel", "campaign", "page_path", at=micros(kept.occurred_at), page=seen | name.isin(["page_viewed", "screen_viewed"]),
        bought=name.isin(list(PURCHASES)), there=seen | (kept.platform.isin(list(VISITED)) & ~name.startswith("order_")),
    )  # fmt: skip


def _cut(visits: ir.Table, zone: str, gap: int) -> ir.Table:
    each = ibis.window(group_by=visits.identifier_key, order_by=[visits.occurred_at, visits.event_id])
    placed = visits.mutate(before=visits["at"].lag(1).over(each), place=ibis.row_number().over(each).cast("int64"))
    starts = ibis.ifelse(placed.before.isnull() | (placed["at"] - placed.before > gap), 1, 0).cast("int64")
    so_far = ibis.window(group_by=placed.identifier_key, order_by=placed.place, preceding=None, following=0)
    visits = placed.mutate(run=starts.sum().over(so_far).cast("int64"))
    cut = visits.group_by("identifier_key", "run").aggregate(
        started_at=visits.occurred_at.min(),
        ended_at=visits.occurred_at.max(),
        events=visits.count().cast("int64"),
        pages=visits.page.sum().cast("int64"),
        channel=visits.channel.argmin(visits.place, where=visits.channel.notnull()),
        campaign=visits.campaign.argmin(visits.place, where=visits.campaign.notnull()),
        landing_path=visits.page_path.argmin(visits.place, where=visits.page_path.notnull()),
        converted=visits.bought.any(),
        visited=visits.there.any(),
    )
    cut = cut.filter(cut.visited)
    return cut.select(
        session_id=cut.identifier_key.cast("string") + "-" + micros(cut.started_at).cast("string"),
        identifier_key=cut.identifier_key,
        started_at=cut.started_at,
        ended_at=cut.ended_at,
        local_day=local_day(cut.started_at, zone),
        events=cut.events,
        pages=cut.pages,
        channel=cut.channel,
        campaign=cut.campaign,
        landing_path=cut.landing_path,
        converted=cut.converted.fill_null(False),
    )
