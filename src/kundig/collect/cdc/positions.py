"""How far a slot has landed, read from the lake's own batch ids: they are taken in the commit that lands the rows, so neither can be without the other."""

from __future__ import annotations

from dataclasses import dataclass

from kundig.collect.cdc.server import visible
from kundig.store import Lake


@dataclass(frozen=True, kw_only=True, slots=True)
class Positions:
    """The batches of one source, slot, cluster and mapping, as they were when asked for.

    Of another cluster, timeline or mapping nothing has landed: a new snapshot is taken. Places in the log are numbers that only rise.
    """

    lake: Lake
    source: str
    slot: str
    cluster: str
    mapping: str

    @property
    def _prefix(self) -> str:
        return f"{self.source}-changes-{self.slot}-{self.cluster}-{self.mapping}-"

    def shown(self) -> Shown | None:
        """The snapshot that landed last; None where there is none."""
        found = self.lake.last_batch(f"{self._prefix}snapshot-")
        if found is None:
            return None
        start, after, text = found.removeprefix(f"{self._prefix}snapshot-").split("-")
        return Shown(start=int(start, 16), after=int(after, 16), text=text)

    def _end(self) -> int:
        found = self.lake.last_batch(f"{self._prefix}at-")
        return 0 if found is None else int(found.rsplit("-", 1)[1], 16)

    def earlier(self) -> bool:
        """Whether anything of this source's database has landed, under whatever mapping or slot."""
        return self.lake.last_batch(f"{self.source}-changes-") is not None

    def covers(self, confirmed: int) -> bool:
        """Whether what has landed reaches from a snapshot without a gap to this place, at which the slot stands: it is the same slot still."""
        shown = self.shown()
        return shown is not None and shown.start <= confirmed <= max(shown.start, self._end())

    def last(self, confirmed: int) -> int:
        """The place behind everything that has landed."""
        return max(confirmed, self._end())

    def snapshot(self, start: int, after: int, text: str) -> str:
        """The id of the batch that lands a snapshot."""
        return f"{self._prefix}snapshot-{start:x}-{after:x}-{text}"

    def step(self, start: int, end: int) -> str:
        """The id of the batch that lands what stands between two places of the log."""
        return f"{self._prefix}at-{start:x}-{end:x}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A snapshot that landed: the place of the slot that it belongs to, a place behind all that it shows, and PostgreSQL's own text of it."""

    start: int
    after: int
    text: str

    def has(self, xid: int, lsn: int) -> bool:
        """Whether it shows the transaction of these low 32 bits that committed at this place."""
        return lsn < self.after and visible(self.text, xid)
