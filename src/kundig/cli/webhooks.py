"""kundig webhook: what other systems send by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kundig.cli.output import emit, line, table

webhook = typer.Typer(no_args_is_help=True, help="Webhooks: what other systems send by themselves, and the ready mappings of some.")

Root = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.", envvar="KUNDIG_WORKSPACE")]
Json = Annotated[bool, typer.Option("--json", help="For machines: JSON on standard output.")]
HERE = Path()


@webhook.command("list")
def list_(root: Root = HERE, as_json: Json = False) -> None:
    """The workspace's webhooks with their addresses, how their senders are known, whether the secret is set; and those that are ready to be added."""
    from kundig.collect.webhooks import READY, checks
    from kundig.config.load import load

    config = load(root)
    rows: list[tuple[str, str, str, str, str]] = []
    for name, one in sorted(checks(config).items()):
        how = one.webhook.signature
        known = how.scheme if how.scheme == "none" or one.secret else f"{how.scheme}: its secret is not set, nobody is let in"
        rows.append((name, f"/v1/webhook/{name}", one.source, known, one.webhook.known_from or "own"))
    rows += [(name, "", "", "", "ready: kundig webhook add") for name in READY if name not in config.webhooks]
    names = ["name", "address", "source", "sender known by", "known from"]
    emit([dict(zip(names, row, strict=True)) for row in rows]) if as_json else table(names, rows)


@webhook.command("add")
def add(name: Annotated[str, typer.Argument(help="Name of a ready webhook.")], root: Root = HERE) -> None:
    """Copy a ready webhook into the workspace; nothing is overwritten."""
    from kundig.collect.webhooks import add as copy
    from kundig.config.load import load

    load(root)
    target = copy(root, name)
    line(str(target.relative_to(root)))
    line("next: read the file, put the secret that it names into secrets.toml, and start kundig serve again")
