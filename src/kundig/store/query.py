"""Read-only SQL over the tables of one release, by their names: what a query may touch is judged on its parsed form, not on its text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kundig.errors import StoreError, nearest
from kundig.schema import Table

if TYPE_CHECKING:
    from kundig.store.lake import Lake
    from kundig.store.lake.lake import Standing
    from kundig.store.state import State

ROWS_FROM = frozenset({"range", "generate_series", "unnest"})
"""Functions that may stand where a table stands: they make rows of their arguments alone."""
FORBIDDEN = frozenset({"getenv", "getvariable", "current_setting", "write_log", "which_secret", "query", "query_table", "nextval", "currval", "txid_current"})
"""Functions that read or change the process or the session, not the tables."""
SOURCES = frozenset({"BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "PIVOT"})
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*", re.IGNORECASE)
_NUMBER = re.compile(r"\b[0-9]+\b", re.ASCII)
_SPELLS = re.compile(r'["&\\$]')
"""Signs by which digits can spell a name: quoted names, escapes, tags."""
READERS = 8
"""Connections that are kept for the next queries."""
VERDICTS = 1_000
"""Forms of queries whose verdicts are kept."""


def query(lake: Lake, state: State | None, tables: Mapping[str, Table], sql: str, *, at: int) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of one SELECT.

    Only the declared tables that it names are opened; files, settings, other catalogues and the functions that reach them are refused before
    anything runs. State tables are read as they are now. When a file was erased or expired between the list and the reading, the list is taken once more.

    Raises:
        StoreError: It is no single SELECT, it reaches outside the tables, or the engine refuses it.
    """
    import duckdb

    try:
        try:
            return _answered(lake, state, tables, sql, at)
        except duckdb.IOException:
            lake.readers.clear()
            return _answered(lake, state, tables, sql, at)
    except duckdb.Error as error:
        raise StoreError(f"the query cannot be answered: {str(error).splitlines()[0]}", mend="kundig catalogue lists the tables and their columns") from error


class Reader:
    """A connection that knows the tables of one snapshot by their names, and which state of the catalogue it knows them from."""

    def __init__(self, lake: Lake, at: int, standing: Standing) -> None:
        self.at, self.standing = at, standing
        self.connection = lake.duck.cursor()
        self._opened: set[str] = set()

    def open(self, lake: Lake, name: str) -> None:
        """Make a table of the lake known."""
        if name not in self._opened:
            self.connection.execute(f'CREATE OR REPLACE TEMP VIEW "{name}" AS SELECT * FROM {lake.scan(name, self.at)}')
            self._opened.add(name)


