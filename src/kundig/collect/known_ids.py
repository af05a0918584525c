"""Ids of what has landed, as hashes: they rule out that a row has landed before, without reading the log again.

A process that lands again and again would read every id of the log for each batch, and ever more of them. It keeps 8 bytes an id instead: the
newest in memory, the rest in files without a name that end with the process, so that its memory stays the same while the log grows. What
is not among them has not landed; what is among them is looked up in the log. So a hash too many (of a row that was erased, or of a
commit that failed) costs a look, and changes nothing.
"""

from __future__ import annotations

import tempfile
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from kundig.collect.identifiers import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy.typing as npt

    from kundig.collect.sources.raw import Connection
    from kundig.store import Lake

    Hashes = npt.NDArray[np.uint64]

MOST = 100_000_000
"""Ids beyond which none are kept (0.8 GB on disk): the log itself is asked then."""

MOST_OF_RUN = 4_000_000
"""Ids of a sorted run, beyond which it is joined with no other: a join takes as long as the run is, and nothing lands meanwhile."""

MOST_IN_MEMORY = 1_000_000
"""Ids of a sorted run, from which on it is kept in a file: the runs below it are few, each twice as long as the next."""

BITS = 29
"""Leading bits of a hash by which a bitmap (64 MB) rules most of the new ones out, before any run is searched."""

TABLE = "events"
KEY = "event_id"


class KnownIds:
    """Hashes of the event ids in a lake, as of the snapshot that was last covered.

    Args:
        most: How many are kept; beyond, `holds` says of each that it may have landed.
        folder: Where the files are that take what memory need not hold; the system's temporary one by default.
    """

    def __init__(self, *, most: int = MOST, folder: Path | None = None) -> None:
        self.most, self.folder = most, folder
        self._files: frozenset[int] = frozenset()
        self._runs: list[_Run] = []
        self._bitmap = np.zeros(0, dtype=np.uint8)
        self._full = False
        self._asked: list[Hashes] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def cover(self, con: Connection, lake: Lake, snapshot: int) -> None:
        """Take in the files of a snapshot that have not been read yet; of files that were joined, only what is new stays.

        Costs about a second per 10 million ids, once; a landing after it reads what others wrote since.
        """
        self._asked.clear()
        _, files = lake.files(TABLE, snapshot)
        fresh = () if self._full else tuple(file for file in files if file.id not in self._files)
        if sum(file.record_count for file in files) > self.most:
            self._full, self._runs, self._bitmap = True, [], np.zeros(0, dtype=np.uint8)
            return
        counted = zip(accumulate(file.record_count for file in fresh), fresh, strict=True)
        for _, group in groupby(counted, key=lambda one: one[0] // MOST_OF_RUN):
            told = _each_once(hashes(con, lake.scan(TABLE, snapshot, files=frozenset(file.id for _, file in group))))
            self._add(told[~self.holds(told)])
        self._files = frozenset(file.id for file in files)

    def landed(self, lake: Lake, snapshot: int) -> None:
        """Take in the ids that were asked for since `cover` and not known: they came with this snapshot, whose files need not be read."""
        if not self._asked:
            return
        told = _each_once(np.concatenate(self._asked))
        self._asked.clear()
        self._add(told[~self.holds(told)])
        self._files |= {file.id for file in lake.files(TABLE, snapshot)[1] if file.begin_snapshot == snapshot}

    def holds(self, asked: Hashes) -> npt.NDArray[np.bool_]:
        """Which of these hashes may be those of rows that have landed."""
        if self._full:
            return np.ones(len(asked), dtype=bool)
        found = np.zeros(len(asked), dtype=bool)
        if not self._runs:
            return found
        places, bits = _place(asked)
        perhaps = np.flatnonzero(self._bitmap[places] & bits)
        rest = asked[perhaps]
        for run in self._runs:
            told = run.sorted()
            place = np.minimum(np.searchsorted(told, rest), len(told) - 1)
            found[perhaps] |= told[place] == rest
        return found

    def note(self, asked: Hashes) -> None:
        """Hashes that were not held: those of rows about to land."""
        self._asked.append(asked)

    def _add(self, fresh: Hashes) -> None:
        """Keep sorted hashes as one of few runs: one is joined with the next as soon as it is no smaller, so that each id is sorted again few times."""
        if not len(fresh):
            return
        if not len(self._bitmap):
            self._bitmap = np.zeros(1 << BITS - 3, dtype=np.uint8)
        places, bits = _place(fresh)
        starts = np.flatnonzero(np.append(True, places[1:] != places[:-1]))  # sorted hashes come in the order of their places
        self._bitmap[places[starts]] |= np.bitwise_or.reduceat(bits, starts)
        while self._runs and len(self._runs[-1]) <= len(fresh) and len(self._runs[-1]) + len(fresh) <= MOST_OF_RUN:
            fresh = np.sort(np.concatenate((self._runs.pop().sorted(), fresh)))
        self._runs.append(_Run(fresh, self.folder))


class _Run:
    """Sorted hashes; long ones lie in a file and are in memory only while somebody looks into them."""

    def __init__(self, told: Hashes, folder: Path | None) -> None:
        self._count = len(told)
        self._told: Hashes | None = told
        if len(told) < MOST_IN_MEMORY:
            return
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open as long as the run is kept
            told.tofile(self._file)
            self._file.flush()
            self._told = None
        except OSError:  # a full disk: memory has to hold it
            return

    def __len__(self) -> int:
        return self._count

    def sorted(self) -> Hashes:
        return np.memmap(self._file, dtype=np.uint64, mode="r", shape=self._count) if self._told is None else self._told


def _place(asked: Hashes) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.uint8]]:
    """Byte and bit of each hash in the bitmap."""
    leading = asked >> np.uint64(64 - BITS)
    return (leading >> np.uint64(3)).astype(np.intp), np.left_shift(np.uint8(1), (leading & np.uint64(7)).astype(np.uint8))


def hashes(con: Connection, relation: str, column: str = KEY) -> Hashes:
    """The hash of a column, one per row of a relation (SQL behind FROM), in its order.

    Examples:
        >>> import duckdb
        >>> len(hashes(duckdb.connect(), "(SELECT 'a' AS event_id UNION ALL SELECT 'b')"))
        2
    """
    told: Any = con.execute(f"SELECT hash({quoted(column)}) AS hashed FROM {relation}").fetchnumpy()["hashed"]
    return np.asarray(told, dtype=np.uint64)


def _each_once(told: Hashes) -> Hashes:
    """Sorted, each once. `numpy.unique` takes ten times as long: it hashes first."""
    told = np.sort(told)
    return told[np.append(True, told[1:] != told[:-1])] if len(told) else told


def suspects(con: Connection, known: KnownIds, relation: str, *, name: str) -> int:
    """Make a temporary table `name` of the hashes (column `hashed`) in a relation that may have landed; gives how many they are."""
    asked = _each_once(hashes(con, relation))
    held = known.holds(asked)
    known.note(asked[~held])
    told = asked[held]
    con.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} (hashed UBIGINT)")
    if len(told):
        _insert(con, name, told.tolist())
    return len(told)


def _insert(con: Connection, name: str, told: Iterable[int]) -> None:
    con.execute(f"INSERT INTO {quoted(name)} SELECT unnest($1::UBIGINT[])", [list(told)])
