"""The whole loop at 1, 10 and (with --large) 100 million records: seconds and peak memory per step, and the next day with one per cent more.

    python -m bench.loop [--records 1 10] [--large] [--per-person 33] [--parquet] [--keep FOLDER]

From 30 million records on (a million persons) the simulator hands over Parquet; `--parquet` makes it do so at any size. The yardstick is the full run of the same size: the next day is told as a share of it. Simulation is not counted.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RECORDS_PER_PERSON = 33
"""How many the simulator makes in a year."""
YEAR, LEAST_DAYS = 365, 60
LEAST = 0.05
"""Stages shorter than this, in seconds, are not told."""
END = dt.date(2026, 10, 30)
"""The day after is an ordinary one: on the first of a month every monthly occasion begins anew, and all messages with it."""
_MOMENT = re.compile(r'"(originalTimestamp|sentAt|receivedAt|timestamp)":"[^"]+"')


def main() -> None:
    """Print one line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=float, nargs="*", default=[1.0, 10.0], help="millions of records")
    parser.add_argument("--large", action="store_true", help="100 million as well")
    parser.add_argument("--per-person", type=float, default=RECORDS_PER_PERSON, help="records of a person: fewer make a shorter history of more persons")
    parser.add_argument("--parquet", action="store_true", help="files of Parquet at any size")
    parser.add_argument("--keep", type=Path, help="folder to keep the workspaces in")
    arguments = parser.parse_args()
    for millions in [*arguments.records, *([100.0] if arguments.large else [])]:
        folder = arguments.keep or Path(tempfile.mkdtemp(prefix="kundig-bench-"))
        root = folder / f"loop-{millions:g}"
        try:
            _measure(root, millions, arguments.per_person, parquet=arguments.parquet)
        finally:
            if arguments.keep is None:
                shutil.rmtree(folder, ignore_errors=True)


def _measure(root: Path, millions: float, per_person: float, *, parquet: bool) -> None:
    persons = int(millions * 1e6 / per_person)
    days = max(LEAST_DAYS, round(YEAR * per_person / RECORDS_PER_PERSON))
    _child("make", root, str(persons), str(days), *(["parquet"] if parquet else []))
    full = _child("loop", root, END.isoformat())
    after = _child("loop", root, END.isoformat())
    idle = _child("loop", root, END.isoformat())
    added = _add_a_day(root, share=0.01)
    following = _child("loop", root, (END + dt.timedelta(days=1)).isoformat())
    told = f"{millions:g} M records"
    for name, result in (("full", full), ("only its own messages are new", after), ("nothing new", idle), (f"next day, {added:,} new events", following)):
        print(f"loop {told:<14} {name:<34} {result['seconds']:8.1f} s  {result['cpu']:8.1f} CPU s  {result['peak_gb']:5.2f} GiB", flush=True)
    print(f"loop {told:<14} next day / full                    {following['seconds'] / full['seconds']:8.3f}   of CPU seconds {following['cpu'] / full['cpu']:6.3f}")
    print(f"loop {told:<14} full, per million records          {full['seconds'] / millions:8.2f} s")
    for name, result in (("full", full), ("next day", following)):
        for stage, seconds, cpu, rows in result["stages"]:
            if seconds >= LEAST:
                print(f"  {name:<8} {told:<14} {stage:<34} {seconds:8.2f} s  {cpu:8.2f} CPU s  {rows:>12,} rows")


def _child(what: str, root: Path, *arguments: str) -> dict[str, Any]:
    """Each measurement in a process of its own, so that its peak memory is its own; modules stay compiled, as after an install."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, "-m", "bench.loop_child", what, str(root), *arguments], check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _add_a_day(root: Path, *, share: float) -> int:
    """One per cent of the web messages once more, on the day after the end, with new ids; in the format of the others."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = random.Random(1)
    start = dt.datetime.combine(END + dt.timedelta(days=1), dt.time(6), dt.UTC)
    folder = root / "exports" / "web"
    stored = sorted(folder.glob("events-2*.parquet"))
    fresh = []
    for line in _lines(folder, stored):
        if rng.random() < share and '"Order Completed"' not in line:
            moment = (start + dt.timedelta(seconds=rng.random() * 50_000)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
            moved = _MOMENT.sub(lambda found, at=moment: f'"{found[1]}":"{at}"', line)  # type: ignore[misc]  # mypy cannot infer a lambda with bound defaults
            fresh.append(moved.replace('"messageId":"', '"messageId":"next-', 1))
    if stored:
        pq.write_table(pa.table({"body": [line.rstrip("\n") for line in fresh]}), folder / "events-next.parquet")
    else:
        (folder / "events-next.jsonl").write_text("".join(fresh), encoding="utf-8")
    return len(fresh)


def _lines(folder: Path, stored: list[Path]) -> Iterator[str]:
    import pyarrow.parquet as pq

    for path in stored:
        for batch in pq.ParquetFile(path).iter_batches(10_000, columns=["body"]):
            yield from batch.column(0).to_pylist()
    for path in [] if stored else sorted(folder.glob("events-2*.jsonl")):
        with path.open(encoding="utf-8") as file:
            yield from file


def peak_gb() -> float:
    """Peak memory of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / 1024


if __name__ == "__main__":
    began = time.perf_counter()
    main()
