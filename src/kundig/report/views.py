"""The pages' contents as plain values: title, answer, tables and charts, worded and formatted, ready for a template or for JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kundig import reasons
from kundig.report import chances, charts, personas
from kundig.report.cells import Cell, Phrase, address
from kundig.report.facts import SMALL_CELL, Facts
from kundig.report.matrix import matrix
from kundig.report.predictions import standings
from kundig.report.words import DASH, Words

View = dict[str, Any]
Head = tuple[str, bool]
WEAK = 30
"""A share of fewer cases says so beside it."""


def grid(heads: Sequence[Head], rows: Iterable[Sequence[Any]], *, title: str = "", note: str = "", empty: str = "", lies: bool = False) -> View:
    """A table: heads of (text, is a number), rows of cells, and what is said below it or in its place; `lies`: it stays a table on a phone."""
    shape = {"title": title, "heads": [{"text": text, "n": number} for text, number in heads], "rows": [list(row) for row in rows]}
    return shape | {"note": note, "empty": empty, "lies": lies, "finding": "", "sub": "", "drawing": ""}


def told(w: Words, key: str, **cells: Cell | str) -> Phrase:
    """A sentence with cells in it, so that its numbers lead to their rows."""
    return Phrase(template=w(key), cells=cells)


def people(w: Words, **chosen: Any) -> str:
    """Address of the list of people with that choice."""
    return address("/people", **chosen, lang=w.locale)


def count(w: Words, value: Any, **chosen: Any) -> Cell:
    """A number, and the people it counts where a choice of them is given."""
    return Cell(text=w.number(value), value=value, href=people(w, **chosen) if chosen and value else "")


def amount(w: Words, value: Any, *, short: bool = False, href: str = "") -> Cell:
    """An amount; a short one says the exact one on hover."""
    return Cell(text=w.short(value) if short else w.money(value), value=value, title=w.money(value) if short and value is not None else "", href=href)


def overview(facts: Facts, w: Words, *, drawn: bool = True) -> View:
    """How are we doing with our customers?"""
    counted, value = facts.people, facts.value
    settings = facts.workspace.config.settings.value
    answer = told(
        w, "overview.answer" if value["value"] is not None else "overview.answer_plain", persons=Cell(text=w.number(counted["persons"]), value=counted["persons"], href=people(w)),
        customers=count(w, counted["customers"], kind="buyers"), value=amount(w, value["value"], short=True), interval=w.interval(value["low"], value["high"], "short"),
        at_risk=amount(w, value["at_risk"], short=True), reachable=count(w, facts.reachable, channel="email", status="given"),
    )  # fmt: skip
    return {
        "title": w("overview.title"), "answer": answer, "revenue": _revenue(facts, w, drawn), "states": _states(facts, w, drawn), "value": _value(facts, w, drawn), "models": _models(facts, w),
        "how": w("how.overview", months=settings.horizon_months, rate=w.percent(settings.discount_rate)),
    }  # fmt: skip


def _revenue(facts: Facts, w: Words, drawn: bool) -> View:
    until = w.day(facts.release.moment)
    cells = [(w.month(row["month"]) if row["whole"] else w("overview.running", month=w.month(row["month"]), until=until), amount(w, row["value"])) for row in facts.revenue]
    table = grid([(w("measure.month"), False), (w("overview.revenue"), True)], cells, title=w("overview.revenue"), empty=w("empty.revenue"))
    rows = [row | {"text": w.short(row["value"])} for row in facts.revenue if row["whole"]]
    if not rows:
        return table
    sub = w("overview.revenue_sub", **{"from": w.month(rows[0]["month"]), "to": w.month(rows[-1]["month"])})
    drawing = charts.line(rows, x="month", y="value", label="text") if drawn and len(rows) > 1 else ""
    return table | {"finding": w("overview.revenue_finding", last=rows[-1]["text"], month=w.month(rows[-1]["month"])), "sub": sub, "drawing": drawing}


def _states(facts: Facts, w: Words, drawn: bool) -> View:
    rows = [row | {"name": w.named("states", row["state"]), "text": w.number(row["persons"])} for row in facts.states]
    at_risk = next((row["persons"] for row in rows if row["state"] == "at_risk"), 0)
    cells = [(row["name"], count(w, row["persons"], state=row["state"])) for row in rows] if any(row["persons"] for row in rows) else []
    table = grid([(w("segments.state"), False), (w("common.persons"), True)], cells, title=w("overview.states"), empty=w("empty.buyers"))
    if not cells:
        return table
    drawing = charts.bars(rows, x="name", y="persons", label="text", highlight=w.named("states", "at_risk")) if drawn else ""
    return table | {"finding": w("overview.states_finding", count=w.number(at_risk)), "sub": w("overview.states_sub", at=w.day(facts.release.moment)), "drawing": drawing}


def _value(facts: Facts, w: Words, drawn: bool) -> View:
    rows = [row | {"name": w("overview.nth", n=row["tenth"]), "text": w.short(row["value"])} for row in facts.tenths]
    total = sum(row["value"] or 0 for row in rows)
    heads = [(w("overview.tenth"), False), (w("common.persons"), True), (w("overview.value"), True)]
    table = grid(heads, [(row["name"], count(w, row["persons"], tenth=row["tenth"]), amount(w, row["value"])) for row in rows], title=w("overview.value_title"), empty=w("empty.buyers"))
    if not rows or not total > 0:
        return table
    drawing = charts.bars(rows, x="name", y="value", label="text") if drawn else ""
    return table | {"finding": w("overview.value_finding", share=w.percent(rows[0]["value"] / total)), "sub": w("overview.value_sub", currency=w.currency), "drawing": drawing}


def _models(facts: Facts, w: Words) -> View:
    rows: list[tuple[Any, ...]] = []
    for row in facts.models:
        verdict = Cell(text=w.named("verdicts", row["verdict"] or "none"), value=row["verdict"], tone={"usable": "good", "weak": "warn", "not_usable": "bad"}.get(row["verdict"] or "", ""))
        held = next(iter(row["check"].get("checks") or ()), None)
        both = Cell(text=DASH) if held is None else Cell(text=f"{w.number(held['predicted'])} / {w.number(held['actual'])}", value=[held["predicted"], held["actual"]])
        rows.append((w.named("models", row["model"]), verdict, _why(row, held, w), count(w, row["observations"]), both, w.day(row["fitted_at"])))
    heads = [(w("overview.model"), False), (w("overview.verdict"), False), (w("common.reason"), False), (w("overview.observations"), True), (w("overview.holdout"), True), (w("overview.fitted"), False)]
    if rows and all(str(row[4]) == DASH for row in rows):
        heads, rows = [*heads[:4], heads[5]], [(*row[:4], row[5]) for row in rows]
    return grid(heads, rows, title=w("overview.models"), empty=w("empty.models"))


def _why(row: dict[str, Any], held: dict[str, Any] | None, w: Words) -> str:
    """A verdict's grounds, worded from the figures of its back-tests."""
    if row["model"] == "segment_tiers":
        return w("verdict_words.tiers", count=w.number(row["observations"]))
    if held is None:
        return w("verdict_words.untested")
    error = held["predicted"] / held["actual"] - 1 if held["actual"] else None
    off = DASH if error is None else ("+" if error > 0 else "") + w.percent(error)
    rival = w("verdict_words.better" if held["mae"] < min(held["mae_own_rate"], held["mae_mean"]) else "verdict_words.no_better")
    day = w.iso_day(held["cut_off"])
    return w("verdict_words.tested", count=w.number(len(row["check"]["checks"])), day=day, days=w.number(held["horizon_days"]), predicted=w.number(held["predicted"]), actual=w.number(held["actual"]), off=off, rival=rival)


