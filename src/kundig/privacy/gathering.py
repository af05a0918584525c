"""Gathering: every row about a person in every declared table, in the state, and in what was heard since the release."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from kundig.clock import instant
from kundig.govern.privacy import PERSON_COLUMNS, SUBJECT_COLUMNS
from kundig.privacy.subjects import Subject
from kundig.schema import Table

if TYPE_CHECKING:
    from kundig.workspace import Workspace

HEARD = "heard"
"""Name of what was heard since the newest release: events as the live store has them."""

WITHOUT = frozenset({"suppressions", "users", "tokens", "touched", "consent_keys", "privacy_requests"})
"""Tables with a subject that name nobody's data: digests, the people who work here, and lists of keys; requests are told apart from them."""

HOUSE = frozenset({"identifier_key", "other_keys", "person_key", "other_key", "left_key", "right_key", "referred_key", "address_key", "batch_id", "changed_run", "claim", "fields_hash"})
"""Columns that hold keys and marks of the house, made by it and of no meaning outside."""

DERIVED = frozenset({"quarantined_records", "consent_records"})
"""Tables of `collect` that are copies or wait to be mended: no data that a person provided."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The rows about a person in one table."""

    table: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def records(self) -> list[dict[str, Any]]:
        """The rows by column, as JSON can hold them."""
        return [dict(zip(self.columns, map(plain, row), strict=True)) for row in self.rows]


def about(workspace: Workspace) -> list[Table]:
    """The declared tables that hold something about a person, in the order of the floors."""
    return [table for table in workspace.tables.values() if table.name not in WITHOUT and (table.subject or _columns(table))]


def provided(workspace: Workspace) -> list[Table]:
    """Those that hold what a person gave or did, as it came: what Article 20 GDPR is about."""
    return [table for table in about(workspace) if (table.room == "collect" and table.name not in DERIVED) or table.name == "consent_log"]


def gather(workspace: Workspace, of: Subject, *, tables: Iterable[Table] | None = None, live: bool = True) -> tuple[Found, ...]:
    """Rows about a person, table by table: of the lake as it has landed by now, of the state as it is; tables without any are there, empty.

    Args:
        workspace: The workspace.
        of: The person.
        tables: Tables to look through; all of `about` by default.
        live: Add what was heard since the newest release.
    """
    found = [_rows(workspace, table, of) for table in (about(workspace) if tables is None else tables)]
    return (*found, _heard(workspace, of)) if live else tuple(found)


def _rows(workspace: Workspace, table: Table, of: Subject) -> Found:
    tests = [test for column in _columns(table) if (test := _test(table, column, of))]
    if table.name == "quarantined_records":
        tests += [f"contains(lower(CAST({column} AS VARCHAR)), {_text(value.lower())})" for column in ("body", "original") for value in of.values]
    columns = table.names
    if not tests:
        return Found(table=table.name, columns=columns, rows=())
    if table.name == "consent_log":
        tests.append(f"seq IN (SELECT seq FROM consent_keys WHERE identifier_key IN ({_numbers(of.keys)}))")
    shown = ", ".join(f'"{name}"' for name in columns)
    order = ", ".join(f'"{name}"' for name in ("occurred_at", "started_at", "local_day", *table.key) if name in columns)
    names, rows = workspace.rows_now(f"SELECT {shown} FROM {table.name} WHERE {' OR '.join(tests)} ORDER BY {order}")
    return Found(table=table.name, columns=tuple(names), rows=tuple(rows))


def _columns(table: Table) -> tuple[str, ...]:
    return tuple(column for column in SUBJECT_COLUMNS if column in table.names)


def _test(table: Table, column: str, of: Subject) -> str:
    keys = {*of.keys, *of.persons} if table.name == "merges" else of.persons if column in PERSON_COLUMNS else of.keys
    if not keys:
        return ""
    if table.column(column).type == "list<int64>":
        return f"list_has_any({column}, [{_numbers(keys)}]::BIGINT[])"
    return f"{column} IN ({_numbers(keys)})"


def _heard(workspace: Workspace, of: Subject) -> Found:
    """Events since the release, as the live store has them."""
    from kundig.store import live

    store = workspace.heard
    with store.reading() as connection:
        owned = {owner.person_key for owner in live.owners_of(connection, of.keys).values() if owner.person_key is not None}
        events = [event for person in sorted({*owned, *of.persons}) for event in live.events_of(connection, person)]
    keys = set(of.keys)
    kept = [event for event in events if event.identifier_key in keys or keys & set(event.other_keys)]
    rows = tuple((event.event_id, event.source, event.name, instant(event.occurred_at), instant(event.received_at), json.dumps(dict(event.facts), ensure_ascii=False)) for event in kept)
    return Found(table=HEARD, columns=("event_id", "source", "name", "occurred_at", "received_at", "properties"), rows=rows)


def plain(value: Any) -> Any:
    """A value as JSON holds it: moments and days after ISO 8601, decimals as text without trailing zeros, JSON texts opened."""
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return json.loads(value)
        except ValueError:
            return value
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _numbers(keys: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(set(keys)))) or "-1"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
