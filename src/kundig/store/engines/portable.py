"""Expressions that each engine spells in its own way and answers alike; the session in use says which spelling."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal

import ibis
import ibis.expr.datatypes as types

if TYPE_CHECKING:
    import ibis.expr.types as ir

Dialect = Literal["duckdb", "pyspark"]
DIALECT: ContextVar[Dialect] = ContextVar("kundig_dialect", default="duckdb")
"""The engine that expressions are being built for; sessions set it when they open."""


@ibis.udf.scalar.builtin(name="timezone", signature=((types.string, types.Timestamp(timezone="UTC")), types.timestamp))
def _duckdb_local(zone, moment): ...  # type: ignore[no-untyped-def]


@ibis.udf.scalar.builtin(name="from_utc_timestamp", signature=((types.Timestamp(timezone="UTC"), types.string), types.timestamp))
def _spark_local(moment, zone): ...  # type: ignore[no-untyped-def]


@ibis.udf.scalar.builtin(name="epoch_us", signature=((types.Timestamp(timezone="UTC"),), types.int64))
def _duckdb_micros(moment): ...  # type: ignore[no-untyped-def]


@ibis.udf.scalar.builtin(name="unix_micros", signature=((types.Timestamp(timezone="UTC"),), types.int64))
def _spark_micros(moment): ...  # type: ignore[no-untyped-def]


def local_time(moment: ir.Value, zone: str) -> ir.Value:
    """The wall clock of a zone at a moment, as a timestamp without zone."""
    return _duckdb_local(zone, moment) if DIALECT.get() == "duckdb" else _spark_local(moment, zone)


def local_day(moment: ir.Value, zone: str) -> ir.Value:
    """The calendar day of a moment in a zone."""
    return local_time(moment, zone).date()


def micros(moment: ir.Value) -> ir.Value:
    """Microseconds since 1970, UTC, as int64."""
    return _duckdb_micros(moment) if DIALECT.get() == "duckdb" else _spark_micros(moment)
