"""Options that many commands share, and the workspace they open."""

from __future__ import annotations

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
