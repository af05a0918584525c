"""Files of law and pressure: purposes with their bases, channels with caps and quiet hours, and targeting scenarios."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from kundig.config.base import FileKind, Record, plugged
from kundig.errors import nearest

Basis = Literal["consent", "existing_customer", "contract", "legitimate_interest"]
BASES: tuple[Basis, ...] = ("consent", "existing_customer", "contract", "legitimate_interest")
Role = Literal["owner", "analyst", "designer", "crm_manager", "legal", "reader"]
Texts = dict[Literal["de", "en"], str]

PROTECTED = (
    "nationality", "ethnicity", "religion", "political_opinion", "health", "disability", "sexual_orientation", "trade_union", "gender", "family_status",
)  # fmt: skip
"""Attributes nobody is targeted by unless a scenario's approver allows it in writing (GDPR Art. 9, AGG § 1, and what is near them)."""


class ChannelRule(Record):
    """What a purpose needs on one channel before anybody may be addressed."""

    bases: tuple[Basis, ...] = Field(min_length=1, description="Legal bases that serve, in the order they are tried.")
    double_opt_in: bool = Field(default=False, description="A consent counts only after the person confirmed it.")
    expires_days: int | None = Field(default=None, ge=1, description="Days after which a consent lapses unless renewed; empty: never.")
    customer_days: int = Field(default=730, ge=1, description="Days since the last order within which somebody is an existing customer.")


class Purpose(Record):
    """One purpose: what it means, and its rule per channel."""

    meaning: Texts = Field(default_factory=dict, description="What people are told it is for, by language.")
    channels: dict[str, ChannelRule] = Field(min_length=1, description="Rule per channel.")
    capped: bool = Field(default=True, description="Caps and quiet hours apply; not so for what a contract demands.")
    jurisdiction: str = Field(default="DE", pattern="^[A-Z]{2}$", description="Country whose law the rule follows.")
    wordings: dict[str, Texts] = Field(default_factory=dict, description="Version of the wording → its text by language.")

    @field_validator("channels")
    @classmethod
    def _named(cls, value: dict[str, ChannelRule]) -> dict[str, ChannelRule]:
        if "*" in value:
            raise ValueError("channel '*' has no rule of its own: name each channel (records of consent may say '*')")
        return value

    def wording_hash(self, version: str, locale: Literal["de", "en"]) -> str:
        """SHA-256 of a wording's text: what a consent record keeps as proof of what was shown; '' for an unknown one."""
        text = self.wordings.get(version, {}).get(locale)
        return "" if text is None else hashlib.sha256(text.encode()).hexdigest()


Covered = Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+$")]
"""A purpose and a channel, as `newsletter/email`; `newsletter/*` is every channel."""


class ConsentCall(Record):
    """What a tracking call of some name says about consent."""

    status: Literal["given", "confirmed", "requested", "withdrawn", "objected"] = Field(description="What the person said.")
    covers: tuple[Covered, ...] = Field(min_length=1, description="What it is about: purpose/channel, such as newsletter/email; newsletter/* for every channel.")
    wording: str = Field(default="", description="Version of the wording that was shown; empty: the property `wording` of the call.")


