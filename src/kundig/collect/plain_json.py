"""JSON as all readers here understand it alike: of a name that stands twice in an object the first counts, and an integer has 64 bits at most.

DuckDB, which reads events at landing, takes the first of two like names; Python's readers take the last. What listens for consent before
landing must not hear another person, or another word, than what lands.
"""

from __future__ import annotations

import json
from typing import Any

INT64 = 2**63
DIGITS = 18
"""Digits that every integer of 64 bits can have; one more is looked at."""

MOST_DIGITS = 4_000
"""Digits of an integer that are read at all: to read them takes the square of their number."""

_ONE_DIGIT = bytes(48 if 48 <= code <= 57 else 32 for code in range(256))
"""Translates every digit into a nought, so that a long number is found by its length."""


class LongInteger(ValueError):
    """An integer has more digits than anybody reads."""


def decoded(text: bytes | str) -> Any:
    """The value of a JSON text; of a name that stands twice the first counts.

    Raises:
        ValueError: It is no JSON, or holds an integer of thousands of digits.
        RecursionError: It is too deep.

    Examples:
        >>> decoded(b'{"userId": "a", "userId": "b", "traits": {"email": "x", "email": "y"}}')
        {'userId': 'a', 'traits': {'email': 'x'}}
    """
    return json.loads(text, object_pairs_hook=_first, parse_int=_integer)


def _first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    told = dict(pairs)
    if len(told) < len(pairs):
        for name, value in reversed(pairs):
            told[name] = value
    return told


def _integer(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise LongInteger(f"an integer has more than 64 bits: {len(text):,} digits")
    return int(text)


def may_be_long(text: bytes) -> bool:
    """Whether a text has so many digits in a row that an integer in it may have more than 64 bits; no text that has one is passed over."""
    return len(text) > DIGITS and b"0" * (DIGITS + 1) in text.translate(_ONE_DIGIT)


def long_integer(text: bytes) -> str:
    """The place of an integer of more than 64 bits; empty where there is none.

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is too deep.

    Examples:
        >>> long_integer(b'{"a": [1, {"b": 9223372036854775808}]}'), long_integer(b'{"a": 9223372036854775807, "b": "99999999999999999999"}')
        ('$.a[1].b', '')
    """
    if not may_be_long(text):
        return ""
    try:
        waiting: list[tuple[str, Any]] = [("$", decoded(text))]
    except LongInteger:
        return "$, of thousands of digits"
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{place}.{name}", inner) for name, inner in value.items()]
        elif isinstance(value, list):
            waiting += [(f"{place}[{number}]", inner) for number, inner in enumerate(value)]
        elif type(value) is int and not -INT64 <= value < INT64:
            return place
    return ""
