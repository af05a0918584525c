"""Pages: there in both languages, the same figures as their JSON, nothing inline, nothing from elsewhere, nothing leaking."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from starlette.testclient import TestClient

from kundig import reasons
from kundig.answers import person as known_person
from kundig.errors import AccessDenied
from kundig.report.words import Words
from kundig.server import serve
from kundig.workspace import Workspace

NAMES = ("overview", "people", "value", "segments", "matrix", "usecases", "audiences", "creatives", "measure", "consent", "data", "sources", "requests", "legal", "legal_quarter", "identity", "identity_person", "chosen", "person", "person_audience", "heard")
LOCALES = ("de", "en")
HOSTILE = ("'", '"', "' OR 1=1 --", "x'; DROP TABLE profiles; --", "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}", "{q}", "%", "\x00", "ü" * 300, "../../etc/passwd", "p000000000000000")


class Reader(HTMLParser):
    """What a page holds: text, links, headings, and whatever a strict policy forbids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[str] = []
        self.headings: list[int] = []
        self.loads: list[str] = []
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in ("a", "span", "strong"):
            self.words.append(" ")
        if tag in ("script", "style"):
            self.inline.append(tag)
        self.inline += [f"{tag} {name}" for name in given if name == "style" or name.startswith("on")]
        if tag == "a":
            self.links.append(given.get("href") or "")
        self.loads += [str(given[name]) for name in ("src", "href") if tag in ("link", "img", "script", "iframe", "use") and given.get(name)]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def asked(address: str, **query: str) -> str:
    return address + ("&" if "?" in address else "?") + "&".join(f"{name}={value}" for name, value in query.items())


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("name", NAMES)
def test_page_is_whole(client: TestClient, addresses: dict[str, str], name: str, locale: str) -> None:
    answer = client.get(asked(addresses[name], lang=locale))
    assert answer.status_code == 200
    page = Reader(answer.text)
    assert f'<html lang="{locale}">' in answer.text
    assert page.headings.count(1) == 1 and page.headings[0] == 1
    assert all(after <= before + 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
    assert not re.search(r"\b(nan|None|NaT|inf|undefined)\b", page.text), "a null is a dash"
    assert not re.search(r"[{}]{1,2}|&amp;amp;", page.text)


@pytest.mark.parametrize("name", NAMES)
def test_first_load_is_small_and_from_here(client: TestClient, addresses: dict[str, str], name: str) -> None:
    answer = client.get(asked(addresses[name], lang="de"))
    page = Reader(answer.text)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "script-src" not in policy
    assert page.inline == []
    assert [load for load in page.loads if not load.startswith(("/", "data:,"))] == []
    assert len(answer.content) + len(client.get("/style.css").content) <= 300_000


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith(("person", "heard", "requests"))])
def test_json_says_the_same_figures(client: TestClient, addresses: dict[str, str], name: str, locale: str) -> None:
    page = Reader(client.get(asked(addresses[name], lang=locale)).text).text
    answer = client.get(asked(addresses[name], lang=locale, format="json"))
    assert answer.headers["content-type"].startswith("application/json")
    view = answer.json()
    texts = [view["answer"], *_texts(view)]
    assert len(texts) > 3
    assert [text for text in texts if " ".join(text.split()) not in page] == []


def _texts(view: Any) -> list[str]:
    if isinstance(view, dict) and "heads" in view:
        cells = [cell if isinstance(cell, str) else cell["text"] for row in view["rows"] for cell in row]
        return [head["text"] for head in view["heads"]] * bool(view["rows"]) + cells
    parts = view.values() if isinstance(view, dict) else view if isinstance(view, list) else ()
    return [text for part in parts for text in _texts(part)]


