"""The outbox: messages are queued once, claimed in one transaction that asks the gate again, and handed over exactly once.

    queued ──claim──▶ claimed ──hand over──▶ sent
       │                 └──(crash)── resolve ──▶ sent, where the destination has it; else queued again
       └──claim──▶ refused, with the gate's reason; queued again when a later run selects the person once more

What was withdrawn before the claim is never sent: the claim reads the consent log and writes its caps in the transaction that
marks the row, so no other claim and no withdrawal fits in between.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from kundig.clock import local_day
from kundig.hooks import Channel
from kundig.store.state import State
from kundig.tables.deliver import MESSAGES

PASSING = frozenset({"quiet_hours"})
"""Refusals that time alone lifts within a day: the message stays queued."""


CONTENT = MESSAGES.names[: MESSAGES.names.index("variables") + 1]
"""The columns of `messages` that say what is sent to whom."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the gate said of one message when it was claimed."""

    allow: bool
    reason: str


Row = dict[str, Any]
Ask = Callable[[sa.Connection, Sequence[Row], dt.datetime], Sequence[Answer]]
"""Asks the gate about messages, one per person, with facts read through the claim's own connection."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Queued:
    """What queueing did: new messages, ones queued again, ones known already, and ones whose person is no longer selected."""

    new: int = 0
    again: int = 0
    known: int = 0
    dropped: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """The messages of one claim, and why others were refused."""

    claim: str
    rows: tuple[Row, ...]
    reasons: Mapping[str, int]
    seen: int
    last: str = ""


@dataclass(kw_only=True, slots=True)
class Delivered:
    """What a delivery did, for print and report."""

    sent: int = 0
    failed: int = 0
    resolved_sent: int = 0
    resolved_again: int = 0
    taken_back: int = 0
    queued: Queued = field(default_factory=Queued)
    refused: Counter[str] = field(default_factory=Counter)
    by_channel: Counter[str] = field(default_factory=Counter)
    folder: str = ""

    @property
    def folders(self) -> list[str]:
        """Where the messages lie; empty where none were handed over, or to no folder."""
        return [self.folder] if self.sent and self.folder else []

    def lines(self) -> list[str]:
        """What was done, as text."""
        queued = self.queued
        told = [f"queued {queued.new:,} new, {queued.again:,} again; {queued.known:,} were handed over before, {queued.dropped:,} are no longer selected"]
        by_channel = ", ".join(f"{channel} {count:,}" for channel, count in sorted(self.by_channel.items())) or "nothing"
        told.append(f"handed over {self.sent:,} ({by_channel})" + (f", failed {self.failed:,}" if self.failed else ""))
        if self.refused:
            told.append("refused at the claim: " + ", ".join(f"{reason} {count:,}" for reason, count in self.refused.most_common()))
        if self.resolved_sent or self.resolved_again:
            told.append(f"an earlier delivery had stopped: {self.resolved_sent:,} of its messages were handed over, {self.resolved_again:,} were queued again")
        return told


def occasion(kind: str, at: dt.datetime, zone: str) -> str:
    """The period that a message belongs to: within it, a person gets an audience's message once.

    Examples:
        >>> at = dt.datetime(2026, 12, 31, 23, 30, tzinfo=dt.UTC)
        >>> [occasion(kind, at, "Europe/Berlin") for kind in ("once", "day", "week", "month", "quarter")]
        ['once', '2027-01-01', '2026-W53', '2027-01', '2027-Q1']
    """
    day = local_day(at, zone)
    year, week, _ = day.isocalendar()
    return {"day": f"{day}", "week": f"{year}-W{week:02d}", "month": f"{day:%Y-%m}", "quarter": f"{day.year}-Q{(day.month + 2) // 3}"}.get(kind, "once")


def message_id(audience: str, person_key: int, creative: str, occasion: str) -> str:
    """The idempotency key of a message, 32 hex digits: the same audience, person, creative and occasion is the same message.

    The channel is no part of it: whoever got a message by e-mail does not get it by push as well.
    """
    return message_ids(audience, [person_key], creative, occasion)[0]


def message_ids(audience: str, persons: Iterable[int], creative: str, occasion: str) -> list[str]:
    """The keys (`message_id`) of an audience's messages to many persons.

    Examples:
        >>> whole = json.dumps(["win_back", 7, "spring", "2026-11"])
        >>> message_ids("win_back", [7], "spring", "2026-11") == [hashlib.sha256(whole.encode()).hexdigest()[:32]]
        True
    """
    before, after = f"[{json.dumps(audience)}, ", f", {json.dumps(creative)}, {json.dumps(occasion)}]"
    return [hashlib.sha256(f"{before}{person}{after}".encode()).hexdigest()[:32] for person in persons]


def queue(state: State, messages: pa.Table, *, audiences: Iterable[str], at: dt.datetime, run_id: int) -> Queued:
    """Put messages into the outbox: new ones, and ones refused or still queued with their newest content.

    `messages` has the columns of the table `messages` from `message_id` to `variables`. A message that is claimed, sent or
    failed is left alone. Queued messages of the `audiences` that are not among them are refused: their person is no longer selected.
    """
    table = state.sql("messages")
    ids: list[str] = messages["message_id"].to_pylist()
    given = set(ids)
    with state.transaction() as connection:
        found = connection.execute(sa.select(table.c.message_id, table.c.status).where(table.c.audience.in_(sorted(audiences)))).all()
        standing = {row.message_id: row.status for row in found}
        new = messages.filter(pa.array([key not in standing for key in ids], pa.bool_())).sort_by("message_id")  # in the order of its index
        again = messages.filter(pa.array([standing.get(key) in ("queued", "refused") for key in ids], pa.bool_())).to_pylist()
        gone = [key for key, status in standing.items() if status == "queued" and key not in given]
        fresh = {"status": pa.scalar("queued"), "run_id": pa.scalar(run_id), "queued_at": pa.scalar(at, pa.timestamp("us", "UTC")), "attempts": pa.scalar(0)}
        state.load("messages", pa.table({**dict(zip(new.column_names, new.columns, strict=True)), **{n: pa.repeat(v, new.num_rows) for n, v in fresh.items()}}), connection=connection)
        if again:
            renewed = sa.update(table).where(table.c.message_id == sa.bindparam("which")).values({name: sa.bindparam(name) for name in messages.column_names if name != "message_id"})
            renewed = renewed.values(status="queued", reason=None, run_id=run_id, queued_at=at, claimed_at=None, sent_at=None, claim=None)
            connection.execute(renewed, [{"which" if name == "message_id" else name: value for name, value in row.items()} for row in again])
        _mark(connection, table, gone, status="refused", reason="rule_not_met")
    return Queued(new=new.num_rows, again=len(again), known=len(ids) - new.num_rows - len(again), dropped=len(gone))


def claim(state: State, ask: Ask, *, name: str, at: dt.datetime, limit: int = 10_000, after: str = "", channels: Iterable[str] | None = None, but: Iterable[str] = ()) -> Claimed:
    """Claim up to `limit` queued messages with ids above `after`, of these `channels` (all else) `but` those, in one transaction.

    The gate is asked through the transaction's own connection; a person with several messages in the batch is asked for each
    in turn, with the caps of the ones before. Refused messages are marked with the reason, allowed ones are marked claimed
    and counted in `caps`.
    """
    table = state.sql("messages")
    clauses = [table.c.status == "queued", table.c.message_id > after]
    if channels is not None:
        clauses.append(table.c.channel.in_(sorted(channels)))
    if kept := sorted(but):
        clauses.append(table.c.channel.not_in(kept))
    wanted = sa.select(*(sa.type_coerce(table.c[name], sa.BigInteger if name == "person_key" else sa.Text) for name in CONTENT))
    reasons: Counter[str] = Counter()
    taken: list[Row] = []
    with state.transaction() as connection:
        found = connection.execute(wanted.where(*clauses).order_by(table.c.message_id).limit(limit)).all()
        rows: list[Row] = [dict(zip(CONTENT, row, strict=True)) for row in found]
        for turn in one_per_person(rows):
            answers = ask(connection, turn, at)
            allowed = [row for row, answer in zip(turn, answers, strict=True) if answer.allow]
            caps = {name: pa.array([row[name] for row in allowed], kind) for name, kind in (("message_id", pa.string()), ("person_key", pa.int64()), ("channel", pa.string()))}
            state.load("caps", pa.table(caps | {"at": pa.repeat(pa.scalar(at, pa.timestamp("us", "UTC")), len(allowed))}), connection=connection)
            taken += allowed
            refusals: dict[str, list[str]] = {}
            for row, answer in zip(turn, answers, strict=True):
                if not answer.allow:
                    refusals.setdefault(answer.reason, []).append(row["message_id"])
                    reasons[answer.reason] += 1
            for reason, ids in refusals.items():
                _mark(connection, table, ids, status="queued" if reason in PASSING else "refused", reason=reason)
        marks = {"status": "claimed", "reason": None, "claim": name, "claimed_at": at, "attempts": table.c.attempts + 1}
        if rows and PASSING.isdisjoint(reasons):  # of those that were found and are still queued, all are taken
            connection.execute(sa.update(table).where(*clauses, table.c.message_id <= rows[-1]["message_id"]).values(marks))
        else:
            _mark(connection, table, [row["message_id"] for row in taken], **marks)
    return Claimed(claim=name, rows=tuple(taken), reasons=reasons, seen=len(rows), last=rows[-1]["message_id"] if rows else after)


def one_per_person(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows in turns, in each of which a person stands at most once."""
    turns: list[list[Row]] = []
    met: Counter[int] = Counter()
    for row in rows:
        number = met[row["person_key"]]
        met[row["person_key"]] += 1
        if number == len(turns):
            turns.append([])
        turns[number].append(row)
    return turns


