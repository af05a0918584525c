"""Extension points: what a plugin may add, by entry points; what is built in is registered the same way.

| point | entry-point group | an entry is |
|---|---|---|
| `sources` | `kundig.sources` | a `Reader` of a file format |
| `channels` | `kundig.channels` | a callable that opens a `Channel` |
| `kpis` | `kundig.kpis` | a collection of `Kpi`s |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from kundig.errors import ContractError, nearest


@runtime_checkable
class Reader(Protocol):
    """Reads one file of a source as rows, in order, each a dict from column to value.

    Values may be texts, numbers, moments, or nested; the mapping reads them as it reads the cells of a workbook. `options` hold what the
    input says of its files (encoding, delimiter, quote, decimal, zone, currency, country, sheet) and its own `options`.
    """

    def __call__(self, path: Path, options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The rows of the file."""


@runtime_checkable
class Channel(Protocol):
    """Where messages are handed over; it must tell afterwards what it has."""

    def hand_over(self, run_id: int, part: str, messages: Sequence[Any]) -> None:
        """Take all of the messages, or none."""

    def withdraw(self, run_id: int, part: str) -> frozenset[str]:
        """See to it that the part will not be taken any more; gives the ids of the messages that were."""


@runtime_checkable
class Finishes(Protocol):
    """A channel that has something to do when all parts of a delivery are handed over."""

    def finish(self, run_id: int) -> Path:
        """Round the run off; gives the folder in which people find its messages."""


class OpensChannel(Protocol):
    """Opens a channel; the entry of a `channels` plugin, such as the channel's class.

    It is called once a delivery, with the folder below the workspace where it may write, and its settings from channels.yaml.
    """

    def __call__(self, *, folder: Path, **settings: Any) -> Channel:
        """The channel, ready."""


@runtime_checkable
class Kpi(Protocol):
    """One number of the scorecard: its name, the tables it reads, and a body that makes a lazy table of its rows from them."""

    @property
    def name(self) -> str:
        """Name of the number."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Tables it reads; where one is empty, the number is null with the reason."""

    @property
    def body(self) -> Callable[..., Any] | None:
        """Makes the rows; none where the number cannot be computed here at all."""


POINTS: Mapping[str, str] = {"sources": "kundig.sources", "channels": "kundig.channels", "kpis": "kundig.kpis"}
"""Extension points and their entry-point groups; there is none without a user."""


@lru_cache(maxsize=len(POINTS))
def _entries(point: str) -> tuple[metadata.EntryPoint, ...]:
    return tuple(sorted(metadata.entry_points(group=POINTS[point]), key=lambda entry: (entry.name, entry.value)))


def load(point: str) -> dict[str, Any]:
    """What is registered at an extension point, loaded, by name.

    Raises:
        ContractError: There is no such point, two entries have one name, or an entry cannot be imported or is not what the point needs.
    """
    if point not in POINTS:
        raise ContractError(f"there is no extension point '{point}'", at="hooks.py", mend=nearest(point, POINTS))
    entries = _entries(point)
    names = [entry.name for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        rivals = ", ".join(entry.value for entry in entries if entry.name == twice[0])
        raise ContractError(f"'{twice[0]}' is registered twice at '{point}'", at=rivals, mend="uninstall one of the packages")
    return {entry.name: _loaded(entry, point) for entry in entries}


def named(point: str, name: str) -> Any:
    """The one entry of that name at an extension point; only it is imported.

    Raises:
        ContractError: There is none; the mend names the nearest.
    """
    if point not in POINTS:
        raise ContractError(f"there is no extension point '{point}'", at="hooks.py", mend=nearest(point, POINTS))
    found = [entry for entry in _entries(point) if entry.name == name]
    if len(found) != 1:
        what = f"'{name}' is registered twice at '{point}'" if found else f"nothing is registered as '{name}' at '{point}'"
        raise ContractError(what, at=f"entry points of {POINTS[point]}", mend=nearest(name, [entry.name for entry in _entries(point)]))
    return _loaded(found[0], point)


def _loaded(entry: metadata.EntryPoint, point: str) -> Any:
    try:
        thing: Callable[..., Any] | Any = entry.load()
    except Exception as error:
        raise ContractError(f"'{entry.name}' cannot be loaded: {error}", at=f"{point}: {entry.value}", mend="reinstall or uninstall its package") from error
    fits = isinstance(thing, Iterable) and all(isinstance(one, Kpi) for one in thing) if point == "kpis" else callable(thing)
    if not fits:
        raise ContractError(f"'{entry.name}' is not what the point needs", at=f"{point}: {entry.value}", mend=f"see the protocols in kundig.hooks for '{point}'")
    return thing
