"""What all tests share: laws with fixed seeds at small counts, and marks that say what a test needs, and skip it with the reason where that is not found."""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("small", derandomize=True, database=None, deadline=None)
if os.environ.get("KUNDIG_FULL") != "1":
    settings.load_profile("small")  # before any module of tests is imported: their own settings(...) begin from it

_NEEDS = {
    "needs_java": lambda: "Java and pyspark" if shutil.which("java") is None or importlib.util.find_spec("pyspark") is None else "",
    "needs_node": lambda: "Node" if shutil.which("node") is None else "",
    "needs_chromium": lambda: "Chromium" if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")) else "",
    "needs_postgres": lambda: "PostgreSQL's server programs" if not _initdb() else "",
    "needs_mariadb": lambda: "MariaDB's server programs" if shutil.which("mariadb-install-db") is None else "",
}

_FIRST = ("tests/parity/", "tests/pipeline/", "tests/crash/", "tests/cli/", "tests/privacy/", "tests/docs/", "tests/server/")
"""Where tests take long: in the order in which they begin."""


def _initdb() -> bool:
    return bool(shutil.which("initdb") or list(Path("/usr/lib/postgresql").glob("*/bin/initdb")))


def pytest_collection_finish() -> None:
    """Look for garbage less often: expressions are trees of many small objects that go when they are let go of."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that at the end no process is left alone with it; skip what needs something that is not here, and say what."""
    items.sort(key=_turn)
    missing = {mark: test() for mark, test in _NEEDS.items()}
    for item in items:
        for mark, what in missing.items():
            if what and item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=f"{what} not found"))


def _turn(item: pytest.Item) -> int:
    place = item.path.relative_to(Path(__file__).parent.parent).as_posix()
    return next((number for number, name in enumerate(_FIRST) if place.startswith(name)), len(_FIRST))
