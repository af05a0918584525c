"""Suppression: erased and suppressed identifiers are known by an HMAC alone, so that nobody can read who was erased."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kundig.config.load import Config
from kundig.errors import ConfigError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from kundig.store.state import State

SECRET = "${KUNDIG_SUPPRESSION_KEY}"
"""Where the secret key stands: in secrets.toml, or in the environment."""


REFUSED = ("erased", "suppressed")
"""Reasons under which nothing of a person is taken in any more; who only objected is still known."""
PERSON = "person"
"""Namespace of the digests of erased persons' ids."""

ORDER = (*REFUSED, "restricted", "objected")
"""All reasons to stand on the list, the strongest first; who is restricted is kept and taken in, and neither decided for nor addressed."""


def key(config: Config, *, in_use: bool) -> bytes:
    """The workspace's secret key; made on first use, and written into secrets.toml.

    Args:
        config: The workspace.
        in_use: Digests under it are kept already.

    Raises:
        ConfigError: It is not set although digests under it are kept: a new one would find none of them.
    """
    try:
        return config.secret(SECRET).encode()
    except ConfigError:
        if in_use:
            mend = "put back the secrets.toml of before: without it suppressed people cannot be told from others"
            raise ConfigError("the secret 'KUNDIG_SUPPRESSION_KEY' is not set, but the suppression list was made under it", at="secrets.toml", mend=mend) from None
    _write_key(config.root / "secrets.toml", secrets.token_urlsafe(32))
    return config.secret(SECRET).encode()


def _write_key(path: Path, made: str) -> None:
    """Put the key first in the file: what stands last there may belong to a table."""
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    fresh = path.with_name("secrets.toml.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(f'KUNDIG_SUPPRESSION_KEY = "{made}"\n{before}')
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def digest(namespace: str, value: str, *, secret: bytes) -> str:
    """The digest of an identifier: HMAC-SHA256 of 'namespace:value' under the secret key, as hex.

    Examples:
        >>> digest("email", "kim@example.org", secret=b"key")[:12]
        '6eb782479b22'
    """
    return hmac.digest(secret, f"{namespace}:{value}".encode(), "sha256").hex()


def forms(namespace: str, value: str) -> tuple[tuple[str, str], ...]:
    """All that an identifier may come as: itself, and of an e-mail address the SHA-256 that advertisers and tools send in its place.

    Examples:
        >>> [(name, text[:8]) for name, text in forms("email", "kim@example.org")], forms("phone", "+4917112345")
        ([('email', 'kim@exam'), ('email_hash', '1b8d2496')], (('phone', '+4917112345'),))
    """
    return ((namespace, value), ("email_hash", hashlib.sha256(value.encode()).hexdigest())) if namespace == "email" else ((namespace, value),)


def digests(namespace: str, value: str, *, secret: bytes) -> tuple[str, ...]:
    """The digest of each form of an identifier."""
    return tuple(digest(*form, secret=secret) for form in forms(namespace, value))


def restricted_digest(namespace: str, value: str, *, secret: bytes) -> str:
    """The digest under which a restriction stands on the list: one of its own, so that lifting it leaves a suppression or an objection of the same identifier.

    Examples:
        >>> restricted_digest("email", "kim@example.org", secret=b"key") == digest("email", "kim@example.org", secret=b"key")
        False
    """
    return digest(f"restricted:{namespace}", value, secret=secret)


def reasons_of(namespace: str, value: str, listed: Mapping[str, str], *, secret: bytes) -> list[str]:
    """Why an identifier is on the list, the strongest reason first; `listed` maps digests to reasons."""
    every = [of(*form, secret=secret) for form in forms(namespace, value) for of in (digest, restricted_digest)]
    return sorted({listed[one] for one in every if one in listed}, key=ORDER.index)


def refused(config: Config, state: State | None, identifiers: Iterable[tuple[int, str, str]], *, connection: sa.Connection | None = None) -> dict[int, str]:
    """Keys of identifiers under which nothing is taken in any more, and why; nothing is hashed while the list is empty.

    Args:
        config: The workspace, which has the secret key.
        state: Where the list is kept; None: there is none.
        identifiers: (key, namespace, value).
        connection: Read as part of this transaction.

    Raises:
        ConfigError: The list is not empty, and its secret key is not set.
    """
    if state is None:
        return {}
    table = state.sql("suppressions")
    if not state.select("suppressions", table.c.reason.in_(REFUSED), connection=connection, most=1):
        return {}
    secret = key(config, in_use=True)
    by_digest: dict[str, set[int]] = {}
    for number, namespace, value in identifiers:
        for one in digests(namespace, value, secret=secret):
            by_digest.setdefault(one, set()).add(number)
    found: dict[int, str] = {}
    wanted = sorted(by_digest)
    for start in range(0, len(wanted), 500):
        for row in state.select("suppressions", table.c.digest.in_(wanted[start : start + 500]), table.c.reason.in_(REFUSED), connection=connection):
            for number in by_digest[row["digest"]]:
                found[number] = min(row["reason"], found.get(number, row["reason"]), key=ORDER.index)
    return found


def found(identifiers: Iterable[tuple[int, str, str]], suppressed: Mapping[str, str], *, secret: bytes) -> dict[int, str]:
    """The reason for each person of whom an identifier is on the list; the strongest of them, as `ORDER` has it.

    `identifiers` are (person, namespace, value); `suppressed` maps digests to reasons, as table `suppressions` does.
    """
    reasons: dict[int, str] = {}
    for person, namespace, value in identifiers:
        for reason in reasons_of(namespace, value, suppressed, secret=secret):
            if person not in reasons or ORDER.index(reason) < ORDER.index(reasons[person]):
                reasons[person] = reason
    return reasons
