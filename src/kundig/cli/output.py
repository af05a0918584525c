"""How the command line prints: lines and tables for people, JSON for machines; no colour where NO_COLOR or a pipe says so."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any


def line(text: str) -> None:
    """One line for people."""
    print(text, flush=True)


def say(lines: Iterable[str]) -> None:
    """Lines for people."""
    for text in lines:
        line(text)


def emit(value: Any) -> None:
    """JSON for machines: moments in ISO form, decimals as text, so that nothing is lost."""
    json.dump(value, sys.stdout, default=_spelled, ensure_ascii=False, indent=2)
    print()


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table for people: numbers to the right, a null as a dash; one column below the other where a terminal is too narrow for them."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    found = [list(row) for row in rows]
    texts = [[str(value) if isinstance(value, int) and column.endswith(("_key", "_id")) else cell(value) for column, value in zip(columns, row, strict=True)] for row in found]
    needed = sum(max((len(part) for text in (columns[number], *(row[number] for row in texts)) for part in text.split("\n")), default=0) + 3 for number in range(len(columns)))
    console = Console(soft_wrap=False, highlight=False)
    if not console.is_terminal:
        console.width = max(80, min(needed, 400))
    if len(columns) * NARROWEST > console.width:
        say(_upright(columns, texts))
        return
    numeric = {number for number in range(len(columns)) if found and all(isinstance(row[number], (int, float, decimal.Decimal)) or row[number] is None for row in found)}
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for number, column in enumerate(columns):
        shown.add_column(column, justify="right" if number in numeric else "left", overflow="fold")
    for row in texts:
        shown.add_row(*row)
    console.print(shown)


NARROWEST = 11
"""Characters that a column needs to be read."""


def _upright(columns: Sequence[str], texts: Sequence[Sequence[str]]) -> Iterator[str]:
    """Each row as lines of column and value.

    Examples:
        >>> list(_upright(["id", "name"], [["1", "a"], ["2", "b"]]))
        ['id    1', 'name  a', '', 'id    2', 'name  b']
    """
    width = max((len(column) for column in columns), default=0)
    for number, row in enumerate(texts):
        if number:
            yield ""
        yield from (f"{column:<{width}}  {value}" for column, value in zip(columns, row, strict=True))


def cell(value: Any) -> str:
    """A value as a table shows it.

    Examples:
        >>> cell(None), cell(1234567), cell(0.5), cell(decimal.Decimal("12.3400"))
        ('–', '1,234,567', '0.5', '12.34')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, (float, decimal.Decimal)):
        return f"{value:,.4f}".rstrip("0").rstrip(".")
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    return str(value)


def _spelled(value: Any) -> Any:
    if isinstance(value, (dt.datetime, dt.date)):
        return value.isoformat()
    return str(value)
