"""How the sources are: last call, rate, share held, lag, and whether everything acknowledged is accounted for; as plain facts, a page, and metrics."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kundig.clock import instant, now
from kundig.collect.cdc.slots import SlotLag, slot_lags
from kundig.collect.totals import Accounts, accounts
from kundig.config.watching import Watched
from kundig.errors import KundigError
from kundig.report.cells import Cell
from kundig.report.views import View, grid, told
from kundig.report.words import DASH, Words
from kundig.server import accounts as shown

if TYPE_CHECKING:
    from kundig.config.load import Config
    from kundig.store.inbox import Inbox
    from kundig.workspace import Workspace

HOUR, DAY = 3_600, 86_400
SHOWN = 50
"""Newest calls that the page shows."""

LATE = 300.0
"""Seconds that the oldest call may wait to land before that is told as a fault."""


@dataclass(frozen=True, kw_only=True)
class SourceHealth:
    """One source: what it sent in the last day, and where it stands now."""

    source: str
    last_at: dt.datetime | None
    per_minute: float
    """Calls a minute over the last hour."""
    taken: int
    held: int
    repeated: int
    requests: int
    seconds_late: float | None
    """Median seconds between the moment a call happened and its receipt, over the newest ones; null where none is kept."""
    landed: int
    """Events of the last day's receipts that stand in the tables."""
    waiting: int
    """Requests of it that wait to land."""
    expected: int
    """Events that were taken within the same day, and must stand in the tables once nothing waits."""
    silent: bool
    """It has sent nothing for longer than its file allows (`sla_hours`)."""
    planned: int
    """Events of the tracking plan that it may send."""
    seen: int
    """Those of them that came within seven days."""

    @property
    def held_share(self) -> float | None:
        """Share of its calls that were held."""
        whole = self.taken + self.held
        return None if not whole else self.held / whole

    @property
    def agrees(self) -> bool | None:
        """Whether all that was taken has landed; null while something waits."""
        return None if self.waiting else self.landed >= self.expected


@dataclass(frozen=True, kw_only=True)
class Health:
    """All sources, the inbox's readers, and the worker's duties."""

    at: dt.datetime
    sources: tuple[SourceHealth, ...]
    waiting: dict[str, int]
    """Requests before each cursor of the inbox."""
    oldest_seconds: float
    """How long the oldest request before landing has waited."""
    duties: tuple[tuple[str, dt.datetime | None, str], ...]
    """What the worker does: when it last did, and its error since."""
    accounts: Accounts = field(default_factory=Accounts)
    """Deliveries, and what sources declare of themselves against what landed."""
    slots: tuple[SlotLag, ...] = ()
    """Slots of followed databases, and how far they lag."""
    fault: str = ""
    """Why deliveries and totals could not be looked at; empty where they were."""

    @property
    def failing(self) -> list[str]:
        """Duties that failed since they were last done."""
        return [name for name, _, error in self.duties if error]


class Watch:
    """Looks at a workspace's sources; what it saw is kept for some seconds, since a look asks the tables; deliveries and totals, which ask weeks of them, for minutes."""

    def __init__(self, workspace: Workspace, *, keep: float = 5.0, keep_accounts: float = 300.0, keep_slots: float = 15.0) -> None:
        self.workspace, self.keep, self.keep_accounts, self.keep_slots = workspace, keep, keep_accounts, keep_slots
        self._lock = threading.Lock()
        self._seen: tuple[float, Health] | None = None
        self._accounts: tuple[float, Accounts, str] | None = None
        self._slots: tuple[float, tuple[SlotLag, ...]] | None = None
        self._inbox: Inbox | None = None
        self.files = Watched(workspace.config)

    def health(self) -> Health:
        """How the sources are now, by their files as they are now."""
        with self._lock:
            if self.files.look():
                self._seen = self._accounts = self._slots = None
            config = self.files.config
            if self._seen is None or time.monotonic() - self._seen[0] > self.keep:
                self._inbox = self._inbox or self.workspace.inbox()  # once: on a broker it is a connection
                if self._accounts is None or time.monotonic() - self._accounts[0] > self.keep_accounts:
                    self._accounts = (time.monotonic(), *account(self.workspace, now(), config))
                if self._slots is None or time.monotonic() - self._slots[0] > self.keep_slots:
                    self._slots = (time.monotonic(), slot_lags(config))
                self._seen = (time.monotonic(), look(self.workspace, inbox=self._inbox, accounted=self._accounts[1:], slots=self._slots[1], config=config))
            return self._seen[1]


