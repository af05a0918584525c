"""Unchanged SDKs against the intake over HTTP: every call arrives, also when the server stumbles, and when the sender's clock is wrong."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from importlib.metadata import version

import pytest

from tests.intake import sdks
from tests.intake.asking import Served, calls, landed, stored

SDKS = sorted(sdks.PYTHON)


def arrived(root):
    """How often each call of a script arrived, by its message id; and the names of the track calls."""
    found = calls(root)
    names = {call["messageId"]: call.get("event", call["type"]) for call in found}
    return Counter(call["messageId"] for call in found), Counter(names.values())


@pytest.mark.parametrize("name", SDKS)
@pytest.mark.parametrize(("script", "packed", "twice"), [("", True, False), ("", False, False), ("500", True, False), ("429", False, False), ("500,429,503", False, False), ("drop", True, True)])
def test_a_python_sdk_loses_nothing(workspace, key, table, name, script, packed, twice):
    with Served(workspace.root, key, script=script) as server:
        ran = sdks.run_python(name, server.url, key, packed=packed)
    assert (ran.code, ran.output.strip()[-4:]) == (0, "done"), ran.output
    counts, names = arrived(workspace.root)
    assert len(counts) == sdks.EVENTS
    assert names == {**{f"n{n}": 1 for n in range(1, 10)}, "Unsubscribed": 1, "identify": 1, "group": 1}
    assert (max(counts.values()) > 1) == twice, "only what was stored and not answered comes twice, under the same id"
    assert {kind for _, kind, *_ in stored(workspace.root)} == {"call"}
    logged = workspace.state.select("consent_log")
    assert len(logged) == 2 and {row["status"] for row in logged} == {"withdrawn"}, "a resend changes nothing in the log"
    moments = landed(workspace)
    assert len(moments) == sdks.EVENTS, "what came twice lands once"
    case = f"{script or 'all well'}, {'gzip' if packed else 'plain'}"
    table.rows.append((name, version(name), case, sdks.EVENTS, len(counts), sum(counts.values()) - len(counts), str(len(moments))))


@pytest.mark.parametrize("name", SDKS)
@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_an_hour_wrong_moves_no_event(workspace, key, table, name, hours):
    began = dt.datetime.now(dt.UTC)
    with Served(workspace.root, key) as server:
        ran = sdks.run_python(name, server.url, key, shift=3_600 * hours)
    ended = dt.datetime.now(dt.UTC)
    assert ran.code == 0, ran.output
    found = calls(workspace.root)
    assert len(found) == sdks.EVENTS
    wrong = dt.datetime.fromisoformat(found[0]["timestamp"]) - began
    assert abs(wrong - dt.timedelta(hours=hours)) < dt.timedelta(minutes=5), "the sender's clock is wrong (positive control)"
    for row in workspace.state.select("consent_log"):
        assert began - dt.timedelta(seconds=30) <= row["occurred_at"] <= ended
    moments = landed(workspace)
    assert len(moments) == sdks.EVENTS
    assert all(began - dt.timedelta(seconds=30) <= moment <= ended for moment in moments)
    table.rows.append((name, version(name), f"clock {hours:+d} h", sdks.EVENTS, len(found), 0, str(len(moments))))


def test_a_key_that_is_no_good_is_told(workspace, key):
    with Served(workspace.root, key) as server:
        ran = sdks.run_python("segment-analytics-python", server.url, "wk_stranger")
    assert "lost 12" in ran.output and "401" in ran.output
    assert stored(workspace.root) == []
