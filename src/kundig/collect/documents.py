"""Documents out of lines: cancellations take back the purchase they cancel, orders are counted from their lines, events tell of orders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from kundig.collect.cells import DUCK_TYPES
from kundig.collect.identifiers import literal, quoted
from kundig.collect.mapping import Context
from kundig.collect.returns import taken_back
from kundig.collect.rows import Canonical, Existing
from kundig.collect.sources.raw import Connection
from kundig.config.collect import Landing
from kundig.schema import Table
from kundig.tables.collect import ORDER_LINES, ORDERS

COUNTED_COLUMNS = ("net", "tax", "product_cost", "shipping", "gross", "status")
"""Columns of orders that are counted from lines."""

COUNTED = ("goods", "shipping", "discount", "voucher")
"""Kinds of lines that make a document an order; one of fees and adjustments alone is none."""


def cut_cancellations(con: Connection, lines: str, existing: Existing) -> None:
    """Give each cancelled line in the temporary table `lines` the order it takes back; it is cut where it takes back several.

    The first part keeps the line's id, further ones add #2, #3. A part that no known purchase covers stays with its own document.
    """
    cancelled = con.execute(
        f"SELECT identifier_key, product_id, epoch_us(occurred_at), line_id, unit_price, -quantity FROM {quoted(lines)} "
        "WHERE _cancels AND quantity < 0 AND identifier_key IS NOT NULL AND product_id IS NOT NULL"
    ).fetchall()
    if not cancelled:
        return
    articles = f"SELECT DISTINCT identifier_key, product_id FROM {quoted(lines)} WHERE _cancels AND quantity < 0 AND identifier_key IS NOT NULL"
    known = [f"SELECT identifier_key, product_id, occurred_at, line_id, order_id, unit_price, quantity FROM {quoted(lines)} WHERE NOT _cancels AND quantity > 0"]
    landed = existing("order_lines")
    if landed:
        known.append(f"SELECT identifier_key, product_id, occurred_at, line_id, order_id, unit_price, quantity FROM {landed} WHERE quantity > 0")
    purchases = con.execute(
        f"SELECT identifier_key, product_id, epoch_us(occurred_at), line_id, order_id, coalesce(unit_price, 0), quantity FROM ({' UNION ALL '.join(known)}) "
        f"SEMI JOIN ({articles}) a USING (identifier_key, product_id)"
    ).fetchall()
    before = []
    if landed:
        sql = f"SELECT order_id, product_id, -sum(quantity) FROM {landed} SEMI JOIN ({articles}) a USING (identifier_key, product_id) WHERE quantity < 0 GROUP BY ALL"
        before = con.execute(sql).fetchall()
    parts = list(taken_back(purchases, cancelled, before))
    table = pa.table(
        {
            "line_id": pa.array([part.line_id for part in parts], pa.string()), "part": pa.array([part.part for part in parts], pa.int64()),
            "order_id": pa.array([part.order_id for part in parts], pa.string()), "quantity": pa.array([part.quantity for part in parts], pa.decimal128(18, 4)),
        }
    )  # fmt: skip
    con.register("_incoming", table)
    replaced = (
        "CASE WHEN p.part > 1 THEN l.line_id || '#' || p.part ELSE l.line_id END AS line_id, coalesce(p.order_id, l.order_id) AS order_id, -p.quantity AS quantity, "
        "CASE WHEN p.quantity = -l.quantity THEN l.net ELSE CAST(round(-p.quantity * l.unit_price, 4) AS DECIMAL(18, 4)) END AS net, "
        "CAST(round(l.gross * p.quantity / -l.quantity, 4) AS DECIMAL(18, 4)) AS gross, CAST(round(l.product_cost * p.quantity / -l.quantity, 4) AS DECIMAL(18, 4)) AS product_cost"
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE _cut AS SELECT l.* REPLACE ({replaced}) FROM {quoted(lines)} l JOIN _incoming p ON l.line_id = p.line_id")
    con.execute(f"DELETE FROM {quoted(lines)} WHERE line_id IN (SELECT line_id FROM _incoming)")
    con.execute(f"INSERT INTO {quoted(lines)} SELECT * FROM _cut")
    con.unregister("_incoming")
    con.execute("DROP TABLE _cut")


def fill_costs(con: Connection, lines: str, existing: Existing) -> None:
    """Give lines without a cost the cost of their article, where `products` knows it."""
    landed = existing("products")
    if landed is None:
        return
    sql = f"UPDATE {quoted(lines)} SET product_cost = CAST(round(p.cost * quantity, 4) AS DECIMAL(18, 4)) FROM (SELECT product_id, cost FROM {landed} WHERE cost IS NOT NULL) p"
    con.execute(f"{sql} WHERE {quoted(lines)}.product_id = p.product_id AND product_cost IS NULL AND line_kind = 'goods'")


def orders_from_lines(con: Connection, context: Context, landing: Landing, lines: str, existing: Existing, *, name: str) -> None:
    """Fill the temporary table `name` with the orders that the lines of `lines` belong to, counted from all their lines, landed ones too."""
    own = f"SELECT {', '.join(quoted(c) for c in ORDER_LINES.names if c != 'batch_id')}, _cancels, _file, _row FROM {quoted(lines)}"
    parts = [own]
    landed, orders = existing("order_lines"), existing("orders")
    if landed:
        columns = ", ".join(quoted(c) for c in ORDER_LINES.names if c != "batch_id")
        parts.append(f"SELECT {columns}, quantity < 0, -1, 0 FROM {landed} WHERE order_id IN (SELECT order_id FROM {quoted(lines)})")
    first = "ORDER BY _file, _row"
    extras: Mapping[str, Any] = landing.orders or {}
    picked = "".join(f", first({quoted('o:' + column)} {first}) FILTER ({quoted('o:' + column)} IS NOT NULL) AS {quoted(column)}" for column in extras)
    joined = f"LEFT JOIN (SELECT order_id, {', '.join(quoted(c) for c in extras)} FROM {orders}) b USING (order_id)" if orders and extras else ""
    shown = {
        "order_id": "a.order_id", "source": literal(context.name), "occurred_at": "a.occurred_at", "received_at": "a.received_at", "local_day": "a.local_day",
        "identifier_key": "a.identifier_key", "other_keys": "coalesce(a.other_keys, [])", "gross": "a.gross", "net": "a.net", "shipping": "a.shipping",
        "discount": "a.discount", "product_cost": "a.product_cost", "status": "a.status", "original_currency": literal(context.file_currency),
    }  # fmt: skip
    for column in extras:
        shown[column] = f"coalesce(b.{quoted(column)}, e.{quoted(column)})" if joined else f"e.{quoted(column)}"
    columns = ", ".join(f"CAST({shown.get(c.name, 'NULL')} AS {DUCK_TYPES[c.type]}) AS {quoted(c.name)}" for c in ORDERS.columns if c.name != "batch_id")
    counted = ", ".join(literal(kind) for kind in COUNTED)
    con.execute(f"""
