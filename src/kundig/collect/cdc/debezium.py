"""Debezium's change events (PostgreSQL, MySQL, SQL Server, …) into lines of changes, with or without schema, from files and from HTTP.

Forms: Debezium's documentation of its connectors, "Data change events" and "Data types". A moment without a zone is written there as if it were UTC;
here it is local time of the input's zone, as the database holds it. Heartbeats, transaction marks, changes of schema and tombstones say nothing of rows.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from kundig.collect.cdc.lines import EMPTIED, GONE, readable
from kundig.collect.cdc.rows import wanted_columns
from kundig.collect.inbox_landing import Portion, land_lines
from kundig.collect.mapping import needed
from kundig.collect.sources.raw import Broken
from kundig.config.collect import Input
from kundig.errors import nearest

if TYPE_CHECKING:
    from kundig.collect.land import Landed

KINDS: Mapping[str, str] = {
    "io.debezium.time.Date": "epoch_days", "org.apache.kafka.connect.data.Date": "epoch_days",
    "io.debezium.time.Timestamp": "unix_ms", "org.apache.kafka.connect.data.Timestamp": "unix_ms", "io.debezium.time.MicroTimestamp": "unix_us", "io.debezium.time.NanoTimestamp": "unix_ns",
    "io.debezium.time.Time": "day_ms", "org.apache.kafka.connect.data.Time": "day_ms", "io.debezium.time.MicroTime": "day_us", "io.debezium.time.NanoTime": "day_ns",
    "io.debezium.data.Json": "json",
}  # fmt: skip
"""Names of types in a schema, and how their values are written."""

NOT_SENT = "__debezium_unavailable_value"
"""What Debezium writes for a value that is stored apart (TOAST) and did not change."""

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 a wall clock: it has no zone
_PER_MICRO = {"unix_ms": (1_000, 1), "unix_us": (1, 1), "unix_ns": (1, 1_000), "day_ms": (1_000, 1), "day_us": (1, 1), "day_ns": (1, 1_000)}


class NoChange(Exception):
    """A record that cannot be taken: what is wrong with it, and the mend."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what)
        self.what, self.mend = what, mend


