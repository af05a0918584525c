"""Blocking: keys that two records of one person are likely to share, so that not all pairs need be compared.

A pair is a candidate if it shares a key that at most `most` records have; what a crowd shares (a switchboard's number, a common name) proposes
nobody, and other keys do. So whether a pair is one depends on its two records and on how many share their keys, on nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kundig.unify.matching.columns import Coded, Codes, Keys, Records
from kundig.unify.matching.levels import others
from kundig.unify.union_find import compiled

NONE = np.int64(-1)
MOST = 60
"""Records that may share a key for it to propose pairs."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One way of proposing pairs: a row of keys per record (-1: none), and the components it looks at, which cannot be learnt from its pairs."""

    name: str
    keys: Keys
    sees: tuple[str, ...]

    @property
    def teaches(self) -> bool:
        """Whether its pairs are often enough one person's for EM to find them: keys of one loose part are not."""
        return self.name in TEACHERS

    def size(self, most: int) -> int:
        """How many pairs it proposes, before those of other rules are taken out."""
        keys = np.sort(self.keys[self.keys != NONE])
        starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1], [True]])) if keys.size else np.zeros(1, np.int64)
        sizes = np.diff(starts)
        sizes = sizes[sizes <= most]
        return int((sizes * (sizes - 1) // 2).sum())


TEACHERS = frozenset({"email", "phone", "last+birth", "first+birth", "birth+postcode", "names", "street+number+first", "first3+last4", "sector+birth"})
"""Rules whose pairs the model is learnt from."""


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Pairs of records (left < right), and the rules that proposed each, one bit a rule."""

    left: Codes
    right: Codes
    rules: npt.NDArray[np.int64]


def rules(of: Records) -> list[Rule]:
    """All rules that these records have the columns for, in a fixed order."""
    parts = _parts(of)
    found: list[Rule] = []
    for name in _combinations(of):
        given = [parts.get(part) for part in name.split("+")]
        if all(one is not None for one in given):
            keys = _joined(name, [one[0] for one in given if one is not None])
            found.append(Rule(name=name, keys=keys, sees=tuple(sorted({sight for one in given if one is not None for sight in one[1]}))))
    return found


def _combinations(of: Records) -> list[str]:
    fixed = [
        "email", "phone", "last+birth", "first+birth", "birth+postcode", "names", "street+number+first", "street+number+last", "initial+last+postcode", "local", "street+number+birth",
        "given+last+city", "first3+last4+year", "first3+last4", "sector+birth", "sector+first", "sector+last", "last+year", "birth", "postcode", "district+year", "first2+last2+year",
        "names+year", "words",
    ]  # fmt: skip
    loose = ["last+city", "first+city", "last", "street+number", "number+postcode", "number+year", "street", "first"]
    fixed += [rule for name in others(of) for rule in (f"birth+{name}", f"last+{name}", f"first+district+{name}", f"year+given+{name}")]
    return fixed + loose + others(of)


Part = tuple[Keys, tuple[str, ...]]


def _parts(of: Records) -> dict[str, Part]:
    """What keys are made of: a number per record, -1 where it is missing, and the component it comes from."""
    found: dict[str, Part] = {}
    names = of.names
    if names is not None:
        for field, codes in (("first", of.first), ("last", of.last)):
            if codes is not None:
                sees = (f"{field}_name",)
                found[field] = _at(names.hashes, codes), sees
                found |= {f"{field}{n}": (_at(_heads(names, n), codes), sees) for n in (2, 3, 4)}
        if of.first is not None:
            found["given"] = _at(names.canonical, of.first), ("first_name",)
            found["initial"] = _at(_heads(names, 1), of.first), ("first_name",)
        both = tuple(field for field, codes in (("first_name", of.first), ("last_name", of.last)) if codes is not None)
        if len(both) == 2:
            one, other = found["first"][0], found["last"][0]
            missing = (one == NONE) | (other == NONE)
            found["names"] = np.where(missing, NONE, _mixed(np.minimum(one, other), np.maximum(one, other))), both
        if of.full is not None:
            tokens = np.vstack([names.tokens, np.full((1, names.tokens.shape[1]), -1, np.int32)])[of.full]
            found["words"] = np.where(tokens < 0, NONE, np.append(names.word_hashes, NONE)[tokens]), both
    if of.birth is not None:
        found["birth"] = np.where(of.birth < 0, NONE, of.birth.astype(np.int64)), ("birth_date",)
        found["year"] = np.where(of.birth < 0, NONE, of.birth.astype(np.int64) // 10_000), ("birth_date",)
    place = "address" if "street" in of.texts else "postcode"
    for name, sight in (("street", "address"), ("city", "address" if "street" in of.texts else "city"), ("email", "email"), ("phone", "phone"), ("local", "email")):
        if name in of.texts:
            found[name] = _at(of.texts[name].words.hashes, of.texts[name].codes), (sight,)
    if "house_number" in of.texts:
        found["number"] = _at(of.texts["house_number"].words.hashes, of.texts["house_number"].codes), ("address",)
    if "postcode" in of.texts:
        post = of.texts["postcode"]
        found["postcode"] = _at(post.words.hashes, post.codes), (place,)
        found["sector"], found["district"] = ((_at(_heads(post.words, -n), post.codes), (place,)) for n in (2, 3))
    return found | {name: _other(of.texts[name], name) for name in others(of) if name not in found}


def _other(column: Coded, name: str) -> Part:
    return _at(column.words.hashes, column.codes), (name,)


def _at(values: Keys, codes: Codes) -> Keys:
    return np.where(codes < 0, NONE, np.append(values, NONE)[codes])


def _heads(words: Any, most: int) -> Keys:
    """A hash of the first letters of each text; with a negative number, of all but the last ones."""
    from kundig.unify.matching.columns import hashed

    letters, starts = words.letters.tobytes(), words.starts
    heads = [letters[a : min(a + most, b) if most > 0 else max(a, b + most)] for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)]
    number: dict[bytes, int] = {}
    places = [number.setdefault(head, len(number)) for head in heads]
    values = hashed(head.decode("utf-8", "replace") for head in number)
    return values[places] if places else np.empty(0, np.int64)


def _joined(name: str, parts: Sequence[Keys]) -> Keys:
    from kundig.unify.matching.columns import hashed

    whole = np.stack(np.broadcast_arrays(*[part if part.ndim > 1 else part[:, None] for part in parts]))
    key = np.full(whole[0].size, hashed([name])[0], np.int64)
    for part in whole:
        key = _mixed(key, part.ravel())
    return np.where((whole == NONE).any(axis=0), NONE, key.reshape(whole[0].shape))


def _mixed(one: Keys, other: Keys) -> Keys:
    return np.asarray(_mix(one, other))


@compiled
def _mix(one: Any, other: Any) -> Any:
    out = np.empty(one.size, np.int64)
    for i in range(one.size):
        h = np.uint64(one[i]) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(other[i])
        h ^= h >> np.uint64(32)
        h *= np.uint64(0xD6E8FEB86659FD93)
        h ^= h >> np.uint64(32)
        out[i] = np.int64(h >> np.uint64(1))
    return out


def candidates(found: Sequence[Rule], *, most: int = MOST) -> Candidates:
    """All pairs that a rule proposes, each once."""
    packed: list[Keys] = []
    bits: list[npt.NDArray[np.int64]] = []
    for number, rule in enumerate(found):
        keys = rule.keys.ravel()
        places = np.flatnonzero(keys != NONE)
        places = places[np.argsort(keys[places])]
        pairs = _pairs(places // rule.keys.shape[1], keys[places], most)
        packed.append(pairs)
        bits.append(np.full(pairs.size, np.int64(1) << np.int64(number)))
    every = np.concatenate(packed) if packed else np.empty(0, np.int64)
    order = np.argsort(every)
    every, flags = every[order], (np.concatenate(bits) if bits else np.empty(0, np.int64))[order]
    starts = np.flatnonzero(np.concatenate([[True], every[1:] != every[:-1]])) if every.size else np.empty(0, np.int64)
    proposed = np.bitwise_or.reduceat(flags, starts) if every.size else flags
    return Candidates(left=(every[starts] >> 32).astype(np.int32), right=(every[starts] & 0xFFFFFFFF).astype(np.int32), rules=proposed)


@compiled
def _pairs(record: Any, keys: Any, most: Any) -> Any:
    """Pairs of records next to each other under one key, packed in one number; both sorted by key."""
    count, start = 0, 0
    for i in range(1, keys.size + 1):
        if i == keys.size or keys[i] != keys[start]:
            size = i - start
            if size <= most:
                count += size * (size - 1) // 2
            start = i
    out = np.empty(count, np.int64)
    at, start = 0, 0
    for i in range(1, keys.size + 1):
        if i == keys.size or keys[i] != keys[start]:
            if i - start <= most:
                for a in range(start, i):
                    for b in range(a + 1, i):
                        x, y = min(record[a], record[b]), max(record[a], record[b])
                        if x != y:
                            out[at] = (x << 32) | y
                            at += 1
            start = i
    return out[:at]