CREATE OR REPLACE TEMP TABLE {quoted(name)} AS
WITH whole AS ({' UNION ALL '.join(parts)}),
a AS (
  SELECT order_id, coalesce(min(occurred_at) FILTER (NOT _cancels), min(occurred_at)) AS occurred_at,
    coalesce(min(received_at) FILTER (NOT _cancels), min(received_at)) AS received_at, coalesce(min(local_day) FILTER (NOT _cancels), min(local_day)) AS local_day,
    min(identifier_key) AS identifier_key, any_value(other_keys) FILTER (len(other_keys) > 0) AS other_keys,
    sum(net) FILTER (line_kind <> 'fee') AS gross, coalesce(sum(net) FILTER (line_kind IN ('goods', 'discount')), 0) AS net,
    sum(net) FILTER (line_kind = 'shipping') AS shipping, -sum(net) FILTER (line_kind = 'discount') AS discount,
    CASE WHEN count(*) FILTER (line_kind = 'goods' AND product_cost IS NULL) = 0 THEN sum(product_cost) END AS product_cost,
    sum(net) FILTER (NOT _cancels AND line_kind <> 'fee') AS sold,
    CASE WHEN bool_and(_cancels) THEN 'cancelled' WHEN NOT bool_or(_cancels) THEN 'completed'
      WHEN coalesce(sum(net) FILTER (line_kind IN ('goods', 'discount')), 0) <= 0 THEN 'cancelled' ELSE 'returned' END AS status
  FROM whole GROUP BY order_id HAVING count(*) FILTER (line_kind IN ({counted})) > 0
), e AS (SELECT order_id{picked} FROM {quoted(lines)} GROUP BY order_id)
SELECT 0 AS _file, 0::BIGINT AS _row, a.status = 'cancelled' AND coalesce(a.sold, 0) <= 0 AS _cancels, {columns}, a.sold AS _sold FROM a JOIN e USING (order_id) {joined}""")


def count_orders(con: Connection, context: Context, orders: str | None, lines: str | None, existing: Existing, *, name: str) -> bool:
    """Fill `name` with the orders of this delivery counted from their lines, and `name`_back with lines that take cancelled ones back.

    Of `orders` (a temporary table, or None: the landed orders of `lines`) each whose lines are known gets goods' value, tax and cost from
    them; gross is all lines with tax and the shipping of the document. A cancelled order whose lines still have value gets its lines once
    more with negative quantity. Returns whether there is anything.
    """
    landed_orders, landed_lines = existing("orders"), existing("order_lines")
    columns = ", ".join(quoted(c) for c in ORDERS.names if c != "batch_id")
    if orders is not None:
        source = f"SELECT {columns} FROM {quoted(orders)}"
    elif landed_orders is not None and lines is not None:
        source = f"SELECT {columns} FROM {landed_orders} WHERE order_id IN (SELECT order_id FROM {quoted(lines)})"
    else:
        return False
    own = ", ".join(quoted(c) for c in ORDER_LINES.names if c != "batch_id")
    parts = [f"SELECT {own} FROM {quoted(lines)}"] if lines is not None else []
    if landed_lines is not None:
        parts.append(f"SELECT {own} FROM {landed_lines} WHERE order_id IN (SELECT order_id FROM _documents)")
    con.execute(f"CREATE OR REPLACE TEMP TABLE _documents AS {source}")
    if not parts:
        return False
    con.execute(f"CREATE OR REPLACE TEMP TABLE _known AS {' UNION ALL '.join(parts)}")
    value = "CAST(round(-l.{0}, 4) AS DECIMAL(18, 4)) AS {0}"
    changed = ", ".join(value.format(column) for column in ("quantity", "net", "gross", "product_cost"))
    con.execute(f"""
