"""Forwarding at work: requests of the inbox, judged as landing judges them, on their way to the workspace's destinations."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kundig.clock import Clock
from kundig.clock import now as present
from kundig.collect.calls import calls_of
from kundig.collect.inbox_landing import READERS, read_calls
from kundig.collect.judging import judged
from kundig.collect.plain_json import decoded
from kundig.deliver.forward import Event, Forwarder, forwarders
from kundig.store.inbox import Entry

if TYPE_CHECKING:
    from kundig.workspace import Workspace


class Outgoing:
    """Reads the accepted events of requests: what landing makes of a call decides whether it leaves, the call as it was sent decides what leaves."""

    def __init__(self, workspace: Workspace, *, clock: Clock = present) -> None:
        self._lake, self._config, self._events, self._clock = workspace.lake, workspace.config, workspace.tables["events"], clock

    def __call__(self, entries: Sequence[Entry]) -> list[tuple[int, Event]]:
        """The events of entries with the `seq` of their entry, in their order; those that are held carry the reason as `fault`."""
        calls: dict[str, list[Entry]] = {}
        for entry in entries:
            if READERS.get(entry.kind) is read_calls:
                calls.setdefault(entry.source, []).append(entry)
        found: list[tuple[int, Event]] = []
        con = self._lake.duck.cursor()
        try:
            for source, some in sorted(calls.items()):
                found += self._of(con, source, some)
        finally:
            con.close()
        return sorted(found, key=lambda one: one[0])

    def _of(self, con: Any, source: str, entries: Sequence[Entry]) -> list[tuple[int, Event]]:
        verdict = judged(con, self._config, self._events, source, entries, folder=self._lake.data, now=self._clock(), existing=self._existing)
        values = {one.identifier_key: (one.namespace, one.value) for one in verdict.carried}
        rows = {row["event_id"]: row for row in verdict.rows.to_pylist()}
        found = []
        lines = calls_of(entries)
        for line, seq in zip(lines.lines, lines.origins, strict=True):
            call = _decoded(line)
            row = rows.get(f"{source}:{call.get('messageId')}")
            if row is not None:
                found.append((seq, self._event(row, call, values)))
        return found

    def _event(self, row: Mapping[str, Any], call: Mapping[str, Any], values: Mapping[int, tuple[str, str]]) -> Event:
        keys = [key for key in (row["identifier_key"], *(row["other_keys"] or ())) if key in values]
        keys.sort(key=lambda key: (key != row["identifier_key"], *self._config.identity.strength(values[key][0]), key))
        traits, context = _mapping(call.get("traits")), _mapping(call.get("context"))
        return Event(
            message_id=str(call["messageId"]), source=row["source"], kind=row["kind"], name=row["name"], occurred_at=row["occurred_at"], received_at=row["received_at"],
            user_id=_text(call.get("userId")), anonymous_id=_text(call.get("anonymousId")), identifiers=tuple((*values[key], key) for key in keys),
            properties=_mapping(call.get("properties")), traits=traits or _mapping(context.get("traits")), context=context,
        )  # fmt: skip

    def _existing(self, table: str) -> str | None:
        _, files = self._lake.files(table)
        return self._lake.scan(table) if files else None


def _decoded(line: bytes) -> Mapping[str, Any]:
    return _mapping(decoded(line))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    return None if value in (None, "") else str(value)


def open_forwarders(workspace: Workspace, *, clock: Clock = present, stop: threading.Event | None = None) -> list[Forwarder]:
    """The forwarders of a workspace's active destinations, ready to step.

    Raises:
        ConfigError: A secret of a destination is not set.
    """
    return forwarders(workspace.config, inbox=workspace.inbox(), state=workspace.state, read=Outgoing(workspace, clock=clock), clock=clock, stop=stop)

