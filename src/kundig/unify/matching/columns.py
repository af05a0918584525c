"""Records of people as columns of numbers: each text is spelt in one way, and every way of spelling gets a number."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kundig.errors import IdentityError
from kundig.unify.matching import spelling
from kundig.unify.matching.nicknames import groups
from kundig.unify.union_find import compiled

Codes = npt.NDArray[np.int32]
Keys = npt.NDArray[np.int64]

KNOWN = ("first_name", "last_name", "full_name", "birth_date", "street", "house_number", "postcode", "city", "email", "phone")
"""Fields with a way of comparing of their own; any other text is compared as a word."""

TOKENS = 4
"""Words of a name that are looked at one by one."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """Distinct texts: their letters, one after the other, and where each begins; `hashes` name them across runs."""

    letters: npt.NDArray[np.uint8]
    starts: Keys
    hashes: Keys

    def __len__(self) -> int:
        return int(self.hashes.size)


@dataclass(frozen=True, kw_only=True)
class Names(Words):
    """Distinct names: also the words each is made of, the group of nicknames of its first word, and its first letters."""

    tokens: Codes
    """Per name up to four words, as numbers of words; -1 where it has fewer."""
    group: Codes
    """Two groups of given names that its first word belongs to; -1: none."""
    canonical: Keys
    """A hash of the first group, or of the first word."""
    word_hashes: Keys
    """A hash of each word."""


@dataclass(frozen=True, kw_only=True)
class Coded:
    """One text column: the number of each record's text (-1: none), and the texts."""

    codes: Codes
    words: Words


@dataclass(frozen=True, kw_only=True)
class Records:
    """Records as they are compared. Columns that were not given are absent."""

    size: int
    names: Names | None = None
    first: Codes | None = None
    last: Codes | None = None
    full: Codes | None = None
    birth: Codes | None = None
    texts: dict[str, Coded]
    """street, house_number, postcode, city, phone, email, local (of the e-mail), and other columns."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that there are, in order of their names."""
        named = {"first_name": self.first, "last_name": self.last, "full_name": self.full, "birth_date": self.birth}
        return tuple(sorted([name for name, codes in named.items() if codes is not None] + [name for name in self.texts if name != "local"]))


def records(table: pa.Table, *, key: str) -> Records:
    """The columns of a table of people by their names; `key` is left out.

    Raises:
        IdentityError: There is nothing to compare by.
    """
    size = table.num_rows
    given = {name: _text(table.column(name)) for name in table.column_names if name != key}
    if not given:
        raise IdentityError("there is nothing to compare records by", at="records", mend=f"give any of {', '.join(KNOWN)}, or other columns of text")
    if "street" in given and "house_number" not in given:
        given["street"], given["house_number"] = _address(given["street"])
    if "full_name" in given and "first_name" not in given and "last_name" not in given:
        given["first_name"], given["last_name"] = _split_names(given["full_name"])
    named = [name for name in ("first_name", "last_name", "full_name") if name in given]
    names, codes = _names([given[name] for name in named])
    texts: dict[str, Coded] = {}
    spelt: dict[str, Callable[[str], str]] = {"street": spelling.street, "house_number": spelling.house_number, "postcode": spelling.postcode, "city": spelling.words, "phone": spelling.phone}
    for name, column in given.items():
        if name == "email":
            texts["email"], texts["local"] = _emails(column)
        elif name not in (*named, "birth_date"):
            texts[name] = _coded(column, spelt.get(name, spelling.words))
    by_name = dict(zip(named, codes, strict=True))
    return Records(
        size=size, names=names if named else None, first=by_name.get("first_name"), last=by_name.get("last_name"), full=by_name.get("full_name"),
        birth=_dates(table.column("birth_date")) if "birth_date" in given else None, texts=texts,
    )  # fmt: skip


def hashed(texts: Iterable[str]) -> Keys:
    """A 63-bit number for each text, the same in every process.

    Examples:
        >>> hashed(["muller", ""]).tolist() == hashed(["muller", ""]).tolist()
        True
    """
    return np.asarray(_hashes(*_letters(list(texts))), np.int64)


@compiled
def _hashes(letters: Any, starts: Any) -> Any:
    """FNV-1a over the bytes of each text, its bits mixed."""
    out = np.empty(starts.size - 1, np.int64)
    for i in range(out.size):
        h = np.uint64(0xCBF29CE484222325)
        for k in range(starts[i], starts[i + 1]):
            h = (h ^ np.uint64(letters[k])) * np.uint64(0x100000001B3)
        h ^= h >> np.uint64(32)
        h *= np.uint64(0xD6E8FEB86659FD93)
        h ^= h >> np.uint64(32)
        out[i] = np.int64(h >> np.uint64(1))
    return out


def words_of(texts: Sequence[str]) -> Words:
    """Distinct texts as letters."""
    letters, starts = _letters(texts)
    return Words(letters=letters, starts=starts, hashes=_hashes(letters, starts))


def _letters(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint8], Keys]:
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    starts = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=starts[1:])
    return np.frombuffer(b"".join(encoded) or b"\0", np.uint8), starts


def _text(column: pa.ChunkedArray) -> pa.Array:
    """The column as distinct texts and their numbers."""
    whole = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], pa.string())
    if pa.types.is_dictionary(whole.type):
        whole = whole.cast(whole.type.value_type)
    if pa.types.is_nested(whole.type):
        whole = pa.array([None if value is None else str(value) for value in whole.to_pylist()], pa.string())
    return pc.dictionary_encode(whole if pa.types.is_string(whole.type) else whole.cast(pa.string()))


