"""What a killed replay left on the disk is cleared by any command of kundig quarantine, but never while another process writes."""

from __future__ import annotations

from pathlib import Path

import pytest

import kundig as package
from tests.cli.conftest import Kundig


@pytest.mark.parametrize("words", [("list",), ("show", "nothing"), ("fix", "nothing", "a=b"), ("drop", "nothing", "--because", "x"), ("replay",)])
def test_leftovers_are_cleared(kundig: Kundig, copy: Path, words: tuple[str, ...]) -> None:
    left = package.open(copy).lake.data / ".replay-killed"
    left.mkdir()
    (left / "replayed").write_text("a record", encoding="utf-8")
    kundig("quarantine", *words, "-w", copy)
    assert not left.exists()


def test_a_replay_under_way_keeps_its_lines(kundig: Kundig, copy: Path) -> None:
    workspace = package.open(copy)
    left = workspace.lake.data / ".replay-running"
    left.mkdir()
    with workspace.writing("replay"):
        assert kundig("quarantine", "list", "-w", copy).code == 0
        assert left.exists()
    kundig("quarantine", "list", "-w", copy)
    assert not left.exists()
