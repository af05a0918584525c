"""Databases as sources: real servers, what is new alone is read, and nothing is lost to ties, late commits or a kill."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.collect.shop import Shop

from kundig.collect.sources import databases
from kundig.collect.sources.cursors import Window, encoded
from kundig.config.fetching import Cursor
from kundig.errors import ConfigError, SourceError

SOURCE = """
party: first
database: ${{SHOP_DATABASE}}
received_at: as_occurred
zone: Europe/Berlin
inputs:
  - format: sql
    sql: {{{origin}, cursor: {{field: updated_at, overlap: "{overlap}"}}, rows: {rows}}}
    currency_column: currency
    lands:
      - table: orders
        columns:
          order_id: id
          occurred_at: placed_at
          gross: total
          status: {{column: state, map: {{paid: completed, void: cancelled}}, otherwise: fault}}
          channel: {{value: shop}}
        identifiers: [{{namespace: shop_customer, column: customer_id}}]
"""
TABLE = "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, placed_at {moment} NOT NULL, updated_at {moment}, total DECIMAL(12, 2), currency CHAR(3), state VARCHAR(20), note VARCHAR(50))"
NOON = dt.datetime(2026, 10, 1, 12, 0)


class Database:
    """A database with the table `orders`, and the workspace that reads it."""

    def __init__(self, shop: Shop, url: str) -> None:
        driver = url.replace("mariadb://", "mariadb+pymysql://")
        self.engine, self.shop = sa.create_engine(driver), shop
        moment = {"postgresql": "timestamptz", "sqlite": "DATETIME"}.get(self.engine.dialect.name, "DATETIME(6)")
        self.run(TABLE.format(moment=moment))
        shop.write("secrets.toml", f'SHOP_DATABASE = "{url}"\n')
        self.map()

    def map(self, origin: str = "table: orders", overlap: str = "10 minutes", rows: int = 100_000) -> None:
        """Write the source's file."""
        self.shop.source(SOURCE.format(origin=origin, overlap=overlap, rows=rows))

    def run(self, sql: str, values: list[dict[str, Any]] | None = None) -> None:
        """Execute and commit."""
        with self.engine.begin() as connection:
            connection.execute(sa.text(sql), values or {})

    def add(self, *rows: tuple[int, dt.datetime], connection: sa.Connection | None = None, state: str = "paid", total: str = "10.50", currency: str = "EUR") -> None:
        """Orders by id and moment of change, in UTC."""
        aware = self.engine.dialect.name == "postgresql"
        values = [
            {"id": id, "c": id % 3, "p": (moment := at.replace(tzinfo=dt.UTC) if aware else at), "u": moment, "t": total, "e": currency, "s": state} for id, at in rows
        ]
        sql = "INSERT INTO orders VALUES (:id, :c, :p, :u, CAST(:t AS DECIMAL(12,2)), :e, :s, 'x')"
        connection.execute(sa.text(sql), values) if connection is not None else self.run(sql, values)

    def landed(self) -> list[str]:
        """Ids of the orders that landed."""
        return [row[0].removeprefix("shop:") for row in self.shop.rows("orders", "order_id", "ORDER BY CAST(split_part(order_id, ':', 2) AS INT)")]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.needs_postgres), pytest.param("mariadb", marks=pytest.mark.needs_mariadb)])
def database(request: pytest.FixtureRequest, shop: Shop) -> Iterator[Database]:
    """Each kind of database there is here."""
    url = f"sqlite:///{shop.root}/their.sqlite" if request.param == "sqlite" else request.getfixturevalue(request.param).database()
    found = Database(shop, url)
    yield found
    found.engine.dispose()


def test_rows_of_a_table_become_canonical(database: Database) -> None:
    database.add((1, NOON), (2, NOON), total="1234.50")
    database.add((3, NOON), state="void", currency="USD", total="100.00")
    landed = database.shop.land()
    assert landed.rows["orders"] == 3
    rows = database.shop.rows("orders", "order_id, CAST(occurred_at AS VARCHAR), gross, status, original_currency", "ORDER BY order_id")
    utc = database.engine.dialect.name == "postgresql"
    assert rows[0] == ("shop:1", f"2026-10-01 {'12' if utc else '10'}:00:00+00", Decimal("1234.5000"), "completed", "EUR")  # without an offset it is Berlin's clock
    assert rows[2][3:] == ("cancelled", "USD") and Decimal("80") < rows[2][2] < Decimal("99")
    assert database.shop.rows("identifiers", "namespace, count(*)", "GROUP BY 1") == [("shop_customer", 3)]


