"""People by what one remembers of them: names, company, place, an e-mail address or a phone number, misspelt or in part; the nearest first."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kundig.answers.asking import rows, text

if TYPE_CHECKING:
    import datetime as dt

    from kundig.workspace import Workspace

MOST = 20
"""People that a search gives."""
WORDS = 5
"""Words of a search that are looked at."""
NAMED = ("first_name", "last_name", "company", "city", "postcode")
"""Where words are looked for."""
_LETTERS = {"ß": "ss", "æ": "a", "œ": "o", "ø": "o", "ł": "l", "ı": "i", "đ": "d"}
_WRITTEN = {"ae": "a", "oe": "o", "ue": "u"}
"""Umlauts written out: Mueller, Müller and Muller are one."""
_VALUES = 1_500
"""Spellings of one word that are followed up."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """One person that may be meant."""

    person_id: str
    name: str
    company: str
    city: str
    email: str
    phone: str
    last_seen_at: dt.datetime | None
    off: float
    """How far what was asked is from what is known: 0 the same, 0.5 a beginning, else letters that differ."""


def plain(said: str) -> str:
    """A text as it is compared: small letters without accents, and umlauts that are written out as their vowel.

    Examples:
        >>> plain("Müller-Luedenscheidt"), plain("Yıldız"), plain("Éva Weiß")
        ('muller-ludenscheidt', 'yildiz', 'eva weiss')
    """
    small = unicodedata.normalize("NFC", said.replace("İ", "I")).lower()
    written = "".join(_LETTERS.get(letter, letter) for letter in small)
    bare = "".join(letter for letter in unicodedata.normalize("NFD", written) if not unicodedata.combining(letter))
    for two, one in _WRITTEN.items():
        bare = bare.replace(two, one)
    return bare


def find(workspace: Workspace, asked: str, *, most: int = MOST) -> tuple[Found, ...]:
    """People who may be meant, the nearest first, then the most recently seen; for identifiers as they are known, `resolve` comes first.

    Words are looked for in names, company, town and postcode, in any order; each must be found. A word of 4 to 7 letters may differ by one
    letter (left out, added, changed or swapped), a longer one by two; two letters and more may be a beginning. Those spelt right come before all others.
    """
    given = asked.replace("\0", "").strip()[:200]
    if "@" in given:
        return _told(_by_email(workspace, given.lower(), most))
    digits = re.sub(r"\D", "", given)
    if len(digits) >= 6 and re.fullmatch(r"[\d\s()+/.-]+", given):
        return _told(_by_phone(workspace, digits.lstrip("0"), most))
    words = re.findall(r"[^\W_]+", plain(given))[:WORDS]
    return _told(_by_words(workspace, words, most)) if words else ()


def tolerance(word: str) -> int:
    """By how many letters a word may differ."""
    return 0 if len(word) < 4 or word.isdigit() else 1 if len(word) < 8 else 2


def _by_words(workspace: Workspace, words: Sequence[str], most: int) -> list[dict[str, Any]]:
    near = _near(workspace, words)
    found: dict[str, dict[str, Any]] = {}
    for within in (0.5, 2.0):
        spelt = {word: {value: off for value, off in near.get(word, {}).items() if off <= within} for word in words}
        if len(found) >= most or not all(spelt.values()):
            continue
        tests = " AND ".join("(" + " OR ".join(f"{column} IN ({', '.join(map(text, spelt[word]))})" for column in NAMED) + ")" for word in words)
        rank = " + ".join(f"least({', '.join(_rank(column, spelt[word]) for column in NAMED)})" for word in words)
        for row in rows(workspace, f"SELECT {_COLUMNS}, {rank} AS off FROM profiles WHERE {tests} ORDER BY off, last_seen_at DESC, person_id LIMIT {int(most)}"):
            found.setdefault(row["person_id"], row)
    return list(found.values())[:most]


def _rank(column: str, spelt: dict[str, float]) -> str:
    """How far a column's value is from a word, in SQL; 9 where it is not near."""
    by: dict[float, list[str]] = {}
    for value, off in spelt.items():
        by.setdefault(off, []).append(value)
    return "CASE " + " ".join(f"WHEN {column} IN ({', '.join(map(text, values))}) THEN {off}" for off, values in sorted(by.items())) + " ELSE 9 END"


