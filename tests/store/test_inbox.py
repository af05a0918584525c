"""The inbox: nothing acknowledged is lost, nothing is read twice after an advance, nothing is trimmed before all have read it."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.broker import broker, running_broker

from kundig.errors import Conflict, StoreError
from kundig.store.broker import open_inbox
from kundig.store.inbox import Inbox

__all__ = ["broker"]

FULL = os.environ.get("KUNDIG_FULL") == "1"


@pytest.fixture(params=["file", "broker"])
def place(request, tmp_path):
    """Where an inbox is: a file, or a stream of a broker."""
    return tmp_path / "inbox.sqlite" if request.param == "file" else request.getfixturevalue("broker").place()


@pytest.fixture
def inbox(place):
    opened = open_inbox(place, writing=True)
    yield opened
    opened.close()


def drained(inbox, cursor, most=7):
    bodies = []
    while (batch := inbox.read(cursor, most=most)) is not None:
        bodies += [entry.body for entry in batch.entries]
        inbox.advance(batch)
    return bodies


def test_readers_each_see_all_in_order(inbox):
    inbox.register("land")
    inbox.register("live")
    sent = [b"%d" % number for number in range(40)]
    numbers = [inbox.append(body, source="web") for body in sent]
    assert numbers == sorted(numbers)
    assert drained(inbox, "land") == sent
    assert inbox.waiting("live") == 40
    assert drained(inbox, "live", most=3) == sent
    inbox.register("late", at="end")
    inbox.append(b"new", source="web", kind="beacon", meta='{"a": 1}')
    (entry,) = inbox.read("late").entries
    assert (entry.body, entry.source, entry.kind, entry.meta) == (b"new", "web", "beacon", '{"a": 1}')


def test_a_batch_stays_the_same_until_it_is_advanced_once(inbox, place):
    inbox.register("land")
    for number in range(3):
        inbox.append(b"%d" % number, source="web")
    first = inbox.read("land")
    inbox.append(b"later", source="web")
    other = open_inbox(place)
    again = other.read("land", most=100)
    other.close()
    assert again == first, "also when more has come, and in another process"
    assert first.id == "inbox:land:0-3"
    inbox.advance(first)
    with pytest.raises(Conflict, match="cursor 'land' is not at 0"):
        inbox.advance(again)
    assert [entry.body for entry in inbox.read("land").entries] == [b"later"]


def test_a_batch_read_ahead_is_the_next_one_where_nobody_was_quicker(inbox, place):
    inbox.register("land")
    for number in range(4):
        inbox.append(b"%d" % number, source="web")
    first = inbox.read("land", most=2)
    follows = inbox.ahead(first, most=1)
    assert ([entry.body for entry in follows.entries], follows.id) == ([b"2"], "inbox:land:2-3")
    assert not inbox.take(follows), "the one before it has not been advanced"
    inbox.advance(first)
    assert inbox.take(follows)
    other = open_inbox(place)
    assert other.read("land") == follows, "what was taken is read again after a crash"
    last = other.ahead(follows)
    inbox.advance(follows)
    noted = other.read("land", most=1)
    assert not inbox.take(last), "somebody noted a batch of their own"
    other.advance(noted)
    other.close()
    assert inbox.ahead(noted) is None


def test_bounds_of_bytes_take_one_at_least(inbox):
    inbox.register("land")
    for size in (10, 10, 100, 10):
        inbox.append(b"x" * size, source="web")
    sizes = []
    while (batch := inbox.read("land", bytes=25)) is not None:
        sizes.append([len(entry.body) for entry in batch.entries])
        inbox.advance(batch)
    assert sizes == [[10, 10], [100], [10]]


def test_trim_waits_for_the_slowest(inbox):
    inbox.register("land")
    inbox.register("slow")
    for number in range(10):
        inbox.append(b"%d" % number, source="web")
    drained(inbox, "land")
    assert inbox.trim() == 0
    inbox.advance(inbox.read("slow", most=4))
    assert inbox.trim(at_once=2) == 4
    assert drained(inbox, "slow") == [b"%d" % number for number in range(4, 10)]
    inbox.forget("slow")
    assert inbox.trim() == 6
    assert inbox.append(b"next", source="web") == 11, "numbers are never used twice"
    inbox.register("fresh")
    assert [entry.body for entry in inbox.read("fresh").entries] == [b"next"]


def test_without_a_cursor_nothing_is_trimmed(inbox):
    inbox.append(b"a", source="web")
    assert inbox.trim() == 0


@settings(max_examples=200 if FULL else 15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.one_of(st.tuples(st.just("append"), st.binary(max_size=20)), st.tuples(st.sampled_from(["read", "ahead", "trim"]), st.integers(0, 2))), max_size=40))
def test_any_order_of_work_reads_each_entry_once(request, place, tmp_path_factory, steps):
    inbox = open_inbox(request.getfixturevalue("broker").place() if isinstance(place, str) else tmp_path_factory.mktemp("law") / "inbox.sqlite", writing=True)
    names = ["a", "b", "c"]
    for name in names:
        inbox.register(name)
    sent, got = [], {name: [] for name in names}
    for kind, value in steps:
        if kind == "append":
            inbox.append(value, source="web")
            sent.append(value)
        elif kind == "trim":
            inbox.trim()
        elif (batch := inbox.read(names[value], most=2)) is not None:
            follows = inbox.ahead(batch, most=2) if kind == "ahead" else None
            inbox.advance(batch)
            got[names[value]] += [entry.body for entry in batch.entries]
            if follows is not None and inbox.take(follows):
                got[names[value]] += [entry.body for entry in follows.entries]
                inbox.advance(follows)
    for name in names:
        assert got[name] + drained(inbox, name) == sent
    inbox.trim()
    inbox.register("new")
    assert inbox.read("new") is None
    inbox.close()


def test_many_senders_share_commits(inbox):
    inbox.register("land")

    def send(who):
        for future in [inbox.submit(b"%d-%d" % (who, number), source="web") for number in range(100)]:
            future.result(timeout=30)

    threads = [threading.Thread(target=send, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bodies = drained(inbox, "land", most=500)
    assert sorted(bodies) == sorted(b"%d-%d" % (who, number) for who in range(8) for number in range(100))


def test_closing_stores_what_waits_and_refuses_more(place):
    inbox = open_inbox(place, writing=True)
    futures = [inbox.submit(b"x", source="web") for _ in range(500)]
    inbox.close()
    assert sorted(future.result(timeout=1) for future in futures) == list(range(1, 501))
    with pytest.raises(StoreError, match="not open for writing"):
        inbox.submit(b"x", source="web")
    reader = open_inbox(place)
    with pytest.raises(StoreError, match="not open for writing"):
        reader.submit(b"x", source="web")
    reader.close()


def test_a_full_disk_acknowledges_nothing(tmp_path):
    inbox = Inbox(tmp_path / "inbox.sqlite", writing=True)
    inbox.append(b"before", source="web")
    with sqlite3.connect(inbox.path) as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON requests WHEN length(NEW.body) > 5 BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END")
    with pytest.raises(StoreError, match="could not be stored: database or disk is full"):
        inbox.append(b"too long", source="web")
    inbox.append(b"short", source="web")
    inbox.register("land")
    assert drained(inbox, "land") == [b"before", b"short"]
    inbox.close()


def test_a_queue_that_is_full_refuses(tmp_path):
    inbox = Inbox(tmp_path / "inbox.sqlite", writing=True, waiting=5)
    blocker = sqlite3.connect(inbox.path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")

    def flood():
        for _ in range(20):
            inbox.submit(b"x", source="web")
            time.sleep(0.01)

    with pytest.raises(StoreError, match="the inbox is full"):
        flood()
    blocker.execute("ROLLBACK")
    inbox.close()


def test_unknown_cursors_are_named(inbox):
    inbox.register("land")
    with pytest.raises(StoreError, match="no cursor 'lnad'") as raised:
        inbox.read("lnad")
    assert "did you mean 'land'" in raised.value.mend
    assert inbox.waiting("lnad") == 0


def test_damage_is_named(tmp_path):
    inbox = Inbox(tmp_path / "inbox.sqlite", writing=True)
    inbox.register("land")
    inbox.append(b"whole", source="web")
    with sqlite3.connect(inbox.path) as connection:
        connection.execute("UPDATE requests SET body = X'00'")
    with pytest.raises(StoreError, match="row 1 of the inbox is damaged"):
        inbox.read("land")
    inbox.close()


def test_erasure_leaves_no_bytes(request, inbox, place, tmp_path):
    """With its positive control: before the erasure the same search finds the planted person."""
    folder = request.getfixturevalue("broker").folder if isinstance(place, str) else tmp_path
    inbox.register("land")
    for number in range(50):
        inbox.append(b'{"email": "needle@example.org"}' if number % 10 == 0 else b'{"email": "other@example.org"}', source="web")
    found = lambda: sum(path.read_bytes().count(b"needle@example.org") for path in folder.rglob("*") if path.is_file())  # noqa: E731
    assert found() >= 5
    assert inbox.erase(lambda entry: b"{}" if b"needle" in entry.body else None) == 5
    assert found() == 0
    bodies = drained(inbox, "land")
    assert (bodies.count(b"{}"), len(bodies)) == (5, 50)


KILLED = textwrap.dedent("""
    import os, sys
    from kundig.store.broker import open_inbox
    inbox = open_inbox(sys.argv[1], writing=True)
    start, out = int(sys.argv[2]), os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for first in range(start, start + 100_000, 20):
        futures = [(number, inbox.submit(b"%d" % number, source="web")) for number in range(first, first + 20)]
        for number, future in futures:
            future.result()
            os.write(out, b"%d\\n" % number)
