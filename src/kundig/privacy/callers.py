"""Who may ask over HTTP: secret keys of controllers and tools, kept as hashes alone, each with the places that it may be called back at."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kundig import audit
from kundig.clock import now
from kundig.errors import PrivacyError, nearest

if TYPE_CHECKING:
    from kundig.store.state import State

KIND, PREFIX, SCOPE, CALLBACK = "api_key", "pk_", "privacy", "callback:"
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
_PLACE = re.compile(r"https://[A-Za-z0-9.-]+(:\d+)?(/[^\s?#]*)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """A key as it is listed: never the key itself."""

    id: str
    label: str
    callbacks: tuple[str, ...]
    created_at: dt.datetime
    revoked_at: dt.datetime | None


def create(state: State, label: str, *, callbacks: Iterable[str] = ()) -> str:
    """A new key, shown this once.

    Args:
        state: Where keys are kept.
        label: Whose it is, such as the domain of the controller; it stands at the requests as who asked.
        callbacks: Beginnings of addresses that status may be reported to, such as https://shop.example/dsr.

    Raises:
        PrivacyError: The label or an address cannot be used.
    """
    if not _LABEL.fullmatch(label) or audit.looks_personal(label):
        raise PrivacyError(f"'{label}' is no label of a key", mend="letters, digits, blanks, dots and dashes, such as shop.example.org")
    places = tuple(callbacks)
    for place in places:
        if not _PLACE.fullmatch(place):
            raise PrivacyError(f"'{place}' is no address to call back at", mend="write https://host/path, without ? and #")
    key = PREFIX + secrets.token_urlsafe(24)
    row = {"token_hash": _digest(key), "kind": KIND, "source": None, "scopes": [SCOPE, *(CALLBACK + place for place in places)], "label": label, "created_at": now(), "revoked_at": None}
    with state.transaction() as connection:
        state.insert("tokens", [row], connection=connection)
        audit.append(state, actor="cli", role="owner", action="create", object_kind=KIND, object_id=_id(_digest(key)), details={"label": label}, connection=connection)
    return key


def listed(state: State) -> tuple[Caller, ...]:
    """All keys, the oldest first; the revoked ones too."""
    tokens = state.sql("tokens")
    return tuple(sorted((_caller(row) for row in state.select("tokens", tokens.c.kind == KIND) if SCOPE in _scopes(row)), key=lambda one: (one.created_at, one.id)))


def revoke(state: State, key_id: str) -> Caller:
    """Take a key out of use for ever.

    Raises:
        PrivacyError: No key in use has the id.
    """
    held = {one.id: one for one in listed(state) if one.revoked_at is None}
    if key_id not in held:
        raise PrivacyError(f"no key in use has the id '{key_id}'", mend=nearest(key_id, held))
    tokens = state.sql("tokens")
    with state.transaction() as connection:
        connection.execute(tokens.update().where(tokens.c.kind == KIND, tokens.c.token_hash.startswith(key_id[1:])).values(revoked_at=now()))
        audit.append(state, actor="cli", role="owner", action="revoke", object_kind=KIND, object_id=key_id, connection=connection)
    return held[key_id]


def caller(state: State, key: str) -> Caller | None:
    """Who has a key; nobody where it is unknown or out of use."""
    tokens = state.sql("tokens")
    found = state.select("tokens", tokens.c.token_hash == _digest(key), tokens.c.kind == KIND) if key.startswith(PREFIX) else []
    return _caller(found[0]) if found and found[0]["revoked_at"] is None and SCOPE in _scopes(found[0]) else None


def _caller(row: Mapping[str, object]) -> Caller:
    created, revoked = row["created_at"], row["revoked_at"]
    assert isinstance(created, dt.datetime)
    places = tuple(scope.removeprefix(CALLBACK) for scope in _scopes(row) if scope.startswith(CALLBACK))
    return Caller(id=_id(str(row["token_hash"])), label=str(row["label"] or ""), callbacks=places, created_at=created, revoked_at=revoked if isinstance(revoked, dt.datetime) else None)


def _scopes(row: Mapping[str, object]) -> list[str]:
    given = row["scopes"]
    found = json.loads(given) if isinstance(given, str) else given
    return [str(one) for one in found] if isinstance(found, list) else []


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _id(hashed: str) -> str:
    return "k" + hashed[:8]
