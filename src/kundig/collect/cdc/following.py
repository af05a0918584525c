"""Following a PostgreSQL database: one snapshot, then every transaction behind it, each exactly once, across any crash.

The slot on the server holds what has not landed. A pass peeks at it, lands whole transactions in one commit of the lake whose batch id names the
places in the log, and only then tells the server to go on. The lake's batch ids are the one truth of how far a slot has landed: what the server
tells again after a crash is known by its place.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from kundig.clock import now as present
from kundig.collect.cdc import pgoutput
from kundig.collect.cdc.lines import ChangeFile
from kundig.collect.cdc.positions import Positions
from kundig.collect.cdc.rows import Followed, as_values, followed, value
from kundig.collect.cdc.server import Server, Snapshot
from kundig.collect.deliveries import Delivery
from kundig.collect.land import Landed, Progress, land
from kundig.collect.mapping import needed
from kundig.collect.versions import Versions
from kundig.config.collect import Input, Source
from kundig.config.load import Config
from kundig.errors import Fault, SourceError
from kundig.store import Lake

AT_ONCE = 20_000
"""Changes after which a batch ends, at the end of a transaction; a larger transaction is a batch by itself."""

IDLE = 16 << 20
"""Bytes of the server's log without a change of ours after which the slot is moved on, so that the server may drop them."""


@dataclass(kw_only=True)
class Pass:
    """One look at a source's changes."""

    lake: Lake
    config: Config
    name: str
    number: int
    given: Input
    server: Server
    now: dt.datetime
    state: object
    progress: Progress
    writing: Callable[[], AbstractContextManager[object]]

    def __post_init__(self) -> None:
        self.tables = followed(self.given)
        self.at = f"sources/{self.name}.yaml, inputs[{self.number}]"
        self.positions = Positions(lake=self.lake, source=self.name, slot=self.given.slot, cluster=self.server.identity(), mapping=fingerprint(self.given))

    def run(self) -> Landed:
        """Land what there is now; a fault is raised when everything before it has landed."""
        faults = self.server.faults(self.given.publication, list(self.tables))
        if faults:
            raise SourceError(faults=faults)
        relations = {place: self.server.relation(self.given.publication, *place) for place in self.tables}
        faults = [fault for place, table in self.tables.items() for fault in table.faults(relations[place], at=self.at)]
        confirmed = self.server.confirmed(self.given.slot)
        if faults and (confirmed is None or not self.positions.covers(confirmed)):
            raise SourceError(faults=faults)
        landed = Landed(source=self.name)
        for left in Path(self.lake.data).glob(f".changes-{self.given.slot}-*"):  # a pass that was killed could not clear it away
            shutil.rmtree(left, ignore_errors=True)
        if confirmed is None:
            self.progress(f"{self.name}: making the slot '{self.given.slot}'")
            confirmed = self.server.create(self.given.slot)
        if not self.positions.covers(confirmed):
            landed = landed.with_(self._snapshot(confirmed, relations))
        position = self.positions.last(confirmed)
        if position > confirmed:
            self.server.advance(self.given.slot, position)
        bound = self.server.end_of_log()
        while True:
            step, position, more = self._step(position, bound)
            landed = landed.with_(step)
            if not more:
                break
        if faults:
            raise SourceError(faults=faults)
        return landed

    # the first state

    def _snapshot(self, start: int, relations: dict[tuple[str, str], pgoutput.Relation]) -> Landed:
        again = self.positions.earlier()
        columns = ColumnMemory.of(self)
        with self.server.snapshot() as snapshot, self._file("snapshot") as lines:
            for place, table in self.tables.items():
                if again:
                    lines.emptied(table.mapped, self.now)
                columns.differences(relations[place])
                self._read(snapshot, table, relations[place], lines)
            columns.write()
            lines.mark()
            self.progress(f"{self.name}: {lines.rows:,} rows of the snapshot")
            told = (f"{self.name}: a new snapshot was compared with what had landed",) if again else ()
            batch = self.positions.snapshot(start, snapshot.after, snapshot.text)
            return self._land(lines, batch, strict=True).with_(Landed(source=self.name, told=told))

    def _read(self, snapshot: Snapshot, table: Followed, relation: pgoutput.Relation, lines: ChangeFile) -> None:
        columns = table.columns(relation)
        types = {column.name: column.type for column in relation.columns}
        kinds = self.server.kinds([types[column] for column in columns])
        of = [kinds[types[column]] for column in columns]
        for row in self.server.rows(snapshot, self.given.publication, relation, columns):
            lines.row(table.mapped, self.now, {column: value(text, kind) for column, text, kind in zip(columns, row, of, strict=True)})

    # what changed since

    def _step(self, position: int, bound: int) -> tuple[Landed, int, bool]:
        """Land the next batch: what it did, where it ends, and whether there is more behind it."""
        with self._file(pgoutput.lsn_text(position).replace("/", "-")) as lines:
            reading = Reading(self, lines, position)
            with closing(self.server.peek(self.given.slot, self.given.publication, upto=bound, most=AT_ONCE)) as messages:
                fault = reading.read(messages)
            end = reading.end
            if not reading.seen and bound - position > IDLE:
                end = bound
            told = Landed(source=self.name, told=tuple(reading.told))
            if end > position:
                landed = self._land(lines, self.positions.step(position, end), strict=False).with_(told)
                self.server.advance(self.given.slot, end)
            else:
                landed = told
        if fault is not None:
            raise fault
        return landed, end, reading.seen > 0 and position < end < bound

    def _land(self, lines: ChangeFile, batch: str, *, strict: bool) -> Landed:
        delivery = Delivery(number=self.number, given=self.given.model_copy(update={"format": "ndjson", "encoding": "utf-8"}), paths=(lines.path,), format=self.given.format)
        with self.writing():
            return land(self.lake, self.config, self.name, delivery, now=self.now, state=self.state, strict=strict, batch_id=batch, versions=Versions())

    @contextmanager
    def _file(self, place: str) -> Iterator[ChangeFile]:
        columns = dict.fromkeys(name.split(".")[0] for name in needed(self.given))
        Path(self.lake.data).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".changes-{self.given.slot}-", dir=self.lake.data) as folder, ChangeFile(Path(folder) / f"{self.given.slot}@{place}.ndjson", columns) as lines:
            yield lines


