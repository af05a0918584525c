"""Names, streets and places that many people share; addresses and numbers that nobody has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from kundig.simulate.text import Ints, digits, join, pick, pool, rows, texts

WOMEN = (
    "Anna", "Maria", "Sabine", "Petra", "Monika", "Ursula", "Julia", "Claudia", "Susanne", "Andrea", "Stefanie", "Nicole", "Katharina", "Laura", "Lena",
    "Sophie", "Marie", "Hannah", "Emma", "Mia", "Lea", "Johanna", "Elisabeth", "Renate", "Helga", "Brigitte", "Gisela", "Karin", "Ingrid", "Birgit",
    "Heike", "Silke", "Anja", "Tanja", "Sandra", "Melanie", "Kerstin", "Jana", "Franziska", "Theresa", "Zeynep", "Fatma", "Ayşe", "Elif", "Olga",
    "Natalia", "Svetlana", "Agnieszka", "Małgorzata", "Giulia", "Chiara", "Sofia", "Amélie", "Chloé", "Käthe", "Grete", "Frieda", "Luise", "Charlotte",
    "Mathilda", "Paula", "Greta", "Ida", "Clara", "Ella", "Lina", "Emilia",
)  # fmt: skip
MEN = (
    "Thomas", "Michael", "Andreas", "Peter", "Wolfgang", "Klaus", "Jürgen", "Günter", "Stefan", "Christian", "Markus", "Matthias", "Frank", "Uwe", "Jörg",
    "Jens", "Sven", "Lars", "Tobias", "Florian", "Sebastian", "Alexander", "Daniel", "Felix", "Paul", "Leon", "Lukas", "Jonas", "Finn", "Noah", "Elias",
    "Ben", "Luis", "Maximilian", "Philipp", "Simon", "Tim", "Jan", "Moritz", "Karl", "Heinz", "Hans", "Werner", "Helmut", "Manfred", "Gerhard", "Dieter",
    "Horst", "Björn", "Sören", "Mehmet", "Mustafa", "Ali", "Emre", "Can", "Piotr", "Tomasz", "Dmitri", "Sergej", "Marco", "Luca", "Antonio", "José",
    "René", "André", "Götz", "Rüdiger", "Oskar", "Anton", "Emil", "Theo", "Henry", "Günther",
)  # fmt: skip
COMMON_SURNAMES = (
    "Müller", "Schmidt", "Schneider", "Fischer", "Weber", "Meyer", "Wagner", "Becker", "Schulz", "Hoffmann", "Schäfer", "Koch", "Bauer", "Richter",
    "Klein", "Wolf", "Schröder", "Neumann", "Schwarz", "Zimmermann", "Braun", "Krüger", "Hofmann", "Hartmann", "Lange", "Schmitt", "Werner", "Schmitz",
    "Krause", "Meier", "Lehmann", "Schmid", "Schulze", "Maier", "Köhler", "Herrmann", "König", "Walter", "Mayer", "Huber", "Kaiser", "Fuchs", "Peters",
    "Lang", "Scholz", "Möller", "Weiß", "Jung", "Hahn", "Schubert", "Vogel", "Friedrich", "Keller", "Günther", "Frank", "Berger", "Winkler", "Roth",
    "Beck", "Lorenz", "Baumann", "Franke", "Albrecht", "Schuster", "Simon", "Ludwig", "Böhm", "Winter", "Kraus", "Martin", "Schumacher", "Krämer", "Vogt",
    "Stein", "Jäger", "Otto", "Sommer", "Groß", "Seidel", "Heinrich", "Brandt", "Haas", "Schreiber", "Graf", "Dietrich", "Ziegler", "Kuhn", "Kühn",
    "Pohl", "Engel", "Horn", "Busch", "Bergmann", "Thomas", "Voigt", "Sauer", "Arnold", "Wolff", "Pfeiffer", "Yılmaz", "Kaya", "Demir", "Şahin", "Çelik",
    "Nowak", "Kowalski", "Wiśniewski", "Ivanov", "Petrov", "Rossi", "Ferrari", "Nguyen", "Tran", "García", "Fernández", "Strauß", "Preuß", "Weißmann",
    "Größer", "Süßmilch", "Öztürk", "Özdemir",
)  # fmt: skip
_STEMS = (
    "Alten", "Berg", "Birken", "Blum", "Born", "Brink", "Buch", "Dorn", "Eich", "Falken", "Feld", "Fisch", "Gold", "Grün", "Hagen", "Hasel", "Hoch", "Kirch", "Kron",
    "Linden", "Löwen", "Mühl", "Neu", "Ober", "Rosen", "Roth", "Sand", "Schön", "Stern", "Tannen", "Thal", "Unter", "Wald", "Wein", "Weid", "Wies", "Winkel", "Ziegel",
)  # fmt: skip
_ENDINGS = ("mann", "berg", "bach", "feld", "meier", "hoff", "dorf", "baum", "heim", "stein", "hausen", "müller", "kamp", "holz", "brink", "eck", "burg", "reuter", "bauer", "haus", "thaler", "born")
SURNAMES = COMMON_SURNAMES + tuple(stem + ending for ending in _ENDINGS for stem in _STEMS if ending not in stem.lower())
"""Common surnames first, then rarer ones made of two parts, as German surnames are."""
STREETS = (
    "Hauptstraße", "Schulstraße", "Gartenstraße", "Bahnhofstraße", "Dorfstraße", "Bergstraße", "Birkenweg", "Lindenstraße", "Kirchstraße", "Waldstraße",
    "Ringstraße", "Schillerstraße", "Goethestraße", "Amselweg", "Wiesenweg", "Jahnstraße", "Feldstraße", "Buchenweg", "Friedhofstraße", "Mozartstraße",
    "Rosenweg", "Mühlenweg", "Blumenstraße", "Eichenweg", "Finkenweg", "Sonnenstraße", "Marktplatz", "Parkallee", "Uferstraße", "Königsallee",
)  # fmt: skip
CITIES = (
    ("Berlin", 10_115), ("Hamburg", 20_095), ("München", 80_331), ("Köln", 50_667), ("Frankfurt am Main", 60_311), ("Stuttgart", 70_173), ("Düsseldorf", 40_210), ("Leipzig", 4_103),
    ("Dortmund", 44_135), ("Essen", 45_127), ("Bremen", 28_195), ("Dresden", 1_067), ("Hannover", 30_159), ("Nürnberg", 90_402), ("Duisburg", 47_051), ("Bochum", 44_787),
    ("Wuppertal", 42_103), ("Bielefeld", 33_602), ("Bonn", 53_111), ("Münster", 48_143), ("Karlsruhe", 76_131), ("Mannheim", 68_159), ("Augsburg", 86_150), ("Kiel", 24_103),
    ("Würzburg", 97_070), ("Tübingen", 72_070), ("Göttingen", 37_073), ("Lübeck", 23_552),
)  # fmt: skip
NICKNAMES = {
    "Katharina": "Kathi", "Alexander": "Alex", "Michael": "Micha", "Elisabeth": "Lisa", "Maximilian": "Max", "Johanna": "Hanna", "Thomas": "Tom", "Stefanie": "Steffi",
    "Sebastian": "Basti", "Franziska": "Franzi", "Susanne": "Susi", "Matthias": "Matze", "Andreas": "Andi", "Christian": "Chris", "Wolfgang": "Wolf", "Florian": "Flo",
}  # fmt: skip
DOMAINS = ("example.org", "example.com", "example.net", "mail.example.org", "post.example.com")
SECOND_DOMAINS = ("work.example.com", "buero.example.net", "alt.example.org")

_PLAIN = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "ş": "s", "Ş": "S", "ç": "c", "Ç": "C", "ı": "i", "ğ": "g", "é": "e", "ł": "l", "ś": "s", "í": "i", "á": "a"}
)


def plain(text: str) -> str:
    """A text without umlauts and other marks, as addresses and old systems spell it.

    Examples:
        >>> plain("Jürgen Weiß"), plain("Ayşe")
        ('Juergen Weiss', 'Ayse')
    """
    return text.translate(_PLAIN)


def western(text: str) -> str:
    """A text as a system spells it that knows Western European letters alone (cp1252).

    Examples:
        >>> western("Małgorzata"), western("Müller")
        ('Malgorzata', 'Müller')
    """
    return "".join(letter if _fits(letter) else plain(letter) for letter in text)


def _fits(letter: str) -> bool:
    try:
        letter.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True


FIRST = pool(WOMEN + MEN)
LAST = pool(SURNAMES)
STREET = pool(STREETS)
CITY = pool([*(name for name, _ in CITIES), "Zürich"])
POSTCODE = np.array([*(code for _, code in CITIES), 8_000])
ZURICH = len(CITIES)
FIRST_WESTERN, LAST_WESTERN = pool(western(name) for name in WOMEN + MEN), pool(western(name) for name in SURNAMES)
_FIRST_MAIL, _LAST_MAIL = pool(plain(name).lower() for name in WOMEN + MEN), pool(plain(name).lower() for name in SURNAMES)


def common(rng: np.random.Generator, size: int, count: int) -> Ints:
    """Places in a pool of that size, the front ones more often: shares fall like those of real names."""
    weights = 1.0 / (np.arange(size) + 8.0)
    return np.searchsorted(np.cumsum(weights / weights.sum())[:-1], rng.random(count)).astype(np.int64)


def firsts(rng: np.random.Generator, male: Any) -> Ints:
    """Places of first names in `FIRST`."""
    count = len(male)
    women, men = common(rng, len(WOMEN), count), common(rng, len(MEN), count)
    return np.where(male, len(WOMEN) + men, women)


def addresses(first: Ints, last: Ints, number: Ints, domain: Ints) -> pa.Array:
    """An e-mail address each, none twice: the person's number stands in it."""
    return join(pick(_FIRST_MAIL, first), ".", pick(_LAST_MAIL, last), texts(number), "@", pick(pool(DOMAINS), domain))


