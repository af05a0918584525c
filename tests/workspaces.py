"""Small finished workspaces, each made once a test session when it is first asked for; tests that change something copy it."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kundig
from kundig.clock import micros, now
from kundig.live import Live
from kundig.store.inbox import Inbox
from kundig.testing import END, World, default_workspace, land
from kundig.workspace import Workspace


def finished(factory: pytest.TempPathFactory) -> Path:
    """Folder of a workspace of forty dense persons: landed, run and delivered."""
    return _once(factory, "finished", _finish)


def shop(factory: pytest.TempPathFactory) -> Path:
    """Folder of the demo's made-up shop with 1,000 persons, made by the command people type; what it printed stands in it as `demo.txt`."""
    return _once(factory, "shop", _demo)


def fixtures(make: Callable[[pytest.TempPathFactory], Path]) -> tuple[Any, Any]:
    """The fixtures `root` and `workspace` of a folder of tests: one of these folders, and the workspace opened there."""

    @pytest.fixture(scope="session", name="root")
    def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
        return make(tmp_path_factory)

    @pytest.fixture(scope="session", name="workspace")
    def opened(root: Path) -> Workspace:
        return kundig.open(root)

    return folder, opened


def _once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first worker of the session makes, and the others wait for."""
    base = factory.getbasetemp()
    root = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / name
    with root.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            making = root.with_name(f"{name}.making")
            make(making)
            making.rename(root)
    return root


def _finish(root: Path) -> None:
    told = default_workspace(root) / "personas/answers/early.yaml"
    told.parent.mkdir(parents=True)
    told.write_text("title: {de: Frühaufsteher, en: Early birds}\npopulation: everyone\nwho: {hour: {less_than: 13.5}}\nshare: 0.9\nbelieved: {channel: email, hour: {at_least: 20}}\n", encoding="utf-8")
    (root / "usecases").mkdir()
    (root / "usecases/fewer_lost.yaml").write_text("problem: Zu viele Käufer schlafen ein\ngoal: {kpi: churn, at_most: 0.2}\napproach: Rückgewinnung per E-Mail\ntools: [E-Mail]\naudience: win_back\n", encoding="utf-8")
    workspace = kundig.open(root)
    land(workspace.lake, World(1, people=40).rows(until=END), batch="first")
    workspace.run(as_of=END)
    workspace.deliver(at=END)
    _hear(workspace)
    workspace.lake.close()
    workspace.state.close()


def _demo(root: Path) -> None:
    from kundig.cli import main

    printed, code = io.StringIO(), 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        try:
            main(["demo", str(root), "--persons", "1000"])
        except SystemExit as stop:
            code = int(stop.code or 0)
    if code:
        raise RuntimeError(f"the demo ended with {code}: {printed.getvalue()[-2000:]}")
    (root / "demo.txt").write_text(printed.getvalue(), encoding="utf-8")


def _hear(workspace: Workspace) -> None:
    """Calls since the release, folded and not landed: of somebody new, one held, one sent again."""
    view = {"messageId": "v1", "type": "track", "event": "Product Added", "anonymousId": "new-device", "properties": {"product_id": "P1", "price": 9.5}, "context": {"page": {"path": "/p1"}}}
    page = {"messageId": "v2", "type": "page", "anonymousId": "new-device", "context": {"page": {"path": "/p2"}}}
    inbox = Inbox(workspace.config.path(workspace.config.settings.store.inbox), writing=True)
    inbox.append(json.dumps({"batch": [view, page, view, {"type": "track"}]}).encode(), source="web", kind="call")
    Live(workspace.lake, workspace.config, workspace.tables["events"], workspace.heard).fold(inbox)
    workspace.heard.did("fold", at=micros(now()))
    workspace.heard.did("land", at=0, error="OSError: the disk is full")
    inbox.close()
