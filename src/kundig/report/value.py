"""The page about value: how it is spread over buyers, who is still a customer, and how far earlier predictions came true."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from kundig.report import charts
from kundig.report.cells import Cell
from kundig.report.facts import Facts
from kundig.report.views import View, amount, grid, told
from kundig.report.words import DASH, Words

TOPS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Shares of buyers, the most valuable first, whose share of the value is told."""
BANDS = 8
ALIVE = (0.8, 0.5, 0.2, 0.0)
"""Probabilities to be still a customer at which a row of the matrix begins."""
ORDERS = (1, 2, 3, 5, 10)
"""Purchase days at which a column of it begins."""
CHANGES = (
    ("there are no", "purchases"), ("needs purchases", "purchases"), ("needs at least", "more"), ("needs about", "weeks"), ("two years", "two_years"), ("a check of", "check"), ("more history", "history"),
    ("needs more renewals", "renewals"),
)  # fmt: skip
"""What a verdict says would change it: how the text begins → its words on pages."""
SEASON = 'model="auto", which knows the season; '


def value(facts: Facts, w: Words) -> View:
    """Where is the value, and how sure is it?"""
    amounts = np.array([row["v"] for row in facts.rows("SELECT expected_value::DOUBLE AS v FROM lifetime_values WHERE expected_value IS NOT NULL ORDER BY v DESC, person_key")], np.float64)
    whole = facts.one("SELECT sum(contract_value)::DOUBLE AS contracts, count(*) FILTER (contract_value <> 0) AS holders FROM lifetime_values")
    curve = lorenz(amounts)
    tenth = next((share for top, _, share in curve if top == 0.1), None)
    if tenth is None:
        answer = told(w, "value_page.answer_none")
    else:
        answer = told(w, "value_page.answer", value=amount(w, float(amounts.sum()), short=True), persons=w.number(len(amounts)), tenth=w.percent(tenth))
    tables = [_concentration(curve, w), _spread(amounts, w), _alive(facts, w), _tenths(facts, w), _checks(facts, w), _verdicts(facts, w)]
    if whole.get("holders"):
        rows = [(w("value_page.purchases"), amount(w, float(amounts.sum()) - whole["contracts"])), (w("value_page.contracts"), amount(w, whole["contracts"]))]
        tables.insert(1, grid([(w("value_page.part"), False), (w("overview.value"), True)], rows, title=w("value_page.parts"), empty=""))
    return {"title": w("value_page.title"), "answer": answer, "tables": tables, "how": w("how.value", months=facts.workspace.config.settings.value.horizon_months)}


def lorenz(amounts: Any) -> list[tuple[float, int, float]]:
    """Share of buyers, their number, and their share of all value above zero, the most valuable first; nothing where none is above zero.

    Examples:
        >>> [(top, persons, round(share, 2)) for top, persons, share in lorenz([6.0, 3.0, 1.0, 0.0, -5.0]) if top in (0.2, 0.4, 1.0)]
        [(0.2, 1, 0.6), (0.4, 2, 0.9), (1.0, 5, 1.0)]
    """
    kept = np.maximum(np.sort(np.asarray(amounts, np.float64))[::-1], 0.0)
    if not kept.sum() > 0:
        return []
    running = np.cumsum(kept) / kept.sum()
    counts = [max(1, round(top * len(kept))) for top in TOPS]
    return [(top, number, float(running[number - 1])) for top, number in zip(TOPS, counts, strict=True)]


