"""Debezium's change events, of three databases, with schema and without, from files and through the inbox."""

from __future__ import annotations

import base64
import datetime as dt
import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.collect.shop import NOW, Shop

from kundig.collect import quarantine
from kundig.collect.cdc.debezium import NOT_SENT
from kundig.collect.inbox_landing import land_inbox
from kundig.errors import ConfigError, SourceError
from kundig.store.inbox import Inbox

SOURCE = """
currency: EUR
inputs:
  - files: in/changes*.ndjson
    format: debezium
    optional: true
    tables:
      orders:
        types: TYPES
        lands:
          - table: orders
            columns: {order_id: no, occurred_at: placed_at, gross: total}
            identifiers: [{namespace: shop_customer, column: customer}]
      dbo.people:
        lands: [{table: contacts, columns: {contact_id: id, occurred_at: since, email: mail}, identifiers: [{namespace: email, column: mail}]}]
"""

BARE = SOURCE.replace("TYPES", "{}")
T0 = 1_790_000_000_000  # ms: September 2026


def _order(op: str, no: int, total: str | None, at: int, *, source: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    row = {"no": no, "placed_at": "2026-09-21T10:00:00Z", "total": total, "customer": f"C{no}"} | more
    where = source or {"connector": "postgresql", "db": "shop", "schema": "public", "table": "orders"}
    before = {"no": no, "placed_at": None, "total": None, "customer": None} if op == "d" else None
    return {"before": before, "after": None if op == "d" else row, "source": where | {"ts_ms": T0 + at}, "op": op, "ts_ms": T0 + at + 5}


def _lines(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def _orders(shop: Shop) -> dict[str, float]:
    return {order.removeprefix("shop:"): float(gross) for order, gross in shop.rows("orders", "order_id, gross")}


def test_inserts_updates_deletes_and_tombstones(shop: Shop) -> None:
    shop.source(BARE)
    shop.write("in/changes1.ndjson", _lines(_order("r", 1, "10.00", 0), _order("c", 2, "20.00", 1), _order("u", 1, "11.50", 2), _order("d", 2, None, 3), None, _order("c", 3, "7", 4)))
    landed = shop.land()
    assert _orders(shop) == {"1": 11.5, "3": 7}
    assert landed.quarantined == 0
    shop.write("in/changes2.ndjson", _lines(_order("d", 1, None, 9), {"key": {"no": 1}, "value": None}))
    assert shop.land().removed == {"orders": 1}
    assert _orders(shop) == {"3": 7}
    assert shop.land().rows == {}


def test_events_sent_again_and_late_change_nothing(shop: Shop) -> None:
    shop.source(BARE)
    shop.write("in/changes1.ndjson", _lines(_order("c", 1, "10", 0), _order("u", 1, "12", 5), _order("c", 2, "1", 6)))
    shop.land()
    shop.write("in/changes2.ndjson", _lines(_order("u", 1, "11", 3), _order("d", 2, None, 5), _order("u", 1, "12", 5)))
    landed = shop.land()
    assert (_orders(shop), landed.removed, landed.changed) == ({"1": 12, "2": 1}, {}, {}), "an older change does not come over a newer one"


SCHEMA = [
    {"field": "no", "type": "int32", "optional": False}, {"field": "placed_at", "type": "int64", "name": "io.debezium.time.MicroTimestamp"},
    {"field": "total", "type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2", "connect.decimal.precision": "10"}}, {"field": "customer", "type": "string"},
]  # fmt: skip


def _decimal(text: str, scale: int) -> str:
    number = round(float(text) * 10**scale)
    return base64.b64encode(number.to_bytes((number.bit_length() + 8) // 8, "big", signed=True)).decode()


def test_the_schema_in_the_envelope_says_how_values_are_written(shop: Shop) -> None:
    """MySQL's DATETIME as microseconds of a wall clock, DECIMAL as bytes with a scale."""
    shop.source(BARE)
    clock = dt.datetime(2026, 7, 1, 23, 30, tzinfo=dt.UTC)  # Debezium writes 23:30 on the wall as if it were UTC
    row = {"placed_at": int(clock.timestamp() * 1_000_000), "total": _decimal("-1.4", 2)}
    payload = _order("c", 1, None, 0, source={"connector": "mysql", "db": "shop", "table": "orders"}) | {}
    payload["after"] |= row
    schema = {"type": "struct", "fields": [{"field": "before", "type": "struct", "fields": SCHEMA}, {"field": "after", "type": "struct", "fields": SCHEMA}, {"field": "op", "type": "string"}]}
    shop.write("in/changes.ndjson", _lines({"schema": schema, "payload": payload}))
    shop.land()
    ((gross, occurred, day),) = shop.rows("orders", "gross, occurred_at, local_day")
    assert (float(gross), occurred.astimezone(dt.UTC), day) == (-1.4, dt.datetime(2026, 7, 1, 21, 30, tzinfo=dt.UTC), dt.date(2026, 7, 1))


@pytest.mark.parametrize(
    ("types", "placed", "total", "hour"),
    [
        ("{placed_at: unix_ms, total: 'decimal:2'}", 1_782_950_400_000, _decimal("5.25", 2), 22), ("{placed_at: unix_us}", 1_782_950_400_000_000, "5.25", 22), ("{placed_at: unix_ns}", 1_782_950_400_000_000_000, 5.25, 22),
        ("{placed_at: epoch_days}", 20_636, "5.25", 22), ("{}", "2026-07-02T00:00:00Z", "5.25", 0),
    ],
)  # fmt: skip
def test_without_schema_the_mapping_says_how(shop: Shop, types: str, placed: Any, total: Any, hour: int) -> None:
    shop.source(SOURCE.replace("TYPES", types))
    shop.write("in/changes.ndjson", _lines(_order("c", 1, total, 0, placed_at=placed)))
    shop.land()
    ((gross, occurred),) = shop.rows("orders", "gross, occurred_at")
    assert float(gross) == 5.25
    assert occurred.astimezone(dt.UTC).hour == hour


def test_three_databases_name_their_tables(shop: Shop) -> None:
    shop.source(BARE)
    person = {"id": 1, "since": "2026-01-01", "mail": "a@example.org"}
    server = {"before": None, "after": person, "source": {"connector": "sqlserver", "db": "crm", "schema": "dbo", "table": "people", "ts_ms": T0, "change_lsn": "00000025:00000d98:00a2"}, "op": "c", "ts_ms": T0}
    elsewhere = {**server, "source": server["source"] | {"schema": "sales"}}
    shop.write("in/changes.ndjson", _lines(_order("c", 1, "1", 0), _order("c", 2, "1", 0, source={"connector": "mysql", "db": "shop", "table": "orders"}), server, elsewhere))
    landed = shop.land()
    assert (landed.rows["orders"], landed.rows["contacts"]) == (2, 1)


def test_what_is_no_change_of_a_row_says_nothing(shop: Shop) -> None:
    shop.source(BARE)
    quiet = ({"status": "BEGIN", "id": "571", "ts_ms": T0}, {"ts_ms": T0}, {"source": {}, "ddl": "ALTER TABLE x", "tableChanges": []}, {"op": "m", "source": {"table": ""}, "message": {}, "ts_ms": T0})
    shop.write("in/changes.ndjson", _lines(_order("c", 1, "1", 0), *quiet))
    landed = shop.land()
    assert (landed.quarantined, len(shop.rows("orders"))) == (0, 1)


def test_what_cannot_be_taken_is_held_and_comes_in_again(shop: Shop) -> None:
    shop.source(BARE)
    flat = {"no": 5, "placed_at": "2026-09-01", "total": "1", "customer": "C"}
    unsent = _order("u", 6, "3", 4)
    unsent["after"]["customer"] = NOT_SENT
    known = _order("u", 7, "4", 4)
    known["after"]["customer"], known["before"] = NOT_SENT, {"no": 7, "customer": "Known"}
    renamed = _order("c", 8, "1", 5)
    renamed["after"]["amount"] = renamed["after"].pop("total")
    good = [_order("c", no, "1", 0) for no in range(10, 20)]
    shop.write("in/changes.ndjson", _lines(*good, flat, unsent, known, renamed, {"op": "d", "before": None, "after": None, "source": {"table": "orders"}, "ts_ms": T0}, _order("c", 9, "much", 6)) + "not json\n")
    landed = shop.land()
    assert (landed.quarantined, landed.rows["orders"]) == (6, 11)
    told = {held.what for held in quarantine.held(shop.lake)}
    assert "the record is no change: it has no 'op'" in told
    assert "'customer' of orders did not change and was not sent" in told
    assert "column 'total' is missing from orders" in told
    assert "'gross' is 'much', which is no number as the mapping says" in told
    for held in quarantine.held(shop.lake):
        if "amount" in held.body or "much" in held.body:
            quarantine.fix(shop.lake, held.record_id, held.body.replace("amount", "total").replace("much", "2"))
    assert quarantine.replay(shop.lake, shop.config).rows["orders"] == 2
    assert len(quarantine.held(shop.lake)) == 4


def test_a_file_of_something_else_is_refused_whole(shop: Shop) -> None:
    shop.source(BARE)
    shop.write("in/changes.ndjson", _lines({"no": 1}, {"no": 2}, _order("c", 1, "1", 0)))
    with pytest.raises(SourceError, match="most lines cannot be taken: the record is no change"):
        shop.land()
    assert shop.is_empty()
    shop.source(SOURCE.replace("TYPES", "{total: epoch_day}"))
    with pytest.raises(ConfigError, match="no column is written as 'epoch_day'"):
        shop.land()


def test_changes_over_http_land_once_from_the_inbox(shop: Shop) -> None:
    shop.source(BARE)
    with_inbox = Inbox(shop.root / "inbox.sqlite", writing=True)
    with_inbox.append(json.dumps([_order("c", 1, "10", 0), _order("c", 2, "20", 1)]).encode(), source="shop", kind="change")
    with_inbox.append(json.dumps(_order("d", 2, None, 2)).encode(), source="shop", kind="change")
    with_inbox.append(b'[{"op": "x"}]', source="shop", kind="change")
    (landed,) = land_inbox(shop.lake, shop.config, with_inbox, clock=lambda: NOW)
    assert (_orders(shop), landed.quarantined) == ({"1": 10}, 1)
    with_inbox.append(json.dumps([_order("u", 1, "9", 1), _order("u", 1, "12", 4), None]).encode(), source="shop", kind="change")
    land_inbox(shop.lake, shop.config, with_inbox, clock=lambda: NOW)
    assert _orders(shop) == {"1": 12}
    with_inbox.append(json.dumps(_order("u", 1, "13", 5)).encode(), source="other", kind="change")
    (landed,) = land_inbox(shop.lake, shop.config, with_inbox, clock=lambda: NOW)
    assert (landed.quarantined, _orders(shop)) == (1, {"1": 12}), "a source without a mapping loses nothing: it is held"
    with_inbox.close()


def test_an_emptied_table_is_empty_but_for_what_came_after(shop: Shop) -> None:
    shop.source(BARE)
    shop.write("in/changes1.ndjson", _lines(_order("c", 1, "1", 0), _order("c", 2, "2", 1), _order("c", 3, "3", 9)))
    shop.land()
    emptied = {"before": None, "after": None, "source": {"schema": "public", "table": "orders", "ts_ms": T0 + 5}, "op": "t", "ts_ms": T0 + 5}
    shop.write("in/changes2.ndjson", _lines(_order("c", 4, "4", 4), emptied, _order("c", 5, "5", 6)))
    assert shop.land().removed == {"orders": 2}
    assert _orders(shop) == {"3": 3, "5": 5}, "order 3 was told at a later moment"


def test_the_line_that_names_all_columns_counts_wherever_the_engine_puts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from kundig.collect.sources import readers
    from kundig.store.engines.duckdb import connect

    con = connect(threads=2, memory="500MB")
    monkeypatch.setattr(readers, "LOOKED_AT", 1)
    con.execute("""CREATE TEMP TABLE _objects AS SELECT 0 AS _file, unnest([3, 2, 1]) AS _row, unnest(['{"a": 3}', '{"a": 2}', '{"a": null, "b": null}']) AS line""")
    raw = readers._columns(con, [Path("x")], ("a", "b"), "_raw", ())
    assert con.execute(f"SELECT count(a), count(b) FROM {raw.relation}").fetchall() == [(2, 0)]


ODD = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6), st.sampled_from(["orders", "c", "d", "t", NOT_SENT, "\ud800"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["op", "source", "table", "before", "after", "ts_ms", "payload", "schema", "fields", "field", "name", "parameters", "value", "key", "scale", "no", "total", "placed_at", "customer"]), inner, max_size=7)),
    max_leaves=20,
)  # fmt: skip


