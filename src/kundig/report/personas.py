"""Cards of personas: who they are, by what they stand out, where and when they are met, and what to do next; as a page's view, and as one SVG to hand on."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kundig.report.cells import Cell, Phrase
from kundig.report.facts import Facts
from kundig.report.words import DASH, Words

Row = Mapping[str, Any]
View = dict[str, Any]
MOST = 6
"""Attributes on a card."""
SHARES = ("discount_share", "returned_share", "open_rate", "click_rate", "regularity")
"""Attributes that are shares: their bands are told in percent."""


def cards(facts: Facts, w: Words) -> list[View]:
    """A card for each persona, as `personas/` orders them, the largest first."""
    answers = facts.workspace.config.persona_answers
    return [card(row, [one for one in facts.persona_attributes if one["persona_id"] == row["persona_id"]], w, answers.get(row["persona_id"]), [one for one in facts.persona_stream if one["persona_id"] == row["persona_id"]]) for row in facts.personas]


def card(row: Row, attributes: Sequence[Row], w: Words, answers: Any = None, stream: Sequence[Row] = ()) -> View:
    """What one card says, worded."""
    told = row["origin"] == "told"
    title = answers.title.get(w.locale, row["name"]) if answers is not None else named(row, w)
    bars = [_bar(one, w) for one in sorted(attributes, key=lambda one: -one["weight"])[:MOST]]
    place = w("personas.met", channel=w.channel(row["channel"]) if row["channel"] else w("personas.any_channel"), hour=clock(row["hour"], w)) if row["channel"] or row["hour"] is not None else DASH
    objection = row["objection"] if row["objection"] in w.order("objections") else None
    facts = [
        (w("personas.met_title"), place), (w("personas.content"), row["content"] or DASH), (w("personas.objection"), w.named("objections", objection) if objection else row["objection"] or DASH),
        (w("personas.marketing"), (answers.marketing if answers is not None and answers.marketing else next_step("marketing", row, w))),
        (w("personas.sales"), (answers.sales if answers is not None and answers.sales else next_step("sales", row, w))),
        (w("personas.segment"), w("personas.segment_share", segment=row["segment_id"], share=w.percent(row["segment_share"])) if row["segment_id"] else DASH),
    ]  # fmt: skip
    if not told:
        facts.append((w("personas.rule"), rule(row, w)))
        facts.append((w("personas.change"), change(row, w)))
    if stream:
        facts.append((w("personas.stream"), since_then(stream, w)))
    return {
        "id": row["persona_id"], "title": title, "origin": w.named("persona_origins", row["origin"]), "size": Cell(text=w.number(row["size"]), value=row["size"]),
        "share": Cell(text=w.percent(row["share"]), value=row["share"]), "value": Cell(text=w.money(row["value"]), value=row["value"]),
        "verdict": Cell(text=w.named("verdicts", row["verdict"]), value=row["verdict"], tone={"usable": "good", "weak": "warn", "not_usable": "bad"}.get(row["verdict"], "")),
        "line": w("personas.line", size=w.number(row["size"]), share=w.percent(row["share"]), value=w.money(row["value"])) if row["value"] is not None else w("personas.line_plain", size=w.number(row["size"]), share=w.percent(row["share"])),
        "bars": bars, "facts": facts, "claims": [_claim(one, w) for one in json.loads(row["claims"] or "[]")],
    }  # fmt: skip


def named(row: Row, w: Words) -> str:
    """The name people gave, else "Persona 3"."""
    if row["name"] != row["persona_id"]:
        return str(row["name"])
    return w("personas.unnamed", number=str(row["persona_id"]).rpartition("_")[2], file=row["file"])


def attribute(name: str, w: Words) -> str:
    """What people call an attribute; of a list, with the value."""
    stem, _, value = name.partition(": ")
    label = w.named("persona_attributes", stem)
    return f"{label}: {value}" if value else label


def level(name: str, value: str, w: Words) -> str:
    """A value or band as people read it: shares in percent, hours as times, numbers in the language's form."""
    if name in ("channel", "acquisition_channel"):
        return w.channel(value)
    if value in ("yes", "no"):
        return w(f"common.{value}")
    if any(sign.isalpha() for sign in value):
        return value
    if name in SHARES:
        return re.sub(_NUMBER, lambda found: w.percent(float(found[0])), value)
    if name == "hour":
        return re.sub(_NUMBER, lambda found: f"{int(float(found[0]))}:{round(float(found[0]) % 1 * 60) % 60:02d}", value)
    return re.sub(_NUMBER, lambda found: found[0].replace(".", ",") if w.locale == "de" else found[0], value)


_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def _bar(one: Row, w: Words) -> View:
    ratio = w("personas.against", share=w.percent(one["share"]), elsewhere=w.percent(one["share_elsewhere"]))
    return {
        "label": f"{attribute(one['attribute'], w)}: {level(one['attribute'], one['level'], w)}" if ": " not in one["attribute"] else f"{attribute(one['attribute'], w)} ({level(one['attribute'], one['level'], w)})",
        "share": one["share"], "elsewhere": one["share_elsewhere"], "text": ratio, "weight": Cell(text=w.percent(one["weight"]), value=one["weight"]),
    }  # fmt: skip


