"""Connections that mean no good are closed, memory stays where it is, and others are answered meanwhile."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
import urllib.request

import pytest
from bench.intake import rss_of

from kundig.collect.intake import keys
from tests.intake.asking import Served, basic
from tests.intake.conftest import make_workspace


@pytest.fixture
def quick(tmp_path):
    workspace = make_workspace(tmp_path / "shop", settings="[intake]\ndisk_reserve_mb = 0\nslow_seconds = 1\n")
    with Served(workspace.root, keys.create(workspace.state, "web")) as server:
        yield server


def track(server):
    body = json.dumps({"type": "track", "event": "A", "userId": "7"}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{server.url}/v1/track", body, basic(server.key)), timeout=30) as told:
        return told.status


def ended(connection, seconds=10.0):
    """Whether the server closes the connection within so many seconds."""
    connection.settimeout(seconds)
    try:
        while connection.recv(65_536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


@pytest.mark.parametrize("said", [b"", b"POST /v1/tr", b"POST /v1/track HTTP/1.1\r\nHost: x\r\nX-A: "])
def test_a_head_that_does_not_come_is_not_waited_for(quick, said):
    with socket.create_connection(("127.0.0.1", quick.port)) as connection:
        connection.sendall(said)
        began = time.monotonic()
        assert track(quick) == 200
        assert ended(connection)
        assert time.monotonic() - began < 8


def test_a_body_that_does_not_come_is_not_waited_for(quick):
    with socket.create_connection(("127.0.0.1", quick.port)) as connection:
        connection.sendall(b"POST /v1/track HTTP/1.1\r\nHost: x\r\nX-Write-Key: " + quick.key.encode() + b"\r\nContent-Length: 100\r\n\r\n{")
        assert track(quick) == 200
        connection.settimeout(10)
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(65_536)
        assert b" 503 " in answer.split(b"\r\n")[0] and b'"slow"' in answer


@pytest.mark.parametrize("head", [b"POST /v1/track HTTP/1.1\r\nX-A: " + b"x" * 30_000_000, b"POST /" + b"x" * 30_000_000, b"POST /v1/track HTTP/1.1\r\n" + b"X-A: y\r\n" * 3_000_000])
def test_a_head_without_end_is_cut_off(quick, head):
    before = rss_of(quick.process.pid)
    with socket.create_connection(("127.0.0.1", quick.port)) as connection, pytest.raises(OSError):  # noqa: PT012
        for start in range(0, len(head), 50_000):
            connection.sendall(head[start : start + 50_000])
        connection.sendall(b"x" * 10_000_000)
    assert track(quick) == 200
    assert rss_of(quick.process.pid) - before < 40


def test_an_ordinary_slow_sender_is_served(quick):
    body = json.dumps({"type": "track", "event": "A", "userId": "7"}).encode()
    whole = b"POST /v1/track HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Write-Key: " + quick.key.encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with socket.create_connection(("127.0.0.1", quick.port)) as connection:
        for start in range(0, len(whole), 20):
            connection.sendall(whole[start : start + 20])
            time.sleep(0.02)
        connection.settimeout(10)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


def test_bodies_of_100_mb_take_no_memory(served):
    before = rss_of(served.process.pid)
    statuses = []

    def send(chunked):
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        parts = (b"x" * 1_000_000 for _ in range(100))
        headers = basic(served.key) | ({} if chunked else {"Content-Length": "100000000"})
        try:
            connection.request("POST", "/v1/batch", parts, headers, encode_chunked=chunked)
            statuses.append(connection.getresponse().status)
        except OSError:
            statuses.append(0)

    threads = [threading.Thread(target=send, args=(number % 2 == 0,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [413] * 4
    assert rss_of(served.process.pid) - before < 60
    assert track(served) == 200
