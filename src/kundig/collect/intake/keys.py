"""Write keys: made, listed and revoked in state, where only their hash is kept; and the book of them that the intake asks."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import json
import os
import re
import secrets
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kundig.clock import Clock, now
from kundig.collect.intake.refusals import Refused
from kundig.errors import ConfigError, StoreError, nearest

if TYPE_CHECKING:
    from kundig.store.state import State

KIND = "write_key"
PREFIX = "wk_"
SHOWN = 8
"""Characters of a key's hash that name it, after a `k`: digits alone would look like a phone number."""

EVERY = 0.4
"""Seconds between two looks into state: a revoked key is refused well within one."""

_MEMORY = 20_000
"""Keys as they were sent that the book remembers beside their hashes."""

_SOURCE = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class WriteKey:
    """A write key as it is listed: never the key itself."""

    id: str
    source: str
    label: str
    created_at: dt.datetime
    revoked_at: dt.datetime | None


def digest(key: str) -> str:
    """What is kept of a key: SHA-256. A key has 192 random bits, so nobody finds it by trying."""
    return hashlib.sha256(key.encode()).hexdigest()


def name_of(hashed: str) -> str:
    """The id of a key, by which it is listed and revoked.

    Examples:
        >>> name_of("08602672ff")
        'k08602672'
    """
    return "k" + hashed[:SHOWN]


def create(state: State, source: str, *, label: str = "", clock: Clock = now) -> str:
    """A new write key of a source, shown this once.

    Raises:
        ConfigError: The name of the source is none.
    """
    from kundig import audit

    if not _SOURCE.fullmatch(source):
        raise ConfigError(f"'{source}' is no name of a source", at="sources/", mend="small letters, digits, _ and -, as its file in sources/ is called")
    key = PREFIX + secrets.token_urlsafe(24)
    row = {"token_hash": digest(key), "kind": KIND, "source": source, "scopes": ["ingest"], "label": label, "created_at": clock(), "revoked_at": None}
    with state.transaction() as connection:
        state.insert("tokens", [row], connection=connection)
        audit.append(state, actor="cli", role="owner", action="create", object_kind=KIND, object_id=name_of(digest(key)), details={"source": source}, connection=connection)
    return key


def listed(state: State, source: str | None = None) -> tuple[WriteKey, ...]:
    """All write keys, or those of a source, the oldest first; the revoked ones too."""
    tokens = state.sql("tokens")
    chosen = [tokens.c.kind == KIND] + ([tokens.c.source == source] if source is not None else [])
    found = [
        WriteKey(id=name_of(row["token_hash"]), source=row["source"], label=row["label"] or "", created_at=row["created_at"], revoked_at=row["revoked_at"])
        for row in state.select("tokens", *chosen)
    ]
    return tuple(sorted(found, key=lambda one: (one.created_at, one.id)))


def revoke(state: State, source: str, *, key: str | None = None, every: bool = False, clock: Clock = now) -> tuple[WriteKey, ...]:
    """Take keys of a source out of use for ever; gives them.

    Args:
        state: Where they are kept.
        source: Whose.
        key: Id of one, or the key itself.
        every: All that the source has.
        clock: The moment.

    Raises:
        ConfigError: There is no such key, or it is not said which of several.
    """
    import sqlalchemy as sa

    from kundig import audit

    held = [one for one in listed(state, source) if one.revoked_at is None]
    wanted = name_of(digest(key)) if key and key.startswith(PREFIX) else key
    chosen = [one for one in held if wanted in (None, one.id)]
    if not chosen:
        what = f"source '{source}' has no write key{f' {wanted}' if wanted else ''} in use"
        raise ConfigError(what, at="tokens", mend=nearest(wanted or source, [one.id for one in held] if wanted else {one.source for one in listed(state) if one.revoked_at is None}))
    if len(chosen) > 1 and not every:
        raise ConfigError(f"source '{source}' has {len(chosen)} write keys in use", at="tokens", mend=f"name one with --key ({', '.join(one.id for one in chosen)}), or say --all")
    tokens = state.sql("tokens")
    moment = clock()
    with state.transaction() as connection:
        for one in chosen:
            connection.execute(sa.update(tokens).where(tokens.c.kind == KIND, tokens.c.token_hash.startswith(one.id[1:]), tokens.c.source == source).values(revoked_at=moment))
            audit.append(state, actor="cli", role="owner", action="revoke", object_kind=KIND, object_id=one.id, details={"source": source}, connection=connection)
    return tuple(chosen)


