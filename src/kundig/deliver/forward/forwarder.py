"""Forwarding to one destination: its own cursor on the inbox, its own waiting room, its own pauses; it holds up nobody else.

    inbox ──cursor──▶ accepted? ruled? consented? ──▶ sent
                                                  ├──▶ waiting (tried again, in order per person) ──▶ sent
                                                  └──▶ dead letter (refused, or tried too long) ──replay──▶ waiting

What became of a batch is written in one transaction before the cursor moves past it: after a crash the batch is read again, what is
noted as sent is left out, and what was sent without being noted is sent once more under the same idempotency key.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from kundig.clock import Clock, now
from kundig.config.deliver import Destination
from kundig.deliver.forward.events import Event
from kundig.deliver.forward.lanes import Pace, Row, send
from kundig.deliver.forward.targets import Answer, Parcel, Target
from kundig.store.inbox import Entry, Inbox
from kundig.store.state import State

READ = 100
"""Entries of the inbox read at once; what a crash may have to send again."""

AT_ONCE = 5_000
"""Waiting rows looked at in one pass."""

REMEMBERED = dt.timedelta(days=3)
"""How long a message that was sent is known, so that a copy that arrives again is left out."""

LONGEST = 300.0
"""Most seconds between two tries."""

Reads = Callable[[Sequence[Entry]], Sequence[tuple[int, Event]]]
"""The events of entries, each with the `seq` of its entry, in their order; those that are not accepted with their fault."""

Asks = Callable[[Event, dt.datetime], str]
"""Why an event may not leave at a moment; '' where it may."""


@dataclass(kw_only=True, slots=True)
class Told:
    """What a pass did: events sent, put off, refused, and left out by reason; and what is left to do."""

    sent: int = 0
    put_off: int = 0
    refused: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    paused_until: dt.datetime | None = None
    reason: str = ""

    @property
    def idle(self) -> bool:
        """Whether there was nothing to do."""
        return not (self.sent or self.put_off or self.refused or self.left_out)


class Forwarder:
    """One destination's way out of the inbox."""

    def __init__(
        self, *, name: str, destination: Destination, target: Target, inbox: Inbox, state: State, read: Reads, ask: Asks, clock: Clock = now, stop: threading.Event | None = None
    ) -> None:
        self.name, self.destination, self.cursor = name, destination, f"forward:{name}"
        self._target, self._inbox, self._state, self._read, self._ask, self._clock = target, inbox, state, read, ask, clock
        self._stop = stop or threading.Event()
        self._pace = Pace(destination.rate)
        self._limit = dt.timedelta(hours=destination.retry_hours)
        self._paused_until: dt.datetime | None = None
        self._paused_for = Answer(verdict="later")
        self._pauses = 0
        inbox.register(self.cursor, at="end")

    def step(self) -> Told:
        """Try what waits, then the next batch of the inbox; a destination that is down is asked again when its pause is over."""
        told = Told()
        if self._paused_until is not None and self._clock() < self._paused_until:
            self._give_up_old(told)
        else:
            self._retry(told)
            if self._paused_until is None and not self._stop.is_set():
                self._next_batch(told)
        told.paused_until, told.reason = self._paused_until, self._paused_for.reason
        return told

    def backlog(self) -> int:
        """Entries of the inbox before the cursor, and events that wait."""
        return self._inbox.waiting(self.cursor) + len(self._state.select("forwards", self._mine()))

    def follow(self, *, every: float = 1.0, told: Callable[[Told], None] = lambda told: None) -> None:
        """Step until all is to end."""
        while not self._stop.is_set():
            passed = self.step()
            told(passed)
            if passed.idle or passed.paused_until is not None:
                self._stop.wait(every)

    # what waits

    def _mine(self) -> Any:
        return self._state.sql("forwards").c.destination == self.name

    def _waiting(self) -> list[dict[str, Any]]:
        table = self._state.sql("forwards")
        statement = sa.select(table).where(self._mine()).order_by(table.c.seq, table.c.position).limit(AT_ONCE)
        with self._state.reading() as connection:
            return [dict(row._mapping) for row in connection.execute(statement)]

    def _retry(self, told: Told) -> None:
        moment = self._clock()
        heads: dict[int, dict[str, Any]] = {}
        due = []
        for row in self._waiting():
            head = heads.setdefault(row["identifier_key"], row)
            if head["next_try_at"] <= moment:
                due.append(row)
        if not due:
            if self._paused_until is not None and self._paused_until <= moment:
                self._paused_until = None
            return
        may, why_not = self._still_allowed(due, moment)
        probes = [may[0]] if self._paused_until is not None and may else may
        sent = send([self._row(row) for row in probes], self._target, parallel=self.destination.parallel, pace=self._pace, stop=self._stop)
        if any(answer.verdict != "later" for answer in sent.answers.values()) and len(probes) < len(may) and sent.pause is None:
            more = send([self._row(row) for row in may[1:]], self._target, parallel=self.destination.parallel, pace=self._pace, stop=self._stop)
            sent.answers |= more.answers
            sent.pause = more.pause
        self._pause(sent.pause, tried=bool(sent.answers))
        with self._state.transaction() as connection:
            self._settle([row | {"tried": True} for row in may], sent.answers, told, connection)
            self._forget(why_not, connection)
        told.left_out.update(row["why"] for row in why_not)

    def _still_allowed(self, rows: Iterable[dict[str, Any]], moment: dt.datetime) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Rows that may still leave, and those that may not any more: what was withdrawn while an event waited holds."""
        may: list[dict[str, Any]] = []
        why_not: list[dict[str, Any]] = []
        for row in rows:
            why = self._ask(_event(json.loads(row["body"])), moment)
            (why_not.append(row | {"why": why}) if why else may.append(row))
        return may, why_not

    def _row(self, row: dict[str, Any]) -> Row:
        view = json.loads(row["body"])["view"]
        return Row(seq=row["seq"], position=row["position"], lane=row["identifier_key"], parcel=self._parcel(row["message_id"], view), attempts=row["attempts"])

    def _parcel(self, message_id: str, view: dict[str, Any]) -> Parcel:
        return Parcel(key=f"{self.name}:{view['source']}:{message_id}", message_id=message_id, view=view)

    # what comes

    def _next_batch(self, told: Told) -> None:
        batch = self._inbox.read(self.cursor, most=READ)
        if batch is None:
            return
        moment = self._clock()
        fresh = self._unsent(self._fresh(batch.entries, moment, told), told)
        blocked = {row["identifier_key"] for row in self._waiting()}
        free = [row for row in fresh if row["identifier_key"] not in blocked]
        sent = send([self._row(row) for row in free], self._target, parallel=self.destination.parallel, pace=self._pace, stop=self._stop)
        if self._stop.is_set() and len(sent.answers) < len(free) and sent.pause is None:
            self._settle_only_answered(free, sent.answers, told)
            return
        self._pause(sent.pause, tried=bool(sent.answers))
        with self._state.transaction() as connection:
            self._settle(fresh, sent.answers, told, connection)
        self._inbox.advance(batch)

    def _settle_only_answered(self, rows: Sequence[dict[str, Any]], answers: dict[tuple[int, int], Answer], told: Told) -> None:
        """The end came in the middle of a batch: note what was sent; the cursor stays, the rest is read again."""
        done = [row for row in rows if (answer := answers.get((row["seq"], row["position"]))) is not None and answer.verdict == "taken"]
        with self._state.transaction() as connection:
            self._settle(done, answers, told, connection)

    def _fresh(self, entries: Sequence[Entry], moment: dt.datetime, told: Told) -> list[dict[str, Any]]:
        """Rows for the events of entries that may leave."""
        chosen = [entry for entry in entries if not self.destination.sources or entry.source in self.destination.sources]
        places: Counter[int] = Counter()
        rows = []
        for seq, event in self._read(chosen) if chosen else ():
            position, places[seq] = places[seq], places[seq] + 1
            if why := event.fault or self._ask(event, moment):
                told.left_out["not_accepted" if event.fault else why] += 1
                continue
            rows.append({
                "destination": self.name, "seq": seq, "position": position, "identifier_key": event.lane, "message_id": event.message_id, "body": json.dumps(_packed(event), ensure_ascii=False),
                "attempts": 0, "first_try_at": moment, "next_try_at": moment, "reason": "",
            })  # fmt: skip
        return rows

    def _unsent(self, rows: list[dict[str, Any]], told: Told) -> list[dict[str, Any]]:
        """Rows whose message was not sent before, each message once."""
        table = self._state.sql("forwarded")
        once: dict[str, dict[str, Any]] = {}
        for row in rows:
            once.setdefault(_event_id(row), row)
        keys: list[str] = sorted(once)
        known: set[str] = set()
        with self._state.reading() as connection:
            for start in range(0, len(keys), 500):
                known.update(connection.execute(sa.select(table.c.event_id).where(table.c.destination == self.name, table.c.event_id.in_(keys[start : start + 500]))).scalars())
        told.left_out["duplicate"] += len(rows) - len(once) + len(known)
        told.left_out += Counter()
        return [row for key, row in once.items() if key not in known]

    # what became of it

    def _settle(self, rows: Sequence[dict[str, Any]], answers: dict[tuple[int, int], Answer], told: Told, connection: sa.Connection) -> None:
        moment, table = self._clock(), self._state.sql("forwards")
        sent, letters, gone, later = [], [], [], []
        for row in rows:
            answer = answers.get((row["seq"], row["position"]))
            if answer is not None and answer.verdict == "taken":
                sent.append(row)
            elif answer is not None and answer.verdict == "refused":
                letters.append(row | {"reason": answer.reason})
            elif row["first_try_at"] + self._limit <= moment and (answer is not None or self._paused_until is not None):
                letters.append(row | {"reason": f"tried for {self.destination.retry_hours:g} hours: {(answer or self._paused_for).reason}"})
            elif answer is not None:
                later.append(row | {"attempts": row["attempts"] + 1, "next_try_at": moment + self._backoff(row["attempts"], answer), "reason": answer.reason})
            else:
                later.append(row)
        told.sent, told.refused, told.put_off = told.sent + len(sent), told.refused + len(letters), told.put_off + sum(not row.get("tried") for row in later)
        gone = [row for row in (*sent, *letters) if row.get("tried")]
        self._forget(gone, connection)
        names = [column.name for column in table.columns]
        self._state.insert("forwards", [{name: row[name] for name in names} for row in later if not row.get("tried")], connection=connection, ignore_known=True)
        for row in later:
            if row.get("tried") and (row["seq"], row["position"]) in answers:
                place = (self._mine(), table.c.seq == row["seq"], table.c.position == row["position"])
                connection.execute(sa.update(table).where(*place).values(attempts=row["attempts"], next_try_at=row["next_try_at"], reason=row["reason"]))
        written, dead = [self._letter(row, moment) for row in letters], self._state.sql("dead_letters")
        for letter in written:
            connection.execute(sa.delete(dead).where(dead.c.letter_id == letter["letter_id"]))
        self._state.insert("dead_letters", written, connection=connection)
        self._state.insert("forwarded", [{"destination": self.name, "event_id": _event_id(row), "sent_at": moment} for row in sent], connection=connection, ignore_known=True)
        if sent and random.random() < 0.01:
            remembered = self._state.sql("forwarded")
            connection.execute(sa.delete(remembered).where(remembered.c.destination == self.name, remembered.c.sent_at < moment - REMEMBERED))

    def _forget(self, rows: Sequence[dict[str, Any]], connection: sa.Connection) -> None:
        table = self._state.sql("forwards")
        for row in rows:
            connection.execute(sa.delete(table).where(self._mine(), table.c.seq == row["seq"], table.c.position == row["position"]))

    def _letter(self, row: dict[str, Any], moment: dt.datetime) -> dict[str, Any]:
        return {
            "letter_id": f"{self.name}:{row['seq']}:{row['position']}", "destination": self.name, "identifier_key": row["identifier_key"], "message_id": row["message_id"],
            "body": row["body"], "reason": row["reason"], "failed_at": moment, "status": "held",
        }  # fmt: skip

    def _give_up_old(self, told: Told) -> None:
        """While the destination is down: what waited too long becomes a dead letter, so that neither inbox nor waiting room grows without end."""
        moment = self._clock()
        old = [row | {"tried": True} for row in self._waiting() if row["first_try_at"] + self._limit <= moment]
        if old:
            with self._state.transaction() as connection:
                self._settle(old, {}, told, connection)
        batch = self._inbox.read(self.cursor, most=READ)
        if batch is None or dt.datetime.fromtimestamp(batch.entries[-1].received_at / 1e6, dt.UTC) + self._limit > moment:
            return
        rows = self._unsent(self._fresh(batch.entries, moment, told), told)
        with self._state.transaction() as connection:
            self._settle([row | {"first_try_at": moment - self._limit} for row in rows], {}, told, connection)
        self._inbox.advance(batch)

    def _pause(self, answer: Answer | None, *, tried: bool) -> None:
        if answer is not None:
            self._pauses += 1
            self._paused_for = answer
            self._paused_until = self._clock() + self._backoff(self._pauses - 1, answer)
        elif tried:
            self._pauses, self._paused_until, self._paused_for = 0, None, Answer(verdict="later")

    @staticmethod
    def _backoff(attempts: int, answer: Answer) -> dt.timedelta:
        seconds = min(LONGEST, 2.0 ** min(attempts, 20)) * random.uniform(0.8, 1.2)
        return dt.timedelta(seconds=seconds if answer.wait is None else max(answer.wait, 0.05))


def _packed(event: Event) -> dict[str, Any]:
    return {"view": event.view(), "identifiers": [list(one) for one in event.identifiers]}


def _event(packed: dict[str, Any]) -> Event:
    """The event that was packed."""
    view = packed["view"]
    return Event(
        message_id=view["message_id"], source=view["source"], kind=view["type"], name=view["event"], occurred_at=dt.datetime.fromisoformat(view["occurred_at"]),
        received_at=dt.datetime.fromisoformat(view["received_at"]), user_id=view["user_id"], anonymous_id=view["anonymous_id"],
        identifiers=tuple((name, value, key) for name, value, key in packed["identifiers"]), properties=view["properties"], traits=view["traits"], context=view["context"],
    )  # fmt: skip


def _event_id(row: dict[str, Any]) -> str:
    source = json.loads(row["body"])["view"]["source"]
    return hashlib.sha256(f"{source}:{row['message_id']}".encode()).hexdigest()[:32]