def _near(workspace: Workspace, words: Sequence[str]) -> dict[str, dict[str, float]]:
    """Word → spellings in the data that may mean it, and how far each is: compared once a spelling, not once a person."""
    said = " UNION ".join(f"SELECT DISTINCT {column} AS spelt FROM profiles" for column in NAMED)
    small = "replace(lower(spelt), 'i̇', 'i')"
    for letter, written in _LETTERS.items():
        small = f"replace({small}, '{letter}', '{written}')"
    small = f"strip_accents({small})"
    for two, one in _WRITTEN.items():
        small = f"replace({small}, '{two}', '{one}')"
    asked = ", ".join(f"({text(word)}, {tolerance(word)})" for word in dict.fromkeys(words))
    sql = f"""
        WITH said AS ({said}),
        parts AS (SELECT spelt, unnest(string_split_regex({small}, '[^\\p{{L}}\\p{{N}}]+')) AS part FROM said WHERE spelt IS NOT NULL),
        near AS (
            SELECT spelt, word, CASE WHEN part = word THEN 0 WHEN starts_with(part, word) AND length(word) >= 2 THEN 0.5 ELSE damerau_levenshtein(part, word) END AS off, may
            FROM parts, (VALUES {asked}) asked(word, may) WHERE part = word OR (length(word) >= 2 AND starts_with(part, word)) OR (may > 0 AND abs(length(part) - length(word)) <= may)
        )
        SELECT word, spelt, min(off)::DOUBLE AS far FROM near WHERE off <= greatest(may, 0.5) GROUP BY word, spelt
        QUALIFY row_number() OVER (PARTITION BY word ORDER BY far, spelt) <= {_VALUES}"""
    found: dict[str, dict[str, float]] = {}
    for row in rows(workspace, sql):
        found.setdefault(row["word"], {})[row["spelt"]] = row["far"]
    return found


def _by_email(workspace: Workspace, asked: str, most: int) -> list[dict[str, Any]]:
    local, _, domain = asked.rpartition("@")
    known = "lower(email)"
    own, host = f"split_part({known}, '@', 1)", f"split_part({known}, '@', 2)"
    off = f"damerau_levenshtein({own}, {text(local)}) + damerau_levenshtein({host}, {text(domain)})"
    near = f"({own} = {text(local)} OR ({host} = {text(domain)} AND abs(length({own}) - {len(local)}) <= 2 AND (left({own}, 1) = {text(local[:1])} OR right({own}, 1) = {text(local[-1:])})))"
    return rows(workspace, f"SELECT {_COLUMNS}, ({off})::DOUBLE AS off FROM profiles WHERE email IS NOT NULL AND {near} AND {off} <= 3 ORDER BY off, last_seen_at DESC, person_id LIMIT {int(most)}")


def _by_phone(workspace: Workspace, digits: str, most: int) -> list[dict[str, Any]]:
    return rows(workspace, f"SELECT {_COLUMNS}, 0.5::DOUBLE AS off FROM profiles WHERE ends_with(phone, {text(digits)}) OR contains(phone, {text(digits)}) ORDER BY last_seen_at DESC, person_id LIMIT {int(most)}")


_COLUMNS = "person_id, first_name, last_name, company, city, email, phone, last_seen_at"


def _told(found: Iterable[dict[str, Any]]) -> tuple[Found, ...]:
    return tuple(
        Found(
            person_id=row["person_id"], name=" ".join(part for part in (row["first_name"], row["last_name"]) if part), company=row["company"] or "", city=row["city"] or "", email=row["email"] or "",
            phone=row["phone"] or "", last_seen_at=row["last_seen_at"], off=float(row["off"]),
        )
        for row in found
    )  # fmt: skip


__all__ = ["MOST", "Found", "find", "plain"]
