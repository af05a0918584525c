"""The figures of people's pages: what is measured is what was asked, and a budget that is missed is told as missed."""

from __future__ import annotations

from bench import pages

import kundig as kd
from tests.cli.conftest import root

__all__ = ["root"]


def test_pages_of_random_people_are_measured_and_small_enough(root):
    found = pages.measured(kd.open(root), asked=8)
    assert found.people > 500 and 0 < found.p50 <= found.p95 <= found.worst
    assert 5 < found.kb50 <= found.kb95 <= found.largest < pages.KB


def test_a_missed_budget_is_told(root, monkeypatch, capsys):
    words = ["--workspace", str(root), "--asked", "3"]
    assert pages.main(words) in (0, 1) and "kB: " in capsys.readouterr().out
    for name in ("MS", "KB"):
        with monkeypatch.context() as changed:
            changed.setattr(pages, name, 0.5)
            assert pages.main(words) == 1 and "missed" in capsys.readouterr().out
