"""What was heard since the release, on pages, in the API, in metrics and on the command line."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import kundig
from kundig.cli import main
from kundig.errors import ConfigError
from kundig.report.words import texts
from kundig.server.app import make_app
from kundig.server.health import look
from kundig.worker import Worker
from tests.live.world import Street


@pytest.fixture
def street(tmp_path: Path) -> Street:
    return Street(tmp_path)


def asking(street: Street) -> TestClient:
    return TestClient(make_app(street.workspace), base_url="http://127.0.0.1:8000")


def test_somebody_no_release_knows_is_shown(client: TestClient) -> None:
    told = client.get("/api/people/new-device").json()
    assert told["person_id"] == told["live"]["person_id"] and told["live"]["known"] is False
    assert told["live"]["basket"] == {"P1": 1} and told["live"]["session"]["pages"] == 1
    assert [event["name"] for event in told["live"]["events"]] == ["page_viewed", "product_added"]
    page = client.get("/people/new-device?lang=de").text
    assert "Seit der letzten Veröffentlichung" in page and "1 × P1" in page
    found = client.get("/people?q=new-device&lang=en", follow_redirects=False)
    assert found.status_code == 303 and found.headers["location"].startswith(f"/people/{told['person_id']}")
    assert client.get("/api/people/nobody-at-all").status_code == 404


def test_without_a_release_people_are_known_all_the_same(street: Street) -> None:
    street.send(street.call("Product Added", device="d1", product_id="A"))
    street.fold()
    client = asking(street)
    assert client.get("/api/people/d1").json()["live"]["basket"] == {"A": 1}
    assert client.get("/people/d1?lang=en").status_code == 200
    assert client.get("/sources?lang=en").status_code == 200
    assert client.get("/api/people/d2").status_code == 503, "nothing can be said of others before the first release"


def test_a_known_person_shows_the_fresh_events_and_whom_audiences_would_choose(street: Street) -> None:
    street.send(street.call(customer="c1"), street.call(device="d1"))
    street.release()
    client = asking(street)
    assert client.get("/api/people/c1").json()["live"] is None
    street.send(street.call("Signed In", customer="c1", device="d1"))
    street.fold()
    by_device, by_customer = client.get("/api/people/d1?audiences=now").json(), client.get("/api/people/c1").json()
    assert by_device["person_id"] == by_customer["person_id"], "the visitor turned out to be the customer"
    assert [event["name"] for event in by_customer["live"]["events"]] == ["signed_in"]
    assert set(by_device["audiences_now"]) == set(street.workspace.config.audiences)
    page = client.get("/people/c1?lang=en").text
    assert "Since the release" in page and page.index("Since the release") < page.index("Timeline")


def test_sources_say_what_came_what_was_held_and_whether_it_all_landed(street: Street) -> None:
    street.send(street.call(device="d1"), street.call(device="d1", late=dt.timedelta(seconds=30)), {"type": "track"})
    street.fold()
    (web,) = look(street.workspace, at=street.at).sources
    assert (web.taken, web.held, web.repeated, web.requests, web.landed, web.waiting) == (2, 1, 0, 1, 0, 1)
    assert web.agrees is None and web.held_share == pytest.approx(1 / 3) and web.per_minute == pytest.approx(3 / 60)
    assert web.seconds_late is not None and not web.silent
    street.land()
    (web,) = look(street.workspace, at=street.at).sources
    assert (web.landed, web.expected, web.waiting, web.agrees) == (2, 2, 0, True)
    later = look(street.workspace, at=street.at + dt.timedelta(hours=30)).sources[0]
    assert later.silent and later.per_minute == 0 and later.taken == 0


def test_what_was_taken_and_is_not_in_the_tables_is_told(street: Street) -> None:
    street.send(street.call(device="d1"), street.call(device="d1"))
    street.fold()
    batch = street.inbox.read("land")
    assert batch is not None
    street.inbox.advance(batch)  # as if landing had lost it
    (web,) = look(street.workspace, at=street.at).sources
    assert web.agrees is False


def test_the_page_and_the_api_tell_the_duty_that_fails(client: TestClient) -> None:
    told = client.get("/api/sources").json()
    assert [duty[0] for duty in told["duties"] if duty[2]] == ["land"]
    page = client.get("/sources?lang=de").text
    assert "the disk is full" in page and "Etwas braucht Aufmerksamkeit" in page
    assert "zurückgehalten" in page and "erneut gesendet" in page


@pytest.mark.parametrize("locale", ["de", "en"])
def test_what_the_worker_does_and_who_reads_the_inbox_is_told_in_words(street: Street, locale: str) -> None:
    (street.root / "kundig.toml").write_text("[worker]\nexpire_hours = 1\n", encoding="utf-8")
    for name in ("forward:crm", "follow shop", *(duty.name for duty in Worker(kundig.open(street.root)).duties)):
        street.store.did(name, at=1_790_000_000_000_000)
    street.inbox.register("forward:crm")
    page = asking(street).get(f"/sources?lang={locale}&format=json").json()
    shown = [cell if isinstance(cell, str) else cell["text"] for table in page["tables"][-2:] for cell in (row[0] for row in table["rows"])]
    assert len(shown) == 10, shown
    words = texts(locale)
    known = {*words["duties"].values(), *words["cursors"].values()}
    assert {name.partition(":")[0] for name in shown} <= known, "a name that nobody translated"


def test_metrics_are_what_prometheus_reads(client: TestClient) -> None:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    figures = dict(re.findall(r"^(kundig_\S+) ([\d.e+]+)$", answer.text, re.MULTILINE))
    assert figures['kundig_calls_total{source="web",verdict="taken"}'] == "2.0"
    assert figures['kundig_calls_total{source="web",verdict="held"}'] == "1.0"
    assert figures['kundig_calls_total{source="web",verdict="repeated"}'] == "1.0"
    assert figures['kundig_inbox_waiting_requests{cursor="live"}'] == "0.0"
    assert figures['kundig_duty_failing{duty="land"}'] == "1.0" and figures['kundig_duty_failing{duty="fold"}'] == "0.0"
    assert "kundig_release_timestamp_seconds" in figures


def _tail(root: Path, *words: str) -> list[str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main(["tail", "-w", str(root), "--no-follow", *words])
    return out.getvalue().splitlines()


def test_tail_shows_calls_with_their_verdicts(root: Path, street: Street) -> None:
    lines = _tail(root)
    assert len(lines) == 4 and sum(" taken " in line for line in lines) == 2
    assert any("held" in line and "names nobody" in line for line in lines)
    told = [json.loads(line) for line in _tail(root, "--json", "--last", "2")]
    assert len(told) == 2 and all(set(call) >= {"received_at", "source", "verdict", "reason", "name", "facts"} for call in told)
    assert _tail(root, "--source", "web", "--last", "1") and _tail(street.root)[0].startswith("nothing has come yet")


def test_tail_knows_the_sources(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from kundig.cli.tailing import show_calls
    from kundig.workspace import Workspace

    with pytest.raises(ConfigError, match="did you mean 'web'"):
        show_calls(Workspace(root), source="wep", last=1, follow=False, as_json=False)
