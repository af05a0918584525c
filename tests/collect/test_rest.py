"""REST interfaces as sources, against a real HTTP server: pages, 429 with Retry-After, a 500, authentication, and restart from the cursor."""

from __future__ import annotations

import base64
import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.collect.shop import Shop

from kundig.collect import money, quarantine, ready
from kundig.errors import ConfigError, SourceError

pytest.importorskip("dlt")

SOURCE = """
party: second
received_at: as_occurred
interface:
  url: ${{API}}
  auth: {{type: bearer, token: '${{TOKEN}}'}}
  retries: 3
  patience: 5
  {paginator}
inputs:
  - format: rest
    currency_column: currency
    rest: {{path: orders, records: data.items, rows: {rows}, cursor: {cursor}}}
    lands:
      - table: orders
        columns: {{order_id: id, occurred_at: placed, gross: total, original_currency: currency, channel: {{value: shop}}, status: {{column: state, map: {{paid: completed}}, otherwise: fault}}}}
        identifiers: [{{namespace: email, column: buyer.email}}]
"""
CURSOR = "{field: changed, parameter: since, overlap: 1 minute, ordered: %s}"
START = dt.datetime(2026, 10, 1, 12, tzinfo=dt.UTC)


class Interface:
    """A server with orders, two a page; it can be told to refuse."""

    def __init__(self) -> None:
        self.orders: list[dict[str, Any]] = []
        self.refusals: list[tuple[int, dict[str, str]]] = []
        self.asked: list[dict[str, str]] = []
        self.at_page: Callable[[int], None] = lambda page: None
        self.token, self.newest_first = "secret-word", False
        self.bodies: dict[str, Any] = {}
        interface = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                interface.answer(self)

            def log_message(self, *given: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, *ids: int, minutes: int = 0, **more: Any) -> None:
        """Orders that changed this many minutes, and their number of seconds, after the start."""
        for id in ids:
            moment = (START + dt.timedelta(minutes=minutes, seconds=id)).isoformat().replace("+00:00", "Z")
            self.orders.append({"id": id, "placed": moment, "changed": moment, "total": 19.99, "currency": "EUR", "state": "paid", "buyer": {"email": f"p{id}@x.de"}} | more)

    def answer(self, request: Any) -> None:
        """One request."""
        parts = urlsplit(request.path)
        given = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked.append({"path": parts.path} | given)
        if self.refusals:
            status, headers = self.refusals.pop(0)
            self._send(request, status, {"error": "no"}, headers)
            return
        if parts.path in self.bodies:
            authorised = request.headers.get("X-Shopify-Access-Token") == "t" or request.headers.get("Authorization") == "Basic " + base64.b64encode(b"k:s").decode()
            pages = self.bodies[parts.path]
            page = int(given.get("page_info", given.get("page", "1")))
            link = {"Link": f'<{self.url}{parts.path}?page_info={page + 1}&page={page + 1}>; rel="next"'} if page < len(pages) else {}
            self._send(request, 200 if authorised else 401, pages[page - 1], link)
            return
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            self._send(request, 401, {"error": "who are you"}, {})
            return
        page = int(given.get("page", "0"))
        self.at_page(page)
        found = sorted((order for order in self.orders if order["changed"] >= given.get("since", "")), key=lambda order: (order["changed"], order["id"]), reverse=self.newest_first)
        items = found[2 * page : 2 * page + 2]
        self._send(request, 200, {"data": {"items": items}, "next": page + 1 if len(found) > 2 * page + 2 else None}, {})

    def _send(self, request: Any, status: int, body: Any, headers: dict[str, str]) -> None:
        content = json.dumps(body).encode()
        request.send_response(status)
        for name, value in ({"Content-Type": "application/json", "Content-Length": str(len(content))} | headers).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)


@pytest.fixture
def interface(shop: Shop) -> Iterator[Interface]:
    """The server, and its address and token among the workspace's secrets."""
    found = Interface()
    shop.write("secrets.toml", f'API = "{found.url}"\nTOKEN = "secret-word"\n')
    declare(shop)
    yield found
    found.server.shutdown()
    found.server.server_close()


def declare(shop: Shop, *, ordered: bool = True, rows: int = 20_000, paginator: str = "{type: cursor, cursor_path: next, cursor_param: page}") -> None:
    """Write the source's file."""
    shop.source(SOURCE.format(paginator=f"paginator: {paginator}", rows=rows, cursor=CURSOR % str(ordered).lower()))


