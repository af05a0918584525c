"""A MariaDB server of the tests' own: made in a temporary folder, on a free port of the loopback, stopped by its own process id."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa


@dataclass(frozen=True, kw_only=True)
class MariaDB:
    """A running server; `database` makes an empty database and returns its URL."""

    port: int

    def url(self, database: str) -> str:
        """SQLAlchemy's URL of a database, as people write it."""
        return f"mariadb://tester:secret-word@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """URL of a new, empty database."""
        name = f"t{uuid.uuid4().hex[:12]}"
        engine = sa.create_engine(self.url("mysql").replace("mariadb://", "mariadb+pymysql://"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        engine.dispose()
        return self.url(name)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """One server for the whole test session."""
    with running_mariadb() as server:
        yield server


@contextmanager
def running_mariadb() -> Iterator[MariaDB]:
    """A server that lives as long as the block; skips the test where none can be started."""
    server, install = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin"), shutil.which("mariadb-install-db")
    if server is None or install is None:
        pytest.skip("MariaDB's server programs are not installed")
    folder = Path(tempfile.mkdtemp(prefix="kundig-mariadb-"))
    if os.geteuid() == 0:
        account = pwd.getpwnam("mysql")
        os.chown(folder, account.pw_uid, account.pw_gid)
    user = ["--user=mysql"] if os.geteuid() == 0 else []
    common = [f"--datadir={folder / 'data'}", *user]
    made = subprocess.run([install, "--no-defaults", *common, "--auth-root-authentication-method=normal", "--skip-test-db"], capture_output=True, text=True, timeout=120, check=False)
    if made.returncode:
        pytest.skip(f"mariadb-install-db failed: {made.stderr[-300:]}")
    init = folder / "init.sql"
    init.write_text("CREATE USER 'tester'@'127.0.0.1' IDENTIFIED BY 'secret-word';\nGRANT ALL ON *.* TO 'tester'@'127.0.0.1';\n", encoding="utf-8")
    init.chmod(0o644)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [server, "--no-defaults", *common, f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder / 'socket'}", f"--init-file={init}", "--skip-log-bin", "--innodb-buffer-pool-size=32M", f"--pid-file={folder / 'pid'}"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        _await(process, port)
        yield MariaDB(port=port)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    engine = sa.create_engine(f"mariadb+pymysql://tester:secret-word@127.0.0.1:{port}/mysql")
    for _ in range(300):
        if process.poll() is not None:
            pytest.skip("the MariaDB server did not start")
        try:
            with engine.connect():
                engine.dispose()
                return
        except sa.exc.OperationalError:
            time.sleep(0.1)
    pytest.fail("the MariaDB server did not answer within 30 s")
