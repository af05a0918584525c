"""Real SDKs, each in a process of its own: a script per SDK that sends the same twelve calls and waits until they are away."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

EVENTS = 12
"""Calls that each script sends: track calls n1 … n10, one identify, one group; Unsubscribed is n10."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a script ended."""

    code: int
    output: str


CLOCK = """
import datetime, sys
class Wrong(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds=float(sys.argv[3]))
"""

SEND = """
client.datetime = request.datetime = Wrong
sender = client.Client(sys.argv[2], host=sys.argv[1], on_error=lambda error, items: print("lost", len(items), error), upload_interval=0.05, max_retries=6, gzip=sys.argv[4] == "gzip")
for n in range(1, 11):
    sender.track("user-1", "Unsubscribed" if n == 10 else f"n{n}", {"n": n, "text": "Straße"})
sender.identify("user-1", {"email": "jané@example.com"})
sender.group("user-1", "org-9", {"name": "ACME"})
sender.flush()
sender.shutdown()
print("done")
"""

PYTHON = {
    "segment-analytics-python": f"{CLOCK}\nimport segment.analytics.client as client, segment.analytics.request as request\n{SEND}",
    "rudder-sdk-python": f"{CLOCK}\nimport rudderstack.analytics.client as client, rudderstack.analytics.request as request\n{SEND}",
}


def run_python(name: str, url: str, key: str, *, shift: float = 0.0, packed: bool = True, seconds: float = 90) -> Ran:
    """Send with a Python SDK; its clock is wrong by `shift` seconds."""
    words = [sys.executable, "-c", PYTHON[name], url, key, str(shift), "gzip" if packed else "plain"]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False, env={**os.environ, "NO_PROXY": "*"}, cwd=Path("/"))
    return Ran(code=done.returncode, output=done.stdout)


NODE = Path(__file__).resolve().parent / "node"
NODE_SDKS = ("@segment/analytics-node", "@rudderstack/rudder-sdk-node", "@customerio/cdp-analytics-node", "@jitsu/js")
BROWSER_SDKS = {
    "segment": "@segment/analytics-next", "segment-batching": "@segment/analytics-next", "rudder": "@rudderstack/analytics-js", "rudder-batch": "@rudderstack/analytics-js",
    "rudder-beacon": "@rudderstack/analytics-js", "jitsu": "@jitsu/js",
}  # fmt: skip
"""What a page does, and the package it does it with."""


def chromium() -> str | None:
    """The browser, where there is one."""
    return next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)


def installed(folder: Path) -> Path:
    """The folder with the scripts and the SDKs of npm in it."""
    shutil.copytree(NODE, folder, dirs_exist_ok=True)
    done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout
    return folder


def version(folder: Path, package: str) -> str:
    """The version of a package that is installed."""
    return str(json.loads((folder / "node_modules" / package / "package.json").read_text())["version"])


def run_node(folder: Path, package: str, url: str, key: str, *, shift: float = 0.0, seconds: float = 90) -> Ran:
    """Send with an SDK for Node."""
    words = ["node", "send.cjs", package, url, key, str(int(shift * 1_000))]
    done = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False)
    return Ran(code=done.returncode, output=done.stdout)


def run_browser(folder: Path, script: str, url: str, key: str, *, enough: Callable[[], bool], shift: float = 0.0, seconds: float = 40) -> Ran:
    """Send from a page in Chromium; it is left once `enough` says so, or the time is over."""
    words = ["node", "browse.mjs", str(chromium()), script, url, key, str(int(shift * 1_000))]
    process = subprocess.Popen(words, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until = time.monotonic() + seconds
    while not enough() and time.monotonic() < until and process.poll() is None:
        time.sleep(0.2)
    output, _ = process.communicate(timeout=60)
    return Ran(code=process.returncode, output=output)
