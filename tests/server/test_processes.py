"""`kundig serve` and its children: each restarts alone, all stop by their own ids, and none outlives the one that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kundig.server.processes import LEASH, Processes, _end_with_parent

CHILD = """
import os, sys, time
sys.path[:0] = %r
name = sys.argv[-1]
with open(os.path.join(%r, name), "a") as file:
    file.write(f"{os.getpid()}\\n")
if name == "broken":
    sys.exit(3)
from kundig.server.processes import _end_with_parent
import threading
threading.Thread(target=_end_with_parent, daemon=True).start()
while True:
    time.sleep(1)
"""


def command(folder: Path) -> tuple[str, ...]:
    return (sys.executable, "-c", CHILD % ([path for path in sys.path if path], str(folder)))


def until(test: Callable[[], bool], *, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def started(folder: Path, name: str) -> list[int]:
    path = folder / name
    return [int(line) for line in path.read_text().split()] if path.is_file() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_child_that_dies_is_started_again_and_the_others_go_on(tmp_path: Path) -> None:
    processes = Processes(tmp_path, names=("one", "two"), command=command(tmp_path))
    thread = threading.Thread(target=processes.run)
    thread.start()
    until(lambda: len(started(tmp_path, "one")) == len(started(tmp_path, "two")) == 1)
    first, other = processes.pids["one"], processes.pids["two"]
    os.kill(first, signal.SIGKILL)
    until(lambda: len(started(tmp_path, "one")) == 2)
    assert processes.pids["one"] != first and processes.pids["two"] == other
    assert len(started(tmp_path, "two")) == 1
    processes.stop.set()
    thread.join(timeout=30)
    assert not any(alive(pid) for name in ("one", "two") for pid in started(tmp_path, name))


def test_a_child_that_cannot_start_ends_all_with_its_code(tmp_path: Path) -> None:
    processes = Processes(tmp_path, names=("one", "broken"), command=command(tmp_path))
    assert processes.run() == 3
    assert not any(alive(pid) for pid in started(tmp_path, "one"))


def test_children_end_when_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    script = f"from pathlib import Path; from kundig.server.processes import Processes; Processes(Path({str(tmp_path)!r}), names=('one',), command={command(tmp_path)!r}).run()"
    parent = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)})
    until(lambda: len(started(tmp_path, "one")) == 1)
    (child,) = started(tmp_path, "one")
    assert alive(child)
    time.sleep(0.5)
    parent.kill()
    parent.wait()
    until(lambda: not alive(child))


def test_the_leash_is_for_children_alone() -> None:
    assert LEASH not in os.environ
    assert callable(_end_with_parent)


@pytest.mark.parametrize("pauses", [3])
def test_a_child_that_keeps_dying_is_not_started_without_end(tmp_path: Path, pauses: int) -> None:
    processes = Processes(tmp_path, names=("one",), command=command(tmp_path))
    thread = threading.Thread(target=processes.run)
    thread.start()
    for number in range(pauses):
        until(lambda number=number: len(started(tmp_path, "one")) == number + 1)  # type: ignore[misc]
        os.kill(started(tmp_path, "one")[-1], signal.SIGKILL)
    began = time.monotonic()
    until(lambda: len(started(tmp_path, "one")) == pauses + 1)
    assert time.monotonic() - began > 0.8, "the third start in a row waits"
    processes.stop.set()
    thread.join(timeout=30)
