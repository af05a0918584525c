"""State: what people and processes write, as rows under transaction, on SQLite or PostgreSQL.

The tables are those that `kundig.tables` declares with `home="state"`. Alembic brings an older database up to date when it is
opened; a newer one is refused.
"""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import json
import marshal
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from kundig.clock import Clock, now
from kundig.errors import Busy, MissingExtra, StoreError
from kundig.schema import Column, Table
from kundig.store.sqlite import prepare

if TYPE_CHECKING:
    import pyarrow as pa

MIGRATIONS = Path(__file__).parent / "migrations"
_MICRO = dt.timedelta(microseconds=1)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class _Moment(sa.types.TypeDecorator[dt.datetime]):
    """A moment as microseconds since 1970, so that it is the same number on every database."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Any) -> int | None:
        if value is not None and value.tzinfo is None:
            raise StoreError(f"{value.isoformat()} has no time zone", at="state", mend="give moments in UTC: nobody could know when it was")
        return None if value is None else (value - _EPOCH) // _MICRO

    def process_result_value(self, value: int | None, dialect: Any) -> dt.datetime | None:
        return None if value is None else _EPOCH + dt.timedelta(microseconds=value)


class _Exact(sa.types.TypeDecorator[decimal.Decimal]):
    """A decimal of four digits as a whole number of ten-thousandths: exact on every database."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> int | None:
        if value is None:
            return None
        scaled = decimal.Decimal(value).scaleb(4)
        if scaled != scaled.to_integral_value() or abs(scaled) >= 10**18:
            raise StoreError(f"{value} is no decimal(18,4)", at="state", mend="round money to four digits before it is stored")
        return int(scaled)

    def process_result_value(self, value: int | None, dialect: Any) -> decimal.Decimal | None:
        return None if value is None else decimal.Decimal(value) / 10_000


class _Json(sa.types.TypeDecorator[Any]):
    """JSON and lists as text."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> str | None:
        if value is None:
            return None
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)

    def process_result_value(self, value: str | None, dialect: Any) -> Any:
        return value


class _List(_Json):
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Any) -> Any:
        return None if value is None else json.loads(value)


_TYPES: dict[str, Any] = {
    "int64": sa.BigInteger, "float64": sa.Double, "string": sa.Text, "bool": sa.Boolean, "date": sa.Date, "timestamp": _Moment, "decimal(18,4)": _Exact,
    "json": _Json, "list<string>": _List, "list<int64>": _List,
}  # fmt: skip


def metadata(tables: Iterable[Table]) -> sa.MetaData:
    """SQLAlchemy tables of the declared state tables; a lone int64 key named `seq` counts by itself."""
    found = sa.MetaData()
    for table in tables:
        counted = table.key == ("seq",)
        columns = [_column(column, table, counted=counted and column.name == "seq") for column in table.columns]
        indexes = [sa.Index(f"ix_{table.name}_{table.subject}", table.subject)] if table.subject is not None and table.key != (table.subject,) else []
        sa.Table(table.name, found, *columns, *indexes)
    return found


def _column(column: Column, table: Table, *, counted: bool) -> sa.Column[Any]:
    if counted:
        kind: Any = sa.BigInteger().with_variant(sa.Integer, "sqlite")
        return sa.Column(column.name, kind, primary_key=True, autoincrement=True)
    return sa.Column(column.name, _TYPES[column.type], primary_key=column.name in table.key, autoincrement=False)


def _stored(values: pa.ChunkedArray, kind: str) -> list[Any]:
    """The values of a column in the form a declared type is stored in."""
    import pyarrow as pa

    if kind == "timestamp":
        values = values.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    if kind == "list<int64>" and pa.types.is_list(values.type):
        return _listed(values)
    found: list[Any] = values.to_pylist()
    if kind.startswith("list<") or kind == "json":
        return [value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True) for value in found]
    if kind.startswith("decimal"):
        return [None if value is None else int(decimal.Decimal(value).scaleb(4)) for value in found]
    if kind == "date":
        return [None if value is None else value.isoformat() for value in found]
    return found


def _listed(values: pa.ChunkedArray) -> list[Any]:
    """Lists of whole numbers as JSON, spelled as `json.dumps` does."""
    import pyarrow as pa
    import pyarrow.compute as pc

    joined = pc.binary_join(values.cast(pa.list_(pa.string())), ", ")
    texts: list[Any] = pc.binary_join_element_wise("[", joined, "]", "").to_pylist()
    return texts


def _written(rows: list[tuple[Any, ...]]) -> bytes:
    """The same bytes for the same rows: in the second form of `marshal`, which knows no references, and is six times faster than texts."""
    try:
        return marshal.dumps(rows, 2)
    except ValueError:  # moments and decimals, which PostgreSQL hands over as objects
        return repr(rows).encode()


def _arrow(stored: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """A column of stored values in a declared Arrow type: the way back from `_stored`."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return pa.array(stored, pa.int64()).cast(kind)
    if pa.types.is_list(kind):
        return pa.array([None if value is None else json.loads(value) for value in stored], kind)
    if pa.types.is_decimal(kind):
        return pa.array([None if value is None else decimal.Decimal(value).scaleb(-4) for value in stored], kind)
    if pa.types.is_date(kind):
        return pa.array([dt.date.fromisoformat(value) if isinstance(value, str) else value for value in stored], kind)
    if pa.types.is_boolean(kind):
        return pa.array([None if value is None else bool(value) for value in stored], kind)
    return pa.array(stored, kind)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """A lease held: `fence` rises with each taking, so that a late writer can be told from the present one (`State.fenced`)."""

    name: str
    holder: str
    fence: int


