"""Texts by language from `locales/`, and numbers as German and English readers write them."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from kundig import reasons
from kundig.create import formats
from kundig.errors import ContractError

LOCALES = Path(__file__).resolve().parent.parent / "locales"
DASH = "–"


@dataclass(frozen=True, kw_only=True)
class Words:
    """The texts and number forms of one language, currency and zone."""

    locale: str
    currency: str
    zone: str

    def __call__(self, key: str, **values: Any) -> str:
        """The text of a dotted key, filled.

        Raises:
            ContractError: The language has no such text.
        """
        node: Any = texts(self.locale)
        for part in key.split("."):
            if not isinstance(node, Mapping) or part not in node:
                raise ContractError(f"there is no text '{key}'", at=f"locales/{self.locale}.yaml", mend="add it in every language")
            node = node[part]
        return str(node).format(**values) if values else str(node)

    def named(self, group: str, key: str) -> str:
        """The text of a name that data bring (a state, a KPI); the name itself where there is none."""
        group_texts = texts(self.locale).get(group, {})
        return str(group_texts.get(key, key))

    def order(self, group: str) -> dict[str, int]:
        """Place of each name of a group, in the order in which the texts list them: what weighs most stands first."""
        return {str(name): place for place, name in enumerate(texts(self.locale).get(group, {}))}

    def channel(self, name: str | None) -> str:
        """A channel of messages, sales or advertising as people call it, or a dash."""
        if name is None:
            return DASH
        return reasons.channel(name, self.locale) if name in reasons.CHANNELS else self.named("channels", name)

    def number(self, value: Any, digits: int = 0) -> str:
        """A number, or a dash."""
        return DASH if absent(value) else formats.number(value, self.locale, digits=digits)

    def money(self, value: Any) -> str:
        """An amount to the cent, or a dash."""
        return DASH if absent(value) else formats.money(value, self.locale, self.currency)

    def short(self, value: Any) -> str:
        """A big amount in few characters: 312 T€, 1,9 Mio. €; €312k, €1.9m.

        Examples:
            >>> Words(locale="de", currency="EUR", zone="UTC").short(1_900_000), Words(locale="en", currency="EUR", zone="UTC").short(312_400)
            ('1,9 Mio. €', '€312k')
        """
        if absent(value):
            return DASH
        amount = Decimal(str(value))
        sign = {"EUR": "€", "USD": "$", "GBP": "£"}.get(self.currency, self.currency)
        german = formats.german(self.locale)
        if abs(amount) >= 1_000_000:
            text, unit = self.number(amount / 1_000_000, 1), "Mio. " if german else "m"
        elif abs(amount) >= 10_000:
            text, unit = self.number(amount / 1_000), "T" if german else "k"
        else:
            text, unit = self.number(amount), ""
        return f"{text} {unit}{sign}" if german else f"{'-' if text.startswith('-') else ''}{sign}{text.removeprefix('-')}{unit}"

    def percent(self, value: Any) -> str:
        """A share as percent, or a dash."""
        return DASH if absent(value) else formats.percent(value, self.locale)

    def day(self, value: dt.date | dt.datetime | None) -> str:
        """A day, or a dash."""
        return DASH if value is None else formats.day(value, self.locale, self.zone)

    def iso_day(self, text: str) -> str:
        """A day given as 2026-10-31; what is none stays as it is."""
        try:
            return self.day(dt.date.fromisoformat(text))
        except ValueError:
            return text

    def iso_month(self, text: str) -> str:
        """A month given by its first day, 2026-10-01; what is none stays as it is."""
        try:
            return self.month(dt.date.fromisoformat(text))
        except ValueError:
            return text

    def moment(self, value: dt.datetime | None) -> str:
        """A day and hour, or a dash."""
        return DASH if value is None else f"{formats.day(value, self.locale, self.zone)}, {formats.hour(value, self.locale, self.zone)}"

    def month(self, value: dt.date | None) -> str:
        """A month as 10/2026 or Oct 2026, or a dash."""
        if value is None:
            return DASH
        return f"{value:%m/%Y}" if formats.german(self.locale) else formats.day(value, self.locale)[2:].strip().replace(" ", "\u00a0")

    def unit(self, value: Any, unit: str) -> str:
        """A value in its unit (currency, short, share, count, ratio, days …), or a dash."""
        if absent(value):
            return DASH
        if unit == "short":
            return self.short(value)
        if unit == "currency":
            return self.money(value) if abs(value) < 10_000 else self.short(value)
        if unit == "share":
            return self.percent(value)
        return self.number(value, 0 if unit == "count" else 2 if unit == "ratio" else 1)

    def interval(self, low: Any, high: Any, unit: str = "currency") -> str:
        """An interval in brackets with a space before it; nothing where there is none."""
        return "" if absent(low) or absent(high) else " " + self("common.interval", low=self.unit(float(low), unit), high=self.unit(float(high), unit))


def absent(value: Any) -> bool:
    """Whether there is no number: nothing, or none that can be written.

    Examples:
        >>> absent(None), absent(float("nan")), absent(0)
        (True, True, False)
    """
    return value is None or (isinstance(value, (float, Decimal)) and not math.isfinite(value))


@cache
def texts(locale: str) -> dict[str, Any]:
    """All texts of a language."""
    from ruamel.yaml import YAML

    path = LOCALES / f"{locale}.yaml"
    if not path.is_file():
        raise ContractError(f"there are no texts in '{locale}'", at=str(LOCALES), mend=f"known: {', '.join(sorted(p.stem for p in LOCALES.glob('*.yaml')))}")
    found: dict[str, Any] = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    return found