class TcfSignal(Record):
    """What a TC string of the IAB's Transparency and Consent Framework stands for."""

    vendor: int | None = Field(default=None, ge=1, le=65_535, description="Number of the vendor in the global list that the consent must be for; empty: the publisher itself.")
    covers: dict[Covered, tuple[Annotated[int, Field(ge=1, le=24)], ...]] = Field(min_length=1, description="purpose/channel → purposes of the framework, all of which must be consented to.")

    @field_validator("covers")
    @classmethod
    def _some(cls, value: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        empty = [pair for pair, purposes in value.items() if not purposes]
        if empty:
            raise ValueError(f"{', '.join(empty)}: name at least one purpose of the framework")
        return value


GoogleSignal = Literal["ad_storage", "ad_user_data", "ad_personalization", "analytics_storage", "functionality_storage", "personalization_storage", "security_storage"]


class Signals(Record):
    """How tracking calls speak of consent: they are in the consent log before they are acknowledged."""

    tcf: TcfSignal | None = Field(default=None, description="What the TC string in context.consent.tcString, or in a GPP string, stands for; empty: it is not read.")
    google: dict[GoogleSignal, tuple[Covered, ...]] = Field(default_factory=dict, description="Google's consent signals in context.consent.google → purpose/channel pairs; a pair named under several needs them all.")
    opt_out: tuple[Covered, ...] = Field(default=(), description="What Global Privacy Control (Sec-GPC: 1, or context.consent.gpc), or an opt-out in context.consent.gppString, objects to.")
    categories: dict[str, tuple[Covered, ...]] = Field(default_factory=dict, description="Category of context.consent.categoryPreferences → purpose/channel pairs that it stands for.")
    events: dict[str, ConsentCall] = Field(default_factory=dict, description="Name of a track call, or form:<name> for a form → what it says.")

    def covered(self) -> tuple[tuple[str, str, str], ...]:
        """Every purpose and channel that is named, with the place where it is."""
        named = [(f"signals.categories.{name}", pair) for name, pairs in self.categories.items() for pair in pairs]
        named += [(f"signals.events.{name}", pair) for name, call in self.events.items() for pair in call.covers]
        named += [(f"signals.google.{name}", pair) for name, pairs in self.google.items() for pair in pairs]
        named += [("signals.opt_out", pair) for pair in self.opt_out] + [("signals.tcf.covers", pair) for pair in (self.tcf.covers if self.tcf else ())]
        return tuple((place, pair.partition("/")[0], pair.partition("/")[2]) for place, pair in named)


class Purposes(Record):
    """purposes.yaml: purpose × channel with bases, double opt-in, expiry and wordings."""

    purposes: dict[str, Purpose] = Field(default_factory=dict, description="Purposes by name.")
    signals: Signals = Field(default=Signals(), description="How tracking calls speak of consent.")

    @model_validator(mode="after")
    def _signals_name_purposes(self) -> Purposes:
        for place, purpose, channel in self.signals.covered():
            if purpose not in self.purposes:
                raise ValueError(f"{place} names the purpose '{purpose}'; {nearest(purpose, self.purposes)}")
            if channel != "*" and channel not in self.purposes[purpose].channels:
                raise ValueError(f"{place} names the channel '{channel}' of '{purpose}'; {nearest(channel, self.purposes[purpose].channels)}")
        return self

    @field_validator("purposes")
    @classmethod
    def _named(cls, value: dict[str, Purpose]) -> dict[str, Purpose]:
        if "*" in value:
            raise ValueError("'*' means every purpose; it cannot be declared")
        return value

    def rule(self, purpose: str, channel: str) -> ChannelRule | None:
        """The rule of purpose × channel; None where none is declared, and then nobody may be addressed."""
        known = self.purposes.get(purpose)
        return None if known is None else known.channels.get(channel)

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every declared purpose × channel, sorted."""
        return tuple(sorted((name, channel) for name, purpose in self.purposes.items() for channel in purpose.channels))


class Cap(Record):
    """At most so many messages in so many days, rolling, whatever their channel."""

    days: Literal[1, 7, 30] = Field(description="Length of the window in days of 24 hours.")
    most: int = Field(ge=0, description="Messages allowed in it.")


class Quiet(Record):
    """Hours of the night in which nobody is disturbed, by the clock on the person's wall."""

    start: dt.time = Field(default=dt.time(21), alias="from", description="From when.")
    end: dt.time = Field(default=dt.time(8), alias="until", description="Until when; earlier than `from`: of the next morning.")

    @model_validator(mode="after")
    def _plain(self) -> Quiet:
        if self.start.tzinfo or self.end.tzinfo:
            raise ValueError("quiet hours are local times without a zone, such as 21:00")
        return self


class Channel(Record):
    """One channel: which identifier is its address, and what it may bear."""

    namespace: str = Field(description="Namespace of the identifier that serves as address, such as email or push_token.")
    connector: str = Field(default="files", description="Which connector hands messages over: files, or one that a package registers (kundig.channels).")
    caps: tuple[Cap, ...] = Field(default=(), description="Caps of this channel alone, beside those over all channels.")
    quiet: Quiet | None = Field(default=None, description="Quiet hours of this channel; empty: those of all.")
    disturbs: bool = Field(default=True, description="It reaches people at once, so that quiet hours apply.")
    cost: float = Field(default=0.0, ge=0, description="Cost of one message in the workspace's currency.")

    @field_validator("connector")
    @classmethod
    def _known_connector(cls, value: str) -> str:
        return plugged(value, "kundig.channels", also=("files",), what="connector")


class Channels(Record):
    """channels.yaml: channels, the rolling caps over all of them, and quiet hours."""

    caps: tuple[Cap, ...] = Field(default=(), description="Rolling caps over all channels together.")
    quiet: Quiet | None = Field(default=None, description="Quiet hours.")
    channels: dict[str, Channel] = Field(default_factory=dict, description="Channels by name.")
    connectors: dict[str, dict[str, str | int | float | bool]] = Field(default_factory=dict, description="Settings of connectors, by the connector's name; `${NAME}` is a secret.")

    def quiet_of(self, channel: str) -> Quiet | None:
        """The quiet hours that hold on a channel; None where it disturbs nobody."""
        known = self.channels.get(channel)
        if known is None:
            return self.quiet
        return (known.quiet or self.quiet) if known.disturbs else None


class Approval(Record):
    """Who approved a scenario as it stands in this file, and why."""

    role: Role = Field(description="Role that answers for it (decision_rights.yaml).")
    by: str = Field(default="", description="Account; never a personal address.")
    reason: str = Field(min_length=1, description="Why.")
    version: str = Field(default="", description="Hash of the scenario that was approved; empty: as it stands (git holds the history).")
    legitimate_interest: bool = Field(default=False, description="The balance of interests was weighed and allows it.")
    attributes: tuple[str, ...] = Field(default=(), description="Protected attributes that this scenario may use all the same.")


class Policy(Record):
    """policies/<scenario>.yaml: a targeting scenario, with the attributes it may use and who approved it."""

    meaning: str = Field(default="", description="What it is for.")
    purpose: str = Field(description="Purpose (purposes.yaml).")
    channels: tuple[str, ...] = Field(default=("email",), min_length=1, description="Channels it may use, in order of preference.")
    allowed: tuple[str, ...] = Field(default=(), description="Attributes it may use; empty: all that are not forbidden.")
    forbidden: tuple[str, ...] = Field(default=PROTECTED, description="Attributes it may not use, directly or by lineage.")
    similar_goods: bool = Field(default=False, description="It advertises own goods like those bought (existing customers, UWG § 7 (3)).")
    template: bool = Field(default=False, description="Proven: may be reused per market.")
    owner: str = Field(default="", description="Who answers for it.")
    approval: Approval | None = Field(default=None, description="Who approved it; empty: nobody yet, and it addresses nobody.")

    @property
    def version(self) -> str:
        """Hash of all that an approval is about: everything but the approval itself."""
        content = self.model_dump(mode="json", exclude={"approval"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def approved(self) -> bool:
        """Whether it is approved as it stands now."""
        return self.approval is not None and self.approval.version in ("", self.version)

    @property
    def legitimate_interest(self) -> bool:
        """Whether its approver allows legitimate interest as a basis; only legal or the owner can."""
        return self.approved and self.approval is not None and self.approval.legitimate_interest and self.approval.role in ("legal", "owner")

    def refused(self, lineage: Iterable[str]) -> tuple[str, ...]:
        """The attributes of a lineage that this scenario may not use, sorted.

        Examples:
            >>> Policy(purpose="newsletter", allowed=("postcode",)).refused(["gender", "postcode", "hobbies"])
            ('gender', 'hobbies')
        """
        pardoned = self.approval.attributes if self.approved and self.approval is not None and self.approval.role in ("legal", "owner") else ()
        used = set(lineage)
        banned = {name for name in used if name in self.forbidden or name in PROTECTED} - set(pardoned)
        strangers = {name for name in used if name not in self.allowed and name not in pardoned} if self.allowed else set()
        return tuple(sorted(banned | strangers))


FILES = (
    FileKind(name="purposes", pattern="purposes.yaml", model=Purposes, meaning="Purpose × channel: bases, double opt-in, expiry, wording versions, jurisdiction."),
    FileKind(name="channels", pattern="channels.yaml", model=Channels, meaning="Channels, rolling caps over all of them, quiet hours."),
    FileKind(name="policies", pattern="policies/*.yaml", model=Policy, meaning="Targeting scenarios: purpose, allowed and forbidden attributes, approver.", many=True),
)