def _answered(lake: Lake, state: State | None, tables: Mapping[str, Table], sql: str, at: int) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Ask a reader that was kept, or a new one; it is kept again once it has answered."""
    standing = lake.standing(at)
    reader = _kept(lake, at, standing) or Reader(lake, at, standing)
    registered = []
    try:
        for name in _named(reader.connection, sql, tables):
            if tables[name].home == "lake":
                reader.open(lake, name)
            elif state is not None:
                reader.connection.register(name, state.rows(tables[name]))
                registered.append(name)
        result = reader.connection.execute(sql)
        columns, found = [column[0] for column in result.description or ()], result.fetchall()
        for name in registered:
            reader.connection.unregister(name)
    except BaseException:
        reader.connection.close()
        raise
    if len(lake.readers) < READERS:
        lake.readers.append(reader)
    else:
        reader.connection.close()
    return columns, found


def _kept(lake: Lake, at: int, standing: Standing) -> Reader | None:
    """A reader of the snapshot as it is now that nobody uses; those of another release, or of before an erasure, are closed."""
    with suppress(IndexError):
        while True:
            reader: Reader = lake.readers.pop()
            if reader.at == at and reader.standing == standing:
                return reader
            reader.connection.close()
    return None


def _named(connection: Any, sql: str, tables: Mapping[str, Table]) -> tuple[str, ...]:
    """The declared tables that a query names, once it is sure that it touches nothing else.

    Queries that differ in numbers alone are parsed once: no number decides what is touched, where none can be part of a name.
    """
    form = (_NUMBER.sub("0", sql) if not _SPELLS.search(sql) else sql), frozenset(tables)
    verdict = _verdicts.get(form)
    if verdict is None:
        verdict = _judged(connection, sql, tables)
        if len(_verdicts) >= VERDICTS:
            _verdicts.clear()
        _verdicts[form] = verdict
    elif verdict.defined:
        _judge_names(connection, verdict.defined, tables)
    return verdict.wanted


@dataclass(frozen=True, kw_only=True)
class _Verdict:
    """What a query that may be answered names: declared tables, and subqueries of its own."""

    wanted: tuple[str, ...]
    defined: frozenset[str]


_verdicts: dict[tuple[str, frozenset[str]], _Verdict] = {}


def _judged(connection: Any, sql: str, tables: Mapping[str, Table]) -> _Verdict:
    tree = _parsed(connection, sql)
    defined = frozenset(str(entry["key"]).lower() for node in _nodes(tree) for entry in (node.get("cte_map") or {}).get("map", ()))
    _judge_names(connection, defined, tables)
    wanted = set()
    for node in _nodes(tree):
        if "function_name" in node:
            _judge_function(str(node["function_name"]).lower(), str(node.get("schema") or ""), str(node.get("catalog") or ""))
        if "column_name_alias" in node or "ref_type" in node or node.get("type") == "SHOW_REF":
            name = _source(node, tables, defined)
            if name:
                wanted.add(name)
    return _Verdict(wanted=tuple(sorted(wanted)), defined=defined)


def _judge_names(connection: Any, defined: frozenset[str], tables: Mapping[str, Table]) -> None:
    odd = sorted(name for name in defined if not _PLAIN.fullmatch(name) or name in _of_engine(connection) - set(tables))
    if odd:
        raise StoreError(f"'{odd[0]}' is no name for a subquery here", mend="name it with letters, digits and _, and not as the engine names a table of its own")


def _of_engine(connection: Any) -> set[str]:
    """Tables and views the engine has of its own: a subquery of that name would open them wherever the subquery is out of sight."""
    return {str(name).lower() for (name,) in connection.execute("SELECT view_name FROM duckdb_views() UNION ALL SELECT table_name FROM duckdb_tables()").fetchall()}


def _source(node: dict[str, Any], tables: Mapping[str, Table], defined: Set[str]) -> str:
    kind = node.get("type")
    if kind not in SOURCES:
        raise StoreError(f"{str(kind).lower()} is not read here", mend="read the declared tables by their names")
    if kind == "TABLE_FUNCTION":
        name = str(node["function"].get("function_name", "")).lower()
        if name not in ROWS_FROM:
            raise StoreError(f"'{name}' reaches outside the tables", mend="read the declared tables by their names")
    if kind != "BASE_TABLE":
        return ""
    name = str(node["table_name"]).lower()
    if node.get("schema_name") or node.get("catalog_name") or (name not in tables and name not in defined):
        given = ".".join(part for part in (node.get("catalog_name"), node.get("schema_name"), node["table_name"]) if part)
        raise StoreError(f"there is no table '{given}'", mend=nearest(name, tables))
    return name if name in tables else ""


def _judge_function(name: str, schema: str, catalog: str) -> None:
    if name in FORBIDDEN or name.startswith(("read_", "parquet_", "duckdb_", "pragma_", "pg_", "json_execute", "sqlite_", "postgres_", "iceberg_", "delta_")):
        raise StoreError(f"'{name}' reaches outside the tables", mend="read the declared tables by their names")
    if catalog or schema not in ("", "main"):
        raise StoreError(f"'{schema}.{name}' is not used here", mend="call functions by their bare names")


def _parsed(connection: Any, sql: str) -> dict[str, Any]:
    import duckdb

    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise StoreError(f"this is no SQL: {str(error).splitlines()[0]}", mend="write one SELECT") from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise StoreError("only one statement that reads is taken here", mend="write one SELECT; what changes tables are sources and steps")
    tree: dict[str, Any] = json.loads(connection.execute("SELECT json_serialize_sql($1::VARCHAR)", [sql]).fetchone()[0])
    if tree.get("error") or len(tree.get("statements", ())) != 1:
        raise StoreError(f"only one SELECT is taken here: {tree.get('error_message', 'it has none')}", mend="write one SELECT")
    return tree


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of the parsed query, at any depth."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
