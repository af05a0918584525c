"""A process that imports everything once and forks children that run a workspace and kill themselves at a given point.

Reads lines `ROOT AS_OF POINT` on standard input; POINT is the number of the crash point to die at (-1: live). Answers one line of JSON
per child: how it ended, how many points it passed, and the name of the last one.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from kundig import pipeline
from kundig.config.load import load
from kundig.store.engines.duckdb import connect
from kundig.store.lake import Lake
from kundig.store.state import State
from kundig.tables import ALL, LAKE


def child(root: Path, as_of: dt.datetime, point: int, log: Path) -> None:
    """Run the workspace, dying at the point; the log names the points passed."""
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
        with state.lease("writer", f"{os.uname().nodename}:{os.getpid()}:run", 3_600):
            pipeline.run(lake, state, load(root), ALL, as_of=as_of, progress=lambda step: crash(f"after step {step.table}"))
        crash("finished")


def main() -> None:
    """Serve commands until the input ends."""
    pipeline.steps()
    print("ready", flush=True)
    for line in sys.stdin:
        root, as_of, point = line.rstrip("\n").split("\t")
        log = Path(tempfile.mkstemp(suffix=".points")[1])
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                child(Path(root), dt.datetime.fromisoformat(as_of), int(point), log)
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
