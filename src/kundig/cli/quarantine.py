"""kundig quarantine: records that could not be taken, counted, shown, mended, brought in again, or given up."""

from __future__ import annotations

import dataclasses
import sys
from contextlib import suppress
from typing import Annotated, Any

import typer

from kundig.cli.options import HERE, Json, Of, Root, opened
from kundig.cli.output import emit, line, say, table

quarantine = typer.Typer(no_args_is_help=True, help="Records that could not be taken: list, look, mend, replay, drop.")

Source = Annotated[str | None, typer.Argument(help="Source; all by default.")]
Reason = Annotated[str, typer.Option("--reason", help="Of this reason only, or of those that say this (kundig quarantine list).")]


@quarantine.command("list")
def list_(
    source: Source = None, root: Root = HERE, reason: Reason = "",
    status: Annotated[str, typer.Option(help="held, replayed, dropped, or all.")] = "held",
    records: Annotated[bool, typer.Option("--records", help="Each record, not their counts.")] = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """How many records are held, by source and reason, with the mend and one of them to look at."""
    from kundig.collect.quarantine import STATUSES, groups, held

    if status not in (*STATUSES, "all"):
        raise typer.BadParameter(f"'{status}' is no status; known: {', '.join((*STATUSES, 'all'))}")
    chosen = None if status == "all" else status
    workspace = opened(root)
    lake = _tidied(workspace)
    if records:
        each = held(lake, source=source, status=chosen, reason=reason)
        emit([dataclasses.asdict(one) for one in each]) if as_json else table(["record", "source", "stage", "what", "mend"], [(r.record_id, r.source, r.stage, r.what, r.mend) for r in each])
        return
    found = groups(lake, source=source, status=chosen, reason=reason)
    if as_json:
        emit([dataclasses.asdict(group) for group in found])
        return
    table(["source", "records", "reason", "mend", "since", "a record"], [(g.source, g.records, g.reason, g.mend, g.first_at, g.example) for g in found])


@quarantine.command("show")
def show(record: Annotated[str, typer.Argument(help="Id of the record.")], root: Root = HERE, as_json: Json = False) -> None:
    """One record with its reason, its place and the mend; where it was mended, also as it came."""
    from kundig.collect.quarantine import show as one

    found = one(_tidied(opened(root)), record)
    if as_json:
        emit(dataclasses.asdict(found))
        return
    shown = {"record": found.record_id, "source": found.source, "came": f"{found.received_at:%Y-%m-%d %H:%M}", "place": found.where, "what": found.what, "mend": found.mend, "status": found.status}
    shown |= {"dropped because": found.note} if found.note else {}
    shown |= {"body": found.body} | ({"as it came": found.original} if found.original else {})
    width = max(map(len, shown))
    say(f"{name:<{width}}  {text}" for name, text in shown.items())


@quarantine.command("fix")
def fix(
    what: Annotated[list[str], typer.Argument(help="Id of the record, then field=value (a text) or field:=value (JSON), or the whole record as JSON (- reads it from standard input); with --reason the changes alone.")],
    root: Root = HERE, reason: Reason = "", source: Of = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Change fields of a held record, or with --reason of many; keeps each as it came. Replay lands them."""
    from kundig.collect.amending import amendment
    from kundig.collect.quarantine import fix as mend
    from kundig.collect.quarantine import fix_all

    workspace = opened(root)
    _tidied(workspace)
    if reason:
        changes = [amendment(text) for text in what]
        with workspace.writing("fix"):
            found = fix_all(workspace.lake, reason, changes, source=source, state=workspace.state)
    else:
        record, *rest = what
        if not rest:
            raise typer.BadParameter("say what to change: field=value, or the whole record as JSON")
        whole = len(rest) == 1 and (rest[0] == "-" or rest[0].lstrip()[:1] in "{[")
        body = (sys.stdin.read() if rest[0] == "-" else rest[0]) if whole else ""
        changes = [] if whole else [amendment(text) for text in rest]
        with workspace.writing("fix"):
            found = (mend(workspace.lake, record, body if whole else changes, state=workspace.state),)
    if as_json:
        emit([dataclasses.asdict(one) for one in found])
    else:
        line(f"{len(found):,} {'record' if len(found) == 1 else 'records'} mended; kundig quarantine replay lands {'it' if len(found) == 1 else 'them'}")


@quarantine.command("replay")
def replay(
    source: Source = None, root: Root = HERE, reason: Reason = "",
    record: Annotated[list[str] | None, typer.Option("--record", help="Id of a record; all that are held by default.")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Judge held records once more, by the mapping and the plan of today: what passes lands once, what does not stays with its new reason."""
    from kundig.collect.quarantine import groups
    from kundig.collect.quarantine import replay as again

    workspace = opened(root)
    with workspace.writing("replay"):
        found = again(workspace.lake, workspace.config, record, source=source, reason=reason, state=workspace.state)
    if as_json:
        emit(dataclasses.asdict(found))
        return
    line(f"{found.replayed:,} {'record' if found.replayed == 1 else 'records'} brought in ({sum(found.rows.values()):,} rows landed), {found.quarantined:,} still held")
    for name, count in sorted(found.unread.items()):
        line(f"{count:,} of {name} were not tried: no input of sources/{name}.yaml reads them any more")
    if found.quarantined and not record:
        table(["source", "records", "reason", "mend"], [(g.source, g.records, g.reason, g.mend) for g in groups(workspace.lake, source=source)])


@quarantine.command("drop")
def drop(
    because: Annotated[str, typer.Option("--because", help="Why, in a few words without personal data; it stands beside the record and in the audit log.")],
    records: Annotated[list[str] | None, typer.Argument(help="Ids of records; none with --reason.")] = None,
    root: Root = HERE, reason: Reason = "", source: Of = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Give held records up, by id or by reason; they stay listed as dropped until their retention ends."""
    from kundig.collect.quarantine import drop as give_up

    if bool(records) == bool(reason):
        raise typer.BadParameter("name records by their ids, or all of one reason with --reason")
    workspace = opened(root)
    _tidied(workspace)
    with workspace.writing("drop"):
        count = give_up(workspace.lake, records or None, note=because, reason=reason, source=source, state=workspace.state)
    emit({"dropped": count}) if as_json else line(f"{count:,} {'record' if count == 1 else 'records'} dropped")


def _tidied(workspace: Any) -> Any:
    """The lake, without what replays that were killed left on the disk; where another process writes, that one may be replaying, and all stays."""
    from kundig.collect.quarantine import clear, left_over
    from kundig.errors import Busy

    if left_over(workspace.lake):
        with suppress(Busy), workspace.writing("tidy"):
            clear(workspace.lake)
    return workspace.lake
