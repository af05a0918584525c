"""Files as real systems write them: a block's rows are collected apart and appended in order, so that neither memory nor haste shows in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kundig.simulate.text import Ints, data_of, texts

Formats = Mapping[str, str]
"""Format by kind of file: `tables`, `lines` and `events`, each `text` or `parquet`, events also `flat`."""

MOMENT = pa.timestamp("us", tz="UTC")


class Bundle:
    """What one block adds to the files, in order; made without touching any of them."""

    def __init__(self, formats: Formats) -> None:
        self.formats = formats
        self.parts: list[tuple[str, int, Any]] = []
        self.truth: list[tuple[str, pa.Table]] = []
        self.counts: dict[str, int] = {}

    def table(self, name: str, columns: Mapping[str, Any], *, delimiter: str = ";", encoding: str = "utf-8") -> None:
        """Rows of text columns for a CSV file (a Parquet file of the same name where tables are Parquet).

        No value holds the delimiter, a quote or a line end: the pools of texts are free of them.
        """
        made = {key: texts(value) for key, value in columns.items()}
        count = len(next(iter(made.values())))
        if self.formats["tables"] == "parquet":
            self.parts.append((f"{name.rsplit('.', 1)[0]}.parquet", count, pa.table(made)))
            return
        body = bytes(data_of(_joined(list(made.values()), delimiter))) if count else b""
        if encoding != "utf-8":
            body = body.decode("utf-8").encode(encoding)
        head = (delimiter.join(made) + "\n").encode(encoding)
        self.parts.append((name, count, (head, body)))

    def lines(self, name: str, column: pa.Array, flat: Mapping[str, Any] | None = None) -> None:
        """Lines of JSON; `flat` are the same records as columns, written where lines are Parquet."""
        if flat is not None and self.formats["lines"] == "parquet":
            self.parts.append((f"{name.rsplit('.', 1)[0]}.parquet", len(column), pa.table(dict(flat))))
        else:
            self.parts.append((name, len(column), (b"", bytes(data_of(_ended(column))))))

    def text(self, name: str, count: int, body: memoryview) -> None:
        """Bytes that already are whole lines."""
        self.parts.append((name, count, (b"", body)))

    def rows(self, name: str, made: pa.Table) -> None:
        """Rows of a Parquet file."""
        self.parts.append((name, made.num_rows, made))

    def keep(self, name: str, columns: Mapping[str, Any]) -> None:
        """Rows of the truth."""
        self.truth.append((f"{name}.parquet", pa.table({key: value if isinstance(value, pa.Array) else pa.array(value) for key, value in columns.items()})))

    def count(self, **planted: int) -> None:
        """Add to the counts of what was planted."""
        for name, number in planted.items():
            self.counts[name] = self.counts.get(name, 0) + int(number)


class Files:
    """The open files of one folder; counts the records of each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.counts: dict[str, int] = {}
        self._open: dict[str, Any] = {}

    def append(self, name: str, count: int, body: Any) -> None:
        """Append a head (to a new file alone) and bytes, or a table."""
        self.counts[name] = self.counts.get(name, 0) + count
        fresh = name not in self._open
        if fresh:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(body, pa.Table):
            if fresh:
                import pyarrow.parquet as pq

                self._open[name] = pq.ParquetWriter(self.root / name, body.schema, compression="zstd", compression_level=1, write_statistics=not name.startswith(("web/", "app/")))
            self._open[name].write_table(body)
            return
        if fresh:
            self._open[name] = (self.root / name).open("wb")
            self._open[name].write(body[0])
        self._open[name].write(body[1])

    def close(self) -> None:
        """Close every file."""
        for handle in self._open.values():
            handle.close()
        self._open.clear()


def moment(at: Ints, missing: Any = None) -> pa.Array:
    """Microseconds as moments; null where `missing`."""
    return pa.array(np.asarray(at), mask=None if missing is None else np.asarray(missing)).cast(MOMENT)


def _joined(columns: list[pa.Array], delimiter: str) -> pa.Array:
    pieces: list[Any] = []
    for number, column in enumerate(columns):
        pieces += [column, "\n" if number == len(columns) - 1 else delimiter]
    return pc.binary_join_element_wise(*pieces, "")


def _ended(column: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(column, "\n", "")
