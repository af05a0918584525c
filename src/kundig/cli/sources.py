"""`kundig source …`: ready mappings for the exports of well-known systems."""

from __future__ import annotations

from typing import Annotated

import typer

from kundig.cli.options import HERE, Json, Root, opened
from kundig.cli.output import emit, line, table

source = typer.Typer(no_args_is_help=True, help="Ready mappings of well-known systems: list them, put one into the workspace.")


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
