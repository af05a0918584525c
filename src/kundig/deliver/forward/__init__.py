"""Forwarding: accepted events leave again for other systems, each destination with its own cursor on the inbox, pace, consent, retries and dead letters."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from kundig.clock import Clock, now
from kundig.deliver.forward.events import Event
from kundig.deliver.forward.forwarder import Forwarder, Reads, Told
from kundig.deliver.forward.permission import Permission
from kundig.deliver.forward.targets import opened
from kundig.errors import ConfigError

if TYPE_CHECKING:
    from kundig.config.load import Config
    from kundig.store.inbox import Inbox
    from kundig.store.state import State

__all__ = ["Event", "Forwarder", "Reads", "Told", "forwarders"]


def forwarders(config: Config, *, inbox: Inbox, state: State, read: Reads, clock: Clock = now, stop: threading.Event | None = None) -> list[Forwarder]:
    """A forwarder for each active destination of the workspace; cursors of those that are not there any more are given up.

    Raises:
        ConfigError: A secret of a destination is not set.
        RuleError: A rule has faults.
    """
    from kundig.consent.suppression import SECRET
    from kundig.rules import parse_many

    active = {name: destination for name, destination in config.destinations.items() if destination.active}
    for cursor in inbox.cursors():
        if cursor.startswith("forward:") and cursor.removeprefix("forward:") not in active:
            inbox.forget(cursor)
    asked = parse_many({name: destination.when for name, destination in active.items() if destination.when is not None}, config)

    def secret() -> bytes | None:
        try:
            return config.secret(SECRET).encode()  # made when the list is first used, which may be later than now
        except ConfigError:
            return None

    made = []
    for name, destination in sorted(active.items()):
        ask = Permission(destination, state=state, purposes=config.purposes, rule=asked.get(name), secret=secret)
        target = opened(destination, secret=config.secret, folder=config.path("data"), clock=clock)
        made.append(Forwarder(name=name, destination=destination, target=target, inbox=inbox, state=state, read=read, ask=ask, clock=clock, stop=stop))
    return made
