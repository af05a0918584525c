"""Killing the forwarder at any moment loses no event and leaves each person's events in order."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from kundig.store.inbox import Inbox
from kundig.store.state import State
from tests.deliver.destination import Destination, destination

KILLS = 67 if os.environ.get("KUNDIG_FULL") else 3


def _child(folder: Path, url: str) -> subprocess.Popen[str]:
    child = subprocess.Popen([sys.executable, "-m", "tests.crash.forwarding_child", str(folder), url], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    return child


def _lost(sent: list[str], there: Destination) -> set[str]:
    return set(sent) - {body["id"] for body in there.taken}


def test_killed_forwarders_lose_nothing(tmp_path: Path) -> None:
    chance = random.Random(7)

    def script(body: Any, number: int) -> tuple[int, dict[str, str]]:
        time.sleep(chance.random() * 0.004)
        return (500 if number % 17 == 5 else 200), {}

    State.open(f"sqlite:///{tmp_path / 'state.sqlite'}").close()
    inbox = Inbox(tmp_path / "inbox.sqlite", writing=True)
    inbox.register("forward:partner")
    sent: list[str] = []
    with destination(script) as there:
        for _ in range(KILLS):
            child = _child(tmp_path, there.url)
            for _ in range(8):
                events = [{"id": f"m{len(sent) + n:06d}", "user": str((len(sent) + n) % 11 + 1)} for n in range(10)]
                inbox.append(json.dumps(events).encode(), source="web")
                sent += [event["id"] for event in events]
            time.sleep(chance.random() * 0.25)
            child.send_signal(signal.SIGKILL)
            child.wait()
        assert _lost(sent, there), "every event had left before the last kill: the kills proved nothing"
        child = _child(tmp_path, there.url)
        try:
            end = time.monotonic() + 120
            while _lost(sent, there) and time.monotonic() < end:
                time.sleep(0.05)
        finally:
            child.kill()
            child.wait()
        inbox.close()
        assert _lost(sent, there) == set()
        first: dict[str, list[str]] = {}
        for body in there.taken:
            arrived = first.setdefault(body["user"], [])
            if body["id"] not in arrived:
                arrived.append(body["id"])
        assert all(arrived == sorted(arrived) for arrived in first.values())
        keys = {(headers["Idempotency-Key"], body["id"]) for body, headers, _ in there.asked}
        assert len(keys) == len(sent), "an event was sent again under another key"
        print(f"forwarding: {KILLS} kills, {len(sent)} events, lost {len(_lost(sent, there))}, sent again {len(there.taken) - len(sent)}")
