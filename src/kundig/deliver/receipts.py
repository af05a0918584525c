"""Receipts: what became of our messages, as outside tools report it under our ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kundig.schema import step
from kundig.tables.collect import CAMPAIGN_MESSAGES
from kundig.tables.deliver import MESSAGES, RECEIPTS

if TYPE_CHECKING:
    import ibis.expr.types as ir

OUTCOMES = ("delivered", "opened", "clicked", "bounced", "unsubscribed", "complained")
"""Outcomes that a receipt may tell; that it was sent we know ourselves."""


@step(reads=(CAMPAIGN_MESSAGES, MESSAGES), writes=RECEIPTS)
def receipts(campaign_messages: ir.Table, messages: ir.Table) -> ir.Table:
    """What outside tools report of messages of our outbox; the first report of an outcome counts.

    Tools report under `<source>:<id>`; the id is ours when it is the whole text after the last colon. The person is the one we
    wrote to, whatever identifier the tool names.
    """
    told = campaign_messages.filter(campaign_messages.outcome.isin(OUTCOMES))
    told = told.select("outcome", "occurred_at", "received_at", message_id=told.message_id.re_extract(r"([^:]*)$", 1))
    ours = told.join(messages.select("message_id", "person_key"), "message_id")
    return ours.group_by("message_id", "person_key", "outcome").aggregate(occurred_at=ours.occurred_at.min(), received_at=ours.received_at.min())
