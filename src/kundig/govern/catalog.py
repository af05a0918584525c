"""The catalogue: every table and column with label, purpose, party and retention, derived from the declarations."""

from __future__ import annotations

from kundig import tables
from kundig.schema import Table


def overview() -> list[tuple[str, str, str, str, str, int, str]]:
    """One row a table: name, room, home, key, subject, number of columns, meaning."""
    return [(t.name, t.room, t.home, ", ".join(t.key), t.subject or "–", len(t.columns), t.meaning) for t in tables.ALL.values()]


def data_map() -> list[dict[str, object]]:
    """One row a personal column: where it is, what it is for and how long it is kept; what a record of processing needs."""
    return [
        {
            "table": table.name, "column": column.name, "label": column.personal, "category": column.category, "party": column.party,
            "purpose": column.purpose or table.purpose, "retention_days": table.retention_days, "home": table.home,
        }
        for table in tables.ALL.values()
        for column in table.columns
        if column.personal != "none"
    ]  # fmt: skip


def as_markdown() -> str:
    """The catalogue as a page of documentation."""
    parts = ["# Tables", "", "Made from the declarations by `kundig catalogue --markdown`; one section a room, one table a table.", ""]
    room = ""
    for table in tables.ALL.values():
        if table.room != room:
            room = table.room
            parts += [f"## {room}", ""]
        parts += _section(table)
    return "\n".join(parts)


def _section(table: Table) -> list[str]:
    kept = "as long as the person is known" if table.retention_days is None else f"{table.retention_days} days"
    facts = f"key {', '.join(f'`{name}`' for name in table.key)}; subject {f'`{table.subject}`' if table.subject else 'none'}; in {table.home}; purpose {table.purpose}; kept {kept}"
    head = [f"### {table.name}", "", table.meaning, "", facts, "", "| column | type | meaning | label | category | party |", "|---|---|---|---|---|---|"]
    rows = [f"| `{c.name}` | {c.type} | {c.meaning.replace('|', chr(92) + '|')} | {c.personal} | {c.category} | {c.party} |" for c in table.columns]
    more = ["", "The tracking plan adds one typed column per property."] if table.open_columns else []
    return [*head, *rows, *more, ""]
