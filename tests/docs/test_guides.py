"""Guides cannot rot: their Python runs, their files are valid, and the first day is lived through, command by command."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kundig import clock
from kundig.config import load as config_load
from kundig.config.load import kinds
from kundig.errors import RuleError
from kundig.workspace import Workspace
from tests.docs.guides import DOCS, GUIDES, Block, Shell, blocks, differences, steps

PYTHON = [block for path in GUIDES for block in blocks(path, "python") if not block.file]


def _monday() -> Any:
    return dt.datetime(2026, 11, 2, 8, tzinfo=dt.UTC)  # type: ignore[name-defined]  # noqa: F821


def _tuesday() -> Any:
    return dt.datetime(2026, 11, 3, 8, tzinfo=dt.UTC)  # type: ignore[name-defined]  # noqa: F821


# the first day ----------------------------------------------------------------------------------------------------


def test_the_first_day_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command works on a made-up shop, and what the guide quotes is what it prints, at a moment that stands still."""
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(clock.now, "__code__", _monday.__code__)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shell = Shell(folder=tmp_path / "shop", port=port)
    shell.folder.mkdir()
    quoted = 0
    for block, expected in steps(DOCS / "first-day.md"):
        if block.note == "next day":
            monkeypatch.setattr(clock.now, "__code__", _tuesday.__code__)
        output = shell.run(block)
        if expected is not None:
            missing = differences(expected.text, output)
            assert not missing, f"{expected.place}: {missing}\n{output}"
            quoted += 1
    assert quoted >= 8
    tracked = subprocess.run(["git", "ls-files"], cwd=shell.folder, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {"kundig.toml", "sources/consents.yaml", "persona_matrix.csv"} <= set(tracked)
    assert not [path for path in tracked if path.startswith(("exports/", "data/", "out/", "secrets"))], "personal data in git"
    for command in ("init", "plan", "apply", "import", "run", "person", "why", "report", "serve", "quarantine show", "quarantine fix", "quarantine replay"):
        assert any(line.startswith(f"kundig {command}") for line in shell.ran), f"the first day leaves out kundig {command}"


def test_the_guide_of_ready_sources_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands work and print what it quotes, its files make a valid workspace, and its query is answered."""
    monkeypatch.setenv("COLUMNS", "200")
    shell = Shell(folder=tmp_path, port=0)
    quoted = 0
    for block, expected in steps(DOCS / "ready-sources.md"):
        output = shell.run(block)
        if expected is not None:
            missing = differences(expected.text, output)
            assert not missing, f"{expected.place}: {missing}\n{output}"
            quoted += 1
    assert quoted == 2
    workspace = Workspace(tmp_path)
    assert set(workspace.config.sources) == {"stock", "shop_database", "partner", "helpdesk"}
    (query,) = blocks(DOCS / "ready-sources.md", "sql")
    assert workspace.rows_now(query.text.replace("ad_spend", "stock_levels"))[1] == [("first", 2)]


def test_a_command_that_fails_and_a_line_that_is_not_printed_are_seen(tmp_path: Path) -> None:
    shell = Shell(folder=tmp_path, port=0)
    bad = Block(guide="made-up.md", language="sh", note="", text="kundig run\n", line=3)
    with pytest.raises(AssertionError, match=r"docs/made-up.md:3: kundig run ended with 2"):
        shell.run(bad)
    assert differences("one\n…\nthree", "one\ntwo\nthree\n") == []
    assert differences("one\nthree", "one\ntwo\nthree\n") == ["expected 'three', found 'two'"]
    assert differences("one\n…\nfour", "one\ntwo\n") == ["expected 'four', found 'two'"]


# Python -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guide", sorted({block.guide for block in PYTHON}))
def test_the_python_of_a_guide_runs_and_prints_what_it_says(guide: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks with prompts are doctests; others run as they stand, and a block of text behind one is what it prints. A guide's blocks share their names."""
    monkeypatch.chdir(tmp_path)
    missing = python_faults(blocks(DOCS / guide))
    assert not missing, "\n".join(missing)


def python_faults(found: list[Block], names: dict[str, Any] | None = None) -> list[str]:
    """What is untrue of a guide's Python, in order; `names` are filled with what it defines."""
    names = names if names is not None else {}
    names["__name__"] = "guide"
    faults: list[str] = []
    for block, after in zip(found, [*found[1:], None], strict=True):
        if block.language != "python" or block.file:
            continue
        output = io.StringIO()
        if block.text.lstrip().startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(block.text, names, block.place, block.guide, block.line)
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
            runner.run(test, out=output.write, clear_globs=False)
            names.update(test.globs)
            if runner.failures:
                faults.append(output.getvalue())
            continue
        try:
            with contextlib.redirect_stdout(output):
                exec(compile(block.text, block.place, "exec"), names)
        except Exception as error:
            faults.append(f"{block.place}: {type(error).__name__}: {error}")
        if after is not None and after.language == "text":
            faults += [f"{after.place}: {one}" for one in differences(after.text, output.getvalue())]
    return faults


def _block(language: str, text: str, line: int = 1) -> Block:
    return Block(guide="made-up.md", language=language, note="", text=text, line=line)


def test_python_that_is_untrue_is_seen() -> None:
    assert python_faults([_block("python", "x = 2\n"), _block("python", ">>> x + 1\n3\n"), _block("python", "print(x)\n"), _block("text", "2\n")]) == []
    assert "Expected:" in python_faults([_block("python", ">>> 1 + 1\n3\n")])[0]
    assert python_faults([_block("python", "print(1)\n"), _block("text", "2\n")]) == ["docs/made-up.md:1: expected '2', found '1'"]
    assert "NameError" in python_faults([_block("python", "nothing\n")])[0]


# files ------------------------------------------------------------------------------------------------------------

SHOWN = [block for path in GUIDES if path.name != "extending.md" for block in blocks(path, "yaml", "toml", "csv", "json")]
"""Files that guides show; those of extending.md are read with its package, by a test of their own."""


def file_faults(block: Block, folder: Path) -> list[str]:
    """What the models say against a workspace's file that a guide shows; a comment in its first line names it."""
    kind = next((kind for kind in kinds() if block.file and Path(block.file).match(kind.pattern)), None)
    if kind is None:
        return [f"{block.place}: no kind of workspace file is called '{block.file}'; begin the block with # and its path"]
    path = folder / block.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text, encoding="utf-8")
    value, faults, _ = config_load._read(path, block.file, kind)
    assert faults or value is not None
    return [f"{block.place}: {fault.what}, {fault.at}: {fault.mend}" for fault in faults]


