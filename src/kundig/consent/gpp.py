"""Strings of the IAB's Global Privacy Platform, read strictly: which sections they hold, and what each says of sale, sharing, targeted advertising and GPC.

Source: IAB Tech Lab, Global Privacy Platform, Consent String Specification, and its sections of 2025-12. Sections that are not known here
are named and not read.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from kundig.consent.bits import MEND, Bits, Ids
from kundig.consent.tcf import TcString
from kundig.consent.tcf import decode as decode_tcf
from kundig.errors import ContractError

LONGEST = 40_000
"""Letters that a string may have."""

HIGHEST = 4_095
"""Highest id of a section that is taken for one."""

Choice = Literal["not_applicable", "opted_out", "did_not_opt_out"]
_CHOICES: tuple[Choice, ...] = ("not_applicable", "opted_out", "did_not_opt_out")

_NOTICES = ("sharing_notice", "sale_opt_out_notice", "targeted_advertising_opt_out_notice")
_PROCESSING = ("processing_notice", *_NOTICES[1:])
_OUT = ("sale_opt_out", "targeted_advertising_opt_out")
_MSPA = ("mspa_covered_transaction", "mspa_opt_out_option_mode", "mspa_service_provider_mode")


def _lists(sensitive: int, child: int) -> tuple[str, ...]:
    return ("sensitive_data_processing",) * sensitive + ("known_child_sensitive_data_consents",) * child


_FIRST_MSPA = ("mspa_covered_transaction", "mspa_mode", *_PROCESSING, *_OUT)
_MORE = ("additional_data_processing_consent",)
_NATIONAL = (
    "sharing_notice", "sale_opt_out_notice", "sharing_opt_out_notice", "targeted_advertising_opt_out_notice", "sensitive_data_processing_opt_out_notice", "sensitive_data_limit_use_notice",
    "sale_opt_out", "sharing_opt_out", "targeted_advertising_opt_out",
)  # fmt: skip

FIELDS: dict[tuple[str, int], tuple[str, ...]] = {
    ("usnat", 1): (*_NATIONAL, *_lists(12, 2), "personal_data_consents", *_MSPA),
    ("usnat", 2): (*_NATIONAL, *_lists(16, 3), "personal_data_consents", *_MSPA),
    ("usca", 1): ("sale_opt_out_notice", "sharing_opt_out_notice", "sensitive_data_limit_use_notice", "sale_opt_out", "sharing_opt_out", *_lists(9, 2), "personal_data_consents", *_MSPA),
    ("usva", 1): (*_NOTICES, *_OUT, *_lists(8, 1), *_MSPA),
    ("usco", 1): (*_NOTICES, *_OUT, *_lists(7, 1), *_MSPA),
    ("usut", 1): (*_NOTICES, "sensitive_data_processing_opt_out_notice", *_OUT, *_lists(8, 1), *_MSPA),
    ("usct", 1): (*_NOTICES, *_OUT, *_lists(8, 3), *_MSPA),
    ("usfl", 1): (*_PROCESSING, *_OUT, *_lists(8, 3), *_MORE, *_MSPA),
    ("usmt", 1): (*_NOTICES, *_OUT, *_lists(8, 3), *_MORE, *_MSPA),
    ("usor", 1): (*_PROCESSING, *_OUT, *_lists(11, 3), *_MORE, *_MSPA),
    ("ustx", 1): (*_PROCESSING, *_OUT, *_lists(8, 1), *_MORE, *_MSPA),
    ("usde", 1): (*_PROCESSING, *_OUT, *_lists(9, 5), *_MORE, *_MSPA),
    ("usia", 1): (*_PROCESSING, "sensitive_data_opt_out_notice", *_OUT, *_lists(8, 1), *_MSPA),
    ("usne", 1): (*_PROCESSING, *_OUT, *_lists(8, 1), *_MORE, *_MSPA),
    ("usnh", 1): (*_PROCESSING, *_OUT, *_lists(8, 3), *_MORE, *_MSPA),
    ("usnj", 1): (*_PROCESSING, *_OUT, *_lists(10, 5), *_MORE, *_MSPA),
    ("ustn", 1): (*_PROCESSING, *_OUT, *_lists(8, 1), *_MORE, *_MSPA),
    ("usmn", 1): (*_PROCESSING, *_OUT, *_lists(8, 1), *_MORE, *_MSPA),
    ("usmd", 1): (*_FIRST_MSPA, *_MORE),
    ("usin", 1): (*_FIRST_MSPA, "known_child_sensitive_data_consents", *_MORE),
    ("usky", 1): (*_FIRST_MSPA, "known_child_sensitive_data_consents", *_MORE),
    ("usri", 1): (*_FIRST_MSPA, "known_child_sensitive_data_consents", *_MORE),
}  # fmt: skip
"""Fields of two bits after the version, by section and version."""

SECTIONS: dict[int, str] = {
    2: "tcfeuv2", 5: "tcfcav1", 6: "uspv1", 7: "usnat", 8: "usca", 9: "usva", 10: "usco", 11: "usut", 12: "usct", 13: "usfl", 14: "usmt", 15: "usor", 16: "ustx", 17: "usde", 18: "usia",
    19: "usne", 20: "usnh", 21: "usnj", 22: "ustn", 23: "usmn", 24: "usmd", 25: "usin", 26: "usky", 27: "usri",
}  # fmt: skip
"""Names of the sections by id."""

_GPC = {"usnat", "usca", "usco", "usct", "usmt", "usor", "ustx", "usde", "usia", "usne", "usnh", "usnj", "ustn", "usmn", "usmd"}
"""Sections that may carry the signal of Global Privacy Control in a segment of their own."""

_SENSITIVE = {"usin", "usky", "usri"}
"""Sections whose second segment speaks of sensitive data."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UsSection:
    """What a section of a state of the USA says; choices as told: `not_applicable`, `opted_out`, `did_not_opt_out`."""

    section: str
    version: int
    sale: Choice
    sharing: Choice
    targeted_advertising: Choice
    gpc: bool
    """Whether the browser sent Global Privacy Control."""

    @property
    def opted_out(self) -> bool:
        """Whether the person objected to anything of that."""
        return self.gpc or "opted_out" in (self.sale, self.sharing, self.targeted_advertising)