def test_only_what_is_new_is_read_and_changes_replace(database: Database) -> None:
    database.add((1, NOON), (2, NOON + dt.timedelta(hours=1)))
    assert database.shop.land().rows["orders"] == 2
    again = database.shop.land()
    assert again.rows == {} and again.batches == () and again.skipped == ()
    database.add((3, NOON + dt.timedelta(hours=2)))
    assert database.shop.land().rows["orders"] == 1
    moment = NOON + dt.timedelta(hours=3)
    database.run("UPDATE orders SET state = 'void', updated_at = :u WHERE id = 1", [{"u": moment.replace(tzinfo=dt.UTC) if database.engine.dialect.name == "postgresql" else moment}])
    changed = database.shop.land()
    assert changed.changed == {"orders": 1} and changed.duplicates == 0, "the overlap's other rows were known by their hashes"
    assert database.shop.rows("orders", "status", "WHERE order_id = 'shop:1'") == [("cancelled",)]
    assert database.landed() == ["1", "2", "3"]


def test_a_row_committed_late_is_seen_within_the_overlap_and_only_there(database: Database) -> None:
    """The row bears an earlier moment than one that landed: with an overlap of five minutes it lands, with none it is lost, which is why there is one."""
    late = NOON + dt.timedelta(minutes=58)
    for overlap, expected in (("5 minutes", ["1", "2", "3", "4"]), ("0", ["1", "2", "4"])):
        database.map(overlap=overlap)
        database.run("DELETE FROM orders")
        shop = Shop(database.shop.root / overlap.replace(" ", ""))
        shop.write("secrets.toml", (database.shop.root / "secrets.toml").read_bytes())
        shop.source((database.shop.root / "sources/shop.yaml").read_text())
        database.add((1, NOON), (2, NOON + dt.timedelta(hours=1)))
        shop.land()
        database.add((3, late), (4, NOON + dt.timedelta(hours=1)))  # 4 bears the newest moment seen: a tie
        shop.land()
        assert [row[0].removeprefix("shop:") for row in shop.rows("orders", "order_id", "ORDER BY 1")] == expected


def test_parts_keep_the_cursor_and_ties_across_them_are_whole(database: Database) -> None:
    database.map(rows=3)
    database.add(*((id, NOON) for id in range(1, 11)))
    landed = database.shop.land()
    assert landed.rows["orders"] == 10 and len(landed.batches) == 4
    assert database.landed() == [str(id) for id in range(1, 11)]
    assert len(database.shop.rows("source_cursors")) == 1 and database.shop.land().batches == ()


def test_rows_without_a_cursor_value_are_never_lost(database: Database) -> None:
    database.add((1, NOON))
    database.run("INSERT INTO orders VALUES (2, 1, :p, NULL, 5, 'EUR', 'paid', 'x')", [{"p": NOON.replace(tzinfo=dt.UTC) if database.engine.dialect.name == "postgresql" else NOON}])
    assert database.shop.land().rows["orders"] == 2 and database.shop.land().batches == ()
    database.run("UPDATE orders SET total = 6 WHERE id = 2")
    assert database.shop.land().changed == {"orders": 1}


def test_a_query_and_a_cursor_that_counts(database: Database) -> None:
    text = "query: \"SELECT id, customer_id, placed_at, total * 1 AS total, currency, state FROM orders WHERE note = 'x' AND state <> 'a:b'\", cursor: {field: id, overlap: '2'}, rows: 5"
    database.shop.source(SOURCE.format(origin="ORIGIN", overlap="", rows=5).replace('ORIGIN, cursor: {field: updated_at, overlap: ""}, rows: 5', text))
    database.add(*((id, NOON) for id in range(10, 20)))
    assert database.shop.land().rows["orders"] == 10
    database.add((9, NOON), (18 + 2, NOON), (5, NOON))
    assert database.shop.land().rows["orders"] == 1, "9 and 5 are further behind 19 than the overlap of 2"
    assert len(database.landed()) == 11


