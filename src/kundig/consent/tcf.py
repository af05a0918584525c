"""Consent strings of the IAB's Transparency and Consent Framework (TC strings, version 2 up to 2.3), read strictly: what cannot be read whole allows nothing.

Source: IAB Tech Lab, Transparency and Consent String with Global Vendor and CMP List Formats. Strings of 2026-02-28 and later must say
which vendors were shown to the person (`disclosedVendors`); a global scope has been invalid since 2021-09-01.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from kundig.consent.bits import MEND, Bits, Ids
from kundig.errors import ContractError

DISCLOSED_SINCE = dt.datetime(2026, 2, 28, tzinfo=dt.UTC)
"""A string last changed at this moment or later names the vendors that were shown, or is invalid."""

LOCAL_SINCE = dt.datetime(2021, 9, 1, tzinfo=dt.UTC)
"""A string last changed at this moment or later holds for one site or group alone, or is invalid."""

LONGEST = 20_000
"""Letters that a string may have; 65,535 vendors as single bits, thrice, are 33,000 of them, and no tool writes that."""

AHEAD = dt.timedelta(days=1)
"""How far a string's clock may be ahead."""


class Restricted(IntEnum):
    """What a publisher allows for a purpose, whatever vendors ask for."""

    NOT_ALLOWED = 0
    NEEDS_CONSENT = 1
    NEEDS_LEGITIMATE_INTEREST = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Restriction:
    """A publisher's restriction of one purpose, for some vendors."""

    purpose: int
    kind: Restricted
    vendors: Ids


@dataclass(frozen=True, kw_only=True, slots=True)
class Publisher:
    """What the person allows the publisher itself."""

    purposes: frozenset[int]
    legitimate_interests: frozenset[int]
    custom_purposes: frozenset[int]
    custom_legitimate_interests: frozenset[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class TcString:
    """A TC string, decoded; moments are UTC, of the exactness that its writer chose (a day since version 2.2)."""

    created: dt.datetime
    last_updated: dt.datetime
    cmp_id: int
    cmp_version: int
    screen: int
    language: str
    vendor_list_version: int
    policy_version: int
    service_specific: bool
    non_standard_texts: bool
    special_features: frozenset[int]
    purposes: frozenset[int]
    legitimate_interests: frozenset[int]
    purpose_one_treatment: bool
    publisher_country: str
    vendors: Ids
    vendor_interests: Ids
    restrictions: tuple[Restriction, ...]
    disclosed: Ids | None
    """Vendors that were shown to the person; null in strings of before 2026-02-28 that do not say so."""
    publisher: Publisher | None

    def allows(self, purposes: Iterable[int], *, vendor: int | None = None) -> bool:
        """Whether the person consented to all the purposes: for a vendor of the global list, or, without one, for the publisher itself.

        Legitimate interest is no consent. A vendor that was not shown, or that the publisher restricts, is not allowed.
        """
        wanted = frozenset(purposes)
        if not wanted:
            return False
        if vendor is None:
            return self.publisher is not None and wanted <= self.publisher.purposes
        if vendor not in self.vendors or (self.disclosed is not None and vendor not in self.disclosed):
            return False
        banned = {one.purpose for one in self.restrictions if one.kind is not Restricted.NEEDS_CONSENT and vendor in one.vendors}
        return wanted <= self.purposes and not wanted & banned


def decode(text: str, *, at: dt.datetime | None = None) -> TcString:
    """A TC string, decoded.

    Args:
        text: The string, as the consent tool wrote it.
        at: The present moment, to refuse strings from the future; without it they are taken.

    Raises:
        ContractError: It cannot be read whole, or the framework's rules make it invalid.

    Examples:
        >>> decode("CPAAAAAAAAAAAAAAAA")
        Traceback (most recent call last):
        ...
        kundig.errors.ContractError: it ends within 'language': 6 bits at bit 108, 0 are left
          at:   TC string, core
          mend: take the string as the consent tool wrote it; one that cannot be read whole allows nothing
    """
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST:
        raise ContractError(f"a TC string has 1 to {LONGEST:,} letters", at="TC string", mend=MEND)
    first, *others = text.split(".")
    core = _core(Bits(first, at="TC string, core"))
    disclosed: Ids | None = None
    publisher: Publisher | None = None
    seen: set[int] = set()
    for number, part in enumerate(others, 2):
        bits = Bits(part, at=f"TC string, segment {number}")
        kind = bits.whole(3, "segment type")
        if kind in seen or kind not in (1, 2, 3):
            raise ContractError(f"segment {number} is of type {kind}, " + ("which came before" if kind in seen else "which is not known"), at="TC string", mend=MEND)
        seen.add(kind)
        if kind == 3:
            publisher = _publisher(bits)
        else:
            vendors = _vendors(bits, "vendors")
            disclosed = vendors if kind == 1 else disclosed
        bits.ended()
    decoded = TcString(**core, disclosed=disclosed, publisher=publisher)  # type: ignore[arg-type]  # the fields of the core, by name
    _check(decoded, at)
    return decoded


def _core(bits: Bits) -> dict[str, object]:
    version = bits.whole(6, "version")
    if version != 2:
        raise ContractError(f"version {version}, where 2 is known", at=bits.at, mend=MEND)
    core: dict[str, object] = {
        "created": _moment(bits, "created"), "last_updated": _moment(bits, "last_updated"), "cmp_id": bits.whole(12, "cmp_id"), "cmp_version": bits.whole(12, "cmp_version"),
        "screen": bits.whole(6, "screen"), "language": bits.letters(2, "language"), "vendor_list_version": bits.whole(12, "vendor_list_version"), "policy_version": bits.whole(6, "policy_version"),
        "service_specific": bits.flag("service_specific"), "non_standard_texts": bits.flag("non_standard_texts"), "special_features": bits.marked(12, "special_features"),
        "purposes": bits.marked(24, "purposes"), "legitimate_interests": bits.marked(24, "legitimate_interests"), "purpose_one_treatment": bits.flag("purpose_one_treatment"),
        "publisher_country": bits.letters(2, "publisher_country"), "vendors": _vendors(bits, "vendors"), "vendor_interests": _vendors(bits, "vendor_interests"),
    }  # fmt: skip
    restrictions = []
    for _ in range(bits.whole(12, "restrictions")):
        purpose, kind = bits.whole(6, "restricted purpose"), bits.whole(2, "restriction")
        if kind == 3:
            raise ContractError("a restriction of kind 3, which is not known", at=bits.at, mend=MEND)
        restrictions.append(Restriction(purpose=purpose, kind=Restricted(kind), vendors=_ranges(bits, "restricted vendors", most=65_535)))
    bits.ended()
    return core | {"restrictions": tuple(restrictions)}


def _moment(bits: Bits, name: str) -> dt.datetime:
    """Tenths of a second since 1970."""
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=100 * bits.whole(36, name))


