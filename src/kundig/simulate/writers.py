"""Files as real systems write them: columns of text joined by Arrow, block after block, so that memory does not grow with the world."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from kundig.simulate.people import Floats, Ints

BERLIN = "Europe/Berlin"


class Files:
    """The open files of one simulation; counts the records of each."""

    def __init__(self, root: Path, *, parquet: bool = False) -> None:
        self.root, self.parquet = root, parquet
        self.counts: dict[str, int] = {}
        self._open: dict[str, Any] = {}

    def table(self, name: str, columns: dict[str, Any], *, delimiter: str = ";", encoding: str = "utf-8") -> None:
        """Append rows of text columns to a CSV file (a Parquet file of the same name where the world is large)."""
        rows = pa.table({key: _texts(value) for key, value in columns.items()})
        if self.parquet:
            self._parquet(name.rsplit(".", 1)[0] + ".parquet", rows)
            return
        fresh = name not in self._open
        self.counts[name] = self.counts.get(name, 0) + rows.num_rows
        buffer = io.BytesIO()
        csv.write_csv(rows, buffer, csv.WriteOptions(include_header=False, delimiter=delimiter, quoting_style="needed"))
        body = buffer.getvalue()
        if fresh:
            body = (delimiter.join(rows.column_names) + "\n").encode() + body
        self._handle(name).write(body if encoding == "utf-8" else body.decode("utf-8").encode(encoding, errors="replace"))

    def lines(self, name: str, texts: pa.Array) -> None:
        """Append lines of text."""
        self.counts[name] = self.counts.get(name, 0) + len(texts)
        handle = self._handle(name)
        if len(texts):
            handle.write(("\n".join(texts.to_pylist()) + "\n").encode())

    def rows(self, name: str, rows: pa.Table) -> None:
        """Append rows to a Parquet file."""
        self._parquet(name, rows)

    def _parquet(self, name: str, rows: pa.Table) -> None:
        import pyarrow.parquet as pq

        self.counts[name] = self.counts.get(name, 0) + rows.num_rows
        if name not in self._open:
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open[name] = pq.ParquetWriter(path, rows.schema, compression="zstd")
        self._open[name].write_table(rows)

    def _handle(self, name: str) -> Any:
        if name not in self._open:
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open[name] = path.open("wb")
        return self._open[name]

    def close(self) -> None:
        """Close every file."""
        for handle in self._open.values():
            handle.close()
        self._open.clear()


def _texts(values: Any) -> pa.Array:
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    array = np.asarray(values)
    if array.dtype == object:
        return pa.array(array, type=pa.string())
    return pa.array(array.astype(str) if array.dtype.kind == "U" else array).cast(pa.string())


def join(*parts: Any) -> pa.Array:
    """Texts joined element by element; plain strings repeat."""
    return pc.binary_join_element_wise(*[part if isinstance(part, str) else _texts(part) for part in parts], "")


def optional(values: Any, show: Any, *around: Any) -> pa.Array:
    """The joined parts where `show` is true, else nothing."""
    made = join(*around) if around else _texts(values)
    return pc.if_else(pa.array(np.asarray(show)), made, "")


def decimal(cents: Ints, mark: str = ",", *, grouped: bool = False) -> pa.Array:
    """Amounts of cents as texts with two digits; `grouped` sets a dot at the thousands, as German exports do.

    Examples:
        >>> decimal(np.array([123456, -5]), grouped=True).to_pylist()
        ['1.234,56', '-0,05']
    """
    size = np.abs(cents)
    whole, rest = size // 100, size % 100
    sign = pc.if_else(pa.array(cents < 0), "-", "")
    if grouped:
        low = pc.utf8_lpad(pa.array(whole % 1000).cast(pa.string()), 3, "0")
        middle = (whole >= 1000) & (whole < 1_000_000)
        text = pc.if_else(pa.array(middle), pc.binary_join_element_wise(pa.array(whole // 1000).cast(pa.string()), low, "."), pa.array(whole).cast(pa.string()))
    else:
        text = pa.array(whole).cast(pa.string())
    return pc.binary_join_element_wise(pc.binary_join_element_wise(sign, text, ""), pc.utf8_lpad(pa.array(rest).cast(pa.string()), 2, "0"), mark)


def cents(euros: Floats) -> Ints:
    """Amounts in whole cents."""
    return np.round(euros * 100).astype(np.int64)


def local(at: Ints, *, clock: bool = True) -> pa.Array:
    """Moments as Berlin wall clocks, as German systems write them: 31.12.2025 23:30, or the day alone."""
    hours, where = np.unique(at // _HOUR, return_inverse=True)
    zone = ZoneInfo(BERLIN)
    offsets = np.array([int((dt.datetime.fromtimestamp(int(hour) * 3600, zone).utcoffset() or dt.timedelta()).total_seconds()) for hour in hours], dtype=np.int64)
    wall = at // 1_000_000 + offsets[where]
    days = _named(wall // 86_400, lambda day: (_FIRST + dt.timedelta(days=int(day))).strftime("%d.%m.%Y"))
    if not clock:
        return days
    minutes = pa.array([f" {number // 60:02d}:{number % 60:02d}" for number in range(1_440)]).take(pa.array(wall % 86_400 // 60))
    return pc.binary_join_element_wise(days, minutes, "")


def day(days: Ints) -> pa.Array:
    """Days since 1970 as dd.mm.yyyy."""
    return _named(days, lambda number: (_FIRST + dt.timedelta(days=int(number))).strftime("%d.%m.%Y"))


def iso(at: Ints) -> pa.Array:
    """Moments as ISO texts in UTC with milliseconds; tables of days, seconds and milliseconds, joined."""
    days = _named(at // (86_400 * 1_000_000), lambda number: (_FIRST + dt.timedelta(days=int(number))).isoformat() + "T")
    seconds = _SECONDS.take(pa.array(at // 1_000_000 % 86_400))
    return pc.binary_join_element_wise(days, seconds, _MILLIS.take(pa.array(at // 1_000 % 1_000)), "")


def _named(numbers: Ints, name: Callable[[int], str]) -> pa.Array:
    found, where = np.unique(numbers, return_inverse=True)
    return pa.array([name(number) for number in found], type=pa.string()).take(pa.array(where))


_FIRST = dt.date(1970, 1, 1)
_HOUR = 3_600 * 1_000_000
_SECONDS = pa.array([f"{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}" for number in range(86_400)])
_MILLIS = pa.array([f".{number:03d}Z" for number in range(1_000)])
