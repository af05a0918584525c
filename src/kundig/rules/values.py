"""Tests of one value and conditions on one event, answered in plain Python; `columns` answers the same in an engine."""

from __future__ import annotations

import datetime as dt
import operator
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from kundig.rules.clauses import AllConditions, AnyCondition, Condition, NoCondition, Parameter, PropertyTests, Test
from kundig.rules.facts import as_number
from kundig.rules.windows import Calendar, bounded, local_day, midnight, shift_days, turning_points

POSITIVE_OF = {"is_not": "is", "not_in": "in"}
"""Negative tests and the positive one each is exactly the opposite of."""

OPERATORS: dict[str, tuple[str, ...]] = {
    "text": ("is", "is_not", "in", "not_in", "contains", "starts_with", "ends_with", "exists"),
    "number": ("is", "is_not", "in", "not_in", "at_least", "at_most", "more_than", "less_than", "between", "exists"),
    "boolean": ("is", "is_not", "exists"),
    "time": ("within", "exists"),
    "date": ("is", "is_not", "in", "not_in", "within", "anniversary", "exists"),
    "list": ("includes", "includes_any", "includes_all", "exists"),
}
"""The tests that fit each type; texts and lists also know `exact`."""

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "at_least": operator.ge,
    "at_most": operator.le,
    "more_than": operator.gt,
    "less_than": operator.lt,
    "is": operator.eq,
}


def fold(text: str) -> str:
    """The text without regard to case, the same in Python and in every engine; ä, ae and a stay different.

    Examples:
        >>> fold("STRASSE") == fold("Straße"), fold("İzmir"), fold("ΟΔΟΣ") == fold("οδος"), fold("Köln") == fold("Koln")
        (True, 'izmir', True, False)
    """
    return text.replace("İ", "i").lower().replace("ß", "ss").replace("ς", "σ")


def as_landed(text: str) -> str | None:
    """A text as landing keeps it: composed (NFC) and trimmed; empty text is missing.

    Examples:
        >>> as_landed("  Ko\\u0308ln ") == "Köln", as_landed("  ")
        (True, None)
    """
    return unicodedata.normalize("NFC", text).strip() or None


def negative(test: Test) -> bool:
    """Whether a missing value passes."""
    return test.operator in POSITIVE_OF or (test.operator == "exists" and test.value is False)


def positive_of(test: Test) -> Test:
    """The test that a negative test is exactly the opposite of."""
    return Test(operator=POSITIVE_OF[test.operator], value=test.value, type=test.type, exact=test.exact)


def passes(test: Test, value: Any, at: int, zone: str) -> bool:
    """Whether a value passes a test at a moment. A missing value (None, or what is no number) fails every positive test."""
    if test.operator in POSITIVE_OF:
        return not passes(positive_of(test), value, at, zone)
    if test.type == "number":
        value = as_number(value)
    if test.operator == "exists":
        return (value is not None) is test.value
    if value is None:
        return False
    return _ANSWERS[test.type](test, value, at, zone)


def _text_passes(test: Test, value: str, at: int, zone: str) -> bool:
    have, want = normal(test, value), normal(test, test.value)
    match test.operator:
        case "is":
            return bool(have == want)
        case "in":
            return have in want
        case "contains":
            return want in have
        case "starts_with":
            return bool(have.startswith(want))
        case _:
            return bool(have.endswith(want))


def _number_passes(test: Test, value: Decimal, at: int, zone: str) -> bool:
    return number_passes(test, value)


def number_passes(test: Test, number: Decimal | int) -> bool:
    """Whether a number passes a comparison; `between` includes both ends."""
    want: Any = test.value
    if test.operator == "in":
        return number in want
    if test.operator == "between":
        return bool(want[0] <= number <= want[1])
    return bool(COMPARISONS[test.operator](number, want))


def _boolean_passes(test: Test, value: bool, at: int, zone: str) -> bool:
    return value is test.value


def _time_passes(test: Test, value: int, at: int, zone: str) -> bool:
    low, high = bounded(moving(test), at, zone)
    return low <= value < high