CREATE OR REPLACE TEMP TABLE {quoted(name + '_back')} AS
SELECT l.* REPLACE (l.line_id || '#c' AS line_id, d.received_at AS received_at, greatest(l.occurred_at, d.received_at) AS occurred_at,
    CAST(timezone({literal(context.zone)}, greatest(l.occurred_at, d.received_at)) AS DATE) AS local_day, {changed}), 0 AS _file, 0::BIGINT AS _row, true AS _cancels
FROM _known l JOIN _documents d USING (order_id)
JOIN (SELECT order_id FROM _known GROUP BY order_id HAVING sum(net) FILTER (line_kind = 'goods') > 0) v USING (order_id)
WHERE d.status = 'cancelled' AND l.quantity > 0 AND NOT EXISTS (SELECT 1 FROM _known k WHERE k.line_id = l.line_id || '#c')""")
    con.execute(f"INSERT INTO _known SELECT {own} FROM {quoted(name + '_back')}")
    counted = (
        "CAST(t.net AS DECIMAL(18, 4)) AS net, CAST(coalesce(t.tax, d.tax) AS DECIMAL(18, 4)) AS tax, CAST(coalesce(t.cost, d.product_cost) AS DECIMAL(18, 4)) AS product_cost, "
        "CASE WHEN d.status = 'cancelled' THEN 0 ELSE d.shipping END AS shipping, "
        "CAST(t.paid + CASE WHEN d.status = 'cancelled' THEN 0 ELSE coalesce(d.shipping, 0) END AS DECIMAL(18, 4)) AS gross, "
        "CASE WHEN d.status = 'completed' AND t.returned THEN CASE WHEN t.net <= 0 THEN 'cancelled' ELSE 'returned' END ELSE d.status END AS status"
    )
    con.execute(f"""
