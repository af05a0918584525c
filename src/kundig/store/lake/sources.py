"""What rows and keys may be given as: SQL text, Arrow data, NumPy arrays, or files staged before; made readable by DuckDB for a while."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kundig.store.lake.shapes import Field, quoted

_STARTS = ("SELECT", "WITH", "FROM", "VALUES", "(SELECT", "(FROM", "(WITH", "(VALUES")


@contextmanager
def as_query(connection: Any, source: Any, fields: tuple[Field, ...]) -> Iterator[str]:
    """SQL text of a query over the source, for the time of a block.

    Text may be a query or what stands behind FROM. Of Arrow data (a table, a reader), columns that are missing become null.
    """
    if isinstance(source, str):
        yield source if source.lstrip().upper().startswith(_STARTS) else f"SELECT * FROM {source}"
        return
    name = f"kundig_source_{uuid.uuid4().hex[:12]}"
    connection.register(name, source)
    try:
        present = set(source.schema.names)
        yield "SELECT " + ", ".join(quoted(f.name) if f.name in present else f"NULL AS {quoted(f.name)}" for f in fields) + f" FROM {name}"
    finally:
        connection.unregister(name)


@contextmanager
def as_keys(connection: Any, keys: Any) -> Iterator[str]:
    """Name by which DuckDB knows the keys (column `key`), for the time of a block.

    `keys`: a SQL query of one column, an Arrow array or table (its first column is the key, the others may be read too), or any sequence.
    """
    import pyarrow as pa

    name = f"kundig_keys_{uuid.uuid4().hex[:12]}"
    if isinstance(keys, str):
        connection.execute(f"CREATE TEMP TABLE {name} AS SELECT * FROM ({keys}) t(key)")
        try:
            yield name
        finally:
            connection.execute(f"DROP TABLE IF EXISTS {name}")
        return
    rows = keys.rename_columns(["key", *keys.column_names[1:]]) if isinstance(keys, pa.Table) else pa.table({"key": keys if isinstance(keys, pa.ChunkedArray) else pa.array(keys)})
    if pa.types.is_null(rows.schema.field("key").type):
        rows = rows.set_column(0, "key", pa.nulls(rows.num_rows, pa.int64()))
    connection.register(name, rows)
    try:
        yield name
    finally:
        connection.unregister(name)
