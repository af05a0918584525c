"""Who may ask: requests that name this machine. A page elsewhere whose name was bent to point here is turned away."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class LoopbackOnly:
    """Passes on requests whose Host is loopback; others get 421."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask for the Host, then pass on or turn away."""
        if scope["type"] == "http" and not is_loopback(Headers(scope=scope).get("host", "")):
            refusal = PlainTextResponse("this server answers requests to 127.0.0.1 or localhost alone; a proxy in front of it sets Host: localhost\n", status_code=421)
            await refusal(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def is_loopback(host: str) -> bool:
    """Whether a Host header names this machine.

    Examples:
        >>> is_loopback("127.0.0.1:8000"), is_loopback("[::1]:8000"), is_loopback("evil.example")
        (True, True, False)
    """
    try:
        return urlsplit(f"//{host}").hostname in LOOPBACK
    except ValueError:
        return False
