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


class Identity(Record):
    """identity.yaml: the rules by which identifiers become people."""

    namespaces: dict[str, Namespace] = Field(
        default_factory=lambda: dict(NAMESPACES), description="Kinds of identifiers; those given replace the built-in ones of the same name."
    )
    contradiction: float = Field(default=-0.4, le=0, description="Score of names and birth date below which two records are two people; -0.4 parts couples.")
    evidence: float = Field(default=0.0, ge=0, description="Score that two people on one device must pass to be one person.")
    check_most: int = Field(default=30, ge=2, le=200, description="Records under one identifier up to which each pair is compared.")
    handover_days: int = Field(default=14, ge=0, description="Days between one user's last and the next one's first use: then it changed hands.")

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

STRATEGIES: dict[str, Strategy] = {
    "birth_date": "frequent", "gender": "trusted", "age": "latest", "company_size": "latest", "hobbies": "union", "motivation": "latest",
}  # fmt: skip


class ProfileRules(Record):
    """profiles.yaml: how records that say different things become one profile."""

    trust: tuple[str, ...] = Field(default=(), description="Sources, the most trusted first; sources not named come after them, alike.")
    strategies: dict[str, Strategy] = Field(
        default_factory=lambda: dict(STRATEGIES),
        description="Per attribute: trusted (source, then latest), latest, frequent, minimum, maximum, union; those given replace the built-in ones.",
    )
    otherwise: Literal["trusted", "latest", "frequent"] = Field(default="trusted", description="Strategy of attributes not named.")

    @field_validator("strategies")
    @classmethod
    def _fitting(cls, given: dict[str, Strategy]) -> dict[str, Strategy]:
        for name, strategy in given.items():
            if name not in ATTRIBUTES:
                raise ValueError(f"there is no attribute '{name}'; {nearest(name, ATTRIBUTES)}")
            if (strategy == "union") != (ATTRIBUTES[name] == "list<string>"):
                raise ValueError(f"'{name}' is {ATTRIBUTES[name]} and cannot be merged by {strategy}; union is for lists, and lists know nothing else")
            if strategy in ("minimum", "maximum") and ATTRIBUTES[name] == "string":
                raise ValueError(f"'{name}' is text and has no {strategy}; use trusted, latest or frequent")
        return {**STRATEGIES, **given}

    def strategy(self, attribute: str) -> Strategy:
        """How an attribute is merged.

        Examples:
            >>> ProfileRules().strategy("email"), ProfileRules().strategy("hobbies")
            ('trusted', 'union')
        """
        return self.strategies.get(attribute, self.otherwise)


FILES = (
    FileKind(name="identity", pattern="identity.yaml", model=Identity, meaning="Which identifiers make a person, their priority, limits and blocked values."),
    FileKind(name="profiles", pattern="profiles.yaml", model=ProfileRules, meaning="How records that differ become one profile: trusted sources, strategies."),
)
