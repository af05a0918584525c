"""Writing down what sales did with a lead and what came of it; the next run learns from it, and no run ever changes it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from kundig import audit
from kundig.clock import now
from kundig.errors import ConfigError, nearest

if TYPE_CHECKING:
    from kundig.store.state import State

STATUSES = ("assigned", "contacted", "qualified", "won", "lost", "wrong_fit")
"""What sales say of a lead; the last three are the feedback that scores learn from."""


def write(state: State, identifier_key: int, status: str, *, owner: str | None = None, reason: str = "", actor: str = "cli", at: dt.datetime | None = None) -> str:
    """Append one entry about a lead, and note it in the audit log in the same transaction.

    Args:
        state: The workspace's state.
        identifier_key: Key of an identifier of the lead.
        status: One of `STATUSES`.
        owner: Who has the lead from now on; None: as before.
        reason: Why, without personal data.
        actor: Who says so.
        at: When; now by default.

    Returns:
        Id of the entry.

    Raises:
        ConfigError: There is no such status, or the reason looks like an address or a phone number.
    """
    if status not in STATUSES:
        raise ConfigError(f"there is no status '{status}' of a lead", mend=nearest(status, STATUSES))
    if audit.looks_personal(reason):
        raise ConfigError("the reason looks like an e-mail address or a phone number", mend="say why without naming the person")
    import sqlalchemy as sa

    table = state.sql("lead_log")
    with state.transaction() as connection:
        known = [int(one[1:]) for one in connection.execute(sa.select(table.c.entry_id)).scalars() if one[1:].isdigit()]
        entry_id = f"l{max(known, default=0) + 1:06d}"
        row = {"entry_id": entry_id, "identifier_key": identifier_key, "owner": owner or None, "status": status, "reason": reason, "actor": actor, "occurred_at": at or now()}
        state.insert("lead_log", [row], connection=connection)
        audit.append(state, actor=actor, role="sales", action=status, object_kind="lead_log", object_id=entry_id, details={}, connection=connection)
    return entry_id


__all__ = ["STATUSES", "write"]
