"""Bodies as they come: read within limits, decompressed within limits, and judged as JSON; events are not judged here but at landing."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from kundig.collect.intake.refusals import Refused
from kundig.collect.plain_json import long_integer

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
DRAINED = 128_000_000
"""Bytes of a refused body that are still read."""

PLAIN = frozenset({b"", b"identity", b"utf-8"})
PACKED = frozenset({b"gzip", b"x-gzip", b"deflate", b"zlib"})


class Gone(Exception):
    """The client went away before its body had arrived."""


class Budget:
    """Bytes of bodies that may be held in memory at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0

    def take(self, size: int) -> None:
        """Count bytes in.

        Raises:
            Refused: They would be too many.
        """
        if self.held and self.held + size > self.most:
            raise Refused("busy")
        self.held += size

    def give(self, size: int) -> None:
        """Count bytes out."""
        self.held -= size


async def read(receive: Receive, declared: int, *, most: int, seconds: float, budget: Budget) -> bytes:
    """The body of a request, as it was sent; its bytes are counted in the budget, and the caller counts them out.

    What is left of a body that is too large is read and thrown away: a sender that is cut off while it sends does not see the answer.

    Args:
        receive: Of the ASGI server.
        declared: Content-Length, -1 where none was given.
        most: Bytes at most.
        seconds: Within which it must arrive.
        budget: Of all bodies that are held at once.

    Raises:
        Refused: It is larger, or too slow, or too many are held.
        Gone: The client went away.
    """
    message: MutableMapping[str, Any] = await receive() if declared <= most else {"type": "http.request", "more_body": True}
    first: bytes = message.get("body", b"")
    if declared <= most and not message.get("more_body", False) and message["type"] == "http.request":
        if len(first) > most:
            raise Refused("body_too_large", f"{len(first):,} of {most:,} bytes")
        budget.take(len(first))
        return first
    parts, size, held = [first], len(first), 0
    try:
        async with asyncio.timeout(seconds):
            budget.take(size)
            held = size
            while message.get("more_body", False):
                if max(size, declared) > most:
                    budget.give(held)
                    held = 0
                    parts.clear()
                    await _drain(receive, DRAINED - max(size, declared))
                    raise Refused("body_too_large", f"{max(size, declared):,} of {most:,} bytes")
                message = await receive()
                part = message.get("body", b"")
                budget.take(len(part))
                held += len(part)
                size += len(part)
                parts.append(part)
            if message["type"] == "http.disconnect":
                raise Gone
            if size > most:
                raise Refused("body_too_large", f"{size:,} of {most:,} bytes")
    except TimeoutError:
        budget.give(held)
        raise Refused("slow", f"{size:,} bytes in {seconds:.0f} s") from None
    except BaseException:
        budget.give(held)
        raise
    return b"".join(parts)


async def _drain(receive: Receive, most: int) -> None:
    more = most > 0
    while more and most > 0:
        message = await receive()
        most -= len(message.get("body", b""))
        more = message["type"] == "http.request" and message.get("more_body", False)


def decoded(body: bytes, encoding: bytes, *, most: int) -> bytes:
    """The body as text: decompressed where its header or its first bytes say so, without a byte order mark, and checked to be UTF-8.

    Raises:
        Refused: It is no gzip, too large, or no UTF-8.

    Examples:
        >>> import gzip
        >>> decoded(gzip.compress(b"{}"), b"", most=100)
        b'{}'
    """
    if body[:2] == GZIP:
        body = decompressed(body, most=most)
    elif encoding not in PLAIN:
        if encoding not in PACKED:
            raise Refused("encoding", encoding.decode("latin-1")[:40])
        body = body if body.lstrip()[:1] in (b"{", b"[") else decompressed(body, most=most)
    if body[:3] == BOM:
        body = body[3:]
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise Refused("json_utf8", f"byte {error.start}") from None
    return body


def decompressed(body: bytes, *, most: int) -> bytes:
    """Gzip or zlib bytes decompressed; several gzip members in a row are one.

    Raises:
        Refused: They are damaged or cut, or larger than `most` bytes when decompressed; no more than that is ever made of them.
    """
    parts: list[bytes] = []
    size = 0
    rest = body
    while rest:
        stream = zlib.decompressobj(47)
        try:
            part = stream.decompress(rest, most - size + 1)
        except zlib.error as error:
            raise Refused("gzip", str(error)) from None
        size += len(part)
        if size > most:
            raise Refused("bomb", f"{len(body):,} bytes become more than {most:,}")
        if not stream.eof:
            raise Refused("gzip", "it ends too early")
        parts.append(part)
        rest = stream.unused_data
    return b"".join(parts)


class _Envelope(msgspec.Struct):
    batch: list[Raw] | UnsetType | None = UNSET
    writeKey: Raw | UnsetType = UNSET


_envelope = msgspec.json.Decoder(_Envelope)
_array = msgspec.json.Decoder(list[Raw])
_anything = msgspec.json.Decoder()
_POSITION = re.compile(r"\(byte (\d+)\)")


@dataclass(frozen=True, slots=True)
class Content:
    """What a body of JSON holds: how many events, whether in a batch, and the key it names ('' for none)."""

    events: int
    batch: bool
    key: str


def judged(body: bytes) -> Content:
    """How many events a body of JSON holds.

    The whole text is checked to be JSON; events are looked into no further than that, but for numbers of a single call.

    Raises:
        Refused: It is no JSON that anybody can read, or holds no event.

    Examples:
        >>> judged(b'{"batch": [{}, 7], "writeKey": "k"}')
        Content(events=2, batch=True, key='k')
        >>> judged(b'{"event": "A"}').batch
        False
        >>> judged(b'[]')
        Traceback (most recent call last):
        ...
        kundig.collect.intake.refusals.Refused: the body holds no event
    """
    try:
        if body[:1] == b"[" or body.lstrip()[:1] == b"[":
            found: list[Raw] | UnsetType | None = _array.decode(body)
            key: Raw | UnsetType = UNSET
        else:
            envelope = _envelope.decode(body)
            found, key = envelope.batch, envelope.writeKey
    except RecursionError:
        raise Refused("json_depth", "more than 900 levels") from None
    except msgspec.ValidationError as error:
        raise Refused("no_event", str(error)) from None
    except (msgspec.DecodeError, ValueError) as error:
        raise _malformed(body, error) from None
    if found is None or isinstance(found, UnsetType):
        if found is None or not body.strip(b" \t\r\n{}"):
            raise Refused("no_event")
        _refuse_long_integers(body)
        return Content(1, False, _text(key))
    if not found:
        raise Refused("no_event")
    return Content(len(found), True, _text(key))


def _text(key: Raw | UnsetType) -> str:
    if isinstance(key, UnsetType):
        return ""
    told = _anything.decode(key)
    return told if isinstance(told, str) else ""


def _malformed(body: bytes, error: Exception) -> Refused:
    found = _POSITION.search(str(error))
    place = int(found[1]) if found else len(body)
    if body[place : place + 3] in (b"NaN", b"Inf", b"-In") or body[place - 1 : place + 2] == b"-In" or body[place : place + 2] == b"-N":
        return Refused("json_nan", f"byte {place}")
    return Refused("json", str(error).removeprefix("JSON is malformed: "))


def _refuse_long_integers(body: bytes) -> None:
    try:
        place = long_integer(body)
    except RecursionError:
        raise Refused("json_depth", "more than 900 levels") from None
    except ValueError as error:
        raise Refused("json", str(error)) from None
    if place:
        raise Refused("json_integer", f"at {place}")
