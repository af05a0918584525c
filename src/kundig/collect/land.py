"""Landing: files of a source into the lake, exactly once; one bad row is held with its reason, a wrong file is refused whole."""

from __future__ import annotations

import datetime as dt
import hashlib
import heapq
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kundig.clock import now as present
from kundig.collect import documents, mapping
from kundig.collect.deliveries import Delivery, deliveries
from kundig.collect.digests import FileMemory
from kundig.collect.fetching import fetched
from kundig.collect.holding import first_of_each, held_changes
from kundig.collect.identifiers import Rules, literal, quoted
from kundig.collect.known_ids import TABLE as KNOWN_TABLE
from kundig.collect.known_ids import KnownIds, suspects
from kundig.collect.mapped_events import judge_events
from kundig.collect.parts import clear
from kundig.collect.refusing import refuse_suppressed
from kundig.collect.rows import Canonical, canonical
from kundig.collect.segment import read_segment
from kundig.collect.sources import cursors, readers, systems
from kundig.collect.sources.raw import Broken, Connection
from kundig.collect.tracking_plan import Plan, merged
from kundig.collect.versions import VERSIONED, Versions, find_gone, upsert
from kundig.config.collect import FETCHED, Input, Source
from kundig.config.load import Config
from kundig.errors import AlreadyLanded, ConfigError, ContractError, SourceError, nearest
from kundig.schema import Table
from kundig.store import Lake, native
from kundig.store.lake import Append, Change, Upsert
from kundig.tables.collect import ORDER_LINES, ORDERS

MAPPING_VERSION = "3"
"""Part of every batch id: raised when the same mapping would give other rows."""

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Landed:
    """What an import did: new rows per table, rows replaced by newer ones, rows removed, records left out because they had landed before, records held, files that had landed before, and what else is to be told."""

    source: str
    rows: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    quarantined: int = 0
    batches: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    suppressed: int = 0
    """Records left out because they name somebody who was erased or is suppressed."""

    def with_(self, other: Landed) -> Landed:
        """Both imports together."""
        pairs = ((self.rows, other.rows), (self.changed, other.changed), (self.removed, other.removed))
        rows, changed, removed = ({name: a.get(name, 0) + b.get(name, 0) for name in sorted({*a, *b})} for a, b in pairs)
        return Landed(
            source=self.source, rows=rows, changed=changed, removed=removed, duplicates=self.duplicates + other.duplicates, quarantined=self.quarantined + other.quarantined,
            batches=self.batches + other.batches, skipped=self.skipped + other.skipped, told=self.told + other.told,
            suppressed=self.suppressed + other.suppressed,
        )  # fmt: skip


@dataclass(kw_only=True, slots=True)
class Batch:
    """What one commit will hold: temporary tables per canonical table, and the records that are held."""

    id: str
    digest: str
    now: dt.datetime
    rows: dict[str, list[Canonical]] = field(default_factory=dict)
    broken: list[tuple[str, Broken, str]] = field(default_factory=list)
    duplicates: int = 0
    suppressed: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    final: dict[str, str] = field(default_factory=dict)
    versions: Versions | None = None
    known: KnownIds | None = None

    def add(self, rows: Canonical) -> None:
        """Remember a temporary table that is to land."""
        self.rows.setdefault(rows.table.name, []).append(rows)


