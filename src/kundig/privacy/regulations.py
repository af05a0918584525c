"""Segment's regulation calls: suppress, delete, both, or unsuppress up to 5,000 users a call, and how that stands.

Source: Segment Public API, Deletion and Suppression. Kinds that end in INTERNAL do the same as those without: there is no other place.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kundig.clock import now
from kundig.errors import IdentityError, PrivacyError
from kundig.privacy.callers import Caller
from kundig.privacy.requests import Request, cancel, enter, requests
from kundig.privacy.subjects import Subject, subject
from kundig.privacy.suppressing import Named

if TYPE_CHECKING:
    from kundig.privacy.requests import Kind
    from kundig.workspace import Workspace

MOST = 5_000
TYPES: Mapping[str, tuple[Kind, bool]] = {
    "SUPPRESS_ONLY": ("suppression", True), "UNSUPPRESS": ("unsuppression", False), "SUPPRESS_WITH_DELETE": ("erasure", True), "SUPPRESS_WITH_DELETE_INTERNAL": ("erasure", True),
    "DELETE_ONLY": ("erasure", False), "DELETE_INTERNAL": ("erasure", False),
}  # fmt: skip
"""Each kind of regulation: what is done, and whether the person is kept out afterwards."""
SUBJECTS = {"USER_ID": "user_id", "ANONYMOUS_ID": "anonymous_id"}
_MARK = "segment"


def create(workspace: Workspace, told: Mapping[str, Any], by: Caller) -> dict[str, Any]:
    """Enter a regulation, one request a user; the worker fulfils them.

    Raises:
        PrivacyError: A field is missing or cannot be used.
    """
    kind, about, ids = told.get("regulationType"), told.get("subjectType"), told.get("subjectIds")
    if kind not in TYPES:
        raise PrivacyError(f"regulationType must be one of {', '.join(TYPES)}", at="regulationType")
    if about not in SUBJECTS:
        raise PrivacyError(f"subjectType must be one of {', '.join(SUBJECTS)}", at="subjectType")
    if not isinstance(ids, list) or not 1 <= len(ids) <= MOST or not all(isinstance(one, str) and 0 < len(one.strip()) <= 1_000 for one in ids):
        raise PrivacyError(f"subjectIds must be 1 to {MOST:,} texts", at="subjectIds")
    number, moment = uuid.uuid4().hex, now()
    what, kept_out = TYPES[str(kind)]
    subjects = {of.keys: of for of in (_subject(workspace, one.strip(), SUBJECTS[str(about)]) for one in dict.fromkeys(ids))}
    with workspace.state.transaction() as connection:
        for of in subjects.values():
            details = {_MARK: kind, "automatic": True, "keep_out": kept_out}
            enter(workspace, what, of, requested_by=by.label, verified_by="by the caller, over the regulation calls", details=details, external_id=f"{_MARK}:{by.id}:{number}", requested_at=moment, actor=by.id, connection=connection)
    return {"data": {"regulateId": number}}


def _subject(workspace: Workspace, value: str, namespace: str) -> Subject:
    try:
        return subject(workspace, value)
    except IdentityError:
        try:
            return subject(workspace, f"{namespace}:{value}")
        except IdentityError:
            return Subject(identifiers=(Named(namespace=namespace, value=value),))


def one(workspace: Workspace, number: str, by: Caller) -> dict[str, Any] | None:
    """A regulation and how it stands; None where the caller made none of that id."""
    found = _of(workspace, by).get(number)
    return None if found is None else {"data": {"regulation": _regulation(number, found)}}


def every(workspace: Workspace, by: Caller, *, status: str = "", kinds: Iterable[str] = (), count: int = 200) -> dict[str, Any]:
    """The caller's regulations, newest first, of a status and of some kinds where they are given."""
    wanted = set(kinds)
    found = [_regulation(number, of) for number, of in _of(workspace, by).items()]
    kept = [entry for entry in found if (not status or entry["overallStatus"] == status) and (not wanted or entry["regulationType"] in wanted)]
    return {"data": {"regulations": kept[:count], "pagination": {"current": "", "totalEntries": len(kept)}}}


def delete(workspace: Workspace, number: str, by: Caller) -> dict[str, Any] | None:
    """Take back a regulation of which nothing was done yet; None where the caller made none of that id.

    Raises:
        PrivacyError: Something of it was done.
    """
    found = _of(workspace, by).get(number)
    if found is None:
        return None
    if any(part.status != "pending" for part in found):
        raise PrivacyError("the regulation is under way and cannot be taken back")
    for part in found:
        cancel(workspace, part.request_id, actor=by.id)
    return {"data": {"status": "SUCCESS"}}


def _of(workspace: Workspace, by: Caller) -> dict[str, list[Request]]:
    mark = f"{_MARK}:{by.id}:"
    found: dict[str, list[Request]] = {}
    for part in requests(workspace):
        if part.external_id.startswith(mark):
            found.setdefault(part.external_id.removeprefix(mark), []).append(part)
    return found


def _regulation(number: str, parts: Sequence[Request]) -> dict[str, Any]:
    standing = overall([part.status for part in parts])
    finished = [part.finished_at for part in parts if part.finished_at is not None]
    return {
        "id": number, "workspaceId": "kundig", "regulationType": str(parts[0].details.get(_MARK, "")), "overallStatus": standing, "status": standing, "createdAt": _iso(parts[0].requested_at),
        "finishedAt": _iso(max(finished)) if finished and standing in ("FINISHED", "PARTIAL_SUCCESS", "FAILED") else None, "streamStatus": [],
    }  # fmt: skip


def overall(statuses: Sequence[str]) -> str:
    """The status of a regulation by those of its requests, in Segment's words.

    Examples:
        >>> overall(["pending", "pending"]), overall(["finished", "pending"]), overall(["finished", "partial"]), overall(["finished", "finished"]), overall(["failed"])
        ('INITIALIZED', 'RUNNING', 'PARTIAL_SUCCESS', 'FINISHED', 'FAILED')
    """
    there = set(statuses)
    if there == {"pending"}:
        return "INITIALIZED"
    if there == {"cancelled"}:
        return "INVALID"
    if there & {"pending", "in_progress"}:
        return "RUNNING"
    if there == {"failed"}:
        return "FAILED"
    return "PARTIAL_SUCCESS" if there & {"partial", "failed"} else "FINISHED"


def _iso(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
