"""Making and running the intake: its parts are opened in order and closed in order, so that what was acknowledged is on disk whatever ends it."""

from __future__ import annotations

import gc
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from kundig.clock import Clock, now
from kundig.collect.intake.app import Intake, Page
from kundig.collect.intake.consent import Recorder
from kundig.collect.intake.keys import KeyBook
from kundig.collect.intake.verifying import Verifier, vendors
from kundig.config.watching import EVERY, Watched
from kundig.errors import RunError
from kundig.store.broker import inbox_place, open_inbox

if TYPE_CHECKING:
    from kundig.config.load import Config
    from kundig.store.state import State

COPY = "write_keys.json"
"""File beside the inbox that holds a copy of the keys' hashes."""

OPEN_CONNECTIONS = 4_000
"""Connections beyond which the server answers 503 by itself."""


SWITCH = 0.0005
"""Seconds after which the event loop lets the writer go on: with Python's 0.005, commits wait for the loop more than for the disk."""


class Place(Protocol):
    """What the intake needs of a workspace."""

    @property
    def config(self) -> Config:
        """Its files."""
        ...

    @property
    def state(self) -> State:
        """Keys and consent log."""
        ...


@contextmanager
def make_intake(workspace: Place, *, webhooks: Mapping[str, Verifier] | None = None, pages: Mapping[str, Page] | None = None, clock: Clock = now) -> Iterator[Intake]:
    """The application over a workspace, for the time of a `with` block; it is the only appender of the inbox.

    Args:
        workspace: Files and state.
        webhooks: Checks of webhooks, by name; those that webhooks/ describes else.
        pages: What else is shown to the public, by the first part of its path.
        clock: The present moment.
    """
    config, state = workspace.config, workspace.state
    folder = config.path("data")
    folder.mkdir(parents=True, exist_ok=True)
    inbox = open_inbox(inbox_place(config), writing=True, clock=clock, waiting_bytes=config.settings.intake.waiting_mb * 1_000_000)
    recorder = Recorder(state, config)
    try:
        recorder.warm()
        with KeyBook(state, folder / COPY) as keys:
            intake = Intake(config, inbox=inbox, keys=keys, recorder=recorder, webhooks=vendors(config) if webhooks is None else webhooks, pages=pages, clock=clock)
            with rereading(intake, given=webhooks):
                yield intake
    finally:
        recorder.close()
        inbox.close()


@contextmanager
def rereading(intake: Intake, *, given: Mapping[str, Verifier] | None = None, every: float = EVERY) -> Iterator[Watched]:
    """Read sources/ and webhooks/ again when they change, in a thread, for the time of a `with` block; `given` webhooks stay."""
    files = Watched(intake.config, every=every)
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(every):
            try:
                if not files.look():
                    continue
                intake.files_fault = files.fault
                if files.fault:
                    print(f"{now():%Y-%m-%d %H:%M:%S} intake: changed files cannot be read, the earlier ones stay in use: {files.fault}", file=sys.stderr, flush=True)
                else:
                    intake.take(files.config, vendors(files.config) if given is None else given)
            except Exception as error:
                intake.files_fault = f"{type(error).__name__}: {error}"
                print(f"{now():%Y-%m-%d %H:%M:%S} intake: the files could not be looked at: {intake.files_fault}", file=sys.stderr, flush=True)

    thread = threading.Thread(target=look, name="files", daemon=True)
    thread.start()
    try:
        yield files
    finally:
        stop.set()
        thread.join(timeout=10)


def run_intake(
    workspace: Place, host: str | None = None, port: int | None = None, *, webhooks: Mapping[str, Verifier] | None = None, pages: Mapping[str, Page] | None = None,
    announce: Callable[[str], None] | None = None,
) -> None:  # fmt: skip
    """Serve the intake until a signal ends it; `announce` is told its address once it listens.

    Raises:
        RunError: The port is taken.
    """
    import uvicorn

    from kundig.collect.intake.guarding import Guarded

    settings = workspace.config.settings.serve
    guarded = type("Guarded", (Guarded,), {"seconds": float(workspace.config.settings.intake.slow_seconds)})
    with listening(host or settings.host, settings.intake_port if port is None else port) as taken, make_intake(workspace, webhooks=webhooks, pages=pages) as intake:
        server = uvicorn.Server(
            uvicorn.Config(
                intake, loop="auto", http=guarded, ws="none", lifespan="off", log_level="warning", access_log=False, server_header=False, date_header=False, proxy_headers=False,
                timeout_keep_alive=75, timeout_graceful_shutdown=10, limit_concurrency=OPEN_CONNECTIONS, backlog=2_048,
            )
        )  # fmt: skip
        sys.setswitchinterval(SWITCH)
        gc.collect()
        gc.freeze()  # what was made until now lives as long as the process: no collection looks at it again
        if announce is not None:
            name = taken.getsockname()
            announce(f"http://{f'[{name[0]}]' if ':' in name[0] else name[0]}:{name[1]}")
        server.run(sockets=[taken])


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        RunError: The port cannot be used.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2_048)
    except OSError as error:
        what = f"port {port} of {host} cannot be used: {error.strerror or error}"
        raise RunError(what, at="kundig.toml, [serve] intake_port", mend="stop what listens there, or set another port under [serve]") from error
