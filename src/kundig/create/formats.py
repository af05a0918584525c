"""Numbers, money, days and hours as German and English readers write them."""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_HALF_EVEN, Decimal
from zoneinfo import ZoneInfo

_SIGNS = {"EUR": "€", "USD": "$", "GBP": "£"}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def german(locale: str) -> bool:
    """Whether the locale writes as German does: `de`, `de-AT`, `de_CH`.

    Examples:
        >>> german("de-AT"), german("en")
        (True, False)
    """
    return locale.lower().replace("_", "-").split("-")[0] == "de"


def number(value: Decimal | float | int | str, locale: str, *, digits: int = 0) -> str:
    """The number with its thousands grouped and so many digits after the mark.

    Examples:
        >>> number("1234567.891", "de", digits=2), number(1234.5, "en", digits=1)
        ('1.234.567,89', '1,234.5')
        >>> number(-0.4, "de")
        '0'
    """
    exact = Decimal(str(value)).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_EVEN)
    text = f"{abs(exact) if exact == 0 else exact:,f}"
    return text.translate(str.maketrans(",.", ".,")) if german(locale) else text


def money(value: Decimal | float | int | str, locale: str, currency: str = "EUR") -> str:
    """The amount with its currency: the sign behind in German, before in English.

    Examples:
        >>> money("1234.56", "de"), money("-1234.56", "en"), money(5, "en", "CHF")
        ('1.234,56 €', '-€1,234.56', 'CHF 5.00')
    """
    sign = _SIGNS.get(currency, currency)
    if german(locale):
        return f"{number(value, locale, digits=2)} {sign}"
    text = number(value, locale, digits=2)
    gap = "" if currency in _SIGNS else " "
    return f"-{sign}{gap}{text[1:]}" if text.startswith("-") else f"{sign}{gap}{text}"


def percent(share: Decimal | float | str, locale: str) -> str:
    """A share as percent, with one digit.

    Examples:
        >>> percent(0.1234, "de"), percent("0.5", "en")
        ('12,3 %', '50.0%')
    """
    text = number(Decimal(str(share)) * 100, locale, digits=1)
    return f"{text} %" if german(locale) else f"{text}%"


def day(value: dt.date | dt.datetime, locale: str, zone: str = "Europe/Berlin") -> str:
    """The calendar day; of a moment, its day in the zone.

    Examples:
        >>> day(dt.date(2026, 11, 3), "de"), day(dt.datetime(2026, 11, 23, 23, 30, tzinfo=dt.UTC), "en")
        ('03.11.2026', '24 Nov 2026')
    """
    date = value.astimezone(ZoneInfo(zone)).date() if isinstance(value, dt.datetime) else value
    return f"{date:%d.%m.%Y}" if german(locale) else f"{date.day} {_MONTHS[date.month - 1]} {date.year}"


def hour(value: dt.datetime, locale: str, zone: str = "Europe/Berlin") -> str:
    """The time of day in the zone.

    Examples:
        >>> hour(dt.datetime(2026, 11, 23, 13, 5, tzinfo=dt.UTC), "de"), hour(dt.datetime(2026, 7, 1, 12, 5, tzinfo=dt.UTC), "en")
        ('14:05 Uhr', '14:05')
    """
    text = f"{value.astimezone(ZoneInfo(zone)):%H:%M}"
    return f"{text} Uhr" if german(locale) else text
