"""Tables of `govern`: what ran, who did what, who asked for what, and how healthy it all is; and the state of the house."""

from __future__ import annotations

from kundig.tables._declare import clocks, col, table

RUNS = table(
    "govern", "runs", "Each step of each run: inputs, code, rows, time and memory.", ("run_id", "step"), col("run_id", "int64", "Run."), col("step", "string", "Step."), col("table_name", "string", "Table written."), col("as_of", "timestamp", "As-of moment."),
    col("cause", "string", "full, touched, due, refit, redefined or unchanged."), col("inputs", "json", "Versions of the tables read."), col("fingerprint", "string", "Hash of code and parameters."), col("rows_written", "int64", "Rows written."), col("rows_in", "int64", "Keys recomputed; null for a full run."),
    col("seconds", "float64", "Wall seconds."), col("peak_mb", "float64", "Peak memory of the process so far."), col("finished_at", "timestamp", "When."),
)  # fmt: skip

LINEAGE_EDGES = table(
    "govern", "lineage_edges", "Which table is made from which.", ("table_name", "reads"), col("table_name", "string", "Table."), col("reads", "string", "Table read."), col("step", "string", "Step."),
)  # fmt: skip

QUALITY_RESULTS = table(
    "govern", "quality_results", "Checks of the data, with their result.", ("check", "table_name", "checked_at"), col("check", "string", "Check."), col("table_name", "string", "Table."), col("checked_at", "timestamp", "When."), col("passed", "bool", "Passed."), col("measured", "float64", "Value."), col("expected", "string", "What was expected."),
)  # fmt: skip

INTEGRATION_HEALTH = table(
    "govern", "integration_health", "How each source does.", ("source",), col("source", "string", "Source."), col("last_record_at", "timestamp", "Newest record."), col("records", "int64", "Records landed."), col("quarantined", "int64", "Records held."), col("duplicates", "int64", "Resent records left out."), col("lag_seconds", "float64", "Lag."), col("status", "string", "Status."),
)  # fmt: skip

SCHEDULE_RUNS = table(
    "govern", "schedule_runs", "What the worker ran by the clock.", ("schedule", "planned_at"), col("schedule", "string", "Schedule."), col("planned_at", "timestamp", "Planned."), col("started_at", "timestamp", "Started."), col("finished_at", "timestamp", "Finished."), col("status", "string", "Status."), home="state",
)  # fmt: skip

PROPOSALS = table(
    "govern", "proposals", "Changes to files, waiting for their approver.", ("proposal_id",), col("proposal_id", "string", "Id."), col("path", "string", "File."), col("diff", "string", "Diff."), col("effect", "json", "People and money."), col("author", "string", "Account."), col("status", "string", "Status."), col("created_at", "timestamp", "When."), home="state",
)  # fmt: skip

PRIVACY_REQUESTS = table(
    "govern", "privacy_requests", "Subject requests and what became of them.", ("request_id",), col("request_id", "string", "Id."), col("kind", "string", "access, portability, correction, erasure or restriction; by interfaces also suppression or unsuppression."),
    col("identifier_key", "int64", "Whose data: strongest identifier; null once erased.", "pseudonym"), col("status", "string", "pending, in_progress, partial, finished, lifted, cancelled or failed."),
    col("requested_at", "timestamp", "When."), col("finished_at", "timestamp", "When done."), col("certificate", "json", "Store by store: searched, found before, found after."),
    col("due_at", "timestamp", "By when it must be answered: a month after it was made."), col("requested_by", "string", "Who asked: the person, an account, or the domain of an interface's caller."), col("verified_by", "string", "How it was checked who asks; no personal value."),
    col("external_id", "string", "Id that the caller of an interface gave it.", "pseudonym"), col("stores", "json", "Status of each store or table: done, rows."), col("details", "json", "What is asked beyond the kind: values to correct until they are, callbacks.", "contact"),
    subject="identifier_key", home="state", purpose="legal", retention_days=1_095,
)  # fmt: skip

PROCESSORS = table(
    "govern", "processors", "Who processes data for us.", ("processor",), col("processor", "string", "Name."), col("purpose", "string", "Purpose."), col("country", "string", "Country."), col("contract", "string", "Contract."), col("last_sent_at", "timestamp", "Last data sent."), home="state",
)  # fmt: skip

