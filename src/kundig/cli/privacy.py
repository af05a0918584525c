"""kundig privacy: what people may ask of those who hold their data."""

from __future__ import annotations

from typing import Annotated

import typer

from kundig.cli.options import HERE, Json, Root, opened
from kundig.cli.output import emit, line

privacy = typer.Typer(no_args_is_help=True, help="Subject requests: suppress, unsuppress.")

Who = Annotated[str, typer.Argument(help="Any identifier of the person; of somebody unknown an e-mail address, or kind:value.")]


@privacy.command("suppress")
def suppress(who: Who, root: Root = HERE, as_json: Json = False) -> None:
    """Send nothing to a person, forward nothing of them, and take nothing in of them any more; what is kept stays."""
    from kundig.privacy import named
    from kundig.privacy import suppress as put

    workspace = opened(root)
    found = named(workspace, who)
    fresh = put(workspace, found)
    emit({"identifiers": len(found), "new": fresh}) if as_json else line(f"{len(found)} identifiers are suppressed, {fresh} of them are new on the list")


@privacy.command("unsuppress")
def unsuppress(who: Who, root: Root = HERE, as_json: Json = False) -> None:
    """Take a suppressed person off the list; who was erased or objected stays on it."""
    from kundig.privacy import named
    from kundig.privacy import unsuppress as take

    workspace = opened(root)
    gone = take(workspace, named(workspace, who))
    emit({"identifiers": gone}) if as_json else line(f"{gone} identifiers were taken off the list")