_LOADED_AT_ONCE = 200_000
"""Rows that are Python's at a time where many are inserted: a million of twenty columns take more than a gigabyte."""

_CACHE_KIB = 32_768
"""Most memory a connection keeps pages of SQLite in: with the default of 2 MiB, a long transaction writes each page of an index many times."""


class State:
    """The state database. Open it with `State.open(url)`."""

    def __init__(self, engine: sa.Engine, tables: Mapping[str, Table], *, clock: Clock = now) -> None:
        self.engine = engine
        self.clock = clock
        self.declared = dict(tables)
        self._metadata = metadata(self.declared.values())

    @classmethod
    def open(cls, url: str, tables: Mapping[str, Table] | None = None, *, clock: Clock = now) -> State:
        """The state at a URL (`sqlite:///…`, `postgresql://…`), brought up to date.

        Raises:
            StoreError: A newer release of kundig wrote it.
            MissingExtra: The driver for PostgreSQL is not installed.
        """
        if tables is None:
            from kundig.store.declared import state_tables

            tables = state_tables()
        if url.startswith(("postgresql://", "postgres://")):
            url = "postgresql+psycopg://" + url.partition("://")[2]
        try:
            engine = sa.create_engine(url, isolation_level="AUTOCOMMIT" if url.startswith("sqlite") else "READ COMMITTED")
        except ModuleNotFoundError as error:
            raise MissingExtra("postgres", purpose="state on PostgreSQL") from error
        if url.startswith("sqlite"):
            sa.event.listen(engine, "connect", _pragmas)
        state = cls(engine, tables, clock=clock)
        state._migrate()
        return state

    def sql(self, name: str) -> sa.Table:
        """The SQLAlchemy table of that name."""
        return self._metadata.tables[name]

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """One transaction that writes: all of it happens or none, and no other writer in between."""
        with self.engine.connect() as connection:
            sqlite = self.engine.dialect.name == "sqlite"
            if sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(4712)")
            try:
                yield connection
            except BaseException:
                connection.exec_driver_sql("ROLLBACK") if sqlite else connection.rollback()
                raise
            connection.exec_driver_sql("COMMIT") if sqlite else connection.commit()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that sees one state throughout."""
        with self.engine.connect() as connection:
            sqlite = self.engine.dialect.name == "sqlite"
            connection.exec_driver_sql("BEGIN" if sqlite else "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                yield connection
            finally:
                connection.exec_driver_sql("ROLLBACK") if sqlite else connection.rollback()

    def load(self, name: str, rows: pa.Table, *, connection: sa.Connection) -> int:
        """Insert many Arrow rows, whose columns are some of the table's, as part of a transaction; returns how many.

        As `insert`, but the values are brought into the form they are stored in by the column: for thousands of rows.
        """
        if rows.num_rows:
            names = ", ".join(self.engine.dialect.identifier_preparer.quote(column) for column in rows.column_names)
            places = ", ".join(["?" if self.engine.dialect.name == "sqlite" else "%s"] * rows.num_columns)
            table = self.engine.dialect.identifier_preparer.quote(name)
            for start in range(0, rows.num_rows, _LOADED_AT_ONCE):
                part = rows.slice(start, _LOADED_AT_ONCE)
                stored = [_stored(part[column], self.declared[name].column(column).type) for column in part.column_names]
                connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({places})", list(zip(*stored, strict=True)))
        return int(rows.num_rows)

    def insert(self, name: str, values: Iterable[Mapping[str, Any]], *, connection: sa.Connection | None = None, ignore_known: bool = False) -> int:
        """Insert rows; with `ignore_known`, rows whose key is there already are left as they are. Returns how many were inserted."""
        given = [dict(value) for value in values]
        if not given:
            return 0
        if connection is None:
            with self.transaction() as own:
                return self.insert(name, given, connection=own, ignore_known=ignore_known)
        table = self.sql(name)
        names = [column.name for column in table.columns if any(column.name in value for value in given)]
        whole = [{column: value.get(column) for column in names} for value in given]
        if not ignore_known:
            connection.execute(sa.insert(table), whole)
            return len(whole)
        before = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
        connection.execute(self._insert_or_ignore(table), whole)
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() - before)

    def _insert_or_ignore(self, table: sa.Table) -> Any:
        if self.engine.dialect.name == "sqlite":
            from sqlalchemy.dialects.sqlite import insert as sqlite_insert

            return sqlite_insert(table).on_conflict_do_nothing()
        from sqlalchemy.dialects.postgresql import insert as postgres_insert

        return postgres_insert(table).on_conflict_do_nothing()

    def select(self, name: str, *where: Any, order_by: Any = None, most: int | None = None, connection: sa.Connection | None = None) -> list[dict[str, Any]]:
        """Rows of a table as dicts, optionally filtered by SQLAlchemy clauses over `state.sql(name).c`; the first `most` of them."""
        statement = sa.select(self.sql(name)).where(*where).limit(most)
        if order_by is not None:
            statement = statement.order_by(order_by)
        if connection is not None:
            return [dict(row._mapping) for row in connection.execute(statement)]
        with self.reading() as own:
            return [dict(row._mapping) for row in own.execute(statement)]

    def rows(self, table: Table | str) -> pa.Table:
        """All rows of a table in its declared Arrow types, in the order of its key."""
        import pyarrow as pa

        from kundig.store.engines.session import arrow_schema

        declared = self.declared[table if isinstance(table, str) else table.name]
        schema = arrow_schema(declared)
        quote = self.engine.dialect.identifier_preparer.quote
        names, key = (", ".join(map(quote, chosen)) for chosen in (declared.names, declared.key))
        with self.reading() as connection:
            found = self.stored(f"SELECT {names} FROM {quote(declared.name)} ORDER BY {key}", connection=connection)
        columns = list(zip(*found, strict=True)) if found else [() for _ in declared.columns]
        return pa.table([_arrow(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema)

    def stored(self, sql: str, *, connection: sa.Connection) -> list[tuple[Any, ...]]:
        """Rows of a query without parameters, in the form they are stored in: for hundreds of thousands of rows."""
        cursor = connection.connection.cursor()
        try:
            cursor.execute(sql)
            return list(cursor.fetchall())
        finally:
            cursor.close()

    def digest(self, table: Table | str) -> str:
        """A hash of a table's rows in the order of its key, as the database holds them: state has no snapshots to tell by."""
        declared = self.declared[table if isinstance(table, str) else table.name]
        quote = self.engine.dialect.identifier_preparer.quote
        names, key = (", ".join(map(quote, chosen)) for chosen in (declared.names, declared.key))
        with self.reading() as connection:
            found = self.stored(f"SELECT {names} FROM {quote(declared.name)} ORDER BY {key}", connection=connection)
        return hashlib.sha256(_written(found)).hexdigest()[:16]

    @contextmanager
    def lease(self, name: str, holder: str, seconds: float) -> Iterator[Lease]:
        """Hold a lease for the time of a block; it is renewed in the background and given back at the end.

        Raises:
            Busy: Another holder has it, and its time is not over.
        """
        mine = f"{holder}:{uuid.uuid4().hex[:8]}"
        lease = self._take(name, mine, seconds)
        stop = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(lease, seconds, stop), daemon=True)
        keeper.start()
        try:
            yield lease
        finally:
            stop.set()
            keeper.join(timeout=5)
            leases = self.sql("leases")
            with self.transaction() as connection:
                connection.execute(sa.update(leases).where(leases.c.lease == name, leases.c.holder == mine).values(until=_EPOCH))

    def _take(self, name: str, holder: str, seconds: float) -> Lease:
        leases = self.sql("leases")
        with self.transaction() as connection:
            found = connection.execute(sa.select(leases).where(leases.c.lease == name)).first()
            moment = self.clock()
            if found is not None and found.until > moment and not _dead(found.holder):
                raise Busy(f"'{found.holder.rsplit(':', 1)[0]}' holds the lease '{name}' until {found.until:%H:%M:%S} UTC", mend="wait for it to end, or stop that process")
            fence = 1 if found is None else found.fence + 1
            values = {"holder": holder, "until": moment + dt.timedelta(seconds=seconds), "fence": fence}
            if found is None:
                connection.execute(sa.insert(leases).values(lease=name, **values))
            else:
                connection.execute(sa.update(leases).where(leases.c.lease == name).values(**values))
        return Lease(name=name, holder=holder, fence=fence)

    def fenced(self, lease: Lease, connection: sa.Connection) -> None:
        """Pass only while the lease is held, within the transaction whose writes it guards: a holder that was thought dead writes nothing.

        Raises:
            Busy: Somebody else took it since.
        """
        leases = self.sql("leases")
        found = connection.execute(sa.select(leases).where(leases.c.lease == lease.name)).first()
        if found is None or found.holder != lease.holder or found.fence != lease.fence:
            raise Busy(f"the lease '{lease.name}' was taken by somebody else", at=f"fence {lease.fence}", mend="start again: what this process computed is out of date")

    def scrub(self) -> None:
        """Overwrite what deleted rows left, after an erasure: the log of SQLite, whose free pages are overwritten as rows are deleted; on PostgreSQL tables are written anew."""
        if self.engine.dialect.name == "postgresql":
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                for name, table in self.declared.items():
                    if table.subject is not None:
                        connection.exec_driver_sql(f'VACUUM FULL "{name}"')
        elif self.engine.dialect.name == "sqlite":
            with self.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def _keep(self, lease: Lease, seconds: float, stop: threading.Event) -> None:
        leases = self.sql("leases")
        while not stop.wait(seconds / 3):
            with suppress(sa.exc.OperationalError), self.transaction() as connection:
                mine = (leases.c.lease == lease.name, leases.c.holder == lease.holder)
                connection.execute(sa.update(leases).where(*mine).values(until=self.clock() + dt.timedelta(seconds=seconds)))

    def close(self) -> None:
        """Give back the connections."""
        self.engine.dispose()

    def _migrate(self) -> None:
        with self.engine.connect() as connection:
            known = sa.inspect(connection)
            version = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() if known.has_table("alembic_version") else None
        head = _head()
        if version == head:
            return
        from alembic.util.exc import CommandError

        from kundig.store.migrations.upgrade import upgrade

        try:
            upgrade(self.engine, MIGRATIONS)
        except CommandError as error:
            raise StoreError(
                f"the state has version '{version}', which this release of kundig does not know", at=str(self.engine.url), mend="install the release that wrote it, or a newer one"
            ) from error


def _head() -> str:
    """Name of the newest migration; the files are numbered, so no Alembic is needed to know it."""
    return max(path.stem.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _dead(holder: str) -> bool:
    import os

    parts = holder.split(":")
    if len(parts) < 2 or parts[0] != os.uname().nodename or not parts[1].isdigit():
        return False
    try:
        os.kill(int(parts[1]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _pragmas(raw: Any, _: Any) -> None:
    prepare(raw)
    raw.execute("PRAGMA foreign_keys=ON")
    raw.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
