"""Who may hand in a webhook: the protocol that signature checks keep, and the one that asks for a write key."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kundig.collect.hearing import Heard
from kundig.collect.intake.refusals import Refused
from kundig.collect.webhooks.checking import Checked, checks

if TYPE_CHECKING:
    from kundig.config.load import Config


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

    def heard(self, delivered: Delivered) -> Heard:
        """What it says of consent, and of whom: its records are in the consent log before the vendor is answered."""
        ...

    def noted(self, delivered: Delivered) -> Mapping[str, str]:
        """Headers that are kept beside the body, since its records need them."""
        ...


class Vendor:
    """The check that a file of webhooks/ describes."""

    def __init__(self, checked: Checked) -> None:
        self.source = checked.source
        self._checked = checked

    def verify(self, delivered: Delivered) -> None:
        """Pass only what the vendor sent; see `Verifier`."""
        reason = self._checked.refusal(headers=delivered.headers, query=delivered.query, body=delivered.sent_body, now=delivered.at)
        if reason is not None:
            raise Refused("unsigned", reason)

    def heard(self, delivered: Delivered) -> Heard:
        """What it says of consent."""
        return self._checked.heard(delivered.body, self.noted(delivered), delivered.at)

    def noted(self, delivered: Delivered) -> Mapping[str, str]:
        """The headers that its mapping names."""
        return self._checked.noted(delivered.headers)


def vendors(config: Config) -> dict[str, Verifier]:
    """The checks of a workspace's webhooks, by name."""
    return {name: Vendor(checked) for name, checked in checks(config).items()}
