"""Requests of people about their data: opened, listed, cancelled; who asked, how that was checked, until when an answer is due, and how each store stands."""

from __future__ import annotations

import calendar
import datetime as dt
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from kundig import audit
from kundig.clock import now
from kundig.errors import ContractError, PrivacyError, nearest
from kundig.privacy.subjects import Subject, strongest, subject

if TYPE_CHECKING:
    import sqlalchemy as sa

    from kundig.workspace import Workspace

Kind = Literal["access", "portability", "correction", "erasure", "restriction", "suppression", "unsuppression"]
KINDS: tuple[Kind, ...] = get_args(Kind)[:5]
"""What a person may ask: Articles 15, 20, 16, 17 and 18 of the GDPR. Suppressing is asked for by interfaces beside them."""

OPEN = ("pending", "in_progress", "partial", "failed")
"""States in which something is still to be done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request, as table `privacy_requests` holds it."""

    request_id: str
    kind: Kind
    status: str
    requested_at: dt.datetime
    due_at: dt.datetime | None = None
    finished_at: dt.datetime | None = None
    identifier_key: int | None = None
    requested_by: str = ""
    verified_by: str = ""
    external_id: str = ""
    stores: Mapping[str, Any] = field(default_factory=dict)
    """Status of each store or table, e.g. {"orders": {"status": "done", "rows": 3}}."""
    details: Mapping[str, Any] = field(default_factory=dict)
    certificate: Mapping[str, Any] = field(default_factory=dict)
    """Of an erasure: store by store what was searched, how, and found before and after."""

    def overdue(self, at: dt.datetime) -> bool:
        """Whether an answer is late at a moment."""
        return self.status in OPEN and self.due_at is not None and self.due_at < at

    def without_person(self) -> dict[str, Any]:
        """The details without what names the person or was said of them."""
        return {name: value for name, value in self.details.items() if name not in ("named", "set")}


def a_month_after(moment: dt.datetime) -> dt.datetime:
    """The same day of the next month, or its last one: the period of Article 12(3) GDPR.

    Examples:
        >>> a_month_after(dt.datetime(2026, 1, 31, 9)).isoformat()
        '2026-02-28T09:00:00'
    """
    year, month = (moment.year + 1, 1) if moment.month == 12 else (moment.year, moment.month + 1)
    return moment.replace(year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1]))


def open_request(
    workspace: Workspace, kind: str, identifier: str, *, requested_by: str = "person", verified_by: str = "", details: Mapping[str, Any] | None = None,
    external_id: str = "", requested_at: dt.datetime | None = None, actor: str = "cli",
) -> Request:  # fmt: skip
    """A new request about a person, pending.

    Args:
        workspace: The workspace.
        kind: One of `KINDS`.
        identifier: Any identifier of the person; of somebody unknown an e-mail address, or `kind:value`.
        requested_by: Who asked: `person`, an account, or the domain of an interface's caller. No personal value.
        verified_by: How it was checked who asks. No personal value.
        details: What is asked beyond the kind; of a correction `{"set": {attribute: value}}`.
        external_id: Id that the caller gave the request.
        requested_at: When it was made; now by default. An answer is due a month later.
        actor: Who enters it, for the audit log.

    Raises:
        PrivacyError: There is no such kind, or a text holds something like an address.
        IdentityError: The identifier does not say of what kind it is.
    """
    if kind not in KINDS:
        raise PrivacyError(f"there is no kind of request '{kind}'", mend=nearest(kind, KINDS))
    for name, text in (("requested_by", requested_by), ("verified_by", verified_by)):
        if audit.looks_personal(text):
            raise PrivacyError("a text looks like an e-mail address or a phone number", at=name, mend="write who asked and how it was checked without naming the person: person, letter with copy of passport")
    of = subject(workspace, identifier)
    return enter(workspace, kind, of, requested_by=requested_by, verified_by=verified_by, details=details or {}, external_id=external_id, requested_at=requested_at or now(), actor=actor)


