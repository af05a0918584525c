"""Landing of a backfill of JSON lines, and of the same calls out of the inbox, beside DuckDB's own reading of the same lines with given columns into Parquet.

Prints events a second, CPU seconds and the ratios, the median of several runs. `python -m bench.landing --events 500000`.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np

from kundig.collect.inbox_landing import CURSOR, land_inbox
from kundig.collect.known_ids import KnownIds
from kundig.collect.land import import_source
from kundig.collect.segment import STRUCTURE, _type
from kundig.collect.tracking_plan import event_columns
from kundig.config.load import load
from kundig.store import Lake, native
from kundig.store.engines.duckdb import connect
from kundig.store.inbox import Inbox
from kundig.tables import LAKE

SOURCE = """
received_at: as_occurred
inputs:
  - files: in/*.ndjson
    format: segment_ndjson
    segment: {user_id: customer_id, platform: web, hosts: [shop.example.org], rename: {Order Completed: checkout_confirmed}}
"""

PLAN = """
events:
  product_viewed:
    value: price
    properties: {product_id: {required: true}, price: {type: 'decimal(18,4)'}, category: {}, currency: {}, quantity: {type: int64}}
"""

RECEIVED = re.compile(rb'"receivedAt": "[^"]*", ')

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"


def write_lines(path: Path, events: int, seed: int = 1) -> None:
    """Lines of about 810 bytes, as browsers send them."""
    rng = np.random.default_rng(seed)
    names = ("Product Viewed", "Product Viewed", "Product Added", "Page Viewed", "Search", "Order Completed")
    people = max(10, events // 30)
    with path.open("w") as file:
        for start in range(0, events, 20_000):
            count = min(20_000, events - start)
            who, what, price = rng.integers(0, people, count), rng.integers(0, len(names), count), rng.integers(100, 20_000, count)
            for n in range(count):
                number = start + n
                second = number // 50
                moment = f"2026-{1 + second // 2_600_000 % 9:02d}-{1 + second // 86_400 % 28:02d}T{second // 3_600 % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d}.{number % 1000:03d}Z"
                line = {
                    "messageId": f"ajs-next-{number:012d}-{who[n]:08x}", "type": "track", "event": names[what[n]], "anonymousId": f"{who[n]:08x}-0000-4000-8000-{who[n]:012x}",
                    "userId": f"C{who[n]:07d}" if who[n] % 3 == 0 else None, "originalTimestamp": moment, "sentAt": moment, "receivedAt": moment,
                    "properties": {"product_id": f"A{price[n] % 300:05d}", "price": price[n] / 100, "currency": "EUR", "category": "Jacken", "quantity": 1},
                    "context": {
                        "page": {"path": f"/p/{price[n] % 300}", "url": f"https://shop.example.org/p/{price[n] % 300}?utm_medium=email", "referrer": "https://www.google.com/", "title": "Shop"},
                        "userAgent": AGENT, "locale": "de-DE", "library": {"name": "analytics.js", "version": "next-1.84.3"}, "timezone": "Europe/Berlin",
                    },
                }  # fmt: skip
                file.write(json.dumps(line) + "\n")


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of a piece of work."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def yardstick(lines: Path, out: Path) -> None:
    """DuckDB's own reading of the same columns, written as zstd Parquet."""
    columns = ", ".join(f"{name}: '{_type(type)}'" for name, type in STRUCTURE.items())
    con = connect(threads=2, memory="3GB")
    con.execute(f"COPY (SELECT * FROM read_json('{lines}', format='newline_delimited', columns={{{columns}}})) TO '{out}' (FORMAT parquet, COMPRESSION zstd)")
    con.close()


def filled(inbox: Inbox, lines: Path) -> None:
    """The lines as requests of a hundred calls each, as senders write them: when a call was received, the intake says. Their message ids are others than in the file."""
    last = None
    with lines.open("rb") as file:
        while some := list(islice(file, 100)):
            body = b'{"batch":[' + b",".join(RECEIVED.sub(b"", line.rstrip().replace(b'"ajs-next-', b'"ajs-sent-', 1)) for line in some) + b"]}"
            last = inbox.submit(body, source="web", kind="call")
    if last is not None:
        last.result()


def once(root: Path, lines: Path, events: int) -> dict[str, tuple[float, float]]:
    """Wall and CPU seconds of each piece of work, in a workspace of its own."""
    for folder in ("in", "sources", "tracking_plan"):
        (root / folder).mkdir(parents=True)
    (root / "kundig.toml").write_text("")
    (root / "sources/web.yaml").write_text(SOURCE)
    (root / "tracking_plan/web.yaml").write_text(PLAN)
    shutil.copy(lines, root / "in/web.ndjson")
    config = load(root)
    tables = dict(LAKE) | {"events": LAKE["events"].with_columns(event_columns(config.tracking_plan))}
    lake = Lake(f"sqlite:///{root}/lake.sqlite", root / "lake", tables, duck=connect(threads=2, memory="3GB"))
    found = {"DuckDB read_json to Parquet": measured(lambda: yardstick(lines, root / "yardstick.parquet"))}
    found["landing of the file"] = measured(lambda: import_source(lake, config, "web"))
    found["same file again"] = measured(lambda: import_source(lake, config, "web"))
    shutil.copy(lines, root / "in/web2.ndjson")
    with (root / "in/web2.ndjson").open("a") as file:
        file.write("\n")
    found["same events in another file"] = measured(lambda: import_source(lake, config, "web", ["in/web2.ndjson"]))
    inbox, known = Inbox(root / "inbox.sqlite", writing=True, waiting=10_000_000, waiting_bytes=4 << 30), KnownIds(folder=lake.data)
    known.cover(native(lake.duck), lake, lake.snapshot())
    inbox.register(CURSOR)
    filled(inbox, lines)
    found["landing out of the inbox"] = measured(lambda: land_inbox(lake, config, inbox, known=known))
    inbox.close()
    count = lake.duck.execute(f"SELECT count(*) FROM {lake.scan('events')}").fetchone()[0]
    assert count == 2 * events, f"{count} of {2 * events} events landed"
    lake.close()
    return found


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Run the benchmark; returns events a second and the ratio to the yardstick."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args(arguments)
    events, root = given.events, Path(tempfile.mkdtemp(prefix="kundig-bench-"))
    try:
        lines = root / "lines.ndjson"
        write_lines(lines, events)
        size = lines.stat().st_size
        runs = []
        for number in range(given.runs):
            runs.append(once(root / str(number), lines, events))
            shutil.rmtree(root / str(number))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print(f"{events:,} events, {size / events:.0f} bytes a line, median of {given.runs} runs")
    plain, figures = "DuckDB read_json to Parquet", {}
    for name in runs[0]:
        wall, cpu = (median(run[name][place] for run in runs) for place in (0, 1))
        ratio, ratio_cpu = (median(run[name][place] / run[plain][place] for run in runs) for place in (0, 1))
        print(f"  {name:<28} {wall:6.2f} s wall {cpu:6.2f} s CPU {events / wall:11,.0f} events/s {events / cpu:11,.0f} a CPU second; {ratio:.2f} of the yardstick's wall time, {ratio_cpu:.2f} CPU")
        figures[name] = (events / wall, ratio, ratio_cpu)
    file, inbox = figures["landing of the file"], figures["landing out of the inbox"]
    return {"events_per_second": file[0], "ratio": file[1], "ratio_cpu": file[2], "inbox_events_per_second": inbox[0], "inbox_ratio": inbox[1]}


if __name__ == "__main__":
    main()
