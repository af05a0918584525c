"""Totals that a source declares against what landed: a missing day and a doubled order are found, each to the day; deliveries that stay away too."""

from __future__ import annotations

import datetime as dt
import json
import threading
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.collect.shop import NOW, Shop

from kundig.collect.totals import Accounts, DayTotal, accounts, declare, missing_days
from kundig.errors import ConfigError, SourceError

ORDERS = """
received_at: as_occurred
inputs:
  - files: in/orders*.csv
    {more}
    lands:
      - table: orders
        columns: {{order_id: no, occurred_at: day, gross: total, status: {{column: state, default: completed}}, channel: {{value: shop}}}}
{inputs}
totals:
  orders: {{table: orders, amount: gross{total}}}
"""
CONTROL = "  - files: in/control*.csv\n    lands:\n      - {table: source_totals, columns: {local_day: day, total: {value: orders}, quantity: count, amount: sum}}"
DAYS = ("2026-10-26", "2026-10-27", "2026-10-28")
PER_DAY = 3


def orders(days: tuple[str, ...] = DAYS, more: str = "") -> str:
    lines = [f"{day[-2:]}{n},{day} 10:0{n},{10 + n}.50," for day in days for n in range(PER_DAY)]
    return "no,day,total,state\n" + "\n".join(lines) + "\n" + more


def control(days: tuple[str, ...] = DAYS) -> str:
    return "day,count,sum\n" + "".join(f"{day},{PER_DAY},34.50\n" for day in days)


def mapped(shop: Shop, *, inputs: str = CONTROL, total: str = "", more: str = "") -> None:
    shop.source(ORDERS.format(inputs=inputs, total=total, more=more))


def seen(shop: Shop, at: dt.datetime = NOW) -> Accounts:
    return accounts(shop.lake, shop.config, at=at)


def wrong(shop: Shop, at: dt.datetime = NOW) -> list[tuple[str, Decimal | None, Decimal | None]]:
    """Days that differ: day, rows and amount beyond what was declared."""
    return [(str(one.day), one.difference, one.difference_amount) for one in seen(shop, at).differing]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = Shop(tmp_path)
    mapped(made)
    made.write("in/orders.csv", orders())
    made.write("in/control.csv", control())
    return made


def test_what_is_whole_agrees_day_by_day(shop: Shop) -> None:
    shop.land()
    found = seen(shop).totals
    assert [(str(one.day), one.declared, one.landed, one.declared_amount, one.landed_amount) for one in found] == [(day, 3, 3, Decimal("34.5"), Decimal("34.5")) for day in DAYS]
    assert all(one.agrees for one in found) and seen(shop).differing == ()


def test_a_missing_day_is_found(shop: Shop) -> None:
    shop.write("in/orders.csv", orders((DAYS[0], DAYS[2])))
    shop.land()
    assert wrong(shop) == [("2026-10-27", -3, Decimal("-34.5"))]
    shop.write("in/orders2.csv", orders((DAYS[1],)))
    shop.land()
    assert wrong(shop) == [], "the day that came late closes the gap"


def test_a_doubled_order_is_found_with_its_amount(shop: Shop) -> None:
    shop.write("in/orders.csv", orders(more="281-A,2026-10-28 10:01,11.50,\n"))
    shop.land()
    assert wrong(shop) == [("2026-10-28", 1, Decimal("11.5"))]


def test_an_amount_that_differs_alone_is_found_and_a_cent_is_borne(shop: Shop) -> None:
    shop.write("in/orders.csv", orders().replace("12.50", "12.51", 1).replace("260,2026-10-26 10:00,10.50", "260,2026-10-26 10:00,10.52"))
    shop.land()
    assert wrong(shop) == [("2026-10-26", 0, Decimal("0.03"))]
    mapped(shop, total=", tolerance: 0.05")
    assert wrong(shop) == []


def test_a_day_the_source_leaves_out_has_nothing_where_it_tells_every_day(shop: Shop) -> None:
    shop.write("in/control.csv", control((DAYS[0], DAYS[2])))
    shop.land()
    assert wrong(shop) == [], "a day without a word is not judged"
    mapped(shop, total=", every_day: true")
    assert wrong(shop) == [("2026-10-27", 3, Decimal("34.5"))]


def test_only_what_counts_is_counted(shop: Shop) -> None:
    shop.write("in/orders.csv", orders(more="999,2026-10-27 11:00,99.00,cancelled\n"))
    shop.land()
    assert wrong(shop) == [("2026-10-27", 1, Decimal("99"))]
    mapped(shop, total=", only: {status: completed}")
    assert wrong(shop) == []


def test_today_is_not_over_and_old_days_are_past(shop: Shop) -> None:
    shop.write("in/control.csv", control((*DAYS, "2026-11-01")))
    shop.land()
    assert "2026-11-01" not in [str(one.day) for one in seen(shop).totals] and wrong(shop) == []
    assert wrong(shop, NOW + dt.timedelta(days=1)) == [("2026-11-01", -3, Decimal("-34.5"))]
    assert seen(shop, NOW + dt.timedelta(days=200)).totals == ()