""")


def test_kill_9_loses_nothing_acknowledged(tmp_path):
    """Writers killed at random moments: each acknowledged body is there once; a lost one would be seen (positive control)."""
    path, acknowledged = tmp_path / "inbox.sqlite", tmp_path / "acknowledged"
    draw = random.Random(3)
    for turn in range(60 if FULL else 6):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(path), str(turn * 1_000_000), str(acknowledged)], env={"PYTHONPATH": "src", "PATH": "/usr/bin:/bin"})
        before = acknowledged.stat().st_size if acknowledged.exists() else 0
        while not acknowledged.exists() or acknowledged.stat().st_size == before:
            assert process.poll() is None
            time.sleep(0.005)
        time.sleep(draw.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    inbox = Inbox(path)
    inbox.register("land")
    bodies = drained(inbox, "land", most=5_000)
    told = acknowledged.read_bytes().splitlines()
    assert len(told) > 20
    assert len(bodies) == len(set(bodies)), "doubled"
    assert set(told) <= set(bodies), "lost"
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM requests WHERE body = ?", (told[0],))
    inbox.register("again")
    assert not set(told) <= set(drained(inbox, "again", most=5_000))


def test_a_broker_that_is_killed_loses_nothing_acknowledged(tmp_path):
    """The server itself dies at random moments while two collectors append; each goes on when it is back."""
    draw = random.Random(5)
    with running_broker(tmp_path) as server:
        place = server.place()
        collectors = [open_inbox(place, writing=True) for _ in range(2)]
        collectors[0].register("land")
        told, stop = set(), threading.Event()

        def send(who):
            number = 0
            while not stop.is_set():
                number += 1
                body = b"%d-%d" % (who, number)
                try:
                    collectors[who].append(body, source="web")
                    told.add(body)
                except StoreError:
                    time.sleep(0.01)

        threads = [threading.Thread(target=send, args=(who,)) for who in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(20 if FULL else 3):
            before = len(told)
            while len(told) < before + 20:
                time.sleep(0.005)
            time.sleep(draw.random() * 0.1)
            server.end(signal.SIGKILL)
            server.start()
        before = len(told)
        while len(told) < before + 20:
            time.sleep(0.005)
        stop.set()
        for thread in threads:
            thread.join(timeout=60)
        bodies = drained(collectors[0], "land", most=1_000)
        assert told <= set(bodies), "lost"
        assert collectors[0].trim() == len(bodies) and collectors[1].trim() == 0
        for collector in collectors:
            collector.close()


def test_a_broker_that_is_not_there_or_takes_too_little_is_told(tmp_path):
    with pytest.raises(StoreError, match="the broker does not do its part"):
        open_inbox("nats://127.0.0.1:1/x")
    with pytest.raises(StoreError, match="cannot name a stream"):
        open_inbox("nats://127.0.0.1:1/a-b")
    with running_broker(tmp_path) as server:
        server.end()
        config = tmp_path / "nats.conf"
        config.write_text(config.read_text(encoding="utf-8").replace("8MB", "1MB"), encoding="utf-8")
        server.start()
        with pytest.raises(StoreError, match="1,048,576 bytes at most") as raised:
            open_inbox(server.place())
        assert "max_payload: 8MB" in raised.value.mend


def test_a_workspace_may_name_a_broker(broker, tmp_path, monkeypatch):
    from kundig.testing import default_workspace
    from kundig.workspace import Workspace

    default_workspace(tmp_path)
    assert type(Workspace(tmp_path).inbox()) is Inbox
    monkeypatch.setenv("KUNDIG_BROKER", broker.place())
    sender = open_inbox(os.environ["KUNDIG_BROKER"], writing=True)
    sender.append(b"x", source="web")
    inbox = Workspace(tmp_path).inbox()
    inbox.register("land")
    assert drained(inbox, "land") == [b"x"]
    sender.close()
    inbox.close()
