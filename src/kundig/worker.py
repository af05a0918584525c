"""The worker of `kundig serve`: folds what comes in at once, lands it every minute, and tends the files; each duty in a thread of its own.

It takes the writer's lease for each landing and gives it back, so that `kundig run` and the other commands that write wait for seconds at
most; while one of them has it, what comes in stays in the inbox and is folded all the same.
"""

from __future__ import annotations

import datetime as dt
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kundig.clock import Clock, micros
from kundig.clock import now as present
from kundig.collect.cdc.following import catch_up, followed_inputs
from kundig.collect.inbox_landing import CURSOR as LANDING
from kundig.collect.inbox_landing import land_inbox
from kundig.collect.known_ids import KnownIds
from kundig.collect.quarantine import clear
from kundig.config.watching import Watched
from kundig.errors import Busy
from kundig.forwarding import open_forwarders
from kundig.live.fold import CURSOR as FOLDING
from kundig.live.fold import Live
from kundig.privacy.expiring import expire
from kundig.privacy.waiting import fulfil_waiting, report

if TYPE_CHECKING:
    from kundig.deliver.forward import Forwarder
    from kundig.workspace import Workspace

WRITER = "worker"
KEPT_DAYS = 35
"""Days for which counts of sources are kept by the minute."""

PAUSE, TRIES = 0.25, 240
"""Seconds between two looks whether files may be joined (landing keeps up, the writer's lease is free), and how many of them: a minute."""

FRESH = 1.0
"""Seconds that the oldest call may wait beyond its time to land while files are joined."""

AGAIN = 5.0
"""Seconds after which a duty that failed is tried again, at first; each time twice as long, up to a minute."""


@dataclass(frozen=True, kw_only=True)
class Duty:
    """Something the worker does again and again: `do` says whether there is more to do at once."""

    name: str
    seconds: float
    do: Callable[[], bool]


