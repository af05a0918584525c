"""Whether a request is its sender's: signatures and secrets, compared in constant time; what is missing, odd or late is refused.

What is told of a refusal says what is wrong with the request, never what would be right.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import hmac
from collections.abc import Mapping

from kundig.config.webhooks import Signature
from kundig.errors import MissingExtra


def refusal(how: Signature, secret: str, *, headers: Mapping[str, str], query: Mapping[str, str], body: bytes, now: dt.datetime) -> str | None:
    """Why a request is not taken; None where it is the sender's.

    Args:
        how: The scheme.
        secret: The secret, or the public key; an empty one lets nobody in.
        headers: By their names in small letters.
        query: Parameters of the address.
        body: The body as it was sent.
        now: The present moment.

    Examples:
        >>> how = Signature(scheme="hmac", secret="${X}", header="X-Signature", signed="{body}")
        >>> signed = hmac.new(b"key", b"{}", "sha256").hexdigest()
        >>> def sent(given): return refusal(how, "key", headers={"x-signature": given}, query={}, body=b"{}", now=dt.datetime.now(dt.UTC))
        >>> sent(signed), sent(signed[:-1] + "x"), sent("")
        (None, 'the signature is not of this body', 'the header X-Signature is missing')
    """
    if how.scheme == "none":
        return None
    if not secret:
        return "no secret is set here"
    if how.scheme in ("hmac", "ecdsa"):
        return _signed(how, secret, headers, body, now)
    given = _sent(how, headers, query)
    if given is None:
        return f"the {'parameter ' + how.parameter if how.scheme == 'query' else 'header ' + (how.header or 'Authorization')} is missing"
    expected = f"{how.user}:{secret}" if how.scheme == "basic" else secret
    return None if hmac.compare_digest(given.encode(), expected.encode()) else "the secret is another one"


def _sent(how: Signature, headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """The secret that a request carries."""
    if how.scheme == "query":
        return query.get(how.parameter) or None
    if how.scheme == "header":
        return headers.get(how.header.lower()) or None
    kind, _, given = headers.get("authorization", "").partition(" ")
    if kind.lower() != how.scheme or not given:
        return None
    if how.scheme == "bearer":
        return given.strip()
    try:
        return base64.b64decode(given.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _signed(how: Signature, secret: str, headers: Mapping[str, str], body: bytes, now: dt.datetime) -> str | None:
    header = headers.get(how.header.lower(), "").strip()
    if not header:
        return f"the header {how.header} is missing"
    parts = _parts(header)
    stamp = ""
    if how.timestamp:
        stamp = (parts.get(how.timestamp[5:], [""])[0] if how.timestamp.startswith("part=") else headers.get(how.timestamp.lower(), "")).strip()
        if not stamp.isascii() or not stamp.isdigit():
            return "the moment of signing is missing"
        if how.tolerance and abs(int(stamp) - now.timestamp()) > how.tolerance:
            return f"it was signed more than {how.tolerance} seconds from now"
    given = parts.get(how.part, []) if how.part else [header.removeprefix(how.prefix)] if header.startswith(how.prefix) else []
    before, _, after = how.signed.replace("{timestamp}", stamp).partition("{body}")
    message = before.encode() + body + after.encode()
    if how.scheme == "ecdsa":
        right = any(_is_theirs(secret, one, message) for one in given)
    else:
        digest = hmac.new(secret.encode(), message, getattr(hashlib, how.algorithm)).digest()
        right = any(hmac.compare_digest(_bytes(one, how.encoding), digest) for one in given)
    return None if right else "the signature is not of this body"


def _parts(header: str) -> dict[str, list[str]]:
    """The parts of a header like 't=1,v1=ab,v1=cd'."""
    found: dict[str, list[str]] = {}
    for part in header.split(","):
        name, equals, value = part.strip().partition("=")
        if equals:
            found.setdefault(name, []).append(value)
    return found


def _bytes(text: str, encoding: str) -> bytes:
    try:
        return bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return b""


def _is_theirs(key: str, signature: str, message: bytes) -> bool:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ModuleNotFoundError as error:
        raise MissingExtra("webhooks", purpose="checking signatures made with ECDSA") from error
    try:
        public = serialization.load_pem_public_key(key.encode()) if "BEGIN" in key else serialization.load_der_public_key(base64.b64decode(key, validate=True))
        if not isinstance(public, ec.EllipticCurvePublicKey):
            return False
        public.verify(base64.b64decode(signature, validate=True), message, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True
