"""destinations/*.yaml: where accepted events are forwarded to, under which consent, how fast, and in which form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from kundig.config.base import FileKind, Record
from kundig.errors import ConfigError, nearest

FORMS = ("iso", "unix", "unix_ms", "unix_us", "text", "number", "whole")
"""What a value may be written as."""

_SPEC = frozenset({"$from", "or", "$text", "$value", "map", "otherwise", "as", "hash", "default", "$each", "into"})
_ORIGINS = ("$from", "$text", "$value", "$each")


class Rate(Record):
    """The most requests in a span of time."""

    requests: int = Field(ge=1, description="Requests (rows of a database, lines of a file) allowed in the span.")
    seconds: float = Field(default=1.0, gt=0, description="Length of the span.")


class HttpTarget(Record):
    """One request an event, or one a batch."""

    url: str = Field(min_length=8, description="Address; `${NAME}` is a secret.")
    method: Literal["POST", "PUT", "PATCH"] = Field(default="POST", description="Method.")
    headers: dict[str, str] = Field(default_factory=dict, description="Headers; `${NAME}` is a secret. `Idempotency-Key` and `Content-Type` are set already.")
    body: Any = Field(description="The body: any tree; a mapping with `$from`, `$text`, `$value` or `$each` becomes the value it names.")
    batch: int = Field(default=1, ge=1, le=1_000, description="Most events in a request.")
    batch_into: str = Field(default="", description="Key of the list in a batch's body; empty: the body is the list.")
    sign: str = Field(default="", description="Secret (`${NAME}`) that signs the body after the Standard Webhooks specification.")
    timeout: float = Field(default=10.0, gt=0, le=120, description="Seconds to wait for an answer.")

    @field_validator("body")
    @classmethod
    def _tree(cls, value: Any) -> Any:
        check_tree(value, "body")
        return value

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        if not value.startswith(("https://", "http://", "${")):
            raise ValueError(f"'{value}' is no address; begin it with https://")
        return value

    @model_validator(mode="after")
    def _whole_batches(self) -> HttpTarget:
        if self.batch_into and self.batch == 1:
            raise ValueError("batch_into without batch; say how many events a request may hold")
        return self


class SqlTarget(Record):
    """One row an event in a database; a message that is there already changes nothing."""

    url: str = Field(min_length=3, description="SQLAlchemy address of the database; `${NAME}` is a secret.")
    table: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$", description="Table; it is created when it is not there.")
    columns: dict[str, Any] = Field(min_length=1, description="Column to its value, as in a request's body; `message_id` is there always and is the key.")

    @field_validator("columns")
    @classmethod
    def _trees(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, spec in value.items():
            check_tree(spec, name)
        return value


class FilesTarget(Record):
    """JSON lines below a folder, one file a part; a part is there whole, once."""

    folder: str = Field(default="forwarded", description="Folder below the workspace's data folder.")
    body: Any = Field(default_factory=lambda: {"$value": None}, description="What a line holds; left out: the whole event.")

    @field_validator("body")
    @classmethod
    def _tree(cls, value: Any) -> Any:
        check_tree(value, "body")
        return value


class Destination(Record):
    """destinations/<name>.yaml: accepted events leave for another system."""

    extends: str = Field(default="", description="A ready destination (ga4, hubspot) that this file fills in and overrides.")
    meaning: str = Field(min_length=1, description="What for, for people.")
    owner: str = Field(min_length=1, description="Who answers for it: a role or a team's address, no person's.")
    sources: tuple[str, ...] = Field(default=(), description="Only events of these sources; empty: of all.")
    when: Any = Field(default=None, description="Rule about the one event (docs/rules.md), such as {event: order_completed, where: {total: {at_least: 50}}}; empty: every event.")
    purpose: str = Field(default="", description="Purpose whose consent is asked for each event (purposes.yaml).")
    channel: str = Field(default="", description="Channel of that purpose.")
    categories: tuple[str, ...] = Field(default=(), description="Categories of the event's own context.consent, all of which must be true where the event has them.")
    no_consent_needed: str = Field(default="", description="Why none is needed (say, performance of the contract); then purpose stays empty.")
    rate: Rate = Field(default=Rate(requests=50), description="How fast at most.")
    parallel: int = Field(default=4, ge=1, le=32, description="Persons served side by side; one person's events go one after another.")
    retry_hours: float = Field(default=4.0, gt=0, le=168, description="How long an event is tried again before it becomes a dead letter.")
    active: bool = Field(default=True, description="False: nothing leaves, and nothing is kept back for it.")
    http: HttpTarget | None = Field(default=None, description="Send requests.")
    sql: SqlTarget | None = Field(default=None, description="Write rows.")
    files: FilesTarget | None = Field(default=None, description="Write files.")

    @model_validator(mode="before")
    @classmethod
    def _extended(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or not value.get("extends"):
            return value
        known = ready()
        if value["extends"] not in known:
            raise ValueError(f"there is no ready destination '{value['extends']}'; {nearest(str(value['extends']), known)}")
        return _laid_over(known[value["extends"]], value)

    @model_validator(mode="after")
    def _one_way(self) -> Destination:
        ways = [way for way in ("http", "sql", "files") if getattr(self, way) is not None]
        if len(ways) != 1:
            raise ValueError(f"a destination has one of http, sql and files, this one has {len(ways)}; keep one")
        if bool(self.purpose) == bool(self.no_consent_needed):
            raise ValueError("give either purpose and channel, or no_consent_needed with the reason; not both, not neither")
        if bool(self.purpose) != bool(self.channel):
            raise ValueError("purpose and channel belong together: name both (purposes.yaml)")
        return self


def check_tree(tree: Any, at: str) -> None:
    """Refuse a mapping that looks like a value's origin but cannot be read as one.

    Raises:
        ValueError: With the place below the tree.
    """
    if isinstance(tree, list):
        for position, part in enumerate(tree):
            check_tree(part, f"{at}[{position}]")
        return
    if not isinstance(tree, Mapping):
        return
    if not any(name in tree for name in _ORIGINS):
        for name, part in tree.items():
            check_tree(part, f"{at}.{name}")
        return
    strange = sorted(set(map(str, tree)) - _SPEC)
    if strange:
        raise ValueError(f"{at}: '{strange[0]}' is not known beside {', '.join(name for name in _ORIGINS if name in tree)}; {nearest(strange[0], sorted(_SPEC))}")
    given = [name for name in _ORIGINS if name in tree]
    if len(given) != 1:
        raise ValueError(f"{at}: a value comes from one place, not from {' and '.join(given)}")
    if tree.get("as", "iso") not in FORMS:
        raise ValueError(f"{at}: there is no form '{tree['as']}'; {nearest(str(tree['as']), FORMS)}")
    if tree.get("hash", "sha256") != "sha256":
        raise ValueError(f"{at}: the one hash is sha256")
    if ("$each" in tree) != ("into" in tree):
        raise ValueError(f"{at}: `$each` names a list and `into` what becomes of each element; give both")
    if "into" in tree:
        check_tree(tree["into"], f"{at}.into")


@cache
def ready() -> Mapping[str, Mapping[str, Any]]:
    """The ready destinations by name, as their files say."""
    from ruamel.yaml import YAML

    folder = resources.files("kundig.config") / "ready_destinations"
    return {entry.name.removesuffix(".yaml"): YAML(typ="safe").load(entry.read_text(encoding="utf-8")) for entry in sorted(folder.iterdir(), key=lambda one: one.name) if entry.name.endswith(".yaml")}


def add(root: Path, name: str, file: str) -> tuple[Path, tuple[str, ...]]:
    """Write destinations/<file>.yaml for a ready destination; gives the path and the secrets it needs.

    Raises:
        ConfigError: There is no such ready destination, or a file of that name is there.
    """
    known = ready()
    if name not in known:
        raise ConfigError(f"there is no ready destination '{name}'", mend=nearest(name, known))
    path = root / "destinations" / f"{file}.yaml"
    if path.exists():
        raise ConfigError("the file is there already", at=f"destinations/{file}.yaml", mend="edit it, or give another name with --as")
    text = (resources.files("kundig.config") / "ready_destinations" / f"{name}.yaml").read_text(encoding="utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path, tuple(dict.fromkeys(re.findall(r"\$\{([A-Z0-9_]+)\}", text)))


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        merged[name] = _laid_over(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) and name != "when" else value
    return merged


FILES = (FileKind(name="destinations", pattern="destinations/*.yaml", model=Destination, meaning="Where accepted events are forwarded to, under which consent and how fast.", many=True),)
