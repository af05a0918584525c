"""Answers of the intake, and what browsers of other origins are told they may read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kundig.collect.intake.refusals import Refused

Header = tuple[bytes, bytes]

ALLOWED = frozenset({"authorization", "content-type", "content-encoding", "anonymousid", "sentat", "x-write-key", "x-retry-count", "x-request-id", "accept", "user-agent"})
"""Headers that SDKs ask leave for; those that begin with `rsa-` and `x-` besides."""

MAX_AGE = b"7200"
"""Seconds for which a browser remembers a preflight; Chromium takes no more."""

EXPOSED: Header = (b"access-control-expose-headers", b"Retry-After, X-RateLimit-Reset")
METHODS: Header = (b"access-control-allow-methods", b"GET, POST, OPTIONS")
VARY: Header = (b"vary", b"Origin")
NO_STORE: Header = (b"cache-control", b"no-store")
GIF = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
"""One transparent pixel."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A status, headers and a body."""

    status: int = 200
    body: bytes = b'{"success":true}'
    kind: bytes = b"application/json"
    headers: tuple[Header, ...] = ()


TAKEN = Answer()
PIXEL = Answer(body=GIF, kind=b"image/gif", headers=(NO_STORE,))


def told(value: Any, *, status: int = 200, headers: tuple[Header, ...] = ()) -> Answer:
    """A value as JSON."""
    return Answer(status=status, body=json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), headers=headers)


def refused(error: Refused) -> Answer:
    """A refusal with its code, sentence and mend, and when to come back."""
    refusal = error.refusal
    headers: tuple[Header, ...] = ()
    if error.retry_after is not None:
        seconds = str(error.retry_after).encode()
        headers = ((b"retry-after", seconds), (b"x-ratelimit-reset", seconds))
    elif refusal.status == 401:
        headers = ((b"www-authenticate", b'Basic realm="write key"'),)
    return told({"success": False, "code": refusal.code, "what": str(error), "mend": refusal.mend}, status=refusal.status, headers=headers)


def start_of(answer: Answer, origin: bytes) -> dict[str, Any]:
    """The ASGI message that begins an answer; with an origin, a page of it may read the answer."""
    headers = [(b"content-type", answer.kind), (b"content-length", str(len(answer.body)).encode()), *answer.headers]
    if origin:
        headers += [(b"access-control-allow-origin", origin), EXPOSED, VARY]
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


def preflight(origin: bytes, asked: bytes, *, private: bool) -> Answer:
    """What a page of an origin may send: any header that an SDK sends, by GET or POST.

    Args:
        origin: Origin of the page.
        asked: Access-Control-Request-Headers.
        private: The page asks for leave to reach a private network.

    Examples:
        >>> dict(preflight(b"https://shop.example.org", b"authorization,rsa-retry-attempt,cookie", private=False).headers)[b"access-control-allow-headers"]
        b'authorization,rsa-retry-attempt'
    """
    names = [name for name in (part.strip().lower() for part in asked.decode("latin-1").split(",")) if name in ALLOWED or name.startswith(("rsa-", "x-"))]
    headers: list[Header] = [METHODS, (b"access-control-max-age", MAX_AGE)]
    if names:
        headers.append((b"access-control-allow-headers", ",".join(names).encode("latin-1")))
    if private:
        headers.append((b"access-control-allow-private-network", b"true"))
    return Answer(body=b"", kind=b"text/plain", headers=tuple(headers))
