"""`kundig legal …`: the folder of proofs for lawyers and authorities."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kundig.cli.options import HERE, Json, Root, opened
from kundig.cli.output import emit, line
from kundig.clock import now

legal = typer.Typer(no_args_is_help=True, help="What lawyers ask for.")


@legal.callback()
def _several() -> None:
    """What lawyers ask for."""


@legal.command("folder")
def folder(
    root: Root = HERE,
    quarter: Annotated[str | None, typer.Option(help="Quarter whose objections are listed, such as 2026-Q3; the present one by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="The PDF; folder-<quarter>.<language>.pdf in the workspace by default. The evidence stands beside it, in a folder of its own.")] = None,
    language: Annotated[str | None, typer.Option(help="de or en; the workspace's by default.")] = None,
    with_log: Annotated[bool, typer.Option(help="Put the whole consent log among the evidence, not its hash alone.")] = False,
    as_json: Json = False,
) -> None:
    """A PDF with the record of processing, consent texts with counts, retention, recipients, the quarter's objections, and the hashes of the evidence."""
    from kundig.cli.tables import demand_place
    from kundig.legal.folder import folder as made_of
    from kundig.legal.folder import write
    from kundig.legal.pdf import pdf
    from kundig.report import words

    workspace = opened(root)
    settings = workspace.config.settings
    locale = language or settings.workspace.locale
    if locale not in ("de", "en"):
        raise typer.BadParameter(f"'{language}' is no language of the folder; known: de, en")
    try:
        made = made_of(workspace, at=now(), which=quarter, locale=locale, with_log=with_log)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if as_json:
        emit({name: sheet.records() for name, sheet in made.sheets.items()})
        return
    path = out or workspace.root / f"folder-{made.quarter.name}.{locale}.pdf"
    demand_place(path)
    written = write(made, pdf(made, words(workspace, locale), name=settings.brand.name or settings.workspace.name), path)
    line(f"{path}")
    line(f"{len(written) - 1:,} files of evidence: {written[1].parent}")
