"""What is known of files: hashes of their contents and the batch they landed in, as long as a file is the same to the file system.

Gigabytes are not read again to learn that nothing in them is new. The lake alone decides what has landed: what is remembered here may be
deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SETTLED = 2.0
"""Seconds after a change for which a file is not remembered: a second change in the same tick of its clock would not be seen."""

PIECE = 16 << 20
"""Bytes of a piece of a file, of which several are read side by side."""


class FileMemory:
    """Digests and batches of files, kept in a file of JSON; without one, nothing is remembered."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._known = _read(path) if path is not None else {}

    def digest(self, paths: Sequence[Path]) -> str:
        """A hash of the files' contents, whatever they are called.

        Raises:
            OSError: A file cannot be read.
        """
        before = {path: _looks(path) for path in paths}
        unknown = [path for path in before if self._entry(path, before[path]) is None]
        with ThreadPoolExecutor(max_workers=min(4, len(unknown) or 1)) as pool:
            fresh = dict(zip(unknown, pool.map(_digest, unknown), strict=True))
        digests = [fresh[path] if path in fresh else self._known[str(path)][1] for path in paths]
        settled = time.time() - SETTLED
        kept = {str(path): [before[path], fresh[path], ""] for path in fresh if path.stat().st_ctime < settled and _looks(path) == before[path]}
        if kept:
            self._known |= kept
            self._write()
        return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()

    def batch(self, path: Path) -> str:
        """The batch that a file is remembered to have landed in, as it is now; empty where none is."""
        entry = self._entry(path, _looks(path))
        return entry[2] if entry is not None else ""

    def landed(self, paths: Sequence[Path], batch: str) -> None:
        """Remember that files whose digests are known landed in a batch."""
        entries = [entry for path in paths if (entry := self._known.get(str(path))) is not None and entry[2] != batch]
        for entry in entries:
            entry[2] = batch
        if entries:
            self._write()

    def _entry(self, path: Path, looks: str) -> list[str] | None:
        entry = self._known.get(str(path))
        return entry if entry is not None and entry[0] == looks else None

    def _write(self) -> None:
        if self.path is not None:
            there = {name: entry for name, entry in self._known.items() if Path(name).exists()}
            draft = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            draft.write_text(json.dumps(there), encoding="utf-8")
            draft.replace(self.path)


def _digest(path: Path) -> str:
    """SHA-256 of a file; of a long one that of the digests of its pieces, which are read side by side."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= PIECE:
            return hashlib.file_digest(file, "sha256").hexdigest()

        def of(place: int) -> bytes:
            return hashlib.sha256(os.pread(file.fileno(), PIECE, place)).digest()

        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            return hashlib.sha256(b"".join(pool.map(of, range(0, size, PIECE)))).hexdigest()


def _looks(path: Path) -> str:
    """What the file system tells of a file; changing its content changes it."""
    seen = path.stat()
    return f"{seen.st_size}.{seen.st_mtime_ns}.{seen.st_ctime_ns}.{seen.st_ino}"


def _read(path: Path) -> dict[str, list[str]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: entry for name, entry in found.items() if isinstance(entry, list) and len(entry) == 3 and all(isinstance(part, str) for part in entry)}
