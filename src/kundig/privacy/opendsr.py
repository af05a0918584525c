"""OpenDSR 2.0: what a controller's requests, their status and their cancelling are here.

Source: the specification at github.com/opengdpr/OpenDSR. Statuses are pending, in_progress, completed and cancelled; a partial erasure is in progress until it is whole.
"""

from __future__ import annotations

import base64
import datetime as dt
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kundig.clock import now
from kundig.collect.identifiers import Rules, normalise
from kundig.errors import IdentityError, PrivacyError
from kundig.privacy.callers import Caller
from kundig.privacy.requests import Request, a_month_after, cancel, enter, requests
from kundig.privacy.subjects import Subject, joined, subject
from kundig.privacy.suppressing import Named

if TYPE_CHECKING:
    from kundig.privacy.requests import Kind
    from kundig.workspace import Workspace

VERSION = "2.0"
TYPES: Mapping[str, Kind] = {"access": "access", "portability": "portability", "erasure": "erasure"}
IDENTITIES = {"email": ("email",), "controller_customer_id": ("customer_id", "user_id"), "android_advertising_id": ("device_id",), "android_id": ("device_id",), "ios_advertising_id": ("device_id",), "ios_vendor_id": ("device_id",)}
"""Identity types of the specification, and the namespaces they are looked for in."""
HASHES = ("sha256", "sha1", "md5")
"""Formats of e-mail addresses beside raw."""
STATUS = {"pending": "pending", "in_progress": "in_progress", "partial": "in_progress", "failed": "in_progress", "finished": "completed", "cancelled": "cancelled", "lifted": "completed"}
_MARK = "opendsr"


def discovery(certificate: str = "") -> dict[str, Any]:
    """What is supported; `certificate` is the address of the one that answers are signed with, where they are."""
    formats = [("email", form) for form in ("raw", *HASHES)] + [(name, "raw") for name in IDENTITIES if name != "email"]
    return {
        "api_version": VERSION, "supported_identities": [{"identity_type": name, "identity_format": form} for name, form in formats],
        "supported_subject_request_types": sorted(TYPES),
    } | ({"processor_certificate": certificate} if certificate else {})  # fmt: skip


def create(workspace: Workspace, body: bytes, told: Mapping[str, Any], by: Caller, *, below: str = "") -> dict[str, Any]:
    """Enter a request; the worker fulfils it. The same id a second time changes nothing and gets the same answer.

    `below` is the address that the caller reaches requests at: reports of status name the file of a finished one there.

    Raises:
        PrivacyError: A field is missing or cannot be used; it is named, and nothing of the person is in the message.
    """
    number, kind = _uuid(told.get("subject_request_id")), told.get("subject_request_type")
    if told.get("regulation") not in ("gdpr", "ccpa"):
        raise PrivacyError("regulation must be gdpr or ccpa", at="regulation")
    if kind not in TYPES:
        raise PrivacyError(f"subject_request_type must be one of {', '.join(sorted(TYPES))}", at="subject_request_type")
    submitted = _moment(told.get("submitted_time"))
    callbacks = told.get("status_callback_urls", [])
    if not isinstance(callbacks, list) or not all(isinstance(one, str) and _may(one, by) for one in callbacks):
        raise PrivacyError("status_callback_urls may only lead where the key allows it", at="status_callback_urls", mend="kundig privacy grant LABEL --callback https://…")
    known = _found(workspace, number, by)
    if known is None:
        of = _subject(workspace, told.get("subject_identities"))
        details = {_MARK: {"callbacks": dict.fromkeys(callbacks, ""), "results": f"{below.rstrip('/')}/{number}/results" if below else ""}, "automatic": True}
        known = enter(workspace, TYPES[str(kind)], of, requested_by=by.label, verified_by="by the controller, over OpenDSR", details=details, external_id=_own(number, by), requested_at=min(submitted, now()), actor=by.id)
    return {
        "controller_id": by.id, "expected_completion_time": _rfc(known.due_at), "received_time": _rfc(now()), "encoded_request": base64.b64encode(body).decode(), "subject_request_id": number, "api_version": VERSION,
    }  # fmt: skip


def status(workspace: Workspace, number: str, by: Caller, *, results: str = "") -> dict[str, Any] | None:
    """How a request stands; None where the caller made none of that id. `results` is the address of its file."""
    one = _found(workspace, number, by)
    return None if one is None else told_status(one, number, by.id, results=results)


def told_status(one: Request, number: str, controller: str, *, results: str = "") -> dict[str, Any]:
    """The status of a request in the words of the specification."""
    found: dict[str, Any] = {"controller_id": controller, "expected_completion_time": _rfc(one.due_at), "subject_request_id": number, "request_status": STATUS[one.status], "api_version": VERSION}
    if one.kind in ("access", "portability") and one.status == "finished":
        found |= {"results_url": results, "results_count": sum(int(told.get("rows", 0)) for told in one.stores.values())}
    return found


