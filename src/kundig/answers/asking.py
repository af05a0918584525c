"""Questions to the newest release, row by row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kundig.workspace import Workspace


def rows(workspace: Workspace, sql: str) -> list[dict[str, Any]]:
    """The rows of a query, by column."""
    columns, found = workspace.rows(sql)
    return [dict(zip(columns, row, strict=True)) for row in found]


def one(workspace: Workspace, sql: str) -> dict[str, Any]:
    """The first row of a query; nothing where there is none."""
    found = rows(workspace, sql)
    return found[0] if found else {}


def text(value: str) -> str:
    """A text as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def numbers(keys: Iterable[int]) -> str:
    """Keys as a list in SQL; of none, one that nothing has."""
    return ", ".join(map(str, sorted(set(keys)))) or "-1"


def held(workspace: Workspace, person_key: int) -> list[dict[str, Any]]:
    """The identifiers that are or were the person's, and when: `identifier_key`, `valid_from`, `valid_until`, `shared`."""
    return rows(workspace, f"SELECT identifier_key, valid_from, valid_until, coalesce(shared, false) AS shared FROM identities WHERE person_key = {int(person_key)}")
