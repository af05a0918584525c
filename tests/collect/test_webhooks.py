"""Webhooks: only their sender gets in, what is said of consent is in its log at once, and documented requests land the right rows, once."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from tests.collect.shop import Shop

from kundig.collect import quarantine
from kundig.collect.hearing import Heard, keep
from kundig.collect.identifiers import Rules, identifier_key
from kundig.collect.inbox_landing import land_inbox
from kundig.collect.intake.consent import Recorder
from kundig.collect.land import Landed
from kundig.collect.webhooks import READY, add, checks, verify
from kundig.collect.webhooks.ready import FOLDER
from kundig.collect.webhooks.records import Unreadable, heard, records
from kundig.config.load import Config
from kundig.config.webhooks import Webhook
from kundig.consent import suppression
from kundig.errors import ConfigError
from kundig.store.inbox import Inbox
from kundig.store.state import State

SECRETS = {
    "STRIPE_WEBHOOK_SECRET": "whsec_made_up", "SHOPIFY_CLIENT_SECRET": "hush", "CUSTOMERIO_SIGNING_KEY": "c1o", "MAILCHIMP_WEBHOOK_SECRET": "long-and-random", "ITERABLE_WEBHOOK_SECRET": "it",
    "BRAZE_CURRENTS_TOKEN": "br4ze", "SENDGRID_WEBHOOK_KEY": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==",
}  # fmt: skip
NAMES = ("event", "email", "timestamp", "sg_event_id", "metric", "object_type", "data", "object", "identifiers", "recipient", "type", "id", "created", "events", "event_type", "user", "properties", "eventName", "dataFields", "line_items", "amount")
WEBHOOKS = {name: Webhook.model_validate(YAML(typ="safe").load((FOLDER / f"{name}.yaml").read_text())) for name in READY}
AT = dt.datetime(2026, 9, 21, 12, 0, tzinfo=dt.UTC)
STAMP = str(int(AT.timestamp()))


@pytest.fixture
def ready(shop: Shop) -> Shop:
    """A workspace with all ready webhooks."""
    for name in READY:
        add(shop.root, name)
    shop.write("secrets.toml", "".join(f'{name} = "{value}"\n' for name, value in SECRETS.items()))
    return shop


# who sends ------------------------------------------------------------------------------------------------------------


def _hmac(name: str, message: str, hash: str = "sha256") -> bytes:
    return hmac.new(SECRETS[name].encode(), message.encode(), hash).digest()


def _signed(name: str, body: str) -> tuple[dict[str, str], dict[str, str]]:
    """Headers and query as the vendor would send them, counted here from its documentation alone."""
    match name:
        case "stripe":
            return {"Stripe-Signature": f"t={STAMP},v1={'0' * 64},v1={_hmac('STRIPE_WEBHOOK_SECRET', f'{STAMP}.{body}').hex()},v0=x"}, {}
        case "shopify":
            return {"X-Shopify-Hmac-SHA256": base64.b64encode(_hmac("SHOPIFY_CLIENT_SECRET", body)).decode(), "X-Shopify-Topic": "orders/create", "X-Shopify-Webhook-Id": "w1"}, {}
        case "customerio":
            return {"X-CIO-Timestamp": STAMP, "X-CIO-Signature": _hmac("CUSTOMERIO_SIGNING_KEY", f"v0:{STAMP}:{body}").hex()}, {}
        case "braze":
            return {"Authorization": "Bearer br4ze"}, {}
        case "iterable":
            return {"X-Webhook-Secret": "it"}, {}
        case "mailchimp":
            return {}, {"token": "long-and-random"}
        case "sendgrid":
            key = _private_key()
            from cryptography.hazmat.primitives import hashes
            from cryptography.hazmat.primitives.asymmetric import ec

            return {"X-Twilio-Email-Event-Webhook-Timestamp": STAMP, "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(key.sign(f"{STAMP}{body}".encode(), ec.ECDSA(hashes.SHA256()))).decode()}, {}
    raise AssertionError(name)


def _private_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.derive_private_key(4711, ec.SECP256R1())


def _own_key(shop: Shop) -> None:
    """SendGrid's key pair of the tests in place of the documented public key, of which nobody has the other half."""
    from cryptography.hazmat.primitives import serialization

    public = _private_key().public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    shop.write("secrets.toml", "".join(f'{name} = "{value}"\n' for name, value in (SECRETS | {"SENDGRID_WEBHOOK_KEY": base64.b64encode(public).decode()}).items()))


