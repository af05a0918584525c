"""Landing: exactly once, newest wins, one truth for orders, clocks and money, held records brought in again."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import pytest
from tests.collect.shop import NOW, ORDERS, Shop

from kundig.collect import digests, quarantine
from kundig.collect.identifiers import identifier_key
from kundig.errors import SourceError
from kundig.store.state import State

HEAD = "no,day,total,customer,mail\n"


def test_the_same_file_lands_once_whatever_it_is_called(shop: Shop) -> None:
    shop.source(ORDERS.format(more=""))
    shop.write("in/orders1.csv", HEAD + "1,2026-03-01,1,C1,\n2,2026-03-01,2,C2,\n")
    assert shop.land().rows["orders"] == 2
    again = shop.land()
    assert again.rows == {}
    assert again.skipped
    (shop.root / "in/orders1.csv").rename(shop.root / "in/orders9.csv")
    assert shop.land().skipped
    assert len(shop.rows("orders")) == 2


def test_records_sent_again_in_another_file_land_once(shop: Shop) -> None:
    shop.source(ORDERS.format(more="").replace("channel:", "status: {value: completed}, channel:"))
    shop.write("in/orders1.csv", HEAD + "1,2026-03-01,1,C1,\n2,2026-03-01,2,C2,\n")
    shop.land()
    shop.write("in/orders2.csv", HEAD + "2,2026-03-01,2,C2,\n3,2026-03-02,3,C3,\n3,2026-03-02,3,C3,\n")
    landed = shop.land(files=["in/orders2.csv"])
    assert (landed.rows["orders"], landed.duplicates) == (1, 1)
    assert len(shop.rows("orders")) == 3
    assert sorted(value for (value,) in shop.rows("identifiers", "value")) == ["C1", "C2", "C3"]


def test_a_file_that_landed_is_not_read_again_beside_a_new_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "SETTLED", -60.0)
    shop.source(ORDERS.format(more=""))
    shop.write("in/orders1.csv", HEAD + "1,2026-03-01,1,C1,\n2,2026-03-01,2,C2,\n")
    shop.land()
    shop.write("in/orders2.csv", HEAD + "3,2026-03-02,3,C3,\n")
    landed = shop.land()
    assert (landed.rows["orders"], landed.duplicates, [Path(name).name for name in landed.skipped]) == (1, 0, ["orders1.csv"])
    (shop.root / "file_digests.json").unlink()
    landed = shop.land()
    assert (landed.rows, landed.duplicates) == ({}, 3), "what is remembered is a help, not the truth: the lake knows"
    shop.source(ORDERS.format(more="").replace("channel:", "status: {value: completed}, channel:"))
    assert not shop.land().skipped, "under another mapping a file is read again"


def test_a_newer_version_replaces_and_an_older_does_not(shop: Shop) -> None:
    shop.source(ORDERS.format(more="").replace("- table: orders", "- table: orders\n        received_at: changed"))
    head = "no,day,total,customer,mail,changed\n"
    shop.write("in/orders1.csv", head + "1,2026-03-01,1,C1,,2026-03-05\n")
    shop.land()
    shop.write("in/orders2.csv", head + "1,2026-03-01,5,C1,,2026-03-07\n")
    shop.land(files=["in/orders2.csv"])
    shop.write("in/orders3.csv", head + "1,2026-03-01,3,C1,,2026-03-06\n")
    assert shop.land(files=["in/orders3.csv"]).rows == {}
    assert shop.rows("orders", "gross") == [(Decimal(5),)]


def test_a_purchase_at_half_past_eleven_on_the_day_the_clock_changes(shop: Shop) -> None:
    shop.source(ORDERS.format(more=""))
    shop.write("in/orders.csv", HEAD + "1,2026-03-29 23:30,1,C1,\n2,2026-10-25 23:30,1,C1,\n3,2026-03-29 02:30,1,C1,\n4,2026-10-25 02:30,1,C1,\n5,2026-10-25T00:30:00Z,1,C1,\n")
    shop.land()
    found = {row[0]: row[1:] for row in shop.rows("orders", "order_id, occurred_at, local_day")}
    utc = dt.UTC
    assert found["shop:1"] == (dt.datetime(2026, 3, 29, 21, 30, tzinfo=utc), dt.date(2026, 3, 29))
    assert found["shop:2"] == (dt.datetime(2026, 10, 25, 22, 30, tzinfo=utc), dt.date(2026, 10, 25))
    assert found["shop:3"] == (dt.datetime(2026, 3, 29, 1, 30, tzinfo=utc), dt.date(2026, 3, 29)), "a skipped time moves on by the hour skipped"
    assert found["shop:4"] == (dt.datetime(2026, 10, 25, 1, 30, tzinfo=utc), dt.date(2026, 10, 25)), "a time that happens twice is the second one"
    assert found["shop:5"] == (dt.datetime(2026, 10, 25, 0, 30, tzinfo=utc), dt.date(2026, 10, 25))


def test_identifiers_keys_and_touched(shop: Shop) -> None:
    shop.source(ORDERS.format(more=""))
    shop.write("in/orders.csv", HEAD + "1,2026-03-01,1,C1, Anna@Example.ORG \n2,2026-03-01,2,,anna@example.org\n3,2026-03-01,3,,noreply@example.org\n")
    shop.land()
    customer, mail = identifier_key("shop_customer", "C1"), identifier_key("email", "anna@example.org")
    assert shop.rows("orders", "identifier_key, other_keys", "ORDER BY order_id") == [(customer, [mail]), (mail, []), (None, [])]
    assert {(n, v) for n, v in shop.rows("identifiers", "namespace, value")} == {("shop_customer", "C1"), ("email", "anna@example.org")}
    assert {key for (key,) in shop.rows("touched", "identifier_key")} == {customer, mail}


def test_money_by_the_days_rate(shop: Shop) -> None:
    shop.source(ORDERS.format(more="currency_column: cur"))
    shop.write("in/orders.csv", "no,day,total,customer,mail,cur\n1,2011-12-09,100,C1,,EUR\n2,2011-12-09,100,C1,,GBP\n3,2011-12-11,100,C1,,£\n")
    shop.land()
    gross = dict(shop.rows("orders", "order_id, gross"))
    assert gross["shop:1"] == 100
    assert gross["shop:2"] == gross["shop:3"] == Decimal("117.2127"), "Sunday takes Friday's rate"
    rates = shop.rows("exchange_rates", "local_day, currency, round(rate, 6), source", "ORDER BY 1")
    assert rates == [(dt.date(2011, 12, 9), "GBP", 1.172127, "ecb"), (dt.date(2011, 12, 11), "GBP", 1.172127, "ecb")]
    assert shop.rows("orders", "DISTINCT original_currency", "ORDER BY 1") == [("EUR",), ("GBP",)]


def test_own_rates_come_first(shop: Shop) -> None:
    shop.source("inputs: [{files: in/rates.csv, lands: [{table: exchange_rates, columns: {local_day: day, currency: code, rate: rate}}]}]", "rates")
    shop.write("in/rates.csv", "day,code,rate\n2026-03-01,XBT,50000\n")
    shop.land("rates")
    shop.source(ORDERS.format(more="currency: XBT"))
    shop.write("in/orders.csv", HEAD + "1,2026-03-02,0.5,C1,\n2,2026-03-01,1,C1,\n3,2026-03-20,1,C2,\n")
    landed = shop.land()
    assert dict(shop.rows("orders", "order_id, gross")) == {"shop:1": 25_000, "shop:2": 50_000}
    assert landed.quarantined == 1, "a rate of three weeks ago does not serve"


LINES = """
received_at: as_occurred
inputs:
  - files: in/lines*.csv
    lands:
      - table: order_lines
        columns: {line_id: {number_within: doc}, order_id: doc, occurred_at: day, product_id: sku, quantity: qty, unit_price: price}
        identifiers: [{namespace: customer_id, column: who}]
        cancellation: {column: doc, matches: 'C.*'}
        takes_back: latest
        line_kinds: [{kind: shipping, column: sku, matches: POST}, {kind: fee, column: sku, matches: FEE}, {kind: adjustment, column: sku, matches: ADJ}]
        orders: {channel: {value: shop}}
        emits: order_completed