class Worker:
    """Does the duties of a workspace until it is stopped.

    Args:
        workspace: The workspace; its lake, state and inbox are used by this process alone as writer.
        clock: The present moment.
    """

    def __init__(self, workspace: Workspace, *, clock: Clock = present) -> None:
        self.workspace, self.clock = workspace, clock
        self.inbox = workspace.inbox()
        self.store = workspace.heard
        settings = workspace.config.settings.worker
        self.inbox.register(LANDING)
        if settings.live:
            self.inbox.register(FOLDING)
        elif FOLDING in self.inbox.cursors():
            self.inbox.forget(FOLDING)  # it would hold back what it never reads
            self.store.clear()
        self.live = Live(workspace.lake, workspace.config, workspace.tables["events"], self.store, clock=clock, state=workspace.state)
        self.files = Watched(workspace.config)
        self.known = KnownIds(folder=workspace.lake.data)
        self.duties = [
            *([Duty(name="fold", seconds=settings.fold_seconds, do=self.fold)] if settings.live else []),
            Duty(name="land", seconds=min(1.0, settings.land_seconds), do=self.land_when_due),
            Duty(name="tend", seconds=settings.tend_seconds, do=self.tend),
            Duty(name="requests", seconds=settings.requests_seconds, do=self.answer_requests),
        ]
        """What it does; others may be added before it runs."""
        if settings.expire_hours:
            self.duties.append(Duty(name="expire", seconds=settings.expire_hours * 3_600, do=self.expire))
        self.stop = threading.Event()
        self.duties += [Duty(name=one.cursor, seconds=settings.fold_seconds, do=_forwarding(one)) for one in open_forwarders(workspace, clock=clock, stop=self.stop)]
        self.duties += [Duty(name=f"follow {name}", seconds=settings.follow_seconds, do=self._following(name, number)) for name, number in followed_inputs(workspace.config)]
        self._landed_at = time.monotonic()
        self._landed_calls = 0

    def run(self) -> None:
        """Do every duty again and again, until `stop` is set."""
        threads = [threading.Thread(target=self._keep, args=(duty,), name=duty.name, daemon=True) for duty in self.duties]
        for thread in threads:
            thread.start()
        self.stop.wait()
        for thread in threads:
            thread.join(timeout=30)

    # duties

    def fold(self) -> bool:
        """Take in what has come; people are known from then on."""
        self._reread()
        return self.live.fold(self.inbox) > 0 and not self.stop.is_set()

    def land_when_due(self) -> bool:
        """Land once the time or the number of events has come."""
        settings = self.workspace.config.settings.worker
        due = time.monotonic() - self._landed_at >= settings.land_seconds or self.live.calls - self._landed_calls >= settings.land_events
        if due and self.inbox.waiting(LANDING):
            self.land()
        elif due:
            self.store.did("land", at=micros(self.clock()))
            self._landed_at = time.monotonic()
        return False

    def land(self) -> bool:
        """Land what waits, and trim; False while a command has the writer's lease."""
        calls, began = self.live.calls, time.monotonic()
        self._reread()
        try:
            with self.workspace.writing(WRITER):
                landed = land_inbox(self.workspace.lake, self.files.config, self.inbox, state=self.workspace.state, clock=self.clock, known=self.known)
        except Busy:
            return False
        if not self.workspace.config.settings.worker.live:
            for one in landed:
                if not (one.rows.get("events") or one.quarantined or one.duplicates):
                    continue  # the copy of the consent log
                told = {"taken": one.rows.get("events", 0), "held": one.quarantined, "repeated": one.duplicates, "requests": len(one.batches)}
                self.store.landed(one.source, **told, at=micros(self.clock()))
        self._landed_at, self._landed_calls = began, calls
        self.store.did("land", at=micros(self.clock()))
        return True

    def _reread(self) -> None:
        """Take sources/ and webhooks/ as they are now, as the intake does: what it takes in under a new file lands by it. A fault is told as that of a duty."""
        if not self.files.look():
            return
        self.live.config = self.files.config
        if self.files.fault:
            print(f"{self.clock():%Y-%m-%d %H:%M:%S} worker: changed files cannot be read, the earlier ones stay in use: {self.files.fault}", file=sys.stderr, flush=True)
        self.store.did("files", at=0 if self.files.fault else micros(self.clock()), error=self.files.fault[:500])

    def tend(self) -> bool:
        """Remove what a writer or a replay that died left, join small files that landing left, and counts of long ago. Between two joins others may write."""
        if not self._when_free(self._clean):
            return False
        while self._when_free(self._join):
            pass
        self.store.prune(before=int((self.clock() - dt.timedelta(days=KEPT_DAYS)).timestamp()))
        return False

    def _clean(self) -> bool:
        self.workspace.lake.sweep()
        clear(self.workspace.lake)
        return True

    def _join(self) -> bool:
        return bool(self.workspace.lake.compact(joins=1))

    def _when_free(self, work: Callable[[], bool]) -> bool:
        """What the work gives, done with the writer's lease, once landing keeps up (or after a minute); False where the lease is not free for long."""
        for number in range(2 * TRIES):
            if self.stop.is_set():
                return False
            if number < TRIES and self._behind():
                self.stop.wait(PAUSE)
                continue
            try:
                with self.workspace.writing(WRITER):
                    return work()
            except Busy:
                continue
            finally:
                self.stop.wait(PAUSE)
        return False

    def _behind(self) -> bool:
        """Whether calls wait for longer than it takes to land them."""
        oldest = self.inbox.oldest(LANDING)
        return oldest is not None and micros(self.clock()) - oldest > (self.workspace.config.settings.worker.land_seconds + FRESH) * 1_000_000

    def answer_requests(self) -> bool:
        """Do what interfaces asked about people's data, and report how it stands."""
        try:
            with suppress(Busy):
                fulfil_waiting(self.workspace)
        finally:
            report(self.workspace, _posted)
        return False

    def expire(self) -> bool:
        """Delete what is older than its table says."""
        with suppress(Busy):
            expire(self.workspace, at=self.clock(), actor=WRITER)
        return False

    def _following(self, name: str, number: int) -> Callable[[], bool]:
        """The duty of a source that follows a database: the writer's lease is taken for each landing alone, so that looking keeps nobody waiting."""

        def step() -> bool:
            workspace = self.workspace
            with suppress(Busy):
                catch_up(workspace.lake, workspace.config, name, number, now=self.clock(), state=workspace.state, writing=lambda: workspace.writing(WRITER))
            return False

        return step

    def _keep(self, duty: Duty) -> None:
        """Do a duty in its rhythm; one that fails says so, and is tried again after a while."""
        pause = AGAIN
        noted = 0.0
        while not self.stop.is_set():
            try:
                more = duty.do()
                if duty.name != "land" and time.monotonic() - noted >= 5:
                    self.store.did(duty.name, at=micros(self.clock()))
                    noted = time.monotonic()
                pause = AGAIN
                self.stop.wait(0 if more else duty.seconds)
            except Exception as error:
                print(f"{self.clock():%Y-%m-%d %H:%M:%S} worker: {duty.name} failed, and is tried again in {pause:.0f} s: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                self._note_failure(duty, error)
                self.stop.wait(pause)
                pause = min(60.0, pause * 2)

    def _note_failure(self, duty: Duty, error: Exception) -> None:
        try:
            self.store.did(duty.name, at=0, error=f"{type(error).__name__}: {error}"[:500])
        except Exception as worse:
            print(f"worker: the failure could not be noted: {worse}", file=sys.stderr, flush=True)


def _posted(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """The status of a POST; redirects are not followed."""
    import httpx2

    try:
        return int(httpx2.post(url, content=body, headers=dict(headers), timeout=10, follow_redirects=False).status_code)
    except httpx2.HTTPError as error:
        raise OSError(str(error)) from error


def _forwarding(forwarder: Forwarder) -> Callable[[], bool]:
    """The duty of a destination: a step of its own, in a thread of its own, so that one that is slow stops only itself."""

    def step() -> bool:
        told = forwarder.step()
        return not told.idle and told.paused_until is None

    return step
