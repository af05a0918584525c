"""Every request that an SDK was seen to send is answered as its SDK expects, and its events are in the inbox."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.intake.asking import calls

RECORDED = sorted((Path(__file__).resolve().parents[1] / "data/sdk_requests").glob("*.json"))
CAPTURED = [path for path in RECORDED if '"POST"' in path.read_text()]
"""Sessions in which something was sent; in two a page had no time for its beacon."""

PAGES = ("/page.html", "/favicon.ico", "/sdk.js", "/bundle.js")


def requests_of(path):
    return [one for one in json.loads(path.read_text())["requests"] if not one["path"].startswith(PAGES) and not one["path"].endswith((".js", ".html"))]


def sent_again(intake, one, key):
    """The request as it was, with the workspace's key in place of the recorded one."""
    headers = {name: value for name, value in one["headers"] if name.lower() not in ("host", "content-length", "connection", "authorization", "x-write-key")}
    given = {name.lower(): value for name, value in one["headers"]}
    keyed = "authorization" in given
    if "x-write-key" in given:
        headers["X-Write-Key"] = key
    path = one["path"].replace("wk_test_123", key)
    body = json.dumps(one["body"], ensure_ascii=False).encode() if one["body"] is not None else b""
    if given.get("content-encoding") == "gzip":
        body = gzip.compress(body)
    return intake.ask(one["method"], path, body, headers, keyed=keyed)


def test_every_sdk_was_recorded():
    found = {path.stem.split("__")[0] for path in CAPTURED}
    assert {name.rstrip("-0123456789.") for name in found} >= {"segment-analytics-python", "segment-analytics-node", "rudder-sdk-python", "rudder-sdk-node", "jitsu-js-1.11.0-node", "customerio-cdp-analytics-node"}
    assert {name for name in found if "browser" in name} >= {"segment-analytics-next-1.84.3-browser-batching", "rudderstack-analytics-js-3.34.1-browser-beacon", "jitsu-js-1.11.0-browser"}
    assert len(RECORDED) - len(CAPTURED) == 2


@pytest.mark.parametrize("path", CAPTURED, ids=lambda path: path.stem)
def test_a_recorded_session_is_taken_whole(path, intake):
    expected = []
    for one in requests_of(path):
        told = sent_again(intake, one, intake.key)
        assert told.status in (200, 204), (one["method"], one["path"], told)
        origin = next((value for name, value in one["headers"] if name == "Origin"), None)
        if origin:
            assert told.headers["access-control-allow-origin"] == origin
        if one["method"] == "OPTIONS":
            asked = next(value for name, value in one["headers"] if name == "Access-Control-Request-Headers")
            assert set(asked.split(",")) <= set(told.headers["access-control-allow-headers"].split(","))
            assert "POST" in told.headers["access-control-allow-methods"]
        if one["method"] == "POST":
            expected += one["body"]["batch"] if "batch" in one["body"] else [one["body"]]
    assert expected, "a session in which nothing was sent proves nothing"
    assert calls(intake.workspace.root) == expected
    assert {source for source, *_ in intake.stored()} == {"web"}
    assert {kind for _, kind, *_ in intake.stored()} == {"call"}


def test_the_path_tells_the_kind(intake):
    short = {"i": "identify", "t": "track", "p": "page", "s": "screen", "g": "group", "a": "alias"}
    for letter, kind in short.items():
        for path in (f"/v1/{letter}", f"/v1/{kind}", f"/api/s/{kind}"):
            assert intake.post(path, {"userId": "7", "messageId": path}, headers={"SentAt": "2026-11-21T18:00:01Z", "User-Agent": "sdk/1", "X-Forwarded-For": "10.0.0.9, 192.0.2.7"}).status == 200
            *_, meta, body = intake.stored()[-1]
            assert meta == {"path": path, "type": kind, "ip": "192.0.2.7", "agent": "sdk/1", "sent_at": "2026-11-21T18:00:01Z"}
            assert json.loads(body) == {"userId": "7", "messageId": path}
    for path, kind in (("/v1/b", "batch"), ("/v1/batch", "batch"), ("/v1/import", "import"), ("/beacon/v1/batch", "batch"), ("/api/s/batch", "batch"), ("/v1/track", "batch"), ("/v1/batch/", "batch")):
        assert intake.post(path, {"batch": [{"type": "track"}]}).status == 200
        assert intake.stored()[-1][2]["type"] == kind


def test_browsers_start_with_what_they_fetch(intake):
    told = intake.ask("GET", f"/v1/projects/{intake.key}/settings", headers={"Host": "in.example.org", "X-Forwarded-Proto": "https", "Origin": "https://shop.example.org"}, keyed=False)
    own = json.loads(told.body)["integrations"]["Segment.io"]
    assert (own["apiKey"], own["apiHost"], own["protocol"]) == (intake.key, "in.example.org/v1", "https")
    assert told.headers["access-control-allow-origin"] == "https://shop.example.org"
    told = intake.ask("GET", f"/sourceConfig/?p=npm&v=3.34.1&writeKey={intake.key}", keyed=False)
    assert json.loads(told.body)["source"]["writeKey"] == intake.key
    assert json.loads(told.body)["source"]["enabled"] is True
    for path in ("/v1/projects/wk_other/settings", "/sourceConfig/?writeKey=wk_other"):
        assert intake.ask("GET", path, keyed=False).code == "unknown_key"
