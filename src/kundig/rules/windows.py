"""Windows: half-open intervals of time, computed from the moment asked about and the workspace's zone.

A fact at `t` is inside a window as seen at `at` when `low <= t < high`. Seen the other way round, the same fact is inside from
`enter(t)` until before `leave(t)`: each fact enters once and leaves once. `bounds` decides answers, `enter` and `leave` say when
time alone changes them; the two are tested against each other.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from kundig.clock import SECOND, instant, micros
from kundig.clock import local_day as _local_day
from kundig.clock import midnight as _midnight

if TYPE_CHECKING:
    from kundig.rules.clauses import Events

UNITS: dict[str, int] = {"minute": 60 * SECOND, "hour": 3_600 * SECOND, "day": 86_400 * SECOND, "week": 7 * 86_400 * SECOND}
"""Units of elapsed time, in microseconds: a day is 24 hours, whatever the clock does."""
MONTHS: dict[str, int] = {"month": 1, "quarter": 3, "year": 12}
"""Units that are counted on the calendar, in months."""
DAY = UNITS["day"]
FOREVER = 2**62
"""Later than every instant that can be asked about; its negative is earlier than all."""
_FIRST, _LAST = dt.date(2, 1, 1), dt.date(9998, 12, 31)

Bounds = tuple[int, int]


@lru_cache(maxsize=65_536)
def midnight(day: dt.date, zone: str) -> int:
    """The first instant of a local day; days at the edge of the calendar are before or after everything."""
    if day < _FIRST:
        return -FOREVER
    return FOREVER if day > _LAST else micros(_midnight(day, zone))


@lru_cache(maxsize=65_536)
def local_day(at: int, zone: str) -> dt.date:
    """The calendar day of an instant in a zone."""
    return _local_day(instant(at), zone)


def shift_days(day: dt.date, days: int) -> dt.date:
    """That many days later; held at the edges of the calendar.

    Examples:
        >>> shift_days(dt.date(2026, 2, 28), 1).isoformat(), shift_days(dt.date(2026, 1, 1), -10**6).isoformat()
        ('2026-03-01', '0001-01-01')
    """
    return dt.date.fromordinal(min(max(day.toordinal() + days, 1), dt.date.max.toordinal()))


def shift_months(day: dt.date, months: int) -> dt.date:
    """That many months later, clamped to the end of the month.

    Examples:
        >>> shift_months(dt.date(2026, 3, 31), -1).isoformat(), shift_months(dt.date(2024, 2, 29), 12).isoformat()
        ('2026-02-28', '2025-02-28')
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if not 1 <= year < 9999:
        return dt.date.min if year < 1 else dt.date.max
    return dt.date(year, month + 1, min(day.day, _month_length(year, month + 1)))


