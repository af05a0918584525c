"""Dense made-up people and random rules: few names, many ties, clock changes, nulls, late, future-dated and expired facts."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import ibis
import pyarrow as pa

from kundig.rules import Event, RuleSchema, State, Timeline
from kundig.rules.values import as_landed
from kundig.rules.windows import DAY, local_day, midnight

FULL = os.environ.get("KUNDIG_FULL") == "1"
ZONE = os.environ.get("KUNDIG_RULES_ZONE", "Europe/Berlin")
HOUR = DAY // 24
PROPERTIES = {
    "total": "decimal(18,4)", "rating": "float64", "pieces": "int64", "category": "string", "paid": "bool", "delivery": "timestamp", "event_day": "date",
    "tags": "list<string>",
}  # fmt: skip
TRAITS = {"city": "text", "points": "number", "vip": "boolean", "renewal": "time", "birthday": "date", "interests": "list"}
NAMES = ("order", "visit", "login")
SCHEMA = RuleSchema.of(
    zone=ZONE,
    events=dict.fromkeys(NAMES, PROPERTIES),
    traits=TRAITS,
    scores=["churn"],
    purposes={"news": ["email"]},
    segments=["loyal"],
    lists=["invited"],
    rules={"base": {"event": "order", "within": "7 days"}, "deep": {"any": [{"rule": "base"}, {"trait": "vip", "is": True}]}},
)
ARROW = {
    "decimal(18,4)": pa.decimal128(18, 4), "float64": pa.float64(), "int64": pa.int64(), "string": pa.string(), "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", "UTC"), "date": pa.date32(), "list<string>": pa.list_(pa.string()),
}  # fmt: skip
TIME = pa.timestamp("us", "UTC")


def utc(*parts: int) -> int:
    """Microseconds of a moment in UTC."""
    return (dt.datetime(*parts, tzinfo=dt.UTC) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


MOMENTS = [
    utc(*parts)
    for parts in (
        (2026, 3, 29, 0), (2026, 3, 29, 1), (2026, 3, 29, 22), (2026, 3, 28, 23), (2026, 3, 31, 9, 30), (2026, 10, 25, 0, 30), (2026, 10, 25, 1, 30),
        (2026, 10, 25, 23), (2026, 10, 24, 22), (2024, 2, 29, 11), (2026, 2, 28, 12), (2026, 12, 31, 23), (2026, 1, 1, 0),
    )
]  # fmt: skip
GAPS = [0, 1, HOUR, HOUR + 1, DAY - 1, DAY, DAY + 1, DAY + HOUR, DAY - HOUR, 2 * DAY, 3 * DAY, 3 * DAY + 1, 7 * DAY, 7 * DAY - 1, 8 * DAY, 14 * DAY, 30 * DAY, 31 * DAY, 60 * DAY, 95 * DAY, 200 * DAY]
TEXTS = ["Köln", "KÖLN", "köln", "Straße", "STRASSE", "strasse", "STRAẞE", "İzmir", "izmir", "ΟΔΟΣ", "οδος", "", " Köln", "a'b", "x%_y", "12,5", "zürich", "Zu\u0308rich", 'sag "ja"', "a\\b"]
NUMBERS = ["0", "1", "0.1", "0.2", "0.3", "20", "33.3333", "-5", "100", "9999999.9999"]
DATES = [dt.date(*parts) for parts in ((1990, 3, 29), (1992, 2, 29), (1990, 2, 28), (1990, 1, 1), (1990, 12, 31), (2026, 3, 29), (2026, 4, 2), (2025, 10, 25), (2026, 3, 1), (2024, 2, 29), (1990, 4, 3), (1985, 10, 30))]
STATUSES = ["given", "given", "given", "withdrawn", "objected", "pending", "missing", None]
KEYS = [("trait", name) for name in TRAITS] + [("score", "churn"), ("consent", "news/email"), ("segment", "loyal"), ("list", "invited")]


def moment(chance: random.Random) -> int:
    """A moment to ask at: near a change of the clock, a month's end, a leap day."""
    return chance.choice(MOMENTS) + chance.choice([0, 0, -1, 1, 17 * HOUR + 123_456])


