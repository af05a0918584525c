"""webhooks/*.yaml: what other systems send by themselves, how they prove that it is they, and what becomes of it."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from kundig.config.base import FileKind, Record
from kundig.config.collect import IdentifierSpec, Landing, MatchSpec, Several, Zone


class Signature(Record):
    """How the sender of a webhook is known."""

    scheme: Literal["hmac", "ecdsa", "basic", "bearer", "header", "query", "none"] = Field(
        description="hmac: a shared secret signs the body; ecdsa: their key does (P-256, SHA-256); basic, bearer, header, query: a secret is sent along; none: anybody may send."
    )
    secret: str = Field(default="", description="The secret as ${NAME} of secrets.toml; of ecdsa the public key (base64 of DER, or PEM).")
    header: str = Field(default="", description="Header of the signature (hmac, ecdsa) or of the secret (header).")
    part: str = Field(default="", description="hmac: which part of a header like 't=…,v1=…' is the signature.")
    prefix: str = Field(default="", description="hmac: what stands before the signature, such as 'sha256='.")
    algorithm: Literal["sha256", "sha1", "sha512"] = Field(default="sha256", description="hmac: the hash.")
    encoding: Literal["hex", "base64"] = Field(default="hex", description="hmac: how the signature is written.")
    signed: str = Field(default="{body}", description="What is signed; {timestamp} and {body} stand for themselves.")
    timestamp: str = Field(default="", description="Header of the moment of signing, in seconds since 1970; or part=NAME of the signature's header.")
    tolerance: int = Field(default=300, ge=0, description="Seconds by which that moment may differ from now; 0 for any.")
    parameter: str = Field(default="token", description="query: the name of the parameter in the address.")
    user: str = Field(default="", description="basic: the user's name.")

    @model_validator(mode="after")
    def _is_whole(self) -> Signature:
        wanted = {"hmac": ("secret", "header"), "ecdsa": ("secret", "header"), "basic": ("secret", "user"), "bearer": ("secret",), "header": ("secret", "header"), "query": ("secret",)}
        missing = [name for name in wanted.get(self.scheme, ()) if not getattr(self, name)]
        if missing:
            raise ValueError(f"the scheme {self.scheme} lacks {', '.join(missing)}; write them, secrets as ${{NAME}} of secrets.toml")
        if "{body}" not in self.signed or ("{timestamp}" in self.signed) != bool(self.timestamp):
            raise ValueError("`signed` and `timestamp` do not fit; {body} is signed always, {timestamp} where `timestamp` says which it is")
        return self


class ConsentSaid(Record):
    """A word on consent: records that pass all tests go into the consent log before the sender is answered."""

    when: tuple[MatchSpec, ...] = Field(min_length=1, description="Tests of the record, all of which pass; `_kind` is its kind.")
    status: Literal["given", "requested", "confirmed", "withdrawn", "objected"] = Field(description="What is said.")
    purpose: str = Field(default="*", description="Purpose of purposes.yaml; '*' for all of them.")
    channel: str = Field(description="Channel; '*' for all of them.")
    occurred_at: str = Field(default="", description="Column of the moment; that of arrival else.")
    identifiers: tuple[IdentifierSpec, ...] = Field(min_length=1, description="Who said it, strongest first.")

    @model_validator(mode="after")
    def _takes_back_alone(self) -> ConsentSaid:
        if self.purpose == "*" and self.status not in ("withdrawn", "objected"):
            raise ValueError(f"'{self.status}' for all purposes would give more than anybody was asked; name the purpose")
        return self


class Webhook(Record):
    """A system that sends by itself to `POST /v1/webhook/<name>`."""

    meaning: str = Field(default="", description="What it sends.")
    source: str = Field(default="", description="Source that its records belong to; the file's name else. One that sources/ describes shares its ids.")
    party: Literal["first", "second", "third"] = Field(default="first", description="Whose data it is.")
    owner: str = Field(default="", description="Who answers for it.")
    known_from: Literal["", "documentation", "real requests"] = Field(default="", description="What the mapping was made from; one known from documentation alone has yet to meet a real request.")
    documentation: str = Field(default="", description="Where its requests are described.")
    signature: Signature = Field(description="How the sender is known.")
    body: Literal["json", "form"] = Field(default="json", description="How the body is written; a form's names like data[email] become data.email.")
    records: str = Field(default="", description="Path to the list of records; the body, or the list that it is, else.")
    kind: str = Field(default="", description="Path to a record's kind, or header:NAME; what tests know as `_kind`.")
    message: str = Field(default="", description="Path to a record's own id, or header:NAME; a hash of the record else. Tests and columns know it as `_message`.")
    lists: tuple[str, ...] = Field(default=(), description="Lists in a record of which each element becomes a record beside it, of kind `<kind>#<list>`, with the others' fields.")
    minor_units: tuple[str, ...] = Field(default=(), description="Paths of amounts in the currency's smallest unit (cents).")
    currency_column: str = Field(default="", description="Path to the currency.")
    currency: str = Field(default="", pattern="^([A-Z]{3})?$", description="Currency of amounts without one; the workspace's else.")
    country: str = Field(default="", pattern="^([A-Z]{2})?$", description="Country of phone numbers without one.")
    zone: Zone = Field(default="", description="Zone of moments without one.")
    dates: Several = Field(default=("iso",), description="Date formats of its moments.")
    decimal: Literal[".", ","] = Field(default=".", description="Decimal mark of amounts written as texts.")
    lands: tuple[Landing, ...] = Field(default=(), description="Tables; `keep` says which records.")
    consents: tuple[ConsentSaid, ...] = Field(default=(), description="Words on consent.")

    @field_validator("source")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if value and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", value):
            raise ValueError(f"'{value}' is no name of a source; use letters, digits, _ and -")
        return value

    @model_validator(mode="after")
    def _does_something(self) -> Webhook:
        if not self.lands and not self.consents:
            raise ValueError("nothing becomes of its records; write `lands` or `consents`")
        wrong = [landing.table for landing in self.lands if landing.table == "consent_records"]
        if wrong:
            raise ValueError("words on consent go into the consent log at once; write them under `consents`, not under `lands`")
        return self


FILES = (FileKind(name="webhooks", pattern="webhooks/*.yaml", model=Webhook, meaning="What other systems send by themselves, how they are known, and what becomes of it.", many=True),)
