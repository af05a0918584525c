"""The page of use cases: what each is for, what serves it, and whether it reached its goal."""

from __future__ import annotations

from typing import Any

from kundig.report.cells import Cell, address
from kundig.report.facts import Facts
from kundig.report.words import DASH, Words

View = dict[str, Any]
TONES = {"reached": "good", "open": "warn", "not_reached": "bad"}


def usecases(facts: Facts, w: Words) -> View:
    """Did we reach our goals?"""
    from kundig.report.views import grid, told

    files = facts.workspace.config.usecases
    found = [row for row in facts.rows("SELECT * FROM use_cases ORDER BY use_case") if row["use_case"] in files]
    counted = {answer: sum(1 for row in found if row["answer"] == answer) for answer in (*TONES, None)}
    judged, links = [], []
    for row in found:
        one = files[row["use_case"]]
        verdict = Cell(text=w(f"usecases.{row['answer']}"), value=row["answer"], tone=TONES[row["answer"]]) if row["answer"] else Cell(text=f"{DASH} {_why(row['reason'], w)}")
        value = Cell(text=w.unit(row["value"], row["unit"]) + w.interval(row["low"], row["high"], row["unit"]), value=row["value"]) if row["value"] is not None else Cell(text=DASH)
        goal = w(f"usecases.{row['direction']}", target=w.unit(row["target"], row["unit"] or "ratio"))
        kpi = w.named("kpis", row["metric"]) + (f" ({w.named('members', row['member'])})" if row["member"] else "")
        judged.append((row["use_case"], kpi, goal, value, w.month(row["period_start"]), w.day(row["until"]), verdict))
        audience = Cell(text=row["audience"], href=address("/people", audience=row["audience"], part="members", lang=w.locale)) if row["audience"] else DASH
        links.append((row["use_case"], one.problem, one.approach or DASH, one.test or DASH, ", ".join(one.tools) or DASH, row["prediction"] or DASH, audience, row["experiment"] or DASH, one.owner or DASH))
    heads = [(w("usecases.use_case"), False), (w("measure.kpi"), False), (w("usecases.goal"), False), (w("common.value"), True), (w("measure.month"), False), (w("usecases.until"), False), (w("usecases.answered"), False)]
    more = [(w(f"usecases.{name}"), False) for name in ("use_case", "problem", "approach", "test", "tools", "prediction", "audience", "experiment", "owner")]
    answer = told(w, "usecases.answer", count=w.number(len(found)), reached=w.number(counted["reached"]), missed=w.number(counted["not_reached"]), open=w.number(counted["open"]), unknown=w.number(counted[None]))
    return {
        "title": w("usecases.title"), "answer": answer if found else told(w, "usecases.answer_none"), "how": w("how.usecases"),
        "tables": [grid(heads, judged, title=w("usecases.judged"), empty=w("empty.usecases")), *([grid(more, links, title=w("usecases.what"))] if links else [])],
    }  # fmt: skip


def _why(reason: str, w: Words) -> str:
    from kundig.report.words import texts

    return w(f"usecases.why_{reason}") if f"why_{reason}" in texts(w.locale)["usecases"] else w("usecases.why_no_value")