def _date_passes(test: Test, value: dt.date, at: int, zone: str) -> bool:
    want: Any = test.value
    match test.operator:
        case "is":
            return bool(value == want)
        case "in":
            return value in want
        case "within":
            low, high = bounded(want, at, zone)
            return low <= midnight(value, zone) < high
        case _:
            return any(value.year < day.year and value.month * 100 + value.day in kept_on(day) for day in days_of(want, at, zone))


def _list_passes(test: Test, value: Any, at: int, zone: str) -> bool:
    have = {normal(test, item) for item in value if item is not None}
    found = [item in have for item in normal(test, test.value)]
    return all(found) if test.operator == "includes_all" else any(found)


_ANSWERS: dict[str, Callable[[Test, Any, int, str], bool]] = {
    "text": _text_passes,
    "number": _number_passes,
    "boolean": _boolean_passes,
    "time": _time_passes,
    "date": _date_passes,
    "list": _list_passes,
}


def normal(test: Test, value: Any) -> Any:
    """A text, or each of several, as the test compares it."""
    if isinstance(value, tuple):
        return tuple(normal(test, item) for item in value)
    return value if test.exact or not isinstance(value, str) else fold(value)


def moving(test: Test) -> Any:
    """The window of a `within` or `anniversary` test."""
    return test.value


def leap(year: int) -> bool:
    """Whether the year has a 29 February."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def kept_on(day: dt.date) -> tuple[int, ...]:
    """The month-days (month × 100 + day) whose anniversary is kept on a day: 29 February on the 28th in common years.

    Examples:
        >>> kept_on(dt.date(2026, 2, 28)), kept_on(dt.date(2028, 2, 28))
        ((228, 229), (228,))
    """
    key = day.month * 100 + day.day
    return (key, 229) if key == 228 and not leap(day.year) else (key,)


def anniversary_in(day: dt.date, year: int) -> dt.date:
    """The day on which a date's return is kept in a year."""
    return dt.date(year, 2, 28) if (day.month, day.day) == (2, 29) and not leap(year) else dt.date(year, day.month, day.day)


def days_of(window: Calendar, at: int, zone: str) -> tuple[dt.date, ...]:
    """The local days inside a window of days."""
    low, high = window.days(local_day(at, zone))
    return tuple(shift_days(low, number) for number in range((high - low).days))


def value_turning_points(test: Test, value: Any, at: int, zone: str) -> Iterator[int]:
    """The moments at which time alone may change whether a value passes."""
    if value is None or test.operator not in ("within", "anniversary"):
        return
    window = moving(test)
    if test.operator == "within":
        yield from turning_points(window, midnight(value, zone) if test.type == "date" else value, zone)
        return
    this_year = local_day(at, zone).year
    for year in range(max(this_year - 1, value.year + 1), this_year + 4):
        day = anniversary_in(value, year)
        yield midnight(shift_days(day, -window.shift), zone)
        yield midnight(shift_days(day, window.number - window.shift), zone)


def fulfils(condition: Condition | None, properties: Mapping[str, Any], at: int, zone: str) -> bool:
    """Whether an event's properties fulfil a condition at a moment."""
    match condition:
        case None:
            return True
        case PropertyTests():
            return all(passes(test, properties.get(condition.name), at, zone) for test in condition.tests)
        case AllConditions():
            return all(fulfils(part, properties, at, zone) for part in condition.parts)
        case AnyCondition():
            return any(fulfils(part, properties, at, zone) for part in condition.parts)
        case NoCondition():
            return not fulfils(condition.part, properties, at, zone)


def condition_turning_points(condition: Condition | None, properties: Mapping[str, Any], at: int, zone: str) -> Iterator[int]:
    """The moments at which time alone may change whether an event fulfils a condition."""
    match condition:
        case None:
            return
        case PropertyTests():
            for test in condition.tests:
                yield from value_turning_points(test, properties.get(condition.name), at, zone)
        case NoCondition():
            yield from condition_turning_points(condition.part, properties, at, zone)
        case _:
            for part in condition.parts:
                yield from condition_turning_points(part, properties, at, zone)


def parameters_in(test: Test) -> Iterator[str]:
    """The names of the parameters a test waits for."""
    for item in test.value if isinstance(test.value, tuple) else (test.value,):
        if isinstance(item, Parameter):
            yield item.name
