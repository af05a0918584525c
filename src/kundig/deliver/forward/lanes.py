"""Sending many persons' events side by side, each person's one after another, no faster than the destination bears."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from kundig.config.deliver import Rate
from kundig.deliver.forward.targets import Answer, Parcel, Target

GIVE_UP = 3
"""Sendings that fail one after another before the destination as a whole is left alone for a while."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A parcel with its place: entry `seq` of the inbox and position within it; `attempts` it has had."""

    seq: int
    position: int
    lane: int
    parcel: Parcel
    attempts: int = 0


class Pace:
    """Lets so many sendings pass in a span of time, evenly."""

    def __init__(self, rate: Rate) -> None:
        self._gap = rate.seconds / rate.requests
        self._next = 0.0
        self._door = threading.Lock()

    def wait(self, stop: threading.Event) -> None:
        """Return when the next sending may leave, or at once when all is to end."""
        with self._door:
            at = max(self._next, time.monotonic())
            self._next = at + self._gap
        stop.wait(max(0.0, at - time.monotonic()))


@dataclass(kw_only=True, slots=True)
class Sent:
    """What became of rows: an answer for each row that was tried; rows without one were not. `pause` is why and for how long everybody waits."""

    answers: dict[tuple[int, int], Answer]
    pause: Answer | None = None


def send(rows: Sequence[Row], target: Target, *, parallel: int, pace: Pace, stop: threading.Event) -> Sent:
    """Send the rows, of each lane in their order; a lane stops at its first row that is to be tried later."""
    lanes: dict[int, list[Row]] = {}
    for row in rows:
        lanes.setdefault(row.lane, []).append(row)
    shares: list[list[Row]] = [[] for _ in range(min(parallel, len(lanes)))]
    for number, lane in enumerate(lanes.values()):
        shares[number % len(shares)].extend(lane)
    sending = _Sending(target, pace, stop)
    if len(shares) == 1:
        sending.share(shares[0])
    elif shares:
        with ThreadPoolExecutor(len(shares), thread_name_prefix="forward") as pool:
            list(pool.map(sending.share, shares))
    return Sent(answers=sending.answers, pause=sending.pause)


class _Sending:
    def __init__(self, target: Target, pace: Pace, stop: threading.Event) -> None:
        self._target, self._pace, self._stop = target, pace, stop
        self.answers: dict[tuple[int, int], Answer] = {}
        self.pause: Answer | None = None
        self._failed = 0
        self._door = threading.Lock()

    def share(self, rows: Sequence[Row]) -> None:
        """Send one worker's rows: whole batches, but alone what a batch was refused or failed for, so that one bad event does not take others with it."""
        stuck: set[int] = set()
        start = 0
        while start < len(rows) and not self._ended():
            batch: list[Row] = []
            while start < len(rows) and len(batch) < self._target.batch:
                row = rows[start]
                if row.lane not in stuck:
                    if batch and (row.attempts > 1 or batch[0].attempts > 1):
                        break
                    batch.append(row)
                start += 1
            if not batch:
                continue
            answer = self._one(batch)
            if answer is None:
                return
            if answer.verdict == "refused" and len(batch) > 1:
                for row in batch:
                    if row.lane not in stuck and not self._ended() and (alone := self._one([row])) is not None and alone.verdict == "later":
                        stuck.add(row.lane)
            elif answer.verdict == "later":
                stuck.update(row.lane for row in batch)

    def _one(self, batch: Sequence[Row]) -> Answer | None:
        self._pace.wait(self._stop)
        if self._ended():
            return None
        answer = self._target.send([row.parcel for row in batch])
        with self._door:
            if not (answer.verdict == "refused" and len(batch) > 1):
                self.answers |= {(row.seq, row.position): answer for row in batch}
            self._failed = self._failed + 1 if answer.verdict == "later" else 0
            if answer.verdict == "later" and (answer.everybody or self._failed >= GIVE_UP) and self.pause is None:
                self.pause = answer
        return answer

    def _ended(self) -> bool:
        return self._stop.is_set() or self.pause is not None