def second_addresses(first: Ints, last: Ints, number: Ints, domain: Ints) -> pa.Array:
    """Another address of the same people, at work or an old one: spelt another way."""
    import pyarrow.compute as pc

    return join(pc.utf8_slice_codeunits(pick(_FIRST_MAIL, first), 0, 1), "_", pick(_LAST_MAIL, last), "-", texts(number), "@", pick(pool(SECOND_DOMAINS), domain))


_LANDLINES = pool(["30 23125", "221 4710", "40 66969", "69 90009", "89 99998"])
_MOBILES = pool(["171 39200", "176 040690"])
NUMBERS = 5_000_000


def phones(line: Ints, mobile: Any) -> pa.Array:
    """The number of each line, without the leading zero, from the blocks that are kept free for films.

    Lines are numbered; a landline's three digits behind the block make it unique up to five million, mobile numbers are few and repeat
    between people, as a number that was given away does.
    """
    spread = (line * 7_919 + 13) % NUMBERS
    landline = join(pick(_LANDLINES, spread % 5), rows(digits(spread // 5 % 1_000, 3), digits(spread // 5_000, 3), count=len(line)))
    cell = join(pick(_MOBILES, spread % 2), rows(digits(spread // 2 % 100, 2), count=len(line)))
    import pyarrow.compute as pc

    return pc.if_else(pa.array(np.asarray(mobile)), cell, landline)