def import_source(
    lake: Lake, config: Config, name: str, files: Sequence[Path | str] | None = None, *, now: dt.datetime | None = None, state: Any = None, progress: Progress = lambda text: None
) -> Landed:
    """Land a source's files; those that landed before are skipped, records that landed before are left out.

    Args:
        lake: The lake; its connection does the work.
        config: The workspace.
        name: The source, as `sources/<name>.yaml` is called.
        files: Files to land; every file the mapping's globs find else.
        now: The moment of the import (tests give their own).
        state: Where the consent log is kept; consents go there before the lake.
        progress: Told what is being done.

    Raises:
        ConfigError: There is no such source, or its mapping has faults.
        SourceError: A file is missing or structurally wrong. Nothing of that file landed (of one that lands in parts, nothing of that part); what landed before it stays, and a re-run is safe.
    """
    if name not in config.sources:
        raise ConfigError(f"there is no source '{name}'", at="sources/", mend=nearest(name, config.sources))
    source: Source = config.sources[name]
    faults = mapping.check(name, source)
    if faults:
        raise ConfigError(faults=faults)
    plan = merged(config.tracking_plan)
    found = list(deliveries(config.root, name, source, files))
    fresh = [_not_landed(lake, delivery, source, name, plan)[0] for delivery in found]
    faults = [fault for delivery in fresh for fault in readers.precheck(delivery.given, delivery.paths, _needed(delivery.given))]
    if faults:
        raise SourceError(faults=faults)
    landed = Landed(source=name)
    clear(lake.data)
    with closing(fetched(lake, config, name, files)) as elsewhere:
        for delivery in heapq.merge(found, elsewhere, key=lambda delivery: delivery.number):
            delivery, again = _not_landed(lake, delivery, source, name, plan)
            landed = landed.with_(Landed(source=name, skipped=tuple(map(str, again))))
            if not delivery.paths:
                continue
            progress(f"{name}: {len(delivery.paths)} {'file' if len(delivery.paths) == 1 else 'files'} of {delivery.given.place}{delivery.told}")
            landed = landed.with_(land(lake, config, name, delivery, now=now or present(), state=state))
    for number, given in enumerate(source.inputs):
        if given.format == "postgres_changes" and files is None:
            from kundig.collect.cdc.following import catch_up

            landed = landed.with_(catch_up(lake, config, name, number, now=now, state=state, progress=progress))
    if landed.batches and any(given.format in FETCHED and landing.from_order for given in source.inputs for landing in given.lands):
        from kundig.collect.quarantine import replay

        late = replay(lake, config, source=name, reason="its order … has not landed", now=now, state=state)
        landed = landed.with_(Landed(source=name, rows=dict(late.rows)))
    if landed.batches or landed.skipped:
        came = landed.quarantined or {*landed.rows, *landed.changed, *landed.removed} - {"source_totals"}
        systems.keep(lake, name, source, landed_at=(now or present()) if came else None)
    return landed


def _needed(given: Input) -> tuple[str, ...] | None:
    return None if given.format == "segment_ndjson" or mapping.keeps_all(given) else mapping.needed(given)


def fingerprint(source: Source, given: Input, plan: Plan) -> str:
    """A hash of all that decides which rows a file becomes."""
    parts = (MAPPING_VERSION, source.model_dump_json(exclude={"inputs", "totals"}), given.model_dump_json(), repr(sorted(plan.events.items())), repr(sorted(plan.properties.items())))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _memory(lake: Lake) -> Path:
    return Path(lake.data).parent / "file_digests.json"


def _not_landed(lake: Lake, delivery: Delivery, source: Source, name: str, plan: Plan) -> tuple[Delivery, list[Path]]:
    """The delivery without the files that landed before, under the mapping and plan of today, perhaps among others; and those files."""
    memory = FileMemory(_memory(lake))
    start, end = f"{name}-", f"-{fingerprint(source, delivery.given, plan)}"
    batches = {path: memory.batch(path) for path in delivery.paths}
    here = {batch for batch in set(batches.values()) if batch.startswith(start) and batch.endswith(end) and lake.has_batch(batch)}
    again = [path for path in delivery.paths if batches[path] in here]
    return replace(delivery, paths=tuple(path for path in delivery.paths if path not in again)), again