def enter(
    workspace: Workspace, kind: Kind, of: Subject, *, requested_by: str, verified_by: str, details: Mapping[str, Any], external_id: str = "",
    requested_at: dt.datetime, actor: str, connection: sa.Connection | None = None,
) -> Request:  # fmt: skip
    """A new request about a subject that is known already; of one that no release knows, the identifiers are kept with the request until it is done."""
    if not of.persons:
        details = {**details, "named": [[one.namespace, one.value] for one in of.identifiers]}
    made = Request(
        request_id=uuid.uuid4().hex, kind=kind, status="pending", requested_at=requested_at, due_at=a_month_after(requested_at), identifier_key=strongest(workspace, of), requested_by=requested_by,
        verified_by=verified_by, external_id=external_id, details=details,
    )  # fmt: skip
    row = {name: getattr(made, name) for name in ("request_id", "kind", "status", "requested_at", "due_at", "finished_at", "identifier_key", "requested_by", "verified_by", "external_id")}
    row |= {name: json.dumps(dict(getattr(made, name)), ensure_ascii=False) for name in ("stores", "details", "certificate")}

    def write(connection: sa.Connection) -> None:
        workspace.state.insert("privacy_requests", [row], connection=connection)
        audit.append(workspace.state, actor=actor, role="owner", action="request", object_kind="privacy_requests", object_id=made.request_id, details={"kind": kind}, connection=connection)

    if connection is not None:
        write(connection)
    else:
        with workspace.state.transaction() as own:
            write(own)
    return made


def requests(workspace: Workspace, *, status: str = "", connection: sa.Connection | None = None) -> tuple[Request, ...]:
    """All requests, the newest first; of one status where it is given."""
    table = workspace.state.sql("privacy_requests")
    found = workspace.state.select("privacy_requests", *([table.c.status == status] if status else []), order_by=table.c.requested_at.desc(), connection=connection)
    return tuple(_request(row) for row in found)


def request(workspace: Workspace, request_id: str) -> Request:
    """One request, by its id or by enough of its beginning to be the only one.

    Raises:
        PrivacyError: There is no such request, or several begin so.
    """
    table = workspace.state.sql("privacy_requests")
    found = workspace.state.select("privacy_requests", table.c.request_id.startswith(request_id, autoescape=True)) if request_id else []
    if len(found) != 1:
        raise PrivacyError(f"{'several requests begin' if found else 'there is no request that begins'} with '{request_id}'", mend="kundig privacy list shows them")
    return _request(found[0])


def cancel(workspace: Workspace, request_id: str, *, actor: str = "cli") -> Request:
    """Close a request that nothing was done for yet.

    Raises:
        PrivacyError: There is no such request, or it is not pending.
    """
    one = request(workspace, request_id)
    if one.status != "pending":
        raise PrivacyError(f"the request is {one.status} and cannot be cancelled", at=one.request_id, mend="only requests that are pending can be")
    return changed(workspace, one, actor=actor, action="cancel", status="cancelled", finished_at=now(), identifier_key=None, details=one.without_person())


def changed(workspace: Workspace, one: Request, *, actor: str, action: str, connection: sa.Connection | None = None, **values: Any) -> Request:
    """The request with other values, written and noted in the audit log."""
    state = workspace.state
    table = state.sql("privacy_requests")
    written = {name: json.dumps(dict(value), ensure_ascii=False, default=str) if name in ("stores", "details", "certificate") else value for name, value in values.items()}

    def write(connection: sa.Connection) -> None:
        connection.execute(table.update().where(table.c.request_id == one.request_id).values(**written))
        audit.append(state, actor=actor, role="owner", action=action, object_kind="privacy_requests", object_id=one.request_id, details={"kind": one.kind}, connection=connection)

    if connection is not None:
        write(connection)
        return _request(state.select("privacy_requests", table.c.request_id == one.request_id, connection=connection)[0])
    with state.transaction() as own:
        write(own)
    return request(workspace, one.request_id)


def _request(row: Mapping[str, Any]) -> Request:
    known: dict[str, Any] = {name: row[name] for name in ("request_id", "kind", "status", "requested_at", "due_at", "finished_at", "identifier_key")}
    texts = {name: row[name] or "" for name in ("requested_by", "verified_by", "external_id")}
    return Request(**known | texts | {name: _loaded(row[name]) for name in ("stores", "details", "certificate")})


def _loaded(value: Any) -> dict[str, Any]:
    if value is None or value == "":
        return {}
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, Mapping):
        raise ContractError("a request holds JSON that is no mapping", at="privacy_requests")
    return dict(found)
