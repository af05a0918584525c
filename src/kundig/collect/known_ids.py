"""Ids of what has landed, as hashes in memory: they rule out that a row has landed before, without reading the log again.

A process that lands again and again would read every id of the log for each batch, and ever more of them. It keeps 8 bytes an id instead. What
is not among them has not landed; what is among them is looked up in the log. So a hash too many (of a row that was erased, or of a
commit that failed) costs a look, and changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kundig.collect.identifiers import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from kundig.collect.sources.raw import Connection
    from kundig.store import Lake

    Hashes = npt.NDArray[np.uint64]

MOST = 100_000_000
"""Ids beyond which none are kept (0.8 GB of memory): the log itself is asked then."""

MOST_OF_RUN = 4_000_000
"""Ids of a sorted run, beyond which it is joined with no other: a join takes as long as the run is, and nothing lands meanwhile."""

BITS = 29
"""Leading bits of a hash by which a bitmap (64 MB) rules most of the new ones out, before any run is searched."""

TABLE = "events"
KEY = "event_id"


class KnownIds:
    """Hashes of the event ids in a lake, as of the snapshot that was last covered.

    Args:
        most: How many are kept; beyond, `holds` says of each that it may have landed.
    """

    def __init__(self, *, most: int = MOST) -> None:
        self.most = most
        self._files: frozenset[int] = frozenset()
        self._runs: list[Hashes] = []
        self._bitmap = np.zeros(0, dtype=np.uint8)
        self._full = False

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def cover(self, con: Connection, lake: Lake, snapshot: int) -> None:
        """Take in the files of a snapshot that have not been read yet; of files that were joined, only what is new stays.

        Costs about a second per 10 million ids, once; a landing after it reads what the one before it wrote.
        """
        _, files = lake.files(TABLE, snapshot)
        fresh = tuple(file for file in files if file.id not in self._files)
        self._files = frozenset(file.id for file in files)
        if self._full or not fresh:
            return
        if sum(file.record_count for file in files) > self.most:
            self._full, self._runs, self._bitmap = True, [], np.zeros(0, dtype=np.uint8)
            return
        told = _each_once(hashes(con, lake.scan(TABLE, snapshot, files=frozenset(file.id for file in fresh))))
        self._add(told[~self.holds(told)])

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
            place = np.minimum(np.searchsorted(run, rest), len(run) - 1)
            found[perhaps] |= run[place] == rest
        return found

    def _add(self, fresh: Hashes) -> None:
        """Keep few sorted runs: one is joined with the next as soon as it is no smaller, so that each id is sorted again few times."""
        if len(fresh) and not len(self._bitmap):
            self._bitmap = np.zeros(1 << BITS - 3, dtype=np.uint8)
        places, bits = _place(fresh)
        np.bitwise_or.at(self._bitmap, places, bits)
        while len(fresh) and self._runs and len(self._runs[-1]) <= len(fresh) and len(self._runs[-1]) + len(fresh) <= MOST_OF_RUN:
            fresh = np.sort(np.concatenate((self._runs.pop(), fresh)))
        self._runs += [fresh] if len(fresh) else []


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
    told = asked[known.holds(asked)]
    con.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} (hashed UBIGINT)")
    if len(told):
        _insert(con, name, told.tolist())
    return len(told)


def _insert(con: Connection, name: str, told: Iterable[int]) -> None:
    con.execute(f"INSERT INTO {quoted(name)} SELECT unnest($1::UBIGINT[])", [list(told)])
