"""Dead letters: what a destination refused or was tried with for too long; sent again, or dropped, by somebody who says so."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from kundig.errors import ContractError, nearest
from kundig.store.inbox import Inbox
from kundig.store.state import State


def held(state: State, destination: str = "") -> list[dict[str, Any]]:
    """The letters that are held, oldest first; of one destination, or of all."""
    table = state.sql("dead_letters")
    where = [table.c.status == "held"] + ([table.c.destination == destination] if destination else [])
    return state.select("dead_letters", *where, order_by=table.c.failed_at)


def backlog(inbox: Inbox, state: State, destinations: Mapping[str, Any]) -> dict[str, tuple[int, int, int, str]]:
    """Per destination: entries of the inbox before its cursor, events that wait, letters that are held, and what it said last."""
    cursors = inbox.cursors()
    waits, dead = state.sql("forwards"), state.sql("dead_letters")
    with state.reading() as connection:
        waiting: dict[str, int] = dict(connection.execute(sa.select(waits.c.destination, sa.func.count()).group_by(waits.c.destination)).tuples().all())
        letters: dict[str, int] = dict(connection.execute(sa.select(dead.c.destination, sa.func.count()).where(dead.c.status == "held").group_by(dead.c.destination)).tuples().all())
        said: dict[str, str] = dict(connection.execute(sa.select(waits.c.destination, waits.c.reason).where(waits.c.reason != "").order_by(waits.c.destination, waits.c.seq.desc())).tuples().all())
    return {
        name: (inbox.waiting(f"forward:{name}") if f"forward:{name}" in cursors else 0, waiting.get(name, 0), letters.get(name, 0), said.get(name, ""))
        for name in destinations
    }  # fmt: skip


def replay(state: State, destination: str, *, now: dt.datetime, ids: Sequence[str] = ()) -> int:
    """Send letters again: all that are held, or those named. Gives how many wait now; they keep their order and their idempotency key.

    Raises:
        ContractError: No letter of that name is held.
    """
    chosen = _chosen(state, destination, ids)
    dead = state.sql("dead_letters")
    with state.transaction() as connection:
        for letter in chosen:
            seq, position = letter["letter_id"].rsplit(":", 2)[1:]
            waits = {name: letter[name] for name in ("destination", "identifier_key", "message_id", "body")}
            waits |= {"seq": int(seq), "position": int(position), "attempts": 0, "first_try_at": now, "next_try_at": now, "reason": letter["reason"]}
            state.insert("forwards", [waits], connection=connection, ignore_known=True)
            connection.execute(sa.update(dead).where(dead.c.letter_id == letter["letter_id"]).values(status="replayed"))
    return len(chosen)


def drop(state: State, destination: str, *, ids: Sequence[str] = ()) -> int:
    """Give letters up: their bodies are deleted, that they were there stays. Gives how many.

    Raises:
        ContractError: No letter of that name is held.
    """
    chosen = _chosen(state, destination, ids)
    dead = state.sql("dead_letters")
    with state.transaction() as connection:
        for letter in chosen:
            connection.execute(sa.update(dead).where(dead.c.letter_id == letter["letter_id"]).values(status="dropped", body=None))
    return len(chosen)


def _chosen(state: State, destination: str, ids: Sequence[str]) -> list[dict[str, Any]]:
    letters = held(state, destination)
    known = {letter["letter_id"]: letter for letter in letters}
    strange = [name for name in ids if name not in known]
    if strange:
        raise ContractError(f"no dead letter '{strange[0]}' is held for '{destination}'", at="dead_letters", mend=nearest(strange[0], known) if known else "none is held")
    return [known[name] for name in ids] if ids else letters