class Reading:
    """Messages of a slot into lines, transaction by transaction."""

    def __init__(self, of: Pass, lines: ChangeFile, position: int) -> None:
        self.of, self.lines, self.position = of, lines, position
        self.end = position
        self.seen = 0
        self.told: list[str] = []
        self._shown = of.positions.shown()
        self._relations: dict[int, pgoutput.Relation] = {}
        self._used: dict[int, Followed | None] = {}
        self._skip = False
        self._at = of.now
        self._columns = ColumnMemory.of(of)

    def read(self, messages: Iterable[bytes]) -> SourceError | None:
        """Write the lines of all transactions; gives the fault that ended it early. Lines of the transaction with the fault are taken back."""
        try:
            for data in messages:
                self._take(pgoutput.decode(data))
        except SourceError as fault:
            self.lines.cut()
            return fault
        finally:
            self._columns.write()
        return None

    def _take(self, message: pgoutput.Message) -> None:
        match message:
            case pgoutput.Begin():
                self.seen += 1
                self._skip = message.lsn < self.position or (self._shown is not None and self._shown.has(message.xid, message.lsn))
                self._at = min(message.committed_at, self.of.now)
            case pgoutput.Commit():
                self.lines.mark()
                self.end = max(self.end, message.end)
            case pgoutput.Relation():
                self._relations[message.oid] = message
                self._used.pop(message.oid, None)
            case pgoutput.Insert() if not self._skip:
                self._put(message.relation, message.new, None)
            case pgoutput.Update() if not self._skip:
                self._put(message.relation, message.new, message.old)
            case pgoutput.Delete() if not self._skip:
                if table := self._table(message.relation):
                    self.lines.gone(table.mapped, self._at, self._key(table, self._relations[message.relation], message.old))
            case pgoutput.Truncate() if not self._skip:
                for oid in message.relations:
                    if table := self._table(oid):
                        self.lines.emptied(table.mapped, self._at)
            case _:
                pass

    def _table(self, oid: int) -> Followed | None:
        """The table of the mapping that a relation is; None where the mapping does not name it.

        Raises:
            SourceError: It has lost what the mapping reads.
        """
        if oid not in self._used:
            relation = self._relations[oid]
            table = self.of.tables.get((relation.schema, relation.name))
            if table is not None:
                self.told += self._columns.differences(relation)
                faults = table.faults(relation, at=f"{self.of.at}, behind {pgoutput.lsn_text(self.end)} of the slot '{self.of.given.slot}'")
                if faults:
                    raise SourceError(faults=[*faults, *(Fault(what=told, at=self.of.at) for told in self.told)])
                self.of.server.kinds([column.type for column in relation.columns])
            self._used[oid] = table
        return self._used[oid]

    def _put(self, oid: int, new: pgoutput.Row, old: pgoutput.Row | None) -> None:
        table, relation = self._table(oid), self._relations[oid]
        if table is None:
            return
        columns = table.columns(relation)
        kinds = self.of.server.kinds([])
        values, unsent = as_values(new, relation, columns, kinds)
        if unsent:
            texts = {column.name: text for column, text in zip(relation.columns, new, strict=True) if column.key and not isinstance(text, pgoutput.Unchanged)}
            current = self._kept(relation, old, unsent) or self.of.server.now(relation, texts, unsent)
            if current is None:
                return  # it has gone since: that is told further on
            types = {column.name: kinds[column.type] for column in relation.columns}
            values |= {name: value(text, types[name]) for name, text in current.items()}
        if old is not None:
            before = self._key(table, relation, old)
            if any(before.get(name) != values.get(name) for name in table.keys):
                self.lines.gone(table.mapped, self._at, before)
        self.lines.row(table.mapped, self._at, values)

    def _kept(self, relation: pgoutput.Relation, old: pgoutput.Row | None, unsent: list[str]) -> dict[str, str | None] | None:
        """What was not sent again, out of the old row where all of that was sent (REPLICA IDENTITY FULL)."""
        if old is None or relation.identity != "f":
            return None
        texts = {column.name: text for column, text in zip(relation.columns, old, strict=True)}
        return {name: text for name in unsent if not isinstance(text := texts[name], pgoutput.Unchanged)}

    def _key(self, table: Followed, relation: pgoutput.Relation, old: pgoutput.Row) -> dict[str, object]:
        values, _ = as_values(old, relation, table.keys, self.of.server.kinds([]))
        return values


