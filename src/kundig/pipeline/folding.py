"""Folding: a step's answer to added rows alone, laid beside or over what stands, so that a day costs a day and not the history of all it touches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kundig.pipeline import changes
from kundig.pipeline.changes import Change, Scope
from kundig.schema import Step
from kundig.store.engines.session import conform

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

    from kundig.pipeline.workbench import Workbench


RECENT_DAYS = 2
"""What a fold may look back at, in days before the last release's moment."""


def merged(bench: Workbench, step: Step, filled: dict[str, Any], scope: Scope, print_: str) -> tuple[Change, int]:
    """A step with `merge`: its answer to the added rows becomes rows of its table, or goes into those of the same key.

    Persons one of whose rows takes something in are written whole; of all others rows are only added.
    """
    table, session, by = step.writes, bench.session, _by(step)
    grown = bench.held("kundig_grown", by, scope.grown)
    inputs = [bench.added(one) if one in step.folds else bench.opened(one) for one in step.reads]
    part = conform(step.body(*inputs, **filled), table, changed_run=bench.run_id).semi_join(grown, by)
    fresh = session.keep(f"kundig_part_{table.name}", part, table)
    before = bench.before(table)
    met = changes.distinct_keys(session, fresh.inner_join(before.select(*table.key), table.key), by)
    touching = changes.distinct_keys(session, fresh, by)
    hidden, rows = met, fresh
    if len(met):
        meeting = bench.held("kundig_met", by, met)
        stood = session.narrow(f"{table.name}__met", f"{table.name}__before", table, by, met, meeting)
        rows = _beside(step, fresh.anti_join(meeting, by), _together(_beside(step, stood, fresh.semi_join(meeting, by)), step))
    redone = _recomputed(bench, step, filled, scope.keys)
    if redone is not None:
        changed, again = redone
        hidden = changes.union([met, changed])
        rows = _beside(step, rows, again.semi_join(bench.held(f"kundig_changed_{table.name}", by, changed), by))
        touching = changes.union([touching, changed])
    if not len(touching):
        return changes.NOTHING, 0
    staged = bench.stage(step, rows.select(*table.names), print_)
    bench.lay(table, [("upsert", (by, hidden, staged)) if len(hidden) else ("append", staged)])
    return Change(column=by, keys=touching, grown=changes.without(touching, redone[0]) if redone is not None else touching), staged.rows


def _beside(step: Step, one: ir.Table, other: ir.Table) -> ir.Table:
    """The rows of both, in the declared types: an engine may take a moment's zone off in what it keeps."""
    return conform(one, step.writes, changed_run=None).union(conform(other, step.writes, changed_run=None), distinct=False)


def _together(rows: ir.Table, step: Step) -> ir.Table:
    """Rows of one key made one, as `merge` says; the newest run that had a part in it wrote it."""
    assert step.merge is not None
    how = {**step.merge, "changed_run": "max"}
    made = {name: getattr(rows[name], how[name])() for name in step.writes.names if name not in step.writes.key}
    return conform(rows.group_by(*step.writes.key).aggregate(**made), step.writes, changed_run=None)


def folded(bench: Workbench, step: Step, filled: dict[str, Any], scope: Scope, print_: str) -> tuple[Change, int]:
    """A step with `fold`: rows that its fold makes of the added ones, and the rest of the keys from all their facts."""
    assert step.fold is not None
    table, session, by, key = step.writes, bench.session, _by(step), step.writes.key[0]
    before = bench.before(table)
    grown = bench.held("kundig_grown", by, scope.grown)
    added = {one.name: session.keep(f"{one.name}__grown", bench.added(one).semi_join(grown, by)) for one in step.folds}
    since = bench.since(RECENT_DAYS)
    recent = {one.name: bench.recent(one, since) for one in step.folds}
    made = step.fold(before, *(bench.opened(one) for one in step.reads), added=added, recent=recent, since=since, keys=grown, **filled)
    declined = changes.distinct_keys(session, made.declined, by) if made.declined is not None else scope.grown.slice(0, 0)
    fresh = session.keep(f"kundig_part_{table.name}", conform(made.rows, table, changed_run=bench.run_id), table)
    rows = fresh.anti_join(bench.held("kundig_declined", by, declined), by)
    gone = [_values(session, rows.inner_join(before.select(key), key), key)]
    if made.gone is not None:
        gone.append(_values(session, made.gone, key))
    touching = [changes.distinct_keys(session, rows, by)]
    if made.gone is not None:
        touching.append(changes.distinct_keys(session, made.gone, by))
    grown_keys = changes.union(touching)
    redone = _recomputed(bench, step, filled, changes.union([scope.keys, declined]))
    if redone is not None:
        changed, again = redone
        of_changed = bench.held(f"kundig_changed_{table.name}", by, changed)
        rows = _beside(step, rows, again.semi_join(of_changed, by))
        gone.append(_values(session, before.semi_join(of_changed, by), key))
        touching.append(changed)
    if not sum(map(len, touching)):
        return changes.NOTHING, 0
    staged = bench.stage(step, rows.select(*table.names), print_)
    hidden = _united(gone)
    bench.lay(table, [("upsert", (key, hidden, staged)) if len(hidden) else ("append", staged)])
    return Change(column=by, keys=changes.union(touching), grown=grown_keys), staged.rows


def _recomputed(bench: Workbench, step: Step, filled: dict[str, Any], keys: pa.Array) -> tuple[pa.Array, ir.Table] | None:
    """Of keys that a fold has no answer for: whose rows changed, and the rows of them all; None: there are no such keys."""
    if not len(keys):
        return None
    by = _by(step)
    rows = bench.only(step.body(*bench.inputs(step, keys), **filled), by)
    fresh = bench.session.keep(f"kundig_new_{step.writes.name}", conform(rows, step.writes, changed_run=bench.run_id), step.writes)
    changed = bench.changed(step, fresh, by, keys)
    return (changed, fresh) if len(changed) else None


def _values(session: Any, rows: ir.Table, column: str) -> pa.Array:
    return session.arrow(rows.select(column).distinct())[column].combine_chunks()


def _united(arrays: list[pa.Array]) -> pa.Array:
    import pyarrow as pa

    return pa.concat_arrays(arrays).unique()


def _by(step: Step) -> str:
    assert step.by is not None
    return step.by
