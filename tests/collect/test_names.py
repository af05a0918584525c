"""Names of events in every script: none becomes empty, none changes from run to run, and what landed under them can be renamed and planned."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.collect.shop import Shop
from tests.collect.test_segment import call, lines

from kundig.schema import snake

SOURCE = """
received_at: as_occurred
inputs:
  - files: in/*.ndjson
    format: segment_ndjson
    segment: {rename: {注文: checkout_confirmed}}
"""
SPELLED = {"日本": "u65e5_u672c", "Заказ": "u437_u430_u43a_u430_u437", "🎉": "u1f389", "???": "u3f_u3f_u3f", "Order Completed": "order_completed", "productViewed": "product_viewed", "öffnen": "öffnen", "Ä1": "ä1", "404": "404"}


@pytest.mark.parametrize("name", SPELLED)
def test_spellings_are_as_they_always_were(name: str) -> None:
    assert snake(name) == SPELLED[name]


@settings(max_examples=400)
@given(st.text(min_size=1, max_size=200).filter(lambda text: text.strip()))
def test_no_name_becomes_empty_and_its_spelling_is_stable(name: str) -> None:
    made = snake(name)
    assert made and snake(name) == made and re.fullmatch(r"[0-9a-zäöüß]+(_[0-9a-zäöüß]+)*", made)
    assert snake(unicodedata.normalize("NFC", name)) == made or re.search("[a-zäöüß]", made)


@settings(max_examples=300)
@given(st.text(st.characters(min_codepoint=0x400, max_codepoint=0x9FFF, categories=["Lo", "Ll"]), min_size=1, max_size=60), st.text(st.characters(min_codepoint=0x400, max_codepoint=0x9FFF, categories=["Lo", "Ll"]), min_size=1, max_size=60))
def test_two_names_give_two_spellings(one: str, other: str) -> None:
    alike = unicodedata.normalize("NFC", one).casefold() == unicodedata.normalize("NFC", other).casefold()
    assert (snake(one) == snake(other)) == alike


def test_a_long_name_is_cut_and_told_apart() -> None:
    first, second = snake("注" * 100), snake("注" * 101)
    assert first != second and len(first) < 100 and first.startswith("u6ce8_")


def test_events_in_other_scripts_land_and_are_renamed(shop: Shop) -> None:
    shop.source(SOURCE, "web")
    shop.write("tracking_plan/web.yaml", "events: {u65e5_u672c: {properties: {size: {type: int64}}}}\n")
    shop.write("in/a.ndjson", lines(call(1, event="日本", properties={"size": 3}), call(2, event="中国"), call(3, event="注文"), call(4, event="   ")))
    landed = shop.land("web")
    assert landed.quarantined == 1, "a name of blanks is none"
    assert sorted(shop.rows("events", "event_id, name, size")) == [("web:m1", "u65e5_u672c", 3), ("web:m2", "u4e2d_u56fd", None), ("web:m3", "checkout_confirmed", None)]
