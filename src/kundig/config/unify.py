"""identity.yaml and profiles.yaml: which identifiers make a person, and which source is believed about what."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from kundig.config.base import FileKind, Record
from kundig.errors import nearest


class Namespace(Record):
    """What one kind of identifier proves."""

    priority: int = Field(default=90, ge=1, le=99, description="Strength among its kind, 1 is strongest; a record is filed under its strongest.")
    kind: Literal["person", "contact", "device"] = Field(
        default="person",
        description="person: an account or record number; contact: an address or phone that may be shared or change hands; device: a browser or an app.",
    )
    unique: bool = Field(default=False, description="Two different values are two people for sure (a login); never both in one person.")
    limit: int | None = Field(default=None, ge=1, description="How many values one person may hold; null: any number.")
    shared_above: int | None = Field(default=None, ge=1, description="A value that serves more than so many is shared, proves nothing; null: never.")
    blocked: tuple[str, ...] = Field(default=(), description="Values that name nobody; * stands for any text.")

    @model_validator(mode="after")
    def _one_limit(self) -> Namespace:
        if self.unique and self.limit not in (None, 1):
            raise ValueError(f"unique means a limit of 1, and the limit is {self.limit}; leave one of them out")
        if self.kind == "device" and (self.unique or self.limit):
            raise ValueError("a person may have any number of devices; leave unique and limit out, or call the namespace a person or contact")
        return self

    @property
    def blocked_pattern(self) -> str:
        """The blocked values as one regular expression for a whole value; it fits nothing where none are blocked."""
        return "|".join(".*".join(re.escape(part) for part in value.split("*")) for value in self.blocked) or r"[^\s\S]"

    @property
    def most(self) -> int:
        """How many values a person may hold; 0 where there is no limit."""
        return 1 if self.unique else self.limit or 0


NAMESPACES: dict[str, Namespace] = {
    "customer_id": Namespace(priority=1, unique=True, blocked=("0", "000000", "guest", "unknown", "anonymous", "null", "none", "n/a", "test")),
    "user_id": Namespace(priority=2, unique=True, blocked=("0", "000000", "guest", "unknown", "anonymous", "null", "none", "n/a", "test")),
    "crm_id": Namespace(priority=3, blocked=("0", "000000")),
    "loyalty_id": Namespace(priority=4, blocked=("0", "000000")),
    "email": Namespace(
        priority=10, kind="contact", limit=30, shared_above=30,
        blocked=("noreply@*", "no-reply@*", "donotreply@*", "unknown@*", "none@*", "test@test.*", "kasse@*", "kunde@*"),
    ),
    "email_hash": Namespace(priority=12, kind="contact", limit=30, shared_above=30),
    "phone": Namespace(priority=14, kind="contact", limit=30, shared_above=30, blocked=("000000*", "+490000*", "+49123456*")),
    "push_token": Namespace(priority=30, kind="device", shared_above=4),
    "device_id": Namespace(priority=40, kind="device", shared_above=4, blocked=("00000000-0000-0000-0000-000000000000",)),
    "anonymous_id": Namespace(priority=50, kind="device", shared_above=4),
}  # fmt: skip
"""What is assumed of the usual namespaces; a file's entry replaces the one of the same name."""

OTHER = Namespace()
"""What is assumed of a namespace nobody declared: a record number of some system."""


class Matching(Record):
    """Comparing records of people by what they say: names, birth date, address, e-mail, phone."""

    enabled: bool = Field(default=False, description="Whether records are compared at all.")
    same: float = Field(default=0.95, gt=0, lt=1, description="Probability from which two records are one person's without asking.")
    ask: float = Field(default=0.5, gt=0, lt=1, description="Probability from which people are asked; below, two records are two people's.")
    block_most: int = Field(default=60, ge=2, le=1000, description="Records that may share a blocking key (a phone, surname and birth date, …) for it to propose pairs.")

    @model_validator(mode="after")
    def _in_order(self) -> Matching:
        if self.ask > self.same:
            raise ValueError(f"ask ({self.ask}) is above same ({self.same}): nothing would ever be asked; lower `ask`, or raise `same`")
        return self


