"""The merge ledger as people read it, the questions that wait for an answer, and what an answer or an undo writes."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kundig.answers.asking import numbers, rows, text
from kundig.answers.evidence import Named, keys_behind, names_of, whose
from kundig.errors import IdentityError, nearest
from kundig.unify.deciding import decide
from kundig.unify.decisions import standing

if TYPE_CHECKING:
    from kundig.workspace import Workspace

COMPARED = ("source", "first_name", "last_name", "birth_date", "street", "house_number", "postcode", "city", "email", "phone", "occurred_at")
"""What of two records stands side by side."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of the ledger."""

    merge_id: str
    kind: str
    """merge, split, same, different or undo."""
    person_id: str
    person: Named
    other: Named
    evidence: str
    at: dt.datetime
    standing: bool
    """Whether it holds: false for a decision that was taken back, or that another replaced."""
    waiting: bool = False
    """A decision that the next run acts on."""

    def line(self) -> str:
        """In words, for the command line."""
        note = " (the next run acts on it)" if self.waiting else "" if self.standing else " (taken back)"
        return f"{self.at:%Y-%m-%d %H:%M}  {self.kind:<9} {self.person} + {self.other}: {self.evidence}{note}  [{self.merge_id}]"


@dataclass(frozen=True, kw_only=True)
class Question:
    """Two records that may be one person's."""

    pair: str
    left_key: int
    right_key: int
    left: Mapping[str, Any]
    right: Mapping[str, Any]
    """What each record says, by the names in `COMPARED`, and `record`."""
    left_person: str
    right_person: str
    value: float
    """Expected value of the two persons together, in the workspace's currency; 0 where there is none."""
    probability: float
    evidence: str


def entries(workspace: Workspace, identifier: str = "", *, most: int = 100) -> tuple[Entry, ...]:
    """Rows of the ledger, the newest first: of one person, or what was split and decided among all; decisions that no run has seen are among them.

    Raises:
        IdentityError: Nobody is known by the identifier.
    """
    given = workspace.state.select("identity_decisions")
    holds = {str(row["decision_id"]) for row in standing(given)}
    undone = {str(row["undoes"]) for row in given if row["kind"] == "undo"}
    where = "kind <> 'merge'"
    mine: set[int] = set()
    if identifier:
        key, held = whose(workspace, identifier)
        mine = set(held)
        where = f"person_key = {key} OR person_key IN ({numbers(mine)}) OR other_key IN ({numbers(mine)})"
    found = rows(workspace, f"SELECT merge_id, kind, person_key, other_key, evidence, occurred_at FROM merges WHERE {where} ORDER BY occurred_at DESC, merge_id LIMIT {int(most)}")
    seen = {row["merge_id"] for row in found}
    later = [
        {"merge_id": f"decision:{row['decision_id']}", "kind": row["kind"], "person_key": row["left_key"], "other_key": row["right_key"], "evidence": _words(row), "occurred_at": row["decided_at"], "waiting": True}
        for row in given
        if f"decision:{row['decision_id']}" not in seen and (not identifier or {row["left_key"], row["right_key"]} & mine) and not _known(workspace, row)
    ]
    every = sorted([*later, *found], key=lambda row: (row["occurred_at"], row["merge_id"]), reverse=True)[:most]
    names = names_of(workspace, {key for row in every for key in (row["person_key"], row["other_key"])})
    owners = _owners(workspace, {row["person_key"] for row in every if row["kind"] != "merge"})
    people = _people(workspace, {*owners.values(), *(row["person_key"] for row in every if row["kind"] == "merge")})
    return tuple(
        Entry(
            merge_id=row["merge_id"], kind=row["kind"], person_id=people.get(row["person_key"] if row["kind"] == "merge" else owners.get(row["person_key"], -1), ""), person=names[row["person_key"]], other=names[row["other_key"]], evidence=row["evidence"], at=row["occurred_at"],
            standing=_stands(row, holds, undone), waiting=bool(row.get("waiting")),
        )
        for row in every
    )  # fmt: skip


def questions(workspace: Workspace, *, most: int = 50) -> tuple[Question, ...]:
    """Pairs that the model is not sure of and nobody answered, those of most value first."""
    answered = {(row["left_key"], row["right_key"]) for row in standing(workspace.state.select("identity_decisions"))}
    sql = f"""
        SELECT p.left_id, p.right_id, p.left_key, p.right_key, p.probability, p.evidence, l.person_key AS left_person, r.person_key AS right_person,
            coalesce(CAST(v.expected_value AS DOUBLE), 0) + coalesce(CAST(w.expected_value AS DOUBLE), 0) AS value
        FROM record_pairs p JOIN identities l ON l.identifier_key = p.left_key AND l.valid_until IS NULL AND NOT l.shared JOIN identities r ON r.identifier_key = p.right_key AND r.valid_until IS NULL AND NOT r.shared
        LEFT JOIN lifetime_values v ON v.person_key = l.person_key LEFT JOIN lifetime_values w ON w.person_key = r.person_key
        WHERE p.verdict = 'ask' AND l.person_key <> r.person_key ORDER BY value DESC, p.probability DESC, p.left_id, p.right_id LIMIT {int(most) + len(answered)}"""
    found = [row for row in rows(workspace, sql) if (row["left_key"], row["right_key"]) not in answered][:most]
    records = _records(workspace, [row[side] for row in found for side in ("left_id", "right_id")])
    people = _people(workspace, {row[side] for row in found for side in ("left_person", "right_person")})
    return tuple(
        Question(
            pair=pair_id(row["left_id"], row["right_id"]), left_key=row["left_key"], right_key=row["right_key"], left=records.get(row["left_id"], {}), right=records.get(row["right_id"], {}),
            left_person=people.get(row["left_person"], ""), right_person=people.get(row["right_person"], ""), value=float(row["value"]), probability=float(row["probability"]), evidence=row["evidence"],
        )
        for row in found
    )  # fmt: skip


