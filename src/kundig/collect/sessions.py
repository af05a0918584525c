"""Sessions: runs of events of one identifier with no long gap between them."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from kundig.schema import step
from kundig.store.engines.portable import local_day, micros
from kundig.tables.collect import EVENTS, SESSIONS

PURCHASES = ("order_completed", "checkout_confirmed")
"""Events that make a session one that converted: the shop's order, or the tracker's own word for it."""

BACKGROUND = ("group", "alias")
"""Kinds of calls that nobody makes by visiting."""

VISITED = ("web", "ios", "android")
"""Platforms that people visit."""


@step(reads=(EVENTS,), writes=SESSIONS, by="identifier_key")
def sessions(events: ir.Table, *, zone: str, gap_minutes: int = 30) -> ir.Table:
    """Cut each identifier's events into sessions.

    A new session starts when more than `gap_minutes` passed since the identifier's previous event. The cut depends on event time
    alone, ties broken by event id, so late events and re-runs give the same sessions. Events without an identifier belong to none.
    Channel, campaign and page of a session are those of its first event that names one. What only records tell (an order, a ticket, a
    lead: `order_…` is the shop's own word) belongs to the session it falls in, and makes none by itself.
    """
    visits = events.filter(events.identifier_key.notnull(), events.kind.notin(BACKGROUND))
    visits = visits.mutate(at=micros(visits.occurred_at))
    order = [visits.occurred_at, visits.event_id]
    each = ibis.window(group_by=visits.identifier_key, order_by=order)
    visits = visits.mutate(before=visits.at.lag(1).over(each))
    starts = ibis.ifelse(visits.before.isnull() | (visits.at - visits.before > gap_minutes * 60_000_000), 1, 0).cast("int64")
    visits = visits.mutate(starts=starts)
    so_far = ibis.window(group_by=visits.identifier_key, order_by=[visits.occurred_at, visits.event_id], preceding=None, following=0)
    visits = visits.mutate(run=visits.starts.sum().over(so_far).cast("int64"))
    rank = ibis.row_number().over(ibis.window(group_by=[visits.identifier_key, visits.run], order_by=[visits.occurred_at, visits.event_id]))
    visits = visits.mutate(place=rank.cast("int64"))
    cut = visits.group_by("identifier_key", "run").aggregate(
        started_at=visits.occurred_at.min(),
        ended_at=visits.occurred_at.max(),
        events=visits.count().cast("int64"),
        pages=visits.count(where=visits.kind.isin(["page", "screen"]) | visits.name.isin(["page_viewed", "screen_viewed"])).cast("int64"),
        channel=visits.channel.argmin(visits.place, where=visits.channel.notnull()),
        campaign=visits.campaign.argmin(visits.place, where=visits.campaign.notnull()),
        landing_path=visits.page_path.argmin(visits.place, where=visits.page_path.notnull()),
        converted=visits.name.isin(list(PURCHASES)).any(),
        visited=(visits.kind.isin(["page", "screen"]) | (visits.platform.isin(list(VISITED)) & ~visits.name.fill_null("").startswith("order_"))).any(),
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
