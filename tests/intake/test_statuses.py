"""Statuses and limits: what is refused is named and not stored, what could succeed later is no 4xx, and one bad event spoils no batch."""

from __future__ import annotations

import base64
import gzip
import json
import time
import zlib

import pytest

from kundig.collect.intake import REFUSALS, keys
from kundig.errors import ConfigError, StoreError
from tests.intake.asking import Here, basic, calls
from tests.intake.conftest import batch, make_workspace

DEEP = b'{"batch":[{"type":"track","properties":' + b"[" * 10_000 + b"]" * 10_000 + b"}]}"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "json"), (b"not json", "json"), (b'{"event": "A"', "json"), (b'{"batch": [{}]} and more', "json"), (b"{'event': 'A'}", "json"), (b'{"a": 01}', "json"),
        (b"{}", "no_event"), (b" { } ", "no_event"), (b'{"batch": []}', "no_event"), (b'{"batch": null}', "no_event"), (b'{"batch": {}}', "no_event"), (b"[]", "no_event"), (b"7", "no_event"), (b'"A"', "no_event"),
        (b'{"event": NaN}', "json_nan"), (b'{"batch": [{"a": Infinity}]}', "json_nan"), (b'{"a": -Infinity}', "json_nan"), (b'{"a": -NaN}', "json_nan"),
        (b'{"event": "\xff\xfe"}', "json_utf8"), (b'{"batch": [{"a": "\xed\xa0\x80"}]}', "json_utf8"),
        (DEEP, "json_depth"), (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "json_depth"),
        (b'{"userId": ' + b"9" * 30 + b"}", "json_integer"), (b'{"a": {"b": [1, -' + b"9" * 30 + b"]}}", "json_integer"), (b'{"a": ' + b"9" * 6_000 + b"}", "json_integer"),
        (b"\x1f\x8b garbage", "gzip"), (gzip.compress(b'{"event": "A", "userId": "7"}', mtime=0)[:-9], "gzip"), (gzip.compress(b'{"event": "A"}', mtime=0) + b"tail", "gzip"),
    ],
)  # fmt: skip
def test_what_nobody_can_read_is_refused_by_name(intake, body, code):
    told = intake.ask("POST", "/v1/batch", body)
    assert (told.status, told.code) == (400, code)
    assert json.loads(told.body)["mend"]
    assert intake.stored() == []


@pytest.mark.parametrize("body", [b'{"a": 9223372036854775807}', b'{"a": "' + b"9" * 40 + b'"}', b'{"a": 0.' + b"3" * 40 + b"}", b'\xef\xbb\xbf{"event": "A"}', '{"event": "Straße 😀"}'.encode(), b'{"a": 1e400}', b'[{"event": "A"}]', b'{"timestamp": "9999-12-31T23:59:59Z"}'])
def test_what_is_odd_but_json_is_taken(intake, body):
    assert intake.ask("POST", "/v1/track", body).status == 200
    assert intake.stored()[0][3] == body.removeprefix(b"\xef\xbb\xbf")


def test_bodies_have_a_limit(intake, track):
    most = intake.app.most
    assert most == 4_000_000
    fitting = batch(track(), note="x" * (most - len(batch(track(), note=""))))
    assert len(fitting) == most
    assert intake.ask("POST", "/v1/batch", fitting, parts=50).status == 200
    for more in ({}, {"length": False}, {"length": False, "parts": 60}, {"parts": 60}):
        told = intake.ask("POST", "/v1/batch", fitting + b" ", **more)
        assert (told.status, told.code) == (413, "body_too_large"), more
    told = intake.ask("POST", "/v1/batch", b"x" * 100, {"Content-Length": "100000000000"})
    assert (told.status, told.code) == (413, "body_too_large")
    assert len(intake.stored()) == 1
    assert intake.app._budget.held == 0


def test_a_bomb_is_not_unpacked(intake, track):
    began = time.process_time()
    bomb = gzip.compress(b" " * 200_000_000, 6)
    packing = time.process_time() - began
    for body in (bomb, zlib.compress(b" " * 50_000_000), gzip.compress(b" " * 3_900_000) * 3):
        told = intake.ask("POST", "/v1/batch", body, {"Content-Encoding": "gzip"})
        assert (told.status, told.code) == (413, "bomb")
    assert time.process_time() - began - packing < max(1.0, packing)
    whole = batch(track())
    two = gzip.compress(whole[:20]) + gzip.compress(whole[20:])
    for body, encoding in ((gzip.compress(whole), ""), (gzip.compress(whole), "gzip"), (zlib.compress(whole), "deflate"), (two, "gzip"), (whole, "gzip"), (whole, "identity")):
        assert intake.ask("POST", "/v1/batch", body, {"Content-Encoding": encoding, "Content-Type": "application/x-www-form-urlencoded"}).status == 200
    assert calls(intake.workspace.root) == [track()] * 6
    assert intake.ask("POST", "/v1/batch", whole, {"Content-Encoding": "br"}).code == "encoding"


