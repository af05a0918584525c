"""The intake against DESIGN.md's budgets: events a second that are on disk when acknowledged, in batches of 100 and one by one, and how long each waits.

The load generator is a process of its own and counted apart. The yardstick is the same server without storing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kundig.collect.intake import keys
from kundig.store.inbox import Inbox
from kundig.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent
SIZE = 700
PER_BATCH = 100


def event(number: int) -> bytes:
    """A page event of 700 bytes, as a browser sends it."""
    draw = random.Random(number)
    who = f"{draw.randrange(10**12):012x}"
    told: dict[str, Any] = {
        "messageId": f"ajs-next-{number:012d}-{who}", "type": "track", "event": "Product Viewed", "anonymousId": f"00000000-0000-4000-8000-{who}", "timestamp": "2026-11-21T18:03:59.094Z",
        "properties": {"product_id": f"A{number % 300:05d}", "price": 19.95, "currency": "EUR", "category": "Jacken"},
        "context": {
            "page": {"path": f"/p/{number % 300}", "url": f"https://shop.example.org/p/{number % 300}", "referrer": "https://www.google.com/"}, "locale": "de-DE",
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "library": {"name": "analytics.js", "version": "next-1.84.3"},
        },
    }  # fmt: skip
    text = json.dumps(told | {"note": ""})
    return json.dumps(told | {"note": "x" * max(0, SIZE - len(text))}).encode()


def request(path: str, body: bytes, key: str) -> bytes:
    """An HTTP request as it goes over the wire."""
    import base64

    token = base64.b64encode(f"{key}:".encode()).decode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {token}\r\nContent-Type: application/json\r\nUser-Agent: bench\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@contextmanager
def served(root: Path, *words: str) -> Iterator[tuple[int, int]]:
    """A server over a workspace, for the time of a block: its port and pid."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    process = subprocess.Popen([sys.executable, "-m", "bench.intake_child", str(root), *words], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process.pid
    finally:
        process.terminate()
        process.wait(timeout=60)


def cpu_of(pid: int) -> float:
    """CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_of(pid: int) -> float:
    """Resident memory of a process in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def sent(port: int, pid: int, file: Path, *, connections: int, rate: float = 0.0, seconds: float) -> dict[str, Any]:
    """What the load generator tells, with the server's share of the machine beside it."""
    words = [sys.executable, "-m", "bench.intake_load", str(port), str(file), "--connections", str(connections), "--rate", str(rate), "--seconds", str(seconds), "--warm", "1"]
    before = cpu_of(pid)
    done = subprocess.run(words, cwd=ROOT, env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    found["server_cores"] = (cpu_of(pid) - before) / (seconds + 1.2)
    found["rss_mb"] = rss_of(pid)
    assert set(found["statuses"]) == {"200"}, found["statuses"]
    return found


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Run the benchmark; gives the figures by name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--folder", type=Path, default=None, help="Folder on the disk to measure; the system's temporary one by default.")
    given = parser.parse_args(arguments)
    root = Path(tempfile.mkdtemp(prefix="kundig-bench-", dir=given.folder))
    figures: dict[str, float] = {}
    try:
        (root / "kundig.toml").write_text("")
        shutil.copy(ROOT / "src/kundig/config/defaults/purposes.yaml", root)
        workspace = Workspace(root)
        key = keys.create(workspace.state, "web")
        batch = root / "batch.http"
        batch.write_bytes(request("/v1/batch", b'{"batch":[' + b",".join(event(number) for number in range(PER_BATCH)) + b'],"sentAt":"2026-11-21T18:04:00.000Z"}', key))
        single = root / "single.http"
        single.write_bytes(request("/v1/track", event(1), key))
        for name, file, events, connections in (("batches of 100", batch, PER_BATCH, 32), ("single events", single, 1, 128)):
            with served(root, "nowhere") as (port, pid):
                plain = sent(port, pid, file, connections=connections, seconds=given.seconds)
            with served(root) as (port, pid):
                most = sent(port, pid, file, connections=connections, seconds=given.seconds)
                budget = 150_000 if events > 1 else 10_000
                calm = sent(port, pid, file, connections=connections, rate=0.7 * budget / events, seconds=given.seconds)
            _emptied(root)
            per_core, plain_core = most["per_second"] * events / most["server_cores"], plain["per_second"] * events / plain["server_cores"]
            print(f"{name}: {most['per_second'] * events:,.0f} events/s on disk (budget {budget:,}); server {most['server_cores']:.2f} cores, load {most['cores']:.2f}; {per_core:,.0f} events a CPU second; memory {most['rss_mb']:.0f} MB")
            print(f"  without storing {plain['per_second'] * events:,.0f} events/s, {plain_core:,.0f} a CPU second; ratio {most['per_second'] / plain['per_second']:.2f} wall, {per_core / plain_core:.2f} CPU; p50 {most['p50']:.1f} ms, p99 {most['p99']:.1f} ms at full load")
            print(f"  at 70 % of the budget: {calm['per_second'] * events:,.0f} events/s, p50 {calm['p50']:.1f} ms, p99 {calm['p99']:.1f} ms (budget 25), longest {calm['most']:.0f} ms, server {calm['server_cores']:.2f} cores")
            short = "batch" if events > 1 else "single"
            figures |= {f"{short}_events_per_second": most["per_second"] * events, f"{short}_p99_ms": calm["p99"], f"{short}_ratio": most["per_second"] / plain["per_second"], f"{short}_events_per_cpu_second": per_core}
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return figures


def _emptied(root: Path) -> None:
    """Check that what is stored can be read, and clear it away."""
    inbox = Inbox(root / "data/inbox.sqlite")
    inbox.register("bench")
    assert inbox.waiting("bench") > 0
    for path in (root / "data").glob("inbox.sqlite*"):
        path.unlink()


if __name__ == "__main__":
    main()