def instant(chance: random.Random, at: int) -> int:
    """When something happened, as seen from `at`: often on an edge."""
    if chance.random() < 0.35:
        day = local_day(at, ZONE) + dt.timedelta(days=chance.randint(-40, 4))
        return midnight(day, ZONE) + chance.choice([0, 0, -1, 1])
    return at - chance.choice(GAPS) * chance.choice([1, 1, 1, 1, 1, 1, -1])


def text(chance: random.Random) -> str | None:
    return as_landed(chance.choice(TEXTS if chance.random() < 0.4 else TEXTS[:6]))


def value(chance: random.Random, type: str, at: int) -> Any:
    """A value of a rule's or a column's type; sometimes missing."""
    if chance.random() < 0.12:
        return None
    makers: dict[str, Callable[[], Any]] = {
        "text": lambda: text(chance),
        "number": lambda: Decimal(chance.choice(NUMBERS)),
        "float64": lambda: chance.choice([0.0, 0.1, 0.30000000000000004, 0.7, 33.33335, 2.5, 100.0, -5.0, float("nan")]),
        "int64": lambda: chance.choice([0, 1, 2, 20, 100, -5]),
        "boolean": lambda: chance.random() < 0.7,
        "time": lambda: instant(chance, at),
        "date": lambda: chance.choice(DATES),
        "list": lambda: [item for item in (text(chance) for _ in range(chance.randint(0, 3))) if item],
    }
    same = {"string": "text", "decimal(18,4)": "number", "bool": "boolean", "timestamp": "time", "list<string>": "list"}
    return makers[same.get(type, type)]()


def crowd(chance: random.Random, at: int, people: int) -> list[Timeline]:
    """People whose few keys and names collide; some facts late, some dated later, some expired."""
    return [Timeline(person=f"person{number}", events=_events(chance, at, number), states=_states(chance, at)) for number in range(people)]


def _events(chance: random.Random, at: int, number: int) -> tuple[Event, ...]:
    events: list[Event] = []
    for place in range(chance.choice([0, 2, 5, 8, 12])):
        happened = events[-1].at if events and chance.random() < 0.15 else instant(chance, at)
        properties = {name: value(chance, type, at) for name, type in PROPERTIES.items() if chance.random() < 0.8}
        late = chance.choice([0, 0, 0, 0, HOUR, 3 * DAY, -2 * DAY])
        events.append(Event(id=f"{number:03}-{chance.randint(0, 99):02}-{place}", name=chance.choice(NAMES), at=happened, received=happened + late, properties=properties))
    return tuple(events)


def _states(chance: random.Random, at: int) -> tuple[State, ...]:
    states: list[State] = []
    for kind, key in KEYS:
        before: int | None = None
        for order in range(chance.choice([0, 1, 2, 4])):
            begins = before if before is not None and chance.random() < 0.2 else instant(chance, at)
            before = begins
            received = begins + chance.choice([0, 0, 0, 0, HOUR, 3 * DAY])
            until = chance.choice([None, None, None, None, begins, begins + DAY, begins + 7 * DAY, at, at + DAY])
            for name, given in _stated(chance, kind, key, at):
                states.append(State(kind=kind, key=name, value=given, at=begins, received=received, until=until, order=order))
    return tuple(states)


def _stated(chance: random.Random, kind: str, key: str, at: int) -> list[tuple[str, Any]]:
    if kind == "trait":
        return [(key, value(chance, TRAITS[key], at))]
    if kind == "score":
        return [(f"{key}.{field}", value(chance, "float64", at)) for field in ("value", "percentile")]
    return [(key, chance.choice(STATUSES))] if kind == "consent" else [(key, chance.random() < 0.75)]


def tables(timelines: Sequence[Timeline], *, identities: bool = True) -> dict[str, pa.Table]:
    """The people's facts in the shapes of the warehouse's tables."""
    keys = {timeline.person: 1_000 + number for number, timeline in enumerate(timelines)}
    events = [(keys[t.person], event) for t in timelines for event in t.events]
    owner = [key * 10 + (number % 2) for number, (key, _) in enumerate(events)]
    made = {
        "profiles": pa.table({"person_key": pa.array(keys.values(), pa.int64()), "person_id": pa.array(keys, pa.string())}),
        "events": _events_table(events, owner if identities else [key for key, _ in events], "identifier_key" if identities else "person_key"),
        "identities": _identities_table(list(keys.values())),
    }
    return made | _state_tables([(keys[t.person], state) for t in timelines for state in t.states])


