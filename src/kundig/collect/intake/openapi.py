"""The intake described in OpenAPI 3.1: addresses, keys, answers and refusals."""

from __future__ import annotations

from typing import Any

from kundig.collect.intake.refusals import REFUSALS

_KEYS: list[dict[str, list[str]]] = [{"basic": []}, {"header": []}, {"query": []}, {}]
_CALLS = {"track": "What somebody did", "identify": "Who somebody is", "page": "A page that was seen", "screen": "A screen of an app that was seen", "group": "Whom somebody belongs to", "alias": "Two names of one"}
_SHORT = {"track": "t", "identify": "i", "page": "p", "screen": "s", "group": "g", "alias": "a", "batch": "b"}


def description(most: int) -> dict[str, Any]:
    """The description, for a limit of so many bytes a body."""
    paths: dict[str, Any] = {}
    for kind, meaning in _CALLS.items():
        for path in (f"/v1/{kind}", f"/v1/{_SHORT[kind]}", f"/api/s/{kind}"):
            paths[path] = {"post": _taking(meaning, "Call", path)}
    for path in ("/v1/batch", "/v1/b", "/v1/import", "/beacon/v1/batch", "/api/s/batch"):
        paths[path] = {"post": _taking("Several calls at once", "Batch", path)}
    paths["/v1/form/{form}"] = {"parameters": [_named("form")], "post": _form()}
    paths["/v1/webhook/{name}"] = {"parameters": [_named("name")], "post": _taking("A vendor's webhook", None, "webhook", also=("unsigned", "no_such_webhook", "no_such_path"))}
    paths["/v1/changes/{source}"] = {"parameters": [_named("source")], "post": _taking("Changes of a database as Debezium writes them", "Changes", "changes", also=("key_of_other_source", "no_such_path"))}
    for kind in ("track", "page"):
        paths[f"/v1/pixel/{kind}"] = {"get": _pixel(kind)}
    paths["/v1/projects/{key}/settings"] = {"parameters": [_named("key")], "get": _reading("Settings that a browser SDK starts with", "application/json", refused=("unknown_key", "revoked_key"))}
    paths["/sourceConfig"] = {"get": _reading("Configuration that a browser SDK starts with", "application/json", refused=("no_key", "unknown_key", "revoked_key"), keyed=True)}
    paths["/health"] = {"get": _reading("The process answers", "text/plain")}
    paths["/ready"] = {"get": _reading("It can take something in", "application/json", also={"503": {"description": "It cannot", "content": {"application/json": {"schema": {"type": "object"}}}}})}
    paths["/metrics"] = {"get": _reading("Counts for Prometheus", "text/plain")}
    return {
        "openapi": "3.1.0", "info": {"title": "kundig intake", "version": "1", "description": f"Compatible with the Segment tracking API. A body has {most:,} bytes at most; gzip is understood."},
        "paths": paths, "components": {"schemas": _SCHEMAS, "securitySchemes": _SCHEMES},
    }  # fmt: skip


