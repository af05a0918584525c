"""Files that change while the intake runs: new webhooks and sources count within seconds, a broken file leaves the earlier ones in use and is told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time

import pytest

from kundig.collect.webhooks import add
from kundig.config.watching import Watched
from kundig.workspace import Workspace
from tests.intake.asking import Here
from tests.intake.conftest import make_workspace

BODY = json.dumps({"customer_id": 7, "email_address": "ann@example.org", "email_marketing_consent": {"state": "unsubscribed", "consent_updated_at": "2026-09-20T11:00:00Z"}}).encode()


def signed(secret):
    told = base64.b64encode(hmac.new(secret.encode(), BODY, hashlib.sha256).digest()).decode()
    return {"x-shopify-hmac-sha256": told, "x-shopify-topic": "customers_email_marketing_consent/update", "x-shopify-webhook-id": "w1", "content-type": "application/json"}


@pytest.fixture
def intake(tmp_path):
    workspace = make_workspace(tmp_path / "shop")
    with Here(Workspace(workspace.root), "no key") as here:
        yield here


def until(test, *, seconds=15):
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


def send(intake, secret="hush"):
    return intake.ask("POST", "/v1/webhook/shopify", BODY, signed(secret), keyed=False)


def test_a_webhook_that_is_added_is_taken_without_a_restart_and_one_removed_is_not(intake):
    root = intake.workspace.root
    assert send(intake).code == "no_such_webhook"
    (root / "secrets.toml").write_text('SHOPIFY_CLIENT_SECRET = "hush"\n')
    add(root, "shopify")
    until(lambda: send(intake).status == 200)
    assert [row["status"] for row in intake.workspace.state.select("consent_log")] == ["withdrawn"], "it is heard as one that was there from the start"
    (root / "secrets.toml").write_text('SHOPIFY_CLIENT_SECRET = "other"\n')
    until(lambda: send(intake, "other").status == 200)
    assert send(intake, "hush").code == "unsigned", "the key that was taken out of use lets nobody in"
    (root / "webhooks" / "shopify.yaml").unlink()
    until(lambda: send(intake, "other").code == "no_such_webhook")


def test_a_source_that_changes_names_people_as_it_says_now(intake, tmp_path):
    root, path = intake.workspace.root, intake.workspace.root / "sources/web.yaml"
    before = intake.app.config
    path.write_text(path.read_text().replace("user_id: customer_id", "user_id: shop_customer"))
    until(lambda: intake.app.config is not before)
    assert intake.app.config.sources["web"].inputs[0].segment.user_id == "shop_customer"
    heard = intake.app._listener.heard(b'{"type": "track", "event": "Unsubscribed", "userId": "7", "messageId": "m"}', source="web", kind="track", sent_at="", received_at=intake.app.clock())
    from kundig.collect.identifiers import identifier_key

    assert heard.said[0]["identifier_key"] == identifier_key("shop_customer", "7")
    assert root == intake.app.config.root


def test_a_broken_file_keeps_the_old_and_is_told_until_it_is_mended(intake):
    root = intake.workspace.root
    (root / "secrets.toml").write_text('SHOPIFY_CLIENT_SECRET = "hush"\n')
    add(root, "shopify")
    until(lambda: send(intake).status == 200)
    assert intake.ask("GET", "/health").body == b"ok\n" and json.loads(intake.ask("GET", "/ready").body)["files"] == "as they are"
    path = root / "webhooks" / "shopify.yaml"
    good = path.read_text()
    path.write_text(good + "\nnonsense: true\n")
    until(lambda: intake.app.files_fault)
    assert "webhooks/shopify.yaml" in intake.app.files_fault and "nonsense" in intake.app.files_fault
    assert send(intake).status == 200, "what was there goes on"
    told = intake.ask("GET", "/health")
    assert told.status == 200 and b"the earlier ones are in use" in told.body and b"nonsense" not in told.body, "the public is not told what stands in a file"
    assert "earlier" in json.loads(intake.ask("GET", "/ready").body)["files"]
    assert b"kundig_intake_files_failing 1" in intake.ask("GET", "/metrics").body
    path.write_text(good)
    until(lambda: not intake.app.files_fault)
    assert intake.ask("GET", "/health").body == b"ok\n" and b"kundig_intake_files_failing 0" in intake.ask("GET", "/metrics").body


# the look itself


def test_files_are_read_again_only_when_they_changed(tmp_path, monkeypatch):
    workspace = make_workspace(tmp_path / "shop")
    old = time.time() - 3_600
    for path in workspace.root.rglob("*.yaml"):
        os.utime(path, (old, old))
    reads = []
    from kundig.config import watching

    real = watching.load
    monkeypatch.setattr(watching, "load", lambda root: reads.append(root) or real(root))
    files = Watched(workspace.config, every=0.0)
    assert not files.look() and not files.look() and not reads
    (workspace.root / "purposes.yaml").touch()
    assert not files.look() and not reads, "only what is read again is looked at"
    (workspace.root / "sources/web.yaml").touch()
    assert files.look() and len(reads) == 1 and not files.look()
    (workspace.root / "sources/web.yaml").write_text("inputs: 7\n")
    assert files.look() and "sources/web.yaml" in files.fault and not files.look() and len(reads) == 2
    assert files.config.sources["web"].meaning, "the earlier one is in use"
    (workspace.root / "sources/web.yaml").unlink()
    assert files.look() and files.fault == "" and "web" not in files.config.sources


def test_within_its_time_nothing_is_asked(tmp_path):
    workspace = make_workspace(tmp_path / "shop")
    files = Watched(workspace.config, every=30.0)
    (workspace.root / "sources/web.yaml").write_text("inputs: 7\n")
    assert not files.look() and files.fault == ""


def test_a_change_while_the_process_starts_is_not_missed(tmp_path):
    workspace = make_workspace(tmp_path / "shop")
    path = workspace.root / "sources/web.yaml"
    path.write_text(path.read_text().replace("Visits and calls", "Something else"))
    files = Watched(workspace.config, every=0.0)  # the workspace was read before the change
    assert files.look() and files.config.sources["web"].meaning.startswith("Something else")
