"""The inbox into the lake: each batch of requests once, whatever dies in between; the cursor moves after the commit, trimming comes last.

Calls take the same way as files of Segment lines. Other kinds of requests are read by what is registered for them in `READERS`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import shutil
import tempfile
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kundig.clock import Clock
from kundig.clock import now as present
from kundig.collect.calls import Calls, calls_of
from kundig.collect.consent_copy import copy_consents
from kundig.collect.deliveries import Delivery
from kundig.collect.known_ids import KnownIds
from kundig.collect.land import Landed, land
from kundig.collect.sources.raw import Broken
from kundig.config.collect import Input, SegmentSpec, Source
from kundig.config.load import Config
from kundig.store import Lake
from kundig.store.inbox import Batch, Entry, Inbox

CURSOR = "land"
"""The inbox's cursor that landing reads with."""

FROM_INBOX = "inbox"
"""What stands for the file where a held record came through the inbox."""

FIRST_BYTES = 32 << 20
"""Bodies of the first batch, at most: nothing lands while it is cut. Each that follows may hold twice as much, up to what was asked."""

STAGED = ".inbox-"
"""How folders begin that hold a batch's lines while it lands."""


@dataclass(frozen=True, kw_only=True)
class Portion:
    """Requests of one source and kind out of a batch, and what a reader needs to land them in one commit named `batch_id`."""

    lake: Lake
    config: Config
    source: str
    kind: str
    entries: tuple[Entry, ...]
    batch_id: str
    now: dt.datetime
    state: Any = None
    known: KnownIds | None = None
    calls: Calls | None = None
    """Its calls, where they have been cut out ahead."""


Reader = Callable[[Portion], Landed]
"""Lands a portion under its `batch_id`, so that a second call with the same portion changes nothing."""


def land_lines(portion: Portion, config: Config, number: int, lines: Sequence[bytes], broken: Sequence[Broken] = ()) -> Landed:
    """Land lines of JSON through an input of the portion's source, in one commit.

    Args:
        portion: Where they come from.
        config: The workspace, in which the source has that input.
        number: Which input of the source; its format tells how a line is read.
        lines: One JSON object each, without line breaks.
        broken: What is no line: held in the same commit.
    """
    source: Source = config.sources[portion.source]
    given = source.of(source.inputs[number])
    given = given if given.format == "segment_ndjson" else given.model_copy(update={"format": "ndjson", "encoding": "utf-8"})
    with tempfile.TemporaryDirectory(prefix=STAGED, dir=portion.lake.data) as folder:
        paths: tuple[Path, ...] = ()
        if lines:
            path = Path(folder) / FROM_INBOX
            with path.open("wb") as file:
                file.write(b"\n".join(lines))
                file.write(b"\n")
            paths = (path,)
        delivery = Delivery(number=number, given=given, paths=paths)
        return land(portion.lake, config, portion.source, delivery, now=portion.now, state=portion.state, strict=False, batch_id=portion.batch_id, broken=broken, known=portion.known)


def read_calls(portion: Portion) -> Landed:
    """Land Segment calls, single or in batches."""
    config, number = receiving(portion.config, portion.source)
    calls = portion.calls or _calls(portion, config)
    return land_lines(portion, config, number, calls.lines, calls.broken)


def _calls(portion: Portion, config: Config) -> Calls:
    return calls_of(portion.entries, past=keeps_past(config.sources[portion.source]))


def read_forms(portion: Portion) -> Landed:
    """Land forms that were filled in: the calls they mean, and the lists uploaded with them."""
    from kundig.collect.form_landing import read_forms

    return read_forms(portion)


def keeps_past(source: Source) -> bool:
    """Whether a source may tell of the past under its own clocks: its file does not say that what it hands over is known from the import on."""
    return source.received_at != "import"


def unknown_kind(portion: Portion) -> Landed:
    """Hold requests that nothing reads, until something does."""
    what = f"nothing reads requests of kind '{portion.kind}'"
    broken = [Broken(file=n, row=1, what=what, mend="install the release or package that reads them", body=entry.body.decode(errors="replace")) for n, entry in enumerate(portion.entries)]
    config, number = receiving(portion.config, portion.source)
    return land_lines(portion, config, number, (), broken)


def _read_changes(portion: Portion) -> Landed:
    from kundig.collect.cdc.debezium import read_changes

    return read_changes(portion)


def _read_webhooks(portion: Portion) -> Landed:
    from kundig.collect.webhooks.landing import read_webhooks

    return read_webhooks(portion)


READERS: dict[str, Reader] = {"call": read_calls, "events": read_calls, "form": read_forms, "change": _read_changes, "webhook": _read_webhooks}
"""What lands each kind of request."""