def test_another_mapping_reads_from_the_start(database: Database) -> None:
    database.add((1, NOON))
    database.shop.land()
    path = database.shop.root / "sources/shop.yaml"
    path.write_text(path.read_text().replace("channel: {value: shop}", "channel: {value: app}"))
    assert database.shop.land().changed == {"orders": 1}
    assert database.shop.rows("orders", "channel") == [("app",)]


def test_a_bad_row_is_held_once_and_can_be_mended(database: Database) -> None:
    from kundig.collect import quarantine

    database.add((1, NOON), (2, NOON), (3, NOON))
    database.run("UPDATE orders SET state = 'odd' WHERE id = 2")
    assert database.shop.land().quarantined == 1
    database.add((4, NOON))
    database.shop.land()
    (held,) = quarantine.held(database.shop.lake)
    assert "orders.0.ndjson, row " in held.where and "'odd'" in held.what
    quarantine.fix(database.shop.lake, held.record_id, held.body.replace("odd", "paid"))
    quarantine.replay(database.shop.lake, database.shop.config)
    assert database.landed() == ["1", "2", "3", "4"] and quarantine.held(database.shop.lake) == ()


def test_mistakes_are_told_with_place_and_mend(database: Database) -> None:
    database.add((1, NOON))
    path = database.shop.root / "sources/shop.yaml"
    right = path.read_text()
    for wrong, with_, told in (
        ("gross: total", "gross: totl", ("column 'totl' is missing", "did you mean 'total'")), ("table: orders,", "table: order,", ("there is no table 'order'", "orders")),
        ("field: updated_at", "field: updated", ("column 'updated' is missing", "did you mean 'updated_at'")),
        ("table: orders,", 'query: "SELECT nothing FROM orders",', ("the database does not answer as asked", "query")),
        ('overlap: "10 minutes"', 'overlap: "10"', ("the overlap '10' counts", "length of time")),
    ):  # fmt: skip
        path.write_text(right.replace(wrong, with_))
        with pytest.raises(SourceError) as caught:
            database.shop.land()
        assert all(part in str(caught.value) for part in (*told, "sources/shop.yaml, inputs[0]")), str(caught.value)
        assert "secret-word" not in str(caught.value)
    assert database.shop.lake.snapshot() == 0


def test_secrets_stay_secret(shop: Shop) -> None:
    shop.source(SOURCE.format(origin="table: orders", overlap="", rows=5))
    with pytest.raises(ConfigError, match="the secret 'SHOP_DATABASE' is not set"):
        shop.land()
    shop.source(SOURCE.format(origin="table: orders", overlap="", rows=5).replace("${SHOP_DATABASE}", "postgresql://me:word@host/shop"))
    with pytest.raises(ConfigError, match="the password would stand in git for ever"):
        shop.land()
    for url, told in (("nothing", "is no URL of a database"), ("oddbase://host/x", "is no kind of database"), ("postgresql://me:hush-hush@127.0.0.1:1/x", "does not answer")):
        shop.source(SOURCE.format(origin="table: orders", overlap="", rows=5))
        shop.write("secrets.toml", f'SHOP_DATABASE = "{url}"\n')
        with pytest.raises(SourceError, match=told) as caught:
            shop.land()
        assert "hush-hush" not in str(caught.value)


@pytest.mark.parametrize("wrong,told", [
    ("table: orders, query: select 1", "give one of them"), ("query: delete from orders", "begin it with SELECT"), ("table: orders, overlap: x", "overlap"),
])  # fmt: skip
def test_a_wrong_file_is_refused(shop: Shop, wrong: str, told: str) -> None:
    shop.source(SOURCE.format(origin=wrong, overlap="" if "overlap" not in wrong else "soon", rows=5).replace(", overlap: x", ""))
    with pytest.raises(ConfigError, match=told):
        shop.config  # noqa: B018  to read it is what fails


# kills ------------------------------------------------------------------------------------------------------------

KILLER = """
import os, signal, sys
from tests.collect.shop import NOW, Shop
from kundig.collect.land import import_source
from kundig.store import Lake
from kundig.store.engines.duckdb import connect
from kundig.tables import LAKE
from pathlib import Path
root, point = Path(sys.argv[1]), int(sys.argv[2])
passed = 0
def crash(name):
    global passed
    passed += 1
    if passed == point:
        os.kill(os.getpid(), signal.SIGKILL)
lake = Lake(f"sqlite:///{root}/lake.sqlite", root / "lake", LAKE, duck=connect(threads=1, memory="500MB"), crash=crash)
from kundig.config.load import load
import_source(lake, load(root), "shop", now=NOW, progress=lambda text: crash("fetched"))
lake.close()
"""


