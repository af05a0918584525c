"""Find the records of the consent log by identifier, and hold each record once."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the index table and fill it from the log; make record ids unique; speed up claims and caps."""
    keys = op.create_table(
        "consent_keys",
        sa.Column("identifier_key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    )
    log = sa.table("consent_log", sa.column("seq"), sa.column("identifier_key"), sa.column("other_keys"))
    for seq, first, others in op.get_bind().execute(sa.select(log.c.seq, log.c.identifier_key, log.c.other_keys)).all():
        named = {key for key in (first, *json.loads(others or "[]")) if key is not None}
        op.bulk_insert(keys, [{"identifier_key": key, "seq": seq} for key in sorted(named)])
    op.create_index("ix_consent_log_record_id", "consent_log", ["record_id"], unique=True)
    op.create_index("ix_caps_person_key_at", "caps", ["person_key", "at"])
    op.create_index("ix_messages_status", "messages", ["status", "message_id"])