def _events_table(events: list[tuple[int, Event]], keys: list[int], key: str) -> pa.Table:
    happened = [event for _, event in events]
    if key == "identifier_key":  # events of a shared identifier, and of one that has gone to somebody else, belong to nobody here
        happened = happened + happened[:40]
        keys = keys + [7 if number % 2 else 8 for number in range(len(happened) - len(keys))]
    columns = {
        "event_id": pa.array([e.id for e in happened], pa.string()), "name": pa.array([e.name for e in happened], pa.string()), key: pa.array(keys, pa.int64()),
        "occurred_at": pa.array([e.at for e in happened], TIME), "received_at": pa.array([e.received for e in happened], TIME),
        "local_day": pa.array([local_day(e.at, ZONE) for e in happened], pa.date32()),
    }  # fmt: skip
    return pa.table(columns | {name: pa.array([_stored(e.properties.get(name), type) for e in happened], ARROW[type]) for name, type in PROPERTIES.items()})


def _stored(given: Any, type: str) -> Any:
    return given.quantize(Decimal("0.0001")) if type == "decimal(18,4)" and given is not None else given


def _identities_table(people: list[int]) -> pa.Table:
    start, far = utc(1990, 1, 1), utc(2100, 1, 1)
    rows = [(key * 10 + place, key, start, None, False) for key in people for place in (0, 1)]
    rows += [(7, people[0], start, None, True), (8, people[0], far, None, False)] if people else []
    names = ("identifier_key", "person_key", "valid_from", "valid_until", "shared")
    types = (pa.int64(), pa.int64(), TIME, TIME, pa.bool_())
    return pa.table({name: pa.array([row[place] for row in rows], type) for place, (name, type) in enumerate(zip(names, types, strict=True))})


def as_text(given: Any, type: str) -> str | None:
    """A trait's value as unify writes it."""
    if given is None:
        return None
    match type:
        case "boolean":
            return "true" if given else "false"
        case "time":
            return (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=given)).isoformat(sep=" ", timespec="microseconds")
        case "date":
            return str(given.isoformat())
        case "list":
            return json.dumps(given, ensure_ascii=False, separators=(",", ":"))
        case _:
            return str(given)


def _state_tables(states: list[tuple[int, State]]) -> dict[str, pa.Table]:
    def table(kind: str, columns: dict[str, tuple[Callable[[State], Any], pa.DataType]], rows: list[tuple[int, State]] | None = None) -> pa.Table:
        mine = [(key, s) for key, s in states if s.kind == kind] if rows is None else rows
        common: dict[str, tuple[Callable[[State], Any], pa.DataType]] = {
            "occurred_at": (lambda s: s.at, TIME), "received_at": (lambda s: s.received, TIME), "until": (lambda s: s.until, TIME), "seq": (lambda s: s.order, pa.int64()),
        }  # fmt: skip
        made = {"person_key": pa.array([key for key, _ in mine], pa.int64())}
        return pa.table(made | {name: pa.array([get(s) for _, s in mine], type) for name, (get, type) in (columns | common).items()})

    values = [(key, s) for key, s in states if s.key == "churn.value"]
    percentiles = [s.value for _, s in states if s.key == "churn.percentile"]
    scores = table("score", {"model": (lambda s: "churn", pa.string()), "value": (lambda s: s.value, pa.float64())}, values)
    return {
        "trait_changes": table("trait", {"trait": (lambda s: s.key, pa.string()), "value": (lambda s: as_text(s.value, TRAITS[s.key]), pa.string())}),
        "scores": scores.append_column("percentile", pa.array(percentiles, pa.float64())),
        "consents": table("consent", {"purpose": (lambda s: "news", pa.string()), "channel": (lambda s: "email", pa.string()), "status": (lambda s: s.value, pa.string())}),
        "segment_members": table("segment", {"segment_id": (lambda s: s.key, pa.string()), "member": (lambda s: s.value, pa.bool_())}),
        "list_members": table("list", {"list": (lambda s: s.key, pa.string()), "member": (lambda s: s.value, pa.bool_())}),
    }


def in_duckdb(connection: Any, given: dict[str, pa.Table]) -> dict[str, ibis.Table]:
    """The tables in an engine."""
    return {name: connection.create_table(name, table, overwrite=True) for name, table in given.items()}