def segments(facts: Facts, w: Words) -> View:
    """Which segments do we have, and what is their message?"""
    filled = [cell for cell in facts.segments if cell["persons"]]
    largest = max(filled, key=lambda cell: cell["persons"], default=None)
    rows = []
    for cell in facts.segments:
        number = count(w, cell["persons"], segment=cell["segment_id"])
        if cell["small"]:
            number = Cell(text=w("segments.small", persons=number.text), value=cell["persons"], href=number.href)
        axes = [w.named("axes", cell[name] or "*") for name in ("value_tier", "behavior_cluster", "state")]
        rows.append((cell["segment_id"], *axes, number, amount(w, cell["value"]), cell["key_message"] or DASH))
    heads = [(w("segments.segment"), False), (w("segments.tier"), False), (w("segments.cluster"), False), (w("segments.state"), False)]
    heads += [(w("common.persons"), True), (w("segments.mean_value"), True), (w("segments.message"), False)]
    if largest is None:
        answer = told(w, "segments.answer_none")
    else:
        answer = told(w, "segments.answer", count=w.number(len(filled)), largest=str(largest["segment_id"]), persons=count(w, largest["persons"], segment=largest["segment_id"]))
    note = w("segments.without", persons=w.number(facts.unsegmented), small=w.number(SMALL_CELL))
    if any(cell["value"] is None for cell in facts.segments):
        note = f"{note} {w('segments.no_value')}"
    found = personas.cards(facts, w)
    predicted = chances.table(standings(facts.workspace, w.locale), w) if facts.workspace.config.predictions else None
    return {
        "title": w("segments.title"), "answer": answer, "tables": [grid(heads, rows, title=w("segments.matrix"), note=note, empty=w("empty.segments"))],
        "more": Cell(text=w("matrix.more"), href=address("/matrix", lang=w.locale)), "personas_title": w("personas.title"), "personas_answer": personas.answer(facts, w), "personas": found, "personas_how": w("how.personas") if found else "",
        "predictions": predicted, "predictions_title": Cell(text=w("predictions.title"), href=address("/predictions", lang=w.locale)),
    }  # fmt: skip


