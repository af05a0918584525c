"""Purchase histories: purchase days of persons, and the few numbers of each that the models need."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kundig.clock import local_day
from kundig.errors import EstimateError, Fault, nearest

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
EPOCH = dt.date(1970, 1, 1)


def day_number(day: dt.date) -> int:
    """Days since 1970.

    Examples:
        >>> day_number(dt.date(1970, 1, 11))
        10
    """
    return (day - EPOCH).days


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What the models need of each person: first and last purchase day (days since 1970), number of purchase days, mean value of one."""

    first: Ints
    last: Ints
    count: Ints
    value: Floats

    def __len__(self) -> int:
        return len(self.first)

    def take(self, chosen: npt.NDArray[Any]) -> Summary:
        """These persons alone."""
        return Summary(first=self.first[chosen], last=self.last[chosen], count=self.count[chosen], value=self.value[chosen])


@dataclass(frozen=True, kw_only=True)
class Histories:
    """Purchase days, sorted by person and day: `person` (position in `persons`), `day` (since 1970) and net `value` of each."""

    persons: pa.Array
    person: Ints
    day: Ints
    value: Floats

    def __len__(self) -> int:
        return len(self.persons)

    def until(self, day: int) -> tuple[Ints, Summary]:
        """Persons who bought by the end of a day, and their summaries as of then."""
        kept = self.day <= day
        return _summary(self.person[kept], self.day[kept], self.value[kept])

    def bought(self, persons: Ints, after: int, until: int) -> tuple[Ints, Floats]:
        """Purchase days and their value of these persons in the days after one and up to another."""
        kept = (self.day > after) & (self.day <= until)
        counts = np.bincount(self.person[kept], minlength=len(self))[persons]
        worth = np.bincount(self.person[kept], self.value[kept], minlength=len(self)).astype(np.float64)
        return counts.astype(np.int64), worth[persons]

    def sample(self, most: int) -> Histories:
        """At most about so many persons, spread evenly over the keys: the same ones at every call."""
        stride = -(-len(self) // most)
        if stride <= 1:
            return self
        kept = self.person % stride == 0
        return Histories(persons=self.persons.take(pa.array(np.arange(0, len(self), stride))), person=self.person[kept] // stride, day=self.day[kept], value=self.value[kept])


def _summary(person: Ints, day: Ints, value: Floats) -> tuple[Ints, Summary]:
    starts = np.flatnonzero(np.r_[True, person[1:] != person[:-1]]) if len(person) else np.zeros(0, np.int64)
    counts = np.diff(np.r_[starts, len(person)])
    total = np.add.reduceat(value, starts) if len(starts) else np.zeros(0)
    ends = starts + counts - 1
    return person[starts], Summary(first=day[starts], last=day[ends], count=counts.astype(np.int64), value=total / np.maximum(counts, 1))


def purchase_days(persons: pa.Array, day: Ints, value: Floats, *, count_free: bool = False) -> Histories:
    """Histories of rows of any order: the rows of a person's day are one purchase, and a day whose sum is not above zero is none (a free one counts with `count_free`)."""
    encoded = persons.dictionary_encode()
    known = pc.sort_indices(encoded.dictionary)
    rank = np.empty(len(known), np.int64)
    rank[known.to_numpy()] = np.arange(len(known))
    person = rank[encoded.indices.to_numpy(zero_copy_only=False)] if len(persons) else np.zeros(0, np.int64)
    order = np.lexsort((day, person))
    person, day, value = person[order], day[order], value[order]
    if len(person):
        starts = np.flatnonzero(np.r_[True, (person[1:] != person[:-1]) | (day[1:] != day[:-1])])
        person, day, value = person[starts], day[starts], np.add.reduceat(value, starts)
    kept = value > (-1e-9 if count_free else 1e-9)
    person, day, value = person[kept], day[kept], value[kept]
    present = np.zeros(len(known), bool)
    present[person] = True
    place = np.cumsum(present) - 1
    names = encoded.dictionary.take(known).filter(pa.array(present))
    return Histories(persons=names, person=place[person] if len(person) else person, day=day, value=value)


COLUMNS = ("person_id", "ordered_at", "value")


def read(orders: Any, *, zone: str, as_of: dt.datetime | dt.date | None, count_free: bool = False) -> tuple[Histories, int]:
    """Histories of a data frame, Arrow or Ibis table up to a moment, and the day they end on.

    Rows without a person are guests and left out. Without `as_of` the histories end on the day of the last order.

    Raises:
        EstimateError: A column is missing or of another type, values are unknown, or amounts are of several currencies.
    """
    table = _arrow(orders)
    faults = [
        Fault(what=f"column '{name}' is missing", at="orders", mend=nearest(name, table.column_names)) for name in COLUMNS if name not in table.column_names
    ]
    if faults:
        raise EstimateError(faults=faults)
    table = table.filter(pc.is_valid(table["person_id"]))
    currencies = pc.unique(table["currency"]).to_pylist() if "currency" in table.column_names else []
    if len(currencies) > 1:
        raise EstimateError(f"amounts are in {len(currencies)} currencies: {', '.join(map(str, currencies[:5]))}", at="orders, currency", mend="convert them to one, then leave the column out")
    moments, values = _moments(table["ordered_at"]), _values(table["value"])
    if as_of is not None:
        known = _known_by(moments, as_of, zone)
        table, moments, values = table.filter(known), moments.filter(known), values[known.to_numpy(zero_copy_only=False)]
    days = _days(moments, zone)
    found = purchase_days(table["person_id"].combine_chunks(), days, values, count_free=count_free)
    end = day_number(_as_day(as_of, zone)) if as_of is not None else (int(days.max()) if len(days) else 0)
    return found, end


def _arrow(orders: Any) -> pa.Table:
    if isinstance(orders, pa.Table):
        return orders
    if hasattr(orders, "to_pyarrow"):
        return orders.to_pyarrow()
    if hasattr(orders, "columns") and hasattr(orders, "dtypes"):
        return pa.Table.from_pandas(orders, preserve_index=False)
    raise EstimateError(f"orders are a {type(orders).__name__}", at="orders", mend="give a data frame, an Arrow table or an Ibis table")


def _moments(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        try:
            array = array.cast(pa.timestamp("us"))
        except pa.ArrowInvalid as error:
            raise EstimateError(f"a moment cannot be read: {error}", at="orders, ordered_at", mend="give timestamps, dates, or ISO text such as 2026-03-29T21:30:00") from error
    if not (pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)):
        raise EstimateError(f"moments are of type {array.type}", at="orders, ordered_at", mend="give timestamps or dates")
    if array.null_count:
        raise EstimateError(f"{array.null_count} orders have no moment", at="orders, ordered_at", mend="leave these rows out, or find when they were")
    return array


def _values(column: pa.ChunkedArray) -> Floats:
    try:
        values: Floats = column.cast(pa.float64(), safe=False).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise EstimateError(f"amounts are of type {column.type}", at="orders, value", mend="give numbers") from error
    unknown = int(np.sum(~np.isfinite(values)))
    if unknown:
        raise EstimateError(f"{unknown} orders have no finite amount", at="orders, value", mend="leave these rows out, or give their net value")
    return values


def _days(moments: pa.Array, zone: str) -> Ints:
    if pa.types.is_timestamp(moments.type):
        if moments.type.tz is not None:
            moments = pc.local_timestamp(moments.cast(pa.timestamp("us", tz=zone)))
        moments = pc.floor_temporal(moments, unit="day")
    return np.asarray(moments.cast(pa.date32()).cast(pa.int32()).to_numpy(zero_copy_only=False), dtype=np.int64)


def _as_day(as_of: dt.datetime | dt.date, zone: str) -> dt.date:
    if isinstance(as_of, dt.datetime):
        return local_day(as_of, zone) if as_of.tzinfo is not None else as_of.date()
    return as_of


def _known_by(moments: pa.Array, as_of: dt.datetime | dt.date, zone: str) -> pa.BooleanArray:
    """Rows not after a moment; a day counts to its end."""
    if not isinstance(as_of, dt.datetime) or pa.types.is_date(moments.type):
        return pa.array(_days(moments, zone) <= day_number(_as_day(as_of, zone)))
    if moments.type.tz is None:
        wall = as_of.astimezone(ZoneInfo(zone)).replace(tzinfo=None) if as_of.tzinfo is not None else as_of
        return pc.less_equal(moments.cast(pa.timestamp("us")), pa.scalar(wall, pa.timestamp("us")))
    aware = as_of if as_of.tzinfo is not None else as_of.replace(tzinfo=ZoneInfo(zone))
    return pc.less_equal(moments.cast(pa.timestamp("us", tz="UTC")), pa.scalar(aware.astimezone(dt.UTC), pa.timestamp("us", tz="UTC")))


def labels_of(orders: Any, column: str) -> dict[Any, str]:
    """The text that a column says of each person at the first order that says one: the channel of acquisition, a segment.

    Raises:
        EstimateError: The column is missing.
    """
    table = _arrow(orders)
    if column not in table.column_names:
        raise EstimateError(f"column '{column}' is missing", at="orders, group", mend=nearest(column, table.column_names))
    known = table.filter(pc.and_(pc.is_valid(table["person_id"]), pc.is_valid(table[column]))).sort_by("ordered_at")
    found: dict[Any, str] = {}
    for person, label in zip(known["person_id"].to_pylist(), known[column].to_pylist(), strict=True):
        found.setdefault(person, str(label))
    return found
