"""Pages of leads on the made-up shop: the figures are those of the table, forms hand over and answer, and axe-core finds nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from kundig.workspace import Workspace
from tests.server.browser import judged

AXE = Path(__file__).parent / "axe" / "axe.min.js"


@pytest.fixture(scope="module")
def best(own_shop: Workspace) -> str:
    return str(own_shop.rows("SELECT p.person_id FROM lead_scores s JOIN profiles p USING (person_key) WHERE s.status NOT IN ('won', 'lost') ORDER BY s.score DESC, s.prior DESC, p.person_id LIMIT 1")[1][0][0])


def test_the_list_is_the_table(shown: TestClient, own_shop: Workspace, best: str) -> None:
    told = shown.get("/leads?lang=en&format=json").json()
    scores = [row[6]["value"] for row in told["tables"][0]["rows"]]
    assert told["tables"][0]["rows"][0][1]["value"] == best and scores == sorted(scores, reverse=True) and len(scores) > 5
    assert scores == [row[0] for row in own_shop.rows("SELECT score FROM lead_scores WHERE status NOT IN ('won', 'lost') ORDER BY score DESC LIMIT 50")[1]]
    every = shown.get("/leads?lang=en&format=json&closed=1").json()["tables"][0]["rows"]
    assert len(every) == min(50, own_shop.rows("SELECT count(*) FROM lead_scores")[1][0][0])


def test_a_lead_is_handed_over_and_answered(shown: TestClient, own_shop: Workspace, best: str) -> None:
    page = shown.get(f"/leads/{best}?lang=en").text
    token = re.findall(r'name="token" value="([^"]+)"', page)[0]
    assert "Managing director of a small firm" in page and "nobody yet" in page
    refused = shown.post(f"/leads/{best}/assign?lang=de", data={"owner": "Kim", "token": "another"})
    assert refused.status_code == 403 and not own_shop.state.select("lead_log"), "a form of another process writes nothing"
    assert shown.post(f"/leads/{best}/assign?lang=de", data={"owner": "Kim", "token": token}, follow_redirects=False).status_code == 303
    assert shown.post(f"/leads/{best}/status?lang=de", data={"status": "bought", "token": token}).status_code == 422
    personal = shown.post(f"/leads/{best}/status?lang=de", data={"status": "contacted", "reason": "kim@example.org", "token": token})
    assert personal.status_code == 422 and "without naming" in personal.text
    said = shown.post(f"/leads/{best}/status?lang=de", data={"status": "contacted", "reason": "will ein Angebot", "token": token}).text
    assert "angesprochen" in said and "Kim" in said and "will ein Angebot" in said and "nach 0,0 Stunden" in said
    shown.post(f"/leads/{best}/status?lang=de", data={"status": "wrong_fit", "token": token})
    assert "passt nicht" in shown.get(f"/leads/{best}?lang=de").text
    ids = [row[1]["value"] for row in shown.get("/leads?lang=en&format=json").json()["tables"][0]["rows"]]
    every = [row[1]["value"] for row in shown.get("/leads?lang=en&format=json&closed=1").json()["tables"][0]["rows"]]
    assert best not in ids and best in every and [row["status"] for row in own_shop.state.select("lead_log")] == ["assigned", "contacted", "wrong_fit"]
    assert shown.get("/leads/nobody").status_code == 404
    assert "token" not in shown.get(f"/leads/{best}?format=json").json()


@pytest.mark.needs_chromium
@pytest.mark.parametrize(("width", "dark"), ((360, True), (1280, False)))
def test_nothing_is_found_and_nothing_scrolls_sideways(shown: TestClient, best: str, tmp_path: Path, width: int, dark: bool) -> None:
    style = shown.get("/style.css").text
    sheets = {
        f"{address}.{locale}".replace("/", "_"): shown.get(f"{address}?lang={locale}").text.replace('<link rel="stylesheet" href="/style.css">', f"<style>{style}</style>")
        for address in ("/leads", f"/leads/{best}") for locale in ("de", "en")
    }  # fmt: skip
    assert not any(bad in text for text in sheets.values() for bad in (">nan<", ">None<", ">inf<", ">leads."))
    verdict = judged(sheets, axe=AXE.read_text(encoding="utf-8"), folder=tmp_path, width=width, dark=dark)
    assert {name: page["violations"] for name, page in verdict.items() if page["violations"]} == {}
    assert {name: page["scroll"] for name, page in verdict.items() if page["scroll"] > page["width"]} == {}
