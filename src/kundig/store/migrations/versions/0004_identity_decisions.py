"""What people decided about who is who."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "identity_decisions",
        sa.Column("decision_id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text),
        sa.Column("left_key", sa.BigInteger),
        sa.Column("right_key", sa.BigInteger),
        sa.Column("undoes", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("actor", sa.Text),
        sa.Column("decided_at", sa.BigInteger),
    )
    op.create_index("ix_identity_decisions_left_key", "identity_decisions", ["left_key"])
