"""CSV files into the raw relation: their encoding, delimiter and header as the mapping says, a cut file refused, a broken row held."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from kundig.collect.identifiers import quoted
from kundig.collect.sources import sniff
from kundig.collect.sources.raw import BLOCK, Broken, Connection, Raw, missing_columns, store, texts
from kundig.config.collect import Input
from kundig.errors import Fault, SourceError, nearest


def csv_rows(con: Connection, given: Input, paths: Sequence[Path], needed: Sequence[str] | None, name: str) -> Raw:
    faults: list[Fault] = []
    headers: list[tuple[str, ...]] = []
    for path in paths:
        found, header = csv_faults(path, given, needed)
        faults += found
        headers.append(header)
    if faults:
        raise SourceError(faults=faults)
    columns = tuple(dict.fromkeys(needed)) if needed is not None else headers[0]
    if needed is None and any(header != headers[0] for header in headers[1:]):
        raise SourceError("the files have different columns", at=", ".join(str(p) for p in paths[:3]), mend="give each shape an input of its own")
    schema = pa.schema([("_file", pa.int32()), ("_row", pa.int64()), *((column, pa.string()) for column in columns)])
    broken: list[Broken] = []
    batches = (batch for number, path in enumerate(paths) for batch in _csv_batches(path, number, given, headers[number], columns, schema, broken, faults))
    store(con, name, pa.RecordBatchReader.from_batches(schema, batches))
    if faults:
        con.execute(f"DROP TABLE {quoted(name)}")
        raise SourceError(faults=faults)
    return Raw(relation=name, columns=columns, broken=tuple(broken))


def csv_faults(path: Path, given: Input, needed: Sequence[str] | None) -> tuple[list[Fault], tuple[str, ...]]:
    at = str(path)
    undecodable = encoding_fault(path, given.encoding)
    if undecodable is not None:
        return [undecodable], ()
    with path.open(encoding=python_encoding(given.encoding), newline="") as file:
        rows = csv.reader(file, delimiter=given.delimiter, quotechar=given.quote or '"')
        try:
            header = tuple(cell.strip() for cell in next(rows, []))
        except csv.Error as error:
            return [Fault(what=f"the header cannot be read: {error}", at=at, mend="check delimiter and quotes")], ()
    if not any(header):
        return [Fault(what="the first row is empty", at=f"{at}, row 1", mend="the first row names the columns")], header
    wanted = [] if needed is None else [column for column in needed if column not in header]
    if wanted or len(header) == 1:
        seen = sniff.shape(path)
        if seen.delimiter != given.delimiter and len(seen.header) > len(header):
            given_mark, seen_mark = _mark(given.delimiter), _mark(seen.delimiter)
            return [
                Fault(
                    what=f"the cells are not parted by {given_mark}: the first row has {len(header)} with it and {len(seen.header)} with {seen_mark}",
                    at=at, mend=f"write delimiter: {seen_mark} in the source's mapping",
                )
            ], header  # fmt: skip
    faults = missing_columns(wanted, header, at=f"{at}, row 1")
    twice = sorted({cell for cell in header if header.count(cell) > 1 and (needed is None or cell in needed)})
    faults += [Fault(what=f"the column '{cell}' stands twice in the header", at=f"{at}, row 1", mend="name each column once") for cell in twice]
    return faults, header


def _mark(delimiter: str) -> str:
    return "'\\t'" if delimiter == "\t" else f"'{delimiter}'"


def python_encoding(name: str) -> str:
    return "utf-8-sig" if name.lower().replace("_", "-") in ("utf-8", "utf8", "") else name


def encoding_fault(path: Path, encoding: str) -> Fault | None:
    """The fault of a file that is not in this encoding, with the first byte that is wrong."""
    try:
        decoder = codecs.getincrementaldecoder(python_encoding(encoding))()
    except LookupError:
        return Fault(what=f"there is no encoding '{encoding}'", at=str(path), mend=nearest(encoding, ["utf-8", "cp1252", "latin-1", "utf-16"]))
    place = 0
    head = b""
    plain = python_encoding(encoding) == "utf-8-sig"
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            head = head or block
            if plain and not decoder.getstate()[0] and texts(block, np.array([len(block)])) is not None:
                place += len(block)
                continue
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                seen = sniff.encoding(block[max(0, error.start - 65_536) : error.start + 65_536])
                mend = f"write encoding: {seen} in the source's mapping" if seen != encoding else "export the file again"
                return Fault(what=f"the file is not {encoding}: byte 0x{error.object[error.start]:02x} at place {place + error.start}", at=str(path), mend=mend)
            place += len(block)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and not encoding.lower().startswith("utf-16"):
        return Fault(what=f"the file is utf-16, not {encoding}", at=str(path), mend="write encoding: utf-16 in the source's mapping")
    return None


def _csv_batches(
    path: Path, number: int, given: Input, header: tuple[str, ...], columns: tuple[str, ...], schema: pa.Schema, broken: list[Broken], faults: list[Fault]
) -> Iterator[pa.RecordBatch]:
    """Batches of one file; an exception would be lost on its way through the engine, so faults are listed and told afterwards."""
    bad: list[tuple[int, str, int]] = []

    def invalid(row: Any) -> str:
        bad.append((row.number, row.text, row.actual_columns))
        return "skip"

    names = [name if header.index(name) == place else f"{name}\x00{place}" for place, name in enumerate(header)]
    reader = pa.csv.open_csv(
        path,
        read_options=pa.csv.ReadOptions(use_threads=False, block_size=BLOCK, encoding=given.encoding or "utf-8", column_names=names, skip_rows_after_names=1),
        parse_options=pa.csv.ParseOptions(
            delimiter=given.delimiter, quote_char=given.quote or False, double_quote=True, newlines_in_values=True, invalid_row_handler=invalid
        ),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()), include_columns=list(columns), null_values=[""], strings_can_be_null=True
        ),
    )
    start, told = 2, 0
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            break
        except pa.ArrowInvalid as error:
            faults.append(Fault(what=f"the rows cannot be cut: {error}", at=f"{path}, near row {start}", mend="look for a quote that is never closed"))
            return
        skipped = np.array([row for row, _, _ in bad[told:]], dtype=np.int64)
        rows = np.setdiff1d(np.arange(start, start + batch.num_rows + len(skipped)), skipped, assume_unique=True)[: batch.num_rows]
        told, start = len(bad), start + batch.num_rows + len(skipped)
        yield pa.RecordBatch.from_arrays([pa.array(np.full(batch.num_rows, number, np.int32)), pa.array(rows), *batch.columns], schema=schema)
    if bad and _is_cut(path, given, bad[-1]):
        row, text, width = bad[-1]
        what = f"the file ends in the middle of a row: {width} of {len(header)} cells"
        faults.append(Fault(what=what, at=f"{path}, row {row}", mend="export it again, whole; nothing was taken from it"))
    for row, text, width in bad:
        what = f"{width} cells where the header has {len(header)}"
        broken.append(Broken(file=number, row=row, what=what, mend=f"quote cells that hold '{given.delimiter}'", body=text))


def _is_cut(path: Path, given: Input, last: tuple[int, str, int]) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - 65_536 * 4))
        tail = file.read().decode(python_encoding(given.encoding), errors="replace")
    text = last[1].rstrip("\r\n")
    if not tail.rstrip("\r\n").endswith(text[-60_000:]):
        return False
    quote = given.quote or '"'
    return not tail.endswith(("\n", "\r")) or (text.count(quote) % 2 == 1 and "\n" in text)
