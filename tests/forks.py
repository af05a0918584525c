"""Processes that import everything once and fork children that do something and kill themselves at a given point; and the parent's side of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Crash = Callable[[str], None]


def serve(child: Callable[..., None]) -> None:
    """Fork a child per line of standard input until it ends.

    A line holds words parted by tabs: those that `child(*words, crash)` is called with, and last the number or the name of the point at
    which it is to die (-1: live). Each call of `crash` is a point. The answer is a line of JSON: whether it was killed, its exit code, and the
    names of the points it passed.
    """
    print("ready", flush=True)
    for line in sys.stdin:
        *words, point = line.rstrip("\n").split("\t")
        log = Path(tempfile.mkstemp(suffix=".points")[1])
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                _run(child, words, point, log)
                code = 0
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
            os._exit(code)
        _, status = os.waitpid(pid, 0)
        names = log.read_text().splitlines()
        log.unlink()
        print(json.dumps({"killed": os.WIFSIGNALED(status), "code": os.waitstatus_to_exitcode(status), "points": names}), flush=True)


def _run(child: Callable[..., None], words: list[str], point: str, log: Path) -> None:
    passed = 0
    with log.open("w") as out:

        def crash(name: str) -> None:
            nonlocal passed
            passed += 1
            out.write(name + "\n")
            out.flush()
            if point in (str(passed), name):
                os.kill(os.getpid(), signal.SIGKILL)

        child(*words, crash)


class Nursery:
    """Starts children by a module that serves them: `python -m tests.crash.nursery`."""

    def __init__(self, module: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._line() == "ready"

    def start(self, *words: object, point: int | str = -1) -> dict[str, Any]:
        """One child, and how it ended."""
        assert self.process.stdin is not None
        self.process.stdin.write("\t".join(map(str, (*words, point))) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line())
        return answer

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        """End the process that serves."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)
