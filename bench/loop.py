"""The whole loop at 1, 10 and (with --large) 100 million records: seconds and peak memory per step, and the next day with one per cent more.

    python -m bench.loop [--records 1 10] [--large] [--keep FOLDER]

The yardstick is the full run of the same size: the next day is told as a share of it. Simulation is not counted.
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
from pathlib import Path
from typing import Any

RECORDS_PER_PERSON = 33
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
    parser.add_argument("--keep", type=Path, help="folder to keep the workspaces in")
    arguments = parser.parse_args()
    for millions in [*arguments.records, *([100.0] if arguments.large else [])]:
        folder = arguments.keep or Path(tempfile.mkdtemp(prefix="kundig-bench-"))
        root = folder / f"loop-{millions:g}"
        try:
            _measure(root, millions)
        finally:
            if arguments.keep is None:
                shutil.rmtree(folder, ignore_errors=True)


def _measure(root: Path, millions: float) -> None:
    persons = int(millions * 1e6 / RECORDS_PER_PERSON)
    _child("make", root, str(persons))
    full = _child("loop", root, END.isoformat())
    after = _child("loop", root, END.isoformat())
    idle = _child("loop", root, END.isoformat())
    added = _add_a_day(root, share=0.01)
    following = _child("loop", root, (END + dt.timedelta(days=1)).isoformat())
    told = f"{millions:g} M records"
    for name, result in (("full", full), ("only its own messages are new", after), ("nothing new", idle), (f"next day, {added:,} new events", following)):
        print(f"loop {told:<14} {name:<34} {result['seconds']:8.1f} s  {result['peak_gb']:5.2f} GiB")
    print(f"loop {told:<14} next day / full                    {following['seconds'] / full['seconds']:8.3f}")
    print(f"loop {told:<14} full, per million records          {full['seconds'] / millions:8.2f} s")
    for name, result in (("full", full), ("next day", following)):
        for stage, seconds, cpu, rows in result["stages"]:
            if seconds >= LEAST:
                print(f"  {name:<8} {told:<14} {stage:<34} {seconds:8.2f} s  {cpu:8.2f} CPU s  {rows:>12,} rows")


def _child(what: str, root: Path, argument: str) -> dict[str, Any]:
    """Each measurement in a process of its own, so that its peak memory is its own; modules stay compiled, as after an install."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, "-m", "bench.loop_child", what, str(root), argument], check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _add_a_day(root: Path, *, share: float) -> int:
    """One per cent of the web messages once more, on the day after the end, with new ids."""
    rng = random.Random(1)
    start = dt.datetime.combine(END + dt.timedelta(days=1), dt.time(6), dt.UTC)
    total = 0
    target = root / "exports" / "web" / "events-next.jsonl"
    with target.open("w", encoding="utf-8") as out:
        for path in sorted((root / "exports" / "web").glob("events-2*.jsonl")):
            with path.open(encoding="utf-8") as file:
                for line in file:
                    if rng.random() < share and '"Order Completed"' not in line:
                        moment = (start + dt.timedelta(seconds=rng.random() * 50_000)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
                        fresh = _MOMENT.sub(lambda found, at=moment: f'"{found[1]}":"{at}"', line)  # type: ignore[misc]
                        out.write(fresh.replace('"messageId":"', '"messageId":"next-', 1))
                        total += 1
    return total


def peak_gb() -> float:
    """Peak memory of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / 1024


if __name__ == "__main__":
    began = time.perf_counter()
    main()
