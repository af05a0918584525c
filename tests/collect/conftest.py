"""A workspace per test."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.collect.shop import Shop
from tests.mariadb import mariadb
from tests.postgres import postgres

__all__ = ["mariadb", "postgres", "shop"]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """An empty workspace."""
    return Shop(tmp_path)
