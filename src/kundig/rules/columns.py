"""The tests of `values` as expressions over columns, in forms that every engine answers alike; each is true or false, never null."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import reduce
from typing import TYPE_CHECKING, Any

import ibis

from kundig.clock import instant
from kundig.rules.clauses import AllConditions, AnyCondition, Condition, NoCondition, PropertyTests, Test, ValueType
from kundig.rules.values import COMPARISONS, POSITIVE_OF, days_of, kept_on, moving, normal, positive_of
from kundig.rules.windows import FOREVER, Bounds, bounded, local_day, midnight, shift_days

if TYPE_CHECKING:
    import ibis.expr.types as ir

TIMESTAMP = "timestamp('UTC', 6)"
NUMBER = "decimal(18,4)"
SUM = "decimal(38,4)"
_ENGINE_TYPES: dict[str, str] = {"text": "string", "number": NUMBER, "boolean": "boolean", "date": "date"}

Column = Any
"""An Ibis value of whatever type; the expression library does not type its methods by column type."""


def stamp(at: int) -> Column:
    """An instant as a literal."""
    return ibis.literal(instant(at), type=TIMESTAMP)


def both(columns: Iterable[Column]) -> Column:
    """All of them; true if there are none."""
    found = list(columns)
    return reduce(lambda left, right: left & right, found) if found else ibis.literal(True)


def either(columns: Iterable[Column]) -> Column:
    """At least one of them; false if there are none."""
    found = list(columns)
    return reduce(lambda left, right: left | right, found) if found else ibis.literal(False)


def earliest(columns: Iterable[Column]) -> Column:
    """The least of several moments, missing ones left out."""
    found = list(columns)
    if not found:
        return ibis.null(TIMESTAMP)
    return found[0] if len(found) == 1 else ibis.least(*found)


def fold(column: Column) -> Column:
    """`values.fold`, over a column."""
    return column.replace("İ", "i").lower().replace("ß", "ss").replace("ς", "σ")


def inside(column: Column, bounds: Bounds) -> list[Column]:
    """Whether a moment that is never missing lies in half-open bounds: one test per bound that there is."""
    low, high = bounds
    return ([column >= stamp(low)] if low > -FOREVER else []) + ([column < stamp(high)] if high < FOREVER else [])


def between(column: Column, bounds: Bounds, literal: Callable[[int], Column] = stamp) -> Column:
    """Whether a column lies in half-open bounds; a missing value does not."""
    low, high = bounds
    parts = [column.notnull()]
    if low > -FOREVER:
        parts.append(column >= literal(low))
    if high < FOREVER:
        parts.append(column < literal(high))
    return both(parts).fill_null(False)


def number(column: Column) -> Column:
    """A numeric column as rules know numbers (`facts.as_number`): decimal(18,4), rounded half away from zero; null for what does not fit."""
    type = column.type()
    if type.is_decimal() and type.scale == 4 and type.precision == 18:
        return column
    if type.is_floating():
        scaled = ibis.ifelse((column.abs() < 1e14) & ~column.isnan(), column * 10_000.0, ibis.null("float64"))
        return (scaled.round(0) / 10_000.0).cast(NUMBER)
    fits = column.abs() < (10**14 if type.is_integer() else ibis.literal(Decimal(10**14), type="decimal(38,4)"))
    return ibis.ifelse(fits, column, ibis.null(type)).cast(NUMBER)


def typed(text: Column, type: ValueType) -> Column:
    """A trait's value, kept as text, in its declared type; what is not of the type is null."""
    match type:
        case "text":
            return text
        case "number":
            return ibis.ifelse(text.re_search(r"^-?\d{1,14}(\.\d+)?$"), text, ibis.null("string")).try_cast(NUMBER)
        case "boolean":
            return ibis.cases((text == "true", True), (text == "false", False), else_=ibis.null("boolean"))
        case "date":
            return ibis.ifelse(text.re_search(r"^\d{4}-\d\d-\d\d$"), text, ibis.null("string")).try_cast("date")
        case "time":
            return text.try_cast(TIMESTAMP)
        case "list":
            inner = text.substr(2, text.length() - 4)
            return inner.split('","').map(lambda item: item.replace('\\"', '"').replace("\\\\", "\\"))


def property_column(table: ir.Table, name: str, type: ValueType) -> Column:
    """An event's property as rules know it."""
    return number(table[name]) if type == "number" else table[name]


