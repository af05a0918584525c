"""Searching: where a person stands in any file of a workspace, by decoding what hides it and by the bytes as they lie."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from kundig.workspace import Workspace

HOW = {
    "tables": "every Parquet file decoded column by column, and its bytes with the footer",
    "catalogue": "bytes with free pages and log", "state": "bytes with free pages and log", "inbox": "bytes with free pages and log", "live": "bytes with free pages and log",
    "files": "bytes; gzip and zip (XLSX) unpacked; Parquet decoded: exports, rendered messages, logs",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """How many files of each store hold one of the values, how each store was searched, and which files they are."""

    counts: dict[str, int] = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)
    places: tuple[str, ...] = ()


def search(workspace: Workspace, values: Sequence[str]) -> Findings:
    """Look for values in every file of a workspace but its git history; upper and lower case are alike."""
    wanted = tuple(value.lower() for value in values)
    counts: Counter[str] = Counter()
    places: list[str] = []
    for path in sorted(path for path in workspace.root.rglob("*") if path.is_file() and ".git" not in path.relative_to(workspace.root).parts):
        try:
            hit = holds(path, wanted)
        except FileNotFoundError:
            continue
        if hit:
            counts[_store(workspace, path)] += 1
            places.append(str(path.relative_to(workspace.root)))
    return Findings(counts={name: counts[name] for name in HOW}, how=dict(HOW), places=tuple(places))


def _store(workspace: Workspace, path: Path) -> str:
    config = workspace.config
    settings = config.settings.store
    if path.is_relative_to(config.path(settings.tables)):
        return "tables"
    for name, place in (("catalogue", settings.catalogue), ("state", settings.state), ("inbox", settings.inbox), ("live", settings.live)):
        if "://" not in place and str(path).startswith(str(config.path(place))):
            return name
    return "files"


def holds(path: Path, values: Sequence[str]) -> bool:
    """Whether a file holds one of the lower-case values, in its bytes or in what they decode to."""
    return any(_in(part, values) for part in _parts(path))


def _parts(path: Path) -> Iterator[bytes | pa.Table]:
    raw = path.read_bytes()
    yield raw
    if raw[:2] == b"\x1f\x8b":
        try:
            yield gzip.decompress(raw)
        except (OSError, EOFError, zlib.error):
            return
    elif raw[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            for name in archive.namelist():
                yield name.encode() + b"\n" + archive.read(name)
    elif raw[:4] == b"PAR1":
        import pyarrow.parquet as pq

        yield pq.read_table(path)


def _in(part: bytes | pa.Table, values: Sequence[str]) -> bool:
    if isinstance(part, bytes):
        lowered = part.lower()
        return any(value.encode() in lowered for value in values)
    import pyarrow.compute as pc

    for column in part.columns:
        flat = column
        while pa.types.is_list(flat.type):
            flat = pc.list_flatten(flat)
        if pa.types.is_string(flat.type) or pa.types.is_large_string(flat.type) or pa.types.is_binary(flat.type):
            texts = pc.utf8_lower(flat.cast(pa.large_string()))
            if any(pc.any(pc.match_substring(texts, value)).as_py() for value in values):
                return True
    return False
