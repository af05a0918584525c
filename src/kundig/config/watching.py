"""Files that are read again while a process runs: sources and webhooks, when one of them changes; what cannot be read leaves the earlier ones in use, and is told."""

from __future__ import annotations

import dataclasses
import threading
import time
from types import MappingProxyType

from kundig.config.load import Config, kinds, load
from kundig.errors import KundigError

AGAIN = ("sources", "webhooks")
"""Kinds of files that are read again; of all others a change counts from the next start on."""

BESIDE = ("secrets.toml",)
"""What else makes a new look: a webhook may wait for its secret."""

EVERY = 1.0
"""Seconds between two looks at the files' clocks and sizes."""

FRESH = 10
"""Seconds after a change for which a process that starts reads it once more."""

Seen = tuple[tuple[str, int, int, int], ...]


class Watched:
    """A workspace's files as they are now.

    Args:
        config: The files as they were read.
        every: Seconds between two looks.
    """

    def __init__(self, config: Config, *, every: float = EVERY) -> None:
        self.config = config
        self.fault = ""
        """Why the files as they are cannot be read; empty where they can. The earlier ones are in use then."""
        self.every = every
        self._lock = threading.Lock()
        self._patterns = tuple(kind.pattern for kind in kinds() if kind.name in AGAIN)
        seen = self._look()
        fresh = time.time_ns() - FRESH * 1_000_000_000
        self._seen: Seen = () if any(changed > fresh for _, changed, _, _ in seen) else seen  # what changed while it was read is read once more
        self._looked = time.monotonic()

    def look(self) -> bool:
        """Read again what changed; gives whether other files, or another fault, hold from now on. Within a look's time nothing is asked."""
        with self._lock:
            moment = time.monotonic()
            if moment - self._looked < self.every:
                return False
            self._looked = moment
            now = self._look()
            if now == self._seen:
                return False
            self._seen = now
            before = self.fault
            try:
                fresh = load(self.config.root)
            except (KundigError, OSError) as error:
                self.fault = _told(error)
                return self.fault != before
            self.config = dataclasses.replace(self.config, values=MappingProxyType({**self.config.values, **{name: fresh.values[name] for name in AGAIN}}))
            self.fault = ""
            return True

    def _look(self) -> Seen:
        root = self.config.root
        found = []
        for pattern in (*self._patterns, *BESIDE):
            for path in sorted(root.glob(pattern)):
                try:
                    told = path.stat()
                except OSError:  # it went away in between
                    continue
                found.append((path.relative_to(root).as_posix(), told.st_mtime_ns, told.st_size, told.st_ino))
        return tuple(found)


def _told(error: Exception) -> str:
    if not isinstance(error, KundigError):
        return str(error)
    return "; ".join(f"{fault.at}: {fault.what}" for fault in error.faults[:5])


__all__ = ["AGAIN", "EVERY", "Watched"]
