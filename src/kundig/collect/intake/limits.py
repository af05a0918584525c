"""How much is taken in: events a second per source, room on the disk, and a count of everything that was taken or refused."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from kundig.collect.intake.refusals import Refused

LOOKED = 0.25
"""Seconds between two looks at the disk."""


class Rates:
    """A bucket of events per source: it holds two seconds' worth, and fills as time passes.

    Args:
        per_second: Events; 0: any number.
        clock: Seconds of a clock that only goes forward.
    """

    def __init__(self, per_second: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_second = per_second
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, source: str, events: int) -> None:
        """Count events of a source; a batch larger than the bucket passes when the bucket is full.

        Raises:
            Refused: The bucket is empty; Retry-After says when it will hold them.
        """
        if not self.per_second:
            return
        most = 2.0 * self.per_second
        moment = self._clock()
        left, before = self._left.get(source, (most, moment))
        left = min(most, left + (moment - before) * self.per_second)
        needed = min(events, most)
        if left < needed:
            self._left[source] = (left, moment)
            raise Refused("rate", f"{self.per_second:,} a second", retry_after=max(1, round((needed - left) / self.per_second + 0.5)))
        self._left[source] = (left - events, moment)


class Disk:
    """Room on the disk that holds a folder.

    Args:
        folder: The folder.
        reserve: Bytes below which there is none.
    """

    def __init__(self, folder: Path, reserve: int) -> None:
        self.folder = folder
        self.reserve = reserve
        self._looked = float("-inf")
        self._free = 0

    def demand_room(self) -> None:
        """Pass while there is room.

        Raises:
            Refused: There is none.
        """
        if self.reserve and self.free() < self.reserve:
            raise Refused("disk_full", f"{self._free // 1_000_000:,} MB are free, {self.reserve // 1_000_000:,} MB are kept for what is to land")

    def free(self) -> int:
        """Free bytes, as of a moment ago."""
        moment = time.monotonic()
        if moment - self._looked > LOOKED:
            found = os.statvfs(self.folder)
            self._looked, self._free = moment, found.f_bavail * found.f_frsize
        return self._free


class Tally:
    """What was taken and refused since the start: nothing is dropped silently."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self.events: Counter[str] = Counter()

    def took(self, source: str, events: int) -> None:
        """A request was stored."""
        self.requests[source, "taken"] += 1
        self.events[source] += events

    def refused(self, code: str) -> None:
        """A request was refused."""
        self.requests["", code] += 1

    def lines(self) -> Iterator[str]:
        """The counts in the text form of Prometheus."""
        yield "# HELP kundig_intake_requests_total Requests by source and what became of them."
        yield "# TYPE kundig_intake_requests_total counter"
        for (source, code), count in sorted(self.requests.items()):
            yield f'kundig_intake_requests_total{{source="{source}",result="{code}"}} {count}'
        yield "# HELP kundig_intake_events_total Events acknowledged, by source."
        yield "# TYPE kundig_intake_events_total counter"
        for source, count in sorted(self.events.items()):
            yield f'kundig_intake_events_total{{source="{source}"}} {count}'