def _month_length(year: int, month: int) -> int:
    following = dt.date(year + month // 12, month % 12 + 1, 1)
    return (following - dt.timedelta(days=1)).day


def unit_start(day: dt.date, unit: str, steps: int = 0) -> dt.date:
    """The first day of the calendar unit that holds `day`, moved by `steps` units; weeks begin on Monday.

    Examples:
        >>> unit_start(dt.date(2026, 5, 14), "quarter").isoformat(), unit_start(dt.date(2026, 3, 29), "week", 1).isoformat()
        ('2026-04-01', '2026-03-30')
    """
    if unit == "day":
        return shift_days(day, steps)
    if unit == "week":
        return shift_days(day, 7 * steps - day.weekday())
    size = MONTHS[unit]
    return shift_months(dt.date(day.year, (day.month - 1) // size * size + 1, 1), size * steps)


def first_day_beyond(day: dt.date, months: int) -> dt.date:
    """The first day whose day `months` months before lies after `day`."""
    found = shift_months(day, months)
    while shift_months(found, -months) > day:
        found = shift_days(found, -1)
    while shift_months(found, -months) <= day and found < _LAST:
        found = shift_days(found, 1)
    return found


@dataclass(frozen=True, slots=True)
class Span:
    """A duration as it was written: a number and a unit."""

    number: int
    unit: str

    @property
    def fixed(self) -> bool:
        """Whether it is elapsed time; months, quarters and years are counted on the calendar."""
        return self.unit in UNITS

    @property
    def micros(self) -> int:
        """Its length in microseconds, for elapsed time."""
        return self.number * UNITS[self.unit]

    @property
    def months(self) -> int:
        """Its length in months, for calendar time."""
        return self.number * MONTHS[self.unit]

    @property
    def days(self) -> int:
        """Its length in whole days, for days and weeks."""
        return self.micros // DAY


@dataclass(frozen=True, kw_only=True, slots=True)
class Rolling:
    """Back from the present: `at - start < t <= at - end`; months count whole local days."""

    start: Span | None = None
    end: Span | None = None

    def bounds(self, at: int, zone: str) -> Bounds:
        """The instants `low <= t < high` that are inside."""
        low = -FOREVER if self.start is None else self._edge(self.start, at, zone)
        high = at + 1 if self.end is None else self._edge(self.end, at, zone)
        return low, high

    def enter(self, t: int, zone: str) -> int:
        """The first moment at which a fact at `t` is inside."""
        return t if self.end is None else self._passed(self.end, t, zone)

    def leave(self, t: int, zone: str) -> int:
        """The first moment at which it is no longer inside."""
        return FOREVER if self.start is None else self._passed(self.start, t, zone)

    @staticmethod
    def _edge(span: Span, at: int, zone: str) -> int:
        return at - span.micros + 1 if span.fixed else midnight(shift_months(local_day(at, zone), -span.months), zone)

    @staticmethod
    def _passed(span: Span, t: int, zone: str) -> int:
        return t + span.micros if span.fixed else midnight(first_day_beyond(local_day(t, zone), span.months), zone)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ahead:
    """The next while: `at < t <= at + span`; months reach to the end of the local day."""

    span: Span

    def bounds(self, at: int, zone: str) -> Bounds:
        """The instants `low <= t < high` that are inside."""
        if self.span.fixed:
            return at + 1, at + self.span.micros + 1
        last = shift_months(local_day(at, zone), self.span.months)
        return at + 1, midnight(shift_days(last, 1), zone)

    def enter(self, t: int, zone: str) -> int:
        """The first moment at which a fact at `t` is inside."""
        if self.span.fixed:
            return t - self.span.micros
        day = local_day(t, zone)
        found = shift_months(day, -self.span.months)
        while shift_months(found, self.span.months) >= day and found > dt.date.min:
            found = shift_days(found, -1)
        while shift_months(found, self.span.months) < day:
            found = shift_days(found, 1)
        return midnight(found, zone)

    def leave(self, t: int, zone: str) -> int:
        """The first moment at which it is no longer inside."""
        return t


@dataclass(frozen=True, kw_only=True, slots=True)
class Calendar:
    """`number` whole calendar units of the zone; the last of them is the present unit moved by `shift`."""

    number: int
    unit: str
    shift: int = 0

    def bounds(self, at: int, zone: str) -> Bounds:
        """The instants `low <= t < high` that are inside."""
        low, high = self.days(local_day(at, zone))
        return midnight(low, zone), midnight(high, zone)

    def days(self, today: dt.date) -> tuple[dt.date, dt.date]:
        """The first day inside, and the first one after it, as seen on `today`."""
        return unit_start(today, self.unit, self.shift - self.number + 1), unit_start(today, self.unit, self.shift + 1)

    def enter(self, t: int, zone: str) -> int:
        """The first moment at which a fact at `t` is inside."""
        return midnight(unit_start(local_day(t, zone), self.unit, -self.shift), zone)

    def leave(self, t: int, zone: str) -> int:
        """The first moment at which it is no longer inside."""
        return midnight(unit_start(local_day(t, zone), self.unit, self.number - self.shift), zone)


@dataclass(frozen=True, kw_only=True, slots=True)
class Absolute:
    """Between two instants that do not move: `start <= t < end`."""

    start: int = -FOREVER
    end: int = FOREVER

    def bounds(self, at: int, zone: str) -> Bounds:
        """The instants `low <= t < high` that are inside."""
        return self.start, self.end

    def enter(self, t: int, zone: str) -> int:
        """Before everything: what is inside was always inside."""
        return -FOREVER if self.start <= t < self.end else FOREVER

    def leave(self, t: int, zone: str) -> int:
        """After everything: what is inside stays inside."""
        return FOREVER


@dataclass(frozen=True, kw_only=True, slots=True)
class Until:
    """For dates: at least so many days old."""

    days: int

    def bounds(self, at: int, zone: str) -> Bounds:
        """The instants `low <= t < high` that are inside."""
        return -FOREVER, midnight(shift_days(local_day(at, zone), 1 - self.days), zone)

    def enter(self, t: int, zone: str) -> int:
        """The first moment at which a fact at `t` is inside."""
        return midnight(shift_days(local_day(t, zone), self.days), zone)

    def leave(self, t: int, zone: str) -> int:
        """Never: what is old stays old."""
        return FOREVER


@dataclass(frozen=True, kw_only=True, slots=True)
class After:
    """After the first or last event that matches `anchor`, whose own instant is outside; for at most `span`."""

    which: str
    anchor: Events
    span: Span | None = None

    def bounds_from(self, anchor: int) -> Bounds:
        """The instants `low <= t < high` that are inside, once the anchor is known."""
        return anchor + 1, FOREVER if self.span is None else anchor + self.span.micros + 1


Moving = Rolling | Ahead | Calendar | Absolute | Until
"""Windows whose bounds follow from the moment alone."""
Window = Moving | After

EVER = Absolute()


def bounded(window: Moving, at: int, zone: str) -> Bounds:
    """The window's bounds at `at`: the one place at which answers and engines learn of time."""
    return window.bounds(at, zone)


def turning_points(window: Window, t: int, zone: str) -> tuple[int, ...]:
    """The moments at which a fact at `t` happens, enters the window and leaves it."""
    if isinstance(window, After):
        return (t,)
    return tuple(moment for moment in (t, window.enter(t, zone), window.leave(t, zone)) if abs(moment) < FOREVER)


def whole_days(window: Moving) -> Moving:
    """The same window for dates, which have no time of day: `7 days` is today and the 6 days before.

    Raises:
        ValueError: Dates have no hours, and their months ahead are written as calendar units.
    """
    if isinstance(window, Ahead):
        if window.span.unit in ("minute", "hour"):
            raise ValueError("a date has no hours; count days")
        if not window.span.fixed:
            raise ValueError("months ahead of a date are written {calendar: 1 month, shift: 1}")
        return Calendar(number=window.span.days, unit="day", shift=window.span.days - 1)
    if not isinstance(window, Rolling):
        return window
    if any(span is not None and span.unit in ("minute", "hour") for span in (window.start, window.end)):
        raise ValueError("a date has no hours; count days")
    to = window.end.days if window.end is not None and window.end.fixed else 0
    if window.start is not None and window.start.fixed:
        return Calendar(number=window.start.days - to, unit="day", shift=-to)
    if window.start is None and window.end is not None and window.end.fixed:
        return Until(days=to)
    return window
