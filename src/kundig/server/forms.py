"""Pages that change something: each form carries a token of this process, so that a page elsewhere in the same browser cannot send it."""

from __future__ import annotations

import hmac
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from kundig.report.views import View
from kundig.report.words import Words

if TYPE_CHECKING:
    from kundig.workspace import Workspace

MOST = 20_000
"""Bytes of a form."""
Reading = Callable[[Request, Words], Response]
Writing = Callable[[Request, Words, dict[str, str]], Response]
Shown = Callable[[Request, Words, View, int], Response]
ACTOR = "pages"
"""Who does what a form asks, for the audit log."""


class Forms:
    """What pages with forms share.

    Args:
        words: The language that a request asks for.
        headers: What every answer carries.
        refused: Answers a form whose token is not this process's.
    """

    def __init__(self, *, words: Callable[[Request], Words], headers: Mapping[str, str], refused: Writing) -> None:
        self._words, self._headers, self._refused = words, dict(headers), refused
        self.token = secrets.token_urlsafe(24)

    def read(self, answer: Reading) -> Any:
        """An endpoint that shows something."""

        async def asked(request: Request) -> Response:
            return await run_in_threadpool(answer, request, self._words(request))

        return asked

    def write(self, answer: Writing) -> Any:
        """An endpoint that takes a form."""

        async def asked(request: Request) -> Response:
            body = b""
            async for part in request.stream():
                body += part
                if len(body) > MOST:
                    return PlainTextResponse("too long\n", status_code=413, headers=self._headers)
            form = {name: given[-1].strip() for name, given in parse_qs(body.decode(errors="replace")).items()}
            w = self._words(request)
            right = hmac.compare_digest(form.get("token", "").encode(), self.token.encode())
            return await run_in_threadpool(answer if right else self._refused, request, w, form)

        return asked


class FormPages(ABC):
    """Pages with forms over one workspace.

    Args:
        workspace: The workspace.
        words: The language that a request asks for.
        shown: Makes a page of a view.
        headers: What every answer carries.
    """

    def __init__(self, workspace: Workspace, *, words: Callable[[Request], Words], shown: Shown, headers: Mapping[str, str]) -> None:
        self.workspace, self._shown, self._headers = workspace, shown, dict(headers)
        self._forms = Forms(words=words, headers=headers, refused=self._stale)

    @abstractmethod
    def _stale(self, request: Request, w: Words, form: dict[str, str]) -> Response:
        """What is shown where a form came with the token of another process."""
