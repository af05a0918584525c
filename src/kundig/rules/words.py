"""Words of the sentences in German and English: units, numbers, quotes, dates, durations and windows."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

from kundig.clock import instant
from kundig.errors import RuleError
from kundig.rules.clauses import Parameter
from kundig.rules.windows import FOREVER, Absolute, Ahead, Calendar, Moving, Rolling, Span, midnight

Language = Literal["de", "en"]
LANGUAGES: tuple[Language, ...] = ("de", "en")

_DE_ONE = {"minute": "Minute", "hour": "Stunde", "day": "Tag", "week": "Woche", "month": "Monat", "quarter": "Quartal", "year": "Jahr"}
_DE_MANY = {"minute": "Minuten", "hour": "Stunden", "day": "Tagen", "week": "Wochen", "month": "Monaten", "quarter": "Quartalen", "year": "Jahren"}
_DE_LAST_ONE = {
    "minute": "der letzten Minute", "hour": "der letzten Stunde", "day": "des letzten Tages (24 Stunden)", "week": "der letzten Woche",
    "month": "des letzten Monats", "quarter": "des letzten Quartals", "year": "des letzten Jahres",
}  # fmt: skip
_DE_CALENDAR = {"week": "Kalenderwoche", "month": "Kalendermonat", "quarter": "Kalenderquartal", "year": "Kalenderjahr"}
_DE_CALENDAR_MANY = {"day": "Tagen", "week": "Kalenderwochen", "month": "Kalendermonaten", "quarter": "Kalenderquartalen", "year": "Kalenderjahren"}
_DE_TIMES = {1: "einmal", 2: "zweimal", 3: "dreimal"}
_EN_TIMES = {1: "once", 2: "twice"}


def known_language(language: str) -> Language:
    """The language, if sentences are written in it.

    Raises:
        RuleError: They are not.
    """
    for known in LANGUAGES:
        if language == known:
            return known
    raise RuleError(f"sentences are not written in '{language}'", at="language", mend="use de or en")


def either(language: Language, german: str, english: str) -> str:
    """The text in the language."""
    return german if language == "de" else english


def quoted(text: str, language: Language) -> str:
    """A text in quotes; a closing quote inside it is marked, so that its end is never in doubt.

    Examples:
        >>> quoted("Schuhe", "de"), quoted("shoes", "en")
        ('„Schuhe“', '“shoes”')
    """
    opening, closing = ("„", "“") if language == "de" else ("“", "”")
    inner = text.replace("\\", "\\\\").replace(closing, "\\" + closing)
    return f"{opening}{inner}{closing}"


def number(value: Decimal | int, language: Language, unit: str = "") -> str:
    """A number with its unit; amounts of money have at least two decimals.

    Examples:
        >>> number(Decimal("1234.5"), "de", "€"), number(Decimal("0.7000"), "en"), number(3, "de")
        ('1.234,50 €', '0.7', '3')
    """
    places = max(-int(Decimal(value).normalize().as_tuple().exponent), 2 if unit else 0)
    text = f"{Decimal(value):,.{places}f}"
    if language == "de":
        text = text.replace(",", " ").replace(".", ",").replace(" ", ".")
    return f"{text} {unit}" if unit else text


def plain(value: object, language: Language, unit: str = "") -> str:
    """A value as it stands in a sentence."""
    if isinstance(value, Parameter):
        return f"${value.name}"
    if isinstance(value, bool):
        return either(language, "ja", "yes") if value else either(language, "nein", "no")
    if isinstance(value, Decimal | int):
        return number(value, language, unit)
    if isinstance(value, dt.date):
        return day(value, language)
    return quoted(str(value), language)


def day(value: dt.date, language: Language) -> str:
    """A date as people of the language write it."""
    return value.strftime("%d.%m.%Y") if language == "de" and value.year > 999 else value.isoformat()


def moment(value: int, zone: str, language: Language) -> str:
    """An instant on the zone's clock; a local midnight is its date."""
    local = instant(value).astimezone(ZoneInfo(zone))
    if midnight(local.date(), zone) == value:
        return day(local.date(), language)
    clock = (
        local.strftime("%H:%M:%S.%f").removesuffix(".000000").removesuffix(":00")
        if local.second == 0
        else local.strftime("%H:%M:%S.%f").removesuffix(".000000")
    )
    return f"{day(local.date(), language)} {clock} {local.strftime('%z')}"


