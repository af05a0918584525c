"""The tracking plan judges events of mapped files and webhooks where it names them: typed, dropped, hashed, marked or held; others stay as they came."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import Any

import pytest
from tests.collect.shop import Shop

from kundig.collect import quarantine
from kundig.collect.amending import amendment
from kundig.store.inbox import Inbox

SOURCE = """
received_at: as_occurred
inputs:
  - files: in/*.ndjson
    format: ndjson
    lands:
      - table: events
        columns: {event_id: id, occurred_at: at, name: what, kind: {value: track}, properties: more}
        identifiers: [{namespace: customer_id, column: customer}]
"""
PLAN = """
on_violation: {how}
unplanned: {unplanned}
events:
  parcel_sent:
    {sources}
    properties:
      parcel_no: {{required: true, spelled: [no]}}
      weight: {{type: 'decimal(18,4)'}}
      carrier: {{allowed: [post, courier]}}
      signature: {{drop: true}}
      mail: {{hashed_with: '${{HASH_KEY}}'}}
"""


def row(number: int, what: str = "parcel_sent", **more: Any) -> str:
    return json.dumps({"id": f"e{number}", "at": "2026-10-01T10:00:00Z", "what": what, "customer": f"C{number}", "more": {"parcel_no": f"N{number}"} | more or None}) + "\n"


def land(shop: Shop, *rows: str, how: str = "quarantine", unplanned: str = "keep", sources: str = "") -> Any:
    shop.source(SOURCE, "parcels")
    shop.write("secrets.toml", 'HASH_KEY = "k"\n')
    shop.write("tracking_plan/parcels.yaml", PLAN.format(how=how, unplanned=unplanned, sources=sources))
    shop.write("in/a.ndjson", "".join(rows))
    return shop.land("parcels")


def events(shop: Shop) -> dict[str, tuple[Any, ...]]:
    found = shop.rows("events", "event_id, name, parcel_no, weight, carrier, mail, CAST(properties AS VARCHAR)")
    return {one[0].split(":")[1]: (*one[1:6], json.loads(one[6]) if one[6] else None) for one in found}


def test_properties_are_typed_dropped_and_hashed(shop: Shop) -> None:
    assert land(shop, row(1, weight="1.5", carrier="post", signature="X", mail=" Ann@Example.org ", colour="red"), row(2, no="N2b", parcel_no=None)).quarantined == 0
    hashed = hashlib.sha256(b"k:ann@example.org").hexdigest()
    assert events(shop) == {"e1": ("parcel_sent", "N1", Decimal("1.5"), "post", hashed, {"colour": "red"}), "e2": ("parcel_sent", "N2b", None, None, None, None)}
    assert "Ann" not in str(shop.rows("events", "* EXCLUDE (occurred_at, received_at, local_day)")) and "'X'" not in str(events(shop))


@pytest.mark.parametrize(("more", "reason"), [({"parcel_no": None}, "parcel_no: missing"), ({"weight": "heavy"}, "weight: no decimal(18,4)"), ({"carrier": "pigeon"}, "carrier: not one of the allowed values")])
def test_what_breaks_the_plan_is_held_with_its_reason_or_marked(shop: Shop, more: dict[str, Any], reason: str) -> None:
    assert land(shop, row(1), row(2, **more)).quarantined == 1
    (held,) = quarantine.held(shop.lake)
    assert (held.what, held.stage, held.where) == (f"the tracking plan is broken: {reason}", "contract", "a.ndjson, line 2") or reason in held.what
    assert list(events(shop)) == ["e1"] and json.loads(held.body)["id"] == "e2"
    other = Shop(shop.root / "marked")
    assert land(other, row(1), row(2, **more), how="mark").quarantined == 0
    marked = events(other)["e2"][-1]
    assert marked["_violations"] == [reason] and events(other)["e1"][-1] is None
    if "weight" in more:
        assert marked["weight"] == "heavy", "what cannot be read stays beside the reason"


def test_a_mended_record_lands_once(shop: Shop) -> None:
    land(shop, row(1), row(2, carrier="pigeon"))
    (held,) = quarantine.held(shop.lake)
    quarantine.fix(shop.lake, held.record_id, [amendment("more.carrier=courier")])
    assert quarantine.replay(shop.lake, shop.config).replayed == 1
    assert events(shop)["e2"][3] == "courier" and quarantine.replay(shop.lake, shop.config).replayed == 0 and len(events(shop)) == 2


def test_a_source_that_may_not_send_it_is_told(shop: Shop) -> None:
    assert land(shop, row(1), sources="sources: [till]").quarantined == 1
    assert "source: parcels may not send it" in quarantine.held(shop.lake)[0].what


def test_events_the_plan_does_not_name_stay_as_they_came(shop: Shop) -> None:
    assert land(shop, row(1, what="parcel_lost", carrier="pigeon", signature="X"), unplanned="quarantine").quarantined == 0
    assert events(shop)["e1"] == ("parcel_lost", None, None, None, None, {"parcel_no": "N1", "carrier": "pigeon", "signature": "X"})


def test_without_properties_what_is_required_is_missing(shop: Shop) -> None:
    text = SOURCE.replace(", properties: more", "")
    land(shop, row(1))
    other = Shop(shop.root / "bare")
    other.source(text, "parcels")
    other.write("secrets.toml", 'HASH_KEY = "k"\n')
    other.write("tracking_plan/parcels.yaml", PLAN.format(how="mark", unplanned="keep", sources=""))
    other.write("in/a.ndjson", row(1))
    assert other.land("parcels").quarantined == 0
    assert events(other)["e1"][-1] == {"_violations": ["parcel_no: missing"]}


WEBHOOK = """
signature: {scheme: none}
lands:
  - table: events
    columns: {event_id: id, occurred_at: at, name: what, kind: {value: track}, properties: more}
    identifiers: [{namespace: customer_id, column: customer}]
"""


def test_a_webhooks_events_are_judged_too(shop: Shop) -> None:
    from kundig.collect.inbox_landing import land_inbox

    (shop.root / "webhooks").mkdir()
    shop.write("webhooks/parcels.yaml", WEBHOOK)
    shop.write("secrets.toml", 'HASH_KEY = "k"\n')
    shop.write("tracking_plan/parcels.yaml", PLAN.format(how="quarantine", unplanned="keep", sources=""))
    inbox = Inbox(shop.root / "inbox.sqlite", writing=True)
    for number, more in enumerate(({}, {"carrier": "pigeon"}, {"weight": "2", "signature": "X"})):
        inbox.append(row(number, **more).encode(), source="parcels", kind="webhook", meta='{"webhook": "parcels"}')
    land_inbox(shop.lake, shop.config, inbox)
    assert {name: one[2:4] for name, one in events(shop).items()} == {"e0": (None, None), "e2": (Decimal(2), None)}
    (held,) = quarantine.held(shop.lake)
    assert "carrier: not one of the allowed values" in held.what and held.where.startswith("inbox, ")
    assert "'X'" not in str(events(shop))
    quarantine.fix(shop.lake, held.record_id, [amendment("more.carrier=post")])
    assert quarantine.replay(shop.lake, shop.config).replayed == 1 and events(shop)["e1"][3] == "post"