class Identity(Record):
    """identity.yaml: the rules by which identifiers become people."""

    namespaces: dict[str, Namespace] = Field(
        default_factory=lambda: dict(NAMESPACES), description="Kinds of identifiers; those given replace the built-in ones of the same name."
    )
    contradiction: float = Field(default=-0.4, le=0, description="Score of names and birth date below which two records are two people; -0.4 parts couples.")
    evidence: float = Field(default=0.0, ge=0, description="Score that two people on one device must pass to be one person.")
    check_most: int = Field(default=30, ge=2, le=200, description="Records under one identifier up to which each pair is compared.")
    handover_days: int = Field(default=14, ge=0, description="Days between one user's last and the next one's first use: then it changed hands.")
    matching: Matching = Field(default_factory=Matching, description="Comparing records of people by what they say; off by default.")

    @field_validator("namespaces")
    @classmethod
    def _over_the_built_in(cls, given: dict[str, Namespace]) -> dict[str, Namespace]:
        wrong = sorted(name for name in given if not re.fullmatch(r"[a-z][a-z0-9_]*", name))
        if wrong:
            raise ValueError(f"'{wrong[0]}' is no name of a namespace; use lower case, digits and _")
        return {**NAMESPACES, **given}

    def namespace(self, name: str) -> Namespace:
        """What is known of a namespace; an undeclared one counts as a record number of some system.

        Examples:
            >>> Identity().namespace("customer_id").priority, Identity().namespace("pos_card").priority
            (1, 90)
        """
        return self.namespaces.get(name, OTHER)

    def strength(self, name: str) -> tuple[int, int, str]:
        """How strong a namespace is, to sort by: the least is the strongest. Its kind counts first, then its priority, then its name.

        Examples:
            >>> sorted(["anonymous_id", "phone", "email"], key=Identity().strength)
            ['email', 'phone', 'anonymous_id']
        """
        found = self.namespace(name)
        return ("person", "contact", "device").index(found.kind), found.priority, name

    def is_blocked(self, namespace: str, value: str) -> bool:
        """Whether a value names nobody.

        Examples:
            >>> Identity().is_blocked("email", "noreply@example.org"), Identity().is_blocked("email", "a@example.org")
            (True, False)
        """
        return value.strip() == "" or re.fullmatch(self.namespace(namespace).blocked_pattern, value) is not None


Strategy = Literal["trusted", "latest", "frequent", "minimum", "maximum", "union"]

ATTRIBUTES: dict[str, str] = {
    "salutation": "string", "first_name": "string", "last_name": "string", "email": "string", "phone": "string", "street": "string",
    "house_number": "string", "postcode": "string", "city": "string", "country": "string", "birth_date": "date", "gender": "string",
    "language": "string", "age": "int64", "family_status": "string", "company": "string", "company_size": "int64", "job_title": "string",
    "industry": "string", "decision_power": "string", "hobbies": "list<string>", "motivation": "string",
}  # fmt: skip
"""Attributes of a profile that records of people carry, with their types."""

CORRECTION = "correction"
"""Source of records that say what a person had corrected: believed before every other, whatever the strategy."""

STRATEGIES: dict[str, Strategy] = {
    "birth_date": "frequent", "gender": "trusted", "age": "latest", "company_size": "latest", "hobbies": "union", "motivation": "latest",
}  # fmt: skip


class Attribute(Record):
    """An attribute of a person beyond the built-in ones: a free field of records, or the answer to a question."""

    type: Literal["string", "int64", "decimal(18,4)", "bool", "date"] = Field(default="string", description="Type of its values; what does not fit is left out.")
    category: Literal["sociodemographic", "behavioural", "psychographic"] = Field(default="psychographic", description="What kind of thing it tells of a person.")
    personal: Literal["none", "pseudonym", "contact", "sensitive"] = Field(default="contact", description="How personal it is; sensitive for what the law protects specially.")
    meaning: str = Field(min_length=1, description="What it says, for people.")
    labels: dict[str, str] = Field(default_factory=dict, description="What pages call it, by language.")
    field: str = Field(default="", description="Name of a free field that a source keeps of its records (`attributes` of its landing).")
    survey: str = Field(default="", description="Survey whose answers it is taken from; empty: any that asks the question.")
    question: str = Field(default="", description="Question, as the source spells it.")
    take: Literal["answer", "score"] = Field(default="answer", description="Of an answer: its text, or its number.")

    @model_validator(mode="after")
    def _one_origin(self) -> Attribute:
        if bool(self.field) == bool(self.question):
            raise ValueError("an attribute comes from a `field` of records or from a `question` of surveys: give one of them")
        if any(sign in self.field for sign in "\"'\\"):
            raise ValueError(f"the field '{self.field}' has quotes or backslashes in its name, which cannot be asked for; rename it in the source's file")
        if self.survey and not self.question:
            raise ValueError("`survey` belongs to a `question`; name the question")
        return self


