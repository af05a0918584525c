"""The intake as a process for tests: `python -m tests.intake.child WORKSPACE [SCRIPT]` prints its port.

SCRIPT is a list such as `500,500,429`: the first requests that bring something get these statuses, and nothing of them is looked at.
`drop` closes the connection without an answer, after the request was taken.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from kundig.collect.intake import run_intake, serving
from kundig.collect.intake.app import Intake
from kundig.workspace import Workspace


class Stumbling(Intake):
    """The intake, which at first answers as a script says."""

    script: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Follow the script, then be oneself."""
        if scope["type"] != "http" or scope["method"] != "POST" or not self.script:
            await super().__call__(scope, receive, send)
            return
        word = self.script.pop(0)
        if word == "drop":
            answers: list[Any] = []

            async def keep(message: Any) -> None:
                answers.append(message)

            await super().__call__(scope, receive, keep)
            send.__self__.transport.abort()  # the server's own connection
            return
        while (await receive()).get("more_body", False):
            await asyncio.sleep(0)
        origin = dict(scope["headers"]).get(b"origin", b"*")
        headers = [(b"content-length", b"0"), (b"access-control-allow-origin", origin), (b"access-control-expose-headers", b"Retry-After")]
        headers += [(b"retry-after", b"1")] if word == "429" else []
        await send({"type": "http.response.start", "status": int(word), "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def main(arguments: list[str]) -> None:
    """Serve until a signal."""
    Stumbling.script = [word for word in arguments[1].split(",") if word] if len(arguments) > 1 else []
    serving.Intake = Stumbling  # type: ignore[misc]
    run_intake(Workspace(arguments[0]), "127.0.0.1", 0, announce=lambda address: print(address.rpartition(":")[2], flush=True))


if __name__ == "__main__":
    main(sys.argv[1:])
