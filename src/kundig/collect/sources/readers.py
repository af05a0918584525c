"""Files into one raw relation of texts: every cell as it stands, with its file and row; broken rows beside it, with the reason."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from kundig import hooks
from kundig.collect.identifiers import literal, quoted
from kundig.collect.sources.csv_files import csv_faults, csv_rows, encoding_fault, python_encoding
from kundig.collect.sources.raw import BLOCK, Broken, Connection, Raw, is_utf8, missing_columns, store, texts
from kundig.config.collect import Input
from kundig.errors import Fault, KundigError, SourceError, nearest
from kundig.hooks import Reader

LOOKED_AT = 50_000
"""JSON objects whose names make up the columns of a file, beside the first of each file."""

LINE_LIMIT = 64 * 1024 * 1024
"""Longest JSON line that is read, in bytes."""






def precheck(given: Input, paths: Sequence[Path], needed: Sequence[str] | None) -> list[Fault]:
    """What is wrong with files of columns before anything is read: empty, undecodable, another delimiter, columns missing."""
    faults = [Fault(what="the file is empty", at=str(path), mend="export it again; it has not even a header") for path in paths if path.stat().st_size == 0]
    if given.format == "csv":
        faults += [fault for path in paths if path.stat().st_size for fault in csv_faults(path, given, needed)[0]]
    return faults




def read(con: Connection, given: Input, paths: Sequence[Path], needed: Sequence[str] | None, *, name: str = "raw", strict: bool = True) -> Raw:
    """The raw relation of the files, a temporary table of that name.

    Args:
        con: DuckDB connection.
        given: How the files are written.
        paths: The files, all of one shape.
        needed: Columns that must be there; None keeps every column (and demands none).
        name: Name of the temporary table.
        strict: Refuse files most of whose lines are no records; without it each stands alone (replay).

    Raises:
        SourceError: A file is structurally wrong; nothing of it was taken, and all its faults are told.
    """
    con.execute(f"DROP TABLE IF EXISTS {quoted(name)}")
    faults = [Fault(what="the file is empty", at=str(path), mend="export it again; it has not even a header") for path in paths if path.stat().st_size == 0]
    if faults:
        raise SourceError(faults=faults)
    if given.format == "csv":
        return csv_rows(con, given, paths, needed, name)
    if given.format == "xlsx":
        return _xlsx(con, given, paths, needed, name)
    if given.format == "parquet":
        return _parquet(con, paths, needed, name)
    if given.format == "debezium":
        return _changes(con, given, paths, needed, name, strict=strict)
    if given.format != "ndjson":
        return _registered(con, given, paths, needed, name, strict=strict)
    return _json(con, given, paths, needed, name, strict=strict)


# CSV ---------------------------------------------------------------------------------------------------------------


















# Excel -------------------------------------------------------------------------------------------------------------


def _xlsx(con: Connection, given: Input, paths: Sequence[Path], needed: Sequence[str] | None, name: str) -> Raw:
    faults: list[Fault] = []
    tables: list[pa.Table] = []
    for number, path in enumerate(paths):
        header, rows, found = _sheet(path, given.sheet)
        faults += found
        if found:
            continue
        faults += missing_columns([] if needed is None else needed, header, at=f"{path}, row 1")
        twice = sorted({cell for cell in header if cell and header.count(cell) > 1 and (needed is None or cell in needed)})
        faults += [Fault(what=f"the column '{cell}' stands twice in the header", at=f"{path}, row 1", mend="name each column once") for cell in twice]
        if faults:
            continue
        columns = tuple(dict.fromkeys(needed)) if needed is not None else tuple(cell for cell in header if cell)
        cells = {"_file": pa.array([number] * len(rows), pa.int32()), "_row": pa.array([place for place, _ in rows], pa.int64())}
        for column in columns:
            at = header.index(column)
            cells[column] = pa.array([_cell(row[at], given.decimal) if at < len(row) else None for _, row in rows], pa.string())
        tables.append(pa.table(cells))
    if faults:
        raise SourceError(faults=faults)
    table = pa.concat_tables(tables)
    store(con, name, table)
    return Raw(relation=name, columns=tuple(table.column_names[2:]))


def _sheet(path: Path, sheet: str) -> tuple[list[str], list[tuple[int, list[Any]]], list[Fault]]:
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        book = CalamineWorkbook.from_path(str(path))
    except (CalamineError, OSError, ValueError) as error:
        return [], [], [Fault(what=f"this is no Excel workbook: {error}", at=str(path), mend="save it as .xlsx, or name its real format in the mapping")]
    if sheet and sheet not in book.sheet_names:
        return [], [], [Fault(what=f"the sheet '{sheet}' is missing", at=str(path), mend=nearest(sheet, book.sheet_names))]
    rows = book.get_sheet_by_name(sheet or book.sheet_names[0]).to_python(skip_empty_area=False)
    filled = [(place, row) for place, row in enumerate(rows, 1) if any(cell != "" for cell in row)]
    if not filled:
        return [], [], [Fault(what="the sheet is empty", at=str(path), mend="export it again; it has not even a header")]
    return [str(cell).strip() for cell in filled[0][1]], filled[1:], []


def _cell(value: Any, decimal: str) -> str | None:
    """A cell's text: numbers with the mapping's decimal mark, moments in ISO form."""
    if value == "" or value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value).replace(".", decimal or ".")
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return str(value)


# Parquet -----------------------------------------------------------------------------------------------------------


def _parquet(con: Connection, paths: Sequence[Path], needed: Sequence[str] | None, name: str) -> Raw:
    import pyarrow.parquet as pq

    faults: list[Fault] = []
    known: list[str] = []
    for path in paths:
        try:
            known = pq.read_schema(path).names
        except (pa.ArrowInvalid, OSError) as error:
            faults.append(Fault(what=f"this is no Parquet file: {str(error).splitlines()[0]}", at=str(path), mend="export it again, whole"))
            continue
        faults += missing_columns([] if needed is None else needed, known, at=str(path))
    if faults:
        raise SourceError(faults=faults)
    columns = tuple(dict.fromkeys(needed)) if needed is not None else tuple(known)
    listed = ", ".join(literal(str(path)) for path in paths)
    relation = f"read_parquet([{listed}], file_row_number=true, union_by_name=true, filename='_path')"
    types = {row[0]: row[1] for row in con.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()}
    texts = ", ".join(f"{_as_text(column, types[column])} AS {quoted(column)}" for column in columns)
    places = " ".join(f"WHEN {literal(str(path))} THEN {number}" for number, path in enumerate(paths))
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {quoted(name)} AS SELECT CASE _path {places} END::INTEGER AS _file, file_row_number + 1 AS _row"
        f"{', ' if texts else ''}{texts} FROM {relation}"
    )
    return Raw(relation=name, columns=columns)


def _as_text(column: str, type: str) -> str:
    cell = quoted(column)
    if type.endswith("[]"):
        return f"array_to_string({cell}, '|')"
    if type == "TIMESTAMP WITH TIME ZONE":
        return f"strftime(timezone('UTC', {cell}), '%Y-%m-%dT%H:%M:%S.%fZ')"
    if type in ("DOUBLE", "FLOAT"):
        return f"CASE WHEN {cell} = floor({cell}) AND abs({cell}) < 1e15 THEN CAST(CAST({cell} AS BIGINT) AS VARCHAR) ELSE CAST({cell} AS VARCHAR) END"
    if type.startswith(("STRUCT", "MAP")):
        return f"CAST(to_json({cell}) AS VARCHAR)"
    return f"CAST({cell} AS VARCHAR)"


# JSON --------------------------------------------------------------------------------------------------------------


LINES = pa.schema([("_file", pa.int32()), ("_row", pa.int64()), ("line", pa.string()), ("readable", pa.bool_())])


def store_lines(con: Connection, name: str, paths: Sequence[Path]) -> None:
    """Fill the temporary table `name` with the files' lines that are not empty: `_file`, `_row` (from 1), `line`, and whether its bytes are UTF-8."""
    store(con, name, pa.RecordBatchReader.from_batches(LINES, (batch for number, path in enumerate(paths) for batch in _line_batches(path, number))))


