"""Showing and exporting tables of the newest release."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import typer

from kundig.cli.output import emit, line, table

FORMATS = ("table", "csv", "json", "parquet")


def show_table(workspace: Any, name: str, *, format: str, limit: int, output: Path | None) -> None:
    """Show a table, or write it.

    Raises:
        BadParameter: The format is unknown, or Parquet has no file to go to.
    """
    if format not in FORMATS:
        raise typer.BadParameter(f"'{format}' is no format; known: {', '.join(FORMATS)}")
    if format == "parquet":
        if output is None:
            raise typer.BadParameter("Parquet needs a file: --output FILE")
        rows = workspace.lake.export(name, output, at=workspace.release_snapshot(), limit=limit)
        line(f"{rows:,} rows in {output}")
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
        writer.writerows([[_guarded(value) for value in row] for row in found])
        if output:
            handle.close()


def _guarded(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