def pair_id(left: str, right: str) -> str:
    """The name of a pair of records: the same in every run.

    Examples:
        >>> pair_id("crm:1", "till:2")
        '45e1f66ab1'
    """
    return hashlib.sha256(f"{left}~{right}".encode()).hexdigest()[:10]


def answer(workspace: Workspace, pair: str, kind: str, *, reason: str = "", actor: str = "cli") -> str:
    """Answer the question of a pair with `same` or `different`; gives the decision's id.

    Raises:
        IdentityError: There is no such question, or it has another answer already, which can be taken back.
    """
    _demand(kind)
    waiting = rows(workspace, f"SELECT left_id, right_id, left_key, right_key FROM record_pairs WHERE verdict = 'ask' AND left(sha256(left_id || '~' || right_id), 10) = {text(pair)}")
    if not waiting:
        raise IdentityError(f"there is no question '{pair}'", mend="kundig identity review lists them")
    return decide(workspace.state, kind, waiting[0]["left_key"], waiting[0]["right_key"], reason=reason, actor=actor)


def say(workspace: Workspace, kind: str, left: str, right: str, *, reason: str = "", actor: str = "cli") -> str:
    """Decide that two identifiers (or persons) are the same person, or two; gives the decision's id.

    Raises:
        IdentityError: Nobody is known by one of them.
    """
    _demand(kind)
    return decide(workspace.state, kind, keys_behind(workspace, left)[0], keys_behind(workspace, right)[0], reason=reason, actor=actor)


def undo(workspace: Workspace, merge_id: str, *, reason: str = "", actor: str = "cli") -> str:
    """Take back one row of the ledger; gives the id of the decision that does.

    A decision is taken back as if it had never been made. What records or the model joined is parted, and what a guard refused is joined: by a decision of its own, which can be taken back too.

    Raises:
        IdentityError: There is no such row, or it was taken back already.
    """
    given = {str(row["decision_id"]): row for row in workspace.state.select("identity_decisions")}
    name = merge_id.removeprefix("decision:")
    if name in given:
        row = given[name]
        if any(other["kind"] == "undo" and other["undoes"] == name for other in given.values()):
            raise IdentityError(f"{name} was taken back already", mend="undo that undo: kundig identity merges lists it")
        return decide(workspace.state, "undo", row["left_key"], row["right_key"], undoes=name, reason=reason, actor=actor)
    found = rows(workspace, f"SELECT kind, person_key, other_key FROM merges WHERE merge_id = {text(merge_id)} AND kind IN ('merge', 'split')")
    if not found:
        near = [row["merge_id"] for row in rows(workspace, "SELECT merge_id FROM merges ORDER BY occurred_at DESC, merge_id LIMIT 200")]
        raise IdentityError(f"the ledger has no row '{merge_id}'", mend=nearest(merge_id, [*given, *near]))
    kind = "different" if found[0]["kind"] == "merge" else "same"
    return decide(workspace.state, kind, found[0]["person_key"], found[0]["other_key"], undoes=merge_id, reason=reason, actor=actor)


def _demand(kind: str) -> None:
    if kind not in ("same", "different"):
        raise IdentityError(f"'{kind}' is no answer", mend="say same or different")


def _words(row: Mapping[str, Any]) -> str:
    return f"takes back {row['undoes']}" if row["kind"] == "undo" else f"decided by {row['actor']}"


def _known(workspace: Workspace, row: Mapping[str, Any]) -> bool:
    return bool(rows(workspace, f"SELECT 1 FROM merges WHERE merge_id = {text('decision:' + str(row['decision_id']))}"))


def _stands(row: Mapping[str, Any], holds: set[str], undone: set[str]) -> bool:
    name = str(row["merge_id"]).removeprefix("decision:")
    if row["kind"] in ("merge", "split"):
        return True
    return name not in undone if row["kind"] == "undo" else name in holds


def _records(workspace: Workspace, ids: list[str]) -> dict[str, dict[str, Any]]:
    if not ids:
        return {}
    shown = ", ".join(COMPARED)
    found = rows(workspace, f"SELECT contact_id AS record, {shown} FROM contacts WHERE contact_id IN ({', '.join(map(text, sorted(set(ids))))})")
    return {str(row["record"]): row for row in found}


def _owners(workspace: Workspace, keys: set[int]) -> dict[int, int]:
    """Whose identifiers are now."""
    found = rows(workspace, f"SELECT identifier_key, person_key FROM identities WHERE identifier_key IN ({numbers(keys)}) AND valid_until IS NULL")
    return {int(row["identifier_key"]): int(row["person_key"]) for row in found}


def _people(workspace: Workspace, keys: set[int]) -> dict[int, str]:
    """Public ids by person."""
    found = rows(workspace, f"SELECT person_key, person_id FROM profiles WHERE person_key IN ({numbers(keys)})")
    return {int(row["person_key"]): str(row["person_id"]) for row in found}


__all__ = ["COMPARED", "Entry", "Question", "answer", "entries", "pair_id", "questions", "say", "undo"]
