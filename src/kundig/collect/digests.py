"""Hashes of files' contents, remembered as long as a file is the same to the file system: gigabytes are not read again to learn that nothing is new."""

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


def content_digest(paths: Sequence[Path], memory: Path | None = None) -> str:
    """A hash of the files' contents, whatever they are called.

    With `memory`, a file whose size, clocks and inode are as they were when it was hashed is not read again; what is remembered there may be
    deleted at any time.

    Raises:
        OSError: A file cannot be read.
    """
    known = _remembered(memory) if memory is not None else {}
    before = [_looks(path) for path in paths]
    unknown = [path for path, looks in zip(paths, before, strict=True) if known.get(str(path), ["", ""])[0] != looks]
    if unknown:
        with ThreadPoolExecutor(max_workers=min(4, len(unknown))) as pool:
            fresh = dict(zip(unknown, pool.map(_digest, unknown), strict=True))
    else:
        fresh = {}
    digests = [fresh[path] if path in fresh else known[str(path)][1] for path in paths]
    if fresh and memory is not None:
        settled = time.time() - SETTLED
        kept = {str(path): [looks, fresh[path]] for path, looks in zip(paths, before, strict=True) if path in fresh and path.stat().st_ctime < settled and _looks(path) == looks}
        _remember(memory, known | kept)
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _looks(path: Path) -> str:
    """What the file system tells of a file; changing its content changes it."""
    seen = path.stat()
    return f"{seen.st_size}.{seen.st_mtime_ns}.{seen.st_ctime_ns}.{seen.st_ino}"


def _remembered(memory: Path) -> dict[str, list[str]]:
    try:
        found = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, list) and len(value) == 2} if isinstance(found, dict) else {}


def _remember(memory: Path, known: dict[str, list[str]]) -> None:
    there = {name: value for name, value in known.items() if Path(name).exists()}
    draft = memory.with_name(f"{memory.name}.{os.getpid()}")
    draft.write_text(json.dumps(there), encoding="utf-8")
    draft.replace(memory)
