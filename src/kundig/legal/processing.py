"""The record of processing activities, the periods data are kept, and who gets them: from the declarations, and counted in the tables."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from kundig.consent import SPOKEN
from kundig.govern.retention import aged_by
from kundig.legal.sheets import Sheet
from kundig.schema import Table

if TYPE_CHECKING:
    from kundig.workspace import Workspace

PERSONAL = ("contact", "sensitive", "pseudonym")


def personal(tables: Iterable[Table]) -> list[Table]:
    """The tables that hold something about a person."""
    return [table for table in tables if any(column.personal in PERSONAL for column in table.columns)]


def activities(workspace: Workspace) -> Sheet:
    """Processing activities: what for, in which tables, which kinds of data, how personal, how long at most, in how many rows."""
    counted = {row["table"]: row["rows"] for row in _counts(workspace, personal(workspace.tables.values()))}
    grouped: dict[str, list[Table]] = {}
    for table in personal(workspace.tables.values()):
        grouped.setdefault(table.purpose, []).append(table)
    rows = []
    for purpose, tables in sorted(grouped.items()):
        labelled = [column for table in tables for column in table.columns if column.personal in PERSONAL]
        kept = [table.retention_days for table in tables]
        rows.append((
            purpose, tuple(table.name for table in tables), tuple(sorted({column.category for column in labelled})), tuple(level for level in PERSONAL if level in {column.personal for column in labelled}),
            tuple(sorted({column.party for column in labelled})), None if None in kept else max(day for day in kept if day is not None), sum(counted[table.name] for table in tables),
        ))  # fmt: skip
    return Sheet(name="activities", columns=("activity", "tables", "categories", "personal", "parties", "kept_days", "rows"), rows=tuple(rows))


def data_map(workspace: Workspace) -> Sheet:
    """Each column that holds something about a person: how personal, of which kind, whose, for what."""
    rows = [(table.name, column.name, column.personal, column.category, column.party, column.purpose or table.purpose, table.retention_days, table.home) for table in workspace.tables.values() for column in table.columns if column.personal != "none"]  # fmt: skip
    return Sheet(name="data_map", columns=("table", "column", "personal", "category", "party", "purpose", "retention_days", "home"), rows=tuple(rows))


def purposes(workspace: Workspace, locale: str) -> Sheet:
    """What people are addressed for: each purpose and channel with its bases, as purposes.yaml declares them."""
    rows = []
    for name, channel in workspace.config.purposes.pairs():
        purpose = workspace.config.purposes.purposes[name]
        rule = purpose.channels[channel]
        rows.append((name, purpose.meaning.get(locale, ""), channel, tuple(rule.bases), rule.double_opt_in, rule.expires_days, purpose.jurisdiction))
    return Sheet(name="purposes", columns=("purpose", "meaning", "channel", "bases", "double_opt_in", "expires_days", "country"), rows=tuple(rows))


def sources(workspace: Workspace) -> Sheet:
    """Where data come from: declared sources and webhooks, and names that records alone have; records and the newest of each."""
    config = workspace.config
    naming = [table.name for table in workspace.tables.values() if table.room == "collect" and {"source", "received_at"} <= set(table.names) and table.name not in ("touched", "quarantined_records")]
    every = " UNION ALL ".join(f"SELECT source, received_at FROM {name}" for name in naming)
    counted = {source: (number, newest) for source, number, newest in workspace.rows(f"SELECT source, count(*), max(received_at) FROM ({every}) r WHERE source IS NOT NULL GROUP BY source")[1]}
    told: dict[str, tuple[str, str, str]] = {}
    for kind in (config.webhooks, config.sources):
        for name, one in kind.items():
            told[getattr(one, "source", "") or name] = (one.meaning, str(one.party), one.owner)
    rows = [(name, *told.get(name, ("", "first", "")), *counted.get(name, (0, None))) for name in sorted({*told, *counted})]
    return Sheet(name="sources", columns=("source", "meaning", "party", "owner", "records", "newest"), rows=tuple(rows))


def retention(workspace: Workspace, *, at: dt.datetime) -> Sheet:
    """Each table about people: days declared, rows, the oldest found, and rows older than declared at the moment."""
    rows = []
    found = {row["table"]: row for row in _counts(workspace, personal(workspace.tables.values()), at=at)}
    for table in personal(workspace.tables.values()):
        row = found[table.name]
        age = None if row["oldest"] is None else max((at - row["oldest"]).days, 0)
        rows.append((table.name, table.home, table.retention_days, row["column"], row["rows"], row["oldest"], age, row["overdue"]))
    return Sheet(name="retention", columns=("table", "home", "declared_days", "by", "rows", "oldest", "oldest_days", "overdue"), rows=tuple(rows))


def _counts(workspace: Workspace, tables: Iterable[Table], *, at: dt.datetime | None = None) -> list[dict[str, Any]]:
    """Rows of each table, the oldest (the epoch stands for "always"), and those older than declared; in one query."""
    parts = []
    for table in tables:
        by = aged_by(table)
        aged = "NULL::TIMESTAMPTZ" if by is None else f'"{by}"' if table.column(by).type == "timestamp" else f"(\"{by}\"::TIMESTAMP AT TIME ZONE '{workspace.config.settings.workspace.zone}')"
        over = "NULL::BIGINT"
        if by is not None and table.retention_days is not None and at is not None:
            end = (at - dt.timedelta(days=table.retention_days)).astimezone(dt.UTC).isoformat(sep=" ")
            over = f"count(*) FILTER (WHERE {aged} < TIMESTAMPTZ '{end}')"
        parts.append(f"SELECT '{table.name}' AS name, '{by or ''}' AS by_column, count(*) AS rows, min({aged}) FILTER (WHERE {aged} > TIMESTAMPTZ '1970-01-01 00:00:00+00') AS oldest, {over} AS overdue FROM {table.name}")
    found = workspace.rows(" UNION ALL ".join(parts))[1]
    return [{"table": name, "column": by, "rows": number, "oldest": oldest, "overdue": overdue} for name, by, number, oldest, overdue in found]


def processors(workspace: Workspace) -> Sheet:
    """Who gets data from us: destinations of events, connectors of channels, and those entered by hand; how much and when last."""
    config = workspace.config
    rows: list[tuple[Any, ...]] = []
    sent = {name: (last, number) for name, last, number in workspace.rows("SELECT destination, max(sent_at), count(*) FROM forwarded GROUP BY destination")[1]}
    synced = {name: (last, number) for name, last, number in workspace.rows("SELECT destination, max(synced_at), count(*) FROM syncs GROUP BY destination")[1]}
    for name, one in sorted(config.destinations.items()):
        where = "http" if one.http else "sql" if one.sql else "files"
        last = max((found[0] for found in (sent.get(name), synced.get(name)) if found and found[0]), default=None)
        rows.append((name, "destination", one.meaning, f"{one.purpose}/{one.channel}" if one.purpose else one.no_consent_needed, where, one.owner, last, sum(found[1] for found in (sent.get(name), synced.get(name)) if found)))
    handed = {channel: (last, number) for channel, last, number in workspace.rows("SELECT channel, max(sent_at), count(*) FROM messages WHERE status = 'sent' GROUP BY channel")[1]}
    for name, channel in sorted(config.channels.channels.items()):
        last, number = handed.get(name, (None, 0))
        rows.append((name, "channel", "", "", channel.connector, "", last, number))
    for name, purpose, country, contract, last in workspace.rows("SELECT processor, purpose, country, contract, last_sent_at FROM processors ORDER BY 1")[1]:
        rows.append((name, "entered", contract or "", purpose or "", country or "", "", last, None))
    return Sheet(name="processors", columns=("processor", "kind", "meaning", "consent", "by", "owner", "last_sent", "records"), rows=tuple(rows))


def wordings(workspace: Workspace) -> Sheet:
    """Texts of consent with their hash, and how many records of the log rest on each; every record of the log is in one row.

    A record counts for a declared text when it has that text's hash; the others stand under what the log says of them.
    """
    counted = {
        (purpose, wording or "", digest or ""): (number, given, first, last)
        for purpose, wording, digest, number, given, first, last in workspace.rows(
            "SELECT purpose, wording, wording_hash, count(*), count(*) FILTER (WHERE status IN ('given', 'confirmed')), min(occurred_at), max(occurred_at) FROM consent_log GROUP BY purpose, wording, wording_hash"
        )[1]
    }
    rows: list[tuple[Any, ...]] = []
    for name, purpose in sorted(workspace.config.purposes.purposes.items()):
        for version, texts in sorted(purpose.wordings.items()):
            for locale, text in sorted(texts.items()):
                digest = purpose.wording_hash(version, locale)
                rows.append((name, version, locale, text, digest, "declared", *counted.pop((name, version, digest), (0, 0, None, None))))
    declared = {(row[0], row[1]) for row in rows}
    for (purpose_name, version, digest), found in sorted(counted.items()):
        state = "no_wording" if not version and not digest else "no_hash" if not digest else "changed" if (purpose_name, version) in declared else "unknown"
        rows.append((purpose_name, version, "", "", digest, state, *found))
    return Sheet(name="wordings", columns=("purpose", "version", "language", "text", "sha256", "state", "records", "consents", "first", "last"), rows=tuple(rows))


def faults(workspace: Workspace) -> Sheet:
    """Records of the consent log that cannot be right: what is odd about each; none of them allows anything more than it says."""
    declared = ", ".join(f"'{name}'" for name in workspace.config.purposes.purposes) or "''"
    known = ", ".join(f"'{status}'" for status in SPOKEN)
    odd = {
        "ends_before_start": "until IS NOT NULL AND until <= least(occurred_at, received_at)", "said_after_receipt": "occurred_at > received_at + INTERVAL 1 HOUR", "unknown_status": f"status NOT IN ({known})",
        "undeclared_purpose": f"purpose <> '*' AND purpose NOT IN ({declared})",
    }  # fmt: skip
    parts = [f"SELECT seq, '{name}' AS fault, source, purpose, channel, status, occurred_at, received_at, until FROM consent_log WHERE {test}" for name, test in odd.items()]
    rows = workspace.rows(f"SELECT * FROM ({' UNION ALL '.join(parts)}) f ORDER BY seq, fault")[1]
    return Sheet(name="faults", columns=("seq", "fault", "source", "purpose", "channel", "said", "said_at", "received_at", "until"), rows=tuple(rows))


__all__ = ["activities", "data_map", "faults", "personal", "processors", "purposes", "retention", "sources", "wordings"]
