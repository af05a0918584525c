"""Commands run for real on one small shop: in this process, with what they printed and their exit code."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kundig.cli import main
from tests.workspaces import shop


@dataclass(frozen=True, kw_only=True)
class Done:
    """A command that ended: its exit code and what it printed."""

    code: int
    out: str
    err: str


Kundig = Callable[..., Done]


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished shop; read it, never change it."""
    return shop(tmp_path_factory)


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """A copy of the finished shop, to change."""
    return Path(shutil.copytree(root, tmp_path / "shop", ignore=shutil.ignore_patterns("truth")))


@pytest.fixture(scope="session")
def kundig() -> Kundig:
    """Run a command as the shell does: words in; exit code, standard output and standard error out."""

    def run(*words: str | Path) -> Done:
        out, err, code = io.StringIO(), io.StringIO(), 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main([str(word) for word in words])
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 0
        return Done(code=code, out=out.getvalue(), err=err.getvalue())

    return run


@pytest.fixture(scope="session")
def member(root: Path) -> str:
    """A person who was sent a message."""
    import kundig

    workspace = kundig.open(root)
    return str(workspace.rows("SELECT min(p.person_id) FROM profiles p JOIN audience_members m USING (person_key)")[1][0][0])
