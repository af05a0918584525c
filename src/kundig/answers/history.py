"""What happened to a person, in order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kundig.answers.asking import rows

if TYPE_CHECKING:
    from kundig.workspace import Workspace

TIMELINE = 60
ONE_BY_ONE = 8
"""Identifiers up to which a person's events are asked for one identifier after the other: an equality is tested before a row's other columns are read, a list after it."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of a timeline."""

    at: dt.datetime
    kind: str
    what: str
    detail: str = ""
    """Its page, number, campaign or topic."""
    channel: str = ""
    value: float | None = None


def timeline(workspace: Workspace, held: Sequence[Mapping[str, Any]], *, most: int = TIMELINE) -> tuple[Entry, ...]:
    """What happened to the person of these identifiers, newest first: contacts with advertising and social networks (before the first visit too), visits, purchases, contracts, messages, cases, surveys, consents; what an order also told as an event stands once, as do answers to one survey at one moment."""
    if not held:
        return ()
    mine = ", ".join(f"({int(row['identifier_key'])}, {_moment(row['valid_from'])}, {_moment(row['valid_until'])})" for row in held)
    during = "x.occurred_at >= m.valid_from AND (m.valid_until IS NULL OR x.occurred_at < m.valid_until)"
    keys = sorted({int(row["identifier_key"]) for row in held})
    of = f"x.identifier_key IN ({', '.join(map(str, keys))})"
    events = " UNION ALL ".join(f"SELECT * FROM events WHERE identifier_key = {key}" for key in keys) if len(keys) <= ONE_BY_ONE else f"SELECT * FROM events x WHERE {of}"
    ordered = f"SELECT order_id FROM orders x WHERE {of}"
    parts = [
        f"SELECT x.occurred_at AS happened, 'event' AS kind, x.name AS what, coalesce(x.page_path, '') AS detail, coalesce(x.channel, '') AS channel, x.value::DOUBLE AS value FROM (SELECT * FROM ({events}) e WHERE event_id NOT IN ({ordered})) x",
        f"SELECT x.occurred_at, 'order', x.status, x.order_id, coalesce(x.channel, ''), x.net::DOUBLE FROM (SELECT * FROM orders x WHERE {of}) x",
        f"SELECT x.occurred_at, 'message', x.outcome, coalesce(x.campaign, ''), x.channel, NULL FROM (SELECT * FROM campaign_messages x WHERE {of}) x",
        f"SELECT x.occurred_at, 'case', x.status, coalesce(x.topic, ''), coalesce(x.channel, ''), NULL FROM (SELECT * FROM tickets x WHERE {of}) x",
        f"SELECT x.occurred_at, 'ad', coalesce(x.platform, ''), coalesce(x.campaign, ''), coalesce(x.channel, ''), NULL FROM (SELECT * FROM ad_contacts x WHERE {of}) x",
        f"SELECT x.occurred_at, 'social', coalesce(x.kind, ''), coalesce(x.network, ''), '', NULL FROM (SELECT * FROM social_contacts x WHERE {of}) x",
        f"SELECT x.occurred_at, 'survey', coalesce(x.survey, ''), x.question || ': ' || coalesce(x.answer, x.score::VARCHAR, ''), '', NULL FROM (SELECT * FROM survey_answers x WHERE {of}) x",
        f"SELECT x.occurred_at, 'consent', x.status, x.purpose, x.channel, NULL FROM (SELECT * FROM consent_records x WHERE {of}) x",
        f"SELECT x.occurred_at, 'contract', 'subscription', coalesce(x.plan, ''), '', NULL FROM (SELECT * FROM subscriptions x WHERE {of}) x",
        f"SELECT x.occurred_at, 'referral', coalesce(x.status, ''), '', '', NULL FROM (SELECT * FROM referrals x WHERE {of}) x",
    ]
    joined = " UNION ALL ".join(f"{part} JOIN mine m ON x.identifier_key = m.identifier_key AND {during}" for part in parts)
    found = rows(workspace, f"WITH mine(identifier_key, valid_from, valid_until) AS MATERIALIZED (VALUES {mine}) SELECT * FROM ({joined}) t ORDER BY t.happened DESC, t.kind, t.what, t.detail, t.channel, t.value LIMIT {int(most)}")
    return tuple(Entry(at=row.pop("happened"), **row) for row in found)


def _moment(at: dt.datetime | None) -> str:
    return "NULL::TIMESTAMPTZ" if at is None else f"TIMESTAMPTZ '{at.isoformat()}'"
