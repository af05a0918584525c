"""Cards of personas: their numbers are those of the tables, in both languages, on the page and in the SVG."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest

from kundig.config.personas import Answers
from kundig.report import words
from kundig.report.facts import Facts
from kundig.report.personas import card, cards, level, svg
from kundig.report.words import Words
from kundig.workspace import Workspace

ROW: dict[str, Any] = {
    "persona_id": "customers_2", "file": "customers", "name": "customers_2", "origin": "found", "size": 1938, "share": 0.2297, "value": Decimal("34.9242"), "recovered": 0.8, "stability": 0.71, "channel": "app", "hour": 19.2,
    "content": "Zelte & <Planen>", "objection": "price", "next_steps": "price/high", "rule": "hour ≥ 18.9", "rule_tests": json.dumps([["hour", "at_least", "18.9"], ["discount_share", "less_than", "0.0557"]]),
    "rule_precision": 0.845, "rule_recall": 0.557, "segment_id": "active", "segment_share": 0.39, "drift": "grown", "share_before": 0.19, "claims": None, "persons": 8437, "verdict": "usable", "reason": "", "model": "m",
    "found_at": dt.datetime(2026, 11, 1, tzinfo=dt.UTC),
}  # fmt: skip
ATTRIBUTES = [
    {"persona_id": "customers_2", "attribute": "hour", "level": "≥ 18.9", "weight": 0.47, "share": 0.609, "share_elsewhere": 0.078, "used": True},
    {"persona_id": "customers_2", "attribute": "discount_share", "level": "0.05–0.125", "weight": 0.2, "share": 0.3, "share_elsewhere": 0.1, "used": True},
    {"persona_id": "customers_2", "attribute": "hobbies: Lesen", "level": "yes", "weight": 0.1, "share": 0.5, "share_elsewhere": 0.2, "used": False},
]  # fmt: skip


@pytest.mark.parametrize("locale", ["de", "en"])
def test_cards_of_the_shop_have_the_tables_numbers(workspace: Workspace, locale: str) -> None:
    w = words(workspace, locale)
    rows = {row["persona_id"]: row for row in Facts(workspace).personas}
    found = cards(Facts(workspace), w)
    assert [one["id"] for one in found] == list(rows) and "geschaeftsfuehrer_kmu" in rows
    for one in found:
        row = rows[one["id"]]
        assert one["size"].value == row["size"] and one["share"].value == row["share"] and w.number(row["size"]) in one["line"]
        assert not {"nan", "None", "inf"} & set(str(one).replace("(", " ").split()), "no raw missing value"
    kmu = next(one for one in found if one["id"] == "geschaeftsfuehrer_kmu")
    assert kmu["title"] == {"de": "Geschäftsführer KMU", "en": "Managing director of a small firm"}[locale]
    assert len(kmu["claims"]) == 3


@pytest.mark.parametrize("locale, at, rule, bands", [("de", "gegen 19 Uhr", "Uhrzeit ab 18:54 und Rabattanteil unter 5,6 %", "5,0 %–12,5 %"), ("en", "around 19:00", "Hour of day from 18:54 on and Share of discount below 5.6%", "5.0%–12.5%")])  # fmt: skip
def test_a_card_speaks_the_language(locale: str, at: str, rule: str, bands: str) -> None:
    w = Words(locale=locale, currency="EUR", zone="Europe/Berlin")
    made = card(ROW, ATTRIBUTES, w)
    facts = dict(made["facts"])
    told = " ".join(map(str, facts.values())).replace("\u00a0", " ").replace("\u202f", " ")
    assert at in told and rule in told and bands in made["bars"][1]["label"].replace("\u00a0", " ").replace("\u202f", " ")
    assert w.percent(0.19) in facts[w("personas.change")] and w.percent(0.2297) in facts[w("personas.change")]
    assert facts[w("personas.marketing")].endswith(w("next_marketing.high"))
    assert w("common.yes") in made["bars"][2]["label"]


def test_every_objection_and_drift_has_its_words() -> None:
    for locale in ("de", "en"):
        w = Words(locale=locale, currency="EUR", zone="UTC")
        assert set(w.order("objections")) == {"price", "doubts", "service", "attention", "decision", "none"}
        assert set(w.order("next_marketing")) == set(w.order("next_sales")) == {*w.order("objections"), "high"}
        for objection in w.order("objections"):
            for channel, hour in (("email", 9.4), (None, None)):
                facts = dict(card(ROW | {"objection": objection, "channel": channel, "hour": hour, "content": None}, [], w)["facts"])
                assert "{" not in " ".join(map(str, facts.values())) and "None" not in str(facts)
        for drift in ("new", "grown", "shrunk", "steady"):
            assert "{" not in dict(card(ROW | {"drift": drift}, [], w)["facts"])[w("personas.change")]


@pytest.mark.parametrize("locale", ["de", "en"])
def test_the_svg_is_whole_and_escaped(locale: str) -> None:
    w = Words(locale=locale, currency="EUR", zone="UTC")
    text = svg(card(ROW, ATTRIBUTES, w), w)
    root = ElementTree.fromstring(text)
    assert "Zelte & <Planen>" in " ".join(node.text or "" for node in root.iter()) and "script" not in text and "href" not in text
    bars = [float(node.get("width", "0")) for node in root.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert bars[0] / bars[1] == pytest.approx(0.609 / 0.078, rel=0.06), "bars are as long as the shares they tell"


def test_what_people_told_comes_with_its_own_words() -> None:
    w = Words(locale="de", currency="EUR", zone="UTC")
    answers = Answers.model_validate({"title": {"de": "KMU"}, "who": {"job_title": "Inhaber"}, "sales": "Anrufen."})
    claims = [{"about": "share", "said": "30%", "found": "12.7%", "share": 0.127, "known": 354, "agrees": False}, {"about": "hour", "said": "< 12", "found": "", "share": None, "known": 3, "agrees": None}]
    made = card(ROW | {"origin": "told", "claims": json.dumps(claims)}, [], w, answers)
    assert made["title"] == "KMU" and dict(made["facts"])[w("personas.sales")] == "Anrufen."
    assert [str(one["verdict"]) for one in made["claims"]] == [w("personas.disagrees"), w("personas.unknown")]
    assert level("hour", "7.25–9", w) == "7:15–9:00"
