"""A made-up German shop with known truth: what its systems would hand over, with their dirt, at any size and from one seed.

Nothing in the house may read the truth; tests compare with it. See docs/simulate.md for files, columns and worlds.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kundig.errors import ContractError

LARGE = 1_000_000
"""From this many persons on, files are Parquet instead of CSV and JSON lines."""


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
    parquet: bool | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Write the files of a world of so many persons into a folder, and its truth into another.

    Persons are drawn in blocks of 10,000, each from random numbers of its own, so the first ten thousand are the same in a world of
    any size, and memory is that of one block. `parquet` (by default from a million persons on) writes Parquet of the same columns.

    Raises:
        ContractError: Unknown world, or a size that makes none.
    """
    from kundig.simulate.world import BLOCK, named, span

    laws = named(world)
    if persons < 1 or days < 30:
        raise ContractError(f"a world of {persons} persons and {days} days holds nothing", mend="at least 1 person and 30 days")
    from kundig.simulate import blocks
    from kundig.simulate.writers import Files

    began = time.perf_counter()
    watched = span(end, days)
    files = Files(Path(directory), parquet=persons >= LARGE if parquet is None else parquet)
    kept = Files(Path(truth)) if truth is not None else None
    counts: dict[str, int] = {}
    maker = blocks.Maker(world=laws, span=watched, seed=seed, files=files, truth=kept, counts=counts)
    for block in range(-(-persons // BLOCK)):
        maker.block(block, min(BLOCK, persons - block * BLOCK))
        if progress is not None:
            progress(min(persons, (block + 1) * BLOCK), persons)
    spend = maker.finish()
    if kept is not None and truth is not None:
        from kundig.simulate.truth import write_world

        kept.close()
        write_world(Path(truth), laws, watched, seed, counts, spend)
    files.close()
    return Report(files=_grouped(files.counts), counts=dict(counts), seconds=time.perf_counter() - began)


def worlds() -> Mapping[str, str]:
    """Names of the worlds and what holds in each."""
    from kundig.simulate.world import worlds as known

    return known()


def _grouped(counts: Mapping[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, count in counts.items():
        key = name.split("/")[0] + "/events" if "/events-" in name else name
        found[key] = found.get(key, 0) + count
    return dict(sorted(found.items()))
