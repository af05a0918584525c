"""Where a run works: one state of the lake as views, the outputs staged beside it, and the one commit that makes a release of them."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kundig import tables as declared
from kundig.pipeline import changes
from kundig.pipeline.arrivals import Arrivals
from kundig.pipeline.changes import IDENTIFIER, NOTHING, PERSON, WHOLE, Change
from kundig.pipeline.memory import Memory, fitted_moments, last_memory
from kundig.schema import Step, Table
from kundig.store.engines.session import as_known
from kundig.tables.unify import IDENTITIES

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

    from kundig.store.lake import Lake, StagedFiles
    from kundig.store.state import State

@dataclass(frozen=True, kw_only=True)
class Narrowed:
    """The keys a step is computed for, and the identifiers of the persons among them; `held…`: the same as tables of the session."""

    by: str
    keys: pa.Array
    held: ir.Table
    identifiers: pa.Array | None = None
    held_identifiers: ir.Table | None = None


SAMPLE, SMALLEST_SAMPLE, MOSTLY = 64, 100, 0.2
"""One key in so many is compared first; of how many at least; and above which share of them that differ the table is written anew."""

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
        self._wanted: dict[str, Table] = {}
        self._narrowed: Narrowed | None = None
        self._arrivals: Arrivals | None = None
        self._relatives: dict[tuple[str, int], tuple[pa.Array, pa.Array]] = {}

    # opening

    def open(self, as_of: dt.datetime, wanted: Mapping[str, Table]) -> None:
        """Set the moment, and the tables as this workspace declares them; each is made known to the session when it is first asked for."""
        self.as_of = as_of
        self._wanted = dict(wanted)
        if self.release is not None:
            self._arrivals = Arrivals(self.lake, self.session, self.release, self.base, as_of, self.opened)

    def opened(self, table: Table) -> ir.Table:
        """A table as the step to come reads it: of the moment where it carries the clocks, with what this run made of it."""
        if table.name not in self._views:
            self._define(self._wanted.get(table.name, table))
        rows: ir.Table = self.session.table(table.name)
        return rows

    def _define(self, table: Table) -> None:
        self._views.add(table.name)
        if table.home == "state":
            self.session.register(table.name, self.state.rows(table) if self.state is not None else _no_rows(table))
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
        known = self._wanted.get(table) or declared.ALL[table]
        if known.home == "state":
            if table not in self._state:
                self._state[table] = self.state.digest(table) if self.state is not None else "empty"
            return self._state[table]
        return f"run {self.run_id}" if table in self._staged else str(self._versions.get(table, 0))

    def landed(self, table: Table) -> Change:
        """How a table that no step writes differs from what the last release saw."""
        return WHOLE if self._arrivals is None else self._arrivals.change(table)

    def added(self, table: Table) -> ir.Table:
        """The rows by which a table has grown since the last release: those that landed, or those this run made."""
        if table.name in self._staged:
            rows = self.session.table(table.name)
            return rows.filter(rows.changed_run == self.run_id)
        assert self._arrivals is not None
        found = self._arrivals.added(table)
        return found if found is not None else self.opened(table).limit(0)

    def since(self, days: int) -> dt.datetime:
        """So many days before the last release's moment."""
        assert self.release is not None
        return self.release.moment - dt.timedelta(days=days)

    def recent(self, table: Table, since: dt.datetime) -> ir.Table:
        """The rows known now that happened since a moment; of landed tables, files that can hold none are not opened."""
        import ibis

        from kundig.store.engines.session import ibis_type

        if "occurred_at" not in table.names:
            return self.opened(table)
        rows = self.opened(table)
        if table.name not in self._staged:
            fields, files = self.lake.files(table.name, self.base, ranges={"occurred_at": (since, None)})
            rows = as_known(self.session.open_files(table, fields, files, f"{table.name}__recent"), table, self.as_of)
        return rows.filter(rows.occurred_at >= ibis.literal(since, type=ibis_type("timestamp")))

    def due(self, step: Step, as_of: dt.datetime) -> pa.Array:
        """Keys of a step's rows that time alone may have changed by a moment."""
        import ibis

        from kundig.store.engines.session import ibis_type

        assert step.by is not None
        assert step.due is not None
        rows = self.before(step.writes)
        kind = ibis_type("timestamp")
        fallen = rows[step.due] <= ibis.literal(as_of, type=kind)
        if self.release is not None:
            fallen = fallen & (rows[step.due] > ibis.literal(self.release.moment, type=kind))
        return changes.distinct_keys(self.session, rows.filter(fallen), step.by)

    def count(self, table: Table, column: str) -> int:
        """How many distinct keys a table has in the last release (rows, where the key is the whole of the table's key)."""
        return int(self.before(table).select(column).nunique().execute()) if table.key == (column,) else int(self.before(table)[column].nunique().execute())

    def persons_of(self, identifiers: pa.Array) -> pa.Array:
        """Persons that the identifiers belong to now, or belonged to in the last release."""
        return self._related(identifiers, IDENTIFIER, PERSON)

    def identifiers_of(self, persons: pa.Array) -> pa.Array:
        """Identifiers that belong to the persons now, or belonged to them in the last release."""
        return self._related(persons, PERSON, IDENTIFIER)

    def _related(self, keys: pa.Array, known: str, wanted: str) -> pa.Array:
        """Asked once for the same keys; identities that this run left as they were are read once."""
        place = (known, id(keys))
        if place not in self._relatives:
            held = self.held("kundig_related", known, keys)
            sides = [self.before(IDENTITIES)] + ([self.session.table("identities")] if "identities" in self._staged else [])
            self._relatives[place] = (keys, changes.union([changes.distinct_keys(self.session, rows.semi_join(held, known), wanted) for rows in sides]))
        return self._relatives[place][1]

    def state_of(self, name: str, *, before: bool) -> ir.Table:
        """A table as of the last release, or as this run has made it (a step that wrote nothing left it as it was)."""
        return self.before(declared.ALL[name]) if before or name not in self._staged else self.session.table(name)

    def before(self, table: Table) -> ir.Table:
        """A table as of the last release."""
        name = f"{table.name}__before"
        if name not in self._views:
            at = self.release.snapshot_id if self.release is not None else self.base
            self.session.open_table(self.lake, table, at, name)
            self._views.add(name)
        return self.session.table(name)

    # computing

    def inputs(self, step: Step, keys: pa.Array | None) -> list[ir.Table]:
        """The step's tables, narrowed to the keys where it is given some; tables that concern nobody stay whole."""
        if keys is None or step.by is None:
            self._narrowed = None
            return [self.opened(table) for table in step.reads]
        self._narrowed = self._narrow_to(step.by, keys)
        return [self._of_keys(table, self._narrowed) for table in step.reads]

    def _narrow_to(self, by: str, keys: pa.Array) -> Narrowed:
        held = self.held("kundig_keys", by, keys)
        self.opened(IDENTITIES)
        if by != PERSON:
            return Narrowed(by=by, keys=keys, held=held)
        mine = self.session.narrow("identities__mine", IDENTITIES.name, IDENTITIES, PERSON, keys, held)
        identifiers = changes.distinct_keys(self.session, mine, IDENTIFIER)
        return Narrowed(by=by, keys=keys, held=held, identifiers=identifiers, held_identifiers=self.held("kundig_key_identifiers", IDENTIFIER, identifiers))

    def _of_keys(self, table: Table, chosen: Narrowed) -> ir.Table:
        name, whole = f"{table.name}__narrowed", self.opened(table)
        if chosen.by in table.names:
            return self.session.narrow(name, table.name, table, chosen.by, chosen.keys, chosen.held)
        if IDENTIFIER in table.names and chosen.identifiers is not None:
            return self.session.narrow(name, table.name, table, IDENTIFIER, chosen.identifiers, chosen.held_identifiers)
        return whole

    def only(self, result: ir.Table, column: str) -> ir.Table:
        """The rows of the keys the step was narrowed to."""
        return result if self._narrowed is None else result.semi_join(self._narrowed.held, column)

    def held(self, name: str, column: str, keys: pa.Array) -> ir.Table:
        """Keys as a table of one column, to narrow rows by."""
        import pyarrow as pa

        rows: ir.Table = self.session.register(name, pa.table({column: keys}))
        return rows

    def arrow_result(self, step: Step, rows: pa.Table) -> ir.Table:
        """The Arrow rows an array or fit step returned, as an expression."""
        return self.session.register(f"kundig_result_{step.writes.name}", rows)

    def write(self, step: Step, shaped: ir.Table, keys: pa.Array | None, print_: str) -> tuple[Change, int]:
        """Stage a step's rows, lay them over the table for the steps to come, and say what changed."""
        table = step.writes
        if step.kind == "fit":
            staged = self.stage(step, shaped, print_)
            self.lay(table, [*self._staged.get(table.name, []), ("append", staged)])
            return WHOLE, staged.rows
        column = step.by or changes.key_column(table)
        if self.release is None or not self._released.get(table.name):
            staged = self.stage(step, shaped, print_)
            self.lay(table, [("replace", staged)])
            return WHOLE, staged.rows
        fresh = self.session.keep(f"kundig_new_{table.name}", shaped, table)
        if column is None:
            return self._write_keyless(step, fresh, self.before(table), print_)
        if keys is None and self._mostly_new(table, fresh, column):
            staged = self.stage(step, fresh, print_)
            self.lay(table, [("replace", staged)])
            return WHOLE, staged.rows
        changed = self.changed(step, fresh, column, keys)
        if len(changed) == 0:
            return NOTHING, 0
        if keys is None and len(changed) > REPLACE_SHARE * max(1, self.count(table, column)):
            staged = self.stage(step, fresh, print_)
            self.lay(table, [("replace", staged)])
        else:
            staged = self.stage(step, fresh.semi_join(self.held(f"kundig_changed_{table.name}", column, changed), column), print_)
            self.lay(table, [("upsert", (column, changed, staged))])
        return Change(column=column, keys=changed), staged.rows

    def _mostly_new(self, table: Table, new: ir.Table, column: str) -> bool:
        """Whether of a sample of the keys so many have other rows than before that those who read the table are computed in full anyway: then the rest need not be compared."""
        sample = new.filter(new[column] % SAMPLE == 0)
        before = self.before(table)
        size = int(sample[column].nunique().execute())
        if size < SMALLEST_SAMPLE:
            return False
        rows = changes.difference(sample, before.filter(before[column] % SAMPLE == 0), table)
        return int(rows[column].nunique().execute()) > MOSTLY * size

    def changed(self, step: Step, new: ir.Table, column: str, keys: pa.Array | None) -> pa.Array:
        """Keys whose rows stand in the new or in the last state of a step's table, and not alike in both."""
        table, old = step.writes, self.before(step.writes)
        if keys is not None:
            assert self._narrowed is not None
            old = self.session.narrow(f"{table.name}__were", f"{table.name}__before", table, column, self._narrowed.keys, self._narrowed.held)
        rows = changes.difference(new, old, table)
        found = self.session.arrow(rows.select(new=rows[column], old=rows[f"{changes.OLD}{column}"]))
        return changes.union([found[side].combine_chunks().drop_null().unique() for side in ("new", "old")])

    def _write_keyless(self, step: Step, fresh: ir.Table, before: ir.Table, print_: str) -> tuple[Change, int]:
        if self._same(fresh, before):
            return NOTHING, 0
        staged = self.stage(step, fresh, print_)
        self.lay(step.writes, [("replace", staged)])
        return WHOLE, staged.rows

    def _same(self, fresh: ir.Table, before: ir.Table) -> bool:
        names = [name for name in fresh.columns if name != "changed_run"]
        one, other = fresh.select(*names), before.select(*names)
        if int(one.count().execute()) != int(other.count().execute()):
            return False
        return not self.session.arrow(one.difference(other, distinct=True).limit(1)).num_rows

    def stage(self, step: Step, rows: ir.Table, print_: str) -> StagedFiles:
        """Rows of a step as files that the commit will show."""
        staged: StagedFiles = self.session.stage(self.lake, step.writes, rows, run=self._ticket(), step=f"{step.name}@{print_}")
        return staged

    def lay(self, table: Table, parts: list[tuple[str, Any]]) -> None:
        """Show a table to the steps to come as it will be once staged files are committed: appended, in place of rows of some keys, or of all."""
        self._staged[table.name] = parts
        self._views.add(table.name)
        if table.name == IDENTITIES.name:
            self._relatives.clear()
        rows = self.session.overlay(self.lake, table, self.base, parts, f"{table.name}__all")
        self.session.define(table.name, newest_models(rows) if table.name == "models" else rows)

    # resuming and committing

    def _ticket(self) -> str:
        text = json.dumps([self.base, self.as_of.isoformat()])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def adopt(self, step: Step, print_: str) -> tuple[Change, int] | None:
        """What an earlier attempt at this very run had already staged for a full step, if it is there whole."""
        if self.release is not None or step.kind == "fit":
            return None
        staged = self.lake.staged(run=self._ticket(), step=f"{step.name}@{print_}")
        if staged is None:
            return None
        self.lay(step.writes, [("replace", staged)])
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


def _no_rows(table: Table) -> pa.Table:
    from kundig.store.engines.session import arrow_schema

    return arrow_schema(table).empty_table()
