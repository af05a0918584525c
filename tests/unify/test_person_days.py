"""Person-days: the right person at the right time, local days across clock changes, nothing from shared identifiers."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from decimal import Decimal
from zoneinfo import ZoneInfo

import pyarrow as pa
from tests.unify.world import World, day, key, lazy

from kundig.tables.collect import EVENTS
from kundig.tables.unify import PERSON_DAYS
from kundig.unify.person_days import person_days


def days_of(world: World, identities: pa.Table) -> list[dict[str, object]]:
    found = person_days(lazy(world.table(EVENTS)), lazy(identities)).to_pyarrow()
    assert set(found.column_names) == set(PERSON_DAYS.names) - {"changed_run"}
    return found.to_pylist()


def test_events_fold_by_person_day_name_and_channel() -> None:
    world = World()
    world.see(0, ["anonymous_id:a"], channel="paid_search", value=Decimal("1.5000"))
    world.see(0.2, ["anonymous_id:a", "customer_id:1"], channel="paid_search", value=Decimal("2.2500"))
    world.see(0.3, ["customer_id:1"])
    world.see(1, ["customer_id:1"], name=None, channel=None)
    rows = {(r["local_day"], r["event"], r["channel"]): r for r in days_of(world, world.run()["identities"])}
    first = rows[(day(0).date(), "page_viewed", "paid_search")]
    assert (first["count"], first["value"], first["first_at"], first["last_at"]) == (2, Decimal("3.7500"), day(0), day(0.2))
    assert rows[(day(0).date(), "page_viewed", "")]["value"] is None
    assert rows[(day(1).date(), "", "")]["count"] == 1
    assert {r["person_key"] for r in rows.values()} == {key("anonymous_id:a")}


def test_the_day_is_the_workspaces_across_clock_changes() -> None:
    """23:30 in Berlin on both days of clock change stays on that day, whatever UTC says; the repeated hour is one day."""
    berlin = ZoneInfo("Europe/Berlin")
    world = World()
    moments = [dt.datetime(2026, 3, 29, 23, 30), dt.datetime(2026, 10, 25, 0, 30), dt.datetime(2026, 10, 25, 2, 30, fold=1), dt.datetime(2026, 10, 25, 23, 30)]
    for local in moments:
        at = local.replace(tzinfo=berlin).astimezone(dt.UTC)
        world.see((at - day(0)).total_seconds() / 86_400, ["customer_id:1"], local_day=local.date(), occurred_at=at)
    rows = {r["local_day"]: r for r in days_of(world, world.run()["identities"])}
    assert {d: r["count"] for d, r in rows.items()} == {dt.date(2026, 3, 29): 1, dt.date(2026, 10, 25): 3}
    assert rows[dt.date(2026, 10, 25)]["first_at"] == dt.datetime(2026, 10, 24, 22, 30, tzinfo=dt.UTC)
    assert rows[dt.date(2026, 10, 25)]["last_at"] == dt.datetime(2026, 10, 25, 22, 30, tzinfo=dt.UTC)


def test_events_follow_a_device_that_changed_hands() -> None:
    world = World()
    for at, login in ((0, "customer_id:1"), (5, None), (40, None), (60, "customer_id:2"), (61, None)):
        world.see(at, ["device_id:d", *([login] if login else [])])
    counts: dict[int, int] = defaultdict(int)
    for row in days_of(world, world.run()["identities"]):
        counts[row["person_key"]] += row["count"]  # type: ignore[index, operator]
    assert counts == {key("customer_id:1"): 3, key("customer_id:2"): 2}


def test_what_carries_only_a_shared_device_is_nobodys() -> None:
    world = World()
    for at, login in ((0, "customer_id:1"), (1, "customer_id:2"), (2, "customer_id:1"), (3, None)):
        world.see(at, ["device_id:d", *([login] if login else [])])
    rows = days_of(world, world.run()["identities"])
    assert {r["person_key"] for r in rows} == {key("customer_id:1"), key("customer_id:2")}
    assert sum(r["count"] for r in rows) == 3  # type: ignore[misc]


def test_no_events_no_days() -> None:
    assert days_of(World(), World().run()["identities"]) == []
