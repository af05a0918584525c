"""Pages of predictions on the made-up shop: the figures are those of the model, in both languages, with nothing for axe-core to find."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from kundig.answers import Person, person, reasoned
from kundig.answers.chances import chances
from kundig.report.predictions import standings
from kundig.report.words import Words
from kundig.server.app import make_app
from kundig.workspace import Workspace
from tests.server.browser import judged
from tests.workspaces import fixtures, shop

AXE = Path(__file__).parent / "axe" / "axe.min.js"
root, workspace = fixtures(shop)
ADDRESSES = ("/predictions", "/predictions/buys_again", "/segments")


@pytest.fixture(scope="module")
def shown(workspace: Workspace) -> Iterator[TestClient]:
    with TestClient(make_app(workspace), base_url="http://127.0.0.1:8000") as client:
        yield client


def test_the_card_says_what_the_model_says(shown: TestClient, workspace: Workspace) -> None:
    report = next(one for one in standings(workspace, "de") if one.name == "buys_again").model
    assert report is not None and report.model.report.auc is not None
    told = shown.get("/predictions/buys_again?lang=de", headers={"accept": "application/json"}).json()
    scored = workspace.rows("SELECT count(value), avg(value) FROM scores WHERE model = 'buys_again'")[1][0]
    assert told["title"] == "Kauft in 60 Tagen" and f"{scored[0]} Personen" in told["answer"] and f"{scored[1] * 100:.1f}".replace(".", ",") in told["answer"]
    assert f"({report.model.report.auc:.2f}"[1:].replace(".", ",") in told["answer"]
    titles = [table["title"] for table in told["tables"]]
    assert titles[1:4] == ["Wer es tat, nach Zehnteln der Wahrscheinlichkeit", "Treffen die Wahrscheinlichkeiten zu?", "Wen anzusprechen lohnt sich?"]
    assert "Gleichbehandlung nach country" in titles and len(told["tables"][1]["rows"]) == 10
    page = shown.get("/predictions/buys_again?lang=en").text
    assert page.count('class="chart wide"') == 3 and "Buys within 60 days" in page and not any(f">{bad}<" in page for bad in ("nan", "None", "inf"))
    assert "/predictions/buys_again?lang=de" in shown.get("/segments?lang=de").text and "/predictions/buys_again?lang=de" in shown.get("/predictions?lang=de").text
    assert shown.get("/predictions/nobody").status_code == 404 and shown.post("/predictions").status_code == 403


def test_a_person_page_and_the_command_tell_the_score_of_the_table_with_its_reasons(shown: TestClient, workspace: Workspace) -> None:
    newest = "SELECT * FROM scores WHERE model = 'buys_again' QUALIFY row_number() OVER (PARTITION BY person_key ORDER BY occurred_at DESC, seq DESC) = 1"
    people = workspace.rows(f"SELECT p.person_id, s.value FROM ({newest}) s JOIN profiles p USING (person_key) WHERE s.value IS NOT NULL ORDER BY s.value DESC, p.person_id LIMIT 2")[1]
    for person_id, held in people:
        found = person(workspace, person_id, locale="en", grounds=True)
        chance = next(one for one in found.chances if one.prediction == "buys_again")
        assert chance.probability == pytest.approx(held, abs=1e-6) and len(chance.reasons) == 5
        assert [abs(one.effect) for one in chance.reasons] == sorted((abs(one.effect) for one in chance.reasons), reverse=True)
        line = next(line for line in found.lines() if "prediction buys_again" in line)
        assert f"{held:.1%}" in line and f"{chance.reasons[0].feature} " in line and f"({chance.reasons[0].effect:+.2f})" in line
        for locale, title in (("de", "Kauft in 60 Tagen"), ("en", "Buys within 60 days")):
            text = shown.get(f"/people/{person_id}?lang={locale}&reasons=yes").text
            words = Words(locale=locale, currency="EUR", zone="UTC")
            assert words("person.chances") in text and f">{title}</a>" in text and words.percent(held) in text
            plain = shown.get(f"/people/{person_id}?lang={locale}").text
            assert words.percent(held) in plain and f'href="/people/{person_id}?reasons=yes&amp;lang={locale}"' in plain and f"{chance.reasons[0].feature}: " not in plain
            effect = words.number(chance.reasons[0].effect, 2)
            assert f"{chance.reasons[0].feature}: " in text and f"{'+' if chance.reasons[0].effect > 0 else ''}{effect})" in text
    outside = workspace.rows(f"SELECT min(person_id) FROM profiles WHERE person_key NOT IN (SELECT person_key FROM ({newest}) s WHERE s.value IS NOT NULL)")[1][0][0]
    assert Words(locale="en", currency="EUR", zone="UTC")("person.not_asked") in shown.get(f"/people/{outside}?lang=en&reasons=yes").text


def test_other_pages_answer_while_reasons_are_made(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, over = threading.Event(), threading.Event()

    def held(kept: Workspace, found: Person) -> Person:
        begun.set()
        assert over.wait(60), "nobody else was answered meanwhile"
        return reasoned(kept, found)

    monkeypatch.setattr("kundig.server.app.reasoned", held)
    someone = workspace.rows("SELECT min(person_id) FROM scores JOIN profiles USING (person_key) WHERE value IS NOT NULL")[1][0][0]
    app = make_app(workspace)
    with ThreadPoolExecutor(2) as pool, TestClient(app, base_url="http://127.0.0.1:8000") as one, TestClient(app, base_url="http://127.0.0.1:8000") as other:
        asked = pool.submit(one.get, f"/people/{someone}?lang=en&reasons=yes")
        assert begun.wait(60)
        meanwhile = pool.submit(other.get, f"/people/{someone}?lang=en")
        try:
            assert meanwhile.result(timeout=50).status_code == 200
        finally:
            over.set()
        assert asked.result().status_code == 200 and "reasons=yes" not in asked.result().text.split("<main")[1].split("<footer")[0]


def test_reasons_made_at_once_are_those_made_alone(workspace: Workspace) -> None:
    people = [row[0] for row in workspace.rows("SELECT DISTINCT person_id FROM scores JOIN profiles USING (person_key) WHERE value IS NOT NULL ORDER BY 1 LIMIT 6")[1]]
    alone = [chances(workspace, person_id) for person_id in people]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda person_id: chances(workspace, person_id), people)) == alone


@pytest.mark.needs_chromium
@pytest.mark.parametrize(("width", "dark"), ((360, True), (1280, False)))
def test_nothing_is_found_and_nothing_scrolls_sideways(shown: TestClient, workspace: Workspace, tmp_path: Path, width: int, dark: bool) -> None:
    style = shown.get("/style.css").text
    someone = workspace.rows("SELECT min(person_id) FROM scores JOIN profiles USING (person_key) WHERE value IS NOT NULL")[1][0][0]
    sheets = {
        f"{address}.{locale}".replace("/", "_"): shown.get(f"{address}?lang={locale}&reasons=yes").text.replace('<link rel="stylesheet" href="/style.css">', f"<style>{style}</style>")
        for address in (*ADDRESSES, f"/people/{someone}") for locale in ("de", "en")
    }  # fmt: skip
    verdict = judged(sheets, axe=AXE.read_text(encoding="utf-8"), folder=tmp_path, width=width, dark=dark)
    assert set(verdict) == set(sheets)
    assert {name: page["violations"] for name, page in verdict.items() if page["violations"]} == {}
    assert {name: page["scroll"] for name, page in verdict.items() if page["scroll"] > page["width"]} == {}
    assert {name: page["clipped"] for name, page in verdict.items() if page["clipped"]} == {}