def _line_batches(path: Path, number: int) -> Iterator[pa.RecordBatch]:
    row = 1
    for block in _whole_lines(path):
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n")) + 1
        if not len(ends) or ends[-1] != len(block):
            ends = np.append(ends, len(block))
        lines = texts(block, ends)
        readable = pa.array(np.ones(len(ends), np.bool_))
        if lines is None:
            parts = [block[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
            lines = pa.array([part.decode("utf-8", errors="replace") for part in parts], pa.string())
            readable = pa.array([is_utf8(part) for part in parts], pa.bool_())
        rows = pa.array(np.arange(row, row + len(ends)))
        row += len(ends)
        lines = pc.utf8_rtrim(lines, characters="\r\n")
        if pc.any(marked := pc.starts_with(lines, "\ufeff")).as_py():
            lines = pc.if_else(marked, pc.utf8_slice_codeunits(lines, 1), lines)
        batch = pa.RecordBatch.from_arrays([pa.array(np.full(len(ends), number, np.int32)), rows, lines, readable], schema=LINES)
        filled = pc.not_equal(pc.utf8_trim(lines, characters=" \t\n\r\x0b\x0c"), "")
        yield batch if pc.all(filled).as_py() else batch.filter(filled)


def _whole_lines(path: Path) -> Iterator[bytes]:
    """The file's bytes in blocks that end where a line ends."""
    with path.open("rb") as file:
        rest: list[bytes] = []
        while block := file.read(BLOCK):
            cut = block.rfind(b"\n") + 1
            if cut:
                yield b"".join([*rest, block[:cut]])
                rest = []
            rest.append(block[cut:])
        if any(rest):
            yield b"".join(rest)






def json_path(name: str) -> str:
    """The JSON path of a dotted name.

    Examples:
        >>> json_path("customer.e-mail")
        '$."customer"."e-mail"'
    """
    return "$" + "".join('."' + part.replace('"', '\\"') + '"' for part in name.split("."))


def _json(con: Connection, given: Input, paths: Sequence[Path], needed: Sequence[str] | None, name: str, *, strict: bool) -> Raw:
    faults = [fault for path in paths if (fault := encoding_fault(path, given.encoding or "utf-8")) is not None]
    if faults:
        raise SourceError(faults=faults)
    broken: list[Broken] = []
    store_lines(con, "_objects", paths)
    test = "CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE false END"
    for number, row, line in con.execute(f"SELECT _file, _row, line FROM _objects WHERE NOT {test} ORDER BY ALL").fetchall():
        last = row == con.execute("SELECT max(_row) FROM _objects WHERE _file = ?", [number]).fetchone()[0]
        if last and not paths[number].read_bytes().endswith(b"\n") and line.lstrip().startswith("{"):
            raise SourceError("the file ends in the middle of a record", at=f"{paths[number]}, row {row}", mend="export it again, whole; nothing was taken from it")
        broken.append(Broken(file=number, row=row, what="the line is no JSON object", mend="mend the line: one object in braces", body=line))
    if broken:
        con.execute(f"DELETE FROM _objects WHERE NOT {test}")
    if strict and broken and con.execute("SELECT count(*) FROM _objects").fetchone()[0] < len(broken):
        raise SourceError("most lines are no JSON objects", at=str(paths[0]), mend="name the file's real format in the mapping (csv, json, ndjson)")
    return _columns(con, paths, needed, name, broken)


def _columns(con: Connection, paths: Sequence[Path], needed: Sequence[str] | None, name: str, broken: Sequence[Broken]) -> Raw:
    """The columns of the JSON objects in `_objects`, which is dropped."""
    keys = [row[0] for row in con.execute(f"SELECT DISTINCT unnest(json_keys(line)) FROM (SELECT line FROM _objects WHERE _row <= 1 UNION ALL (SELECT line FROM _objects LIMIT {LOOKED_AT})) ORDER BY 1").fetchall()]
    if needed is not None:
        tops = list(dict.fromkeys(column if column in keys else column.split(".")[0] for column in needed))
        faults = missing_columns(tops, keys, at=", ".join(str(path) for path in paths[:3]))
        if faults and con.execute("SELECT count(*) FROM _objects").fetchone()[0]:
            raise SourceError(faults=faults)
    columns = tuple(dict.fromkeys(needed)) if needed is not None else tuple(keys)
    places: list[str] = []  # all of a line's values are taken in one parse of it
    picks = ""
    for column in columns:
        led = _led(column, keys)
        cells = [f"_cells[{len(places) + number}]" for number in range(1, len(led) + 1)] or ["CAST(NULL AS VARCHAR)"]
        picks += f", {f'coalesce({cells[0]}, {cells[1]})' if len(cells) > 1 else cells[0]} AS {quoted(column)}"
        places += led
    source = f"(SELECT _file, _row, json_extract_string(line, [{', '.join(map(literal, places))}]) AS _cells FROM _objects)" if places else "_objects"
    con.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} AS SELECT _file, _row{picks} FROM {source}")
    con.execute("DROP TABLE _objects")
    return Raw(relation=name, columns=columns, broken=tuple(broken))


def _led(column: str, keys: Sequence[str]) -> list[str]:
    """Where a column of the JSON object is: where a path with dots leads (a number counts in a list, from 0), and before that, a name that has the dots itself: a report's, or a held record's."""
    parts = column.split(".")
    pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
    paths = [pointer if any(part.isdigit() for part in parts) else json_path(column)] if all(parts) else []
    return [json_name(column), *paths] if "." in column and column in keys else paths


def json_name(name: str) -> str:
    """The JSON path of a name that may have dots.

    Examples:
        >>> json_name("customer.mail")
        '$."customer.mail"'
    """
    return '$."' + name.replace('"', '\\"') + '"'


def _changes(con: Connection, given: Input, paths: Sequence[Path], needed: Sequence[str] | None, name: str, *, strict: bool) -> Raw:
    """Files of Debezium's change events, one a line; a file of which most lines are none is refused."""
    from kundig.collect.cdc.debezium import Translation

    translation = Translation(given)
    con.execute("CREATE OR REPLACE TEMP TABLE _objects (_file INTEGER, _row BIGINT, line VARCHAR)")
    con.execute("INSERT INTO _objects VALUES (0, 0, ?)", [translation.heading])
    broken: list[Broken] = []
    for number, path in enumerate(paths):
        with path.open(encoding="utf-8", errors="replace") as file:
            found = list(translation.lines(((row, line) for row, line in enumerate(file, 1) if line.strip()), file=number))
        faults = [one for one in found if isinstance(one, Broken)]
        lines = [one for one in found if not isinstance(one, Broken)]
        if strict and len(faults) > len(lines):
            raise SourceError(f"most lines cannot be taken: {faults[0].what}", at=f"{path}, row {faults[0].row}", mend=faults[0].mend)
        broken += faults
        con.register("_incoming", pa.table({"_file": pa.array([number] * len(lines), pa.int32()), "_row": pa.array([row for row, _ in lines], pa.int64()), "line": pa.array([line for _, line in lines], pa.string())}))
        con.execute("INSERT INTO _objects SELECT * FROM _incoming")
        con.unregister("_incoming")
    return _columns(con, paths, needed, name, broken)


# registered formats -----------------------------------------------------------------------------------------------


def json_records(path: Path, options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The records of one JSON document: a list, the only list of an object, or the object itself.

    Raises:
        SourceError: It is no JSON document.
    """
    import msgspec

    undecodable = encoding_fault(path, str(options["encoding"]))
    if undecodable is not None:
        raise SourceError(faults=[undecodable])
    try:
        records = msgspec.json.decode(path.read_text(encoding=python_encoding(str(options["encoding"]))))
    except msgspec.DecodeError as error:
        raise SourceError(f"this is no JSON document: {error}", at=str(path), mend="export it again, whole; lines of JSON are format ndjson") from error
    if isinstance(records, dict):
        lists = [value for value in records.values() if isinstance(value, list)]
        records = lists[0] if len(lists) == 1 else [records]
    yield from records or []


def _registered(con: Connection, given: Input, paths: Sequence[Path], needed: Sequence[str] | None, name: str, *, strict: bool) -> Raw:
    """Files of a format that a registered `Reader` reads: its rows become JSON objects, and columns are taken from them as from JSON."""
    reader: Reader = hooks.named("sources", given.format)
    marks = ("encoding", "delimiter", "quote", "decimal", "zone", "currency", "country", "sheet")
    options = {mark: getattr(given, mark) for mark in marks} | {"encoding": given.encoding or "utf-8"} | given.options
    con.execute("CREATE OR REPLACE TEMP TABLE _objects (_file INTEGER, _row BIGINT, line VARCHAR)")
    broken: list[Broken] = []
    for number, path in enumerate(paths):
        rows: list[int] = []
        lines: list[str] = []
        for row, record in exploded(_rows_of(reader, path, options, given.format), given.each):
            if isinstance(record, Mapping):
                rows.append(row)
                lines.append(_object(record, "." if given.format == "json" else given.decimal))
            else:
                broken.append(Broken(file=number, row=row, what="the row has no columns", mend="mend it in the file", body=repr(record)))
        if strict and len(broken) > len(rows):
            raise SourceError("most rows have no columns", at=str(path), mend="name the file's real format in the mapping (csv, json, ndjson)")
        con.register("_incoming", pa.table({"_file": pa.array([number] * len(rows), pa.int32()), "_row": pa.array(rows, pa.int64()), "line": pa.array(lines, pa.string())}))
        con.execute("INSERT INTO _objects SELECT * FROM _incoming")
        con.unregister("_incoming")
    return _columns(con, paths, needed, name, broken)


def exploded(rows: Iterable[tuple[Any, Any]], each: str) -> Iterator[tuple[Any, Any]]:
    """A row for each element of the list `each` in a record, beside the record's other fields, counted through; the rows as they are without one.

    Examples:
        >>> list(exploded([(1, {"no": 7, "lines": [{"sku": "a"}, {"sku": "b"}]})], "lines"))
        [(1, {'no': 7, 'lines': {'sku': 'a'}}), (2, {'no': 7, 'lines': {'sku': 'b'}})]
    """
    if not each:
        yield from rows
        return
    number = 0
    for _, record in rows:
        if not isinstance(record, Mapping) or not isinstance(record.get(each), list | tuple):
            number += 1
            yield number, record
            continue
        for element in record[each]:
            number += 1
            yield number, {**record, each: element}


def _rows_of(reader: Reader, path: Path, options: Mapping[str, Any], format: str) -> Iterator[tuple[int, Any]]:
    try:
        yield from enumerate(reader(path, options), 1)
    except KundigError:
        raise
    except Exception as error:
        raise SourceError(f"the reader of '{format}' stopped: {error}", at=str(path), mend="look at the file, or at the package that registers the format; nothing was taken from it") from error


def _object(record: Mapping[str, Any], decimal: str) -> str:
    """A row as JSON object: cells as texts, numbers with the mapping's decimal mark; what is nested stays as it is."""
    import msgspec

    return msgspec.json.encode({str(name): value if isinstance(value, Mapping | list | tuple) else _cell(value, decimal) for name, value in record.items()}).decode()
