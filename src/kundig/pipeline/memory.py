"""What the last release recorded of each step: by it a run knows what it may skip."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kundig.store.lake import Lake


@dataclass(frozen=True, kw_only=True)
class Memory:
    """A step as of the last release: which run brought it up to date, with which code and parameters, as of when."""

    run_id: int
    fingerprint: str
    as_of: dt.datetime
    inputs: dict[str, str]
    """Version of each table read: a snapshot, or the hash of a state table's rows."""


def last_memory(lake: Lake, release: Any) -> dict[str, Memory]:
    """The newest record of each step in `runs`, as of a release; empty before the first one."""
    if release is None:
        return {}
    sql = f"SELECT step, max(run_id), arg_max(fingerprint, run_id), arg_max(as_of, run_id), arg_max(inputs::VARCHAR, run_id) FROM {lake.scan('runs', release.snapshot_id)} GROUP BY step"
    return {step: Memory(run_id=run, fingerprint=print_, as_of=as_of, inputs=json.loads(inputs)) for step, run, print_, as_of, inputs in lake.duck.execute(sql).fetchall()}


def fitted_moments(lake: Lake, release: Any) -> dict[str, dt.datetime]:
    """As-of moment of each step's last computation."""
    if release is None:
        return {}
    sql = f"SELECT step, max(as_of) FROM {lake.scan('runs', release.snapshot_id)} WHERE cause <> 'unchanged' GROUP BY step"
    return dict(lake.duck.execute(sql).fetchall())
