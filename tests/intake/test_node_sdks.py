"""Unchanged SDKs of npm, in Node and in headless Chromium on a page of another origin: a table of SDK × version × sent, arrived, duplicates."""

from __future__ import annotations

import datetime as dt
import shutil
import sqlite3
from collections import Counter

import pytest

from tests.intake import sdks
from tests.intake.asking import Served, calls, landed
from tests.intake.conftest import FULL

CASES = {"": "all well", "500": "500 once", "500,500": "500 twice", "429": "429 once", "drop": "stored, connection closed", "hour": "clock an hour ahead"}
LOSING = {"@jitsu/js", "jitsu", "rudder-beacon"}
"""SDKs that never send again: what is refused is lost on their side (jitsu), or nobody reads the answer (beacon)."""

pytestmark = [pytest.mark.needs_node, pytest.mark.skipif(not FULL, reason="the SDKs of npm run with KUNDIG_FULL=1"), pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return sdks.installed(tmp_path_factory.mktemp("npm"))


def arrived(root):
    try:
        return Counter(str(call["messageId"]) for call in calls(root))
    except (sqlite3.Error, KeyError):
        return Counter()


def judged(name, package, case, workspace, table, folder, ran):
    counts = arrived(workspace.root)
    names = {call.get("event", call["type"]) for call in calls(workspace.root)}
    moments = landed(workspace) if case in ("drop", "hour") else None
    table.rows.append((name, sdks.version(folder, package), CASES[case], sdks.EVENTS, len(counts), sum(counts.values()) - len(counts), "" if moments is None else len(moments)))
    assert ran.code == 0, ran.output
    expected = sdks.EVENTS if case in ("", "drop", "hour") or name not in LOSING else None
    assert expected is None or len(counts) == expected, ran.output
    if expected is None:
        assert 0 <= len(counts) < sdks.EVENTS, "these never send again"
    if moments is not None:
        assert len(moments) == sdks.EVENTS, "what came twice lands once"
    if case in ("", "hour"):
        assert max(counts.values()) == 1
        assert names == {*(f"n{n}" for n in range(1, 10)), "Unsubscribed", "identify", "group"}
        logged = workspace.state.select("consent_log")
        assert {row["status"] for row in logged} == {"withdrawn"} and len(logged) == 2
        now = dt.datetime.now(dt.UTC)
        allowed = dt.timedelta(minutes=5) if package != "@customerio/cdp-analytics-node" else dt.timedelta(hours=2)  # it sends no sentAt: nobody can set its clock right
        assert all(now - allowed <= row["occurred_at"] <= now for row in logged)
        assert all(abs(now - moment) <= allowed for moment in moments or ())


@pytest.mark.parametrize("case", list(CASES))
@pytest.mark.parametrize("package", sdks.NODE_SDKS)
def test_sdks_for_node(package, case, workspace, key, folder, table):
    with Served(workspace.root, key, script="" if case == "hour" else case) as server:
        ran = sdks.run_node(folder, package, server.url, key, shift=3_600 if case == "hour" else 0)
    judged(package, package, case, workspace, table, folder, ran)


@pytest.mark.needs_chromium
@pytest.mark.skipif(sdks.chromium() is None, reason="Chromium is not installed")
@pytest.mark.parametrize("case", list(CASES))
@pytest.mark.parametrize("script", list(sdks.BROWSER_SDKS))
def test_sdks_for_browsers(script, case, workspace, key, folder, table):
    package = sdks.BROWSER_SDKS[script]
    patience = 12 if script in LOSING and case not in ("", "hour") else 45
    with Served(workspace.root, key, script="" if case == "hour" else case) as server:
        ran = sdks.run_browser(folder, script, server.url, key, shift=3_600 if case == "hour" else 0, enough=lambda: len(arrived(workspace.root)) >= sdks.EVENTS, seconds=patience)
    assert "pageerror" not in ran.output
    judged(script, package, case, workspace, table, folder, ran)