@pytest.mark.parametrize("name", READY)
def test_the_sender_gets_in_and_nobody_else(ready: Shop, name: str) -> None:
    _own_key(ready)
    body = '{"a": "ü"}'
    headers, query = _signed(name, body)
    config = ready.config

    def sent(headers: dict[str, str] = headers, query: dict[str, str] = query, body: str = body, now: dt.datetime = AT) -> str | None:
        return verify(config, name, headers, body.encode(), query, now=now)

    assert sent() is None
    assert sent(headers={key.upper(): value for key, value in headers.items()}) is None
    assert "missing" in str(sent(headers={}, query={}))
    whole = ready.config.webhooks[name].signature.scheme in ("hmac", "ecdsa")
    if whole:
        assert sent(body=body + " ") == "the signature is not of this body"
        odd = {key: value.removesuffix(",v0=x")[:-4] + ("AAA=" if value.endswith("=") else "0000") for key, value in headers.items()}
        assert sent(headers=odd) is not None
    else:
        assert sent(headers={key: value + "x" for key, value in headers.items()}, query={key: value + "x" for key, value in query.items()}) == "the secret is another one"
    if config.webhooks[name].signature.timestamp:
        assert sent(now=AT + dt.timedelta(seconds=299)) is None
        for late in (301, -301):
            assert sent(now=AT + dt.timedelta(seconds=late)) == "it was signed more than 300 seconds from now"
    for secret in SECRETS.values():
        assert secret not in str(sent(headers={}, query={})), "a refusal never says what would be right"


def test_the_documented_signature_of_sendgrid(ready: Shop) -> None:
    """The vector of SendGrid's own library."""
    body = (
        '[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",'
        '"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0","smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
    )
    headers = {
        "X-Twilio-Email-Event-Webhook-Timestamp": "1600112502",
        "X-Twilio-Email-Event-Webhook-Signature": "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=",
    }
    now = dt.datetime.fromtimestamp(1600112510, dt.UTC)
    assert verify(ready.config, "sendgrid", headers, body.encode(), {}, now=now) is None
    assert verify(ready.config, "sendgrid", headers, body.strip().encode(), {}, now=now) == "the signature is not of this body"
    other = headers | {"X-Twilio-Email-Event-Webhook-Signature": "MEUCIQCtIHJeH93Y+qpYeWrySphQgpNGNr/U+UyUlBkU6n7RAwIgJTz2C+8a8xonZGi6BpSzoQsbVRamr2nlxFDWYNH3j/0="}
    assert verify(ready.config, "sendgrid", other, body.encode(), {}, now=now) == "the signature is not of this body"


@pytest.mark.parametrize("header", ["", "t=1", "v1=", f"t={STAMP}", f"t={STAMP},v1=zz", f"t={STAMP},v1=", "t=x,v1=00", ",,,", f"t={STAMP},v0=00", "t=٣,v1=00"])
def test_odd_headers_are_refused(ready: Shop, header: str) -> None:
    assert verify(ready.config, "stripe", {"Stripe-Signature": header}, b"{}", {}, now=AT) is not None


