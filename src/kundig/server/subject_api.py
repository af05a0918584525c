"""Requests of people over HTTP: OpenDSR at /opendsr, Segment's regulation calls at /regulations; each call with a secret key."""

from __future__ import annotations

import base64
import binascii
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kundig.errors import KundigError
from kundig.privacy import fulfil, opendsr, regulations
from kundig.privacy.callers import Caller, caller
from kundig.privacy.signing import signer
from kundig.server.subject_openapi import PEM, description

if TYPE_CHECKING:
    from kundig.workspace import Workspace

MOST = 2_000_000
"""Bytes of a body."""
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
Answered = tuple[int, Any]
Call = Callable[[Caller, Request, bytes, Mapping[str, Any]], Answered | Response]


class SubjectApi:
    """Answers the calls of one workspace, one after the other."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._signer = signer(workspace.config)
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        """Addresses and what answers them; /opendsr and /opendsr/v2 are the same."""
        found = [Route("/openapi.json", self._description)]
        for stem in ("/opendsr", "/opendsr/v2"):
            found += [
                Route(f"{stem}/discovery", self._discovery), Route(f"{stem}/certificate.pem", self._certificate), Route(f"{stem}/requests", self._keyed(self._create), methods=["POST"]), Route(f"{stem}/requests/{{number}}", self._keyed(self._status), methods=["GET"]),
                Route(f"{stem}/requests/{{number}}", self._keyed(self._cancel), methods=["DELETE"]), Route(f"{stem}/requests/{{number}}/results", self._keyed(self._results), methods=["GET"]),
            ]  # fmt: skip
        return [
            *found, Route("/regulations", self._keyed(self._regulate), methods=["POST"]), Route("/regulations", self._keyed(self._regulations), methods=["GET"]),
            Route("/regulations/{number}", self._keyed(self._regulation), methods=["GET"]), Route("/regulations/{number}", self._keyed(self._take_back), methods=["DELETE"]),
        ]  # fmt: skip

    # OpenDSR

    def _discovery(self, request: Request) -> Response:
        certificate = "" if self._signer is None else str(request.url.replace(query="", path=f"{request.url.path.rstrip('/').rpartition('/')[0]}/certificate.pem"))
        return self._signed(JSONResponse(opendsr.discovery(certificate), headers=HEADERS))

    def _certificate(self, request: Request) -> Response:
        if self._signer is None:
            return _refused(404, "answers are not signed here", segment=False)
        return self._signed(Response(self._signer.chain, media_type=PEM, headers=HEADERS))

    def _signed(self, answer: Response) -> Response:
        """The answer with a signature of its body, where there is a key."""
        if self._signer is not None:
            answer.headers.update(self._signer.headers(bytes(answer.body)))
        return answer

    async def _description(self, request: Request) -> Response:
        return JSONResponse(description(), headers=HEADERS)

    def _create(self, by: Caller, request: Request, body: bytes, told: Mapping[str, Any]) -> Answered:
        return 201, opendsr.create(self.workspace, body, told, by, below=str(request.url.replace(query="")))

    def _status(self, by: Caller, request: Request, body: bytes, told: Mapping[str, Any]) -> Answered:
        number = request.path_params["number"]
        results = str(request.url.replace(query="")).rstrip("/") + "/results"
        return _or_missing(200, opendsr.status(self.workspace, number, by, results=results))

    def _cancel(self, by: Caller, request: Request, body: bytes, told: Mapping[str, Any]) -> Answered:
        return _or_missing(202, opendsr.delete(self.workspace, request.path_params["number"], by))

    def _results(self, by: Caller, request: Request, body: bytes, told: Mapping[str, Any]) -> Answered | Response:
        one = opendsr.request_of(self.workspace, request.path_params["number"], by)
        if one is None or one.kind not in ("access", "portability") or one.status != "finished":
            return _or_missing(200, None)
        made = fulfil(self.workspace, one.request_id, actor=by.id)
        return Response(made.file, media_type="application/zip", headers=HEADERS | {"Content-Disposition": f'attachment; filename="{one.kind}-{one.request_id[:8]}.zip"'})

    # Segment

    def _regulate(self, by: Caller, request: Request, body: bytes, told: Mapping[str, Any]) -> Answered:
        return 200, regulations.create(self.workspace, told, by)

    def _regulations(self, by: Caller, request: Request, body: bytes, told: Mapping[str, Any]) -> Answered:
        asked = request.query_params
        return 200, regulations.every(self.workspace, by, status=asked.get("status", ""), kinds=[*asked.getlist("regulationTypes"), *asked.getlist("regulationTypes[]")])

    def _regulation(self, by: Caller, request: Request, body: bytes, told: Mapping[str, Any]) -> Answered:
        return _or_missing(200, regulations.one(self.workspace, request.path_params["number"], by))

    def _take_back(self, by: Caller, request: Request, body: bytes, told: Mapping[str, Any]) -> Answered:
        return _or_missing(200, regulations.delete(self.workspace, request.path_params["number"], by))

    # what all of them need

    def _keyed(self, call: Call) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            body = b""
            async for part in request.stream():
                body += part
                if len(body) > MOST:
                    return await run_in_threadpool(self._told, request, _refused(413, f"a body has {MOST:,} bytes at most", segment=_is_segment(request)))
            return await run_in_threadpool(lambda: self._told(request, self._answer(call, request, body)))

        return answer

    def _told(self, request: Request, answer: Response) -> Response:
        """The answer as it is sent: of OpenDSR with a signature."""
        return answer if _is_segment(request) else self._signed(answer)

    def _answer(self, call: Call, request: Request, body: bytes) -> Response:
        segment = _is_segment(request)
        by = caller(self.workspace.state, _key(request.headers.get("authorization", "")))
        if by is None:
            return _refused(401, "a key is needed: Authorization: Bearer pk_…, made by kundig privacy grant", segment=segment)
        told: Any = {}
        if request.method == "POST":
            try:
                told = json.loads(body)
            except (ValueError, RecursionError):
                told = None
            if not isinstance(told, dict):
                return _refused(400, "the body is no JSON object", segment=segment)
        with self._lock:
            try:
                made = call(by, request, body, told)
            except KundigError as error:
                return _refused(422 if segment else 400, error.what, field=error.faults[0].at, segment=segment)
        if isinstance(made, Response):
            return made
        status, found = made
        return _refused(404, "there is no such request", segment=segment) if found is None else JSONResponse(found, status_code=status, headers=HEADERS)


def _or_missing(status: int, found: Any) -> Answered:
    return status, found


def _is_segment(request: Request) -> bool:
    return request.url.path.startswith("/regulations")


def _key(header: str) -> str:
    """The key of an Authorization header: as a bearer, or as the user of Basic."""
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0]
        except (binascii.Error, ValueError):
            return ""
    return ""


def _refused(status: int, what: str, *, field: str = "", segment: bool) -> Response:
    """A refusal as either specification spells it; nothing of a person is in it."""
    if segment:
        told: dict[str, Any] = {"errors": [{"type": {401: "unauthorized", 404: "not-found", 422: "validation-error"}.get(status, "bad-request"), "message": what} | ({"field": field} if field else {})]}
    else:
        told = {"error": {"code": status, "message": what, "errors": [{"domain": "Validation", "reason": field or "request", "message": what}]}}
    return JSONResponse(told, status_code=status, headers=HEADERS | ({"WWW-Authenticate": "Bearer"} if status == 401 else {}))