@dataclass(frozen=True, kw_only=True, slots=True)
class GppString:
    """A GPP string, decoded."""

    sections: tuple[int, ...]
    tcf: TcString | None
    """The section of the EU."""
    usa: tuple[UsSection, ...]
    unread: tuple[str, ...]
    """Sections that are there and not read: their names, or their ids."""

    @property
    def opted_out(self) -> bool:
        """Whether any section of the USA says that the person objected to sale, sharing or targeted advertising."""
        return any(section.opted_out for section in self.usa)


def decode(text: str, *, at: dt.datetime | None = None) -> GppString:
    """A GPP string, decoded.

    Args:
        text: The string, as the consent tool wrote it.
        at: The present moment, to refuse strings from the future.

    Raises:
        ContractError: A part of it that is known here cannot be read whole, or is invalid.

    Examples:
        >>> told = decode("DBABTA~1YNN")
        >>> told.usa[0].section, told.usa[0].sale, told.opted_out
        ('uspv1', 'did_not_opt_out', False)
    """
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST:
        raise ContractError(f"a GPP string has 1 to {LONGEST:,} letters", at="GPP string", mend=MEND)
    header, *parts = text.split("~")
    ids = tuple(_header(header))
    if len(ids) != len(parts):
        raise ContractError(f"its header names {len(ids)} sections, {len(parts)} follow", at="GPP string", mend=MEND)
    tcf: TcString | None = None
    usa: list[UsSection] = []
    unread: list[str] = []
    for number, part in zip(ids, parts, strict=True):
        name = SECTIONS.get(number, str(number))
        if name == "tcfeuv2":
            tcf = decode_tcf(part, at=at)
        elif name == "uspv1":
            usa.append(_privacy_string(part))
        elif any(known == name for known, _ in FIELDS):
            usa.append(_state(name, part))
        else:
            unread.append(name)
    return GppString(sections=ids, tcf=tcf, usa=tuple(usa), unread=tuple(unread))


def _header(text: str) -> Ids:
    bits = Bits(text, at="GPP string, header")
    kind, version = bits.whole(6, "type"), bits.whole(6, "version")
    if (kind, version) != (3, 1):
        raise ContractError(f"type {kind} and version {version}, where 3 and 1 are known", at=bits.at, mend=MEND)
    ranges, last = [], 0
    for _ in range(bits.whole(12, "sections")):
        several = bits.flag("sections")
        start = last + bits.fibonacci("sections")
        last = start + bits.fibonacci("sections") if several else start
        if last > HIGHEST:
            raise ContractError(f"section {last}, where {HIGHEST:,} is the highest", at=bits.at, mend=MEND)
        ranges.append((start, last))
    bits.ended()
    return Ids.of(ranges)


def _privacy_string(text: str) -> UsSection:
    """The four letters of the US Privacy String: version, notice, opt-out of sale, covered by the agreement."""
    if len(text) != 4 or text[0] != "1" or any(letter not in "YN-" for letter in text[1:]):
        raise ContractError(f"the US Privacy String is {text[:20]!r}, such as 1YNN", at="GPP string, section uspv1", mend=MEND)
    sale: Choice = {"Y": _CHOICES[1], "N": _CHOICES[2], "-": _CHOICES[0]}[text[2]]
    return UsSection(section="uspv1", version=1, sale=sale, sharing="not_applicable", targeted_advertising="not_applicable", gpc=False)


def _state(name: str, text: str) -> UsSection:
    at = f"GPP string, section {name}"
    first, *others = text.split(".")
    bits = Bits(first, at=at)
    version = bits.whole(6, "version")
    fields = FIELDS.get((name, version))
    if fields is None:
        raise ContractError(f"version {version} is not known", at=at, mend=MEND)
    said: dict[str, int] = {}
    for field in fields:
        value = bits.whole(2, field)
        if value == 3:
            raise ContractError(f"'{field}' is 3, which means nothing", at=at, mend=MEND)
        said.setdefault(field, value)
    bits.ended()
    gpc = False
    for part in others:
        segment = Bits(part, at=at)
        kind = segment.whole(2, "segment type")
        if kind == 1 and name in _GPC:
            gpc = segment.flag("gpc") or gpc
            segment.ended()
        elif name not in _SENSITIVE:
            raise ContractError(f"a segment of type {kind}, which is not known", at=at, mend=MEND)
    sale, sharing, advertising = (_CHOICES[said.get(field, 0)] for field in ("sale_opt_out", "sharing_opt_out", "targeted_advertising_opt_out"))
    return UsSection(section=name, version=version, sale=sale, sharing=sharing, targeted_advertising=advertising, gpc=gpc)