def land(
    lake: Lake, config: Config, name: str, delivery: Delivery, *, now: dt.datetime, state: Any = None, strict: bool = True, digest: str = "", held: Sequence[str] = (), batch_id: str = "", broken: Sequence[Broken] = (),
    versions: Versions | None = None, known: KnownIds | None = None,
) -> Landed:  # fmt: skip
    """Land one delivery in one commit.

    Args:
        lake: The lake.
        config: The workspace.
        name: The source.
        delivery: The files.
        now: The moment of the import.
        state: Where the consent log is kept.
        strict: Refuse files where most cells of a column cannot be read.
        digest: Hash of the content, where it is known.
        held: Ids of held records that this delivery brings in again; they become replayed in the same commit.
        batch_id: Name of the batch, where it is no file's (the inbox); the files made of it are not remembered.
        broken: Records that were held before they came into a file.
        versions: How lines that tell what changed (`cdc.lines`) are ordered; by the moments they tell, where it is not said. Their batch is committed even where nothing is new.
        known: Ids that have landed, of a process that lands again and again.

    Raises:
        SourceError: A file is structurally wrong; nothing was written.
    """
    source: Source = config.sources[name]
    plan = merged(config.tracking_plan)
    memory = FileMemory(None if batch_id or held else _memory(lake))
    digest = digest or (hashlib.sha256(batch_id.encode()).hexdigest() if batch_id else memory.digest(delivery.paths))
    versions = versions or (Versions(ordered=False) if delivery.given.tables else None)
    asked = f"-{now:%Y%m%dT%H%M%S%f}" if delivery.format in FETCHED and all(landing.table == "source_totals" for landing in delivery.given.lands) else ""  # a total may come back to what it was
    part = f".{delivery.part[0]}-{delivery.part[1]}" if delivery.part else ""
    batch = Batch(id=batch_id or f"{name}-{digest[:16]}{part}{asked}-{fingerprint(source, delivery.given, plan)}", digest=digest, now=now, versions=versions, known=known)
    batch.broken += [("before", one, "inbox") for one in broken]
    shown = tuple(str(path) for path in delivery.paths)
    if lake.has_batch(batch.id):
        memory.landed(delivery.paths if delivery.last else (), batch.id)
        cursors.move(lake, delivery.marks, batch.id, now)
        return Landed(source=name, skipped=shown)
    con = native(lake.duck)
    before = temporary(con)
    try:
        expect = lake.snapshot()
        existing = _existing(lake, expect)
        if known is not None:
            known.cover(con, lake, expect)
        context = _context(config, name, source, delivery, now)
        if delivery.paths and delivery.given.format == "segment_ndjson":
            _collect_segment(con, context, plan.keyed(config.secret), delivery, existing, lake.known("events"), batch, strict=strict, folder=lake.data)
        elif delivery.paths:
            _collect_mapped(con, lake, context, plan.keyed(config.secret), delivery, existing, batch, strict=strict)
        refuse_suppressed(con, config, state, batch, keep_held=bool(held))
        changes = [*_changes(con, lake, existing, batch), *_rates(con, existing)]
        changes += _identifiers(con, existing, batch, name)
        changes += held_changes(con, name, delivery, batch, existing, held)
        changes += cursors.moved(delivery.marks, batch.id, now)
        if state is not None and "consent_records" in batch.final:
            _append_consents(con, state, batch.final["consent_records"])
        if changes or versions is not None:
            snapshot = lake.commit(changes, batch=batch.id, message=f"import of {name}", expect=expect)
            if known is not None:
                known.landed(lake, snapshot)
            memory.landed(delivery.paths if delivery.last else (), batch.id)
    except AlreadyLanded:
        return Landed(source=name, skipped=shown)
    finally:
        for kind, made in sorted(temporary(con) - before, reverse=True):
            con.execute(f"DROP {kind} IF EXISTS {quoted(made)}")
    removed = versions.removed if versions is not None else {}
    return Landed(source=name, rows=batch.counts, changed=batch.changed, removed=removed, duplicates=batch.duplicates, quarantined=len(first_of_each(batch.broken) if held else batch.broken), batches=(batch.id,), suppressed=batch.suppressed)


def temporary(con: Connection) -> set[tuple[str, str]]:
    """The temporary views and tables of the connection."""
    return set(con.execute("SELECT 'TABLE', table_name FROM duckdb_tables() WHERE temporary UNION ALL SELECT 'VIEW', view_name FROM duckdb_views() WHERE temporary AND NOT internal").fetchall())


def _existing(lake: Lake, snapshot: int) -> Callable[[str], str | None]:
    """Relations of what has landed as of a snapshot."""
    known: dict[str, str | None] = {}

    def relation(table: str) -> str | None:
        if table not in known:
            _, files = lake.files(table, snapshot)
            known[table] = lake.scan(table, snapshot) if files else None
        return known[table]

    return relation


