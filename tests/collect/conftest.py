"""A workspace per test."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.collect.shop import Shop
from tests.postgres import postgres

__all__ = ["postgres"]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """An empty workspace."""
    return Shop(tmp_path)
