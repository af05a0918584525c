"""kundig privacy: what people may ask of those who hold their data."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from kundig.cli.options import HERE, Json, Root, opened
from kundig.cli.output import emit, line, table

privacy = typer.Typer(no_args_is_help=True, help="Subject requests: suppress, unsuppress, erase, status.")

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


@privacy.command("erase")
def erase(
    who: Annotated[str, typer.Argument(help="Any identifier of the person.")] = "", root: Root = HERE,
    resume: Annotated[bool, typer.Option("--resume", help="Finish erasures that were cut off.")] = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Erase a person from every store, and search every file before and after; ends with 1 where the person is still found."""
    from kundig.privacy import erase as forget
    from kundig.privacy import resume as finish

    if bool(who) == resume:
        raise typer.BadParameter("name the person, or give --resume")
    workspace = opened(root)
    done = finish(workspace) if resume else (forget(workspace, who),)
    if as_json:
        emit([{**dataclasses.asdict(one), "complete": one.complete} for one in done])
    else:
        for one in done:
            line(f"request {one.request_id}")
            table(["store", "changed", "found before", "found after", "how"], [(s.store, s.changed, s.found_before, s.found_after, s.how) for s in one.stores])
            for place in one.places:
                line(f"still found in {place}: replace or delete it, then search again")
    if not all(one.complete for one in done):
        raise typer.Exit(1)


@privacy.command("status")
def status(root: Root = HERE, as_json: Json = False) -> None:
    """Subject requests and what became of them, newest first."""
    workspace = opened(root)
    rows = sorted(workspace.state.select("privacy_requests"), key=lambda row: row["requested_at"], reverse=True)
    names = ["request_id", "kind", "status", "requested_at", "finished_at"]
    emit([{name: row[name] for name in names} for row in rows]) if as_json else table(names, [[row[name] for name in names] for row in rows])
