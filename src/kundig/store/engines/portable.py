"""Expressions that each engine spells in its own way and answers alike; the session in use says which spelling."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal

import ibis
import ibis.expr.datatypes as types

if TYPE_CHECKING:
    import ibis.expr.types as ir

Dialect = Literal["duckdb", "pyspark"]
DIALECT: ContextVar[Dialect] = ContextVar("kundig_dialect", default="duckdb")
"""The engine that expressions are being built for; sessions set it when they open."""


def builtin(name: str, takes: tuple[types.DataType, ...], gives: types.DataType) -> Callable[..., ir.Value]:
    """A function that an engine has of itself, by its name there and the types of its arguments, in their order."""

    def call(*_: Any) -> None:
        """The engine's own body."""

    names = [inspect.Parameter(f"argument_{number}", inspect.Parameter.POSITIONAL_ONLY) for number in range(len(takes))]
    call.__signature__ = inspect.Signature(names)  # type: ignore[attr-defined]  # Ibis asks for one name an argument
    made: Callable[..., ir.Value] = ibis.udf.scalar.builtin(call, name=name, signature=(takes, gives))
    return made


_duckdb_local = builtin("timezone", (types.string, types.Timestamp(timezone="UTC")), types.timestamp)
_spark_local = builtin("from_utc_timestamp", (types.Timestamp(timezone="UTC"), types.string), types.timestamp)
_duckdb_micros = builtin("epoch_us", (types.Timestamp(timezone="UTC"),), types.int64)
_spark_micros = builtin("unix_micros", (types.Timestamp(timezone="UTC"),), types.int64)


_duckdb_json = builtin("json_extract_string", (types.string, types.string), types.string)
_spark_json = builtin("get_json_object", (types.string, types.string), types.string)


def json_text(document: ir.Value, name: str) -> ir.Value:
    """The text of a key of JSON text; null where it is not there. The name holds no quotes."""
    return _duckdb_json(document, f'$."{name}"') if DIALECT.get() == "duckdb" else _spark_json(document, f"$['{name}']")


def local_time(moment: ir.Value, zone: str) -> ir.Value:
    """The wall clock of a zone at a moment, as a timestamp without zone."""
    return _duckdb_local(zone, moment) if DIALECT.get() == "duckdb" else _spark_local(moment, zone)


def local_day(moment: ir.Value, zone: str) -> ir.Value:
    """The calendar day of a moment in a zone."""
    return local_time(moment, zone).date()


def micros(moment: ir.Value) -> ir.Value:
    """Microseconds since 1970, UTC, as int64."""
    return _duckdb_micros(moment) if DIALECT.get() == "duckdb" else _spark_micros(moment)
