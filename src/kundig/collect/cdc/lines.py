"""Changes on their way into the lake: lines of JSON, each a row as it is now, a row that is gone, or a table that was emptied.

A row's line holds its columns, `_table` (the table as the mapping calls it) and `_at` (when the change was made). The line of a row that is
gone has `_table` with GONE before it and the columns of its key; that of an emptied table has EMPTIED.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

GONE = "-"
EMPTIED = "*"


_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


def readable(text: str | bytes) -> Any:
    """The value of a JSON text, numbers with a point as texts. Halves of characters, which no store takes, become question marks.

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is nested too deeply.

    Examples:
        >>> readable(b'{"a": 1.50, "b": "x\\\\ud800y"}'), readable('["\\\\ud83d\\\\ude00"]')
        ({'a': '1.50', 'b': 'x?y'}, ['😀'])
    """
    body = text.encode("utf-8", "replace") if isinstance(text, str) else text
    found = json.loads(body, parse_float=str)
    return json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace")) if _HALF.search(body) else found


class ChangeFile:
    """A file of such lines, being written. `cut` takes back what was written since `mark`, as a transaction that cannot be taken."""

    def __init__(self, path: Path, columns: Iterable[str]) -> None:
        self.path = path
        self.rows = 0
        self._marked = (0, 0)
        self._file = path.open("w", encoding="utf-8")
        self._line(dict.fromkeys(columns) | {"_table": "", "_at": None})
        self.mark()

    def __enter__(self) -> ChangeFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def row(self, table: str, at: dt.datetime, values: Mapping[str, Any]) -> None:
        """A row as it is now."""
        self._add(table, at, values)

    def gone(self, table: str, at: dt.datetime, key: Mapping[str, Any]) -> None:
        """A row that is gone."""
        self._add(GONE + table, at, key)

    def emptied(self, table: str, at: dt.datetime) -> None:
        """A table without rows."""
        self._add(EMPTIED + table, at, {})

    def mark(self) -> None:
        """What is written so far stays."""
        self._file.flush()
        self._marked = (self._file.tell(), self.rows)

    def cut(self) -> None:
        """Take back what was written since the mark."""
        place, self.rows = self._marked
        self._file.seek(place)
        self._file.truncate()

    def _add(self, table: str, at: dt.datetime, values: Mapping[str, Any]) -> None:
        self._line({**values, "_table": table, "_at": at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")})
        self.rows += 1

    def _line(self, values: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n")
