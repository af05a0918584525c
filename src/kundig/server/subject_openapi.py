"""The calls about people's data described in OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from kundig.privacy.opendsr import HASHES, IDENTITIES, STATUS, TYPES
from kundig.privacy.regulations import MOST, SUBJECTS
from kundig.privacy.regulations import TYPES as REGULATIONS
from kundig.privacy.signing import DOMAIN, SIGNATURE

PEM = "application/pem-certificate-chain"
_MOMENT = {"type": "string", "format": "date-time"}
_TEXT = {"type": "string"}
_STANDING = {"enum": ["INITIALIZED", "RUNNING", "PARTIAL_SUCCESS", "FAILED", "FINISHED", "INVALID"]}


def description() -> dict[str, Any]:
    """The description: addresses, keys, bodies, answers and refusals."""
    opendsr: dict[str, dict[str, Any]] = {
        "/opendsr/v2/discovery": {"get": _call("What is supported", "Discovery", keyed=False)},
        "/opendsr/v2/certificate.pem": {"get": _call("The certificate that answers are signed with", None, refused=(404,), keyed=False, media=PEM)},
        "/opendsr/v2/requests": {"post": _call("Make a request about a person", "Received", status=201, body="Request", refused=(400, 401, 413))},
        "/opendsr/v2/requests/{number}": {
            "parameters": [_number("uuid")], "get": _call("How a request stands", "Status", refused=(401, 404)), "delete": _call("Cancel a request that is pending", "Cancelled", status=202, refused=(400, 401, 404)),
        },
        "/opendsr/v2/requests/{number}/results": {"parameters": [_number("uuid")], "get": _call("The file of an access or portability request", None, refused=(401, 404))},
    }  # fmt: skip
    for path in opendsr.values():
        for method in path.keys() & {"get", "post", "delete"}:
            for answer in path[method]["responses"].values():
                answer["headers"] = {DOMAIN: {"schema": _TEXT, "description": "Where answers are signed: the domain of the processor's certificate"}, SIGNATURE: {"schema": _TEXT, "description": "Where answers are signed: base64 of RSA-SHA256 of the body's bytes"}}
    segment = {
        "/regulations": {
            "post": _call("Suppress, delete, both, or unsuppress", "Regulated", body="Regulation", refused=(400, 401, 413, 422), segment=True),
            "get": _call("The caller's regulations", "Regulations", refused=(401,), segment=True) | {"parameters": [{"name": "status", "in": "query", "schema": _STANDING}, {"name": "regulationTypes", "in": "query", "schema": {"type": "array", "items": {"enum": sorted(REGULATIONS)}}}]},
        },
        "/regulations/{number}": {"parameters": [_number("")], "get": _call("A regulation and how it stands", "OneRegulation", refused=(401, 404), segment=True), "delete": _call("Take back a regulation of which nothing was done", "TakenBack", refused=(401, 404, 422), segment=True)},
    }  # fmt: skip
    about = "OpenDSR 2.0 and Segment's regulation calls. Each call carries a secret key, made by `kundig privacy grant`. A worker fulfils what is asked."
    return {
        "openapi": "3.1.0", "info": {"title": "kundig subject requests", "version": "1", "description": about}, "paths": opendsr | segment,
        "components": {"schemas": _schemas(), "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}, "basic": {"type": "http", "scheme": "basic", "description": "The key as user, no password"}}},
    }  # fmt: skip


def _number(form: str) -> dict[str, Any]:
    return {"name": "number", "in": "path", "required": True, "schema": _TEXT | ({"format": form} if form else {})}


def _call(meaning: str, answer: str | None, *, status: int = 200, body: str = "", refused: tuple[int, ...] = (), keyed: bool = True, segment: bool = False, media: str = "application/zip") -> dict[str, Any]:
    content = {media: {"schema": _TEXT | {"format": "binary"}}} if answer is None else {"application/json": {"schema": {"$ref": f"#/components/schemas/{answer}"}}}
    error = {"application/json": {"schema": {"$ref": f"#/components/schemas/{'Errors' if segment else 'Error'}"}}}
    why = {400: "A field cannot be used; the message names it", 401: "No key, or one that is out of use", 404: "The caller made no such request" if keyed else "Answers are not signed here", 413: "The body is too long", 422: "A field cannot be used; the message names it"}
    found: dict[str, Any] = {"summary": meaning, "responses": {str(status): {"description": meaning, "content": content}} | {str(code): {"description": why[code], "content": error} for code in refused}}
    if keyed:
        found["security"] = [{"bearer": []}, {"basic": []}]
    if body:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}}}
    return found


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "required": sorted(required), "properties": required | (optional or {})}


def _schemas() -> dict[str, Any]:
    identity = _object({"identity_type": {"enum": sorted(IDENTITIES)}, "identity_value": _TEXT, "identity_format": {"enum": ["raw", *HASHES]}})
    pair = _object({"identity_type": _TEXT, "identity_format": _TEXT})
    version = {"api_version": _TEXT}
    about = {"controller_id": _TEXT, "subject_request_id": _TEXT | {"format": "uuid"}}
    regulation = _object({"id": _TEXT, "overallStatus": _STANDING, "createdAt": _MOMENT}, {"workspaceId": _TEXT, "status": _STANDING, "regulationType": {"enum": sorted(REGULATIONS)}, "finishedAt": {"type": ["string", "null"]}, "streamStatus": {"type": "array"}})
    return {
        "Discovery": _object(version | {"supported_identities": {"type": "array", "items": pair}, "supported_subject_request_types": {"type": "array", "items": {"enum": sorted(TYPES)}}}, {"processor_certificate": _TEXT | {"format": "uri"}}),
        "Request": _object(
            {
                "regulation": {"enum": ["gdpr", "ccpa"]}, "subject_request_id": _TEXT | {"format": "uuid"}, "subject_request_type": {"enum": sorted(TYPES)}, "submitted_time": _MOMENT,
                "subject_identities": {"type": "array", "minItems": 1, "maxItems": 100, "items": identity},
            },
            version | {"status_callback_urls": {"type": "array", "items": _TEXT}, "extensions": {"type": "object"}},
        ),
        "Received": _object(about | {"expected_completion_time": _MOMENT, "received_time": _MOMENT, "encoded_request": _TEXT}, version),
        "Status": _object(about | {"expected_completion_time": _MOMENT, "request_status": {"enum": sorted(set(STATUS.values()))}}, version | {"results_url": _TEXT, "results_count": {"type": "integer"}}),
        "Cancelled": _object(about | {"received_time": _MOMENT}, version),
        "Error": _object({"error": _object({"code": {"type": "integer"}, "message": _TEXT}, {"errors": {"type": "array"}})}),
        "Regulation": _object({"regulationType": {"enum": sorted(REGULATIONS)}, "subjectType": {"enum": sorted(SUBJECTS)}, "subjectIds": {"type": "array", "minItems": 1, "maxItems": MOST, "items": _TEXT}}),
        "Regulated": _object({"data": _object({"regulateId": _TEXT})}),
        "Regulations": _object({"data": _object({"regulations": {"type": "array", "items": regulation}}, {"pagination": {"type": "object"}})}),
        "OneRegulation": _object({"data": _object({"regulation": regulation})}),
        "TakenBack": _object({"data": _object({"status": {"const": "SUCCESS"}})}),
        "Errors": _object({"errors": {"type": "array", "items": _object({"type": _TEXT, "message": _TEXT}, {"field": _TEXT})}}),
    }  # fmt: skip
