"""Rules against the same SQL written by hand: `python bench/rules.py [--profiles N] [--events N]`, one line a figure.

Made-up people and events are written as Parquet; every figure is the median of some runs in one process, hand-written SQL and
compiled rule in turn. With `--days` the windows are answered from `measure_days`.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import ibis

from kundig import rules

AS_OF = dt.datetime(2026, 6, 1, 10, 30, tzinfo=dt.UTC)
SCHEMA = rules.RuleSchema.of(
    zone="Europe/Berlin", events={"order_completed": {"total": "number", "category": "text"}, "page_viewed": {}, "login": {}}, traits={"country": "text"}
)
RULE = [
    {"event": "order_completed", "where": {"category": "Schuhe"}, "within": "90 days", "count": {"at_least": 2}, "sum": {"of": "total", "at_least": 100}},
    {"not": {"event": "order_completed", "within": "14 days"}},
    {"last": "login", "within": "60 days"},
]
FOLDED = "replace(replace(lower(replace(category, 'İ', 'i')), 'ß', 'ss'), 'ς', 'σ')"
HAND = f"""
WITH mine AS (
  SELECT i.person_key, e.name, e.category, e.total, e.occurred_at FROM events e JOIN identities i ON e.identifier_key = i.identifier_key
  WHERE NOT i.shared AND e.occurred_at >= i.valid_from AND (i.valid_until IS NULL OR e.occurred_at < i.valid_until)
    AND e.received_at <= $now AND e.occurred_at <= $now AND e.name IN ('order_completed', 'login')),
sums AS (
  SELECT person_key,
    count(*) FILTER (name = 'order_completed' AND {FOLDED} = 'schuhe' AND occurred_at > $now - INTERVAL 129600 MINUTE) AS orders,
    sum(total) FILTER (name = 'order_completed' AND {FOLDED} = 'schuhe' AND occurred_at > $now - INTERVAL 129600 MINUTE) AS amount,
    count(*) FILTER (name = 'order_completed' AND occurred_at > $now - INTERVAL 20160 MINUTE) AS fresh,
    max(occurred_at) FILTER (name = 'login') AS seen
  FROM mine GROUP BY person_key)
