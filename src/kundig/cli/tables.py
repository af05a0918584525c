"""Showing and exporting tables of the newest release."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path
from typing import Any

import typer

from kundig.cli.output import emit, line, table
from kundig.errors import ConfigError, nearest

FORMATS = ("table", "csv", "json", "parquet")


def show_table(workspace: Any, name: str, *, format: str, limit: int, output: Path | None) -> None:
    """Show a table, or write it.

    Raises:
        BadParameter: The format is unknown, or Parquet has no file to go to.
        ConfigError: There is no such table, or no such place.
    """
    if name not in workspace.tables:
        raise ConfigError(f"there is no table '{name}'", mend=nearest(name, workspace.tables))
    if format not in FORMATS:
        raise typer.BadParameter(f"'{format}' is no format; known: {', '.join(FORMATS)}")
    if output is not None:
        demand_place(output)
    if format == "parquet":
        if output is None:
            raise typer.BadParameter("Parquet needs a file: --output FILE")
        line(f"{_parquet(workspace, name, output, limit):,} rows in {output}")
        return
    cut = f" LIMIT {limit}" if limit else ""
    columns, found = workspace.rows(f'SELECT * FROM "{name}"{cut}')
    if format == "table":
        table(columns, found)
    elif format == "json":
        emit([dict(zip(columns, row, strict=True)) for row in found])
    else:
        handle = output.open("w", encoding="utf-8", newline="") if output else sys.stdout
        writer = csv.writer(handle)
        writer.writerow(columns)
        writer.writerows([[guarded(value) for value in row] for row in found])
        if output:
            handle.close()


def _parquet(workspace: Any, name: str, output: Path, limit: int) -> int:
    if workspace.tables[name].home == "lake":
        return int(workspace.lake.export(name, output, at=workspace.release_snapshot(), limit=limit))
    import pyarrow.parquet as pq

    found = workspace.state.rows(workspace.tables[name])
    taken = found.slice(0, limit) if limit else found
    pq.write_table(taken, output, compression="zstd")
    return int(taken.num_rows)


def demand_place(path: Path) -> None:
    """Make sure that a file can be written there, before anything is computed for it.

    Raises:
        ConfigError: Its folder is not there or not ours to write in, or it is a folder itself.
    """
    if path.is_dir():
        raise ConfigError(f"'{path}' is a folder", mend=f"name a file in it, such as {path / 'profiles.csv'}")
    if not path.parent.is_dir():
        raise ConfigError(f"the folder '{path.parent}' is not there", mend=f"mkdir -p {path.parent}, or name another place")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise ConfigError(f"'{path}' may not be written", mend="name another place, or ask who owns it")


def guarded(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
