"""The tracking plan: what breaks it is held or marked, property by property; drafts of what was seen are valid and lose nothing; drift is told in words."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from tests.collect.shop import Shop
from tests.collect.test_segment import SOURCE, call, lines

from kundig.collect import plan_draft, plan_drift, quarantine
from kundig.collect.plan_seen import KINDS, SeenEvent, SeenProperty, seen
from kundig.collect.tracking_plan import merged
from kundig.config.collect import TrackingPlan
from kundig.errors import ConfigError

LAST = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def landed(shop: Shop, *calls: Mapping[str, Any], plan: str = "", source: str = "web") -> Any:
    """Land calls under a plan (none where it is empty)."""
    shop.source(SOURCE.replace("in/*", f"in/{source}*"), source)
    if plan:
        shop.write("tracking_plan/web.yaml", plan)
    shop.write(f"in/{source}.ndjson", lines(*calls))
    return shop.land(source)


# what happens to an event that breaks the plan ---------------------------------------------------------------------

HOLDS = """
on_violation: {file}
events:
  product_viewed:
    on_violation: '{event}'
    properties:
      price: {{type: 'decimal(18,4)', required: true, on_violation: '{price}'}}
      colour: {{allowed: [red, blue]}}
"""


@pytest.mark.parametrize("file", ["mark", "quarantine"])
@pytest.mark.parametrize("event", ["", "mark", "quarantine"])
@pytest.mark.parametrize("price", ["", "mark", "quarantine"])
def test_the_nearest_word_decides(shop: Shop, file: str, event: str, price: str) -> None:
    wrong = {1: {"price": "cheap"}, 2: {}, 3: {"price": 1, "colour": "green"}, 4: {"price": 1, "colour": "red"}}
    done = landed(shop, *(call(number, properties=some) for number, some in wrong.items()), plan=HOLDS.format(file=file, event=event, price=price))
    by_price, by_event = (price or event or file) == "quarantine", (event or file) == "quarantine"
    expected = {"web:m1": by_price, "web:m2": by_price, "web:m3": by_event, "web:m4": False}
    here = {name: json.loads(text or "{}").get("_violations", []) for name, text in shop.rows("events", "event_id, CAST(properties AS VARCHAR)")}
    assert set(here) == {name for name, is_held in expected.items() if not is_held}
    assert done.quarantined == sum(expected.values()) == len(quarantine.held(shop.lake))
    assert all(bool(here[name]) == (name != "web:m4") for name in here), "what is let through is marked"


def test_the_reason_of_a_held_event_is_the_one_that_holds_it(shop: Shop) -> None:
    plan = "events:\n  product_viewed:\n    properties:\n      price: {type: 'decimal(18,4)'}\n      colour: {allowed: [red], on_violation: quarantine}\n"
    landed(shop, call(1, properties={"price": "cheap", "colour": "green"}), plan=plan)
    assert "colour: not one of the allowed values" in quarantine.held(shop.lake)[0].what


@pytest.mark.parametrize(("unplanned", "here", "marked"), [("keep", 2, 0), ("mark", 2, 1), ("quarantine", 1, 0)])
def test_events_that_no_plan_names(shop: Shop, unplanned: str, here: int, marked: int) -> None:
    landed(shop, call(1), call(2, event="Other"), plan=f"unplanned: {unplanned}\nevents: {{product_viewed: {{}}}}\n")
    found = [text for (text,) in shop.rows("events", "CAST(properties AS VARCHAR)")]
    assert (len(found), sum("not in the plan" in (text or "") for text in found)) == (here, marked)


def test_a_source_that_may_not_send_it(shop: Shop) -> None:
    landed(shop, call(1), plan="events: {product_viewed: {sources: [app], on_violation: quarantine}}\n")
    assert "source: web may not send it" in quarantine.held(shop.lake)[0].what


def test_two_files_may_differ() -> None:
    plan = merged({"web": TrackingPlan(on_violation="quarantine", unplanned="mark", events={"a": {}}), "app": TrackingPlan(events={"b": {}, "c": {"on_violation": "quarantine"}})})
    assert ([plan.holds(name) for name in "abcd"], plan.unplanned) == ([True, False, True, False], "mark")
    with pytest.raises(ConfigError, match="planned twice"):
        merged([TrackingPlan(events={"a": {}}), TrackingPlan(events={"a": {}})])


def test_what_was_held_lands_when_the_plan_is_mended(shop: Shop) -> None:
    landed(shop, call(1, properties={"colour": "green"}), plan="events: {product_viewed: {properties: {colour: {allowed: [red], on_violation: quarantine}}}}\n")
    assert plan_drift.held(shop.lake) == {"colour: not one of the allowed values": 1}
    shop.write("tracking_plan/web.yaml", "events: {product_viewed: {properties: {colour: {allowed: [red, green], on_violation: quarantine}}}}\n")
    assert quarantine.replay(shop.lake, shop.config).replayed == 1
    assert plan_drift.held(shop.lake) == {}
    assert shop.rows("events", "colour") == [("green",)]


# drafts ------------------------------------------------------------------------------------------------------------


def sent(number: int, event: str = "Product Viewed", days: float = 0.0, **properties: Any) -> dict[str, Any]:
    """A call some days before the last one."""
    return call(number, event=event, timestamp=(LAST - dt.timedelta(days=days)).isoformat(), properties=properties)


def test_a_draft_says_what_was_sent(shop: Shop) -> None:
    calls = [
        sent(n, productId="P1", price=9.5 if n % 2 else 10, quantity=n, colour=("red", "blue")[n % 2], sku=f"{1000 + n}", shipped="2026-01-02", at="2026-01-02T10:00:00Z", sale=n % 2 == 0, tags=["a"],
             contact=f"a{n}@example.org", value=3, extra={"a": 1}, size="M" if n % 3 else None, user_id=f"u{n}")
        for n in range(60)
    ]  # fmt: skip
    landed(shop, *calls, sent(99, event="Page Left"))
    text = plan_draft.draft(seen(shop.lake, merged(None), days=90, before=0), merged(None), owners={"web": "web-team"})
    drafted = TrackingPlan.model_validate(YAML(typ="safe").load(text))
    assert set(drafted.events) == {"product_viewed", "page_left"}
    event = drafted.events["product_viewed"]
    types = {name: one.type for name, one in event.properties.items()}
    assert types == {
        "product_id": "string", "price": "decimal(18,4)", "quantity": "int64", "colour": "string", "sku": "string", "shipped": "date", "at": "timestamp", "sale": "bool", "tags": "list<string>",
        "contact": "string", "product_viewed_value": "decimal(18,4)", "size": "string", "user_id": "string",
    }  # fmt: skip
    of = event.properties
    assert {name for name, one in of.items() if one.required} == set(types) - {"size"}
    assert (of["colour"].allowed, of["sku"].allowed, of["size"].allowed) == (("blue", "red"), (), ("M",))
    assert (of["contact"].personal, of["contact"].drop, of["user_id"].personal) == ("contact", True, "pseudonym")
    assert (of["product_viewed_value"].spelled, event.value, event.owner, event.sources) == (("value",), "product_viewed_value", "web-team", ("web",))
    assert "# extra: left out" in text


def test_a_draft_as_the_plan_marks_nothing_and_reads_every_value(shop: Shop) -> None:
    """Law: what was seen keeps to the plan drafted from it."""
    chance = random.Random(4)
    values = {"price": lambda: chance.choice([1, 2.5]), "n": lambda: chance.randrange(9), "s": lambda: chance.choice("xyz"), "when": lambda: "2026-01-02", "mixed": lambda: chance.choice([1, "a", True]), "value": lambda: 7, "last": lambda: 1, "whose": lambda: "me"}
    calls = [sent(n, event=chance.choice(["A B", "C"]), **{name: make() for name, make in values.items() if chance.random() < 0.8}) for n in range(200)]
    landed(shop, *calls)
    text = plan_draft.draft(seen(shop.lake, merged(None), days=90, before=0), merged(None))
    (shop.root / "again").mkdir()
    again = Shop(shop.root / "again")
    landed(again, *calls, plan=text)
    assert again.rows("events", "count(*)", "WHERE contains(coalesce(CAST(properties AS VARCHAR), ''), '_violations')") == [(0,)]
    assert again.rows("events", "count(*)", "WHERE properties IS NOT NULL") == [(0,)], "every property is a column"
    columns = {"price": "price", "n": "n", "s": "s", "when": '"when"', "mixed": "mixed", "last": '"last"', "whose": "whose"}
    for name, column in columns.items():
        assert again.rows("events", f"count({column})") == [(sum(name in one["properties"] for one in calls),)], name
    assert plan_drift.drift(seen(again.lake, merged(again.config.tracking_plan)), merged(again.config.tracking_plan)) == ()


def test_a_draft_leaves_what_is_planned_and_keeps_its_types(shop: Shop) -> None:
    plan = "events: {product_viewed: {properties: {price: {type: float64}}}}\n"
    landed(shop, *(sent(n, price=1) for n in range(5)), *(sent(10 + n, event="Added", price=1) for n in range(5)), plan=plan)
    found = merged(shop.config.tracking_plan)
    text = plan_draft.draft(seen(shop.lake, found, days=90, before=0), found)
    drafted = TrackingPlan.model_validate(YAML(typ="safe").load(text))
    assert {name: one.properties["price"].type for name, one in drafted.events.items()} == {"added": "float64"}
    merged([shop.config.tracking_plan["web"], drafted])
    assert plan_draft.draft({}, found) == ""


def test_names_that_no_plan_can_hold_are_told(shop: Shop) -> None:
    landed(shop, sent(1, event="Größe gewählt"), sent(2))
    found = seen(shop.lake, merged(None), days=90, before=0)
    text = plan_draft.draft(found, merged(None))
    TrackingPlan.model_validate(YAML(typ="safe").load(text))
    assert all(name in text for name in found), "drafted, or named as left out"
    assert '# "größe_gewählt": left out' in text and "  product_viewed:" in text


names = st.sampled_from(["price", "value", "sku", "a b", "Preis €", "camelCase", "order", "no", "on", "kind", "x-y", "name", "e_mail"])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(names, st.tuples(st.dictionaries(st.sampled_from(KINDS), st.integers(1, 99), min_size=1), st.lists(st.text(max_size=8), max_size=3))), st.integers(1, 500))
def test_every_draft_is_a_valid_file(properties: dict[str, Any], count: int) -> None:
    one = {name: SeenProperty(before=sum(kinds.values()), kinds_before=kinds, values=tuple(values)) for name, (kinds, values) in properties.items()}
    event = SeenEvent(name="seen_event", sources=("on", "Kasse 'Nord'"), before=count, recent=0, first_recent=None, looked_before=count, looked_recent=0, properties=one, broken_before={}, broken_recent={})
    text = plan_draft.draft({"seen_event": event}, merged(None), owners={})
    drafted = TrackingPlan.model_validate(YAML(typ="safe").load(text))
    assert drafted.events["seen_event"].sources == ("on", "Kasse 'Nord'")
    merged(drafted)


# drift -------------------------------------------------------------------------------------------------------------

AGREED = """
events:
  product_viewed:
    owner: web-team
    sources: [web]
    properties:
      price: {type: 'decimal(18,4)'}
      colour: {allowed: [red, blue]}
  signed_in: {owner: shop-team}
  planned_only: {owner: nobody-yet}