def test_the_files_that_guides_show_are_valid(tmp_path: Path) -> None:
    named = [block for block in SHOWN if block.guide != "rules.md"]
    assert len(named) >= 4
    faults = [fault for block in named for fault in file_faults(block, tmp_path)]
    assert not faults, "\n".join(faults)


def test_the_rules_that_a_guide_shows_are_rules() -> None:
    from kundig import rules

    names: dict[str, Any] = {}
    assert not python_faults(blocks(DOCS / "rules.md"), names)
    shown = [block for block in SHOWN if block.guide == "rules.md"]
    assert shown
    for block in shown:
        assert rules.parse(block.text, names["schema"]).sentence("en"), block.place
    with pytest.raises(RuleError, match="withn"):
        rules.parse(shown[0].text.replace("within:", "withn:"), names["schema"])


def test_a_misspelt_key_in_a_guide_is_seen(tmp_path: Path) -> None:
    """The positive control: each file shown is spoilt in one key, and each is reported, with its line."""
    for block in SHOWN:
        if block.guide == "rules.md":
            continue
        key = re.search(r"^(\w+)(: | = |:$)", block.text, re.MULTILINE)
        assert key is not None
        spoilt = replace(block, text=block.text.replace(key[0], f"{key[1]}x{key[2]}", 1))
        assert any(f"{key[1]}x" in fault for fault in file_faults(spoilt, tmp_path)), block.place
    assert "no kind of workspace file" in file_faults(_block("yaml", "a: 1\n"), tmp_path)[0]
