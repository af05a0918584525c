"""Searching: where a person stands in any file of a workspace, by decoding what hides it and by the bytes as they lie."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from kundig.store.looking import rows_holding

if TYPE_CHECKING:
    from kundig.store.inbox import Entry
    from kundig.workspace import Workspace

WAYS = {
    "tables": "every Parquet file decoded column by column, and its bytes with the footer", "database": "bytes with free pages and log", "rows": "every row of every table read, inside JSON too",
    "stream": "every message of the stream read", "files": "bytes; gzip, zip (XLSX) and tar unpacked, one inside the other too; Parquet decoded: exports, rendered messages, logs, backups",
}  # fmt: skip
"""How a store is searched."""

DEEPEST = 5
"""Archives inside archives that are opened."""

STORES = ("tables", "catalogue", "state", "inbox", "live", "files")


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """How many files of each store hold one of the values, how each store was searched, and which files they are."""

    counts: dict[str, int] = field(default_factory=dict)
    ways: dict[str, str] = field(default_factory=dict)
    """Store → key of `WAYS`."""
    places: tuple[str, ...] = ()


def search(workspace: Workspace, values: Sequence[str]) -> Findings:
    """Look for values in every file of a workspace but its git history, and in the rows and messages of servers that it keeps things on; upper and lower case are alike."""
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
    ways = {"tables": "tables", "catalogue": "database", "state": "database", "inbox": "database", "live": "database", "files": "files"}
    settings = workspace.config.settings.store
    for name, place in (("state", settings.state), ("catalogue", settings.catalogue)):
        if "://" in place:
            ways[name] = "rows"
            found = rows_holding(workspace.state.engine if name == "state" else workspace.lake.catalogue.engine, wanted)
            counts[name] += sum(found.values())
            places += [f"{name}: table {table}" for table in found]
    if "://" in settings.inbox:
        ways["inbox"] = "stream"
        held = _messages(workspace, wanted)
        counts["inbox"] += held
        places += ["inbox: stream"] * bool(held)
    return Findings(counts={name: counts[name] for name in STORES}, ways={name: ways[name] for name in STORES}, places=tuple(places))


def _messages(workspace: Workspace, wanted: Sequence[str]) -> int:
    """Messages of the inbox that hold a value; read, and left as they are."""
    held = 0

    def look(entry: Entry) -> None:
        nonlocal held
        held += any(value in f"{entry.body.decode(errors='replace')}{entry.meta}".lower() for value in wanted)

    inbox = workspace.inbox()
    try:
        inbox.erase(look)
    finally:
        inbox.close()
    return held


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
    yield from _opened(path.read_bytes(), DEEPEST)


def _opened(raw: bytes, deep: int) -> Iterator[bytes | pa.Table]:
    """Bytes as they lie, and what they decode to: gzip, zip (XLSX), tar and Parquet, one inside the other too."""
    yield raw
    if deep == 0:
        return
    try:
        if raw[:2] == b"\x1f\x8b":
            yield from _opened(gzip.decompress(raw), deep - 1)
        elif raw[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(raw)) as archive:
                for name in archive.namelist():
                    yield name.encode()
                    yield from _opened(archive.read(name), deep - 1)
        elif raw[257:262] == b"ustar":
            with tarfile.open(fileobj=io.BytesIO(raw)) as archive_:
                for member in archive_:
                    if (file := archive_.extractfile(member)) is not None:
                        yield from _opened(file.read(), deep - 1)
        elif raw[:4] == b"PAR1" and raw[-4:] == b"PAR1":
            import pyarrow.parquet as pq

            yield pq.read_table(pa.BufferReader(raw))
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError, RuntimeError, NotImplementedError, pa.ArrowInvalid):
        return  # no such file after all, or one that is cut: its bytes were looked at


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
