"""Records of made-up people for the tests of understand: facts by hand or at random, as landing and unify would write them."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa

from kundig.config.understand import Costs
from kundig.schema import Table
from kundig.store.engines.session import arrow_schema, as_known, conform
from kundig.tables.collect import CAMPAIGN_MESSAGES, ORDER_LINES, ORDERS, PRODUCTS, SUBSCRIPTIONS, SURVEY_ANSWERS, TICKETS
from kundig.tables.understand import FEATURES
from kundig.tables.unify import IDENTITIES, PERSON_DAYS
from kundig.understand.features import features

ZONE = "Europe/Berlin"
READS = features.reads
LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def berlin(text: str) -> dt.datetime:
    """A wall-clock moment in Berlin, in UTC."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE)).astimezone(dt.UTC)


def day_of(moment: dt.datetime) -> dt.date:
    return moment.astimezone(ZoneInfo(ZONE)).date()


def arrow(table: Table, records: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([{name: record.get(name) for name in table.names} for record in records], schema=arrow_schema(table))


class Engine:
    """One DuckDB session in UTC, as the store opens it."""

    def __init__(self) -> None:
        self.con = ibis.duckdb.connect()
        self.con.raw_sql("SET TimeZone='UTC'")
        self.number = 0

    def table(self, rows: pa.Table) -> Any:
        self.number += 1
        return self.con.create_table(f"t{self.number}", rows)


class World:
    """Facts by table; `add` fills in clocks, days and ids."""

    def __init__(self) -> None:
        self.facts: dict[str, list[dict[str, Any]]] = {table.name: [] for table in READS}

    def add(self, table: Table, at: dt.datetime | None = None, **values: Any) -> None:
        rows = self.facts[table.name]
        base: dict[str, Any] = {}
        if at is not None:
            base = {"occurred_at": at, "received_at": at, "local_day": day_of(at)}
        ids = {name: f"{table.name}:{len(rows)}" for name in table.key if name in ("order_id", "line_id", "ticket_id", "answer_id", "subscription_id", "message_id")}
        rows.append(ids | base | values)

    def person(self, person: int, *identifiers: int, since: dt.datetime = LONG_AGO, until: dt.datetime | None = None, shared: bool = False) -> None:
        for identifier in identifiers:
            self.add(IDENTITIES, identifier_key=identifier, person_key=person, valid_from=since, valid_until=until, shared=shared)

    def order(self, identifier: int, at: dt.datetime, net: float, order_id: str | None = None, **values: Any) -> str:
        name = order_id or f"o{len(self.facts['orders'])}"
        base = {"order_id": name, "identifier_key": identifier, "status": "completed", "net": net, "gross": round(net * 1.19, 2), "discount": 0.0}
        self.add(ORDERS, at, **{key: _money(value) for key, value in (base | values).items()})
        return name

    def line(self, identifier: int, at: dt.datetime, order_id: str, product: str, quantity: float, net: float, **values: Any) -> None:
        base = {"identifier_key": identifier, "order_id": order_id, "product_id": product, "quantity": quantity, "net": net, "line_kind": "goods"}
        self.add(ORDER_LINES, at, **{key: _money(value) for key, value in (base | values).items()})

    def visit(self, person: int, day: dt.date, event: str = "page_viewed", channel: str = "direct") -> None:
        at = dt.datetime.combine(day, dt.time(12), dt.UTC)
        self.add(PERSON_DAYS, person_key=person, local_day=day, event=event, channel=channel, count=1, first_at=at, last_at=at)

    def table(self, table: Table) -> pa.Table:
        return arrow(table, self.facts[table.name])


def _money(value: Any) -> Any:
    from decimal import Decimal

    return Decimal(str(round(value, 4))) if isinstance(value, float) else value


def computed(world: World, as_of: dt.datetime, *, zone: str = ZONE, costs: Costs | None = None, only: set[int] | None = None, shuffle: int | None = None) -> dict[int, dict[str, Any]]:
    """The features of a world by person; with `only`, from the facts of these persons alone, as an incremental run sees them."""
    engine = Engine()
    inputs = []
    owned = {row["identifier_key"] for row in world.facts["identities"] if only is None or row["person_key"] in only}
    for table in READS:
        rows = list(world.facts[table.name])
        if only is not None and "person_key" in table.names:
            rows = [row for row in rows if row["person_key"] in only]
        elif only is not None and "identifier_key" in table.names:
            rows = [row for row in rows if row["identifier_key"] in owned]
        if shuffle is not None:
            random.Random(shuffle).shuffle(rows)
        known = engine.table(arrow(table, rows))
        inputs.append(as_known(known, table, as_of) if table.room == "collect" and table is not PRODUCTS else known)
    result = features(*inputs, as_of=as_of, zone=zone, costs=costs or Costs())
    found = engine.con.to_pyarrow(conform(result, FEATURES, changed_run=1)).to_pylist()
    assert len({row["person_key"] for row in found}) == len(found)
    return {row["person_key"]: row for row in found}


__all__ = [
    "CAMPAIGN_MESSAGES", "IDENTITIES", "ORDERS", "ORDER_LINES", "PERSON_DAYS", "PRODUCTS", "SUBSCRIPTIONS", "SURVEY_ANSWERS", "TICKETS", "Engine", "World",
    "arrow", "berlin", "computed", "day_of",
]  # fmt: skip