@given(record=st.one_of(ODD, st.builds(lambda more, after: _order("c", 1, "1", 0) | more | {"after": after}, st.dictionaries(st.sampled_from(["schema", "before", "ts_ms", "op"]), ODD), ODD)))
@settings(max_examples=300, deadline=None)
def test_whatever_comes_is_a_line_or_held(record: Any) -> None:
    """A record that fails in some other way would keep back all that waits behind it."""
    from kundig.collect.cdc.debezium import Translation
    from kundig.config.collect import Input

    table = {"types": {"placed_at": "unix_ms", "total": "decimal:2"}, "lands": [{"table": "orders", "columns": {"order_id": "no", "occurred_at": "placed_at", "gross": "total"}}]}
    translation = Translation(Input.model_validate({"format": "debezium", "tables": {"orders": table}}))
    for one in translation.lines([(1, json.dumps({"payload": record, "schema": record.get("schema")} if isinstance(record, dict) and "schema" in record else record))]):
        if isinstance(one, tuple):
            one[1].encode()


STEP = st.tuples(st.sampled_from("cud"), st.integers(1, 4), st.integers(0, 99))


@given(steps=st.lists(STEP, min_size=1, max_size=12), cuts=st.sets(st.integers(1, 11), max_size=3), seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_order_files_repeat_the_last_word_holds(steps: list[tuple[str, int, int]], cuts: set[int], seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Against a dict: files with repeats of what earlier files told, as a broker delivers at least once."""
    shop = Shop(Path(tmp_path_factory.mktemp("w")))
    shop.source(BARE)
    truth: dict[str, float] = {}
    records = []
    for at, (op, no, total) in enumerate(steps):
        records.append(_order(op, no, None if op == "d" else str(total), at))
        if op == "d":
            truth.pop(str(no), None)
        else:
            truth[str(no)] = total
    chance = random.Random(seed)
    edges = [0, *sorted(cut for cut in cuts if cut < len(records)), len(records)]
    for number, (start, end) in enumerate(itertools.pairwise(edges)):
        again = records[chance.randint(0, start) : start]  # what was not yet confirmed is sent again, in its order
        shop.write(f"in/changes{number}.ndjson", _lines(*again, *records[start:end]))
        shop.land(files=[f"in/changes{number}.ndjson"])
    assert _orders(shop) == truth
