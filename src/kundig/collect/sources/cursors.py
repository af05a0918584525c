"""Cursors: how far a source was read, kept in the commit that lands what was read; and the window behind the newest value that is read again."""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from kundig.collect.identifiers import literal
from kundig.config.fetching import Cursor, span
from kundig.errors import SourceError
from kundig.store import native
from kundig.store.lake import Upsert

if TYPE_CHECKING:
    from kundig.store import Lake
    from kundig.store.lake import Change

Value = dt.datetime | dt.date | int | decimal.Decimal | str
"""A value of a cursor: it can be compared with others of its kind."""

SEEN_MOST = 20_000
"""Hashes kept of rows behind a cursor. A row whose hash is forgotten is read again and left out at landing, by its key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """How far a place was read: the position as JSON, and hashes of the rows behind it that were read."""

    cursor_id: str
    source: str
    position: str
    seen: tuple[str, ...] = ()
    batch_id: str = ""


def known(lake: Lake, source: str) -> dict[str, Mark]:
    """The marks of a source, by their id."""
    sql = f"SELECT cursor_id, position, seen, batch_id FROM {lake.scan('source_cursors')} WHERE source = {literal(source)}"
    found = native(lake.duck).execute(sql).fetchall()
    return {row[0]: Mark(cursor_id=row[0], source=source, position=row[1], seen=tuple(row[2] or ()), batch_id=row[3]) for row in found}


def moved(marks: Sequence[Mark], batch: str, now: dt.datetime) -> list[Change]:
    """The change that keeps the marks; none where there are none."""
    if not marks:
        return []
    rows = pa.table(
        {
            "cursor_id": pa.array([mark.cursor_id for mark in marks], pa.string()), "source": pa.array([mark.source for mark in marks], pa.string()),
            "position": pa.array([mark.position for mark in marks], pa.string()), "seen": pa.array([list(mark.seen) for mark in marks], pa.list_(pa.string())),
            "moved_at": pa.array([now.astimezone(dt.UTC)] * len(marks), pa.timestamp("us", tz="UTC")), "batch_id": pa.array([batch] * len(marks), pa.string()),
        }
    )  # fmt: skip
    return [Upsert(table="source_cursors", column="cursor_id", keys=rows["cursor_id"].combine_chunks(), source=rows)]


def move(lake: Lake, marks: Sequence[Mark], batch: str, now: dt.datetime) -> None:
    """Keep marks of rows that had landed before in other files, so that they are not fetched again."""
    changes = moved(marks, batch, now)
    if changes:
        lake.commit(changes, message="cursor")


def is_after(value: Any, other: Any) -> bool:
    """Whether one value of a cursor comes after another.

    Raises:
        TypeError: They are of two kinds.
    """
    return bool(value > other)


def hashed(line: bytes) -> str:
    """The hash that a row is known by."""
    return hashlib.blake2b(line, digest_size=8).hexdigest()


@dataclass(kw_only=True)
class Window:
    """What a read of one place has seen: the newest value, and the hashes of the rows that the next read will bring again."""

    cursor: Cursor
    at: str
    """Where the cursor is declared, for messages."""
    mark: Mark | None = None
    newest: Value | None = None
    _before: frozenset[str] = frozenset()
    _seen: dict[str, Value | None] = field(default_factory=dict)
    _low: Value | None = None

    def __post_init__(self) -> None:
        if self.mark is not None:
            self._before = frozenset(self.mark.seen)
            self._rise(decoded(self.mark.position))

    @property
    def since(self) -> Value | None:
        """Where the read begins: the overlap behind the newest value of the last one; None for everything."""
        if self.newest is None:
            return parsed(self.cursor.start) if self.cursor.start else None
        return self._low

    def is_fresh(self, digest: str) -> bool:
        """Whether no earlier read has brought this row."""
        return digest not in self._before

    def note(self, value: Value | None, digest: str) -> None:
        """Remember a row that was read.

        Raises:
            SourceError: The cursor's values are of two kinds, or not of the overlap's.
        """
        if value is not None:
            try:
                risen = self.newest is None or is_after(value, self.newest)
            except TypeError as error:
                what = f"the cursor '{self.cursor.field}' holds values that cannot be compared: {self.newest!r} and {value!r}"
                raise SourceError(what, at=self.at, mend="take a column of one kind as cursor") from error
            if risen:
                self._rise(value)
            elif is_after(self._low, value):
                return
        self._seen[digest] = value
        if len(self._seen) > 4 * SEEN_MOST:
            self._forget()

    def moved(self, cursor_id: str, source: str) -> tuple[Mark, ...]:
        """The mark to keep with the rows read up to now."""
        self._forget()
        if self.newest is None:
            return ()
        return (Mark(cursor_id=cursor_id, source=source, position=encoded(self.newest), seen=tuple(sorted(self._seen))[:SEEN_MOST]),)

    def _rise(self, value: Value) -> None:
        self.newest = value
        try:
            self._low = lowered(value, self.cursor.overlap)
        except ValueError as error:
            raise SourceError(str(error), at=self.at, mend="write the overlap as a length of time for moments, as a number for a cursor that counts") from error

    def _forget(self) -> None:
        low = self._low
        kept = {digest: value for digest, value in self._seen.items() if value is None or low is None or value >= low}  # type: ignore[operator]  # values of one cursor are of one type
        self._seen = kept if len(kept) <= 4 * SEEN_MOST else {}


def lowered(value: Value, overlap: str) -> Value:
    """The value an overlap behind this one; without one 10 minutes, a day for a date, 1000 for a number.

    A text that is written like a moment stays written so; another text goes back to itself.

    Examples:
        >>> lowered(5_000, ""), lowered("2026-11-01T12:00:00Z", "1 hour"), lowered("abc", "")
        (4000, '2026-11-01T11:00:00Z', 'abc')

    Raises:
        ValueError: A length of time is no overlap of a number, nor a count one of a moment.
    """
    given = span(overlap) if overlap else None
    if isinstance(value, str):
        read = moment(value)
        if read is None:
            if given:
                raise ValueError(f"the cursor holds texts such as '{value}', which have no overlap '{overlap}'")
            return value
        back = lowered(read, overlap)
        if len(value) == 10:
            return str(back)[:10]
        assert isinstance(back, dt.datetime)
        return back.isoformat(sep="T" if "T" in value else " ").replace("+00:00", "Z" if value.endswith("Z") else "+00:00")
    if isinstance(value, dt.date):
        if isinstance(given, int) and given:
            raise ValueError(f"the overlap '{overlap}' counts, and the cursor holds moments such as {value}")
        if isinstance(value, dt.datetime):
            return value - (given if isinstance(given, dt.timedelta) else dt.timedelta(0) if given == 0 else dt.timedelta(minutes=10))
        days = given.days + bool(given.seconds) if isinstance(given, dt.timedelta) else 0 if given == 0 else 1
        return value - dt.timedelta(days=days)
    if isinstance(given, dt.timedelta):
        raise ValueError(f"the overlap '{overlap}' is a length of time, and the cursor counts: {value}")
    return value - (1_000 if given is None else given)


def moment(text: str) -> dt.datetime | None:
    """The text as a moment or day in ISO form, else None."""
    if len(text) < 10 or text[4] != "-":
        return None
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return None


def parsed(text: str) -> Value:
    """A value as a mapping file writes it: a number, a moment, a day, or a text.

    Examples:
        >>> parsed("42"), parsed("2026-11-01"), parsed("2026-11-01T10:00")
        (42, datetime.date(2026, 11, 1), datetime.datetime(2026, 11, 1, 10, 0))
    """
    if text.lstrip("-").isdigit():
        return int(text)
    read = moment(text)
    return text if read is None else read.date() if len(text) == 10 else read


def encoded(value: Value) -> str:
    """A value as JSON that says its kind.

    Examples:
        >>> encoded(42), decoded(encoded(dt.date(2026, 11, 1)))
        ('{"number": "42"}', datetime.date(2026, 11, 1))
    """
    kind = {dt.datetime: "moment", dt.date: "day", str: "text"}.get(type(value), "number")
    return json.dumps({kind: value.isoformat() if isinstance(value, dt.date) else str(value)})


def decoded(text: str) -> Value:
    """The value that `encoded` wrote."""
    ((kind, value),) = json.loads(text).items()
    if kind == "moment":
        return dt.datetime.fromisoformat(value)
    if kind == "day":
        return dt.date.fromisoformat(value)
    if kind == "text":
        return str(value)
    number = decimal.Decimal(value)
    return int(number) if number == number.to_integral_value() else number
