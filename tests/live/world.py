"""A small workspace whose calls come through an inbox, with a clock of the test's own."""

from __future__ import annotations

import datetime as dt
import json
import random
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa

import kundig
from kundig import rules
from kundig.collect.inbox_landing import land_inbox
from kundig.live import Live, Now
from kundig.rules import Rule
from kundig.store import live as kept
from kundig.store.inbox import Inbox
from kundig.store.live import LiveStore
from kundig.testing import default_workspace

BEGIN = dt.datetime(2026, 10, 20, 9, 0, tzinfo=dt.UTC)

SOURCE = """
received_at: as_occurred
inputs:
  - files: in/*.ndjson
    format: segment_ndjson
    optional: true
    segment: {platform: web}
"""

PLAN = """
events:
  product_viewed: {value: price, properties: {product_id: {}, price: {type: 'decimal(18,4)'}, category: {}}}
  product_added: {value: price, properties: {product_id: {}, price: {type: 'decimal(18,4)'}, quantity: {type: int64}}}
  checkout_confirmed: {properties: {order_id: {}}}
  signed_in: {}
"""

RULES = {
    "looked": {"event": "product_viewed", "within": "3 days", "count": {"at_least": 3}},
    "spent": {"event": "product_added", "within": "7 days", "sum": {"of": "price", "at_least": 40}},
    "shoes": {"event": "product_viewed", "where": {"category": "shoes"}, "count": {"at_least": 1}},
    "left": {"all": [{"event": "product_added", "within": "2 days"}, {"not": {"event": "checkout_confirmed", "within": "2 days"}}]},
    "quiet": {"not": {"event": "page_viewed", "within": "36 hours"}},
    "newest": {"last": "product_viewed", "where": {"category": ["shoes", "hats"]}},
    "often": {"trait": "looks", "at_least": 2},
    "dear": {"any": [{"trait": "added", "more_than": 20}, {"trait": "last_shown", "is": "hats"}]},
    "path": {"sequence": [{"event": "product_viewed"}, {"event": "product_added", "within": "1 day"}], "within": "10 days"},
}


TRAITS = {
    "looks": "{meaning: Products looked at lately, event: product_viewed, within: 36 hours, count: true}",
    "added": "{meaning: Mean price of what was added, event: product_added, average: price}",
    "last_shown": "{meaning: Category looked at last, last: product_viewed, take: category}",
}


