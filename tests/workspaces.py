"""One small finished workspace a test session: landed, run and delivered once; tests that change something copy it."""

from __future__ import annotations

from pathlib import Path

import pytest

import kundig
from kundig.testing import END, World, default_workspace, land


def finished(factory: pytest.TempPathFactory) -> Path:
    """Folder of the finished workspace; made when it is first asked for."""
    root = factory.getbasetemp() / "finished"
    if not root.exists():
        making = default_workspace(root.with_name("finished.making"))
        workspace = kundig.open(making)
        land(workspace.lake, World(1, people=40).rows(until=END), batch="first")
        workspace.run(as_of=END)
        workspace.deliver(at=END)
        workspace.lake.close()
        workspace.state.close()
        making.rename(root)
    return root
