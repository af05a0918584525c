"""A disk that is really full: 503, nothing that was answered is lost, and once there is room it goes on by itself."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request

import pytest

from kundig.collect.intake import keys
from kundig.store.inbox import Inbox
from tests.intake.asking import Served, basic
from tests.intake.conftest import make_workspace


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True, check=False) if os.geteuid() == 0 else None
    if done is None or done.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def post(url, key, body):
    request = urllib.request.Request(f"{url}/v1/batch", body, basic(key))
    try:
        with urllib.request.urlopen(request, timeout=30) as told:
            return told.status, {}, {}
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read()), dict(error.headers)


@pytest.mark.parametrize("size", [2_000, 60_000, 900_000])
def test_a_full_disk(tmp_path, small_disk, size):
    workspace = make_workspace(tmp_path / "shop", settings=f'[store]\ninbox = "{small_disk}/inbox.sqlite"\n[intake]\ndisk_reserve_mb = 0\n')
    key = keys.create(workspace.state, "web")
    answered, refused = [], 0
    body = lambda number: json.dumps({"batch": [{"type": "track", "userId": "7", "messageId": f"m{number}", "event": "x" * size}]}).encode()  # noqa: E731
    with Served(workspace.root, key) as server:
        number = 0
        while refused < 5 and number < 5_000:
            number += 1
            status, told, headers = post(server.url, key, body(number))
            if status == 200:
                answered.append(f"m{number}")
                continue
            assert (status, told["code"], headers["retry-after"]) == (503, "disk_full", "30"), told
            refused += 1
        assert refused == 5 and answered
        subprocess.run(["mount", "-o", "remount,size=60m", str(small_disk)], check=True)
        for number in range(10_000, 10_005):
            assert post(server.url, key, body(number))[0] == 200
            answered.append(f"m{number}")
    inbox = Inbox(small_disk / "inbox.sqlite")
    inbox.register("land")
    kept = []
    while (batch := inbox.read("land", most=100)) is not None:
        kept += [json.loads(entry.body)["batch"][0]["messageId"] for entry in batch.entries]
        inbox.advance(batch)
    assert kept == answered
