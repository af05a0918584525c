"""`kundig matrix …` on the finished shop: the effect told beforehand is what the next run does; creatives of changed rows are stale at once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import kundig as library
from kundig import audit
from tests.cli.conftest import Kundig

END = "2026-10-31"


def members(root: Path) -> dict[int, str]:
    return dict(library.open(root).rows("SELECT person_key, segment_id FROM segment_members WHERE member")[1])


def statuses(root: Path, sql: str = "SELECT creative_id, status FROM creatives") -> dict[str, str]:
    return dict(library.open(root).rows(sql)[1])


def test_what_is_told_beforehand_is_what_the_run_does(kundig: Kundig, copy: Path, tmp_path: Path) -> None:
    files = {path: (copy / path).read_bytes() for path in ("persona_matrix.csv", "segments/axes.yaml")}
    told = kundig("matrix", "suggest", "-w", copy, "--least", "30", "--write", tmp_path / "new")
    assert (told.code, told.err) == (0, "") and "too small" in told.out and "overlaps" in told.out
    assert all((copy / path).read_bytes() == text for path, text in files.items()), "a suggestion changes nothing"
    suggested = json.loads(kundig("matrix", "suggest", "-w", copy, "--least", "30", "--json").out)
    assert sum(row["persons"] for row in suggested["suggested"]) == sum(row["persons"] for row in suggested["present"]) == len(members(copy))

    before, sent = members(copy), statuses(copy)
    effect = json.loads(kundig("matrix", "diff", "-w", copy, "--from", tmp_path / "new", "--json").out)
    assert effect["moved"] > 50 and effect["moved"] + effect["stay"] == len(before) and effect["stale"]
    assert members(copy) == before and statuses(copy) == sent, "and so does a diff"
    assert "+++ b/persona_matrix.csv" in effect["diff"] and "+    - {name: plus, start:" in effect["diff"]

    done = kundig("matrix", "apply", "-w", copy, "--from", tmp_path / "new")
    assert (done.code, done.err) == (0, "") and "accepted persona_matrix.csv, segments/axes.yaml" in done.out
    assert (copy / "persona_matrix.csv").read_bytes() == (tmp_path / "new/persona_matrix.csv").read_bytes()
    workspace = library.open(copy)
    assert workspace.changed_files() == () and audit.verify(workspace.state) == []
    row = workspace.state.select("proposals")[-1]
    assert row["status"] == "accepted" and row["diff"] == effect["diff"] and json.loads(row["effect"])["moved"] == effect["moved"]
    stale = {name for name, status in statuses(copy).items() if status == "stale"}
    assert stale == {name for name in effect["stale"] if sent[name] == "approved"} != set()
    asked = library.open(copy).rows("SELECT DISTINCT creative_id, creative FROM gate_facts WHERE creative_id IS NOT NULL")[1]
    assert {name for name, status in asked if status == "stale"} == stale & {name for name, _ in asked} != set(), "and the gate is told so"

    assert kundig("run", "-w", copy, "--as-of", END).code == 0
    after = members(copy)
    moved = Counter((before.get(person), after.get(person)) for person in before.keys() | after.keys() if before.get(person) != after.get(person))
    assert moved == {(move["from"], move["to"]): move["persons"] for move in effect["moves"]}
    assert "stale" not in statuses(copy).values(), "the run made the creatives anew"


def test_a_message_alone_moves_nobody_and_is_taken_back(kundig: Kundig, copy: Path) -> None:
    path = copy / "persona_matrix.csv"
    kundig("matrix", "apply", "-w", copy)
    original, sent = path.read_text(encoding="utf-8"), statuses(copy)
    line = next(row for row in original.splitlines() if row.startswith("at_risk,"))
    path.write_text(original.replace(line, line.replace("wenn du wieder vorbeischaust", "dass du wieder da bist")), encoding="utf-8")
    effect: dict[str, Any] = json.loads(kundig("matrix", "diff", "-w", copy, "--json").out)
    assert (effect["moved"], effect["rows"]) == (0, {"at_risk": "changed"})
    assert sum(line.startswith(("+", "-")) and not line.startswith(("+++", "---")) for line in effect["diff"].splitlines()) == 2, "one line of the file"
    mine = {name for name in sent if ".at_risk." in name}
    assert set(effect["stale"]) == mine != set()
    assert kundig("matrix", "apply", "-w", copy).code == 0
    assert {name for name, status in statuses(copy).items() if status == "stale"} == mine
    path.write_text(original, encoding="utf-8")
    assert kundig("matrix", "apply", "-w", copy).code == 0
    assert statuses(copy) == sent, "what was marked is approved again"
    assert kundig("matrix", "apply", "-w", copy).out.strip() == "nothing had changed"


@pytest.mark.parametrize("what", ("others", "gap", "folder"))
def test_what_is_refused(kundig: Kundig, copy: Path, tmp_path: Path, what: str) -> None:
    words: list[str | Path] = []
    if what == "others":
        (copy / "costs.yaml").write_text("contact: 0.03\n", encoding="utf-8")
        said = "other files changed as well: costs.yaml"
    else:
        words = ["--from", tmp_path]
        said = "the folder has neither persona_matrix.csv nor segments/axes.yaml"
        if what == "gap":
            head, *rest = (copy / "persona_matrix.csv").read_text(encoding="utf-8").splitlines(keepends=True)
            (tmp_path / "persona_matrix.csv").write_text(head + "".join(row for row in rest if not row.startswith("lapsed,")), encoding="utf-8")
            said = "no row fits the cells"
    before = (copy / "persona_matrix.csv").read_bytes()
    done = kundig("matrix", "apply", "-w", copy, *words)
    assert done.code == 2 and said in done.err and (copy / "persona_matrix.csv").read_bytes() == before