def audiences(facts: Facts, w: Words) -> View:
    """Whom do we address, and whom not?"""
    answer = told(
        w, "audiences.answer", members=count(w, facts.addressed, part="members"), count=w.number(len(facts.funnel)),
        requests=w.number(facts.asked["requests"]), refused=count(w, facts.asked["refused"], part="refused"),
    )  # fmt: skip
    heads = [(w("audiences.audience"), False), (w("audiences.chosen"), True), (w("audiences.allowed"), True), (w("audiences.members"), True), (w("audiences.meaning"), False)]
    rows = [(row["audience"], *(count(w, row[part], audience=row["audience"], part=part) for part in ("chosen", "allowed", "members")), row["meaning"] or DASH) for row in facts.funnel]
    against = [
        (facts.sentence(row, w.locale), w.channel(row["channel"]), Cell(text=w.number(row["n"]), value=row["n"], href=people(w, part="refused", reason=row["reason"], channel=row["channel"])))
        for row in facts.refusals
    ]
    reason_heads = [(w("common.reason"), False), (w("person.channel"), False), (w("audiences.count"), True)]
    return {
        "title": w("audiences.title"), "answer": answer, "how": w("how.audiences"),
        "tables": [
            grid(heads, rows, title=w("audiences.funnel"), empty=w("empty.audiences")), grid(reason_heads, against, title=w("audiences.reasons"), empty=w("empty.refusals")),
        ],
    }  # fmt: skip


