"""Whether two records can be one person: a small score of birth date, first name and last name, typos and swaps allowed.

The score adds, for what both records have: birth date +3 same, +2 a typo or swap apart, -2 else; first name +1.5 same, +1 similar
or an initial, -1.5 else; last name +1 same, +0.8 similar, -1 else; first and last name swapped count as the same.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kundig.unify.union_find import compiled

LETTERS = 24
"""Letters of a name that are compared."""
VARIANTS = 6
"""Spellings of one node that are compared; more say nothing new."""

_TITLES = re.compile(r"\b(prof|professor|dr|med|dipl|ing|mag|msc|bsc|phd|herr|frau|mr|mrs|ms)\b\.?")
_SPELT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "oe", "å": "aa", "ł": "l", "đ": "d", "ı": "i"})


def folded(name: str | None) -> str:
    """A name as it is compared: lower case, umlauts spelt out, no marks, titles, blanks or signs; at most 24 letters.

    Examples:
        >>> folded("Dr. Jörg-Peter"), folded("MÜLLER"), folded(None)
        ('joergpeter', 'mueller', '')
    """
    text = unicodedata.normalize("NFC", (name or "")[:200]).lower().translate(_SPELT)
    text = _TITLES.sub(" ", text)
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if c.isalpha())
    return text[:LETTERS]


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """Names and birth dates by node: rows `starts[i]:starts[i + 1]` belong to node i; codes point into `letters`."""

    starts: npt.NDArray[np.int64]
    first: npt.NDArray[np.int32]
    last: npt.NDArray[np.int32]
    birth: npt.NDArray[np.int32]
    letters: npt.NDArray[np.uint32]
    lengths: npt.NDArray[np.int32]

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Per node, whether anything is known of it."""
        return np.diff(self.starts) > 0

    def regrouped(self, label: npt.NDArray[np.int32]) -> Attributes:
        """The same by group instead of node: what is known of any node of a group is known of the group."""
        node = np.repeat(np.arange(self.starts.size - 1), np.diff(self.starts))
        return _grouped(label[node], self.first, self.last, self.birth, self.letters, self.lengths, self.starts.size - 1)

    def scores(self, one: npt.NDArray[np.int32], other: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """The best score among the spellings of each pair of nodes; 0 where nothing is known of one of them."""
        return np.asarray(_scores(one, other, self.starts, self.first, self.last, self.birth, self.letters, self.lengths))


def attributes(node: npt.NDArray[np.int32], first: pa.Array, last: pa.Array, birth: pa.Array, count: int) -> Attributes:
    """Names and birth dates of `count` nodes, from one row per record (node, first name, last name, birth date)."""
    names = sorted({folded(name) for column in (first, last) for name in pc.unique(column).to_pylist()} - {""})
    code = {name: number for number, name in enumerate(names)}
    letters = np.zeros((max(1, len(names)), LETTERS), np.uint32)
    for number, name in enumerate(names):
        letters[number, : len(name)] = [ord(letter) for letter in name]
    lengths = np.array([len(name) for name in names] or [0], np.int32)
    days = birth.cast(pa.date32()).to_numpy(zero_copy_only=False).astype("datetime64[D]") if len(birth) else np.array([], "datetime64[D]")
    dates = np.where(np.isnat(days), -1, _yyyymmdd(days)).astype(np.int32)
    return _grouped(node, _coded(first, code), _coded(last, code), dates, letters, lengths, count)


def _coded(column: pa.Array, code: dict[str, int]) -> npt.NDArray[np.int32]:
    words = column.dictionary_encode()
    by_word = np.array([code.get(folded(word), -1) for word in words.dictionary.to_pylist()] + [-1], np.int32)
    return np.asarray(by_word[words.indices.fill_null(len(by_word) - 1).to_numpy(zero_copy_only=False)])


def _yyyymmdd(days: npt.NDArray[np.datetime64]) -> npt.NDArray[np.int64]:
    known = np.where(np.isnat(days), np.datetime64("1970-01-01"), days)
    months = known.astype("datetime64[M]")
    number = months.astype(np.int64)
    return np.asarray((1970 + number // 12) * 10_000 + (number % 12 + 1) * 100 + (known - months.astype("datetime64[D]")).astype(np.int64) + 1)


def _grouped(node: Any, first: Any, last: Any, birth: Any, letters: Any, lengths: Any, count: int) -> Attributes:
    said = (first >= 0) | (last >= 0) | (birth >= 0)
    columns = [column[said] for column in (node, birth, first, last)]
    order = np.lexsort(columns[::-1])
    node, birth, first, last = (column[order] for column in columns)
    new = np.ones(node.size, np.bool_)
    new[1:] = (node[1:] != node[:-1]) | (birth[1:] != birth[:-1]) | (first[1:] != first[:-1]) | (last[1:] != last[:-1])
    node, birth, first, last = (column[new] for column in (node, birth, first, last))
    kept = np.arange(node.size) - np.searchsorted(node, node) < VARIANTS
    starts = np.concatenate([[0], np.cumsum(np.bincount(node[kept], minlength=count))]).astype(np.int64)
    birth, first, last = (np.ascontiguousarray(column[kept], np.int32) for column in (birth, first, last))
    return Attributes(starts=starts, first=first, last=last, birth=birth, letters=letters, lengths=lengths)


@compiled
def _similarity(a: Any, n: Any, b: Any, m: Any) -> Any:
    """Jaro-Winkler of two rows of letters."""
    if n == 0 or m == 0:
        return 0.0
    reach = max(max(n, m) // 2 - 1, 0)
    taken_a = np.zeros(24, np.bool_)
    taken_b = np.zeros(24, np.bool_)
    same = 0
    for i in range(n):
        for j in range(max(0, i - reach), min(m, i + reach + 1)):
            if not taken_b[j] and a[i] == b[j]:
                taken_a[i] = True
                taken_b[j] = True
                same += 1
                break
    if same == 0:
        return 0.0
    turned = 0
    j = 0
    for i in range(n):
        if taken_a[i]:
            while not taken_b[j]:
                j += 1
            if a[i] != b[j]:
                turned += 1
            j += 1
    jaro = (same / n + same / m + (same - turned / 2) / same) / 3
    prefix = 0
    while prefix < min(4, n, m) and a[prefix] == b[prefix]:
        prefix += 1
    return jaro + prefix * 0.1 * (1 - jaro)


@compiled
def _alike(p: Any, q: Any, least: Any, letters: Any, lengths: Any) -> Any:
    """Whether two names are one with a typo: one letter exchanged, or similar as a whole."""
    if lengths[p] == lengths[q] and lengths[p] >= 4:
        apart = 0
        for i in range(lengths[p]):
            if letters[p, i] != letters[q, i]:
                apart += 1
        if apart <= 1:
            return True
    return _similarity(letters[p], lengths[p], letters[q], lengths[q]) >= least


@compiled
def _date_score(p: Any, q: Any) -> Any:
    if p < 0 or q < 0:
        return 0.0
    if p == q:
        return 3.0
    apart = 0
    at = -1
    digits_p = np.zeros(8, np.int32)
    digits_q = np.zeros(8, np.int32)
    x, y = p, q
    for i in range(8):
        digits_p[i], digits_q[i] = x % 10, y % 10
        x, y = x // 10, y // 10
        if digits_p[i] != digits_q[i]:
            apart += 1
            if at < 0:
                at = i
    if apart == 1:
        return 2.0
    if apart == 2 and at < 7 and digits_p[at] == digits_q[at + 1] and digits_p[at + 1] == digits_q[at]:
        return 2.0
    if p // 10_000 == q // 10_000:
        swapped = p % 100 == q // 100 % 100 and q % 100 == p // 100 % 100
        if swapped or p % 10_000 == 101 or q % 10_000 == 101:
            return 2.0
    return -2.0


@compiled
def _name_score(first_p: Any, last_p: Any, first_q: Any, last_q: Any, letters: Any, lengths: Any) -> Any:
    if first_p >= 0 and last_p >= 0 and first_p == last_q and last_p == first_q:
        return 2.5
    score = 0.0
    if first_p >= 0 and first_q >= 0:
        initial = (lengths[first_p] == 1 or lengths[first_q] == 1) and letters[first_p, 0] == letters[first_q, 0]
        if first_p == first_q:
            score += 1.5
        elif initial or _alike(first_p, first_q, 0.85, letters, lengths):
            score += 1.0
        else:
            score -= 1.5
    if last_p >= 0 and last_q >= 0:
        if last_p == last_q:
            score += 1.0
        elif _alike(last_p, last_q, 0.88, letters, lengths):
            score += 0.8
        else:
            score -= 1.0
    return score


@compiled
def _scores(one: Any, other: Any, starts: Any, first: Any, last: Any, birth: Any, letters: Any, lengths: Any) -> Any:
    result = np.zeros(one.size, np.float64)
    for pair in range(one.size):
        best = -9.0
        for i in range(starts[one[pair]], starts[one[pair] + 1]):
            for j in range(starts[other[pair]], starts[other[pair] + 1]):
                best = max(best, _date_score(birth[i], birth[j]) + _name_score(first[i], last[i], first[j], last[j], letters, lengths))
        if best > -9.0:
            result[pair] = best
    return result
