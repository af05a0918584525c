"""What is asked of a PostgreSQL server whose changes are followed: publication, slot, snapshot, changes, and the way on."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kundig.collect.cdc.pgoutput import ColumnOf, Relation, lsn_number, lsn_text
from kundig.errors import Busy, Fault, MissingExtra, SourceError, nearest

if TYPE_CHECKING:
    import sqlalchemy as sa

SETTLED_WITHIN = 60
"""Seconds for which transactions that were under way when the slot was made are waited for."""

_SESSION = ("SET datestyle = 'ISO, YMD'", "SET timezone = 'UTC'", "SET intervalstyle = 'iso_8601'", "SET extra_float_digits = 1", "SET bytea_output = 'hex'", "SET application_name = 'kundig'")
_COLUMNS = """
SELECT a.attname, a.atttypid::bigint, c.oid::bigint, c.relreplident::text,
  c.relreplident = 'f' OR EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND a.attnum = ANY (i.indkey) AND (i.indisreplident OR (c.relreplident = 'd' AND i.indisprimary)))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
WHERE n.nspname = :schema AND c.relname = :name AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """One consistent state of the tables: which transactions it shows, and a place in the log behind all of these."""

    text: str
    after: int
    connection: Any

def visible(snapshot: str, xid: int) -> bool:
    """Whether a snapshot (`xmin:xmax:xip,…`) shows a committed transaction, told by the low 32 bits of its number.

    Examples:
        >>> [visible("100:105:100,103", xid) for xid in (99, 100, 101, 103, 104, 105)]
        [True, False, True, False, True, False]
        >>> visible("4294967290:4294967300:", 2), visible("4294967290:4294967300:", 5)
        (True, False)
    """
    low, high, under_way = snapshot.split(":")
    first, last = int(low), int(high)
    whole = (last & ~0xFFFFFFFF) | xid
    whole -= (whole > last + (1 << 31)) << 32
    return whole < first or (whole < last and str(whole) not in under_way.split(","))