def test_a_number_leads_to_as_many_people_as_it_says(client: TestClient) -> None:
    counted = 0
    for name in ("overview", "segments", "audiences", "consent"):
        page = client.get(f"/{name}?lang=en").text
        for href, shown in re.findall(r'<a href="(/people\?[^"]+)"[^>]*>(?:small: )?([\d,]+)</a>', page):
            found = client.get(unescape(href) + "&format=json").json()
            people = re.match(r"People: ([\d,]+)\.", found["answer"])
            if people is None:
                continue
            if "part=refused" in href:
                assert 0 < int(people[1].replace(",", "")) <= int(shown.replace(",", "")), href
            else:
                assert people[1] == shown, href
                assert len(found["tables"][0]["rows"]) == int(shown.replace(",", ""))
            counted += 1
    assert counted > 15


def test_every_link_leads_somewhere(client: TestClient, addresses: dict[str, str]) -> None:
    links = {unescape(link) for name in NAMES for link in Reader(client.get(asked(addresses[name], lang="de")).text).links}
    assert len(links) > 40
    people = sorted(link for link in links if link.startswith("/people/"))
    rest = links - set(people)
    assert [link for link in sorted(rest) + people[:5] if not link.startswith("#") and client.get(link).status_code != 200] == []


def test_language_link_keeps_the_state(client: TestClient) -> None:
    page = Reader(client.get("/people?state=active&lang=de").text)
    assert "/people?state=active&lang=en" in page.links
    assert any("state=active" in link and "format=json" in link for link in page.links)


def test_search_leads_to_the_answer_in_one_sentence(client: TestClient, workspace: Workspace, known: str) -> None:
    mail = workspace.person(known).profile["email"]
    page = client.get(f"/people?q={mail}&audience=win_back&lang=de")
    assert page.url.path == f"/people/{known}" and page.url.query == b"audience=win_back&lang=de"
    said = workspace.why(known, audience="win_back", locale="de")[0].sentence
    text = Reader(page.text).text
    assert text.index(said) < text.index("Wer ist das?")
    assert said.startswith(f"{known} hat „win_back“ am ") and said.count(". ") == 0 and said.endswith(".")
    assert client.get(f"/api/why/{mail}?audience=win_back&lang=de").json()[0]["sentence"] == said


def test_why_answers_are_one_sentence_each_and_name_the_reason(client: TestClient, workspace: Workspace) -> None:
    refused = workspace.rows("SELECT DISTINCT p.person_id, d.audience FROM decisions d JOIN profiles p USING (person_key) WHERE d.reason = 'consent_missing' AND d.channel = 'email'")[1]
    for person, audience in refused[:5]:
        english, german = (client.get(f"/api/why/{person}?audience={audience}&lang={locale}").json() for locale in ("en", "de"))
        assert len(english) == 1 and english[0]["outcome"] == "refused"
        assert english[0]["sentence"].startswith(f"{person} does not get “{audience}”: ") and "There is no consent to “newsletter” by e-mail" in english[0]["sentence"]
        assert "über E-Mail liegt keine Einwilligung vor" in german[0]["sentence"]


def test_a_person_is_told_in_the_pages_language(client: TestClient, workspace: Workspace) -> None:
    found = workspace.rows("SELECT min(p.person_id) FROM consents c JOIN profiles p USING (person_key) WHERE c.status = 'given'")[1][0][0]
    german, english = (Reader(client.get(f"/people/{found}?lang={locale}").text).text for locale in ("de", "en"))
    assert "eingewilligt" in german or "Einwilligung" in german
    assert not re.search(r"eingewilligt|Einwilligung|widerrufen|Die Person", english)
    assert client.get(f"/api/people/{found}?lang=en").json()["consents"] != client.get(f"/api/people/{found}?lang=de").json()["consents"]


def test_unknown_person_and_page_are_404(client: TestClient) -> None:
    for address in ("/people?q=nobody@example.org", "/people/nobody", "/nothing", "/people/p000000000000000"):
        for locale in LOCALES:
            answer = client.get(asked(address, lang=locale))
            assert answer.status_code == 404 and f'<html lang="{locale}">' in answer.text
    for address in ("/api/people/nobody", "/api/why/nobody", "/nothing?format=json", "/people/nobody?format=json"):
        assert client.get(address).status_code == 404
        assert client.get(address).headers["content-type"].startswith("application/json")


