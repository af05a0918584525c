"""Writers that are killed at every step of a commit, over and over, beside a reader that looks at every release.

Two writers make releases: each appends a batch's rows to `events`, replaces a total derived from them and upserts persons; now and then
it expires, compacts and erases. A writer that dies is followed by another, which sweeps and repeats the batch that was not acknowledged.
Run as a program it takes a job as JSON on stdin and answers with what was counted.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

STEPS = ("before file", "after file", "after fsync", "before transaction", "in transaction", "before commit", "after commit", "before unlink")
OUTSIDE = "from outside"
ROWS = 20
LIFE = 60
"""Batches after which a life that was not killed ends."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to do: how often to kill, at which steps, and what to break on purpose (split, twice, unswept)."""

    url: str
    folder: str
    kills: int
    steps: tuple[str, ...] = (*STEPS, OUTSIDE)
    broken: str = ""
    seed: int = 1


@dataclass
class Count:
    """What came of it."""

    kills: dict[str, int] = field(default_factory=dict)
    batches: int = 0
    lost: int = 0
    doubled: int = 0
    reads: int = 0
    torn: int = 0
    orphans: int = 0
    swept: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


def run(job: Job) -> Count:
    """Do the job in a process of its own, which forks the writers and the reader."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-m", "tests.store.crash"], input=json.dumps(asdict(job)), capture_output=True, text=True, check=False, timeout=3_000, env=environment)
    if done.returncode:
        raise AssertionError(done.stderr[-3_000:])
    return Count(**json.loads(done.stdout.splitlines()[-1]))


def table(counts: dict[str, Count]) -> str:
    """The counts as a table: kills per step, then what was lost."""
    steps = (*STEPS, OUTSIDE)
    lines = ["lake killed      " + " | ".join((*steps, "total"))]
    for name, count in counts.items():
        lines.append(f"{name:<16} " + " | ".join(f"{count.kills.get(step, 0):>{len(step)}}" for step in steps) + f" | {sum(count.kills.values()):>5}")
    for name, count in counts.items():
        lines.append(
            f"{name:<16} batches {count.batches}, lost {count.lost}, doubled {count.doubled}, releases read {count.reads}, torn {count.torn}, "
            f"orphans left {count.orphans} (swept {count.swept}), other faults {len(count.faults)}, {count.seconds:.0f} s"
        )
    return "\n".join(lines)


# one life


def _open(job: Job, crash: Callable[[str], None]) -> Any:
    from tests.store.lakes import TABLES

    from kundig.store.engines.duckdb import connect
    from kundig.store.lake import Lake

    return Lake(job.url, Path(job.folder) / "lake", TABLES, duck=connect(threads=1, memory="300MB", spill=Path(job.folder)), crash=crash)


def _live(job: Job, writer: int, step: str, countdown: int) -> None:
    """Write batches until killed at the step, or until the life is over."""
    left = [countdown]

    def crash(name: str) -> None:
        if name == step:
            left[0] -= 1
            if left[0] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    lake = _open(job, crash)
    if job.broken != "unswept":
        with (Path(job.folder) / "swept").open("a") as log:
            log.write(f"{len(lake.sweep())}\n")
    done = Path(job.folder) / f"acknowledged.{writer}"
    first = len(done.read_text().splitlines()) if done.exists() else 0
    for number in range(first, first + LIFE):
        _batch(lake, job, writer, number)
        with done.open("a") as log:
            log.write(f"{writer}.{number}\n")
        _housekeeping(lake, writer, number)
    lake.close()


def _batch(lake: Any, job: Job, writer: int, number: int) -> None:
    import pyarrow as pa
    from tests.store.lakes import START, events, persons

    from kundig.errors import AlreadyLanded, Conflict
    from kundig.store.lake import Append, ReleaseMark, Replace, Upsert

    batch = f"{writer}.{number}"
    rows = events(range(ROWS))
    rows = rows.set_column(0, "event_id", pa.array([f"{batch}.{i}" for i in range(ROWS)]))
    while True:
        base = lake.snapshot()
        held = lake.duck.execute(f"SELECT count(*) FROM {lake.scan('events', base)}").fetchone()[0]
        keys = [writer * 1_000 + (number + i) % 40 for i in range(4)]
        changes = [
            Append(table="events", source=rows), Upsert(table="persons", column="person_key", keys=pa.array(keys), source=persons(keys, run=number)),
            Replace(table="totals", source=pa.table({"name": ["events"], "n": [held + ROWS]})),
        ]  # fmt: skip
        mark = ReleaseMark(run_id=writer * 1_000_000 + number, moment=START)
        try:
            if job.broken == "split":
                for change in changes:
                    lake.commit([change], release=mark)
            else:
                lake.commit(changes, batch=None if job.broken == "twice" else batch, release=mark, expect={"events": base, "totals": base})
        except AlreadyLanded:
            return
        except Conflict:
            continue
        except Exception as error:
            if not _expired(error):
                raise
        else:
            return


def _housekeeping(lake: Any, writer: int, number: int) -> None:
    from kundig.errors import Conflict

    with contextlib.suppress(Conflict):
        if number % 3 == 1:
            lake.expire(keep=4)
        if number % 5 == 2:
            lake.compact(force=True)
        if number % 7 == 3:
            lake.erase({"persons": ("person_key", [writer * 1_000 + number % 40])})


def _expired(error: Exception) -> bool:
    import duckdb

    return isinstance(error, duckdb.IOException) or "No files found" in str(error) or "Cannot open file" in str(error)


# the reader


def _read(job: Job) -> None:
    """Look at every kept release again and again until the writers are done; leaves how many, and how many were torn."""
    folder = Path(job.folder)
    lake = _open(job, lambda step: None)
    reads = torn = 0
    parent = os.getppid()
    while not (folder / "done").exists() and os.getppid() == parent:
        for release in lake.releases():
            whole = _whole(lake, release.snapshot_id)
            reads += whole is not None
            torn += whole is False
        (folder / "read.new").write_text(json.dumps([reads, torn]))
        (folder / "read.new").replace(folder / "read")
    lake.close()


def _whole(lake: Any, at: int) -> bool | None:
    """Whether a release holds whole batches, their total, and one row a person; None when it was expired meanwhile."""
    for _ in range(20):
        try:
            told = lake.duck.execute(f"SELECT coalesce(sum(n), 0) FROM {lake.scan('totals', at)}").fetchone()[0]
            rows, batches = lake.duck.execute(f"SELECT count(*), count(DISTINCT regexp_replace(event_id, '\\.[0-9]+$', '')) FROM {lake.scan('events', at)}").fetchone()
            persons, distinct = lake.duck.execute(f"SELECT count(*), count(DISTINCT person_key) FROM {lake.scan('persons', at)}").fetchone()
        except Exception as error:
            if not _expired(error):
                raise
        else:
            good = bool(told == rows == batches * ROWS and persons == distinct)
            if good or any(release.snapshot_id == at for release in lake.releases()):
                return good
        if not any(release.snapshot_id == at for release in lake.releases()):
            return None
    return False  # kept, and never readable


# the driver


def _drive(job: Job) -> Count:
    import duckdb  # noqa: F401 - what the children need is loaded once, before they are forked
    import pyarrow  # noqa: F401
    import sqlalchemy  # noqa: F401
    import tests.store.lakes  # noqa: F401

    import kundig.store.lake.compaction
    import kundig.store.lake.sweeping  # noqa: F401

    began, chance, folder = time.perf_counter(), random.Random(job.seed), Path(job.folder)
    reader = _fork(lambda: _read(job))
    kills: Counter[str] = Counter()
    wanted = [job.steps[i % len(job.steps)] for i in range(job.kills)]
    chance.shuffle(wanted)
    lives: dict[int, tuple[int, str, float]] = {}
    try:
        _kill_and_follow(job, chance, wanted, lives, kills)
    except BaseException:
        for pid in (reader, *lives):
            os.kill(pid, signal.SIGKILL)
        raise
    for writer in (1, 2):
        _wait(_fork(lambda w=writer: _finish(job, w)))  # type: ignore[misc]
    (folder / "done").touch()
    _wait(reader)
    return _count(job, dict(kills), time.perf_counter() - began)


def _kill_and_follow(job: Job, chance: random.Random, wanted: list[str], lives: dict[int, tuple[int, str, float]], kills: Counter[str]) -> None:
    """Keep two writers alive, each of them killed at the next wanted step, until every kill is done."""
    turns = 0
    while (wanted or lives) and turns < job.kills * 40:
        for writer in (1, 2):
            if writer not in {one for one, _, _ in lives.values()} and wanted:
                turns += 1
                step = wanted.pop()
                countdown, patience = chance.randint(1, 12), chance.uniform(0.05, 0.8)
                pid = _fork(lambda w=writer, s=step, c=countdown: _live(job, w, s, c))  # type: ignore[misc]
                lives[pid] = (writer, step, time.perf_counter() + patience)
        _reap(lives, kills, wanted)
        for pid, (_, step, when) in lives.items():
            if step == OUTSIDE and time.perf_counter() > when:
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.004)


def _finish(job: Job, writer: int) -> None:
    """Repeat the batch that was not acknowledged, and one more, undisturbed."""
    lake = _open(job, lambda step: None)
    done = Path(job.folder) / f"acknowledged.{writer}"
    first = len(done.read_text().splitlines()) if done.exists() else 0
    for number in (first, first + 1):
        _batch(lake, job, writer, number)
        with done.open("a") as log:
            log.write(f"{writer}.{number}\n")
    lake.close()


def _count(job: Job, kills: dict[str, int], seconds: float) -> Count:
    folder = Path(job.folder)
    lake = _open(job, lambda step: None)
    swept = sum(map(int, (folder / "swept").read_text().split())) if (folder / "swept").exists() else 0
    if job.broken != "unswept":
        swept += len(lake.sweep())
    acknowledged = [line for writer in (1, 2) for line in (folder / f"acknowledged.{writer}").read_text().split()]
    held = dict(lake.duck.execute(f"SELECT regexp_replace(event_id, '\\.[0-9]+$', '') AS batch, count(*) FROM {lake.scan('events')} GROUP BY 1").fetchall())
    faults = lake.verify(deep=True)
    orphans = [fault for fault in faults if "nothing names it" in fault]
    reads, torn = json.loads((folder / "read").read_text()) if (folder / "read").exists() else (0, 0)
    final = [_whole(lake, release.snapshot_id) for release in lake.releases()]
    lake.close()
    return Count(
        kills=kills, batches=len(acknowledged), lost=sum(held.get(batch, 0) < ROWS for batch in acknowledged), doubled=sum(n > ROWS for n in held.values()),
        reads=reads + len(final), torn=torn + sum(whole is not True for whole in final), orphans=len(orphans), swept=swept,
        faults=[fault for fault in faults if fault not in orphans], seconds=seconds,
    )  # fmt: skip


def _fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _reap(lives: dict[int, tuple[int, str, float]], kills: Counter[str], wanted: list[str]) -> None:
    for pid in list(lives):
        found, status = os.waitpid(pid, os.WNOHANG)
        if not found:
            continue
        _, step, _ = lives.pop(pid)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            kills[step] += 1
        elif os.WEXITSTATUS(status):
            raise AssertionError("a writer failed, see above")
        else:
            wanted.insert(0, step)  # it lived to its end: the step did not come


def _wait(pid: int) -> None:
    _, status = os.waitpid(pid, 0)
    if status:
        raise AssertionError(f"process {pid} ended with {status}")


if __name__ == "__main__":
    given = json.load(sys.stdin)
    print(json.dumps(asdict(_drive(Job(**(given | {"steps": tuple(given["steps"])}))))))
