"""The raw relation of a source: rows of texts, each with its file and row, and beside them what could not be cut into rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from kundig.collect.identifiers import quoted
from kundig.errors import Fault, nearest

Connection = Any
"""A DuckDB connection, handed in by the store."""

BLOCK = 8 * 1024 * 1024
"""Bytes of CSV parsed at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """A row that could not be taken: what is wrong, in which row of which file, the mend, and the row as it came."""

    file: int
    row: int
    what: str
    mend: str
    body: str
    stage: str = "decode"
    identifier_key: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Raw:
    """The raw relation: its name, its text columns (beside `_file` and `_row`), and the rows that could not be cut."""

    relation: str
    columns: tuple[str, ...]
    broken: tuple[Broken, ...] = ()


def missing_columns(needed: Sequence[str], known: Sequence[str], *, at: str) -> list[Fault]:
    """A fault for each needed column that the file does not have, with the nearest one it has."""
    return [Fault(what=f"column '{name}' is missing", at=at, mend=nearest(name, known)) for name in needed if name not in known]


def store(con: Connection, name: str, data: Any) -> None:
    con.register("_incoming", data)
    try:
        con.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} AS SELECT * FROM _incoming")
    finally:
        con.unregister("_incoming")


def texts(block: bytes, ends: np.ndarray[Any, Any]) -> pa.StringArray | None:
    """The block's bytes as texts that end at these places; None where they are not UTF-8, or where a character is cut."""
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    try:
        return pa.Array.from_buffers(pa.binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(block)]).cast(pa.string())
    except pa.ArrowInvalid:
        return None


def is_utf8(bytes: bytes) -> bool:
    try:
        bytes.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