def _named(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"}}


def _taking(meaning: str, schema: str | None, name: str, *, also: tuple[str, ...] = ()) -> dict[str, Any]:
    kind: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{schema}"} if schema else {"type": "object"}}
    codes = [code for code, refusal in REFUSALS.items() if code not in _ELSEWHERE] + list(also)
    answers = {"200": {"description": "It is on disk", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Taken"}}}}}
    return {"summary": meaning, "operationId": f"post{name.replace('/', '_')}", "security": _KEYS, "requestBody": {"required": True, "content": {"application/json": kind}}, "responses": answers | _refusals(codes)}


def _form() -> dict[str, Any]:
    fields: dict[str, Any] = {"schema": {"type": "object", "additionalProperties": {"type": "string"}}}
    codes = [code for code in REFUSALS if code not in _ELSEWHERE] + ["form", "no_form", "file_kind", "no_such_path"]
    answers = {
        "200": {"description": "It is on disk", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Taken"}}}}, "303": {"description": "It is on disk; go on to the page named by _next"},
    }  # fmt: skip
    content = {"application/x-www-form-urlencoded": fields, "multipart/form-data": fields}
    return {"summary": "A filled-in form, with or without an uploaded list", "operationId": "post_form", "security": _KEYS, "requestBody": {"required": True, "content": content}, "responses": answers | _refusals(codes)}


def _pixel(kind: str) -> dict[str, Any]:
    image = {"image/gif": {"schema": {"type": "string", "format": "binary"}}}
    parameters = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in ("writeKey", "data", "event", "userId", "anonymousId", "messageId")]
    refused = {str(status): {"description": "It was not taken; x-refused says why", "content": image} for status in (400, 401, 429, 503)}
    return {"summary": f"A {kind} call by an image's address", "operationId": f"pixel_{kind}", "parameters": parameters, "responses": {"200": {"description": "It is on disk", "content": image}} | refused}


def _reading(meaning: str, kind: str, *, refused: tuple[str, ...] = (), also: dict[str, Any] | None = None, keyed: bool = False) -> dict[str, Any]:
    schema = {"type": "object"} if kind == "application/json" else {"type": "string"}
    found: dict[str, Any] = {"summary": meaning, "responses": {"200": {"description": meaning, "content": {kind: {"schema": schema}}}} | _refusals(list(refused)) | (also or {})}
    if keyed:
        found["parameters"] = [{"name": "writeKey", "in": "query", "schema": {"type": "string"}}]
        found["security"] = _KEYS
    return found


def _refusals(codes: list[str]) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(REFUSALS[code].status, []).append(code)
    schema = {"application/json": {"schema": {"$ref": "#/components/schemas/Refused"}}}
    return {str(status): {"description": "; ".join(f"{code}: {REFUSALS[code].what}" for code in found), "content": schema} for status, found in sorted(by_status.items())}


_ELSEWHERE = ("key_of_other_source", "unsigned", "no_such_path", "no_such_webhook", "no_such_method", "no_form", "form", "file_kind")
_SCHEMES = {
    "basic": {"type": "http", "scheme": "basic", "description": "Write key as user, no password"}, "header": {"type": "apiKey", "in": "header", "name": "X-Write-Key"},
    "query": {"type": "apiKey", "in": "query", "name": "writeKey"},
}  # fmt: skip
_OPEN = {"type": ["object", "null"], "additionalProperties": True}
_TEXT = {"type": ["string", "null"]}
_SCHEMAS: dict[str, Any] = {
    "Call": {
        "type": "object", "minProperties": 1, "additionalProperties": True, "description": "A call; it is judged at landing, so that one that breaks the plan is held, not refused.",
        "properties": {
            "type": _TEXT, "messageId": _TEXT, "userId": _TEXT, "anonymousId": _TEXT, "event": _TEXT, "name": _TEXT, "timestamp": _TEXT, "originalTimestamp": _TEXT, "sentAt": _TEXT,
            "properties": _OPEN, "traits": _OPEN, "context": _OPEN, "integrations": _OPEN,
        },
    },
    "Batch": {
        "type": "object", "required": ["batch"], "additionalProperties": True,
        "properties": {"batch": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Call"}}, "sentAt": _TEXT, "writeKey": {"type": "string"}, "context": _OPEN},
    },
    "Changes": {"type": "object", "minProperties": 1, "additionalProperties": True},
    "Taken": {"type": "object", "required": ["success"], "properties": {"success": {"const": True}, "files": {"type": "array", "items": {"type": "string"}}}},
    "Refused": {
        "type": "object", "required": ["success", "code", "what", "mend"],
        "properties": {"success": {"const": False}, "code": {"enum": sorted(REFUSALS)}, "what": {"type": "string"}, "mend": {"type": "string"}},
    },
}  # fmt: skip
