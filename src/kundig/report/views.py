"""The pages' contents as plain values: title, answer, tables and charts, worded and formatted, ready for a template or for JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kundig.report import charts
from kundig.report.facts import Facts
from kundig.report.words import Words

View = dict[str, Any]


def grid(heads: Sequence[tuple[str, bool]], rows: Iterable[Sequence[Any]]) -> View:
    """A table: heads of (text, is a number), and rows of cells."""
    return {"heads": [{"text": text, "n": number} for text, number in heads], "rows": [list(row) for row in rows]}


def overview(facts: Facts, w: Words, *, drawn: bool = True) -> View:
    """How are we doing with our customers?"""
    people, value = facts.people, facts.value
    settings = facts.workspace.config.settings.value
    states = [row | {"name": w.named("states", row["state"]), "text": w.number(row["persons"])} for row in facts.states]
    at_risk = next((row["persons"] for row in states if row["state"] == "at_risk"), 0)
    tenths = [row | {"name": f"{row['tenth']}.", "text": w.short(row["value"])} for row in facts.tenths]
    total = sum(row["value"] or 0 for row in tenths)
    share = tenths[0]["value"] / total if tenths and total else None
    revenue = [row | {"text": w.short(row["value"])} for row in facts.revenue]
    answer = w(
        "overview.answer", persons=w.number(people["persons"]), customers=w.number(people["customers"]), value=w.short(value["value"]),
        interval=w.interval(value["low"], value["high"]), at_risk=w.short(value["at_risk"]), reachable=w.number(facts.reachable),
    )  # fmt: skip
    view: View = {"title": w("overview.title"), "answer": answer, "how": w("how.overview", months=settings.horizon_months, rate=w.percent(settings.discount_rate))}
    view["revenue_words"] = w("overview.revenue_finding", last=revenue[-1]["text"]) if revenue else ""
    view["revenue_table"] = grid([(w("measure.month"), False), (w("common.value"), True)], [(w.month(row["month"]), w.money(row["value"])) for row in revenue])
    view["states_words"] = w("overview.states_finding", count=w.number(at_risk))
    view["states_table"] = grid([(w("segments.state"), False), (w("common.persons"), True)], [(row["name"], row["text"]) for row in states])
    view["value_words"] = w("overview.value_finding", share=w.percent(share))
    view["value_table"] = grid([("", False), (w("common.persons"), True), (w("common.value"), True)], [(row["name"], w.number(row["persons"]), w.money(row["value"])) for row in tenths])
    view["models_table"] = _models(facts, w)
    at = w.day(facts.release.moment)
    view["revenue_chart"] = view["states_chart"] = view["value_chart"] = ""
    if drawn:
        if len(revenue) > 1:
            sub = w("overview.revenue_sub", **{"from": w.month(revenue[0]["month"]), "to": w.month(revenue[-1]["month"])})
            view["revenue_chart"] = charts.line(revenue, x="month", y="value", label="text", title=view["revenue_words"], subtitle=sub, width=700)
        view["states_chart"] = charts.bars(states, x="name", y="persons", label="text", title=view["states_words"], subtitle=w("overview.states_sub", at=at), highlight=w.named("states", "at_risk"), width=420)
        if tenths:
            view["value_chart"] = charts.bars(tenths, x="name", y="value", label="text", title=view["value_words"], subtitle=w("overview.value_sub", currency=w.currency), width=460)
    return view


def _models(facts: Facts, w: Words) -> View:
    def _check(check: dict[str, Any]) -> str:
        predicted, actual = check.get("predicted"), check.get("actual")
        return f"{w.number(predicted)} / {w.number(actual)}" if predicted is not None and actual is not None else "–"

    rows = [
        (row["model"], w(f"common.{row['verdict']}") if row["verdict"] in ("weak", "usable", "not_usable") else row["verdict"] or "–", row["reason"] or "–", w.number(row["observations"]), _check(row["check"]), w.day(row["fitted_at"]))
        for row in facts.models
    ]
    return grid([(w("overview.model"), False), (w("overview.verdict"), False), (w("common.reason"), False), (w("overview.observations"), True), (w("overview.holdout"), True), (w("overview.fitted"), False)], rows)


def segments(facts: Facts, w: Words) -> View:
    """Which segments do we have, and what is their message?"""
    cells = facts.segments
    filled = [cell for cell in cells if cell["persons"]]
    largest = max(filled, key=lambda cell: cell["persons"], default={"segment_id": "–", "persons": 0})
    rows = [
        (cell["segment_id"], cell["value_tier"], cell["behavior_cluster"], cell["state"], w("segments.small", persons=w.number(cell["persons"])) if cell["small"] else w.number(cell["persons"]), w.money(cell["value"]), cell["key_message"])
        for cell in cells
    ]
    heads = [(w("segments.segment"), False), (w("segments.tier"), False), (w("segments.cluster"), False), (w("segments.state"), False), (w("common.persons"), True), (w("segments.mean_value"), True), (w("segments.message"), False)]
    answer = w("segments.answer", count=w.number(len(filled)), largest=largest["segment_id"], persons=w.number(largest["persons"]))
    return {"title": w("segments.title"), "answer": answer, "table": grid(heads, rows), "note": w("segments.without", persons=w.number(facts.unsegmented))}


def audiences(facts: Facts, w: Words) -> View:
    """Whom do we address, and whom not?"""
    funnel, refusals = facts.funnel, facts.refusals(w.locale)
    answer = w("audiences.answer", members=w.number(sum(row["members"] for row in funnel)), count=w.number(len(funnel)), refused=w.number(sum(row["n"] for row in refusals)))
    heads = [(w("audiences.audience"), False), (w("audiences.chosen"), True), (w("audiences.allowed"), True), (w("audiences.members"), True), (w("audiences.meaning"), False)]
    rows = [(row["audience"], w.number(row["chosen"]), w.number(row["allowed"]), w.number(row["members"]), row["meaning"]) for row in funnel]
    reasons = grid([(w("common.reason"), False), (w("audiences.count"), True)], [(row["sentence"], w.number(row["n"])) for row in refusals])
    return {"title": w("audiences.title"), "answer": answer, "funnel": grid(heads, rows), "reasons": reasons, "how": w("how.audiences")}


def measure(facts: Facts, w: Words) -> View:
    """What came of it?"""
    kpis = facts.kpis
    layers = []
    for layer in ("topline", "experience", "action", "guardrail"):
        rows = [_kpi(row, facts, w) for row in kpis if row["layer"] == layer]
        heads = [(w("measure.kpi"), False), (w("common.value"), True), (w("measure.change"), True), (w("measure.month"), False), (w("measure.basis"), False)]
        layers.append({"title": w.named("layers", layer)} | grid(heads, rows))
    known = sum(1 for row in kpis if row["value"] is not None)
    channels = grid(
        [(w("creatives.channel"), False), (w("measure.cac"), True), (w("measure.clv"), True), (w("common.persons"), True)],
        [(row["channel"], w.money(row["cac"]), w.money(row["clv"]), w.number(row["persons"])) for row in facts.channels],
    )
    months = sorted({month for cohort in facts.cohorts for month in cohort["months"]})[:13]
    cohort_rows = [(w.month(row["cohort"]), w.number(row["persons"]), *(w.percent(row["months"].get(month)) if month in row["months"] else "–" for month in months)) for row in facts.cohorts]
    cohorts = grid([(w("measure.month"), False), (w("common.persons"), True), *((str(month), True) for month in months)], cohort_rows)
    return {
        "title": w("measure.title"), "answer": w("measure.answer", known=w.number(known), all=w.number(len(kpis))), "layers": layers, "channels": channels, "cohorts": cohorts,
        "how": w("how.measure", zone=w.zone),
    }  # fmt: skip


def _kpi(row: dict[str, Any], facts: Facts, w: Words) -> tuple[str, ...]:
    name = w.named("kpis", row["kpi"]) + (f" ({row['member']})" if row["member"] else "")
    if row["value"] is None:
        return (name, "–", "–", "–", facts.kpi_reason(row, w.locale))
    change = "–"
    if row["before"]:
        moved = row["value"] - row["before"] if row["unit"] == "share" else row["value"] / row["before"] - 1
        sign = "+" if moved > 0 else ""
        points = {"de": "Pkt.", "en": "pts"}[w.locale]
        change = f"{sign}{w.number(moved * 100, 1)} {points}" if row["unit"] == "share" else f"{sign}{w.percent(moved)}"
    return (name, w.unit(row["value"], row["unit"]) + w.interval(row["low"], row["high"], row["unit"]), change, w.month(row["period_start"]), w.named("basis", row["kpi"]))


def creatives(facts: Facts, w: Words) -> View:
    """Which messages are there, and are they approved?"""
    found = facts.creatives
    count = {status: sum(1 for row in found if row["status"] == status) for status in ("approved", "stale")}
    answer = w("creatives.answer", count=w.number(len(found)), approved=w.number(count["approved"]), stale=w.number(count["stale"]))
    heads = [(w("creatives.creative"), False), (w("segments.segment"), False), (w("creatives.channel"), False), (w("creatives.locale"), False), (w("creatives.subject"), False), (w("creatives.status"), False)]
    rows = [(row["creative"], row["segment_id"], row["channel"], row["locale"], row["subject_line"] or "–", row["status"]) for row in found]
    findings = [(row["creative_id"], row["check"], row["what"], row["mend"] or "–") for row in facts.findings]
    checks = grid([(w("creatives.creative"), False), (w("creatives.check"), False), (w("creatives.what"), False), (w("creatives.mend"), False)], findings)
    return {"title": w("creatives.title"), "answer": answer, "tables": [{"caption": w("nav.creatives")} | grid(heads, rows), {"caption": w("creatives.findings")} | checks]}


def consent(facts: Facts, w: Words) -> View:
    """To whom may we write, and why not?"""
    found = facts.consents
    given = sum(row["persons"] for row in found if row["status"] == "given")
    objected = sum(row["persons"] for row in found if row["status"] == "objected")
    answer = w("consent.answer", given=w.number(given), objected=w.number(objected), expiring=w.number(sum(row["expiring"] for row in found)))
    heads = [(w("person.purpose"), False), (w("person.channel"), False), (w("consent.status"), False), (w("consent.count"), True)]
    rows = [(row["purpose"], row["channel"], w.named("statuses", row["status"]), w.number(row["persons"])) for row in found]
    return {"title": w("consent.title"), "answer": answer, "tables": [{"caption": w("nav.consent")} | grid(heads, rows)]}


def data(facts: Facts, w: Words) -> View:
    """Where do the data come from, and are they well?"""
    sources, held = facts.sources, facts.held
    answer = w("data.answer", sources=w.number(len({row["source"] for row in sources})), records=w.number(sum(row["records"] for row in sources)), held=w.number(sum(row["records"] for row in held)))
    tables = [
        {"caption": w("data.source")} | grid([(w("data.source"), False), (w("data.table"), False), (w("data.records"), True), (w("data.newest"), False)], [(r["source"], r["table_name"], w.number(r["records"]), w.moment(r["newest"])) for r in sources]),
        {"caption": w("data.quarantine")} | grid([(w("data.source"), False), (w("data.stage"), False), (w("creatives.what"), False), (w("creatives.mend"), False), (w("data.records"), True)], [(r["source"], r["stage"], r["what"], r["mend"] or "–", w.number(r["records"])) for r in held]),
        {"caption": w("data.steps")} | grid([(w("data.table"), False), (w("data.cause"), False), (w("data.rows"), True), (w("data.seconds"), True)], [(r["table_name"], r["cause"], w.number(r["rows_written"]), w.number(r["seconds"], 2)) for r in facts.steps]),
    ]  # fmt: skip
    return {"title": w("data.title"), "answer": answer, "tables": tables}


PAGES: dict[str, tuple[str, Callable[[Facts, Words], View]]] = {
    "overview": ("overview.html.j2", overview), "segments": ("segments.html.j2", segments), "audiences": ("audiences.html.j2", audiences), "creatives": ("tables.html.j2", creatives),
    "measure": ("measure.html.j2", measure), "consent": ("tables.html.j2", consent), "data": ("tables.html.j2", data),
}  # fmt: skip
"""Page → its template and what fills it."""
