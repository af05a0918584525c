"""KPIs: each source removed in turn makes what rests on it null with the reason, never zero; months are local months."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kundig import pipeline
from kundig.config.load import load
from kundig.measure.measures import MEASURES
from kundig.store.engines.duckdb import connect
from kundig.store.lake import Lake
from kundig.tables import ALL, LAKE
from kundig.testing import END, World, default_workspace, key, land

LANDED = ("orders", "events", "campaign_messages", "ad_spend", "subscriptions", "survey_answers", "referrals")
RESTS_ON = {"lifetime_values": "orders", "features": "orders", "lifecycle_states": "orders", "sessions": "events", "profiles": "orders"}


def _lake(root: Path) -> Lake:
    default_workspace(root)
    return Lake(f"sqlite:///{root}/lake.sqlite", root / "lake", LAKE, duck=connect(threads=1, memory="1GB"))


def _more(person: int) -> dict[str, list[dict[str, Any]]]:
    at = END - dt.timedelta(days=70)
    who = {"identifier_key": key("shop_customer", str(1000 + person)), "other_keys": [], "source": "shop", "occurred_at": at, "received_at": at, "batch_id": "more"}
    return {
        "subscriptions": [who | {"subscription_id": f"s{person}", "plan": "Abo", "amount": Decimal("9.90"), "period_months": 1, "started_at": at, "trial_until": at + dt.timedelta(days=30)}],
        "survey_answers": [who | {"answer_id": f"a{person}", "survey": "Marke", "question": "?", "answer": "ja", "score": Decimal(person % 2), "exposed": person % 3 == 0}],
        "referrals": [who | {"referral_id": f"r{person}", "referred_key": 1, "status": "bought" if person % 2 else "sent"}],
    }


def _kpis(root: Path, without: str | None) -> list[dict[str, Any]]:
    from kundig.testing import _arrow

    lake = _lake(root)
    rows = World(4, people=15).rows(until=END, events=200, orders=60)
    more: dict[str, list[dict[str, Any]]] = {}
    for person in range(8):
        for name, found in _more(person).items():
            more.setdefault(name, []).extend(found)
    rows |= {name: _arrow(name, found) for name, found in more.items()}
    if without is not None:
        rows.pop(without)
        if without == "orders":
            rows.pop("order_lines")
    land(lake, rows)
    pipeline.run(lake, None, load(root), ALL, as_of=END, only=("kpis",))
    result = lake.duck.execute(f"SELECT * FROM {lake.scan('kpis')}")
    names = [column[0] for column in result.description]
    found = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    lake.close()
    return found


@pytest.mark.parametrize("without", LANDED)
def test_a_missing_source_is_null_with_the_reason(without: str, tmp_path: Path) -> None:
    rows = _kpis(tmp_path, without)
    for measure in MEASURES:
        mine = [row for row in rows if row["kpi"] == measure.name]
        assert mine, f"{measure.name} has no row at all"
        needs = {RESTS_ON.get(table, table) for table in measure.needs} | set(measure.needs)
        if without in needs:
            assert all(row["value"] is None and row["reason"] for row in mine if row["dimension"] == ""), f"{measure.name} without {without}: {mine[0]}"
        elif measure.body is None:
            assert all(row["value"] is None and row["reason"] == measure.absent for row in mine)


def test_with_all_sources_most_are_known(tmp_path: Path) -> None:
    """The positive control: the same check must find values when nothing is removed."""
    rows = _kpis(tmp_path, None)
    known = {row["kpi"] for row in rows if row["value"] is not None}
    assert {"revenue", "clv", "arr", "churn", "cac", "retention", "open_rate", "conversion_rate", "opt_out_rate", "referral_lift", "brand_lift", "trial_to_paid"} <= known
    assert all(row["reason"] for row in rows if row["value"] is None)
    shares = [row for row in rows if row["unit"] == "share" and row["low"] is not None]
    assert shares
    assert all(0 <= row["low"] <= row["value"] <= row["high"] <= 1 for row in shares)


def test_revenue_is_counted_in_local_months(tmp_path: Path) -> None:
    """23:30 in Berlin on the last of October, the day after the clock changed, belongs to October."""
    from kundig.testing import _arrow

    lake = _lake(tmp_path)
    late = dt.datetime(2026, 10, 31, 22, 30, tzinfo=dt.UTC)
    order = {
        "order_id": "o1", "source": "shop", "occurred_at": late, "received_at": late, "local_day": dt.date(2026, 10, 31), "identifier_key": key("shop_customer", "1"), "other_keys": [],
        "status": "completed", "channel": "shop", "original_currency": "EUR", "gross": Decimal("119"), "net": Decimal("100"), "tax": Decimal("19"), "shipping": Decimal(0),
        "discount": Decimal(0), "batch_id": "b",
    }  # fmt: skip
    land(lake, {"orders": _arrow("orders", [order])})
    pipeline.run(lake, None, load(tmp_path), ALL, as_of=late + dt.timedelta(hours=2), only=("kpis",))
    found = lake.duck.execute(f"SELECT period_start, value FROM {lake.scan('kpis')} WHERE kpi = 'revenue' AND dimension = ''").fetchall()
    assert found == [(dt.date(2026, 10, 1), 100.0)]
    lake.close()
