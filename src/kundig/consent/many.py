"""The fold of many persons at once: the same rows as `fold` person by person, by arrays (some seconds per million records)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kundig.clock import SECOND, micros
from kundig.config.law import BASES, ChannelRule, Purposes
from kundig.consent.folding import SPOKEN, STANDINGS, ConsentRecord, fold

NEVER = np.iinfo(np.int64).max
"""Stands for "no end"."""

_GIVEN, _MISSING, _PENDING, _WITHDRAWN, _OBJECTED = (STANDINGS.index(name) for name in ("given", "missing", "pending", "withdrawn", "objected"))
_MOMENT = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("person_key", pa.int64()), ("purpose", pa.string()), ("channel", pa.string()), ("status", pa.string()), ("basis", pa.string()), ("occurred_at", _MOMENT),
        ("received_at", _MOMENT), ("until", _MOMENT), ("seq", pa.int64()), ("wording", pa.string()), ("record_id", pa.string()),
    ]
)  # fmt: skip
"""Columns of table `consents`, but for `changed_run`."""

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Records:
    """The records, sorted by person and order of application."""

    person: Ints
    effective: Ints
    received: Ints
    until: Ints
    spoken: Ints
    objected: Flags
    purpose: Ints
    channel: Ints
    table: pa.Table


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rows:
    """Rows of the output of one pair: positions into the records, and codes."""

    pair: int
    person: Ints
    status: Ints
    basis: Ints
    occurred: Ints
    received: Ints
    until: Ints
    seq: Ints
    record: Ints


def fold_table(records: pa.Table, *, purposes: Purposes, as_of: dt.datetime) -> pa.Table:
    """The history of the fold of every person, as known at `as_of`: the columns of table `consents` but `changed_run`.

    `records` has person_key, record_id, purpose, channel, status, occurred_at, received_at, basis, until, wording, and may have `part`
    (int64: the identifier or earlier person that speaks) and `joined_at` (from when that part belongs to the person; null: always).
    A record may stand there once per identifier that it names. Persons of whom a part spoke before it was joined are folded one
    by one, all others by arrays. Rows are sorted by person, purpose, channel and moment.
    """
    pairs = purposes.pairs()
    if records.num_rows == 0 or not pairs:
        return SCHEMA.empty_table()
    sorted_ = _sorted(records, purposes, micros(as_of))
    apart = _spoke_apart(sorted_)
    found = []
    for number, (purpose, channel) in enumerate(pairs):
        rule = purposes.rule(purpose, channel)
        if rule is not None:
            chosen = np.flatnonzero(_concerns(sorted_, purpose, channel, purposes) & ~apart)
            found.append(_histories(sorted_, chosen, rule, number))
    whole = _built(sorted_, found, pairs)
    if not apart.any():
        return whole
    single = _one_by_one(sorted_.table.filter(pa.array(apart)), purposes, as_of)
    return pa.concat_tables([whole, single]).sort_by([("person_key", "ascending"), ("purpose", "ascending"), ("channel", "ascending"), ("seq", "ascending")])


def _ints(column: pa.ChunkedArray, missing: int) -> Ints:
    values = column.cast(pa.int64()) if not pa.types.is_timestamp(column.type) else column.cast(_MOMENT).cast(pa.int64())
    return np.asarray(pc.fill_null(values, missing).to_numpy())


def _codes(column: pa.ChunkedArray, names: list[str]) -> Ints:
    """Position of each value in `names`, -1 for values that are none of them."""
    return _ints(pc.index_in(column.cast(pa.string()), value_set=pa.array(names, pa.string())), -1)


def _sorted(records: pa.Table, purposes: Purposes, as_of: int) -> _Records:
    received = _ints(records["received_at"], NEVER)
    effective = np.minimum(_ints(records["occurred_at"], NEVER), received)
    seen = (received <= as_of) & (effective <= as_of)
    records, received, effective = records.filter(pa.array(seen)), received[seen], effective[seen]
    status = _codes(records["status"], list(SPOKEN))
    basis = _codes(records["basis"], list(BASES))
    otherwise = np.array([SPOKEN.index("given"), SPOKEN.index("customer"), SPOKEN.index("contract"), SPOKEN.index("legitimate_interest")])
    spoken = np.where(status == -1, SPOKEN.index("withdrawn"), status)
    spoken = np.where((status == SPOKEN.index("given")) & (basis > 0), otherwise[np.maximum(basis, 0)], spoken)
    until = _ints(records["until"], NEVER)
    person = _ints(records["person_key"], 0)
    part = _ints(records["part"], 0) if "part" in records.column_names else np.zeros(len(person), np.int64)
    text = {name: _ranks(records[name]) for name in ("record_id", "purpose", "channel", "status", "wording")}
    turn = [part, text["status"], text["channel"], text["purpose"], text["record_id"], np.where(until == NEVER, 0, -until), (until != NEVER).astype(np.int64), spoken, effective]
    by_id = np.lexsort([text["wording"], *turn, received, text["record_id"], person])
    first = np.ones(len(by_id), bool)
    first[1:] = (np.diff(person[by_id]) != 0) | (np.diff(text["record_id"][by_id]) != 0)
    kept = by_id[first]
    order = kept[np.lexsort([*(key[kept] for key in turn), person[kept]])]
    names = list(purposes.purposes)
    channels = sorted({channel for _, channel in purposes.pairs()})
    table = records.take(pa.array(order))
    return _Records(
        person=person[order], effective=effective[order], received=received[order], until=until[order], spoken=spoken[order], objected=(status == SPOKEN.index("objected"))[order],
        purpose=_codes(table["purpose"], [*names, "*"]), channel=_codes(table["channel"], [*channels, "*"]), table=table,
    )  # fmt: skip


def _ranks(column: pa.ChunkedArray) -> Ints:
    """Dense ranks of texts in their code-point order."""
    coded = pc.fill_null(column.cast(pa.string()), "").combine_chunks().dictionary_encode()
    words = coded.dictionary
    ranks = np.empty(len(words), np.int64)
    ranks[pc.sort_indices(words).to_numpy()] = np.arange(len(words))
    codes = pc.fill_null(coded.indices, 0).to_numpy()
    return ranks[codes] if len(words) else np.zeros(len(column), np.int64)


def _spoke_apart(records: _Records) -> Flags:
    """Marks the records of persons of whom some part spoke before it was joined."""
    if "joined_at" not in records.table.column_names:
        return np.zeros(len(records.person), bool)
    early = _ints(records.table["joined_at"], 0 - NEVER) > records.effective
    return np.isin(records.person, np.unique(records.person[early])) if early.any() else early


def _concerns(records: _Records, purpose: str, channel: str, purposes: Purposes) -> Flags:
    names = list(purposes.purposes)
    channels = sorted({one for _, one in purposes.pairs()})
    meant = (records.purpose == names.index(purpose)) | (records.purpose == len(names))
    here = (records.channel == channels.index(channel)) | (records.channel == len(channels))
    return np.asarray(np.where(records.objected, meant | (records.purpose == -1), meant & here))


def _histories(records: _Records, chosen: Ints, rule: ChannelRule, pair: int) -> _Rows:
    """The rows of one purpose × channel: the k-th records of all persons are applied together, for k = 0, 1, …"""
    person = records.person[chosen]
    starts = np.flatnonzero(np.r_[True, np.diff(person) != 0]) if len(person) else np.zeros(0, np.int64)
    lengths = np.diff(np.r_[starts, len(person)])
    by_length = np.argsort(-lengths, kind="stable")
    starts, lengths = starts[by_length], lengths[by_length]
    lane = _Lanes(len(starts), rule)
    out: list[tuple[Ints, ...]] = []
    for k in range(int(lengths[0]) if len(lengths) else 0):
        count = int(np.searchsorted(-lengths, -k, side="left"))
        here = chosen[starts[:count] + k]
        lane.apply(records, here, count)
        out.append(lane.rows(records, here, count))
    columns = [np.concatenate([step[i] for step in out]) if out else np.zeros(0, np.int64) for i in range(8)]
    names = ("person", "status", "basis", "occurred", "received", "until", "seq", "record")
    return _Rows(pair=pair, **dict(zip(names, columns, strict=True)))


class _Lanes:
    """The standing of many persons for one purpose × channel, as arrays; the twin of `folding._Lane`."""

    def __init__(self, size: int, rule: ChannelRule) -> None:
        self.rule = rule
        self.status = np.full(size, _MISSING, np.int64)
        self.basis = np.full(size, -1, np.int64)
        self.until = np.full(size, NEVER, np.int64)
        self.confirmed = np.zeros(size, bool)
        self.record = np.full(size, -1, np.int64)
        self.told = np.full((4, size), -2, np.int64)
        self.seq = np.zeros(size, np.int64)
        ranks = np.full(len(SPOKEN), -1, np.int64)
        for spoken, basis in (("given", 0), ("confirmed", 0), ("requested", 0), ("customer", 1), ("contract", 2), ("legitimate_interest", 3)):
            ranks[SPOKEN.index(spoken)] = rule.bases.index(BASES[basis]) if BASES[basis] in rule.bases else -1
        self.rank_of = ranks

    def apply(self, records: _Records, here: Ints, count: int) -> None:
        """Apply one record to each of the first `count` persons."""
        moment, spoken, end = records.effective[here], records.spoken[here], records.until[here]
        status, basis, until, confirmed, record = self.status[:count], self.basis[:count], self.until[:count], self.confirmed[:count], self.record[:count]
        now = np.where((status == _GIVEN) & (until <= moment), _MISSING, status)
        code = {name: spoken == SPOKEN.index(name) for name in SPOKEN}
        rank = self.rank_of[spoken]
        objects = code["objected"]
        withdraws = code["withdrawn"] & (now != _OBJECTED)
        asked = (code["given"] | code["confirmed"] | code["requested"]) & (rank >= 0)
        held = (now == _GIVEN) & confirmed
        sure = asked & (code["confirmed"] | (code["given"] & (held | (not self.rule.double_opt_in))))
        waits = asked & ~sure & (now != _GIVEN) & (now != _OBJECTED)
        other = ~asked & (rank >= 0) & (now != _OBJECTED) & (now != _WITHDRAWN) & ~((now == _GIVEN) & (basis >= 0) & (basis < rank))
        lapses = moment + self.rule.expires_days * 86_400 * SECOND if self.rule.expires_days is not None else np.full(count, NEVER, np.int64)
        changed = objects | withdraws | sure | waits | other
        confirmed[:] = np.where(sure, code["confirmed"] | held, confirmed & ~changed)
        status[:] = np.select([objects, withdraws, sure | other, waits], [_OBJECTED, _WITHDRAWN, _GIVEN, _PENDING], status)
        basis[:] = np.select([objects | withdraws, sure | other | waits], [np.full(count, -1), rank], basis)
        until[:] = np.select([sure, other, changed], [np.where(end == NEVER, lapses, end), end, np.full(count, NEVER)], until)
        record[:] = np.where(changed, here, record)

    def rows(self, records: _Records, here: Ints, count: int) -> tuple[Ints, ...]:
        """The rows that this record adds: one for each person whose standing is told otherwise than before."""
        moment, record = records.effective[here], self.record[:count]
        gone = (self.status[:count] == _GIVEN) & (self.until[:count] <= moment)
        status = np.where(gone, _MISSING, self.status[:count])
        basis = np.where(gone, -1, self.basis[:count])
        until = np.where(status == _GIVEN, self.until[:count], NEVER)
        now = np.stack([status, basis, until, record])
        new = np.flatnonzero((record >= 0) & (now != self.told[:, :count]).any(axis=0))
        self.told[:, new] = now[:, new]
        seq = self.seq[new].copy()
        self.seq[new] += 1
        received = np.maximum(records.received[record[new]], records.received[here[new]])
        return records.person[here[new]], status[new], self._named(basis[new]), moment[new], received, until[new], seq, record[new]

    def _named(self, ranks: Ints) -> Ints:
        """Ranks within the rule's bases as positions in BASES."""
        names = np.array([BASES.index(basis) for basis in self.rule.bases], np.int64)
        return np.asarray(np.where(ranks >= 0, names[np.maximum(ranks, 0)], -1))