def test_one_bad_event_spoils_no_batch(intake, track):
    bad = [7, None, "x", {}, {"type": "nonsense"}, {"type": "track"}, track(2, properties={"text": "y" * 40_000}), {"userId": 10**30}]
    assert intake.post("/v1/batch", {"batch": [track(), *bad]}).status == 200
    assert calls(intake.workspace.root) == [track(), *bad]


def test_keys_are_found_where_sdks_put_them(intake, track, key):
    body = batch(track())
    for headers, path in ((basic(key), "/v1/batch"), ({"X-Write-Key": key}, "/v1/batch"), ({}, f"/beacon/v1/batch?writeKey={key}"), ({}, f"/v1/batch?write_key={key}")):
        assert intake.ask("POST", path, body, headers, keyed=False).status == 200
    assert intake.post("/v1/track", track(writeKey=key), keyed=False).status == 200
    assert intake.post("/v1/batch", {"batch": [track()], "writeKey": key}, keyed=False, headers={"Authorization": "Bearer token"}).status == 200
    for headers in ({"X-Write-Key": f"web:{key}"}, basic(f"web:{key}"), {"Authorization": "Basic " + base64.b64encode(f"web:{key}".encode()).decode()}):
        assert intake.ask("POST", "/v1/batch", body, headers, keyed=False).status == 200
    masked = intake.post("/api/s/track", track(writeKey="wk:***"), keyed=False, headers={"X-Write-Key": key})
    assert masked.status == 200
    for headers, code in (({}, "no_key"), (basic("wk_stranger"), "unknown_key"), ({"X-Write-Key": "wk_stranger"}, "unknown_key"), ({"Authorization": "Basic ???"}, "no_key")):
        told = intake.ask("POST", "/v1/batch", body, headers, keyed=False)
        assert (told.status, told.code) == (401, code)
    assert intake.post("/v1/track", track(writeKey="wk_stranger"), keyed=False).code == "unknown_key"
    assert len(intake.stored()) == 10


def test_a_key_is_shown_once_and_refused_soon_after_it_is_revoked(workspace, intake, track):
    other = keys.create(workspace.state, "shop", label="till")
    time.sleep(2 * keys.EVERY)
    assert intake.post("/v1/track", track(), keyed=False, headers=basic(other)).status == 200
    assert intake.stored()[-1][0] == "shop", "a key writes to its own source"
    held = (workspace.root / "data/write_keys.json").read_text() + json.dumps([str(row) for row in workspace.state.select("tokens")])
    assert other not in held and keys.digest(other) in held
    (listed,) = keys.listed(workspace.state, "shop")
    assert (listed.label, listed.revoked_at) == ("till", None)
    began = time.monotonic()
    keys.revoke(workspace.state, "shop", key=other)
    while intake.post("/v1/track", track(), keyed=False, headers=basic(other)).status == 200:
        assert time.monotonic() - began < 1.0
        time.sleep(0.05)
    assert intake.post("/v1/track", track(), keyed=False, headers=basic(other)).code == "revoked_key"
    assert intake.post("/v1/track", track()).status == 200, "other keys are not touched"
    with pytest.raises(ConfigError, match="no write key"):
        keys.revoke(workspace.state, "shop")
    keys.create(workspace.state, "web")
    with pytest.raises(ConfigError, match="2 write keys in use"):
        keys.revoke(workspace.state, "web")
    assert len(keys.revoke(workspace.state, "web", every=True)) == 2
    with pytest.raises(ConfigError, match="no name of a source"):
        keys.create(workspace.state, "../x")


def test_keys_are_known_while_state_cannot_be_reached(workspace, key, track, monkeypatch):
    with Here(workspace, key) as here:
        assert here.post("/v1/track", track()).status == 200
    copy = workspace.root / "data/write_keys.json"
    assert copy.stat().st_mode & 0o077 == 0

    def gone(*_, **__):
        raise StoreError("state is gone")

    monkeypatch.setattr(workspace.state, "select", gone)
    with Here(workspace, key) as here:
        assert here.post("/v1/track", track()).status == 200
    copy.unlink()
    with pytest.raises(StoreError, match="the write keys cannot be read"), Here(workspace, key):
        pass


