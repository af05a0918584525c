"""Calls by an image's address, for mails and pages without scripts: the call as base64 of JSON, or its parts as parameters."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Mapping
from typing import Any

from kundig.collect.intake.refusals import Refused

NAMED = ("messageId", "userId", "anonymousId", "event", "name", "category", "timestamp", "sentAt")
"""Parameters that are parts of the call itself; all others are its properties."""

KEYS = ("writeKey", "write_key", "data")


def call_of(query: Mapping[str, str], kind: str) -> tuple[bytes, str]:
    """A call as JSON, and the key it names.

    Args:
        query: Parameters of the address.
        kind: track or page.

    Raises:
        Refused: `data` cannot be read, or there is nothing in the address.

    Examples:
        >>> call_of({"writeKey": "k", "event": "Opened", "userId": "7", "messageId": "m", "campaign": "may"}, "track")
        (b'{"type": "track", "event": "Opened", "userId": "7", "messageId": "m", "properties": {"campaign": "may"}}', 'k')
    """
    key = query.get("writeKey") or query.get("write_key") or ""
    if query.get("data"):
        call = _from_data(query["data"])
        return _spelled({"type": kind} | call | ({} if "messageId" in call else {"messageId": f"pixel-{secrets.token_hex(12)}"})), key or str(call.get("writeKey", ""))
    call = {"type": kind} | {name: value for name, value in query.items() if name in NAMED and value}
    if len(call) == 1:
        raise Refused("no_event", "neither data nor event, userId or anonymousId")
    call.setdefault("messageId", f"pixel-{secrets.token_hex(12)}")
    properties = {name: value for name, value in query.items() if name not in NAMED and name not in KEYS}
    return _spelled(call | ({"properties": properties} if properties else {})), key


def _spelled(call: Mapping[str, Any]) -> bytes:
    return json.dumps(call, ensure_ascii=False).encode()


def _from_data(text: str) -> dict[str, Any]:
    plain = text.replace(" ", "+").replace("-", "+").replace("_", "/")
    try:
        told = json.loads(base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise Refused("json", f"data is no base64 of JSON: {str(error)[:100]}") from None
    if not isinstance(told, dict) or not told:
        raise Refused("no_event", "data is no object")
    return told