def test_unknown_audience_names_the_known(client: TestClient, known: str) -> None:
    answer = client.get(f"/api/why/{known}?audience=winback")
    assert answer.status_code == 404 and "win_back" in answer.json()["mend"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_find_nobody_and_run_nothing(client: TestClient, text: str) -> None:
    for address in ("/people", "/overview", "/people/x"):
        answer = client.get(address, params={"q": text, "lang": text, "audience": text, "state": text, "segment": text, "tenth": text, "reason": text, "part": text})
        assert answer.status_code in (200, 404)
        assert "<script" not in answer.text and "<img" not in answer.text
        assert "„49“" not in answer.text, "words are data, never a template"
    assert client.get("/people", params={"state": text, "tenth": text, "purpose": text, "audience": text, "part": "refused"}).status_code == 200
    assert client.get("/people", params={"segment": text}).status_code == 200
    assert client.get("/overview").status_code == 200


@pytest.mark.parametrize("host", ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", "10.0.0.5", "", "[::2]", "127.0.0.1@evil.example:1]"))
def test_other_hosts_are_turned_away(client: TestClient, host: str) -> None:
    assert client.get("/overview", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ("127.0.0.1", "localhost:8000", "[::1]:8000"))
def test_loopback_is_answered(client: TestClient, host: str) -> None:
    assert client.get("/health", headers={"host": host}).status_code == 200


def test_serving_beyond_loopback_is_refused(workspace: Workspace) -> None:
    settings = workspace.config.settings
    open_wide = settings.model_copy(update={"serve": settings.serve.model_copy(update={"host": "0.0.0.0"})})

    class Elsewhere:
        class config:
            pass

    Elsewhere.config.settings = open_wide  # type: ignore[attr-defined]
    with pytest.raises(AccessDenied, match=r"0\.0\.0\.0"):
        serve(Elsewhere)  # type: ignore[arg-type]


def test_writing_is_not_possible(client: TestClient) -> None:
    assert {client.request(method, "/overview").status_code for method in ("POST", "PUT", "DELETE", "PATCH")} == {405}


def test_health_and_ready(client: TestClient) -> None:
    assert client.get("/health").text == "ok\n" and client.get("/ready").text == "ready\n"


def test_segments_shows_the_cards_of_personas(client: TestClient) -> None:
    """So that the browser's checks see one: with bars, facts, and what was said against the data."""
    page = client.get("/segments?lang=en").text
    assert 'class="card"' in page and "Early birds" in page and "bar-pair" in page and "disagrees" in page
    told = client.get("/segments?lang=de", headers={"accept": "application/json"}).json()
    assert [one["title"] for one in told["personas"]] == ["Frühaufsteher"] and len(told["personas"][0]["claims"]) == 3


def test_a_person_page_and_the_command_tell_the_next_purchase_of_the_table(client: TestClient, workspace: Workspace) -> None:
    """One person of each kind: with a day, and with each reason why there is none."""
    sql = "SELECT min(p.person_id), v.next_purchase_reason, min_by(v.next_purchase_at, p.person_id) FROM lifetime_values v JOIN profiles p USING (person_key) GROUP BY 2"
    kinds = workspace.rows(sql)[1]
    assert {why for _, why, _ in kinds} >= {None, "rather_gone"}
    for person_id, why, due in kinds:
        told = known_person(workspace, person_id, locale="en").lines()
        for locale in LOCALES:
            text = Reader(client.get(f"/people/{person_id}?lang={locale}").text).text
            words = Words(locale=locale, currency="EUR", zone=workspace.config.settings.workspace.zone)
            said = words("person.bought_by", day=words.day(due)) if why is None else reasons.sentence(why, locale)
            assert f"{words('person.next_purchase')} {said}" in text
        english = reasons.sentence(why, "en") if why else f"expected by {due.astimezone(ZoneInfo(workspace.config.settings.workspace.zone)):%Y-%m-%d}, if still a customer"
        assert f"  next purchase: {english}" in told