def landed(shop: Shop) -> list[int]:
    """Numbers of the orders that landed."""
    return sorted(int(row[0].split(":")[1]) for row in shop.rows("orders", "order_id"))


def test_all_pages_land_once_and_then_only_what_is_new(shop: Shop, interface: Interface) -> None:
    interface.add(1, 2, 3, 4, 5)
    assert shop.land().rows["orders"] == 5
    assert [asked.get("page") for asked in interface.asked] == [None, "1", "2"]
    assert shop.rows("orders", "gross, status, original_currency", "LIMIT 1") == [(Decimal("19.99"), "completed", "EUR")]
    interface.asked.clear()
    interface.add(6, 7, minutes=5)
    assert shop.land().rows["orders"] == 2
    assert interface.asked[0]["since"] == "2026-10-01T11:59:05Z", "the newest change seen, a minute back"
    assert shop.land().batches == () and landed(shop) == [1, 2, 3, 4, 5, 6, 7]


def test_a_refusal_that_passes_is_waited_out(shop: Shop, interface: Interface) -> None:
    interface.add(1, 2, 3)
    interface.refusals = [(429, {"Retry-After": "1"}), (500, {})]
    before = dt.datetime.now(dt.UTC)
    assert shop.land().rows["orders"] == 3
    assert (dt.datetime.now(dt.UTC) - before).total_seconds() >= 1, "as long as Retry-After said"
    assert len(interface.asked) == 4


def test_a_long_wait_ends_the_import_and_says_when_to_come_back(shop: Shop, interface: Interface) -> None:
    interface.add(1)
    interface.refusals = [(429, {"Retry-After": "3600"})]
    with pytest.raises(SourceError, match=r"asks to come back in 3,600 s") as caught:
        shop.land()
    assert "the cursor stands where it was" in str(caught.value) and shop.lake.snapshot() == 0
    assert shop.land().rows["orders"] == 1


@pytest.mark.parametrize("ordered", [True, False])
def test_broken_off_in_the_middle_it_goes_on_from_the_cursor(shop: Shop, interface: Interface, ordered: bool) -> None:
    """Ordered, the parts before the break stand and the cursor with them; unordered, everything is asked for again; either way each order lands once."""
    declare(shop, ordered=ordered, rows=2)
    interface.newest_first = not ordered
    interface.add(*range(1, 9))

    def broken(page: int) -> None:
        if page == 2:
            interface.refusals = [(500, {})] * 20

    interface.at_page = broken
    with pytest.raises(SourceError, match="the interface answers 500"):
        shop.land()
    before = landed(shop)
    assert before == ([1, 2, 3, 4] if ordered else [5, 6, 7, 8]) and len(shop.rows("source_cursors")) == ordered
    interface.at_page, interface.refusals = lambda page: None, []
    interface.asked.clear()
    interface.add(9, minutes=30)
    shop.land()
    assert landed(shop) == list(range(1, 10)) and ("since" in interface.asked[0]) == ordered
    assert shop.rows("orders", "count(*)") == [(9,)] and shop.land().batches == ()


def test_a_held_record_keeps_its_nested_fields_and_can_be_mended(shop: Shop, interface: Interface) -> None:
    interface.add(1, 2, 3)
    interface.add(4, state="odd")
    assert shop.land().quarantined == 1
    interface.add(5, minutes=1)
    assert shop.land().quarantined == 0, "the overlap brings it again, and it is known"
    (held,) = quarantine.held(shop.lake)
    assert json.loads(held.body)["buyer.email"] == "p4@x.de"
    quarantine.fix(shop.lake, held.record_id, held.body.replace("odd", "paid"))
    quarantine.replay(shop.lake, shop.config)
    assert landed(shop) == [1, 2, 3, 4, 5]
    assert shop.rows("identifiers", "value", "WHERE value = 'p4@x.de'") == [("p4@x.de",)]


