"""A made-up German shop with known truth: what its systems would hand over, with their dirt, at any size and from one seed.

Nothing in the house may read the truth; tests compare with it. See docs/simulate.md for files, columns and worlds.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kundig.errors import ContractError, nearest

if TYPE_CHECKING:
    from kundig.simulate.writers import Bundle, Files

LARGE = 1_000_000
"""Beyond this many persons, files are Parquet instead of CSV and JSON lines."""

FORMATS: Mapping[str, tuple[str, ...]] = {"tables": ("text", "parquet"), "lines": ("text", "parquet"), "events": ("text", "parquet", "flat")}
"""Kinds of files and the formats they come in."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was written: records per file (events of all parts together), planted faults, seconds."""

    files: Mapping[str, int]
    counts: Mapping[str, int]
    seconds: float


def simulate(
    directory: Path | str,
    *,
    persons: int,
    days: int = 730,
    seed: int = 1,
    truth: Path | str | None = None,
    world: str = "plain",
    end: dt.date = dt.date(2026, 10, 31),
    formats: str | Mapping[str, str] | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Write the files of a world of so many persons into a folder, and its truth into another.

    Persons are drawn in blocks of 10,000, each from random numbers of its own: the first ten thousand are the same in a world of any
    size, the bytes do not depend on `workers` (threads), and memory is that of a few blocks.

    Args:
        directory: Folder for the files.
        persons: How many persons.
        days: Days of history up to and with `end`.
        seed: The same seed gives the same bytes.
        truth: Folder for the truth; none: it is not written.
        world: One of `worlds()`.
        end: Last day.
        formats: "text", "parquet", or a format by kind of file: `tables` (CSV), `lines` (tickets and ad contacts), `events` (web and
            app; "parquet" holds the same JSON in a column `body`, "flat" its facts as columns). By default text, beyond a million
            persons Parquet.
        workers: Blocks made side by side.
        progress: Called with persons done and persons in all.

    Raises:
        ContractError: Unknown world or format, or a size that makes none.
    """
    from kundig.simulate.world import named, span

    laws = named(world)
    chosen = _formats(formats, persons)
    if persons < 1 or days < 60 or workers < 1:
        raise ContractError(f"a world of {persons} persons, {days} days and {workers} workers holds nothing", mend="at least 1 person, 60 days and 1 worker")
    from kundig.simulate.blocks import Maker
    from kundig.simulate.shop import catalogue
    from kundig.simulate.truth import write_world
    from kundig.simulate.writers import Files

    began = time.perf_counter()
    watched = span(end, days)
    files, kept = Files(Path(directory)), None if truth is None else Files(Path(truth))
    counts: dict[str, int] = {}
    maker = Maker(world=laws, span=watched, seed=seed, formats=chosen, items=catalogue(seed))
    try:
        _append(maker.opening(), files, kept, counts)
        clicks: Any = 0
        for done, bundle, clicked in maker.blocks(persons, workers):
            _append(bundle, files, kept, counts)
            clicks = clicks + clicked
            if progress is not None:
                progress(done, persons)
        closing, spend = maker.closing(clicks)
        _append(closing, files, kept, counts)
    finally:
        files.close()
        if kept is not None:
            kept.close()
    if truth is not None:
        write_world(Path(truth), laws, watched, seed, persons, counts, spend)
    return Report(files=_grouped(files.counts), counts=dict(sorted(counts.items())), seconds=time.perf_counter() - began)


def worlds() -> Mapping[str, str]:
    """Names of the worlds and what holds in each."""
    from kundig.simulate.world import worlds as known

    return known()


def _formats(given: str | Mapping[str, str] | None, persons: int) -> dict[str, str]:
    usual = "parquet" if persons > LARGE else "text"
    chosen = dict.fromkeys(FORMATS, given if isinstance(given, str) else usual) | (dict(given) if isinstance(given, Mapping) else {})
    for kind, name in chosen.items():
        if kind not in FORMATS:
            raise ContractError(f"there is no kind of file '{kind}'", at="simulate(formats=…)", mend=nearest(kind, FORMATS))
        if name not in FORMATS[kind]:
            raise ContractError(f"there is no format '{name}'", at=f"simulate(formats={{'{kind}': …}})", mend=nearest(name, FORMATS[kind]))
    return chosen


def _append(bundle: Bundle, files: Files, kept: Files | None, counts: dict[str, int]) -> None:
    for name, count, body in bundle.parts:
        files.append(name, count, body)
    if kept is not None:
        for name, table in bundle.truth:
            kept.append(name, table.num_rows, table)
    for name, count in bundle.counts.items():
        counts[name] = counts.get(name, 0) + count


def _grouped(counts: Mapping[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, count in counts.items():
        key = name.split("/")[0] + "/events" if "/events-" in name else name
        found[key] = found.get(key, 0) + count
    return dict(sorted(found.items()))
