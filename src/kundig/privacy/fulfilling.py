"""Fulfilling: what a request asks for is done, and how each store stands is written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kundig.clock import now
from kundig.errors import IdentityError, PrivacyError
from kundig.privacy.bundle import access, portability
from kundig.privacy.correcting import checked, correct
from kundig.privacy.erasing import Certificate, begin, repeat
from kundig.privacy.requests import OPEN, Request, changed, request
from kundig.privacy.subjects import Subject, joined, subject_of_key
from kundig.privacy.suppressing import Named, restrict, suppress, unsuppress

if TYPE_CHECKING:
    from kundig.workspace import Workspace

GIVEN = ("access", "portability")
"""Kinds whose answer is a file; it is made anew whenever it is asked for and kept nowhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fulfilled:
    """What came of a request: the request as it stands, and the file or certificate that belongs to it."""

    request: Request
    file: bytes = field(default=b"", repr=False)
    certificate: Certificate | None = None


def fulfil(workspace: Workspace, request_id: str, *, identifiers: Sequence[str] = (), actor: str = "cli") -> Fulfilled:
    """Do what a request asks for.

    Access and portability give a zip, which may be asked for again; a correction counts from the next run on; a restriction holds at once, at every
    message that is handed over; an erasure takes the writer's lease. An erasure that left something is done once more where all its `identifiers` are named again.

    Raises:
        PrivacyError: There is no such request, it is closed, or its values cannot be used; or not all identifiers of an erasure were named that left something.
        IdentityError: Nothing is known of the person any more.
        Busy: Another process is writing.
    """
    one = request(workspace, request_id)
    if one.kind == "erasure" and one.status == "partial":
        with workspace.writing("erase"):
            closing = repeat(workspace, one, identifiers, actor=actor)
        return Fulfilled(request=request(workspace, one.request_id), certificate=closing)
    if identifiers:
        raise PrivacyError("identifiers are named again where an erasure left something, and nowhere else", at=one.request_id, mend="leave them out; kundig privacy list shows which erasures are partial")
    if one.identifier_key is None or (one.status not in OPEN and not (one.kind in GIVEN and one.status == "finished")):
        raise PrivacyError(f"the request is {one.status}", at=one.request_id, mend="open a new one: kundig privacy request")
    of = _whom(workspace, one)
    if one.kind in ("suppression", "unsuppression"):
        count = (suppress if one.kind == "suppression" else unsuppress)(workspace, of.identifiers, actor=actor)
        return Fulfilled(request=_done(workspace, one, actor, {"suppressions": {"status": "done", "rows": count}}, identifier_key=None))
    if one.kind == "erasure":
        with workspace.writing("erase"):
            certificate = begin(workspace, one, of, actor=actor, keep_out=bool(one.details.get("keep_out", True)))
        return Fulfilled(request=request(workspace, one.request_id), certificate=certificate)
    if one.kind in GIVEN:
        made, counts = (access if one.kind == "access" else portability)(workspace, of, request=one.request_id, requested_at=one.requested_at)
        stores: dict[str, Any] = {name: {"status": "done", "rows": count} for name, count in counts.items()}
        return Fulfilled(request=_done(workspace, one, actor, stores), file=made)
    if one.kind == "correction":
        values = checked(workspace, {str(name): str(value) for name, value in dict(one.details.get("set", {})).items()}, of)
        with workspace.writing("correct"):
            count = correct(workspace, of, values, request=one.request_id)
        done = changed(workspace, one, actor=actor, action="fulfil", status="finished", finished_at=now(), stores={"contacts": {"status": "done", "rows": 1}}, details={"attributes": sorted(values)})
        workspace.state.scrub()
        assert count
        return Fulfilled(request=done)
    count = restrict(workspace, of.identifiers)
    return Fulfilled(request=_done(workspace, one, actor, {"suppressions": {"status": "done", "rows": count}}))


def _whom(workspace: Workspace, one: Request) -> Subject:
    """Whom a request is about: by its key, else by what was kept of somebody no release knew."""
    kept = Subject(identifiers=tuple(Named(namespace=namespace, value=value) for namespace, value in one.details.get("named", ())))
    assert one.identifier_key is not None
    try:
        return joined([subject_of_key(workspace, one.identifier_key), kept])
    except IdentityError:
        if not kept.identifiers:
            raise
        return kept


def _done(workspace: Workspace, one: Request, actor: str, stores: dict[str, Any], **values: Any) -> Request:
    return changed(workspace, one, actor=actor, action="fulfil", status="finished", finished_at=now(), stores=stores, details=one.without_person(), **values)


def lift(workspace: Workspace, request_id: str, *, actor: str = "cli") -> Request:
    """End a restriction: the person is decided for and addressed again, as far as their consents allow it.

    Raises:
        PrivacyError: There is no such request, or it restricts nobody.
    """
    one = request(workspace, request_id)
    if one.kind != "restriction" or one.status != "finished" or one.identifier_key is None:
        raise PrivacyError("the request restricts nobody", at=one.request_id, mend="kundig privacy list shows restrictions that are in force as finished")
    count = restrict(workspace, subject_of_key(workspace, one.identifier_key).identifiers, lift=True)
    return changed(workspace, one, actor=actor, action="lift", status="lifted", stores={"suppressions": {"status": "lifted", "rows": count}})
