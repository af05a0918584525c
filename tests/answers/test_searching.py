"""The search: by name, e-mail, phone, customer number and person id, misspelt too; against a plain Python search over all people."""

from __future__ import annotations

import itertools
import time
from functools import cache

import pytest
from starlette.testclient import TestClient

from kundig.answers import find, person, resolve
from kundig.answers.searching import NAMED, plain, tolerance
from kundig.errors import IdentityError
from kundig.server.app import make_app
from kundig.workspace import Workspace


def names(told: Workspace, asked: str) -> list[str]:
    return [found.name for found in find(told, asked)]


@pytest.mark.parametrize("asked", ("Ada Müller-Lüdenscheidt", "müller-lüdenscheidt ada", "Ada Mueller", "Mueller-Luedenscheid", "ada muler", "Bonn Müller", "+49 170 2"))
def test_ada_is_found_however_she_is_written(told: Workspace, asked: str) -> None:
    assert names(told, asked)[0].startswith("Ada ")


def test_misspelt_and_foreign_letters(told: Workspace) -> None:
    assert names(told, "Yildiz") == names(told, "yıldız cem") == names(told, "Yildzi") == ["Cem Yıldız"]
    assert names(told, "Weiss") == names(told, "WEIẞ") == ["Bea Weiß"]
    assert names(told, "ada@exmaple.org") and find(told, "ada@exmaple.org")[0].email == "ada@example.org"
    assert names(told, "bea@example.or") == ["Bea Weiß"]


def test_what_is_not_there_is_not_found(told: Workspace) -> None:
    """The positive control: tolerance has an end, and what looks like a query is only a text."""
    for asked in ("Schmidt", "Ada Weiß", "B", "' OR 1=1 --", "%", "\0", "zzz@nowhere.net", "999999999", "*" * 500, "Müller'); DROP"):
        assert find(told, asked) == (), asked


@cache
def distance(left: str, right: str) -> int:
    """Letters to add, drop, change or swap (Damerau and Levenshtein, adjacent swaps once)."""
    table = {(i, -1): i + 1 for i in range(-1, len(left))} | {(-1, j): j + 1 for j in range(-1, len(right))}
    for i, j in itertools.product(range(len(left)), range(len(right))):
        cost = int(left[i] != right[j])
        best = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + cost)
        if i and j and left[i] == right[j - 1] and left[i - 1] == right[j]:
            best = min(best, table[i - 2, j - 2] + 1)
        table[i, j] = best
    return table[len(left) - 1, len(right) - 1]


def off(word: str, part: str) -> float:
    if part == word:
        return 0
    if len(word) >= 2 and part.startswith(word):
        return 0.5
    return distance(part, word) if tolerance(word) and distance(part, word) <= tolerance(word) else 9


def test_a_plain_search_over_everybody_finds_the_same(told: Workspace) -> None:
    people = told.rows(f"SELECT person_id, {', '.join(NAMED)} FROM profiles")[1]
    import re

    parts = {row[0]: [part for value in row[1:] if value for part in re.findall(r"[^\W_]+", plain(value))] for row in people}
    for asked in ("ada", "muller", "mueler", "weis", "luedenscheit", "adam mueller", "bon", "bea weiß", "cem", "yildis", "adda"):
        words = re.findall(r"[^\W_]+", plain(asked))
        expected = {who for who, mine in parts.items() if all(min((off(word, part) for part in mine), default=9) < 9 for word in words)}
        assert {found.person_id for found in find(told, asked)} == expected, asked
    assert any(expected for expected in parts.values())


def test_the_page_lists_who_may_be_meant_and_leads_on(told: Workspace) -> None:
    with TestClient(make_app(told), base_url="http://127.0.0.1:8000") as client:
        page = client.get("/people?q=Mueler&lang=de")
        assert page.status_code == 200 and "ist so nicht bekannt" in page.text and "Adam Müller" in page.text and "Ada Müller-Lüdenscheidt" in page.text
        only = client.get("/people?q=Cem+Yildiz&lang=en", follow_redirects=False)
        assert only.status_code == 303 and only.headers["location"].startswith(f"/people/{resolve(told, 'cem@example.org')[1]}")
        assert client.get("/people?q=Nobodyatall").status_code == 404
        assert client.get("/people?q=%3Cscript%3EMueler").text.count("<script") == 0
        seconds = []
        for asked in ("Mueler", "Ada", "Weis", "cem@example.og", "Bonn Ada") * 4:
            began = time.perf_counter()
            client.get("/people", params={"q": asked})
            seconds.append(time.perf_counter() - began)
        assert sorted(seconds)[-2] < 1.5, "a small house answers at once, even on a busy machine"


def test_the_page_of_a_person_says_where_each_value_comes_from(told: Workspace) -> None:
    who = resolve(told, "ada@example.org")[1]
    with TestClient(make_app(told), base_url="http://127.0.0.1:8000") as client:
        german, english = (client.get(f"/people/{who}?lang={locale}").text for locale in ("de", "en"))
    for expected in ("Soziodemografisch", "Psychografisch", "fair fair:1", "von Dritten", "veraltet: älter als 100 Tage", "Köln (crm, ", "Haltung zum Preis", "Wie kam es zu den Einwilligungen?", "widerrufen", "widersprochen"):
        assert expected in german, expected
    for expected in ("Sociodemographic", "Psychographic", "third parties", "stale: older than 100 days", "price attitude", "How did the consents come about?"):
        assert expected in english, expected


def test_the_timeline_has_every_kind_in_order(told: Workspace) -> None:
    found = person(told, "ada@example.org")
    kinds = [entry.kind for entry in reversed(found.timeline)]
    assert kinds[:2] == ["ad", "event"], "the contact with advertising stands before the first visit"
    assert set(kinds) >= {"ad", "event", "order", "case", "message", "survey"}
    moments = [entry.at for entry in found.timeline]
    assert moments == sorted(moments, reverse=True)
    assert [entry.detail for entry in found.timeline if entry.kind == "survey"] == ["price: fair"]
    assert len(person(told, "ada@example.org", most=3).timeline) == 3


def test_the_history_of_consents_is_that_of_the_fold(told: Workspace) -> None:
    found = person(told, "ada@example.org")
    told_rows = told.rows(f"SELECT count(*) FROM consents WHERE person_key = {found.person_key}")[1][0][0]
    assert len(found.consent_history) == told_rows > 0
    mail = [(one.status, one.record_id) for one in reversed(found.consent_history) if (one.purpose, one.channel) == ("newsletter", "email")]
    assert mail == [("pending", "r1"), ("given", "r2"), ("withdrawn", "r3"), ("objected", "r4")]


def test_every_identifier_leads_to_the_same_person(told: Workspace) -> None:
    for asked in ("ada@example.org", "c1", "v1", "lead_id:l1".partition(":")[2], resolve(told, "c1")[1]):
        assert person(told, asked).person_id == resolve(told, "ada@example.org")[1]
    with pytest.raises(IdentityError):
        person(told, "nobody")