"""


def test_cancellations_take_back_what_they_cancel(shop: Shop) -> None:
    shop.source(LINES)
    shop.write(
        "in/lines1.csv",
        "doc,day,sku,qty,price,who\n"
        "1,2026-01-01,A,10,2,X\n1,2026-01-01,POST,1,5,X\n"
        "2,2026-01-05,A,3,2,X\n2,2026-01-05,B,1,9,X\n"
        "3,2026-01-06,A,5,2,\n"
        "C4,2026-01-07,A,-4,2,X\n"  # 3 of order 2, then 1 of order 1
        "C5,2026-01-08,B,-2,9,X\n"  # 1 of order 2, 1 of no known purchase
        "6,2026-01-09,FEE,1,-100,\n7,2026-01-09,ADJ,1,-3,X\n",
    )
    shop.land()
    lines = shop.rows("order_lines", "line_id, order_id, quantity, net", "WHERE quantity < 0 ORDER BY line_id")
    assert lines == [
        ("shop:C4-1", "shop:2", -3, -6), ("shop:C4-1#2", "shop:1", -1, -2), ("shop:C5-1", "shop:2", -1, -9), ("shop:C5-1#2", "shop:C5", -1, -9),
    ]  # fmt: skip
    orders = {row[0]: row[1:] for row in shop.rows("orders", "order_id, status, net, gross, shipping, local_day")}
    assert orders["shop:1"] == ("returned", 18, 23, 5, dt.date(2026, 1, 1))
    assert orders["shop:2"] == ("cancelled", 0, 0, None, dt.date(2026, 1, 5))
    assert orders["shop:3"][0] == "completed"
    assert orders["shop:C5"][:3] == ("cancelled", -9, -9)
    assert set(orders) == {"shop:1", "shop:2", "shop:3", "shop:C5"}, "documents of fees or adjustments alone are no orders"
    assert sum(row[0] for row in shop.rows("order_lines", "net")) == 20 + 5 + 6 + 9 + 10 - 8 - 18 - 100 - 3
    assert dict(shop.rows("events", "event_id, value")) == {"shop:1": 25, "shop:2": 15, "shop:3": 10}, "what was completed stays completed"


def test_a_cancellation_in_a_later_file_reaches_back(shop: Shop) -> None:
    shop.source(LINES)
    shop.write("in/lines1.csv", "doc,day,sku,qty,price,who\n1,2026-01-01,A,10,2,X\n")
    shop.land()
    shop.write("in/lines2.csv", "doc,day,sku,qty,price,who\nC2,2026-01-03,A,-4,2,X\n")
    shop.land(files=["in/lines2.csv"])
    shop.write("in/lines3.csv", "doc,day,sku,qty,price,who\nC2,2026-01-03,A,-4,2,X\nC3,2026-01-04,A,-7,2,X\n")
    landed = shop.land(files=["in/lines3.csv"])
    assert landed.duplicates == 1
    assert shop.rows("orders", "order_id, status, net, channel", "ORDER BY 1") == [("shop:1", "cancelled", 0, "shop"), ("shop:C3", "cancelled", -2, "shop")]
    assert shop.rows("events", "event_id, value") == [("shop:1", 20)]


def test_held_records_are_mended_and_brought_in(shop: Shop) -> None:
    shop.source(ORDERS.format(more='delimiter: ";"\n    decimal: ","').replace("gross: total", "gross: total, net: nett"))
    shop.write("in/orders.csv", "no;day;total;nett;customer;mail\n1;2026-03-01;1,5;1;C1;\n2;xx;2,5;2;C2;\n3;2026-03-01;3,5;3;C3;\n4;2026-03-01;yy;3;C4;\n")
    assert shop.land().quarantined == 2
    first, second = sorted(quarantine.held(shop.lake), key=lambda record: record.where)
    assert "'xx'" in first.what
    assert "'yy'" in second.what
    assert quarantine.replay(shop.lake, shop.config, now=NOW).quarantined == 2, "what is still wrong stays held"
    assert {record.record_id for record in quarantine.held(shop.lake)} == {first.record_id, second.record_id}
    body = json.loads(first.body) | {"day": "2026-03-02"}
    with pytest.raises(SourceError, match="no JSON"):
        quarantine.fix(shop.lake, first.record_id, "{")
    quarantine.fix(shop.lake, first.record_id, json.dumps(body))
    landed = quarantine.replay(shop.lake, shop.config, now=NOW + dt.timedelta(minutes=1))
    assert landed.rows["orders"] == 1
    assert [record.record_id for record in quarantine.held(shop.lake)] == [second.record_id]
    assert quarantine.show(shop.lake, first.record_id).status == "replayed"
    assert dict(shop.rows("orders", "order_id, gross"))["shop:2"] == Decimal("2.5")
    assert quarantine.drop(shop.lake, [second.record_id], note="a test order") == 1
    assert quarantine.held(shop.lake) == ()
    with pytest.raises(SourceError, match="in quarantine"):
        quarantine.show(shop.lake, "nobody")


def test_lines_take_moment_and_person_from_their_order(shop: Shop) -> None:
    shop.source(
        ORDERS.format(more="currency_column: cur")
        + """
  - files: in/items.csv
    lands:
      - table: order_lines
        from_order: true
        columns: {line_id: {concat: [no, pos], with: "-"}, order_id: no, product_id: sku, quantity: qty, unit_price: price}
