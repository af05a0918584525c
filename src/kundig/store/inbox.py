"""The inbox: what the intake took in, one row per request body, on disk before it is acknowledged, until every reader is past it.

One thread writes; requests that wait for it share one transaction, few statements and one fsync (group commit), and each event loop is
told once a commit. Readers have a cursor each (`land`, `live`, one per destination). A batch that was read is noted, so that after a crash
the same batch is read again: with a batch id made of its bounds, a store that knows its batches takes each row exactly once.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kundig.clock import Clock, micros, now
from kundig.errors import Conflict, StoreError, nearest
from kundig.store.sqlite import prepare

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


Told = Future[int] | asyncio.Future[int]

_Waiting = tuple[int, str, str, str, bytes, Told]
"""received_at, source, kind, meta, body, and who is told."""

_AT_ONCE = 256
"""Rows of one INSERT: a commit of that many is one statement, for which the writer and the event loop wait for each other once."""

_GROUP_BYTES = 16 << 20
"""Bytes beyond which a commit takes no further request, so that nobody waits long for a commit."""


class Inbox:
    """The inbox at a path. The process that appends opens it with `writing=True`; readers and trimming need no writer.

    Args:
        path: The file.
        writing: Start the writer; of one process alone.
        clock: Gives the moment of arrival.
        group: Requests that share a commit at most.
        waiting: Requests that may wait for the disk; more are refused.
        waiting_bytes: Bytes of them; more are refused.
    """

    def __init__(
        self, path: Path | str, *, writing: bool = False, clock: Clock = now, group: int = 2_000, waiting: int = 20_000, waiting_bytes: int = 256 << 20
    ) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._prepare(clock=clock, group=group, waiting=waiting, waiting_bytes=waiting_bytes)
        with closing(self._connect()) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > 1:
                raise StoreError(f"the inbox has version {version}, which this release of kundig does not know", at=str(self.path), mend="install the release that wrote it, or a newer one")
            if version == 0:
                connection.executescript(_TABLES)
        self._writer = threading.Thread(target=self._write, name="inbox", daemon=True) if writing else None
        if self._writer is not None:
            self._writer.start()

    def _prepare(self, *, clock: Clock, group: int, waiting: int, waiting_bytes: int) -> None:
        """The queue before the store, and its bounds."""
        self._clock = clock
        self._group = group
        self._limits = (waiting, waiting_bytes)
        self._held = [0, 0]
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closed = False
        self._door = threading.Lock()

    # writing

    def submit(self, body: bytes, *, source: str, kind: str = "events", meta: str = "{}") -> Future[int]:
        """Hand over a request; the future gives its `seq` once it is on disk, or the error that kept it from it.

        Raises:
            StoreError: The inbox is not open for writing, or so many requests wait that this one is refused (answer 503).
        """
        future: Future[int] = Future()
        self._take(body, source, kind, meta, future)
        return future

    def append(self, body: bytes, *, source: str, kind: str = "events", meta: str = "{}") -> int:
        """Store a request and give its `seq`; it is on disk when this returns."""
        return self.submit(body, source=source, kind=kind, meta=meta).result()

    def stored(self, body: bytes, *, source: str, kind: str, meta: str) -> asyncio.Future[int]:
        """`submit` for the event loop that runs: all of its requests in one commit are told in one call.

        Raises:
            StoreError: As `submit`.
        """
        future = asyncio.get_running_loop().create_future()
        self._take(body, source, kind, meta, future)
        return future

    @property
    def pressure(self) -> float:
        """How full the queue before the disk is: 0 empty, 1 full."""
        return max(self._held[0] / self._limits[0], self._held[1] / self._limits[1])

    def _take(self, body: bytes, source: str, kind: str, meta: str, told: Told) -> None:
        with self._door:
            if self._writer is None or self._closed:
                raise StoreError("the inbox is not open for writing", at=str(self.path), mend="open it with writing=True, in the intake alone")
            count, size = self._held[0] + 1, self._held[1] + len(body)
            if count > self._limits[0] or (size > self._limits[1] and count > 1):
                raise StoreError("the inbox is full: too many requests wait for the disk", at=str(self.path), mend="send again after a pause")
            self._held[:] = (count, size)
            self._queue.put((micros(self._clock()), source, kind, meta, body, told))

    def _write(self) -> None:
        connection: sqlite3.Connection | None = None
        ended = False
        while not ended:
            taken, ended = self._next_group()
            if not taken:
                continue
            try:
                connection = connection or self._connect()
                last = self._insert(connection, taken)
            except Exception as error:
                self._tell_failed(taken, error)
                with suppress(sqlite3.Error):
                    if connection is not None:
                        connection.close()
                connection = None
                continue
            self._tell(taken, range(last - len(taken) + 1, last + 1))
        if connection is not None:
            connection.close()

    def _next_group(self) -> tuple[list[_Waiting], bool]:
        """What waits, up to the bounds of one commit; and whether the inbox is to be closed after it."""
        taken: list[_Waiting] = []
        size = 0
        item = self._queue.get()
        while item is not None:
            taken.append(item)
            size += len(item[4])
            if len(taken) >= self._group or size >= _GROUP_BYTES:
                return taken, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return taken, False
        return taken, True

    def _insert(self, connection: sqlite3.Connection, taken: Sequence[_Waiting]) -> int:
        """Store the requests in one transaction, as few statements as can be; gives the last `seq`."""
        cells = [(moment, source, kind, meta, zlib.crc32(body), body) for moment, source, kind, meta, body, _ in taken]
        if len(cells) <= _AT_ONCE:
            return _insert_rows(connection, cells)
        with _transaction(connection):
            return [_insert_rows(connection, cells[start : start + _AT_ONCE]) for start in range(0, len(cells), _AT_ONCE)][-1]

    def _let_go(self, taken: Sequence[_Waiting]) -> None:
        with self._door:
            self._held[0] -= len(taken)
            self._held[1] -= sum(len(one[4]) for one in taken)

    def _tell(self, taken: Sequence[_Waiting], numbers: Sequence[int]) -> None:
        self._let_go(taken)
        loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[int], int]]] = {}
        for one, number in zip(taken, numbers, strict=True):
            told = one[5]
            if isinstance(told, Future):
                told.set_result(number)
            else:
                loops.setdefault(told.get_loop(), []).append((told, number))
        for loop, answers in loops.items():
            _call(loop, _set_results, answers)

    def _tell_failed(self, taken: Sequence[_Waiting], error: Exception) -> None:
        self._let_go(taken)
        failure = StoreError(f"the request could not be stored: {error}", at=str(self.path), mend="make room on the disk; send the request again, it was not taken")
        for one in taken:
            told = one[5]
            if isinstance(told, Future):
                told.set_exception(failure)
            else:
                _call(told.get_loop(), _set_failed, [(told, failure)])

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

    def ahead(self, batch: Batch, *, most: int = 5_000, bytes: int = 64 << 20) -> Batch | None:
        """What the cursor will read after a batch that was read, or None where nothing is left; nothing is noted, so that `take` may find it was changed."""
        with closing(self._connect()) as connection:
            past = batch.until
            until = _bound(connection.execute("SELECT seq, length(body) FROM requests WHERE seq > ? ORDER BY seq LIMIT ?", (past, most)), past, bytes)
            if until == past:
                return None
            return Batch(cursor=batch.cursor, past=past, until=until, entries=tuple(_entries(connection, past, until, self.path)))

    def take(self, batch: Batch) -> bool:
        """Note that a batch read ahead is the cursor's next one; False where the cursor stands elsewhere, or another batch was noted: then `read` again."""
        with closing(self._connect()) as connection, _transaction(connection):
            return connection.execute("UPDATE cursors SET until = ? WHERE name = ? AND past = ? AND until = past", (batch.until, batch.cursor, batch.past)).rowcount == 1

    def advance(self, batch: Batch) -> None:
        """Move the batch's cursor past it, once.

        Raises:
            Conflict: The cursor is no longer where the batch begins: somebody else has moved it.
        """
        with closing(self._connect()) as connection, _transaction(connection):
            moved = connection.execute("UPDATE cursors SET past = until WHERE name = ? AND past = ? AND until = ?", (batch.cursor, batch.past, batch.until)).rowcount
        if moved != 1:
            raise Conflict(f"cursor '{batch.cursor}' is not at {batch.past}", at=str(self.path), mend="read again: this batch was taken by somebody else")

    def last(self) -> int:
        """The `seq` of the newest entry there ever was; 0 before the first."""
        with closing(self._connect()) as connection:
            return self._last(connection)

    def waiting(self, cursor: str) -> int:
        """How many entries a cursor has before it."""
        with closing(self._connect()) as connection:
            found = connection.execute("SELECT count(*) FROM requests WHERE seq > (SELECT past FROM cursors WHERE name = ?)", (cursor,)).fetchone()
            return int(found[0])

    def waiting_by_source(self, cursor: str) -> dict[str, int]:
        """How many entries of each source a cursor has before it."""
        with closing(self._connect()) as connection:
            sql = "SELECT source, count(*) FROM requests WHERE seq > (SELECT past FROM cursors WHERE name = ?) GROUP BY source"
            return dict(connection.execute(sql, (cursor,)).fetchall())

    def oldest(self, cursor: str) -> int | None:
        """When the first entry before a cursor came, in microseconds since 1970; None where nothing waits."""
        with closing(self._connect()) as connection:
            sql = "SELECT received_at FROM requests WHERE seq > (SELECT past FROM cursors WHERE name = ?) ORDER BY seq LIMIT 1"
            found = connection.execute(sql, (cursor,)).fetchone()
            return None if found is None else int(found[0])

    # forgetting

    def trim(self, *, at_once: int = 5_000, bytes: int = 8 << 20) -> int:
        """Delete what every cursor is past; gives how many. Without any cursor nothing is deleted.

        Each transaction takes at most so many rows and bytes, and a pause as long as itself follows: the writer waits for none of them long.
        """
        gone = 0
        while True:
            with closing(self._connect()) as connection:
                behind = "SELECT seq, length(body) FROM requests WHERE seq <= (SELECT min(past) FROM cursors) ORDER BY seq LIMIT ?"
                until = _bound(connection.execute(behind, (at_once,)), 0, bytes)
                if not until:
                    return gone
                began = time.perf_counter()
                with _transaction(connection):
                    gone += connection.execute("DELETE FROM requests WHERE seq <= min(?, (SELECT min(past) FROM cursors))", (until,)).rowcount
            time.sleep(min(0.05, time.perf_counter() - began))

    def erase(self, rewritten: Callable[[Entry], bytes | None]) -> int:
        """Rewrite what is held of a person: the function gives an entry's body without the person, or None where the entry does not
        name them. Gives how many entries were rewritten; the file is written anew, so that free pages and the log hold nothing of before."""
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
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return changed

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=60, cached_statements=_AT_ONCE + 16)
        prepare(connection, secure_delete="FAST")
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
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _insert_rows(connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> int:
    statement = f"INSERT INTO requests (received_at, source, kind, meta, check_sum, body) VALUES {', '.join(('(?, ?, ?, ?, ?, ?)',) * len(rows))}"
    return connection.execute(statement, [cell for row in rows for cell in row]).lastrowid or 0


def _call(loop: asyncio.AbstractEventLoop, work: Callable[..., None], answers: object) -> None:
    """Let a loop do something; one that has ended waits for no answer."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(work, answers)


def _set_results(answers: Iterable[tuple[asyncio.Future[int], int]]) -> None:
    for future, number in answers:
        if not future.done():
            future.set_result(number)


def _set_failed(answers: Iterable[tuple[asyncio.Future[int], Exception]]) -> None:
    for future, error in answers:
        if not future.done():
            future.set_exception(error)
