"""A workspace: a folder of files in git, and the stores beside it; the object people hold, which composes and delegates."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kundig import tables as declared
from kundig.clock import now
from kundig.config.load import Config, kinds, load
from kundig.errors import Busy, ConfigError, KundigError

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from kundig.collect.land import Landed
    from kundig.pipeline import Plan
    from kundig.pipeline.run import Progress, RunReport
    from kundig.schema import Table
    from kundig.store.inbox import Inbox
    from kundig.store.lake import Lake
    from kundig.store.live import LiveStore
    from kundig.store.state import Lease, State

LEASE_SECONDS = 3_600.0

KEPT = ("persona_matrix.csv", "segments/axes.yaml")
"""Files of which a copy is kept as they were last applied."""

WORKER = "worker"
"""What the worker of `kundig serve` calls itself when it takes the writer's lease."""


@dataclass(frozen=True, kw_only=True)
class FileChange:
    """A workspace file that differs from the files that were last applied."""

    path: str
    kind: str
    """new, changed or gone."""


class Workspace:
    """Everything that can be done with one workspace.

    Examples:
        >>> import kundig
        >>> kundig.open("/nowhere")
        Traceback (most recent call last):
        ...
        kundig.errors.ConfigError: there is no workspace here: kundig.toml is missing
        ...
    """

    def __init__(self, path: str | Path) -> None:
        self.root = Path(path).absolute()
        self.config: Config = load(self.root)

    # stores

    @cached_property
    def tables(self) -> dict[str, Table]:
        """Every declared table; `events` with the typed columns of this workspace's tracking plan."""
        from kundig.collect.tracking_plan import event_columns

        every = dict(declared.ALL)
        every["events"] = every["events"].with_columns(event_columns(self.config.tracking_plan))
        return every

    @cached_property
    def lake(self) -> Lake:
        """The tables."""
        from kundig.store import open_lake

        return open_lake(self.config, {name: table for name, table in self.tables.items() if table.home == "lake"})

    @cached_property
    def state(self) -> State:
        """Rows under transaction."""
        from kundig.store.state import State

        return State.open(_place(self.config, self.config.settings.store.state))

    @cached_property
    def heard(self) -> LiveStore:
        """What was heard since the newest release."""
        from kundig.store.live import LiveStore

        return LiveStore(self.config.path(self.config.settings.store.live))

    def inbox(self) -> Inbox:
        """The inbox, to read; the intake alone appends to it."""
        from kundig.store.broker import inbox_place, open_inbox

        return open_inbox(inbox_place(self.config))

    # doing

    def run(self, *, as_of: dt.datetime | None = None, only: Iterable[str] = (), full: bool = False, progress: Progress | None = None) -> RunReport:
        """Bring every table up to date as of a moment and release them together.

        Raises:
            ConfigError: Files changed since the last apply.
            Busy: Another process is writing.
            RunError: A step failed; nothing of the run is visible.
        """
        from kundig import pipeline

        only = tuple(only)
        self._demand_applied()
        with self.writing("run"):
            due = self.full_run_due.is_file() and not only
            report = pipeline.run(self.lake, self.state, self.config, self.tables, as_of=as_of, only=only, full=full or due, progress=progress)
            if due:
                self.full_run_due.unlink(missing_ok=True)
            return report

    def plan(self, *, as_of: dt.datetime | None = None, effect: bool = True) -> Plan:
        """What apply and the next run would do: files, steps with their causes, people moved, audiences, messages."""
        from kundig import pipeline

        with self.writing("plan"):
            return pipeline.plan(self.lake, self.state, self.config, self.tables, as_of=as_of, files=self.changed_files(), effect=effect)

    def apply(self) -> tuple[FileChange, ...]:
        """Accept the files as they are: the next run uses them. Returns what changed.

        Raises:
            ConfigError: Rules of predictions that cannot be read; all faults at once.
        """
        from kundig import audit

        if self.config.predictions:
            from kundig.understand.predictions.targets import asked

            asked(self.config.predictions, self.config)

        changed = self.changed_files()
        if changed or not self._applied_path.is_file():
            details = {"files": [f"{change.kind} {change.path}" for change in changed][:50]}
            audit.append(self.state, actor="cli", role="owner", action="apply", object_kind="workspace", object_id=self._fingerprint(), details=details)
            self._applied_path.parent.mkdir(parents=True, exist_ok=True)
            self._keep()
            _write_whole(self._applied_path, json.dumps(self._hashes(), indent=0, sort_keys=True))
        return changed

    def import_(self, sources: Iterable[str] = (), *, progress: Callable[[Landed], None] | None = None) -> tuple[Landed, ...]:
        """Land what the sources' files hold and was not landed yet; a file's rows are taken once, whatever is repeated.

        Raises:
            SourceError: A file cannot be taken; nothing of it has landed.
        """
        from kundig.collect.land import import_source

        chosen = tuple(sources) or tuple(sorted(self.config.sources))
        done: list[Landed] = []
        with self.writing("import"):
            for name in chosen:
                done.append(import_source(self.lake, self.config, name, state=self.state))
                if progress is not None:
                    progress(done[-1])
        return tuple(done)

    def deliver(self, *, at: dt.datetime | None = None) -> Any:
        """Queue the release's audiences, ask the gate once more at each claim, and hand over to the channels."""
        from kundig.deliver.handover import hand_over

        with self.writing("deliver"):
            return hand_over(self.lake, self.state, self.config, at=at)

    # asking

    def table(self, name: str, *, backend: Any = None) -> ir.Table:
        """The table as of the newest release, as an Ibis table; over `lake.apart()` where a thread computes beside others."""
        table = self.tables.get(name) or declared.named(name)
        return self.lake.ibis(table.name, self.release_snapshot(), backend=backend)

    def rows(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Column names and rows of a read-only query over the newest release's tables, by their names."""
        from kundig.store.query import query

        return query(self.lake, self.state, self.tables, sql, at=self.release_snapshot())

    def rows_now(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The same over what has landed up to now, released or not."""
        from kundig.store.query import query

        return query(self.lake, self.state, self.tables, sql, at=self.lake.snapshot())

    def person(self, identifier: str) -> Any:
        """What is known of a person: profile, value, segment, consents, timeline; by any identifier."""
        from kundig.answers import person

        return person(self, identifier)

    def why(self, identifier: str, *, audience: str | None = None, segment: str | None = None, locale: str | None = None) -> Any:
        """Why this person did (not) get a message, is (not) on an audience or in a segment, in one sentence."""
        from kundig.answers import why

        return why(self, identifier, audience=audience, segment=segment, locale=locale or self.config.settings.workspace.locale)

    def audience(self, name: str) -> Any:
        """Members of an audience after the gate, ranked, as an Arrow table."""
        columns, found = self.rows(f"SELECT * FROM audience_members WHERE audience = '{name.replace(chr(39), chr(39) * 2)}' ORDER BY rank")
        import pyarrow as pa

        return pa.table({column: [row[number] for row in found] for number, column in enumerate(columns)})

    # files

    def changed_files(self) -> tuple[FileChange, ...]:
        """Workspace files that differ from those last applied."""
        before = json.loads(self._applied_path.read_text()) if self._applied_path.is_file() else {}
        after = self._hashes()
        found = [FileChange(path=path, kind="new" if path not in before else "changed") for path, digest in after.items() if before.get(path) != digest]
        found += [FileChange(path=path, kind="gone") for path in before if path not in after]
        return tuple(sorted(found, key=lambda change: change.path))

    @contextmanager
    def writing(self, what: str) -> Iterator[Lease]:
        """The writer's lease, for the time of a `with` block. While the worker of `kundig serve` has it, a command waits: it lands for some seconds at most.

        Raises:
            Busy: Another living process holds it, or the worker does for longer than `worker.patience_seconds`.
        """
        holder = f"{os.uname().nodename}:{os.getpid()}:{what}"
        until = time.monotonic() + (0.0 if what == WORKER else self.config.settings.worker.patience_seconds)
        with ExitStack() as stack:
            while True:
                try:
                    lease = stack.enter_context(self.state.lease("writer", holder, LEASE_SECONDS))
                    break
                except Busy as busy:
                    if f":{WORKER}'" not in busy.what or time.monotonic() >= until:
                        raise
                    time.sleep(0.05)
            yield lease

    @property
    def full_run_due(self) -> Path:
        """File whose presence says that facts were deleted for their age: the next run of all tables computes in full, since sums cannot be taken back."""
        return self.root / "data" / "full_run_due"

    @property
    def _applied_path(self) -> Path:
        return self.root / "data" / "applied.json"

    def _keep(self) -> None:
        """Copies of the files of segments as they are applied, so that a later change can be told from them."""
        for name in KEPT:
            kept, path = self.root / "data" / "applied" / name, self.root / name
            if path.is_file():
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, kept)
            else:
                kept.unlink(missing_ok=True)

    def _demand_applied(self) -> None:
        changed = self.changed_files()
        if not self._applied_path.is_file():
            self.apply()
        elif changed:
            named = ", ".join(change.path for change in changed[:5]) + (" …" if len(changed) > 5 else "")
            raise ConfigError(f"{len(changed)} files changed since the last apply: {named}", at=str(self.root), mend="kundig plan shows what they would do, kundig apply accepts them")

    def _hashes(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for kind in kinds():
            for path in self.root.glob(kind.pattern):
                found[path.relative_to(self.root).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found

    def _fingerprint(self) -> str:
        return hashlib.sha256(json.dumps(self._hashes(), sort_keys=True).encode()).hexdigest()[:16]

    def release_snapshot(self) -> int:
        """The snapshot of the newest release.

        Raises:
            KundigError: There is none yet.
        """
        release = self.lake.release()
        if release is None:
            raise KundigError("there is no release yet", at=str(self.root), mend="kundig import, then kundig run")
        return release.snapshot_id


def _place(config: Config, place: str) -> str:
    if "://" in place:
        return config.secret(place)
    path = config.path(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{path}"


def _write_whole(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


__all__ = ["Busy", "FileChange", "Workspace", "now"]
