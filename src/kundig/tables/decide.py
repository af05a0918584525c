"""Tables of `decide`: whom to address, and why (not)."""

from __future__ import annotations

from kundig.tables._declare import changed, col, fact, money, person, table

AUDIENCE_CANDIDATES = table(
    "decide", "audience_candidates", "Whom an audience's rule selects, before the gate is asked.", ("audience", "person_key"),
    col("audience", "string", "Audience (`audiences/<name>.yaml`)."), person(), col("segment_id", "string", "Cell of the matrix; null: in none."), col("locale", "string", "Language of copy for the person."),
    fact("priority", "float64", "What the audience ranks by; more comes first."), money("value", "Expected value; breaks ties."), changed(), subject="person_key", purpose="marketing",
)  # fmt: skip

GATE_FACTS = table(
    "decide", "gate_facts", "What the gate is told of each candidate, per channel asked; suppressions come on top.", ("audience", "person_key", "channel"),
    col("audience", "string", "Audience."), person(), col("channel", "string", "Channel."), col("purpose", "string", "Purpose."), col("preference", "int64", "Place of the channel in the audience's order, 0 first."),
    col("objected", "bool", "Objected to the purpose, on whatever channel, and did not consent to this one since."), col("consent_status", "string", "Standing of the consent for purpose and channel."), col("consent_basis", "string", "Its basis."), col("consent_until", "timestamp", "When it lapses."),
    fact("last_order_at", "timestamp", "Last order that was not cancelled."), fact("contract_until", "timestamp", "End of the running contract."), col("creative", "string", "Status of the creative, or missing."),
    fact("messages_24h", "int64", "Messages over all channels, last 24 hours."), fact("messages_7d", "int64", "Last 7 days."), fact("messages_30d", "int64", "Last 30 days."),
    fact("channel_24h", "int64", "Messages on this channel, last 24 hours."), fact("channel_7d", "int64", "Last 7 days."), fact("channel_30d", "int64", "Last 30 days."),
    col("zone", "string", "Person's time zone; null: not known.", "pseudonym"), col("offer_valid", "bool", "The cell's offer may be made now; null: there is none."), col("offer_stock", "int64", "Pieces of its article; null: not bound to one."),
    col("address", "string", "deliverable, missing or undeliverable."), col("address_key", "int64", "Identifier that serves as address.", "pseudonym"), col("creative_id", "string", "Creative."), col("locale", "string", "Language of copy."),
    col("segment_id", "string", "Cell of the matrix."), col("offer_code", "string", "Offer."), changed(), subject="person_key", purpose="legal", retention_days=395,
)  # fmt: skip

AUDIENCE_MEMBERS = table(
    "decide", "audience_members", "Who is on an audience after the gate, ranked by value × urgency.", ("audience", "person_key"),
    col("audience", "string", "Audience (`audiences/<name>.yaml`)."), person(), col("channel", "string", "Channel the gate allowed."), col("segment_id", "string", "Segment."),
    col("rank", "int64", "1 first."), fact("priority", "float64", "Value × urgency."), col("reason", "string", "Why the person is on it."), changed(),
    subject="person_key", purpose="marketing",
)  # fmt: skip

DECISIONS = table(
    "decide", "decisions", "Every answer of the gate, with its reason.", ("audience", "person_key", "channel"),
    col("audience", "string", "Audience or scenario asked for."), person(), col("channel", "string", "Channel."), col("purpose", "string", "Purpose."), col("allow", "bool", "Allowed."),
    col("reason", "string", "Reason code (closed list)."), col("evidence", "json", "What it rests on.", "pseudonym"), col("policy_version", "string", "Hash of the scenario."), col("decided_at", "timestamp", "As-of moment."), changed(),
    subject="person_key", purpose="legal", retention_days=1_095,
)  # fmt: skip

ASSIGNMENTS = table(
    "decide", "assignments", "Which variant of which experiment a person is in; never changes.", ("experiment", "person_key"),
    col("experiment", "string", "Experiment."), person(), col("variant", "string", "Variant."), col("assigned_at", "timestamp", "When."), subject="person_key", purpose="analytics",
)  # fmt: skip

CONTACT_PRESSURE = table(
    "decide", "contact_pressure", "Messages of the cap windows over all channels.", ("person_key", "channel"),
    person(), col("channel", "string", "Channel; '*' for all."), fact("messages_1", "int64", "Last 24 hours."), fact("messages_7", "int64", "Last 7 days."), fact("messages_30", "int64", "Last 30 days."),
    col("last_at", "timestamp", "Last message."), col("due_at", "timestamp", "When the oldest message leaves its window."), changed(), subject="person_key", purpose="marketing",
)  # fmt: skip

BUDGETS = table(
    "decide", "budgets", "Money and contacts a channel may use.", ("budget",), col("budget", "string", "Name."), col("channel", "string", "Channel."), col("period", "string", "Period."),
    money("amount", "Amount."), col("contacts", "int64", "Contacts."), col("owner", "string", "Owner."), home="state",
)  # fmt: skip

OFFERS = table(
    "decide", "offers", "Offers, their validity and stock.", ("offer_code",), col("offer_code", "string", "Code."), col("meaning", "string", "What it gives."), col("product_id", "string", "Product, if bound to one."),
    col("valid_from", "timestamp", "From."), col("valid_until", "timestamp", "Until."), money("cost", "Cost of one use."), col("active", "bool", "Usable."),
)  # fmt: skip

CHANNEL_PREFERENCES = table(
    "decide", "channel_preferences", "Channel that works best with a person.", ("person_key", "channel"), person(), col("channel", "string", "Channel."), fact("score", "float64", "Share of messages that led to an act."),
    fact("messages", "int64", "Messages it rests on."), changed(), subject="person_key", purpose="marketing",
)  # fmt: skip

CAMPAIGN_STATES = table(
    "decide", "campaign_states", "Where a person stands in a campaign.", ("campaign", "person_key"), col("campaign", "string", "Campaign."), person(), col("step", "string", "Step."), col("entered_at", "timestamp", "Entered."),
    col("due_at", "timestamp", "Next step due."), changed(), subject="person_key", purpose="marketing",
)  # fmt: skip

DECIDE = (AUDIENCE_CANDIDATES, GATE_FACTS, AUDIENCE_MEMBERS, DECISIONS, ASSIGNMENTS, CONTACT_PRESSURE, BUDGETS, OFFERS, CHANNEL_PREFERENCES, CAMPAIGN_STATES)
