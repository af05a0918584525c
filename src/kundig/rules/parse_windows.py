"""Reading windows: `7 days`, `{from, to}`, `{calendar, shift}`, `{start, end}`, `{next}` and `{after, for}`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from kundig.rules.clauses import Events
from kundig.rules.grammar import CALENDAR, ELAPSED, WINDOW_FORMS
from kundig.rules.parse_values import ValueReader
from kundig.rules.windows import FOREVER, Absolute, After, Ahead, Calendar, Rolling, Span, Window, whole_days


class WindowReader(ValueReader):
    """Reads the windows of events, times and dates."""

    @abstractmethod
    def events(self, names: Any, where: Any, at: str, *, where_at: str = "") -> Events | None:
        """Which events are meant; read by the reader of events."""

    def window(self, given: Any, at: str, type: str = "event") -> Any:
        """A window for events, times or dates; None when something is wrong with it."""
        if isinstance(given, str):
            given = {"last": given}
        if not isinstance(given, Mapping) or not given:
            self.fault(at, f"{given!r} is no window", "write a duration such as 30 days, or a mapping: " + WINDOW_FORMS)
            return None
        found = self._form(given, at, type)
        if found is None or type != "date" or isinstance(found, After):
            return found
        try:
            return whole_days(found)
        except ValueError as error:
            what, _, mend = str(error).partition("; ")
            self.fault(at, what, mend or "see the windows of dates in docs/rules.md")
            return None

    def event_window(self, rest: Mapping[str, Any], at: str, default: Window) -> Window | None:
        """The clause's `within`, or the default."""
        found: Window | None = self.window(rest["within"], f"{at}.within") if "within" in rest else default
        return found

    def _form(self, given: Mapping[str, Any], at: str, type: str) -> Window | None:
        keys = set(given)
        if keys == {"last"} or keys <= {"from", "to"}:
            return self._rolling(given, at)
        if keys == {"next"}:
            return self._ahead(given["next"], at, type)
        if "calendar" in keys and keys <= {"calendar", "shift"}:
            return self._calendar(given, at, type)
        if keys <= {"start", "end"}:
            return self.absolute(given, at)
        if "after" in keys and keys <= {"after", "for"}:
            return self._after(given, at, type)
        self.fault(at, f"{sorted(map(str, keys))} is no window", "use one of " + WINDOW_FORMS)
        return None

    def _rolling(self, given: Mapping[str, Any], at: str) -> Rolling | None:
        faults = len(self.faults)
        first = "last" if "last" in given else "from"
        start = self.span(given[first], f"{at}.{first}") if first in given else None
        end = self.span(given["to"], f"{at}.to") if "to" in given else None
        if len(self.faults) > faults:
            return None
        if start is not None and end is not None and not _earlier(start, end):
            self.fault(
                at, f"`from` ({given['from']}) must be longer ago than `to` ({given['to']})", "give both in days or both in months, the longer one as `from`"
            )
            return None
        return Rolling(start=start, end=end)

    def _ahead(self, given: Any, at: str, type: str) -> Ahead | None:
        if type == "event":
            self.fault(f"{at}.next", "an event never lies in the future", "`next` is for times and dates")
            return None
        span = self.span(given, f"{at}.next")
        return None if span is None else Ahead(span=span)

    def _calendar(self, given: Mapping[str, Any], at: str, type: str) -> Calendar | None:
        span, shift = self.span(given["calendar"], f"{at}.calendar", CALENDAR), given.get("shift", 0)
        if isinstance(shift, bool) or not isinstance(shift, int) or abs(shift) > 10_000:
            self.fault(f"{at}.shift", f"{shift!r} is no number of units", "write -1 for the unit before this one")
            return None
        if type == "event" and shift > 0:
            self.fault(f"{at}.shift", "an event never lies in the future", "a positive shift is for times and dates")
            return None
        return None if span is None else Calendar(number=span.number, unit=span.unit, shift=shift)

    def absolute(self, given: Mapping[str, Any], at: str) -> Absolute | None:
        """A window between two instants."""
        faults = len(self.faults)
        start = self.instant(given["start"], f"{at}.start") if "start" in given else -FOREVER
        end = self.instant(given["end"], f"{at}.end") if "end" in given else FOREVER
        if start is None or end is None or len(self.faults) > faults:
            return None
        if start >= end:
            self.fault(at, f"`start` ({given.get('start')}) must lie before `end` ({given.get('end')})", "exchange them; `end` itself is outside")
            return None
        return Absolute(start=start, end=end)

    def _after(self, given: Mapping[str, Any], at: str, type: str) -> After | None:
        if type != "event":
            self.fault(f"{at}.after", "`after` is for events", "use last, from/to, next, calendar/shift or start/end")
            return None
        anchor, where = given["after"], f"{at}.after"
        which = [word for word in ("first", "last") if isinstance(anchor, Mapping) and word in anchor]
        if len(which) != 1 or set(anchor) - {"first", "last", "where"}:
            self.fault(where, "an anchor names one of `first` or `last`, and may have `where`", "write {after: {last: cart_updated}, for: 1 hour}")
            return None
        events = self.events(anchor[which[0]], anchor.get("where"), f"{where}.{which[0]}", where_at=f"{where}.where")
        span = self.span(given["for"], f"{at}.for", ELAPSED) if "for" in given else None
        if events is None or ("for" in given and span is None):
            return None
        return After(which=which[0], anchor=events, span=span)


def _earlier(start: Span, end: Span) -> bool:
    if start.fixed is not end.fixed:
        return False
    return start.micros > end.micros if start.fixed else start.months > end.months


def together(near: Span, far: Span) -> Span | None:
    """Two spans, one after the other; None when one is elapsed time and the other calendar time.

    Examples:
        >>> together(Span(30, "day"), Span(60, "day")), together(Span(1, "week"), Span(12, "hour")), together(Span(1, "day"), Span(1, "month"))
        (Span(number=90, unit='day'), Span(number=10800, unit='minute'), None)
    """
    if near.fixed is not far.fixed:
        return None
    if near.unit == far.unit:
        return Span(near.number + far.number, near.unit)
    if near.fixed:
        return Span((near.micros + far.micros) // 60_000_000, "minute")
    return Span(near.months + far.months, "month")
