"""A process that imports everything once and forks children that make one pass over a database's changes and kill themselves at a given point.

Reads lines `ROOT POINT` on standard input; POINT is the number or name of the crash point to die at (-1: live). Answers one line of JSON per child:
how it ended, and the names of the points it passed.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kundig.collect.cdc import following
from kundig.collect.land import import_source
from kundig.config.load import load
from kundig.store.engines.duckdb import connect
from kundig.store.lake import Lake
from kundig.tables import LAKE


def _around(crash: Callable[[str], None], method: Callable[..., Any], name: str) -> Callable[..., Any]:
    def wrapped(*given: Any, **named: Any) -> Any:
        crash(f"before {name}")
        result = method(*given, **named)
        crash(f"after {name}")
        return result

    return wrapped


def child(root: Path, point: str, log: Path) -> None:
    """One pass, dying at the point; the log names the points passed."""
    passed = 0
    with log.open("w") as out:

        def crash(name: str) -> None:
            nonlocal passed
            passed += 1
            out.write(name + "\n")
            out.flush()
            if point in (str(passed), name):
                os.kill(os.getpid(), signal.SIGKILL)

        for of, name in ((following.Server, "create"), (following.Server, "advance"), (following.Reading, "read"), (following.Pass, "_land")):
            setattr(of, name, _around(crash, getattr(of, name), name.strip("_")))
        lake = Lake(f"sqlite:///{root}/lake.sqlite", root / "lake", LAKE, duck=connect(threads=1, memory="1GB", spill=root / "spill"), crash=crash)
        import_source(lake, load(root), "shop", now=dt.datetime.now(dt.UTC))


def main() -> None:
    """Serve commands until the input ends."""
    import psycopg  # noqa: F401
    import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401

    print("ready", flush=True)
    for line in sys.stdin:
        root, point = line.rstrip("\n").split("\t")
        log = Path(tempfile.mkstemp(suffix=".points")[1])
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                child(Path(root), point, log)
                code = 0
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
            os._exit(code)
        _, status = os.waitpid(pid, 0)
        points = log.read_text().splitlines()
        log.unlink()
        print(json.dumps({"killed": os.WIFSIGNALED(status), "code": os.waitstatus_to_exitcode(status), "points": points}), flush=True)


if __name__ == "__main__":
    main()
