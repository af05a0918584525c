"""How every SQLite file of kundig is opened: what is written stays written, readers do not wait for writers, what is deleted is overwritten."""

from __future__ import annotations

import sqlite3
import time

PATIENCE = 60.0
"""Seconds a connection waits for a writer."""


def prepare(connection: sqlite3.Connection, *, synchronous: str = "FULL", secure_delete: str = "ON") -> None:
    """Set up a new connection.

    Raises:
        sqlite3.OperationalError: The file stayed locked for longer than `PATIENCE`.
    """
    connection.execute(f"PRAGMA busy_timeout={int(PATIENCE * 1000)}")
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError:  # two that open a new file at the same moment: SQLite does not wait here
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute(f"PRAGMA secure_delete={secure_delete}")