"""
    )
    shop.write("in/orders.csv", "no,day,total,customer,mail,cur\n1,2011-12-09 09:00,100,C1,,GBP\n")
    shop.write("in/items.csv", "no,pos,sku,qty,price\n1,1,A,2,50\n9,1,A,1,5\n1,2,A,1,5\n1,3,A,1,5\n")
    landed = shop.land()
    assert landed.quarantined == 1
    assert "'shop:9' has not landed" in shop.rows("quarantined_records", "what")[0][0]
    [line] = shop.rows("order_lines", "occurred_at, local_day, identifier_key, net", "WHERE line_id = 'shop:1-1'")
    assert line == (dt.datetime(2011, 12, 9, 8, 0, tzinfo=dt.UTC), dt.date(2011, 12, 9), identifier_key("shop_customer", "C1"), Decimal("117.2127"))


def test_what_people_wrote_badly_lands_all_the_same(shop: Shop) -> None:
    shop.source(
        """
inputs:
  - files: in/crm.csv
    lands:
      - table: contacts
        columns: {contact_id: id, occurred_at: changed, first_name: name, email: mail, phone: tel, birth_date: born, hobbies: {column: likes, split: ","}}
        identifiers: [{namespace: crm_contact, column: id}, {namespace: email, column: mail}, {namespace: phone, column: tel}]
        attributes: ['*']
