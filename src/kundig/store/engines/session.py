"""What a run computes in: named views over one state of the tables, Ibis over them, and results staged into the lake.

`DuckSession` and `SparkSession` answer the same calls, so that the pipeline knows neither.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Protocol

from kundig.schema import Table

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa


class Session(Protocol):
    """One run's view of the tables, on some engine."""

    def table(self, name: str) -> ir.Table:
        """The Ibis table known by that name."""

    def open_files(self, table: Table, fields: Any, files: Any, name: str) -> ir.Table:
        """Make the rows of some files of a table known by a name."""

    def narrow(self, name: str, source: str, table: Table, column: str, keys: pa.Array, held: ir.Table) -> ir.Table:
        """Make those rows of a known table known by a name whose column is among the keys, which are `held` in a column of that name."""

    def register(self, name: str, rows: pa.Table) -> ir.Table:
        """Make Arrow rows known by a name."""

    def define(self, name: str, expression: ir.Table, table: Table | None = None) -> ir.Table:
        """Make an expression known by a name, computed anew at each use."""

    def keep(self, name: str, expression: ir.Table, table: Table | None = None) -> ir.Table:
        """Compute an expression once and make its rows known by a name."""

    def arrow(self, expression: ir.Table) -> pa.Table:
        """The rows of an expression."""

    def close(self) -> None:
        """Give back what the session holds."""


def conform(expression: ir.Table, table: Table, *, changed_run: int | None) -> ir.Table:
    """The expression with exactly the declared columns, in order and in their declared types; `changed_run` is filled in.

    Raises:
        ContractError: A declared column is missing, or a column cannot be cast.
    """
    import ibis

    from kundig.errors import ContractError, Fault, nearest

    schema = expression.schema()
    missing = [name for name in table.names if name not in schema and name != "changed_run"]
    if missing:
        faults = [Fault(what=f"column '{name}' is missing from what the step returns", at=f"table '{table.name}'", mend=nearest(name, schema.names)) for name in missing]
        raise ContractError(faults=faults)
    columns: dict[str, Any] = {}
    for column in table.columns:
        if column.name == "changed_run" and changed_run is not None:
            columns[column.name] = ibis.literal(changed_run, type="int64")
        else:
            kind = ibis_type(column.type)
            columns[column.name] = expression[column.name] if schema[column.name] == kind else expression[column.name].cast(kind)
    return expression.select(**columns)


def ibis_type(declared: str) -> Any:
    """The Ibis type of a declared type."""
    import ibis.expr.datatypes as types

    if declared == "timestamp":
        return types.Timestamp(timezone="UTC", scale=6)
    if declared == "json":
        return types.String()
    if declared == "bool":
        return types.Boolean()
    if declared.startswith("list<"):
        return types.Array(value_type=types.dtype(declared[5:-1]))
    return types.dtype(declared)


def duckdb_type(declared: str) -> str:
    """The DuckDB type of a declared type."""
    simple = {
        "int64": "BIGINT", "float64": "DOUBLE", "string": "VARCHAR", "bool": "BOOLEAN", "date": "DATE", "timestamp": "TIMESTAMP WITH TIME ZONE",
        "decimal(18,4)": "DECIMAL(18,4)", "decimal(38,4)": "DECIMAL(38,4)", "json": "JSON", "list<string>": "VARCHAR[]", "list<int64>": "BIGINT[]",
    }  # fmt: skip
    return simple[declared]


def arrow_type(declared: str) -> Any:
    """The Arrow type of a declared type."""
    import pyarrow as pa

    simple = {
        "int64": pa.int64(), "float64": pa.float64(), "string": pa.string(), "bool": pa.bool_(), "date": pa.date32(),
        "timestamp": pa.timestamp("us", tz="UTC"), "decimal(18,4)": pa.decimal128(18, 4), "decimal(38,4)": pa.decimal128(38, 4),
        "json": pa.string(), "list<string>": pa.list_(pa.string()), "list<int64>": pa.list_(pa.int64()),
    }  # fmt: skip
    return simple[declared]


def arrow_schema(table: Table) -> Any:
    """The Arrow schema of a declared table."""
    import pyarrow as pa

    return pa.schema([pa.field(column.name, arrow_type(column.type)) for column in table.columns])


def as_known(expression: ir.Table, table: Table, as_of: dt.datetime) -> ir.Table:
    """Only what had happened and was known at a moment, for tables that tell what happened.

    A catalogue (no `occurred_at`, no `local_day`) says what is, not what happened: it is read as it is, also for a moment in the past.
    A consent record counts from when it is known: a withdrawal dated ahead must not wait.
    """
    import ibis

    if "occurred_at" not in table.names and "local_day" not in table.names:
        return expression

    moment = ibis.literal(as_of, type=ibis_type("timestamp"))
    for clock in known_by(table):
        if clock in table.names:
            expression = expression.filter(expression[clock] <= moment)
    return expression


def known_by(table: Table) -> tuple[str, ...]:
    """The clocks that must have passed before a row counts."""
    return ("received_at",) if table.name == "consent_records" else ("received_at", "occurred_at")
