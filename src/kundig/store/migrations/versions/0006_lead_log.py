"""What sales did with leads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "lead_log",
        sa.Column("entry_id", sa.Text, primary_key=True),
        sa.Column("identifier_key", sa.BigInteger),
        sa.Column("owner", sa.Text),
        sa.Column("status", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("actor", sa.Text),
        sa.Column("occurred_at", sa.BigInteger),
    )
    op.create_index("ix_lead_log_identifier_key", "lead_log", ["identifier_key"])
