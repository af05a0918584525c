"""The outbox: queued once, claimed with the newest log and caps in one transaction, handed over exactly once, whatever dies in between."""

from __future__ import annotations

import csv
import datetime as dt
import os
import signal
import subprocess
import sys
import threading
from collections import Counter

import pyarrow as pa
import pytest
import sqlalchemy as sa

from kundig.deliver.channels.files import FilesChannel, Rendered
from kundig.deliver.outbox import Answer, Queued, claim, claim_name, message_id, one_per_person, queue, resolve, settle
from kundig.errors import Conflict
from kundig.store.state import State

AT = dt.datetime(2026, 11, 3, 9, tzinfo=dt.UTC)


@pytest.fixture
def state(tmp_path):
    opened = State.open(f"sqlite:///{tmp_path / 'state.sqlite'}")
    yield opened
    opened.close()


def messages(persons, audience="win_back"):
    rows = [
        {"message_id": message_id(audience, person, "win_back", "2026-11"), "person_key": person, "address": f"p{person}@example.org", "channel": "email", "purpose": "newsletter",
         "audience": audience, "scenario": "win_back", "creative_id": "c1", "segment_id": "s", "offer_code": None, "locale": "de", "variables": "{}"}
        for person in persons
    ]  # fmt: skip
    return pa.Table.from_pylist(rows)


def yes(connection, rows, at):
    return [Answer(allow=True, reason="consent_given") for _ in rows]


def by_the_log(state):
    """A gate that reads the consent log through the claim's own connection."""
    log = state.sql("consent_log")

    def ask(connection, rows, at):
        withdrawn = {row[0] for row in connection.execute(sa.select(log.c.identifier_key).where(log.c.status == "withdrawn"))}
        return [Answer(allow=row["person_key"] not in withdrawn, reason="consent_withdrawn" if row["person_key"] in withdrawn else "consent_given") for row in rows]

    return ask


def capped(state, most):
    """A gate that knows caps alone."""
    caps = state.sql("caps")

    def ask(connection, rows, at):
        heard = Counter(row[0] for row in connection.execute(sa.select(caps.c.person_key)))
        return [Answer(allow=heard[row["person_key"]] < most, reason="cap_reached" if heard[row["person_key"]] >= most else "consent_given") for row in rows]

    return ask


def withdraw(state, person):
    state.insert("consent_log", [{"record_id": f"w{person}", "identifier_key": person, "purpose": "newsletter", "channel": "*", "status": "withdrawn", "occurred_at": AT, "received_at": AT}])


def standing(state):
    return Counter(row["status"] for row in state.select("messages"))


def rendered(row):
    return Rendered(
        message_id=row["message_id"], person_id="", address=row["address"], channel="email", purpose="", audience="", scenario="", creative_id="", segment_id="", offer_code="", locale="",
        subject="", file=f"{row['message_id']}.eml", content=b"mail",
    )  # fmt: skip


def written(folder):
    """Message ids in all parts of all runs, each as often as it stands there."""
    return Counter(row["message_id"] for path in folder.glob("*/part-*/messages.csv") for row in csv.DictReader(path.open(encoding="utf-8", newline="")))


def test_queueing_twice_is_queueing_once(state):
    assert queue(state, messages(range(5)), audiences=["win_back"], at=AT, run_id=1) == Queued(new=5)
    assert queue(state, messages(range(5)), audiences=["win_back"], at=AT, run_id=2) == Queued(again=5)
    done = claim(state, yes, name="2/part-1", at=AT)
    settle(state, done, at=AT, failed={})
    assert queue(state, messages(range(6)), audiences=["win_back"], at=AT, run_id=3) == Queued(new=1, known=5)
    assert standing(state) == {"sent": 5, "queued": 1}


