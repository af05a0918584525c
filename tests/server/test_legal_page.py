"""The page of legal's folder: the figures of the folder itself, the PDF behind a link, and odd quarters."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from kundig.clock import now
from kundig.legal.folder import SHOWN, folder
from kundig.report import words
from kundig.server.proofs import page, quarters
from kundig.workspace import Workspace


@pytest.mark.parametrize("locale", ["de", "en"])
def test_the_page_has_the_sheets_of_the_folder(client: TestClient, workspace: Workspace, locale: str) -> None:
    view = client.get(f"/legal?lang={locale}&quarter=2026-Q3&format=json").json()
    made = folder(workspace, at=now(), which="2026-Q3", locale=locale)
    assert [len(table["rows"]) for table in view["tables"]] == [min(200, len(made.sheets[name].rows)) for name in SHOWN]
    assert view["asked"]["quarter"] == "2026-Q3"
    assert len(made.sheets["activities"].rows) > 3 and f"{len(made.sheets['activities'].rows)} " in view["answer"]


@pytest.mark.parametrize("locale", ["de", "en"])
def test_the_link_gives_the_pdf(client: TestClient, locale: str) -> None:
    view = client.get(f"/legal?lang={locale}&quarter=2026-Q2&format=json").json()
    answer = client.get(view["file"]["href"])
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"] == f'attachment; filename="folder-2026-Q2.{locale}.pdf"'
    assert answer.content.startswith(b"%PDF-") and len(answer.content) > 10_000


@pytest.mark.parametrize("odd", ["2026-Q9", "yesterday", "../../etc/passwd", "<script>"])
def test_what_is_no_quarter_is_the_present_one(client: TestClient, odd: str) -> None:
    present = client.get("/legal?lang=en&format=json").json()["asked"]["quarter"]
    answer = client.get("/legal", params={"quarter": odd, "lang": "en"})
    assert answer.status_code == 200 and f"<option selected>{present}</option>" in answer.text
    assert "<script" not in answer.text


def test_a_figure_of_another_folder_would_be_seen(workspace: Workspace) -> None:
    """Positive control: the sentence is counted, not written."""
    made = folder(workspace, at=now(), which="2026-Q3", locale="en")
    fewer = dict(made.sheets) | {"activities": type(made.sheets["activities"])(name="activities", columns=made.sheets["activities"].columns, rows=())}
    w = words(workspace, "en")
    one, other = (page(type(made)(quarter=made.quarter, at=made.at, release=made.release, released_at=made.released_at, sheets=sheets, files={}), w, name="x", zone="Europe/Berlin") for sheets in (made.sheets, fewer))
    assert one["answer"] != other["answer"]


def test_the_quarters_before_are_offered() -> None:
    import datetime as dt

    at = dt.datetime(2026, 2, 3, tzinfo=dt.UTC)
    assert quarters(at, "Europe/Berlin", "2026-Q1")[:3] == ["2026-Q1", "2025-Q4", "2025-Q3"]
    assert quarters(at, "Europe/Berlin", "2019-Q1")[0] == "2019-Q1"
