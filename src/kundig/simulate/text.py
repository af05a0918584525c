"""Columns of text made by the column: digits, moments, amounts and ids as matrices of bytes, pools of texts taken by number, joins by Arrow."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.uint8]

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
FIRST_DAY = -25_567
"""1 January 1900, in days since 1970."""


def rows(*parts: bytes | Matrix, count: int) -> pa.Array:
    """Texts of one length, made of literals and matrices of bytes side by side."""
    width = sum(len(part) if isinstance(part, bytes) else part.shape[1] for part in parts)
    sheet = np.empty((count, width), dtype=np.uint8)
    at = 0
    for part in parts:
        if isinstance(part, bytes):
            sheet[:, at : at + len(part)] = np.frombuffer(part, dtype=np.uint8)
            at += len(part)
        else:
            sheet[:, at : at + part.shape[1]] = part
            at += part.shape[1]
    starts = np.arange(count + 1, dtype=np.int32) * np.int32(width)
    return pa.StringArray.from_buffers(count, pa.py_buffer(starts), pa.py_buffer(sheet))


def digits(numbers: Ints, width: int) -> Matrix:
    """Numbers with leading zeros, so many digits each.

    Examples:
        >>> rows(b"A", digits(np.array([7, 42]), 5), count=2).to_pylist()
        ['A00007', 'A00042']
    """
    left = np.asarray(numbers, dtype=np.int64)
    sheet = np.empty((len(left), width), dtype=np.uint8)
    for place in range(width - 1, -1, -1):
        left, rest = np.divmod(left, 10)
        sheet[:, place] = rest + 48
    return sheet


def mixed(numbers: Ints, salt: int) -> npt.NDArray[np.uint64]:
    """Numbers scrambled one to one (splitmix64), so that ids show no order."""
    value = np.asarray(numbers).astype(np.uint64) + np.uint64((salt * 0x9E3779B97F4A7C15) % 2**64)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    scrambled: npt.NDArray[np.uint64] = value ^ (value >> np.uint64(31))
    return scrambled


def hexes(values: npt.NDArray[np.uint64]) -> Matrix:
    """Sixteen hexadecimal digits of each value."""
    octets = np.ascontiguousarray(values.astype(">u8")).view(np.uint8).reshape(len(values), 8)
    return _HEX[octets].reshape(len(values), 16)


def uuids(numbers: Ints, salt: int) -> Matrix:
    """A text shaped like a UUID for each number, the same for the same number."""
    first, second = hexes(mixed(numbers, salt)), hexes(mixed(numbers, salt + 1))
    sheet = np.full((len(first), 36), ord("-"), dtype=np.uint8)
    for start, end, source, begin in ((0, 8, first, 0), (9, 13, first, 8), (14, 18, first, 12), (19, 23, second, 0), (24, 36, second, 4)):
        sheet[:, start:end] = source[:, begin : begin + end - start]
    return sheet


def moments(at: Ints) -> Matrix:
    """Moments as 2026-03-29T21:30:00.000Z."""
    day, rest = np.divmod(at, DAY)
    second, fraction = np.divmod(rest, SECOND)
    sheet = np.empty((len(at), 24), dtype=np.uint8)
    sheet[:, :10] = _days("iso")[day - FIRST_DAY]
    sheet[:, 10] = ord("T")
    sheet[:, 11:19] = _clock()[second]
    sheet[:, 19:23] = _millis()[fraction // 1_000]
    sheet[:, 23] = ord("Z")
    return sheet


def iso(at: Ints) -> pa.Array:
    """Moments as texts in UTC, milliseconds kept.

    Examples:
        >>> iso(np.array([1_500_000])).to_pylist()
        ['1970-01-01T00:00:01.500Z']
    """
    return rows(moments(at), count=len(at))


def berlin(at: Ints) -> Ints:
    """What Berlin's clocks show at moments, as microseconds of a calendar without zones."""
    changes = _clock_changes()
    ahead = np.where(np.searchsorted(changes, at, side="right") % 2 == 1, 2, 1)
    wall: Ints = at + ahead * HOUR
    return wall


def berlin_moment(wall: Ints) -> Ints:
    """The moment at which Berlin's clocks show this; in the hour that comes twice, the second one."""
    winter = wall - HOUR
    summer = wall - 2 * HOUR
    return np.where(berlin(winter) == wall, winter, summer)


