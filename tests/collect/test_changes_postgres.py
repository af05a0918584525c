"""A PostgreSQL database followed for real: what is in its tables is in the lake, whatever happens there and in whatever order."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.collect.database import SOURCE, Followed, followed
from tests.postgres import Server

from kundig.collect import quarantine
from kundig.collect.cdc import following
from kundig.errors import Busy, ConfigError, SourceError

pytestmark = pytest.mark.needs_postgres


@pytest.fixture
def shop(tmp_path: Path, postgres: Server) -> Iterator[Followed]:
    with followed(tmp_path, postgres) as made:
        made.do(
            "INSERT INTO orders SELECT i, '2026-10-01'::timestamptz + i * interval '1 hour', i * 10, 'C' || (i % 3), NULL, '{a,b}', true, '{}' FROM generate_series(1, 6) i",
            "INSERT INTO items SELECT i, i, 'A', 2, 5 FROM generate_series(1, 6) i",
            "INSERT INTO people SELECT i, 'p' || i || '@example.org', 'Town', '2026-09-01', true FROM generate_series(1, 4) i",
        )
        yield made


# the first pass, and the next ones -----------------------------------------------------------------------------------


def test_a_snapshot_then_inserts_updates_and_deletes(shop: Followed) -> None:
    first = shop.land()
    assert (first.rows["orders"], first.rows["order_lines"], first.rows["contacts"], first.rows["events"]) == (6, 6, 4, 6)
    assert shop.differences() == []
    assert shop.land().batches == (), "nothing has changed"
    shop.do("INSERT INTO orders VALUES (7, '2026-10-02 12:00+02', 70, 'C9', 'x')", "INSERT INTO items VALUES (7, 7, 'B', 1, 70)")  # an order and its line at once
    shop.do("UPDATE orders SET total = 11 WHERE no = 1", "DELETE FROM items WHERE id = 2", "DELETE FROM orders WHERE no = 2")
    shop.do("UPDATE orders SET no = 33 WHERE no = 3", "UPDATE items SET order_no = 33 WHERE id = 3", "UPDATE people SET mail = 'new@example.org' WHERE id = 1")
    second = shop.land()
    assert shop.differences() == []
    assert second.removed == {"orders": 2, "order_lines": 1}, "an order that is gone, and the old number of one that was renumbered"
    assert len(shop.shop.rows("events")) == 8, "what happened stays: 6, the new order, and the new number"
    assert len(second.batches) == 1, "all transactions of a pass are one commit"


def test_who_was_and_who_is_are_both_touched(shop: Followed) -> None:
    from kundig.collect.identifiers import identifier_key

    shop.land()
    shop.do("UPDATE people SET mail = 'new@example.org' WHERE id = 1", "DELETE FROM people WHERE id = 2")
    batch = shop.land().batches[0]
    touched = {key for (key,) in shop.shop.rows("touched", "identifier_key", f"WHERE batch_id = '{batch}'")}
    assert touched == {identifier_key("email", name) for name in ("new@example.org", "p1@example.org", "p2@example.org")}


def test_a_row_that_no_longer_passes_the_mapping_goes_and_may_come_back(shop: Followed) -> None:
    shop.land()
    shop.do("UPDATE people SET active = false WHERE id IN (1, 2)")
    assert shop.land().removed == {"contacts": 2}
    shop.do("UPDATE people SET active = NULL WHERE id = 1")
    assert shop.land().rows["contacts"] == 1
    assert shop.differences() == []


def test_tables_are_emptied(shop: Followed) -> None:
    shop.land()
    shop.do("INSERT INTO items VALUES (50, 5, 'Z', 1, 1)", "TRUNCATE items, people", "INSERT INTO items VALUES (51, 5, 'Y', 1, 1), (6, 6, 'A', 9, 5)")
    landed = shop.land()
    assert shop.differences() == []
    assert landed.removed == {"order_lines": 5, "contacts": 4}
    assert landed.changed["order_lines"] == 1, "line 6 was there before, and is there again"


def test_a_long_value_that_is_not_sent_again_is_kept(shop: Followed) -> None:
    """TOAST: an update leaves out what is stored apart and did not change."""
    long = "SELECT string_agg(md5(i::text), '') FROM generate_series(1, 400) i"
    shop.do(f"UPDATE orders SET note = ({long}) WHERE no = 1")
    shop.land()
    shop.do("UPDATE orders SET total = 12 WHERE no = 1")
    shop.do(f"INSERT INTO orders VALUES (8, '2026-10-03', 1, 'C1', ({long}))", "UPDATE orders SET total = 2 WHERE no = 8")
    shop.do(f"INSERT INTO orders VALUES (9, '2026-10-03', 1, 'C1', ({long}))")
    shop.do("UPDATE orders SET total = 3 WHERE no = 9")
    shop.do("DELETE FROM orders WHERE no = 9")
    shop.land()
    assert shop.differences() == []
    assert len(dict(shop.shop.rows("orders", "order_id, offer_code"))["shop:1"]) == 12_800
    shop.do("ALTER TABLE orders REPLICA IDENTITY FULL", "UPDATE orders SET total = 13, no = 10 WHERE no = 1", "UPDATE items SET order_no = 10 WHERE id = 1", "DELETE FROM orders WHERE no = 8")
    shop.land()
    assert shop.differences() == []


def test_the_texts_of_types(tmp_path: Path, postgres: Server) -> None:
    """Snapshot and stream write a value alike."""
    source = SOURCE.split("      orders:")[0] + (
        "      things:\n        lands:\n          - table: contacts\n            columns: {contact_id: id, occurred_at: at, hobbies: likes, birth_date: born, company: data.firm.name, city: town}\n"
        "            attributes: [yes, amount, mood]\n"
    )
    tables = (
        "CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE DOMAIN flag AS boolean; CREATE TABLE things (id int PRIMARY KEY, at timestamp, likes text[], born date, data jsonb, town char(12), yes flag, amount numeric, mood mood);"
        "CREATE PUBLICATION kundig FOR TABLE things"
    )
    values = "'2026-03-01 10:00', ARRAY['a b', 'c\"d', NULL, 'e,f'], '1990-05-06', '{\"firm\": {\"name\": \"Acme\"}}', 'Ulm', true, 1.50, 'glad'"
    with followed(tmp_path, postgres, source=source, tables=tables) as shop:
        shop.do(f"INSERT INTO things VALUES (1, {values})")
        shop.land()
        shop.do(f"INSERT INTO things VALUES (2, {values})")
        shop.land()
        one, two = shop.shop.rows("contacts", "occurred_at, hobbies, birth_date, company, city, attributes", "ORDER BY contact_id")
    assert one == two
    assert (one[1], one[3], one[4], one[5]) == (["a b", 'c"d', "e,f"], "Acme", "Ulm", '{"yes":"true","amount":"1.50","mood":"glad"}')
    assert one[0].isoformat() == "2026-03-01T09:00:00+00:00", "a moment without zone is of the input's"


def test_tables_whose_key_has_several_columns(tmp_path: Path, postgres: Server) -> None:
    """A row that goes leaves the others of its article and day alone."""
    source = SOURCE.split("      orders:")[0] + (
        "      stock:\n        lands: [{table: stock_levels, columns: {product_id: sku, place: place, quantity: pieces, occurred_at: at}}]\n"
        "      spend:\n        lands: [{table: ad_spend, columns: {local_day: day, platform: platform, campaign: campaign, amount: amount}}]\n"
    )
    tables = (
        "CREATE TABLE stock (sku text, place text, pieces int, at timestamptz DEFAULT now(), PRIMARY KEY (sku, place));"
        "CREATE TABLE spend (day date, platform text, campaign text, amount numeric, PRIMARY KEY (day, platform, campaign)); CREATE PUBLICATION kundig FOR TABLE stock, spend"
    )
    with followed(tmp_path, postgres, source=source, tables=tables) as shop:
        shop.do("INSERT INTO stock VALUES ('A', 'x', 1), ('A', 'y', 2), ('B', 'x', 3)", "INSERT INTO spend VALUES ('2026-03-01', 'g', 'a', 1), ('2026-03-01', 'g', 'b', 2), ('2026-03-02', 'g', 'a', 3)")
        shop.land()
        shop.do("DELETE FROM stock WHERE place = 'y'", "UPDATE stock SET pieces = 9 WHERE sku = 'B'", "DELETE FROM spend WHERE day = '2026-03-02'", "UPDATE spend SET amount = 5, campaign = 'c' WHERE campaign = 'b'")
        shop.land()
        assert sorted(shop.shop.rows("stock_levels", "product_id, place, quantity")) == [("A", "x", 1), ("B", "x", 9)]
        assert sorted((str(day), campaign, float(amount)) for day, campaign, amount in shop.shop.rows("ad_spend", "local_day, campaign, amount")) == [("2026-03-01", "a", 1), ("2026-03-01", "c", 5)]


def test_a_value_that_cannot_be_read_is_held_and_a_newer_version_counts(shop: Followed) -> None:
    shop.land()
    shop.do("ALTER TABLE orders ALTER total TYPE text")
    shop.do("INSERT INTO orders VALUES (20, '2026-10-03', 'much', 'C1'), (21, '2026-10-03', 'more', 'C1'), (22, '2026-10-03', '5', 'C1')")
    landed = shop.land()
    assert (landed.quarantined, landed.rows["orders"]) == (2, 1)
    assert any("type of 'total'" in one for one in landed.told)
    assert "'gross' is 'much'" in next(held.what for held in quarantine.held(shop.shop.lake) if '"20"' in held.body)
    shop.do("UPDATE orders SET total = '7' WHERE no = 20")
    shop.land()
    for held in quarantine.held(shop.shop.lake):
        quarantine.fix(shop.shop.lake, held.record_id, held.body.replace("much", "1").replace("more", "2"))
    replayed = quarantine.replay(shop.shop.lake, shop.shop.config)
    assert replayed.rows["orders"] == 1
    found = dict(shop.shop.rows("orders", "order_id, gross"))
    assert (found["shop:20"], found["shop:21"]) == (7, 2), "the held first version of order 20 does not come over its second"


# schema ---------------------------------------------------------------------------------------------------------------


def test_columns_added_and_lost_are_told_and_a_lost_one_that_is_mapped_stops_the_source_not_its_past(shop: Followed) -> None:
    shop.land()
    shop.do("UPDATE orders SET total = 1 WHERE no = 1")
    shop.land()
    shop.do("ALTER TABLE orders ADD COLUMN extra text DEFAULT 'x', DROP COLUMN paid", "UPDATE orders SET total = 2 WHERE no = 1")
    assert shop.land().told == ("shop: public.orders has a new column 'extra'", "shop: public.orders has lost the column 'paid'")
    shop.do("UPDATE orders SET total = 3 WHERE no = 1")
    shop.do("ALTER TABLE orders RENAME total TO amount")
    shop.do("UPDATE orders SET amount = 4 WHERE no = 1")
    with pytest.raises(SourceError, match=r"column 'total' is missing from public\.orders") as stopped:
        shop.land()
    assert "public.orders has a new column 'amount'" in str(stopped.value)
    assert dict(shop.shop.rows("orders", "order_id, gross"))["shop:1"] == 3, "what came before it has landed"
    before = shop.confirmed()
    with pytest.raises(SourceError, match="total"):
        shop.land()
    assert shop.confirmed() == before, "the slot holds what has not landed"
    shop.mapping(SOURCE.replace("gross: total", "gross: amount"))
    shop.land()
    assert dict(shop.shop.rows("orders", "order_id, gross"))["shop:1"] == 4


def test_a_mapped_column_that_went_is_told_though_no_row_has_changed_since(shop: Followed) -> None:
    shop.land()
    shop.do("ALTER TABLE people DROP COLUMN town")
    shop.do("UPDATE orders SET total = 9 WHERE no = 1")
    with pytest.raises(SourceError, match="column 'town' is missing"):
        shop.land()
    assert dict(shop.shop.rows("orders", "order_id, gross"))["shop:1"] == 9


def test_another_mapping_takes_a_new_snapshot_and_what_is_gone_meanwhile_goes(shop: Followed) -> None:
    shop.land()
    shop.do("DELETE FROM orders WHERE no = 5", "UPDATE orders SET total = 99 WHERE no = 6")
    shop.mapping(SOURCE.replace("channel: {value: shop}", "channel: {value: web}"))
    landed = shop.land()
    assert landed.told == ("shop: a new snapshot was compared with what had landed",)
    assert (landed.removed, landed.changed["orders"]) == ({"orders": 1}, 5)
    assert {channel for (channel,) in shop.shop.rows("orders", "channel")} == {"web"}
    shop.do("UPDATE orders SET total = 98 WHERE no = 6")
    shop.land()
    assert "order_lines: only in the lake" in shop.differences()[0], "the line of the order that went: its table still holds it"


def test_a_slot_that_was_dropped_is_made_anew_and_compared(shop: Followed) -> None:
    shop.land()
    shop.do(f"SELECT pg_drop_replication_slot('{shop.slot}')")
    shop.do("DELETE FROM people WHERE id = 3", "INSERT INTO people VALUES (9, 'nine@example.org', 'X', '2026-09-01', true)")
    landed = shop.land()
    assert (landed.removed, landed.rows["contacts"]) == ({"contacts": 1}, 1)
    assert shop.differences() == []


# refusals -------------------------------------------------------------------------------------------------------------


def test_what_cannot_be_followed_is_told_with_its_mend(shop: Followed) -> None:
    shop.do("ALTER PUBLICATION kundig DROP TABLE items", "ALTER PUBLICATION kundig SET (publish = 'insert, update')")
    with pytest.raises(SourceError) as refused:
        shop.land()
    text = str(refused.value)
    assert "does not name public.items" in text
    assert 'ALTER PUBLICATION kundig ADD TABLE "public"."items"' in text
    assert "leaves out deletes" in text
    assert shop.do("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '" + shop.slot + "'") == [(0,)], "no slot is left behind to fill the server's disk"
    shop.do("DROP PUBLICATION kundig")
    with pytest.raises(SourceError, match="there is no publication 'kundig'"):
        shop.land()


def test_a_publication_of_some_rows_and_columns_is_followed_as_it_is(shop: Followed) -> None:
    shop.do("ALTER TABLE people REPLICA IDENTITY FULL", "ALTER PUBLICATION kundig SET TABLE orders, items, people WHERE (active)")
    shop.do("UPDATE people SET active = false WHERE id = 2")
    shop.land()
    assert len(shop.shop.rows("contacts")) == 3, "the snapshot has no row that the publication leaves out"
    shop.do("UPDATE people SET active = false WHERE id = 3", "UPDATE people SET active = true WHERE id = 2")
    shop.land()
    assert {one for (one,) in shop.shop.rows("contacts", "contact_id")} == {"shop:1", "shop:2", "shop:4"}, "the server tells a row that the condition no longer takes as gone"
    shop.do("ALTER TABLE people REPLICA IDENTITY DEFAULT", "ALTER PUBLICATION kundig SET TABLE orders, items, people (id, mail, since, active)")
    shop.do("INSERT INTO people VALUES (9, 'nine@example.org', 'X', '2026-09-01', true)")
    with pytest.raises(SourceError, match=r"column 'town' is missing from public\.people"):
        shop.land()


def test_partitions_are_followed_by_the_name_of_their_table(tmp_path: Path, postgres: Server) -> None:
    source = SOURCE.split("      orders:")[0] + "      visits:\n        lands: [{table: contacts, columns: {contact_id: id, occurred_at: at}}]\n"
    tables = (
        "CREATE TABLE visits (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at); CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');"
        "CREATE TABLE visits_2 PARTITION OF visits FOR VALUES FROM ('2026-02-01') TO ('2026-03-01'); CREATE PUBLICATION kundig FOR TABLE visits"
    )
    with followed(tmp_path, postgres, source=source, tables=tables) as shop:
        with pytest.raises(SourceError, match="publish_via_partition_root = true"):
            shop.land()
        shop.do("ALTER PUBLICATION kundig SET (publish_via_partition_root = true)", "INSERT INTO visits VALUES (1, '2026-01-05')")
        shop.land()
        shop.do("INSERT INTO visits VALUES (2, '2026-02-05')", "DELETE FROM visits WHERE id = 1")
        shop.land()
        assert shop.shop.rows("contacts", "contact_id") == [("shop:2",)]


def test_a_key_that_a_row_which_goes_does_not_tell(shop: Followed) -> None:
    shop.mapping(SOURCE.replace("contact_id: id", "contact_id: mail"))
    with pytest.raises(SourceError, match="does not tell its 'mail'"):
        shop.land()
    shop.do("ALTER TABLE people REPLICA IDENTITY FULL")
    shop.land()
    shop.do("UPDATE people SET mail = 'z@example.org' WHERE id = 1", "DELETE FROM people WHERE id = 2")
    shop.land()
    assert {one for (one,) in shop.shop.rows("contacts", "contact_id")} == {"shop:z@example.org", "shop:p3@example.org", "shop:p4@example.org"}


def test_mappings_that_cannot_follow_are_refused(shop: Followed) -> None:
    twice = SOURCE.replace("      people:", "      others:\n        lands: [{table: contacts, columns: {contact_id: id, occurred_at: since}}]\n      people:")
    for text, told in ((twice, "both land in 'contacts'"), (SOURCE.replace("from_order: true", "counted: true"), "`counted`"), (SOURCE.replace("line_id: id", "line_id: {number_within: id}"), "number_within")):
        shop.mapping(text)
        with pytest.raises(ConfigError, match=told):
            shop.land()
    shop.mapping(SOURCE.replace("    publication: kundig\n", ""))
    with pytest.raises(ConfigError, match="lacks publication"):
        shop.land()


def test_a_second_process_waits(shop: Followed) -> None:
    shop.land()
    with shop.engine.connect() as other:
        other.exec_driver_sql(f"SELECT pg_advisory_lock(4713, hashtext('{shop.slot}'))")
        with pytest.raises(Busy, match="another process follows"):
            shop.land()
    shop.land()


def test_a_server_that_is_away_is_told_without_its_password(shop: Followed) -> None:
    shop.shop.write("secrets.toml", 'SHOP_DATABASE = "postgresql://me:hidden@127.0.0.1:1/x"\n')
    with pytest.raises(SourceError, match="the database says") as away:
        shop.land()
    assert "hidden" not in str(away.value)


def test_the_worker_follows_and_goes_on_after_a_fault(shop: Followed) -> None:
    from kundig.worker import Worker
    from kundig.workspace import Workspace

    shop.shop.write("kundig.toml", '[workspace]\nzone = "Europe/Berlin"\ncurrency = "EUR"\n[worker]\nfollow_seconds = 0.05\n')
    workspace = Workspace(shop.shop.root)
    worker = Worker(workspace)
    (step,) = (duty.do for duty in worker.duties if duty.name == "follow shop")
    with workspace.state.lease("writer", "another:1:run", 60):
        step()
        assert workspace.lake.snapshot() == 0, "while another writes it waits, and loses nothing"
    step()
    shop.do("UPDATE orders SET total = 5 WHERE no = 1", "ALTER PUBLICATION kundig DROP TABLE people")
    with pytest.raises(SourceError, match=r"does not name public\.people"):
        step()
    shop.do("ALTER PUBLICATION kundig ADD TABLE people")
    step()
    lake = workspace.lake
    assert float(dict(lake.duck.execute(f"SELECT order_id, gross FROM {lake.scan('orders')}").fetchall())["shop:1"]) == 5
    with workspace.state.lease("writer", "another:1:run", 60):
        step()  # nothing has changed: it looks, and asks for no lease


# the oracle: the tables themselves ------------------------------------------------------------------------------------

KEYS = st.integers(1, 6)
STEPS = st.one_of(
    st.tuples(st.just("order"), KEYS, st.integers(0, 99)), st.tuples(st.just("no order"), KEYS), st.tuples(st.just("renumber"), KEYS, KEYS), st.tuples(st.just("note"), KEYS, st.integers(0, 3)),
    st.tuples(st.just("line"), KEYS, KEYS, st.integers(-3, 9)), st.tuples(st.just("no line"), KEYS), st.tuples(st.just("person"), KEYS, st.booleans()), st.tuples(st.just("no person"), KEYS),
    st.tuples(st.just("empty"), st.sampled_from(["items", "people"])), st.tuples(st.just("undo")),
)  # fmt: skip
WORK = st.lists(st.one_of(st.lists(STEPS, min_size=1, max_size=6), st.just("pass"), st.just("lost advance")), min_size=1, max_size=14)


def _statement(step: Any) -> list[str]:
    match step:
        case ("order", no, total):
            return [f"INSERT INTO orders VALUES ({no}, '2026-10-01', {total}, 'C{no}') ON CONFLICT (no) DO UPDATE SET total = excluded.total"]
        case ("no order", no):
            return [f"DELETE FROM items WHERE order_no = {no}", f"DELETE FROM orders WHERE no = {no}"]
        case ("renumber", old, new):
            free = f"NOT EXISTS (SELECT 1 FROM orders WHERE no = {new})"
            return [f"UPDATE items SET order_no = {new} WHERE order_no = {old} AND {free}", f"UPDATE orders SET no = {new} WHERE no = {old} AND {free}"]
        case ("note", no, much):
            return [f"UPDATE orders SET note = (SELECT string_agg(md5((i * {much + 1})::text), '') FROM generate_series(1, {much * 100 + 1}) i) WHERE no = {no}"]
        case ("line", key, no, quantity):
            return [f"INSERT INTO items SELECT {key}, {no}, 'S', {quantity}, 5 WHERE EXISTS (SELECT 1 FROM orders WHERE no = {no}) ON CONFLICT (id) DO UPDATE SET order_no = excluded.order_no, qty = excluded.qty"]
        case ("no line", key):
            return [f"DELETE FROM items WHERE id = {key}"]
        case ("person", key, active):
            return [f"INSERT INTO people VALUES ({key}, 'p{key}@example.org', 'T', '2026-09-01', {active}) ON CONFLICT (id) DO UPDATE SET active = excluded.active"]
        case ("no person", key):
            return [f"DELETE FROM people WHERE id = {key}"]
        case ("empty", table):
            return [f"TRUNCATE {table}"]
    return []


def _work(shop: Followed, work: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for piece in work:
        if piece == "pass":
            shop.land()
        elif piece == "lost advance":  # the server forgets that it was told to go on, as after a crash of its own
            with monkeypatch.context() as patched:
                patched.setattr(following.Server, "advance", lambda self, slot, lsn: None)
                shop.land()
        else:
            undone = ("undo",) in piece
            statements = [statement for step in piece for statement in _statement(step)]
            with shop.engine.connect() as connection:
                for statement in statements:
                    connection.exec_driver_sql(statement)
                connection.rollback() if undone else connection.commit()


@given(work=WORK)
@settings(max_examples=60 if os.environ.get("KUNDIG_FULL") else 5, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_lake_holds_what_the_tables_hold(work: list[Any], postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> None:
    with followed(tmp_path_factory.mktemp("w"), postgres) as shop, pytest.MonkeyPatch.context() as monkeypatch:
        _work(shop, work, monkeypatch)
        shop.land()
        assert shop.differences() == []
        assert shop.land().batches == ()
        assert len(shop.shop.rows("events")) == len({one for (one,) in shop.shop.rows("events", "event_id")})


def test_a_lost_delete_would_be_seen(shop: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle can fail: without deletes, lake and tables differ."""
    shop.land()
    monkeypatch.setattr(following.ChangeFile, "gone", lambda *rest: None)
    shop.do("DELETE FROM people WHERE id = 1")
    shop.land()
    assert shop.differences() != []


def test_transactions_under_way_while_the_snapshot_is_taken(shop: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers go on while slot and snapshot are made: each transaction is in the snapshot or in the stream, never in both, never in none."""
    going, written = threading.Event(), []

    def write(seed: int) -> None:
        chance = random.Random(seed)
        number = 1_000 * seed
        while not going.is_set():
            number += 1
            shop.do(f"INSERT INTO orders VALUES ({number}, '2026-10-01', 1, 'C')", f"UPDATE orders SET total = total + 1 WHERE no = {chance.randint(1, 4)}")
            written.append(number)

    slow = following.Server.rows

    def rows(*given: Any) -> Iterator[Any]:
        yield from slow(*given)
        threading.Event().wait(0.2)

    monkeypatch.setattr(following.Server, "rows", rows)
    writers = [threading.Thread(target=write, args=(seed,)) for seed in (1, 2, 3)]
    for writer in writers:
        writer.start()
    try:
        shop.land()
    finally:
        going.set()
        for writer in writers:
            writer.join()
    before = len(written)
    shop.land()
    assert before > 20
    assert shop.differences() == []
    total = shop.do("SELECT sum(total) FROM orders WHERE no <= 4")[0][0]
    assert total == 100 + before, "each of the writers' additions is there once"