def test_a_later_word_replaces_the_earlier_one(shop: Shop) -> None:
    shop.write("in/control.csv", control().replace(f"{DAYS[1]},3", f"{DAYS[1]},4"))
    shop.land()
    assert wrong(shop) == [(DAYS[1], -1, Decimal("0"))]
    shop.write("in/control2.csv", control())
    shop.land(now=NOW + dt.timedelta(hours=1))
    assert wrong(shop) == [] and len(shop.rows("source_totals")) == 3


def test_a_control_row_in_the_file_itself(shop: Shop) -> None:
    mapped(shop, inputs="", more="encoding: utf-8")
    text = shop.root / "sources" / "shop.yaml"
    text.write_text(text.read_text().replace("channel: {value: shop}}", "channel: {value: shop}}\n        leave_out: [{column: no, matches: TOTAL}]\n      - table: source_totals\n        columns: {local_day: day, total: {value: orders}, quantity: state, amount: total}\n        keep: [{column: no, matches: TOTAL}]"))
    shop.write("in/orders.csv", orders((DAYS[0],), more=f"TOTAL,{DAYS[0]},34.50,4\n"))
    (shop.root / "in" / "control.csv").unlink()
    shop.land()
    assert len(shop.rows("orders")) == 3 and wrong(shop) == [(DAYS[0], -1, Decimal(0))]


def test_a_query_of_the_database(shop: Shop) -> None:
    engine = sa.create_engine(f"sqlite:///{shop.root}/shop.db")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE orders (placed TEXT, total DECIMAL(12, 2))"))
        connection.execute(sa.text("INSERT INTO orders VALUES (:d, :t)"), [{"d": day, "t": f"{10 + n}.5"} for day in DAYS for n in range(PER_DAY)] + [{"d": DAYS[2], "t": "100"}])
    shop.write("secrets.toml", f'SHOP_DATABASE = "sqlite:///{shop.root}/shop.db"\n')
    query = "  - format: sql\n    sql: {query: 'SELECT placed AS day, count(*) AS n, sum(total) AS s FROM orders GROUP BY placed'}\n"
    mapped(shop, inputs=query + "    lands:\n      - {table: source_totals, columns: {local_day: day, total: {value: orders}, quantity: n, amount: s}}")
    text = shop.root / "sources" / "shop.yaml"
    text.write_text("database: ${SHOP_DATABASE}\n" + text.read_text())
    shop.land()
    assert wrong(shop) == [(DAYS[2], -1, Decimal("-100"))], "the database has one more than the export"
    for hour, (sql, differences) in enumerate((("DELETE FROM orders WHERE total = 100", 0), (f"INSERT INTO orders VALUES ('{DAYS[2]}', 100)", 1), ("DELETE FROM orders WHERE total = 100", 0)), 1):
        with engine.begin() as connection:
            connection.execute(sa.text(sql))
        shop.land(now=NOW + dt.timedelta(hours=hour))
        assert len(wrong(shop)) == differences, "totals that come back to what they were are taken too"
    assert seen(shop).arrivals[0].last_at == NOW, "a total is no delivery"


class _Interface(BaseHTTPRequestHandler):
    """Tells the orders of each day, of which one day has one more than landed."""

    def do_GET(self) -> None:
        content = json.dumps({"days": [{"day": day, "orders": 3 + (day == DAYS[1])} for day in DAYS]}).encode() if self.path == "/daily" else b"{}"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *given: object) -> None:
        """Say nothing."""


def test_an_answer_of_a_rest_interface(shop: Shop) -> None:
    pytest.importorskip("dlt")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Interface)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    mapped(shop, inputs="  - format: rest\n    rest: {path: daily, records: days, paginator: single_page}\n    lands:\n      - {table: source_totals, columns: {local_day: day, total: {value: orders}, quantity: orders}}")
    text = shop.root / "sources" / "shop.yaml"
    text.write_text(f"interface: {{url: 'http://127.0.0.1:{server.server_port}'}}\n" + text.read_text())
    try:
        shop.land()
    finally:
        server.shutdown()
    assert wrong(shop) == [(DAYS[1], -1, None)]


def test_amounts_in_another_currency_are_held_against_the_same_rate(shop: Shop) -> None:
    mapped(shop, inputs=CONTROL.replace("    lands", "    currency: USD\n    lands"), more="currency: USD")
    shop.land()
    (amount,) = {one.landed_amount for one in seen(shop).totals if str(one.day) == DAYS[0]}
    assert amount is not None and 25 < amount < 34 and wrong(shop) == []
    shop.write("in/control3.csv", f"day,count,sum\n{DAYS[0]},3,35.50\n")
    shop.land(now=NOW + dt.timedelta(hours=1))
    ((day, rows, difference),) = wrong(shop)
    assert day == DAYS[0] and rows == 0 and difference is not None and -1 < difference < Decimal("-0.7")


