"""Persons from pairs of identifiers given as text, many millions of them: read twice, never held as text.

Each text becomes a 63-bit key; keys get small numbers in two hash tables (two threads, one bit of the key decides which), numbers are
joined by union-find, and in a second reading each text is written where it was first seen. Two texts of one key would be one identifier:
with ten million identifiers that happens once in 180,000 runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kundig.errors import IdentityError, nearest
from kundig.unify.union_find import Flags, Ints, compiled, components

_CHUNK = 1 << 20

Chunks = Callable[[str], Iterator[pa.Array]]
"""Reads one column, piece by piece, as often as asked."""


def resolved(edges: Any, columns: tuple[str, ...]) -> pa.Table:
    """(identifier, person_id) of pairs held in memory or in a Parquet file; see `kundig.identity.resolve`."""
    chunks, length = _opened(edges, columns)
    first, person = _persons(chunks, length, columns)
    parts = [(text, numbers) for side, column in enumerate(columns) for text, numbers in _named(chunks, column, first[side], person[side])]
    kind = parts[0][0].type if parts else pa.string()
    return pa.table(
        {
            "identifier": pa.chunked_array([text for text, _ in parts], type=kind),
            "person_id": pa.chunked_array([numbers for _, numbers in parts], type=pa.int64()),
        }
    )


def resolve_parquet(source: Path | str, target: Path | str, *, columns: tuple[str, str] = ("left", "right")) -> int:
    """Write (identifier, person_id) of the pairs in one Parquet file into two others, `target` and beside it `<target>.right`.

    Each holds the identifiers first seen in one of the two columns; together they name each identifier once. Returns how many there are.
    """
    chunks, length = _opened(source, columns)
    first, person = _persons(chunks, length, columns)

    def write(side: int) -> int:
        path = Path(target) if side == 0 else Path(f"{target}.right")
        rows = 0
        writer: pq.ParquetWriter | None = None
        for text, numbers in _named(chunks, columns[side], first[side], person[side]):
            writer = writer or pq.ParquetWriter(path, pa.schema([("identifier", text.type), ("person_id", pa.int64())]), compression="zstd", use_dictionary=False)
            writer.write_table(pa.table({"identifier": text, "person_id": numbers}))
            rows += len(text)
        if writer is None:
            pq.write_table(pa.table({"identifier": pa.array([], pa.string()), "person_id": pa.array([], pa.int64())}), path)
        else:
            writer.close()
        return rows

    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(write, (0, 1)))


def _opened(edges: Any, columns: tuple[str, ...]) -> tuple[Chunks, int]:
    if isinstance(edges, (str, Path)):
        return _file(Path(edges), columns)
    table = edges.to_pyarrow() if hasattr(edges, "to_pyarrow") else edges if isinstance(edges, pa.Table) else pa.table(edges)
    _check(table.schema, columns)

    def chunks(column: str) -> Iterator[pa.Array]:
        for chunk in table.column(column).chunks:
            for start in range(0, len(chunk), _CHUNK):
                yield chunk.slice(start, _CHUNK)

    return chunks, table.num_rows


def _file(path: Path, columns: tuple[str, ...]) -> tuple[Chunks, int]:
    with pq.ParquetFile(path) as file:
        _check(file.schema_arrow, columns)
        length = file.metadata.num_rows

    def chunks(column: str) -> Iterator[pa.Array]:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield from file.read_row_group(group, columns=[column], use_threads=False).column(column).chunks

    return chunks, length


def _check(schema: pa.Schema, columns: tuple[str, ...]) -> None:
    for column in columns:
        if column not in schema.names:
            raise IdentityError(f"column '{column}' is missing from the pairs", mend=nearest(column, schema.names))
    kinds = [pa.types.is_integer(schema.field(column).type) for column in columns]
    if kinds[0] != kinds[1]:
        shown = " and ".join(f"'{column}' is {schema.field(column).type}" for column in columns)
        raise IdentityError(f"the two ends are of different types: {shown}", mend="give both as text, or both as integers")


def _persons(chunks: Chunks, length: int, columns: tuple[str, ...]) -> tuple[list[Flags], list[Ints]]:
    """Per column: where an identifier stands for the first time, and the person of each place."""
    keys, missing = [np.empty(length, np.int64) for _ in columns], [np.zeros(length, np.bool_) for _ in columns]

    def read(side: int) -> None:
        at = 0
        for chunk in chunks(columns[side]):
            _keys_of(chunk, keys[side][at : at + len(chunk)], missing[side][at : at + len(chunk)])
            at += len(chunk)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(read, (0, 1)))
        for side in (0, 1):
            keys[side][missing[side]] = keys[1 - side][missing[side]]
        nobody = missing[0] & missing[1]
        code = [np.empty(length, np.int32) for _ in columns]
        first = [np.zeros(length, np.bool_) for _ in columns]
        found = list(pool.map(lambda part: _number(keys[0], keys[1], nobody, missing[0], code[0], code[1], first[0], first[1], part), (0, 1)))
    count = 2 * max(part.size for part in found)
    label = components(code[0], code[1], count, ~nobody)
    least = _least(label, found[0], found[1])
    for side in (0, 1):
        first[side] &= ~missing[side]
    return first, [least[label[code[side][first[side]]]] for side in (0, 1)]


def _named(chunks: Chunks, column: str, first: Flags, person: Ints) -> Iterator[tuple[pa.Array, pa.Array]]:
    at = done = 0
    for chunk in chunks(column):
        new = first[at : at + len(chunk)]
        at += len(chunk)
        count = int(new.sum())
        if count:
            yield chunk.filter(pa.array(new)), pa.array(person[done : done + count])
            done += count


def _keys_of(chunk: pa.Array, keys: Ints, missing: Flags) -> None:
    if chunk.null_count:
        missing[:] = chunk.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_integer(chunk.type):
        keys[:] = chunk.fill_null(0).cast(pa.int64()).to_numpy(zero_copy_only=False)
        return
    text = chunk if pa.types.is_string(chunk.type) or pa.types.is_large_string(chunk.type) else chunk.cast(pa.string())
    _, offsets, data = text.buffers()
    width: type[np.signedinteger[Any]] = np.int64 if pa.types.is_large_string(text.type) else np.int32
    bounds = np.frombuffer(offsets, width)[text.offset : text.offset + len(text) + 1]
    _hash(np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8), bounds, keys)


@compiled
def _hash(data: Any, bounds: Any, keys: Any) -> None:
    """A 63-bit key of each text, eight bytes a step."""
    factor = np.uint64(0x9DDFEA08EB382D69)
    for i in range(keys.size):
        start, end = np.int64(bounds[i]), np.int64(bounds[i + 1])
        h = np.uint64(end - start) * factor
        at = start
        while at < end:
            word = np.uint64(0)
            for k in range(8):
                if at + k < end:
                    word |= np.uint64(data[at + k]) << np.uint64(8 * k)
            word *= factor
            word ^= word >> np.uint64(47)
            h = (h ^ (word * factor)) * factor
            h ^= h >> np.uint64(47)
            at += 8
        h *= factor
        h ^= h >> np.uint64(44)
        keys[i] = np.int64(h >> np.uint64(1))


@compiled
def _scrambled(key: Any) -> Any:
    h = np.uint64(key)
    h ^= h >> np.uint64(32)
    h *= np.uint64(0x9E3779B97F4A7C15)
    return h ^ (h >> np.uint64(29))


@compiled
def _number(left: Any, right: Any, nobody: Any, missing_left: Any, code_left: Any, code_right: Any, first_left: Any, first_right: Any, part: Any) -> Any:
    """Number the keys of one half of the key space in order of first sight; the numbers of the halves are even and odd."""
    capacity = 1024
    known = np.empty(capacity, np.int64)
    slots = np.full(2 * capacity, -1, np.int32)
    mask = np.uint64(2 * capacity - 1)
    count = 0
    for i in range(left.size):
        if nobody[i]:
            continue
        for turn in range(2):
            side = 1 - turn if missing_left[i] else turn  # an end that is missing repeats the other one, which must be seen first
            key = left[i] if side == 0 else right[i]
            h = _scrambled(key)
            if np.int64(h >> np.uint64(63)) != part:
                continue
            j = h & mask
            while slots[j] >= 0 and known[slots[j]] != key:
                j = (j + np.uint64(1)) & mask
            if slots[j] < 0:
                if count == capacity:
                    capacity *= 2
                    more = np.empty(capacity, np.int64)
                    more[:count] = known
                    known = more
                    mask = np.uint64(2 * capacity - 1)
                    slots = np.full(2 * capacity, -1, np.int32)
                    for old in range(count):
                        place = _scrambled(known[old]) & mask
                        while slots[place] >= 0:
                            place = (place + np.uint64(1)) & mask
                        slots[place] = old
                    j = h & mask
                    while slots[j] >= 0:
                        j = (j + np.uint64(1)) & mask
                slots[j] = count
                known[count] = key
                count += 1
                if side == 0:
                    first_left[i] = True
                else:
                    first_right[i] = True
            if side == 0:
                code_left[i] = slots[j] * 2 + part
            else:
                code_right[i] = slots[j] * 2 + part
    return known[:count].copy()


@compiled
def _least(label: Any, even: Any, odd: Any) -> Any:
    """The smallest key of each component."""
    least = np.full(label.size, np.iinfo(np.int64).max, np.int64)
    for code in range(label.size):
        half = even if code % 2 == 0 else odd
        if code // 2 < half.size:
            least[label[code]] = min(least[label[code]], half[code // 2])
    return least

