"""Running the migrations on an open engine, without a file of settings."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlalchemy as sa

_ONE_AT_A_TIME = threading.Lock()
"""Alembic keeps its context in the module."""


def upgrade(engine: sa.Engine, folder: Path, revision: str = "head") -> None:
    """Bring the database to a revision."""
    from alembic import command
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(folder).replace("%", "%%"))
    with _ONE_AT_A_TIME, engine.connect() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, revision)
