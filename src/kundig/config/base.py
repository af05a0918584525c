"""What a file of the workspace is: a typed record, found by a pattern, known to steps by a name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from kundig.errors import nearest


class Record(BaseModel):
    """Base of all configuration records: frozen, strict about unknown keys, every field documented by its schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False, populate_by_name=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class FileKind:
    """One kind of workspace file.

    `name` is how steps and `Config` know it; `pattern` is a glob below the workspace; with `many`, the value is a dict from the
    file's stem (for `creatives/*/brief.yaml`: the folder's name) to its record, else one record (`model()` when the file is absent).
    `format` csv gives `model(rows=(...))` with each row a dict of strings, and `line` numbers counted from 2; `format` text gives
    `model(text=...)`. Where both folder and file vary (`creatives/*/copy.*.yaml`) the key is `<folder>/<stem>`.
    """

    name: str
    pattern: str
    model: type[Record]
    meaning: str
    many: bool = False
    format: Literal["yaml", "csv", "toml", "json", "text"] = "yaml"


def plugged(value: str, group: str, *, also: Iterable[str] = (), what: str) -> str:
    """The name, if it is one of `also` or an installed package registers it in the entry-point group; nothing is imported.

    Raises:
        ValueError: Nothing is called so; the nearest name is told.
    """
    own = tuple(also)
    known = own if value in own else (*own, *metadata.entry_points(group=group).names)
    if value not in known:
        raise ValueError(f"there is no {what} '{value}'; {nearest(value, known)}")
    return value


Values = dict[str, Any]