def delete(workspace: Workspace, number: str, by: Caller) -> dict[str, Any] | None:
    """Cancel a request; None where the caller made none of that id.

    Raises:
        PrivacyError: It is not pending any more.
    """
    one = _found(workspace, number, by)
    if one is None:
        return None
    cancel(workspace, one.request_id, actor=by.id)
    return {"controller_id": by.id, "subject_request_id": number, "received_time": _rfc(now()), "api_version": VERSION}


def request_of(workspace: Workspace, number: str, by: Caller) -> Request | None:
    """The request of a caller by its id."""
    return _found(workspace, number, by)


def _found(workspace: Workspace, number: str, by: Caller) -> Request | None:
    own = _own(number, by)
    return next((one for one in requests(workspace) if one.external_id == own), None)


def _own(number: str, by: Caller) -> str:
    """What a request is known by: two callers never meet in one id."""
    return f"{_MARK}:{by.id}:{number}"


def _may(url: str, by: Caller) -> bool:
    """Whether a caller may be called back at an address: one that its key names, or one below it."""
    return any(url == place or url.startswith(place if place.endswith("/") else f"{place}/") for place in by.callbacks) and "\\" not in url and "@" not in url


def _uuid(given: Any) -> str:
    try:
        number = uuid.UUID(str(given))
    except ValueError:
        raise PrivacyError("subject_request_id must be a UUID of version 4", at="subject_request_id") from None
    if number.version != 4 or str(number) != given:
        raise PrivacyError("subject_request_id must be a UUID of version 4, in small letters", at="subject_request_id")
    return str(number)


def _moment(given: Any) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(str(given))
    except ValueError:
        raise PrivacyError("submitted_time must be a date after RFC 3339", at="submitted_time") from None
    if moment.tzinfo is None:
        raise PrivacyError("submitted_time must say its zone", at="submitted_time")
    return moment.astimezone(dt.UTC)


def _subject(workspace: Workspace, given: Any) -> Subject:
    """Whom identities mean, all of them together.

    Raises:
        PrivacyError: There are none, or one is not as the specification has it.
    """
    if not isinstance(given, list) or not 1 <= len(given) <= 100:
        raise PrivacyError("subject_identities must name 1 to 100 identities", at="subject_identities")
    found = []
    for number, one in enumerate(given):
        at = f"subject_identities[{number}]"
        if not isinstance(one, Mapping) or not isinstance(one.get("identity_value"), str) or not one["identity_value"].strip():
            raise PrivacyError("an identity needs identity_type, identity_value and identity_format", at=at)
        kind, form, value = one.get("identity_type"), one.get("identity_format"), one["identity_value"].strip()
        if kind not in IDENTITIES or (form != "raw" and not (kind == "email" and form in HASHES)):
            raise PrivacyError("identity_type and identity_format are not a pair that discovery names", at=at)
        found.append(_hashed(workspace, value, str(form)) if form != "raw" else _raw(workspace, value, IDENTITIES[str(kind)], at))
    return joined(found)


def _raw(workspace: Workspace, value: str, namespaces: Sequence[str], at: str) -> Subject:
    config = workspace.config
    forms = [(name, text) for name in namespaces if (text := normalise(name, value, country=config.settings.workspace.country, rules=Rules(identity=config.identity)))]
    if not forms:
        raise PrivacyError("an identity names nobody", at=at)
    for name, text in forms:
        of = Subject(identifiers=(Named(namespace=name, value=text),))
        if workspace.lake.release() is not None and workspace.rows(f"SELECT 1 FROM identities WHERE identifier_key = {of.keys[0]} AND valid_until IS NULL LIMIT 1")[1]:
            return subject(workspace, text)
    return Subject(identifiers=tuple(Named(namespace=name, value=text) for name, text in forms))


def _hashed(workspace: Workspace, value: str, form: str) -> Subject:
    """Whom the hash of an e-mail address means: the address that hashes so, else the hash itself as an identifier."""
    digest = value.lower()
    if not re.fullmatch({"sha256": "[0-9a-f]{64}", "sha1": "[0-9a-f]{40}", "md5": "[0-9a-f]{32}"}[form], digest):
        raise PrivacyError(f"an identity is no {form}", at="subject_identities")
    known = workspace.rows_now(f"SELECT value FROM identifiers WHERE namespace = 'email' AND {form}(value) = '{digest}' LIMIT 1")[1]
    try:
        return subject(workspace, known[0][0] if known else f"email_hash:{digest}")
    except IdentityError:
        return Subject(identifiers=(Named(namespace="email_hash", value=digest),))


def _rfc(moment: dt.datetime | None) -> str:
    at = moment or a_month_after(now())
    return at.astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
