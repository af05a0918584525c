"""A run's session on DuckDB: temporary views over the lake's files on the connection that also writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kundig.schema import Table
from kundig.store.engines.duckdb import ibis_backend
from kundig.store.engines.portable import DIALECT
from kundig.store.engines.session import duckdb_type, ibis_type
from kundig.store.lake.reading import select

if TYPE_CHECKING:
    import duckdb
    import ibis.expr.types as ir
    import pyarrow as pa

    from kundig.store.lake import Lake, StagedFiles
    from kundig.store.lake.reading import FileRow
    from kundig.store.lake.shapes import Field

SPELT = 2_000
"""Up to so many keys are spelt out in the statement that narrows a table to them."""


class DuckSession:
    """Views and temporary tables on one DuckDB connection, and Ibis over them."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        DIALECT.set("duckdb")
        self.connection = connection
        self.backend: Any = ibis_backend(connection)
        self._kinds: dict[str, str] = dict(connection.execute("SELECT table_name, table_type FROM information_schema.tables WHERE table_catalog = 'temp'").fetchall())
        self._tables: dict[str, ir.Table] = {}

    def open_table(self, lake: Lake, table: Table, at: int, name: str) -> ir.Table:
        """Make a table as of a snapshot known by a name."""
        return self.view(name, lake.scan(table.name, at), table)

    def open_files(self, table: Table, fields: Sequence[Field], files: Sequence[FileRow], name: str) -> ir.Table:
        """Make the rows of some files of a table known by a name."""
        return self.view(name, select(tuple(fields), files), table)

    def narrow(self, name: str, source: str, table: Table, column: str, keys: pa.Array, held: ir.Table) -> ir.Table:
        """Make those rows of a known table known by a name whose column is among the keys, which are `held` in a column of that name.

        Few keys are spelt out: then the files' own bounds say which row groups hold none of them, and of the others the wide columns are
        read where the key is met alone.
        """
        if len(keys) > SPELT:
            return self.define(name, self.table(source).semi_join(held, column), table)
        chosen = f'"{column}" IN ({", ".join(map(str, keys.to_pylist()))})' if len(keys) else "false"
        self._drop(name)
        self.connection.execute(f'CREATE TEMP VIEW "{name}" AS SELECT * FROM "{source}" WHERE {chosen}')
        return self._made(name, "VIEW", table)

    def overlay(self, lake: Lake, table: Table, at: int, parts: Sequence[tuple[str, Any]], name: str) -> ir.Table:
        """Make a table known by a name as it will be once `parts` are committed: (append | replace, staged) or (upsert, (column, keys, staged))."""
        rows = lake.scan(table.name, at)
        for kind, what in parts:
            if kind == "replace":
                rows = lake.scan_staged(what)
            elif kind == "append":
                rows = f"(SELECT * FROM {rows} UNION ALL BY NAME SELECT * FROM {lake.scan_staged(what)})"
            else:
                column, keys, staged = what
                hidden = f"{name}_hidden"
                self.register(hidden, _keys(column, keys))
                kept = f'SELECT * FROM {rows} t ANTI JOIN "{hidden}" h ON t."{column}" = h."{column}"'
                rows = f"({kept} UNION ALL BY NAME SELECT * FROM {lake.scan_staged(staged)})"
        return self.view(name, rows, table)

    def stage(self, lake: Lake, table: Table, rows: ir.Table, *, run: str, step: str) -> StagedFiles:
        """Write the rows of an expression as files of the table that nobody sees yet."""
        return lake.stage(table.name, self.sql(rows), run=run, step=step)

    def sql(self, expression: ir.Table) -> str:
        """The SQL of an expression, with the Arrow rows it holds made known to the connection."""
        self.backend._run_pre_execute_hooks(expression)
        return str(self.backend.compile(expression))

    def view(self, name: str, sql: str, table: Table | None = None) -> ir.Table:
        """Make the rows of a SQL text known by a name; JSON columns of a declared table are handed over as text, as on every engine."""
        columns = "*"
        if table is not None:
            columns = ", ".join(f'"{c.name}"::VARCHAR AS "{c.name}"' if c.type == "json" else f'"{c.name}"' for c in table.columns)
        self._drop(name)
        self.connection.execute(f'CREATE TEMP VIEW "{name}" AS SELECT {columns} FROM {sql}')
        return self._made(name, "VIEW", table)

    def table(self, name: str) -> ir.Table:
        """The Ibis table known by that name."""
        if name not in self._tables:
            self._tables[name] = self.backend.table(name)
        return self._tables[name]

    def register(self, name: str, rows: pa.Table) -> ir.Table:
        """Make Arrow rows known by a name: copied into a temporary table, so the Arrow memory may go."""
        self._drop(name)
        self.connection.register("_kundig_arrow", rows)
        self.connection.execute(f'CREATE TEMP TABLE "{name}" AS SELECT * FROM _kundig_arrow')
        self.connection.unregister("_kundig_arrow")
        return self._made(name, "TABLE")

    def define(self, name: str, expression: ir.Table, table: Table | None = None) -> ir.Table:
        """Make an expression known by a name, computed anew at each use."""
        sql = self.sql(expression)
        self._drop(name)
        self.connection.execute(f'CREATE TEMP VIEW "{name}" AS {sql}')
        return self._made(name, "VIEW", table)

    def keep(self, name: str, expression: ir.Table, table: Table | None = None) -> ir.Table:
        """Compute an expression once and make its rows known by a name; of a declared table, in its declared types.

        The cast is written out: the engine sums integers to a wider type than Ibis believes.
        """
        sql = self.sql(expression)
        if table is not None:
            columns = ", ".join(f'"{c.name}"::{"VARCHAR" if c.type == "json" else duckdb_type(c.type)} AS "{c.name}"' for c in table.columns)
            sql = f"SELECT {columns} FROM ({sql})"
        self._drop(name)
        self.connection.execute(f'CREATE TEMP TABLE "{name}" AS {sql}')
        return self._made(name, "TABLE", table)

    def arrow(self, expression: ir.Table) -> pa.Table:
        """The rows of an expression, in its Ibis types."""
        return expression.to_pyarrow()

    def drop(self, name: str) -> None:
        """Forget a name and what it holds."""
        self._drop(name)

    def close(self) -> None:
        """Drop every view and temporary table this session made."""
        for name in sorted(self._tables):
            self._drop(name)

    def _made(self, name: str, kind: str, table: Table | None = None) -> ir.Table:
        """The Ibis table of a name just made; of a declared table the types are known, and nobody is asked."""
        import ibis.expr.operations as operations
        from ibis import schema

        self._kinds[name] = kind
        if table is None:
            self._tables[name] = self.backend.table(name)
        else:
            types = schema({column.name: ibis_type(column.type) for column in table.columns})
            place = operations.Namespace(catalog=None, database=None)
            self._tables[name] = operations.DatabaseTable(name=name, schema=types, source=self.backend, namespace=place).to_expr()
        return self._tables[name]

    def _drop(self, name: str) -> None:
        self._tables.pop(name, None)
        kind = self._kinds.pop(name, None)
        if kind is not None:
            self.connection.execute(f'DROP {"VIEW" if "VIEW" in kind else "TABLE"} IF EXISTS temp."{name}"')


def _keys(column: str, keys: Any) -> pa.Table:
    import pyarrow as pa

    return pa.table({column: keys})
