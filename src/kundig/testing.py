"""Help for tests: a small, dense, dirty world as landed rows, and a workspace of default files to run it in.

Dense on purpose: few identifiers and names, ties of time, nulls, days of clock change, late and future facts, so that rare branches
are taken often. Not the made-up shop of `simulate`: no truth, no realism.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from kundig import tables as declared
from kundig.clock import local_day

if TYPE_CHECKING:
    import pyarrow as pa

    from kundig.store.lake import Lake

ZONE = "Europe/Berlin"
END = dt.datetime(2026, 10, 31, 12, 0, tzinfo=dt.UTC)
CLOCK_CHANGES = tuple(dt.datetime.fromisoformat(local) for local in ("2026-03-28T23:00", "2026-03-29T23:30", "2026-10-24T23:30", "2026-10-25T23:30"))
CHANNELS = ("direct", "email", "paid_search", "organic_search", None)
EVENTS = ("page_viewed", "product_viewed", "signed_in", "checkout_started", "order_completed")


def key(namespace: str, value: str) -> int:
    """The identifier key of a normalised value: md5 of 'namespace:value', first 15 hex digits.

    Examples:
        >>> key("email", "a@example.org")
        138907601557997974
    """
    return int(hashlib.md5(f"{namespace}:{value}".encode()).hexdigest()[:15], 16)


class World:
    """Landed rows of a small world, growable by days so that incremental runs have something to do."""

    def __init__(self, seed: int = 1, people: int = 30) -> None:
        self.random = random.Random(seed)
        self.people = people
        self.serial = 0
        self.known: dict[int, tuple[str, str, dt.datetime | None]] = {}

    def rows(self, *, until: dt.datetime = END, days: int = 200, events: int = 600, orders: int = 120, late: float = 0.05) -> dict[str, pa.Table]:
        """Rows of the collect tables for a span of days, as landing would write them: table → Arrow rows."""
        batch = f"batch-{self.serial}"
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in ("events", "orders", "order_lines", "contacts", "tickets", "consent_records", "campaign_messages")}
        for _ in range(events):
            found["events"].append(self._event(until, days, late, batch))
        for _ in range(orders):
            self._order(found, until, days, late, batch)
        for _ in range(max(2, self.people // 3)):
            found["contacts"].append(self._contact(until, days, batch))
            found["consent_records"].append(self._consent(until, days))
            found["tickets"].append(self._ticket(until, days, batch))
        for _ in range(self.people):
            found["campaign_messages"] += self._message(until, days, batch)
        touched = sorted({one for rows in found.values() for row in rows for one in (row["identifier_key"], *(row["other_keys"] or ())) if one is not None})
        found["touched"] = [{"batch_id": batch, "identifier_key": one, "received_at": until} for one in touched]
        found["identifiers"] = self._identifiers()
        if self.serial == 0 or not hasattr(self, "_products"):
            self._products = True
            found["products"] = [self._product(number, until - dt.timedelta(days=days)) for number in range(12)]
            found["ad_spend"] = [self._spend(until, number) for number in range(0, days, 5)]
        self.serial += 1
        return {name: _arrow(name, rows) for name, rows in found.items() if rows}

    # one row each

    def _when(self, until: dt.datetime, days: int, late: float) -> tuple[dt.datetime, dt.datetime]:
        draw = self.random.random()
        if draw < 0.05:
            occurred = self.random.choice(CLOCK_CHANGES).replace(tzinfo=ZoneInfo(ZONE)).astimezone(dt.UTC)
            occurred = occurred if until - dt.timedelta(days=days) <= occurred <= until else until - dt.timedelta(hours=3)
        elif draw < 0.10:
            occurred = until + dt.timedelta(hours=self.random.randint(1, 60))
        else:
            occurred = until - dt.timedelta(minutes=30 * self.random.randint(0, days * 48))
        received = occurred + dt.timedelta(days=self.random.randint(1, 5)) if self.random.random() < late else occurred
        return occurred, received

    def _who(self) -> tuple[int | None, list[int]]:
        person = self.random.randrange(self.people)
        device = key_of(self, "anonymous_id", f"device-{person % max(1, self.people - 3)}-{self.random.randrange(2)}")
        draw = self.random.random()
        if draw < 0.4:
            return device, []
        customer = key_of(self, "shop_customer", str(1000 + person))
        mail = key_of(self, "email", f"person{person}@example.org")
        if draw < 0.7:
            return customer, sorted([device])
        if draw < 0.95:
            return customer, sorted([mail])
        return (mail, []) if draw < 0.99 else (None, [])

    def _event(self, until: dt.datetime, days: int, late: float, batch: str) -> dict[str, Any]:
        occurred, received = self._when(until, days, late)
        who, others = self._who()
        self.serial += 1
        name = self.random.choice(EVENTS)
        return {
            "event_id": f"web:{self.serial}", "source": "web", "name": name, "kind": "page" if name == "page_viewed" else "track", "occurred_at": occurred, "received_at": received,
            "local_day": local_day(occurred, ZONE), "identifier_key": who, "other_keys": others, "session_key": None, "channel": self.random.choice(CHANNELS),
            "campaign": self.random.choice(("spring", "autumn", None)), "platform": self.random.choice(("web", "ios", None)), "page_path": "/" + self.random.choice("abc"),
            "value": Decimal(self.random.randrange(10_000)) / 100 if name == "order_completed" else None, "properties": None, "batch_id": batch,
        }  # fmt: skip

    def _order(self, found: dict[str, list[dict[str, Any]]], until: dt.datetime, days: int, late: float, batch: str) -> None:
        occurred, received = self._when(until, days, late)
        who, others = self._who()
        self.serial += 1
        name, day = f"shop:{self.serial}", local_day(occurred, ZONE)
        status = self.random.choice(("completed", "completed", "completed", "returned", "cancelled"))
        lines: list[dict[str, Any]] = []
        for number in range(self.random.randint(1, 3)):
            net = Decimal(self.random.randrange(500, 8_000)) / 100
            base = {"order_id": name, "source": "shop", "occurred_at": occurred, "received_at": received, "local_day": day, "identifier_key": who, "other_keys": others, "batch_id": batch}
            product = f"P{self.random.randrange(12)}"
            cost = (net / 2).quantize(Decimal("0.0001")) if self.random.random() < 0.7 else None
            lines.append(base | {"line_id": f"{name}:{number}", "product_id": product, "quantity": Decimal(1), "unit_price": net, "net": net, "product_cost": cost, "line_kind": "goods"})
            if status == "returned" and number == 0:
                back = {"line_id": f"{name}:{number}r", "product_id": product, "quantity": Decimal(-1), "unit_price": net, "net": -net, "product_cost": None if cost is None else -cost}
                lines.append(base | back | {"line_kind": "goods"})
        goods = sum((line["net"] for line in lines), Decimal(0)) if status != "cancelled" else Decimal(0)
        costs = [line["product_cost"] for line in lines]
        found["order_lines"] += lines
        found["orders"].append(
            {
                "order_id": name, "source": "shop", "occurred_at": occurred, "received_at": received, "local_day": day, "identifier_key": who, "other_keys": others, "status": status,
                "channel": self.random.choice(("shop", "app", "till")), "original_currency": "EUR", "gross": goods * Decimal("1.19"), "net": goods, "tax": goods * Decimal("0.19"),
                "shipping": Decimal(0), "discount": Decimal(0), "product_cost": None if any(cost is None for cost in costs) else sum(costs, Decimal(0)), "offer_code": None,
                "acquisition_channel": self.random.choice(CHANNELS), "batch_id": batch,
            }
        )  # fmt: skip

    def _contact(self, until: dt.datetime, days: int, batch: str) -> dict[str, Any]:
        occurred, received = self._when(until, days, 0.0)
        person = self.random.randrange(self.people)
        self.serial += 1
        source = self.random.choice(("crm", "shop_customers"))
        who, others = key_of(self, "shop_customer", str(1000 + person)), [key_of(self, "email", f"person{person}@example.org")]
        return {
            "contact_id": f"{source}:{self.serial}", "source": source, "occurred_at": occurred, "received_at": received, "identifier_key": who, "other_keys": others,
            "kind": self.random.choice(("customer", "lead", "subscriber")), "first_name": f"Vorname{person}", "last_name": self.random.choice((f"Nachname{person}", None)),
            "email": f"person{person}@example.org", "city": self.random.choice(("Berlin", "Köln", None)), "country": "DE", "language": self.random.choice(("de", "en", None)),
            "birth_date": dt.date(1950 + person, 2, 28), "attributes": f'{{"size": "{person % 5}"}}', "hobbies": ["Rad"] if person % 2 else None, "acquisition_channel": self.random.choice(CHANNELS), "batch_id": batch,
        }  # fmt: skip

    def _consent(self, until: dt.datetime, days: int) -> dict[str, Any]:
        occurred, received = self._when(until, days, 0.0)
        person = self.random.randrange(self.people)
        self.serial += 1
        lapses = occurred + dt.timedelta(days=self.random.randint(1, 300)) if self.random.random() < 0.3 else None
        return {
            "record_id": f"c:{self.serial}", "source": "shop", "occurred_at": occurred, "received_at": received, "identifier_key": key_of(self, "email", f"person{person}@example.org"),
            "other_keys": [], "purpose": "newsletter", "channel": self.random.choice(("email", "push", "*")), "status": self.random.choice(("given", "requested", "confirmed", "withdrawn", "objected")),
            "basis": "consent", "until": lapses, "wording": "v1", "seq": self.serial,
        }  # fmt: skip

    def _ticket(self, until: dt.datetime, days: int, batch: str) -> dict[str, Any]:
        occurred, received = self._when(until, days, 0.0)
        who, others = self._who()
        self.serial += 1
        solved = occurred + dt.timedelta(hours=5) if self.random.random() < 0.6 else None
        return {
            "ticket_id": f"t:{self.serial}", "source": "support", "occurred_at": occurred, "received_at": received, "identifier_key": who, "other_keys": others, "topic": "Lieferung",
            "status": "solved" if solved else "open", "channel": "email", "solved_at": solved, "satisfaction": self.random.choice((1, 3, 5, None)), "batch_id": batch,
        }  # fmt: skip

    def _message(self, until: dt.datetime, days: int, batch: str) -> list[dict[str, Any]]:
        occurred, received = self._when(until, days, 0.0)
        person = self.random.randrange(self.people)
        self.serial += 1
        base = {
            "message_id": f"m:{self.serial}", "source": "mailer", "occurred_at": occurred, "received_at": received, "local_day": local_day(occurred, ZONE),
            "identifier_key": key_of(self, "email", f"person{person}@example.org"), "other_keys": [], "channel": self.random.choice(("email", "push")), "campaign": "spring",
            "variant": self.random.choice(("a", "b", None)), "batch_id": batch,
        }  # fmt: skip
        outcomes = ["sent", *(name for name, share in (("opened", 0.4), ("clicked", 0.1), ("unsubscribed", 0.02)) if self.random.random() < share)]
        return [base | {"outcome": outcome} for outcome in outcomes]

    def _product(self, number: int, received: dt.datetime) -> dict[str, Any]:
        return {
            "product_id": f"P{number}", "source": "shop", "name": f"Artikel {number}", "category": self.random.choice(("Schuhe", "Räder", "Taschen")), "price": Decimal("49.90"),
            "cost": Decimal("20.00"), "active": True, "received_at": received,
        }  # fmt: skip

    def _spend(self, until: dt.datetime, number: int) -> dict[str, Any]:
        moment = until - dt.timedelta(days=number)
        return {
            "local_day": local_day(moment, ZONE), "platform": "google_ads", "channel": "paid_search", "campaign": "spring", "amount": Decimal("12.50"), "impressions": 1_000, "clicks": 40,
            "source": "google_ads", "received_at": moment,
        }  # fmt: skip

    def _identifiers(self) -> list[dict[str, Any]]:
        fresh = [(one, *what) for one, what in self.known.items() if what[2] is not None]
        rows = [{"identifier_key": one, "namespace": namespace, "value": value, "first_at": first, "source": "web"} for one, namespace, value, first in fresh]
        for one, namespace, value, _ in fresh:
            self.known[one] = (namespace, value, None)
        return rows


def key_of(world: World, namespace: str, value: str) -> int:
    """The key of an identifier, remembered so that it stands in `identifiers` once."""
    one = key(namespace, value)
    if one not in world.known:
        number = int(hashlib.md5(value.encode()).hexdigest()[:4], 16)
        world.known[one] = (namespace, value, dt.datetime(2025, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=number))
    return one


def land(lake: Lake, rows: Mapping[str, pa.Table], *, batch: str | None = None) -> int:
    """Commit landed rows to a lake, as landing would."""
    from kundig.store.lake import Append

    return lake.commit([Append(table=name, source=table) for name, table in rows.items()], batch=batch)


def _arrow(name: str, rows: Sequence[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    from kundig.store.engines.session import arrow_schema

    schema = arrow_schema(declared.ALL[name])
    return pa.Table.from_pylist([{field.name: _fitted(row.get(field.name)) for field in schema} for row in rows], schema=schema)


def _fitted(value: Any) -> Any:
    return value.quantize(Decimal("0.0001")) if isinstance(value, Decimal) else value


TRAITS = {
    "orders_90": "{meaning: Orders of the last 90 days, event: order_completed, within: 90 days, count: true}",
    "spent": "{meaning: Spent since the beginning of the year, event: order_completed, within: {calendar: 1 year}, sum: value, unit: €}",
    "basket": "{meaning: Value of an order, event: order_completed, average: value}",
    "pages": "{meaning: Different pages of a month, event: [page_viewed, order_completed], within: 30 days, distinct: page_path}",
    "last_channel": "{meaning: Channel of the last visit, last: page_viewed, take: channel}",
    "first_order": "{meaning: First order, first: order_completed}",
    "falling_silent": "{meaning: Was here and stays away, rule: {all: [{trait: pages, at_least: 1}, {not: {event: '*', within: 10 days}}]}}",
}
"""Traits of every kind over the events of `World`."""

SEGMENT_RULES = {
    "busy": "{meaning: Bought twice in a fortnight, rule: {event: order_completed, within: 14 days, count: {at_least: 2}}}",
    "silent": "{meaning: Bought and stays away, rule: {all: [{event: order_completed}, {not: {event: '*', within: 21 days}}]}}",
    "browsing": "{meaning: Looks around and has not bought this month, rule: {all: [{event: page_viewed, within: 10 days, count: {at_least: 2}}, {not: {event: order_completed, within: {calendar: 1 month}}}]}}",
}
"""Segments by rule over the events of `World`."""


def default_workspace(folder: Path, *, traits: bool = False, predictions: bool = False) -> Path:
    """A workspace of the default files in a folder; with `traits` also traits of every kind, an attribute of its own, and personas; with `predictions` one of these."""
    from kundig.config.defaults import write_defaults

    write_defaults(folder)
    if traits:
        (folder / "traits").mkdir()
        for name, text in TRAITS.items():
            (folder / "traits" / f"{name}.yaml").write_text(text + "\n", encoding="utf-8")
        (folder / "profiles.yaml").write_text("attributes: {size: {meaning: Size, field: size, type: int64}}\n", encoding="utf-8")
        (folder / "personas/answers").mkdir(parents=True)
        (folder / "personas/customers.yaml").write_text("meaning: Buyers\ndata: [prices, habits, attitudes, traits]\n", encoding="utf-8")
        (folder / "personas/answers/early.yaml").write_text("title: {en: Early birds}\npopulation: everyone\nwho: {hour: {less_than: 13}}\nshare: 0.5\nbelieved: {channel: email}\n", encoding="utf-8")
        (folder / "usecases").mkdir()
        (folder / "usecases/win_back.yaml").write_text("problem: Buyers fall silent\ngoal: {kpi: churn, at_most: 0.2}\ntools: [e-mail]\naudience: win_back\n", encoding="utf-8")
        (folder / "segments/rules").mkdir(parents=True)
        for name, text in SEGMENT_RULES.items():
            (folder / "segments/rules" / f"{name}.yaml").write_text(text + "\n", encoding="utf-8")
    if predictions:
        (folder / "predictions").mkdir()
        text = "meaning: Buyers\nowner: crm@example.org\ntarget: {event: product_bought, where: {quantity: {at_least: 1}}}\nhorizon: 14 days\ncut_offs: 2\nscore_days: 2\ngroups: [country]\n"
        (folder / "predictions/buys.yaml").write_text(text, encoding="utf-8")
    return folder
