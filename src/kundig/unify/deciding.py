"""Writing down what people decide about who is who; the next run acts on it, and no run ever changes it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from kundig import audit
from kundig.clock import now
from kundig.errors import IdentityError

if TYPE_CHECKING:
    from kundig.store.state import State

KINDS = ("same", "different", "undo")


def decide(state: State, kind: str, left_key: int, right_key: int, *, undoes: str | None = None, reason: str = "", actor: str = "cli", at: dt.datetime | None = None) -> str:
    """Append one decision about two identifiers, and note it in the audit log in the same transaction.

    Args:
        state: The workspace's state.
        kind: `same`, `different`, or `undo`.
        left_key: Key of one identifier.
        right_key: Key of the other.
        undoes: The decision (or row of the ledger) that this one takes back.
        reason: Why, without personal data.
        actor: Who decides.
        at: When; now by default.

    Returns:
        Id of the decision.

    Raises:
        IdentityError: The two are one identifier, or the reason looks like an address or a phone number.
    """
    if kind not in KINDS:
        raise IdentityError(f"there is no decision '{kind}'", mend=f"say one of {', '.join(KINDS)}")
    if left_key == right_key:
        raise IdentityError("both sides are the same identifier", mend="name two identifiers, of two people who may be one")
    if audit.looks_personal(reason):
        raise IdentityError("the reason looks like an e-mail address or a phone number", mend="say why without naming the person")
    import sqlalchemy as sa

    table = state.sql("identity_decisions")
    with state.transaction() as connection:
        known = [int(one[1:]) for one in connection.execute(sa.select(table.c.decision_id)).scalars() if one[1:].isdigit()]
        decision_id = f"d{max(known, default=0) + 1:06d}"
        row = {
            "decision_id": decision_id, "kind": kind, "left_key": min(left_key, right_key), "right_key": max(left_key, right_key), "undoes": undoes,
            "reason": reason, "actor": actor, "decided_at": at or now(),
        }  # fmt: skip
        state.insert("identity_decisions", [row], connection=connection)
        audit.append(state, actor=actor, role="crm_manager", action=kind, object_kind="identity_decisions", object_id=decision_id, details={"undoes": undoes or ""}, connection=connection)
    return decision_id


__all__ = ["KINDS", "decide"]
