"""Online Retail II: the figures of a careful plain cleaning, and what a cancellation takes back."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from tests.collect.shop import Shop

EXAMPLE = Path(__file__).parents[2] / "examples" / "online_retail"


@pytest.fixture(scope="module")
def retail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The example landed once."""
    root = tmp_path_factory.mktemp("retail")
    shop = Shop(root, zone="Europe/London", currency="GBP")
    shutil.copytree(EXAMPLE / "sources", root / "sources", dirs_exist_ok=True)
    (root / "exports").symlink_to(EXAMPLE / "exports")
    landed = shop.land("retail")
    assert landed.quarantined == 0
    yield shop
    shop.lake.close()


PLAIN = r"WHERE identifier_key IS NOT NULL AND quantity > 0 AND unit_price > 0 AND line_kind = 'goods' AND regexp_matches(product_id, '^\d{5}')"


def test_figures_of_the_plain_cleaning(retail: Shop) -> None:
    days = f"(SELECT identifier_key, local_day, sum(net) AS v FROM {retail.lake.scan('order_lines')} {PLAIN} GROUP BY ALL)"
    assert retail.lake.duck.execute(f"SELECT count(*), count(DISTINCT identifier_key), sum(v) FROM {days}").fetchone() == (32_878, 5_852, Decimal("17124926.2300"))


def test_every_line_is_there_with_its_sign(retail: Shop) -> None:
    [(total, pieces)] = retail.rows("order_lines", "sum(net), count(DISTINCT split_part(line_id, '#', 1))")
    assert (round(total, 2), pieces) == (Decimal("18909744.12"), 1_044_847)
    assert retail.rows("contacts", "count(*)") == [(5_942,)]


def test_kinds_of_lines(retail: Shop) -> None:
    kinds = dict(retail.rows("order_lines", "line_kind, count(DISTINCT product_id)", "WHERE line_kind <> 'goods' GROUP BY 1"))
    assert set(kinds) == {"shipping", "fee", "discount", "voucher", "adjustment"}
    assert retail.rows("order_lines", "count(*)", "WHERE line_kind <> 'goods' AND unit_price > 0 AND regexp_matches(product_id, '^[0-9]{5}|^DCGS')") == [(0,)]
    assert retail.rows("order_lines", "count(*)", "WHERE line_kind = 'goods' AND product_id IN ('POST', 'DOT', 'M', 'm', 'C2', 'D', 'S', 'B', 'PADS', 'CRUK', 'AMAZONFEE')") == [(0,)]


def test_a_cancellation_takes_back_the_purchase(retail: Shop) -> None:
    """Customer 12346 bought 74,215 pieces for 77,183.60 and cancelled sixteen minutes later."""
    assert retail.rows("orders", "status, net, local_day", "WHERE order_id = 'retail:541431'") == [("cancelled", Decimal(0), dt.date(2011, 1, 18))]
    assert retail.rows("orders", "count(*)", "WHERE order_id = 'retail:C541433'") == [(0,)]
    [(taken,)] = retail.rows("order_lines", "count(*)", "WHERE starts_with(line_id, 'retail:C') AND NOT starts_with(order_id, 'retail:C') AND line_kind = 'goods'")
    [(goods,)] = retail.rows("order_lines", "count(*)", "WHERE starts_with(line_id, 'retail:C') AND line_kind = 'goods' AND identifier_key IS NOT NULL")
    assert taken > 0.9 * goods, "nine of ten cancelled lines of customers find their purchase"


def test_orders_and_lines_tell_one_sum(retail: Shop) -> None:
    [(orders,)] = retail.rows("orders", "sum(net)")
    joined = f"SELECT sum(net) FROM {retail.lake.scan('order_lines')} SEMI JOIN {retail.lake.scan('orders')} o USING (order_id) WHERE line_kind IN ('goods', 'discount')"
    assert orders == retail.lake.duck.execute(joined).fetchone()[0]


def test_guests_are_orders_without_a_person(retail: Shop) -> None:
    [(guests, revenue)] = retail.rows("orders", "count(*), sum(net)", "WHERE identifier_key IS NULL AND net > 0")
    assert guests > 1_000
    assert revenue > 1_000_000
