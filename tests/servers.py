"""Database servers of the tests' own: on a free port of the loopback, waited for, and stopped by their own process ids."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def living(process: subprocess.Popen[bytes], folder: Path, url: str, *, name: str, stop: signal.Signals) -> Iterator[None]:
    """Waits until a server answers; at the end stops it and clears its folder away. Skips the test where it does not start."""
    try:
        _await(process, url, name)
        yield
    finally:
        process.send_signal(stop)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _await(process: subprocess.Popen[bytes], url: str, name: str) -> None:
    engine = sa.create_engine(url)
    for _ in range(300):
        if process.poll() is not None:
            pytest.skip(f"the {name} server did not start")
        try:
            with engine.connect():
                engine.dispose()
                return
        except sa.exc.OperationalError:
            time.sleep(0.1)
    pytest.fail(f"the {name} server did not answer within 30 s")


def new_database(url: str, how: str = "") -> str:
    """Name of a new, empty database; `url` is that of another one of the server, `how` what CREATE DATABASE says more."""
    name = f"t{uuid.uuid4().hex[:12]}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} {how}".strip())
    engine.dispose()
    return name
