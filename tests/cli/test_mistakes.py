"""Mistakes that newcomers make: each ends with 1 (failed) or 2 (wrong use), says what, where and mend, and never shows a traceback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Done, Kundig

WRONG_USE: dict[str, tuple[list[str], int, list[str]]] = {
    "misspelt command": (["shwo", "profiles"], 2, ["No such command 'shwo'", "Did you mean 'show'?"]),
    "misspelt option": (["run", "--as-off", "2026-10-31"], 2, ["No such option", "--as-of"]),
    "no argument": (["why"], 2, ["Missing argument", "kundig why --help"]),
    "too many arguments": (["report", "extra"], 2, ["unexpected extra argument"]),
    "option without its value": (["run", "-w"], 2, ["requires an argument"]),
    "no number": (["show", "profiles", "--limit", "many"], 2, ["--limit", "valid int"]),
    "negative number": (["show", "profiles", "--limit", "-1"], 2, ["--limit", "0"]),
    "too few persons": (["demo", "{tmp}/d", "--persons", "3"], 2, ["--persons", "1000"]),
    "unknown demo": (["demo", "{tmp}/d", "--data", "shops"], 2, ["no demo", "online-retail"]),
    "wrong folder": (["run", "-w", "{tmp}/nowhere"], 2, ["there is no workspace here: kundig.toml is missing", "{tmp}/nowhere", "kundig init"]),
    "folder without a workspace": (["plan", "-w", "{tmp}"], 2, ["kundig.toml is missing", "kundig init"]),
    "a file for a folder": (["report", "-w", "{tmp}/file"], 2, ["kundig.toml is missing"]),
    "demo over other files": (["demo", "{tmp}"], 2, ["not empty and holds no demo", "{tmp}", "another folder"]),
    "init without the folder": (["init", "{tmp}/nothing", "-w", "{tmp}/w"], 2, ["there is no folder", "holds your exports"]),
    "init on nothing to read": (["init", "{tmp}/pictures", "-w", "{tmp}/w"], 2, ["nothing here can be read as orders", "{tmp}/pictures"]),
    "unknown world": (["simulate", "{tmp}/s", "--persons", "100", "--world", "plane"], 1, ["no world 'plane'", "plain"]),
    "schemas over a file": (["schema", "{tmp}/file"], 1, ["cannot be used", "{tmp}/file", "mend:"]),
}  # fmt: skip
ON_THE_SHOP: dict[str, tuple[list[str], int, list[str]]] = {
    "misspelt table": (["show", "profils"], 2, ["no table 'profils'", "did you mean 'profiles'?"]),
    "misspelt table to export": (["export", "profils", "{tmp}/x"], 2, ["no table 'profils'", "did you mean 'profiles'?"]),
    "a table with a quote in it": (["show", 'pro"files'], 2, ["no table"]),
    "misspelt table in SQL": (["sql", "SELECT * FROM profils"], 1, ["no table 'profils'", "did you mean 'profiles'?"]),
    "misspelt column in SQL": (["sql", "SELECT emial FROM profiles"], 1, ["emial", "kundig catalogue"]),
    "no SQL": (["sql", "show me everything"], 1, ["mend:"]),
    "unknown person": (["person", "nobody@example.org"], 1, ["nobody is known by this identifier", "e-mail address"]),
    "misspelt audience": (["why", "{member}", "--audience", "winback"], 2, ["no audience 'winback'", "did you mean 'win_back'?"]),
    "misspelt segment": (["why", "{member}", "--segment", "activ"], 2, ["no segment 'activ'", "did you mean 'active'?"]),
    "unknown language": (["report", "--locale", "fr"], 2, ["'fr'", "de, en"]),
    "one file for two languages": (["report", "--output", "{tmp}/r.html"], 1, ["two languages", "--locale de"]),
    "a folder for a file": (["report", "--locale", "de", "--output", "{tmp}"], 2, ["is a folder", "name a file in it"]),
    "a file in no folder": (["show", "profiles", "--format", "csv", "--output", "{tmp}/a/b/c.csv"], 2, ["is not there", "mkdir -p"]),
    "Parquet in no folder": (["show", "profiles", "--format", "parquet", "--output", "{tmp}/a/b/c.parquet"], 2, ["is not there", "mkdir -p"]),
    "Parquet to the screen": (["show", "profiles", "--format", "parquet"], 2, ["--output FILE"]),
    "unknown format": (["show", "profiles", "--format", "xlsx"], 2, ["no format", "parquet"]),
    "export into a file": (["export", "profiles", "{tmp}/file"], 1, ["cannot be used", "{tmp}/file"]),
    "a German date": (["plan", "--as-of", "31.10.2026"], 2, ["no moment", "2026-10-31"]),
    "no such day": (["run", "--as-of", "2026-02-30"], 2, ["no moment"]),
    "misspelt step": (["run", "--only", "profils"], 1, ["profils", "did you mean 'profiles'?"]),
    "misspelt source": (["import", "shopp"], 2, ["no source 'shopp'", "did you mean 'shop'?"]),
    "unknown record": (["quarantine", "show", "web:0:1"], 1, ["no record 'web:0:1'"]),
}  # fmt: skip


def told(done: Done, code: int, parts: list[str]) -> None:
    """One clear answer: the code, every part, no traceback, nothing on standard output, no more lines than can be read."""
    flat = " ".join(done.err.replace("│", " ").split())
    assert done.code == code, (done.out, done.err)
    assert "Traceback" not in done.err and done.out.strip() == ""
    assert [part for part in parts if part not in done.err and part not in flat] == [], done.err
    assert len(done.err.splitlines()) <= 12, done.err


@pytest.fixture
def tmp(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("a file\n", encoding="utf-8")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "photo.png").write_bytes(b"\x89PNG")
    return tmp_path


@pytest.mark.parametrize("name", WRONG_USE)
def test_wrong_use(kundig: Kundig, tmp: Path, name: str) -> None:
    words, code, parts = WRONG_USE[name]
    before = sorted(tmp.rglob("*"))
    told(kundig(*(word.format(tmp=tmp) for word in words)), code, [part.format(tmp=tmp) for part in parts])
    assert sorted(tmp.rglob("*")) == before, "nothing half-made remains"


@pytest.mark.parametrize("name", ON_THE_SHOP)
def test_on_a_finished_shop(kundig: Kundig, root: Path, request: pytest.FixtureRequest, tmp: Path, member: str, name: str) -> None:
    words, code, parts = ON_THE_SHOP[name]
    root = request.getfixturevalue("copy") if words[0] in ("run", "import", "plan") else root
    told(kundig(*(word.format(tmp=tmp, member=member) for word in words), "-w", root), code, [part.format(tmp=tmp) for part in parts])
    assert sorted(path.name for path in tmp.iterdir()) == ["file", "pictures"] or name == "misspelt table to export" or root.is_relative_to(tmp)


@pytest.mark.parametrize("words", (["show", "profiles"], ["sql", "SELECT 1"], ["person", "x"], ["why", "x"], ["report"], ["export", "profiles", "{tmp}/x"], ["consent", "show", "x"], ["deliver"]), ids=lambda words: words[0])
def test_before_the_first_run(kundig: Kundig, tmp: Path, words: list[str]) -> None:
    assert kundig("init", "-w", tmp / "new").code == 0
    done = kundig(*(word.format(tmp=tmp) for word in words), "-w", tmp / "new")
    told(done, 1, ["kundig run"])


def test_running_before_the_import_is_no_error_and_says_so(kundig: Kundig, tmp: Path) -> None:
    assert kundig("init", "-w", tmp / "new").code == 0
    done = kundig("run", "-w", tmp / "new")
    assert done.code == 0 and "release" in done.out
    assert json.loads(kundig("sql", "SELECT count(*) AS n FROM profiles", "-w", tmp / "new", "--json").out) == [{"n": 0}]
    assert kundig("report", "-w", tmp / "new").code == 0
    assert "kundig import" in (tmp / "new" / "out" / "report.en.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new", "parts"),
    (
        ("kundig.toml", 'currency = "EUR"', 'curency = "EUR"', ["curency", "did you mean 'currency'?"]),
        ("kundig.toml", 'zone = "Europe/Berlin"', 'zone = "Europe/Berln"', ["Europe/Berln"]),
        ("kundig.toml", "[value]", "[value", ["kundig.toml"]),
        ("audiences/welcome.yaml", "purpose: newsletter", "purpose: newsleter", ["newsleter", "did you mean 'newsletter'?"]),
        ("audiences/welcome.yaml", "rule:", "rule: [", ["audiences/welcome.yaml"]),
    ),
)
def test_a_wrong_file_is_named_with_its_mend(kundig: Kundig, root: Path, tmp: Path, file: str, old: str, new: str, parts: list[str]) -> None:
    place = Path(shutil.copytree(root, tmp / "w", ignore=shutil.ignore_patterns("data", "exports", "out", "truth")))
    text = (place / file).read_text(encoding="utf-8")
    assert old in text
    (place / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    for command in ("plan", "run"):
        told(kundig(command, "-w", place), 2, [file, *parts])
    doctor = kundig("doctor", "-w", place)
    assert doctor.code == 1 and "✗" in doctor.out


def test_a_missing_file_is_named(kundig: Kundig, root: Path, tmp: Path) -> None:
    place = Path(shutil.copytree(root, tmp / "w", ignore=shutil.ignore_patterns("data", "out", "truth")))
    shutil.rmtree(place / "exports" / "till")
    done = kundig("import", "till", "-w", place)
    assert "Traceback" not in done.err and done.code == 1 and "exports/till" in done.err and "mend:" in done.err
