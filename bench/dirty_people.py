"""Made-up records of people with the dirt that customer bases collect: one person has up to five records, and none of them need be right.

Names follow Zipf's law, an eighth of all people share house and surname with somebody, an eighth of all records know an older address. Everything is drawn from a seed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kundig.simulate.names import MEN, NICKNAMES, STREETS, SURNAMES, WOMEN, plain

Ints = npt.NDArray[np.int64]
Texts = npt.NDArray[np.object_]

STEMS = ("Alt", "Au", "Bach", "Berg", "Birn", "Brand", "Bruck", "Dorn", "Eber", "Eich", "Erl", "Fel", "Fuhr", "Gars", "Grab", "Hall", "Heid", "Hirsch", "Kalt", "Kess", "Lind", "Mar", "Nies", "Ost", "Pfal", "Raben", "Rein", "Sal", "Schön", "Tann", "Ulm", "Vogt", "Wall", "Zell")
ENDS = ("ach", "auer", "bauer", "berger", "burg", "denberg", "dorfer", "ecker", "felder", "gruber", "hammer", "heimer", "hofer", "inger", "kamper", "leitner", "maier", "meister", "moser", "müller", "ner", "reiter", "rieder", "schmied", "steiner", "strasser", "thaler", "wanger", "weiler", "winkler")
DOMAINS = ("mail.example", "post.example", "web.example", "net.example", "family.example", "office.example", "city.example", "old.example")
PREFIXES = ("0151", "0160", "0170", "0171", "0176", "030", "040", "089", "0221", "0711")
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def people(count: int, seed: int = 42) -> pa.Table:
    """`count` records: record_id, person, first_name, last_name, birth_date, street, house_number, postcode, city, phone, email."""
    rng = np.random.default_rng(seed)
    persons = max(2, int(count * 0.36))
    first, last = pool([*WOMEN, *MEN, *made(rng, 700, STEMS[::2], ("a", "o", "e", "ine", "ert", "win", "mar", "lind"))]), pool([*SURNAMES, *made(rng, 9_000, STEMS, ENDS)])
    cities = pool(made(rng, 1_300, STEMS, ("stadt", "dorf", "heim", "hausen", "furt", "kirchen", "brück", "rode", "ingen", "tal", "see", "walde")))
    codes = rng.choice(98_000, len(cities), replace=False) + 1_000
    given, family = zipf(rng, len(first), persons, 0.85, 4), zipf(rng, len(last), persons, 0.75, 6)
    here, before = address(rng, len(cities), persons), address(rng, len(cities), persons)
    beside = np.flatnonzero(rng.random(persons) < 0.12)[1:]
    family[beside] = family[beside - 1]
    for column in here:
        column[beside] = column[beside - 1]
    birth = np.datetime64("1930-01-01") + rng.integers(0, 78 * 365, persons)
    lines, mails = rng.integers(10**7, 10**8, (2, persons)), addresses(rng, first[given], last[family])
    who = np.repeat(np.arange(persons), rng.choice([1, 2, 3, 4, 5], persons, p=[0.22, 0.22, 0.24, 0.18, 0.14]))
    who = who[rng.permutation(len(who))]
    who = np.concatenate([who, rng.integers(0, persons, max(0, count - len(who)))])[:count]
    draw = Draw(rng, count)
    moved = draw.some(0.12)
    city, street, number, offset = (np.where(moved, old[who], new[who]) for new, old in zip(here, before, strict=True))
    columns: dict[str, Texts] = {
        "first_name": first[given[who]], "last_name": last[family[who]], "birth_date": birth[who].astype(str).astype(object), "street": np.array(STREETS, object)[street],
        "house_number": number.astype(str).astype(object), "postcode": np.char.zfill((codes[city] + offset).astype(str), 5).astype(object), "city": cities[city],
        "phone": np.array(PREFIXES, object)[who % len(PREFIXES)] + np.where(draw.some(0.15), lines[1][who], lines[0][who]).astype(str).astype(object),
        "email": np.where(draw.some(0.18), mails[1][who], mails[0][who]),
    }  # fmt: skip
    soil(draw, columns, last)
    return pa.table({"record_id": np.arange(count), "person": who} | {name: pa.array(column, pa.string(), from_pandas=True) for name, column in columns.items()})


class Draw:
    """What befalls records, drawn for each of them."""

    def __init__(self, rng: np.random.Generator, count: int) -> None:
        self.rng, self.count = rng, count

    def some(self, share: float) -> npt.NDArray[np.bool_]:
        """A share of the records."""
        return self.rng.random(self.count) < share

    def change(self, column: Texts, share: float, to: Callable[[str], str]) -> None:
        """Texts of a share of the records, changed."""
        for row in np.flatnonzero(self.some(share)).tolist():
            column[row] = to(column[row])

    def slip(self, column: Texts, share: float, alphabet: str = ALPHABET) -> None:
        """A letter left out, added, exchanged or swapped with the next one in a share of the texts."""
        rows = np.flatnonzero(self.some(share))
        for row, kind, place, letter in zip(rows.tolist(), self.rng.integers(0, 4, len(rows)).tolist(), self.rng.random(len(rows)).tolist(), self.rng.integers(0, len(alphabet), len(rows)).tolist(), strict=True):
            column[row] = slipped(column[row], kind, place, alphabet[letter])


def soil(draw: Draw, columns: dict[str, Texts], surnames: Texts) -> None:
    """All the dirt, in the order in which it settles."""
    for name in ("first_name", "last_name", "street", "city"):
        draw.change(columns[name], 0.25, plain)
        draw.change(columns[name], 0.10, unmarked)
        draw.change(columns[name], 0.02, garbled)
    draw.change(columns["first_name"], 0.3, lambda text: NICKNAMES.get(text, text))
    draw.change(columns["first_name"], 0.04, lambda text: f"{text[:1]}.")
    for name, share in (("first_name", 0.04), ("last_name", 0.05), ("street", 0.05), ("city", 0.03), ("email", 0.03)):
        draw.slip(columns[name], share)
    draw.change(columns["street"], 0.35, lambda text: text.replace("straße", "str.").replace("strasse", "str."))
    for name, share in (("birth_date", 0.03), ("postcode", 0.04), ("phone", 0.03)):
        draw.slip(columns[name], share, "0123456789")
    draw.change(columns["birth_date"], 0.02, lambda text: f"{text[:4]}-{text[8:10]}-{text[5:7]}")
    draw.change(columns["birth_date"], 0.02, lambda text: f"{text[:4]}-01-01")
    draw.change(columns["phone"], 0.3, lambda text: f"+49{text[1:]}")
    draw.change(columns["phone"], 0.2, lambda text: f"{text[:4]} {text[4:]}")
    swapped = draw.some(0.015)
    columns["first_name"], columns["last_name"] = np.where(swapped, columns["last_name"], columns["first_name"]), np.where(swapped, columns["first_name"], columns["last_name"])
    columns["last_name"] = np.where(draw.some(0.03), surnames[zipf(draw.rng, len(surnames), draw.count, 0.75, 6)], columns["last_name"])
    for name in ("first_name", "last_name"):
        draw.change(columns[name], 0.2, str.upper)
        draw.change(columns[name], 0.1, str.lower)
    for name, share in (("first_name", 0.02), ("last_name", 0.005), ("birth_date", 0.25), ("street", 0.12), ("postcode", 0.08), ("city", 0.08), ("phone", 0.35), ("email", 0.30)):
        columns[name][draw.some(share)] = None
    columns["house_number"][np.equal(columns["street"], None)] = None


def slipped(text: str, kind: int, place: float, letter: str) -> str:
    """A text with one slip of a typist.

    Examples:
        >>> [slipped("weber", kind, 0.3, "x") for kind in range(4)]
        ['wber', 'wxeber', 'wxber', 'wbeer']
    """
    if len(text) < 2:
        return text
    at = int(place * (len(text) - 1))
    return (text[:at] + text[at + 1 :], text[:at] + letter + text[at:], text[:at] + letter + text[at + 1 :], text[:at] + text[at + 1] + text[at] + text[at + 2 :])[kind]


def unmarked(text: str) -> str:
    """Umlauts as systems write them that know none."""
    return text.translate(str.maketrans("äöüßÄÖÜ", "aousAOU"))


def garbled(text: str) -> str:
    """UTF-8 read as cp1252."""
    return text.encode().decode("cp1252", "replace")


def pool(texts: list[str]) -> Texts:
    """Distinct texts, in their order."""
    return np.array(list(dict.fromkeys(texts)), object)


def made(rng: np.random.Generator, count: int, stems: Any, ends: Any) -> list[str]:
    """Names of a stem, at times another one, and an ending."""
    middles = ["", "", "el", "en", "er", "hart", "lin", "os", "um", "wig"]
    every = sorted({stem + middle + end for stem in stems for middle in middles for end in ends})
    return [every[place] for place in rng.permutation(len(every))[:count].tolist()]


def zipf(rng: np.random.Generator, size: int, count: int, power: float, shift: float) -> Ints:
    """Places in a pool, the front ones more often."""
    shares = 1 / (np.arange(size) + shift) ** power
    return np.searchsorted(np.cumsum(shares / shares.sum())[:-1], rng.random(count)).astype(np.int64)


def address(rng: np.random.Generator, cities: int, count: int) -> tuple[Ints, Ints, Ints, Ints]:
    """City, street, house number and district of so many people."""
    return zipf(rng, cities, count, 0.9, 5), zipf(rng, len(STREETS), count, 0.5, 5), rng.integers(1, 140, count), rng.integers(0, 4, count)


def addresses(rng: np.random.Generator, first: Texts, last: Texts) -> tuple[Texts, Texts]:
    """Two e-mail addresses of each person, made of the name as people make them."""
    plainly = {text: plain(text).lower() for text in (*first, *last)}
    style, number, domain = rng.integers(0, 5, len(first)).tolist(), rng.integers(1, 9_999, (2, len(first))).tolist(), np.array(DOMAINS, object)[rng.integers(0, len(DOMAINS), (2, len(first)))]
    one, other = [], []
    for row, (given, family) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        f, s, n = plainly[given], plainly[family], number[0][row]
        one.append((f"{f}.{s}{n % 100}", f"{f}{s}{n}", f"{f[:1]}{s}{n}", f"{s}.{f}{n}", f"{f}{n}")[style[row]])
        other.append(f"{f}{s}{number[1][row]}")
    return np.array([f"{local}@{at}" for local, at in zip(one, domain[0], strict=True)], object), np.array([f"{local}@{at}" for local, at in zip(other, domain[1], strict=True)], object)


def given_columns(table: pa.Table) -> pa.Table:
    """The records without their truth."""
    return table.drop_columns(["person"])


def truth_of(table: pa.Table) -> Ints:
    """Whose record each is."""
    return np.asarray(pc.cast(table["person"], pa.int64()).to_numpy())