def receiving(config: Config, name: str) -> tuple[Config, int]:
    """The workspace with a source that takes calls under this name, and the number of its input for them.

    A source that describes Segment lines is used as it is; one that does not, or that is not described at all, gets what they say by
    default, so that nothing acknowledged is ever turned away for want of a file.
    """
    source: Source | None = config.sources.get(name)
    for number, given in enumerate(source.inputs if source is not None else ()):
        if given.format == "segment_ndjson":
            return config, number
    calls = Input(files=("the inbox",), format="segment_ndjson", segment=SegmentSpec(), optional=True)
    made = Source(inputs=(calls,)) if source is None else source.model_copy(update={"inputs": (*source.inputs, calls)})
    values = {**config.values, "sources": {**config.sources, name: made}}
    return dataclasses.replace(config, values=values), len(made.inputs) - 1


def portions(lake: Lake, config: Config, batch: Batch, *, now: dt.datetime, state: Any = None, known: KnownIds | None = None) -> list[Portion]:
    """A batch cut by source and kind; the name of each names the inbox's rows and when the first of them came, so that a new inbox repeats none."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in batch.entries:
        groups.setdefault((entry.source, entry.kind), []).append(entry)
    stem = f"{batch.id}:{batch.entries[0].received_at}" if batch.entries else batch.id
    return [
        Portion(lake=lake, config=config, source=source, kind=kind, entries=tuple(entries), batch_id=f"{stem}:{kind}:{source}", now=now, state=state, known=known)
        for (source, kind), entries in sorted(groups.items())
    ]


def land_inbox(
    lake: Lake, config: Config, inbox: Inbox, *, state: Any = None, clock: Clock = present, most: int = 100_000, bytes: int = 128 << 20, batches: int | None = None, trim: bool = True,
    known: KnownIds | None = None, told: Callable[[str], None] = lambda step: None,
) -> tuple[Landed, ...]:  # fmt: skip
    """Land what waits in the inbox, batch by batch: commit, then advance, then trim.

    What comes while it works is left for the next call, so that it ends under a steady stream too.

    Args:
        lake: The lake; the caller holds the writer's lease.
        config: The workspace.
        inbox: The inbox; its cursor `land` is made where it is missing.
        state: Where the consent log is kept.
        clock: The moment of landing.
        most: Requests of a batch, at most.
        bytes: Bytes of their bodies, at most.
        batches: How many batches; None: until nothing waits of what was there when it began.
        trim: Delete what every cursor is past.
        known: Ids that have landed, of a process that lands again and again.
        told: Hears the name of each step that has been done: landed, advanced, trimmed.

    Returns:
        What landed, per batch, source and kind.
    """
    inbox.register(CURSOR)
    for left in lake.data.glob(f"{STAGED}*"):  # a process that was killed could not clear it away
        shutil.rmtree(left, ignore_errors=True)
    done: list[Landed] = []
    count = 0

    def cut(batch: Batch) -> list[Portion]:
        return portions(lake, config, batch, now=clock(), state=state, known=known)

    with closing(_batches(inbox, cut, most=most, bytes=bytes, batches=batches)) as following:
        for batch, parts in following:
            for portion in parts:
                done.append(READERS.get(portion.kind, unknown_kind)(portion))
            told("landed")
            inbox.advance(batch)
            told("advanced")
            count += 1
    if state is not None and (copied := copy_consents(lake, state, now=clock())).rows:
        done.append(copied)
    if count and trim:
        inbox.trim()
        told("trimmed")
    return tuple(done)


def _batches(inbox: Inbox, cut: Callable[[Batch], list[Portion]], *, most: int, bytes: int, batches: int | None) -> Generator[tuple[Batch, list[Portion]], None, None]:
    """The batches of what was there at the beginning, each noted at the cursor, with its portions. While one lands, a thread reads the next and cuts its calls out: the engine works without Python meanwhile."""
    last, count = inbox.last(), 0
    size = min(bytes, FIRST_BYTES)

    def ahead(batch: Batch, size: int) -> tuple[Batch, list[Portion]] | None:
        follows = inbox.ahead(batch, most=most, bytes=size)
        return None if follows is None else (follows, [_with_calls(portion) for portion in cut(follows)])

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as pool:
        batch = inbox.read(CURSOR, most=most, bytes=size) if last and batches != 0 else None
        parts = cut(batch) if batch is not None else []
        while batch is not None:
            count += 1
            goes_on = batch.until < last and (batches is None or count < batches)
            size = min(bytes, 2 * size)
            waiting: Future[tuple[Batch, list[Portion]] | None] | None = pool.submit(ahead, batch, size) if goes_on else None
            yield batch, parts
            if waiting is None:
                return
            follows = waiting.result()
            if follows is not None and inbox.take(follows[0]):
                batch, parts = follows
            else:
                batch = inbox.read(CURSOR, most=most, bytes=size)
                parts = cut(batch) if batch is not None else []


def _with_calls(portion: Portion) -> Portion:
    if READERS.get(portion.kind) is not read_calls:
        return portion
    config, _ = receiving(portion.config, portion.source)
    return dataclasses.replace(portion, calls=_calls(portion, config))