def _context(config: Config, name: str, source: Source, delivery: Delivery, now: dt.datetime) -> mapping.Context:
    workspace = config.settings.workspace
    return mapping.Context(
        name=name, source=source, given=delivery.given, format=delivery.format or delivery.given.format, zone=workspace.zone, currency=workspace.currency, country=workspace.country, now=now.astimezone(dt.UTC),
        rules=Rules(identity=config.identity),
    )  # fmt: skip


def _collect_segment(con: Connection, context: mapping.Context, plan: Plan, delivery: Delivery, existing: Callable[[str], str | None], events: Table, batch: Batch, *, strict: bool, folder: Path) -> None:
    missing = [column.name for column in plan.columns if column.name not in events.names]
    if missing:
        raise ContractError(f"the lake's events lack the planned columns {', '.join(missing)}", at="events", mend="open the lake with EVENTS.with_columns(event_columns(plan))")
    rows, contacts = read_segment(con, context, plan, delivery.paths, existing, table=events, name="_events", strict=strict, part=delivery.part, folder=folder)
    batch.add(rows)
    if contacts is not None:
        batch.add(contacts)
    batch.broken += [("-", broken, delivery.paths[broken.file].name) for broken in rows.broken]


def _collect_mapped(con: Connection, lake: Lake, context: mapping.Context, plan: Plan, delivery: Delivery, existing: Callable[[str], str | None], batch: Batch, *, strict: bool) -> None:
    given = delivery.given
    raw = readers.read(con, given, delivery.paths, _needed(given), name="_raw", strict=strict)
    batch.broken += [("-", broken, delivery.paths[broken.file].name) for broken in raw.broken]
    if batch.versions is not None:
        find_gone(con, context, raw, existing, batch.versions, lake.known)
    for number, landing in enumerate(given.lands):
        if batch.versions is not None and number in batch.versions.silent:
            continue
        table = lake.known(landing.table)
        relation = f"_rows{number}"
        rows = canonical(con, context, landing, table, raw, delivery.paths, _with_own_orders(existing, batch), name=relation, strict=strict)
        batch.broken += [(str(number), broken, delivery.paths[broken.file].name) for broken in rows.broken]
        if table.name == "events" and plan.events:
            broken = judge_events(con, plan, context.name, rows, raw)
            batch.broken += [(str(number), one, delivery.paths[one.file].name) for one in broken]
        if table.name == "order_lines":
            if batch.versions is None:
                _leave_out_landed(con, rows, existing, batch)
            documents.fill_costs(con, relation, existing)
            if landing.takes_back == "latest":
                documents.cut_cancellations(con, relation, existing)
        if not (landing.counted and table.name == "orders"):
            batch.add(rows)
        told = rows
        if landing.orders is not None:
            orders = lake.known("orders")
            documents.orders_from_lines(con, context, landing, relation, existing, name=f"{relation}_orders")
            told = Canonical(relation=f"{relation}_orders", table=orders, namespaces=(), derived=True)
            batch.add(told)
        if landing.counted:
            _count(con, context, rows, existing, batch)
        if landing.emits:
            documents.emitted(con, context, landing.emits, told, lake.known("events"), name=f"{relation}_events")
            events = Canonical(relation=f"{relation}_events", table=lake.known("events"), namespaces=(), derived=True)
            _leave_out_landed(con, events, existing, batch)
            batch.add(events)
    con.execute("DROP TABLE _raw")


def _with_own_orders(existing: Callable[[str], str | None], batch: Batch) -> Callable[[str], str | None]:
    """What has landed, and of changes the orders of this batch too: a database tells an order and its lines in one transaction."""
    own = batch.rows.get("orders", []) if batch.versions is not None else []
    if not own:
        return existing
    columns = ", ".join(quoted(column) for column in ORDERS.names if column != "batch_id")
    fresh = " UNION ALL ".join(f"SELECT {columns}, _row FROM {quoted(rows.relation)}" for rows in own)
    newest = f"SELECT * EXCLUDE (_row) FROM ({fresh}) QUALIFY row_number() OVER (PARTITION BY order_id ORDER BY _row DESC) = 1"
    landed = existing("orders")
    rest = f" UNION ALL SELECT {columns} FROM {landed} WHERE order_id NOT IN (SELECT order_id FROM ({fresh}))" if landed else ""
    return lambda table: f"({newest}{rest})" if table == "orders" else existing(table)


