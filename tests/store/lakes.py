"""Small declared tables and a lake in a temporary folder, for the lake's tests."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from kundig.schema import Column, Table
from kundig.store.engines.duckdb import connect
from kundig.store.engines.session import arrow_schema
from kundig.store.lake import Lake


def _col(name: str, type_: str, personal: str = "none") -> Column:
    return Column(name=name, type=type_, meaning="For tests.", personal=personal)  # type: ignore[arg-type]


PERSONS = Table(
    name="persons", room="unify", meaning="One row a person.", key=("person_key",), subject="person_key",
    columns=(
        _col("person_key", "int64", "pseudonym"), _col("email", "string", "contact"), _col("score", "float64"), _col("city", "string"),
        _col("spend", "decimal(18,4)"), _col("total", "decimal(38,4)"), _col("active", "bool"), _col("day", "date"), _col("seen_at", "timestamp"),
        _col("extra", "json"), _col("tags", "list<string>"), _col("others", "list<int64>", "pseudonym"), _col("changed_run", "int64"),
    ),
)  # fmt: skip
EVENTS = Table(
    name="events", room="collect", meaning="Facts.", key=("event_id",), subject="person_key",
    columns=(_col("event_id", "string", "pseudonym"), _col("person_key", "int64", "pseudonym"), _col("name", "string"), _col("received_at", "timestamp"), _col("amount", "decimal(18,4)")),
)  # fmt: skip
TOTALS = Table(name="totals", room="measure", meaning="Derived.", key=("name",), columns=(_col("name", "string"), _col("n", "int64")))
TABLES = {table.name: table for table in (PERSONS, EVENTS, TOTALS)}
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def duck() -> Any:
    """A small DuckDB connection."""
    return connect(threads=2, memory="1GB")


def open_lake(folder: Path, tables: dict[str, Table] | None = None, **options: Any) -> Lake:
    """A lake on SQLite in that folder."""
    return Lake(f"sqlite:///{folder / 'lake.sqlite'}", folder / "lake", TABLES if tables is None else tables, duck=duck(), **options)


def persons(keys: range | list[int], *, run: int = 1) -> pa.Table:
    """Rows of PERSONS with values of every kind, nulls among them."""
    rows = [
        {
            "person_key": k, "email": f"needle{k}@example.org", "score": None if k % 7 == 0 else float("nan") if k % 5 == 0 else k / 3, "city": None if k % 4 == 0 else f"Ort {k % 3} ß",
            "spend": Decimal(k * 100 + 1).scaleb(-4), "total": Decimal(10**30 + k).scaleb(-4), "active": k % 2 == 0, "day": (START + dt.timedelta(days=k % 400)).date(),
            "seen_at": START + dt.timedelta(seconds=k, microseconds=k), "extra": f'{{"mail": "needle{k}@example.org", "n": {k}}}', "tags": None if k % 6 == 0 else ["a", None, f"t{k}"][: k % 4],
            "others": [k * 10, k * 10 + 1], "changed_run": run,
        }
        for k in keys
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=arrow_schema(PERSONS))


def events(numbers: range, *, day: int = 0) -> pa.Table:
    """Rows of EVENTS received on one day."""
    rows = [
        {"event_id": f"e{n}", "person_key": n % 10, "name": "view", "received_at": START + dt.timedelta(days=day, seconds=n % 80_000), "amount": Decimal(n)} for n in numbers
    ]
    return pa.Table.from_pylist(rows, schema=arrow_schema(EVENTS))


def fetch(lake: Lake, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query."""
    return list(lake.duck.execute(sql).fetchall())


def keys_of(lake: Lake, at: int | None = None) -> list[int]:
    """Persons a reader sees, sorted."""
    return [row[0] for row in fetch(lake, f"SELECT person_key FROM {lake.scan('persons', at)} ORDER BY ALL")]
