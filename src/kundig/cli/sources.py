"""`kundig source …`: ready mappings of well-known systems; whether all that a source declares has landed."""

from __future__ import annotations

import dataclasses
import datetime as dt
from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer

from kundig.cli.options import HERE, Json, Root, opened
from kundig.cli.output import emit, line, table

source = typer.Typer(no_args_is_help=True, help="Ready mappings of well-known systems: list them, put one into the workspace. Sources: check that all of it is there, declare what there is.")


@source.command("list")
def list_(as_json: Json = False) -> None:
    """Ready mappings: whose data it is, which tables they fill, and whether they are known from documentation alone."""
    from kundig.collect.ready import listed

    rows = [(one.name, one.source.party, ", ".join(one.tables), ", ".join(one.inputs) or "interface", one.source.known_from, one.source.meaning) for one in listed()]
    columns = ["mapping", "party", "tables", "files", "known from", "meaning"]
    emit([dict(zip(columns, row, strict=True)) for row in rows]) if as_json else table(columns, rows)


@source.command("add")
def add(
    name: Annotated[str, typer.Argument(help="A ready mapping.")],
    root: Root = HERE,
    files: Annotated[list[str] | None, typer.Option("--files", help="Glob of its files below the workspace, or in an object store; input=glob where it has several kinds.")] = None,
    as_name: Annotated[str, typer.Option("--as", help="Name of the source; the mapping's by default.")] = "",
) -> None:
    """Write a ready mapping to sources/NAME.yaml, to be read and edited; says which files it finds and which secrets it needs."""
    from kundig.collect.ready import add as write

    added = write(opened(root).root, name, files=files or (), into=as_name)
    line(f"{added.path}")
    if added.secrets:
        line(f"secrets it needs (secrets.toml, or the environment): {', '.join(added.secrets)}")
    else:
        line(f"files it finds now: {', '.join(path.name for path in added.found) or 'none; put the export where `files` says'}")


@source.command("check")
def check(names: Annotated[list[str] | None, typer.Argument(help="Sources; all by default.")] = None, root: Root = HERE, as_json: Json = False) -> None:
    """Is everything there: deliveries that are late, days without rows, and totals the sources declared against what landed; exit code 1 where something is missing or differs."""
    from kundig.clock import instant
    from kundig.collect.totals import accounts

    workspace = opened(root)
    heard = {minute.source: instant(minute.last_at) for minute in sorted(workspace.heard.minutes(), key=lambda one: one.last_at)}
    found = accounts(workspace.lake, workspace.config, heard=heard, sources=names or ())
    if as_json:
        totals = [dataclasses.asdict(one) | {"agrees": one.agrees, "difference": one.difference, "difference_amount": one.difference_amount} for one in found.totals]
        emit({"arrivals": [dataclasses.asdict(one) for one in found.arrivals], "totals": totals})
    else:
        table(["source", "last delivery", "every", "state", "days without rows"], [(a.source, a.last_at or "never", f"{a.hours} h" if a.hours else "–", "late" if a.late else "in time" if a.last_at else "–", ", ".join(map(str, a.missing)) or "–") for a in found.arrivals])
        compared = len(found.totals)
        line("")
        line(f"{compared:,} {'day' if compared == 1 else 'days'} of totals compared, {len(found.differing):,} of them differ" if compared else "no totals are declared: see docs/reconciliation.md")
        if found.differing:
            rows = [(one.source, one.total, one.day, one.declared, one.landed, one.difference, one.declared_amount, one.landed_amount, one.difference_amount) for one in found.differing]
            table(["source", "total", "day", "declared", "landed", "difference", "declared amount", "landed amount", "difference"], rows)
    if not found.well:
        raise typer.Exit(1)


@source.command("declare")
def declare(
    name: Annotated[str, typer.Argument(help="Source.")],
    total: Annotated[str, typer.Argument(help="Total, as the source's file names it under `totals`.")],
    day: Annotated[str, typer.Argument(help="Day, such as 2026-10-31.")],
    root: Root = HERE,
    quantity: Annotated[str | None, typer.Option("--quantity", help="How many rows the source has of that day.")] = None,
    amount: Annotated[str | None, typer.Option("--amount", help="What they come to, in the workspace's currency.")] = None,
) -> None:
    """Say what a source has of a day; kundig source check holds what landed against it."""
    from kundig.clock import now
    from kundig.collect.totals import declare as keep

    workspace = opened(root)
    try:
        date = dt.date.fromisoformat(day)
    except ValueError as error:
        raise typer.BadParameter(f"'{day}' is no day; write 2026-10-31") from error
    with workspace.writing("declare"):
        keep(workspace.lake, workspace.config, name, total, date, quantity=_number(quantity), amount=_number(amount), now=now())
    line(f"{name}, {total}, {date}: declared")


def _number(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        found = Decimal(text)
    except InvalidOperation as error:
        raise typer.BadParameter(f"'{text}' is no number; write 1234.50") from error
    if not found.is_finite() or abs(found) >= Decimal(10) ** 14 or found != round(found, 4):
        raise typer.BadParameter(f"'{text}' is no number of at most 14 digits before the point and 4 behind it")
    return found
