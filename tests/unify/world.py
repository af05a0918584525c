"""Records of made-up people for the tests of unify: facts given by hand or at random, as landing would write them."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import ibis
import pyarrow as pa

from kundig.config.unify import Identity
from kundig.schema import Table
from kundig.tables.collect import CONTACTS, EVENTS, ORDERS
from kundig.tables.unify import IDENTIFIERS, IDENTITY_DECISIONS
from kundig.unify.links import CARRIERS

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_SIMPLE = {
    "int64": pa.int64(), "float64": pa.float64(), "string": pa.string(), "bool": pa.bool_(), "date": pa.date32(), "timestamp": pa.timestamp("us", tz="UTC"),
    "decimal(18,4)": pa.decimal128(18, 4), "decimal(38,4)": pa.decimal128(38, 4), "json": pa.string(), "list<string>": pa.list_(pa.string()),
    "list<int64>": pa.list_(pa.int64()),
}  # fmt: skip


def key(identifier: str) -> int:
    """The key of 'namespace:value', as landing makes it."""
    return int(hashlib.md5(identifier.encode()).hexdigest()[:15], 16)


def day(number: float) -> dt.datetime:
    """So many days after the start."""
    return START + dt.timedelta(days=number)


def rows(table: Table, records: Iterable[dict[str, Any]]) -> pa.Table:
    """Records as an Arrow table in the declared types; what is not given is null."""
    schema = pa.schema([(c.name, _SIMPLE[c.type]) for c in table.columns])
    return pa.Table.from_pylist([{c.name: record.get(c.name) for c in table.columns} for record in records], schema=schema)


@dataclass
class World:
    """Facts as they are landed: `see` adds one record."""

    identity: Identity = field(default_factory=Identity)
    facts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    decisions: list[dict[str, Any]] = field(default_factory=list)

    def see(self, at: float, identifiers: Sequence[str], table: Table = EVENTS, *, known: float | None = None, source: str = "web", **values: Any) -> None:
        """One record of a table at a day, carrying these 'namespace:value' identifiers."""
        ordered = sorted(set(identifiers), key=lambda i: (self.identity.strength(i.split(":", 1)[0]), i))
        number = len(self.facts.setdefault(table.name, []))
        moment = day(at)
        base = {
            "event_id": f"{source}:{number:06d}", "order_id": f"{source}:{number}", "contact_id": f"{source}:{number}", "record_id": f"{source}:{number}",
            "name": "page_viewed", "source": source, "occurred_at": moment, "received_at": moment if known is None else day(known),
            "local_day": moment.date(), "identifier_key": key(ordered[0]), "other_keys": sorted(key(i) for i in ordered[1:]), "identifiers": ordered,
        }  # fmt: skip
        self.facts[table.name].append(base | values)

    def contact(self, at: float, identifiers: Sequence[str], **values: Any) -> None:
        """One record of a person."""
        self.see(at, identifiers, CONTACTS, **({"source": "crm", "kind": "customer"} | values))

    def order(self, at: float, identifiers: Sequence[str], **values: Any) -> None:
        """One order."""
        self.see(at, identifiers, ORDERS, **({"source": "shop", "status": "completed"} | values))

    def identifiers(self) -> pa.Table:
        """All identifiers seen, with their first moment."""
        first: dict[str, tuple[dt.datetime, str]] = {}
        for record in (r for records in self.facts.values() for r in records):
            for identifier in record["identifiers"]:
                seen = (record["occurred_at"], record["source"])
                first[identifier] = min(first.get(identifier, seen), seen)
        found = [
            {"identifier_key": key(i), "namespace": i.split(":", 1)[0], "value": i.split(":", 1)[1], "first_at": at, "source": source}
            for i, (at, source) in first.items()
        ]
        return rows(IDENTIFIERS, found)

    def table(self, table: Table) -> pa.Table:
        """The landed rows of a table."""
        return self.identifiers() if table is IDENTIFIERS else rows(table, self.facts.get(table.name, ()))

    def decide(self, kind: str, one: str = "", other: str = "", *, undoes: str | None = None) -> str:
        """One decision of people about two identifiers; its id."""
        left, right = sorted((key(one), key(other)))
        row = {"decision_id": f"d{len(self.decisions) + 1:06d}", "kind": kind, "left_key": left, "right_key": right, "undoes": undoes, "actor": "anna", "decided_at": day(200)}
        self.decisions.append(row)
        return str(row["decision_id"])

    def decided(self) -> pa.Table:
        """The decisions as state holds them."""
        return rows(IDENTITY_DECISIONS, self.decisions)

    def pairs(self, rules: Identity) -> pa.Table:
        """The pairs of records that the model finds; none while matching is off."""
        from kundig.unify.record_pairs import match_model, record_pairs

        contacts = lazy(self.table(CONTACTS))
        return record_pairs(contacts, lazy(match_model(contacts, identity=rules, as_of=day(300))), identity=rules)

    def run(self, identity: Identity | None = None) -> dict[str, pa.Table]:
        """Links and identities of these facts."""
        from kundig.unify.identity_graph import identities
        from kundig.unify.links import links

        rules = identity or self.identity
        read = [lazy(self.table(table)) for table in (IDENTIFIERS, *CARRIERS)]
        found = links(*read, lazy(self.pairs(rules)), lazy(self.decided()), identity=rules)
        return {"links": found, "identities": identities(lazy(found), read[0], identity=rules), "identifiers": self.identifiers()}


def lazy(table: pa.Table) -> Any:
    """Arrow rows as an Ibis table."""
    return ibis.memtable(table)


def persons(identities: pa.Table) -> dict[int, set[int]]:
    """Person to identifiers, without shared ones."""
    found: dict[int, set[int]] = {}
    for row in identities.to_pylist():
        if not row["shared"]:
            found.setdefault(row["person_key"], set()).add(row["identifier_key"])
    return found
