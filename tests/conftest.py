"""What all tests share: marks that say what a test needs, and skip it with the reason where that is not found."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

_NEEDS = {
    "needs_java": lambda: "Java and pyspark" if shutil.which("java") is None or importlib.util.find_spec("pyspark") is None else "",
    "needs_node": lambda: "Node" if shutil.which("node") is None else "",
    "needs_chromium": lambda: "Chromium" if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")) else "",
    "needs_postgres": lambda: "PostgreSQL's server programs" if not _initdb() else "",
    "needs_mariadb": lambda: "MariaDB's server programs" if shutil.which("mariadb-install-db") is None else "",
}


def _initdb() -> bool:
    return bool(shutil.which("initdb") or list(Path("/usr/lib/postgresql").glob("*/bin/initdb")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs something that is not here, and say what; keep together what shares something made once a file."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None and (shared := _shared(item)):
            item.add_marker(pytest.mark.xdist_group(shared))
    missing = {mark: test() for mark, test in _NEEDS.items()}
    for item in items:
        for mark, what in missing.items():
            if what and item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=f"{what} not found"))


def _shared(item: pytest.Item) -> str:
    """The name under which one worker runs a test with those that need the same: its file where a fixture is made once a file, or the fixture; empty: any worker may."""
    known = getattr(item, "_fixtureinfo", None)
    scopes = {name: found[-1].scope for name, found in known.name2fixturedefs.items() if found} if known is not None else {}
    if "told" in scopes:
        return "told"
    return str(item.path.relative_to(Path(__file__).parent.parent)) if "module" in scopes.values() else ""
