"""What a file of the workspace is: a typed record, found by a pattern, known to steps by a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


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


Values = dict[str, Any]