def test_a_webhook_without_its_secret_lets_nobody_in(ready: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    ready.write("secrets.toml", "")
    for name in READY:
        headers, query = _signed(name, "{}")
        assert verify(ready.config, name, headers, b"{}", query, now=AT) == "no secret is set here"
    with pytest.raises(ConfigError, match="there is no webhook 'strip'"):
        verify(ready.config, "strip", {}, b"", {}, now=AT)


def test_basic_and_prefixed_signatures(shop: Shop) -> None:
    lands = "lands: [{table: events, columns: {event_id: _message, name: {value: x}, occurred_at: at}}]\n"
    shop.root.joinpath("webhooks").mkdir()
    shop.write("webhooks/one.yaml", "signature: {scheme: basic, user: me, secret: '${ONE}'}\n" + lands)
    shop.write("webhooks/two.yaml", "signature: {scheme: hmac, header: X-Hub-Signature, prefix: 'sha1=', algorithm: sha1, secret: '${ONE}'}\n" + lands)
    shop.write("secrets.toml", 'ONE = "s:ü"\n')
    config = shop.config
    good = {"Authorization": "Basic " + base64.b64encode("me:s:ü".encode()).decode()}
    assert verify(config, "one", good, b"", {}, now=AT) is None
    for bad in ("Basic !", "Basic " + base64.b64encode(b"me:s").decode(), "Bearer s:ü", ""):
        assert verify(config, "one", {"Authorization": bad}, b"", {}, now=AT) is not None
    signed = hmac.new("s:ü".encode(), b"{}", hashlib.sha1).hexdigest()
    assert verify(config, "two", {"X-Hub-Signature": f"sha1={signed}"}, b"{}", {}, now=AT) is None
    assert verify(config, "two", {"X-Hub-Signature": signed}, b"{}", {}, now=AT) is not None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("signature: {scheme: hmac, secret: '${A}'}", "lacks header"), ("signature: {scheme: hmac, header: X, secret: '${A}', signed: '{timestamp}.{body}'}", "do not fit"),
        ("signature: {scheme: bearer, secret: plainly-written}", "literal key"), ("signature: {scheme: none}", "nothing becomes of its records"),
        ("signature: {scheme: none}\nconsents: [{when: [{column: a, matches: b}], status: given, channel: email, identifiers: [{namespace: email, column: e}]}]", "for all purposes would give more"),
    ],
)  # fmt: skip
def test_files_that_would_let_in_or_give_too_much_are_refused(shop: Shop, text: str, told: str) -> None:
    shop.root.joinpath("webhooks").mkdir()
    more = "" if "nothing" in told or "consents" in text else "\nlands: [{table: events, columns: {event_id: _message, name: {value: x}, occurred_at: at}}]"
    shop.write("webhooks/one.yaml", text + more)
    with pytest.raises(ConfigError, match=told):
        _ = shop.config


# what lands -----------------------------------------------------------------------------------------------------------


