"""The worker: folds at once, lands in its rhythm, lets commands write, and goes on after a failure."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import kundig
from kundig.errors import Busy
from kundig.worker import Duty, Worker
from tests.live.world import Street


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    found = Street(tmp_path)
    yield found
    found.close()


def quick(street: Street, **settings: float | bool) -> kundig.Workspace:
    """The workspace with a quick worker."""
    text = "\n".join(f"{name} = {str(value).lower()}" for name, value in ({"land_seconds": 0.5, "fold_seconds": 0.05} | settings).items())
    (street.root / "kundig.toml").write_text(f"[worker]\n{text}\n", encoding="utf-8")
    return kundig.open(street.root)


def until(test: Callable[[], Any], *, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def running(worker: Worker) -> threading.Thread:
    thread = threading.Thread(target=worker.run)
    thread.start()
    return thread


def test_without_the_fold_it_lands_alone(street: Street) -> None:
    """A fold that was there before holds nothing back, what it knew is gone, and the sources are counted all the same."""
    street.send(street.call(device="d1"))
    street.fold()
    assert street.now.person("d1") is not None
    street.send(street.call(device="d2"), street.call(device="d2"), {"type": "track"})
    worker = Worker(quick(street, live=False), clock=lambda: street.at)
    assert [duty.name for duty in worker.duties] == ["land", "tend", "requests"] and set(street.inbox.cursors()) == {"land"}
    before = {minute.source: minute.taken for minute in street.store.minutes()}
    thread = running(worker)
    until(lambda: street.inbox.waiting("land") == 0 and sum(minute.taken for minute in street.store.minutes()) > before["web"])
    worker.stop.set()
    thread.join(timeout=30)
    assert street.now.person("d1") is None and street.now.person("d2") is None
    landed = worker.workspace.rows_now("SELECT count(*) FROM events")[1][0][0]
    (web,) = [minute for minute in street.store.minutes() if minute.taken > before["web"] or minute.held]
    assert landed == 3 and (web.source, web.taken - before["web"], web.held) == ("web", 3, 1)


def test_it_knows_people_before_it_lands_them(street: Street) -> None:
    worker = Worker(quick(street, land_seconds=2.0), clock=lambda: street.at)
    thread = running(worker)
    street.send(street.call(device="d1"))
    sent = time.monotonic()
    until(lambda: street.now.person("d1") is not None)
    assert time.monotonic() - sent < 2
    assert worker.workspace.lake.snapshot() == 0
    until(lambda: worker.workspace.lake.snapshot() > 0)
    until(lambda: street.inbox.waiting("land") == 0)
    until(lambda: {duty.name for duty in street.store.duties() if duty.at} >= {"land", "fold", "tend"})
    worker.stop.set()
    thread.join(timeout=30)
    assert worker.workspace.rows_now("SELECT count(*) FROM events")[1] == [(1,)]


def test_many_events_land_before_the_minute_is_over(street: Street) -> None:
    worker = Worker(quick(street, land_seconds=1_000, land_events=3), clock=lambda: street.at)
    thread = running(worker)
    street.send(street.call(device="d1"))
    until(lambda: worker.live.calls == 1)
    time.sleep(1.2)
    assert worker.workspace.lake.snapshot() == 0
    street.send(street.call(device="d1"), street.call(device="d1"))
    until(lambda: worker.workspace.lake.snapshot() > 0)
    worker.stop.set()
    thread.join(timeout=30)


def test_while_a_command_writes_nothing_lands_and_everything_is_known(street: Street) -> None:
    workspace = quick(street)
    worker = Worker(workspace, clock=lambda: street.at)
    with kundig.open(street.root).writing("run"):
        thread = running(worker)
        street.send(street.call(device="d1"))
        until(lambda: street.now.person("d1") is not None)
        time.sleep(2)
        assert workspace.lake.snapshot() == 0
        assert not any(duty.error for duty in street.store.duties()), "waiting is no failure"
    until(lambda: workspace.lake.snapshot() > 0)
    worker.stop.set()
    thread.join(timeout=30)


def test_a_command_waits_for_the_worker_and_not_for_other_commands(street: Street) -> None:
    one, other = kundig.open(street.root), kundig.open(street.root)
    entered: list[float] = []

    def command() -> None:
        with other.writing("run"):
            entered.append(time.monotonic())

    with one.writing("worker"):
        thread = threading.Thread(target=command)
        thread.start()
        time.sleep(0.5)
        assert not entered
        left = time.monotonic()
    thread.join(timeout=10)
    assert entered and entered[0] >= left
    with one.writing("import"), pytest.raises(Busy), other.writing("run"):
        raise AssertionError("two commands at once")
    (street.root / "kundig.toml").write_text("[worker]\npatience_seconds = 0.2\n", encoding="utf-8")
    with one.writing("worker"), pytest.raises(Busy), kundig.open(street.root).writing("run"):
        raise AssertionError("patience has an end")


def test_a_duty_that_fails_says_so_and_is_done_again(street: Street, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("kundig.worker.AGAIN", 0.2)
    worker = Worker(quick(street), clock=lambda: street.at)
    tries: list[int] = []

    def fail() -> bool:
        tries.append(1)
        if len(tries) < 3:
            raise OSError("the disk is full")
        return False

    worker.duties = [Duty(name="spoil", seconds=0.05, do=fail), *worker.duties]
    thread = running(worker)
    until(lambda: any("the disk is full" in duty.error for duty in street.store.duties()))
    until(lambda: any(duty.name == "spoil" and duty.at and not duty.error for duty in street.store.duties()))
    street.send(street.call(device="d1"))
    until(lambda: street.now.person("d1") is not None)
    worker.stop.set()
    thread.join(timeout=30)
    assert "spoil failed, and is tried again" in capsys.readouterr().err


def test_counts_of_long_ago_become_one_row_and_keep_their_sum(street: Street) -> None:
    for _ in range(4):
        street.at += dt.timedelta(days=20)
        street.send(street.call(device="d1"))
        street.fold()
    before = sum(minute.taken for minute in street.store.minutes())
    worker = Worker(quick(street), clock=lambda: street.at)
    worker.tend()
    worker.tend()
    minutes = street.store.minutes()
    assert sum(minute.taken for minute in minutes) == before == 4
    assert [minute.minute == 0 for minute in minutes] == [True, False, False]


WEBHOOK = """
signature: {scheme: none}
lands:
  - table: events
    columns: {event_id: id, occurred_at: at, name: {value: order_shipped}, kind: {value: track}}
    identifiers: [{namespace: customer_id, column: customer}]
