"""The lake on each of its catalogues."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.postgres import postgres
from tests.store.lakes import TABLES, duck

from kundig.store.lake import Lake

__all__ = ["postgres"]

Opener = Callable[..., Lake]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.needs_postgres)])
def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty catalogue."""
    return f"sqlite:///{tmp_path / 'lake.sqlite'}" if request.param == "sqlite" else str(request.getfixturevalue("postgres").database())


@pytest.fixture
def opened(catalogue: str, tmp_path: Path) -> Iterator[Opener]:
    """Opens the same lake again and again, as several processes would."""
    lakes: list[Lake] = []

    def open_(tables: Any = TABLES, **options: Any) -> Lake:
        lakes.append(Lake(catalogue, tmp_path / "lake", tables, duck=duck(), **options))
        return lakes[-1]

    yield open_
    for lake in lakes:
        lake.close()


@pytest.fixture
def lake(opened: Opener) -> Lake:
    """An empty lake."""
    return opened()
