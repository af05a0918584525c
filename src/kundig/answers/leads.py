"""Leads as sales work with them: ranked with their grounds, handed over, answered; what was written since the release counts at once for who has a lead and how it stands."""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kundig.answers.asking import numbers, rows
from kundig.answers.who import resolve
from kundig.clock import now
from kundig.errors import ConfigError, IdentityError, nearest
from kundig.understand.lead_log import STATUSES, write
from kundig.understand.leads import CLOSED

if TYPE_CHECKING:
    from kundig.workspace import Workspace

REACHED = ("contacted", "qualified", *CLOSED)
"""Statuses that say that somebody spoke with the lead."""


@dataclass(frozen=True, kw_only=True)
class Noted:
    """One entry of the log."""

    entry_id: str
    at: dt.datetime
    status: str
    owner: str
    reason: str
    actor: str


@dataclass(frozen=True, kw_only=True)
class Lead:
    """A lead, its score with the grounds, and the work on it."""

    rank: int
    person_key: int
    person_id: str
    name: str
    company: str
    persona: str
    """Name of the persona of best fit; '' where nothing fits."""
    fit: float
    met: tuple[str, ...]
    unmet: tuple[str, ...]
    unknown: tuple[str, ...]
    """Attributes that the persona asks: those that hold, do not hold, are not known."""
    points: float
    engagement: float
    band: str
    prior: float
    score: float
    feedbacks: int
    rate: float | None
    """Feedbacks on leads alike, and the share of them won."""
    source: str
    arrived_at: dt.datetime | None
    owner: str
    status: str
    assigned_at: dt.datetime | None = None
    contacted_at: dt.datetime | None = None
    due_at: dt.datetime | None = None
    """By when sales promise to have spoken with the lead."""
    late: bool = False
    """Spoken with after that, or not yet and it is over."""

    @property
    def response_hours(self) -> float | None:
        """Hours from hand-over to first contact."""
        return None if self.assigned_at is None or self.contacted_at is None else (self.contacted_at - self.assigned_at).total_seconds() / 3_600

    @property
    def closed(self) -> bool:
        """Whether the work on it has ended."""
        return self.status in CLOSED


@dataclass(frozen=True, kw_only=True)
class Standing:
    """All leads in one look."""

    leads: int
    open: int
    feedbacks: int
    """Feedbacks that scores of the release rest on."""
    pooling: float
    response_hours: float | None
    """Median time to first contact."""
    kept: int
    answered: int
    """Hand-overs that were answered, or whose time is over, and those of them answered in time."""


def leads(workspace: Workspace, *, closed: bool = False, owner: str = "", at: dt.datetime | None = None) -> tuple[Lead, ...]:
    """Leads by score, the best first; without those whose work has ended, unless asked for.

    Args:
        workspace: The workspace.
        closed: Also those won, lost, or no fit.
        owner: Only those of this owner.
        at: The moment by which a hand-over is late; now by default.
    """
    notes = _log(workspace)
    sql = """
        SELECT s.*, p.person_id, concat_ws(' ', p.first_name, p.last_name) AS name, coalesce(p.company, '') AS company
        FROM lead_scores s JOIN profiles p USING (person_key) ORDER BY s.score DESC, s.prior DESC, p.person_id"""
    found = [_lead(row, notes.get(row["person_key"], ()), workspace, at or now()) for row in rows(workspace, sql)]
    kept = [one for one in found if (closed or not one["closed"]) and (not owner or one["owner"] == owner)]
    return tuple(Lead(rank=place, **{name: value for name, value in one.items() if name != "closed"}) for place, one in enumerate(kept, 1))


def lead(workspace: Workspace, identifier: str, *, at: dt.datetime | None = None) -> tuple[Lead, tuple[Noted, ...]]:
    """One lead, and what sales wrote about it, the newest first.

    Raises:
        IdentityError: Nobody is known by the identifier, or the person is no lead.
    """
    key, public = resolve(workspace, identifier)
    for one in leads(workspace, closed=True, at=at):
        if one.person_key == key:
            return one, tuple(reversed(_log(workspace).get(key, ())))
    raise IdentityError(f"{public} is no lead", mend="kundig lead list --closed lists all; a lead comes from a lead record, or tells of a company")


def standing(workspace: Workspace, *, at: dt.datetime | None = None) -> Standing:
    """How the leads stand, and how fast sales answer."""
    every = leads(workspace, closed=True, at=at)
    hours = [one.response_hours for one in every if one.response_hours is not None]
    counted = rows(workspace, "SELECT coalesce(sum(feedbacks), 0) AS n FROM lead_rates WHERE level = 'fit'")[0]["n"]
    due = [one for one in every if one.due_at is not None and (one.contacted_at is not None or one.late)]
    return Standing(
        leads=len(every), open=sum(not one.closed for one in every), feedbacks=int(counted), pooling=workspace.config.lead_scoring.pooling,
        response_hours=statistics.median(hours) if hours else None, kept=sum(not one.late for one in due), answered=len(due),
    )  # fmt: skip


