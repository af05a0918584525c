"""Several processes that open a new store at the same moment: one makes its tables, the others wait, none fails."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from kundig.store.inbox import Inbox
from kundig.store.lake.catalogue import Catalogue
from kundig.store.live import LiveStore
from kundig.store.state import State

OPENERS = {"live": LiveStore, "inbox": Inbox, "state": lambda path: State.open(f"sqlite:///{path}"), "catalogue": lambda path: Catalogue(f"sqlite:///{path}", path.parent)}
PROCESSES, ROUNDS = 4, 6


def _open(folder: Path, kind: str, gate, told) -> None:
    faults = []
    for number in range(ROUNDS):
        gate.wait(60)
        try:
            OPENERS[kind](folder / f"{number}.sqlite")
        except Exception as error:
            faults.append(f"{type(error).__name__}: {error}")
    told.put(faults)


@pytest.mark.parametrize("kind", OPENERS)
def test_a_new_store_is_made_once(tmp_path, kind):
    context = multiprocessing.get_context("spawn")
    gate, told = context.Barrier(PROCESSES), context.Queue()
    processes = [context.Process(target=_open, args=(tmp_path, kind, gate, told)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    assert [told.get(timeout=120) for _ in processes] == [[]] * PROCESSES
    for process in processes:
        process.join()
