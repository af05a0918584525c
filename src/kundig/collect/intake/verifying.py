"""Who may hand in a webhook: the protocol that signature checks keep, and the one that asks for a write key."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """A webhook as it came: `headers` by their names in small letters, `body` decompressed and otherwise untouched."""

    name: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    sent_body: bytes
    """The body before it was decompressed: what a vendor signs."""
    at: dt.datetime


class Verifier(Protocol):
    """Checks webhooks of one name (webhooks/<name>.yaml)."""

    @property
    def source(self) -> str:
        """The source they land in."""
        ...

    def verify(self, delivered: Delivered) -> None:
        """Pass only what the vendor sent.

        Raises:
            Refused: `unsigned`; the detail says what is wrong with it, never what would be right.
        """
        ...
