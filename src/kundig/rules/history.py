"""Timelines read from the warehouse's tables: the same facts the compiler selects over, for `evaluate` and `explain`."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from kundig.clock import micros
from kundig.rules.clauses import Holds, ValueType, all_events, leaves, property_tests
from kundig.rules.facts import Event, State, Timeline
from kundig.rules.scan import table_named, with_persons

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from kundig.rules.rule import Rule

Row = Mapping[str, Any]


def timelines(rules: Iterable[Rule], tables: Mapping[str, ir.Table], persons: Collection[int]) -> dict[int, Timeline]:
    """What these rules need to know of these persons, by `person_key`; facts of all times, known early or late.

    Only the events, properties and states that the rules name are read. Runs one query per table.

    Raises:
        RuleError: A table that the rules need is not given.
    """
    wanted = list(rules)
    keys = sorted(persons)
    people = table_named(tables, "profiles")
    ids = {row["person_key"]: row["person_id"] for row in _rows(people.filter(people.person_key.isin(keys)).select("person_key", "person_id"))}
    events: dict[int, list[Event]] = {key: [] for key in ids}
    states: dict[int, list[State]] = {key: [] for key in ids}
    for key, event in _events(wanted, tables, keys):
        events.setdefault(key, []).append(event)
    for key, state in _states(wanted, tables, keys):
        states.setdefault(key, []).append(state)
    return {key: Timeline(person=person, events=tuple(events[key]), states=tuple(states[key])) for key, person in ids.items()}


def _rows(table: ir.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_pyarrow().to_pylist()
    return rows


def _events(rules: list[Rule], tables: Mapping[str, ir.Table], keys: list[int]) -> Iterable[tuple[int, Event]]:
    descriptions = [events for rule in rules for leaf in leaves(rule.clause) for events in all_events(leaf)]
    names = sorted({name for events in descriptions for name in events.names})
    if not names:
        return
    properties = sorted(_properties(rules))
    found = with_persons(tables)
    found = found.filter(found["name"].isin(names), found.person_key.isin(keys)).select(
        "person_key", "event_id", "name", "occurred_at", "received_at", *properties
    )
    for row in _rows(found):
        given = {name: _plain(row[name]) for name in properties}
        yield (
            row["person_key"],
            Event(id=row["event_id"], name=row["name"], at=micros(row["occurred_at"]), received=micros(row["received_at"]), properties=given),
        )


def _properties(rules: list[Rule]) -> set[str]:
    found: set[str] = set()
    for rule in rules:
        for leaf in leaves(rule.clause):
            conditions = [events.where for events in all_events(leaf)] + [getattr(leaf, "has", None)]
            found |= {tests.name for condition in conditions for tests in property_tests(condition)}
            found |= {threshold.of for threshold in getattr(leaf, "thresholds", ()) if threshold.of is not None}
    return found


def _plain(value: Any) -> Any:
    return micros(value) if isinstance(value, dt.datetime) else value


def _states(rules: list[Rule], tables: Mapping[str, ir.Table], keys: list[int]) -> Iterable[tuple[int, State]]:
    asked = {(leaf.kind, leaf.key): leaf for rule in rules for leaf in leaves(rule.clause) if isinstance(leaf, Holds)}
    for kind in sorted({kind for kind, _ in asked}):
        clauses = [leaf for (of, _), leaf in asked.items() if of == kind]
        yield from _READERS[kind](clauses, tables, keys)


def _table(tables: Mapping[str, ir.Table], name: str, keys: list[int]) -> list[dict[str, Any]]:
    table = table_named(tables, name)
    return _rows(table.filter(table.person_key.isin(keys)))


def _state(kind: str, key: str, value: Any, row: Row) -> tuple[int, State]:
    until = None if row["until"] is None else micros(row["until"])
    begins, received = micros(row["occurred_at"]), micros(row["received_at"])
    return row["person_key"], State(kind=kind, key=key, value=value, at=begins, received=received, until=until, order=row["seq"] or 0)


def _traits(clauses: list[Holds], tables: Mapping[str, ir.Table], keys: list[int]) -> Iterable[tuple[int, State]]:
    types = {clause.key: clause.type for clause in clauses}
    for row in _table(tables, "trait_changes", keys):
        if row["trait"] in types:
            yield _state("trait", row["trait"], value_of(row["value"], types[row["trait"]]), row)


def _scores(clauses: list[Holds], tables: Mapping[str, ir.Table], keys: list[int]) -> Iterable[tuple[int, State]]:
    wanted = {clause.key for clause in clauses}
    for row in _table(tables, "scores", keys):
        for field in ("value", "percentile"):
            if f"{row['model']}.{field}" in wanted:
                yield _state("score", f"{row['model']}.{field}", row[field], row)


def _consents(clauses: list[Holds], tables: Mapping[str, ir.Table], keys: list[int]) -> Iterable[tuple[int, State]]:
    wanted = {clause.key for clause in clauses}
    for row in _table(tables, "consents", keys):
        if f"{row['purpose']}/{row['channel']}" in wanted:
            yield _state("consent", f"{row['purpose']}/{row['channel']}", row["status"], row)


def _members(kind: str, table: str, column: str) -> Callable[[list[Holds], Mapping[str, ir.Table], list[int]], Iterable[tuple[int, State]]]:
    def read(clauses: list[Holds], tables: Mapping[str, ir.Table], keys: list[int]) -> Iterable[tuple[int, State]]:
        wanted = {clause.key for clause in clauses}
        for row in _table(tables, table, keys):
            if row[column] in wanted:
                yield _state(kind, row[column], row["member"], row)

    return read


_READERS: dict[str, Callable[[list[Holds], Mapping[str, ir.Table], list[int]], Iterable[tuple[int, State]]]] = {
    "trait": _traits,
    "score": _scores,
    "consent": _consents,
    "segment": _members("segment", "segment_members", "segment_id"),
    "list": _members("list", "list_members", "list"),
}


def value_of(text: str | None, type: ValueType) -> Any:
    """A trait's value from the text it is kept as; None for what is not of the type.

    Examples:
        >>> value_of("19.9", "number"), value_of("true", "boolean"), value_of('["a","b"]', "list"), value_of("old", "number")
        (Decimal('19.9'), True, ['a', 'b'], None)
    """
    if text is None or type == "text":
        return text
    try:
        return _CONVERTED[type](text)
    except (ValueError, InvalidOperation):
        return None


def _number(text: str) -> Decimal | None:
    return Decimal(text) if re.fullmatch(r"-?[0-9]{1,14}(\.[0-9]+)?", text) else None


def _date(text: str) -> dt.date | None:
    return dt.date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else None


def _moment(text: str) -> int:
    moment = dt.datetime.fromisoformat(text)
    return micros(moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC))


_CONVERTED: dict[str, Callable[[str], Any]] = {
    "number": _number,
    "boolean": lambda text: {"true": True, "false": False}.get(text),
    "date": _date,
    "time": _moment,
    "list": json.loads,
}