"""


def weeks(number: Iterator[int], per_day: int = 5) -> list[dict[str, Any]]:
    """Five weeks of well-behaved events, 35 days to today."""
    found = []
    for day in range(35):
        for _ in range(per_day):
            found.append(sent(next(number), days=day, price=1, colour="red", note="x", depth=1))
            found.append(sent(next(number), event="Signed In", days=day))
    return found


def told(shop: Shop, **more: Any) -> dict[tuple[str, str], plan_drift.Drift]:
    plan = merged(shop.config.tracking_plan)
    return {(one.kind, one.key or one.event): one for one in plan_drift.drift(seen(shop.lake, plan), plan) if one.changed or more.get("every")}


def numbers() -> Iterator[int]:
    return iter(range(1, 100_000))


def test_nothing_is_told_where_nothing_drifts(shop: Shop) -> None:
    landed(shop, *weeks(numbers()), plan=AGREED)
    assert told(shop) == {}
    always = told(shop, every=True)
    assert set(always) == {("unplanned_property", "note"), ("unplanned_property", "depth"), ("never_seen", "planned_only")}


DRIFTS: dict[str, tuple[Any, tuple[str, str], str]] = {
    "a new event": (lambda n: [sent(next(n), event="Wished", days=d) for d in range(3)], ("new_event", "wished"), "'wished' is new: 3 times since 2026-02-27, from web"),
    "a new property": (lambda n: [sent(next(n), days=1, price=1, size="M") for _ in range(4)], ("new_property", "size"), "'size' of 'product_viewed' is new: with 4 of"),
    "a changed type of a planned property": (lambda n: [sent(next(n), days=1, price="1,50 EUR") for _ in range(4)], ("changed_type", "price"), "'price' of 'product_viewed' cannot be read as decimal(18,4)"),
    "a changed type of another": (lambda n: [sent(next(n), days=1, price=1, depth="deep") for _ in range(6)], ("changed_type", "depth"), "whole numbers before, now texts"),
    "a wrong value": (lambda n: [sent(next(n), days=1, price=1, colour="green") for _ in range(4)], ("wrong_value", "colour"), "none of the values agreed on"),
}  # fmt: skip


@pytest.mark.parametrize("what", DRIFTS)
def test_drift_is_told_in_words(shop: Shop, what: str) -> None:
    more, key, words = DRIFTS[what]
    count = numbers()
    landed(shop, *weeks(count), *more(count), plan=AGREED)
    found = told(shop)
    assert set(found) == {key}, "this and nothing else"
    assert words in found[key].sentence
    assert found[key].mend


def test_what_is_gone_is_told(shop: Shop) -> None:
    count = numbers()
    calls = [one for one in weeks(count) if one["event"] != "Signed In" or dt.datetime.fromisoformat(one["timestamp"]) <= LAST - dt.timedelta(days=7)]
    for one in calls:
        if dt.datetime.fromisoformat(one["timestamp"]) > LAST - dt.timedelta(days=7):
            one["properties"].pop("note", None)
    landed(shop, *calls, plan=AGREED)
    found = told(shop)
    assert set(found) == {("vanished_event", "signed_in"), ("vanished_property", "note")}
    assert "none in 7 days, where about 35 would have come from web" in found["vanished_event", "signed_in"].sentence
    assert "shop-team" in found["vanished_event", "signed_in"].mend, "the owner is named"


def test_a_rare_event_is_not_missed(shop: Shop) -> None:
    """Its absence is chance: one a week before, none in the last."""
    count = numbers()
    landed(shop, *weeks(count), *(sent(next(count), event="Rare", days=8 + 7 * week) for week in range(4)), plan=AGREED + "  rare: {}\n")
    assert told(shop) == {}


def test_of_many_events_some_are_looked_at_and_all_are_counted(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from kundig.collect import plan_seen

    landed(shop, *(sent(n, days=n % 30, price=1, even=n % 2) for n in range(600)))
    monkeypatch.setattr(plan_seen, "MOST", 100)
    event = seen(shop.lake, merged(None))["product_viewed"]
    assert (event.count, event.sources) == (600, ("web",))
    assert 40 < event.looked_recent < 180 and 40 < event.looked_before < 180, "of each time about a hundred"
    assert event.properties["price"].recent == event.looked_recent and event.properties["price"].before == event.looked_before
    assert "required: true" in plan_draft.draft({"product_viewed": event}, merged(None)), "what came with each of those looked at"
    assert plan_drift.drift({"product_viewed": event}, merged(None)) == ()


def test_each_source_is_held_against_its_own_clock(shop: Shop) -> None:
    """An import of last year's files beside a live feed: neither is called gone."""
    count = numbers()
    landed(shop, *weeks(count), plan=AGREED.replace("[web]", "[web, old]"))
    landed(shop, *(one | {"timestamp": (dt.datetime.fromisoformat(one["timestamp"]) - dt.timedelta(days=400)).isoformat()} for one in weeks(count)), source="old")
    assert told(shop) == {}


def test_a_wrong_source_is_told(shop: Shop) -> None:
    count = numbers()
    landed(shop, *weeks(count), plan=AGREED)
    landed(shop, *(sent(next(count), days=d, price=1) for d in range(5)), source="app")
    found = told(shop)
    assert set(found) == {("wrong_source", "product_viewed")}
    assert "(app)" in found["wrong_source", "product_viewed"].sentence


