"""Steps are found wherever they stand, without loading what no step needs."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

from kundig.pipeline import order
from kundig.schema import Step


def _everywhere() -> set[str]:
    """The slow way: every module of every room is loaded."""
    found = set()
    for room in order.ROOMS:
        package = importlib.import_module(f"kundig.{room}")
        for info in pkgutil.walk_packages(package.__path__, f"kundig.{room}."):
            found |= {value.name for value in vars(importlib.import_module(info.name)).values() if isinstance(value, Step)}
    return found


def test_every_step_is_found() -> None:
    assert {step.name for step in order.steps()} == _everywhere()


def test_steps_in_packages_are_found(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "__init__.py").write_text("raise RuntimeError('loaded for nothing')\n")
    (tmp_path / "inner" / "one.py").write_text("@step(reads=(), writes=X)\n")
    (tmp_path / "inner" / "two.py").write_text("nothing = 1\n")
    assert list(order._with_steps([str(tmp_path)], "room.")) == ["room.inner.one"]


def test_finding_steps_loads_no_server_and_no_statistics() -> None:
    heavy = "('starlette', 'scipy.special', 'scipy.linalg', 'pandas', 'numba')"
    code = f"import sys; from kundig.pipeline.order import steps; steps(); print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