def span(value: Span, language: Language) -> str:
    """A duration: `30 Tagen`, `1 day`."""
    if language == "de":
        return f"{value.number} {_DE_ONE[value.unit] if value.number == 1 else _DE_MANY[value.unit]}"
    return f"{value.number} {value.unit}{'' if value.number == 1 else 's'}"


def times(value: int, language: Language) -> str:
    """How often: `zweimal`, `5 times`."""
    if language == "de":
        return _DE_TIMES.get(value, f"{value}-mal")
    return _EN_TIMES.get(value, f"{value} times")


def unit_word(unit: str, language: Language) -> str:
    """One calendar unit."""
    return _DE_ONE[unit] if language == "de" else unit


def units_word(unit: str, language: Language) -> str:
    """Several calendar units, after `der letzten`."""
    if language == "en":
        return f"{unit}s"
    return {"day": "Tage", "week": "Wochen", "month": "Monate", "quarter": "Quartale"}[unit]


def window(value: Moving, zone: str, language: Language) -> str:
    """When: `in den letzten 30 Tagen`; empty for a window that holds all."""
    match value:
        case Rolling():
            return _rolling(value, language)
        case Ahead():
            return either(language, f"in den nächsten {span(value.span, language)}", f"in the next {span(value.span, language)}")
        case Calendar():
            return _calendar(value, language)
        case Absolute():
            return _absolute(value, zone, language)
        case _:
            days = span(Span(value.days, "day"), language)
            return either(language, f"vor mindestens {days}", f"at least {days} ago")


def _rolling(value: Rolling, language: Language) -> str:
    start, end = value.start, value.end
    if end is None:
        assert start is not None, "the grammar gives a window at least one bound"
        if start.number == 1:
            return either(language, f"innerhalb {_DE_LAST_ONE[start.unit]}", f"in the last {start.unit}")
        return either(language, f"in den letzten {span(start, language)}", f"in the last {span(start, language)}")
    near = span(end, language)
    if start is None:
        return either(language, f"vor mindestens {near}", f"at least {near} ago")
    far = span(start, language)
    return either(language, f"vor {near} bis {far}", f"{near} to {far} ago")


def _absolute(value: Absolute, zone: str, language: Language) -> str:
    low = "" if value.start <= -FOREVER else either(language, "ab ", "from ") + moment(value.start, zone, language)
    high = "" if value.end >= FOREVER else either(language, "vor ", "before ") + moment(value.end, zone, language)
    return either(language, " und ", " and ").join(part for part in (low, high) if part)


def _calendar(value: Calendar, language: Language) -> str:
    number, unit, shift = value.number, value.unit, value.shift
    if number == 1 and abs(shift) <= 1:
        return _one_unit(unit, shift, language)
    if shift == 0:
        return _up_to_now(number, unit, language)
    if unit == "day" and shift == number - 1:
        others = span(Span(shift, "day"), language)
        return either(language, f"heute oder in den nächsten {others}", f"today or in the next {others}").replace("nächsten 1 Tag", "1 Tag danach")
    place = either(language, "vor" if shift < 0 else "nach", "before" if shift < 0 else "after")
    count = f"{number} {_DE_CALENDAR_MANY[unit]}" if language == "de" else f"{number} calendar {unit}{'' if number == 1 else 's'}"
    if language == "de":
        return f"in {count}, die letzte Einheit {abs(shift)} {place} der jetzigen"
    return f"in {count}, the last one {abs(shift)} {place} the present one"


def _one_unit(unit: str, shift: int, language: Language) -> str:
    if unit == "day":
        return {-1: either(language, "gestern", "yesterday"), 0: either(language, "heute", "today"), 1: either(language, "morgen", "tomorrow")}[shift]
    if language == "en":
        return f"in {('the previous', 'this', 'the next')[shift + 1]} calendar {unit}"
    article = {"week": ("der vorigen", "dieser", "der nächsten")}.get(unit, ("dem vorigen", "diesem", "dem nächsten"))
    return f"in {article[shift + 1]} {_DE_CALENDAR[unit]}"


def _up_to_now(count: int, unit: str, language: Language) -> str:
    before = count - 1
    if unit == "day":
        others = span(Span(before, "day"), language)
        return either(language, f"heute oder in {others} davor" if before == 1 else f"heute oder in den {others} davor", f"today or in the {others} before")
    if language == "en":
        return f"in this calendar {unit} or the {before} before"
    this = "dieser" if unit == "week" else "diesem"
    return f"in {this} {_DE_CALENDAR[unit]} oder den {before} davor"
