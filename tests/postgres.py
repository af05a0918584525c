"""A PostgreSQL server of the tests' own: made in a temporary folder, on a free port of the loopback, stopped by its own process id."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import free_port, living, new_database

_USER = "postgres"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server; `database` makes an empty database and returns its URL."""

    port: int
    pid: int

    def url(self, database: str) -> str:
        """SQLAlchemy's URL of a database."""
        return f"postgresql+psycopg://{_USER}@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """URL of a new, empty database."""
        return self.url(new_database(self.url("postgres")))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One server for the whole test session."""
    with running_server() as server:
        yield server


@contextmanager
def running_server() -> Iterator[Server]:
    """A server that lives as long as the block; skips the test where none can be started."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL's server programs are not installed")
    folder = Path(tempfile.mkdtemp(prefix="kundig-postgres-"))
    as_root = os.geteuid() == 0
    if as_root:
        account = _account()
        os.chown(folder, account.pw_uid, account.pw_gid)
    data = folder / "data"
    made = _run([str(programs / "initdb"), "-D", str(data), "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"], folder, as_root)
    if made.wait(timeout=120):
        pytest.skip("initdb failed")
    port = free_port()
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": str(folder), "shared_buffers": "64MB", "max_connections": 40, "wal_level": "logical", "max_replication_slots": 60, "max_wal_senders": 60, "fsync": "off"}
    command = [str(programs / "postgres"), "-D", str(data), *(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))]
    process = _run(command, folder, as_root)
    server = Server(port=port, pid=process.pid)
    with living(process, folder, server.url("postgres"), name="PostgreSQL", stop=signal.SIGINT):  # fast shutdown: ends the sessions that are open
        yield server


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).parent if on_path else None


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(_USER)
    except KeyError:
        pytest.skip("the server refuses to run as root, and there is no user 'postgres'")


def _run(command: list[str], folder: Path, as_root: bool) -> subprocess.Popen[bytes]:
    account = {"user": _USER, "group": _account().pw_gid, "extra_groups": []} if as_root else {}
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **account)  # type: ignore[call-overload,no-any-return]
