"""State on SQLite and PostgreSQL: the same laws on both, migrations that lead to the declarations, leases with fences."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import threading
from decimal import Decimal

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.store.draft_migration import difference

from kundig import consent
from kundig.errors import Busy, StoreError
from kundig.store.engines.session import arrow_schema
from kundig.store.migrations.upgrade import upgrade
from kundig.store.state import MIGRATIONS, State
from kundig.tables import STATE

AT = dt.datetime(2026, 3, 29, 1, 30, 0, 123_456, tzinfo=dt.UTC)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.needs_postgres)])
def url(request, tmp_path):
    return f"sqlite:///{tmp_path / 'state.sqlite'}" if request.param == "sqlite" else str(request.getfixturevalue("postgres").database())


@pytest.fixture
def state(url):
    opened = State.open(url)
    yield opened
    opened.close()


def test_migrations_lead_to_the_declarations(state):
    assert difference(state) == "", 'python -m tests.store.draft_migration "why" drafts the migration that is missing'


def test_a_missing_migration_is_seen(state):
    """Positive control: a column that no migration makes is a difference."""
    with state.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE caps DROP COLUMN channel"))
    assert "channel" in difference(state)


def test_an_older_state_is_brought_up_to_date_with_its_rows(url):
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT" if url.startswith("sqlite") else "READ COMMITTED")
    upgrade(engine, MIGRATIONS, "0001")
    with engine.connect() as connection:
        connection.execute(
            sa.text("INSERT INTO consent_log (record_id, identifier_key, other_keys, purpose, channel, status, occurred_at, received_at) VALUES ('r', 7, '[8]', 'newsletter', '*', 'withdrawn', 0, 0)")
        )
        if not url.startswith("sqlite"):
            connection.commit()
    engine.dispose()
    state = State.open(url)
    assert {key: [one.record_id for one in found] for key, found in consent.records_of(state, [7, 8, 9]).items()} == {7: ["r"], 8: ["r"]}
    state.close()


def test_a_newer_state_is_refused(url):
    state = State.open(url)
    with state.transaction() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    state.close()
    with pytest.raises(StoreError, match="version '9999', which this release of kundig does not know"):
        State.open(url)


VALUES = {
    "int64": st.integers(-(2**63), 2**63 - 1), "float64": st.floats(allow_nan=False, allow_infinity=False), "string": st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    "bool": st.booleans(), "date": st.dates(), "timestamp": st.datetimes(timezones=st.just(dt.UTC)), "decimal(18,4)": st.decimals("-99999999999999.9999", "99999999999999.9999", places=4),
    "json": st.just('{"a": 1}'), "list<int64>": st.lists(st.integers(-(2**63), 2**63 - 1)),
}  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data(), st.sampled_from(sorted(STATE)), st.booleans())
def test_every_value_comes_back_as_it_went_in(state, data, name, many):
    declared = STATE[name]
    row = {column.name: data.draw(VALUES[column.type] if column.name in declared.key else st.none() | VALUES[column.type]) for column in declared.columns if column.name != "seq" or declared.key != ("seq",)}
    with state.transaction() as connection:
        connection.execute(sa.delete(state.sql(name)))
    if many:
        rows = pa.Table.from_pylist([row], schema=pa.schema([field for field in arrow_schema(declared) if field.name in row]))
        with state.transaction() as connection:
            state.load(name, rows, connection=connection)
    else:
        state.insert(name, [row])
    assert [{key: found[key] for key in row} for found in state.select(name)] == [row]
    arrow = state.rows(declared).to_pylist()[0]
    assert {key: arrow[key] for key in row} == row


def test_many_rows_are_inserted_a_part_at_a_time(state, monkeypatch):
    monkeypatch.setattr("kundig.store.state._LOADED_AT_ONCE", 7)
    rows = pa.table({"identifier_key": pa.array(range(30), pa.int64()), "seq": pa.array(range(100, 130), pa.int64())})
    with state.transaction() as connection:
        assert state.load("consent_keys", rows, connection=connection) == 30
    assert sorted((row["identifier_key"], row["seq"]) for row in state.select("consent_keys")) == list(zip(range(30), range(100, 130), strict=True))


@pytest.mark.parametrize(
    ("table", "row", "message"),
    [
        ("caps", {"message_id": "m", "at": dt.datetime(2026, 1, 1)}, "has no time zone"),
        ("budgets", {"budget": "b", "amount": Decimal("0.00001")}, "is no decimal"),
        ("budgets", {"budget": "b", "amount": Decimal(10) ** 14}, "is no decimal"),
    ],
)
def test_what_would_be_changed_silently_is_refused(state, table, row, message):
    with pytest.raises((StoreError, sa.exc.StatementError), match=message):
        state.insert(table, [row])
    assert state.select(table) == []


def test_a_transaction_happens_whole_or_not_at_all(state):
    def fails():
        with state.transaction() as connection:
            state.insert("caps", [{"message_id": "a", "person_key": 1, "at": AT}], connection=connection)
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError):
        fails()
    assert state.select("caps") == []
    state.insert("caps", [{"message_id": "a", "person_key": 1, "at": AT}])
    assert state.insert("caps", [{"message_id": "a", "person_key": 2, "at": AT}, {"message_id": "b"}], ignore_known=True) == 1
    assert [row["person_key"] for row in state.select("caps", order_by=state.sql("caps").c.message_id)] == [1, None]


def test_one_writer_at_a_time(state):
    """Eight threads count up what they read: without one writer at a time, counts would be lost."""
    state.insert("budgets", [{"budget": "b", "contacts": 0}])
    budgets = state.sql("budgets")

    def count():
        for _ in range(10):
            with state.transaction() as connection:
                found = connection.execute(sa.select(budgets.c.contacts)).scalar_one()
                connection.execute(sa.update(budgets).values(contacts=found + 1))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state.select("budgets")[0]["contacts"] == 80


def test_a_reader_sees_one_state_throughout(state):
    with state.reading() as connection:
        before = connection.execute(sa.select(sa.func.count()).select_from(state.sql("caps"))).scalar_one()
        state.insert("caps", [{"message_id": "a"}])
        assert connection.execute(sa.select(sa.func.count()).select_from(state.sql("caps"))).scalar_one() == before == 0
    assert len(state.select("caps")) == 1


def test_a_lease_is_held_once_and_its_fence_rises(state):
    with state.lease("writer", "host:1", 60) as first:
        with pytest.raises(Busy, match="holds the lease 'writer'"), state.lease("writer", "host:2", 60):
            pass
        with state.transaction() as connection:
            state.fenced(first, connection)
    with state.lease("writer", "host:2", 60) as second:
        assert second.fence == first.fence + 1
        with pytest.raises(Busy, match="taken by somebody else"), state.transaction() as connection:
            state.fenced(first, connection)


def test_a_lease_lapses_and_a_late_holder_writes_nothing(url):
    moment = [AT]
    state = State.open(url, clock=lambda: moment[0])
    late = state._take("writer", "gone:1", 30)
    moment[0] = AT + dt.timedelta(seconds=29)
    with pytest.raises(Busy):
        state._take("writer", "other:1", 30)
    moment[0] = AT + dt.timedelta(seconds=30)
    state._take("writer", "other:1", 30)

    def writes():
        with state.transaction() as connection:
            state.insert("caps", [{"message_id": "late"}], connection=connection)
            state.fenced(late, connection)

    with pytest.raises(Busy):
        writes()
    assert state.select("caps") == []
    state.close()


def test_erased_rows_leave_no_bytes(tmp_path):
    """With its positive control: before the erasure the same search finds the planted value."""
    state = State.open(f"sqlite:///{tmp_path / 'state.sqlite'}")
    state.insert("messages", [{"message_id": "m", "address": "needle@example.org"}])
    found = lambda: [path.name for path in tmp_path.iterdir() if b"needle@example.org" in path.read_bytes()]  # noqa: E731
    assert found()
    with state.transaction() as connection:
        connection.execute(sa.delete(state.sql("messages")))
    state.scrub()
    assert found() == []
    state.close()


def test_sqlite_keeps_what_it_acknowledged(tmp_path):
    """A process killed right after its commit has lost nothing, and one killed within leaves nothing."""
    path = tmp_path / "state.sqlite"
    script = (
        "import os, signal, sys\nfrom kundig.store.state import State\n"
        f"state = State.open('sqlite:///{path}')\nstate.insert('caps', [{{'message_id': 'kept'}}])\n"
        "with state.transaction() as connection:\n    state.insert('caps', [{'message_id': 'open'}], connection=connection)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": "src", "PATH": "/usr/bin:/bin"}, check=False).returncode == -9
    assert [row["message_id"] for row in State.open(f"sqlite:///{path}").select("caps")] == ["kept"]
