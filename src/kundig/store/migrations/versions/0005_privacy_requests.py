"""Subject requests: until when, who asked, how that was checked, and what became of each store."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    for name, kind in (("due_at", sa.BigInteger), ("requested_by", sa.Text), ("verified_by", sa.Text), ("external_id", sa.Text), ("stores", sa.Text), ("details", sa.Text)):
        op.add_column("privacy_requests", sa.Column(name, kind))
