"""Receipts: outcomes of our own messages, once each."""

from __future__ import annotations

import datetime as dt

import ibis
import pyarrow as pa

from kundig.deliver.receipts import receipts
from kundig.store.engines.session import arrow_schema
from kundig.tables.collect import CAMPAIGN_MESSAGES
from kundig.tables.deliver import MESSAGES

AT = dt.datetime(2026, 11, 3, 9, tzinfo=dt.UTC)


def rows(table, dicts):
    return ibis.memtable(pa.Table.from_pylist([{name: row.get(name) for name in table.names} for row in dicts], schema=arrow_schema(table)))


def told(message_id, outcome, minutes):
    at = AT + dt.timedelta(minutes=minutes)
    return {"message_id": message_id, "outcome": outcome, "occurred_at": at, "received_at": at}


def test_only_our_messages_and_the_first_report_of_each_outcome():
    messages = rows(MESSAGES, [{"message_id": "a", "person_key": 1}, {"message_id": "b", "person_key": 2}])
    reported = [told("esp:a", "opened", 5), told("esp:a", "sent", 0), told("other:a", "opened", 3), told("esp:x", "opened", 1), told("esp:b", "unsubscribed", 9), told("esp:ab", "clicked", 1)]
    found = receipts(rows(CAMPAIGN_MESSAGES, reported), messages).to_pyarrow().to_pylist()
    assert sorted((row["message_id"], row["person_key"], row["outcome"], row["occurred_at"]) for row in found) == [
        ("a", 1, "opened", AT + dt.timedelta(minutes=3)), ("b", 2, "unsubscribed", AT + dt.timedelta(minutes=9)),
    ]  # fmt: skip


def test_no_reports_give_no_receipts():
    assert receipts(rows(CAMPAIGN_MESSAGES, []), rows(MESSAGES, [])).to_pyarrow().num_rows == 0