""",
        "crm",
    )
    shop.write("in/crm.csv", 'id,changed,name,mail,tel,born,likes,note\n1,2026-01-01,Anna,Anna@X.de ,0171 2345678,1980-02-31,"ski, chess",vip\n2,2026-01-01,Bert,bert@,12,1980-02-01,,\n')
    assert shop.land("crm").quarantined == 0
    rows = shop.rows("contacts", "email, phone, birth_date, hobbies, CAST(attributes AS VARCHAR), len(other_keys)", "ORDER BY contact_id")
    assert rows[0] == ("anna@x.de", "+491712345678", None, ["ski", "chess"], '{"note":"vip","birth_date":"1980-02-31"}', 2)
    assert rows[1] == ("bert@", "12", dt.date(1980, 2, 1), None, None, 0)


def test_tables_with_wide_keys_replace_row_by_row(shop: Shop) -> None:
    shop.source("inputs: [{files: 'in/stock*.csv', lands: [{table: stock_levels, columns: {product_id: sku, place: place, quantity: n, occurred_at: at}}]}]", "stock")
    shop.write("in/stock1.csv", "sku,place,n,at\nA,hh,1,2026-01-01\nA,b,2,2026-01-01\nB,hh,3,2026-01-01\n")
    shop.land("stock")
    shop.write("in/stock2.csv", "sku,place,n,at\nA,hh,9,2026-01-02\n")
    shop.land("stock", files=["in/stock2.csv"])
    assert shop.rows("stock_levels", "product_id, place, quantity", "ORDER BY ALL") == [("A", "b", 2), ("A", "hh", 9), ("B", "hh", 3)]


CONSENTS = """
received_at: as_occurred
inputs:
  - files: in/consents.csv
    lands:
      - table: consent_records
        columns: {record_id: id, occurred_at: at, purpose: purpose, channel: channel, status: {column: state, map: {ja: given, nein: withdrawn}}, basis: {value: consent}}
        identifiers: [{namespace: email, column: mail}]
"""


def test_consents_reach_the_log_before_the_lake(shop: Shop) -> None:
    written: list[dict[str, object]] = []

    import kundig.consent

    state = State.open(f"sqlite:///{shop.root}/state.sqlite")
    shop.source(CONSENTS, "consents")
    shop.write("in/consents.csv", "id,at,purpose,channel,state,mail\n1,2026-01-01,newsletter,email,ja,a@x.de\n2,2026-01-02,newsletter,email,nein,a@x.de\n3,2026-01-02,newsletter,email,vielleicht,a@x.de\n4,2026-01-02,newsletter,email,ja,\n")
    original = kundig.consent.append
    kundig.consent.append = lambda state, rows, **_: written.extend(rows.to_pylist()) or len(rows)  # type: ignore[assignment]  # a listener in its place for this test
    try:
        landed = shop.land("consents", state=state)
    finally:
        kundig.consent.append = original
        state.close()
    assert landed.quarantined == 2
    assert [(row["record_id"], row["status"], row["identifier_key"]) for row in sorted(written, key=lambda row: str(row["record_id"]))] == [
        ("consents:1", "given", identifier_key("email", "a@x.de")), ("consents:2", "withdrawn", identifier_key("email", "a@x.de")),
    ]  # fmt: skip
    assert shop.rows("consent_records", "seq, status", "ORDER BY seq") == [(1, "given"), (2, "withdrawn")]
    assert "'vielleicht'" in " ".join(what for (what,) in shop.rows("quarantined_records", "what"))
