"""A process that imports everything once and forks children that do something to a workspace and kill themselves at a given point.

Reads lines `ROOT ACT ARGUMENT POINT` on standard input; POINT is the number of the crash point to die at (-1: live). Answers one line of
JSON per child: how it ended, how many points it passed, and the names of them.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kundig import pipeline
from kundig.collect import quarantine
from kundig.collect.amending import amendment
from kundig.config.load import load
from kundig.store.engines.duckdb import connect
from kundig.store.lake import Lake
from kundig.store.state import State
from kundig.tables import ALL, LAKE

Crash = Callable[[str], None]


def run(root: Path, lake: Lake, state: State, argument: str, crash: Crash) -> None:
    """Run the workspace as of a moment."""
    pipeline.run(lake, state, load(root), ALL, as_of=dt.datetime.fromisoformat(argument), progress=lambda step: crash(f"after step {step.table}"))


def fix(root: Path, lake: Lake, state: State, argument: str, crash: Crash) -> None:
    """Mend what is held: the argument is `reason|field=value`; audited before it is written."""
    reason, _, change = argument.partition("|")
    quarantine.fix_all(lake, reason, [amendment(change)], state=state)


def replay(root: Path, lake: Lake, state: State, argument: str, crash: Crash) -> None:
    """Bring in what is held."""
    quarantine.replay(lake, load(root), state=state)


def drop(root: Path, lake: Lake, state: State, argument: str, crash: Crash) -> None:
    """Give up what is held for a reason; a second call finds nothing left to drop."""
    if quarantine.held(lake, reason=argument):
        quarantine.drop(lake, None, reason=argument, note="of no use", state=state)


ACTS = {"run": run, "fix": fix, "replay": replay, "drop": drop}


def child(root: Path, act: str, argument: str, point: int, log: Path) -> None:
    """Do one thing, dying at the point; the log names the points passed."""
    passed = 0
    with log.open("w") as out:

        def crash(name: str) -> None:
            nonlocal passed
            passed += 1
            out.write(name + "\n")
            out.flush()
            if passed == point:
                os.kill(os.getpid(), signal.SIGKILL)

        lake = Lake(f"sqlite:///{root}/lake.sqlite", root / "lake", LAKE, duck=connect(threads=1, memory="1GB", spill=root / "spill"), crash=crash)
        state = State.open(f"sqlite:///{root}/state.sqlite")
        crash("opened")
        with state.lease("writer", f"{os.uname().nodename}:{os.getpid()}:{act}", 3_600):
            ACTS[act](root, lake, state, argument, crash)
        crash("finished")


class Nursery:
    """The parent's side: starts children by the process that has everything imported."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.crash.nursery"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._line() == "ready"

    def start(self, root: Path, act: str, argument: str = "", point: int = -1) -> dict[str, Any]:
        """One child, and how it ended."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{root}\t{act}\t{argument}\t{point}\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line())
        return answer

    def run(self, root: Path, as_of: dt.datetime, point: int = -1) -> dict[str, Any]:
        """A run as of a moment."""
        return self.start(root, "run", as_of.isoformat(), point)

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)


def main() -> None:
    """Serve commands until the input ends."""
    pipeline.steps()
    print("ready", flush=True)
    for line in sys.stdin:
        root, act, argument, point = line.rstrip("\n").split("\t")
        log = Path(tempfile.mkstemp(suffix=".points")[1])
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                child(Path(root), act, argument, int(point), log)
                code = 0
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
            os._exit(code)
        _, status = os.waitpid(pid, 0)
        names = log.read_text().splitlines()
        log.unlink()
        killed = os.WIFSIGNALED(status)
        print(json.dumps({"killed": killed, "code": -1 if killed else os.WEXITSTATUS(status), "points": len(names), "last": names[-1] if names else "", "names": names}), flush=True)


if __name__ == "__main__":
    main()
