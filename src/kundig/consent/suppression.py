"""Suppression: erased and suppressed identifiers are known by an HMAC alone, so that nobody can read who was erased."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping

SECRET = "${KUNDIG_SUPPRESSION_KEY}"
"""Where the secret key stands: in secrets.toml, or in the environment."""


def digest(namespace: str, value: str, *, secret: bytes) -> str:
    """The digest of an identifier: HMAC-SHA256 of 'namespace:value' under the secret key, as hex.

    Examples:
        >>> digest("email", "kim@example.org", secret=b"key")[:12]
        '6eb782479b22'
    """
    return hmac.digest(secret, f"{namespace}:{value}".encode(), "sha256").hex()


def found(identifiers: Iterable[tuple[int, str, str]], suppressed: Mapping[str, str], *, secret: bytes) -> dict[int, str]:
    """The reason for each person of whom an identifier is suppressed; `erased` before `suppressed` before `objected`.

    `identifiers` are (person, namespace, value); `suppressed` maps digests to reasons, as table `suppressions` does.
    """
    order = ("erased", "suppressed", "objected")
    reasons: dict[int, str] = {}
    for person, namespace, value in identifiers:
        reason = suppressed.get(digest(namespace, value, secret=secret))
        if reason is not None and (person not in reasons or order.index(reason) < order.index(reasons[person])):
            reasons[person] = reason
    return reasons