class Street:
    """A workspace, its inbox and its live store."""

    def __init__(self, root: Path) -> None:
        default_workspace(root)
        for name, text in (("sources/web.yaml", SOURCE), ("tracking_plan/web.yaml", PLAN), *((f"traits/{name}.yaml", text) for name, text in TRAITS.items())):
            path = root / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.root = root
        self.workspace = kundig.open(root)
        self.at = BEGIN
        self.inbox = Inbox(root / "data" / "inbox.sqlite", writing=True, clock=lambda: self.at)
        self.inbox.register("land")
        self.store = LiveStore(root / "data" / "live.sqlite")
        self.live = Live(self.workspace.lake, self.workspace.config, self.workspace.tables["events"], self.store, clock=lambda: self.at)
        self.now = Now(self.workspace.lake, self.workspace.config, self.workspace.tables["events"], self.store, state=self.workspace.state)
        self.number = 0

    def send(self, *calls: dict[str, Any], source: str = "web") -> None:
        """One request, a second later."""
        self.at += dt.timedelta(seconds=1)
        self.inbox.append(json.dumps({"batch": calls, "sentAt": self.at.isoformat()}).encode(), source=source, kind="call", meta='{"type": "batch"}')

    def call(self, event: str = "Product Viewed", *, customer: str | None = None, device: str | None = None, late: dt.timedelta = dt.timedelta(0), **properties: Any) -> dict[str, Any]:
        """A track call that happens when it is sent, or so much earlier."""
        self.number += 1
        said = {"messageId": f"m{self.number}", "type": "track", "event": event, "userId": customer, "anonymousId": device, "timestamp": (self.at - late).isoformat(), "properties": properties}
        return {name: value for name, value in said.items() if value is not None}

    def fold(self) -> int:
        """Take in all that waits."""
        whole = 0
        while count := self.live.fold(self.inbox):
            whole += count
        return whole

    def land(self) -> None:
        """Land all that waits."""
        land_inbox(self.workspace.lake, self.workspace.config, self.inbox, state=self.workspace.state, clock=lambda: self.at)

    def release(self) -> None:
        """Land, and release what rules and the fold stand on."""
        self.land()
        self.workspace.run(as_of=self.at, only=("profiles", "sessions", "trait_changes", "consents"))

    def rules(self) -> dict[str, Rule]:
        """The rules of the test, parsed."""
        return rules.parse_many(RULES, self.workspace.config)

    def close(self) -> None:
        self.inbox.close()
        self.workspace.lake.close()
        self.workspace.state.close()

    # the batch answer, given live's identities

    def identities(self) -> list[dict[str, Any]]:
        """The release's identities with the certain links since."""
        release = self.workspace.lake.release()
        rows = [] if release is None else self.workspace.lake.answer(lambda table: f"SELECT identifier_key, person_key, valid_from, valid_until, coalesce(shared, false) AS shared FROM {table('identities')}", release.snapshot_id).to_pylist()
        with self.store.reading() as connection:
            alias = kept.aliases(connection)
            owners = kept.owners_of(connection, [row[0] for row in connection.execute("SELECT identifier_key FROM owners")])

        def root(person: int) -> int:
            while person in alias:
                person = alias[person]
            return person

        found = [row | {"person_key": root(row["person_key"])} for row in rows if row["identifier_key"] not in owners]
        begin = dt.datetime(1900, 1, 1, tzinfo=dt.UTC)
        fresh = [(key, one.person_key) for key, one in owners.items()]
        found += [{"identifier_key": key, "person_key": -1 if person is None else root(person), "valid_from": begin, "valid_until": None, "shared": person is None} for key, person in fresh]
        return found

    def batch_answers(self, at: dt.datetime) -> dict[int, dict[str, bool]]:
        """What the rules say in the warehouse of everybody, over all that has landed."""
        lake = self.workspace.lake
        tables = {name: lake.ibis(name, lake.snapshot()) for name in ("events", "trait_changes", "scores", "segment_members", "list_members", "consents")}
        given = self.identities()
        moment = pa.timestamp("us", tz="UTC")
        schema = pa.schema([("identifier_key", pa.int64()), ("person_key", pa.int64()), ("valid_from", moment), ("valid_until", moment), ("shared", pa.bool_())])
        tables["identities"] = ibis.memtable(pa.Table.from_pylist(given, schema=schema))
        people = sorted({row["person_key"] for row in given if not row["shared"]})
        tables["profiles"] = ibis.memtable(pa.table({"person_key": pa.array(people, pa.int64()), "person_id": pa.array([f"p{one:015x}" for one in people], pa.string())}))
        rows = rules.compile(self.rules(), tables, as_of=at).to_pyarrow().to_pylist()
        return {row["person_key"]: {name: row[name] for name in RULES} for row in rows}


def wander(street: Street, seed: random.Random, steps: int) -> None:
    """Random calls of few people on few devices: signed in or not, in order or late, sent again, broken."""
    for _ in range(steps):
        street.at += dt.timedelta(minutes=seed.choice((1, 10, 45, 600)))
        person = seed.randrange(5)
        customer = f"c{person}" if seed.random() < 0.4 else None
        device = f"d{person}-{seed.randrange(2)}" if seed.random() < 0.8 or customer is None else None
        name = seed.choice(("Product Viewed", "Product Viewed", "Product Added", "Checkout Confirmed", "Signed In"))
        late = dt.timedelta(hours=seed.choice((0, 0, 0, 1, 30)))
        call = street.call(name, customer=customer, device=device, late=late, product_id=seed.choice("AB"), category=seed.choice(("shoes", "hats", "bags")), price=seed.randrange(5, 30))
        page = {"messageId": f"p{street.number}", "type": "page", "anonymousId": device or "d", "timestamp": street.at.isoformat()}
        street.send(*[call, page, {"type": "track", "event": "Nobody's"}][: seed.randint(1, 3)])
        if seed.random() < 0.2:
            street.send(call)
