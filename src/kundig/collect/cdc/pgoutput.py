"""PostgreSQL's logical replication messages (plug-in `pgoutput`, protocol version 1), decoded.

Layouts: PostgreSQL's documentation, "Logical Replication Message Formats". Numbers are big-endian, texts end with a zero byte, moments are
microseconds since 2000-01-01.
"""

from __future__ import annotations

import datetime as dt
import struct
from dataclasses import dataclass
from typing import Any, Final, Literal

from kundig.errors import SourceError

_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


class Unchanged:
    """The value of a column that was stored apart (TOAST) and did not change: it is not sent."""

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = Unchanged()
Value = str | None | Unchanged
Row = tuple[Value, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Begin:
    """A transaction begins; it committed at `lsn`, and `xid` are the low 32 bits of its number."""

    lsn: int
    committed_at: dt.datetime
    xid: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """A transaction ends; `end` is where the log goes on behind it."""

    lsn: int
    end: int
    committed_at: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnOf:
    """A column of a relation: whether it is part of the replica identity, its name, and the oid of its type."""

    key: bool
    name: str
    type: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Relation:
    """A table as its next rows are written; sent before the first of them and after each change of its columns."""

    oid: int
    schema: str
    name: str
    identity: str
    columns: tuple[ColumnOf, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TypeOf:
    """A type that is not built in."""

    oid: int
    schema: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Insert:
    """A new row."""

    relation: int
    new: Row


@dataclass(frozen=True, kw_only=True, slots=True)
class Update:
    """A changed row; `old` is there where the replica identity changed (`K`: its columns alone), or is the whole row (`O`)."""

    relation: int
    old: Row | None
    kind: Literal["", "K", "O"]
    new: Row


@dataclass(frozen=True, kw_only=True, slots=True)
class Delete:
    """A row that is gone: the columns of its replica identity (`K`), or all of it (`O`)."""

    relation: int
    old: Row
    kind: Literal["K", "O"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Truncate:
    """Tables emptied at once."""

    relations: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Other:
    """An origin or a message of an application: nothing that changes a row."""

    tag: str


Message = Begin | Commit | Relation | TypeOf | Insert | Update | Delete | Truncate | Other


def lsn_text(lsn: int) -> str:
    """A place in the log as PostgreSQL writes it.

    Examples:
        >>> lsn_text(0x16_B374D848), hex(lsn_number("16/B374D848"))
        ('16/B374D848', '0x16b374d848')
    """
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def lsn_number(text: str) -> int:
    """A place in the log as a number, which can be compared."""
    high, _, low = text.partition("/")
    return int(high, 16) << 32 | int(low, 16)


def decode(data: bytes) -> Message:
    """The message that these bytes are.

    Raises:
        SourceError: They are none that is known, or end too early.

    Examples:
        >>> decode(b"T" + bytes([0, 0, 0, 1, 0, 0, 0, 64, 9]))
        Truncate(relations=(16393,))
    """
    cursor = _Cursor(data=bytes(data), place=1)
    tag = chr(data[0]) if data else ""
    try:
        return _decoded(tag, cursor)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise SourceError(f"a replication message '{tag}' of {len(data)} bytes cannot be read: {error}", at="pgoutput", mend="use a server of PostgreSQL 10 or newer") from error


def _decoded(tag: str, cursor: _Cursor) -> Message:
    match tag:
        case "B":
            lsn, moment, xid = cursor.take(">QqI")
            return Begin(lsn=lsn, committed_at=_moment(moment), xid=xid)
        case "C":
            _, lsn, end, moment = cursor.take(">BQQq")
            return Commit(lsn=lsn, end=end, committed_at=_moment(moment))
        case "R":
            return _relation(cursor)
        case "Y":
            (oid,) = cursor.take(">I")
            return TypeOf(oid=oid, schema=cursor.text(), name=cursor.text())
        case "I":
            relation, mark = cursor.take(">Ic")
            _demand(mark in (b"N",), mark)
            return Insert(relation=relation, new=cursor.row())
        case "U":
            relation, mark = cursor.take(">Ic")
            _demand(mark in (b"K", b"O", b"N"), mark)
            if mark == b"N":
                return Update(relation=relation, old=None, kind="", new=cursor.row())
            old = cursor.row()
            (then,) = cursor.take(">c")
            _demand(then == b"N", then)
            return Update(relation=relation, old=old, kind="K" if mark == b"K" else "O", new=cursor.row())
        case "D":
            relation, mark = cursor.take(">Ic")
            _demand(mark in (b"K", b"O"), mark)
            return Delete(relation=relation, old=cursor.row(), kind="K" if mark == b"K" else "O")
        case "T":
            count, _ = cursor.take(">IB")
            return Truncate(relations=cursor.take(f">{count}I"))
        case "O" | "M":
            return Other(tag=tag)
    raise ValueError("it is of no kind that is known")


def _demand(right: bool, mark: bytes) -> None:
    if not right:
        raise ValueError(f"unexpected mark {mark!r}")


def _moment(micros: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=micros)


def _relation(cursor: _Cursor) -> Relation:
    (oid,) = cursor.take(">I")
    schema, name = cursor.text(), cursor.text()
    identity, count = cursor.take(">cH")
    columns = []
    for _ in range(count):
        (flags,) = cursor.take(">B")
        column = cursor.text()
        type, _modifier = cursor.take(">Ii")
        columns.append(ColumnOf(key=bool(flags & 1), name=column, type=type))
    return Relation(oid=oid, schema=schema or "pg_catalog", name=name, identity=identity.decode(), columns=tuple(columns))


@dataclass(slots=True)
class _Cursor:
    """A place in a message that moves on."""

    data: bytes
    place: int

    def take(self, form: str) -> Any:
        found = struct.unpack_from(form, self.data, self.place)
        self.place += struct.calcsize(form)
        return found

    def text(self) -> str:
        end = self.data.index(0, self.place)
        found = self.data[self.place : end].decode()
        self.place = end + 1
        return found

    def row(self) -> Row:
        (count,) = struct.unpack_from(">H", self.data, self.place)
        self.place += 2
        return tuple(self._value() for _ in range(count))

    def _value(self) -> Value:
        mark = self.data[self.place]
        self.place += 1
        if mark == 0x6E:  # n
            return None
        if mark == 0x75:  # u
            return UNCHANGED
        if mark != 0x74:  # t
            raise ValueError(f"unexpected value {chr(mark)!r}")
        (size,) = struct.unpack_from(">I", self.data, self.place)
        start = self.place + 4
        if start + size > len(self.data):
            raise ValueError("it ends in the middle of a value")
        self.place = start + size
        return self.data[start : self.place].decode()