def bands(amounts: Any) -> list[tuple[float | None, float | None, int]]:
    """Lower and upper bound of about eight even bands and the persons in each; the last has no upper, those below zero no lower bound.

    Examples:
        >>> bands([-1.0, 0.0, 4.0, 12.0, 70.0])
        [(None, 0.0, 1), (0.0, 10.0, 2), (10.0, 20.0, 1), (20.0, 30.0, 0), (30.0, 40.0, 0), (40.0, 50.0, 0), (50.0, 60.0, 0), (60.0, None, 1)]
    """
    kept = np.asarray(amounts, np.float64)
    top = float(np.quantile(kept, 0.98)) if len(kept) else 0.0
    rough = max(top, 1.0) / BANDS
    power = 10.0 ** np.floor(np.log10(rough))
    width = next(float(power * one) for one in (1, 2, 5, 10) if power * one >= rough)
    edges = [width * number for number in range(int(top // width) + 1)]
    found: list[tuple[float | None, float | None, int]] = [(None, 0.0, int((kept < 0).sum()))] if (kept < 0).any() else []
    for low, high in zip(edges, [*edges[1:], None], strict=True):
        found.append((low, high, int(((kept >= low) & (kept < (np.inf if high is None else high))).sum())))
    return found


def _concentration(curve: list[tuple[float, int, float]], w: Words) -> View:
    rows = [(w.percent(top), Cell(text=w.number(persons), value=persons), Cell(text=w.percent(share), value=share)) for top, persons, share in curve]
    table = grid([(w("value_page.top"), False), (w("common.persons"), True), (w("value_page.share"), True)], rows, title=w("value_page.concentration"), empty=w("empty.buyers"), lies=True)
    if not rows:
        return table
    points = [{"x": 0.0, "y": 0.0}, *({"x": top, "y": share} for top, _, share in curve)]
    fifth = next(share for top, _, share in curve if top == 0.2)
    return table | {"finding": w("value_page.concentration_finding", share=w.percent(fifth)), "sub": w("value_page.concentration_sub"), "drawing": charts.curve(points, percent=w.percent, diagonal=True)}


def _spread(amounts: Any, w: Words) -> View:
    names: list[dict[str, Any]] = []
    for low, high, persons in bands(amounts) if len(amounts) else []:
        name = w("value_page.below", amount=w.short(high)) if low is None else w("value_page.from", amount=w.short(low)) if high is None else f"{w.short(low)} – {w.short(high)}"
        names.append({"name": name, "persons": persons, "text": w.number(persons)})
    rows = [(row["name"], Cell(text=row["text"], value=row["persons"])) for row in names]
    table = grid([(w("overview.value"), False), (w("common.persons"), True)], rows, title=w("value_page.spread"), empty=w("empty.buyers"))
    if not rows:
        return table
    middle = w.money(float(np.median(amounts)))
    return table | {"finding": w("value_page.spread_finding", median=middle, mean=w.money(float(np.mean(amounts)))), "sub": w("value_page.spread_sub"), "drawing": charts.bars(names, x="name", y="persons", label="text")}


def _alive(facts: Facts, w: Words) -> View:
    level = " ".join(f"WHEN v.probability_alive >= {low} THEN {place}" for place, low in enumerate(ALIVE))
    often = " ".join(f"WHEN f.purchase_days >= {low} THEN {place}" for place, low in reversed(list(enumerate(ORDERS))))
    sql = f"""
        SELECT CASE {level} END AS alive, CASE {often} END AS often, count(*) AS persons FROM lifetime_values v JOIN features f USING (person_key)
        WHERE v.probability_alive IS NOT NULL GROUP BY 1, 2"""
    counted = {(row["alive"], row["often"]): row["persons"] for row in facts.rows(sql)}
    columns = [f"{low} – {ORDERS[place + 1] - 1}" if place + 1 < len(ORDERS) and ORDERS[place + 1] - low > 1 else str(low) for place, low in enumerate(ORDERS)]
    columns[-1] = w("value_page.or_more", n=w.number(ORDERS[-1]))
    rows = []
    for place, low in enumerate(ALIVE):
        name = w("value_page.at_least", share=w.percent(low)) if low else w("value_page.under", share=w.percent(ALIVE[-2]))
        numbers = [counted.get((place, column), 0) for column in range(len(ORDERS))]
        rows.append((name, *(Cell(text=w.number(number), value=number) for number in numbers), Cell(text=w.number(sum(numbers)), value=sum(numbers))))
    heads = [(w("value_page.alive"), False), *((w("value_page.orders", n=name), True) for name in columns), (w("value_page.all"), True)]
    return grid(heads, rows if counted else [], title=w("value_page.matrix"), note=w("value_page.matrix_note"), empty=w("empty.buyers"))


def _newest(facts: Facts) -> dict[str, Any]:
    return next((row for row in facts.models if row["model"] == "lifetime_value"), {})


def _tenths(facts: Facts, w: Words) -> View:
    checks = (_newest(facts).get("check") or {}).get("checks") or []
    groups = checks[0].get("groups") or [] if checks else []
    rows: list[tuple[Any, ...]] = [
        (w.number(number), *(Cell(text=w.number(row[name] / row["persons"], 2), value=row[name] / row["persons"]) for name in ("predicted", "actual")), Cell(text=w.number(row["persons"]), value=row["persons"]))
        for number, row in enumerate(groups, 1)
    ]  # fmt: skip
    heads = [(w("value_page.group"), False), (w("value_page.predicted_each"), True), (w("value_page.actual_each"), True), (w("common.persons"), True)]
    table = grid(heads, rows, title=w("value_page.calibration"), empty=w("empty.check"))
    if not rows:
        return table
    points = [{"x": row[1].value, "y": row[2].value} for row in rows]
    sub = w("value_page.calibration_sub", day=w.iso_day(checks[0]["cut_off"]), days=w.number(checks[0]["horizon_days"]))
    finding = w("value_page.calibration_finding", predicted=rows[-1][1].text, actual=rows[-1][2].text)
    return table | {"finding": finding, "sub": sub, "drawing": charts.curve(points, percent=lambda one: w.number(one, 2), diagonal=True)}


def _checks(facts: Facts, w: Words) -> View:
    rows = []
    for one in (_newest(facts).get("check") or {}).get("checks") or []:
        error = one["predicted"] / one["actual"] - 1 if one["actual"] else None
        off = Cell(text=DASH if error is None else ("+" if error > 0 else "") + w.percent(error), value=error)
        figures = (Cell(text=w.number(one[name], 3), value=one[name]) for name in ("mae", "mae_own_rate", "mae_mean"))
        rows.append((w.iso_day(one["cut_off"]), w.number(one["horizon_days"]), Cell(text=w.number(one["predicted"]), value=one["predicted"]), Cell(text=w.number(one["actual"]), value=one["actual"]), off, *figures))
    heads = [(w("value_page.cut_off"), False), *((w(f"value_page.{name}"), True) for name in ("days", "predicted", "actual", "error", "mae", "mae_own", "mae_mean"))]
    return grid(heads, rows, title=w("value_page.checks"), note=w("value_page.checks_note"), empty=w("empty.check"))


def _verdicts(facts: Facts, w: Words) -> View:
    rows = []
    for row in facts.models:
        if row["model"] in ("lifetime_value", "contract_value"):
            verdict = Cell(text=w.named("verdicts", row["verdict"]), value=row["verdict"], tone={"usable": "good", "weak": "warn", "not_usable": "bad"}.get(row["verdict"], ""))
            kind = str(row["check"].get("model") or json.loads(row["parameters"]).get("kind"))
            rows.append((w.named("models", row["model"]), _kind(w.named("lifetime_models", kind), row["check"].get("groups"), w), verdict, changing(row["check"].get("would_change") or "", w)))
    heads = [(w("overview.model"), False), (w("value_page.kind"), False), (w("overview.verdict"), False), (w("value_page.would_change"), False)]
    return grid(heads, rows, title=w("value_page.verdicts"), empty=w("empty.models"))


def _kind(kind: str, groups: dict[str, Any] | None, w: Words) -> str:
    """A model's kind, and whether groups have parameters of their own where that was asked for."""
    if not groups:
        return kind
    return w("value_page.grouped", kind=kind, groups=w.number(len(groups["names"]))) if groups["used"] else w("value_page.ungrouped", kind=kind)


def changing(said: str, w: Words) -> str:
    """What would change a verdict, in the page's language; a dash where nothing need change."""
    season, rest = said.startswith(SEASON), said.removeprefix(SEASON)
    found = [w("would_change.season")] if season else []
    found += [w(f"would_change.{key}") for start, key in CHANGES if rest.startswith(start)][:1]
    return "; ".join(found) or said or DASH
