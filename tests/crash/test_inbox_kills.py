"""Clients send through the intake while intake and landing are killed: what was acknowledged is in the tables, once, and what is known of people counts it once."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import kundig
from kundig.collect import inbox_landing, land
from kundig.collect.inbox_landing import land_inbox
from kundig.collect.intake.keys import create
from kundig.live import Live
from kundig.store.inbox import Inbox
from kundig.testing import default_workspace

KILLS = 210 if os.environ.get("KUNDIG_FULL") else 4
CLIENTS = 4
BATCH = 100
PACE = 0.1
"""Seconds between two requests of a client: four of them send up to 4,000 events a second in busy rounds, and 200 in quiet ones."""

BUSY = 1_000
"""Events acknowledged a second just before a kill, from which on it counts as one under load."""


class Nursery:
    """The process that forks what is killed."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self.process = subprocess.Popen([sys.executable, "-m", "tests.crash.inbox_nursery"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._line() == "ready"
        self.born: list[int] = []

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def fork(self, *words: object) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        self.born.append(int(self._line()))
        return self.born[-1]

    def close(self) -> None:
        for pid in self.born:
            kill(pid)
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def kill(pid: int) -> bool:
    """Kill a process of ours; False where it has died already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _points(root: Path) -> Counter[str]:
    """How many died at each point by now."""
    log = root / "points.log"
    return Counter(log.read_text(encoding="utf-8").splitlines()) if log.exists() else Counter()


def _acknowledged(clients: list[Client]) -> int:
    return sum(len(client.acknowledged) for client in clients)


class Client(threading.Thread):
    """Sends batches without end; one that is not acknowledged is sent again, as SDKs do."""

    def __init__(self, number: int, port: int, key: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.number, self.port, self.key, self.stop = number, port, key, stop
        self.acknowledged: list[str] = []
        self.sent: set[str] = set()
        self.again = 0
        self.fast = False

    def run(self) -> None:
        serial, waiting = 0, b""
        ids: list[str] = []
        connection: http.client.HTTPConnection | None = None
        while not self.stop.is_set():
            if not waiting:
                serial += 1
                ids = [f"c{self.number}-{serial}-{place}" for place in range(BATCH if self.fast else 5)]
                calls = [{"messageId": one, "type": "track", "event": "Product Viewed", "anonymousId": f"d{self.number}-{place % 7}"} for place, one in enumerate(ids)]
                waiting = json.dumps({"writeKey": self.key, "batch": calls}).encode()
                self.sent.update(ids)
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("POST", "/v1/batch", waiting, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    self.acknowledged += ids
                    waiting = b""
                else:
                    self.again += 1
            except (OSError, http.client.HTTPException):
                self.again += 1
                connection = None
                time.sleep(0.02)
            time.sleep(PACE)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_acknowledged_is_landed_once_whatever_is_killed(tmp_path: Path) -> None:
    root = default_workspace(tmp_path)
    workspace = kundig.open(root)
    key = create(workspace.state, "web")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    inbox = workspace.inbox()
    for cursor in ("land", "live"):
        inbox.register(cursor)
    nursery, chance, stop = Nursery(), random.Random(11), threading.Event()
    clients = [Client(number, port, key, stop) for number in range(CLIENTS)]
    killed: Counter[str] = Counter()
    busy = 0
    intake = nursery.fork("intake", root, port)
    lander = nursery.fork("land", root, 0, 0)
    began = time.monotonic()
    try:
        for client in clients:
            client.start()
        number = 0
        while sum(killed.values()) < KILLS:
            number += 1
            fast = chance.random() < 0.75
            for client in clients:
                client.fast = fast
            before, since = _acknowledged(clients), time.monotonic()
            if number % 3:  # the lander dies at a point of its own, each of the first ones in turn, or from outside
                kill(lander)
                point = number // 3 % 14 + 1 if number % 3 == 1 else 0
                lander = nursery.fork("land", root, point, number)
                end = time.monotonic() + (0.5 if point == 0 else 8.0)
                while alive(lander) and time.monotonic() < end:
                    time.sleep(0.01)
                fell = not alive(lander)
                kill(lander)
                wrote = _points(root).total() > killed["land at a point"]
                assert wrote or not fell, "who dies at a point has written down which"
                killed["land at a point" if wrote else "land"] += 1  # one may get there while it is being killed from outside
                busy += (_acknowledged(clients) - before) / (time.monotonic() - since) >= BUSY
                lander = nursery.fork("land", root, 0, number)
            else:
                time.sleep(chance.uniform(0.2, 0.6))
                busy += (_acknowledged(clients) - before) / (time.monotonic() - since) >= BUSY
                assert kill(intake), "the intake had died by itself"
                killed["intake"] += 1
                intake = nursery.fork("intake", root, port)
            end = time.monotonic() + 90
            before = _acknowledged(clients)
            while _acknowledged(clients) == before:
                assert time.monotonic() < end, "nothing is acknowledged any more"
                if not alive(intake):  # the killed one had still held the port
                    intake = nursery.fork("intake", root, port)
                time.sleep(0.05)
        stop.set()
        for client in clients:
            client.join(timeout=20)
    finally:
        stop.set()
        nursery.close()
    took = time.monotonic() - began
    land_inbox(workspace.lake, workspace.config, inbox, state=workspace.state)
    live = Live(workspace.lake, workspace.config, workspace.tables["events"], workspace.heard)
    while live.fold(inbox):
        continue
    inbox.trim()
    acknowledged = {one for client in clients for one in client.acknowledged}
    sent = {one for client in clients for one in client.sent}
    rows = workspace.lake.answer(lambda table: f"SELECT event_id FROM {table('events')}")["event_id"].to_pylist()
    landed = {one.removeprefix("web:") for one in rows}
    points = _points(root)
    print(
        f"\n{sum(killed.values())} kills ({dict(killed)}; {busy} of them at {BUSY:,} events a second or more) in {took:.0f} s; acknowledged {len(acknowledged):,} events of {len(sent):,} sent, {sum(client.again for client in clients):,} requests sent again; "
        f"lost {len(acknowledged - landed)}, landed twice {len(rows) - len(landed)}, never sent {len(landed - sent)}"
    )
    print(", ".join(f"{name} {count}" for name, count in sorted(points.items())))
    assert len(acknowledged) > 100 * CLIENTS and killed["intake"]
    assert 0 < killed["land at a point"] == points.total()
    assert not acknowledged - landed
    assert len(rows) == len(landed)
    assert landed <= sent
    with workspace.heard.reading() as connection:
        assert {row[0] for row in connection.execute("SELECT event_id FROM events")} == set(rows)
    assert sum(minute.taken for minute in workspace.heard.minutes()) == len(rows), "what was folded and not noted is counted once"
    assert workspace.lake.answer(lambda table: f"SELECT count(*) - count(DISTINCT (batch_id, identifier_key)) AS n FROM {table('touched')}")["n"].to_pylist() == [0]
    workspace.lake.sweep()
    assert not workspace.lake.verify()
    assert inbox.waiting("land") == 0 and not list(workspace.lake.data.glob(".inbox-*")), "what was cut short is cleared away"
    assert KILLS < 200 or busy >= KILLS / 2


def test_a_lander_that_forgets_its_batch_lands_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The positive control: under another name each time, and without dedup, a batch that is read again lands again, and the count sees it."""
    workspace = kundig.open(default_workspace(tmp_path))
    inbox = Inbox(tmp_path / "data" / "inbox.sqlite", writing=True)
    inbox.append(json.dumps({"batch": [{"messageId": "m1", "type": "track", "event": "A", "anonymousId": "d"}]}).encode(), source="web", kind="call")
    names = map(str, range(100))
    monkeypatch.setattr(land, "_leave_out_landed", lambda *_: None)
    monkeypatch.setattr(inbox_landing, "portions", lambda *words, of=inbox_landing.portions, **more: [replace(one, batch_id=next(names)) for one in of(*words, **more)])
    monkeypatch.setattr(Inbox, "advance", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            land_inbox(workspace.lake, workspace.config, inbox)
    inbox.close()
    assert workspace.lake.answer(lambda table: f"SELECT count(*) - count(DISTINCT event_id) AS n FROM {table('events')}")["n"].to_pylist() == [1]
