"""Privacy: what of each declared table goes, and what stays under a one-off key, when a person is erased."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from kundig.schema import Table
from kundig.store.lake import Erasure

KEPT = ("orders", "order_lines")
"""Tables whose rows stay without the person: past revenue does not move."""

PERSON_COLUMNS = ("person_key", "other_key")
"""Columns that name a person by the key that unification gave."""

SUBJECT_COLUMNS = ("identifier_key", "other_keys", "left_key", "right_key", "person_key", "other_key", "referred_key")
"""Columns by which rows of a person are found."""

APART = ("privacy_requests", "consent_log", "consent_keys", "suppressions", "users", "tokens")
"""State tables with a subject that have a way of their own, or name those who work here."""


def lake_erasures(tables: Mapping[str, Table], *, keys: Sequence[int], persons: Sequence[int], one_off: int) -> list[dict[str, Erasure]]:
    """Erasures of the lake, one mapping after the other: each table once in each.

    Args:
        tables: The declared tables.
        keys: Keys of the person's identifiers.
        persons: The person's keys, those merged into it among them.
        one_off: Random key that kept rows stand under.

    Examples:
        >>> from kundig.tables import ALL
        >>> first, second, third = lake_erasures(ALL, keys=[1], persons=[2], one_off=3)
        >>> first["profiles"].column, second["events"].column, third["referrals"].column
        ('person_key', 'other_keys', 'referred_key')
        >>> sorted(first["orders"].instead)
        ['identifier_key', 'occurred_at', 'order_id', 'other_keys', 'received_at']
    """
    found: list[dict[str, Erasure]] = [{}, {}, {}]
    for name, table in sorted(tables.items()):
        if table.home != "lake":
            continue
        for number, column in enumerate(_columns(table)):
            wanted = sorted({*persons, *keys}) if name == "merges" else persons if column in PERSON_COLUMNS else keys
            if wanted:
                found[number][name] = Erasure(column=column, keys=list(wanted), instead=_instead(table, one_off))
    return found


def _columns(table: Table) -> tuple[str, ...]:
    """Columns by which rows of a person are found, at most three."""
    return tuple(column for column in SUBJECT_COLUMNS if column in table.names)


def _instead(table: Table, one_off: int) -> dict[str, str]:
    if table.name == "consent_records":
        return {"record_id": "'erased:' || CAST(uuid() AS VARCHAR)", "identifier_key": str(one_off), "other_keys": "[]::BIGINT[]", "evidence": "NULL"}
    if table.name not in KEPT:
        return {}
    noon = "(CAST(d.local_day AS TIMESTAMP) + INTERVAL 12 HOUR) AT TIME ZONE 'UTC'"
    given = {
        "order_id": f"'erased:' || md5(d.order_id || '{one_off}')", "line_id": f"'erased:' || md5(d.line_id || '{one_off}')", "identifier_key": str(one_off), "other_keys": "[]::BIGINT[]",
        "occurred_at": noon, "received_at": f"CASE WHEN d.received_at = d.occurred_at THEN {noon} ELSE d.received_at END",
    }  # fmt: skip
    return {column: sql for column, sql in given.items() if column in table.names}


def state_subjects(tables: Mapping[str, Table]) -> dict[str, tuple[str, ...]]:
    """State tables whose rows of the person are deleted, and the columns that name it.

    Examples:
        >>> from kundig.tables import ALL
        >>> state_subjects(ALL)["identity_decisions"], state_subjects(ALL)["messages"]
        (('left_key', 'right_key'), ('person_key',))
    """
    found = {name: tuple(column for column in _columns(table) if table.column(column).type == "int64") for name, table in sorted(tables.items()) if table.home == "state" and name not in APART}
    return {name: columns for name, columns in found.items() if columns}


def without(body: bytes, values: Sequence[bytes]) -> bytes | None:
    """A request's body without the calls that name one of the values; None where it names none of them.

    Examples:
        >>> without(b'{"batch": [{"userId": "anna@x.org"}, {"userId": "b"}]}', [b"anna@x.org"])
        b'{"batch": [{"userId": "b"}]}'
        >>> without(b"anna@x.org, no JSON", [b"anna@x.org"]), without(b"{}", [b"anna@x.org"])
        (b'[]', None)
    """
    lowered = [value.decode(errors="replace").lower() for value in values]
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return b"[]" if any(value in body.decode(errors="replace").lower() for value in lowered) else None

    def names(part: Any) -> bool:
        return any(value in json.dumps(part, ensure_ascii=False).lower() for value in lowered)

    if not names(found):
        return None
    calls = found.get("batch") if isinstance(found, dict) else found
    if not isinstance(calls, list):
        return b"[]"
    kept = [call for call in calls if not names(call)]
    rest = found | {"batch": kept} if isinstance(found, dict) else kept
    return b"[]" if names(rest) else json.dumps(rest, ensure_ascii=False).encode()
