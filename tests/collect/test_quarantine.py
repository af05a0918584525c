"""What is held: counted by reason, mended field by field, judged again by today's mapping and plan, given up with a word why."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.collect.shop import NOW, ORDERS, Shop

from kundig import audit
from kundig.collect import quarantine
from kundig.collect.amending import amended, amendment
from kundig.errors import ContractError, SourceError
from kundig.store.state import State

LATER = NOW + dt.timedelta(minutes=5)
HEAD = "no,day,total,customer,mail\n"
GOOD = "".join(f"{number},2026-03-01,2,C{number},\n" for number in range(1, 6))
BAD = "8,2026-02-30,2,C8,h@example.org\n9,2026-02-31,3,C9,\n10,2026-03-02,x,C10,\n"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State.open(f"sqlite:///{tmp_path / 'state.sqlite'}")
    yield opened
    opened.close()


@pytest.fixture
def held(shop: Shop) -> Shop:
    """A shop with three held orders: two days that are none, and an amount that is none."""
    shop.source(ORDERS.format(more=""))
    shop.write("in/orders.csv", HEAD + GOOD + BAD)
    assert shop.land().quarantined == 3
    return shop


def days(shop: Shop) -> list[quarantine.Held]:
    return sorted(quarantine.held(shop.lake, reason="no moment"), key=lambda record: record.body)


def test_counts_by_source_and_reason_leave_the_values_out(held: Shop) -> None:
    first, second = quarantine.groups(held.lake)
    assert (first.source, first.records, first.reason) == ("shop", 2, "'occurred_at' is …, which is no moment as the mapping says")
    assert (second.records, second.first_at) == (1, NOW)
    assert first.example in {record.record_id for record in days(held)}
    assert quarantine.groups(held.lake, reason="no number")[0].records == 1
    assert quarantine.groups(held.lake, source="crm") == ()
    assert sum(group.records for group in quarantine.groups(held.lake, status=None)) == 3


def test_fields_are_mended_and_the_record_stays_as_it_came(held: Shop, state: State) -> None:
    record = days(held)[0]
    assert json.loads(record.body) == {"no": "8", "day": "2026-02-30", "total": "2", "customer": "C8", "mail": "h@example.org"}
    fixed = quarantine.fix(held.lake, record.record_id, [amendment("day=2026-02-28"), amendment("total=4.50")], state=state)
    assert json.loads(fixed.body) | {"day": "2026-02-28", "total": "4.50"} == json.loads(fixed.body)
    assert fixed.original == record.body
    again = quarantine.fix(held.lake, record.record_id, [amendment("total=5")], state=state)
    assert again.original == record.body, "the first of all stays"
    assert quarantine.replay(held.lake, held.config, now=LATER).replayed == 1
    assert dict(held.rows("orders", "order_id, gross"))["shop:8"] == 5
    assert quarantine.show(held.lake, record.record_id).original == record.body
    rows = state.select("audit_log", order_by=state.sql("audit_log").c.seq)
    assert [(row["action"], row["object_id"], json.loads(row["details"])["fields"]) for row in rows] == [("fix", record.record_id, ["day", "total"]), ("fix", record.record_id, ["total"])]
    assert audit.verify(state) == []
    assert "4.50" not in json.dumps([row["details"] for row in rows]), "values stay out of the log"


def test_all_records_of_a_reason_are_mended_or_none(held: Shop, state: State) -> None:
    fixed = quarantine.fix_all(held.lake, "no moment", [amendment("day=2026-02-28")], state=state)
    assert len(fixed) == 2
    [row] = state.select("audit_log")
    assert json.loads(row["details"])["records"] == 2
    with pytest.raises(SourceError, match="nothing is held because of 'no monent'") as caught:
        quarantine.fix_all(held.lake, "no monent", [amendment("day=2026-02-28")], state=state)
    assert "no moment" in caught.value.mend
    before = {record.record_id: record.body for record in quarantine.held(held.lake)}
    with pytest.raises(SourceError, match="has no field 'totals'"):
        quarantine.fix_all(held.lake, "mapping says", [amendment("totals=1")], state=state)
    assert {record.record_id: record.body for record in quarantine.held(held.lake)} == before
    assert len(state.select("audit_log")) == 1
    done = quarantine.replay(held.lake, held.config, now=LATER)
    assert (done.replayed, done.quarantined, done.rows["orders"]) == (2, 1, 2)


def test_what_still_fails_stays_with_todays_reason(held: Shop) -> None:
    record = days(held)[0]
    quarantine.fix(held.lake, record.record_id, [amendment("day=2026-02-28"), amendment("total=much")])
    done = quarantine.replay(held.lake, held.config, [record.record_id], now=LATER)
    assert (done.replayed, done.quarantined) == (0, 1)
    now = quarantine.show(held.lake, record.record_id)
    assert "'much'" in now.what
    assert (now.status, now.where, now.received_at, now.original) == ("held", record.where, record.received_at, record.body)


def test_todays_mapping_judges(held: Shop) -> None:
    """The mapping is mended, not the record: a default takes what cannot be read."""
    held.source(ORDERS.format(more="").replace("gross: total", "gross: {column: total, map: {x: '0'}}"))
    assert quarantine.replay(held.lake, held.config, reason="no number", now=LATER).replayed == 1
    assert dict(held.rows("orders", "order_id, gross"))["shop:10"] == 0


def test_a_second_replay_lands_nothing_twice(held: Shop) -> None:
    quarantine.fix_all(held.lake, "no moment", [amendment("day=2026-02-28")])
    held.write("in/orders9.csv", HEAD + "9,2026-02-28,3,C9,\n")  # meanwhile the shop sent it again, rightly
    held.land(files=["in/orders9.csv"])
    first = quarantine.replay(held.lake, held.config, now=LATER)
    second = quarantine.replay(held.lake, held.config, now=LATER + dt.timedelta(minutes=1))
    assert (first.replayed, second.replayed, second.quarantined) == (2, 0, 1)
    assert sorted(held.rows("orders", "order_id")) == [(f"shop:{number}",) for number in (1, 2, 3, 4, 5, 8, 9)]


def test_a_record_that_breaks_two_landings_stays_one(shop: Shop) -> None:
    shop.source(ORDERS.format(more="") + "      - table: tickets\n        columns: {ticket_id: no, occurred_at: day}\n        identifiers: [{namespace: email, column: mail}]\n")
    shop.write("in/orders.csv", HEAD + GOOD + "8,2026-02-30,2,C8,\n")
    shop.land()
    before = [record.record_id for record in quarantine.held(shop.lake)]
    assert len(before) == 2, "held once per landing"
    quarantine.replay(shop.lake, shop.config, now=LATER)
    assert sorted(record.record_id for record in quarantine.held(shop.lake)) == sorted(before)
    quarantine.fix_all(shop.lake, "no moment", [amendment("day=2026-02-28")])
    assert quarantine.replay(shop.lake, shop.config, now=LATER + dt.timedelta(minutes=1)).replayed == 2
    assert shop.rows("orders", "count(*)", "WHERE order_id = 'shop:8'") == [(1,)]
    assert shop.rows("tickets", "count(*)", "WHERE ticket_id = 'shop:8'") == [(1,)]


def test_a_source_that_is_gone_is_told_and_its_records_stay(held: Shop) -> None:
    (held.root / "sources/shop.yaml").unlink()
    done = quarantine.replay(held.lake, held.config, now=LATER)
    assert (done.replayed, done.quarantined, done.unread) == (0, 0, {"shop": 3})
    assert len(quarantine.held(held.lake)) == 3


def test_dropping_needs_a_word_why_and_stands_in_the_log(held: Shop, state: State) -> None:
    record = days(held)[0]
    with pytest.raises(SourceError, match="without a word why"):
        quarantine.drop(held.lake, [record.record_id], note=" ", state=state)
    with pytest.raises(SourceError, match="no record 'x' is held"):
        quarantine.drop(held.lake, [record.record_id, "x"], note="a test", state=state)
    with pytest.raises(ContractError, match="looks like an e-mail"):
        quarantine.drop(held.lake, [record.record_id], note="asked by a@example.org", state=state)
    assert len(quarantine.held(held.lake)) == 3, "none of these dropped anything"
    assert quarantine.drop(held.lake, [record.record_id], note="a test order", state=state) == 1
    assert quarantine.drop(held.lake, None, reason="no number", note="no longer sold", state=state) == 1
    assert len(quarantine.held(held.lake)) == 1
    dropped = quarantine.show(held.lake, record.record_id)
    assert (dropped.status, dropped.note) == ("dropped", "a test order")
    assert [json.loads(row["details"])["because"] for row in state.select("audit_log", order_by=state.sql("audit_log").c.seq)] == ["a test order", "no longer sold"]
    assert quarantine.replay(held.lake, held.config, now=LATER).replayed == 0, "what was dropped does not come back"
    with pytest.raises(SourceError, match="dropped, not held"):
        quarantine.fix(held.lake, record.record_id, [amendment("day=2026-02-28")])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("a.b=1", {"a.b": "1", "c": {"d": [1, 2]}, "n": None}), ("c.d.1:=7", {"a.b": "x", "c": {"d": [1, 7]}, "n": None}), ("n:=true", {"a.b": "x", "c": {"d": [1, 2]}, "n": True}),
        ("new.deep=z", {"a.b": "x", "c": {"d": [1, 2]}, "n": None, "new": {"deep": "z"}}), ("c=", {"a.b": "x", "c": "", "n": None}),
    ],
)  # fmt: skip
def test_amendments(change: str, expected: dict[str, Any]) -> None:
    assert json.loads(amended('{"a.b": "x", "c": {"d": [1, 2]}, "n": null}', [amendment(change)])) == expected


@pytest.mark.parametrize(
    ("body", "change", "words"),
    [
        ("{}", "day", "changes no field"), ("{}", "=1", "changes no field"), ("{}", "a:=x", "no JSON"), ('"a torn line"', "a=1", "has no fields"), ('{"a": 1}', "a.b=1", "'a' holds no fields"),
        ('{"userid": 1}', "userId=1", "did you mean 'userid'?"),
    ],
)  # fmt: skip
def test_amendments_that_cannot_be(body: str, change: str, words: str) -> None:
    with pytest.raises(SourceError) as caught:
        amended(body, [amendment(change)])
    assert words in str(caught.value)


def test_lines_that_a_killed_replay_left_do_not_stay_on_the_disk(held: Shop) -> None:
    left = held.lake.data / ".replay-killed"
    left.mkdir()
    (left / "replayed").write_text("a record", encoding="utf-8")
    assert quarantine.left_over(held.lake) == (left,) and quarantine.clear(held.lake) == 1
    assert not left.exists() and quarantine.clear(held.lake) == 0
