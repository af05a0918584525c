"""Where a run works: one state of the lake as views, the outputs staged beside it, and the one commit that makes a release of them."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kundig import tables as declared
from kundig.pipeline import changes
from kundig.pipeline.changes import IDENTIFIER, NOTHING, PERSON, WHOLE, Change
from kundig.pipeline.memory import Memory, fitted_moments, last_memory
from kundig.schema import Step, Table
from kundig.store.engines.session import as_known
from kundig.tables.collect import TOUCHED
from kundig.tables.unify import IDENTITIES

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

    from kundig.store.lake import Lake, StagedFiles
    from kundig.store.state import State

REPLACE_SHARE = 0.1
"""Above this share of changed rows a table is written anew instead of added to."""


class Workbench:
    """The lake under a run: views of one snapshot with what the run has made so far laid over them."""

    def __init__(self, lake: Lake, session: Any, state: State | None = None) -> None:
        self.lake, self.session, self.state = lake, session, state
        self.base = lake.snapshot()
        self.release = lake.release()
        self.last_run_id = self.release.run_id if self.release is not None else 0
        self.run_id = self.last_run_id + 1
        self._staged: dict[str, list[tuple[str, Any]]] = {}
        self._versions = lake.versions(self.base)
        self._released = lake.versions(self.release.snapshot_id) if self.release is not None else {}
        self._views: set[str] = set()
        self._state: dict[str, str] = {}
        self._narrowed: tuple[str, ir.Table, ir.Table | None] | None = None
        self._touched: pa.Array | None = None

    # opening

    def open(self, as_of: dt.datetime, wanted: Mapping[str, Table]) -> None:
        """Make every wanted table known to the session, as of the moment where it carries the clocks."""
        self.as_of = as_of
        for name in sorted({*wanted, "identities", "touched", "models"}):
            self._define(wanted.get(name, declared.ALL[name]))

    def _define(self, table: Table) -> None:
        self._views.add(table.name)
        if table.home == "state":
            rows = self.state.rows(table) if self.state is not None else None
            self.session.register(table.name, rows if rows is not None else _no_rows(table))
            self._state[table.name] = _digest(rows)
            return
        raw = self.session.open_table(self.lake, table, self.base, f"{table.name}__all")
        if table.room == "collect" and table.name != "touched":
            self.session.define(table.name, as_known(raw, table, self.as_of))
        elif table.name == "models":
            self.session.define(table.name, newest_models(raw))
        else:
            self.session.define(table.name, raw)

    # what changed

    def memory(self) -> dict[str, Memory]:
        """What the last release recorded of each step."""
        return last_memory(self.lake, self.release)

    def fitted_at(self, step: str) -> dt.datetime | None:
        """As-of moment of a fit's last result."""
        return fitted_moments(self.lake, self.release).get(step)

    def version(self, table: str) -> str:
        """The version of a table this run reads: the snapshot that last changed it, this run, or the hash of a state table."""
        if table in self._state:
            return self._state[table]
        return f"run {self.run_id}" if table in self._staged else str(self._versions.get(table, 0))

    def landed(self, table: Table, as_of: dt.datetime) -> Change:
        """How a table that no step writes differs from what the last release saw."""
        if self.release is None:
            return WHOLE
        column = changes.key_column(table)
        fresh = self._versions.get(table.name, 0) != self._released.get(table.name, 0)
        if column is None or table.name == "identifiers":
            timed = self._appeared(table, as_of) if _has_clocks(table) else False
            return WHOLE if fresh or timed else NOTHING
        arrays = [self._touched_since()] if fresh else []
        if _has_clocks(table):
            raw = self.session.table(f"{table.name}__all")
            arrays.append(changes.distinct_keys(self.session, changes.became_visible(raw, table, after=self.release.moment, until=as_of), column))
        keys = changes.union(arrays)
        return Change(column=column, keys=keys) if len(keys) else NOTHING

    def _appeared(self, table: Table, as_of: dt.datetime) -> bool:
        assert self.release is not None
        raw = self.session.table(f"{table.name}__all")
        seen = changes.became_visible(raw, table, after=self.release.moment, until=as_of)
        return bool(self.session.arrow(seen.limit(1)).num_rows)

    def _touched_since(self) -> pa.Array:
        if self._touched is None:
            assert self.release is not None
            now = self.session.table("touched")
            before = self.session.open_table(self.lake, TOUCHED, self.release.snapshot_id, "touched__released")
            fresh = now.anti_join(before.select("batch_id").distinct(), "batch_id")
            self._touched = changes.distinct_keys(self.session, fresh, IDENTIFIER)
        return self._touched

    def due(self, step: Step, as_of: dt.datetime) -> pa.Array:
        """Keys of a step's rows that time alone may have changed by a moment."""
        import ibis

        from kundig.store.engines.session import ibis_type

        assert step.by is not None
        assert step.due is not None
        rows = self._before(step.writes)
        kind = ibis_type("timestamp")
        fallen = rows[step.due] <= ibis.literal(as_of, type=kind)
        if self.release is not None:
            fallen = fallen & (rows[step.due] > ibis.literal(self.release.moment, type=kind))
        return changes.distinct_keys(self.session, rows.filter(fallen), step.by)

    def count(self, table: Table, column: str) -> int:
        """How many distinct keys a table has in the last release (rows, where the key is the whole of the table's key)."""
        return int(self._before(table).select(column).nunique().execute()) if table.key == (column,) else int(self._before(table)[column].nunique().execute())

    def persons_of(self, identifiers: pa.Array) -> pa.Array:
        """Persons that the identifiers belong to now, or belonged to in the last release."""
        import pyarrow as pa

        keys = self.session.register("kundig_identifiers", pa.table({IDENTIFIER: identifiers}))
        found = []
        for rows in (self.session.table("identities"), self._before(IDENTITIES)):
            found.append(changes.distinct_keys(self.session, rows.semi_join(keys, IDENTIFIER), PERSON))
        return changes.union(found)

    def identifiers_of(self, persons: pa.Array) -> pa.Array:
        """Identifiers that belong to the persons now, or belonged to them in the last release."""
        import pyarrow as pa

        keys = self.session.register("kundig_persons", pa.table({PERSON: persons}))
        found = []
        for rows in (self.session.table("identities"), self._before(IDENTITIES)):
            found.append(changes.distinct_keys(self.session, rows.semi_join(keys, PERSON), IDENTIFIER))
        return changes.union(found)

    def state_of(self, name: str, *, before: bool) -> ir.Table:
        """A table as of the last release, or as this run has made it (a step that wrote nothing left it as it was)."""
        return self._before(declared.ALL[name]) if before or name not in self._staged else self.session.table(name)

    def _before(self, table: Table) -> ir.Table:
        name = f"{table.name}__before"
        if name not in self._views:
            at = self.release.snapshot_id if self.release is not None else self.base
            self.session.open_table(self.lake, table, at, name)
            self._views.add(name)
        return self.session.table(name)

    # computing

    def inputs(self, step: Step, keys: pa.Array | None) -> list[ir.Table]:
        """The step's tables, narrowed to the keys where it is given some."""
        import pyarrow as pa

        whole = [self.session.table(table.name) for table in step.reads]
        if keys is None or step.by is None:
            self._narrowed = None
            return whole
        chosen = self.session.register("kundig_keys", pa.table({step.by: keys}))
        identifiers = None
        if step.by == PERSON:
            mine = self.session.table("identities").semi_join(chosen, PERSON).select(IDENTIFIER).distinct()
            identifiers = self.session.keep("kundig_key_identifiers", mine)
        self._narrowed = (step.by, chosen, identifiers)
        return [changes.narrowed(rows, table, step.by, chosen, identifiers) for rows, table in zip(whole, step.reads, strict=True)]

    def arrow_result(self, step: Step, rows: pa.Table) -> ir.Table:
        """The Arrow rows an array or fit step returned, as an expression."""
        return self.session.register(f"kundig_result_{step.writes.name}", rows)

    def only(self, result: ir.Table, column: str) -> ir.Table:
        """The rows of the keys the step was narrowed to."""
        return result if self._narrowed is None else result.semi_join(self._narrowed[1], column)

    def write(self, step: Step, shaped: ir.Table, keys: pa.Array | None, print_: str, as_of: dt.datetime) -> tuple[Change, int]:
        """Stage a step's rows, lay them over the table for the steps to come, and say what changed."""
        table = step.writes
        if step.kind == "fit":
            staged = self._stage(step, shaped, print_)
            self._lay(table, [*self._staged.get(table.name, []), ("append", staged)])
            return WHOLE, staged.rows
        column = step.by or changes.key_column(table)
        if self.release is None or not self._released.get(table.name):
            staged = self._stage(step, shaped, print_)
            self._lay(table, [("replace", staged)])
            return WHOLE, staged.rows
        fresh = self.session.keep(f"kundig_new_{table.name}", shaped, table)
        before = self._before(table)
        if keys is not None and column is not None:
            assert self._narrowed is not None
            before = before.semi_join(self._narrowed[1], column)
        if column is None:
            return self._write_keyless(step, fresh, before, print_)
        differing = changes.differing(self.session, fresh, before, column)
        if len(differing) == 0:
            return NOTHING, 0
        if keys is None and len(differing) > REPLACE_SHARE * max(1, self.count(table, column)):
            staged = self._stage(step, fresh, print_)
            self._lay(table, [("replace", staged)])
        else:
            import pyarrow as pa

            changed = self.session.register(f"kundig_changed_{table.name}", pa.table({column: differing}))
            staged = self._stage(step, fresh.semi_join(changed, column), print_)
            self._lay(table, [("upsert", (column, differing, staged))])
        return Change(column=column, keys=differing), staged.rows

    def _write_keyless(self, step: Step, fresh: ir.Table, before: ir.Table, print_: str) -> tuple[Change, int]:
        if self._same(fresh, before):
            return NOTHING, 0
        staged = self._stage(step, fresh, print_)
        self._lay(step.writes, [("replace", staged)])
        return WHOLE, staged.rows

    def _same(self, fresh: ir.Table, before: ir.Table) -> bool:
        names = [name for name in fresh.columns if name != "changed_run"]
        one, other = fresh.select(*names), before.select(*names)
        if int(one.count().execute()) != int(other.count().execute()):
            return False
        return not self.session.arrow(one.difference(other, distinct=True).limit(1)).num_rows

    def _stage(self, step: Step, rows: ir.Table, print_: str) -> StagedFiles:
        staged: StagedFiles = self.session.stage(self.lake, step.writes, rows, run=self._ticket(), step=f"{step.name}@{print_}")
        return staged

    def _lay(self, table: Table, parts: list[tuple[str, Any]]) -> None:
        self._staged[table.name] = parts
        rows = self.session.overlay(self.lake, table, self.base, parts, f"{table.name}__all")
        self.session.define(table.name, newest_models(rows) if table.name == "models" else rows)

    # resuming and committing

    def _ticket(self) -> str:
        text = json.dumps([self.base, self.as_of.isoformat()])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def adopt(self, step: Step, print_: str, as_of: dt.datetime, cause: str, keys: pa.Array | None) -> tuple[Change, int] | None:
        """What an earlier attempt at this very run had already staged for a full step, if it is there whole."""
        if keys is not None or self.release is not None or step.kind == "fit":
            return None
        staged = self.lake.staged(run=self._ticket(), step=f"{step.name}@{print_}")
        if staged is None:
            return None
        self._lay(step.writes, [("replace", staged)])
        return WHOLE, staged.rows

    def commit(self, bookkeeping: list[tuple[Table, pa.Table, str]], as_of: dt.datetime) -> int:
        """One transaction for all that was staged and the books of the run; marks it as a release.

        Returns:
            The release's snapshot.
        """
        from kundig.store.lake import Append, ReleaseMark, Replace, Upsert

        commits: list[Append | Replace | Upsert] = []
        for name, parts in sorted(self._staged.items()):
            for kind, what in parts:
                if kind == "upsert":
                    column, keys, staged = what
                    commits.append(Upsert(table=name, column=column, keys=keys, source=staged))
                else:
                    commits.append((Append if kind == "append" else Replace)(table=name, source=what))
        for table, rows, kind in bookkeeping:
            commits.append((Append if kind == "append" else Replace)(table=table.name, source=rows))
        mark = ReleaseMark(run_id=self.run_id, moment=as_of)
        snapshot = self.lake.commit(commits, batch=f"run {self.run_id}", message=f"run {self.run_id}", release=mark, expect=self.base)
        self.lake.unstage()
        return snapshot


def newest_models(rows: ir.Table) -> ir.Table:
    """The newest version of each model, of those fitted at all."""
    import ibis

    last = ibis.window(group_by="model", order_by=[ibis.desc("fitted_at"), ibis.desc("version")])
    ranked = rows.mutate(_rank=ibis.row_number().over(last))
    return ranked.filter(ranked._rank == 0).drop("_rank")


def _digest(rows: pa.Table | None) -> str:
    """A hash of a state table's rows, which come in the order of their key: state has no snapshots to tell by."""
    if rows is None or rows.num_rows == 0:
        return "empty"
    import pyarrow as pa

    digest = hashlib.sha256()
    for column in rows.combine_chunks().columns:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, pa.schema([("column", column.type)])) as writer:
            writer.write_table(pa.table({"column": column}))
        digest.update(sink.getvalue())
    return digest.hexdigest()[:16]


def _has_clocks(table: Table) -> bool:
    return "occurred_at" in table.names or ("received_at" in table.names and "local_day" in table.names)


def _no_rows(table: Table) -> pa.Table:
    from kundig.store.engines.session import arrow_schema

    return arrow_schema(table).empty_table()
