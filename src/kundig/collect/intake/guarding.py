"""Connections that send no request: a head that grows without end, one that never ends, and none at all. The server's protocol, with limits on these."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD = 64_000
"""Bytes of address and headers at most."""


class Guarded(HttpToolsProtocol):
    """A connection that is closed when a request's head is too long, or too slow to come."""

    seconds: float = 30.0
    """Within which a head must arrive, from the opening of the connection or its first byte."""

    _in_head = False
    _head = 0
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares its own
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._waited()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what comes; count it where it belongs to a head that has begun before."""
        begun = self._in_head
        super().data_received(data)
        if not self._in_head:
            self._waited()
            return
        self._head += len(data) if begun else 0
        if self._head > HEAD:
            self.transport.abort()
        elif self._waiting is None:
            self._wait()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head, self._head = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._in_head = False
        super().on_headers_complete()

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(self.seconds, self._give_up)

    def _waited(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        if self.transport is not None and not self.transport.is_closing():
            self.transport.abort()