def test_who_is_no_longer_selected_is_not_written_to(state):
    queue(state, messages(range(5)), audiences=["win_back"], at=AT, run_id=1)
    queue(state, messages(range(5), "welcome"), audiences=["welcome"], at=AT, run_id=1)
    assert queue(state, messages([0, 1]), audiences=["win_back"], at=AT, run_id=2) == Queued(again=2, dropped=3)
    assert {(row["audience"], row["status"], row["reason"]) for row in state.select("messages")} == {
        ("win_back", "queued", None), ("win_back", "refused", "rule_not_met"), ("welcome", "queued", None),
    }  # fmt: skip


def test_a_withdrawal_between_queue_and_claim_is_never_sent(state):
    queue(state, messages(range(10)), audiences=["win_back"], at=AT, run_id=1)
    withdraw(state, 3)
    done = claim(state, by_the_log(state), name="1/part-1", at=AT)
    assert {row["person_key"] for row in done.rows} == set(range(10)) - {3}
    assert done.reasons == {"consent_withdrawn": 1}
    assert len(state.select("caps")) == 9
    # the positive control: a claim that does not read the log sends to the person all the same
    queue(state, messages(range(10), "welcome"), audiences=["welcome"], at=AT, run_id=1)
    blind = claim(state, yes, name="1/part-2", at=AT)
    assert 3 in {row["person_key"] for row in blind.rows}


def test_quiet_hours_leave_it_queued_and_other_refusals_wait_for_the_next_run(state):
    queue(state, messages([1, 2]), audiences=["win_back"], at=AT, run_id=1)
    claim(state, lambda c, rows, at: [Answer(allow=False, reason="quiet_hours" if row["person_key"] == 1 else "cap_reached") for row in rows], name="1/part-1", at=AT)
    assert {row["person_key"]: (row["status"], row["reason"]) for row in state.select("messages")} == {1: ("queued", "quiet_hours"), 2: ("refused", "cap_reached")}
    assert queue(state, messages([1, 2]), audiences=["win_back"], at=AT, run_id=2).again == 2


def test_caps_hold_within_one_claim_and_over_audiences(state):
    for audience in ("a", "b", "c"):
        queue(state, messages(range(4), audience), audiences=[audience], at=AT, run_id=1)
    done = claim(state, capped(state, 2), name="1/part-1", at=AT)
    assert Counter(row["person_key"] for row in done.rows) == dict.fromkeys(range(4), 2)
    assert done.reasons == {"cap_reached": 4}


@pytest.mark.parametrize("resting", ["quiet_hours", "cap_reached"])
def test_a_claim_takes_what_it_was_asked_for_and_nothing_between(state, resting):
    rows = messages(range(60)).to_pylist()
    for place, row in enumerate(rows):
        row["channel"] = ("email", "push", "sms")[place % 3]
    queue(state, pa.Table.from_pylist(rows), audiences=["win_back"], at=AT, run_id=1)
    queued = sorted(row["message_id"] for row in rows if row["channel"] == "email")

    def ask(connection, asked, at):
        return [Answer(allow=row["message_id"] != queued[3], reason=resting) for row in asked]

    done = claim(state, ask, name="1/part-1", at=AT, limit=12, channels=["email"])
    assert [row["message_id"] for row in done.rows] == [key for key in queued[:12] if key != queued[3]]
    assert {row["message_id"] for row in state.select("messages") if row["status"] == "claimed"} == set(queued[:12]) - {queued[3]}
    rest = claim(state, yes, name="1/part-2", at=AT, but=["email", "sms"])
    assert {row["channel"] for row in rest.rows} == {"push"}
    assert Counter((row["channel"], row["claim"], row["attempts"]) for row in state.select("messages") if row["status"] == "claimed") == {("email", "1/part-1", 1): 11, ("push", "1/part-2", 1): 20}


def test_turns_hold_each_person_once():
    rows = [{"person_key": person} for person in [1, 2, 1, 1, 3, 2]]
    assert [[row["person_key"] for row in turn] for turn in one_per_person(rows)] == [[1, 2, 3], [1, 2], [1]]