CREATE OR REPLACE TEMP TABLE {quoted(name)} AS
SELECT d.* REPLACE ({counted}), 0 AS _file, 0::BIGINT AS _row, false AS _cancels FROM _documents d JOIN (
  SELECT order_id, coalesce(sum(net) FILTER (line_kind IN ('goods', 'discount')), 0) AS net, sum(gross - net) AS tax, sum(coalesce(gross, net)) FILTER (line_kind <> 'fee') AS paid,
    CASE WHEN count(*) FILTER (line_kind = 'goods' AND product_cost IS NULL) = 0 THEN sum(product_cost) END AS cost, bool_or(quantity < 0) AS returned
  FROM _known GROUP BY order_id
) t USING (order_id)""")
    con.execute("DROP TABLE _documents")
    con.execute("DROP TABLE _known")
    return True


def emitted(con: Connection, context: Context, emits: Mapping[str, str], rows: Canonical, events: Table, *, name: str) -> None:
    """Fill the temporary table `name` with one event per row of a landing, named as its mapping says."""
    table = rows.table
    status = "CASE WHEN _cancels THEN 'cancelled' ELSE 'completed' END" if table.name == "orders" else "status" if "status" in table.names else "'*'"
    cases = " ".join(f"WHEN {literal(key)} THEN {_template(text)}" for key, text in emits.items() if key != "*")
    rest = _template(emits["*"]) if "*" in emits else "NULL"
    if table.name == "orders" and "*" in emits:
        rest = f"CASE WHEN _cancels THEN NULL ELSE {rest} END"
    event = f"CASE {status} {cases} ELSE {rest} END" if cases else rest
    key = " || ':' || ".join(f"CAST({quoted(column)} AS VARCHAR)" for column in table.key)
    sold = "coalesce(_sold, gross)" if table.name == "orders" and _has(con, rows.relation, "_sold") else "gross" if table.name == "orders" else "amount" if "amount" in table.names else "NULL"
    shown = {
        "event_id": key if table.name == "orders" else f"{key} || ':' || ({event})", "source": "source", "name": event, "kind": "'track'", "occurred_at": "occurred_at",
        "received_at": "received_at", "local_day": f"CAST(timezone({literal(context.zone)}, occurred_at) AS DATE)", "identifier_key": "identifier_key",
        "other_keys": "other_keys", "value": sold, "platform": "CASE channel WHEN 'shop' THEN 'web' ELSE channel END" if table.name == "orders" else "NULL",
        "channel": "channel" if table.name in ("campaign_messages", "ad_contacts") else "NULL", "campaign": "campaign" if "campaign" in table.names else "NULL",
    }  # fmt: skip
    if table.name == "orders" and "order_id" in events.names:
        shown["order_id"] = "order_id"
    columns = ", ".join(f"CAST({shown.get(c.name, 'NULL')} AS {DUCK_TYPES[c.type]}) AS {quoted(c.name)}" for c in events.columns if c.name != "batch_id")
    con.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} AS SELECT _file, _row, false AS _cancels, {columns} FROM {quoted(rows.relation)} WHERE ({event}) IS NOT NULL")


def _template(text: str) -> str:
    """SQL of a name with canonical columns in braces.

    Examples:
        >>> _template("{channel}_{outcome}")
        '"channel" || \\'_\\' || "outcome"'
    """
    parts = [quoted(part[1:-1]) if part.startswith("{") else literal(part) for part in re.split(r"(\{[a-z_]+\})", text) if part]
    return " || ".join(parts)


def _has(con: Connection, relation: str, column: str) -> bool:
    return any(row[0] == column for row in con.execute(f"DESCRIBE {quoted(relation)}").fetchall())
