"""Rows of a database that SQLAlchemy knows: a table, view or query, in the order of its cursor, from where the last read ended."""

from __future__ import annotations

import datetime as dt
import decimal
import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from kundig.collect.sources.cursors import Value
from kundig.collect.sources.raw import missing_columns
from kundig.config.fetching import SqlInput
from kundig.errors import MissingExtra, SourceError, nearest

_PART = 5_000
"""Rows held in memory at a time."""

_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}
_EXTRAS = {"psycopg": "postgres", "pymysql": "mysql"}


def rows(url: str, given: SqlInput, needed: Sequence[str] | None, *, since: Value | None = None, at: str) -> Generator[tuple[Value | None, Mapping[str, Any]], None, None]:
    """Each row with the value of its cursor (None where there is no cursor, or the row's is null), in the cursor's order.

    Args:
        url: The database's URL, secrets filled in.
        given: Table or query, and cursor.
        needed: Columns to read; every one where it is None. A dotted name reads the JSON column before the dot.
        since: Rows whose cursor is at least this, or null; all else.
        at: Where it is declared, for messages.

    Raises:
        SourceError: The database does not answer, or has no such table or column.
        MissingExtra: Its driver is not installed.
    """
    engine = _engine(url, at=at)
    shown = engine.url.render_as_string(hide_password=True)
    try:
        with engine.connect() as connection:
            options: dict[str, Any] = {"stream_results": True, "yield_per": _PART}
            if engine.dialect.name == "postgresql":
                connection = connection.execution_options(postgresql_readonly=True, isolation_level="REPEATABLE READ")
            statement, cursor = _statement(connection, given, needed, since, at=f"{at} ({shown})")
            result = connection.execution_options(**options).execute(statement)
            names = list(result.keys())
            place = names.index(cursor) if cursor else None
            for part in result.partitions():
                for row in part:
                    yield None if place is None else _comparable(row[place]), dict(zip(names, row, strict=True))
    except sa.exc.SQLAlchemyError as error:
        told = str(getattr(error, "orig", None) or error).strip().split("\n", 1)[0]
        raise SourceError(f"the database does not answer as asked: {told}", at=f"{at} ({shown})", mend="check `database`, table and query; what landed stays, and a re-run is safe") from error
    finally:
        engine.dispose()


def _engine(url: str, *, at: str) -> sa.Engine:
    try:
        address = sa.engine.make_url(url)
        address = address.set(drivername=_DRIVERS.get(address.drivername, address.drivername))
        return sa.create_engine(address)
    except sa.exc.NoSuchModuleError as error:
        raise SourceError(f"'{url.partition(':')[0]}' is no kind of database that is known here", at=at, mend="begin the URL with postgresql://, mariadb://, mysql:// or sqlite:///, or install its SQLAlchemy dialect") from error
    except ModuleNotFoundError as error:
        raise MissingExtra(_EXTRAS.get(error.name or "", error.name or "sql"), purpose=f"reading {address.get_backend_name()}") from error
    except sa.exc.ArgumentError as error:
        raise SourceError("`database` is no URL of a database", at=at, mend="write it as postgresql://user:password@host/name, in secrets.toml") from error


def _statement(connection: sa.Connection, given: SqlInput, needed: Sequence[str] | None, since: Value | None, *, at: str) -> tuple[sa.Select[Any], str]:
    """The SELECT, and the name of the cursor's column in it (empty without a cursor)."""
    origin = _table(connection, given.table, at=at) if given.table else _query(connection, given.query)
    columns: dict[str, sa.ColumnElement[Any]] = {column.name: _as_stored(column, connection.dialect.name) for column in origin.columns}
    cursor = given.cursor.field if given.cursor is not None else ""
    wanted = list(columns) if needed is None else [name if name in columns else name.partition(".")[0] for name in needed]
    wanted = list(dict.fromkeys([*wanted, *([cursor] if cursor else [])]))
    faults = missing_columns(wanted, list(columns), at=at)
    if faults:
        raise SourceError(faults=faults)
    statement = sa.select(*(columns[name].label(name) for name in wanted)).select_from(origin)
    if cursor:
        if since is not None:
            bound = _bound(since, columns[cursor].type, connection.dialect.name)
            statement = statement.where(sa.or_(columns[cursor] >= bound, columns[cursor].is_(None)))
        statement = statement.order_by(columns[cursor])
    return statement, cursor


def _table(connection: sa.Connection, name: str, *, at: str) -> sa.Table:
    schema, _, table = name.rpartition(".")
    try:
        return sa.Table(table, sa.MetaData(), schema=schema or None, autoload_with=connection, resolve_fks=False)
    except sa.exc.NoSuchTableError as error:
        inspector = sa.inspect(connection)
        known = [*inspector.get_table_names(schema or None), *inspector.get_view_names(schema or None)]
        raise SourceError(f"there is no table '{name}'", at=at, mend=nearest(table, known)) from error


def _query(connection: sa.Connection, query: str) -> sa.Subquery:
    text = re.sub(r":", r"\\:", query.strip().rstrip(";"))
    names = connection.execute(sa.text(f"SELECT * FROM ({text}) q WHERE 1 = 0")).keys()
    return sa.text(text).columns(*(sa.column(name) for name in names)).subquery("q")


def _as_stored(column: sa.ColumnElement[Any], dialect: str) -> sa.ColumnElement[Any]:
    """The column; SQLite has no moments, only texts, however they are written."""
    return sa.type_coerce(column, sa.String()) if dialect == "sqlite" and isinstance(column.type, sa.DateTime | sa.Date) else column


def _bound(value: Value, type: sa.types.TypeEngine[Any], dialect: str) -> Any:
    """The value as the database compares it."""
    if dialect == "sqlite" and isinstance(value, dt.date):
        return value.isoformat(sep=" ") if isinstance(value, dt.datetime) else value.isoformat()
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime) and isinstance(type, sa.DateTime):
        return dt.datetime.combine(value, dt.time())
    return sa.bindparam(None, value) if isinstance(type, sa.types.NullType) else value


def _comparable(value: Any) -> Value | None:
    if isinstance(value, float):
        return decimal.Decimal(repr(value))
    if value is None or isinstance(value, str | int | decimal.Decimal | dt.date):
        return value
    return str(value)
