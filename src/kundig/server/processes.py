"""`kundig serve`: one command and its children intake, pages and worker; each restarts alone, and all stop by their own process ids."""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from kundig.errors import RunError, nearest

if TYPE_CHECKING:
    from kundig.workspace import Workspace

Announce = Callable[[str], None]

LEASH = "KUNDIG_LEASH"
"""Set in children: they end when the process that started them is gone, which they see by their standard input."""

STEADY = 10.0
"""Seconds after which a child counts as well again."""

FIRST = 60.0
"""Seconds within which a child that ends by itself when it was first started has something that no restart mends."""

GRACE = 20.0
"""Seconds that children have to end by themselves."""


def parts() -> dict[str, Callable[[Workspace, Announce], None]]:
    """What `kundig serve` is made of, by name; each runs until it is stopped."""
    found: dict[str, Callable[[Workspace, Announce], None]] = {"pages": _pages, "worker": _worker}
    return {"intake": _intake} | found if importlib.util.find_spec("kundig.collect.intake") is not None else found


def run_part(workspace: Workspace, name: str, announce: Announce) -> None:
    """Run one of the parts in this process, until it is stopped.

    Raises:
        RunError: There is no such part, or its port is taken.
    """
    if name not in parts():
        raise RunError(f"'{name}' is no part of kundig serve", mend=nearest(name, parts()))
    if os.environ.get(LEASH):
        threading.Thread(target=_end_with_parent, daemon=True, name="leash").start()
    parts()[name](workspace, announce)


def _end_with_parent() -> None:
    while os.read(0, 1):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


def _intake(workspace: Workspace, announce: Announce) -> None:
    from kundig.server.preferences import STEM, Preferences

    pages = {STEM: Preferences(workspace).answer}
    importlib.import_module("kundig.collect.intake").run_intake(workspace, pages=pages, announce=lambda address: announce(f"intake on {address}"))


def _pages(workspace: Workspace, announce: Announce) -> None:
    from kundig.server import serve

    serve(workspace, announce=lambda address: announce(f"pages on {address}; stop with Ctrl+C"))


def _worker(workspace: Workspace, announce: Announce) -> None:
    from kundig.worker import Worker

    worker = Worker(workspace)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop.set())
    worker.run()


class Processes:
    """The children of one `kundig serve`.

    Args:
        root: Folder of the workspace.
        names: Which parts to run; all by default.
        command: How a part is started; its name is put behind.
        environment: Variables of the children.
    """

    def __init__(self, root: Path, *, names: tuple[str, ...] = (), command: tuple[str, ...] = (), environment: Mapping[str, str] | None = None) -> None:
        self.names = names or tuple(parts())
        self._command = command or (sys.executable, "-m", "kundig", "serve", "--workspace", str(root), "--only")
        self._environment = {**os.environ, **(environment or {}), LEASH: "1"}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, float] = {}
        self._pauses: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._restarted: set[str] = set()
        self.stop = threading.Event()

    def run(self) -> int:
        """Start the children, restart those that end, and stop all of them when told to; returns the exit code.

        A child that ends at once when it is started for the first time has something that no restart mends: then all end, with its code.
        """
        for name in self.names:
            self._start(name)
        code = 0
        try:
            while not self.stop.wait(0.1):
                for name in self.names:
                    code = self._look_after(name)
                    if code:
                        return code
        finally:
            self._end()
        return 0

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the children that live."""
        return {name: child.pid for name, child in self._children.items() if child.poll() is None}

    def _start(self, name: str) -> None:
        self._children[name] = subprocess.Popen((*self._command, name), stdin=subprocess.PIPE, env=self._environment)
        self._started[name] = time.monotonic()
        self._due.pop(name, None)

    def _look_after(self, name: str) -> int:
        child, moment = self._children[name], time.monotonic()
        code = child.poll()
        if code is None:
            if moment - self._started[name] > STEADY:
                self._pauses[name] = 0.0
            return 0
        if name not in self._due:
            if code > 0 and name not in self._restarted and moment - self._started[name] < FIRST:
                return code
            self._due[name] = moment + self._pauses.get(name, 0.0)
            self._pauses[name] = min(30.0, max(0.5, 2 * self._pauses.get(name, 0.0)))
            print(f"kundig serve: {name} ended ({'signal ' + str(-code) if code < 0 else 'code ' + str(code)}) and is started again", file=sys.stderr, flush=True)
        if moment >= self._due[name]:
            self._restarted.add(name)
            self._start(name)
        return 0

    def _end(self) -> None:
        """Ask each child to end, then end those that do not."""
        living = [child for child in self._children.values() if child.poll() is None]
        for child in living:
            child.terminate()
        until = time.monotonic() + GRACE
        for child in living:
            try:
                child.wait(timeout=max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for child in self._children.values():
            if child.stdin is not None:
                child.stdin.close()


def serve_all(workspace: Workspace) -> int:
    """Serve a workspace with all parts until Ctrl+C or SIGTERM; returns the exit code.

    Raises:
        AccessDenied: Pages would not listen on loopback.
        RunError: A port is taken.
    """
    from kundig.server import demand_loopback, listening

    settings = workspace.config.settings.serve
    demand_loopback(workspace)
    for port in {settings.port, settings.intake_port} - {0}:  # told here, at once, and not by a child that would be started again
        listening(settings.host, port).close()
    processes = Processes(workspace.root)

    def end(number: int, frame: FrameType | None) -> None:
        processes.stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    return processes.run()