class Arrivals:
    """An inbox that requests come into as the intake stores them, and the consent log."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.config = shop, shop.config
        self.inbox = Inbox(shop.root / "inbox.sqlite", writing=True, clock=lambda: AT)
        self.state = State.open(f"sqlite:///{shop.root}/state.sqlite")

    def take(self, name: str, body: Any, headers: dict[str, str] | None = None) -> None:
        """A request that has passed its check."""
        given = {key.lower(): value for key, value in (headers or {}).items()}
        meta = {"webhook": name, "told": checks(self.config)[name].noted(given)}
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.inbox.append(raw, source=self.config.webhooks[name].source or name, kind="webhook", meta=json.dumps(meta))

    def land(self) -> Landed:
        """Everything that waits."""
        landed = Landed(source="")
        for one in land_inbox(self.shop.lake, self.config, self.inbox, state=self.state, clock=lambda: AT):
            landed = landed.with_(one)
        return landed

    def consents(self) -> list[tuple[str, str, str, int]]:
        """What the log holds: id, channel, status, key."""
        log = self.state.sql("consent_log")
        with self.state.reading() as connection:
            return [(row.record_id, row.channel, row.status, row.identifier_key) for row in connection.execute(log.select().order_by(log.c.seq))]


@pytest.fixture
def arrivals(ready: Shop) -> Any:
    made = Arrivals(ready)
    yield made
    made.inbox.close()


WHO = identifier_key("email", "ann@example.org")


def _messages(arrivals: Arrivals) -> list[tuple[str, str, int]]:
    return sorted(arrivals.shop.rows("campaign_messages", "outcome, channel, identifier_key"))


def test_sendgrid(arrivals: Arrivals) -> None:
    events = [
        {"email": "ann@example.org", "timestamp": 1789990000 + n, "smtp-id": "<x@y>", "event": event, "category": ["cat facts"], "sg_event_id": f"e{n}", "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0"}
        for n, event in enumerate(("processed", "delivered", "open", "click", "bounce", "spamreport", "unsubscribe", "group_unsubscribe", "deferred", "dropped"))
    ]  # fmt: skip
    arrivals.take("sendgrid", events)
    arrivals.take("sendgrid", events)  # sent again, as vendors do
    landed = arrivals.land()
    assert _messages(arrivals) == [(outcome, "email", WHO) for outcome in ("bounced", "clicked", "complained", "delivered", "opened", "sent", "unsubscribed")]
    assert landed.quarantined == 0
    assert [(status, key) for _, _, status, key in arrivals.consents()] == [("withdrawn", WHO)] * 3
    assert len(arrivals.shop.rows("consent_records")) == 3, "the lake has the copy"


def test_customerio(arrivals: Arrivals) -> None:
    data = {"customer_id": "0200102", "identifiers": {"id": "0200102", "email": "ann@example.org", "cio_id": "d9c106"}, "delivery_id": "RPILAgUBcRhIBqSfeiIwdIYJKxTY", "campaign_id": 23, "content_id": 7, "recipient": "ann@example.org"}
    for n, metric in enumerate(("sent", "opened", "unsubscribed", "spammed", "converted")):
        arrivals.take("customerio", {"event_id": f"01E4C4CT6YDC7Y{n}", "object_type": "email", "metric": metric, "timestamp": 1789990000, "data": data})
    arrivals.take("customerio", {"event_id": "01E4", "object_type": "customer", "metric": "unsubscribed", "timestamp": 1789990000, "data": {"customer_id": "0200102", "email_address": "ann@example.org"}})
    arrivals.land()
    who = identifier_key("customer_id", "0200102")
    assert _messages(arrivals) == [(outcome, "email", who) for outcome in ("complained", "opened", "sent", "unsubscribed")]
    assert arrivals.shop.rows("campaign_messages", "DISTINCT message_id, campaign, variant") == [("customerio:RPILAgUBcRhIBqSfeiIwdIYJKxTY", "23", "7")]
    assert [(channel, status, key) for _, channel, status, key in arrivals.consents()] == [("email", "withdrawn", who), ("email", "withdrawn", who), ("*", "withdrawn", who)]


def test_braze(arrivals: Arrivals) -> None:
    def event(kind: str, n: int, **more: str) -> dict[str, Any]:
        properties = {"campaign_id": "c1", "campaign_name": "Test Campaign", "dispatch_id": "12345qwert", "message_variation_name": "A", "email_address": "ann@example.org"} | more
        return {"event_type": kind, "id": f"a1234567-{n}", "time": 1789990000, "user": {"user_id": "u1", "external_user_id": "C7", "timezone": "Europe/Berlin"}, "properties": properties}

    kinds = ("users.messages.email.Open", "users.messages.email.Unsubscribe", "users.messages.pushnotification.Send", "users.messages.inappmessage.Click", "users.canvas.Entry", "users.messages.email.SoftBounce")
    gone = event("users.behaviors.subscription.GlobalStateChange", 99, subscription_status="Unsubscribed", channel="Email")
    arrivals.take("braze", {"events": [*(event(kind, n) for n, kind in enumerate(kinds)), gone]})
    arrivals.land()
    who = identifier_key("customer_id", "C7")
    assert _messages(arrivals) == [("bounced", "email", who), ("clicked", "in_app", who), ("opened", "email", who), ("sent", "push", who), ("unsubscribed", "email", who)]
    assert arrivals.shop.rows("campaign_messages", "DISTINCT campaign, variant") == [("Test Campaign", "A")]
    assert [record for record, *_ in arrivals.consents()] == ["braze:a1234567-1:*:email", "braze:a1234567-99:*:email"]


def test_iterable(arrivals: Arrivals) -> None:
    for event in ("emailSend", "emailOpen", "emailUnSubscribe", "emailComplaint", "pushOpen", "emailSendSkip"):
        fields = {"campaignId": 49313, "campaignName": "Autumn", "messageId": "210badf4fe0047c8", "createdAt": "2026-09-21 10:51:45 +00:00"}
        arrivals.take("iterable", {"email": "ann@example.org", "userId": None, "eventName": event, "dataFields": fields})
    arrivals.land()
    assert _messages(arrivals) == [(outcome, "email", WHO) for outcome in ("complained", "opened", "sent", "unsubscribed")], "a message and an outcome are one row, the first that was told"
    assert arrivals.shop.rows("campaign_messages", "DISTINCT occurred_at")[0][0].astimezone(dt.UTC) == dt.datetime(2026, 9, 21, 10, 51, 45, tzinfo=dt.UTC)
    assert len(arrivals.consents()) == 2


def test_mailchimp(arrivals: Arrivals) -> None:
    def form(kind: str, **data: str) -> bytes:
        fields = {"type": kind, "fired_at": "2026-09-21 11:00:00", "data[id]": "8a25ff1d98", "data[list_id]": "a6b5da1054", "data[email]": "ann@example.org"}
        return urlencode(fields | {f"data{name}": value for name, value in data.items()}).encode()

    arrivals.take("mailchimp", form("subscribe", **{"[merges][FNAME]": "Ann", "[merges][LNAME]": "Fox", "[ip_opt]": "10.20.10.30"}))
    arrivals.take("mailchimp", form("unsubscribe", **{"[action]": "unsub", "[reason]": "manual"}))
    arrivals.take("mailchimp", form("cleaned", **{"[reason]": "hard", "[campaign_id]": "4fjk2ma9xd"}))
    arrivals.take("mailchimp", form("cleaned", **{"[reason]": "abuse"}))
    arrivals.take("mailchimp", form("unsubscribe", **{"[action]": "unsub", "[reason]": "manual"}))
    arrivals.take("mailchimp", b"")
    landed = arrivals.land()
    assert arrivals.shop.rows("contacts", "contact_id, email, first_name, last_name, kind") == [("mailchimp:8a25ff1d98", "ann@example.org", "Ann", "Fox", "subscriber")]
    assert _messages(arrivals) == [("bounced", "email", WHO), ("complained", "email", WHO), ("unsubscribed", "email", WHO)]
    assert (landed.quarantined, len(arrivals.consents())) == (0, 2)


def test_stripe(arrivals: Arrivals) -> None:
    def event(n: int, kind: str, what: dict[str, Any]) -> dict[str, Any]:
        return {"id": f"evt_{n}", "object": "event", "api_version": "2025-03-31.basil", "created": 1789990000 + n, "type": kind, "livemode": False, "data": {"object": what}}

    charge = {"id": "ch_1", "object": "charge", "amount": 1999, "currency": "eur", "customer": "cus_1", "billing_details": {"email": "ann@example.org"}, "created": 1789990000}
    arrivals.take("stripe", event(1, "charge.succeeded", charge))
    arrivals.take("stripe", event(1, "charge.succeeded", charge))
    arrivals.take("stripe", event(2, "charge.refunded", charge | {"amount": 500}))
    plan = {"id": "price_1", "nickname": "Gold", "amount": 1250, "interval": "month"}
    contract = {"id": "sub_1", "customer": "cus_1", "currency": "eur", "created": 1789000000, "start_date": 1789000000, "ended_at": None, "trial_end": None, "plan": plan}
    arrivals.take("stripe", event(4, "customer.subscription.deleted", contract | {"ended_at": 1789990004}))
    arrivals.take("stripe", event(3, "customer.subscription.created", contract))  # comes late: Stripe promises no order
    arrivals.take("stripe", event(5, "customer.updated", {"id": "cus_1", "created": 1789000000, "email": "ann@example.org", "name": "Fox", "address": {"city": "Ulm", "country": "DE"}}))
    landed = arrivals.land()
    assert landed.quarantined == 0
    assert [(n, float(v)) for n, v in arrivals.shop.rows("events", "name, value", "ORDER BY event_id")] == [("payment_succeeded", 19.99), ("payment_refunded", 5)]
    ((plan_name, amount, months, ended),) = arrivals.shop.rows("subscriptions", "plan, amount, period_months, ended_at")
    assert (plan_name, float(amount), months, int(ended.timestamp())) == ("Gold", 12.5, 1, 1789990004), "the newer state holds though the older one came later"
    assert arrivals.shop.rows("contacts", "email, city") == [("ann@example.org", "Ulm")]


def test_yen_have_no_cents(arrivals: Arrivals) -> None:
    arrivals.shop.source("inputs: [{files: in/rates.csv, lands: [{table: exchange_rates, columns: {local_day: day, currency: code, rate: rate}}]}]", "rates")
    arrivals.shop.write("in/rates.csv", "day,code,rate\n2026-09-21,JPY,0.01\n")
    arrivals.shop.land("rates")
    charge = {"id": "ch_1", "amount": 5000, "currency": "jpy", "customer": "cus_1"}
    arrivals.take("stripe", {"id": "evt_1", "created": int(STAMP), "type": "charge.succeeded", "data": {"object": charge}})
    arrivals.land()
    assert [float(value) for (value,) in arrivals.shop.rows("events", "value")] == [50]


ORDER = {
    "id": 450789469, "email": "ann@example.org", "created_at": "2026-09-20T11:00:00-04:00", "updated_at": "2026-09-20T11:00:00-04:00", "cancelled_at": None, "currency": "EUR", "phone": None,
    "total_price": "409.94", "total_tax": "11.94", "total_discounts": "10.00", "total_shipping_price_set": {"shop_money": {"amount": "5.00", "currency_code": "EUR"}},
    "customer": {"id": 207119551, "email": "ann@example.org"},
    "line_items": [
        {"id": 466157049, "variant_id": 39072856, "title": "IPod Nano", "quantity": 1, "sku": "IPOD2008GREEN", "price": "199.00", "total_discount": "0.00"},
        {"id": 518995019, "variant_id": 49148385, "title": "IPod Nano", "quantity": 2, "sku": "", "price": "99.50", "total_discount": "0.00"},
    ],
}  # fmt: skip


def test_shopify(arrivals: Arrivals) -> None:
    def take(topic: str, body: dict[str, Any], message: str) -> None:
        arrivals.take("shopify", body, {"X-Shopify-Topic": topic, "X-Shopify-Webhook-Id": message, "X-Shopify-Hmac-Sha256": "checked before"})

    take("orders/create", ORDER, "w1")
    take("orders/create", ORDER, "w1")
    take("customers/update", {"id": 207119551, "email": "ann@example.org", "first_name": "Ann", "last_name": "Fox", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-09-20T00:00:00Z", "default_address": {"city": "Ulm", "zip": "89073"}}, "w2")
    take("products/update", {"id": 632910392, "title": "IPod Nano", "vendor": "Apple", "product_type": "Player", "status": "active", "updated_at": "2026-09-20T00:00:00Z", "variants": [{"id": 1, "sku": "A-1", "price": "19.00"}, {"id": 2, "sku": "", "price": "29.00"}]}, "w3")  # fmt: skip
    take("customers_email_marketing_consent/update", {"customer_id": 207119551, "email_address": "ann@example.org", "email_marketing_consent": {"state": "unsubscribed", "opt_in_level": None, "consent_updated_at": "2026-09-20T11:00:00-04:00"}}, "w4")  # fmt: skip
    take("customers_email_marketing_consent/update", {"customer_id": 1, "email_address": "bob@example.org", "email_marketing_consent": {"state": "subscribed"}}, "w5")
    landed = arrivals.land()
    assert landed.quarantined == 0
    ((order, gross, net, status),) = arrivals.shop.rows("orders", "order_id, gross, net, status")
    assert (order, float(gross), float(net), status) == ("shopify:450789469", 409.94, 393, "completed")
    assert arrivals.shop.rows("order_lines", "product_id, quantity", "ORDER BY line_id") == [("IPOD2008GREEN", 1), ("49148385", 2)]
    assert arrivals.shop.rows("events", "name") == [("order_completed",)]
    assert [(p, float(price)) for p, price in arrivals.shop.rows("products", "product_id, price", "ORDER BY 1")] == [("2", 29), ("A-1", 19)]
    assert arrivals.shop.rows("contacts", "first_name, city") == [("Ann", "Ulm")]
    assert [(record, status) for record, _, status, _ in arrivals.consents()] == [("shopify:w4:*:email", "withdrawn")]
    take("orders/cancelled", ORDER | {"cancelled_at": "2026-09-21T01:00:00Z", "updated_at": "2026-09-21T01:00:00Z"}, "w6")
    arrivals.land()
    take("orders/updated", ORDER, "w7")  # an older state, late
    arrivals.land()
    assert arrivals.shop.rows("orders", "status") == [("cancelled",)]


# nothing is lost ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_read_is_held_and_comes_in_again(arrivals: Arrivals) -> None:
    arrivals.take("customerio", b"{not json")
    arrivals.take("customerio", {"event_id": "e1", "object_type": "email", "metric": "opened", "timestamp": "soon", "data": {"delivery_id": "d1", "recipient": "ann@example.org"}})
    assert arrivals.land().quarantined == 2
    held = {record.what: record for record in quarantine.held(arrivals.shop.lake)}
    assert "the body is no JSON" in held
    record = next(record for what, record in held.items() if "occurred_at" in what)
    quarantine.fix(arrivals.shop.lake, record.record_id, record.body.replace("soon", "1789990000"))
    quarantine.replay(arrivals.shop.lake, arrivals.config, [record.record_id])
    assert _messages(arrivals) == [("opened", "email", WHO)]


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(["ann@example.org", "unsubscribe", "open", "\ud800", "1e999999999", "2026-09-21"]))
VALUES = st.recursive(SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=6)), max_leaves=20)


@pytest.mark.parametrize("name", READY)
@given(body=st.one_of(VALUES.map(lambda value: json.dumps(value).encode()), st.binary(max_size=80)))
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_is_sent_is_records_or_told_to_be_none(name: str, body: bytes) -> None:
    """A body that fails in some other way would keep back all that waits behind it."""
    webhook = WEBHOOKS[name]
    try:
        told = records(webhook, body, {}, AT)
    except Unreadable:
        return
    json.dumps(told, default=str).encode()
    for row in heard(webhook, name, told, rules=Rules(), country="DE", jurisdictions={}, at=AT).said:
        json.dumps(row, default=str, ensure_ascii=False).encode()
        assert row["occurred_at"] <= AT


def test_an_odd_body_keeps_nothing_back(arrivals: Arrivals) -> None:
    arrivals.take("customerio", b'{"event_id": "e\\ud800", "object_type": "email", "metric": "unsubscribed", "timestamp": 1789990000, "data": {"delivery_id": "d\\udfff", "recipient": "ann@example.org"}}')
    arrivals.take("stripe", b'{"id": "evt_9", "created": NaN, "type": "charge.succeeded", "data": {"object": {"amount": "1e999999999", "currency": 7}}}')
    arrivals.take("sendgrid", b"[1, 2]")
    arrivals.take("mailchimp", b"type=unsubscribe&data[email]=ann%40example.org%00&data=x&%ff=%fe")
    arrivals.take("customerio", {"event_id": "e2", "object_type": "email", "metric": "opened", "timestamp": 1789990000, "data": {"delivery_id": "d2", "recipient": "ann@example.org"}})
    arrivals.land()
    assert ("opened", "email", WHO) in _messages(arrivals)
    assert arrivals.inbox.waiting("land") == 0


def test_an_unsubscribe_is_said_before_the_landing_and_again_at_it_without_harm(arrivals: Arrivals) -> None:
    body = json.dumps([{"email": "ann@example.org", "timestamp": 1789990000, "event": "unsubscribe", "sg_event_id": "e1", "sg_message_id": "m1"}]).encode()
    said = checks(arrivals.config)["sendgrid"].heard(body, {}, AT)
    assert keep(arrivals.config, arrivals.state, [said]) == 1
    arrivals.take("sendgrid", body)
    arrivals.land()
    assert len(arrivals.consents()) == 1
    assert checks(arrivals.config)["sendgrid"].heard(b"\xff", {}, AT) == Heard()
    assert checks(arrivals.config)["sendgrid"].heard(b'[{"event": "unsubscribe", "email": ""}]', {}, AT) == Heard(), "nobody is named"


BOTH_WAYS = """
signature: {scheme: none}
kind: type
consents:
  - {when: [{column: _kind, matches: subscribe}], status: given, purpose: newsletter, channel: email, identifiers: [{namespace: email, column: email}, {namespace: customer_id, column: id}]}
  - {when: [{column: _kind, matches: unsubscribe}], status: withdrawn, purpose: newsletter, channel: email, identifiers: [{namespace: email, column: email}, {namespace: customer_id, column: id}]}