def _count(con: Connection, context: mapping.Context, rows: Canonical, existing: Callable[[str], str | None], batch: Batch) -> None:
    """Orders counted from their lines, of an orders landing or of a lines landing; lines that take a cancelled order back."""
    table, name = rows.table, f"{rows.relation}_counted"
    orders, lines = (rows.relation, None) if table.name == "orders" else (None, rows.relation)
    counted = documents.count_orders(con, context, orders, lines, existing, name=name)
    if counted:
        batch.add(Canonical(relation=f"{name}_back", table=ORDER_LINES, namespaces=(), derived=True))
        if orders is not None:
            con.execute(f"UPDATE {quoted(orders)} o SET {', '.join(f'{c} = n.{c}' for c in documents.COUNTED_COLUMNS)} FROM {quoted(name)} n WHERE o.order_id = n.order_id")
        else:
            batch.add(Canonical(relation=name, table=ORDERS, namespaces=(), derived=True))
    if orders is not None:
        batch.add(rows)


def _leave_out_landed(con: Connection, rows: Canonical, existing: Callable[[str], str | None], batch: Batch) -> None:
    """Delete rows of a log that have landed before, or stand twice in the delivery (the first one counts)."""
    key = ", ".join(quoted(column) for column in rows.table.key)
    name = quoted(rows.stored or rows.relation)
    con.execute(f"CREATE OR REPLACE TEMP TABLE _again AS SELECT hash({key}) AS hashed FROM {name} GROUP BY 1 HAVING count(*) > 1")
    if con.execute("SELECT count(*) FROM _again").fetchone()[0]:
        ranked = f"SELECT rowid AS id, row_number() OVER (PARTITION BY {key} ORDER BY received_at, {rows.order}) AS place FROM {name} WHERE hash({key}) IN (SELECT hashed FROM _again)"
        gone = con.execute(f"DELETE FROM {name} WHERE rowid IN (SELECT id FROM ({ranked}) WHERE place > 1)").fetchone()[0]
        batch.duplicates += 0 if rows.derived else gone
    landed = existing(rows.table.name)
    if landed is not None and batch.known is not None and rows.table.name == KNOWN_TABLE:
        if not suspects(con, batch.known, name, name="_suspects"):
            return
        landed = f"(SELECT {key} FROM {landed} WHERE hash({key}) IN (SELECT hashed FROM _suspects))"
    if landed is not None:
        on = " AND ".join(f"n.{quoted(c)} IS NOT DISTINCT FROM o.{quoted(c)}" if len(rows.table.key) > 1 else f"n.{quoted(c)} = o.{quoted(c)}" for c in rows.table.key)
        gone = con.execute(f"DELETE FROM {name} n USING (SELECT {key} FROM {landed}) o WHERE {on}").fetchone()[0]
        batch.duplicates += 0 if rows.derived else gone


