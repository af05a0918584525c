"""What the folder of proofs is made of: sheets of plain rows, each a query of the tables and a file of its own."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Rows under named columns, of values as the tables hold them."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def csv(self) -> bytes:
        """The file of it: UTF-8, moments in UTC after ISO 8601, lists joined by a blank, nothing where there is nothing.

        Examples:
            >>> Sheet(name="s", columns=("a", "b"), rows=(("x", None), (("p", "q"), 2))).csv()
            b'a,b\\nx,\\np q,2\\n'
        """
        return as_csv(self.columns, self.rows)

    def records(self) -> list[dict[str, Any]]:
        """The rows by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def column(self, name: str) -> list[Any]:
        """The values of a column."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows as a CSV file."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue().encode()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def sha256(content: bytes) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Quarter:
    """A quarter of a year in a time zone: [start, end)."""

    name: str
    start: dt.datetime
    end: dt.datetime


def quarter(text: str, zone: str) -> Quarter:
    """The quarter written 2026-Q3.

    Raises:
        ValueError: It is written otherwise.

    Examples:
        >>> quarter("2026-Q4", "Europe/Berlin").start.isoformat()
        '2026-10-01T00:00:00+02:00'
    """
    import re
    from zoneinfo import ZoneInfo

    found = re.fullmatch(r"(\d{4})-?[Qq]([1-4])", text.strip())
    if found is None or not 1 <= int(found[1]) < 9999:
        raise ValueError(f"'{text}' is no quarter; write 2026-Q3")
    year, number = int(found[1]), int(found[2])
    start, end = (dt.datetime(year + month // 12, month % 12 + 1, 1, tzinfo=ZoneInfo(zone)) for month in (3 * number - 3, 3 * number))
    return Quarter(name=f"{year}-Q{number}", start=start, end=end)


def quarter_of(moment: dt.datetime, zone: str) -> Quarter:
    """The quarter a moment lies in."""
    from zoneinfo import ZoneInfo

    local = moment.astimezone(ZoneInfo(zone))
    return quarter(f"{local.year:04}-Q{(local.month + 2) // 3}", zone)


__all__ = ["Quarter", "Sheet", "as_csv", "quarter", "quarter_of", "sha256"]
