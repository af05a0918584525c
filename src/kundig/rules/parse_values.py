"""Reading values and tests of values: what fits a declared type, and what is wrong with what does not."""

from __future__ import annotations

import datetime as dt
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from kundig.clock import micros
from kundig.errors import Fault, nearest
from kundig.rules.clauses import Operand, Parameter, Test, Value, ValueType
from kundig.rules.facts import LARGEST, STEP
from kundig.rules.grammar import ALL_UNITS, DAY_TEXT, DURATION, LONGEST_YEARS, PARAMETER, THRESHOLDS, WHOLE
from kundig.rules.reading import text_of
from kundig.rules.schema import RuleSchema
from kundig.rules.values import OPERATORS, as_landed
from kundig.rules.windows import UNITS, Calendar, Moving, Span, midnight

SEVERAL = ("in", "not_in", "between", "includes_any", "includes_all")
"""Tests whose value is a list."""
_LONGEST = LONGEST_YEARS * 366 * UNITS["day"]
_EXAMPLES = {"text": "'Berlin'", "number": "19.90", "boolean": "true or false", "date": "2026-03-01", "list": "'Berlin'", "time": "2026-03-01T12:00:00"}


class ValueReader(ABC):
    """Reads spans, instants, values and tests; collects every fault with its path."""

    def __init__(self, schema: RuleSchema) -> None:
        self.schema = schema
        self.faults: list[Fault] = []

    def fault(self, at: str, what: str, mend: str = "") -> None:
        """Note one thing that is wrong."""
        self.faults.append(Fault(what=what, at=at, mend=mend))

    def unknown(self, at: str, kind: str, name: Any, known: Collection[str]) -> None:
        """Note a name that is not known, with the nearest one that is."""
        self.fault(at, f"unknown {kind} {str(name)!r}", nearest(str(name), known))

    def span(self, given: Any, at: str, units: tuple[str, ...] = ALL_UNITS) -> Span | None:
        """The duration that a text such as `7 days` says."""
        match = DURATION.fullmatch(given) if isinstance(given, str) else None
        if match is None:
            self.fault(at, f"{given!r} is no duration", "write a whole number and a unit, such as 7 days; units: " + ", ".join(units))
            return None
        span = Span(int(match[1]), match[2])
        if span.number == 0:
            self.fault(at, "a duration of 0 holds nothing", "for today write {calendar: 1 day}")
            return None
        if span.unit not in units:
            self.fault(at, f"{span.unit} is not allowed here", "use one of " + ", ".join(units))
            return None
        if (span.micros > _LONGEST) if span.fixed else (span.months > LONGEST_YEARS * 12):
            self.fault(at, f"{given!r} is longer than {LONGEST_YEARS} years", "leave the bound out to look back for ever")
            return None
        return span

    def instant(self, given: Any, at: str) -> int | None:
        """The instant that a date (its local midnight) or a moment says; without a zone it is in the workspace's."""
        text = text_of(given)
        try:
            if DAY_TEXT.fullmatch(text):
                return midnight(dt.date.fromisoformat(text), self.schema.zone)
            moment = dt.datetime.fromisoformat(text)
            return micros(moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(self.schema.zone)))
        except (TypeError, ValueError, OverflowError):
            self.fault(at, f"{given!r} is no date or time", "write 2026-03-01 or 2026-03-01T12:00:00+01:00")
            return None

    @abstractmethod
    def window(self, given: Any, at: str, type: str = "event") -> Any:
        """The window; read by the reader of windows."""

    def tests(self, given: Mapping[Any, Any], type: ValueType, at: str, *, bindable: bool = False) -> tuple[Test, ...] | None:
        """The tests of a mapping such as `{at_least: 3}`; None when something is wrong with them."""
        exact, faults = given.get("exact", False), len(self.faults)
        if not isinstance(exact, bool):
            self.fault(f"{at}.exact", f"{exact!r} is neither true nor false", "write exact: true to mind case")
        elif "exact" in given and type not in ("text", "list"):
            self.fault(f"{at}.exact", f"exact does not fit a {type}", "leave it out: only texts have a case")
        found = [
            self.test(str(operator), value, type, f"{at}.{operator}", exact=exact is True, bindable=bindable)
            for operator, value in given.items()
            if operator != "exact"
        ]
        if not found and len(self.faults) == faults:
            self.fault(at, "there is no test", f"say for example exists: true; a {type} knows " + ", ".join(OPERATORS[type]))
        tests = tuple(test for test in found if test is not None)
        return tests if len(self.faults) == faults else None

    def test(self, operator: str, given: Any, type: ValueType, at: str, *, exact: bool, bindable: bool) -> Test | None:
        """One test; its value must fit the declared type."""
        if operator not in OPERATORS[type]:
            self.fault(at, f"{operator} does not fit a {type}", "use " + ", ".join(OPERATORS[type]))
            return None
        if operator == "exists":
            if not isinstance(given, bool):
                self.fault(at, f"{given!r} is neither true nor false", "write exists: true or exists: false")
                return None
            return Test(operator=operator, value=given, type=type)
        if operator in ("within", "anniversary"):
            window = self.window(given, at, type) if operator == "within" else self._anniversary(given, at)
            return None if window is None else Test(operator=operator, value=window, type=type)
        value = self._several(operator, given, type, at, bindable=bindable) if operator in SEVERAL else self.value(given, type, at, bindable=bindable)
        if value is None:
            return None
        return _plainest(operator, value, type, exact=exact)

    def _several(self, operator: str, given: Any, type: ValueType, at: str, *, bindable: bool) -> Value | None:
        if not isinstance(given, list | tuple) or not given:
            self.fault(at, f"{operator} needs a list of values, not {given!r}", "write [a, b]")
            return None
        if operator == "between" and len(given) != 2:
            self.fault(at, f"between needs two numbers, not {len(given)}", "write between: [lowest, highest]; both are included")
            return None
        found = [self.value(item, type, f"{at}[{number}]", bindable=bindable) for number, item in enumerate(given)]
        items = tuple(item for item in found if item is not None)
        if len(items) < len(found):
            return None
        if operator == "between" and not self.ordered(items, at):
            return None
        return items

    def ordered(self, items: tuple[Operand, ...], at: str) -> bool:
        """Whether the lower bound comes first."""
        low, high = items
        if isinstance(low, Decimal) and isinstance(high, Decimal) and low > high:
            self.fault(at, f"the bounds are reversed: {low} is more than {high}", f"write between: [{high}, {low}]")
            return False
        return True

    def _anniversary(self, given: Any, at: str) -> Calendar | None:
        window: Moving | None = self.window(given, at, "date")
        if window is None:
            return None
        if not isinstance(window, Calendar) or window.unit != "day" or window.number > 366 or abs(window.shift) > 366:
            self.fault(at, "an anniversary is asked for in a window of at most 366 days", "write for example {next: 7 days} or {calendar: 1 day}")
            return None
        return window

    def value(self, given: Any, type: ValueType, at: str, *, bindable: bool = False) -> Operand | None:
        """A value of the declared type, or a parameter where one may stand."""
        if isinstance(given, str) and given.startswith("$"):
            if given.startswith("$$"):
                given = given[1:]
            elif PARAMETER.fullmatch(given):
                if bindable:
                    return Parameter(given[1:])
                self.fault(at, f"the parameter {given!r} may stand only in where and has", "for the text itself write it with $$")
                return None
        if given is None or (isinstance(given, str) and as_landed(given) is None):
            self.fault(at, f"{'null' if given is None else 'empty text'} is no value", "write exists: false for missing values")
            return None
        found = fitting(given, type)
        if found is None:
            self.fault(at, f"{given!r} is no {type}", self._fitting_mend(given, type))
        return found

    @staticmethod
    def _fitting_mend(given: Any, type: ValueType) -> str:
        if type == "number" and isinstance(given, int | float | Decimal) and not isinstance(given, bool):
            return "numbers have at most four decimals and 14 digits before them"
        if type in ("text", "list") and isinstance(given, int | float | Decimal):
            return f"the declared type is {type}: write it in quotes, '{given}'"
        return f"the declared type is {type}: write for example {_EXAMPLES[type]}"

    def threshold(self, given: Mapping[str, Any], aggregate: str, at: str) -> Test | None:
        """The one threshold of an aggregate."""
        rest = {name: value for name, value in given.items() if name != "of"}
        if len(rest) != 1 or not set(rest) <= set(THRESHOLDS):
            self.fault(at, f"exactly one threshold is needed, found {sorted(map(str, rest)) or 'none'}", "use one of " + ", ".join(THRESHOLDS))
            return None
        tests = self.tests(rest, "number", at)
        if tests is None:
            return None
        if aggregate in WHOLE and any(bound != bound.to_integral_value() for bound in tests[0].numbers):
            self.fault(at, f"{aggregate} is a whole number", "leave the decimals out")
            return None
        return tests[0]