def test_a_source_that_sends_too_much_is_told_when_to_come_back(tmp_path, track):
    workspace = make_workspace(tmp_path / "slow", settings="[intake]\nevents_per_second = 10\ndisk_reserve_mb = 0\n")
    with Here(workspace, keys.create(workspace.state, "web")) as here:
        statuses = [here.post("/v1/batch", {"batch": [track()] * 10}) for _ in range(4)]
        assert [told.status for told in statuses][:2] == [200, 200]
        last = statuses[-1]
        assert (last.status, last.code) == (429, "rate")
        assert 1 <= int(last.headers["retry-after"]) <= 2 and last.headers["x-ratelimit-reset"] == last.headers["retry-after"]


def test_a_full_disk_refuses_with_503_and_keeps_what_was_taken(tmp_path, track):
    workspace = make_workspace(tmp_path / "full")
    with Here(workspace, keys.create(workspace.state, "web")) as here:
        assert here.post("/v1/track", track(1)).status == 200
        here.app._disk.reserve = 10**18
        told = here.post("/v1/track", track(2))
        assert (told.status, told.code, told.headers["retry-after"]) == (503, "disk_full", "30")
        assert here.ask("GET", "/ready").status == 503
        here.app._disk.reserve = 0
        assert here.post("/v1/track", track(3)).status == 200
        assert [call["messageId"] for call in calls(workspace.root)] == ["m1", "m3"]


def test_what_cannot_wait_for_the_disk_is_503(intake, track):
    intake.app.inbox._limits = (0, 0)
    told = intake.post("/v1/track", track())
    assert (told.status, told.code, told.headers["retry-after"]) == (503, "busy", "1")
    intake.app.inbox._limits = (100, 10**9)
    intake.app.inbox.close()
    assert intake.post("/v1/track", track()).code == "stopping"


def test_other_addresses_and_methods(intake):
    for method, path, status, code in (
        ("POST", "/v1/nonsense", 404, "no_such_path"), ("GET", "/v1/batch", 405, "no_such_method"), ("PUT", "/v1/batch", 405, "no_such_method"), ("POST", "/v1/webhook/nobody", 404, "no_such_webhook"), ("GET", "/", 404, "no_such_path"),
    ):  # fmt: skip
        told = intake.ask(method, path, b'{"a": 1}' if method != "GET" else b"")
        assert (told.status, told.code) == (status, code), path
    assert intake.ask("GET", "/health").body == b"ok\n"
    assert json.loads(intake.ask("GET", "/ready").body)["ready"] is True
    assert intake.post("/v1/m", {"series": []}).status == 200
    assert intake.stored() == []


def test_changes_go_to_the_source_of_the_key_alone(intake):
    change = {"payload": {"op": "c", "before": None, "after": {"id": 1}, "source": {"table": "orders"}, "ts_ms": 1}}
    assert intake.post("/v1/changes/web", change).status == 200
    assert intake.post("/v1/changes/web", [change, change]).status == 200
    told = intake.post("/v1/changes/shop", change)
    assert (told.status, told.code) == (403, "key_of_other_source")
    assert [(source, kind) for source, kind, *_ in intake.stored()] == [("web", "change")] * 2


def test_preflights_and_origins(intake, track):
    asked = {"Origin": "https://shop.example.org", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "anonymousid,authorization,content-type,sentat,rsa-retry-attempt", "Access-Control-Request-Private-Network": "true"}
    told = intake.ask("OPTIONS", "/v1/track", headers=asked, keyed=False)
    assert told.status == 200
    assert told.headers["access-control-allow-headers"].split(",") == asked["Access-Control-Request-Headers"].split(",")
    assert int(told.headers["access-control-max-age"]) >= 600 and told.headers["access-control-allow-private-network"] == "true"
    for headers in (basic("wk_stranger"), basic(intake.key)):
        told = intake.post("/v1/track", track(), keyed=False, headers={**headers, "Origin": "https://shop.example.org"})
        assert told.headers["access-control-allow-origin"] == "https://shop.example.org", "a page can read refusals too"
        assert "Retry-After" in told.headers["access-control-expose-headers"] and told.headers["vary"] == "Origin"


def test_what_could_succeed_later_is_never_4xx():
    later = {"rate", "slow", "busy", "disk_full", "consent_log", "stopping"}
    assert {code for code, refusal in REFUSALS.items() if refusal.status in (429, 503)} == later
    assert all(400 <= refusal.status < 500 for code, refusal in REFUSALS.items() if code not in later)