def account(workspace: Workspace, at: dt.datetime, config: Config) -> tuple[Accounts, str]:
    """Deliveries and totals, or why they cannot be looked at: a fault in one file hides no other figure."""
    heard = {minute.source: instant(minute.last_at) for minute in sorted(workspace.heard.minutes(), key=lambda one: one.last_at)}
    try:
        return accounts(workspace.lake, config, at=at, heard=heard), ""
    except KundigError as error:
        return Accounts(), str(error)


def look(workspace: Workspace, *, at: dt.datetime | None = None, inbox: Inbox | None = None, accounted: tuple[Accounts, str] | None = None, slots: tuple[SlotLag, ...] | None = None, config: Config | None = None) -> Health:
    """How the sources are. `accounted`, `slots`: deliveries, totals and lags, where they are known already; `config`: the files, where they were read again."""
    moment = at or now()
    config = config or workspace.config
    store = workspace.heard
    inbox = inbox or workspace.inbox()
    second = int(moment.timestamp())
    day = [minute for minute in store.minutes(since=(second - DAY) // 60 * 60) if minute.minute]
    ever = store.minutes()
    since = instant((second - DAY) // 60 * 60 * 1_000_000)
    landed = _landed(workspace, since)
    seen = _seen(workspace, moment - dt.timedelta(days=7))
    before = inbox.waiting_by_source("land")
    newest = store.heard(after=-1, most=2_000)
    names = sorted({minute.source for minute in ever} | set(before))
    found = []
    for name in names:
        mine = [minute for minute in day if minute.source == name]
        hour = [minute for minute in mine if minute.minute >= second - HOUR]
        last = max((minute.last_at for minute in ever if minute.source == name), default=None)
        late = sorted((one.received_at - one.occurred_at) / 1e6 for one in newest if one.source == name and one.occurred_at)
        described = config.sources.get(name)
        planned = [event for plan in config.tracking_plan.values() for event, agreed in plan.events.items() if name in agreed.sources]
        silent = described is not None and last is not None and (moment - instant(last)).total_seconds() > described.sla_hours * HOUR > 0
        expected, there = sum(m.taken for m in mine), landed.get(name, 0)
        if there < expected and described is not None and described.received_at == "as_occurred":
            there = max(there, _landed_history(workspace, name, since))
        found.append(
            SourceHealth(
                source=name, last_at=None if last is None else instant(last), per_minute=sum(m.taken + m.held + m.repeated for m in hour) / 60, taken=sum(m.taken for m in mine),
                held=sum(m.held for m in mine), repeated=sum(m.repeated for m in mine), requests=sum(m.requests for m in mine), seconds_late=late[len(late) // 2] if late else None,
                landed=there, waiting=before.get(name, 0), expected=expected, silent=silent, planned=len(planned), seen=len({*planned} & seen.get(name, set())),
            )
        )  # fmt: skip
    oldest = inbox.oldest("land")
    told, fault = accounted or account(workspace, moment, config)
    return Health(
        at=moment, accounts=told, fault=fault, slots=slot_lags(config) if slots is None else slots, sources=tuple(found), waiting={cursor: inbox.waiting(cursor) for cursor in inbox.cursors()}, oldest_seconds=0.0 if oldest is None else max(0.0, (moment - instant(oldest)).total_seconds()),
        duties=tuple((duty.name, instant(duty.at) if duty.at else None, duty.error) for duty in store.duties()),
    )  # fmt: skip


def _landed(workspace: Workspace, since: dt.datetime) -> dict[str, int]:
    sql = f"WHERE received_at >= TIMESTAMPTZ '{since.isoformat(sep=' ')}' AND starts_with(batch_id, 'inbox:') GROUP BY source"
    found = workspace.lake.answer(lambda table: f"SELECT source, count(*) AS n FROM {table('events')} {sql}")
    return {row["source"]: row["n"] for row in found.to_pylist()}


def _landed_history(workspace: Workspace, source: str, since: dt.datetime) -> int:
    """Events of a source that landed since then, whenever they happened: those of a history count as known on the day they happened, not on the day they came."""
    batches = ", ".join(f"'{batch.replace(chr(39), chr(39) * 2)}'" for batch in workspace.lake.batches("inbox:", since=since))
    name = source.replace("'", "''")
    found = workspace.lake.answer(lambda table: f"SELECT count(*) AS n FROM {table('events')} WHERE source = '{name}' AND batch_id IN ({batches or 'NULL'})")
    return int(found.to_pylist()[0]["n"])


def _seen(workspace: Workspace, since: dt.datetime) -> dict[str, set[str]]:
    sql = f"WHERE received_at >= TIMESTAMPTZ '{since.isoformat(sep=' ')}'"
    found = workspace.lake.answer(lambda table: f"SELECT DISTINCT source, name FROM {table('events')} {sql}")
    names: dict[str, set[str]] = {}
    for row in found.to_pylist():
        names.setdefault(row["source"], set()).add(row["name"])
    return names


def page(workspace: Workspace, health: Health, w: Words) -> View:
    """Is everything coming in, and is it well?"""
    tables = [_sources(health, w), *shown.views(health.accounts, w), *([shown.slots_view(health.slots, w)] if health.slots else []), _calls(workspace, w), _readers(health, w), _duties(health, w)]
    calls = sum(one.taken + one.held + one.repeated for one in health.sources)
    held = sum(one.held for one in health.sources)
    if not health.sources and not health.accounts.arrivals and not health.fault:
        answer = told(w, "sources.answer_none")
    else:
        well = not health.failing and health.oldest_seconds < LATE and health.accounts.well and not health.fault and all(map(shown.slot_is_well, health.slots)) and not any(one.silent or one.agrees is False for one in health.sources)
        answer = told(w, "sources.answer", sources=w.number(len({one.source for one in health.sources} | {one.source for one in health.accounts.arrivals})), calls=w.number(calls), held=w.number(held), verdict=w("sources.well" if well else "sources.unwell"))
    return {"title": w("sources.title"), "answer": answer, "tables": tables, "how": w("how.sources")}


def _sources(health: Health, w: Words) -> View:
    rows = []
    for one in health.sources:
        state = _state(one, w)
        rows.append(
            (one.source, state, w.moment(one.last_at), Cell(text=w.number(one.per_minute, 1), value=one.per_minute), Cell(text=w.number(one.taken), value=one.taken),
             Cell(text=w.percent(one.held_share), value=one.held_share), Cell(text=w.number(one.repeated), value=one.repeated), Cell(text=w.number(one.seconds_late, 1), value=one.seconds_late),
             _agreement(one, w), Cell(text=f"{w.number(one.seen)} / {w.number(one.planned)}" if one.planned else DASH, value=[one.seen, one.planned]))
        )  # fmt: skip
    heads = [("source", False), ("state", False), ("last", False), ("rate", True), ("taken", True), ("held", True), ("repeated", True), ("late", True), ("agreement", False), ("complete", True)]
    return grid([(w(f"sources.{name}"), number) for name, number in heads], rows, title=w("sources.table"), note=w("sources.note") if rows else "", empty=w("empty.calls"))


def _state(one: SourceHealth, w: Words) -> Cell:
    if one.silent:
        return Cell(text=w("sources.silent"), tone="bad")
    if one.agrees is False:
        return Cell(text=w("sources.missing"), tone="bad")
    if (one.held_share or 0) > 0.05:
        return Cell(text=w("sources.many_held"), tone="warn")
    return Cell(text=w("sources.fine"), tone="good")


def _agreement(one: SourceHealth, w: Words) -> Cell:
    if one.agrees is None:
        return Cell(text=w("sources.waits", requests=w.number(one.waiting)), value=one.waiting)
    return Cell(text=w("sources.of", landed=w.number(min(one.landed, one.expected)), taken=w.number(one.expected)), value=[one.landed, one.expected])


def _calls(workspace: Workspace, w: Words) -> View:
    rows = []
    for one in reversed(workspace.heard.heard(after=-1, most=SHOWN)):
        tone = {"taken": "good", "held": "bad", "repeated": "", "waiting": "warn"}.get(one.verdict, "")
        reason: Any = Cell(text=one.reason, lang="en") if one.reason else DASH
        rows.append((w.moment(instant(one.received_at)), one.source, (one.name and w.named("happenings", one.name)) or DASH, Cell(text=w.named("call_verdicts", one.verdict), value=one.verdict, tone=tone), reason))
    heads = [(w("sources.when"), False), (w("sources.source"), False), (w("sources.call"), False), (w("sources.verdict"), False), (w("common.reason"), False)]
    return grid(heads, rows, title=w("sources.newest"), empty=w("empty.calls"))


def _readers(health: Health, w: Words) -> View:
    rows = [(_told_as("cursors", name, w), Cell(text=w.number(count), value=count)) for name, count in sorted(health.waiting.items())]
    return grid([(w("sources.reader"), False), (w("sources.before"), True)], rows, title=w("sources.readers"), empty=w("empty.readers"))


def _told_as(group: str, name: str, w: Words) -> str:
    """A reader or a duty in words, and for what it is: `forward:crm`, `follow shop`."""
    kind, _, of = name.replace(" ", ":", 1).partition(":")
    return f"{w.named(group, kind)}: {of}" if of else w.named(group, kind)


def _duties(health: Health, w: Words) -> View:
    rows = [(_told_as("duties", name, w), w.moment(at), Cell(text=error, lang="en", tone="bad") if error else Cell(text=w("sources.fine"), tone="good")) for name, at, error in health.duties]
    rows += [(w("sources.accounts"), DASH, Cell(text=health.fault, lang="en", tone="bad"))] if health.fault else []
    return grid([(w("sources.duty"), False), (w("sources.done"), False), (w("sources.state"), False)], rows, title=w("sources.duties"), empty=w("empty.duties"))


def metrics(workspace: Workspace, health: Health) -> bytes:
    """The same figures in the text form of Prometheus."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    calls = CounterMetricFamily("kundig_calls", "Calls by source and verdict.", labels=("source", "verdict"))
    requests = CounterMetricFamily("kundig_requests", "Requests by source.", labels=("source",))
    totals: dict[str, list[int]] = {}
    for minute in workspace.heard.minutes():
        sums = totals.setdefault(minute.source, [0, 0, 0, 0])
        for place, number in enumerate((minute.taken, minute.held, minute.repeated, minute.requests)):
            sums[place] += number
    for source, (taken, held, repeated, count) in sorted(totals.items()):
        for verdict, number in (("taken", taken), ("held", held), ("repeated", repeated)):
            calls.add_metric((source, verdict), number)
        requests.add_metric((source,), count)
    last = GaugeMetricFamily("kundig_source_last_call_timestamp_seconds", "When a source last sent something.", labels=("source",))
    landed = GaugeMetricFamily("kundig_source_landed_day", "Events received within a day that stand in the tables.", labels=("source",))
    taken_day = GaugeMetricFamily("kundig_source_taken_day", "Events taken within the same day.", labels=("source",))
    for one in health.sources:
        if one.last_at is not None:
            last.add_metric((one.source,), one.last_at.timestamp())
        landed.add_metric((one.source,), one.landed)
        taken_day.add_metric((one.source,), one.expected)
    waiting = GaugeMetricFamily("kundig_inbox_waiting_requests", "Requests before each reader of the inbox.", labels=("cursor",))
    for cursor, number in sorted(health.waiting.items()):
        waiting.add_metric((cursor,), number)
    oldest = GaugeMetricFamily("kundig_inbox_oldest_seconds", "How long the oldest request before landing has waited.", value=health.oldest_seconds)
    done = GaugeMetricFamily("kundig_duty_done_timestamp_seconds", "When a duty of the worker was last done.", labels=("duty",))
    failing = GaugeMetricFamily("kundig_duty_failing", "1 where a duty of the worker failed since it was last done.", labels=("duty",))
    for name, at, error in health.duties:
        done.add_metric((name,), 0.0 if at is None else at.timestamp())
        failing.add_metric((name,), 1.0 if error else 0.0)
    release = workspace.lake.release()
    families: list[Any] = [calls, requests, last, landed, taken_day, waiting, oldest, done, failing, *shown.families(health.accounts), *shown.slot_families(health.slots)]
    if release is not None:
        families.append(GaugeMetricFamily("kundig_release_timestamp_seconds", "Moment the newest release was computed for.", value=release.moment.timestamp()))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(families))
    return bytes(generate_latest(registry))


class _Families:
    """Hands ready metrics to the exposition."""

    def __init__(self, families: Iterable[Any]) -> None:
        self._families = list(families)

    def collect(self) -> list[Any]:
        """The metrics."""
        return self._families
