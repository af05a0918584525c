"""kundig key: write keys of sources."""

from __future__ import annotations

from typing import Annotated

import typer

from kundig.cli.options import HERE, Json, Root, opened
from kundig.cli.output import emit, line, table

keys = typer.Typer(no_args_is_help=True, help="Write keys: who may send events to the intake.")


@keys.command("create")
def create(
    source: Annotated[str, typer.Argument(help="Source whose events the key sends.")],
    root: Root = HERE,
    label: Annotated[str, typer.Option(help="What the key is for, such as the name of a site.")] = "",
    as_json: Json = False,
) -> None:
    """Make a write key of a source. It is shown this once; kundig keeps its hash alone."""
    from kundig.collect.intake.keys import create as make
    from kundig.errors import nearest

    workspace = opened(root)
    key = make(workspace.state, source, label=label)
    known = workspace.config.sources
    if as_json:
        emit({"source": source, "label": label, "key": key, "described": source in known})
        return
    line(key)
    if source not in known:
        typer.echo(f"no file sources/{source}.yaml describes this source: its calls land with the defaults; {nearest(source, known)}", err=True)


@keys.command("list")
def list_(source: Annotated[str | None, typer.Argument(help="Source; all by default.")] = None, root: Root = HERE, as_json: Json = False) -> None:
    """Write keys by their id, without the key itself; the revoked ones too."""
    from kundig.collect.intake.keys import listed

    found = listed(opened(root).state, source)
    rows = [(one.id, one.source, one.label, one.created_at, one.revoked_at) for one in found]
    names = ["id", "source", "label", "created_at", "revoked_at"]
    emit([dict(zip(names, row, strict=True)) for row in rows]) if as_json else table(names, rows)


@keys.command("revoke")
def revoke(
    source: Annotated[str, typer.Argument(help="Source whose key is taken out of use.")],
    root: Root = HERE,
    key: Annotated[str | None, typer.Option(help="Id of the key (kundig key list), or the key itself; needed where the source has several.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All keys of the source.")] = False,
) -> None:
    """Take a write key out of use for ever: within a second the intake refuses it."""
    from kundig.collect.intake.keys import revoke as take

    for one in take(opened(root).state, source, key=key, every=every):
        line(f"revoked {one.id} of {one.source}")