def _numbered(column: pa.Array, spelt: Sequence[str]) -> tuple[Codes, list[str]]:
    """Codes of a column whose distinct texts are spelt so; what is spelt "" is missing."""
    distinct = list(dict.fromkeys(spelt))
    if "" in distinct:
        distinct.remove("")
    number = {text: place for place, text in enumerate(distinct)} | {"": -1}
    by_word = np.array([number[text] for text in spelt] + [-1], np.int32)
    return by_word[_places(column, len(spelt))], distinct


def _places(column: pa.Array, missing: int) -> npt.NDArray[np.int64]:
    return np.asarray(column.indices.cast(pa.int64()).fill_null(missing).to_numpy(zero_copy_only=False))


def _coded(column: pa.Array, spell: Callable[[str], str]) -> Coded:
    codes, distinct = _numbered(column, [spell(text) for text in column.dictionary.to_pylist()])
    return Coded(codes=codes, words=words_of(distinct))


def _emails(column: pa.Array) -> tuple[Coded, Coded]:
    both = [spelling.email(text) for text in column.dictionary.to_pylist()]
    whole, distinct = _numbered(column, [text for text, _ in both])
    local, parts = _numbered(column, [text for _, text in both])
    return Coded(codes=whole, words=words_of(distinct)), Coded(codes=local, words=words_of(parts))


def _names(columns: Sequence[pa.Array]) -> tuple[Names, list[Codes]]:
    spelt = [[spelling.name(text) for text in column.dictionary.to_pylist()] for column in columns]
    distinct = sorted({text for texts in spelt for text in texts} - {""})
    number = {text: place for place, text in enumerate(distinct)} | {"": -1}
    codes = []
    for column, texts in zip(columns, spelt, strict=True):
        by_word = np.array([number[text] for text in texts] + [-1], np.int32)
        codes.append(by_word[_places(column, len(texts))])
    return _made_of(distinct), codes


def _made_of(distinct: Sequence[str]) -> Names:
    split = [text.split(" ", TOKENS)[:TOKENS] for text in distinct]
    every = sorted({word for one in split for word in one})
    number = {word: place for place, word in enumerate(every)}
    tokens = np.full((len(distinct), TOKENS), -1, np.int32)
    group = np.full((len(distinct), 2), -1, np.int32)
    known = groups()
    canonical = hashed(one[0] for one in split)
    named = hashed(f"={place}" for place in range(1 + max(max(found) for found in known.values())))
    for row, one in enumerate(split):
        tokens[row, : len(one)] = [number[word] for word in one]
        for column, place in enumerate(sorted(known.get(one[0], ()))[:2]):
            group[row, column] = place
        if group[row, 0] >= 0:
            canonical[row] = named[group[row, 0]]
    letters, starts = _letters([text.replace(" ", "") for text in distinct])
    return Names(letters=letters, starts=starts, hashes=hashed(distinct), tokens=tokens, group=group, canonical=canonical, word_hashes=hashed(every))


def _address(column: pa.Array) -> tuple[pa.Array, pa.Array]:
    both = [spelling.split_address(text) for text in column.dictionary.to_pylist()]
    places = column.indices
    streets, numbers = (pa.array([text or None for text in texts], pa.string()) for texts in zip(*both, strict=True)) if both else (pa.array([], pa.string()),) * 2
    return pc.dictionary_encode(streets.take(places)), pc.dictionary_encode(numbers.take(places))


def _split_names(column: pa.Array) -> tuple[pa.Array, pa.Array]:
    """First and last name out of one field: `Last, First`, or the last word is the last name."""
    split = []
    for text in column.dictionary.to_pylist():
        last, comma, first = text.partition(",")
        if not comma:
            first, _, last = text.strip().rpartition(" ")
        split.append((first.strip() or None, last.strip() or None))
    firsts, lasts = (pa.array(texts, pa.string()) for texts in zip(*split, strict=True)) if split else (pa.array([], pa.string()),) * 2
    return pc.dictionary_encode(firsts.take(column.indices)), pc.dictionary_encode(lasts.take(column.indices))


def _dates(column: pa.ChunkedArray) -> Codes:
    encoded = _text(column) if not pa.types.is_temporal(column.type) else pc.dictionary_encode(pa.array(column.cast(pa.date32()).combine_chunks()))
    distinct = encoded.dictionary.to_pylist()
    numbers = [_of_day(day) if isinstance(day, dt.date) else spelling.date_number(day) for day in distinct]
    return np.array([*numbers, -1], np.int32)[_places(encoded, len(distinct))]


def _of_day(day: dt.date) -> int:
    return day.year * 10_000 + day.month * 100 + day.day


def taken(of: Any, rows: npt.NDArray[np.int64]) -> Any:
    """The same records, some of them."""
    from dataclasses import replace

    def some(codes: Codes | None) -> Codes | None:
        return None if codes is None else codes[rows]

    return replace(
        of, size=len(rows), first=some(of.first), last=some(of.last), full=some(of.full), birth=some(of.birth),
        texts={name: Coded(codes=column.codes[rows], words=column.words) for name, column in of.texts.items()},
    )  # fmt: skip