def _changes(con: Connection, lake: Lake, existing: Callable[[str], str | None], batch: Batch) -> list[Change]:
    changes: list[Change] = []
    change: Change
    for name, relations in batch.rows.items():
        table = relations[0].table
        one = relations[0].relation if len(relations) == 1 else f"_all_{name}"
        if len(relations) > 1:
            shared = ", ".join(quoted(c) for c in ("_file", "_row", *(c for c in table.names if c != "batch_id")))
            con.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(one)} AS {' UNION ALL '.join(f'SELECT {shared} FROM {quoted(r.relation)}' for r in relations)}")
        alone = relations[0] if len(relations) == 1 else Canonical(relation=one, table=table, namespaces=())
        rows = replace(alone, undated=all(relation.undated for relation in relations), derived=all(relation.derived for relation in relations))
        if batch.versions is not None and name in VERSIONED:
            change, changed, again = upsert(con, rows, existing, batch.versions, lambda rows=rows: _select(con, rows, existing, batch))  # type: ignore[misc]  # mypy cannot infer a lambda with bound defaults
            batch.changed |= {name: changed} if changed else {}
            batch.duplicates += again
        elif name in mapping.MUTABLE:
            change = _newer(con, rows, existing, batch)
        else:
            _leave_out_landed(con, rows, existing, batch)
            change = Append(table=name, source=lake.stage(name, _sorted(rows.table, _select(con, rows, existing, batch), {"batch_id": batch.id}), order=""))
        count = con.execute(f"SELECT count(*) FROM {quoted(rows.stored or one)}").fetchone()[0]
        batch.final[name] = _select(con, rows, existing, batch)
        if count or (batch.versions is not None and name in batch.versions.removed):
            changes.append(change)
            fresh = count - batch.changed.get(name, 0)
            if fresh:
                batch.counts[name] = fresh
    return changes


def _select(con: Connection, rows: Canonical, existing: Callable[[str], str | None], batch: Batch) -> str:
    shown = []
    for column in rows.table.names:
        if column == "batch_id":
            shown.append(f"{literal(batch.id)} AS batch_id")
        elif column == "seq" and rows.table.name == "consent_records":
            landed = existing("consent_records")
            last = con.execute(f"SELECT coalesce(max(seq), 0) FROM {landed}").fetchone()[0] if landed else 0
            shown.append(f"{last} + row_number() OVER (ORDER BY received_at, record_id) AS seq")
        else:
            shown.append(quoted(column))
    return f"SELECT {', '.join(shown)} FROM {quoted(rows.relation)}"


def _sorted(table: Table, query: str, same: Mapping[str, str]) -> str:
    """The query's rows by subject, as the lake lays them down; what is the same in all rows is not carried through the sort."""
    carried = ", ".join(quoted(name) for name in table.names if name not in same)
    shown = ", ".join(f"{literal(same[name])} AS {quoted(name)}" if name in same else quoted(name) for name in table.names)
    return f"SELECT {shown} FROM (SELECT {carried} FROM ({query}){f' ORDER BY {quoted(table.subject)}' if table.subject else ''})"


def _newer(con: Connection, rows: Canonical, existing: Callable[[str], str | None], batch: Batch) -> Change:
    """The newest row of each key, where it is new, or newer than and different from the landed one."""
    table, name = rows.table, quoted(rows.relation)
    key = ", ".join(quoted(column) for column in table.key)
    newest = f"epoch_us(received_at)::HUGEINT * {2**48} + " if "received_at" in table.names else ""
    order = f"{newest}(_file::HUGEINT << 36) + _row"
    con.execute(f"DELETE FROM {name} WHERE rowid NOT IN (SELECT arg_max(rowid, {order}) FROM {name} GROUP BY {key})")
    landed = existing(table.name)
    if landed is not None:
        on = " AND ".join(f"n.{quoted(c)} IS NOT DISTINCT FROM o.{quoted(c)}" for c in table.key)
        told = [c for c in table.names if c not in table.key and c not in ("batch_id", "received_at", "seq", "occurred_at" if rows.undated else "")]
        same = " AND ".join(f"CAST(n.{quoted(c)} AS VARCHAR) IS NOT DISTINCT FROM CAST(o.{quoted(c)} AS VARCHAR)" for c in told) or "true"
        older = " OR n.received_at < o.received_at" if "received_at" in table.names else ""
        gone = con.execute(f"DELETE FROM {name} n USING {landed} o WHERE {on} AND (({same}){older})").fetchone()[0]
        batch.duplicates += 0 if rows.derived else gone
        changed = con.execute(f"SELECT count(*) FROM {name} n SEMI JOIN {landed} o ON {on}").fetchone()[0]
        if changed:
            batch.changed[table.name] = changed
    column = table.key[0]
    source = _select(con, rows, existing, batch)
    if len(table.key) > 1 and landed is not None:
        on = " AND ".join(f"n.{quoted(c)} IS NOT DISTINCT FROM o.{quoted(c)}" for c in table.key)
        columns = ", ".join(quoted(c) for c in table.names)
        rest = f"SELECT {columns} FROM {landed} o WHERE {quoted(column)} IN (SELECT {quoted(column)} FROM {name}) AND NOT EXISTS (SELECT 1 FROM {name} n WHERE {on})"
        source = f"{source} UNION ALL {rest}"
    return Upsert(table=table.name, column=column, keys=f"SELECT DISTINCT {quoted(column)} FROM {name}", source=source)


