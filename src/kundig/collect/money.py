"""Exchange rates: what one unit of another currency was worth on a day, from the workspace's own table or the European Central Bank."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import pyarrow as pa

CARRIED_DAYS = 7
"""A rate of the last week serves on weekends and holidays; an older one does not."""

Rates = Mapping[tuple[dt.date, str], float]

SCHEMA = pa.schema([("local_day", pa.date32()), ("currency", pa.string()), ("rate", pa.float64()), ("source", pa.string())])


@lru_cache(maxsize=1)
def _bank() -> Any:
    from currency_converter import CurrencyConverter

    return CurrencyConverter()


def known_currencies() -> frozenset[str]:
    """Currencies of which the central bank's table holds rates.

    Examples:
        >>> "GBP" in known_currencies(), "XXX" in known_currencies()
        (True, False)
    """
    return frozenset(_bank().currencies)


def bank_rate(currency: str, into: str, day: dt.date) -> float | None:
    """Units of `into` for one of `currency` by the European Central Bank on that day, or on the last banking day of the week before.

    Examples:
        >>> round(bank_rate("EUR", "GBP", dt.date(2011, 12, 9)), 5), bank_rate("XXX", "EUR", dt.date(2011, 12, 9))
        (0.85315, None)
    """
    from currency_converter import RateNotFoundError

    if currency == into:
        return 1.0
    for back in range(CARRIED_DAYS + 1):
        try:
            return float(_bank().convert(1, currency, into, date=day - dt.timedelta(days=back)))
        except (RateNotFoundError, ValueError):
            continue
    return None


def rates(needed: Iterable[tuple[dt.date, str]], into: str, own: Rates) -> tuple[pa.Table, frozenset[tuple[dt.date, str]]]:
    """New rows for `exchange_rates`, and the pairs of day and currency for which no rate is known.

    The workspace's own rates come first (the same day's, else the newest of the week before), then the central bank's.
    """
    rows: list[dict[str, object]] = []
    missing: set[tuple[dt.date, str]] = set()
    for day, currency in sorted(needed):
        if (day, currency) in own or currency == into:
            continue
        week = [(day - dt.timedelta(days=back), currency) for back in range(1, CARRIED_DAYS + 1)]
        carried = next((own[pair] for pair in week if pair in own), None)
        rate = carried if carried is not None else bank_rate(currency, into, day)
        if rate is None:
            missing.add((day, currency))
        else:
            rows.append({"local_day": day, "currency": currency, "rate": rate, "source": "carried" if carried is not None else "ecb"})
    return pa.Table.from_pylist(rows, schema=SCHEMA), frozenset(missing)
