"""Two collectors over one broker: each acknowledges for itself, one worker lands what both took in, once, and a collector that is killed takes nothing with it."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from pathlib import Path
from typing import Any

from kundig.collect.inbox_landing import CURSOR, land_inbox
from kundig.collect.intake.keys import create
from kundig.workspace import Workspace
from tests.broker import Broker, broker
from tests.intake.asking import Served, basic
from tests.intake.conftest import make_workspace

__all__ = ["broker"]


def test_two_collectors_share_one_inbox(broker: Broker, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("KUNDIG_BROKER", broker.place())
    workspace = make_workspace(tmp_path)
    key = create(workspace.state, "web")
    workspace.inbox().register(CURSOR)
    sent = []
    with Served(tmp_path, key) as first, Served(tmp_path, key) as second:
        for number in range(60):
            one = second if number % 2 else first
            body = {"messageId": f"m{number}", "type": "track", "event": "Looked", "anonymousId": f"d{number % 5}", "timestamp": "2026-03-01T10:00:00Z"}
            request = urllib.request.Request(f"{one.url}/v1/track", json.dumps(body).encode(), basic(key))
            with urllib.request.urlopen(request, timeout=20) as answer:
                assert answer.status == 200
            sent.append(f"web:m{number}")
            if number == 40:
                os.kill(second.process.pid, signal.SIGKILL)
                second.process.wait()
                second.start()
    opened = Workspace(tmp_path)
    land_inbox(opened.lake, opened.config, opened.inbox(), state=opened.state)
    _, rows = opened.rows_now("SELECT event_id FROM events")
    assert sorted(row[0] for row in rows) == sorted(sent)