def _rates(con: Connection, existing: Callable[[str], str | None]) -> list[Change]:
    if not con.execute("SELECT count(*) FROM duckdb_tables() WHERE temporary AND table_name = '_rates'").fetchone()[0]:
        return []
    fresh = "SELECT DISTINCT local_day, currency, rate, source FROM _rates WHERE source <> ''"
    return [Append(table="exchange_rates", source=fresh)] if con.execute(f"SELECT count(*) FROM ({fresh})").fetchone()[0] else []


def _identifiers(con: Connection, existing: Callable[[str], str | None], batch: Batch, name: str) -> list[Change]:
    """New identifiers, and the keys this batch touched."""
    seen: list[str] = []
    touched: list[str] = list(batch.versions.touched) if batch.versions is not None else []
    for rows in (rows for relations in batch.rows.values() for rows in relations):
        moment = "occurred_at" if "occurred_at" in rows.table.names else "_occurred"
        named = quoted(rows.stored or rows.relation)
        if rows.callers:
            named = f"(SELECT * FROM (SELECT _caller, min({moment}) AS {moment} FROM {named} GROUP BY _caller) JOIN {quoted(rows.callers)} USING (_caller))"
        for number, namespace in enumerate(rows.namespaces):
            seen.append(f"SELECT _k{number} AS identifier_key, {literal(namespace)} AS namespace, _n{number} AS value, {moment} AS first_at FROM {named} WHERE _k{number} IS NOT NULL")
        if "identifier_key" in rows.table.names and not rows.namespaces:
            touched.append(f"SELECT identifier_key FROM {quoted(rows.relation)} WHERE identifier_key IS NOT NULL")
            touched.append(f"SELECT unnest(other_keys) FROM {quoted(rows.relation)}")
    changes: list[Change] = []
    if seen:
        con.execute(
            "CREATE OR REPLACE TEMP TABLE _seen AS SELECT identifier_key, any_value(namespace) AS namespace, any_value(value) AS value, min(first_at) AS first_at "
            f"FROM ({' UNION ALL '.join(seen)}) GROUP BY identifier_key"
        )
        touched.append("SELECT identifier_key FROM _seen")
        landed = existing("identifiers")
        new = f" WHERE NOT EXISTS (SELECT 1 FROM {landed} o WHERE o.identifier_key = s.identifier_key)" if landed else ""
        query = f"SELECT identifier_key, namespace, value, first_at, {literal(name)} AS source FROM _seen s{new}"
        count = con.execute(f"SELECT count(*) FROM ({query})").fetchone()[0]
        if count:
            batch.counts["identifiers"] = count
            changes.append(Append(table="identifiers", source=query))
    if touched:
        con.execute(f"CREATE OR REPLACE TEMP TABLE _touched AS SELECT DISTINCT identifier_key FROM ({' UNION ALL '.join(touched)}) t(identifier_key) WHERE identifier_key IS NOT NULL")
        if con.execute("SELECT count(*) FROM _touched").fetchone()[0]:
            moment = f"TIMESTAMPTZ '{batch.now.astimezone(dt.UTC).isoformat(sep=' ')}'"
            changes.append(Append(table="touched", source=f"SELECT {literal(batch.id)} AS batch_id, identifier_key, {moment} AS received_at FROM _touched"))
    return changes


def _append_consents(con: Connection, state: Any, query: str) -> None:
    """Consents go into the one truth before they are copied into the lake; a resend changes nothing there."""
    from kundig import consent

    consent.append(state, con.execute(query).to_arrow_table())
