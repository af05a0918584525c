"""One measured process of `bench.loop`: make a world, or run the loop once; prints its figures as one line of JSON."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from bench.loop import END, peak_gb


def make(root: Path, persons: int, days: int = 365, formats: str | None = None) -> dict[str, Any]:
    """A workspace with the exports of a made-up shop, in the formats usual at that size or the named one."""
    from kundig.cli.demo import examples
    from kundig.config.defaults import write_defaults
    from kundig.simulate import simulate

    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(examples() / "shop", root)
    write_defaults(root, name="bench")
    report = simulate(root / "exports", persons=persons, days=days, seed=1, end=END, formats=formats)
    return {"seconds": report.seconds, "records": sum(report.files.values()), "peak_gb": peak_gb()}


def loop(root: Path, day: dt.date) -> dict[str, Any]:
    """Import, run, deliver, as of the end of a day."""
    from kundig.clock import midnight
    from kundig.workspace import Workspace

    began = time.perf_counter()
    workspace = Workspace(root)
    stages: list[tuple[str, float, float, int]] = []
    mark, burnt = time.perf_counter(), time.process_time()

    def note(name: str, rows: int) -> None:
        nonlocal mark, burnt
        stages.append((name, time.perf_counter() - mark, time.process_time() - burnt, rows))
        mark, burnt = time.perf_counter(), time.process_time()

    landed = workspace.import_()
    note("import", sum(sum(one.rows.values()) for one in landed))
    moment = midnight(day + dt.timedelta(days=1), workspace.config.settings.workspace.zone) - dt.timedelta(microseconds=1)
    report = workspace.run(as_of=moment, progress=lambda step: note(f"{step.table} ({step.cause})", step.rows))
    note("commit", 0)
    if report.release is not None:
        handed = workspace.deliver(at=moment)
        note("deliver", handed.sent)
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time(), "peak_gb": peak_gb(), "stages": stages, "release": report.release}


if __name__ == "__main__":
    what, root, argument, *more = sys.argv[1:]
    if what == "make":
        result = make(Path(root), int(argument), int(more[0]) if more else 365, more[1] if more[1:] else None)
    else:
        result = loop(Path(root), dt.date.fromisoformat(argument))
    print(json.dumps(result))
