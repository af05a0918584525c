"""How the report reads: self-contained, in its own language throughout, no empty column, no null without its reason, no chart without its words."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest

import kundig
from kundig.errors import KundigError
from kundig.report import charts, render, words, write_reports
from kundig.report.facts import Facts
from kundig.report.views import overview
from kundig.report.words import texts
from kundig.testing import default_workspace
from kundig.workspace import Workspace
from tests.report.conftest import LOCALES, Read, Report

OUTSIDE = re.compile(r"(?:https?:)?//|@import|url\((?!#)|data:(?!,)", re.IGNORECASE)
KEPT = {"data:,"}
"""The empty icon, which keeps browsers from asking for one."""


def outside(report: Report) -> list[str]:
    """What a browser would fetch or run for this page."""
    found = [load for load in report.loads if load not in KEPT]
    found += sorted(report.tags & {"script", "iframe", "object", "embed", "img", "audio", "video", "base", "form"})
    return found + OUTSIDE.findall(report.source.replace("data:,", ""))


def empty_columns(report: Report) -> list[str]:
    """Columns of filled tables that say nothing in any row."""
    return [f"{title}: {head}" for (_, title), read in report.tables.items() for number, head in enumerate(read.heads) if read.rows and all(text in ("", "–") for text in read.column(number))]


@pytest.mark.parametrize("locale", LOCALES)
def test_nothing_comes_from_elsewhere(reports: dict[str, Report], locale: str) -> None:
    assert outside(reports[locale]) == []
    assert len(reports[locale].source.encode()) < 300_000
    for planted in ('<img src="https://example.org/a.png">', "<script>1</script>", "<style>@import 'x.css'</style>", '<link href="//example.org/a.css">', '<p onclick="x()">', "<style>p{background:url(a.png)}</style>"):
        assert outside(Report(reports[locale].source.replace("</main>", planted + "</main>"))), planted


@pytest.mark.parametrize("locale", LOCALES)
def test_no_column_is_empty(reports: dict[str, Report], locale: str) -> None:
    assert empty_columns(reports[locale]) == []
    spoilt = copy.deepcopy(reports[locale])
    spoilt.tables["overview", "planted"] = Read(heads=["a", "b"], rows=[["1", "–"], ["2", ""]])
    assert empty_columns(spoilt) == ["planted: b"]


@pytest.mark.parametrize("locale", LOCALES)
def test_every_null_is_a_dash_that_somebody_explains(reports: dict[str, Report], locale: str) -> None:
    text = reports[locale].text
    assert not re.search(r"\b(?:nan|None|NaT|inf|null|undefined)\b", text)
    assert all(cell for read in reports[locale].tables.values() for row in read.rows for cell in row), "no cell is blank"
    measure = texts(locale)["measure"]
    kpis = [read for (where, _), read in reports[locale].tables.items() if where == "measure" and len(read.heads) == 5]
    if any(row[1] != "–" and row[2] == "–" for read in kpis for row in read.rows):
        assert measure["unmoved"] in text
    assert measure["cohorts_sub"] in text
    channels = next(read for (where, _), read in reports[locale].tables.items() if where == "measure" and len(read.heads) == 4)
    assert all(cell[0] != "–" or cell.endswith(")") for row in channels.rows for cell in row)


def test_each_language_is_itself_throughout(reports: dict[str, Report]) -> None:
    german, english = reports["de"], reports["en"]
    assert set(re.findall(r"\b(?:the|of|with|Reason|People|Value|usable|consent to|purchases|is missing)\b", _ours(german, "de"))) == set()
    assert set(re.findall(r"\b(?:der|die|das|und|nicht|Grund|Personen|Wert|brauchbar|Einwilligung)\b", _ours(english, "en"))) == set()
    assert [where for where, _ in german.tables] == [where for where, _ in english.tables]
    assert [len(read.rows) for read in german.tables.values()] == [len(read.rows) for read in english.tables.values()]


def _ours(report: Report, locale: str) -> str:
    """What the pages say themselves: without the copy, meanings and names that a workspace's files bring."""
    names = {texts(locale)[group][key] for group, key in (("segments", "message"), ("audiences", "meaning"), ("data", "table"), ("data", "source"), ("segments", "segment"))}
    cells = [text for read in report.tables.values() for row in read.rows for head, text in zip(read.heads, row, strict=True) if head not in names]
    heads = [head for read in report.tables.values() for head in read.heads]
    return " ".join([*cells, *heads, *report.answers.values(), *report.findings, *(title for _, title in report.tables)])


