"""Consent in calls is in the log before the answer, once, under the right person; a process killed at any moment loses none of it."""

from __future__ import annotations

import datetime as dt
import json
import random
import signal
import threading
import time
import urllib.error
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundig import consent
from kundig.collect.identifiers import identifier_key
from kundig.collect.intake import consent as hearing
from kundig.errors import Busy, ConfigError, StoreError
from kundig.store.state import State
from kundig.workspace import Workspace
from tests.intake.asking import Served, basic, calls
from tests.intake.conftest import FULL, make_workspace

NAME = 'Newsletter "Straße" bestellt'


def log(state):
    return state.select("consent_log", order_by=state.sql("consent_log").c.seq)


def said(state):
    return [(row["purpose"], row["channel"], row["status"]) for row in log(state)]


def stamped(track, number, **categories):
    return track(number, context={"consent": {"categoryPreferences": categories}})


def test_a_withdrawal_is_in_the_log_before_its_answer(intake, track):
    state = intake.workspace.state
    call = track(1, event="Unsubscribed", anonymousId="a-1", properties={"email": "Anna.B@googlemail.com"})
    assert intake.post("/v1/track", call).status == 200
    first, second = log(state)
    assert [(row["purpose"], row["channel"], row["status"], row["record_id"]) for row in (first, second)] == [
        ("newsletter", "email", "withdrawn", "web:m1:newsletter:email"), ("newsletter", "push", "withdrawn", "web:m1:newsletter:push"),
    ]  # fmt: skip
    keys = {identifier_key("customer_id", "7"), identifier_key("anonymous_id", "a-1"), identifier_key("email", "annab@gmail.com")}
    assert {first["identifier_key"], *first["other_keys"]} == keys
    assert first["jurisdiction"] == "DE" and first["source"] == "web"
    for key in keys:
        assert [record.status for record in consent.records_of(state, [key])[key]] == ["withdrawn", "withdrawn"]
    assert intake.post("/v1/batch", {"batch": [call, call]}).status == 200
    assert len(log(state)) == 2, "resent, it changes nothing"
    assert len(calls(intake.workspace.root)) == 3, "the calls themselves are stored: landing knows them again"


@pytest.mark.parametrize(
    "spelled",
    [
        json.dumps({"event": NAME}), json.dumps({"event": NAME}, ensure_ascii=False), '{"event": "\\u004eewsletter \\"Stra\\u00dfe\\" bestellt"}', '{"event": "Newsletter \\u0022Stra\\u00DFe\\u0022 b\\u0065stellt"}',
        "{\"event\": \"" + "".join(f"\\u{ord(letter):04X}" for letter in NAME) + "\"}",
    ],
)  # fmt: skip
def test_no_spelling_hides_a_name(intake, spelled):
    body = spelled[:-1] + ', "type": "track", "userId": "7", "messageId": "m1", "properties": {"wording": "ignored"}}'
    assert intake.ask("POST", "/v1/track", body.encode()).status == 200
    (row,) = log(intake.workspace.state)
    assert (row["status"], row["wording"], row["basis"]) == ("requested", "2025-01", "consent")


@given(st.text(min_size=1, max_size=30), st.sampled_from([True, False]))
def test_the_search_finds_every_name_that_json_can_hold(name, ascii_only):
    found = hearing.needle(name)
    text = json.dumps({"event": name}, ensure_ascii=ascii_only)
    assert found in text.encode("utf-8", "surrogatepass")
    if found:
        escaped = "".join(f"\\u{ord(letter):04x}" if letter == found.decode()[0] else letter for letter in found.decode())
        assert hearing._LETTER.search(escaped.encode())


def test_bodies_without_a_name_are_not_decoded(intake, track, monkeypatch):
    monkeypatch.setattr(hearing.Listener, "heard", lambda *_, **__: pytest.fail("decoded"))
    assert intake.post("/v1/batch", {"batch": [track(n, properties={"text": "Straße \n < & ü"}) for n in range(3)]}).status == 200
    with pytest.raises(pytest.fail.Exception):
        intake.post("/v1/track", track(9, event="Unsubscribed"))


