"""Forms that were filled in as calls: who they are about, and that they came."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import msgspec

from kundig.collect.calls import meta_of
from kundig.store.inbox import Entry

EVENT = "Form Submitted"
"""Name of the track call; which form it was is its property `form`."""

NAMED = ("userId", "anonymousId")
"""Fields, mostly hidden ones that a tracker fills, that name who it is."""

PERSONAL = ("email", "e_mail", "phone", "phone_number", "mobile", *NAMED)
"""Fields by which a form names somebody."""


class _Files(msgspec.Struct):
    files: tuple[str, ...] = ()


_files = msgspec.json.Decoder(_Files)


def files_of(entry: Entry) -> tuple[str, ...]:
    """Paths, below the workspace, of the lists that were uploaded with a form."""
    return _files.decode(entry.meta).files


def form_calls(entry: Entry) -> Entry:
    """The request as a batch of two calls: an identify call whose traits are the fields, and a track call. A form with an uploaded list
    that names nobody itself is that list alone, and makes no call.

    Their ids are made of the moment and the content, so that landing the request again gives the same ones.

    Examples:
        >>> made = form_calls(Entry(seq=1, received_at=7, source="web", kind="form", meta='{"form": "newsletter"}', body=b'{"email": "anna@example.org", "anonymousId": "a"}'))
        >>> [(call["type"], call.get("traits", call.get("properties"))) for call in msgspec.json.decode(made.body)["batch"]]
        [('identify', {'email': 'anna@example.org'}), ('track', {'form': 'newsletter', 'email': 'anna@example.org'})]
    """
    told: dict[str, Any] = msgspec.json.decode(entry.body)
    if files_of(entry) and not any(told.get(name) for name in PERSONAL):
        return replace(entry, body=b'{"batch":[]}')
    traits = {name: value for name, value in told.items() if name not in NAMED}
    who = {name: told[name] for name in NAMED if name in told}
    stem = f"form-{entry.received_at}-{zlib.crc32(entry.body):08x}"
    calls = [
        {"type": "identify", "messageId": f"{stem}-i", **who, "traits": traits},
        {"type": "track", "event": EVENT, "messageId": f"{stem}-t", **who, "properties": {"form": meta_of(entry).form, **traits}, "context": {"traits": {name: traits[name] for name in ("email", "phone") if name in traits}}},
    ]
    return replace(entry, body=msgspec.json.encode({"batch": calls}))
