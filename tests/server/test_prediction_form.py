"""The form of predictions on the made-up shop: faults beside their fields, what it says before it writes, and the file that a run fits."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import shutil
from pathlib import Path
from types import MappingProxyType

import pytest
from starlette.testclient import TestClient

import kundig
from kundig.clock import local_day, midnight
from kundig.report.drafts import OWN, READY, drafted
from kundig.server.app import make_app
from kundig.workspace import Workspace
from tests.server.browser import judged

AXE = Path(__file__).parent / "axe" / "axe.min.js"
ASKED = {"name": "stays_away", "title_de": "Bleibt weg", "meaning": "Who stays away", "owner": "crm@example.org", "kind": "churns", "horizon": "60 days", "gain": "18", "cost": "1,20"}


@pytest.fixture(scope="module")
def token(shown: TestClient) -> str:
    return str(re.findall(r'name="token" value="([^"]+)"', shown.get("/predictions?lang=en").text)[0])


def said(page: str, field: str) -> str:
    """What stands below a field."""
    found = re.search(rf'id="h-{field}">(.*?)</span></p>', page, re.S)
    assert found is not None
    return found[1]


def test_faults_stand_beside_their_fields_and_what_was_given_stays(shown: TestClient, own_shop: Workspace, token: str) -> None:
    before = sorted((own_shop.root / "predictions").iterdir())
    wrong = {"name": "Stays away", "meaning": "", "owner": "crm@example.org", "kind": OWN, "target": "{event: order_complete}", "population": "{trait: cty, is: x}", "horizon": "soon", "gain": "much", "cost": "1"}
    answer = shown.post("/predictions?lang=de", data=wrong | {"token": token, "do": "write"})
    page = answer.text
    assert answer.status_code == 422 and sorted((own_shop.root / "predictions").iterdir()) == before
    assert "is no name of a prediction" in said(page, "name") and "Field required" in said(page, "meaning") and "is no horizon" in said(page, "horizon") and "is no amount" in said(page, "gain")
    assert 'value="Stays away"' in page and "{event: order_complete}</textarea>" in page and 'value="soon"' in page and 'value="much"' in page and f'value="{OWN}" selected' in page
    assert page.count('aria-invalid="true"') == 4
    rules = shown.post("/predictions?lang=de", data=wrong | {"token": token, "name": "x", "meaning": "x", "horizon": "4 weeks", "gain": "", "cost": ""}).text
    assert "did you mean &#39;order_completed&#39;" in said(rules, "target") and "city" in said(rules, "population")
    assert "category" in said(shown.post("/predictions", data=ASKED | {"token": token, "kind": "buys_category"}).text, "category")
    assert "newsletter/email" in said(shown.post("/predictions", data=ASKED | {"token": token, "kind": "unsubscribes"}).text, "consent")
    assert "gain and cost" in said(shown.post("/predictions", data=ASKED | {"token": token, "cost": ""}).text, "gain")
    foreign = shown.post("/predictions?lang=de", data=ASKED | {"token": "another", "do": "write"})
    assert foreign.status_code == 403 and 'value="stays_away"' in foreign.text and sorted((own_shop.root / "predictions").iterdir()) == before


def test_every_ready_target_makes_a_file_that_reads_as_one_by_hand(own_shop: Workspace, tmp_path: Path) -> None:
    more = {"buys_category": {"category": "Schuhe"}, "unsubscribes": {"consent": "newsletter/email"}, OWN: {"target": "{not: {event: page_viewed}}", "population": "{event: page_viewed}"}}
    shutil.copytree(own_shop.root, tmp_path / "copy", ignore=shutil.ignore_patterns("data"))
    for kind in (*READY, OWN):
        draft = drafted(own_shop, ASKED | {"name": kind, "kind": kind} | more.get(kind, {}))
        (tmp_path / f"copy/predictions/{kind}.yaml").write_text(draft.text, encoding="utf-8")
        assert kundig.open(tmp_path / "copy").config.predictions[kind] == draft.prediction and draft.prediction.cost == 1.2
    made = kundig.open(tmp_path / "copy").config.predictions
    assert made["buys_category"].target == {"event": "product_bought", "where": {"category": "Schuhe"}} and made["unsubscribes"].population == {"consent": "newsletter", "channel": "email"}
    assert made["churns"].target == {"not": {"event": "order_completed"}} and made["buys"].population == {"everyone": True}


def test_it_says_whom_it_would_learn_from_before_it_writes(shown: TestClient, own_shop: Workspace, token: str) -> None:
    page = shown.post("/predictions?lang=en", data=ASKED | {"token": token, "do": "look"})
    release = own_shop.lake.release()
    assert release is not None and page.status_code == 200 and not (own_shop.root / "predictions/stays_away.yaml").exists()
    zone = own_shop.config.settings.workspace.zone
    today = local_day(release.moment, zone)
    start, end = midnight(today - dt.timedelta(days=60), zone), midnight(today, zone)
    orders = own_shop.rows("SELECT i.person_key, e.occurred_at, e.received_at FROM events e JOIN identities i USING (identifier_key) WHERE e.name = 'order_completed'")[1]
    people = {person for person, at, heard in orders if start - dt.timedelta(days=365) < at <= start and heard <= start}
    back = {person for person, at, _ in orders if start < at <= end}
    told = re.search(r"([\d,]+) people were of the population; ([\d,]+) of them did it", page.text)
    assert told is not None and [int(part.replace(",", "")) for part in told.groups()] == [len(people), len(people - back)] and 0 < len(people - back) < len(people)
    assert "not:" in page.text and "predictions/stays_away.yaml" in page.text
    far = shown.post("/predictions?lang=en", data=ASKED | {"token": token, "horizon": "730 days"}).text
    assert "does not reach back far enough" in far


def test_the_written_file_is_never_overwritten_unsaid_and_a_run_fits_it(shown: TestClient, own_shop: Workspace, token: str) -> None:
    path = own_shop.root / "predictions/stays_away.yaml"
    answer = shown.post("/predictions?lang=de", data=ASKED | {"token": token, "do": "write"}, follow_redirects=False)
    assert answer.status_code == 303 and "Bleibt weg" in path.read_text(encoding="utf-8")
    assert "predictions/stays_away.yaml ist geschrieben" in shown.get(answer.headers["location"]).text
    logged = own_shop.state.select("audit_log")[-1]
    assert (logged["actor"], logged["role"], logged["action"], logged["object_id"]) == ("pages", "owner", "write", "stays_away")
    path.write_text(path.read_text(encoding="utf-8") + "groups: [country]\n", encoding="utf-8")
    text = path.read_text(encoding="utf-8")
    again = shown.post("/predictions?lang=de", data=ASKED | {"token": token, "do": "write", "horizon": "30 days"})
    assert again.status_code == 422 and "is there already" in said(again.text, "name") and 'name="replace"' in again.text and path.read_text(encoding="utf-8") == text
    assert text.strip() in shown.post("/predictions?lang=de", data=ASKED | {"token": token, "do": "look"}).text, "what stands there is shown beside"
    shown.post("/predictions?lang=de", data=ASKED | {"token": token, "do": "write", "horizon": "45 days", "replace": "yes"})
    fresh = kundig.open(own_shop.root)
    assert fresh.config.predictions["stays_away"].groups == ("country",) and fresh.config.predictions["stays_away"].days == 45
    release = own_shop.lake.release()
    assert release is not None
    fresh.apply()
    fresh.run(as_of=release.moment)
    fits = fresh.rows("SELECT role FROM prediction_models WHERE model = 'stays_away'")[1]
    assert fits == [("champion",)]
    assert fresh.rows("SELECT count(value) FROM scores WHERE model = 'stays_away'")[1][0][0] > 0


def test_only_a_role_that_may_propose_predictions_writes(own_shop: Workspace) -> None:
    settings = own_shop.config.settings
    reader = kundig.open(own_shop.root)
    serve = settings.serve.model_copy(update={"role": "reader"})
    reader.config = dataclasses.replace(reader.config, values=MappingProxyType({**reader.config.values, "settings": settings.model_copy(update={"serve": serve})}))
    before = sorted((own_shop.root / "predictions").iterdir())
    app = make_app(reader)
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        page = client.get("/predictions?lang=en").text
        assert "The role reader" in page and 'method="post"' not in page
        pages = next(route.endpoint.__closure__ for route in app.routes if getattr(route, "path", "") == "/predictions" and "POST" in route.methods)  # the token stands on no page here
        token = next(cell.cell_contents.token for cell in pages if hasattr(cell.cell_contents, "token"))
        refused = client.post("/predictions?lang=en", data=ASKED | {"token": token, "do": "write", "name": "another"})
    assert refused.status_code == 403 and "may not propose prediction" in refused.text and sorted((own_shop.root / "predictions").iterdir()) == before


@pytest.mark.needs_chromium
@pytest.mark.parametrize(("width", "dark"), ((360, True), (1280, False)))
def test_nothing_is_found_and_nothing_scrolls_sideways(shown: TestClient, token: str, tmp_path: Path, width: int, dark: bool) -> None:
    style = shown.get("/style.css").text
    sheets = {}
    for locale in ("de", "en"):
        for name, data in {"look": ASKED, "faults": {"name": "A B", "gain": "x", "kind": OWN, "target": "{event: nothing_of_the_kind_that_is_known}"}}.items():
            page = shown.post(f"/predictions?lang={locale}", data=data | {"token": token}).text
            assert not any(bad in page for bad in (">nan<", ">None<", ">inf<", ">predictions."))
            sheets[f"{name}.{locale}"] = page.replace('<link rel="stylesheet" href="/style.css">', f"<style>{style}</style>")
    verdict = judged(sheets, axe=AXE.read_text(encoding="utf-8"), folder=tmp_path, width=width, dark=dark)
    assert {name: page["violations"] for name, page in verdict.items() if page["violations"]} == {}
    assert {name: page["scroll"] for name, page in verdict.items() if page["scroll"] > page["width"]} == {}
    assert {name: page["clipped"] for name, page in verdict.items() if page["clipped"]} == {}
