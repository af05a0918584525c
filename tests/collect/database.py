"""A PostgreSQL database of a made-up shop, whose changes a workspace follows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests.collect.shop import Shop
from tests.postgres import Server

from kundig.collect.land import Landed

TABLES = """
CREATE TABLE orders (no int PRIMARY KEY, placed_at timestamptz NOT NULL, total numeric, customer text, note text, tags text[], paid boolean, more jsonb);
CREATE TABLE items (id int PRIMARY KEY, order_no int, sku text, qty int, price numeric);
CREATE TABLE people (id int PRIMARY KEY, mail text, town char(20), since timestamptz, active boolean);
CREATE PUBLICATION kundig FOR TABLE orders, items, people"""

SOURCE = """
currency: EUR
inputs:
  - format: postgres_changes
    url: ${SHOP_DATABASE}
    publication: kundig
    slot: SLOT
    tables:
      orders:
        lands:
          - table: orders
            columns: {order_id: no, occurred_at: placed_at, gross: total, channel: {value: shop}, offer_code: note}
            identifiers: [{namespace: shop_customer, column: customer}]
            emits: order_completed
      public.items:
        lands:
          - table: order_lines
            columns: {line_id: id, order_id: order_no, product_id: sku, quantity: qty, unit_price: price}
            from_order: true
      people:
        lands:
          - table: contacts
            columns: {contact_id: id, occurred_at: since, email: mail, city: town}
            identifiers: [{namespace: email, column: mail}]
            leave_out: [{column: active, matches: 'false'}]
            attributes: [active]
"""


class Followed:
    """A database, and the workspace that follows it; `do` runs statements in one transaction, `land` makes one pass."""

    def __init__(self, root: Path, url: str, *, source: str = SOURCE, tables: str = TABLES) -> None:
        self.url, self.slot = url, "s_" + url.rsplit("/", 1)[1]
        self.engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        self.shop = Shop(root)
        self.shop.write("secrets.toml", f'SHOP_DATABASE = "{url}"\n')
        self.mapping(source)
        self.do(*tables.split(";"))

    def mapping(self, text: str) -> None:
        """The source's mapping."""
        self.shop.source(text.replace("SLOT", self.slot))

    def do(self, *statements: str) -> list[Any]:
        """Run statements in one transaction; gives the rows of the last."""
        with self.engine.begin() as connection:
            for statement in statements:
                result = connection.exec_driver_sql(statement.replace("%", "%%"))
            return list(result.fetchall()) if result.returns_rows else []

    def land(self, **more: Any) -> Landed:
        """One pass."""
        return self.shop.land(now=dt.datetime.now(dt.UTC), **more)

    def confirmed(self) -> str:
        """Where the slot stands."""
        return str(self.do(f"SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{self.slot}'")[0][0])

    def differences(self) -> list[str]:
        """How the lake's tables of things differ from the database's tables; none where they say the same."""
        shop = self.shop
        pairs = {
            "orders": (
                "SELECT 'shop:' || no, placed_at, total, note FROM orders",
                [(a, b.astimezone(dt.UTC), c, d) for a, b, c, d in shop.rows("orders", "order_id, occurred_at, gross, offer_code")],
            ),
            "order_lines": (
                "SELECT 'shop:' || i.id, 'shop:' || i.order_no, i.sku, i.qty, i.price FROM items i JOIN orders o ON o.no = i.order_no",
                shop.rows("order_lines", "line_id, order_id, product_id, quantity, unit_price"),
            ),
            "contacts": (
                "SELECT 'shop:' || id, since, mail, rtrim(town) FROM people WHERE active IS NOT false",
                [(a, b.astimezone(dt.UTC), c, d) for a, b, c, d in shop.rows("contacts", "contact_id, occurred_at, email, city")],
            ),
        }  # fmt: skip
        found = []
        for table, (query, landed) in pairs.items():
            there = {tuple(row) for row in self.do(query)}
            found += [f"{table}: only in the database {row}" for row in there - set(landed)] + [f"{table}: only in the lake {row}" for row in set(landed) - there]
            found += [f"{table}: {len(landed)} rows, {len(set(landed))} different"] if len(landed) != len(set(landed)) else []
        return found

    def close(self) -> None:
        """Leave no slot behind."""
        self.do(f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{self.slot}'")
        self.engine.dispose()


@contextmanager
def followed(root: Path, server: Server, **more: Any) -> Iterator[Followed]:
    """A new database and its workspace."""
    made = Followed(root, server.database(), **more)
    try:
        yield made
    finally:
        made.close()