def rule(row: Row, w: Words) -> str:
    """The rule as a sentence with what it finds; a dash where there is none."""
    tests = json.loads(row["rule_tests"] or "[]")
    if not tests:
        return DASH
    said = w("personas.and").join(w(f"personas.{how}", attribute=attribute(name, w), value=level(name, value, w)) for name, how, value in tests)
    return w("personas.rule_said", rule=said, precision=w.percent(row["rule_precision"]), recall=w.percent(row["rule_recall"]))


def change(row: Row, w: Words) -> str:
    """What became of the persona since the fit before, in words."""
    kind = row["drift"] or "new"
    return w(f"personas.drift_{kind}", share=w.percent(row["share"]), before=w.percent(row["share_before"]))


def since_then(stream: Sequence[Row], w: Words) -> str:
    """What its people do differently since the fit, day by day, in words."""
    moved = [one for one in stream if one["level"] in ("risen", "fallen")]
    if moved:
        said = [w(f"personas.stream_{one['measure']}_{one['level']}", since=w.day(one["since"]), now=_measured(one, "now", w), before=_measured(one, "at_fit", w)) for one in moved]
        return "; ".join(said) + "."
    days = max(one["days"] for one in stream)
    return w("personas.stream_steady" if any(one["level"] == "steady" for one in stream) else "personas.stream_unknown", days=w.number(days))


def _measured(one: Row, name: str, w: Words) -> str:
    if one["measure"] == "hour":
        return level("hour", str(one[name]), w)
    return w.money(one[name]) if one["measure"] == "order_value" else w.percent(one[name])


def next_step(side: str, row: Row, w: Words) -> str:
    """What marketing or sales do next: by the objection, in the channel and at the hour they come, more of it where they are worth more."""
    objection = row["objection"] if row["objection"] in w.order("objections") else "none"
    channel = w.channel(row["channel"]) if row["channel"] else w("personas.any_channel")
    said = w(f"next_{side}.{objection}", channel=channel, hour=clock(row["hour"], w), content=row["content"] or w("personas.any_content"))
    return f"{said} {w(f'next_{side}.high')}" if str(row["next_steps"]).endswith("/high") else said


def clock(hour: float | None, w: Words) -> str:
    """An hour of day, in words."""
    return w("personas.any_hour") if hour is None else w("personas.at_hour", hour=w.number(round(hour) % 24))


def _claim(one: Row, w: Words) -> View:
    agrees = one["agrees"]
    verdict = Cell(text=w(f"personas.{'unknown' if agrees is None else 'agrees' if agrees else 'disagrees'}"), value=agrees, tone="" if agrees is None else "good" if agrees else "bad")
    about = w("personas.share_said") if one["about"] == "share" else attribute(one["about"], w)
    found = one["found"] or DASH
    if one["about"] != "share" and one["share"] is not None:
        found = w("personas.claim_found", found=level(one["about"], found, w), share=w.percent(one["share"]), known=w.number(one["known"]))
    return {"about": about, "said": level(one["about"], one["said"], w), "found": found, "verdict": verdict}


def answer(facts: Facts, w: Words) -> Phrase:
    """The finding in one sentence."""
    found = [row for row in facts.personas if row["origin"] == "found"]
    if not found:
        return Phrase(template=w("personas.answer_none"))
    largest = max(found, key=lambda row: row["size"])
    return Phrase(template=w("personas.answer"), cells={"count": w.number(len(found)), "largest": named(largest, w), "share": w.percent(largest["share"])})


def svg(view: View, w: Words) -> str:
    """The card as one SVG of 720 × n px: no font, no script and nothing from elsewhere, so that it goes into a mail, a slide or a CRM."""
    from markupsafe import escape

    parts: list[str] = []
    y = 44

    def text(x: int, at: int, said: Any, size: int = 15, weight: int = 400, colour: str = "#1c2430") -> None:
        parts.append(f'<text x="{x}" y="{at}" font-size="{size}" font-weight="{weight}" fill="{colour}">{escape(str(said))}</text>')

    text(24, y, view["title"], 24, 600)
    y += 28
    text(24, y, view["line"], 15, 400, "#4b5563")
    y += 34
    text(24, y, w("personas.stands_out"), 15, 600)
    for bar in view["bars"]:
        y += 26
        text(24, y, bar["label"][:48], 14)
        text(24, y + 17, bar["text"], 12, 400, "#4b5563")
        parts.append(f'<rect x="400" y="{y - 10}" width="{max(1, round(290 * bar["share"]))}" height="9" fill="#00558c"/><rect x="400" y="{y + 2}" width="{max(1, round(290 * bar["elsewhere"]))}" height="7" fill="#9aa5b1"/>')
        y += 17
    y += 14
    for label, said in view["facts"]:
        y += 28
        text(24, y, label, 13, 600, "#4b5563")
        for line in _wrapped(str(said), 62):
            text(220, y, line, 14)
            y += 19
        y -= 19
    height = y + 28
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" width="720" height="{height}" role="img" aria-label="{escape(view["title"])}" font-family="system-ui, Segoe UI, Roboto, Noto Sans, sans-serif">'
        f'<title>{escape(view["title"])}</title><rect x="0.5" y="0.5" width="719" height="{height - 1}" rx="8" fill="#ffffff" stroke="#d5dae1"/>' + "".join(parts) + "</svg>\n"
    )  # fmt: skip


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width) or [DASH]
