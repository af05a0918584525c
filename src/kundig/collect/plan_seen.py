"""What events were really seen: names, senders, properties and what their values look like, lately and before, for drafts and drift of the tracking plan.

Lately is the last days of each source, counted from its own newest event, so that an import of old files is judged like a live feed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kundig.collect.identifiers import literal, quoted
from kundig.collect.tracking_plan import Plan
from kundig.store import Lake, native

KINDS = ("whole", "number", "bool", "day", "moment", "list", "object", "text")
"""What a value looks like: as JSON says, and of texts as they are written."""

MANY = 12
"""Different values beyond which they are not listed."""

MOST = 20_000
"""Events of one name, before and lately, whose properties are looked at; of more, about so many are drawn by their ids."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenProperty:
    """A property of an event: how often, what its values looked like, and the values where they are few.

    `columned` says that the plan has it as a column: then only its counts are known.
    """

    before: int = 0
    recent: int = 0
    kinds_before: Mapping[str, int] = field(default_factory=dict)
    kinds_recent: Mapping[str, int] = field(default_factory=dict)
    values: tuple[str, ...] = ()
    addresses: int = 0
    columned: bool = False

    @property
    def kinds(self) -> dict[str, int]:
        """Both times together."""
        return {kind: self.kinds_before.get(kind, 0) + self.kinds_recent.get(kind, 0) for kind in KINDS if kind in self.kinds_before or kind in self.kinds_recent}


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenEvent:
    """An event: who sent it, how often before and lately, since when lately, its properties, and how often it broke the plan, by reason.

    Properties and breaches are counted among the `looked_before` and `looked_recent` events that were looked at.
    """

    name: str
    sources: tuple[str, ...]
    before: int
    recent: int
    first_recent: dt.datetime | None
    looked_before: int
    looked_recent: int
    properties: Mapping[str, SeenProperty]
    broken_before: Mapping[str, int]
    broken_recent: Mapping[str, int]

    @property
    def count(self) -> int:
        """How often in all."""
        return self.before + self.recent

    @property
    def looked(self) -> int:
        """How many were looked at."""
        return self.looked_before + self.looked_recent


def seen(lake: Lake, plan: Plan, *, days: int = 7, before: int = 28, source: str | None = None) -> dict[str, SeenEvent]:
    """The events of the last `days` and of the `before` days ahead of them, by name.

    Args:
        lake: The lake.
        plan: The plan, for what is a column of its own.
        days: How many days count as lately.
        before: With how many days they are compared.
        source: Of this source only.
    """
    con = native(lake.duck)
    columned = [column.name for column in plan.columns if column.name in lake.known("events").names]
    own = f" WHERE source = {literal(source)}" if source is not None else ""
    scan = lake.scan("events")
    recent = f"occurred_at > _last - INTERVAL {int(days)} DAY AS _recent"  # names of our own begin with _, those of planned properties never do
    dated = (
        f"FROM {scan} JOIN (SELECT source AS _whose, max(occurred_at) AS _last FROM {scan}{own} GROUP BY source) ON _whose = source "
        f"WHERE occurred_at > _last - INTERVAL {int(days) + int(before)} DAY AND kind NOT IN ('identify', 'group', 'alias')"
    )
    try:
        con.execute(f"CREATE OR REPLACE TEMP TABLE _seen_names AS SELECT name AS _name, {recent}, list(DISTINCT source) AS _sources, count(*) AS _n, min(occurred_at) AS _first {dated} GROUP BY ALL")
        wanted = ", ".join(["name AS _name", "_recent", "properties AS _properties", *(f"{quoted(name)}" for name in columned)])
        drawn = f"_n <= {MOST} OR hash(event_id) % _n < {MOST}"
        con.execute(f"CREATE OR REPLACE TEMP TABLE _seen AS SELECT {wanted} FROM (SELECT *, {recent} {dated}) JOIN (SELECT _name AS _same, _recent AS _then, _n FROM _seen_names) ON _same = name AND _then = _recent WHERE {drawn}")
        return _events(con, columned)
    finally:
        for made in ("_seen_names", "_seen", "_seen_values"):
            con.execute(f"DROP TABLE IF EXISTS {made}")


