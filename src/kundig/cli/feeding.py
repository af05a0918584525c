"""The demo's web events over HTTP: an intake of its own, a client that sends what the trackers recorded, and landing beside it."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kundig.errors import RunError

BODY = 3_000_000
"""Bytes of one request; the intake takes 4 MB."""


PORTION = 120_000_000
"""Bytes of requests that land together."""

TRIES = 120
"""How often a request that may succeed later is sent, half a second apart."""


@dataclass(kw_only=True)
class Fed:
    """What was sent and what became of it."""

    requests: int = 0
    calls: int = 0
    refused: int = 0
    landed: int = 0
    repeated: int = 0
    held: int = 0


def feed(workspace: Any, source: str, files: list[Path]) -> Fed:
    """Send the calls in files of JSON lines to an intake, as a history, and land them while they come.

    A body that is refused is sent again call by call, so that one that is no JSON costs no other.

    Raises:
        RunError: The intake does not start, or ends before everything is sent.
    """
    from kundig.clock import micros, now
    from kundig.collect.inbox_landing import CURSOR, land_inbox
    from kundig.collect.intake.keys import create, digest, name_of, revoke

    fed = Fed()
    failed: list[BaseException] = []
    inbox = workspace.inbox()
    inbox.register(CURSOR)
    key = create(workspace.state, source, label="demo")
    with _intake(workspace.root) as port:

        def send() -> None:
            try:
                _send(port, key, files, fed)
            except BaseException as error:
                failed.append(error)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        with workspace.writing("import"):
            while True:
                sender.join(timeout=0.2)
                sent = not sender.is_alive()
                if sent or inbox.waiting(CURSOR) * BODY >= PORTION:
                    for landed in land_inbox(workspace.lake, workspace.config, inbox, state=workspace.state, bytes=PORTION):
                        fed.landed += landed.rows.get("events", 0)
                        fed.repeated += landed.duplicates
                        fed.held += landed.quarantined
                        if not (landed.rows.get("events") or landed.quarantined or landed.duplicates):
                            continue  # the copy of the consent log
                        told = {"taken": landed.rows.get("events", 0), "held": landed.quarantined, "repeated": landed.duplicates, "requests": len(landed.batches)}
                        workspace.heard.landed(landed.source, **told, at=micros(now()))  # no worker stands beside it to count what comes in
                if sent:
                    break
    revoke(workspace.state, source, key=name_of(digest(key)))
    if failed:
        raise RunError(f"the events could not be sent: {failed[0]}", mend="run the demo again") from failed[0]
    return fed


def _send(port: int, key: str, files: list[Path], fed: Fed) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for path in files:
        for lines in _portions(path):
            fed.requests += 1
            fed.calls += len(lines)
            if not _taken(connection, key, lines):
                for line in lines:
                    fed.refused += not _taken(connection, key, [line])
    connection.close()


def _taken(connection: http.client.HTTPConnection, key: str, lines: list[bytes]) -> bool:
    """Whether the calls were acknowledged, and not refused for what they are; what may succeed later is sent again.

    Raises:
        RunError: The intake takes nothing for a minute.
    """
    for _ in range(TRIES):
        connection.request("POST", "/v1/import", b'{"batch":[' + b",".join(lines) + b"]}", {"Content-Type": "application/json", "X-Write-Key": key})
        answer = connection.getresponse()
        said = answer.read()
        if answer.status == 200:
            return True
        if answer.status in (400, 413):
            return False
        time.sleep(0.5)
    raise RunError(f"the intake answers {answer.status}: {said[:200].decode(errors='replace')}", mend="run the demo again")


def _portions(path: Path) -> Iterator[list[bytes]]:
    """The file's lines in groups that fit one request."""
    lines: list[bytes] = []
    size = 0
    with path.open("rb") as file:
        for raw in file:
            line = raw.strip()
            if lines and size + len(line) + 1 > BODY:
                yield lines
                lines, size = [], 0
            if line:
                lines.append(line)
                size += len(line) + 1
    if lines:
        yield lines


@contextmanager
def _intake(root: Path) -> Iterator[int]:
    """The port of an intake over a workspace, a process of its own for the time of the block."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen([sys.executable, "-m", "kundig.cli.feeding", str(root)], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        told = re.search(r":(\d+)\s*$", process.stdout.readline())
        if told is None:
            raise RunError("the intake did not start", at=str(root), mend="kundig serve --only intake says why")
        yield int(told[1])
    finally:
        process.terminate()
        process.wait(timeout=60)


def main() -> None:
    """Serve the intake of a workspace on a free port."""
    from kundig.collect.intake import run_intake
    from kundig.workspace import Workspace

    run_intake(Workspace(sys.argv[1]), host="127.0.0.1", port=0, announce=lambda address: print(address, flush=True))


if __name__ == "__main__":
    main()
