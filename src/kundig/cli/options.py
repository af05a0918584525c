"""Options that many commands share, and the workspace they open."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Any

import typer

Root = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.", envvar="KUNDIG_WORKSPACE")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="Moment to compute for: 2026-10-31, or 2026-10-31T18:00+01:00; now by default.")]
Json = Annotated[bool, typer.Option("--json", help="For machines: JSON on standard output.")]
Of = Annotated[str | None, typer.Option("--source", help="Of this source only.")]
HERE = Path()


def opened(root: Path) -> Any:
    """The workspace at a folder."""
    from kundig.workspace import Workspace

    return Workspace(root)


def moment(text: str | None, zone: str) -> dt.datetime | None:
    """A moment given on the command line; a bare day means its end in the workspace's zone.

    Raises:
        BadParameter: It is neither a day nor a moment.
    """
    if text is None:
        return None
    from zoneinfo import ZoneInfo

    from kundig.clock import midnight

    try:
        if len(text) == 10:
            return midnight(dt.date.fromisoformat(text) + dt.timedelta(days=1), zone) - dt.timedelta(microseconds=1)
        given = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is no moment; write 2026-10-31 or 2026-10-31T18:00+01:00") from error
    return (given if given.tzinfo is not None else given.replace(tzinfo=ZoneInfo(zone))).astimezone(dt.UTC)