SELECT p.person_key, p.person_id FROM profiles p JOIN sums s USING (person_key)
WHERE s.orders >= 2 AND s.amount >= 100 AND s.fresh = 0 AND s.seen > $now - INTERVAL 86400 MINUTE
"""


def world(folder: Path, profiles: int, events: int) -> Any:
    """A connection over the Parquet files of a made-up workspace."""
    connection = duckdb.connect()
    connection.execute("SET threads=2; SET memory_limit='3GB'; SET TimeZone='UTC'")
    connection.execute(f"SET temp_directory='{folder}/spill'")
    statements = {
        "profiles": f"SELECT range AS person_key, 'p' || range AS person_id FROM range({profiles})",
        "identities": f"SELECT range + 1000000000 AS identifier_key, range % {profiles} AS person_key, TIMESTAMPTZ '2020-01-01 00:00:00+00' AS valid_from, NULL::TIMESTAMPTZ AS valid_until, false AS shared FROM range({profiles * 2})",
        "events": f"""
            SELECT 'w:' || range AS event_id, ['page_viewed', 'page_viewed', 'page_viewed', 'login', 'order_completed'][1 + (hash(range) % 5)::BIGINT] AS name, occurred_at, occurred_at AS received_at,
              CAST(timezone('Europe/Berlin', occurred_at) AS DATE) AS local_day, 1000000000 + (hash(range * 7) % {profiles * 2})::BIGINT AS identifier_key,
              ((hash(range * 3) % 20000) / 100)::DECIMAL(18,4) AS total, ['Schuhe', 'Hosen', 'SCHUHE', 'Jacken'][1 + (hash(range * 5) % 4)::BIGINT] AS category
            FROM (SELECT range, TIMESTAMPTZ '2025-06-01 00:00:00+00' + to_seconds((hash(range * 11) % 31536000)::BIGINT) AS occurred_at FROM range({events})) ORDER BY identifier_key""",
    }
    for name, statement in statements.items():
        connection.execute(f"COPY ({statement}) TO '{folder}/{name}.parquet' (COMPRESSION zstd)")
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{folder}/{name}.parquet')")
    return connection


def seconds(work: Callable[[], Any], runs: int) -> tuple[float, float, Any]:
    """The medians of wall and processor seconds (of all threads), and the result."""
    wall, cpu, result = [], [], None
    for _ in range(runs):
        started, used = time.perf_counter(), time.process_time()
        result = work()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - used)
    return statistics.median(wall), statistics.median(cpu), result


def line(what: str, wall: float, cpu: float, more: str) -> None:
    """One figure."""
    print(f"{what:<28}{wall:8.3f} s wall {cpu:8.3f} s cpu   {more}", flush=True)


def main() -> None:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--profiles", type=int, default=1_000_000)
    options.add_argument("--events", type=int, default=10_000_000)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--many", type=int, default=20, help="rules compiled together")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        native = world(Path(name), given.profiles, given.events)
        engine = ibis.duckdb.from_connection(native)
        tables = {table: engine.table(table) for table in ("profiles", "identities", "events")}
        parsed = rules.parse(RULE, SCHEMA)
        print(f"profiles {given.profiles:,}, events {given.events:,}, {parsed.sentence('en')}")
        wall, by_hand, hand_rows = seconds(lambda: native.execute(HAND, {"now": AS_OF}).to_arrow_table(), given.runs)
        line("hand-written SQL", wall, by_hand, f"{hand_rows.num_rows:,} persons")
        wall, by_rule, rule_rows = seconds(lambda: parsed.select(tables, as_of=AS_OF).to_pyarrow(), given.runs)
        assert set(hand_rows["person_id"].to_pylist()) == set(rule_rows["person_id"].to_pylist()), "the two select different persons"
        line("compiled rule", wall, by_rule, f"{rule_rows.num_rows:,} persons, ratio of cpu {by_rule / by_hand:.2f}")
        many(tables, given.many, given.runs, by_rule)
        days(engine, tables, parsed, given.runs, by_hand)
        persons(tables, parsed)


def many(tables: dict[str, Any], number: int, runs: int, alone: float) -> None:
    """Several rules that differ in windows and thresholds, in one scan."""
    sources = {f"r{n}": {"event": "order_completed", "within": f"{7 + n} days", "count": {"at_least": 1 + n % 3}} for n in range(number)}
    parsed = rules.parse_all(sources, SCHEMA)
    wall, cpu, table = seconds(lambda: rules.compile(parsed, tables, as_of=AS_OF).to_pyarrow(), max(1, runs // 2))
    line(f"{number} rules in one scan", wall, cpu, f"{cpu / number:.3f} s cpu a rule ({cpu / number / alone:.2f} of one alone), {table.num_rows:,} rows")
    wall, cpu, _ = seconds(lambda: rules.compile(parsed, tables, as_of=AS_OF, due=True).to_pyarrow(), 1)
    line("the same with due moments", wall, cpu, "")


def days(engine: Any, tables: dict[str, Any], parsed: rules.Rule, runs: int, by_hand: float) -> None:
    """The same rule from `measure_days`."""
    from kundig.rules.scan import with_persons

    measures = rules.measures_of([parsed])
    folded = rules.measure_days(with_persons(tables), measures, zone=SCHEMA.zone, as_of=AS_OF)
    wall, cpu, _ = seconds(lambda: engine.create_table("measure_days", folded, overwrite=True), 1)
    line("folding measure_days", wall, cpu, f"{engine.table('measure_days').count().execute():,} rows")
    given = tables | {"measure_days": engine.table("measure_days")}

    def select() -> Any:
        flags = rules.compile({"r": parsed}, given, as_of=AS_OF, measures=measures)
        return flags.filter(flags.r).select("person_id").to_pyarrow()

    wall, cpu, table = seconds(select, runs)
    line("compiled rule over days", wall, cpu, f"{table.num_rows:,} persons, ratio of cpu {cpu / by_hand:.2f}")
    incremental(engine, given, parsed, measures, set(table["person_id"].to_pylist()))


def incremental(engine: Any, given: dict[str, Any], parsed: rules.Rule, measures: Any, full: set[str]) -> None:
    """The rule a day later than what stands: the day's events are folded and added, and only whom they or a window's end concern is asked again."""
    from kundig.rules.scan import with_persons

    before = AS_OF - dt.timedelta(days=1)
    earlier = given | {"measure_days": engine.create_table("days_before", rules.measure_days(with_persons(given), measures, zone=SCHEMA.zone, as_of=before), overwrite=True)}
    engine.create_table("stood", rules.compile({"r": parsed}, earlier, as_of=before, due=True, measures=measures), overwrite=True)
    engine.create_table("news", with_persons(given).filter(lambda t: (t.received_at > before) & (t.received_at <= AS_OF)), overwrite=True)
    stood, news, held = engine.table("stood"), engine.table("news"), engine.table("days_before")

    def next_day() -> Any:
        touched = news.select("person_key").distinct().union(stood.filter(stood.r_due_at <= AS_OF).select("person_key"), distinct=True)
        asked = engine.create_table("asked", touched, temp=True, overwrite=True)
        keys = [name for name in ("person_key", "local_day", "measure", "property") if name in held.columns]
        rows = held.semi_join(asked, "person_key").union(rules.measure_days(news, measures, zone=SCHEMA.zone, as_of=AS_OF), distinct=False)
        sums = {"count": "sum", "sum": "sum", "minimum": "min", "maximum": "max", "first_at": "min", "last_at": "max"}
        merged = rows.group_by(keys).aggregate(**{name: getattr(rows[name], how)() for name, how in sums.items()}).select(*held.columns)
        owned = given["identities"].semi_join(asked, "person_key")
        tables = {"profiles": engine.create_table("asked_profiles", given["profiles"].semi_join(asked, "person_key"), temp=True, overwrite=True), "identities": engine.create_table("asked_identities", owned, temp=True, overwrite=True), "events": given["events"], "measure_days": engine.create_table("asked_days", merged, temp=True, overwrite=True)}
        return rules.compile({"r": parsed}, tables, as_of=AS_OF, measures=measures).to_pyarrow()

    wall, cpu, rows = seconds(next_day, 3)
    answers = dict(zip(rows["person_id"].to_pylist(), rows["r"].to_pylist(), strict=True))
    stays = set(stood.filter(stood.r).select("person_id").to_pyarrow()["person_id"].to_pylist()) - answers.keys()
    assert stays | {person for person, holds in answers.items() if holds} == full, "incremental is not full"
    line("incremental, one day later", wall, cpu, f"{news.count().execute():,} new events, {rows.num_rows:,} persons asked again; the answer is that of a full run")


def persons(tables: dict[str, Any], parsed: rules.Rule) -> None:
    """One person: evaluating, explaining, the next change."""
    found = rules.timelines([parsed], tables, range(200))
    at = AS_OF
    for label, work in (("evaluate", lambda t: parsed.evaluate(t, at=at)), ("next_change", lambda t: parsed.next_change(t, at=at)), ("explain", lambda t: parsed.explain(t, at=at))):
        started = time.perf_counter()
        for timeline in found.values():
            work(timeline)
        print(f"{label:<12} one person     {(time.perf_counter() - started) / len(found) * 1e6:8.0f} µs")


if __name__ == "__main__":
    main()