AUDIT_LOG = table(
    "govern", "audit_log", "Who did what, when; append only, each row hashed with the one before.", ("seq",), col("seq", "int64", "Number."), col("at", "timestamp", "When."), col("actor", "string", "Account or process."), col("role", "string", "Role."), col("action", "string", "Action."), col("object_kind", "string", "Kind."), col("object_id", "string", "Which; never a personal value."),
    col("details", "json", "Details; never a personal value."), col("previous_hash", "string", "Hash of the row before."), col("row_hash", "string", "Hash of this row."), home="state", purpose="legal", retention_days=3_653,
)  # fmt: skip

CONSENT_LOG = table(
    "govern", "consent_log", "The one truth of consent; append only.", ("seq",), col("seq", "int64", "Order of arrival."), col("record_id", "string", "Id of the record; a resend with the same id changes nothing.", "pseudonym"), col("source", "string", "Source."), *clocks(),
    col("identifier_key", "int64", "Identifier.", "pseudonym"), col("other_keys", "list<int64>", "Others the record carries.", "pseudonym"), col("purpose", "string", "Purpose."), col("channel", "string", "Channel; '*' all."), col("status", "string", "See consent_records."), col("basis", "string", "Basis."),
    col("until", "timestamp", "Lapses."), col("wording", "string", "Wording version."), col("wording_hash", "string", "Hash of its text."), col("evidence", "string", "Proof.", "pseudonym"), col("jurisdiction", "string", "Country."),
    subject="identifier_key", home="state", purpose="legal", retention_days=1_095,
)  # fmt: skip

CONSENT_KEYS = table(
    "govern", "consent_keys", "Which records of the consent log name an identifier.", ("identifier_key", "seq"), col("identifier_key", "int64", "Identifier.", "pseudonym"), col("seq", "int64", "Record of the log."), subject="identifier_key", home="state", purpose="legal", retention_days=1_095,
)  # fmt: skip

CAPS = table(
    "govern", "caps", "Messages handed over, for the rolling caps; one row a message.", ("message_id",), col("message_id", "string", "Message.", "pseudonym"), col("person_key", "int64", "Person.", "pseudonym"), col("channel", "string", "Channel."), col("at", "timestamp", "When claimed."), subject="person_key", home="state", purpose="marketing", retention_days=60,
)  # fmt: skip

SUPPRESSIONS = table(
    "govern", "suppressions", "Erased and suppressed identifiers, as HMAC only.", ("digest",), col("digest", "string", "HMAC-SHA256 of 'namespace:value' under the secret key.", "pseudonym"), col("reason", "string", "erased, suppressed, restricted or objected."), col("at", "timestamp", "When."), subject="digest", home="state", purpose="legal",
)  # fmt: skip

USERS = table(
    "govern", "users", "Accounts of the people who work here.", ("user_id",), col("user_id", "string", "Id.", "pseudonym"), col("email", "string", "Address.", "contact"), col("password_hash", "string", "Argon2id.", "sensitive"), col("roles", "json", "Roles."), col("active", "bool", "Active."), col("created_at", "timestamp", "When."), subject="user_id", home="state",
)  # fmt: skip

TOKENS = table(
    "govern", "tokens", "Write keys and secret API keys, hashed.", ("token_hash",), col("token_hash", "string", "SHA-256.", "sensitive"), col("kind", "string", "write_key or api_key."), col("source", "string", "Source it may write."), col("scopes", "json", "Scopes."), col("label", "string", "Label."), col("created_at", "timestamp", "When."), col("revoked_at", "timestamp", "When revoked."), subject="token_hash", home="state",
)  # fmt: skip

LEASES = table(
    "govern", "leases", "Who holds what right now.", ("lease",), col("lease", "string", "What."), col("holder", "string", "Host, pid and a one-off key."), col("until", "timestamp", "Until when without a renewal."), col("fence", "int64", "Rises with each taking."), home="state",
)  # fmt: skip

GOVERN = (RUNS, LINEAGE_EDGES, QUALITY_RESULTS, INTEGRATION_HEALTH, SCHEDULE_RUNS, PROPOSALS, PRIVACY_REQUESTS, PROCESSORS, AUDIT_LOG, CONSENT_LOG, CONSENT_KEYS, CAPS, SUPPRESSIONS, USERS, TOKENS, LEASES)