YES, NO = ("true", "yes", "ja", "1", "wahr"), ("false", "no", "nein", "0", "falsch")
"""How yes and no are spelt in free fields and answers."""

NAME = r"[a-z][a-z0-9_]*"
"""How attributes and traits may be called."""


class ProfileRules(Record):
    """profiles.yaml: how records that say different things become one profile."""

    trust: tuple[str, ...] = Field(default=(), description="Sources, the most trusted first; sources not named come after them, alike.")
    trusted_for: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="Per attribute: sources believed about it before those of `trust`, the most trusted first."
    )
    strategies: dict[str, Strategy] = Field(
        default_factory=lambda: dict(STRATEGIES),
        description="Per attribute: trusted (source, then latest), latest, frequent, minimum, maximum, union; those given replace the built-in ones.",
    )
    otherwise: Literal["trusted", "latest", "frequent"] = Field(default="trusted", description="Strategy of attributes not named.")
    attributes: dict[str, Attribute] = Field(default_factory=dict, description="Attributes beyond the built-in ones: free fields of records and answers to surveys.")
    stale_days: dict[str, int] = Field(default_factory=dict, description="Per attribute: days after it was last said from which a value is shown as stale.")
    stale_otherwise: int | None = Field(default=None, ge=1, description="The same for attributes not named; null: never stale.")

    @field_validator("strategies")
    @classmethod
    def _over_the_built_in(cls, given: dict[str, Strategy]) -> dict[str, Strategy]:
        return {**STRATEGIES, **given}

    @model_validator(mode="after")
    def _fitting(self) -> ProfileRules:
        for name in self.attributes:
            if name in ATTRIBUTES:
                raise ValueError(f"the attribute '{name}' is built in; give yours another name")
            if not re.fullmatch(NAME, name):
                raise ValueError(f"'{name}' is no name of an attribute; use lower case, digits and _")
        types = self.types
        for what, names in (("strategies", self.strategies), ("trusted_for", self.trusted_for), ("stale_days", self.stale_days)):
            unknown = sorted(set(names) - set(types))
            if unknown:
                raise ValueError(f"there is no attribute '{unknown[0]}' ({what}); {nearest(unknown[0], types)}")
        for name, strategy in self.strategies.items():
            if (strategy == "union") != (types[name] == "list<string>"):
                raise ValueError(f"'{name}' is {types[name]} and cannot be merged by {strategy}; union is for lists, and lists know nothing else")
            if strategy in ("minimum", "maximum") and types[name] in ("string", "bool"):
                raise ValueError(f"'{name}' is {'text' if types[name] == 'string' else 'yes or no'} and has no {strategy}; use trusted, latest or frequent")
        for name in self.trusted_for:
            if self.strategy(name) != "trusted":
                raise ValueError(f"'{name}' is merged by {self.strategy(name)}, which asks no source; leave it out of trusted_for, or set its strategy to trusted")
        short = sorted(name for name, days in self.stale_days.items() if days < 1)
        if short:
            raise ValueError(f"'{short[0]}' would be stale at once; give at least one day, or leave it out of stale_days")
        return self

    @property
    def types(self) -> dict[str, str]:
        """Every attribute with its type, the built-in ones first."""
        return {**ATTRIBUTES, **{name: attribute.type for name, attribute in self.attributes.items()}}

    def strategy(self, attribute: str) -> Strategy:
        """How an attribute is merged.

        Examples:
            >>> ProfileRules().strategy("email"), ProfileRules().strategy("hobbies")
            ('trusted', 'union')
        """
        return self.strategies.get(attribute, self.otherwise)

    def trusted(self, attribute: str) -> tuple[str, ...]:
        """The sources believed about an attribute, the most trusted first.

        Examples:
            >>> ProfileRules(trust=("crm", "shop"), trusted_for={"phone": ("till", "shop")}).trusted("phone")
            ('till', 'shop', 'crm')
        """
        return tuple(dict.fromkeys((*self.trusted_for.get(attribute, ()), *self.trust)))

    def stale_after(self, attribute: str) -> int | None:
        """Days from which a value that nobody said again is stale; None: never."""
        return self.stale_days.get(attribute, self.stale_otherwise)


FILES = (
    FileKind(name="identity", pattern="identity.yaml", model=Identity, meaning="Which identifiers make a person, their priority, limits and blocked values."),
    FileKind(name="profiles", pattern="profiles.yaml", model=ProfileRules, meaning="How records that differ become one profile: trusted sources, strategies."),
)
