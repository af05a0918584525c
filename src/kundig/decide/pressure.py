"""Contact pressure: how many messages reached a person in the rolling windows that caps count, over all channels together."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import ibis

from kundig.schema import step
from kundig.tables.collect import CAMPAIGN_MESSAGES
from kundig.tables.decide import CONTACT_PRESSURE
from kundig.tables.govern import CAPS
from kundig.tables.unify import IDENTITIES

if TYPE_CHECKING:
    import ibis.expr.types as ir

WINDOWS = (1, 7, 30)
"""Days of the rolling windows; a day is 24 hours, whatever the clock does."""

ALL_CHANNELS = "*"
"""The row of all channels together."""


@step(reads=(CAMPAIGN_MESSAGES, IDENTITIES, CAPS), writes=CONTACT_PRESSURE, by="person_key", due="due_at")
def contact_pressure(campaign_messages: ir.Table, identities: ir.Table, caps: ir.Table, *, as_of: dt.datetime) -> ir.Table:
    """Messages sent to each person in the last 24 hours, 7 and 30 days, per channel and over all of them.

    Both what outside tools report as sent and what our own outbox claimed count; a message that an outside tool sent for us
    and reports back under our id counts once. A message is inside a window when as_of - window < sent <= as_of. Persons
    without a message in the longest window have no row.
    """
    now = ibis.literal(as_of, type="timestamp('UTC')")
    messages = _sent_outside(campaign_messages, identities, caps).union(caps.select("person_key", "channel", at=caps.at))
    recent = messages.filter((messages.at <= now) & (messages.at + _days(WINDOWS[-1]) > now))
    both = recent.union(recent.mutate(channel=ibis.literal(ALL_CHANNELS)))
    both = both.mutate(leaves=ibis.cases(*((both.at + _days(days) > now, both.at + _days(days)) for days in WINDOWS)))
    counts = {f"messages_{days}": both.count(where=both.at + _days(days) > now) for days in WINDOWS}
    return both.group_by("person_key", "channel").aggregate(**counts, last_at=both.at.max(), due_at=both.leaves.min())


def _sent_outside(campaign_messages: ir.Table, identities: ir.Table, caps: ir.Table) -> ir.Table:
    """Messages of outside tools, each with the person that its identifier belonged to when it was sent."""
    sent = campaign_messages.filter(campaign_messages.outcome == "sent")
    sent = sent.mutate(own_id=sent.message_id.re_extract(r"([^:]*)$", 1))
    strangers = sent.anti_join(caps.select(own_id=caps.message_id), "own_id")
    held = identities.select("identifier_key", "person_key", "valid_from", "valid_until")
    owned = strangers.join(held, "identifier_key")
    valid = (owned.valid_from <= owned.occurred_at) & (owned.valid_until.isnull() | (owned.occurred_at < owned.valid_until))
    return owned.filter(valid).select("person_key", "channel", at=owned.occurred_at)


def _days(days: int) -> ir.IntervalScalar:
    return ibis.interval(minutes=days * 24 * 60)
