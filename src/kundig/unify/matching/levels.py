"""Levels of agreement: how alike two records are in each field, from "differs" up to "same", as a small number; 0 says nothing is known.

A field with several ways of agreeing has a level for each, so that the model can learn how much each proves.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from kundig.unify.matching.columns import Coded, Codes, Keys, Names, Records
from kundig.unify.matching.letters import contains, likeness, one_slip, slips_of_dates
from kundig.unify.union_find import compiled

Levels = npt.NDArray[np.int8]

FIRST = ("", "differs", "stands elsewhere", "alike", "initial", "very alike", "nickname or part", "swapped with last name", "same")
LAST = ("", "differs", "stands elsewhere", "alike", "very alike", "part of it", "same")
BIRTH = ("", "differs", "at most three years apart", "same year", "same day and month", "same year and one part", "day and month swapped", "one digit apart", "same year, first of January", "same first of January", "same")
ADDRESS = ("", "differs", "postcode one digit apart", "same place", "same place and number", "same street", "suffix differs", "same street, other place", "street alike", "same street and number", "same")
POSTCODE = ("", "differs", "same area", "same district", "same sector", "one digit apart", "same")
EMAIL = ("", "differs", "name one letter apart", "same name, other domain", "same")
PHONE = ("", "differs", "same end", "one digit apart", "same")
TEXT = ("", "differs", "alike", "very alike", "same")

CHUNK = 1 << 18
"""Pairs that one thread compares at a time."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """What is compared as one: its name, the words for its levels, and the texts whose frequency counts where they are the same."""

    name: str
    words: tuple[str, ...]
    codes: Codes | None
    hashes: Keys | None

    @property
    def top(self) -> int:
        """The level of those that are the same."""
        return len(self.words) - 1


def components(of: Records) -> list[Component]:
    """What these records can be compared by, in a fixed order."""
    found: list[Component] = []
    if of.names is not None:
        if of.first is not None:
            found.append(Component(name="first_name", words=FIRST, codes=of.first, hashes=of.names.hashes))
        if of.last is not None:
            found.append(Component(name="last_name", words=LAST, codes=of.last, hashes=of.names.hashes))
    if of.birth is not None:
        found.append(Component(name="birth_date", words=BIRTH, codes=None, hashes=None))
    if "street" in of.texts:
        found.append(Component(name="address", words=ADDRESS, codes=None, hashes=None))
    elif "postcode" in of.texts:
        found.append(Component(name="postcode", words=POSTCODE, codes=None, hashes=None))
    for name in ("email", "phone"):
        if name in of.texts:
            found.append(Component(name=name, words=EMAIL if name == "email" else PHONE, codes=of.texts[name].codes, hashes=of.texts[name].words.hashes))
    found += [Component(name=name, words=TEXT, codes=of.texts[name].codes, hashes=of.texts[name].words.hashes) for name in others(of)]
    return found


def others(of: Records) -> list[str]:
    """Columns of text that have no way of comparing of their own, by name."""
    place = {"street", "house_number", "postcode", "city"} if "street" in of.texts else {"postcode", "house_number"}
    return sorted(name for name in of.texts if name not in {"email", "local", "phone", *place})


def compare(of: Records, left: Codes, right: Codes) -> dict[str, Levels]:
    """The level of each component for each pair of records, by two threads."""
    out = {one.name: np.zeros(left.size, np.int8) for one in components(of)}
    tasks = _tasks(of, out)
    spans = [slice(start, start + CHUNK) for start in range(0, left.size, CHUNK)]

    def work(span: slice) -> None:
        for task in tasks:
            task(left[span], right[span], span)

    if len(spans) < 2:
        for span in spans:
            work(span)
    else:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, spans))
    return out


def _tasks(of: Records, out: dict[str, Levels]) -> list[Callable[[Codes, Codes, slice], None]]:
    found: list[Callable[[Codes, Codes, slice], None]] = []
    none = np.full(of.size, -1, np.int32)
    if of.names is not None and (of.first is not None or of.last is not None):
        first, last, full = (codes if codes is not None else none for codes in (of.first, of.last, of.full))
        spare = np.zeros(len(next(iter(out.values()))), np.int8)
        found.append(partial(_compare_names, of.names, first, last, full, out.get("first_name", spare), out.get("last_name", spare)))
    if of.birth is not None:
        found.append(partial(_each, _birth, (of.birth,), out["birth_date"]))
    if "address" in out:
        found.append(partial(_each, _address, _place(of, none), out["address"]))
    if "postcode" in out:
        found.append(partial(_each, _postcode, _letters(of.texts["postcode"]), out["postcode"]))
    if "email" in out:
        found.append(partial(_each, _email, (of.texts["email"].codes, *_letters(of.texts["local"])), out["email"]))
    if "phone" in out:
        found.append(partial(_each, _phone, _letters(of.texts["phone"]), out["phone"]))
    found += [partial(_each, _word, _letters(of.texts[name]), out[name]) for name in others(of)]
    return found


def _each(kernel: Callable[..., None], given: tuple[Any, ...], out: Levels, left: Codes, right: Codes, span: slice) -> None:
    kernel(left, right, *given, out[span])


def _compare_names(names: Names, first: Codes, last: Codes, full: Codes, of_first: Levels, of_last: Levels, left: Codes, right: Codes, span: slice) -> None:
    _names(left, right, first, last, full, names.letters, names.starts, names.tokens, names.group, of_first[span], of_last[span])


def _letters(column: Coded) -> tuple[Codes, npt.NDArray[np.uint8], Keys]:
    return column.codes, column.words.letters, column.words.starts


def _place(of: Records, none: Codes) -> tuple[Any, ...]:
    def codes(name: str) -> Codes:
        return of.texts[name].codes if name in of.texts else none

    street, number = of.texts["street"], of.texts.get("house_number")
    base = np.full(1 if number is None else len(number.words) + 1, -1, np.int64)
    if number is not None:
        for place in range(len(number.words)):
            text = bytes(number.words.letters[number.words.starts[place] : number.words.starts[place + 1]]).decode("utf-8", "replace")
            found = re.match(r"\d{1,9}", text)
            base[place] = int(found[0]) if found else -1
    post = of.texts.get("postcode")
    letters, starts = (post.words.letters, post.words.starts) if post is not None else (np.zeros(1, np.uint8), np.zeros(1, np.int64))
    return street.codes, street.words.letters, street.words.starts, codes("house_number"), base, codes("postcode"), letters, starts, codes("city")


@compiled
def _like(letters: Any, starts: Any, p: Any, q: Any) -> Any:
    return likeness(letters, starts[p], starts[p + 1] - starts[p], starts[q], starts[q + 1] - starts[q])


@compiled
def _slip(letters: Any, starts: Any, p: Any, q: Any) -> Any:
    return one_slip(letters, starts[p], starts[p + 1] - starts[p], starts[q], starts[q + 1] - starts[q])


@compiled
def _shares(tokens: Any, p: Any, q: Any) -> Any:
    """Whether two names share a word."""
    if p < 0 or q < 0:
        return False
    for i in range(tokens.shape[1]):
        for j in range(tokens.shape[1]):
            if tokens[p, i] >= 0 and tokens[p, i] == tokens[q, j]:
                return True
    return False


@compiled
def _same_person_name(group: Any, p: Any, q: Any) -> Any:
    for i in range(2):
        for j in range(2):
            if group[p, i] >= 0 and group[p, i] == group[q, j]:
                return True
    return False


@compiled
def _names(left: Any, right: Any, first: Any, last: Any, full: Any, letters: Any, starts: Any, tokens: Any, group: Any, of_first: Any, of_last: Any) -> Any:
    for i in range(left.size):
        a, b = left[i], right[i]
        fa, fb, la, lb = first[a], first[b], last[a], last[b]
        swapped = fa >= 0 and la >= 0 and fa == lb and la == fb and fa != la
        if fa >= 0 and fb >= 0:
            na, nb = starts[fa + 1] - starts[fa], starts[fb + 1] - starts[fb]
            level = 1
            if fa == fb:
                level = 8
            elif swapped:
                level = 7
            elif _same_person_name(group, fa, fb) or _shares(tokens, fa, fb):
                level = 6
            else:
                same_start = na > 0 and nb > 0 and letters[starts[fa]] == letters[starts[fb]]
                like = _like(letters, starts, fa, fb)
                if like >= 0.92:
                    level = 5
                elif (na == 1 or nb == 1) and same_start:
                    level = 4
                elif like >= 0.8 or (same_start and na > 2 and nb > 2 and letters[starts[fa] + 1] == letters[starts[fb] + 1] and letters[starts[fa] + 2] == letters[starts[fb] + 2]):
                    level = 3
                elif _shares(tokens, fa, lb) or _shares(tokens, fa, full[b]) or _shares(tokens, fb, la) or _shares(tokens, fb, full[a]):
                    level = 2
            of_first[i] = level
        if la >= 0 and lb >= 0 and not swapped:
            level = 1
            if la == lb:
                level = 6
            elif _shares(tokens, la, lb):
                level = 5
            else:
                like = _like(letters, starts, la, lb)
                if like >= 0.92 or _slip(letters, starts, la, lb):
                    level = 4
                elif like >= 0.8:
                    level = 3
                elif _shares(tokens, la, fb) or _shares(tokens, la, full[b]) or _shares(tokens, lb, fa) or _shares(tokens, lb, full[a]):
                    level = 2
            of_last[i] = level


@compiled
def _birth(left: Any, right: Any, birth: Any, out: Any) -> Any:
    for i in range(left.size):
        p, q = birth[left[i]], birth[right[i]]
        if p < 0 or q < 0:
            continue
        year = p // 10_000 == q // 10_000
        new_year = p % 10_000 == 101 or q % 10_000 == 101
        level = 1
        if p == q:
            level = 9 if new_year else 10
        elif year and new_year:
            level = 8
        else:
            slips = slips_of_dates(p, q)
            if slips <= 1:
                level = 7
            elif year and p % 100 == q // 100 % 100 and q % 100 == p // 100 % 100:
                level = 6
            elif year and (p % 100 == q % 100 or p // 100 == q // 100):
                level = 5
            elif p % 10_000 == q % 10_000:
                level = 4
            elif year:
                level = 3
            elif slips <= 2 or abs(p // 10_000 - q // 10_000) <= 3:
                level = 2
        out[i] = level


@compiled
def _address(left: Any, right: Any, street: Any, letters: Any, starts: Any, number: Any, base: Any, post: Any, post_letters: Any, post_starts: Any, city: Any, out: Any) -> Any:
    for i in range(left.size):
        a, b = left[i], right[i]
        roads = street[a] >= 0 and street[b] >= 0
        posts = post[a] >= 0 and post[b] >= 0
        cities = city[a] >= 0 and city[b] >= 0
        if not (roads or posts or cities):
            continue
        near = posts and post[a] != post[b] and _slip(post_letters, post_starts, post[a], post[b])
        place = (posts and post[a] == post[b]) or (cities and city[a] == city[b] and (not posts or near))
        road = roads and street[a] == street[b]
        numbers = number[a] >= 0 and number[b] >= 0
        house = numbers and number[a] == number[b]
        door = numbers and not house and base[number[a]] >= 0 and base[number[a]] == base[number[b]]
        level = 1
        if road and house and place:
            level = 10
        elif road and house and not posts and not cities:
            level = 9
        elif (roads and house and place and (_slip(letters, starts, street[a], street[b]) or _like(letters, starts, street[a], street[b]) >= 0.9)) or (road and house and near):
            level = 8
        elif road and house:
            level = 7
        elif road and door and place:
            level = 6
        elif road and place:
            level = 5
        elif house and place:
            level = 4
        elif place:
            level = 3
        elif near:
            level = 2
        out[i] = level


@compiled
def _head(letters: Any, starts: Any, p: Any, q: Any, left_out: Any) -> Any:
    n, m = starts[p + 1] - starts[p] - left_out, starts[q + 1] - starts[q] - left_out
    if n != m or n < 1:
        return False
    same = True
    for k in range(n):
        same = same and letters[starts[p] + k] == letters[starts[q] + k]
    return same


@compiled
def _postcode(left: Any, right: Any, codes: Any, letters: Any, starts: Any, out: Any) -> Any:
    for i in range(left.size):
        p, q = codes[left[i]], codes[right[i]]
        if p < 0 or q < 0:
            continue
        level = 1
        if p == q:
            level = 6
        elif _slip(letters, starts, p, q):
            level = 5
        elif _head(letters, starts, p, q, 2):
            level = 4
        elif _head(letters, starts, p, q, 3):
            level = 3
        elif starts[p + 1] - starts[p] > 1 and starts[q + 1] - starts[q] > 1 and letters[starts[p]] == letters[starts[q]] and letters[starts[p] + 1] == letters[starts[q] + 1]:
            level = 2
        out[i] = level


@compiled
def _email(left: Any, right: Any, whole: Any, codes: Any, letters: Any, starts: Any, out: Any) -> Any:
    for i in range(left.size):
        a, b = left[i], right[i]
        if whole[a] < 0 or whole[b] < 0:
            continue
        p, q = codes[a], codes[b]
        level = 1
        if whole[a] == whole[b]:
            level = 4
        elif p >= 0 and q >= 0 and starts[p + 1] - starts[p] >= 5:
            if p == q:
                level = 3
            elif starts[q + 1] - starts[q] >= 5 and _slip(letters, starts, p, q):
                level = 2
        out[i] = level


@compiled
def _phone(left: Any, right: Any, codes: Any, letters: Any, starts: Any, out: Any) -> Any:
    for i in range(left.size):
        p, q = codes[left[i]], codes[right[i]]
        if p < 0 or q < 0:
            continue
        n, m = starts[p + 1] - starts[p], starts[q + 1] - starts[q]
        level = 1
        if p == q:
            level = 4
        elif n >= 6 and m >= 6:
            if _slip(letters, starts, p, q):
                level = 3
            else:
                same = True
                for k in range(1, 7):
                    same = same and letters[starts[p + 1] - k] == letters[starts[q + 1] - k]
                level = 2 if same else 1
        out[i] = level


@compiled
def _word(left: Any, right: Any, codes: Any, letters: Any, starts: Any, out: Any) -> Any:
    for i in range(left.size):
        p, q = codes[left[i]], codes[right[i]]
        if p < 0 or q < 0:
            continue
        level = 1
        if p == q:
            level = 4
        else:
            like = _like(letters, starts, p, q)
            if like >= 0.92 or contains(letters, starts[p], starts[p + 1] - starts[p], starts[q], starts[q + 1] - starts[q]):
                level = 3
            elif like >= 0.8:
                level = 2
        out[i] = level