CHECK = {"cut_off": "2026-08-01", "horizon_days": 91, "predicted": 1_234.4, "actual": 1_200, "mae": 0.4, "mae_own_rate": 0.5, "mae_mean": 0.6}
GROUNDS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "better": ({"checks": [CHECK]}, {"de": "1.234 Käufe vorhergesagt, 1.200 eingetreten (+2,9 %); je Person näher daran", "en": "1,234 purchases predicted, 1,200 happened (+2.9%); closer for each person"}),
    "no better": ({"checks": [CHECK | {"mae": 0.55}]}, {"de": "je Person nicht besser als die eigene bisherige Rate", "en": "for each person no better than"}),
    "nothing happened": ({"checks": [CHECK | {"actual": 0}]}, {"de": "0 eingetreten (–)", "en": "0 happened (–)"}),
    "untested": ({}, {"de": "keine Gegenprobe möglich", "en": "no check possible"}),
}  # fmt: skip


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("ground", GROUNDS)
def test_a_models_verdict_is_worded_in_the_pages_language(workspace: Workspace, ground: str, locale: str) -> None:
    check, said = GROUNDS[ground]
    facts = Facts(workspace)
    english = "two back-tests hit the total"
    model = {"model": "lifetime_value", "verdict": "weak", "reason": english, "observations": 41, "fitted_at": facts.release.moment, "check": check}
    facts.__dict__["models"] = [model]
    row = [str(cell) for cell in overview(facts, words(workspace, locale), drawn=False)["models"]["rows"][0]]
    assert row[1] == {"de": "schwach", "en": "weak"}[locale] and row[3] == "41"
    assert said[locale] in row[2] and english not in row[2]


@pytest.mark.parametrize("locale", LOCALES)
def test_every_figure_says_what_it_shows(reports: dict[str, Report], locale: str) -> None:
    report = reports[locale]
    figures = re.findall(r"<figure>(.*?)</figure>", report.source, flags=re.DOTALL)
    assert len(figures) == 3
    for figure in figures:
        caption, drawing = figure.split("</figcaption>")
        title, sub = re.findall(r"<(?:strong|span)[^>]*>(.*?)</(?:strong|span)>", caption)
        assert re.search(r"\d", title) and len(sub) > 10, "the title is a finding, the subtitle says measure and period"
        assert len(re.findall(r"<svg [^>]*aria-hidden", drawing)) == 2, "wide and narrow; the table beside it is the text alternative"
        assert title not in drawing, "titles stand in the page, where they wrap and are never cut"


def test_bars_start_at_zero_and_ids_do_not_meet() -> None:
    drawing = charts.bars([{"name": "a", "n": 100}, {"name": "b", "n": 50}, {"name": "c", "n": 0}], x="name", y="n")
    heights = [float(height) for height in re.findall(r"v([\d.]+)h-", drawing.split("</svg>")[0])]
    bars = sorted(height for height in heights if 1 < height < charts.HEIGHT - 1)
    assert bars[-1] / bars[0] == pytest.approx(2.0, rel=0.05)
    both = charts.bars([{"name": "a", "n": 1}], x="name", y="n") + drawing
    ids = re.findall(r' id="([^"]+)"', both)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("locale", LOCALES)
def test_before_anything_landed_the_report_says_what_to_do(tmp_path: Path, locale: str) -> None:
    workspace = kundig.open(default_workspace(tmp_path / "new"))
    with pytest.raises(KundigError, match="no release yet"):
        render(workspace, locale)
    workspace.run()
    report = Report(render(workspace, locale))
    assert "kundig import" in report.text and not re.search(r"\b(?:nan|None)\b", report.text)


def test_files_are_whole_or_not_there(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "r.html"
    assert write_reports(workspace, output=place, locales=("de",)) == (place,)
    before = place.read_text(encoding="utf-8")
    monkeypatch.setattr(Path, "replace", lambda self, target: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_reports(workspace, output=place, locales=("en",))
    assert place.read_text(encoding="utf-8") == before
    with pytest.raises(KundigError, match="two languages"):
        write_reports(workspace, output=place, locales=("de", "en"))


def test_texts_are_the_same_keys_in_every_language() -> None:
    def keys(node: Any, path: str = "") -> set[str]:
        return {f"{path}.{name}" if not isinstance(below, dict) else "" for name, below in node.items()} | {key for name, below in node.items() if isinstance(below, dict) for key in keys(below, f"{path}.{name}")}

    def gaps(node: Any, path: str = "") -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for name, below in node.items():
            found |= gaps(below, f"{path}.{name}") if isinstance(below, dict) else {f"{path}.{name}": set(re.findall(r"\{(\w+)\}", str(below)))}
        return found

    assert keys(texts("de")) == keys(texts("en"))
    assert gaps(texts("de")) == gaps(texts("en"))
