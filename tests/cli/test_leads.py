"""`kundig lead …` on the finished shop: listed, handed over, answered, learnt from."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from tests.cli.conftest import Kundig

END = "2026-10-31"


def test_from_the_list_to_the_feedback(kundig: Kundig, copy: Path, tmp_path: Path) -> None:
    every = json.loads(kundig("lead", "list", "-w", copy, "--closed", "--limit", "500", "--json").out)
    best = json.loads(kundig("lead", "list", "-w", copy, "--json", "--csv", tmp_path / "leads.csv").out)
    assert best and [row["score"] for row in best] == sorted((row["score"] for row in best), reverse=True) and len(every) >= len(best)
    with (tmp_path / "leads.csv").open(encoding="utf-8", newline="") as file:
        assert [row["person_id"] for row in csv.DictReader(file)][: len(best)] == [row["person_id"] for row in best]
    person = best[0]["person_id"]
    told = kundig("lead", "show", person, "-w", copy)
    assert told.code == 0 and "company_size" in told.out and "geschaeftsfuehrer_kmu" in told.out
    assert "Kim has the lead" in kundig("lead", "assign", person, "Kim", "-w", copy).out
    assert "learns from it" in kundig("lead", "status", person, "won", "-w", copy, "--because", "kauft zwei Räder").out
    wrong = kundig("lead", "status", person, "wun", "-w", copy)
    assert wrong.code == 2 and "won" in wrong.err
    shown = json.loads(kundig("lead", "show", person, "-w", copy, "--json").out)
    assert (shown["status"], shown["owner"], shown["late"]) == ("won", "Kim", False) and [row["status"] for row in shown["log"]] == ["won", "assigned"] and shown["response_hours"] < 1
    assert person not in kundig("lead", "list", "-w", copy).out
