"""Readers of two exports that are no plain tables: reports of advertising platforms, and the tables that Google Analytics 4 writes to BigQuery."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kundig.collect.channels import channel
from kundig.errors import SourceError, nearest

HEAD = 40
"""Rows in which the header of a report is looked for."""


def report(path: Path, options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The rows of a report with titles above its header; the option `begins` names a column of the header.

    Raises:
        SourceError: No row names that column, or the file is not in its encoding.
    """
    begins = str(options.get("begins", ""))
    if not begins:
        raise SourceError("a report needs the option `begins`", at=str(path), mend="write options: {begins: <a column of the header>} in the input's mapping")
    encoding = str(options["encoding"])
    try:
        with path.open(encoding="utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding, newline="") as file:
            header: list[str] = []
            seen: list[str] = []
            for number, row in enumerate(csv.reader(file, delimiter=str(options["delimiter"]), quotechar=str(options["quote"]) or '"')):
                cells = [cell.strip() for cell in row]
                if not header:
                    seen += [cell for cell in cells if cell]
                    if begins in cells:
                        header = cells
                    elif number >= HEAD:
                        break
                elif any(cells):
                    yield {name: cell for name, cell in zip(header, cells) if name}
    except UnicodeError as error:
        raise SourceError(f"the file is not {encoding}: {error}", at=str(path), mend="write its encoding in the input's mapping, such as utf-16 or cp1252") from error
    if not header:
        raise SourceError(f"column '{begins}' is missing: no row names it", at=str(path), mend=f"{nearest(begins, seen)}; or export the report with that column")


def ga4(path: Path, options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The events of an export table of Google Analytics 4 (`events_YYYYMMDD`), as Parquet or lines of JSON; lists of keys and values become objects.

    Added are `event_id` (a hash of what tells events apart, since the table has no id), `occurred_at`, `page_path`, `channel`, and, flat, `event_params`
    and `user_properties`. The option `hosts` names own hosts, parted by blanks: a referrer from there begins no visit.

    Raises:
        SourceError: A column that every export has is missing.
    """
    own = str(options.get("hosts", "")).split()
    for number, row in enumerate(_rows(path), 1):
        missing = [name for name in ("event_timestamp", "event_name", "event_params", "user_pseudo_id") if name not in row]
        if missing:
            raise SourceError(faults=[_missing(name, row, path, number) for name in missing])
        params, properties = pairs(row["event_params"]), pairs(row.get("user_properties"))
        moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=int(row["event_timestamp"]))
        page = urlsplit(str(params["page_location"])) if params.get("page_location") else None
        told = ("user_pseudo_id", "event_timestamp", "event_name", "event_bundle_sequence_id", "batch_page_id", "batch_ordering_id", "batch_event_index")
        yield {
            **row, "event_id": hashlib.sha256("\x1f".join(str(row.get(name) or "") for name in told).encode()).hexdigest()[:32], "occurred_at": moment.isoformat(),
            "event_params": params, "user_properties": properties, "page_path": page.path or "/" if page is not None else None, "channel": _channel(row, params, own) if page is not None else None,
        }  # fmt: skip


def _missing(name: str, row: Mapping[str, Any], path: Path, number: int) -> Any:
    from kundig.errors import Fault

    return Fault(what=f"column '{name}' is missing", at=f"{path}, row {number}", mend=f"{nearest(name, row)}; export whole tables of GA4, without a selection of columns")


def pairs(given: Any) -> dict[str, Any]:
    """Keys with the one value that is filled; of a list of GA4's `event_params` or `user_properties`.

    Examples:
        >>> pairs([{"key": "ga_session_id", "value": {"string_value": None, "int_value": 12}}, {"key": "x", "value": {}}])
        {'ga_session_id': 12}
    """
    found = {}
    for pair in given or ():
        values = pair.get("value") or {}
        filled = next((values[kind] for kind in ("string_value", "int_value", "double_value", "float_value") if values.get(kind) is not None), None)
        if filled is not None:
            found[str(pair["key"])] = filled
    return found


def _channel(row: Mapping[str, Any], params: Mapping[str, Any], own: list[str]) -> str | None:
    given = row.get("collected_traffic_source") or {}
    click = next((name for name in ("gclid", "dclid") if given.get(name)), None)
    source, medium = (_named(given.get(f"manual_{name}") or params.get(name)) for name in ("source", "medium"))
    referrer = urlsplit(str(params.get("page_referrer") or "")).hostname
    return channel(click=click, source=source, medium=medium, host=referrer, seen=True, own=own)


def _named(value: Any) -> str | None:
    """The value, unless Analytics says with it that there is none: (direct), (none), (not set)."""
    return None if value is None or str(value).startswith("(") else str(value)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        stored = file.read(4) == b"PAR1"
    if stored:
        import pyarrow.parquet as pq

        for batch in pq.ParquetFile(path).iter_batches(10_000):
            yield from batch.to_pylist()
        return
    import msgspec

    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    row = msgspec.json.decode(line)
                except msgspec.DecodeError as error:
                    raise SourceError(f"the line is no JSON: {error}", at=f"{path}, row {number}", mend="export the table again, whole, as JSON lines or Parquet") from error
                yield row