def engine_of(url: str, *, at: str, seconds: int = 15) -> sa.Engine:
    """An engine for the database; each connection is given back at once, and one that is not there within these seconds fails.

    Raises:
        SourceError: The url is none.
        MissingExtra: The driver is not installed.
    """
    import sqlalchemy as sa

    try:
        return sa.create_engine(re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+psycopg://", url), poolclass=sa.pool.NullPool, connect_args={"connect_timeout": seconds})
    except ModuleNotFoundError as error:
        raise MissingExtra("postgres", purpose="following the changes of a PostgreSQL database") from error
    except sa.exc.ArgumentError as error:
        raise SourceError("the url is none of a database", at=at, mend="write it into secrets.toml as postgresql://user:password@host/database") from error


@dataclass
class Server:
    """A session of one pass; `open` makes it."""

    session: sa.Connection
    engine: sa.Engine
    at: str
    _types: dict[int, str] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def open(cls, url: str, *, at: str, slot: str) -> Iterator[Server]:
        """A session that holds the slot for itself, told from other passes by an advisory lock.

        Raises:
            SourceError: The server cannot be reached.
            Busy: Another pass follows this slot.
            MissingExtra: The driver is not installed.
        """
        import sqlalchemy as sa

        engine = engine_of(url, at=at)
        try:
            with engine.connect() as connection:
                session = connection.execution_options(isolation_level="AUTOCOMMIT")
                for statement in _SESSION:
                    session.exec_driver_sql(statement)
                if not session.execute(sa.text("SELECT pg_try_advisory_lock(4713, hashtext(:s))"), {"s": slot}).scalar():
                    raise Busy(f"another process follows the slot '{slot}'", at=at, mend="wait for it to end, or stop it")
                yield cls(session=session, engine=engine, at=at)
        except sa.exc.DBAPIError as error:
            raise SourceError(f"the database says: {first_line(error)}", at=at, mend="look at the server; what has landed is safe, and the slot holds what has not") from error
        finally:
            engine.dispose()

    def _all(self, sql: str, **values: Any) -> Sequence[Any]:
        import sqlalchemy as sa

        return self.session.execute(sa.text(sql), values).fetchall()

    def _one(self, sql: str, **values: Any) -> Any:
        return self._all(sql, **values)[0][0]

    # what is there

    def identity(self) -> str:
        """What the places in the log are told by: the cluster and its timeline."""
        return str(self._one("SELECT (SELECT system_identifier FROM pg_control_system()) || '.' || (SELECT timeline_id FROM pg_control_checkpoint())"))

    def faults(self, publication: str, tables: Sequence[tuple[str, str]]) -> list[Fault]:
        """Why changes of these tables cannot be followed: the level of the log, the publication and what it names."""
        level = self._one("SELECT current_setting('wal_level')")
        if level != "logical":
            return [Fault(what=f"the server's wal_level is {level}, not logical", at=self.at, mend="ALTER SYSTEM SET wal_level = logical, then restart the server")]
        known = [row[0] for row in self._all("SELECT pubname FROM pg_publication")]
        listed = ", ".join(f"{_quoted(schema)}.{_quoted(name)}" for schema, name in tables)
        if publication not in known:
            told = f"; {nearest(publication, known)}" if known else ""
            return [Fault(what=f"there is no publication '{publication}'", at=self.at, mend=f"CREATE PUBLICATION {publication} FOR TABLE {listed}{told}")]
        published = {(schema, name) for schema, name in self._all("SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = :p", p=publication)}
        kinds = self._all("SELECT pubinsert, pubupdate, pubdelete, pubtruncate FROM pg_publication WHERE pubname = :p", p=publication)[0]
        faults = [
            Fault(what=f"the publication '{publication}' leaves out {what}s", at=self.at, mend=f"ALTER PUBLICATION {publication} SET (publish = 'insert, update, delete, truncate')")
            for what, there in zip(("insert", "update", "delete", "truncate"), kinds, strict=True)
            if not there
        ]
        for schema, name in tables:
            if (schema, name) not in published and self._partitioned(schema, name):
                what = f"{schema}.{name} has partitions, and the publication '{publication}' tells changes by their names"
                faults.append(Fault(what=what, at=self.at, mend=f"ALTER PUBLICATION {publication} SET (publish_via_partition_root = true), and let it name {schema}.{name}"))
            elif (schema, name) not in published:
                whole = f"{_quoted(schema)}.{_quoted(name)}"
                told = nearest(f"{schema}.{name}", [f"{one}.{other}" for one, other in published])
                faults.append(Fault(what=f"the publication '{publication}' does not name {schema}.{name}", at=self.at, mend=f"ALTER PUBLICATION {publication} ADD TABLE {whole}; or {told}"))
        return faults

    def _partitioned(self, schema: str, name: str) -> bool:
        return bool(self._all("SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = :s AND c.relname = :n AND c.relkind = 'p'", s=schema, n=name))

    def published(self, publication: str, schema: str, name: str) -> tuple[frozenset[str] | None, str]:
        """Which columns of a table a publication tells (None: all), and the condition of its rows ('' for all): PostgreSQL 15 knows both."""
        if int(self._one("SELECT current_setting('server_version_num')")) < 150_000:
            return None, ""
        found = self._all("SELECT attnames, rowfilter FROM pg_publication_tables WHERE pubname = :p AND schemaname = :s AND tablename = :n", p=publication, s=schema, n=name)
        return (frozenset(found[0][0]), found[0][1] or "") if found else (None, "")

    def relation(self, publication: str, schema: str, name: str) -> Relation:
        """A table's published columns as they are now; none where there is no such table."""
        found = self._all(_COLUMNS, schema=schema, name=name)
        told, _ = self.published(publication, schema, name)
        columns = tuple(ColumnOf(key=key, name=column, type=type) for column, type, _, _, key in found if told is None or column in told)
        return Relation(oid=found[0][2] if found else 0, schema=schema, name=name, identity=found[0][3] if found else "", columns=columns)

    def kinds(self, oids: Sequence[int]) -> Mapping[int, str]:
        """What the texts of these types are: bool, list, json, padded, or text; a domain is what it is made of."""
        missing = sorted({oid for oid in oids if oid not in self._types})
        if missing:
            sql = (
                "SELECT t.oid::bigint, b.typcategory::text, b.typname FROM pg_type t JOIN pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END WHERE t.oid::bigint = ANY (:oids)"
            )
            found = {oid: _kind(category, name) for oid, category, name in self._all(sql, oids=missing)}
            self._types |= {oid: found.get(oid, "text") for oid in missing}
        return self._types

    # the slot

    def confirmed(self, slot: str) -> int | None:
        """The place up to which the slot's changes are known to have been taken; None where there is no slot.

        Raises:
            SourceError: The slot is another plug-in's or another database's, or the server gave up what it held.
        """
        found = self._all("SELECT plugin, database = current_database(), confirmed_flush_lsn::text, wal_status FROM pg_replication_slots WHERE slot_name = :s", s=slot)
        if not found:
            return None
        plugin, here, lsn, status = found[0]
        if plugin != "pgoutput" or not here:
            whose = f"of plug-in {plugin}" if plugin != "pgoutput" else "of another database"
            raise SourceError(f"the slot '{slot}' is {whose}", at=self.at, mend="give the source a slot of its own")
        if status == "lost":
            raise SourceError(
                f"the server has given up what the slot '{slot}' held: it was not read for too long", at=self.at,
                mend=f"SELECT pg_drop_replication_slot('{slot}'), raise max_slot_wal_keep_size, then kundig import: a new snapshot is taken and compared",
            )  # fmt: skip
        return lsn_number(lsn)

    def create(self, slot: str) -> int:
        """Make the slot; gives the place its changes begin at, when every transaction that was under way then has ended.

        Without that wait, one that stood in the log before this place but was not visible yet would be missed by slot and snapshot alike.

        Raises:
            SourceError: Such a transaction does not end.
        """
        import time

        lsn = lsn_number(self._one("SELECT lsn::text FROM pg_create_logical_replication_slot(:s, 'pgoutput')", s=slot))
        under_way = [row[0] for row in self._all("SELECT pg_snapshot_xip(pg_current_snapshot())::text")]
        for _ in range(SETTLED_WITHIN * 10):
            under_way = [xid for xid in under_way if self._one("SELECT pg_xact_status(CAST(:x AS xid8)) = 'in progress'", x=xid)]
            if not under_way:
                return lsn
            time.sleep(0.1)
        raise SourceError(f"{len(under_way)} transactions do not end", at=self.at, mend="end the sessions that are idle in transaction (pg_stat_activity), then kundig import")

    def advance(self, slot: str, lsn: int) -> None:
        """Tell the server that everything up to this place has landed."""
        self._all("SELECT pg_replication_slot_advance(:s, CAST(:l AS pg_lsn))", s=slot, l=lsn_text(lsn))

    def end_of_log(self) -> int:
        """The place up to which the log is on the server's disk."""
        return lsn_number(self._one("SELECT pg_current_wal_flush_lsn()::text"))

    def peek(self, slot: str, publication: str, *, upto: int, most: int) -> Generator[bytes, None, None]:
        """The messages that wait in the slot up to a place, whole transactions, until there are `most` of them; the slot stays where it is."""
        import sqlalchemy as sa

        sql = sa.text(
            "SELECT data FROM pg_logical_slot_peek_binary_changes(:s, CAST(:u AS pg_lsn), :n, 'proto_version', '1', 'publication_names', :p)"
        )
        with self.engine.connect() as connection:
            for statement in _SESSION:
                connection.exec_driver_sql(statement)
            rows = connection.execution_options(stream_results=True, max_row_buffer=2_000).execute(sql, {"s": slot, "u": lsn_text(upto), "n": most, "p": _quoted(publication)})
            for (data,) in rows:
                yield bytes(data)

    # rows

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """One state of the database for as long as the block lasts."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            for statement in _SESSION:
                connection.exec_driver_sql(statement)
            text, after = connection.exec_driver_sql("SELECT pg_current_snapshot()::text, pg_current_wal_insert_lsn()::text").fetchall()[0]
            yield Snapshot(text=text, after=lsn_number(after), connection=connection)
            connection.rollback()

    def rows(self, snapshot: Snapshot, publication: str, relation: Relation, columns: Sequence[str]) -> Iterator[tuple[str | None, ...]]:
        """A table's published rows in a snapshot, as texts."""
        _, condition = self.published(publication, relation.schema, relation.name)
        where = f" WHERE {condition}" if condition else ""
        shown = ", ".join(f"{_quoted(column)}::text" for column in columns)
        streaming = snapshot.connection.execution_options(stream_results=True, max_row_buffer=5_000)
        for row in streaming.exec_driver_sql(_plain(f"SELECT {shown} FROM {_quoted(relation.schema)}.{_quoted(relation.name)}{where}")):
            yield tuple(row)

    def now(self, relation: Relation, key: Mapping[str, str | None], columns: Sequence[str]) -> Mapping[str, str | None] | None:
        """The columns' texts of one row as it is now; None where it is gone."""
        shown = ", ".join(f"{_quoted(column)}::text" for column in columns)
        given = {column: value for column, value in key.items() if value is not None}
        tests = " AND ".join(f"{_plain(_quoted(column))} = %s" if column in given else f"{_plain(_quoted(column))} IS NULL" for column in key)
        sql = _plain(f"SELECT {shown} FROM {_quoted(relation.schema)}.{_quoted(relation.name)}")
        found = self.session.exec_driver_sql(f"{sql} WHERE {tests}", tuple(given.values())).fetchall()
        return dict(zip(columns, found[0], strict=True)) if len(found) == 1 else None


def _kind(category: str, name: str) -> str:
    return {"A": "list", "B": "bool"}.get(category) or {"json": "json", "jsonb": "json", "bpchar": "padded"}.get(name, "text")


def _plain(sql: str) -> str:
    """SQL in which a percent sign is one, and no place for a parameter."""
    return sql.replace("%", "%%")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def first_line(error: Any) -> str:
    """The first line of what the server said."""
    return str(error.orig or error).strip().splitlines()[0]