def _plainest(operator: str, value: Any, type: ValueType, *, exact: bool) -> Test:
    """The test in its plainest form: a list of one value is that value, and a value twice in a list is there once."""
    if operator == "between":
        return Test(operator=operator, value=value, type=type)
    items = tuple(dict.fromkeys(value)) if isinstance(value, tuple) else (value,)
    if type == "list":
        several = len(items) > 1
        return Test(operator=operator if several else "includes_any", value=items, type=type, exact=exact)
    if operator in SEVERAL and len(items) == 1:
        return Test(operator={"in": "is", "not_in": "is_not"}[operator], value=items[0], type=type, exact=exact)
    return Test(operator=operator, value=items if isinstance(value, tuple) else value, type=type, exact=exact)


def fitting(given: Any, type: ValueType) -> Operand | None:
    """The value as its type holds it, or None if it does not fit.

    Examples:
        >>> fitting(0.1, "number"), fitting("0.1", "number"), fitting(True, "number"), fitting(0.00001, "number")
        (Decimal('0.1'), None, None, None)
    """
    match type:
        case "text" | "list":
            text = text_of(given)
            return as_landed(text) if isinstance(text, str) else None
        case "boolean":
            return given if isinstance(given, bool) else None
        case "number":
            return _number(given)
        case "date":
            return _date(given)
        case _:
            return None


def _number(given: Any) -> Decimal | None:
    if isinstance(given, bool) or not isinstance(given, int | float | Decimal):
        return None
    number = Decimal(str(given))
    if not number.is_finite() or abs(number) >= LARGEST or number != number.quantize(STEP):
        return None
    return number


def _date(given: Any) -> dt.date | None:
    if isinstance(given, dt.datetime):
        return None
    if isinstance(given, dt.date):
        return given
    if not isinstance(given, str) or re.fullmatch(DAY_TEXT, given) is None:
        return None
    try:
        return dt.date.fromisoformat(given)
    except ValueError:
        return None
