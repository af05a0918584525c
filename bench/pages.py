"""The page of a person: milliseconds and kB of random people's pages, asked of the application over a release of a made-up shop.

    python -m bench.pages [--persons 100000] [--days 365] [--asked 200] [--workspace FOLDER]

The budget is of a first load: the page and its style, 300 kB at most, and 300 ms at the 95th percentile at a million persons.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import random
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from starlette.testclient import TestClient

from kundig.cli.demo import examples
from kundig.clock import midnight
from kundig.config.defaults import write_defaults
from kundig.server.app import make_app
from kundig.simulate import simulate
from kundig.workspace import Workspace

END = dt.date(2026, 10, 31)
MS, KB = 300.0, 300.0
"""The budget: milliseconds at the 95th percentile, and kB (1,000 bytes) of the largest page with its style."""


@dataclass(frozen=True, kw_only=True)
class Pages:
    """How long people's pages took, in milliseconds, and how large they are, in kB."""

    people: int
    """How many there are to ask for."""
    first: float
    """The first page after the start, which reads what all of them need."""
    p50: float
    p95: float
    worst: float
    kb50: float
    kb95: float
    largest: float


def shop(root: Path, *, persons: int, days: int) -> Workspace:
    """A workspace of the example shop with made-up exports, imported and run."""
    shutil.copytree(examples() / "shop", root, dirs_exist_ok=True)
    write_defaults(root, name="shop")
    simulate(root / "exports", persons=persons, days=days, seed=11, truth=root / "truth", end=END)
    workspace = Workspace(root)
    workspace.import_()
    workspace.run(as_of=midnight(END + dt.timedelta(days=1), "Europe/Berlin") - dt.timedelta(microseconds=1))
    return workspace


def measured(workspace: Workspace, *, asked: int, seed: int = 7) -> Pages:
    """Ask for the pages of so many people, each once, one after the other."""
    known = [row[0] for row in workspace.rows("SELECT person_id FROM profiles ORDER BY person_id")[1]]
    first, *chosen = random.Random(seed).sample(known, min(asked + 1, len(known)))
    took, sizes = [], []
    with TestClient(make_app(workspace), base_url="http://127.0.0.1:8700") as client:
        style = len(client.get("/style.css").content)

        def ask(person: str) -> tuple[float, int]:
            began = time.perf_counter()
            answer = client.get(f"/people/{person}")
            spent = 1_000 * (time.perf_counter() - began)
            assert answer.status_code == 200 and person in answer.text, (person, answer.status_code)
            return spent, len(answer.content) + style

        opened, _ = ask(first)
        for person in chosen:
            spent, size = ask(person)
            took.append(spent)
            sizes.append(size / 1_000)
    of, kb = np.percentile(took, (50, 95)), np.percentile(sizes, (50, 95))
    return Pages(people=len(known), first=opened, p50=float(of[0]), p95=float(of[1]), worst=max(took), kb50=float(kb[0]), kb95=float(kb[1]), largest=max(sizes))


def main(arguments: list[str] | None = None) -> int:
    """Print the figures; returns 1 when the budget is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--persons", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=365, help="days that the shop has been open")
    parser.add_argument("--asked", type=int, default=200, help="people whose pages are asked for")
    parser.add_argument("--workspace", type=Path, help="a finished workspace to read; made anew by default")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="kundig-bench-") as folder:
        began = time.perf_counter()
        workspace = Workspace(given.workspace) if given.workspace else shop(Path(folder) / "shop", persons=given.persons, days=given.days)
        if not given.workspace:
            print(f"a shop of {given.persons:,} persons and {given.days} days: {time.perf_counter() - began:.0f} s", flush=True)
        one = measured(workspace, asked=given.asked)
        held = one.p95 <= MS and one.largest <= KB
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {given.asked} pages of {one.people:,} people")
        print(f"milliseconds: p50 {one.p50:.0f}, p95 {one.p95:.0f}, worst {one.worst:.0f}; the first after the start {one.first:.0f}")
        print(f"kB with the style: p50 {one.kb50:.0f}, p95 {one.kb95:.0f}, largest {one.largest:.0f}")
        print(f"budget {MS:.0f} ms at p95 and {KB:.0f} kB: {'held' if held else 'missed'}")
        workspace.state.close()
        workspace.lake.close()
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
