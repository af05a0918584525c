"""Files of computed traits: what a person did, in one value, by the rule language."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from kundig.config.base import FileKind, Record

AGGREGATES = ("count", "days", "sum", "average", "minimum", "maximum", "distinct")
"""What can be made of the events of a trait; those but the first two of a property."""


class Trait(Record):
    """traits/<name>.yaml: a value computed for each person, which rules, templates and pages know by the file's name."""

    meaning: str = Field(min_length=1, description="What it says, for people.")
    labels: dict[str, str] = Field(default_factory=dict, description="What pages and sentences call it, by language.")
    category: Literal["sociodemographic", "behavioural", "psychographic"] = Field(default="behavioural", description="What kind of thing it tells of a person.")
    personal: Literal["none", "pseudonym", "contact", "sensitive"] = Field(default="none", description="How personal it is.")
    unit: str = Field(default="", description="Unit of a number, such as €.")
    rule: Any = Field(default=None, description="A rule: the trait is true or false.")
    event: str | tuple[str, ...] | None = Field(default=None, description="Events that are counted or summed.")
    first: str | tuple[str, ...] | None = Field(default=None, description="Events of which the first ever is taken.")
    last: str | tuple[str, ...] | None = Field(default=None, description="Events of which the last is taken.")
    where: dict[str, Any] | None = Field(default=None, description="What their properties must pass.")
    within: Any = Field(default=None, description="Window they must lie in; ever by default.")
    count: bool = Field(default=False, description="How many.")
    days: bool = Field(default=False, description="On how many days.")
    sum: str = Field(default="", description="Sum of this property.")
    average: str = Field(default="", description="Average of this property.")
    minimum: str = Field(default="", description="Least of this property.")
    maximum: str = Field(default="", description="Greatest of this property.")
    distinct: str = Field(default="", description="How many different values of this property.")
    take: str = Field(default="", description="Of first and last: the property taken; their moment by default.")

    @model_validator(mode="after")
    def _one_kind(self) -> Trait:
        kinds = [kind for kind in ("rule", "event", "first", "last") if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError(f"a trait has exactly one of rule, event, first and last; found {', '.join(kinds) or 'none'}")
        made = [name for name in AGGREGATES if getattr(self, name)]
        if self.event is not None and len(made) != 1:
            raise ValueError(f"say what is made of the events: exactly one of {', '.join(AGGREGATES)}; found {', '.join(made) or 'none'}")
        if self.event is None and made:
            raise ValueError(f"{made[0]} belongs to `event`; of `{kinds[0]}` leave it out")
        if self.take and self.first is None and self.last is None:
            raise ValueError("take belongs to `first` or `last`; leave it out")
        if self.rule is not None and (self.where is not None or self.within is not None):
            raise ValueError("where and within stand inside the rule; leave them out here")
        return self

    @property
    def definition(self) -> dict[str, Any]:
        """What the rule language reads: the kind, its options, and what people call it."""
        names = ("rule", "event", "first", "last", "where", "within", *AGGREGATES, "take")
        given = {name: value for name in names if (value := getattr(self, name)) not in (None, "", False)}
        return given | {"labels": dict(self.labels), "unit": self.unit}


FILES = (FileKind(name="traits", pattern="traits/*.yaml", model=Trait, meaning="Values computed for each person, by the rule language.", many=True),)
