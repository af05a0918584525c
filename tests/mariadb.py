"""A MariaDB server of the tests' own: made in a temporary folder, on a free port of the loopback, stopped by its own process id."""

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


@dataclass(frozen=True, kw_only=True)
class MariaDB:
    """A running server; `database` makes an empty database and returns its URL."""

    port: int

    def url(self, database: str) -> str:
        """SQLAlchemy's URL of a database, as people write it."""
        return f"mariadb://tester:secret-word@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """URL of a new, empty database."""
        return self.url(new_database(_driven(self.url("mysql")), "CHARACTER SET utf8mb4"))


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
    made_here = MariaDB(port=free_port())
    command = [server, "--no-defaults", *common, f"--port={made_here.port}", "--bind-address=127.0.0.1", f"--socket={folder / 'socket'}", f"--init-file={init}", "--skip-log-bin", "--innodb-buffer-pool-size=32M", f"--pid-file={folder / 'pid'}"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    with living(process, folder, _driven(made_here.url("mysql")), name="MariaDB", stop=signal.SIGTERM):
        yield made_here


def _driven(url: str) -> str:
    """The URL with the driver that is installed."""
    return url.replace("mariadb://", "mariadb+pymysql://")
