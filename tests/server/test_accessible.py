"""Pages in a real browser: axe-core finds nothing in both languages, light and dark, and no page scrolls sideways on a phone or a wide screen."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from kundig.report import render
from kundig.workspace import Workspace
from tests.server.browser import judged

pytestmark = pytest.mark.needs_chromium
AXE = Path(__file__).parent / "axe" / "axe.min.js"
BROKEN = """<!doctype html><html><head><title></title></head><body style="margin:0"><img src="data:,"><p style="color:#ccc;background:#fff">pale</p>
<div style="width:900px">wide</div><svg class="chart" width="60" height="20"><text x="40" y="15">cut off</text></svg><input></body></html>"""


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's script, from beside this file: nothing is fetched."""
    return AXE.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def every_sheet(client: TestClient, workspace: Workspace, addresses: dict[str, str]) -> dict[str, str]:
    """Every page and report in both languages, its stylesheet in it."""
    style = client.get("/style.css").text
    found = {}
    for locale in ("de", "en"):
        for name, address in addresses.items():
            text = client.get(f"{address}{'&' if '?' in address else '?'}lang={locale}").text
            found[f"{name}.{locale}"] = text.replace('<link rel="stylesheet" href="/style.css">', f"<style>{style}</style>")
        found[f"report.{locale}"] = render(workspace, locale)
    return found


Verdict = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def verdict(every_sheet: dict[str, str], axe: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Verdict]:
    """What the browser says of the pages in a frame of a width: of all where full counts are wanted, else on a phone of those in German and on a desktop of those in English."""

    @functools.cache
    def look(width: int, *, dark: bool, judging: bool = True) -> Verdict:
        locale = "de" if width < 900 else "en"
        sheets = {name: text for name, text in every_sheet.items() if os.environ.get("KUNDIG_FULL") or name.endswith(f".{locale}")}
        found = judged(sheets | {"broken": BROKEN}, axe=axe, folder=tmp_path_factory.mktemp("sheets"), width=width, dark=dark, judging=judging)
        assert set(found) == set(sheets) | {"broken"}
        return found

    return look


@pytest.mark.parametrize(("width", "dark"), ((360, False), (2560, True)))
def test_nothing_is_found(verdict: Callable[..., Verdict], width: int, dark: bool) -> None:
    pages = dict(verdict(width, dark=dark))
    broken = pages.pop("broken")
    assert {line.split(":")[0] for line in broken["violations"]} >= {"color-contrast", "document-title", "html-has-lang", "image-alt", "label"}, "the check itself must be able to find faults"
    assert {name: page["violations"] for name, page in pages.items() if page["violations"]} == {}
    assert all(page["passes"] > 10 and page["dark"] is dark for page in pages.values())


@pytest.mark.parametrize("width", (360, 1280, 2560))
def test_nothing_scrolls_sideways_and_no_chart_is_cut(verdict: Callable[..., Verdict], width: int) -> None:
    pages = dict(verdict(width, dark=False, judging=False) if width == 1280 else verdict(width, dark=width > 900))
    broken = pages.pop("broken")
    assert broken["clipped"] == ["cut off"] and (width > 900 or broken["scroll"] > broken["width"])
    assert {name: page["scroll"] for name, page in pages.items() if page["scroll"] > page["width"]} == {}
    assert {name: page["clipped"] for name, page in pages.items() if page["clipped"]} == {}
    assert all(page["texts"] > 20 for name, page in pages.items() if name.startswith(("report", "overview"))), "there were charts to look at"
