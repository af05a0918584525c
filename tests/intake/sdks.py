"""Real SDKs, each in a process of its own: a script per SDK that sends the same twelve calls and waits until they are away."""

from __future__ import annotations

import os
import subprocess
import sys
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