def _events(con: Any, columned: list[str]) -> dict[str, SeenEvent]:
    counted = "".join(f", count({quoted(name)}) FILTER (NOT _recent), count({quoted(name)}) FILTER (_recent)" for name in columned)
    totals = con.execute(
        "SELECT _name, list_sort(list_distinct(flatten(list(_sources)))), coalesce(sum(_n) FILTER (NOT _recent), 0)::BIGINT, coalesce(sum(_n) FILTER (_recent), 0)::BIGINT, min(_first) FILTER (_recent) "
        "FROM _seen_names GROUP BY _name ORDER BY _name"
    ).fetchall()
    looked = {name: counts for name, *counts in con.execute(f"SELECT _name, count(*) FILTER (NOT _recent), count(*) FILTER (_recent){counted} FROM _seen GROUP BY _name").fetchall()}
    loose = _loose(con)
    broken: dict[tuple[str, bool], dict[str, int]] = {}
    reasons = "SELECT _name AS name, _recent AS recent, unnest(from_json(json_extract(_properties, '$._violations'), '[\"VARCHAR\"]')) AS reason FROM _seen WHERE _properties IS NOT NULL"
    for name, recent, reason, count in con.execute(f"SELECT name, recent, reason, count(*) FROM ({reasons}) GROUP BY ALL").fetchall():
        broken.setdefault((name, recent), {})[reason] = count
    found: dict[str, SeenEvent] = {}
    for name, sources, before, recent, first in totals:
        looked_before, looked_recent, *counts = looked.get(name, [0] * (2 + 2 * len(columned)))
        columns = {column: SeenProperty(before=counts[2 * n], recent=counts[2 * n + 1], columned=True) for n, column in enumerate(columned) if counts[2 * n] or counts[2 * n + 1]}
        own = {key: one for key, one in loose.get(name, {}).items() if key not in columned}
        found[name] = SeenEvent(
            name=name, sources=tuple(sources), before=before, recent=recent, first_recent=first,
            looked_before=looked_before, looked_recent=looked_recent, properties=dict(sorted((columns | own).items())),
            broken_before=broken.get((name, False), {}), broken_recent=broken.get((name, True), {}),
        )  # fmt: skip
    return found


_KIND = r"""CASE WHEN type IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'UHUGEINT') THEN 'whole' WHEN type = 'DOUBLE' THEN 'number' WHEN type = 'BOOLEAN' THEN 'bool' WHEN type = 'ARRAY' THEN 'list' WHEN type = 'OBJECT' THEN 'object'
 WHEN regexp_full_match(said, '-?(0|[1-9]\d{0,17})') THEN 'whole' WHEN regexp_full_match(said, '-?\d{1,17}\.\d+') THEN 'number' WHEN said IN ('true', 'false') THEN 'bool'
 WHEN regexp_full_match(said, '\d{4}-\d\d-\d\d') THEN 'day' WHEN regexp_full_match(said, '\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*') THEN 'moment' ELSE 'text' END"""


def _loose(con: Any) -> dict[str, dict[str, SeenProperty]]:
    """Properties that stand in the JSON of `properties`, by event and key."""
    keyed = "SELECT _name AS name, _recent AS recent, _properties AS properties, unnest(json_keys(_properties)) AS key FROM _seen WHERE _properties IS NOT NULL"
    pointed = "json_extract(properties, '/' || replace(replace(key, '~', '~0'), '/', '~1'))"
    valued = f"SELECT name, recent, key, json_type(v) AS type, v ->> '$' AS said FROM (SELECT *, {pointed} AS v FROM ({keyed}) WHERE key <> '_violations')"
    con.execute(f"CREATE OR REPLACE TEMP TABLE _seen_values AS SELECT name, recent, key, said, {_KIND} AS kind FROM ({valued}) WHERE type <> 'NULL' AND said <> ''")
    found: dict[str, dict[str, SeenProperty]] = {}
    kinds: dict[tuple[str, str], dict[bool, dict[str, int]]] = {}
    for name, key, recent, kind, count in con.execute("SELECT name, key, recent, kind, count(*) FROM _seen_values GROUP BY ALL").fetchall():
        kinds.setdefault((name, key), {}).setdefault(recent, {})[kind] = count
    few = f"SELECT name, key FROM _seen_values GROUP BY ALL HAVING count(DISTINCT said) <= {MANY}"
    listed = con.execute(f"SELECT name, key, list(DISTINCT said ORDER BY said) FROM _seen_values JOIN ({few}) USING (name, key) WHERE kind = 'text' GROUP BY ALL").fetchall()
    values = {(name, key): tuple(some) for name, key, some in listed}
    addresses = {(name, key): count for name, key, count in con.execute("SELECT name, key, count(*) FROM _seen_values WHERE regexp_matches(said, '[^ @]+@[^ @]+\\.[a-zA-Z]{2,}') GROUP BY ALL").fetchall()}
    for (name, key), both in sorted(kinds.items()):
        old, new = both.get(False, {}), both.get(True, {})
        found.setdefault(name, {})[key] = SeenProperty(
            before=sum(old.values()), recent=sum(new.values()), kinds_before=old, kinds_recent=new, values=values.get((name, key), ()), addresses=addresses.get((name, key), 0)
        )
    return found
