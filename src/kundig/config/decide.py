"""Files of `decide`: audiences and offers."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field, model_validator

from kundig.config.base import FileKind, Record


class AudienceBudget(Record):
    """What reaching this audience once may cost."""

    contacts: int | None = Field(default=None, ge=1, description="Most persons.")
    amount: Decimal | None = Field(default=None, gt=0, description="Most money, in the workspace's currency; a message costs what channels.yaml says.")


class Audience(Record):
    """audiences/<name>.yaml: whom to address, for what, where, and with which message."""

    meaning: str = Field(min_length=1, description="Whom it reaches and why, for people.")
    rule: Any = Field(description="Who is a candidate (docs/rules.md).")
    include: tuple[str, ...] = Field(default=(), description="Segments (rows of persona_matrix.csv or files of segments/rules): only who is in one of them is a candidate; empty: no matter which.")
    exclude: tuple[str, ...] = Field(default=(), description="Segments whose members are no candidates.")
    purpose: str = Field(min_length=1, description="Purpose (purposes.yaml).")
    channels: tuple[str, ...] = Field(min_length=1, description="Channels in order of preference; each person gets the first the gate allows.")
    scenario: str = Field(min_length=1, description="Targeting scenario (policies/<name>.yaml).")
    creative: str = Field(min_length=1, description="Folder below creatives/.")
    ranking: Literal["value_urgency", "value", "urgency"] = Field(default="value_urgency", description="Who comes first when not all fit.")
    size: int | None = Field(default=None, ge=1, description="Most members.")
    budget: AudienceBudget = Field(default=AudienceBudget(), description="Most contacts and money.")
    occasion: Literal["once", "day", "week", "month", "quarter"] = Field(default="month", description="How often one person may get it; a second run in the same period queues nothing.")
    attributes: tuple[str, ...] = Field(default=(), description="Attributes the ranking or copy uses besides the rule's; the scenario must allow them.")
    active: bool = Field(default=True, description="False: its members are found, nothing is queued.")

    @model_validator(mode="after")
    def _channels_once(self) -> Audience:
        twice = sorted({channel for channel in self.channels if self.channels.count(channel) > 1})
        if twice:
            raise ValueError(f"the channel '{twice[0]}' stands twice; name each channel once")
        both = sorted(set(self.include) & set(self.exclude))
        if both:
            raise ValueError(f"the segment '{both[0]}' is included and excluded; nobody would be left of it, name it once")
        return self

    @property
    def most(self) -> int | None:
        """The least of `size` and the budget's contacts; None: no limit."""
        limits = [limit for limit in (self.size, self.budget.contacts) if limit is not None]
        return min(limits) if limits else None


class Offer(Record):
    """One offer that matrix rows and messages may name."""

    meaning: str = Field(min_length=1, description="What it gives, as the message says it.")
    product_id: str = Field(default="", description="Article it is bound to; then it is valid only while the article is in stock.")
    valid_from: dt.date | None = Field(default=None, description="First day.")
    valid_until: dt.date | None = Field(default=None, description="Last day.")
    cost: Decimal = Field(default=Decimal(0), ge=0, description="Cost of one use.")
    active: bool = Field(default=True, description="False: never offered.")

    @model_validator(mode="after")
    def _in_order(self) -> Offer:
        if self.valid_from and self.valid_until and self.valid_until < self.valid_from:
            raise ValueError("valid_until lies before valid_from; swap them")
        return self


class Offers(Record):
    """offers.yaml: offers by their code."""

    offers: dict[str, Offer] = Field(default_factory=dict, description="Offers, by code.")


FILES = (
    FileKind(name="audiences", pattern="audiences/*.yaml", model=Audience, meaning="Whom to address, and with what.", many=True),
    FileKind(name="offer_list", pattern="offers.yaml", model=Offers, meaning="Offers, their validity and the article they are bound to."),
)