def written(value: Any, kind: str) -> Any:
    """A value as it stands in a line, from the way Debezium wrote it.

    Raises:
        ValueError: It is not written that way.

    Examples:
        >>> written(20_000, "epoch_days"), written(1_700_000_000_123_456, "unix_us"), written(3_600_000, "day_ms")
        ('2024-10-04', '2023-11-14 22:13:20.123456', '01:00:00')
        >>> written("AIw=", "decimal:2"), written("/w==", "decimal:1"), written({"scale": 3, "value": "AfQ="}, ""), written(["a", 1], "")
        ('1.40', '-0.1', '0.500', 'a|1')
    """
    if value is None:
        return None
    if kind == "epoch_days":
        return (_EPOCH.date() + dt.timedelta(days=int(value))).isoformat()
    if kind in _PER_MICRO:
        times, parts = _PER_MICRO[kind]
        moment = _EPOCH + dt.timedelta(microseconds=int(value) * times // parts)
        return moment.isoformat(sep=" ") if kind.startswith("unix") else moment.time().isoformat()
    if kind.startswith("decimal:"):
        return _decimal(value, int(kind[8:]))
    if kind == "json":
        return json.loads(value, parse_float=str) if isinstance(value, str) else value
    if kind == "base64":
        return base64.b64decode(value, validate=True).decode("utf-8")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return _decimal(value["value"], int(value["scale"])) if value.keys() == {"scale", "value"} else value
    if isinstance(value, list):
        return "|".join(str(written(one, "")) for one in value if one is not None)
    return value


def _decimal(value: Any, scale: int) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no base64")
    return str(Decimal(int.from_bytes(base64.b64decode(value, validate=True), "big", signed=True)).scaleb(-scale))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Table:
    mapped: str
    wanted: tuple[str, ...] | None
    optional: frozenset[str]
    types: Mapping[str, str]


class Translation:
    """Turns records into lines for one input; `heading` is a line that names every column and no table."""

    def __init__(self, given: Input) -> None:
        self._tables = {name: _table(name, given) for name in given.tables}
        self.heading = json.dumps(dict.fromkeys(name.split(".")[0] for name in needed(given)) | {"_table": "", "_at": None})

    def lines(self, records: Iterable[tuple[int, str]], *, file: int = 0) -> Iterator[tuple[int, str] | Broken]:
        """For each record (its row, its JSON): the row and the line of a change, what is wrong with it, or nothing where it tells no row.

        Args:
            records: Rows and JSON texts.
            file: Which file they come from.
        """
        for row, text in records:
            try:
                line = self._line(_read(text))
            except NoChange as fault:
                yield Broken(file=file, row=row, what=fault.what, mend=fault.mend, body=text)
                continue
            except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as odd:  # one record that is odd in a new way must not keep back all others
                yield Broken(file=file, row=row, what=f"the record is not as Debezium writes it: {type(odd).__name__}", mend="look at its fields against Debezium's documentation", body=text)
                continue
            if line is not None:
                yield row, json.dumps(line, ensure_ascii=False, separators=(",", ":"))

    def _line(self, record: Any) -> dict[str, Any] | None:
        if record is None:
            return None
        if not isinstance(record, dict):
            raise NoChange("the record is no object", "send what Debezium writes: an object, or a list of them")
        if "_table" in record and "_at" in record:
            return record  # a held line that comes in again
        key, value = (_payload(record["key"]), record["value"]) if "value" in record and "op" not in record and "payload" not in record else (None, record)
        if value is None:
            return None
        change = _payload(value)
        if change is None:
            return None
        if not isinstance(change, dict) or "op" not in change:
            if isinstance(change, dict) and ({"ddl", "status", "tableChanges"} & change.keys() or change.keys() <= {"ts_ms", "ts_us", "ts_ns"}):
                return None
            raise NoChange("the record is no change: it has no 'op'", "send the whole envelope (before, after, source, op), without ExtractNewRecordState")
        return self._change(change, key if isinstance(key, dict) else None, _kinds(value))

    def _change(self, change: dict[str, Any], key: dict[str, Any] | None, kinds: Mapping[str, str]) -> dict[str, Any] | None:
        op, source = change["op"], change.get("source") or {}
        if op == "m":
            return None
        if not isinstance(source, dict) or not source.get("table"):
            raise NoChange("the change does not say of which table it is", "send the whole envelope, with its source")
        table = self._of(source)
        if table is None:
            return None
        marks = {"_at": _moment(source, change).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        before, after = change.get("before"), change.get("after")
        if op == "t":
            return marks | {"_table": EMPTIED + table.mapped}
        if op == "d":
            gone = before or key
            if not gone:
                raise NoChange("a delete that does not tell which row is gone", "let the table have a primary key or REPLICA IDENTITY FULL, and send the record's key")
            return self._values(table, gone, kinds, None) | marks | {"_table": GONE + table.mapped}
        if op not in ("c", "r", "u") or not isinstance(after, dict):
            raise NoChange(f"the operation '{op}' is none that is known, or has no 'after'", "known: c, r, u with after; d; t; m")
        lost = [name for name in table.wanted or () if name not in after and name not in table.optional]
        if lost:
            raise NoChange(f"column '{lost[0]}' is missing from {table.mapped}", f"{nearest(lost[0], after)}; mend the mapping, then kundig quarantine replay")
        return self._values(table, after, kinds, before) | marks | {"_table": table.mapped}

    def _values(self, table: _Table, row: Mapping[str, Any], kinds: Mapping[str, str], before: Mapping[str, Any] | None) -> dict[str, Any]:
        values = {}
        for name, value in row.items():
            if table.wanted is not None and name not in table.wanted:
                continue
            kind = table.types.get(name) or kinds.get(name, "")
            if value in (NOT_SENT, _NOT_SENT_BYTES):
                value = (before or {}).get(name, NOT_SENT)
                if value in (NOT_SENT, _NOT_SENT_BYTES):
                    raise NoChange(f"'{name}' of {table.mapped} did not change and was not sent", f"ALTER TABLE {table.mapped} REPLICA IDENTITY FULL, or Debezium's reselect post processor")
            try:
                values[name] = written(value, kind)
            except (ValueError, TypeError, ArithmeticError, KeyError, binascii.Error) as error:
                raise NoChange(f"'{name}' is {str(value)[:80]!r}, which is not written as {kind or 'a value'}", f"mend `types` of {table.mapped}") from error
        return values

    def _of(self, source: Mapping[str, Any]) -> _Table | None:
        database, schema, name = source.get("db"), source.get("schema"), source.get("table")
        for parts in ((database, schema, name), (schema, name), (database, name), (name,)):
            if all(parts) and (found := self._tables.get(".".join(map(str, parts)))) is not None:
                return found
        return None


_NOT_SENT_BYTES = base64.b64encode(NOT_SENT.encode()).decode()


def _table(name: str, given: Input) -> _Table:
    wanted, optional = wanted_columns(given.tables[name])
    return _Table(mapped=name, wanted=wanted, optional=optional, types=given.tables[name].types)


def _read(text: str) -> Any:
    try:
        return readable(text)
    except (ValueError, RecursionError) as error:
        raise NoChange("the line is no JSON", "send what Debezium writes, one object a line") from error


def _payload(value: Any) -> Any:
    return value["payload"] if isinstance(value, dict) and "payload" in value and "op" not in value else value


def _moment(source: Mapping[str, Any], change: Mapping[str, Any]) -> dt.datetime:
    for told in (source, change):
        for name, times, parts in (("ts_ns", 1, 1_000), ("ts_us", 1, 1), ("ts_ms", 1_000, 1)):
            value = told.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                try:
                    return _EPOCH.replace(tzinfo=dt.UTC) + dt.timedelta(microseconds=value * times // parts)
                except OverflowError:
                    break
    raise NoChange("the change does not tell when it was made", "send source.ts_ms, or ts_ms")


def _kinds(envelope: Any) -> Mapping[str, str]:
    """How the columns are written, by the schema that the envelope carries."""
    schema = envelope.get("schema") if isinstance(envelope, dict) and "payload" in envelope else None
    kinds: dict[str, str] = {}
    for side in schema.get("fields") or () if isinstance(schema, dict) else ():
        if isinstance(side, dict) and side.get("field") in ("before", "after"):
            for field in side.get("fields") or ():
                name = str(field.get("name") or "")
                if name == "org.apache.kafka.connect.data.Decimal":
                    kinds[field["field"]] = f"decimal:{int((field.get('parameters') or {}).get('scale', 0))}"
                elif name in KINDS:
                    kinds[field["field"]] = KINDS[name]
    return kinds


def records_of(body: bytes) -> list[str]:
    """The records of a request: one, or a list of them.

    Examples:
        >>> records_of(b'[{"op": "c"}, null]'), records_of(b'{"op": "d"}')
        (['{"op": "c"}', 'null'], ['{"op": "d"}'])
    """
    import msgspec

    text = body.decode("utf-8", errors="replace")
    if not text.lstrip().startswith("["):
        return [text]
    try:
        return [bytes(one).decode() for one in msgspec.json.decode(body, type=list[msgspec.Raw])]
    except msgspec.DecodeError:
        return [text]


def read_changes(portion: Portion) -> Landed:
    """Land the changes of requests that came over HTTP (`POST /v1/changes/<source>`), in one commit; what tells no row of a mapped table is left out."""
    source = portion.config.sources.get(portion.source)
    number = next((n for n, given in enumerate(source.inputs) if given.format == "debezium"), None) if source is not None else None
    records = [(row, text) for row, text in enumerate((text for entry in portion.entries for text in records_of(entry.body)), 1)]
    if source is None or number is None:
        from kundig.collect.inbox_landing import receiving

        what, mend = f"the source '{portion.source}' has no input of format debezium", "write one into its file, then kundig quarantine replay"
        config, calls = receiving(portion.config, portion.source)
        return land_lines(portion, config, calls, (), [Broken(file=0, row=row, what=what, mend=mend, body=text) for row, text in records])
    translation = Translation(source.of(source.inputs[number]))
    found = list(translation.lines(records))
    lines = [one[1].encode() for one in found if not isinstance(one, Broken)]
    return land_lines(portion, portion.config, number, [translation.heading.encode(), *lines], [one for one in found if isinstance(one, Broken)])