def settle(state: State, claimed: Claimed, *, at: dt.datetime, failed: Mapping[str, str]) -> int:
    """Mark a claim's messages as sent, but for those that failed (id to reason code), which give back their cap; gives the number sent."""
    table = state.sql("messages")
    with state.transaction() as connection:
        for reason in sorted(set(failed.values())):
            _mark(connection, table, [key for key, why in failed.items() if why == reason], status="failed", reason=reason)
        _forget_caps(state, connection, list(failed))
        done = sa.update(table).where(table.c.claim == claimed.claim, table.c.status == "claimed").values(status="sent", sent_at=at)
        return int(connection.execute(done).rowcount)


def left_behind(state: State) -> list[str]:
    """Names of the claims that are neither handed over nor given back, sorted."""
    table = state.sql("messages")
    return sorted(row[0] for row in _read(state, sa.select(table.c.claim).where(table.c.status == "claimed").distinct()) if row[0])


def resolve(state: State, channel: Channel, *, at: dt.datetime, names: Iterable[str] | None = None) -> tuple[int, int]:
    """Settle what claimants left behind, or these claims of theirs: (messages that were handed over, messages queued again).

    The channel is asked to take back each open claim. What it has after all is sent; the rest is queued again without its cap,
    and the next claim asks the gate anew. A claimant that is only slow finds its part taken back and hands nothing over.
    """
    table = state.sql("messages")
    sent = again = 0
    for name in left_behind(state) if names is None else sorted(names):
        run_id, part = split_claim(name)
        had = channel.withdraw(run_id, part)
        with state.transaction() as connection:
            ids = [row[0] for row in connection.execute(sa.select(table.c.message_id).where(table.c.claim == name, table.c.status == "claimed"))]
            lost = [key for key in ids if key not in had]
            _mark(connection, table, [key for key in ids if key in had], status="sent", sent_at=at)
            _mark(connection, table, lost, status="queued", claim=None, claimed_at=None)
            _forget_caps(state, connection, lost)
        sent += len(ids) - len(lost)
        again += len(lost)
    return sent, again


def claim_name(run_id: int, part: str) -> str:
    """The name of a claim: the run's folder and the part in it."""
    return f"{run_id}/{part}"


def split_claim(name: str) -> tuple[int, str]:
    """The run and the part of a claim."""
    run, _, part = name.partition("/")
    return int(run), part


def _mark(connection: sa.Connection, table: sa.Table, ids: Sequence[str], **values: Any) -> None:
    if ids:
        marked = sa.update(table).where(table.c.message_id == sa.bindparam("which")).values(**values)
        connection.execute(marked, [{"which": key} for key in ids])


def _forget_caps(state: State, connection: sa.Connection, ids: Sequence[str]) -> None:
    caps = state.sql("caps")
    for start in range(0, len(ids), 10_000):
        connection.execute(sa.delete(caps).where(caps.c.message_id.in_(ids[start : start + 10_000])))


def _read(state: State, statement: sa.Select[Any]) -> list[Any]:
    with state.reading() as connection:
        return list(connection.execute(statement).all())
