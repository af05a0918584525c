"""Replaying: after a restore, whoever was erased since the backup is erased once more, known by the digests of the list alone."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from kundig.clock import now
from kundig.consent import suppression
from kundig.errors import IdentityError, PrivacyError
from kundig.privacy.erasing import Certificate, begin
from kundig.privacy.requests import enter
from kundig.privacy.subjects import subject_of_key

if TYPE_CHECKING:
    from kundig.workspace import Workspace

REPLAY = "replay after a restore"
"""Who asked, at requests that a replay makes."""


def as_lines(workspace: Workspace) -> bytes:
    """The list of suppressed people as JSON lines, to be kept apart from backups: digests, reasons and moments; nobody can be read from it without the key."""
    rows = sorted(workspace.state.select("suppressions"), key=lambda row: str(row["digest"]))
    return "".join(f"{json.dumps({'digest': row['digest'], 'reason': row['reason'], 'at': None if row['at'] is None else row['at'].isoformat()})}\n" for row in rows).encode()


def from_lines(content: bytes) -> tuple[dict[str, Any], ...]:
    """The rows that `as_lines` wrote.

    Raises:
        PrivacyError: A line is none of them.

    Examples:
        >>> from_lines(b'{"digest": "ab", "reason": "erased", "at": null}')
        ({'digest': 'ab', 'reason': 'erased', 'at': None},)
    """
    found = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            row = json.loads(line)
            at = None if row["at"] is None else dt.datetime.fromisoformat(row["at"])
            if row["reason"] not in suppression.ORDER:
                raise ValueError(row["reason"])
            found.append({"digest": str(row["digest"]), "reason": row["reason"], "at": at})
        except (ValueError, KeyError, TypeError) as error:
            raise PrivacyError("this is no line of a list of suppressed people", at=f"line {number}", mend="give the file that kundig privacy digests wrote") from error
    return tuple(found)


def replay(workspace: Workspace, listed: Iterable[Mapping[str, Any]] = (), *, actor: str = "cli", told: Callable[[str], None] = lambda step: None) -> tuple[Certificate, ...]:
    """Take the digests of `listed` into the list, then erase everybody whose identifiers stand on it as erased; gives a certificate for each person.

    Args:
        workspace: The workspace, restored.
        listed: Rows of `from_lines`; none: the list that stands is replayed.
        actor: Who does it, for the audit log.
        told: Hears the name of each step of each erasure.

    Raises:
        ConfigError: The list is not empty, and its secret key is not set.
        Busy: Another process is writing.
    """
    state = workspace.state
    table = state.sql("suppressions")
    with workspace.writing("erase"):
        with state.transaction() as connection:
            before = {row["digest"]: row["reason"] for row in state.select("suppressions", connection=connection)}
            stronger = [dict(row) for row in listed if row["digest"] not in before or suppression.ORDER.index(row["reason"]) < suppression.ORDER.index(before[row["digest"]])]
            for row in stronger:
                connection.execute(table.delete().where(table.c.digest == row["digest"]))
            state.insert("suppressions", stronger, connection=connection)
        done = []
        for key in _erased(workspace):
            try:
                of = subject_of_key(workspace, key)
            except IdentityError:
                continue  # it went with the person before
            one = enter(workspace, "erasure", of, requested_by=REPLAY, verified_by=REPLAY, details={}, requested_at=now(), actor=actor)
            done.append(begin(workspace, one, of, actor=actor, told=told))
        return tuple(done)


def _erased(workspace: Workspace) -> list[int]:
    """Keys of the identifiers that are there though they stand on the list as erased."""
    table = workspace.state.sql("suppressions")
    listed = {row["digest"] for row in workspace.state.select("suppressions", table.c.reason == "erased")}
    _, files = workspace.lake.files("identifiers")
    if not listed or not files:
        return []
    secret = suppression.key(workspace.config, in_use=True)
    rows = workspace.rows_now("SELECT identifier_key, namespace, value FROM identifiers ORDER BY 1")[1]
    return [int(key) for key, namespace, value in rows if not listed.isdisjoint(suppression.digests(namespace, value, secret=secret))]