def measure(facts: Facts, w: Words) -> View:
    """What came of it?"""
    tables = []
    order = w.order("kpis")
    found = sorted(facts.kpis, key=lambda row: (order.get(row["kpi"], len(order)), row["kpi"], row["member"]))
    for layer in ("topline", "experience", "action", "guardrail"):
        rows = [_kpi(row, facts, w) for row in found if row["layer"] == layer]
        heads = [(w("measure.kpi"), False), (w("common.value"), True), (w("measure.change"), True), (w("measure.month"), False), (w("measure.basis"), False)]
        unmoved = any(row[1] != DASH and row[2].value is None for row in rows)
        tables.append(grid(heads, rows, title=w.named("layers", layer), note=w("measure.unmoved") if unmoved else "", empty=w("empty.kpis")))
    channels = [(w.channel(row["channel"]), _cost(row, w), _worth(row, w), count(w, row["persons"], acquired=row["channel"])) for row in facts.channels]
    heads = [(w("measure.channel"), False), (w("measure.cac"), True), (w("measure.clv"), True), (w("measure.buyers"), True)]
    tables.append(grid(heads, channels, title=w("measure.channels"), empty=w("empty.channels")))
    months = sorted({month for cohort in facts.cohorts for month in cohort["months"]})[:13]
    rows = [(w.month(c["cohort"]), count(w, c["persons"], cohort=c["cohort"].isoformat()), *(Cell(text=w.percent(c["months"].get(m)), value=c["months"].get(m)) for m in months)) for c in facts.cohorts]
    heads = [(w("measure.cohort"), False), (w("common.persons"), True), *((str(month), True) for month in months)]
    tables.append(grid(heads, rows, title=w("measure.cohorts"), note=w("measure.cohorts_sub"), empty=w("empty.cohorts"), lies=True))
    known = sum(1 for row in facts.kpis if row["value"] is not None)
    return {"title": w("measure.title"), "answer": told(w, "measure.answer", known=w.number(known), all=w.number(len(facts.kpis))), "tables": tables, "how": w("how.measure", zone=w.zone)}


def _cost(row: dict[str, Any], w: Words) -> Cell:
    """What a new customer of a channel cost, or why that is not known."""
    if row["cac"] is not None:
        return amount(w, row["cac"])
    return Cell(text=f"{DASH} {w('measure.no_spend' if row['spent'] is None else 'measure.no_buyers')}")


def _worth(row: dict[str, Any], w: Words) -> Cell:
    """What a buyer of a channel is worth, or why that is not known."""
    return Cell(text=f"{DASH} {w('measure.no_buyers')}") if row["clv"] is None else amount(w, row["clv"])


def _kpi(row: dict[str, Any], facts: Facts, w: Words) -> tuple[Any, ...]:
    name = w.named("kpis", row["kpi"]) + (f" ({w.named('members', row['member'])})" if row["member"] else "")
    if row["value"] is None:
        return (name, DASH, Cell(text=DASH), DASH, facts.kpi_reason(row, w))
    change = Cell(text=DASH)
    share = row["unit"] == "share"
    if row["before"] is not None and (share or row["before"]):
        moved = row["value"] - row["before"] if share else row["value"] / row["before"] - 1
        text = w("measure.points", points=w.number(moved * 100, 1)) if share else w.percent(moved)
        change = Cell(text=f"+{text}" if moved > 0 else text, value=moved)
    exact = w.money(row["value"]) if row["unit"] == "currency" else ""
    value = Cell(text=w.unit(row["value"], row["unit"]) + w.interval(row["low"], row["high"], row["unit"]), value=row["value"], title=exact)
    weak = row["unit"] == "share" and row["denominator"] is not None and row["denominator"] < WEAK
    basis = w.named("basis", row["kpi"]) + (w("measure.weak", above=w.number(row["numerator"]), below=w.number(row["denominator"])) if weak else "")
    return (name, value, change, w.month(row["period_start"]), basis)


def creatives(facts: Facts, w: Words) -> View:
    """Which messages are there, and are they approved?"""
    found = facts.creatives
    of = {status: sum(row["copies"] for row in found if row["status"] == status) for status in ("approved", "stale")}
    answer = told(w, "creatives.answer", count=w.number(sum(row["copies"] for row in found)), approved=w.number(of["approved"]), stale=w.number(of["stale"]))
    heads = [(w("creatives.creative"), False), (w("person.channel"), False), (w("creatives.locale"), False), (w("creatives.subject"), False), (w("creatives.segments"), True), (w("creatives.status"), False)]
    tones = {"approved": "good", "stale": "warn", "rejected": "bad"}
    rows = [
        (row["creative"], w.channel(row["channel"]), w.named("languages", row["locale"]), Cell(text=_copy(row["subject_line"], w), value=row["subject_line"], lang=row["locale"] if row["subject_line"] else ""),
         count(w, row["segments"]), Cell(text=w.named("creative_statuses", row["status"]), value=row["status"], tone=tones.get(row["status"], "")))
        for row in found
    ]  # fmt: skip
    findings = [(row["creative_id"], row["check"], Cell(text=row["what"], lang="en"), Cell(text=row["mend"] or DASH, lang="en")) for row in facts.findings]
    checks = grid(
        [(w("creatives.creative"), False), (w("creatives.check"), False), (w("creatives.what"), False), (w("creatives.mend"), False)], findings, title=w("creatives.findings"), empty=w("empty.findings")
    )
    return {"title": w("creatives.title"), "answer": answer, "tables": [grid(heads, rows, title=w("creatives.list"), empty=w("empty.creatives")), checks]}


