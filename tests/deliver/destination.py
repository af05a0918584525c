"""A destination that answers as a script says, and notes what it was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Script = Callable[[Any, int], tuple[int, dict[str, str]]]
"""From a body and the running number of the request to a status and headers."""


class Destination:
    """What arrived: bodies that were taken, all requests, and the headers of each."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.taken: list[Any] = []
        self.asked: list[tuple[Any, dict[str, str], int]] = []
        self.door = threading.Lock()
        self.url = ""


@contextmanager
def destination(script: Script = lambda body, number: (200, {})) -> Iterator[Destination]:
    """A server on a free port of this machine, for the time of a block."""
    held = Destination(script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with held.door:
                status, headers = held.script(body, len(held.asked))
                held.asked.append((body, dict(self.headers), status))
                if 200 <= status < 300:
                    held.taken.append(body)
            self.send_response(status)
            for name, value in ({"Content-Length": "0"} | headers).items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.url = f"http://127.0.0.1:{server.server_address[1]}/events"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
