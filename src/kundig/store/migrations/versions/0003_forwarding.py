"""Forwarding: what waits for a destination, what was sent lately, and dead letters by identifier."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables; dead letters were written by nothing before."""
    op.drop_table("dead_letters")
    op.create_table(
        "dead_letters",
        sa.Column("letter_id", sa.Text, primary_key=True),
        sa.Column("destination", sa.Text),
        sa.Column("identifier_key", sa.BigInteger),
        sa.Column("message_id", sa.Text),
        sa.Column("body", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("failed_at", sa.BigInteger),
        sa.Column("status", sa.Text),
    )
    op.create_index("ix_dead_letters_identifier_key", "dead_letters", ["identifier_key"])
    op.create_table(
        "forwards",
        sa.Column("destination", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("identifier_key", sa.BigInteger),
        sa.Column("message_id", sa.Text),
        sa.Column("body", sa.Text),
        sa.Column("attempts", sa.BigInteger),
        sa.Column("first_try_at", sa.BigInteger),
        sa.Column("next_try_at", sa.BigInteger),
        sa.Column("reason", sa.Text),
    )
    op.create_index("ix_forwards_identifier_key", "forwards", ["identifier_key"])
    op.create_table(
        "forwarded",
        sa.Column("destination", sa.Text, primary_key=True),
        sa.Column("event_id", sa.Text, primary_key=True),
        sa.Column("sent_at", sa.BigInteger),
    )