def survived(root: Path, point: int) -> bool:
    """Whether an import in a process of its own got past this many crash points; killed for good at the point else."""
    ended = subprocess.run([sys.executable, "-c", KILLER, str(root), str(point)], env=os.environ | {"PYTHONPATH": "src:."}, capture_output=True, text=True, check=False)
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr[-2000:]
    return ended.returncode == 0


def test_killed_anywhere_nothing_is_lost_and_nothing_doubled(shop: Shop) -> None:
    """Each import is killed some crash points later than the one before; rows keep being written in between, with ties and a held one."""
    database = Database(shop, f"sqlite:///{shop.root}/their.sqlite")
    database.map(rows=4)
    expected, kills, point = 0, 0, 1
    while True:
        rows = [(id, NOON + dt.timedelta(seconds=id // 3)) for id in range(expected + 1, expected + 6)]
        database.add(*rows)
        expected += 5
        if survived(shop.root, point):
            break
        kills, point = kills + 1, point + (1 if os.environ.get("KUNDIG_FULL") else 8)
    assert kills >= 4, "between fetch and commit, within the commit, and after it"
    assert survived(shop.root, 0)
    assert database.landed() == [str(id) for id in range(1, expected + 1)]
    assert shop.rows("orders", "count(*), count(DISTINCT order_id)") == [(expected, expected)]
    assert shop.rows("events", "count(*)") == [(0,)]
    (position,) = shop.rows("source_cursors", "position")
    assert position == (encoded(str(NOON + dt.timedelta(seconds=expected // 3))),)
    assert not (shop.root / "fetched" / "shop").exists()


# the window -------------------------------------------------------------------------------------------------------


def test_a_window_forgets_what_is_behind_it() -> None:
    window = Window(cursor=Cursor(field="n", overlap="10"), at="")
    for n in range(1_000):
        window.note(n, f"{n}")
    (mark,) = window.moved("c", "shop")
    assert sorted(map(int, mark.seen)) == list(range(989, 1_000))
    after = Window(cursor=Cursor(field="n", overlap="10"), at="", mark=mark)
    assert after.since == 989 and not after.is_fresh("995") and after.is_fresh("5")
    with pytest.raises(SourceError, match="cannot be compared"):
        after.note("x", "y")


def test_a_line_read_before_its_order_lands_with_it(shop: Shop) -> None:
    """Two tables are read one after the other: a line written between the two reads waits for its order, and needs nobody's hand."""
    database = Database(shop, f"sqlite:///{shop.root}/their.sqlite")
    database.run("CREATE TABLE lines (id INTEGER PRIMARY KEY, order_id INTEGER, sku TEXT, pieces INTEGER, price DECIMAL(12, 2))")
    path = shop.root / "sources/shop.yaml"
    path.write_text(path.read_text() + """
  - format: sql
    sql: {table: lines, cursor: id}
    lands:
      - table: order_lines
        from_order: true
        columns: {line_id: id, order_id: order_id, product_id: sku, quantity: pieces, unit_price: price}
""")
    database.add((1, NOON))
    database.run("INSERT INTO lines VALUES (1, 1, 'MUG', 2, 5), (2, 2, 'MUG', 1, 5)")
    assert (first := shop.land()).rows["order_lines"] == 1 and first.quarantined == 1
    database.add((2, NOON + dt.timedelta(hours=1)))
    assert shop.land().rows["order_lines"] == 1
    assert shop.rows("order_lines", "line_id, identifier_key IS NOT NULL", "ORDER BY 1") == [("shop:1", True), ("shop:2", True)]
    assert shop.rows("quarantined_records", "status") == [("replayed",)]


def test_reading_leaves_out_what_the_mapping_does_not_need(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(shop, f"sqlite:///{shop.root}/their.sqlite")
    database.add((1, NOON))
    seen: list[list[str]] = []
    rows: Callable[..., Any] = databases.rows

    def watched(*given: Any, **more: Any) -> Iterator[Any]:
        for value, record in rows(*given, **more):
            seen.append(list(record))
            yield value, record

    monkeypatch.setattr(databases, "rows", watched)
    shop.land()
    assert seen == [["id", "placed_at", "total", "state", "customer_id", "currency", "updated_at"]]
