"""Is everything there? What sources declare of themselves against what landed, day by day; and whether deliveries come as they should."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pyarrow as pa

from kundig.clock import now as present
from kundig.collect.identifiers import literal, quoted
from kundig.collect.mapping import check
from kundig.config.collect import Source, Total
from kundig.errors import ConfigError, SourceError, nearest
from kundig.store.lake import Upsert
from kundig.tables.collect import COLLECT

if TYPE_CHECKING:
    from kundig.config.load import Config
    from kundig.store import Lake

LOOKED_BACK = 28
"""Days before a source's last delivery in which days without a row are looked for."""

LEARNT_FROM = 63
"""Days from which the weekdays are learnt on which a source has something: nine weeks."""

USUAL = 0.75
"""Share of a weekday's days with rows from which on that weekday counts as usual: shops that rest on Sundays miss nothing."""

WEEKS_LEAST = 3
"""Days of one weekday that must have been seen before anything is usual of it."""

_NOT_COUNTED = frozenset({"exchange_rates", "source_totals", "order_lines", "costs"})
_DAILY = tuple(table.name for table in COLLECT if {"source", "local_day"} <= set(table.names) and table.name not in _NOT_COUNTED)


@dataclass(frozen=True, kw_only=True, slots=True)
class DayTotal:
    """One day of a total: what the source declares, and what landed. A declared figure that is null was not declared."""

    source: str
    total: str
    day: dt.date
    declared: Decimal | None
    landed: int
    declared_amount: Decimal | None
    landed_amount: Decimal | None
    tolerance: float = 0.0

    @property
    def agrees(self) -> bool:
        """Nothing that is declared differs from what landed."""
        rows = self.declared is None or self.declared == self.landed
        return rows and (self.difference_amount is None or abs(self.difference_amount) <= Decimal(repr(self.tolerance)))

    @property
    def difference(self) -> Decimal | None:
        """Rows that landed beyond those declared; below zero: rows are missing."""
        return None if self.declared is None else self.landed - self.declared

    @property
    def difference_amount(self) -> Decimal | None:
        """What landed beyond the declared amount; null where no amount is declared, or compared."""
        return None if self.declared_amount is None or self.landed_amount is None else self.landed_amount - self.declared_amount


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """How a source delivers: when something last came, whether that is too long ago, and the days on which it usually has rows and has none."""

    source: str
    last_at: dt.datetime | None
    hours: int
    """Hours after which a missing delivery is a fault; 0: never."""
    late: bool
    missing: tuple[dt.date, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Accounts:
    """Deliveries of every source, and every day of every total that was declared."""

    arrivals: tuple[Arrival, ...] = ()
    totals: tuple[DayTotal, ...] = ()

    @property
    def differing(self) -> tuple[DayTotal, ...]:
        """Days whose totals do not agree, newest first."""
        return tuple(sorted((one for one in self.totals if not one.agrees), key=lambda one: (-one.day.toordinal(), one.source, one.total)))

    @property
    def well(self) -> bool:
        """Nothing is late, missing or different."""
        return not self.differing and not any(one.late or one.missing for one in self.arrivals)


def accounts(lake: Lake, config: Config, *, at: dt.datetime | None = None, heard: Mapping[str, dt.datetime] | None = None, sources: Iterable[str] = ()) -> Accounts:
    """Deliveries and totals as they are now.

    Args:
        lake: The lake.
        config: The workspace.
        at: The present moment.
        heard: When each source last sent something over HTTP.
        sources: These sources only; all by default.

    Raises:
        ConfigError: There is no such source, or a total cannot be held against what it names.
    """
    chosen = tuple(sources) or tuple(sorted(config.sources))
    faults = []
    for name in chosen:
        if name not in config.sources:
            raise ConfigError(f"there is no source '{name}'", at="sources/", mend=nearest(name, config.sources))
        faults += check(name, config.sources[name])
    if faults:
        raise ConfigError(faults=faults)
    moment = at or present()
    totals = [one for name in chosen for total, given in sorted(config.sources[name].totals.items()) for one in _days(lake, config, name, total, given, moment)]
    return Accounts(arrivals=_arrivals(lake, config, chosen, moment, heard or {}), totals=tuple(totals))


def _days(lake: Lake, config: Config, name: str, total: str, given: Total, moment: dt.datetime) -> list[DayTotal]:
    zone = config.settings.workspace.zone
    today = moment.astimezone(ZoneInfo(zone)).date()
    table = lake.known(given.table)
    day = "local_day" if "local_day" in table.names else f"CAST(timezone({literal(zone)}, {'occurred_at' if 'occurred_at' in table.names else 'received_at'}) AS DATE)"
    since = f"DATE '{today - dt.timedelta(days=given.days)}'"
    tests = "".join(f" AND CAST({quoted(column)} AS VARCHAR) IN ({', '.join(map(literal, values))})" for column, values in given.only.items())
    amount = f"CAST(coalesce(sum({quoted(given.amount)}), 0) AS DECIMAL(38, 4))" if given.amount else "CAST(NULL AS DECIMAL(38, 4))"
    told = f"WHERE source = {literal(name)} AND total = {literal(total)} AND local_day >= {since} AND local_day < DATE '{today}'"
    unsaid = "l.day BETWEEN (SELECT min(local_day) FROM declared) AND (SELECT max(local_day) FROM declared)" if given.every_day else "false"
    found = lake.answer(
        lambda scan: (
            f"WITH declared AS (SELECT local_day, quantity, amount FROM {scan('source_totals')} {told}), "
            f"landed AS (SELECT {day} AS day, count(*) AS n, {amount} AS s FROM {scan(given.table)} WHERE source = {literal(name)} AND {day} >= {since} AND {day} < DATE '{today}'{tests} GROUP BY 1) "
            "SELECT coalesce(d.local_day, l.day) AS day, d.local_day IS NULL AS unsaid, d.quantity, d.amount, coalesce(l.n, 0) AS n, l.s "
            f"FROM declared d FULL JOIN landed l ON l.day = d.local_day WHERE d.local_day IS NOT NULL OR {unsaid} ORDER BY 1"
        )
    )
    zero = Decimal(0)
    return [
        DayTotal(
            source=name, total=total, day=row["day"], declared=zero if row["unsaid"] else row["quantity"], landed=row["n"],
            declared_amount=(zero if row["unsaid"] else row["amount"]) if given.amount else None, landed_amount=(row["s"] or zero) if given.amount else None, tolerance=given.tolerance,
        )
        for row in found.to_pylist()
    ]  # fmt: skip


def _arrivals(lake: Lake, config: Config, sources: Iterable[str], moment: dt.datetime, heard: Mapping[str, dt.datetime]) -> tuple[Arrival, ...]:
    today = moment.astimezone(ZoneInfo(config.settings.workspace.zone)).date()
    since = today - dt.timedelta(days=LEARNT_FROM)
    landed = {row["source"]: row["landed_at"] for row in lake.answer(lambda scan: f"SELECT source, landed_at FROM {scan('source_systems')} WHERE landed_at IS NOT NULL").to_pylist()}
    there: dict[str, set[dt.date]] = defaultdict(set)
    for table in _DAILY:
        sql = f"WHERE local_day >= DATE '{since}' AND local_day < DATE '{today}'"
        for row in lake.answer(lambda scan, table=table, sql=sql: f"SELECT DISTINCT source, local_day FROM {scan(table)} {sql}").to_pylist():  # type: ignore[misc]  # mypy cannot infer a lambda with bound defaults
            there[row["source"]].add(row["local_day"])
    found = []
    for name in sources:
        source: Source = config.sources[name]
        followed = _followed(lake, name) if any(given.format == "postgres_changes" for given in source.inputs) else None
        last = max((at for at in (landed.get(name), heard.get(name), followed) if at is not None), default=None)
        late = last is not None and source.sla_hours > 0 and moment - last > dt.timedelta(hours=source.sla_hours)
        until = today if last is None else min(today, last.astimezone(ZoneInfo(config.settings.workspace.zone)).date())
        found.append(Arrival(source=name, last_at=last, hours=source.sla_hours, late=late, missing=missing_days(there[name], until)))
    return tuple(found)


def _followed(lake: Lake, name: str) -> dt.datetime | None:
    """When a change of the source's database last landed: the worker lands these by itself."""
    batch = lake.last_batch(f"{name}-changes-")
    return None if batch is None else lake.batch_moment(batch)


def missing_days(there: set[dt.date], until: dt.date) -> tuple[dt.date, ...]:
    """Days of the last weeks before `until` that have nothing, though their weekday usually has.

    Examples:
        >>> monday = dt.date(2026, 10, 5)
        >>> weekdays = {monday + dt.timedelta(days=n) for n in range(28) if n % 7 < 5}
        >>> missing_days(weekdays, monday + dt.timedelta(days=28))
        ()
        >>> missing_days(weekdays - {monday + dt.timedelta(days=15)}, monday + dt.timedelta(days=28))
        (datetime.date(2026, 10, 20),)
    """
    if not there:
        return ()
    span = [day for n in range((until - min(there)).days) if (day := min(there) + dt.timedelta(days=n)) < until]
    usual = set()
    for weekday in range(7):
        days = [day for day in span if day.weekday() == weekday]
        if len(days) >= WEEKS_LEAST and sum(day in there for day in days) >= USUAL * len(days):
            usual.add(weekday)
    start = until - dt.timedelta(days=LOOKED_BACK)
    return tuple(day for day in span if day >= start and day.weekday() in usual and day not in there)


def declare(lake: Lake, config: Config, source: str, total: str, day: dt.date, *, quantity: Decimal | None, amount: Decimal | None, now: dt.datetime) -> None:
    """Keep what a source is known to hold on a day; a later word replaces an earlier one.

    Raises:
        ConfigError: The source has no such total.
        SourceError: Neither a number nor an amount is given, or an amount where none is compared.
    """
    if source not in config.sources:
        raise ConfigError(f"there is no source '{source}'", at="sources/", mend=nearest(source, config.sources))
    known: Mapping[str, Total] = config.sources[source].totals
    if total not in known:
        raise ConfigError(f"the source '{source}' has no total '{total}'", at=f"sources/{source}.yaml", mend=nearest(total, known) if known else "write under `totals` what it is held against")
    if quantity is None and amount is None:
        raise SourceError("nothing is declared", at=f"{source}, {total}, {day}", mend="give --quantity, --amount, or both")
    if amount is not None and not known[total].amount:
        raise SourceError(f"the total '{total}' compares no amount", at=f"sources/{source}.yaml, totals.{total}", mend="name there the column whose sum it is: amount: gross")
    kinds = {"local_day": pa.date32(), "quantity": pa.decimal128(18, 4), "amount": pa.decimal128(18, 4), "received_at": pa.timestamp("us", tz="UTC")}
    row = {"local_day": day, "source": source, "total": total, "quantity": quantity, "amount": amount, "received_at": now}
    fresh = pa.table({name: pa.array([value], kinds.get(name, pa.string())) for name, value in row.items()})
    others = lake.answer(lambda scan: f"SELECT {', '.join(row)} FROM {scan('source_totals')} WHERE local_day = DATE '{day}' AND NOT (source = {literal(source)} AND total = {literal(total)})")
    lake.commit([Upsert(table="source_totals", column="local_day", keys=pa.array([day], pa.date32()), source=pa.concat_tables([fresh, others.cast(fresh.schema)]))], message=f"what {source} declares")