"""


def test_what_a_new_webhook_sends_lands_without_a_restart_and_a_broken_file_is_told(street: Street) -> None:
    workspace = quick(street)
    worker = Worker(workspace, clock=lambda: street.at)
    thread = running(worker)
    (street.root / "webhooks").mkdir(exist_ok=True)
    path = street.root / "webhooks" / "parcels.yaml"
    path.write_text(WEBHOOK, encoding="utf-8")
    until(lambda: "parcels" in worker.files.config.webhooks)
    street.at += dt.timedelta(seconds=1)
    street.inbox.append(json.dumps({"id": "7", "at": street.at.isoformat(), "customer": "c1"}).encode(), source="parcels", kind="webhook", meta='{"webhook": "parcels"}')
    until(lambda: workspace.lake.snapshot() > 0 and workspace.rows_now("SELECT event_id, name FROM events")[1] == [("parcels:7", "order_shipped")])
    assert workspace.rows_now("SELECT count(*) FROM quarantined_records")[1] == [(0,)]
    path.write_text("signature: {scheme: nonsense}\n", encoding="utf-8")
    until(lambda: any(duty.name == "files" and "webhooks/parcels.yaml" in duty.error for duty in street.store.duties()))
    assert "parcels" in worker.files.config.webhooks and worker.live.config is worker.files.config
    path.write_text(WEBHOOK, encoding="utf-8")
    until(lambda: all(not duty.error for duty in street.store.duties() if duty.name == "files"))
    worker.stop.set()
    thread.join(timeout=30)
