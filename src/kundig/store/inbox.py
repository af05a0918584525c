"""The inbox: what the intake took in, one row per request body, on disk before it is acknowledged, until every reader is past it.

One thread writes; requests that wait for it share one transaction and one fsync (group commit). Readers have a cursor each (`land`,
`live`, one per destination). A batch that was read is noted, so that after a crash the same batch is read again: with a batch id made
of its bounds, a store that knows its batches takes each row exactly once.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kundig.clock import Clock, micros, now
from kundig.errors import Conflict, StoreError, nearest

_TABLES = """
CREATE TABLE IF NOT EXISTS requests (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, received_at INTEGER NOT NULL, source TEXT NOT NULL, kind TEXT NOT NULL, meta TEXT NOT NULL,
    check_sum INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS cursors (name TEXT PRIMARY KEY, past INTEGER NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One request: `seq` rises in the order of arrival, `received_at` is in microseconds since 1970, `meta` is JSON of the intake."""

    seq: int
    received_at: int
    source: str
    kind: str
    meta: str
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Entries a cursor reads next; `id` names them for a store that takes each batch once."""

    cursor: str
    past: int
    until: int
    entries: tuple[Entry, ...]

    @property
    def id(self) -> str:
        """Name of the batch: its cursor and bounds."""
        return f"inbox:{self.cursor}:{self.past}-{self.until}"


@dataclass(frozen=True, slots=True)
class _Waiting:
    row: tuple[int, str, str, str, int, bytes]
    future: Future[int]


class Inbox:
    """The inbox at a path. The process that appends opens it with `writing=True`; readers and trimming need no writer."""

    def __init__(self, path: Path | str, *, writing: bool = False, clock: Clock = now, group: int = 2_000, waiting: int = 20_000) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._group = group
        self._queue: queue.Queue[_Waiting | None] = queue.Queue(maxsize=waiting)
        self._closed = False
        self._door = threading.Lock()
        with closing(self._connect()) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > 1:
                raise StoreError(f"the inbox has version {version}, which this release of kundig does not know", at=str(self.path), mend="install the release that wrote it, or a newer one")
            if version == 0:
                connection.executescript(_TABLES)
        self._writer = threading.Thread(target=self._write, name="inbox", daemon=True) if writing else None
        if self._writer is not None:
            self._writer.start()

    # writing

    def submit(self, body: bytes, *, source: str, kind: str = "events", meta: str = "{}") -> Future[int]:
        """Hand over a request; the future gives its `seq` once it is on disk, or the error that kept it from it.

        Raises:
            StoreError: The inbox is not open for writing, or so many requests wait that this one is refused (answer 503).
        """
        future: Future[int] = Future()
        row = (micros(self._clock()), source, kind, meta, zlib.crc32(body), body)
        with self._door:
            if self._writer is None or self._closed:
                raise StoreError("the inbox is not open for writing", at=str(self.path), mend="open it with writing=True, in the intake alone")
            try:
                self._queue.put_nowait(_Waiting(row, future))
            except queue.Full:
                raise StoreError("the inbox is full: too many requests wait for the disk", at=str(self.path), mend="send again after a pause") from None
        return future

    def append(self, body: bytes, *, source: str, kind: str = "events", meta: str = "{}") -> int:
        """Store a request and give its `seq`; it is on disk when this returns."""
        return self.submit(body, source=source, kind=kind, meta=meta).result()

    def _write(self) -> None:
        with closing(self._connect()) as connection:
            ended = False
            while not ended:
                taken: list[_Waiting] = []
                item: _Waiting | None = self._queue.get()
                while True:
                    if item is None:
                        ended = True
                        break
                    taken.append(item)
                    if len(taken) >= self._group:
                        break
                    try:
                        item = self._queue.get_nowait()
                    except queue.Empty:
                        break
                if taken:
                    self._commit(connection, taken)

    def _commit(self, connection: sqlite3.Connection, taken: Sequence[_Waiting]) -> None:
        try:
            with _transaction(connection):
                statement = "INSERT INTO requests (received_at, source, kind, meta, check_sum, body) VALUES (?, ?, ?, ?, ?, ?)"
                numbers = [connection.execute(statement, one.row).lastrowid for one in taken]
        except Exception as error:
            failure = StoreError(f"the request could not be stored: {error}", at=str(self.path), mend="make room on the disk; send the request again, it was not taken")
            for one in taken:
                one.future.set_exception(failure)
            return
        for one, number in zip(taken, numbers, strict=True):
            one.future.set_result(int(number or 0))

    def close(self) -> None:
        """Store what waits, then stop the writer."""
        with self._door:
            first = not self._closed
            self._closed = True
        if self._writer is not None:
            if first:
                self._queue.put(None)
            self._writer.join()

    # cursors

    def register(self, cursor: str, *, at: str = "start") -> None:
        """Make a cursor, at the start (everything that is held) or at the end (only what comes); one that exists stays where it is."""
        with closing(self._connect()) as connection, _transaction(connection):
            past = self._last(connection) if at == "end" else self._first(connection)
            connection.execute("INSERT OR IGNORE INTO cursors VALUES (?, ?, ?)", (cursor, past, past))

    def forget(self, cursor: str) -> None:
        """Remove a cursor: it holds nothing back any more."""
        with closing(self._connect()) as connection, _transaction(connection):
            connection.execute("DELETE FROM cursors WHERE name = ?", (cursor,))

    def cursors(self) -> dict[str, int]:
        """Each cursor, and the `seq` it is past."""
        with closing(self._connect()) as connection:
            return dict(connection.execute("SELECT name, past FROM cursors ORDER BY name").fetchall())

    def read(self, cursor: str, *, most: int = 5_000, bytes: int = 64 << 20) -> Batch | None:
        """The next batch of a cursor, or None where nothing is left; until `advance`, it is the same batch, also after a crash.

        Raises:
            StoreError: There is no such cursor, or a row is damaged.
        """
        with closing(self._connect()) as connection:
            with _transaction(connection):
                found = connection.execute("SELECT past, until FROM cursors WHERE name = ?", (cursor,)).fetchone()
                if found is None:
                    known = [row[0] for row in connection.execute("SELECT name FROM cursors")]
                    raise StoreError(f"the inbox has no cursor '{cursor}'", at=str(self.path), mend=nearest(cursor, known))
                past, until = found
                if until == past:
                    until = _bound(connection.execute("SELECT seq, length(body) FROM requests WHERE seq > ? ORDER BY seq LIMIT ?", (past, most)), past, bytes)
                    if until > past:
                        connection.execute("UPDATE cursors SET until = ? WHERE name = ?", (until, cursor))
            if until == past:
                return None
            entries = tuple(_entries(connection, past, until, self.path))
        return Batch(cursor=cursor, past=past, until=until, entries=entries)

    def advance(self, batch: Batch) -> None:
        """Move the batch's cursor past it, once.

        Raises:
            Conflict: The cursor is no longer where the batch begins: somebody else has moved it.
        """
        with closing(self._connect()) as connection, _transaction(connection):
            moved = connection.execute("UPDATE cursors SET past = until WHERE name = ? AND past = ? AND until = ?", (batch.cursor, batch.past, batch.until)).rowcount
        if moved != 1:
            raise Conflict(f"cursor '{batch.cursor}' is not at {batch.past}", at=str(self.path), mend="read again: this batch was taken by somebody else")

    def waiting(self, cursor: str) -> int:
        """How many entries a cursor has before it."""
        with closing(self._connect()) as connection:
            found = connection.execute("SELECT count(*) FROM requests WHERE seq > (SELECT past FROM cursors WHERE name = ?)", (cursor,)).fetchone()
            return int(found[0])

    # forgetting

    def trim(self, *, at_once: int = 5_000) -> int:
        """Delete what every cursor is past; gives how many. Without any cursor nothing is deleted."""
        gone = 0
        while True:
            with closing(self._connect()) as connection, _transaction(connection):
                bounded = "DELETE FROM requests WHERE seq IN (SELECT seq FROM requests WHERE seq <= (SELECT min(past) FROM cursors) ORDER BY seq LIMIT ?)"
                count = connection.execute(bounded, (at_once,)).rowcount
            gone += count
            if count < at_once:
                return gone

    def erase(self, rewritten: Callable[[Entry], bytes | None]) -> int:
        """Rewrite what is held of a person: the function gives an entry's body without the person, or None where the entry does not
        name them. Gives how many entries were rewritten; free pages and the log are overwritten."""
        changed = 0
        with closing(self._connect()) as connection:
            last = self._last(connection)
            past = self._first(connection)
            while past < last:
                until = _bound(connection.execute("SELECT seq, length(body) FROM requests WHERE seq > ? ORDER BY seq LIMIT 5000", (past,)), past, 64 << 20)
                if until == past:
                    break
                clean = [(entry.seq, body) for entry in _entries(connection, past, until, self.path) if (body := rewritten(entry)) is not None]
                with _transaction(connection):
                    connection.executemany("UPDATE requests SET body = ?, check_sum = ? WHERE seq = ?", [(body, zlib.crc32(body), seq) for seq, body in clean])
                changed += len(clean)
                past = until
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return changed

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=60)
        for pragma in ("busy_timeout=60000", "journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    @staticmethod
    def _last(connection: sqlite3.Connection) -> int:
        found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'requests'").fetchone()
        return 0 if found is None else int(found[0])

    def _first(self, connection: sqlite3.Connection) -> int:
        found = connection.execute("SELECT min(seq) FROM requests").fetchone()[0]
        return self._last(connection) if found is None else int(found) - 1


def _bound(sizes: Iterable[tuple[int, int]], past: int, most: int) -> int:
    """The last `seq` of a batch: as many bodies as fit, and one at least."""
    total = 0
    for seq, size in sizes:
        total += size
        if total > most and total != size:
            return past
        past = seq
    return past


def _entries(connection: sqlite3.Connection, past: int, until: int, path: Path) -> Iterator[Entry]:
    chosen = connection.execute("SELECT seq, received_at, source, kind, meta, check_sum, body FROM requests WHERE seq > ? AND seq <= ? ORDER BY seq", (past, until))
    for seq, received_at, source, kind, meta, check_sum, body in chosen:
        if zlib.crc32(body) != check_sum:
            raise StoreError(f"row {seq} of the inbox is damaged", at=str(path), mend="restore the file from a backup, or delete the row by hand and note the loss")
        yield Entry(seq=seq, received_at=received_at, source=source, kind=kind, meta=meta, body=body)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
