"""Progress of a run: one bar, the step at work, and a line for each step that had work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def steps_shown(*, quiet: bool = False) -> Iterator[Callable[[Any], None] | None]:
    """A callback for `Workspace.run` that shows each step as it ends; a moving bar on a terminal, plain lines in a pipe."""
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield _plain
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("steps", total=None)

        def advance(step: Any) -> None:
            bar.update(task, total=step.of, completed=step.number, description=step.table)
            if step.cause != "unchanged":
                bar.console.print(_line(step))

        yield advance


def _plain(step: Any) -> None:
    if step.cause != "unchanged":
        print(_line(step), file=sys.stderr, flush=True)


def _line(step: Any) -> str:
    keys = f" of {step.keys:,} persons" if step.keys is not None else ""
    return f"  {step.number:>2}/{step.of} {step.table:<22} {step.cause:<10} {step.rows:>10,} rows{keys}  {step.seconds:6.2f} s  {step.peak_mb:6.0f} MB"