def local(at: Ints) -> pa.Array:
    """Moments as Berlin's clocks show them: 31.12.2025 23:30.

    Examples:
        >>> local(np.array([1_774_819_800_000_000])).to_pylist()
        ['29.03.2026 23:30']
    """
    day, rest = np.divmod(berlin(at), DAY)
    return rows(_days_of(day), b" ", _clock()[rest // SECOND][:, :5], count=len(at))


def local_day(at: Ints) -> pa.Array:
    """Days of moments in Berlin: 31.12.2025."""
    return rows(_days_of(berlin(at) // DAY), count=len(at))


def day(days: Ints) -> pa.Array:
    """Days since 1970 as dd.mm.yyyy."""
    return rows(_days_of(days), count=len(days))


def iso_day(days: Ints) -> pa.Array:
    """Days since 1970 as yyyy-mm-dd."""
    return pa.array(days.astype("datetime64[D]").astype(str), type=pa.string())


def texts(values: Any) -> pa.Array:
    """Values as a column of text."""
    if isinstance(values, pa.ChunkedArray):
        return values.combine_chunks()
    if isinstance(values, pa.Array):
        return values if pa.types.is_string(values.type) else values.cast(pa.string())
    array = np.asarray(values)
    if array.dtype.kind in "OU":
        return pa.array(array, type=pa.string())
    return pa.array(array).cast(pa.string())


def pool(words: Any) -> pa.Array:
    """A pool of texts to take from."""
    return pa.array(list(words), type=pa.string())


def pick(words: pa.Array, numbers: Any) -> pa.Array:
    """The texts of a pool at these places."""
    return words.take(pa.array(np.asarray(numbers)))


def join(*parts: Any) -> pa.Array:
    """Texts joined element by element; plain strings repeat."""
    return pc.binary_join_element_wise(*[part if isinstance(part, str) else texts(part) for part in parts], "")


def where(mask: Bools, yes: Any, no: Any = "") -> pa.Array:
    """One text or the other, by a mask."""
    return pc.if_else(pa.array(mask), yes if isinstance(yes, str) else texts(yes), no if isinstance(no, str) else texts(no))


def decimal(cents: Ints, mark: str = ",", *, grouped: bool = False) -> pa.Array:
    """Amounts of cents as texts with two digits; `grouped` sets a dot at the thousands, as German exports do.

    Examples:
        >>> decimal(np.array([123456, -5]), grouped=True).to_pylist()
        ['1.234,56', '-0,05']
    """
    whole, rest = np.divmod(np.abs(cents), 100)
    text = texts(whole)
    if grouped and (whole >= 1_000).any():
        thousands, low = np.divmod(whole, 1_000)
        millions, middle = np.divmod(thousands, 1_000)
        tail = join(".", rows(digits(low, 3), count=len(low)))
        text = where(whole >= 1_000, join(texts(thousands), tail), text)
        if millions.any():
            text = where(whole >= 1_000_000, join(texts(millions), ".", rows(digits(middle, 3), count=len(middle)), tail), text)
    return join(where(cents < 0, "-"), text, mark, rows(digits(rest, 2), count=len(rest)))


def cents(euros: Floats) -> Ints:
    """Amounts in whole cents."""
    return np.round(euros * 100).astype(np.int64)


def data_of(column: pa.Array) -> memoryview:
    """The bytes of a column's texts, end to end."""
    buffers = column.buffers()
    if len(column) == 0:
        return memoryview(b"")
    kind = np.int64 if pa.types.is_large_string(column.type) else np.int32
    starts = np.frombuffer(buffers[1], dtype=kind)[column.offset : column.offset + len(column) + 1]
    return memoryview(buffers[2])[int(starts[0]) : int(starts[-1])]


def _days_of(days: Ints) -> Matrix:
    return _days("german")[days - FIRST_DAY]


@lru_cache(maxsize=2)
def _days(style: str) -> Matrix:
    """Every day from 1900 to 2100, written out."""
    dates = np.arange(FIRST_DAY, -FIRST_DAY + 22_000).astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    year, month, day = 1970 + months.astype(np.int64) // 12, months.astype(np.int64) % 12 + 1, (dates - months).astype(np.int64) + 1
    parts = (digits(year, 4), b"-", digits(month, 2), b"-", digits(day, 2)) if style == "iso" else (digits(day, 2), b".", digits(month, 2), b".", digits(year, 4))
    return np.hstack([np.full((len(dates), 1), ord(part), dtype=np.uint8) if isinstance(part, bytes) else part for part in parts])


@lru_cache(maxsize=1)
def _clock() -> Matrix:
    text = "".join(f"{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}" for number in range(86_400))
    return np.frombuffer(text.encode(), dtype=np.uint8).reshape(86_400, 8)


@lru_cache(maxsize=1)
def _millis() -> Matrix:
    return np.frombuffer("".join(f".{number:03d}" for number in range(1_000)).encode(), dtype=np.uint8).reshape(1_000, 4)


@lru_cache(maxsize=1)
def _clock_changes() -> Ints:
    """Moments at which Berlin's clocks change, spring and autumn by turns: 01:00 UTC on the last Sundays of March and October."""
    found = []
    for year in range(1996, 2060):
        for month in (3, 10):
            last = dt.date(year, month, 31)
            sunday = last - dt.timedelta(days=(last.weekday() + 1) % 7)
            found.append((sunday - _EPOCH).days * DAY + HOUR)
    return np.array(found, dtype=np.int64)


def clock_change_days() -> Ints:
    """Days since 1970 on which Berlin's clocks change."""
    return _clock_changes() // DAY


_EPOCH = dt.date(1970, 1, 1)
_HEX = np.frombuffer("".join(f"{number:02x}" for number in range(256)).encode(), dtype=np.uint8).reshape(256, 2)
