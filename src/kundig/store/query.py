"""Read-only SQL over the tables of one release, by their names, on a connection that can reach nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kundig.errors import StoreError
from kundig.schema import Table

if TYPE_CHECKING:
    from kundig.store.lake import Lake
    from kundig.store.state import State


def query(lake: Lake, state: State | None, tables: Mapping[str, Table], sql: str, *, at: int) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of one SELECT.

    Only the tables that the text names are opened. State tables are read as they are now.

    Raises:
        StoreError: It is no single SELECT, or the engine refuses it.
    """
    import duckdb

    statements = _statements(sql)
    wanted = [name for name in tables if name in sql]
    connection = lake.duck.cursor()
    try:
        for name in wanted:
            if tables[name].home == "lake":
                connection.execute(f'CREATE OR REPLACE TEMP VIEW "{name}" AS SELECT * FROM {lake.scan(name, at)}')
            elif state is not None:
                connection.register(name, state.rows(tables[name]))
        result = connection.execute(statements)
        return [column[0] for column in result.description or ()], result.fetchall()
    except duckdb.Error as error:
        raise StoreError(f"the query cannot be answered: {str(error).splitlines()[0]}", mend="kundig catalogue lists the tables and their columns") from error
    finally:
        connection.close()


def _statements(sql: str) -> str:
    import duckdb

    try:
        parsed = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise StoreError(f"this is no SQL: {str(error).splitlines()[0]}", mend="write one SELECT") from error
    if len(parsed) != 1 or parsed[0].type != duckdb.StatementType.SELECT:
        raise StoreError("only one statement that reads is taken here", mend="write one SELECT; what changes tables are sources and steps")
    lowered = sql.lower()
    reaching = [word for word in ("read_csv", "read_parquet", "read_json", "read_text", "read_blob", "glob(", "sniff_csv", "parquet_metadata", "parquet_scan", "getenv") if word in lowered]
    if reaching:
        raise StoreError(f"'{reaching[0]}' reaches outside the tables", mend="read the declared tables by their names")
    return sql
