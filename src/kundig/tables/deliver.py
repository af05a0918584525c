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
    "deliver", "dead_letters", "What a destination refused for good; can be replayed.", ("letter_id",), col("letter_id", "string", "Id."), col("destination", "string", "Destination."), person(), col("body", "json", "What was sent.", "sensitive"),
    col("reason", "string", "Why it was refused."), col("failed_at", "timestamp", "When."), col("status", "string", "held, replayed or dropped."), subject="person_key", home="state", retention_days=90,
)  # fmt: skip

IN_APP_STATES = table(
    "deliver", "in_app_states", "What a person dismissed or saw in the app.", ("person_key", "campaign"), person(), col("campaign", "string", "Campaign."), col("dismissed_until", "timestamp", "Silent until."), col("seen_at", "timestamp", "Seen."),
    subject="person_key", home="state", purpose="marketing", retention_days=395,
)  # fmt: skip

DELIVER = (MESSAGES, RECEIPTS, SYNCS, DEAD_LETTERS, IN_APP_STATES)