def test_mistakes_are_told(shop: Shop, interface: Interface) -> None:
    interface.add(1)
    interface.token = "another"
    with pytest.raises(SourceError, match="the interface answers 401") as caught:
        shop.land()
    assert "check `auth`" in str(caught.value) and "secret-word" not in str(caught.value) and f"{interface.url}/orders" in str(caught.value)
    interface.token = "secret-word"
    path = shop.root / "sources/shop.yaml"
    right = path.read_text()
    for wrong, with_, told in (
        ("gross: total", "gross: totl", "column 'totl' is missing"), ("type: bearer", "type: berer", "there is no authentication 'berer'"), ("type: cursor", "type: curser", "there is no paginator 'curser'"),
        ("field: changed", "field: changed, written: unix", "which is not written as unix"), ("cursor_path: next", "path: next", "does not take these settings"),
    ):  # fmt: skip
        path.write_text(right.replace(wrong, with_))
        with pytest.raises(SourceError, match=told):
            shop.land()
    assert shop.lake.snapshot() == 0
    path.write_text(right.replace("token: '${TOKEN}'", "token: abcdefgh12345"))
    with pytest.raises(ConfigError, match="holds a literal key"):
        shop.land()


def test_shopifys_interface(shop: Shop, interface: Interface) -> None:
    order = {
        "id": 450789469, "email": "a@x.de", "created_at": "2026-10-01T11:00:00-05:00", "updated_at": "2026-10-01T11:00:00-05:00", "cancelled_at": None, "total_price": "41.94", "subtotal_price": "30.00", "total_tax": "11.94",
        "total_discounts": "0.00", "currency": "EUR", "financial_status": "paid", "source_name": "web", "discount_codes": [{"code": "TENOFF", "amount": "10.00"}], "customer": {"id": 207119551},
        "line_items": [{"id": 466157049, "sku": "IPOD2008GREEN", "product_id": 632910392, "price": "10.00", "quantity": 1}, {"id": 518995019, "sku": "", "product_id": 632910392, "price": "20.00", "quantity": 1}],
    }  # fmt: skip
    other = order | {"id": 450789470, "updated_at": "2026-10-02T11:00:00-05:00", "cancelled_at": "2026-10-02T11:00:00-05:00", "financial_status": "voided", "line_items": []}
    customer = {"id": 207119551, "updated_at": "2026-10-01T11:00:00-05:00", "first_name": "Ann", "last_name": "Example", "email": "a@x.de", "phone": "+491712345678"}
    interface.bodies = {"/orders.json": [{"orders": [order]}, {"orders": [other]}], "/customers.json": [{"customers": [customer]}]}
    shop.write("secrets.toml", f'SHOPIFY_API = "{interface.url}"\nSHOPIFY_TOKEN = "t"\n')
    ready.add(shop.root, "shopify_api")
    shop.land("shopify_api")
    assert shop.rows("orders", "order_id, gross, net, status, channel, offer_code", "ORDER BY 1") == [
        ("shopify_api:450789469", *map(Decimal, ("41.94", "30")), "completed", "shop", "TENOFF"), ("shopify_api:450789470", *map(Decimal, ("41.94", "30")), "cancelled", "shop", "TENOFF"),
    ]  # fmt: skip
    assert shop.rows("order_lines", "line_id, product_id, CAST(quantity AS INT)", "ORDER BY 1") == [("shopify_api:466157049", "IPOD2008GREEN", 1), ("shopify_api:518995019", "632910392", 1)]
    assert shop.rows("contacts", "contact_id, phone") == [("shopify_api:207119551", "+491712345678")]
    assert shop.rows("events", "name") == [("order_completed",)] and shop.land("shopify_api").batches == ()


