"""Forwards a folder's inbox to an address until it is killed."""

from __future__ import annotations

import sys
from pathlib import Path

from kundig.config.deliver import Destination
from kundig.deliver.forward import Forwarder
from kundig.deliver.forward.targets import opened
from kundig.store.inbox import Inbox
from kundig.store.state import State
from tests.deliver.test_forward import read


def main(folder: Path, url: str) -> None:
    """Forward, for ever."""
    settings = Destination.model_validate(
        {"meaning": "m", "owner": "o", "no_consent_needed": "test", "rate": {"requests": 5_000}, "http": {"url": url, "body": {"id": {"$from": "message_id"}, "user": {"$from": "user_id"}}}}
    )
    state = State.open(f"sqlite:///{folder / 'state.sqlite'}")
    target = opened(settings, secret=str, folder=folder)
    forwarder = Forwarder(name="partner", destination=settings, target=target, inbox=Inbox(folder / "inbox.sqlite"), state=state, read=read, ask=lambda event, at: "")
    print("ready", flush=True)
    forwarder.follow(every=0.02)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
