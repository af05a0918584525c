"""Dirt of records: letters lost and swapped, nicknames, numbers in four spellings, dates that slipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kundig.simulate import names
from kundig.simulate.text import Bools, Ints, join, pick, pool, where


def replaced(column: pa.Array, mask: Bools, change: Callable[[str, int, float], str], rng: np.random.Generator, kinds: int) -> pa.Array:
    """The column with the texts under the mask changed by a kind and a place, both drawn."""
    count = len(column)
    kind, place = rng.integers(0, kinds, count), rng.random(count)
    which = np.flatnonzero(mask)
    if len(which) == 0:
        return column
    made = [change(text, int(kind[index]), float(place[index])) for index, text in zip(which, column.take(pa.array(which)).to_pylist(), strict=True)]
    return pc.replace_with_mask(column, pa.array(mask), pa.array(made, type=pa.string()))


def misspelt(text: str, kind: int, place: float) -> str:
    """A name with a letter left out, doubled or swapped, as a nickname, or without its umlauts.

    Examples:
        >>> misspelt("Jürgen", 1, 0.5), misspelt("Michael", 0, 0.5), misspelt("Weber", 3, 0.0), misspelt("Weber", 2, 0.0)
        ('Juergen', 'Micha', 'Wbeer', 'Weeber')
    """
    at = 1 + int(place * max(1, len(text) - 2))
    if kind == 0 and text in names.NICKNAMES:
        return names.NICKNAMES[text]
    if kind <= 1:
        spelled = names.plain(text)
        return spelled if spelled != text else text[:at] + text[at + 1 :]
    if kind == 2:
        return text[:at] + text[at : at + 1] + text[at:]
    if kind == 3 and len(text) > at + 1:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    if kind == 4:
        return f"{text[:1]}."
    return f"{text} "


def mistyped(text: str, kind: int, place: float) -> str:
    """An address with a letter left out, doubled or swapped, or another ending.

    Examples:
        >>> mistyped("anna@example.org", 0, 0.0), mistyped("anna@example.org", 3, 0.0)
        ('ana@example.org', 'anna@example.or')
    """
    at = 1 + int(place * max(1, text.index("@") - 2))
    if kind == 0:
        return text[:at] + text[at + 1 :]
    if kind == 1:
        return text[:at] + text[at] + text[at:]
    if kind == 2:
        return text[:at] + text[at + 1 : at + 2] + text[at] + text[at + 2 :] if text[at + 1] != "@" else text[:at] + text[at + 1 :]
    return text[:-1]


def shouted(column: pa.Array, mask: Bools) -> pa.Array:
    """The texts under the mask in capitals."""
    return where(mask, pc.utf8_upper(pc.replace_substring(column, "ß", "ss")), column)


def spelled(phones: pa.Array, rng: np.random.Generator) -> pa.Array:
    """The same numbers in four spellings."""
    kind = rng.integers(0, 4, len(phones))
    forms: list[Any] = [join("0", phones), join("+49 ", phones), join("0049", pc.replace_substring(phones, " ", "")), join("0", pc.replace_substring(phones, " ", "/", max_replacements=1))]
    return pc.choose(pa.array(kind), *forms)


def slipped(days: Ints, share: float, rng: np.random.Generator) -> tuple[Ints, Bools]:
    """Dates of birth, some a day, a month or a year off, or the first of January."""
    wrong = rng.random(len(days)) < share
    dates = days.astype("datetime64[D]")
    newyear = dates.astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    by = np.array([1, -1, 31, 365, -365, 0])[rng.integers(0, 6, len(days))]
    return np.where(wrong, np.where(by == 0, newyear, days + by), days), wrong


def streets(street: Ints, short: Bools) -> pa.Array:
    """Streets, some with their ending cut short."""
    brief = pool(name.replace("straße", "str.") for name in names.STREETS)
    return where(short, pick(brief, street), pick(names.STREET, street))
