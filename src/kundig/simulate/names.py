"""Names, streets and places that many people share; addresses and numbers that nobody has."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Texts = npt.NDArray[Any]

WOMEN = np.array(
    ["Anna", "Maria", "Sabine", "Petra", "Monika", "Ursula", "Julia", "Claudia", "Susanne", "Andrea", "Stefanie", "Nicole", "Katharina", "Laura", "Lena", "Sophie", "Marie", "Hannah", "Emma", "Mia", "Lea", "Johanna", "Elisabeth", "Renate", "Helga", "Brigitte", "Gisela", "Karin", "Ingrid", "Birgit", "Heike", "Silke", "Anja", "Tanja", "Sandra", "Melanie", "Kerstin", "Jana", "Franziska", "Theresa", "Zeynep", "Fatma", "Ayşe", "Elif", "Olga", "Natalia", "Svetlana", "Agnieszka", "Małgorzata", "Giulia", "Chiara", "Sofia", "Amélie", "Chloé", "Jörgine", "Käthe", "Grete", "Frieda", "Luise", "Charlotte", "Mathilda", "Paula", "Greta", "Ida", "Clara", "Ella", "Lina", "Emilia"]
)
MEN = np.array(
    ["Thomas", "Michael", "Andreas", "Peter", "Wolfgang", "Klaus", "Jürgen", "Günter", "Stefan", "Christian", "Markus", "Matthias", "Frank", "Uwe", "Jörg", "Jens", "Sven", "Lars", "Tobias", "Florian", "Sebastian", "Alexander", "Daniel", "Felix", "Paul", "Leon", "Lukas", "Jonas", "Finn", "Noah", "Elias", "Ben", "Luis", "Maximilian", "Philipp", "Simon", "Tim", "Jan", "Moritz", "Karl", "Heinz", "Hans", "Werner", "Helmut", "Manfred", "Gerhard", "Dieter", "Horst", "Björn", "Sören", "Mehmet", "Mustafa", "Ali", "Emre", "Can", "Piotr", "Tomasz", "Dmitri", "Sergej", "Marco", "Luca", "Antonio", "José", "René", "André", "Götz", "Rüdiger", "Bärbel", "Oskar", "Anton", "Emil", "Theo", "Henry"]
)
SURNAMES = np.array(
    ["Müller", "Schmidt", "Schneider", "Fischer", "Weber", "Meyer", "Wagner", "Becker", "Schulz", "Hoffmann", "Schäfer", "Koch", "Bauer", "Richter", "Klein", "Wolf", "Schröder", "Neumann", "Schwarz", "Zimmermann", "Braun", "Krüger", "Hofmann", "Hartmann", "Lange", "Schmitt", "Werner", "Schmitz", "Krause", "Meier", "Lehmann", "Schmid", "Schulze", "Maier", "Köhler", "Herrmann", "König", "Walter", "Mayer", "Huber", "Kaiser", "Fuchs", "Peters", "Lang", "Scholz", "Möller", "Weiß", "Jung", "Hahn", "Schubert", "Vogel", "Friedrich", "Keller", "Günther", "Frank", "Berger", "Winkler", "Roth", "Beck", "Lorenz", "Baumann", "Franke", "Albrecht", "Schuster", "Simon", "Ludwig", "Böhm", "Winter", "Kraus", "Martin", "Schumacher", "Krämer", "Vogt", "Stein", "Jäger", "Otto", "Sommer", "Groß", "Seidel", "Heinrich", "Brandt", "Haas", "Schreiber", "Graf", "Dietrich", "Ziegler", "Kuhn", "Kühn", "Pohl", "Engel", "Horn", "Busch", "Bergmann", "Thomas", "Voigt", "Sauer", "Arnold", "Wolff", "Pfeiffer", "Yılmaz", "Kaya", "Demir", "Şahin", "Çelik", "Nowak", "Kowalski", "Wiśniewski", "Ivanov", "Petrov", "Rossi", "Ferrari", "Nguyen", "Tran", "García", "Fernández", "Strauß", "Preuß", "Weißmann", "Größer", "Süßmilch", "Öztürk", "Özdemir"]
)
STREETS = np.array(
    ["Hauptstraße", "Schulstraße", "Gartenstraße", "Bahnhofstraße", "Dorfstraße", "Bergstraße", "Birkenweg", "Lindenstraße", "Kirchstraße", "Waldstraße", "Ringstraße", "Schillerstraße", "Goethestraße", "Amselweg", "Wiesenweg", "Jahnstraße", "Feldstraße", "Buchenweg", "Friedhofstraße", "Mozartstraße", "Rosenweg", "Mühlenweg", "Blumenstraße", "Eichenweg", "Finkenweg", "Sonnenstraße", "Marktplatz", "Parkallee", "Uferstraße", "Königsallee"]
)
CITIES = (
    ("Berlin", 10_115), ("Hamburg", 20_095), ("München", 80_331), ("Köln", 50_667), ("Frankfurt am Main", 60_311), ("Stuttgart", 70_173), ("Düsseldorf", 40_210), ("Leipzig", 4_103),
    ("Dortmund", 44_135), ("Essen", 45_127), ("Bremen", 28_195), ("Dresden", 1_067), ("Hannover", 30_159), ("Nürnberg", 90_402), ("Duisburg", 47_051), ("Bochum", 44_787),
    ("Wuppertal", 42_103), ("Bielefeld", 33_602), ("Bonn", 53_111), ("Münster", 48_143), ("Karlsruhe", 76_131), ("Mannheim", 68_159), ("Augsburg", 86_150), ("Kiel", 24_103),
    ("Würzburg", 97_070), ("Tübingen", 72_070), ("Göttingen", 37_073), ("Lübeck", 23_552),
)  # fmt: skip
DOMAINS = np.array(["example.org", "example.com", "example.net", "mail.example.org", "post.example.com"])
_PLAIN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "ş": "s", "Ş": "S", "ç": "c", "Ç": "C", "ı": "i", "ğ": "g", "é": "e", "ł": "l", "ś": "s", "í": "i", "á": "a"})


def pick(rng: np.random.Generator, pool: Texts, count: int) -> Texts:
    """Names from a pool, common ones first: shares fall like those of real names."""
    weights = 1.0 / (np.arange(len(pool)) + 8.0)
    return rng.choice(pool, count, p=weights / weights.sum())


def plain(text: str) -> str:
    """A text without umlauts and other marks, as addresses and old systems spell it.

    Examples:
        >>> plain("Jürgen Weiß"), plain("Ayşe")
        ('Juergen Weiss', 'Ayse')
    """
    return text.translate(_PLAIN)


def addresses(rng: np.random.Generator, first: Texts, last: Texts, number: npt.NDArray[np.int64]) -> Texts:
    """An e-mail address each, none twice: the person's number stands in it."""
    domains = rng.choice(DOMAINS, len(first), p=[0.4, 0.25, 0.15, 0.12, 0.08])
    return np.array([f"{plain(f).lower()}.{plain(s).lower()}{n}@{d}" for f, s, n, d in zip(first, last, number, domains, strict=True)], dtype=object)


def phones(rng: np.random.Generator, count: int) -> Texts:
    """A phone number each from the ranges that are kept free for films; they may repeat between people, as shared lines do."""
    city = rng.choice(np.array(["30 23125", "221 4710", "40 66969", "69 90009", "89 99998"]), count)
    mobile = rng.choice(np.array(["152 28817", "171 39200", "172 99202", "176 04069", "160 91233"]), count)
    tail = np.char.zfill(rng.integers(0, 1_000, count).astype(str), 3)
    return np.char.add(np.where(rng.random(count) < 0.7, mobile, city), tail).astype(object)
