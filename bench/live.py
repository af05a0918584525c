"""Live: from a call's acknowledgement until it is known of its person, over a release of a shop, at several rates; intake, worker and sender together.

    python -m bench.live [--persons 100000] [--workspace FOLDER]
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

from bench.intake import ROOT, cpu_of
from bench.intake_sustained import started
from kundig.collect.intake import keys
from kundig.workspace import Workspace

RATES = (500, 1_000, 2_000)
CALLS = 5
"""Calls of one request, as a browser sends them."""


class Sender(threading.Thread):
    """Sends calls of persons that the release knows, at a pace; notes when each was acknowledged."""

    def __init__(self, port: int, key: str, devices: list[str], *, rate: float, seconds: float, seed: int) -> None:
        super().__init__(daemon=True)
        self.port, self.devices, self.interval, self.seconds = port, devices, CALLS / rate, seconds
        self.headers = {"Content-Type": "application/json", "Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}
        self.random = random.Random(seed)
        self.acknowledged: dict[str, float] = {}

    def run(self) -> None:
        """Send until the time is over."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        due, until = time.monotonic(), time.monotonic() + self.seconds
        while due < until:
            time.sleep(max(0.0, due - time.monotonic()))
            at, device = datetime.now(UTC).isoformat(), self.random.choice(self.devices)
            names = [f"b{self.random.getrandbits(60):015x}" for _ in range(CALLS)]
            calls = [{"messageId": name, "type": "track", "event": "Product Viewed", "anonymousId": device, "timestamp": at, "properties": {"product_id": name, "price": 12.5}} for name in names]
            connection.request("POST", "/v1/batch", json.dumps({"batch": calls, "sentAt": at}).encode(), self.headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            self.acknowledged |= dict.fromkeys(names, time.monotonic())
            due += self.interval


def seen_at(workspace: Workspace, senders: list[Sender], found: dict[str, float], until: float) -> None:
    """Note when each call was first there to be read; looked at every 20 ms, until all that were sent are or the time is over."""
    newest = workspace.heard.heard(after=-1, most=1)
    last = newest[-1].number if newest else 0
    while time.monotonic() < until and (any(one.is_alive() for one in senders) or any(name not in found for one in senders for name in one.acknowledged)):
        heard = workspace.heard.heard(after=last, most=10_000)
        moment = time.monotonic()
        for one in heard:
            last = one.number
            found.setdefault(str(one.facts.get("product_id")), moment)
        time.sleep(0.02)


def measured(workspace: Workspace, port: int, key: str, devices: list[str], *, rate: int, seconds: float, worker: int) -> dict[str, float]:
    """Latencies at one rate, in seconds, and the worker's cores."""
    senders = [Sender(port, key, devices, rate=rate / 4, seconds=seconds, seed=rate + number) for number in range(4)]
    before, began = cpu_of(worker), time.monotonic()
    found: dict[str, float] = {}
    for sender in senders:
        sender.start()
    looking = threading.Thread(target=seen_at, args=(workspace, senders, found, began + seconds + 60), daemon=True)
    looking.start()
    for sender in senders:
        sender.join()
    looking.join()
    acknowledged = {name: at for sender in senders for name, at in sender.acknowledged.items()}
    late = sorted(max(0.0, found[name] - at) for name, at in acknowledged.items() if name in found)
    told = {"rate": len(acknowledged) / seconds, "p50": late[len(late) // 2], "p99": late[int(0.99 * len(late))], "cores": (cpu_of(worker) - before) / (time.monotonic() - began)}
    print(f"{told['rate']:,.0f} calls a second: known after {told['p50']:.2f} s (median), {told['p99']:.2f} s (p99; budget 2.00); worker {told['cores']:.2f} cores; {len(acknowledged) - len(late)} of {len(acknowledged):,} never seen")
    assert len(late) == len(acknowledged), "every acknowledged call is known at last"
    return told


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Run it; gives the figures by name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--persons", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--workspace", type=Path, help="A finished demo to use; changed by this.")
    given = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="kundig-bench-"))
    processes: list[subprocess.Popen[str]] = []
    try:
        root = given.workspace or folder / "shop"
        if given.workspace is None:
            subprocess.run([sys.executable, "-m", "kundig", "demo", str(root), "--persons", str(given.persons)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        settings = (root / "kundig.toml").read_text(encoding="utf-8")
        if "[serve]" not in settings:
            (root / "kundig.toml").write_text(f"{settings}\n[serve]\nport = 0\nintake_port = 0\n", encoding="utf-8")
        workspace = Workspace(root)
        key = keys.create(workspace.state, "web", label="bench")
        devices = [row[0] for row in workspace.rows("SELECT value FROM identifiers WHERE namespace = 'anonymous_id' ORDER BY identifier_key LIMIT 200000")[1]]
        events = workspace.rows("SELECT count(*) FROM events")[1][0][0]
        print(f"over a release of {events:,} events, calls of {len(devices):,} devices")
        intake, worker, pages = (started(root, name) for name in ("intake", "worker", "pages"))
        processes += [intake, worker, pages]
        assert intake.stdout is not None and pages.stdout is not None
        port = int(intake.stdout.readline().rstrip().rpartition(":")[2].rstrip("/"))
        face = pages.stdout.readline().split("http://")[1].split(";")[0].strip()
        measured(workspace, port, key, devices, rate=50, seconds=10, worker=worker.pid)  # warm
        told = {str(rate): measured(workspace, port, key, devices, rate=rate, seconds=given.seconds, worker=worker.pid) for rate in RATES}
        took = []
        for device in devices[:60]:
            began = time.perf_counter()
            urllib.request.urlopen(f"http://{face}/api/people/{device}", timeout=60).read()
            took.append(1_000 * (time.perf_counter() - began))
        print(f"GET /api/people/…: {sorted(took)[30]:.0f} ms (median of 60)")
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)
    return {"p99_at_2000": told["2000"]["p99"], "p50_at_2000": told["2000"]["p50"]}


if __name__ == "__main__":
    main()
