"""What a step's keyword parameters are filled with, and the fingerprint that says whether they or the code changed."""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.util
import inspect
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from kundig.config.load import Config
from kundig.errors import ContractError, nearest
from kundig.schema import Step

_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+(kundig[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]+)|import[ \t]+(kundig[\w.]*))", re.MULTILINE)

SCHEMA_FILES = ("tracking_plan", "purposes", "matrix", "sources", "profiles", "traits")
"""What a step that asks for the whole `config` reads of it: the files that make the schema of rules."""


def parameters(step: Step, config: Config, as_of: dt.datetime) -> dict[str, Any]:
    """The value of each keyword parameter of a step: `as_of`, a setting, a workspace file; others keep their default.

    Raises:
        ContractError: A parameter without default is no such name.
    """
    known = _settings(config) | dict(config.values) | {"as_of": as_of, "config": config}
    signature = inspect.signature(step.body).parameters
    filled: dict[str, Any] = {}
    for name in step.parameters:
        if name in known:
            filled[name] = known[name]
        elif signature[name].default is inspect.Parameter.empty:
            raise ContractError(f"nothing fills the parameter '{name}'", at=f"step '{step.name}'", mend=nearest(name, known, most=60))
    return filled


def fingerprint(step: Step, filled: dict[str, Any]) -> str:
    """A hash of the step's code, of all code of the house that it imports, and of its parameters but for `as_of`."""
    digest = hashlib.sha256()
    for source in sorted(_closure(step.body.__module__)):
        digest.update(_source_hash(source).encode())
    for name in sorted(filled):
        if name not in ("as_of",):
            digest.update(f"{name}={_text(filled[name])};".encode())
    digest.update(",".join(f"{column.name}:{column.type}" for column in step.writes.columns).encode())
    return digest.hexdigest()[:20]


def _settings(config: Config) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for section in type(config.settings).model_fields:
        record = getattr(config.settings, section)
        for name in type(record).model_fields:
            flat[f"{section}_{name}" if section in ("brand", "store", "serve") else name] = getattr(record, name)
    return flat


def _text(value: Any) -> str:
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    if hasattr(value, "items"):
        return json.dumps({str(key): _text(item) for key, item in sorted(value.items())})
    if isinstance(value, Config):
        return json.dumps([_text(value.settings.workspace), *(_text(value.values[name]) for name in SCHEMA_FILES if name in value.values)])
    if isinstance(value, (list, tuple)):
        return json.dumps([_text(item) for item in value])
    return repr(value)


@cache
def _closure(module: str) -> frozenset[str]:
    """All modules of the house that a module imports, directly or through others, itself included."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in seen and _file(name) is not None:
            seen.add(name)
            waiting += _imports(name)
    return frozenset(seen)


@cache
def _imports(module: str) -> tuple[str, ...]:
    """What a module imports of the house; an import told of in a text counts as well, which costs a fresh computation and no more."""
    path = _file(module)
    if path is None:
        return ()
    found: list[str] = []
    for start, names, plain in _IMPORT.findall(path.read_text(encoding="utf-8")):
        found += [plain] if plain else [start, *(f"{start}.{name.split()[0]}" for name in names.strip("()").replace("\n", " ").split(",") if name.strip())]
    return tuple(found)


@cache
def _file(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ModuleNotFoundError, AttributeError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None and spec.origin.endswith(".py") else None


@cache
def _source_hash(module: str) -> str:
    path = _file(module)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None else ""
