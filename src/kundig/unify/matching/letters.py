"""Likeness of two texts, compiled: Jaro-Winkler, and whether one slip of a typist lies between them.

Texts are bytes of one long array; text t lies from `starts[t]` up to `starts[t + 1]`. Letters past the 64th are not compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kundig.unify.union_find import compiled

MOST = 64
"""Letters that are compared: a word of the machine holds a flag for each."""


@compiled
def likeness(letters: Any, a: Any, n: Any, b: Any, m: Any) -> Any:
    """Jaro-Winkler of the n letters from a on and the m letters from b on: 1 for the same, 0 for nothing in common."""
    n, m = min(n, MOST), min(m, MOST)
    if n == 0 or m == 0:
        return 0.0
    reach = max(max(n, m) // 2 - 1, 0)
    taken_a, taken_b = np.uint64(0), np.uint64(0)
    one = np.uint64(1)
    same = 0
    for i in range(n):
        letter = letters[a + i]
        for j in range(max(0, i - reach), min(m, i + reach + 1)):
            flag = one << np.uint64(j)
            if letters[b + j] == letter and not taken_b & flag:
                taken_a |= one << np.uint64(i)
                taken_b |= flag
                same += 1
                break
    if same == 0:
        return 0.0
    turned, j = 0, 0
    for i in range(n):
        if taken_a & (one << np.uint64(i)):
            while not taken_b & (one << np.uint64(j)):
                j += 1
            if letters[a + i] != letters[b + j]:
                turned += 1
            j += 1
    jaro = (same / n + same / m + (same - turned / 2) / same) / 3
    prefix = 0
    while prefix < min(4, min(n, m)) and letters[a + prefix] == letters[b + prefix]:
        prefix += 1
    return jaro + prefix * 0.1 * (1 - jaro)


@compiled
def one_slip(letters: Any, a: Any, n: Any, b: Any, m: Any) -> Any:
    """Whether at most one letter was left out, added, exchanged, or swapped with its neighbour."""
    if n - m > 1 or m - n > 1:
        return False
    start = 0
    while start < min(n, m) and letters[a + start] == letters[b + start]:
        start += 1
    end = 0
    while end < min(n, m) - start and letters[a + n - 1 - end] == letters[b + m - 1 - end]:
        end += 1
    left, right = n - start - end, m - start - end
    if left <= 1 and right <= 1:
        return True
    return left == 2 and right == 2 and letters[a + start] == letters[b + start + 1] and letters[a + start + 1] == letters[b + start]


@compiled
def slips_of_dates(p: Any, q: Any) -> Any:
    """Digits in which two dates (yyyymmdd) differ; two neighbours swapped count as one."""
    apart, last = 0, -2
    x, y = p, q
    before_x, before_y = -1, -1
    for i in range(8):
        dx, dy = x % 10, y % 10
        x, y = x // 10, y // 10
        if dx != dy:
            swapped = last == i - 1 and dx == before_y and dy == before_x
            if not swapped:
                apart += 1
            last = -2 if swapped else i
        before_x, before_y = dx, dy
    return apart


@compiled
def contains(letters: Any, a: Any, n: Any, b: Any, m: Any) -> Any:
    """Whether the longer text holds the shorter one, of at least four letters."""
    if n < m:
        a, n, b, m = b, m, a, n
    if m < 4:
        return False
    for shift in range(n - m + 1):
        i = 0
        while i < m and letters[a + shift + i] == letters[b + i]:
            i += 1
        if i == m:
            return True
    return False
