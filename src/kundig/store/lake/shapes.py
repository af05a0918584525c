"""How a declared column is spelt in DuckDB and in the catalogue, and which field id it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kundig.errors import ContractError, Fault
from kundig.schema import Table

_DUCKDB = {
    "int64": "BIGINT", "float64": "DOUBLE", "string": "VARCHAR", "bool": "BOOLEAN", "date": "DATE", "timestamp": "TIMESTAMP WITH TIME ZONE",
    "decimal(18,4)": "DECIMAL(18,4)", "decimal(38,4)": "DECIMAL(38,4)", "json": "JSON", "list<string>": "VARCHAR[]", "list<int64>": "BIGINT[]",
}  # fmt: skip
_CATALOGUE = {
    "int64": "int64", "float64": "float64", "string": "varchar", "bool": "boolean", "date": "date", "timestamp": "timestamptz",
    "decimal(18,4)": "decimal(18,4)", "decimal(38,4)": "decimal(38,4)", "json": "json", "list<string>": "list", "list<int64>": "list",
}  # fmt: skip
_NEW_NAME = "declare the new type under a new name; the old column stays readable"
_ELEMENT = {"list<string>": "varchar", "list<int64>": "int64"}
_BACK = {
    "int64": "BIGINT", "int32": "INTEGER", "int16": "SMALLINT", "int8": "TINYINT", "int128": "HUGEINT", "uint64": "UBIGINT", "uint32": "UINTEGER",
    "float64": "DOUBLE", "float32": "FLOAT", "timestamptz": "TIMESTAMP WITH TIME ZONE",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """A column as the catalogue holds it: its field id, its DuckDB type, and the field id of its elements where it is a list."""

    id: int
    name: str
    kind: str
    element_id: int | None = None


def declared_fields(table: Table, known: tuple[Field, ...] = ()) -> tuple[Field, ...]:
    """Fields of every declared column, in declared order: those the catalogue knows keep their id, new ones take the next, depth first.

    Raises:
        ContractError: A column is declared with another type than its rows were written in; carries every such column.

    Examples:
        >>> from kundig.schema import Column, Table
        >>> columns = (Column(name="id", type="int64", meaning="."), Column(name="tags", type="list<string>", meaning="."))
        >>> [(f.name, f.id, f.element_id) for f in declared_fields(Table(name="t", room="collect", meaning=".", key=("id",), columns=columns))]
        [('id', 1, None), ('tags', 2, 3)]
    """
    by_name = {field.name: field for field in known}
    following = max([0, *(max(field.id, field.element_id or 0) for field in known)]) + 1
    fields, faults = [], []
    for column in table.columns:
        field = by_name.get(column.name)
        if field is None:
            nested = column.type in _ELEMENT
            field = Field(id=following, name=column.name, kind=_DUCKDB[column.type], element_id=following + 1 if nested else None)
            following += 2 if nested else 1
        elif field.kind != _DUCKDB[column.type]:
            faults.append(Fault(what=f"column '{column.name}' is declared as {column.type}, and its rows are kept as {field.kind}", at=f"table '{table.name}'", mend=_NEW_NAME))
        fields.append(field)
    if faults:
        raise ContractError(faults=faults)
    return tuple(fields)


def column_rows(table: Table, fields: tuple[Field, ...], table_id: int, begin: int) -> list[dict[str, Any]]:
    """The rows of `ducklake_column` for new fields, lists with their element below them."""
    types = {column.name: column.type for column in table.columns}
    found: list[dict[str, Any]] = []
    for field in fields:
        declared = types[field.name]
        common = {"begin_snapshot": begin, "table_id": table_id, "initial_default": None, "default_value": "NULL", "nulls_allowed": True, "default_value_dialect": "duckdb"}
        nested = field.element_id is not None
        own = {"column_id": field.id, "column_order": field.id, "column_name": field.name, "column_type": _CATALOGUE[declared], "parent_column": None}
        found.append(common | own | {"default_value_type": "" if nested else "literal"})
        if nested:
            element = {"column_id": field.element_id, "column_order": field.element_id, "column_name": "element", "column_type": _ELEMENT[declared]}
            found.append(common | element | {"parent_column": field.id, "default_value_type": "literal"})
    return found


def fields_of(columns: list[Any]) -> tuple[Field, ...]:
    """The fields that rows of `ducklake_column` describe."""
    found = []
    elements = {row.parent_column: row for row in columns if row.parent_column is not None}
    for row in columns:
        if row.parent_column is not None:
            continue
        if row.column_type == "list":
            element = elements[row.column_id]
            found.append(Field(id=row.column_id, name=row.column_name, kind=_back(element.column_type) + "[]", element_id=element.column_id))
        else:
            found.append(Field(id=row.column_id, name=row.column_name, kind=_back(row.column_type)))
    return tuple(found)


def _back(catalogue: str) -> str:
    return _BACK.get(catalogue, catalogue.upper())


def quoted(name: str) -> str:
    """A name as SQL quotes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    """A text as SQL quotes it."""
    return "'" + str(value).replace("'", "''") + "'"


def selected(fields: tuple[Field, ...]) -> str:
    """The list of a SELECT that casts every field to its declared type."""
    return ", ".join(f"{quoted(field.name)}::{field.kind} AS {quoted(field.name)}" for field in fields)


def field_ids(fields: tuple[Field, ...]) -> str:
    """The FIELD_IDS of a COPY."""
    parts = []
    for field in fields:
        spelled = str(field.id) if field.element_id is None else f"{{__duckdb_field_id: {field.id}, element: {field.element_id}}}"
        parts.append(f"{quoted(field.name)}: {spelled}")
    return "{" + ", ".join(parts) + "}"


def read_schema(fields: tuple[Field, ...]) -> str:
    """The `schema` of a read_parquet: by field id, so that columns added later come out as null in older files."""
    parts = (f"{field.id}: {{name: {literal(field.name)}, type: {literal(field.kind)}, default_value: NULL}}" for field in fields)
    return "MAP {" + ", ".join(parts) + "}"


def nothing(fields: tuple[Field, ...]) -> str:
    """A SELECT of no rows in the declared types."""
    return "(SELECT " + ", ".join(f"NULL::{field.kind} AS {quoted(field.name)}" for field in fields) + " WHERE false)"
