"""`kundig lead …`: leads by score with their grounds, their hand-over to sales, and what came of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from kundig.cli.options import HERE, Json, Root, opened
from kundig.cli.output import emit, line, table
from kundig.cli.tables import guarded

lead = typer.Typer(no_args_is_help=True, help="Leads: ranked by fit × engagement and what came of leads alike, handed over, answered.")

Who = Annotated[str, typer.Argument(help="Any identifier of the lead, or the person id.")]
Because = Annotated[str, typer.Option("--because", help="Why, in a few words without personal data.")]
FIELDS = ("rank", "person_id", "name", "company", "persona", "source", "fit", "engagement", "score", "feedbacks", "rate", "owner", "status", "arrived_at", "assigned_at", "contacted_at", "response_hours", "late")
"""Columns of a written list."""


@lead.command("list")
def list_(
    root: Root = HERE, limit: Annotated[int, typer.Option(min=1, help="Leads at most, the best first.")] = 20, owner: Annotated[str, typer.Option(help="Only those of this owner.")] = "",
    closed: Annotated[bool, typer.Option("--closed", help="Also those won, lost, or no fit.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write all of them into this CSV file.", dir_okay=False)] = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Leads by score, the best first; with the time to first contact, and how many feedbacks the scores rest on."""
    from kundig.answers.leads import leads, standing

    workspace = opened(root)
    found = leads(workspace, closed=closed, owner=owner)
    if csv is not None:
        _write(csv, found)
    if as_json:
        emit([_plain(one) for one in found[:limit]])
        return
    table(
        ["rank", "person_id", "company", "persona", "fit", "engagement", "score", "status", "owner", "late"],
        [(one.rank, one.person_id, one.company or None, one.persona or None, one.fit, one.band, one.score, one.status.replace("_", " "), one.owner or None, "late" if one.late else None) for one in found[:limit]],
    )
    told = standing(workspace)
    line(f"{len(found):,} of {told.leads:,} leads" if found else "no lead: they need a persona of leads (personas/answers, docs/leads.md), and a run")
    line(f"scores rest on {told.feedbacks:,} feedbacks; {told.pooling:g} of one kind weigh as much as fit × engagement")
    if told.response_hours is not None:
        line(f"time to first contact: {told.response_hours:.1f} hours (median); in time: {told.kept} of {told.answered}")


@lead.command("show")
def show(who: Who, root: Root = HERE, as_json: Json = False) -> None:
    """One lead: the score with its grounds, the hand-over, and what was written about it."""
    from kundig.answers.leads import lead as known

    one, notes = known(opened(root), who)
    if as_json:
        emit(_plain(one) | {"log": [dataclasses.asdict(note) for note in notes]})
        return
    rate = f"{one.feedbacks} leads alike came to an end" + ("" if one.rate is None else f", {one.rate:.0%} of them won")
    for label, said in (
        ("lead", f"{one.person_id} {one.name}".strip()), ("company", one.company), ("persona", one.persona), ("fit", f"{one.fit:.0%}"), ("holds", ", ".join(one.met)), ("does not hold", ", ".join(one.unmet)), ("not known", ", ".join(one.unknown)),
        ("engagement", f"{one.engagement:.0%} ({one.band}, {one.points:g} points)"), ("fit × engagement", f"{one.prior:.3f}"), ("feedback", rate), ("score", f"{one.score:.3f}"), ("source", one.source),
        ("status", one.status.replace("_", " ")), ("owner", one.owner), ("contact due", "" if one.due_at is None else f"{one.due_at:%Y-%m-%d %H:%M} UTC{' (late)' if one.late else ''}"),
        ("answered after", "" if one.response_hours is None else f"{one.response_hours:.1f} hours"),
    ):  # fmt: skip
        line(f"{label:>16}  {said or '–'}")
    if notes:
        table(["entry", "when", "status", "owner", "reason", "actor"], [(note.entry_id, note.at, note.status, note.owner or None, note.reason or None, note.actor) for note in notes])


@lead.command("assign")
def assign(who: Who, owner: Annotated[str, typer.Argument(help="Who has the lead from now on.")], root: Root = HERE, because: Because = "", as_json: Json = False) -> None:
    """Hand a lead over to somebody in sales; the time to first contact runs from the first hand-over."""
    from kundig.answers.leads import assign as hand_over

    made = hand_over(opened(root), who, owner, reason=because)
    emit({"entry_id": made}) if as_json else line(f"{made}: {owner} has the lead")


@lead.command("status")
def status(who: Who, status: Annotated[str, typer.Argument(help="contacted, qualified, won, lost, or wrong_fit.")], root: Root = HERE, because: Because = "", as_json: Json = False) -> None:
    """Say how a lead stands; won, lost and wrong_fit are the feedback that scores learn from."""
    from kundig.answers.leads import say
    from kundig.understand.leads import CLOSED

    made = say(opened(root), who, status, reason=because)
    emit({"entry_id": made}) if as_json else line(f"{made}: the lead is {status.replace('_', ' ')}" + ("; the next kundig run learns from it" if status in CLOSED else ""))


def _plain(one: Any) -> dict[str, Any]:
    return dataclasses.asdict(one) | {"response_hours": one.response_hours}


def _write(path: Path, found: tuple[Any, ...]) -> None:
    import csv

    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(FIELDS)
        writer.writerows([[guarded(_plain(one)[name]) for name in FIELDS] for one in found])


__all__ = ["lead"]
