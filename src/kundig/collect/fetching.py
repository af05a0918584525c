"""Fetching: what lies in object stores, databases and REST interfaces is written beside the lake, in parts that land together with their cursor.

A part is fetched, landed, forgotten. Killed in between, the next import fetches it again: the cursor moves in the commit that lands the rows.
"""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from kundig.collect.deliveries import Delivery
from kundig.collect.mapping import keeps_all, needed
from kundig.collect.sources import cursors, databases, objects, rest
from kundig.collect.sources.cursors import Mark, Value, Window
from kundig.collect.sources.readers import exploded
from kundig.config.collect import Input, Source
from kundig.config.fetching import Cursor, is_remote
from kundig.config.load import Config

if TYPE_CHECKING:
    from kundig.store import Lake


def fetched(lake: Lake, config: Config, name: str, files: Sequence[Path | str] | None = None) -> Generator[Delivery, None, None]:
    """What is new in the source's places elsewhere, in parts; each is fetched when the one before has landed. Nothing where certain files were asked for.

    Raises:
        SourceError: A place cannot be reached, or is not as the mapping says. What had landed before stays.
        MissingExtra: A driver is not installed.
        ConfigError: A secret is not set.
    """
    source: Source = config.sources[name]
    inputs = [(number, source.of(given)) for number, given in enumerate(source.inputs)]
    if files is not None or not any(given.sql or given.rest or _is_remote(given) for _, given in inputs):
        return
    folder = Path(lake.data).parent / "fetched" / name
    shutil.rmtree(folder, ignore_errors=True)
    marks = cursors.known(lake, name)
    try:
        for number, given in inputs:
            place = folder / str(number)
            if given.sql is not None:
                yield from _table(config, name, source, number, given, marks, place)
            elif given.rest is not None:
                yield from _endpoint(config, name, source, number, given, marks, place)
            elif _is_remote(given):
                yield from _objects(lake, config, name, source, number, given, marks, place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_remote(given: Input) -> bool:
    return bool(given.files) and is_remote(given.files[0])


def shape(given: Input) -> str:
    """A hash of what decides which rows are read and what they become: another mapping reads from the start.

    Examples:
        >>> one = Input(format="sql", sql={"table": "o"}, lands=[{"table": "orders", "columns": {"order_id": "id"}}])
        >>> shape(one) == shape(one.model_copy(update={"optional": True})), shape(one) == shape(one.model_copy(update={"currency": "USD"}))
        (True, False)
    """
    told = given.model_dump_json(exclude={"optional": True, "sql": {"rows": True}, "rest": {"rows": True}})
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def _window(cursor: Cursor | None, cursor_id: str, marks: Mapping[str, Mark], at: str) -> Window | None:
    return None if cursor is None else Window(cursor=cursor, at=at, mark=marks.get(cursor_id))


def _table(config: Config, name: str, source: Source, number: int, given: Input, marks: Mapping[str, Mark], folder: Path) -> Iterator[Delivery]:
    assert given.sql is not None
    at = f"sources/{name}.yaml, inputs[{number}]"
    cursor_id = f"{name}/{given.sql.table or 'query'}/{shape(given)}"
    window = _window(given.sql.cursor, cursor_id, marks, at)
    columns = None if keeps_all(given) else needed(given)
    rows = databases.rows(config.secret(source.database), given.sql, columns, since=window.since if window else None, at=at)
    with closing(rows):
        yield from _parts(number, given, rows, window, cursor_id, name, folder, size=given.sql.rows, ordered=True)


def _endpoint(config: Config, name: str, source: Source, number: int, given: Input, marks: Mapping[str, Mark], folder: Path) -> Iterator[Delivery]:
    assert given.rest is not None and source.interface is not None
    at = f"sources/{name}.yaml, inputs[{number}]"
    cursor_id = f"{name}/{given.rest.path}/{shape(given)}"
    window = _window(given.rest.cursor, cursor_id, marks, at)
    first = window is None or window.mark is None
    filled = () if first or keeps_all(given) else tuple(dict.fromkeys(column.partition(".")[0] for column in needed(given)))
    records = rest.records(config, source.interface, given.rest, since=window.since if window else None, at=at)
    each = ((value, element) for value, record in records for _, element in exploded([(0, record)], given.each))
    rows = ((value, dict.fromkeys(filled) | dict(record)) for value, record in each)
    ordered = given.rest.cursor is not None and given.rest.cursor.ordered
    with closing(records):
        yield from _parts(number, given, rows, window, cursor_id, name, folder, size=given.rest.rows, ordered=ordered)


def _objects(lake: Lake, config: Config, name: str, source: Source, number: int, given: Input, marks: Mapping[str, Mark], folder: Path) -> Iterator[Delivery]:
    at = f"sources/{name}.yaml, inputs[{number}]"
    start = f"{name}/{shape(given)}/"
    landed = {mark.cursor_id.removeprefix(start): mark.position for mark in marks.values() if mark.cursor_id.startswith(start)}
    settings = {key: config.secret(value) if isinstance(value, str) else value for key, value in source.store.items()}
    for group in objects.new_objects(given.files, settings, landed, folder, at=at, optional=given.optional):
        found = tuple(Mark(cursor_id=start + one.url, source=name, position=one.version) for one in group)
        yield Delivery(number=number, given=given, paths=tuple(one.path for one in group), marks=found)
        shutil.rmtree(folder, ignore_errors=True)


def _parts(
    number: int, given: Input, rows: Iterator[tuple[Value | None, Mapping[str, Any]]], window: Window | None, cursor_id: str, name: str, folder: Path, *, size: int, ordered: bool
) -> Iterator[Delivery]:
    """The rows that no earlier read brought, as lines of JSON in parts; each with its mark where rows come in order, else the last one alone."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[bytes] = []
    made = 0

    def part(*, last: bool) -> Delivery:
        path = folder / f"{given.place.rpartition('/')[2] or 'rows'}.{made}.ndjson"
        path.write_bytes(b"\n".join(lines) + b"\n")
        marks = window.moved(cursor_id, name) if window is not None and (ordered or last) else ()
        changed = given.model_copy(update={"format": "ndjson", "encoding": "utf-8"})
        return Delivery(number=number, given=changed, paths=(path,), format=given.format, marks=marks)

    for value, record in rows:
        cells = {column: plain(cell) for column, cell in record.items()}
        line = msgspec.json.encode(cells)
        if window is not None:
            digest = cursors.hashed(msgspec.json.encode({column: cell for column, cell in cells.items() if cell is not None}, order="sorted"))
            fresh = window.is_fresh(digest)
            if fresh and len(lines) >= size:
                delivery = part(last=False)
                yield delivery
                delivery.paths[0].unlink(missing_ok=True)
                lines, made = [], made + 1
            window.note(value, digest)
            if fresh:
                lines.append(line)
            continue
        if len(lines) >= size:
            delivery = part(last=False)
            yield delivery
            delivery.paths[0].unlink(missing_ok=True)
            lines, made = [], made + 1
        lines.append(line)
    if lines:
        yield part(last=True)


def plain(cell: Any) -> Any:
    """A cell as JSON: a text where it is no list or object, so that nothing is lost of numbers, moments and truths.

    Examples:
        >>> plain(decimal.Decimal("12.50")), plain(dt.datetime(2026, 11, 1, 9, tzinfo=dt.UTC)), plain(True), plain(None)
        ('12.50', '2026-11-01 09:00:00+00:00', 'true', None)
    """
    if cell is None or cell == "":
        return None
    if isinstance(cell, Mapping):
        return {str(key): plain(value) for key, value in cell.items()}
    if isinstance(cell, list | tuple):
        return [plain(value) for value in cell]
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, decimal.Decimal):
        return f"{cell:f}" if cell.is_finite() else str(cell)
    if isinstance(cell, dt.datetime):
        return cell.isoformat(sep=" ")
    if isinstance(cell, dt.date | dt.time):
        return cell.isoformat()
    if isinstance(cell, bytes | bytearray | memoryview):
        return bytes(cell).hex()
    return str(cell)
