"""What a file looks like before anybody has mapped it: encoding, delimiter, header, decimal mark, date formats."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

DELIMITERS = (",", ";", "\t", "|")

DATE_FORMATS: tuple[str, ...] = (
    "%Y-%m-%d", "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y%m%d", "%d %b %Y", "%m/%d/%y", "%d/%m/%y",
)  # fmt: skip
TIMES: tuple[str, ...] = ("", " %H:%M:%S", " %H:%M", " %I:%M %p", " %H:%M:%S.%f")

_PATTERNS = {
    "%Y": r"(?:19|20)\d\d", "%y": r"\d\d", "%m": r"(?:0?[1-9]|1[0-2])", "%d": r"(?:0?[1-9]|[12]\d|3[01])", "%b": r"[A-Za-z]{3}",
    "%H": r"(?:[01]?\d|2[0-3])", "%M": r"[0-5]\d", "%S": r"[0-5]\d", "%f": r"\d{1,6}", "%I": r"(?:0?[1-9]|1[0-2])", "%p": r"[AaPp][Mm]",
}  # fmt: skip
_ISO = re.compile(r"^(?:19|20)\d\d-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?: ?(?:Z|UTC|[+-]\d\d:?(?:\d\d)?))?)?$")
_NUMBER_DE = re.compile(r"^[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d+)?-?$")
_NUMBER_EN = re.compile(r"^[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][+-]?\d+)?-?$")
_MONEY_SIGN = re.compile(r"(?:€|\$|£|EUR|USD|GBP|CHF)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """How a text file with columns is written: what a mapping has to say of it."""

    encoding: str
    delimiter: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    uneven: int = 0


def encoding(head: bytes) -> str:
    """The encoding of a file by its first bytes: utf-8, utf-16 with a mark, or cp1252 (which also reads Latin 1).

    Bytes that cp1252 does not have make it latin-1 (never failing); a cut character at the end of the sample is no fault.

    Examples:
        >>> encoding("Größe".encode()), encoding("Größe".encode("cp1252")), encoding("Größe".encode("utf-16"))
        ('utf-8', 'cp1252', 'utf-16')
    """
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(head)
    except UnicodeDecodeError:
        try:
            head.decode("cp1252")
        except UnicodeDecodeError:
            return "latin-1"
        return "cp1252"
    return "utf-8"


def delimiter(text: str) -> str:
    """The mark between cells: the one that cuts the first lines into the most columns, alike in each line.

    Examples:
        >>> delimiter("a;b;c\\n1,5;2;3\\n2,5;3;4")
        ';'
    """
    best = (0.0, ",")
    for mark in DELIMITERS:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=mark) if row][:200]
        if not rows or len(rows[0]) < 2:
            continue
        width = len(rows[0])
        alike = sum(len(row) == width for row in rows) / len(rows)
        best = max(best, (alike * min(width, 50) ** 0.5, mark), key=lambda pair: pair[0])
    return best[1]


def shape(path: Path, *, sample: int = 262_144) -> Shape:
    """How the CSV file is written, from its first quarter of a megabyte."""
    with path.open("rb") as file:
        head = file.read(sample)
    code = encoding(head)
    text = codecs.getincrementaldecoder(code if code != "utf-8" else "utf-8-sig")(errors="replace").decode(head)
    whole = text if len(head) < sample else text.rsplit("\n", 1)[0]
    mark = delimiter(whole)
    rows = [tuple(row) for row in csv.reader(io.StringIO(whole, newline=""), delimiter=mark) if any(cell.strip() for cell in row)]
    header = tuple(cell.strip() for cell in rows[0]) if rows else ()
    body = rows[1:]
    return Shape(encoding=code, delimiter=mark, header=header, rows=tuple(body), uneven=sum(len(row) != len(header) for row in body))


def filled(values: Iterable[str | None]) -> list[str]:
    """The values that hold something, trimmed."""
    return [value.strip() for value in values if value is not None and value.strip()]


def date_formats(values: Sequence[str], *, least: float = 0.95) -> tuple[str, ...]:
    """Formats that read nearly all of the values as dates, best first; more than one where day and month cannot be told apart.

    `iso`, `excel` (serial days between 1982 and 2064), `unix`, `unix_ms`, or strptime formats.

    Examples:
        >>> date_formats(["31.12.2025", "01.02.2026"]), date_formats(["03/04/2026"]), date_formats(["2026-01-01T10:00:00Z"])
        (('%d.%m.%Y',), ('%d/%m/%Y', '%m/%d/%Y'), ('iso',))
        >>> date_formats(["45292", "45293.5"]), date_formats(["Hamburg"])
        (('excel',), ())
    """
    cells = filled(values)
    if not cells:
        return ()
    if sum(bool(_ISO.match(cell)) for cell in cells) >= least * len(cells):
        return ("iso",)
    found = []
    for day in DATE_FORMATS:
        for time in TIMES:
            pattern = _format_pattern(day + time)
            share = sum(bool(pattern.match(cell)) for cell in cells) / len(cells)
            if share >= least:
                found.append((-share, day + time))
    if found:
        best = min(share for share, _ in found)
        return tuple(format for share, format in found if share == best)
    numbers = [float(cell) for cell in cells if re.fullmatch(r"\d{5}(?:\.\d+)?|\d{10}|\d{13}", cell)]
    if len(numbers) >= least * len(cells):
        for name, low, high in (("excel", 30_000, 60_000), ("unix", 6e8, 4e9), ("unix_ms", 6e11, 4e12)):
            if all(low <= number <= high for number in numbers):
                return (name,)
    return ()


def _format_pattern(format: str) -> re.Pattern[str]:
    made = re.escape(format).replace("\\%", "%").replace("%\\", "%")
    for mark, pattern in _PATTERNS.items():
        made = made.replace(mark, pattern)
    return re.compile(f"^{made}$")


def decimal_marks(values: Sequence[str], *, least: float = 0.95) -> tuple[str, ...]:
    """Decimal marks with which nearly all values are numbers; both where none shows (`12`), none where it is no number.

    Examples:
        >>> decimal_marks(["1.234,56", "7,5"]), decimal_marks(["1,234.56"]), decimal_marks(["12", "7"]), decimal_marks(["x"])
        ((',',), ('.',), ('.', ','), ())
    """
    cells = [_MONEY_SIGN.sub("", cell).replace("\u00a0", "").replace(" ", "").replace("'", "") for cell in filled(values)]
    cells = [cell for cell in cells if cell]
    if not cells:
        return ()
    found = []
    for mark, pattern in ((".", _NUMBER_EN), (",", _NUMBER_DE)):
        share = sum(bool(pattern.match(cell)) for cell in cells) / len(cells)
        if share >= least:
            found.append((mark, share))
    if len(found) == 2 and found[0][1] != found[1][1]:
        found = [max(found, key=lambda pair: pair[1])]
    if len(found) == 2 and any(re.search(r"[.,]", cell) for cell in cells):
        tails = Counter(tail[0][0] for cell in cells if (tail := re.search(r"[.,](?:\d{1,2}|\d{4,})$", cell)))
        if tails:
            return (tails.most_common(1)[0][0],)
    return tuple(mark for mark, _ in found)


def currencies(values: Sequence[str]) -> tuple[str, ...]:
    """Currencies that the values name by sign or code, most frequent first.

    Examples:
        >>> currencies(["12,50 €", "EUR 3", "£4"])
        ('EUR', 'GBP')
    """
    signs = {"€": "EUR", "$": "USD", "£": "GBP"}
    seen = Counter(signs.get(match[0], match[0]) for cell in filled(values) if (match := _MONEY_SIGN.search(cell)))
    return tuple(code for code, _ in seen.most_common())
