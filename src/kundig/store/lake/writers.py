"""Who is writing: each writer shows that it lives, so that a sweep tells files being written from files left behind.

On one host a writer holds a lock on a file, which the system frees when the process ends, however it ends. Where several hosts
share a PostgreSQL catalogue it keeps a row fresh instead; a writer whose row is gone may no longer commit.
"""

from __future__ import annotations

import fcntl
import os
import platform
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kundig.errors import Conflict
from kundig.store.lake.catalogue import Catalogue, execute, execute_in, insert, rows

if TYPE_CHECKING:
    import sqlalchemy as sa

LEASE_SECONDS = 120.0
"""A lease that was not renewed for so long has lapsed."""

FOLDER = ".writers"


class Presence(Protocol):
    """The sign of life of one writer."""

    name: str

    def demand(self, connection: sa.Connection) -> None:
        """Raise when others may take this writer for dead."""

    def close(self) -> None:
        """End the sign of life."""


class FileLock:
    """An exclusive lock on a file named after the writer, held as long as the process lives."""

    def __init__(self, data: Path) -> None:
        folder = data / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            self.name = uuid.uuid4().hex[:12]
            self._path = folder / self.name
            self._file = self._path.open("w")
            fcntl.flock(self._file, fcntl.LOCK_EX)
            if _same_file(self._path, self._file.fileno()):  # a sweep may have removed it before it was locked
                return
            self._file.close()

    def demand(self, connection: sa.Connection) -> None:
        """Nothing to ask: while the process lives, so does the lock."""

    def close(self) -> None:
        """Remove the lock file, then let go."""
        if not self._file.closed:
            self._path.unlink(missing_ok=True)
            self._file.close()


class LeaseRow:
    """A row of `kundig_writer` that a thread of this process keeps fresh."""

    def __init__(self, catalogue: Catalogue, *, seconds: float = LEASE_SECONDS) -> None:
        self.name = uuid.uuid4().hex[:12]
        self._catalogue, self._seconds = catalogue, seconds
        self._ended = threading.Event()
        with catalogue.transaction(write=True) as connection:
            insert(connection, "kundig_writer", [{"writer": self.name, "host": platform.node(), "seen": _now_us()}])
        self._thread = threading.Thread(target=self._renew, name=f"lease-{self.name}", daemon=True)
        self._thread.start()

    def _renew(self) -> None:
        while not self._ended.wait(self._seconds / 6):
            with self._catalogue.engine.begin() as connection:
                execute(connection, "UPDATE kundig_writer SET seen=:now WHERE writer=:w", now=_now_us(), w=self.name)

    def demand(self, connection: sa.Connection) -> None:
        """Raise when a sweep has taken this writer for dead: its files may be gone.

        Raises:
            Conflict: The lease has lapsed.
        """
        if not rows(connection, "SELECT 1 FROM kundig_writer WHERE writer=:w", w=self.name):
            raise Conflict("this writer's lease has lapsed, and what it had written may be swept", mend="compute again")

    def close(self) -> None:
        """Give the lease back."""
        if not self._ended.is_set():
            self._ended.set()
            self._thread.join()
            with self._catalogue.transaction(write=True) as connection:
                execute(connection, "DELETE FROM kundig_writer WHERE writer=:w", w=self.name)


def bury_file_locks(data: Path) -> set[str]:
    """Names of the writers of this host that live; the lock files of those that ended are removed."""
    alive: set[str] = set()
    folder = data / FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            with path.open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _same_file(path, file.fileno()):
                    path.unlink()
        except BlockingIOError:
            alive.add(path.name)
        except FileNotFoundError:
            continue
    return alive


def bury_leases(catalogue: Catalogue, *, seconds: float = LEASE_SECONDS) -> set[str]:
    """Names of the writers whose lease holds; the others lose theirs, so that they cannot commit any more."""
    oldest = _now_us() - int(seconds * 1_000_000)
    with catalogue.transaction(write=True) as connection:
        found = rows(connection, "SELECT writer, seen FROM kundig_writer")
        execute_in(connection, "DELETE FROM kundig_writer WHERE writer IN :ids", [row.writer for row in found if row.seen < oldest])
    return {row.writer for row in found if row.seen >= oldest}


def _same_file(path: Path, handle: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(handle).st_ino
    except FileNotFoundError:
        return False


def _now_us() -> int:
    return time.time_ns() // 1_000