class ColumnMemory:
    """The columns that the tables of a source had when they were last seen, so that a change of them can be told. The file may be deleted at any time."""

    def __init__(self, path: Path, source: str) -> None:
        self.path, self.source = path, source
        try:
            self._known = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._known = {}
        self._changed = False

    @classmethod
    def of(cls, one: Pass) -> ColumnMemory:
        """What is remembered of a pass's source, beside the lake."""
        return cls(Path(one.lake.data).parent / "change_columns.json", one.name)

    def differences(self, relation: pgoutput.Relation) -> list[str]:
        """What is to be told of a table's columns, against the last time."""
        name = f"{self.source}/{relation.schema}.{relation.name}"
        before, after = self._known.get(name), {column.name: column.type for column in relation.columns}
        if before == after:
            return []
        self._known[name] = after
        self._changed = True
        if before is None:
            return []
        table = f"{relation.schema}.{relation.name}"
        told = [f"{table} has a new column '{column}'" for column in after if column not in before]
        told += [f"{table} has lost the column '{column}'" for column in before if column not in after]
        told += [f"the type of '{column}' in {table} has changed" for column in after if column in before and before[column] != after[column]]
        return [f"{self.source}: {one}" for one in told]

    def write(self) -> None:
        """Remember what was seen."""
        if self._changed:
            draft = self.path.with_suffix(".draft")
            draft.write_text(json.dumps(self._known), encoding="utf-8")
            draft.replace(self.path)


def fingerprint(given: Input) -> str:
    """A hash of what decides which rows a change becomes; another one takes a new snapshot."""
    return hashlib.sha256(given.model_dump_json(exclude={"url", "publication", "slot", "files", "optional"}).encode()).hexdigest()[:12]


def catch_up(
    lake: Lake, config: Config, name: str, number: int, *, now: dt.datetime | None = None, state: object = None, progress: Progress = lambda text: None,
    writing: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Landed:  # fmt: skip
    """Land everything that has changed in a source's database up to now: the snapshot first where there is none yet.

    Args:
        lake: The lake.
        config: The workspace.
        name: The source.
        number: Which of its inputs, counted from 0.
        now: The moment of the pass.
        state: Where the consent log is kept.
        progress: Told what is being done.
        writing: Entered for each landing; gives the writer's lease to those that do not hold it all along.

    Raises:
        SourceError: The database cannot be followed, or its tables have lost what the mapping reads. What came before has landed; the slot holds the rest.
        Busy: Another process follows the slot, or writes.
    """
    source: Source = config.sources[name]
    given = source.of(source.inputs[number])
    with Server.open(config.secret(given.url), at=f"sources/{name}.yaml, inputs[{number}].url", slot=given.slot) as server:
        return Pass(lake=lake, config=config, name=name, number=number, given=given, server=server, now=now or present(), state=state, progress=progress, writing=writing).run()


def followed_inputs(config: Config) -> tuple[tuple[str, int], ...]:
    """The sources that follow a database, each with the number of that input."""
    return tuple((name, number) for name, source in sorted(config.sources.items()) for number, given in enumerate(source.inputs) if given.format == "postgres_changes")
