"""A part of a file of lines as a file of its own, while it is read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kundig.collect.sources.raw import BLOCK

APART = ".part-"
"""How files begin that hold a part while it lands."""


@contextmanager
def apart(paths: Sequence[Path], part: tuple[int, int] | None, folder: Path | None) -> Iterator[Sequence[Path]]:
    """The files to read; of a part of lines (bytes from the first number up to before the second), a file in `folder` that holds these alone."""
    if part is None or paths[0].suffix == ".parquet":
        yield paths
        return
    with tempfile.NamedTemporaryFile(prefix=APART, dir=folder) as file, paths[0].open("rb") as whole:
        whole.seek(part[0])
        left = part[1] - part[0]
        while left and (block := whole.read(min(left, BLOCK))):
            file.write(block)
            left -= len(block)
        file.flush()
        yield [Path(file.name)]


def lines_before(path: Path, place: int) -> int:
    """Lines of a file that end before a byte."""
    count = 0
    with path.open("rb") as file:
        while place and (block := file.read(min(place, BLOCK))):
            count += block.count(b"\n")
            place -= len(block)
    return count


def clear(folder: Path) -> None:
    """Remove what a process that was killed could not."""
    for left in folder.glob(f"{APART}*"):
        left.unlink(missing_ok=True)