def _built(records: _Records, found: list[_Rows], pairs: tuple[tuple[str, str], ...]) -> pa.Table:
    def all_of(name: str) -> Ints:
        return np.concatenate([getattr(rows, name) for rows in found])

    pair = np.concatenate([np.full(len(rows.person), rows.pair, np.int64) for rows in found])
    order = np.lexsort([all_of("seq"), pair, all_of("person")])
    codes = pa.array(pair[order])
    until, basis, record = all_of("until")[order], all_of("basis")[order], pa.array(all_of("record")[order])
    columns = {
        "person_key": pa.array(all_of("person")[order]),
        "purpose": pa.array([purpose for purpose, _ in pairs]).take(codes),
        "channel": pa.array([channel for _, channel in pairs]).take(codes),
        "status": pa.array(STANDINGS).take(pa.array(all_of("status")[order])),
        "basis": pa.array(BASES).take(pa.array(np.maximum(basis, 0), mask=basis < 0)),
        "occurred_at": pa.array(all_of("occurred")[order]).cast(_MOMENT),
        "received_at": pa.array(all_of("received")[order]).cast(_MOMENT),
        "until": pa.array(until, mask=until == NEVER).cast(_MOMENT),
        "seq": pa.array(all_of("seq")[order]),
        "wording": records.table["wording"].take(record).cast(pa.string()),
        "record_id": records.table["record_id"].take(record).cast(pa.string()),
    }
    return pa.table(columns, schema=SCHEMA)


def _one_by_one(records: pa.Table, purposes: Purposes, as_of: dt.datetime) -> pa.Table:
    people: dict[int, tuple[list[ConsentRecord], dict[int, dt.datetime]]] = {}
    for row in records.to_pylist():
        spoken, joined = people.setdefault(row["person_key"], ([], {}))
        part = row.get("part") or 0
        if row["joined_at"] is not None:
            joined[part] = row["joined_at"]
        spoken.append(
            ConsentRecord(
                record_id=row["record_id"], purpose=row["purpose"], channel=row["channel"], status=row["status"], occurred_at=row["occurred_at"],
                received_at=row["received_at"], basis=row["basis"], until=row["until"], wording=row["wording"], part=part,
            )
        )
    rows = [
        {"person_key": person} | {name: getattr(row, name) for name in SCHEMA.names if name != "person_key"}
        for person, (spoken, joined) in people.items()
        for row in fold(spoken, purposes=purposes, at=as_of, joined=joined)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)
