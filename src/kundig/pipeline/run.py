"""One run: each step skipped, recomputed for the keys that need it, or recomputed in full; all of it committed as one release."""

from __future__ import annotations

import datetime as dt
import json
import resource
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kundig.clock import now
from kundig.config.load import Config
from kundig.errors import KundigError, RunError
from kundig.pipeline import changes, folding
from kundig.pipeline.changes import NOTHING, WHOLE, Change, Scope
from kundig.pipeline.memory import Memory
from kundig.pipeline.parameters import fingerprint, parameters
from kundig.schema import Step, Table
from kundig.store.engines.session import arrow_schema, conform
from kundig.tables.govern import LINEAGE_EDGES, RUNS

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

    from kundig.pipeline.workbench import Workbench

LARGE_SHARE = 0.2
"""Above this share of touched keys a full recompute is cheaper than a narrowed one."""

FEW = 500
"""So few keys are narrowed to without asking how many there are in all."""

Progress = Callable[["StepReport"], None]


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What a run did with one step."""

    step: str
    table: str
    cause: str
    rows: int = 0
    keys: int | None = None
    seconds: float = 0.0
    peak_mb: float = 0.0
    number: int = 0
    of: int = 0


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """What a run did: `release` is None when nothing had changed and nothing was committed."""

    run_id: int
    as_of: dt.datetime
    release: int | None
    steps: tuple[StepReport, ...]
    seconds: float
    resumed: int = 0

    @property
    def worked(self) -> tuple[StepReport, ...]:
        """The steps that had work."""
        return tuple(step for step in self.steps if step.cause != "unchanged")


@dataclass
class Run:
    """The state of one run in progress; `pipeline.run` is its face."""

    bench: Workbench
    config: Config
    steps: tuple[Step, ...]
    as_of: dt.datetime
    everything: bool = False
    progress: Progress | None = None
    changed: dict[str, Change] = field(default_factory=dict)
    reports: list[StepReport] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    resumed: int = 0

    def execute(self, *, commit: bool = True) -> RunReport:
        """Do every step's work and commit it as one release; commits nothing when no step had any, or when it is a rehearsal.

        Work under a new definition is recorded also where it changed no row, or it would be done again each time.
        """
        began = time.perf_counter()
        self.bench.open(self.as_of, {table.name: table for step in self.steps for table in step.reads})
        memory = self.bench.memory()
        self.steps = tuple(step for step in self.steps if not step.needs or step.name in memory or any(getattr(self.config, kind) for kind in step.needs))
        for number, step in enumerate(self.steps, 1):
            try:
                report = self._step(step, memory.get(step.name), number)
            except KundigError as error:
                raise RunError(
                    f"step '{step.name}' failed: {error.what}", at=f"table '{step.writes.name}', as of {self.as_of.isoformat()}", mend=_again(error)
                ) from error
            self.reports.append(report)
            if self.progress is not None:
                self.progress(report)
        worked = any(not self.changed[report.table].nothing or report.cause == "redefined" for report in self.reports)
        release = self.bench.commit(self._bookkeeping(), self.as_of) if worked and commit else None
        return RunReport(
            run_id=self.bench.run_id, as_of=self.as_of, release=release, steps=tuple(self.reports), seconds=time.perf_counter() - began, resumed=self.resumed
        )

    # one step

    def _step(self, step: Step, last: Memory | None, number: int) -> StepReport:
        began = time.perf_counter()
        filled = parameters(step, self.config, self.as_of)
        print_ = fingerprint(step, filled)
        cause, scope = self._cause(step, last, print_)
        rows = 0
        if cause != "unchanged":
            rows = self._compute(step, filled, cause, scope, print_)
        else:
            self.changed.setdefault(step.writes.name, NOTHING)
        report = StepReport(
            step=step.name, table=step.writes.name, cause=cause, rows=rows, keys=None if scope is None else len(scope), seconds=time.perf_counter() - began,
            peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, number=number, of=len(self.steps),
        )  # fmt: skip
        self._record(step, report, print_)
        return report

    def _cause(self, step: Step, last: Memory | None, print_: str) -> tuple[str, Scope | None]:
        if last is None:
            return "full", None
        if last.fingerprint != print_:
            return "redefined", None
        if self.as_of < last.as_of or last.run_id != self.bench.last_run_id:
            return "full", None
        if self.everything and step.kind != "fit":
            return "full", None
        read = {table.name: self._change(table, last) for table in step.reads}
        if step.kind == "fit":
            days = self.config.settings.value.refit_days
            due = self.as_of - self._fitted_at(step, last) >= dt.timedelta(days=days)
            return ("refit", None) if due and not all(change.nothing for change in read.values()) else ("unchanged", None)
        if step.by is None:
            still = all(change.nothing for change in read.values()) and not (changes.reads_time(step) and self.as_of != last.as_of)
            if still:
                return "unchanged", None
            return ("grown" if any(read[table.name].grown is not None for table in step.folds) else "full"), None
        if any(change.whole for change in read.values()) or (changes.reads_time(step) and step.due is None and self.as_of != last.as_of):
            return "full", None
        return self._narrow(step, read)

    def _narrow(self, step: Step, read: Mapping[str, Change]) -> tuple[str, Scope | None]:
        """Whom the changes concern: those whose facts were only added to where the step folds, the others for all their facts."""
        assert step.by is not None
        folds = {table.name for table in step.folds}
        whole, grown = [], []
        for name, change in read.items():
            if change.nothing:
                continue
            if name in folds and change.grown is not None:
                grown.append(self._keys_for(step.by, replace(change, keys=change.grown)))
                change = replace(change, keys=changes.without(change.keys, change.grown))
            if not change.nothing:
                whole.append(self._keys_for(step.by, change))
        due = self.bench.due(step, self.as_of) if step.due is not None else None
        keys = changes.union([*whole, *([due] if due is not None else [])])
        added = changes.union(grown)
        scope = Scope(keys=keys, grown=changes.without(added, keys))
        if len(scope) == 0:
            return "unchanged", None
        if len(keys) > FEW and len(keys) > LARGE_SHARE * self.bench.count(step.writes, step.by):
            return "full", None
        return ("touched" if len(scope.grown) or any(map(len, whole)) else "due"), scope

    def _keys_for(self, column: str, change: Change) -> pa.Array:
        assert change.keys is not None
        if change.column == column:
            return change.keys
        if column == changes.PERSON:
            return self.bench.persons_of(change.keys)
        return self.bench.identifiers_of(change.keys)

    def _change(self, table: Table, last: Memory) -> Change:
        if table.home == "state":
            return NOTHING if last.inputs.get(table.name) == self.bench.version(table.name) else WHOLE
        if table.name not in self.changed:
            self.changed[table.name] = self.bench.landed(table)
        return self.changed[table.name]

    def _fitted_at(self, step: Step, last: Memory) -> dt.datetime:
        return self.bench.fitted_at(step.name) or last.as_of

    # computing

    def _compute(self, step: Step, filled: dict[str, Any], cause: str, scope: Scope | None, print_: str) -> int:
        adopted = self.bench.adopt(step, print_) if scope is None else None
        if adopted is not None:
            self.resumed += 1
            self.changed[step.writes.name], rows = adopted
            return rows
        if cause == "grown":
            return self._regrown(step, filled, print_)
        if scope is not None and len(scope.grown):
            fold = folding.merged if step.merge is not None else folding.folded
            self.changed[step.writes.name], rows = fold(self.bench, step, filled, scope, print_)
            return rows
        keys = None if scope is None else scope.keys
        inputs = self.bench.inputs(step, keys)
        if step.kind == "relation":
            result = step.body(*inputs, **filled)
        else:
            result = self.bench.arrow_result(step, step.body(*self._materialised(step, inputs), **filled))
        if keys is not None and step.by is not None:
            result = self.bench.only(result, step.by)
        shaped = conform(result, step.writes, changed_run=self.bench.run_id)
        self.changed[step.writes.name], rows = self.bench.write(step, shaped, keys, print_)
        return rows

    def _regrown(self, step: Step, filled: dict[str, Any], print_: str) -> int:
        """A step without keys, made of its table as it stands and of what was added to the tables it folds; those where more happened it reads anew."""
        assert step.fold is not None
        read = {table.name: self.changed[table.name] for table in step.folds}
        added = {table.name: self.bench.added(table) for table in step.folds if read[table.name].grown is not None}
        anew = frozenset(name for name, change in read.items() if not change.nothing and change.grown is None)
        result = step.fold(self.bench.before(step.writes), *self.bench.inputs(step, None), added=added, anew=anew, **filled)
        rows = result if step.kind == "relation" else self.bench.arrow_result(step, result)
        self.changed[step.writes.name], written = self.bench.write(step, conform(rows, step.writes, changed_run=self.bench.run_id), None, print_)
        return written

    def _materialised(self, step: Step, inputs: Iterable[ir.Table]) -> list[Any]:
        wants_ibis = [str(annotation) for name, annotation in step.body.__annotations__.items() if name != "return"]
        return [rows if "ir." in note or "ibis" in note else self.bench.session.arrow(rows) for rows, note in zip(inputs, wants_ibis, strict=False)]

    # bookkeeping

    def _record(self, step: Step, report: StepReport, print_: str) -> None:
        inputs = {table.name: self.bench.version(table.name) for table in step.reads}
        self.rows.append(
            {
                "run_id": self.bench.run_id, "step": step.name, "table_name": step.writes.name, "as_of": self.as_of, "cause": report.cause,
                "inputs": json.dumps(inputs, sort_keys=True), "fingerprint": print_, "rows_written": report.rows, "rows_in": report.keys,
                "seconds": report.seconds, "peak_mb": report.peak_mb, "finished_at": now(),
            }
        )  # fmt: skip

    def _bookkeeping(self) -> list[tuple[Table, pa.Table, str]]:
        import pyarrow as pa

        edges = [{"table_name": step.writes.name, "reads": table.name, "step": step.name} for step in self.steps for table in step.reads]
        runs = pa.Table.from_pylist(self.rows, schema=arrow_schema(RUNS))
        lineage = pa.Table.from_pylist(edges, schema=arrow_schema(LINEAGE_EDGES))
        return [(RUNS, runs, "append"), (LINEAGE_EDGES, lineage, "replace")]


def _again(error: KundigError) -> str:
    mend = error.mend or "see the cause above"
    return f"{mend}; nothing of this run is visible, and `kundig run` goes on from here"