def test_stamped_preferences_are_logged_when_they_change(intake, track):
    state = intake.workspace.state
    for number, categories in enumerate([{"analytics": True, "advertising": False}] * 3 + [{"analytics": False}] + [{"analytics": True}] * 2, start=1):
        assert intake.post("/v1/track", stamped(track, number, **categories)).status == 200
    expected = [("analytics", "web", "given"), ("advertising", "ad_audience", "withdrawn"), ("analytics", "web", "withdrawn"), ("analytics", "web", "given")]
    assert said(state) == expected
    intake.app.recorder._last.clear()  # as after a restart
    assert intake.post("/v1/track", stamped(track, 20, analytics=True)).status == 200
    assert said(state) == expected, "the log is asked what was last known"
    assert intake.post("/v1/track", track(21, context={"consent": {"categoryPreferences": {}}})).status == 200
    assert said(state)[4:] == [("analytics", "web", "withdrawn")], "none chosen is none allowed; what was withdrawn stays so"
    chosen = stamped(track, 22, analytics=False) | {"event": hearing.UPDATED}
    assert intake.post("/v1/track", chosen).status == 200
    assert said(state)[5:] == [("analytics", "web", "withdrawn")], "a choice that was made is kept, whether it changes anything or not"
    other = stamped(track, 23, analytics=True) | {"userId": "8"}
    assert intake.post("/v1/batch", {"batch": [other, other]}).status == 200
    assert said(state)[6:] == [("analytics", "web", "given")]


def test_clocks_that_are_wrong_are_set_right(intake, track):
    now = dt.datetime.now(dt.UTC)
    for number, wrong in enumerate((dt.timedelta(hours=1), dt.timedelta(hours=-1))):
        call = track(number, event="Unsubscribed", timestamp=(now - dt.timedelta(minutes=5) + wrong).isoformat())
        assert intake.post("/v1/batch", {"batch": [call], "sentAt": (now + wrong).isoformat()}).status == 200
    assert intake.post("/v1/track", track(5, event="Unsubscribed", timestamp="9999-12-31T23:59:59Z")).status == 200
    assert intake.post("/v1/track", track(6, event="Unsubscribed", timestamp="never")).status == 200
    moments = [row["occurred_at"] - now for row in log(intake.workspace.state)[::2]]
    assert all(abs(moment + dt.timedelta(minutes=5)) < dt.timedelta(seconds=30) for moment in moments[:2])
    assert all(dt.timedelta() <= moment < dt.timedelta(seconds=60) for moment in moments[2:]), "never in the future"


def test_odd_shapes_give_nothing_and_break_nothing(intake, track):
    odd = [7, {"event": "Unsubscribed"}, track(1, event="Unsubscribed", userId=None), track(2, context={"consent": {"categoryPreferences": None}}), track(3, context="Unsubscribed"), track(4, event=["Unsubscribed"])]
    assert intake.post("/v1/batch", {"batch": odd}).status == 200
    assert log(intake.workspace.state) == []
    assert intake.post("/v1/track", track(5, context={"consent": {"categoryPreferences": ["analytics"]}})).status == 200
    assert [row["status"] for row in log(intake.workspace.state)] == ["withdrawn", "withdrawn"], "what cannot be read allows nothing"
    assert intake.post("/v1/identify", {"userId": "7", "event": "Unsubscribed", "type": "identify"}).status == 200
    assert len(log(intake.workspace.state)) == 2, "identify calls have no event"


def test_when_the_log_cannot_be_written_the_answer_is_503(intake, track, monkeypatch):
    def busy(*_, **__):
        raise Busy("somebody else writes")

    monkeypatch.setattr(State, "transaction", busy)
    told = intake.post("/v1/track", track(1, event="Unsubscribed"))
    assert (told.status, told.code, told.headers["retry-after"]) == (503, "consent_log", "2")
    assert intake.stored() == []
    monkeypatch.undo()
    assert intake.post("/v1/track", track(1, event="Unsubscribed")).status == 200
    assert len(log(intake.workspace.state)) == 2