def _vendors(bits: Bits, name: str) -> Ids:
    most = bits.whole(16, name)
    if bits.flag(name):
        return _ranges(bits, name, most=most)
    return Ids.of((place, place) for place in bits.marked(most, name))


def _ranges(bits: Bits, name: str, *, most: int) -> Ids:
    ranges = []
    for _ in range(bits.whole(12, name)):
        several = bits.flag(name)
        start = bits.whole(16, name)
        end = bits.whole(16, name) if several else start
        if not 1 <= start <= end <= most:
            raise ContractError(f"'{name}' has the range {start} to {end}, of vendors 1 to {most}", at=bits.at, mend=MEND)
        ranges.append((start, end))
    return Ids.of(ranges)


def _publisher(bits: Bits) -> Publisher:
    purposes, interests = bits.marked(24, "publisher's purposes"), bits.marked(24, "publisher's legitimate interests")
    count = bits.whole(6, "custom purposes")
    return Publisher(purposes=purposes, legitimate_interests=interests, custom_purposes=bits.marked(count, "custom purposes"), custom_legitimate_interests=bits.marked(count, "custom legitimate interests"))


def _check(decoded: TcString, at: dt.datetime | None) -> None:
    told = f"last changed {decoded.last_updated:%Y-%m-%d}"
    if decoded.last_updated < decoded.created:
        raise ContractError(f"it was {told}, before it was made ({decoded.created:%Y-%m-%d})", at="TC string", mend=MEND)
    if at is not None and decoded.last_updated > at + AHEAD:
        raise ContractError(f"it was {told}, which has not come yet", at="TC string", mend="set the clock of the consent tool")
    if decoded.disclosed is None and decoded.last_updated >= DISCLOSED_SINCE:
        raise ContractError(f"it was {told} and does not say which vendors were shown (disclosedVendors)", at="TC string", mend="have the consent tool write TCF 2.3 strings")
    if not decoded.service_specific and decoded.last_updated >= LOCAL_SINCE:
        raise ContractError(f"it was {told} and claims to hold for every site", at="TC string", mend="have the consent tool write strings for this site alone (isServiceSpecific)")


__all__ = ["DISCLOSED_SINCE", "LOCAL_SINCE", "Publisher", "Restricted", "Restriction", "TcString", "decode"]
