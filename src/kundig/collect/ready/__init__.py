"""Ready mappings: sources' files for the exports of well-known systems, to be put into a workspace and edited there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from kundig.config.collect import Source
from kundig.errors import ConfigError, nearest


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """A ready mapping: its name, its text as it stands in the package, and the source it declares."""

    name: str
    text: str
    source: Source

    @property
    def tables(self) -> tuple[str, ...]:
        """Tables that it fills."""
        return tuple(dict.fromkeys(landing.table for given in self.source.inputs for landing in given.lands))

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """Its inputs of files, by the name that `add` knows them by, each with its globs."""
        return {_stem(glob): given.files for given in self.source.inputs for glob in given.files[:1]}

    @property
    def secrets(self) -> tuple[str, ...]:
        """Secrets that it needs."""
        return tuple(dict.fromkeys(re.findall(r"\$\{([A-Z0-9_]+)\}", self.text)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Added:
    """A mapping that was put into a workspace: its path, the files that its globs find there now, and secrets to be set."""

    path: Path
    found: tuple[Path, ...]
    secrets: tuple[str, ...]


def listed() -> tuple[Ready, ...]:
    """Every ready mapping, by name."""
    from ruamel.yaml import YAML

    reader = YAML(typ="safe", pure=True)

    found = []
    for file in sorted(resources.files(__name__).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".yaml"):
            text = file.read_text(encoding="utf-8")
            found.append(Ready(name=file.name.removesuffix(".yaml"), text=text, source=Source.model_validate(reader.load(text))))
    return tuple(found)


def named(name: str) -> Ready:
    """The ready mapping of that name.

    Raises:
        ConfigError: There is none.
    """
    known = {ready.name: ready for ready in listed()}
    if name not in known:
        raise ConfigError(f"there is no ready mapping '{name}'", at="kundig source list", mend=nearest(name, known, most=len(known)))
    return known[name]


def add(root: Path, name: str, *, files: Sequence[str] = (), into: str = "") -> Added:
    """Write a ready mapping into a workspace, as `sources/<name>.yaml`; from then on it is the workspace's own.

    Args:
        root: The workspace.
        name: The ready mapping.
        files: Globs instead of the usual ones: a glob where there is one kind of files, else `input=glob`.
        into: Name of the source; the mapping's else.

    Raises:
        ConfigError: There is no such mapping or input, or the workspace has a source of that name.
    """
    ready = named(name)
    source = into or name
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", source):
        raise ConfigError(f"'{source}' is no name of a source", at="sources/", mend="take small letters, digits and underscores")
    path = root / "sources" / f"{source}.yaml"
    if path.exists():
        raise ConfigError(f"there is a source '{source}' already", at=str(path), mend="edit it, or add the mapping under another name: --as NAME")
    text = ready.text
    globs = dict(ready.inputs)
    for given, glob in _chosen(ready, files).items():
        text = re.sub(rf"(files: ){re.escape(globs[given][0])}$", lambda match, glob=glob: match[1] + _yaml(glob), text, flags=re.MULTILINE)  # type: ignore[misc]  # mypy cannot infer a lambda with bound defaults
        globs[given] = (glob,)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    found = sorted({file for glob in (one for some in globs.values() for one in some if "://" not in one) for file in root.glob(glob) if file.is_file()})
    return Added(path=path, found=tuple(found), secrets=ready.secrets)


def _chosen(ready: Ready, files: Sequence[str]) -> Mapping[str, str]:
    """The inputs whose globs are given anew."""
    known = ready.inputs
    if files and not known:
        raise ConfigError(f"'{ready.name}' reads an interface, not files", at="--files", mend="leave it out")
    chosen = {}
    for text in files:
        name, mark, glob = text.partition("=")
        if not mark:
            name, glob = next(iter(known)) if len(known) == 1 else "", text
        if name not in known:
            what = f"'{ready.name}' has several kinds of files, and '{text}' does not say which" if not mark else f"'{ready.name}' has no files called '{name}'"
            raise ConfigError(what, at="--files", mend=f"write input=glob; {nearest(name or text, known)}")
        chosen[name] = glob
    return chosen


def _stem(glob: str) -> str:
    """What a kind of files is called: its glob's name without stars and ending, or its folder's.

    Examples:
        >>> _stem("exports/shopify/orders*.csv"), _stem("exports/hubspot/*deals*.csv"), _stem("exports/stock/*.csv"), _stem("exports/ga4/events_*")
        ('orders', 'deals', 'stock', 'events')
    """
    folder, _, name = glob.rpartition("/")
    return name.partition(".")[0].replace("*", "").strip("_-").lower() or folder.rpartition("/")[2]


def _yaml(text: str) -> str:
    return text if re.fullmatch(r"[\w./:-][\w./:* -]*", text) and ": " not in text else "'" + text.replace("'", "''") + "'"