def test_woocommerces_interface(shop: Shop, interface: Interface) -> None:
    billing = {"first_name": "Ann", "last_name": "Example", "email": "a@x.de", "phone": "0171 2345678", "address_1": "Weg 1", "postcode": "01067", "city": "Dresden", "country": "DE", "company": ""}
    order = {
        "id": 727, "status": "processing", "currency": "EUR", "date_created_gmt": "2026-10-01T22:28:02", "date_modified_gmt": "2026-10-01T22:28:08", "discount_total": "0.00", "shipping_total": "10.00", "total": "29.35",
        "total_tax": "1.35", "customer_id": 0, "billing": billing, "line_items": [{"id": 315, "sku": "", "product_id": 93, "quantity": 2, "total": "6.00"}, {"id": 316, "sku": "Bar3", "product_id": 22, "quantity": 1, "total": "12.00"}],
    }  # fmt: skip
    customer = {"id": 25, "date_created_gmt": "2026-09-01T10:00:00", "email": "b@x.de", "first_name": "Bo", "last_name": "Example", "billing": billing}
    product = {"id": 794, "sku": "Bar3", "name": "Bar", "price": "12.00", "permalink": "https://x.de/bar", "status": "publish"}
    interface.bodies = {"/orders": [[order, order | {"id": 728, "status": "pending", "line_items": []}], [order | {"id": 729, "status": "refunded", "line_items": []}]], "/customers": [[customer]], "/products": [[product]]}
    shop.write("secrets.toml", f'WOOCOMMERCE_API = "{interface.url}"\nWOOCOMMERCE_KEY = "k"\nWOOCOMMERCE_SECRET = "s"\n')
    ready.add(shop.root, "woocommerce")
    shop.land("woocommerce")
    assert shop.rows("orders", "order_id, CAST(local_day AS VARCHAR), gross, net, status", "ORDER BY 1") == [("woocommerce:727", "2026-10-02", Decimal("29.35"), Decimal("18"), "completed"), ("woocommerce:729", "2026-10-02", Decimal("29.35"), Decimal("18"), "cancelled")]
    assert shop.rows("order_lines", "line_id, product_id, net", "ORDER BY 1") == [("woocommerce:315", "93", Decimal("6")), ("woocommerce:316", "Bar3", Decimal("12"))]
    assert shop.rows("contacts", "contact_id, phone, city") == [("woocommerce:25", "+491712345678", "Dresden")]
    assert shop.rows("products", "product_id, price, active") == [("Bar3", Decimal("12"), True)]
    assert sorted(shop.rows("identifiers", "DISTINCT namespace")) == [("email",), ("phone",), ("woocommerce_customer",)]


# bodies as their makers publish them --------------------------------------------------------------------------------

SAMPLES = Path(__file__).resolve().parent.parent / "data" / "vendor_samples"


def sample(name: str) -> Any:
    """A body of tests/data/vendor_samples."""
    return json.loads((SAMPLES / name).read_text(encoding="utf-8"))


def test_an_order_as_shopify_publishes_it(shop: Shop, interface: Interface) -> None:
    interface.bodies = {"/orders.json": [{"orders": [sample("shopify/order.json")["order"]]}], "/customers.json": [{"customers": []}]}
    shop.write("secrets.toml", f'SHOPIFY_API = "{interface.url}"\nSHOPIFY_TOKEN = "t"\n')
    ready.add(shop.root, "shopify_api")
    assert shop.land("shopify_api").quarantined == 0
    rate = Decimal(str(money.rates([(dt.date(2008, 1, 10), "USD")], "EUR", {})[0].column("rate")[0].as_py()))
    assert shop.rows("orders", "order_id, CAST(occurred_at AS VARCHAR), gross, net, original_currency, offer_code") == [
        ("shopify_api:450789469", "2008-01-10 16:00:00+00", round(Decimal("409.94") * rate, 4), round(398 * rate, 4), "USD", "TENOFF")
    ]
    assert shop.rows("order_lines", "product_id, CAST(quantity AS INT)", "ORDER BY 1") == [("IPOD2008BLACK", 1), ("IPOD2008GREEN", 1), ("IPOD2008RED", 1)]


def test_bodies_as_woocommerce_publishes_them(shop: Shop, interface: Interface) -> None:
    interface.bodies = {f"/{name}": [sample(f"woocommerce/{name}.json")] for name in ("orders", "customers", "products")}
    shop.write("secrets.toml", f'WOOCOMMERCE_API = "{interface.url}"\nWOOCOMMERCE_KEY = "k"\nWOOCOMMERCE_SECRET = "s"\n')
    ready.add(shop.root, "woocommerce")
    assert shop.land("woocommerce").quarantined == 0
    assert shop.rows("orders", "order_id, CAST(occurred_at AS VARCHAR), status, original_currency") == [("woocommerce:727", "2017-03-22 19:28:02+00", "completed", "USD")]
    assert shop.rows("order_lines", "line_id, product_id", "ORDER BY 1") == [("woocommerce:315", "93"), ("woocommerce:316", "Bar3")]
    assert shop.rows("contacts", "contact_id, city, country") == [("woocommerce:25", "San Francisco", "US")]
    assert shop.rows("products", "product_id, name, price") == [("794", "Premium Quality", Decimal("21.99"))]
