"""`kundig destination …`: where events are forwarded to, what waits, and what was refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kundig.cli.options import HERE, Json, Root, opened
from kundig.cli.output import emit, line, table
from kundig.errors import ConfigError, nearest

destination = typer.Typer(no_args_is_help=True, help="Where accepted events are forwarded to: list, add, dead letters.")

Name = Annotated[str, typer.Argument(help="Name of the destination, as its file is called.")]
Letters = Annotated[list[str] | None, typer.Argument(help="Ids of letters; all that are held by default.")]


def _opened(root: Path, name: str = "") -> Any:
    workspace = opened(root)
    if name and name not in workspace.config.destinations:
        raise ConfigError(f"there is no destination '{name}'", at="destinations/", mend=nearest(name, workspace.config.destinations) if workspace.config.destinations else "kundig destination add")
    return workspace


@destination.command("list")
def list_(root: Root = HERE, as_json: Json = False) -> None:
    """Destinations with their owner, purpose, backlog, and dead letters; and the ready ones that can be added."""
    from kundig.config.deliver import ready
    from kundig.deliver.forward.letters import backlog

    workspace = _opened(root)
    left = backlog(workspace.inbox(), workspace.state, workspace.config.destinations)
    rows = [(name, one.owner, f"{one.purpose}/{one.channel}" if one.purpose else one.no_consent_needed, "yes" if one.active else "no", *left[name]) for name, one in sorted(workspace.config.destinations.items())]
    columns = ["destination", "owner", "consent", "active", "in_inbox", "waiting", "letters", "last_reason"]
    if as_json:
        emit({"destinations": [dict(zip(columns, row, strict=True)) for row in rows], "ready": sorted(ready())})
        return
    table(columns, rows)
    line(f"ready to add: {', '.join(sorted(ready()))}")


@destination.command("add")
def add(name: Annotated[str, typer.Argument(help="A ready destination.")], root: Root = HERE, as_name: Annotated[str, typer.Option("--as", help="Name of the file; the ready one's by default.")] = "") -> None:
    """Write a file for a ready destination, to be read and edited; the secrets it needs are named."""
    from kundig.config.deliver import add as write

    path, secrets = write(_opened(root).root, name, as_name or name)
    line(f"{path}")
    if secrets:
        line(f"secrets it needs (secrets.toml, or the environment): {', '.join(secrets)}")


@destination.command("letters")
def letters(name: Name, root: Root = HERE, as_json: Json = False) -> None:
    """Events that a destination refused, or was tried with for too long."""
    from kundig.deliver.forward.letters import held

    found = held(_opened(root, name).state, name)
    if as_json:
        emit(found)
        return
    table(["letter", "message", "failed_at", "reason"], [(one["letter_id"], one["message_id"], one["failed_at"], one["reason"]) for one in found])


@destination.command("replay")
def replay(name: Name, ids: Letters = None, root: Root = HERE) -> None:
    """Send dead letters again, in their order, under the same idempotency keys."""
    from kundig.clock import now
    from kundig.deliver.forward.letters import replay as again

    line(f"{again(_opened(root, name).state, name, now=now(), ids=ids or ()):,} letters wait to be sent again")


@destination.command("drop")
def drop(name: Name, ids: Letters = None, root: Root = HERE, reason: Annotated[str, typer.Option(help="Why they are given up; it goes to the audit log.")] = "") -> None:
    """Give dead letters up; their contents are deleted."""
    from kundig import audit
    from kundig.deliver.forward.letters import drop as give_up

    if not reason:
        raise typer.BadParameter("say why with --reason")
    workspace = _opened(root, name)
    count = give_up(workspace.state, name, ids=ids or ())
    audit.append(workspace.state, actor="cli", role="owner", action="drop_letters", object_kind="destination", object_id=name, details={"letters": count, "reason": reason})
    line(f"{count:,} letters dropped")
