"""Pages of predictions: which there are, and the card of each with lift, calibration, money, drift and equal treatment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kundig.report import charts
from kundig.report.cells import Cell, Phrase, address
from kundig.report.facts import Facts
from kundig.report.predictions import Standing, standings
from kundig.report.words import DASH, Words
from kundig.understand.predictions.targets import asked
from kundig.understand.propensity.judging import PSI_DRIFTED, PSI_MOVED
from kundig.understand.propensity.report import Report

View = dict[str, Any]
TONES = {"usable": "good", "weak": "warn", "not_usable": "bad"}
MOST = 12
"""Features and columns a table lists."""


def grid(heads: Iterable[tuple[str, bool]], rows: Iterable[Iterable[Any]], *, title: str, empty: str, note: str = "", finding: str = "", sub: str = "", drawing: str = "") -> View:
    """A table, with what its drawing finds where it has one."""
    shape = {"title": title, "heads": [{"text": text, "n": number} for text, number in heads], "rows": [list(row) for row in rows]}
    return shape | {"note": note, "empty": empty, "lies": False, "finding": finding, "sub": sub, "drawing": drawing}


def listed(facts: Facts, w: Words) -> View:
    """What will people probably do?"""
    found = standings(facts.workspace, w.locale) if facts.release else []
    usable = [one for one in found if one.model is not None and one.model.model.report.verdict == "usable"]
    answer = Phrase(template=w("predictions.answer" if found else "predictions.answer_none"), cells={"count": w.number(len(found)), "usable": w.number(len(usable))})
    return {"title": w("predictions.title"), "answer": answer, "tables": [table(found, w)], "how": w("how.predictions")}


def table(found: list[Standing], w: Words) -> View:
    """Each prediction with its verdict, its ranking, how many it was made for, and what has moved."""
    rows: list[tuple[Any, ...]] = []
    for one in found:
        report = None if one.model is None else one.model.model.report
        rows.append((
            Cell(text=one.title, value=one.name, href=address(f"/predictions/{one.name}", lang=w.locale)), w("predictions.days", days=w.number(one.asked.days)), _verdict(report, w), _ranking(report, w),
            Cell(text=w.number(one.scored), value=one.scored), Cell(text=w.percent(one.mean), value=one.mean), _moved(one, w), w.day(None if one.model is None else one.model.fitted_at),
        ))  # fmt: skip
    heads = [(w("predictions.prediction"), False), (w("predictions.horizon"), False), (w("overview.verdict"), False), (w("predictions.auc"), True), (w("common.persons"), True), (w("predictions.mean"), True), (w("predictions.moved"), False), (w("overview.fitted"), False)]
    if all(str(row[6]) == DASH for row in rows):
        heads, rows = [*heads[:6], heads[7]], [(*row[:6], row[7]) for row in rows]
    return grid(heads, rows, title=w("predictions.table"), empty=w("predictions.empty"))


def one(facts: Facts, w: Words, name: str) -> View | None:
    """The card of one prediction; None where no file asks for it."""
    found = next((one for one in standings(facts.workspace, w.locale) if one.name == name), None)
    if found is None:
        return None
    rules = asked({name: found.asked}, facts.workspace.config)[name]
    report = None if found.model is None else found.model.model.report
    said = {"persons": Cell(text=w.number(found.scored), value=found.scored), "mean": Cell(text=w.percent(found.mean), value=found.mean), "verdict": _verdict(report, w), "auc": _ranking(report, w, whole=True)}
    facts_of = [
        (w("predictions.target"), rules.target.sentence(w.locale)), (w("predictions.horizon"), w("predictions.days", days=w.number(found.asked.days))), (w("predictions.population"), rules.population.sentence(w.locale)),
        (w("predictions.owner"), found.asked.owner), (w("predictions.file"), f"predictions/{name}.yaml"), (w("predictions.meaning"), found.asked.meaning),
    ]  # fmt: skip
    tables = [grid([(w("predictions.what"), False), (w("common.value"), False)], facts_of, title=w("predictions.asked"), empty="")]
    if report is not None:
        tables += _of_report(report, w)
        tables.append(_drift(found, w))
    tables.append(_history(found, w))
    answer = Phrase(template=w("predictions.one" if report is not None else "predictions.one_none"), cells=said)
    return {"title": found.title, "answer": answer, "tables": tables, "how": w("how.predictions")}


def _of_report(report: Report, w: Words) -> list[View]:
    tables = []
    if report.lift:
        tables += [_lift(report, w), _calibration(report, w)]
    if report.curve:
        tables.append(_money(report, w))
    strongest = list(report.importance.items())[:MOST]
    if strongest:
        heads = [(w("predictions.feature"), False), (w("predictions.effect"), True)]
        tables.append(grid(heads, [(name, Cell(text=w.number(effect, 3), value=effect)) for name, effect in strongest], title=w("predictions.importance"), empty=""))
    for column, groups in report.fairness.items():
        heads = [(w("predictions.group"), False), (w("common.persons"), True), (w("predictions.expected"), True), (w("predictions.actual"), True), (w("predictions.auc"), True), (w("predictions.chosen"), True)]
        rows = [(w("predictions.unknown") if group.name == "?" else group.name, w.number(group.rows), w.percent(group.expected), w.percent(group.actual), w.number(group.auc, 3), w.percent(group.chosen)) for group in groups]
        tables.append(grid(heads, rows, title=w("predictions.fairness", group=column.removeprefix("group: ")), empty="", note=w("predictions.fairness_note")))
    return tables


def _lift(report: Report, w: Words) -> View:
    rows = [{"name": w("overview.nth", n=group.name), "size": group.actual, "text": w.percent(group.actual)} for group in report.lift]
    heads = [(w("predictions.tenth"), False), (w("common.persons"), True), (w("predictions.expected"), True), (w("predictions.actual"), True), (w("predictions.lift"), True)]
    cells = [(row["name"], w.number(group.rows), w.percent(group.expected), w.percent(group.actual), w.number(group.lift, 2)) for row, group in zip(rows, report.lift, strict=True)]
    finding = w("predictions.lift_finding", lift=w.number(report.lift[0].lift, 1))
    return grid(heads, cells, title=w("predictions.lift_title"), empty="", finding=finding, sub=w("predictions.lift_sub"), drawing=charts.bars(rows, x="name", y="size", label="text"))


def _calibration(report: Report, w: Words) -> View:
    points = [{"x": group.expected, "y": group.actual} for group in sorted(report.lift, key=lambda group: group.expected)]
    heads = [(w("predictions.figure"), False), (w("common.value"), True)]
    figures = [
        (w("predictions.auc_range"), f"{w.number(report.auc, 3)} ({w.number(report.auc_low, 3)} – {w.number(report.auc_high, 3)})"), (w("predictions.slope"), w.number(report.calibration_slope, 2)),
        (w("predictions.error"), w.percent(report.calibration_error)), (w("predictions.log_loss"), f"{w.number(report.log_loss, 4)} ({w.number(report.log_loss_of_rate, 4)})"),
    ]  # fmt: skip
    finding = w("predictions.calibration_finding", error=w.percent(report.calibration_error))
    return grid(heads, figures, title=w("predictions.calibration"), empty="", finding=finding, sub=w("predictions.calibration_sub"), drawing=charts.curve(points, percent=w.percent, diagonal=True))


def _money(report: Report, w: Words) -> View:
    best = report.best
    pays = best is not None and best.net > 0
    finding = w("predictions.money_finding", share=w.percent(best.share), net=w.money(best.net), threshold=w.percent(best.threshold)) if best is not None and pays else w("predictions.money_never")
    points = [{"x": choice.share, "y": choice.net} for choice in report.curve]
    heads = [(w("predictions.share"), True), (w("predictions.threshold"), True), (w("predictions.found"), True), (w("predictions.net"), True)]
    rows = [(w.percent(choice.share), w.percent(choice.threshold), w.percent(choice.found), Cell(text=w.money(choice.net), value=choice.net)) for choice in report.curve]
    return grid(heads, rows, title=w("predictions.money"), empty="", finding=finding, sub=w("predictions.money_sub"), drawing=charts.curve(points, percent=w.percent, amount=w.short))


def _drift(found: Standing, w: Words) -> View:
    heads = [(w("predictions.feature"), False), (w("predictions.psi"), True), (w("overview.verdict"), False)]
    ranked = sorted(found.drift.items(), key=lambda pair: -(pair[1] or 0))[:MOST]
    rows = [(w("predictions.probability") if name == "probability" else name, Cell(text=w.number(value, 3), value=value), _level(value, w)) for name, value in ranked]
    return grid(heads, rows, title=w("predictions.drift"), empty=w("predictions.no_drift"), note=w("predictions.drift_note"))


def _history(found: Standing, w: Words) -> View:
    heads = [(w("predictions.when"), False), (w("predictions.role"), False), (w("overview.verdict"), False), (w("predictions.version"), False)]
    rows = [(w.moment(row["fitted_at"]), w(f"predictions.roles.{row['role']}"), w.named("verdicts", row["verdict"] or "none"), row["version"][:8]) for row in found.history]
    return grid(heads, rows, title=w("predictions.history"), empty=w("predictions.no_history"))


def _verdict(report: Report | None, w: Words) -> Cell:
    level = "none" if report is None else report.verdict
    return Cell(text=w.named("verdicts", level), value=level, tone=TONES.get(level, ""))


def _ranking(report: Report | None, w: Words, *, whole: bool = False) -> Cell:
    if report is None or report.auc is None:
        return Cell(text=DASH)
    return Cell(text=f"{w.number(report.auc, 2)} ({w.number(report.auc_low, 2)}–{w.number(report.auc_high, 2)})", value=[report.auc, report.auc_low, report.auc_high] if whole else report.auc)


def _level(value: float | None, w: Words) -> Cell:
    level = "steady" if value is None or value < PSI_MOVED else "moved" if value < PSI_DRIFTED else "drifted"
    return Cell(text=w(f"predictions.levels.{level}"), value=level, tone={"moved": "warn", "drifted": "bad"}.get(level, ""))


def _moved(found: Standing, w: Words) -> Cell:
    moved = found.moved
    if moved is None:
        return Cell(text=DASH, title=w("predictions.no_drift"))
    name = w("predictions.probability") if moved[0] == "probability" else moved[0]
    level = _level(moved[1], w)
    return Cell(text=f"{name}: {level.text}", value=moved[1], tone=level.tone)
