"""Runs and plans: which steps have work, in which order, and the one release they end in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kundig.clock import now
from kundig.pipeline.order import steps, upstream
from kundig.pipeline.plan import Plan, rehearse
from kundig.pipeline.run import Progress, Run, RunReport, StepReport
from kundig.pipeline.workbench import Workbench
from kundig.schema import Step, Table

if TYPE_CHECKING:
    from kundig.config.load import Config
    from kundig.store.lake import Lake
    from kundig.store.state import State


def run(
    lake: Lake,
    state: State | None,
    config: Config,
    tables: Mapping[str, Table],
    *,
    as_of: dt.datetime | None = None,
    only: tuple[str, ...] = (),
    full: bool = False,
    progress: Progress | None = None,
    declared: tuple[Step, ...] | None = None,
    session: Any = None,
) -> RunReport:
    """Bring the tables up to date as of a moment (now, or that of an attempt that died) and release them together.

    `only` limits the run to those tables and what they rest on; `full` recomputes every step but the fits, so that the result can be
    held against an incremental one.

    Raises:
        RunError: A step failed; nothing of the run is visible.
    """
    chosen = declared if declared is not None else steps()
    if only:
        chosen = upstream(only, chosen)
    lake.sweep()
    moment = as_of or _unfinished(lake, state) or now()
    own = session is None
    bench = Workbench(lake, session if session is not None else open_session(lake, config), state)
    try:
        _begin(state, lake, moment)
        attempt = Run(bench=bench, config=config, steps=_with_columns(chosen, tables), as_of=moment, everything=full, progress=progress)
        report = attempt.execute()
        _end(state)
        return report
    finally:
        if own:
            bench.session.close()


def plan(
    lake: Lake,
    state: State | None,
    config: Config,
    tables: Mapping[str, Table],
    *,
    as_of: dt.datetime | None = None,
    files: tuple[Any, ...] = (),
    effect: bool = True,
    declared: tuple[Step, ...] | None = None,
) -> Plan:
    """What the next run would do, without committing anything.

    Raises:
        RunError: A step failed, as it would in the run.
    """
    bench = Workbench(lake, open_session(lake, config), state)
    chosen = _with_columns(declared if declared is not None else steps(), tables)
    try:
        return rehearse(Run(bench=bench, config=config, steps=chosen, as_of=as_of or now()), bench, files, effect=effect)
    finally:
        bench.session.close()
        lake.unstage()


def open_session(lake: Lake, config: Config) -> Any:
    """The session of the engine that kundig.toml names."""
    if config.settings.store.engine == "spark":
        from kundig.store.engines.spark import SparkSession

        return SparkSession.start(config.settings.store.spark_master)
    from kundig.store.engines.duck_session import DuckSession

    return DuckSession(lake.duck)


def _with_columns(chosen: tuple[Step, ...], tables: Mapping[str, Table]) -> tuple[Step, ...]:
    """Steps whose tables are those of this workspace: `events` with the typed columns of its tracking plan."""
    from dataclasses import replace

    def here(wanted: tuple[Table, ...]) -> tuple[Table, ...]:
        return tuple(tables.get(table.name, table) for table in wanted)

    return tuple(replace(step, reads=here(step.reads), folds=here(step.folds)) for step in chosen)


def _unfinished(lake: Lake, state: State | None) -> dt.datetime | None:
    """The as-of moment of an attempt that died on the very tables of now, so that its work can be taken up."""
    if state is None:
        return None
    found = state.select("schedule_runs", state.sql("schedule_runs").c.schedule == "run", state.sql("schedule_runs").c.status == f"running on {lake.snapshot()}")
    return max((row["planned_at"] for row in found), default=None)


def _begin(state: State | None, lake: Lake, moment: dt.datetime) -> None:
    if state is None:
        return
    runs = state.sql("schedule_runs")
    with state.transaction() as connection:
        connection.execute(runs.delete().where(runs.c.schedule == "run"))
        row = {"schedule": "run", "planned_at": moment, "started_at": now(), "finished_at": None, "status": f"running on {lake.snapshot()}"}
        state.insert("schedule_runs", [row], connection=connection)


def _end(state: State | None) -> None:
    if state is None:
        return
    runs = state.sql("schedule_runs")
    with state.transaction() as connection:
        connection.execute(runs.update().where(runs.c.schedule == "run").values(status="finished", finished_at=now()))


__all__ = ["Plan", "Progress", "RunReport", "StepReport", "open_session", "plan", "run", "steps"]
