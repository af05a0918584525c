"""Who may do what: roles, actions and objects, decided by the policies of `access.cedar`; what no policy permits is denied."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from kundig.config.law import Role
from kundig.errors import AccessDenied

ROLES: tuple[str, ...] = get_args(Role)
Action = Literal["read", "propose", "approve", "reject", "run", "send", "export", "correct", "erase", "manage"]
ACTIONS: tuple[str, ...] = get_args(Action)
KINDS = (
    "workspace", "report", "table", "person", "audience", "scenario", "campaign", "creative", "experiment", "segment", "prediction", "consent", "privacy_request", "audit_log", "source",
    "key", "user",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Object:
    """What something is done to; `personal`: it shows or touches personal data; `author`: the account that proposed it."""

    kind: str
    id: str = ""
    personal: bool = False
    author: str = ""


def allowed(role: str | Iterable[str], action: str, object: Object | str, *, actor: str = "") -> bool:
    """Whether one of the roles may do this; unknown roles, actions and kinds, and errors, are a no.

    Examples:
        >>> allowed("reader", "read", "report"), allowed("reader", "read", Object(kind="person", personal=True))
        (True, False)
        >>> allowed("legal", "approve", Object(kind="scenario", author="b.legal"), actor="b.legal")
        False
    """
    thing = Object(kind=object) if isinstance(object, str) else object
    roles = (role,) if isinstance(role, str) else tuple(role)
    return any(_permitted(one, action, thing.kind, thing.personal, thing.author, actor) for one in roles)


def demand(role: str | Iterable[str], action: str, object: Object | str, *, actor: str = "") -> None:
    """Pass only who may do this.

    Raises:
        AccessDenied: Names the roles that may.
    """
    if allowed(role, action, object, actor=actor):
        return
    kind = object if isinstance(object, str) else object.kind
    roles = role if isinstance(role, str) else ", ".join(sorted(role))
    able = [one for one in ROLES if allowed(one, action, object, actor=actor)]
    raise AccessDenied(f"role {roles or 'none'} may not {action} {kind}", at="access.cedar", mend=f"ask one of: {', '.join(able)}" if able else "nobody may")


@lru_cache(maxsize=1)
def policies() -> str:
    """The text of the policies, as shipped."""
    return (Path(__file__).parent / "access.cedar").read_text(encoding="utf-8")


@lru_cache(maxsize=8_192)
def _permitted(role: str, action: str, kind: str, personal: bool, author: str, actor: str) -> bool:
    if role not in ROLES or action not in ACTIONS or kind not in KINDS:
        return False
    import cedarpy

    thing: dict[str, Any] = {"uid": {"__entity": {"type": "Thing", "id": "it"}}, "attrs": {"kind": kind, "personal": personal, "author": author}, "parents": []}
    request = {"principal": f'Role::"{role}"', "action": f'Action::"{action}"', "resource": 'Thing::"it"', "context": {"actor": actor}}
    try:
        result = cedarpy.is_authorized(request, policies(), [thing])
    except Exception:
        return False
    return result.decision == cedarpy.Decision.Allow and not result.diagnostics.errors
