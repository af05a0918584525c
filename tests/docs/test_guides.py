"""Guides cannot rot: their Python runs, their files are valid, and the first day is lived through, command by command."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from kundig import clock
from kundig.config.load import kinds
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
    for command in ("init", "plan", "apply", "import", "run", "person", "why", "report", "serve", "quarantine show", "quarantine fix", "quarantine replay"):
        assert any(line.startswith(f"kundig {command}") for line in shell.ran), f"the first day leaves out kundig {command}"


def test_a_command_that_fails_and_a_line_that_is_not_printed_are_seen(tmp_path: Path) -> None:
    shell = Shell(folder=tmp_path, port=0)
    bad = Block(guide="made-up.md", language="sh", note="", text="kundig run\n", line=3)
    with pytest.raises(AssertionError, match=r"docs/made-up.md:3: kundig run ended with 2"):
        shell.run(bad)
    assert differences("one\n…\nthree", "one\ntwo\nthree\n") == []
    assert differences("one\nthree", "one\ntwo\nthree\n") == ["expected 'three', found 'two'"]
    assert differences("one\n…\nfour", "one\ntwo\n") == ["expected 'four', found 'two'"]


# Python -----------------------------------------------------------------------------------------------------------
