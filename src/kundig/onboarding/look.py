"""Looking at a file that was never seen before: its columns, a sample of their cells, and how they are written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kundig.collect.sources import sniff
from kundig.errors import SourceError

SAMPLE = 400
SUFFIXES = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".xlsx": "xlsx", ".xls": "xlsx", ".json": "json", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[a-zA-Z]{2,}")
_PHONE = re.compile(r"\+?[\d\s()/.-]{6,20}")
_SEGMENT = {"messageId", "type"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column and what its cells look like."""

    name: str
    cells: tuple[str, ...]
    filled: float
    distinct: float
    dates: tuple[str, ...]
    marks: tuple[str, ...]
    currencies: tuple[str, ...]

    @property
    def emails(self) -> bool:
        """Nearly all filled cells are e-mail addresses."""
        return self._share(_EMAIL) >= 0.9

    @property
    def phones(self) -> bool:
        """Nearly all filled cells could be phone numbers, and some begin like one."""
        return self._share(_PHONE) >= 0.9 and any(cell[0] in "+0(" for cell in self.cells)

    @property
    def numbers(self) -> bool:
        """Nearly all filled cells are numbers."""
        return bool(self.marks)

    def _share(self, pattern: re.Pattern[str]) -> float:
        return sum(bool(pattern.fullmatch(cell)) for cell in self.cells) / len(self.cells) if self.cells else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A file as it was seen: format, encoding, delimiter, columns."""

    path: Path
    format: str
    encoding: str
    delimiter: str
    columns: tuple[Column, ...]
    sampled: int
    note: str = ""

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)


def files(folder: Path) -> list[Path]:
    """The files below a folder that can be read, by name."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in path.relative_to(folder).parts))


def look(path: Path) -> Seen:
    """What a file looks like, from a sample of its rows.

    Raises:
        SourceError: It is empty, or not what its name says.
    """
    kind = SUFFIXES[path.suffix.lower()]
    if kind == "csv":
        shape = sniff.shape(path)
        header = [name.lstrip("\ufeff") for name in shape.header]
        rows = [row for row in shape.rows[:SAMPLE] if len(row) == len(header)]
        return _seen(path, "csv", shape.encoding, shape.delimiter, header, rows)
    if kind == "parquet":
        return _parquet(path)
    if kind == "xlsx":
        return _workbook(path)
    return _json(path, kind)


def _seen(path: Path, format: str, encoding: str, delimiter: str, header: list[str], rows: list[Any], note: str = "") -> Seen:
    if not header or not any(header):
        raise SourceError("the file is empty", at=str(path), mend="export it again; it has not even a header")
    columns = [_column(name, [row[number] for row in rows]) for number, name in enumerate(header) if name]
    return Seen(path=path, format=format, encoding=encoding, delimiter=delimiter, columns=tuple(columns), sampled=len(rows), note=note)


def _column(name: str, values: Iterable[Any]) -> Column:
    given = [None if value is None else str(value) for value in values]
    cells = sniff.filled(given)
    return Column(
        name=name, cells=tuple(cells), filled=len(cells) / len(given) if given else 0.0, distinct=len(set(cells)) / len(cells) if cells else 0.0,
        dates=sniff.date_formats(cells), marks=sniff.decimal_marks(cells), currencies=sniff.currencies(cells),
    )  # fmt: skip


def _parquet(path: Path) -> Seen:
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        batch = next(file.iter_batches(batch_size=SAMPLE * 20), None)
    except Exception as error:
        raise SourceError(f"this is no Parquet file: {error}", at=str(path), mend="export it again") from error
    header = list(file.schema_arrow.names)
    rows = [] if batch is None else [list(row.values()) for row in batch.to_pylist()[::20]]
    return _seen(path, "parquet", "", "", header, rows)


def _workbook(path: Path) -> Seen:
    from python_calamine import CalamineWorkbook

    try:
        book = CalamineWorkbook.from_path(str(path))
        rows = [row for row in book.get_sheet_by_index(0).to_python(skip_empty_area=False) if any(cell != "" for cell in row)]
    except Exception as error:
        raise SourceError(f"this is no Excel workbook: {error}", at=str(path), mend="save it as .xlsx") from error
    header = [str(cell).strip() for cell in rows[0]] if rows else []
    return _seen(path, "xlsx", "", "", header, [[None if cell == "" else cell for cell in row] for row in rows[1 : SAMPLE + 1]])


def _json(path: Path, kind: str) -> Seen:
    text = path.read_text(encoding="utf-8-sig", errors="replace") if path.stat().st_size < 50_000_000 else _head(path)
    records: list[Any]
    try:
        whole = json.loads(text)
        records = whole if isinstance(whole, list) else next((value for value in whole.values() if isinstance(value, list)), [whole])
        kind = "json" if not isinstance(whole, dict) or len(text.splitlines()) != 1 else kind
    except json.JSONDecodeError:
        records, kind = _lines(text), "ndjson"
    records = [record for record in records[:SAMPLE] if isinstance(record, dict)]
    if not records:
        raise SourceError("the file holds no records", at=str(path), mend="a JSON list of objects, or one object a line, is read")
    if kind == "ndjson" and all(set(record) >= _SEGMENT for record in records):
        return Seen(path=path, format="segment_ndjson", encoding="utf-8", delimiter="", columns=(), sampled=len(records))
    header = list(dict.fromkeys(key for record in records for key, value in record.items() if not isinstance(value, (dict, list))))
    return _seen(path, kind, "utf-8", "", header, [[record.get(name) for name in header] for record in records])


def _lines(text: str) -> list[Any]:
    found = []
    for line in text.splitlines()[: SAMPLE * 2]:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def _head(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(2_000_000).decode("utf-8", errors="replace").rsplit("\n", 1)[0]
