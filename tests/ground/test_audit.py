"""Audit: the chain shows every change, and no personal value gets in."""

from __future__ import annotations

import datetime as dt

import pytest
import sqlalchemy as sa

from kundig import audit
from kundig.errors import ContractError
from kundig.store.state import State

AT = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


@pytest.fixture
def state(tmp_path):
    opened = State.open(f"sqlite:///{tmp_path / 'state.sqlite'}")
    for number in range(5):
        audit.append(opened, actor="u1", role="owner", action="approve", object_kind="scenario", object_id=f"s{number}", details={"version": f"{number:016x}", "rows": number}, at=AT + dt.timedelta(hours=number))
    yield opened
    opened.close()


def test_an_untouched_log_is_whole(state):
    assert audit.verify(state) == []


@pytest.mark.parametrize(
    ("tampering", "fault"),
    [
        ("UPDATE audit_log SET object_id = 'other' WHERE seq = 3", "row 3: it was changed"),
        ("UPDATE audit_log SET details = '{}' WHERE seq = 5", "row 5: it was changed"),
        ("UPDATE audit_log SET at = at + 1 WHERE seq = 1", "row 1: it was changed"),
        ("DELETE FROM audit_log WHERE seq = 2", "row 3: a row before it is missing"),
        ("DELETE FROM audit_log WHERE seq = 1", "row 2: a row before it is missing"),
        ("UPDATE audit_log SET seq = -seq WHERE seq IN (3, 4)", "a row before it is missing"),
    ],
)
def test_tampering_is_seen(state, tampering, fault):
    with state.transaction() as connection:
        connection.execute(sa.text(tampering))
    assert any(fault in found for found in audit.verify(state))


def test_cutting_the_end_off_is_seen_by_a_noted_head(state):
    head = audit.append(state, actor="u1", role="owner", action="erase", object_kind="person", object_id="p1", at=AT)
    assert audit.verify(state, head=head) == []
    with state.transaction() as connection:
        connection.execute(sa.text("DELETE FROM audit_log WHERE seq = 6"))
    assert audit.verify(state) == [], "the chain alone cannot know"
    assert audit.verify(state, head=head) == ["audit_log: its newest rows are missing"]


@pytest.mark.parametrize(
    "values",
    [{"actor": "a@example.org"}, {"object_id": "+49 171 1234567"}, {"details": {"found": ["0171/1234567"]}}, {"details": {"x": {"deep": "mail to b.c@example.co.uk now"}}}, {"details": {"d@example.org": 1}}],
)
def test_personal_values_are_refused(state, values):
    given = {"actor": "u1", "role": "owner", "action": "read", "object_kind": "person", "object_id": "p1"} | values
    with pytest.raises(ContractError, match="looks like an e-mail address or a phone number"):
        audit.append(state, **given)
    assert len(state.select("audit_log")) == 5


@pytest.mark.parametrize("text", ["2026-03-29T01:30:00+00:00", "3f0a01123456789b", "0" * 64, "12.03.2026", "1.234,56", "order 4711-0815", "p_01j9z0123456", "5e-07", "0.000123456", "policies/win_back.yaml"])
def test_what_only_resembles_passes(text):
    assert not audit.looks_personal(text)


def test_a_row_joins_a_transaction(state):
    def fails():
        with state.transaction() as connection:
            audit.append(state, actor="u1", role="owner", action="read", object_kind="person", connection=connection)
            raise RuntimeError("it fails")

    with pytest.raises(RuntimeError):
        fails()
    assert len(state.select("audit_log")) == 5