class KeyBook:
    """Which key belongs to which source, in memory: state is asked by a thread, never by a request.

    A copy of the hashes lies beside the workspace's data, so that the intake starts and goes on while state cannot be reached.

    Args:
        state: Where the keys are kept.
        copy: File of the hashes.
        every: Seconds between two looks.
    """

    def __init__(self, state: State, copy: Path, *, every: float = EVERY) -> None:
        self.state = state
        self.copy = copy
        self.every = every
        self._sources: dict[str, str] = {}
        self._revoked: frozenset[str] = frozenset()
        self._known: dict[str, str] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> KeyBook:
        try:
            self.refresh()
        except Exception as error:
            if not self._from_copy():
                raise StoreError(f"the write keys cannot be read: {error}", at="tokens", mend="check [store] state; the intake starts once it answers") from error
        self._thread = threading.Thread(target=self._look, name="write keys", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def source_of(self, key: str) -> str:
        """The source a key writes to; some SDKs demand the form `name:key`, in which the name means nothing.

        Raises:
            Refused: Nobody has this key, or it was revoked.
        """
        known = self._known
        source = known.get(key)
        if source is not None:
            return source
        hashes = [digest(one) for one in dict.fromkeys((key, key.rpartition(":")[2]))]
        source = next((self._sources[hashed] for hashed in hashes if hashed in self._sources), None)
        if source is None:
            raise Refused("revoked_key" if not self._revoked.isdisjoint(hashes) else "unknown_key")
        if len(known) >= _MEMORY:
            known.clear()
        known[key] = source
        return source

    def refresh(self) -> bool:
        """Ask state; gives whether anything changed."""
        tokens = self.state.sql("tokens")
        rows = self.state.select("tokens", tokens.c.kind == KIND)
        sources = {row["token_hash"]: row["source"] for row in rows if row["revoked_at"] is None}
        revoked = frozenset(row["token_hash"] for row in rows if row["revoked_at"] is not None)
        if sources == self._sources and revoked == self._revoked:
            return False
        self._take(sources, revoked)
        with suppress(OSError):
            _write_whole(self.copy, json.dumps({"sources": sources, "revoked": sorted(revoked)}))
        return True

    def _take(self, sources: Mapping[str, str], revoked: frozenset[str]) -> None:
        self._sources, self._revoked, self._known = dict(sources), revoked, {}

    def _from_copy(self) -> bool:
        try:
            held: dict[str, Any] = json.loads(self.copy.read_text(encoding="utf-8"))
            self._take(held["sources"], frozenset(held["revoked"]))
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return True

    def _look(self) -> None:
        while not self._stop.wait(self.every):
            with suppress(Exception):
                self.refresh()


def from_authorization(value: bytes) -> str:
    """The key in an Authorization header: the user of HTTP Basic, with a password also `user:password`; '' where it holds none.

    Examples:
        >>> from_authorization(b"Basic d2tfdGVzdDo="), from_authorization(b"Basic aWQ6c2VjcmV0"), from_authorization(b"Bearer x")
        ('wk_test', 'id:secret', '')
    """
    scheme, _, rest = value.partition(b" ")
    if scheme.lower() != b"basic":
        return ""
    try:
        told = base64.b64decode(rest.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return told.removesuffix(":")


def _write_whole(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)