"""


@pytest.mark.parametrize(("reason", "kept"), [("erased", []), ("suppressed", ["withdrawn"]), ("objected", ["given", "withdrawn"]), ("", ["given", "withdrawn"])])
@pytest.mark.parametrize("named", [{"email": "Ann@Example.org"}, {"id": "7", "email": "else@example.org"}])
def test_who_is_on_the_list_does_not_come_back_through_a_vendor(shop: Shop, named: dict[str, str], reason: str, kept: list[str]) -> None:
    """Known by a weaker or a stronger identifier; what only narrows is kept of who is suppressed, nothing of who was erased."""
    shop.root.joinpath("webhooks").mkdir()
    shop.write("webhooks/tool.yaml", BOTH_WAYS)
    arrivals = Arrivals(shop)
    namespace, value = ("customer_id", "7") if "id" in named else ("email", "ann@example.org")
    if reason:
        secret = suppression.key(arrivals.config, in_use=False)
        arrivals.state.insert("suppressions", [{"digest": digest, "reason": reason, "at": AT} for digest in suppression.digests(namespace, value, secret=secret)])
    bystander = {"type": "subscribe", "email": "bystander@example.org"}
    bodies = [json.dumps(one).encode() for one in ({"type": "subscribe"} | named, {"type": "unsubscribe"} | named, bystander)]
    checked = checks(arrivals.config)["tool"]
    recorder = Recorder(arrivals.state, arrivals.config)
    for body in bodies[:2]:
        recorder._append([checked.heard(body, {}, AT)])  # as the intake notes it before it answers
    recorder.close()
    assert [status for _, _, status, _ in arrivals.consents()] == kept
    for body in bodies:
        arrivals.take("tool", json.loads(body))
    arrivals.land()
    assert [status for _, _, status, key in arrivals.consents() if key != identifier_key("email", "bystander@example.org")] == kept, "nor when it lands"
    assert len(arrivals.consents()) == len(kept) + 1, "others are heard"
    arrivals.inbox.close()


def test_a_webhook_shares_ids_with_the_source_it_names(shop: Shop) -> None:
    """What the export brought and what the webhook tells is one order."""
    add(shop.root, "shopify")
    path = shop.root / "webhooks/shopify.yaml"
    path.write_text(path.read_text().replace("kind: header", "source: shop\nkind: header"))
    shop.write("secrets.toml", 'SHOPIFY_CLIENT_SECRET = "hush"\n')
    shop.source("inputs: [{files: in/o.csv, lands: [{table: orders, received_at: day, columns: {order_id: no, occurred_at: day, gross: total}}]}]")
    shop.write("in/o.csv", "no,day,total\n450789469,2026-09-19,1\n")
    shop.land()
    arrivals = Arrivals(shop)
    arrivals.take("shopify", ORDER, {"X-Shopify-Topic": "orders/paid", "X-Shopify-Webhook-Id": "w1"})
    arrivals.land()
    arrivals.inbox.close()
    assert [(order, float(gross)) for order, gross in shop.rows("orders", "order_id, gross")] == [("shop:450789469", 409.94)]


def test_requests_of_a_webhook_that_is_gone_are_held(arrivals: Arrivals) -> None:
    arrivals.take("stripe", {"id": "evt_1", "created": 1, "type": "x", "data": {"object": {}}})
    (arrivals.shop.root / "webhooks/stripe.yaml").unlink()
    arrivals.config = arrivals.shop.config
    assert arrivals.land().quarantined == 1


def test_ready_webhooks_say_where_they_are_from_and_are_not_overwritten(ready: Shop) -> None:
    config: Config = ready.config
    assert set(READY) == {"braze", "customerio", "iterable", "mailchimp", "sendgrid", "shopify", "stripe"}
    for name in READY:
        assert config.webhooks[name].known_from == "documentation"
        assert config.webhooks[name].documentation.startswith("https://")
    with pytest.raises(ConfigError, match="there is a webhook 'stripe' already"):
        add(ready.root, "stripe")
    with pytest.raises(ConfigError, match="did you mean 'stripe'"):
        add(Path(ready.root), "strype")
