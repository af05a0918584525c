"""The intake in a process of its own for `bench.intake`: `python -m bench.intake_child WORKSPACE [nowhere]` prints its port.

With `nowhere` it is the same server without storing: every request is acknowledged as soon as it was read and judged.
"""

from __future__ import annotations

import asyncio
import sys

from kundig.collect.intake import run_intake
from kundig.store.inbox import Inbox
from kundig.workspace import Workspace


class Nowhere(Inbox):
    """An inbox that keeps nothing."""

    def stored(self, body: bytes, *, source: str, kind: str, meta: str) -> asyncio.Future[int]:
        """Acknowledge at once."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_result(1)
        return future


def main(arguments: list[str]) -> None:
    """Serve until a signal."""
    if arguments[1:] == ["nowhere"]:
        from kundig.collect.intake import serving

        serving.open_inbox = lambda place, **more: Nowhere(place, **more)  # type: ignore[attr-defined]
    run_intake(Workspace(arguments[0]), "127.0.0.1", 0, announce=lambda address: print(address.rpartition(":")[2], flush=True))


if __name__ == "__main__":
    main(sys.argv[1:])
