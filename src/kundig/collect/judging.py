"""Calls judged the way landing judges them, without landing them: for what must be known before the next landing.

The same reading of Segment lines does the work, so that what is shown at once is what the tables will say.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kundig.collect.calls import calls_of
from kundig.collect.identifiers import Rules, quoted
from kundig.collect.inbox_landing import keeps_past, receiving
from kundig.collect.land import temporary
from kundig.collect.mapping import Context
from kundig.collect.segment import read_segment
from kundig.collect.sources.raw import Broken, Connection
from kundig.collect.tracking_plan import merged
from kundig.config.collect import Source
from kundig.config.load import Config
from kundig.schema import Table
from kundig.store.inbox import Entry

if TYPE_CHECKING:
    import pyarrow as pa

READ = ".live-"
"""How folders begin that hold calls while they are judged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """An identifier that calls carry: its key, kind and value that counts."""

    identifier_key: int
    namespace: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Calls of one source: what becomes an event (rows of `events`, in the order they came), the identifiers they carry, and what is held."""

    rows: pa.Table
    carried: tuple[Carried, ...]
    broken: tuple[Broken, ...]


def judged(
    con: Connection, config: Config, events: Table, source: str, entries: Sequence[Entry], *, folder: Path, now: dt.datetime, existing: Callable[[str], str | None]
) -> Judged:
    """What landing will make of the calls of a source's requests.

    Args:
        con: A DuckDB connection of the caller's own.
        config: The workspace.
        events: `events` with the plan's columns.
        source: The source.
        entries: Its requests.
        folder: Where the lines may lie while they are read.
        now: The present moment.
        existing: Landed exchange rates, as `collect.land` asks for them.
    """
    known, number = receiving(config, source)
    described: Source = known.sources[source]
    workspace = config.settings.workspace
    given = described.of(described.inputs[number])
    calls = calls_of(entries, past=keeps_past(described))
    context = Context(
        name=source, source=described, given=given, format=given.format, zone=workspace.zone, currency=workspace.currency, country=workspace.country, now=now.astimezone(dt.UTC),
        rules=Rules(identity=config.identity),
    )  # fmt: skip
    columns = ", ".join(quoted(name) for name in events.names if name != "batch_id")
    with tempfile.TemporaryDirectory(prefix=READ, dir=folder) as place:
        path = Path(place) / "calls"
        path.write_bytes(b"\n".join(calls.lines or (b"{}",)) + b"\n")
        found, _ = read_segment(con, context, merged(config.tracking_plan).keyed(config.secret), [path], existing, table=events, name="_judged", strict=False)
    rows = con.execute(f"SELECT {columns} FROM _judged ORDER BY received_at, _row").to_arrow_table()
    carried = tuple(Carried(identifier_key=key, namespace=namespace, value=value) for n, namespace in enumerate(found.namespaces) for key, value in _values(con, n))
    for kind, made in sorted(temporary(con), reverse=True):
        con.execute(f"DROP {kind} IF EXISTS {quoted(made)}")
    return Judged(rows=rows, carried=carried, broken=(*calls.broken, *(found.broken if calls.lines else ())))


def _values(con: Connection, n: int) -> list[tuple[Any, Any]]:
    values: list[tuple[Any, Any]] = con.execute(f"SELECT DISTINCT _k{n}, _n{n} FROM _callers WHERE _k{n} IS NOT NULL").fetchall()
    return values
