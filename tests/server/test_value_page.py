"""The page about value: each figure recounted from the tables in plain Python, and each picture from the table beside it."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from kundig.report import words
from kundig.report.facts import Facts
from kundig.report.value import ALIVE, CHANGES, ORDERS, SEASON, TOPS, bands, changing, lorenz, value
from kundig.workspace import Workspace


@pytest.fixture(scope="module", params=["de", "en"])
def view(request: pytest.FixtureRequest, workspace: Workspace) -> dict[str, Any]:
    w = words(workspace, request.param)
    made = value(Facts(workspace), w)
    return made | {"w": w, "by": {table["title"]: table for table in made["tables"]}}


def _rows(view: dict[str, Any], key: str) -> tuple[dict[str, Any], list[list[Any]]]:
    table = view["by"][view["w"](f"value_page.{key}")]
    return table, [[getattr(cell, "value", cell) for cell in row] for row in table["rows"]]


def test_concentration_is_that_of_the_table(view: dict[str, Any], workspace: Workspace) -> None:
    amounts = sorted((float(row[0]) for row in workspace.rows("SELECT expected_value FROM lifetime_values")[1]), reverse=True)
    table, rows = _rows(view, "concentration")
    whole = sum(max(one, 0.0) for one in amounts)
    for top, row in zip(TOPS, rows, strict=True):
        number = max(1, round(top * len(amounts)))
        assert row[1] == number
        assert row[2] == pytest.approx(sum(max(one, 0.0) for one in amounts[:number]) / whole)
    assert rows[-1][2] == pytest.approx(1.0)
    assert view["w"].percent(rows[3][2]) in table["finding"]
    _drawn(table, [0.0, *(row[2] for row in rows)])


def test_bands_hold_everybody_once(view: dict[str, Any], workspace: Workspace) -> None:
    amounts = np.array([float(row[0]) for row in workspace.rows("SELECT expected_value FROM lifetime_values")[1]])
    table, rows = _rows(view, "spread")
    assert sum(row[1] for row in rows) == len(amounts)
    for (low, high, persons), row in zip(bands(amounts), rows, strict=True):
        assert persons == row[1] == int(((amounts >= (-np.inf if low is None else low)) & (amounts < (np.inf if high is None else high))).sum())
    drawn = re.findall(r'<text[^>]*font-size="12[^>]*>([\d.,]+)</text>', table["drawing"].split('class="chart narrow"')[0])
    assert {cell.text for _, cell in table["rows"]} <= set(drawn)


def test_the_matrix_counts_each_buyer_once(view: dict[str, Any], workspace: Workspace) -> None:
    _, rows = _rows(view, "matrix")
    people = workspace.rows("SELECT probability_alive, purchase_days FROM lifetime_values JOIN features USING (person_key) WHERE probability_alive IS NOT NULL")[1]
    plain = np.zeros((len(ALIVE), len(ORDERS)), int)
    for alive, days in people:
        plain[next(place for place, low in enumerate(ALIVE) if alive >= low), max(place for place, low in enumerate(ORDERS) if days >= low)] += 1
    assert [row[1:-1] for row in rows] == plain.tolist()
    assert [row[-1] for row in rows] == plain.sum(axis=1).tolist()
    assert plain.sum() == len(people) > 0


def test_calibration_is_the_back_test_of_the_model(view: dict[str, Any], workspace: Workspace) -> None:
    [(text,)] = workspace.rows("SELECT holdout FROM models WHERE model = 'lifetime_value' ORDER BY fitted_at DESC, version DESC LIMIT 1")[1]
    checks = json.loads(text)["checks"]
    _, listed = _rows(view, "checks")
    assert [row[2:] for row in listed] == [[one["predicted"], one["actual"], one["predicted"] / one["actual"] - 1, one["mae"], one["mae_own_rate"], one["mae_mean"]] for one in checks]
    table, rows = _rows(view, "calibration")
    assert len(rows) == 10
    assert sum(row[1] * row[3] for row in rows) == pytest.approx(checks[0]["predicted"])
    assert sum(row[2] * row[3] for row in rows) == pytest.approx(checks[0]["actual"])
    assert sum(row[3] for row in rows) == checks[0]["persons"]
    assert [row[1] for row in rows] == sorted(row[1] for row in rows)
    _drawn(table, [row[2] for row in rows])


def _drawn(table: dict[str, Any], heights: list[float]) -> None:
    """The picture's points stand as high as the table's figures, by the scale of the lowest and the highest."""
    wide = table["drawing"].split('class="chart narrow"')[0]
    points = [float(y) for y in re.findall(r'<path transform="translate\([\d.]+,([\d.]+)\)"[^>]*d="M', wide)][: len(heights)]
    assert len(points) == len(heights)
    low, high = int(np.argmin(heights)), int(np.argmax(heights))
    scale = (points[low] - points[high]) / (heights[high] - heights[low])
    assert scale > 0
    assert [points[low] - (one - heights[low]) * scale for one in heights] == pytest.approx(points, abs=0.05)


def test_a_wrong_point_would_be_seen(view: dict[str, Any]) -> None:
    table, rows = _rows(view, "concentration")
    with pytest.raises(AssertionError):
        _drawn(table, [0.0, *(row[2] + (0.02 if number == 4 else 0.0) for number, row in enumerate(rows))])


def test_nothing_to_show_is_said() -> None:
    assert lorenz([]) == lorenz([0.0, -1.0]) == []
    assert [one[1:] for one in lorenz([5.0])][-1] == (1, 1.0)
    assert bands([0.0, 0.0])[0] == (0.0, 1.0, 2) or sum(one[2] for one in bands([0.0, 0.0])) == 2


@pytest.mark.parametrize("locale", ["de", "en"])
def test_what_would_change_a_verdict_is_said_in_both_languages(workspace: Workspace, locale: str) -> None:
    w = words(workspace, locale)
    for start, key in CHANGES:
        assert changing(f"{start} …", w) == w(f"would_change.{key}")
    assert changing(f"{SEASON}two years of history", w) == f"{w('would_change.season')}; {w('would_change.two_years')}"
    assert changing("", w) == "–"


def test_the_page_is_there(client: TestClient) -> None:
    page = client.get("/value?lang=de").text
    assert "Wo liegt der Wert" in page and page.count('class="chart wide"') == 3
