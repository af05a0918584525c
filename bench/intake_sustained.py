"""Intake, worker and load generator together for minutes: 40,000 events a second, everything landed once, how old the inbox grows, and memory.

    python -m bench.intake_sustained [--seconds 600] [--rate 40000]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench.intake import PER_BATCH, ROOT, cpu_of, event, request, rss_of
from bench.intake_load import NUMBER
from kundig.collect.intake import keys
from kundig.store.inbox import Inbox
from kundig.workspace import Workspace


def unlike(key: str) -> bytes:
    """A batch whose message ids are others each time it is sent."""
    calls = [event(number).replace(b"ajs-next-%012d" % number, b"ajs-%03d-" % number + NUMBER) for number in range(PER_BATCH)]
    return request("/v1/batch", b'{"batch":[' + b",".join(calls) + b"]}", key)


def started(root: Path, only: str) -> subprocess.Popen[str]:
    """One process of `kundig serve`."""
    words = [sys.executable, "-m", "kundig", "serve", "--only", only, "-w", str(root)]
    return subprocess.Popen(words, cwd=ROOT, env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Run it; gives the figures by name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--rate", type=float, default=40_000.0, help="Events a second.")
    parser.add_argument("--live", action="store_true", help="With the live fold in the worker; by default it lands alone.")
    given = parser.parse_args(arguments)
    root = Path(tempfile.mkdtemp(prefix="kundig-bench-"))
    processes: list[subprocess.Popen[str]] = []
    try:
        (root / "kundig.toml").write_text(f"[serve]\nintake_port = 0\n[worker]\nland_seconds = 1\ntend_seconds = 60\nlive = {str(given.live).lower()}\n")
        workspace = Workspace(root)
        file = root / "batch.http"
        file.write_bytes(unlike(keys.create(workspace.state, "web")))
        intake, worker = started(root, "intake"), started(root, "worker")
        processes += [intake, worker]
        assert intake.stdout is not None
        port = int(intake.stdout.readline().rstrip().rpartition(":")[2].rstrip("/"))
        inbox = Inbox(root / "data/inbox.sqlite")
        inbox.register("land")
        words = [sys.executable, "-m", "bench.intake_load", str(port), str(file), "--connections", "32", "--rate", str(given.rate / PER_BATCH), "--warm", "0", "--seconds", str(given.seconds)]
        load = subprocess.Popen(words, cwd=ROOT, env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}, stdout=subprocess.PIPE, text=True)
        ages, memory = [], []
        while load.poll() is None:
            time.sleep(2)
            oldest = inbox.oldest("land")
            ages.append(0.0 if oldest is None else time.time() - oldest / 1e6)
            memory.append(rss_of(intake.pid) + rss_of(worker.pid))
        told = json.loads(load.communicate()[0])
        cores = {name: cpu_of(process.pid) / given.seconds for name, process in (("intake", intake), ("worker", worker))}
        sent = int(told["statuses"].get("200", 0)) * PER_BATCH
        until = time.monotonic() + max(60, given.seconds)
        while inbox.waiting("land") and time.monotonic() < until:
            time.sleep(1)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=60)
    rows, ids = workspace.lake.duck.execute(f"SELECT count(*), count(DISTINCT event_id) FROM {workspace.lake.scan('events')}").fetchone()
    shutil.rmtree(root, ignore_errors=True)
    print(f"{given.seconds:.0f} s: {sent / given.seconds:,.0f} events/s acknowledged (asked {given.rate:,.0f}), p99 {told['p99']:.0f} ms; {rows:,} landed of {sent:,}, {rows - ids} twice")
    print(f"  oldest in the inbox: median {median(ages):.1f} s, most {max(ages):.1f} s (budget 5)")
    fifths = [memory[len(memory) * place // 5 : len(memory) * (place + 1) // 5] for place in range(5)]
    print(f"  memory of intake and worker, MB, median and most in each fifth of the time (small files are joined every minute): {', '.join(f'{median(one):.0f} and {max(one):.0f}' for one in fifths)}")
    print(f"  cores: intake {cores['intake']:.2f}, worker {cores['worker']:.2f}, load {told['cores']:.2f}")
    assert rows == ids == sent, "every acknowledged event lands, and lands once"
    return {"events_per_second": sent / given.seconds, "age_seconds": max(ages), "memory_growth_mb": median(fifths[-1]) - median(fifths[1])}


if __name__ == "__main__":
    main()
