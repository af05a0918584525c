"""The made-up shop: records a second into text and Parquet on two workers, and memory that does not grow with the world.

    python bench/simulate.py [--persons N] [--days N] [--large]

Events are all records handed over: messages of trackers, orders and positions, sends and outcomes, contacts. Each run is a process of
its own, so that peak memory is its own. `--large` makes a million persons, too.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BUDGET = {"text": 100_000, "parquet": 300_000}
"""Events a second on two cores."""

RUN = """
import json, resource, sys, time
from kundig.simulate import simulate
folder, persons, days, formats = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
began = time.process_time()
report = simulate(folder + "/files", persons=persons, days=days, truth=folder + "/truth", formats=formats)
told = {"events": sum(report.files.values()), "trackers": report.files["web/events"] + report.files["app/events"], "seconds": report.seconds}
print(json.dumps(told | {"cpu": time.process_time() - began, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def measured(persons: int, days: int, formats: object) -> dict[str, float]:
    """What one run in a process of its own tells, and the megabytes it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        told = subprocess.run([sys.executable, "-c", RUN, folder, str(persons), str(days), json.dumps(formats)], check=True, capture_output=True, text=True)
        found: dict[str, float] = json.loads(told.stdout)
        found["written"] = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 1e6
        return found


def main() -> None:
    """Print one row a run, and whether the budget is held."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--persons", type=int, default=100_000)
    given.add_argument("--days", type=int, default=365)
    given.add_argument("--large", action="store_true", help="a million persons, too")
    options = given.parse_args()
    free = shutil.disk_usage(tempfile.gettempdir()).free / 1e9
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {free:.0f} GB free")
    print(f"{'persons':>10} {'format':<16} {'events':>11} {'trackers':>11} {'seconds':>8} {'cpu s':>7} {'events/s':>9} {'events/cpu s':>12} {'peak MB':>8} {'written MB':>10}  budget")
    runs: list[tuple[int, str, object]] = [(options.persons // 4, "text", "text")]
    for persons in (options.persons, *((1_000_000,) if options.large else ())):
        runs += [(persons, "text", "text"), (persons, "parquet", "parquet"), (persons, "parquet, flat", {"tables": "parquet", "lines": "parquet", "events": "flat"})]
    for persons, name, formats in runs:
        one = measured(persons, options.days, formats)
        speed, budget = one["events"] / one["seconds"], BUDGET[name.split(",")[0]]
        verdict = f"{'held' if speed >= budget else 'missed'} ({budget:,}/s)"
        print(
            f"{persons:>10,} {name:<16} {one['events']:>11,.0f} {one['trackers']:>11,.0f} {one['seconds']:>8.1f} {one['cpu']:>7.1f} {speed:>9,.0f} {one['events'] / one['cpu']:>12,.0f} {one['mb']:>8,.0f} {one['written']:>10,.0f}  {verdict}",
            flush=True,
        )


if __name__ == "__main__":
    main()
