"""Looking through a database server for texts: every row of every table, where no file can be read."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

AT_ONCE = 5_000
"""Rows that are held in memory at a time."""


def rows_holding(engine: sa.Engine, values: Sequence[str]) -> dict[str, int]:
    """How many rows of each table hold one of the lower-case values, in any column and inside JSON; tables without any are left out."""
    found: dict[str, int] = {}
    if not values:
        return found
    with engine.connect() as connection:
        for name in sorted(sa.inspect(connection).get_table_names()):
            quoted = engine.dialect.identifier_preparer.quote(name)
            rows = connection.execution_options(stream_results=True).exec_driver_sql(f"SELECT * FROM {quoted}")
            while part := rows.fetchmany(AT_ONCE):
                found[name] = found.get(name, 0) + sum(any(value in text for value in values) for text in map(_text, part))
        connection.rollback()
    return {name: count for name, count in found.items() if count}


def _text(row: Sequence[object]) -> str:
    return "\n".join(bytes(cell).decode(errors="replace") if isinstance(cell, bytes | memoryview) else str(cell) for cell in row if cell is not None).lower()
