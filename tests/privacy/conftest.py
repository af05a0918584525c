"""The made-up shop, and commands run over it."""

import shutil

import pytest
from tests.cli.conftest import Done, Kundig, copy, kundig, root

import kundig as kd

__all__ = ["Done", "Kundig", "copy", "kundig", "root"]


@pytest.fixture
def shop(copy, monkeypatch):
    """A copy of the workspace whose exports and messages are gone."""
    monkeypatch.delenv("KUNDIG_SUPPRESSION_KEY", raising=False)
    workspace = kd.open(copy)
    for path in (copy / "exports", copy / "out"):
        shutil.rmtree(path, ignore_errors=True)
    yield workspace
    workspace.state.close()
    workspace.lake.close()
