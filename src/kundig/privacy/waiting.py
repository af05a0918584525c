"""What the worker does with requests that came over an interface: fulfil them, finish those that were cut off, and report status where it was asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kundig.errors import Busy, Fault, KundigError, PrivacyError
from kundig.privacy.erasing import reason, resume
from kundig.privacy.fulfilling import GIVEN, fulfil
from kundig.privacy.opendsr import STATUS, told_status
from kundig.privacy.requests import Request, changed, request, requests
from kundig.privacy.signing import Signer, signer

if TYPE_CHECKING:
    from kundig.workspace import Workspace

ACTOR = "worker"
ATTEMPTS = 20
"""Times that a status is tried to be reported at an address."""

Post = Callable[[str, bytes, Mapping[str, str]], int]
"""Sends a body to an address and gives the HTTP status; raises OSError where nobody answers."""


def fulfil_waiting(workspace: Workspace) -> int:
    """Do what interfaces asked for, and finish erasures that were cut off; gives how many requests were touched.

    Who calls an interface has checked who asks; what people at the command line enter waits for them. What fails stops nothing of what is behind it.

    Raises:
        Busy: Another process is writing.
        PrivacyError: Erasures were cut off, a fault for each; the next call goes on with them.
    """
    count, cut = 0, []
    if any(one.kind == "erasure" for one in requests(workspace, status="in_progress")):
        resumed = resume(workspace)
        count += len(resumed)
        cut += [Fault(what=one.failure, at=f"request {one.request_id}") for one in resumed if one.failure]
    for seen in requests(workspace):
        one = request(workspace, seen.request_id)  # an erasure before may have closed it
        if one.status != "pending" or not one.details.get("automatic"):
            continue
        try:
            fulfil(workspace, one.request_id, actor=ACTOR)
        except Busy:
            raise
        except Exception as error:
            what = reason(error)
            if request(workspace, one.request_id).status == "in_progress":  # begun: its plan says what is left
                cut.append(Fault(what=what, at=f"request {one.request_id}"))
            elif isinstance(error, KundigError):
                changed(workspace, one, actor=ACTOR, action="fail", status="failed", stores={"request": {"status": "failed", "reason": what}})
            else:
                raise
        count += 1
    if cut:
        raise PrivacyError(faults=cut)
    return count


def report(workspace: Workspace, post: Post) -> int:
    """Tell the status of OpenDSR requests where it changed since it was last told, signed where there is a key; gives how many were told. What fails is tried again at the next call.

    Raises:
        ConfigError: The key or its certificate cannot be used.
        MissingExtra: `cryptography` is not installed.
    """
    count = 0
    signing: Signer | None = None
    for one in requests(workspace):
        told: Mapping[str, Any] = one.details.get("opendsr") or {}
        places = told.get("callbacks") or {}
        waiting = [url for url, said in places.items() if said != STATUS[one.status] and int((told.get("tries") or {}).get(url, 0)) < ATTEMPTS]
        if not waiting:
            continue
        signing = signing or signer(workspace.config)
        _, controller, number = one.external_id.split(":", 2)
        for url in waiting:
            body = json.dumps(told_status(one, number, controller, results=str(told.get("results") or "") if one.kind in GIVEN else "") | {"status_callback_url": url}).encode()
            try:
                fine = 200 <= post(url, body, {"Content-Type": "application/json", **(signing.headers(body) if signing else {})}) < 300
            except OSError:
                fine = False
            _note(workspace, one, url, STATUS[one.status] if fine else "")
            count += fine
    return count


def _note(workspace: Workspace, one: Request, url: str, status: str) -> None:
    table = workspace.state.sql("privacy_requests")
    with workspace.state.transaction() as connection:
        row = workspace.state.select("privacy_requests", table.c.request_id == one.request_id, connection=connection)[0]
        details = json.loads(row["details"]) if isinstance(row["details"], str) else dict(row["details"])
        told = details.setdefault("opendsr", {})
        if status:
            told.setdefault("callbacks", {})[url] = status
            told.setdefault("tries", {}).pop(url, None)
        else:
            told.setdefault("tries", {})[url] = int(told.get("tries", {}).get(url, 0)) + 1
        connection.execute(table.update().where(table.c.request_id == one.request_id).values(details=json.dumps(details, ensure_ascii=False)))