def passes(test: Test, column: Column, at: int, zone: str) -> Column:
    """Whether a column's values pass a test at a moment: `values.passes` in the engine."""
    if test.operator in POSITIVE_OF:
        return ~passes(positive_of(test), column, at, zone)
    if test.operator == "exists":
        return column.notnull() if test.value else column.isnull()
    return _ANSWERS[test.type](test, column, at, zone).fill_null(False)


def _literal(test: Test, value: Any) -> Column:
    return ibis.literal(normal(test, value), type=_ENGINE_TYPES[test.type])


def _text_passes(test: Test, column: Column, at: int, zone: str) -> Column:
    have = column if test.exact else fold(column)
    want: Any = test.value
    match test.operator:
        case "is":
            return have == _literal(test, want)
        case "in":
            return have.isin([_literal(test, item) for item in want])
        case "contains":
            return have.contains(normal(test, want))
        case "starts_with":
            return have.startswith(normal(test, want))
        case _:
            return have.endswith(normal(test, want))


def _number_passes(test: Test, column: Column, at: int, zone: str) -> Column:
    want: Any = test.value
    if test.operator == "in":
        return column.isin([_literal(test, item) for item in want])
    return compares(test, column, lambda value: _literal(test, value))


def compares(test: Test, column: Column, literal: Callable[[Any], Column]) -> Column:
    """A comparison of numbers; `literal` says a bound in the column's type."""
    want: Any = test.value
    if test.operator == "between":
        return (column >= literal(want[0])) & (column <= literal(want[1]))
    return COMPARISONS[test.operator](column, literal(want))


def _boolean_passes(test: Test, column: Column, at: int, zone: str) -> Column:
    return column if test.value else ~column


def _time_passes(test: Test, column: Column, at: int, zone: str) -> Column:
    return between(column, bounded(moving(test), at, zone))


def _date_passes(test: Test, column: Column, at: int, zone: str) -> Column:
    want: Any = test.value
    match test.operator:
        case "is":
            return column == _literal(test, want)
        case "in":
            return column.isin([_literal(test, item) for item in want])
        case "within":
            return between(column, bounded(want, at, zone), lambda bound: ibis.literal(first_whole_day(bound, zone), type="date"))
        case _:
            return either(_kept_in(column, year, days) for year, days in _by_year(days_of(want, at, zone)).items())


def _by_year(days: Iterable[dt.date]) -> dict[int, list[dt.date]]:
    found: dict[int, list[dt.date]] = {}
    for day in days:
        found.setdefault(day.year, []).append(day)
    return found


def _kept_in(column: Column, year: int, days: list[dt.date]) -> Column:
    keys = sorted({key for day in days for key in kept_on(day)})
    return month_day(column).isin(keys) & (column.year() < year)


def month_day(column: Column) -> Column:
    """Month × 100 + day of a date."""
    return column.month() * 100 + column.day()


def first_whole_day(bound: int, zone: str) -> dt.date:
    """The first local day whose midnight is not before an instant."""
    day = local_day(bound, zone)
    return day if midnight(day, zone) >= bound else shift_days(day, 1)


def _list_passes(test: Test, column: Column, at: int, zone: str) -> Column:
    items = column if test.exact else column.map(fold)
    want: Any = test.value
    found = [items.contains(normal(test, item)) for item in want]
    return both(found) if test.operator == "includes_all" else either(found)


_ANSWERS: dict[str, Callable[[Test, Column, int, str], Column]] = {
    "text": _text_passes,
    "number": _number_passes,
    "boolean": _boolean_passes,
    "time": _time_passes,
    "date": _date_passes,
    "list": _list_passes,
}


def fulfils(condition: Condition | None, table: ir.Table, at: int, zone: str) -> Column:
    """Whether the events of a table fulfil a condition: `values.fulfils` in the engine."""
    match condition:
        case None:
            return ibis.literal(True)
        case PropertyTests():
            column = property_column(table, condition.name, condition.tests[0].type)
            return both(passes(test, column, at, zone) for test in condition.tests)
        case AllConditions():
            return both(fulfils(part, table, at, zone) for part in condition.parts)
        case AnyCondition():
            return either(fulfils(part, table, at, zone) for part in condition.parts)
        case NoCondition():
            return ~fulfils(condition.part, table, at, zone)
