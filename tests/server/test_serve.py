"""`kundig serve` for real: a call over HTTP is on the person's page within two seconds of its acknowledgement, lands, and a killed process costs nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import kundig
from kundig.collect.intake.keys import create
from kundig.server.processes import parts
from kundig.testing import default_workspace


@dataclass(kw_only=True)
class Served:
    """A running `kundig serve` and how to reach it."""

    root: Path
    process: subprocess.Popen[str]
    pages: str
    intake: str
    key: str

    def send(self, *calls: dict[str, Any]) -> float:
        """Send calls; returns the moment of the acknowledgement."""
        body = json.dumps({"writeKey": self.key, "batch": calls}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.intake}/v1/batch", data=body, headers={"Content-Type": "application/json"}), timeout=10) as answer:
            assert answer.status == 200
        return time.monotonic()

    def person(self, identifier: str) -> dict[str, Any] | None:
        """What the API knows of a person."""
        try:
            with urllib.request.urlopen(f"{self.pages}/api/people/{identifier}", timeout=10) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError:
            return None

    def child(self, name: str) -> int:
        """Process id of a child."""
        return _until(lambda: _child(self.process, name))  # type: ignore[no-any-return]


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    root = default_workspace(tmp_path)
    pages, intake = _free(), _free()
    (root / "kundig.toml").write_text(f"[serve]\nport = {pages}\nintake_port = {intake}\n[worker]\nland_seconds = 2.0\n[store]\nthreads = 1\nmemory = '1GB'\n", encoding="utf-8")
    key = create(kundig.open(root).state, "web")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen([sys.executable, "-m", "kundig", "serve", "-w", str(root)], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = ""
    while len(re.findall(r"http://", told)) < 2:
        line = process.stdout.readline()
        assert line, f"kundig serve ended with {process.wait()}: {told}"
        told += line
    assert f"pages on http://127.0.0.1:{pages}" in told and f"intake on http://127.0.0.1:{intake}" in told
    yield Served(root=root, process=process, pages=f"http://127.0.0.1:{pages}", intake=f"http://127.0.0.1:{intake}", key=key)
    children = [pid for name in parts() if (pid := _child(process, name))]
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=40) == 0
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()], "all stop with the one that started them"


def _child(process: subprocess.Popen[str], name: str) -> int | None:
    listed = subprocess.run(["ps", "-ww", "-o", "pid=,args=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False).stdout
    return next((int(line.split()[0]) for line in listed.splitlines() if line.rstrip().endswith(f"--only {name}")), None)


def _until(test: Any, *, seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while not (found := test()):
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)
    return found


def _call(number: int, device: str = "d1") -> dict[str, Any]:
    return {"messageId": f"m{number}", "type": "track", "event": "Product Viewed", "anonymousId": device, "properties": {"product_id": "A"}}


def test_a_call_is_on_the_persons_page_within_two_seconds_and_lands(served: Served) -> None:
    served.send(_call(0, "first"))
    _until(lambda: served.person("first"))  # the processes have read their libraries
    waited = []
    for number in range(1, 6):
        acknowledged = served.send(_call(number, f"d{number}"))
        _until(lambda number=number: served.person(f"d{number}"))
        waited.append(time.monotonic() - acknowledged)
    assert max(waited) < 2, waited
    with urllib.request.urlopen(f"{served.pages}/people/d5?lang=en", timeout=10) as page:
        assert "Since the release" in page.read().decode()
    workspace = kundig.open(served.root)
    _until(lambda: workspace.lake.snapshot() and workspace.rows_now("SELECT count(*) FROM events")[1] == [(6,)])
    run = subprocess.run([sys.executable, "-m", "kundig", "run", "-w", str(served.root), "--only", "profiles", "--json"], env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert _until(lambda: (served.person("d5") or {}).get("live", {}) is None, seconds=10), "the release has taken it over"


def test_a_killed_process_comes_back_and_nothing_is_lost(served: Served) -> None:
    served.send(_call(1))
    _until(lambda: served.person("d1"))
    sent = 0
    for name in ("worker", "pages", "intake"):
        before = served.child(name)
        os.kill(before, signal.SIGKILL)
        end, acknowledged = time.monotonic() + 30, sent + 3
        while sent < acknowledged and time.monotonic() < end:
            try:
                served.send(_call(10 + sent, f"e{sent}"))
                sent += 1
            except OSError:
                time.sleep(0.1)  # the intake is starting again: a client sends again
        assert sent == acknowledged and served.child(name) != before
    for number in range(sent):
        _until(lambda number=number: served.person(f"e{number}"), seconds=40)
    workspace = kundig.open(served.root)
    _until(lambda: workspace.lake.snapshot() and workspace.rows_now("SELECT count(*), count(DISTINCT event_id) FROM events")[1] == [(sent + 1, sent + 1)], seconds=40)
