"""What is older than its table says is deleted, in every kept release, with a row of proof; consents and what is open stay."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from tests.privacy.test_erasing import buyer

import kundig as kd
from kundig.clock import now
from kundig.errors import PrivacyError
from kundig.govern.retention import APART, aged_by, limited
from kundig.privacy import fulfil, open_request
from kundig.privacy.expiring import expire, expired
from kundig.tables import ALL


@pytest.fixture
def shop(copy, monkeypatch):
    monkeypatch.delenv("KUNDIG_SUPPRESSION_KEY", raising=False)
    workspace = kd.open(copy)
    yield workspace
    workspace.state.close()
    workspace.lake.close()


def ages(workspace, name, at):
    """Rows of a table older than declared, counted row by row in plain Python; and all rows."""
    table = workspace.tables[name]
    by, before = aged_by(table), at - dt.timedelta(days=table.retention_days)
    values = [row[0] for row in workspace.rows_now(f"SELECT {by} FROM {name}")[1]] if table.home == "lake" else [row[by] for row in workspace.state.select(name)]
    from zoneinfo import ZoneInfo

    day = before.astimezone(ZoneInfo(workspace.config.settings.workspace.zone)).date()
    return sum(value is not None and (value < day if not isinstance(value, dt.datetime) else value < before) for value in values), len(values)


def test_every_limited_table_loses_what_is_too_old_and_nothing_else(shop):
    at = now() + dt.timedelta(days=800)
    names = [table.name for table in limited(shop.tables.values()) if table.name != "touched"]
    before = {name: ages(shop, name, at) for name in names}
    assert sum(old for old, _ in before.values()) > 1_000 and sum(0 < old < every for old, every in before.values()) >= 2, before
    told = {one.table: one for one in expired(shop, at=at)}
    assert {name: told[name].rows for name in names} == {name: old for name, (old, _) in before.items()}
    consents, orders = len(shop.state.select("consent_log")), shop.rows("SELECT sum(gross) FROM orders")[1]
    done = {one.table: one for one in expire(shop, at=at)}
    assert {name: ages(shop, name, at) for name in names} == {name: (0, every - old) for name, (old, every) in before.items()}
    assert all(one.left == 0 for one in done.values())
    proof = {row["object_id"]: json.loads(row["details"]) if isinstance(row["details"], str) else row["details"] for row in shop.state.select("audit_log") if row["action"] == "expire"}
    assert {name: proof[name]["rows"] for name in proof if name != "touched"} == {name: old for name, (old, _) in before.items() if old}
    assert len(shop.state.select("consent_log")) == consents and shop.rows("SELECT sum(gross) FROM orders")[1] == orders, "orders are kept for ten years, consents as long as the person is known"
    assert all(one.rows == 0 for one in expire(shop, at=at) if one.table != "touched"), "a second time there is nothing left"
    assert kd.open(shop.root).person(buyer(shop)[0]), "kept releases stay readable"


def test_after_facts_went_the_next_run_is_a_full_one(shop, monkeypatch):
    """Sums cannot be taken back: what was computed from facts that are gone is computed anew."""
    ran = []
    monkeypatch.setattr("kundig.pipeline.run", lambda *given, full, only, **rest: ran.append((full, only)))
    at = now() + dt.timedelta(days=800)
    expire(shop, at=at, only="caps")
    shop.run()
    expire(shop, at=at, only="ad_contacts" if ages(shop, "ad_contacts", at)[0] else "events")
    shop.run(only=["profiles"])
    shop.run()
    shop.run()
    assert ran == [(False, ()), (False, ("profiles",)), (True, ()), (False, ())]


def test_open_requests_and_untaken_keys_stay(shop):
    email, _ = buyer(shop)
    waits = open_request(shop, "access", email, requested_at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    done = open_request(shop, "access", email, requested_at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    fulfil(shop, done.request_id)
    expire(shop, only="privacy_requests")
    assert [row["request_id"] for row in shop.state.select("privacy_requests")] == [waits.request_id]
    release = shop.lake.release().moment
    (one,) = expire(shop, at=release + dt.timedelta(days=400), only="touched")
    assert one.before <= release
    with pytest.raises(PrivacyError, match="consent_log"):
        expire(shop, only="consent_log")


def test_every_table_with_days_says_how_old_its_rows_are():
    unaged = {table.name for table in ALL.values() if table.retention_days is not None and table.name not in APART and aged_by(table) is None}
    assert unaged <= {"gate_facts", "quarantined_records"}, "made anew by each run, or aged otherwise"


def test_expire_on_the_command_line(kundig, copy):
    told = kundig("privacy", "expire", "--dry-run", "--as-of", "2029-01-01", "--workspace", copy, "--json")
    rows = {one["table"]: one["rows"] for one in json.loads(told.out)}
    assert rows["ad_contacts"] >= 0 and "consent_log" not in rows
    name = max(rows, key=rows.get)
    done = kundig("privacy", "expire", "--table", name, "--as-of", "2029-01-01", "--workspace", copy)
    assert done.code == 0 and f"{rows[name]:,} rows were deleted" in done.out
    assert "0 rows of 0 tables are too old" in kundig("privacy", "expire", "--dry-run", "--table", name, "--as-of", "2029-01-01", "--workspace", copy).out
