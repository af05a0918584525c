"""Tables of `deliver`: what was handed to whom, and what came of it."""

from __future__ import annotations

from kundig.tables._declare import clocks, col, fact, person, table

MESSAGES = table(
    "deliver", "messages", "The outbox: one row a message; claimed, sent or refused once.", ("message_id",),
    col("message_id", "string", "Idempotency key: audience, person, creative, occasion.", "pseudonym"), person(), col("address", "string", "Where it goes.", "contact"), col("channel", "string", "Channel."), col("purpose", "string", "Purpose."),
    col("audience", "string", "Audience."), col("scenario", "string", "Scenario."), col("creative_id", "string", "Creative."), col("segment_id", "string", "Segment."), col("offer_code", "string", "Offer."), col("locale", "string", "Locale."),
    col("variables", "json", "Personal fields for the template.", "contact"), col("status", "string", "queued, claimed, sent, refused or failed."), col("reason", "string", "Reason code of a refusal."), col("run_id", "int64", "Run that queued it."),
    col("queued_at", "timestamp", "When queued."), col("claimed_at", "timestamp", "When the gate was asked again."), col("sent_at", "timestamp", "When handed over."), col("attempts", "int64", "Attempts."),
    col("claim", "string", "Batch that claimed it: where to look for it after a crash."), subject="person_key", home="state", purpose="marketing", retention_days=1_095,
)  # fmt: skip

RECEIPTS = table(
    "deliver", "receipts", "What destinations answered.", ("message_id", "outcome"), col("message_id", "string", "Message.", "pseudonym"), person(), fact("outcome", "string", "delivered, opened, clicked, bounced, unsubscribed, complained."), *clocks(),
    subject="person_key", purpose="marketing", retention_days=1_095,
)  # fmt: skip

SYNCS = table(
    "deliver", "syncs", "What each destination was last told of a person.", ("destination", "person_key"), col("destination", "string", "Destination."), person(), col("fields_hash", "string", "Hash of the fields told.", "pseudonym"),
    col("synced_at", "timestamp", "When."), subject="person_key", home="state", purpose="crm",
)  # fmt: skip

DEAD_LETTERS = table(
    "deliver", "dead_letters", "Events that a destination refused, or was tried with for too long; can be replayed.", ("letter_id",), col("letter_id", "string", "Destination, and place in the inbox."), col("destination", "string", "Destination."),
    col("identifier_key", "int64", "Strongest identifier of the event.", "pseudonym"), col("message_id", "string", "The event's message id.", "pseudonym"), col("body", "json", "The event, as it would be sent.", "sensitive"),
    col("reason", "string", "Why it was refused."), col("failed_at", "timestamp", "When."), col("status", "string", "held, replayed or dropped."), subject="identifier_key", home="state", retention_days=90,
)  # fmt: skip

FORWARDS = table(
    "deliver", "forwards", "Events that wait for a destination which could not take them: tried again, in order per person.", ("destination", "seq", "position"), col("destination", "string", "Destination."),
    col("seq", "int64", "Entry of the inbox."), col("position", "int64", "Place within the entry."), col("identifier_key", "int64", "Strongest identifier of the event: who stays in order.", "pseudonym"),
    col("message_id", "string", "The event's message id.", "pseudonym"), col("body", "json", "The event, as it would be sent.", "sensitive"), col("attempts", "int64", "Tries so far."), col("first_try_at", "timestamp", "When it was first to leave."),
    col("next_try_at", "timestamp", "When it is tried next."), col("reason", "string", "What the destination said last."), subject="identifier_key", home="state", retention_days=30,
)  # fmt: skip

FORWARDED = table(
    "deliver", "forwarded", "Which events were sent in the last days, so that a copy that arrives again is left out.", ("destination", "event_id"), col("destination", "string", "Destination."),
    col("event_id", "string", "Digest of source and message id."), col("sent_at", "timestamp", "When."), home="state", retention_days=3,
)  # fmt: skip

IN_APP_STATES = table(
    "deliver", "in_app_states", "What a person dismissed or saw in the app.", ("person_key", "campaign"), person(), col("campaign", "string", "Campaign."), col("dismissed_until", "timestamp", "Silent until."), col("seen_at", "timestamp", "Seen."),
    subject="person_key", home="state", purpose="marketing", retention_days=395,
)  # fmt: skip

DELIVER = (MESSAGES, RECEIPTS, SYNCS, DEAD_LETTERS, FORWARDS, FORWARDED, IN_APP_STATES)
