"""Requests of the inbox into calls, one line of JSON each: what the envelope says is written into the call that does not say it itself.

A call is not decoded further than its outermost names: its bytes stay as they were sent. Of a name that stands twice in a call the first counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from kundig.clock import instant
from kundig.collect.plain_json import decoded, long_integer, may_be_long
from kundig.collect.sources.raw import Broken
from kundig.store.inbox import Entry

LARGEST_CALL = 32_768
"""Bytes of one call beyond which it is held."""

TYPES = frozenset({"track", "identify", "page", "screen", "group", "alias"})
"""Kinds of calls that the path of a request can name."""


class Meta(msgspec.Struct, kw_only=True):
    """What the intake noted beside a request."""

    path: str = ""
    type: str = ""
    ip: str = ""
    agent: str = ""
    sent_at: str = ""
    webhook: str = ""
    form: str = ""


class _Envelope(msgspec.Struct):
    batch: list[Raw] | UnsetType = UNSET
    sentAt: Raw | UnsetType = UNSET
    context: Raw | UnsetType = UNSET


class _Call(msgspec.Struct):
    type: Raw | UnsetType = UNSET
    timestamp: Raw | UnsetType = UNSET
    originalTimestamp: Raw | UnsetType = UNSET
    sentAt: Raw | UnsetType = UNSET
    receivedAt: Raw | UnsetType = UNSET
    context: Raw | UnsetType = UNSET


_meta = msgspec.json.Decoder(Meta)
_envelope = msgspec.json.Decoder(_Envelope)
_list = msgspec.json.Decoder(list[Raw])
_call = msgspec.json.Decoder(_Call)


@dataclass(frozen=True, kw_only=True, slots=True)
class Calls:
    """Calls as lines, each with the place of its request among the entries, and what is none."""

    lines: tuple[bytes, ...]
    origins: tuple[int, ...]
    """`seq` of the request that each line came in."""
    broken: tuple[Broken, ...]
    """`file` is the place of the request among the entries, `row` the call's place in it."""


def meta_of(entry: Entry) -> Meta:
    """What the intake noted beside a request; nothing where that cannot be read.

    Examples:
        >>> meta_of(Entry(seq=1, received_at=0, source="web", kind="call", meta='{"type": "track"}', body=b"{}")).type
        'track'
    """
    try:
        return _meta.decode(entry.meta)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return Meta()


def calls_of(entries: Iterable[Entry], *, past: bool = False) -> Calls:
    """The calls of requests, in their order.

    A call gets the moment it was received, and where it lacks them the envelope's `sentAt` and `context` and the `type` its path says;
    one without a moment happened when it was received. `receivedAt` is not taken from the sender; with `past` it is, of calls sent to
    `/v1/import`: a history that others recorded keeps its clocks.

    Examples:
        >>> body = b'{"batch": [{"type": "track", "event": "A"}, 7], "sentAt": "2026-01-01T00:00:00Z"}'
        >>> found = calls_of([Entry(seq=9, received_at=1_000_000, source="web", kind="call", meta="{}", body=body)])
        >>> found.lines[0].decode()
        '{"type": "track", "event": "A","receivedAt":"1970-01-01T00:00:01Z","timestamp":"1970-01-01T00:00:01Z"}'
        >>> [(one.row, one.what) for one in found.broken]
        [(2, 'the call is no JSON object')]
    """
    lines: list[bytes] = []
    origins: list[int] = []
    broken: list[Broken] = []
    for place, entry in enumerate(entries):
        try:
            found = list(_lines(entry, past=past))
        except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, ValueError) as error:
            broken.append(_broken(place, 1, f"the body is no JSON that holds calls: {error}", "mend the sender; kundig quarantine fix, then replay", entry.body))
            continue
        for row, (line, what, mend) in enumerate(found, start=1):
            if what:
                broken.append(_broken(place, row, what, mend, line))
            else:
                lines.append(line)
                origins.append(entry.seq)
    return Calls(lines=tuple(lines), origins=tuple(origins), broken=tuple(broken))


def _lines(entry: Entry, *, past: bool) -> Iterator[tuple[bytes, str, str]]:
    """Each call with what is wrong with it and the mend; empty where nothing is."""
    entry.body.decode()
    meta = meta_of(entry)
    received = f'"{instant(entry.received_at).isoformat().replace("+00:00", "Z")}"'.encode()
    envelope = _Envelope()
    body = entry.body.lstrip()
    if body[:1] == b"[":
        raws = _list.decode(body)
    else:
        envelope = _envelope.decode(body)
        raws = envelope.batch if not isinstance(envelope.batch, UnsetType) else [Raw(body)]
    sent = bytes(envelope.sentAt) if not isinstance(envelope.sentAt, UnsetType) else msgspec.json.encode(meta.sent_at) if meta.sent_at else b""
    context = bytes(envelope.context) if not isinstance(envelope.context, UnsetType) and envelope.batch is not UNSET else b""
    kind = msgspec.json.encode(meta.type) if meta.type in TYPES else b""
    recorded = past and meta.type == "import"
    long = may_be_long(body)
    broken_up = b"\n" in body or b"\r" in body
    for raw in raws:
        call = bytes(raw).strip()
        if call[:1] != b"{":
            yield call, "the call is no JSON object", "send one object per call"
        elif len(call) > LARGEST_CALL:
            yield call, f"the call has {len(call):,} bytes, and {LARGEST_CALL:,} are the most", "send less; large texts do not belong into events"
        else:
            try:
                at = long_integer(call) if long else ""
                line = call if recorded or at else _stamped(call, received, sent, context, kind)
            except (ValueError, RecursionError) as error:
                yield call, f"the call cannot be read: {error}", "mend the sender; kundig quarantine fix, then replay"
                continue
            if at:
                yield call, f"an integer has more than 64 bits, at {at}", "send identifiers as text; kundig quarantine fix, then replay"
            else:
                yield line.replace(b"\n", b" ").replace(b"\r", b" ") if broken_up else line, "", ""


def _stamped(call: bytes, received: bytes, sent: bytes, context: bytes, kind: bytes) -> bytes:
    known = _call.decode(call)
    timeless = _silent(known.timestamp) and _silent(known.originalTimestamp)
    if known.receivedAt is not UNSET:
        call = _without(call, "receivedAt")
    if timeless and not (known.timestamp is known.originalTimestamp is known.sentAt is UNSET):
        call = _without(call, "timestamp", "originalTimestamp", "sentAt")
    more = b'"receivedAt":' + received
    if timeless:  # it happened as it came: how far the sender's clock is off is not asked
        more += b',"timestamp":' + received
    elif sent and known.sentAt is UNSET:
        more += b',"sentAt":' + sent
    if kind and known.type is UNSET:
        more += b',"type":' + kind
    if context and known.context is UNSET:
        more += b',"context":' + context
    return call[:-1] + (b"," if call[1:-1].strip() else b"") + more + b"}"


def _without(call: bytes, *names: str) -> bytes:
    told: dict[str, Any] = decoded(call)
    return msgspec.json.encode({name: value for name, value in told.items() if name not in names})


def _silent(value: Raw | UnsetType) -> bool:
    return isinstance(value, UnsetType) or bytes(value) in (b"null", b'""')


def _broken(place: int, row: int, what: str, mend: str, body: bytes) -> Broken:
    return Broken(file=place, row=row, what=what, mend=mend, body=body.decode(errors="replace"))


__all__ = ["LARGEST_CALL", "Calls", "Meta", "calls_of", "meta_of"]
