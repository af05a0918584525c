"""`kundig usecase …` on the finished shop: written, applied, answered by a run, shown on the command line and on the page."""

from __future__ import annotations

import json
from pathlib import Path

from starlette.testclient import TestClient

import kundig as library
from kundig.server.app import make_app
from tests.cli.conftest import Kundig

END = "2026-10-31"


def test_from_the_problem_to_the_answer(kundig: Kundig, copy: Path) -> None:
    assert "there is no use case" in kundig("usecase", "list", "-w", copy).out
    words = ("--problem", "Zu viele Kunden schlafen ein", "--approach", "Rückgewinnung", "--test", "Halbe halbe, sechs Wochen", "--tool", "E-Mail", "--tool", "Figma", "--audience", "win_back", "-w", copy)
    assert kundig("usecase", "new", "calm", "--kpi", "churn", "--at-most", "0.9", *words).code == 0
    assert kundig("usecase", "new", "bold", "--kpi", "churn", "--at-most", "0.0001", "--until", "2026-12-31", *words).code == 0
    assert kundig("usecase", "new", "lost", "--kpi", "nothing_such", "--at-least", "1", *words).code == 0
    again = kundig("usecase", "new", "calm", "--kpi", "churn", "--at-most", "0.5", *words)
    assert again.code == 2 and "there already" in again.err
    wrong = kundig("usecase", "new", "other", "--problem", "p", "--kpi", "churn", "--at-most", "0.5", "--audience", "win_bak", "-w", copy)
    assert wrong.code == 2 and "win_back" in wrong.err and not (copy / "usecases/other.yaml").exists()
    assert {row["reason"] for row in json.loads(kundig("usecase", "list", "-w", copy, "--json").out)} == {"no_run"}
    kundig("apply", "-w", copy)
    assert kundig("run", "-w", copy, "--as-of", END).code == 0
    rows = {row["use_case"]: row for row in json.loads(kundig("usecase", "list", "-w", copy, "--json").out)}
    assert {name: row["answer"] for name, row in rows.items()} == {"calm": "reached", "bold": "not_reached", "lost": None} and rows["lost"]["reason"] == "no_such_kpi"
    newest = library.open(copy).rows("SELECT value, low, high FROM kpis WHERE kpi = 'churn' AND dimension = '' ORDER BY period_start DESC LIMIT 1")[1][0]
    assert tuple(rows["calm"][name] for name in ("value", "low", "high")) == newest
    said = kundig("usecase", "show", "calm", "-w", copy).out
    assert "Rückgewinnung" in said and "reached" in said and "E-Mail, Figma" in said
    with TestClient(make_app(library.open(copy)), base_url="http://127.0.0.1:8000") as client:
        for locale, words_ in (("de", ("erreicht", "verfehlt", "Diese Kennzahl gibt es nicht")), ("en", ("reached", "missed", "There is no such KPI"))):
            text = client.get(f"/usecases?lang={locale}").text
            assert all(word in text for word in words_) and "None" not in text and "nan" not in text.replace("nanc", "")
        judged = client.get("/usecases?lang=en&format=json").json()["tables"][0]["rows"]
        assert {row[0]: row[3].get("value") for row in judged} == {name: row["value"] for name, row in rows.items()}