def _copy(text: str | None, w: Words) -> str:
    """A line of copy as a reader would see it: what is filled for a person in pointed brackets, conditions left out."""
    bare = re.sub(r"\{%.*?%\}", "", text or "")
    return re.sub(r"\{\{\s*(?:\w+\.)*(\w+).*?\}\}", lambda found: f"‹{w.named('attributes', found[1])}›", bare) or DASH


def consent(facts: Facts, w: Words) -> View:
    """To whom may we write, and why not?"""
    found = facts.consents
    given = sum(row["persons"] for row in found if row["status"] == "given")
    answer = told(w, "consent.answer", given=w.number(given), objected=count(w, facts.objecting, status="objected"), expiring=w.number(sum(row["expiring"] for row in found)))
    heads = [(w("person.purpose"), False), (w("person.channel"), False), (w("consent.status"), False), (w("common.persons"), True)]
    rows = [
        (row["purpose"], w.channel(row["channel"]), w.named("statuses", row["status"]), count(w, row["persons"], purpose=row["purpose"], channel=row["channel"], status=row["status"])) for row in found
    ]
    return {"title": w("consent.title"), "answer": answer, "tables": [grid(heads, rows, title=w("consent.standing"), empty=w("empty.consents"))], "how": w("how.consent")}


def data(facts: Facts, w: Words) -> View:
    """Where do the data come from, and are they well?"""
    sources, held = facts.sources, facts.held
    answer = told(w, "data.answer", sources=w.number(len({row["source"] for row in sources})), records=w.number(sum(row["records"] for row in sources)), held=w.number(sum(row["records"] for row in held)))
    origin, table, records = (w("data.source"), False), (w("data.table"), False), (w("data.records"), True)
    landed = [(row["source"], row["table_name"], count(w, row["records"]), w.moment(row["newest"])) for row in sources]
    kept = [(row["source"], w.named("stages", row["stage"]), Cell(text=row["what"], lang="en"), Cell(text=row["mend"] or DASH, lang="en"), count(w, row["records"])) for row in held]
    done = [(row["table_name"], w.named("causes", row["cause"]), count(w, row["rows_written"]), Cell(text=w.number(row["seconds"], 2), value=row["seconds"])) for row in facts.steps]
    tables = [
        grid([origin, table, records, (w("data.newest"), False)], landed, title=w("data.landed"), empty=w("empty.sources")),
        grid([origin, (w("data.stage"), False), (w("creatives.what"), False), (w("creatives.mend"), False), records], kept, title=w("data.quarantine"), empty=w("empty.quarantine")),
        grid([table, (w("data.cause"), False), (w("data.rows"), True), (w("data.seconds"), True)], done, title=w("data.steps"), empty=w("empty.steps")),
    ]
    return {"title": w("data.title"), "answer": answer, "tables": tables}


def reason_text(code: str, w: Words) -> str:
    """The sentence of a reason that needs no values; its code where it does."""
    reason = reasons.ALL.get(code)
    return code if reason is None or reason.fields else reasons.sentence(code, w.locale)


PAGES: dict[str, tuple[str, Callable[[Facts, Words], View]]] = {
    "overview": ("overview.html.j2", overview), "segments": ("segments.html.j2", segments), "matrix": ("matrix.html.j2", matrix), "audiences": ("tables.html.j2", audiences), "creatives": ("tables.html.j2", creatives),
    "measure": ("tables.html.j2", measure), "consent": ("tables.html.j2", consent), "data": ("tables.html.j2", data),
}  # fmt: skip
"""Page → its template and what fills it."""
