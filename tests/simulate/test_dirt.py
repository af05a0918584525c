"""The dirt is too much for exact matching, and yet most true links can be found."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import combinations

from kundig.simulate.names import plain
from tests.simulate.conftest import Made


def records(made: Made) -> list[tuple[int, dict[str, str]]]:
    """Records of people in all systems, each with its true person."""
    owners = {(row["namespace"], row["value"]): row["person"] for row in made.true("identifiers").to_pylist()}
    found = []
    for name, space, key, encoding in (
        ("shop/kunden.csv", "customer_id", "Kundennummer", "utf-8"), ("crm/kontakte.csv", "crm_id", "Kontakt-ID", "cp1252"),
        ("crm/leads_messe.csv", "lead_id", "Lead-ID", "utf-8"), ("crm/leads_webformular.csv", "lead_id", "Lead-ID", "utf-8"),
    ):  # fmt: skip
        found += [(owners[space, row[key]], row) for row in made.rows(name, encoding=encoding)]
    return found


def pairs(groups: Counter[object]) -> int:
    return sum(size * (size - 1) // 2 for size in groups.values())


def test_exact_matching_finds_too_little(made: Made) -> None:
    """Records are one person where customer number, address, or name with date of birth are equal, and what follows from it."""
    found = records(made)
    parent = list(range(len(found)))

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    keys: dict[tuple[str, ...], int] = {}
    for place, (_, row) in enumerate(found):
        exact = [("number", row.get("Kundennummer", "")), ("mail", row["E-Mail"].lower()), ("born", row["Vorname"].lower(), row["Nachname"].lower(), row.get("Geburtsdatum", ""))]
        for key in exact:
            if key[-1]:
                parent[root(place)] = root(keys.setdefault(key, place))
    true: Counter[object] = Counter(person for person, _ in found)
    said: Counter[object] = Counter(root(place) for place in range(len(found)))
    both: Counter[object] = Counter((root(place), person) for place, (person, _) in enumerate(found))
    f1 = 2 * pairs(both) / (pairs(true) + pairs(said))
    print(f"exact match: precision {pairs(both) / pairs(said):.3f}, recall {pairs(both) / pairs(true):.3f}, F1 {f1:.3f}")
    assert 0.5 < f1 < 0.85


def test_most_true_links_can_be_found(made: Made) -> None:
    """Two records of one person agree, letter by letter or nearly, in at least three things."""

    def near(one: str, other: str) -> bool:
        one, other = plain(one).lower().strip(), plain(other).lower().strip()
        return bool(one and other) and one[:3] == other[:3]

    def agree(one: dict[str, str], other: dict[str, str]) -> int:
        same = [bool(one.get(key)) and one.get(key) == other.get(key) for key in ("Geburtsdatum", "PLZ", "Kundennummer", "Firma")]
        same += [bool(one["E-Mail"]) and one["E-Mail"].lower() == other["E-Mail"].lower()]
        lines = ["".join(letter for letter in row["Telefon"] if letter.isdigit())[-8:] for row in (one, other)]
        same += [bool(lines[0]) and lines[0] == lines[1]]
        crossed = near(one["Vorname"], other["Nachname"]) and near(one["Nachname"], other["Vorname"])
        return sum(same) + (2 if crossed else near(one["Vorname"], other["Vorname"]) + near(one["Nachname"], other["Nachname"]))

    people = defaultdict(list)
    for person, row in records(made):
        people[person].append(row)
    links = [agree(one, other) for rows in people.values() for one, other in combinations(rows, 2)]
    assert len(links) > 2_000
    assert sum(found >= 3 for found in links) / len(links) > 0.8


def test_every_kind_of_dirt_is_there(made: Made) -> None:
    counts = made.counts
    kinds = [
        "contacts_doubled", "contacts_moved", "contacts_mail_typo", "contacts_swapped", "contacts_married", "contacts_shouted", "contacts_first_misspelt", "contacts_last_misspelt", "contacts_family_mail",
        "contacts_second_mail", "contacts_birth_slipped", "accounts_second", "orders_second_identity", "leads_doubled", "devices_shared", "devices_sold", "events_late", "events_skewed", "events_blocked",
    ]  # fmt: skip
    assert {kind: counts[kind] for kind in kinds if counts[kind] < 5} == {}


def test_addresses_and_numbers_belong_to_nobody(made: Made) -> None:
    rows = [row for _, row in records(made)]
    domains = {row["E-Mail"].rsplit("@", 1)[1] for row in made.rows("shop/kunden.csv")}
    assert all(domain.endswith(("example.org", "example.com", "example.net")) for domain in domains)
    numbers = {"".join(letter for letter in row["Telefon"] if letter.isdigit()).removeprefix("0049").removeprefix("49").removeprefix("0") for row in rows if row["Telefon"]}
    assert all(number.startswith(("3023125", "2214710", "4066969", "6990009", "8999998", "17139200", "176040690")) for number in numbers)