def test_numbers_given_by_hand(shop: Shop) -> None:
    mapped(shop, inputs="")
    shop.land()
    declare(shop.lake, shop.config, "shop", "orders", dt.date(2026, 10, 26), quantity=Decimal(3), amount=None, now=NOW)
    declare(shop.lake, shop.config, "shop", "orders", dt.date(2026, 10, 27), quantity=Decimal(5), amount=Decimal("34.50"), now=NOW)
    assert wrong(shop) == [("2026-10-27", -2, Decimal(0))]
    declare(shop.lake, shop.config, "shop", "orders", dt.date(2026, 10, 27), quantity=Decimal(3), amount=None, now=NOW)
    assert wrong(shop) == [] and len(shop.rows("source_totals")) == 2
    with pytest.raises(ConfigError, match="did you mean 'orders'"):
        declare(shop.lake, shop.config, "shop", "order", dt.date(2026, 10, 27), quantity=Decimal(3), amount=None, now=NOW)
    with pytest.raises(SourceError, match="nothing is declared"):
        declare(shop.lake, shop.config, "shop", "orders", dt.date(2026, 10, 27), quantity=None, amount=None, now=NOW)


def test_faults_of_totals_are_told_with_the_nearest_name(shop: Shop) -> None:
    text = shop.root / "sources" / "shop.yaml"
    text.write_text(text.read_text().replace("{table: orders, amount: gross}", "{table: orders, amount: gros, only: {state: x}}\n  others: {table: order}\n  words: {table: orders, amount: status}"))
    with pytest.raises(ConfigError) as caught:
        shop.land()
    told = [(fault.what, fault.mend) for fault in caught.value.faults]
    assert any("no column 'gros'" in what and "gross" in mend for what, mend in told)
    assert any("no column 'state'" in what and "status" in mend for what, mend in told)
    assert any("table 'order'" in what and "orders" in mend for what, mend in told)
    assert any("'status' of 'orders' is no number" in what for what, _ in told) and len(told) == 4


def test_totals_say_nothing_of_which_rows_land(shop: Shop) -> None:
    shop.land()
    mapped(shop, total=", tolerance: 3")
    assert shop.land().batches == (), "another tolerance takes no file anew"


# deliveries


def test_a_delivery_that_stays_away_is_late(shop: Shop) -> None:
    shop.land()
    (one,) = seen(shop).arrivals
    assert (one.last_at, one.late, one.hours) == (NOW, False, 24)
    assert seen(shop, NOW + dt.timedelta(hours=23)).arrivals[0].late is False
    assert seen(shop, NOW + dt.timedelta(hours=25)).arrivals[0].late is True
    shop.land(now=NOW + dt.timedelta(hours=24))
    assert seen(shop, NOW + dt.timedelta(hours=25)).arrivals[0].late is True, "the same file again is no delivery"
    heard = accounts(shop.lake, shop.config, at=NOW + dt.timedelta(hours=25), heard={"shop": NOW + dt.timedelta(hours=20)})
    assert heard.arrivals[0].late is False, "what came over HTTP counts"
    text = shop.root / "sources" / "shop.yaml"
    text.write_text("sla_hours: 0\n" + text.read_text())
    assert seen(shop, NOW + dt.timedelta(days=90)).arrivals[0].late is False


def test_a_day_without_rows_on_a_usual_weekday_is_missing(shop: Shop) -> None:
    mapped(shop, inputs="")
    last = dt.date(2026, 10, 31)
    every = [last - dt.timedelta(days=n) for n in range(42)]
    open_days = [day for day in every if day.weekday() < 5]  # the shop rests at weekends
    gone = dt.date(2026, 10, 22)
    shop.write("in/orders.csv", orders(tuple(str(day) for day in open_days if day != gone)).replace("\n", "\n", 1))
    lines = ["no,day,total,state", *(f"{day:%m%d},{day} 10:00,5.00," for day in open_days if day != gone)]
    shop.write("in/orders.csv", "\n".join(lines) + "\n")
    shop.land()
    assert seen(shop).arrivals[0].missing == (gone,)
    shop.write("in/orders2.csv", f"no,day,total,state\nX1,{gone} 10:00,5.00,\n")
    shop.land()
    assert seen(shop).arrivals[0].missing == ()


def test_days_since_the_last_delivery_are_late_and_not_missing() -> None:
    every = {dt.date(2026, 10, 1) + dt.timedelta(days=n) for n in range(28)}
    assert missing_days(every, dt.date(2026, 10, 29)) == ()
    assert missing_days(every, dt.date(2026, 10, 31)) == (dt.date(2026, 10, 29), dt.date(2026, 10, 30))


def test_a_figure_that_was_not_declared_is_not_judged() -> None:
    one = DayTotal(source="s", total="t", day=dt.date(2026, 1, 1), declared=None, landed=5, declared_amount=None, landed_amount=Decimal(1))
    assert one.agrees and one.difference is None and one.difference_amount is None
