"""Ways to ask the intake: in this process through ASGI alone, and over HTTP in a process of its own."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from kundig.clock import instant
from kundig.collect.inbox_landing import land_inbox
from kundig.collect.intake import make_intake
from kundig.store.inbox import Inbox
from kundig.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Told:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """Code of a refusal; '' where it is none."""
        return str(json.loads(self.body).get("code", "")) if self.body[:1] == b"{" else ""


def basic(key: str) -> dict[str, str]:
    """The header that SDKs send a write key in."""
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}


class Here:
    """The intake in this process; a request is a call of the ASGI application, its body comes in parts."""

    def __init__(self, workspace: Workspace, key: str, **more: Any) -> None:
        self.workspace, self.key, self.more = workspace, key, more
        self.loop = asyncio.new_event_loop()
        self.stack = ExitStack()

    def __enter__(self) -> Here:
        self.app = self.stack.enter_context(make_intake(self.workspace, **self.more))
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()
        self.loop.close()

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, *, keyed: bool = True, parts: int = 1, length: bool = True) -> Told:
        """The answer to one request."""
        return self.loop.run_until_complete(self.asked(method, path, body, headers, keyed=keyed, parts=parts, length=length))

    def post(self, path: str, body: Any, **more: Any) -> Told:
        """Send a body, or a value as JSON."""
        return self.ask("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode(), **more)

    async def asked(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, *, keyed: bool = True, parts: int = 1, length: bool = True) -> Told:
        """`ask`, within the loop."""
        given = {"host": "127.0.0.1", **(basic(self.key) if keyed else {}), **({"content-length": str(len(body))} if length and body else {}), **(headers or {})}
        size = max(1, -(-len(body) // parts))
        pieces = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            if not pieces:
                return {"type": "http.disconnect"}
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

        async def send(message: Any) -> None:
            sent.append(message)

        plain, _, query = path.partition("?")
        scope = {
            "type": "http", "method": method, "path": unquote(plain), "query_string": query.encode(), "scheme": "http", "client": ("127.0.0.1", 5000),
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in given.items()],
        }  # fmt: skip
        await self.app(scope, receive, send)
        start = sent[0]
        return Told(status=start["status"], headers={name.decode(): value.decode("latin-1") for name, value in start["headers"]}, body=b"".join(one.get("body", b"") for one in sent[1:]))

    def stored(self) -> list[tuple[str, str, dict[str, Any], bytes]]:
        """What the inbox holds: source, kind, meta, body."""
        return stored(self.workspace.root)


def stored(root: Path) -> list[tuple[str, str, dict[str, Any], bytes]]:
    """What the inbox of a workspace holds, in order."""
    with closing(sqlite3.connect(root / "data/inbox.sqlite")) as connection:
        return [(source, kind, json.loads(meta), body) for source, kind, meta, body in connection.execute("SELECT source, kind, meta, body FROM requests ORDER BY seq")]


def calls(root: Path) -> list[dict[str, Any]]:
    """Every call that the inbox holds, out of its batches."""
    found = []
    for _, _, _, body in stored(root):
        told = json.loads(body)
        found += told if isinstance(told, list) else told.get("batch", [told])
    return found


def landed(workspace: Workspace) -> list[dt.datetime]:
    """Land what the inbox holds; gives the moments of all events in the lake."""
    with workspace.writing("land"):
        land_inbox(workspace.lake, workspace.config, Inbox(workspace.root / "data/inbox.sqlite"), state=workspace.state)
    found = workspace.lake.duck.execute(f"SELECT epoch_us(occurred_at) FROM {workspace.lake.scan('events')}").fetchall()
    held = workspace.lake.duck.execute(f"SELECT count(*) FROM {workspace.lake.scan('quarantined_records')}").fetchone()
    assert held == (0,)
    return [instant(moment) for (moment,) in found]


class Served:
    """The intake in a process of its own, at a free port; `script` are the statuses that its first POSTs get instead of its answer."""

    def __init__(self, root: Path, key: str, *, script: str = "") -> None:
        self.root, self.key, self.script = root, key, script

    def __enter__(self) -> Served:
        self.start()
        return self

    def start(self) -> None:
        """Start it, and wait until it listens."""
        environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
        words = [sys.executable, "-m", "tests.intake.child", str(self.root), self.script]
        self.process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End it in order."""
        self.process.terminate()
        self.process.wait(timeout=60)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
