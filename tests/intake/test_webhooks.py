"""Webhooks at the intake: signed ones are stored with what their records need, an unsubscribe is in the log before the answer, and all of it lands."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from urllib.parse import urlencode

import pytest

from kundig import consent
from kundig.collect.webhooks import add
from kundig.workspace import Workspace
from tests.intake.asking import Here
from tests.intake.conftest import make_workspace


@pytest.fixture
def intake(tmp_path):
    workspace = make_workspace(tmp_path / "shop")
    for name in ("shopify", "mailchimp"):
        add(workspace.root, name)
    (workspace.root / "secrets.toml").write_text('SHOPIFY_CLIENT_SECRET = "hush"\nMAILCHIMP_WEBHOOK_SECRET = "long"\n')
    with Here(Workspace(workspace.root), "no key") as here:
        yield here


def shopify(body, topic="customers_email_marketing_consent/update"):
    signed = base64.b64encode(hmac.new(b"hush", body, hashlib.sha256).digest()).decode()
    return {"x-shopify-hmac-sha256": signed, "x-shopify-topic": topic, "x-shopify-webhook-id": "w1", "content-type": "application/json"}


LEFT = json.dumps({"customer_id": 7, "email_address": "ann@example.org", "email_marketing_consent": {"state": "unsubscribed", "consent_updated_at": "2026-09-20T11:00:00Z"}}).encode()


def log(intake):
    return [(row["record_id"], row["status"]) for row in intake.workspace.state.select("consent_log")]


def test_signed_is_taken_and_an_unsubscribe_is_in_the_log_before_the_answer(intake, monkeypatch):
    seen = []
    stored = intake.app.inbox.stored

    async def storing(*given, **named):
        seen.append(log(intake))  # what the log holds when the body goes to disk, which is before the answer
        return await stored(*given, **named)

    monkeypatch.setattr(intake.app.inbox, "stored", storing)
    for _ in range(2):
        assert intake.ask("POST", "/v1/webhook/shopify", LEFT, shopify(LEFT), keyed=False).status == 200
    assert seen == [[("shopify:w1:*:email", "withdrawn")]] * 2
    source, kind, meta, body = intake.stored()[0]
    assert (source, kind, meta["webhook"], body) == ("shopify", "webhook", "shopify", LEFT)
    assert meta["told"] == {"x-shopify-topic": "customers_email_marketing_consent/update", "x-shopify-webhook-id": "w1"}, "no signature is kept"


@pytest.mark.parametrize("headers", [{}, {"x-shopify-hmac-sha256": "x"}, shopify(LEFT + b" ")])
def test_unsigned_is_refused_and_leaves_nothing(intake, headers):
    told = intake.ask("POST", "/v1/webhook/shopify", LEFT, headers, keyed=False)
    assert (told.status, told.code) == (401, "unsigned")
    assert b"hush" not in told.body
    assert intake.stored() == [] and log(intake) == []


def test_a_log_that_cannot_be_written_is_no_acknowledgement(intake, monkeypatch):
    def fails(*given, **named):
        raise OSError("no room")

    monkeypatch.setattr(consent, "append", fails)
    assert intake.ask("POST", "/v1/webhook/shopify", LEFT, shopify(LEFT), keyed=False).status >= 500
    assert intake.stored() == []


def test_forms_and_the_question_whether_the_address_is_there(intake):
    assert intake.ask("GET", "/v1/webhook/mailchimp", keyed=False).status == 200
    assert intake.ask("GET", "/v1/webhook/nobody", keyed=False).status == 405
    body = urlencode({"type": "unsubscribe", "fired_at": "2026-09-21 11:00:00", "data[email]": "bob@example.org", "data[reason]": "manual"}).encode()
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert intake.ask("POST", "/v1/webhook/mailchimp?token=long", body, form, keyed=False).status == 200
    assert intake.ask("POST", "/v1/webhook/mailchimp?token=short", body, form, keyed=False).status == 401
    assert [status for _, status in log(intake)] == ["withdrawn"]