def test_a_log_that_somebody_holds_is_not_waited_for_without_end(intake, track):
    intake.app.recorder.seconds = 0.3
    with intake.workspace.state.transaction():
        assert intake.post("/v1/track", track(1)).status == 200, "calls without consent do not wait"
        told = intake.post("/v1/track", track(2, event="Unsubscribed"))
        assert (told.status, told.code) == (503, "consent_log")
    intake.app.recorder.seconds = 10.0
    assert intake.post("/v1/track", track(2, event="Unsubscribed")).status == 200
    assert len(log(intake.workspace.state)) == 2
    assert [call["messageId"] for call in calls(intake.workspace.root)] == ["m1", "m2"]


def test_signals_must_name_what_purposes_declare(tmp_path):
    root = make_workspace(tmp_path / "shop", signals=False).root
    with (root / "purposes.yaml").open("a") as file:
        file.write("\nsignals: {events: {Unsubscribed: {status: withdrawn, covers: [newsleter/email]}}}\n")
    with pytest.raises(ConfigError, match=r"(?s)names the purpose 'newsleter'.*did you mean 'newsletter'"):
        Workspace(root)


def test_kills_lose_no_consent_that_was_answered(workspace, key):
    """Several senders, a process killed in their midst: each answered call is in the inbox, and its consent in the log."""
    answered: list[str] = []
    draw = random.Random(5)
    for turn in range(20 if FULL else 3):
        server = Served(workspace.root, key)
        server.start()
        stop = threading.Event()

        def send(who, turn=turn, server=server, stop=stop):
            number = 0
            while not stop.is_set():
                number += 1
                message = f"{turn}-{who}-{number}"
                body = json.dumps({"type": "track", "event": "Unsubscribed", "userId": f"customer-{who}", "messageId": message, "timestamp": "2026-11-21T18:00:00Z"}).encode()
                request = urllib.request.Request(f"{server.url}/v1/track", body, basic(key))
                try:
                    with urllib.request.urlopen(request, timeout=10) as told:
                        if told.status == 200:
                            answered.append(message)
                except (OSError, urllib.error.URLError):
                    return

        threads = [threading.Thread(target=send, args=(who,)) for who in range(4)]
        for thread in threads:
            thread.start()
        before = len(answered)
        until = time.monotonic() + 30
        while len(answered) < before + 20 and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(draw.random() * 0.2)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        stop.set()
        for thread in threads:
            thread.join()
        server.process.stdout.close()
    assert len(answered) > 40
    logged = {row["record_id"].split(":")[1] for row in log(workspace.state)}
    kept = [call["messageId"] for call in calls(workspace.root)]
    assert set(answered) <= set(kept), "an event that was answered is lost"
    assert set(answered) <= logged, "a consent that was answered is lost"
    assert len(kept) == len(set(kept))
    with workspace.state.transaction() as connection:
        connection.execute(workspace.state.sql("consent_log").delete().where(workspace.state.sql("consent_log").c.record_id == f"web:{answered[0]}:newsletter:email"))
        connection.execute(workspace.state.sql("consent_log").delete().where(workspace.state.sql("consent_log").c.record_id == f"web:{answered[0]}:newsletter:push"))
    assert not set(answered) <= {row["record_id"].split(":")[1] for row in log(workspace.state)}, "a lost one would be seen"


def test_the_copy_of_an_unreachable_log_is_no_excuse(intake, track, monkeypatch):
    monkeypatch.setattr(State, "transaction", lambda *_: (_ for _ in ()).throw(StoreError("gone")))
    assert [intake.post("/v1/track", track(n, event=event)).status for n, event in enumerate(("Viewed", "Unsubscribed"))] == [200, 503]
