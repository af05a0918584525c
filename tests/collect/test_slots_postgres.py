"""How far a slot of a real PostgreSQL server lags: it grows with what is written and not landed, falls when it lands, and a server that is gone is told."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient
from tests.collect.database import Followed, followed
from tests.postgres import Server
from tests.server.browser import judged
from tests.servers import free_port

import kundig
from kundig.collect.cdc.following import catch_up
from kundig.collect.cdc.slots import SlotLag, slot_lags
from kundig.collect.totals import accounts
from kundig.server.app import make_app

pytestmark = pytest.mark.needs_postgres
MUCH = "INSERT INTO people SELECT i, 'p' || i || '@example.org', repeat('x', 20), '2026-09-01', true FROM generate_series({}, {}) i"


@pytest.fixture
def shop(tmp_path: Path, postgres: Server) -> Iterator[Followed]:
    with followed(tmp_path, postgres) as made:
        made.do(MUCH.format(1, 5))
        yield made


def lag(shop: Followed) -> SlotLag:
    (found,) = slot_lags(shop.shop.config)
    return found


def test_the_lag_is_what_was_written_and_has_not_landed(shop: Followed) -> None:
    assert (lag(shop).status, lag(shop).behind) == ("missing", None), "there is no slot before the first pass"
    shop.land()
    before = lag(shop)
    assert before.source == "shop" and before.slot == shop.slot and before.status == "reserved" and not before.fault
    assert before.behind is not None and before.kept is not None and before.kept >= before.behind
    shop.do(MUCH.format(1_000, 6_000))
    grown = lag(shop)
    with shop.engine.connect() as connection:
        theirs = connection.execute(sa.text("SELECT (pg_current_wal_lsn() - confirmed_flush_lsn)::bigint FROM pg_replication_slots WHERE slot_name = :s"), {"s": shop.slot}).scalar()
    assert grown.behind is not None and grown.behind > before.behind + 500_000 and abs(grown.behind - theirs) < 100_000
    shop.land()
    after = lag(shop)
    assert after.behind is not None and after.behind < grown.behind / 5, "it has landed"


def test_pages_and_metrics_tell_it_and_a_server_that_is_gone(shop: Followed) -> None:
    root = shop.shop.root
    shop.land()
    shop.do(MUCH.format(1_000, 6_000))
    client = TestClient(make_app(kundig.open(root)), base_url="http://127.0.0.1:8000")
    figures = dict(re.findall(r"^(kundig_slot_\S+) (-?[\d.e+]+)$", client.get("/metrics").text, re.MULTILINE))
    behind = next(float(value) for name, value in figures.items() if name.startswith("kundig_slot_behind_bytes"))
    assert behind > 500_000 and any(name.startswith("kundig_slot_failing") and value == "0.0" for name, value in figures.items()), figures
    page = client.get("/sources?lang=de").text
    assert "Verfolgte Datenbanken" in page and shop.slot in page and "MB nicht gelandet" in page
    assert client.get("/api/sources").json()["slots"][0]["behind"] > 500_000
    (root / "secrets.toml").write_text(f'SHOP_DATABASE = "postgresql://postgres@127.0.0.1:{free_port()}/gone"\n')
    client = TestClient(make_app(kundig.open(root)), base_url="http://127.0.0.1:8000")
    (gone,) = client.get("/api/sources").json()["slots"]
    assert "refused" in gone["fault"].lower() or "failed" in gone["fault"].lower()
    assert "Something needs attention" in client.get("/sources?lang=en").text
    assert re.search(r"^kundig_slot_failing\S+ 1\.0$", client.get("/metrics").text, re.MULTILINE)


def test_what_the_worker_lands_of_a_followed_database_is_a_delivery(shop: Followed) -> None:
    before = dt.datetime.now(dt.UTC)
    assert accounts(shop.shop.lake, shop.shop.config).arrivals[0].last_at is None
    catch_up(shop.shop.lake, shop.shop.config, "shop", 0)  # as the worker does it, without an import
    (one,) = accounts(shop.shop.lake, shop.shop.config).arrivals
    assert one.last_at is not None and before <= one.last_at <= dt.datetime.now(dt.UTC) and not one.late
    assert accounts(shop.shop.lake, shop.shop.config, at=before + dt.timedelta(hours=30)).arrivals[0].late


@pytest.mark.needs_chromium
@pytest.mark.parametrize("width", (360, 1280))
def test_the_table_of_slots_fits_also_with_a_fault(shop: Followed, tmp_path: Path, width: int) -> None:
    shop.land()
    pages = {}
    for name in ("well", "gone"):
        client = TestClient(make_app(kundig.open(shop.shop.root)), base_url="http://127.0.0.1:8000")
        style = client.get("/style.css").text
        pages[name] = client.get("/sources?lang=de").text.replace('<link rel="stylesheet" href="/style.css">', f"<style>{style}</style>")
        shop.shop.write("secrets.toml", f'SHOP_DATABASE = "postgresql://postgres@127.0.0.1:{free_port()}/gone"\n')
    pages["wide"] = "<!doctype html><html><head></head><body><div style='width:1900px'>wide</div></body></html>"
    found = judged(pages, axe=(Path(__file__).parent.parent / "server" / "axe" / "axe.min.js").read_text(encoding="utf-8"), folder=tmp_path / "look", width=width)
    assert found["wide"]["scroll"] > found.pop("wide")["width"], "the look itself must be able to find faults"
    assert {name: page["violations"] for name, page in found.items() if page["violations"]} == {}
    assert all(page["scroll"] <= page["width"] for page in found.values())


def test_a_slot_of_which_the_server_gave_up_what_it_held_is_told(shop: Followed) -> None:
    shop.land()
    with shop.engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        try:
            connection.exec_driver_sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
            connection.exec_driver_sql("SELECT pg_reload_conf()")
            for n in range(4):
                shop.do(MUCH.format(10_000 * (n + 1), 10_000 * (n + 1) + 4_000))
                connection.exec_driver_sql("SELECT pg_switch_wal()")
                connection.exec_driver_sql("CHECKPOINT")
            assert lag(shop).status in ("lost", "unreserved")
        finally:
            connection.exec_driver_sql("ALTER SYSTEM RESET max_slot_wal_keep_size")
            connection.exec_driver_sql("SELECT pg_reload_conf()")
            connection.exec_driver_sql(f"SELECT pg_drop_replication_slot('{shop.slot}')")
