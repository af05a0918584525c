"""A process that imports everything once and forks intakes and landers, each to be killed.

Reads lines on standard input: `intake ROOT PORT`, or `land ROOT POINT [SEED]`; answers the process id. A lander folds, lands, trims and joins
files without end, and kills itself when it passes the crash point of that number (0: never); every point it passes is written to
`points.log` of the workspace.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import kundig
from kundig.collect.inbox_landing import land_inbox
from kundig.collect.intake import run_intake
from kundig.collect.known_ids import KnownIds
from kundig.live import Live
from kundig.store.engines.duckdb import connect
from kundig.store.lake import Lake


def land(root: Path, point: int, seed: int) -> None:
    """Fold and land until killed; dies at the point."""
    passed = 0
    log = (root / "points.log").open("a")
    chance = random.Random(seed)

    def crash(name: str) -> None:
        nonlocal passed
        passed += 1
        if passed == point:
            log.write(f"{name}\n")
            log.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    workspace = kundig.open(root)
    lake = Lake(f"sqlite:///{root}/data/lake.sqlite", root / "data" / "lake", {name: table for name, table in workspace.tables.items() if table.home == "lake"}, duck=connect(threads=1, memory="1GB", spill=root / "spill"), crash=crash)
    inbox = workspace.inbox()
    live = Live(lake, workspace.config, workspace.tables["events"], workspace.heard)
    lake.sweep()
    known = KnownIds() if seed % 4 else None  # the worker keeps the ids it has landed; a command asks the log
    while True:
        if chance.random() < 0.5:
            live.fold(inbox, most=chance.choice((3, 200)))
            crash("folded")
        landed = land_inbox(lake, workspace.config, inbox, state=workspace.state, most=chance.choice((5, 60, 100_000)), batches=2, told=crash, known=known)
        if chance.random() < 0.15:
            lake.compact()
            crash("joined")
        if not landed:
            (root / "idle").write_text(str(time.time()), encoding="utf-8")
            time.sleep(0.01)


def main() -> None:
    """Serve commands until the input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are not waited for
    print("ready", flush=True)
    for line in sys.stdin:
        kind, root, number, *more = line.split()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                if kind == "intake":
                    run_intake(kundig.open(root), port=int(number))
                else:
                    land(Path(root), int(number), int(more[0]))
            except BaseException as error:
                print(f"{kind}: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
