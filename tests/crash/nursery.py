"""What children of a nursery do to a workspace before they are killed: run it, or mend, replay and drop what is held. Words: ROOT ACT ARGUMENT."""

from __future__ import annotations

import datetime as dt
import importlib
import os
from pathlib import Path

from kundig import pipeline
from kundig.collect import quarantine
from kundig.collect.amending import amendment
from kundig.config.load import load
from kundig.store.engines.duckdb import connect
from kundig.store.lake import Lake
from kundig.store.state import State
from kundig.tables import ALL, LAKE
from tests.forks import Crash, serve


def run(root: Path, lake: Lake, state: State, argument: str, crash: Crash) -> None:
    """Run the workspace: the argument is `moment|table,…`, the moment it is run as of and the tables it is limited to (none: all)."""
    moment, _, tables = argument.partition("|")
    only = tuple(tables.split(",")) if tables else ()
    pipeline.run(lake, state, load(root), ALL, as_of=dt.datetime.fromisoformat(moment), only=only, progress=lambda step: crash(f"after step {step.table}"))


def fix(root: Path, lake: Lake, state: State, argument: str, crash: Crash) -> None:
    """Mend what is held: the argument is `reason|field=value`."""
    reason, _, change = argument.partition("|")
    quarantine.fix_all(lake, reason, [amendment(change)], state=state)


def replay(root: Path, lake: Lake, state: State, argument: str, crash: Crash) -> None:
    """Bring in what is held."""
    quarantine.replay(lake, load(root), state=state)


def drop(root: Path, lake: Lake, state: State, argument: str, crash: Crash) -> None:
    """Give up what is held for a reason; a second call finds nothing left to drop."""
    if quarantine.held(lake, reason=argument):
        quarantine.drop(lake, None, reason=argument, note="of no use", state=state)


ACTS = {"run": run, "fix": fix, "replay": replay, "drop": drop}


def child(place: str, act: str, argument: str, crash: Crash) -> None:
    """Do one thing to the workspace at a place."""
    root = Path(place)
    lake = Lake(f"sqlite:///{root}/lake.sqlite", root / "lake", LAKE, duck=connect(threads=1, memory="1GB", spill=root / "spill"), crash=crash)
    state = State.open(f"sqlite:///{root}/state.sqlite")
    crash("opened")
    with state.lease("writer", f"{os.uname().nodename}:{os.getpid()}:{act}", 3_600):
        ACTS[act](root, lake, state, argument, crash)
    crash("finished")


if __name__ == "__main__":
    for name in ("alembic.command", "ibis.backends.duckdb", "numba", "pandas", "scipy.linalg"):
        importlib.import_module(name)  # loaded once, before children are forked
    pipeline.steps()
    serve(child)
