"""The first state: every table declared with home="state" in release 0.1."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "approvals",
        sa.Column("approval_id", sa.Text, primary_key=True),
        sa.Column("object_kind", sa.Text),
        sa.Column("object_id", sa.Text),
        sa.Column("version", sa.Text),
        sa.Column("verdict", sa.Text),
        sa.Column("reject_tag", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("role", sa.Text),
        sa.Column("actor", sa.Text),
        sa.Column("decided_at", sa.BigInteger),
    )
    op.create_table(
        "audit_log",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger),
        sa.Column("actor", sa.Text),
        sa.Column("role", sa.Text),
        sa.Column("action", sa.Text),
        sa.Column("object_kind", sa.Text),
        sa.Column("object_id", sa.Text),
        sa.Column("details", sa.Text),
        sa.Column("previous_hash", sa.Text),
        sa.Column("row_hash", sa.Text),
    )
    op.create_table(
        "briefs",
        sa.Column("brief", sa.Text, primary_key=True),
        sa.Column("goal", sa.Text),
        sa.Column("segment_id", sa.Text),
        sa.Column("channel", sa.Text),
        sa.Column("status", sa.Text),
        sa.Column("owner", sa.Text),
        sa.Column("due", sa.BigInteger),
    )
    op.create_table(
        "budgets",
        sa.Column("budget", sa.Text, primary_key=True),
        sa.Column("channel", sa.Text),
        sa.Column("period", sa.Text),
        sa.Column("amount", sa.BigInteger),
        sa.Column("contacts", sa.BigInteger),
        sa.Column("owner", sa.Text),
    )
    op.create_table(
        "caps",
        sa.Column("message_id", sa.Text, primary_key=True),
        sa.Column("person_key", sa.BigInteger),
        sa.Column("channel", sa.Text),
        sa.Column("at", sa.BigInteger),
    )
    op.create_index("ix_caps_person_key", "caps", ["person_key"])
    op.create_table(
        "consent_log",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("record_id", sa.Text),
        sa.Column("source", sa.Text),
        sa.Column("occurred_at", sa.BigInteger),
        sa.Column("received_at", sa.BigInteger),
        sa.Column("identifier_key", sa.BigInteger),
        sa.Column("other_keys", sa.Text),
        sa.Column("purpose", sa.Text),
        sa.Column("channel", sa.Text),
        sa.Column("status", sa.Text),
        sa.Column("basis", sa.Text),
        sa.Column("until", sa.BigInteger),
        sa.Column("wording", sa.Text),
        sa.Column("wording_hash", sa.Text),
        sa.Column("evidence", sa.Text),
        sa.Column("jurisdiction", sa.Text),
    )
    op.create_index("ix_consent_log_identifier_key", "consent_log", ["identifier_key"])
    op.create_table(
        "content_items",
        sa.Column("item_id", sa.Text, primary_key=True),
        sa.Column("title", sa.Text),
        sa.Column("stage", sa.Text),
        sa.Column("owner", sa.Text),
        sa.Column("due", sa.BigInteger),
        sa.Column("revisions", sa.BigInteger),
    )
    op.create_table(
        "dead_letters",
        sa.Column("letter_id", sa.Text, primary_key=True),
        sa.Column("destination", sa.Text),
        sa.Column("person_key", sa.BigInteger),
        sa.Column("body", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("failed_at", sa.BigInteger),
        sa.Column("status", sa.Text),
    )
    op.create_index("ix_dead_letters_person_key", "dead_letters", ["person_key"])
    op.create_table(
        "in_app_states",
        sa.Column("person_key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("campaign", sa.Text, primary_key=True),
        sa.Column("dismissed_until", sa.BigInteger),
        sa.Column("seen_at", sa.BigInteger),
    )
    op.create_index("ix_in_app_states_person_key", "in_app_states", ["person_key"])
    op.create_table(
        "incidents",
        sa.Column("incident_id", sa.Text, primary_key=True),
        sa.Column("kpi", sa.Text),
        sa.Column("opened_at", sa.BigInteger),
        sa.Column("closed_at", sa.BigInteger),
        sa.Column("status", sa.Text),
        sa.Column("owner", sa.Text),
    )
    op.create_table(
        "leases",
        sa.Column("lease", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text),
        sa.Column("until", sa.BigInteger),
        sa.Column("fence", sa.BigInteger),
    )
    op.create_table(
        "messages",
        sa.Column("message_id", sa.Text, primary_key=True),
        sa.Column("person_key", sa.BigInteger),
        sa.Column("address", sa.Text),
        sa.Column("channel", sa.Text),
        sa.Column("purpose", sa.Text),
        sa.Column("audience", sa.Text),
        sa.Column("scenario", sa.Text),
        sa.Column("creative_id", sa.Text),
        sa.Column("segment_id", sa.Text),
        sa.Column("offer_code", sa.Text),
        sa.Column("locale", sa.Text),
        sa.Column("variables", sa.Text),
        sa.Column("status", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("run_id", sa.BigInteger),
        sa.Column("queued_at", sa.BigInteger),
        sa.Column("claimed_at", sa.BigInteger),
        sa.Column("sent_at", sa.BigInteger),
        sa.Column("attempts", sa.BigInteger),
        sa.Column("claim", sa.Text),
    )
    op.create_index("ix_messages_person_key", "messages", ["person_key"])
    op.create_table(
        "privacy_requests",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text),
        sa.Column("identifier_key", sa.BigInteger),
        sa.Column("status", sa.Text),
        sa.Column("requested_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("certificate", sa.Text),
    )
    op.create_index("ix_privacy_requests_identifier_key", "privacy_requests", ["identifier_key"])
    op.create_table(
        "processors",
        sa.Column("processor", sa.Text, primary_key=True),
        sa.Column("purpose", sa.Text),
        sa.Column("country", sa.Text),
        sa.Column("contract", sa.Text),
        sa.Column("last_sent_at", sa.BigInteger),
    )
    op.create_table(
        "proposals",
        sa.Column("proposal_id", sa.Text, primary_key=True),
        sa.Column("path", sa.Text),
        sa.Column("diff", sa.Text),
        sa.Column("effect", sa.Text),
        sa.Column("author", sa.Text),
        sa.Column("status", sa.Text),
        sa.Column("created_at", sa.BigInteger),
    )
    op.create_table(
        "schedule_runs",
        sa.Column("schedule", sa.Text, primary_key=True),
        sa.Column("planned_at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("status", sa.Text),
    )
    op.create_table(
        "suppressions",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("reason", sa.Text),
        sa.Column("at", sa.BigInteger),
    )
    op.create_table(
        "syncs",
        sa.Column("destination", sa.Text, primary_key=True),
        sa.Column("person_key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("fields_hash", sa.Text),
        sa.Column("synced_at", sa.BigInteger),
    )
    op.create_index("ix_syncs_person_key", "syncs", ["person_key"])
    op.create_table(
        "tokens",
        sa.Column("token_hash", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text),
        sa.Column("source", sa.Text),
        sa.Column("scopes", sa.Text),
        sa.Column("label", sa.Text),
        sa.Column("created_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
    )
    op.create_table(
        "users",
        sa.Column("user_id", sa.Text, primary_key=True),
        sa.Column("email", sa.Text),
        sa.Column("password_hash", sa.Text),
        sa.Column("roles", sa.Text),
        sa.Column("active", sa.Boolean),
        sa.Column("created_at", sa.BigInteger),
    )
