"""Files of personas: which data groups are looked at for groups of people, and what people think of them beforehand."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from kundig.config.base import FileKind, Record
from kundig.errors import nearest

DATA: dict[str, tuple[str, ...]] = {
    "interests": ("top_category", "categories_seen"),
    "prices": ("order_value", "discount_share", "returned_share"),
    "habits": ("hour", "channel", "acquisition_channel"),
    "purchases": ("orders", "net_revenue", "gap_days", "regularity", "order_value_spread"),
    "engagement": ("visits_365", "login_frequency", "open_rate", "click_rate"),
    "service": ("tickets", "satisfaction", "nps"),
    "person": ("birth_year", "country", "language"),
    "attitudes": ("motivation", "hobbies"),
    "business": ("company_size", "job_title", "industry", "decision_power"),
    "traits": (),
}
"""Data groups and their attributes; `attitudes` and `traits` take, besides, the attributes of profiles.yaml and the computed traits of that kind."""
ATTRIBUTES = tuple(name for names in DATA.values() for name in names)
"""Attributes that every workspace knows."""
Population = Literal["customers", "leads", "everyone"]


class Finding(Record):
    """personas/<name>.yaml: groups that are looked for in the data; how many there are, if any, the data say."""

    meaning: str = Field(min_length=1, description="What these personas are for, for people.")
    population: Population = Field(default="customers", description="Among whom: customers (a purchase), leads (from leads and company contacts), everyone known by name.")
    data: tuple[str, ...] = Field(default=("interests", "prices", "habits", "person", "attitudes"), description="Data groups that are looked at.")
    attributes: tuple[str, ...] = Field(default=(), description="Single attributes besides: of other groups, of profiles.yaml, or computed traits.")
    leave_out: tuple[str, ...] = Field(default=(), description="Attributes of the groups that are not looked at.")
    most: int = Field(default=8, ge=2, le=20, description="Largest number of personas.")
    count: int | None = Field(default=None, ge=1, le=20, description="Number of personas, where it is settled; else the data say.")
    names: dict[str, str] = Field(default_factory=dict, description="What people call a persona, by its id, such as customers_1.")

    @field_validator("data")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in DATA:
                raise ValueError(f"there is no data group '{name}'; {nearest(name, DATA)}")
        return value

    @model_validator(mode="after")
    def _something(self) -> Finding:
        if not self.data and not self.attributes:
            raise ValueError("nothing is looked at; give data or attributes")
        return self


class Said(Record):
    """What is said of one attribute: one of some values, or a number between bounds."""

    one_of: tuple[str, ...] = Field(default=(), description="Values.")
    at_least: float | None = Field(default=None, description="From this number on.")
    less_than: float | None = Field(default=None, description="Below this number.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"one_of": (given,)}
        return {"one_of": tuple(given)} if isinstance(given, list) else given

    @model_validator(mode="after")
    def _one_kind(self) -> Said:
        if bool(self.one_of) == (self.at_least is not None or self.less_than is not None):
            raise ValueError("say either values (one_of, or a plain list) or bounds (at_least, less_than)")
        return self


class Answers(Record):
    """personas/answers/<name>.yaml: a persona as people tell it, by answering the questionnaire; the data say where they see it otherwise."""

    title: dict[Literal["de", "en"], str] = Field(min_length=1, description="What the persona is called, by language.")
    population: Population = Field(default="customers", description="Among whom the persona is found.")
    who: dict[str, Said] = Field(min_length=1, description="Who is of this persona: all of it holds.")
    share: float | None = Field(default=None, gt=0, le=1, description="Share of the population you believe it to be.")
    value: float | None = Field(default=None, description="Expected value of one of them you believe in.")
    believed: dict[str, Said] = Field(default_factory=dict, description="What you believe of most of them, by attribute: channel, hour, top_category …")
    marketing: str = Field(default="", description="What marketing does next.")
    sales: str = Field(default="", description="What sales do next.")
    objection: str = Field(default="", description="What they object.")


FILES = (
    FileKind(name="personas", pattern="personas/*.yaml", model=Finding, meaning="Personas that are looked for in the data.", many=True),
    FileKind(name="persona_answers", pattern="personas/answers/*.yaml", model=Answers, meaning="Personas as people tell them, compared with the data.", many=True),
)
