"""Is it documented? Every table, command, setting, reason and extension point has its words, and the derived pages are up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kundig import reasons, tables
from kundig.config.load import kinds
from tests.docs.generate import DOCS, PAGES

ROOT = DOCS.parent


@pytest.mark.parametrize("name", sorted(PAGES))
def test_derived_pages_are_up_to_date(name: str) -> None:
    written = (DOCS / name).read_text(encoding="utf-8")
    assert written == PAGES[name]().rstrip("\n") + "\n", f"docs/{name} is behind: python -m tests.docs.generate"


def test_every_table_and_column_says_what_it_means() -> None:
    silent = [f"{table.name}.{column.name}" for table in tables.ALL.values() for column in table.columns if len(column.meaning) < 3]
    assert not silent
    assert all(len(table.meaning) > 10 for table in tables.ALL.values())


def test_every_command_and_option_says_what_it_does() -> None:
    page = PAGES["commands.md"]()
    for section in page.split("\n## ")[1:]:
        name, _, rest = section.partition("\n")
        assert re.search(r"\w{3}", rest.split("|")[0]), f"'{name}' says nothing of itself"
        silent = re.findall(r"\| (`[^|]+`) \|  \|", rest)
        assert not silent, f"'{name}': {silent} say nothing"


def test_every_setting_says_what_it_means() -> None:
    silent = []
    for kind in kinds():
        for row in PAGES["settings.md"]().split("\n"):
            if row.startswith("| `") and re.match(r"\| `[^`]+` \|  \|", row):
                silent.append(f"{kind.name}: {row}")
        break
    assert not silent, silent[:10]


def test_every_reason_has_both_sentences() -> None:
    assert all(reason.de and reason.en and reason.de != reason.en for reason in reasons.ALL.values())


def test_every_extension_point_is_in_the_guide() -> None:
    from kundig import hooks

    guide = (DOCS / "extending.md").read_text(encoding="utf-8")
    missing = [point for point in hooks.POINTS if point not in guide]
    assert not missing


def test_every_guide_is_listed_and_every_link_leads_somewhere() -> None:
    listed = (DOCS / "README.md").read_text(encoding="utf-8")
    for page in DOCS.glob("*.md"):
        assert page.name == "README.md" or page.name in listed, f"docs/README.md does not list {page.name}"
    for page in [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "THREAT_MODEL.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def _unknown_places(text: str) -> list[str]:
    """Paths in backticks that are not there: of the repository, or of the package."""
    named = re.findall(r"`([\w./]+(?:/[\w.]*|\.(?:py|md|toml|cedar)))`", text)
    own = {"exports/", "data/", "out/", "secrets.toml", "kundig.toml"}
    return [name for name in named if name not in own and not (ROOT / name).exists() and not (ROOT / "src/kundig" / name).exists()]


def _unknown_commands(text: str) -> list[str]:
    """Commands in backticks, or in lines of a shell block, that kundig does not know."""
    known = {line.removeprefix("## kundig ") for line in PAGES["commands.md"]().splitlines() if line.startswith("## kundig ")}
    called = re.findall(r"(?:^|`)kundig ([a-z]+)(?: ([a-z]+))?", text, re.MULTILINE)
    return [name for words in called if words[0] not in known and (name := " ".join(words).strip()) not in known]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "THREAT_MODEL.md", *(f"docs/{path.name}" for path in sorted(DOCS.glob("*.md")))])
def test_places_and_commands_that_a_page_names_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert not _unknown_commands(text)
    if "/" not in page:
        assert not _unknown_places(text)


def test_a_place_and_a_command_that_are_not_there_are_seen() -> None:
    assert _unknown_places("`tests/nowhere`, `tests/docs`, `gate.py`, `gates.py`") == ["tests/nowhere", "gates.py"]
    assert _unknown_commands("`kundig import shop`, `kundig quarantine burn`\nkundig rum\n") == ["quarantine burn", "rum"]


def test_the_names_in_the_readme_are_there() -> None:
    import kundig
    from kundig.workspace import Workspace

    shown = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert shown
    for code in shown:
        compile(code, "README.md", "exec")
        assert all(hasattr(kundig, name) for name in re.findall(r"kundig\.(\w+)", code))
        assert all(hasattr(Workspace, name) for name in re.findall(r"shop\.(\w+)", code))


def test_a_silent_column_is_seen() -> None:
    """The positive control of the first check: a page that is behind differs."""
    page = PAGES["reasons.md"]()
    assert page.replace("objected", "objectd") != page


def test_nothing_speaks_of_the_workshop() -> None:
    words = re.compile(r"\.\./shar" + r"ed|/wor" + r"k/|pypi\.org/simple|registry\.npmjs")
    bad = [str(path.relative_to(ROOT)) for folder in ("src", "docs", "tests", "bench", "examples") for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".md", ".yaml", ".toml") and words.search(path.read_text(encoding="utf-8"))]
    assert not bad


def test_readme_names_the_two_commands() -> None:
    readme = Path(ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in readme
    assert "make test" in readme