def test_caps_hold_under_parallel_claims(state, tmp_path):
    for audience in ("a", "b", "c", "d"):
        queue(state, messages(range(100), audience), audiences=[audience], at=AT, run_id=1)
    taken: list = []
    gate = threading.Barrier(4)

    def work(number):
        own = State.open(f"sqlite:///{tmp_path / 'state.sqlite'}")
        gate.wait()
        after = ""
        for turn in range(100):
            done = claim(own, capped(own, 1), name=f"1/part-{number}-{turn}", at=AT, limit=37, after=after)
            taken.extend(done.rows)
            if done.seen == 0:
                break
        own.close()

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert Counter(row["person_key"] for row in taken) == dict.fromkeys(range(100), 1)
    assert len({row["message_id"] for row in taken}) == 100
    assert standing(state) == {"claimed": 100, "refused": 300}


def test_what_cannot_be_rendered_is_marked_and_gives_back_its_cap(state):
    queue(state, messages(range(3)), audiences=["win_back"], at=AT, run_id=1)
    done = claim(state, yes, name="1/part-1", at=AT)
    assert settle(state, done, at=AT, failed={done.rows[0]["message_id"]: "rendering_failed"}) == 2
    assert standing(state) == {"sent": 2, "failed": 1}
    assert len(state.select("caps")) == 2


def test_a_claim_taken_back_cannot_be_handed_over_late(state, tmp_path):
    channel = FilesChannel(folder=tmp_path / "out", durable=False)
    queue(state, messages(range(3)), audiences=["win_back"], at=AT, run_id=1)
    slow = claim(state, yes, name=claim_name(1, "part-1"), at=AT)
    assert resolve(state, channel, at=AT) == (0, 3)
    assert state.select("caps") == []
    with pytest.raises(Conflict):
        channel.hand_over(1, "part-1", [rendered(row) for row in slow.rows])
    assert settle(state, slow, at=AT, failed={}) == 0
    again = claim(state, yes, name=claim_name(1, "part-2"), at=AT)
    channel.hand_over(1, "part-2", [rendered(row) for row in again.rows])
    settle(state, again, at=AT, failed={})
    assert written(tmp_path / "out") == dict.fromkeys([row["message_id"] for row in again.rows], 1)


CHILD = """
import os, signal, sys
sys.path[:0] = ["src", "."]
from pathlib import Path
from kundig.deliver.channels.files import FilesChannel
from kundig.deliver.outbox import claim, claim_name, resolve, settle
from kundig.store.state import State
from tests.deliver.test_outbox import AT, rendered, yes

folder, die, number = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
state, channel = State.open(f"sqlite:///{folder / 'state.sqlite'}"), FilesChannel(folder=folder / "out", durable=False)

def here(place):
    if die == place:
        os.kill(os.getpid(), signal.SIGKILL)

resolve(state, channel, at=AT)
here("resolved")
done = claim(state, yes, name=claim_name(1, f"part-{number}"), at=AT, limit=20)
here("claimed")
ids = [rendered(row) for row in done.rows]
if die == "writing":
    class Dying:
        file = ids[-1].file
        def __getattr__(self, name):
            os.kill(os.getpid(), signal.SIGKILL)
    ids[-1] = Dying()
channel.hand_over(1, f"part-{number}", ids)
here("handed")
settle(state, done, at=AT, failed={})
here("settled")
"""


@pytest.mark.parametrize("places", [["claimed", "handed"], ["writing", "handed", "settled"], ["resolved", "writing", "claimed"]])
def test_killed_anywhere_each_message_is_there_exactly_once(state, tmp_path, places):
    queue(state, messages(range(40)), audiences=["win_back"], at=AT, run_id=1)
    for number, place in enumerate([*places, "nowhere", "nowhere", "nowhere"]):
        ended = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path), place, str(number)], env=os.environ | {"PYTHONPATH": "src:."}, check=False)
        assert ended.returncode == (0 if place == "nowhere" else -signal.SIGKILL)
    assert standing(state) == {"sent": 40}
    assert written(tmp_path / "out") == dict.fromkeys([row["message_id"] for row in state.select("messages")], 1)
    assert len(state.select("caps")) == 40
