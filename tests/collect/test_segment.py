"""Segment lines: clocks, channels, traits, the plan, and every line accounted for."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.collect.shop import NOW, Shop

from kundig.collect import channels, quarantine
from kundig.collect.identifiers import identifier_key
from kundig.errors import ConfigError, SourceError

SOURCE = """
received_at: as_occurred
inputs:
  - files: in/*.ndjson
    format: segment_ndjson
    segment: {user_id: shop_customer, hosts: [shop.example], rename: {Order Completed: checkout_confirmed}}
"""

PLAN = """
events:
  product_viewed:
    value: price
    properties:
      product_id: {required: true, spelled: [sku]}
      price: {type: 'decimal(18,4)'}
      tags: {type: 'list<string>'}
      in_stock: {type: bool}
      colour: {allowed: [red, blue]}
      voucher: {drop: true}
"""


def call(number: int, **more: Any) -> dict[str, Any]:
    """A track call."""
    base = {"messageId": f"m{number}", "type": "track", "event": "Product Viewed", "anonymousId": "a1", "timestamp": "2026-01-01T12:00:00.000Z", "properties": {"product_id": "P1"}}
    return {key: value for key, value in (base | more).items() if value is not None}


def lines(*calls: Mapping[str, Any] | str) -> str:
    """JSON lines."""
    return "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in calls)


def land(shop: Shop, *calls: Mapping[str, Any] | str, plan: str = PLAN) -> Any:
    """Land the calls."""
    shop.source(SOURCE, "web")
    shop.write("tracking_plan/web.yaml", plan)
    shop.write("in/a.ndjson", lines(*calls))
    return shop.land("web")


def test_clock_skew_is_taken_out(shop: Shop) -> None:
    """The device's clock is an hour ahead; the server's and the gap between event and sending are right."""
    land(shop, call(1, originalTimestamp="2026-01-01T13:00:00Z", timestamp=None, sentAt="2026-01-01T13:00:10Z", receivedAt="2026-01-01T12:00:11Z"))
    land_only = call(2, timestamp="2026-01-01T13:00:00+01:00")
    shop.write("in/b.ndjson", lines(land_only, call(3, timestamp="2026-01-01T09:00:00Z", receivedAt="2026-01-01T08:00:00Z")))
    shop.land("web", files=["in/b.ndjson"])
    found = dict(shop.rows("events", "event_id, occurred_at"))
    assert found["web:m1"] == dt.datetime(2026, 1, 1, 12, 0, 1, tzinfo=dt.UTC)
    assert found["web:m2"] == dt.datetime(2026, 1, 1, 12, 0, tzinfo=dt.UTC)
    assert found["web:m3"] == dt.datetime(2026, 1, 1, 8, 0, tzinfo=dt.UTC), "nothing happens after it was received"


def test_clocks_that_stand_elsewhere_stop_no_import(shop: Shop) -> None:
    before = {"type": "identify", "event": None, "properties": None, "traits": {"email": "a@example.org"}}
    landed = land(shop, call(1, sentAt="infinity", receivedAt="2026-01-01T12:00:05Z"), call(2, timestamp="1955-05-05T00:00:00Z", **before), call(3, timestamp="1955-05-06T00:00:00Z", **before))
    assert (landed.rows["events"], landed.rows["contacts"]) == (3, 1)
    assert [moment.year for (moment,) in shop.rows("events", "occurred_at", "ORDER BY event_id")] == [2026, 1955, 1955]


def test_a_message_sent_again_lands_once(shop: Shop) -> None:
    landed = land(shop, call(1), call(2), call(1), call(1, receivedAt="2026-01-02T00:00:00Z"))
    assert (landed.rows["events"], landed.duplicates) == (2, 2)
    shop.write("in/b.ndjson", lines(call(2), call(3)))
    landed = shop.land("web", files=["in/b.ndjson"])
    assert (landed.rows["events"], landed.duplicates) == (1, 1)


def test_names_and_renames(shop: Shop) -> None:
    land(shop, call(1), call(2, event="Order Completed"), call(3, event="addToCart"), call(4, type="page", event=None), call(5, type="screen", event=None))
    assert [name for (name,) in shop.rows("events", "name", "ORDER BY event_id")] == ["product_viewed", "checkout_confirmed", "add_to_cart", "page_viewed", "screen_viewed"]


def test_planned_properties_are_columns_and_the_rest_is_json(shop: Shop) -> None:
    land(shop, call(1, properties={"sku": "P7", "price": 12.5, "tags": "a|b", "in_stock": True, "colour": "red", "foo": {"bar": 1}, "email": "a@x.de", "voucher": "GEHEIM"}), call(2))
    row = shop.rows("events", 'product_id, price, tags, in_stock, colour, "value", CAST(properties AS VARCHAR)', "ORDER BY event_id")
    assert row[0] == ("P7", Decimal("12.5"), ["a", "b"], True, "red", Decimal("12.5"), '{"foo":{"bar":1}}')
    assert row[1] == ("P1", None, None, None, None, None, None)
    assert "voucher" not in {name for (name, *_) in shop.lake.duck.execute(f"DESCRIBE SELECT * FROM {shop.lake.scan('events')}").fetchall()}


def test_violations_are_marked_or_held(shop: Shop) -> None:
    wrong = call(1, properties={"product_id": "P1", "price": "cheap", "colour": "green"})
    landed = land(shop, wrong, call(2, properties={"price": 1}), call(3))
    assert landed.quarantined == 0
    marked = {row[0]: json.loads(row[1]) for row in shop.rows("events", "event_id, CAST(properties AS VARCHAR)", "WHERE properties IS NOT NULL")}
    assert marked["web:m1"] == {"price": "cheap", "_violations": ["price: no decimal(18,4)", "colour: not one of the allowed values"]}
    assert marked["web:m2"] == {"_violations": ["product_id: missing"]}


def test_violations_are_held_where_the_plan_says_so(shop: Shop) -> None:
    landed = land(shop, call(1, properties={}), call(2), call(3), call(4, event="Other", properties={}), plan="on_violation: quarantine" + PLAN)
    assert (landed.rows["events"], landed.quarantined) == (3, 1)
    [record] = quarantine.held(shop.lake)
    assert "product_id: missing" in record.what
    quarantine.fix(shop.lake, record.record_id, json.dumps(call(1)))
    assert quarantine.replay(shop.lake, shop.config, now=NOW).rows["events"] == 1
    assert ("web:m1",) in shop.rows("events", "event_id")


def test_identify_calls_become_contacts_and_leave_nothing_personal_behind(shop: Shop) -> None:
    traits = {"email": "Anna@Example.org", "firstName": "Anna", "address": {"city": "Kiel"}, "plan": "pro"}
    land(shop, call(1), call(2, type="identify", event=None, userId="C1", traits=traits, properties=None))
    [(email, name, city, kind, attributes)] = shop.rows("contacts", "email, first_name, city, kind, CAST(attributes AS VARCHAR)")
    assert (email, name, city, kind, json.loads(attributes)) == ("anna@example.org", "Anna", "Kiel", "subscriber", {"plan": "pro"})
    [(key, others, properties)] = shop.rows("events", "identifier_key, other_keys, properties", "WHERE name = 'identify'")
    assert key == identifier_key("shop_customer", "C1")
    assert others == sorted([identifier_key("email", "anna@example.org"), identifier_key("anonymous_id", "a1")])
    assert properties is None


def test_channels_of_visits(shop: Shop) -> None:
    pages = {
        "google": {"referrer": "https://www.google.com/", "url": "https://shop.example/"}, "paid": {"url": "https://shop.example/?gclid=x", "referrer": "https://www.google.com/"},
        "mail": {"url": "https://shop.example/a/b?utm_source=x&utm_medium=email&utm_campaign=may"}, "own": {"url": "https://shop.example/c", "referrer": "https://www.shop.example/"},
        "direct": {"url": "https://shop.example/", "referrer": ""}, "blog": {"url": "https://shop.example/", "referrer": "https://blog.example.net/x"},
    }  # fmt: skip
    land(shop, *(call(number, context={"page": page}, messageId=name) for number, (name, page) in enumerate(pages.items())), call(9))
    found = {row[0][4:]: row[1:] for row in shop.rows("events", "event_id, channel, campaign, page_path, platform")}
    assert {name: row[0] for name, row in found.items()} == {
        "google": "organic_search", "paid": "paid_search", "mail": "email", "own": None, "direct": "direct", "blog": "referral", "m9": None,
    }  # fmt: skip
    assert found["mail"][1:] == ("may", "/a/b", "web")


def test_amounts_in_another_currency(shop: Shop) -> None:
    landed = land(shop, call(1, timestamp="2011-12-09T12:00:00Z", properties={"product_id": "P", "price": 100, "currency": "GBP"}), call(2, properties={"product_id": "P", "price": 1, "currency": "ZZZ"}), call(3))
    assert landed.quarantined == 1
    assert dict(shop.rows("events", 'event_id, "value"'))["web:m1"] == Decimal("117.2127")


BROKEN = {
    "json": "{nope", "type": json.dumps(call(1, type="blurb")), "ids": json.dumps(call(1, anonymousId=None)), "timestamp": json.dumps(call(1, timestamp="yesterday")),
    "event": json.dumps(call(1, event=None)), "size": json.dumps(call(1, properties={"x": "y" * 40_000})), "blocked": json.dumps(call(1, anonymousId=None, userId=" ")),
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_each_broken_line_is_held_with_its_place(shop: Shop, kind: str) -> None:
    landed = land(shop, call(7), BROKEN[kind], "", call(8))
    assert (landed.rows["events"], landed.quarantined) == (2, 1)
    [record] = quarantine.held(shop.lake)
    assert record.where == "a.ndjson, row 2"
    assert record.what
    assert record.mend


def test_bytes_that_are_no_text_are_held(shop: Shop) -> None:
    shop.source(SOURCE, "web")
    shop.write("in/a.ndjson", lines(call(1)).encode() + json.dumps(call(2)).replace("P1", "GröXe").encode().replace("ö".encode(), b"\xf6") + b"\n" + lines(call(3)).encode())
    landed = shop.land("web")
    assert (landed.rows["events"], landed.quarantined) == (2, 1)


@pytest.mark.parametrize("content", [b"", b'{"messageId": "1", "type": "tr', b"a,b\n1,2\n3,4\n", b'[{"a": 1}]\n[2]\n'])
def test_files_that_are_no_segment_lines_are_refused(shop: Shop, content: bytes) -> None:
    shop.source(SOURCE, "web")
    shop.write("in/a.ndjson", content)
    with pytest.raises(SourceError) as caught:
        shop.land("web")
    assert caught.value.mend
    assert shop.is_empty()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.sampled_from(sorted(BROKEN)), st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=14), st.randoms())
def test_landed_and_held_and_repeated_are_all_lines(tmp_path_factory: pytest.TempPathFactory, kinds: list[Any], random: Any) -> None:
    shop = Shop(tmp_path_factory.mktemp("lines"))
    calls = [BROKEN[kind] if isinstance(kind, str) else json.dumps(call(kind)) for kind in kinds]
    whole = [kind for kind in kinds if not isinstance(kind, str)]
    try:
        landed = land(shop, *calls)
    except SourceError:
        assert sum(isinstance(kind, str) for kind in kinds) * 2 >= len(kinds)
        assert shop.is_empty()
        return
    assert landed.rows.get("events", 0) == len(set(whole))
    assert landed.rows.get("events", 0) + landed.duplicates + landed.quarantined == len(kinds)
    shop.lake.close()


def test_what_the_plan_hashes_is_kept_as_a_hash_alone(shop: Shop) -> None:
    plan = "events: {product_viewed: {properties: {product_id: {}, mail: {hashed_with: '${HASH_KEY}', allowed: [Anna@Example.org, b@example.org]}}}}"
    shop.write("secrets.toml", 'HASH_KEY = "once"')
    told = ["Anna@Example.org", " anna@example.org ", "b@example.org", "", None]
    land(shop, *(call(number, properties={"product_id": "P", "mail": mail}) for number, mail in enumerate(told)), plan=plan)
    kept = dict(shop.rows("events", "event_id, mail"))
    one, other = (hashlib.sha256(f"once:{mail}".encode()).hexdigest() for mail in ("anna@example.org", "b@example.org"))
    assert kept == {"web:m0": one, "web:m1": one, "web:m2": other, "web:m3": None, "web:m4": None}
    everything = str(shop.rows("events"))
    assert "example.org" not in everything.lower().replace("shop.example", "")
    assert "not one of the allowed values" in everything, "the plan is still held against the text that was sent"
    assert shop.lake.known("events").column("mail").personal == "pseudonym"


def test_a_hash_needs_its_key(shop: Shop) -> None:
    with pytest.raises(ConfigError, match="the secret 'HASH_KEY' is not set"):
        land(shop, call(1), plan="events: {product_viewed: {properties: {mail: {hashed_with: '${HASH_KEY}'}}}}")
    assert shop.is_empty()


AGENTS = {
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36": ("desktop", "chrome"),
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0": ("desktop", "edge"),
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:143.0) Gecko/20100101 Firefox/143.0": ("desktop", "firefox"),
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1": ("mobile", "safari"),
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/141.0 Mobile/15E148 Safari/604.1": ("mobile", "chrome"),
    "Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1": ("tablet", "safari"),
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36": ("mobile", "samsung"),
    "Mozilla/5.0 (Linux; Android 14; SM-X900) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36": ("tablet", "chrome"),
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": ("bot", None), "": (None, None),
}  # fmt: skip


def test_devices_and_browsers_are_told_by_user_agents(shop: Shop) -> None:
    land(shop, *(call(number, context={"userAgent": agent}) for number, agent in enumerate(AGENTS)), call(90, context={"device": {"type": "ios"}}), call(91))
    found = {row[0]: row[1:] for row in shop.rows("events", "event_id, device, browser")}
    assert [found[f"web:m{number}"] for number in range(len(AGENTS))] == list(AGENTS.values())
    assert (found["web:m90"], found["web:m91"]) == (("mobile", None), (None, None))


def test_channels_are_paid_owned_or_earned(shop: Shop) -> None:
    pages = {"paid": {"url": "https://Shop.example:443/?gclid=x"}, "owned": {"url": "https://shop.example/a?utm_medium=email"}, "earned": {"url": "https://shop.example/", "referrer": "https://www.google.com/"}}
    land(shop, *(call(number, context={"page": page}, messageId=name) for number, (name, page) in enumerate(pages.items())), call(8, context={"page": {"url": "https://shop.example/?utm_source=x"}}), call(9))
    found = {row[0][4:]: row[1:] for row in shop.rows("events", "event_id, medium, page_host")}
    assert {name: found[name] for name in pages} == {name: (name, "shop.example") for name in pages}
    assert (found["m8"], found["m9"]) == ((None, "shop.example"), (None, None))
    assert set(channels.MEDIUM) == {*channels.MEDIA.values(), *channels.CLICK_IDS.values(), "direct"}