def assign(workspace: Workspace, identifier: str, owner: str, *, reason: str = "", actor: str = "cli", at: dt.datetime | None = None) -> str:
    """Hand a lead over to an owner in sales; gives the id of the entry.

    Raises:
        IdentityError: Nobody is known by the identifier, or the person is no lead.
        ConfigError: leads.yaml names owners, and this is none of them.
    """
    known = workspace.config.lead_scoring.owners
    if not owner.strip():
        raise ConfigError("a lead is handed over to somebody", mend="name the owner")
    if known and owner not in known:
        raise ConfigError(f"'{owner}' is no owner of leads", at="leads.yaml, owners", mend=nearest(owner, known))
    return write(workspace.state, _identifier(workspace, identifier), "assigned", owner=owner.strip(), reason=reason, actor=actor, at=at)


def say(workspace: Workspace, identifier: str, status: str, *, reason: str = "", actor: str = "cli", at: dt.datetime | None = None) -> str:
    """Say how a lead stands, or what came of it; gives the id of the entry. The next run learns from won, lost and wrong_fit.

    Raises:
        IdentityError: Nobody is known by the identifier, or the person is no lead.
        ConfigError: There is no such status, or `assigned` names no owner.
    """
    if status == "assigned":
        raise ConfigError("a lead is assigned to somebody", mend="kundig lead assign PERSON OWNER")
    if status not in STATUSES:
        raise ConfigError(f"there is no status '{status}' of a lead", mend=nearest(status, STATUSES[1:]))
    return write(workspace.state, _identifier(workspace, identifier), status, reason=reason, actor=actor, at=at)


def _identifier(workspace: Workspace, identifier: str) -> int:
    """An identifier that is the lead's alone: the oldest."""
    one, _ = lead(workspace, identifier)
    held = rows(workspace, f"SELECT identifier_key FROM identities WHERE person_key = {one.person_key} AND valid_until IS NULL AND NOT shared ORDER BY valid_from, identifier_key LIMIT 1")
    if not held:
        raise IdentityError(f"{one.person_id} has no identifier of their own", mend="kundig identity merges shows what was refused")
    return int(held[0]["identifier_key"])


def _log(workspace: Workspace) -> dict[int, tuple[Noted, ...]]:
    """Entries by person, in the order of writing; an entry belongs to whom its identifier belongs to now."""
    given = sorted(workspace.state.select("lead_log"), key=lambda row: str(row["entry_id"]))
    if not given:
        return {}
    sql = f"SELECT identifier_key, person_key FROM identities WHERE valid_until IS NULL AND NOT shared AND identifier_key IN ({numbers(row['identifier_key'] for row in given)})"
    owners = {row["identifier_key"]: row["person_key"] for row in rows(workspace, sql)}
    found: dict[int, tuple[Noted, ...]] = {}
    for row in given:
        if row["identifier_key"] in owners:
            key = owners[row["identifier_key"]]
            noted = Noted(entry_id=row["entry_id"], at=row["occurred_at"], status=row["status"], owner=row["owner"] or "", reason=row["reason"] or "", actor=row["actor"])
            found[key] = (*found.get(key, ()), noted)
    return found


def _lead(row: Mapping[str, Any], notes: Iterable[Noted], workspace: Workspace, at: dt.datetime) -> dict[str, Any]:
    told = dict(row)
    owner, status = told["owner"] or "", told["status"]
    assigned: dt.datetime | None = None
    reached: dt.datetime | None = None
    for note in notes:
        owner, status = note.owner or owner, note.status
        if note.status == "assigned" and assigned is None:
            assigned = note.at
        if note.status in REACHED and reached is None:
            reached = note.at
    due = None if assigned is None else assigned + dt.timedelta(hours=workspace.config.lead_scoring.respond_within_hours)
    names = {name: tuple(part for part in str(told[name] or "").split(",") if part) for name in ("met", "unmet", "unknown")}
    kept = ("person_key", "person_id", "name", "company", "persona", "fit", "points", "engagement", "band", "prior", "score", "feedbacks", "rate", "source", "arrived_at")
    return {name: told[name] for name in kept} | names | {
        "owner": owner, "status": status, "assigned_at": assigned, "contacted_at": reached, "due_at": due, "late": due is not None and (reached or at) > due, "closed": status in CLOSED,
    }  # fmt: skip


__all__ = ["Lead", "Noted", "Standing", "assign", "lead", "leads", "say", "standing"]
