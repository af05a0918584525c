"""Files of predictions: what is predicted of whom, within which time, and what acting on it costs and brings."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from kundig.config.base import FileKind, Record
from kundig.config.unify import ProfileRules

_SPAN = re.compile(r"(\d{1,4}) (day|week)s?")


class Prediction(Record):
    """predictions/<name>.yaml: a yes or no that is predicted for each person of a population; rules know its score by the file's name."""

    meaning: str = Field(min_length=1, description="What is predicted and what for, for people.")
    title: dict[Literal["de", "en"], str] = Field(default_factory=dict, description="What pages and sentences call it, by language.")
    owner: str = Field(min_length=1, description="Who answers for it.")
    target: Any = Field(description="A rule that tells who did it: it looks at what happened after the cut-off, and is judged at the end of the horizon.")
    horizon: str = Field(default="30 days", description="How long after the cut-off it may happen: a number of days or weeks.")
    population: Any = Field(default_factory=lambda: {"everyone": True}, description="A rule that tells of whom it is predicted, judged at the cut-off.")
    gain: float | None = Field(default=None, ge=0, description="What a person who does it brings when acted on, in the workspace's currency; with `cost`, the card tells whom acting on pays.")
    cost: float | None = Field(default=None, ge=0, description="What acting on one person costs.")
    cut_offs: int = Field(default=6, ge=1, le=24, description="Past moments learnt from, a horizon apart; with two and more, each is judged by models of those before it.")
    refit_days: int = Field(default=30, ge=1, description="Days after which a challenger is fitted; asked about when models are fitted anew (value.refit_days).")
    drift: float = Field(default=0.25, gt=0, description="Population stability index of the probability or a leading feature from which on a challenger is fitted before its time.")
    score_days: int = Field(default=1, ge=1, le=30, description="Days that a score holds.")
    leave_out: tuple[str, ...] = Field(default=(), description="Features that are not used, as the card names them; a name ending in * leaves out all that begin so.")
    groups: tuple[str, ...] = Field(default=(), description="Attributes by which fairness is told; they are no features.")

    @field_validator("horizon")
    @classmethod
    def _span(cls, value: str) -> str:
        found = _SPAN.fullmatch(value.strip())
        if found is None or not 1 <= int(found[1]) * (7 if found[2] == "week" else 1) <= 730:
            raise ValueError(f"'{value}' is no horizon; write 30 days or 4 weeks, up to 730 days")
        return value.strip()

    @model_validator(mode="after")
    def _money(self) -> Prediction:
        if (self.gain is None) != (self.cost is None):
            raise ValueError("gain and cost are told together; give both or neither")
        return self

    @property
    def days(self) -> int:
        """The horizon in days."""
        found = _SPAN.fullmatch(self.horizon)
        assert found is not None
        return int(found[1]) * (7 if found[2] == "week" else 1)


FEATURES = ("country", "language", "company_size", "industry", "job_title", "decision_power", "birth_date", "motivation")
"""Built-in attributes that are features."""


def attributes_of(profiles: ProfileRules) -> tuple[str, ...]:
    """Attributes that are features: some built-in ones, and those of profiles.yaml that the law does not protect specially."""
    return (*FEATURES, *sorted(name for name, attribute in profiles.attributes.items() if attribute.personal != "sensitive"))


def groupable(profiles: ProfileRules) -> tuple[str, ...]:
    """Attributes by which fairness can be told: also those that are never features."""
    return tuple(sorted({*attributes_of(profiles), *profiles.attributes, "gender", "age", "postcode", "family_status"}))


FILES = (FileKind(name="predictions", pattern="predictions/*.yaml", model=Prediction, meaning="Predictions of what persons will do, scored for each person.", many=True),)
