"""Bits of a text in the web's alphabet of 64, read in order and to the end: what consent strings are made of."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kundig.errors import ContractError

ALPHABET = {letter: value for value, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")}
PADDING = 24
"""Bits that writers may leave over at the end, all of them 0."""

MEND = "take the string as the consent tool wrote it; one that cannot be read whole allows nothing"


@dataclass(frozen=True, slots=True)
class Ids:
    """A set of ids, kept as ranges that do not meet.

    Examples:
        >>> ids = Ids.of([(7, 9), (2, 2), (8, 12)])
        >>> 12 in ids, 6 in ids, list(ids)
        (True, False, [2, 7, 8, 9, 10, 11, 12])
    """

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, ranges: Iterable[tuple[int, int]]) -> Ids:
        """The set of ranges that may overlap; both ends belong to a range."""
        joined: list[tuple[int, int]] = []
        for start, end in sorted(ranges):
            if joined and start <= joined[-1][1] + 1:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        return cls(tuple(joined))

    def __contains__(self, one: object) -> bool:
        if not isinstance(one, int):
            return False
        place = bisect.bisect_right(self.ranges, (one, 1 << 62)) - 1
        return place >= 0 and one <= self.ranges[place][1]

    def __iter__(self) -> Iterator[int]:
        for start, end in self.ranges:
            yield from range(start, end + 1)

    def __len__(self) -> int:
        return sum(end - start + 1 for start, end in self.ranges)


class Bits:
    """Reads a text's bits one field after the other.

    Args:
        text: Letters of the web's base 64, without padding.
        at: What the text is, for errors.

    Raises:
        ContractError: A letter is not of the alphabet, or bits are missing where a field should be.
    """

    def __init__(self, text: str, *, at: str) -> None:
        self.at = at
        for place, letter in enumerate(text):
            if letter not in ALPHABET:
                raise ContractError(f"letter {place + 1} is {letter[:1]!r}, which no consent string holds", at=at, mend=MEND)
        self._number = _joined(text)
        self.length = 6 * len(text)
        self.place = 0

    def whole(self, width: int, name: str) -> int:
        """The next `width` bits as a number."""
        if self.place + width > self.length:
            raise ContractError(f"it ends within '{name}': {width} bits at bit {self.place}, {self.length - self.place} are left", at=self.at, mend=MEND)
        self.place += width
        return (self._number >> (self.length - self.place)) & ((1 << width) - 1)

    def flag(self, name: str) -> bool:
        """The next bit."""
        return self.whole(1, name) == 1

    def letters(self, count: int, name: str) -> str:
        """The next letters, six bits each, A to Z."""
        values = [self.whole(6, name) for _ in range(count)]
        if any(value > 25 for value in values):
            raise ContractError(f"'{name}' holds {values}, where letters are 0 to 25", at=self.at, mend=MEND)
        return "".join(chr(65 + value) for value in values)

    def marked(self, width: int, name: str) -> frozenset[int]:
        """The positions, from 1, of the bits that are set among the next `width`."""
        value = self.whole(width, name)
        return frozenset(place for place in range(1, width + 1) if value >> (width - place) & 1)

    def fibonacci(self, name: str) -> int:
        """The next number of 1 or more, in Fibonacci coding: its sum of Fibonacci numbers from the smallest, ended by a second 1."""
        low, high, total, before = 1, 2, 0, False
        for _ in range(64):
            bit = self.flag(name)
            if bit and before:
                return total
            total += low if bit else 0
            low, high, before = high, low + high, bit
        raise ContractError(f"'{name}' is a number without an end", at=self.at, mend=MEND)

    def ended(self) -> None:
        """Raise where more than padding is left."""
        left = self.length - self.place
        if left >= PADDING or self.whole(left, "padding"):
            raise ContractError(f"{left} bits are left over at bit {self.length - left}, more than padding", at=self.at, mend=MEND)


def _joined(text: str) -> int:
    """All bits as one number."""
    number = 0
    for start in range(0, len(text), 10):
        part = 0
        for letter in text[start : start + 10]:
            part = part << 6 | ALPHABET[letter]
        number = number << 6 * len(text[start : start + 10]) | part
    return number


