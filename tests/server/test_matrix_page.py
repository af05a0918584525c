"""The page of the matrix: movement, cells and returns are the tables' numbers, counted here once more; in a browser nothing is cut and axe finds nothing."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import kundig
from kundig.report.matrix import earlier
from kundig.server.app import make_app
from kundig.store.lake import ReleaseMark, Replace
from kundig.workspace import Workspace
from tests.server.browser import judged

AXE = Path(__file__).parent / "axe" / "axe.min.js"


@pytest.fixture(scope="module")
def moved(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Counter[tuple[str | None, str | None]]]]:
    """A workspace with a release of eight days later in which every third person went elsewhere, one left, and what became of each."""
    workspace = kundig.open(shutil.copytree(root, tmp_path_factory.mktemp("moved") / "shop"))
    release = workspace.lake.release()
    assert release is not None
    held = workspace.table("segment_members").to_pyarrow()
    names = workspace.config.matrix.segments
    rows, moves = [], Counter[tuple[str | None, str | None]]()
    for number, row in enumerate(sorted(held.to_pylist(), key=lambda row: row["person_key"])):
        after = names[(names.index(row["segment_id"]) + 1 + number % 2) % len(names)] if number % 3 == 0 else row["segment_id"]
        moves[row["segment_id"], after if number != 1 else None] += 1
        rows += [row | {"segment_id": after}] if number != 1 else []
    for days in (1, 8):
        source = held if days == 1 else type(held).from_pylist(rows, schema=held.schema)
        workspace.lake.commit([Replace(table="segment_members", source=source)], release=ReleaseMark(run_id=release.run_id + days, moment=release.moment + dt.timedelta(days=days)))
    yield workspace, moves
    workspace.lake.close()


@pytest.fixture(scope="module")
def page(moved: tuple[Workspace, Any]) -> Iterator[TestClient]:
    with TestClient(make_app(moved[0]), base_url="http://127.0.0.1:8000") as client:
        yield client


def test_movement_is_that_of_the_releases(moved: tuple[Workspace, Counter[tuple[str | None, str | None]]], page: TestClient) -> None:
    workspace, moves = moved
    before, now = earlier(workspace), workspace.lake.release()
    assert now is not None and now.moment - before.moment == dt.timedelta(days=7), "the newest that is a week older"
    view = page.get("/matrix?lang=en&format=json").json()
    shown = {(row[0], row[1] if row[1] != "no longer there" else None): row[2]["value"] for row in view["movement"]["rows"]}
    assert shown == {move: n for move, n in moves.items() if move[0] != move[1]} and sum(shown.values()) > 10
    stay = sum(n for (old, new), n in moves.items() if old == new)
    assert f"Stayed: {stay} people" in view["movement"]["sub"] and f"{sum(shown.values())} of them changed segment" in view["answer"]


def test_the_picture_says_what_the_table_says(page: TestClient) -> None:
    html = page.get("/matrix?lang=en").text
    drawing = re.search(r'<svg[^>]*class="chart wide".*?</svg>', html, re.DOTALL)
    assert drawing is not None
    drawn = [int(text) for text in re.findall(r'font-weight="600">(\d+)<', drawing[0])]
    rows = page.get("/matrix?lang=en&format=json").json()["movement"]["rows"]
    assert sorted(drawn) == sorted(row[2]["value"] for row in rows[:8]) and len(re.findall("<path", drawing[0])) == len(drawn)


def test_cells_and_returns_are_those_of_the_tables(moved: tuple[Workspace, Any], page: TestClient) -> None:
    workspace, _ = moved
    cells, returns = page.get("/matrix?lang=en&format=json").json()["tables"]
    members = [row for row in workspace.table("segment_members").to_pyarrow().to_pylist() if row["member"]]
    assert sum(row[3]["value"] for row in cells["rows"]) == len(members)
    features = {row["person_key"]: row for row in workspace.table("features").to_pyarrow().to_pylist()}
    costs = {row["person_key"]: float(row["acquisition_cost"] or 0) for row in workspace.table("lifetime_values").to_pyarrow().to_pylist()}
    bought = {row["person_key"] for row in members if features[row["person_key"]]["purchase_days"] > 0}
    bought_at = {features[person]["acquisition_channel"] for person in bought if costs[person] > 0}
    assert bought_at and any(features[person]["acquisition_channel"] not in bought_at for person in bought), "there are both"
    assert {row[0] for row in returns["rows"]} == set(workspace.config.matrix.segments)
    for name, buyers, margin, cost, paid, roi in returns["rows"]:
        mine = [row["person_key"] for row in members if row["segment_id"] == name and row["person_key"] in bought]
        known = [person for person in mine if features[person]["acquisition_channel"] in bought_at]
        assert (buyers["value"], paid["value"]) == (len(mine), len(known))
        gained = sum(float(features[person]["margin"] or 0) for person in known)
        spent = sum(costs[person] for person in known)
        if not mine:
            assert margin["text"] == "–" and "Nobody here has bought yet" in roi["text"]
        else:
            assert margin["value"] == pytest.approx(sum(float(features[person]["margin"] or 0) for person in mine))
        if mine and not spent:
            assert "No spend is booked" in roi["text"] and "value" not in roi, "null with its reason"
        if spent:
            assert cost["value"] == pytest.approx(spent) and roi["value"] == pytest.approx((gained - spent) / spent)


def test_one_release_says_what_will_be_here(client: TestClient) -> None:
    view = client.get("/matrix?lang=de&format=json").json()
    assert view["movement"]["rows"] == [] and "Mit dem nächsten Lauf" in view["answer"]
    assert "Mit dem zweiten Lauf steht hier" in client.get("/matrix?lang=de").text


@pytest.mark.needs_chromium
def test_in_a_browser(page: TestClient, tmp_path: Path) -> None:
    style, axe = page.get("/style.css").text, AXE.read_text(encoding="utf-8")
    sheets = {locale: page.get(f"/matrix?lang={locale}").text.replace('<link rel="stylesheet" href="/style.css">', f"<style>{style}</style>") for locale in ("de", "en")}
    assert not any(re.search(r"\b(nan|None|NaT|inf)\b", text) for text in sheets.values())
    for width, dark in ((360, True), (1280, False)):
        verdict = judged(sheets, axe=axe, folder=tmp_path, width=width, dark=dark)
        assert {name: (one["violations"], one["clipped"]) for name, one in verdict.items()} == {name: ([], []) for name in sheets}
        assert all(one["scroll"] <= one["width"] and one["texts"] >= 4 for one in verdict.values())
