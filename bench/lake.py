"""The lake in figures: a release of many tables, upserts, compaction, reading after them; beside the yardstick of one commit a table.

    python -m bench.lake [--small] [--postgres URL]

One line a figure: what, wall and processor time (medians), and what it means a table or a row; the budget stands beside it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from kundig.clock import now
from kundig.schema import Column, Table
from kundig.store.engines.duckdb import connect
from kundig.store.lake import Append, Lake, ReleaseMark, Replace, Upsert

TABLES = 57
COLUMNS = 40


def _wide(name: str, columns: int) -> Table:
    fields = (Column(name="person_key", type="int64", meaning="Who.", personal="pseudonym"), *(Column(name=f"c{i}", type="float64", meaning="A number.") for i in range(columns - 1)))
    return Table(name=name, room="understand", meaning="For measuring.", key=("person_key",), columns=fields, subject="person_key")


def _rows(table: Table, first: int, count: int, *, step: int = 1) -> str:
    numbers = ", ".join(f"(hash(k * {i + 1}) % 1000000) / 1000.0 AS {column.name}" for i, column in enumerate(table.columns[1:]))
    return f"SELECT k AS person_key, {numbers} FROM (SELECT ({first} + range * {step})::BIGINT AS k FROM range({count}))"


class Seconds(float):
    """Seconds of wall clock, with those of the processor beside them."""

    cpu: float = 0.0


def _measured(work: Callable[[], object], *, times: int) -> Seconds:
    taken, used = [], []
    for _ in range(times):
        began, before = time.perf_counter(), time.process_time()
        work()
        taken.append(time.perf_counter() - began)
        used.append(time.process_time() - before)
    seconds = Seconds(statistics.median(taken))
    seconds.cpu = statistics.median(used)
    return seconds


def _line(what: str, seconds: Seconds, meaning: str = "") -> None:
    print(f"{what:<64} {seconds * 1_000:>9.1f} ms  cpu {seconds.cpu * 1_000:>8.1f} ms   {meaning}", flush=True)


def releases(folder: Path, url: str, *, times: int) -> None:
    """57 tables with one row changed each: one release, and the yardstick of 57 commits."""
    tables = {f"t{i:02}": _wide(f"t{i:02}", 20) for i in range(TABLES)}
    lake = Lake(url, folder, tables, duck=connect(threads=2, memory="3GB"))
    lake.commit([Replace(table=name, source=_rows(table, 0, 100)) for name, table in tables.items()])
    run = iter(range(1, 10_000))

    def changes() -> list[Upsert]:
        return [Upsert(table=name, column="person_key", keys=pa.array([next(run) % 100]), source=_rows(table, next(run) % 100, 1)) for name, table in tables.items()]

    def one_release() -> None:
        lake.commit(changes(), release=ReleaseMark(run_id=next(run), moment=now()))

    appended = _measured(lambda: lake.commit([Append(table=name, source=_rows(table, 7, 1)) for name, table in tables.items()], release=ReleaseMark(run_id=next(run), moment=now())), times=times)
    _line(f"release of {TABLES} tables, one row appended to each", appended, f"{appended / TABLES * 1_000:.2f} ms a table; budget 5")
    replaced = _measured(lambda: lake.commit([Replace(table=name, source=_rows(table, 0, 100)) for name, table in tables.items()]), times=times)
    _line(f"release of {TABLES} tables, each replaced by 100 rows", replaced, f"{replaced / TABLES * 1_000:.2f} ms a table")
    upserted = _measured(one_release, times=times)
    _line(f"release of {TABLES} tables, one row of each upserted (two files)", upserted, f"{upserted / TABLES * 1_000:.2f} ms a table")

    def one_by_one() -> None:
        for name, table in tables.items():
            lake.commit([Append(table=name, source=_rows(table, 7, 1))])

    apart = _measured(one_by_one, times=max(1, times // 3))
    _line(f"yardstick: {TABLES} commits of one table", apart, f"{apart / appended:.1f} x one release, and a reader sees {TABLES} states")
    scanned = _measured(lambda: [lake.scan(name) for name in tables], times=times)
    _line(f"file lists of {TABLES} tables", scanned, f"{scanned / TABLES * 1_000:.2f} ms a table")
    lake.close()


def upserts(folder: Path, url: str, *, rows: int, times: int) -> None:
    """1 % of a wide table, ten times over; then reading, and compaction."""
    table = _wide("persons", COLUMNS)
    lake = Lake(url, folder, {"persons": table}, duck=connect(threads=2, memory="3GB"))
    whole = _measured(lambda: lake.commit([Replace(table="persons", source=_rows(table, 0, rows))]), times=1)
    _line(f"whole write of {rows:,} x {COLUMNS}", whole)
    groups = "SELECT person_key % 10, sum(c1) FROM {} GROUP BY 1"
    plain = _measured(lambda: lake.duck.execute(groups.format(lake.scan("persons"))).fetchall(), times=3)
    taken = []
    for turn in range(10):
        keys = pa.array(range(turn, rows, 100))
        taken.append(_measured(lambda k=keys, t=turn: lake.commit([Upsert(table="persons", column="person_key", keys=k, source=_rows(table, t, len(k), step=100))]), times=1))  # type: ignore[misc]
    _line("upsert of 1 %, the first", taken[0], f"{taken[0] / whole:.0%} of the whole write")
    _line("upsert of 1 %, the tenth", taken[-1], f"{taken[-1] / whole:.0%} of the whole write")
    after = _measured(lambda: lake.duck.execute(groups.format(lake.scan("persons"))).fetchall(), times=3)
    _line("group-by, one file", plain)
    _line("group-by, after ten upserts", after)
    one = _measured(lambda: lake.duck.execute(f"SELECT * FROM {lake.scan('persons')} WHERE person_key = {rows // 2}").fetchall(), times=3)
    _line("one person, after ten upserts", one)
    count, distinct = lake.duck.execute(f"SELECT count(*), count(DISTINCT person_key) FROM {lake.scan('persons')}").fetchone()
    if (count, distinct) != (rows, rows):
        raise SystemExit(f"{count} rows of {distinct} persons, {rows} expected")
    _line("compaction of one file and ten upserts", _measured(lambda: lake.compact(force=True), times=1))
    erased = _measured(lambda: lake.erase({"persons": ("person_key", [rows // 2])}), times=1)
    _line("erasure of one person from every snapshot", erased)
    faults = lake.verify()
    if faults:
        raise SystemExit("\n".join(faults))
    lake.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a tenth of the rows, fewer repetitions")
    parser.add_argument("--postgres", default="", help="URL of an empty PostgreSQL database for the catalogue of the releases; SQLite by default")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        releases(folder / "releases", given.postgres or f"sqlite:///{folder / 'releases.sqlite'}", times=3 if given.small else 9)
        upserts(folder / "upserts", f"sqlite:///{folder / 'upserts.sqlite'}", rows=100_000 if given.small else 1_000_000, times=3)


if __name__ == "__main__":
    main()
