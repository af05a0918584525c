"""Reading a workspace's files as a whole: every fault at once, with file, line and mend; nothing half-read is handed on."""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError

from kundig.config.base import FileKind, Record
from kundig.errors import ConfigError, Fault, nearest

ROOMS = ("settings", "law", "collect", "webhooks", "unify", "traits", "understand", "personas", "leads", "predictions", "usecases", "decide", "create", "deliver", "measure", "govern")
"""Modules of this package that declare files; each exports FILES."""

_SECRET_KEY = re.compile(r"(?i)(api[_-]?key|secret|token|passw(or)?d|private[_-]?key)$")
_SECRET_VALUE = re.compile(
    r"(sk_live_|rk_live_|xox[abp]-|AKIA[0-9A-Z]{12}|ghp_[0-9A-Za-z]{20}|-----BEGIN [A-Z ]*PRIVATE KEY|eyJ[\w-]{10,}\.eyJ|SG\.[\w-]{16,})"
)
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

Lines = dict[tuple[str | int, ...], int]


@dataclass(frozen=True, kw_only=True)
class Config:
    """All files of a workspace, validated: `config.settings`, `config.costs`, `config.sources["shop"]`, …"""

    root: Path
    values: Mapping[str, Any]
    origins: Mapping[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        values = object.__getattribute__(self, "values")
        if name in values:
            return values[name]
        raise AttributeError(f"no workspace file is known as '{name}'; {nearest(name, values)}")

    def path(self, relative: str) -> Path:
        """A path below the workspace, or the path itself where it is absolute."""
        return self.root / relative

    def origin(self, dotted: str) -> str:
        """Where a value comes from: 'costs.yaml, line 4', or 'default'."""
        return self.origins.get(dotted, "default")

    def secret(self, text: str) -> str:
        """The text with each `${NAME}` replaced from secrets.toml, else the environment.

        Raises:
            ConfigError: A name is in neither.
        """
        known = _secrets(self.root)

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name in known:
                return known[name]
            if name in os.environ:
                return os.environ[name]
            raise ConfigError(f"the secret '{name}' is not set", at="secrets.toml", mend=f'add {name} = "…" to secrets.toml, or set it in the environment')

        return _REFERENCE.sub(value, text)


def kinds() -> tuple[FileKind, ...]:
    """Every kind of workspace file, as the rooms' modules of this package declare them."""
    found: list[FileKind] = []
    for room in ROOMS:
        try:
            module = importlib.import_module(f"kundig.config.{room}")
        except ModuleNotFoundError as missing:
            if missing.name != f"kundig.config.{room}":
                raise
            continue
        found += module.FILES
    return tuple(found)


def load(root: Path | str) -> Config:
    """The validated configuration of the workspace at `root`.

    Raises:
        ConfigError: Carries every fault of every file.
    """
    folder = Path(root).absolute()
    if not (folder / "kundig.toml").is_file():
        mend = f"kundig init {folder}, or name the workspace with --workspace"
        raise ConfigError("there is no workspace here: kundig.toml is missing", at=str(folder), mend=mend)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    faults: list[Fault] = []
    broken: set[str] = set()
    for kind in kinds():
        read = {}
        for path in sorted(folder.glob(kind.pattern)):
            if any(part.startswith(".") for part in path.relative_to(folder).parts):
                continue
            value, found, lines = _read(path, path.relative_to(folder).as_posix(), kind)
            faults += found
            if value is None:
                broken.add(kind.name)
            else:
                read[_key(path, kind)] = value
                prefix = f"{kind.name}.{_key(path, kind)}" if kind.many else kind.name
                for place, line in lines.items():
                    origins[".".join([prefix, *map(str, place)])] = f"{path.relative_to(folder).as_posix()}, line {line}"
        values[kind.name] = MappingProxyType(read) if kind.many else next(iter(read.values()), None) or _default(kind, faults)
    if all(value is not None for value in values.values()):
        from kundig.config.across import faults_across

        faults += faults_across(values, broken)
    if faults:
        raise ConfigError(faults=faults)
    return Config(root=folder, values=MappingProxyType(values), origins=MappingProxyType(origins))


def json_schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema of each kind of file, by its name, for editors."""
    return {kind.name: kind.model.model_json_schema() for kind in kinds()}


def _default(kind: FileKind, faults: list[Fault]) -> Record | None:
    try:
        return kind.model()
    except ValidationError:
        faults.append(Fault(what=f"the file {kind.pattern} is missing", at=kind.pattern, mend=f"add it: {kind.meaning}"))
        return None


def _key(path: Path, kind: FileKind) -> str:
    folder, _, last = kind.pattern.rpartition("/")
    if "*" not in last:
        return path.parent.name
    return path.stem if "*" not in folder and last.count("*") == 1 and last.startswith("*.") else f"{path.parent.name}/{path.stem}"


def _read(path: Path, name: str, kind: FileKind) -> tuple[Record | None, list[Fault], Lines]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        return None, [Fault(what=f"the file is not UTF-8 (byte {error.start})", at=name, mend="save it as UTF-8")], {}
    try:
        data, lines = _parse(text, kind.format)
    except _Syntax as error:
        return None, [Fault(what=error.what, at=f"{name}, line {error.line}", mend=error.mend)], {}
    faults = list(_literal_secrets(data, lines, name))
    try:
        return kind.model.model_validate(data), faults, lines
    except ValidationError as error:
        return None, faults + [_fault(problem, lines, name, kind.model) for problem in error.errors()], lines


class _Syntax(Exception):
    def __init__(self, what: str, line: int, mend: str) -> None:
        super().__init__(what)
        self.what, self.line, self.mend = what, line, mend


def _parse(text: str, format: str) -> tuple[Any, Lines]:
    if format == "toml":
        try:
            return tomllib.loads(text), _toml_lines(text)
        except tomllib.TOMLDecodeError as error:
            line = re.search(r"line (\d+)", str(error))
            raise _Syntax(f"this is no TOML: {str(error).split(' (at')[0]}", int(line[1]) if line else 1, "mend the line") from error
    if format == "json":
        try:
            return json.loads(text), {}
        except json.JSONDecodeError as error:
            raise _Syntax(f"this is no JSON: {error.msg}", error.lineno, "mend the line") from error
    if format == "csv":
        return _csv(text)
    if format == "text":
        return {"text": text}, {}
    return _yaml(text)


def _yaml(text: str) -> tuple[Any, Lines]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    reader = YAML(typ="rt")
    reader.allow_duplicate_keys = False
    try:
        data = reader.load(text)
    except RecursionError as error:
        raise _Syntax("this is no YAML of a workspace: it is nested too deeply", 1, "a workspace's files have a handful of levels") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = (error.problem or "it cannot be read").splitlines()[0]
        line = (mark.line + 1) if mark else 1
        raise _Syntax(f"this is no YAML: {problem}", line, "check indentation, colons and quotes on this line and the one before") from error
    except (YAMLError, ValueError) as error:
        problem = str(error).splitlines()[0]
        raise _Syntax(f"this is no YAML: {problem}", 1, "look for dates that do not exist and for signs that are no text") from error
    lines: Lines = {}
    return ({} if data is None else _plain(data, (), lines)), lines


def _plain(node: Any, place: tuple[str | int, ...], lines: Lines) -> Any:
    marks: Any = getattr(node, "lc", None)
    if marks is not None and isinstance(node, dict):
        for key in node:
            if key in (marks.data or {}):  # keys merged in by `<<` stand elsewhere
                lines[(*place, key)] = marks.key(key)[0] + 1
        return {key: _plain(value, (*place, key), lines) for key, value in node.items()}
    if marks is not None and isinstance(node, list):
        for number in range(len(node)):
            lines[(*place, number)] = marks.item(number)[0] + 1
        return [_plain(value, (*place, number), lines) for number, value in enumerate(node)]
    if isinstance(node, bool) or node is None:
        return node
    for plain in (int, float, str):
        if isinstance(node, plain):
            return plain(node)
    return node


def _csv(text: str) -> tuple[dict[str, Any], Lines]:
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[dict[str, str]] = []
    lines: Lines = {}
    columns: list[str] = []
    for cells in reader:
        if not columns:
            columns = [cell.strip() for cell in cells]
            twice = sorted({c for c in columns if columns.count(c) > 1})
            if twice:
                raise _Syntax(f"the column '{twice[0]}' stands twice in the head", 1, "name each column once")
        elif any(cell.strip() for cell in cells):
            if len(cells) != len(columns):
                raise _Syntax(f"{len(cells)} cells where the head has {len(columns)}", reader.line_num, f"quote cells that hold '{delimiter}'")
            lines[("rows", len(rows))] = reader.line_num
            rows.append({column: cell.strip() for column, cell in zip(columns, cells, strict=True)})
    return {"rows": rows}, lines


def _toml_lines(text: str) -> Lines:
    lines: Lines = {}
    section: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if head := re.match(r"\s*\[([^\[\]]+)\]", line):
            section = tuple(part.strip() for part in head[1].split("."))
            lines[section] = number
        elif pair := re.match(r"\s*([\w-]+)\s*=", line):
            lines[(*section, pair[1])] = number
    return lines


def _literal_secrets(data: Any, lines: Lines, name: str) -> Iterator[Fault]:
    for place, value in _leaves(data, ()):
        if not isinstance(value, str) or _REFERENCE.search(value):
            continue
        key = str(place[-1]) if place else ""
        if _SECRET_VALUE.search(value) or (_SECRET_KEY.search(key) and len(value) >= 8):
            where = ".".join(map(str, place))
            yield Fault(
                what=f"'{where}' holds a literal key: it would stand in git for ever",
                at=f"{name}, line {_line(place, lines)}",
                mend=f"put it into secrets.toml and write ${{{re.sub(r'[^A-Z0-9]+', '_', key.upper())}}} here; take the key out of use",
            )


def _leaves(data: Any, place: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _leaves(value, (*place, key))
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from _leaves(value, (*place, number))
    else:
        yield place, data


def _line(place: tuple[str | int, ...], lines: Lines) -> int:
    for length in range(len(place), 0, -1):
        if place[:length] in lines:
            return lines[place[:length]]
    return 1


def _fault(problem: Any, lines: Lines, name: str, model: type[BaseModel]) -> Fault:
    place = tuple(part for part in problem["loc"])
    kind, given = problem["type"], problem.get("input")
    where = ".".join(map(str, place)) or "(whole file)"
    at = f"{name}, line {_line(place, lines)}"
    if kind == "extra_forbidden":
        return Fault(what=f"unknown key '{where}'", at=at, mend=nearest(str(place[-1]), _fields_at(model, place[:-1])))
    if kind == "missing":
        return Fault(what=f"'{where}' is missing", at=at, mend=f"add it; {_meaning(model, place)}".rstrip("; "))
    if kind in ("literal_error", "enum"):
        expected = str(problem.get("ctx", {}).get("expected", ""))
        options = re.findall(r"'([^']*)'", expected)
        return Fault(what=f"'{where}' is {_shown(given)}", at=at, mend=nearest(str(given), options))
    message = str(problem["msg"]).removeprefix("Value error, ")
    what, _, mend = message.partition("; ")
    shown = what if kind in ("value_error", "assertion_error") else f"{what[:1].lower()}{what[1:]} (given: {_shown(given)})"
    return Fault(what=f"'{where}': {shown}" if place else shown, at=at, mend=mend or _meaning(model, place))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _model_at(model: Any, place: tuple[str | int, ...]) -> Any:
    for part in place:
        candidates = [m for m in _models(model) if isinstance(part, str) and part in m.model_fields]
        if candidates:
            model = candidates[0].model_fields[str(part)].annotation
    return model


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in _models(argument)]


def _fields_at(model: type[BaseModel], place: tuple[str | int, ...]) -> list[str]:
    return [name for found in _models(_model_at(model, place)) for name in found.model_fields]


def _meaning(model: type[BaseModel], place: tuple[str | int, ...]) -> str:
    for found in _models(_model_at(model, place[:-1])):
        if place and str(place[-1]) in found.model_fields:
            return found.model_fields[str(place[-1])].description or ""
    return ""


def _secrets(root: Path) -> dict[str, str]:
    path = root / "secrets.toml"
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        return {str(key): str(value) for key, value in tomllib.load(file).items()}
