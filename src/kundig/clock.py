"""Time as one number: microseconds since 1970 in UTC, and local days by the workspace's zone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
SECOND = 1_000_000
DAY = 86_400 * SECOND

Clock = Callable[[], dt.datetime]
"""What effects ask for the present moment; tests give their own."""


@cache
def time_zones() -> frozenset[str]:
    """The names of all time zones this machine knows."""
    return frozenset(available_timezones())


def now() -> dt.datetime:
    """The present moment, in UTC, to the microsecond."""
    return dt.datetime.now(dt.UTC)


def micros(moment: dt.datetime) -> int:
    """Microseconds since 1970, UTC, exact.

    Raises:
        ValueError: The moment has no time zone: nobody can know when it was.

    Examples:
        >>> micros(dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC))
        1000000
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    delta = moment - EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds


def instant(value: int) -> dt.datetime:
    """The moment of so many microseconds since 1970, in UTC.

    Examples:
        >>> instant(1_000_000).isoformat()
        '1970-01-01T00:00:01+00:00'
    """
    return EPOCH + dt.timedelta(microseconds=value)


def local_day(moment: dt.datetime, zone: str) -> dt.date:
    """The calendar day of a moment in a zone: 23:30 in Berlin belongs to that day, whatever UTC says.

    Examples:
        >>> local_day(dt.datetime(2026, 3, 29, 21, 30, tzinfo=dt.UTC), "Europe/Berlin").isoformat()
        '2026-03-29'
    """
    return moment.astimezone(ZoneInfo(zone)).date()


def midnight(day: dt.date, zone: str) -> dt.datetime:
    """The first instant of a local day, in UTC; where a clock change swallows midnight, the first one that exists.

    Examples:
        >>> midnight(dt.date(2026, 3, 29), "Europe/Berlin").isoformat()
        '2026-03-28T23:00:00+00:00'
        >>> midnight(dt.date(2018, 11, 4), "America/Sao_Paulo").isoformat()
        '2018-11-04T03:00:00+00:00'
    """
    local = dt.datetime.combine(day, dt.time(), ZoneInfo(zone))
    candidate = local.astimezone(dt.UTC)
    if local_day(candidate, zone) < day:  # midnight does not exist: the gap's end is the day's first instant
        low, high = micros(candidate), micros(candidate) + 3 * 3_600 * SECOND
        while high - low > 1:
            middle = (low + high) // 2
            if local_day(instant(middle), zone) < day:
                low = middle
            else:
                high = middle
        return instant(high)
    return candidate
