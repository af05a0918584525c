"""Answers and reports over OpenDSR are signed: anybody checks them with the certificate that discovery names, and a changed body fails."""

from __future__ import annotations

import base64
import datetime as dt
import json
import sys

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from starlette.testclient import TestClient
from tests.privacy.test_erasing import buyer
from tests.privacy.test_interfaces import BACK, asked, described

import kundig as kd
from kundig.errors import ConfigError, MissingExtra
from kundig.privacy.callers import create
from kundig.privacy.signing import signer
from kundig.privacy.waiting import report
from kundig.server.app import make_app

AT = "http://127.0.0.1:8700"
DOMAIN = "dsr.shop.example"
KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def private_pem(key, locked=serialization.NoEncryption()):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked).decode()


def certificate(key, *names):
    """A certificate that signs itself."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kundig")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
    made = made.not_valid_before(dt.datetime(2026, 1, 1)).not_valid_after(dt.datetime(2046, 1, 1))
    return made.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False).sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def written(root, monkeypatch, *, key=None, chain=None, domain=""):
    """A workspace that signs."""
    monkeypatch.setenv("OPENDSR_KEY", private_pem(KEY) if key is None else key)
    (root / "opendsr.pem").write_text(certificate(KEY, "*.shop.example", DOMAIN) if chain is None else chain, encoding="utf-8")
    path = root / "kundig.toml"
    path.write_text(path.read_text(encoding="utf-8") + f'\n[privacy]\nprivate_key = "${{OPENDSR_KEY}}"\ncertificate = "opendsr.pem"\ndomain = "{domain}"\n', encoding="utf-8")
    return kd.open(root)


@pytest.fixture
def shop(copy, monkeypatch):
    monkeypatch.delenv("KUNDIG_SUPPRESSION_KEY", raising=False)
    workspace = written(copy, monkeypatch)
    yield workspace
    workspace.state.close()
    workspace.lake.close()


@pytest.fixture
def api(shop):
    with TestClient(make_app(shop), base_url=AT, headers={"authorization": f"Bearer {create(shop.state, 'shop.example', callbacks=[BACK])}"}) as client:
        yield client


def checked(chain, headers, body):
    """As a controller checks: the certificate is of the domain that signs, and its key signed these bytes."""
    of = x509.load_pem_x509_certificate(chain)
    assert headers["X-OpenDSR-Processor-Domain"] in of.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    of.public_key().verify(base64.b64decode(headers["X-OpenDSR-Signature"], validate=True), body, padding.PKCS1v15(), hashes.SHA256())


def test_every_answer_is_signed_over_the_bytes_that_came(shop, api):
    email, _ = buyer(shop)
    body = asked(email)
    at = f"/opendsr/v2/requests/{body['subject_request_id']}"
    found = api.get("/opendsr/v2/discovery")
    described(api, found, "/opendsr/v2/discovery", "get")
    place = found.json()["processor_certificate"]
    assert place == f"{AT}/opendsr/v2/certificate.pem" and api.get("/opendsr/discovery").json()["processor_certificate"] == f"{AT}/opendsr/certificate.pem"
    stranger = TestClient(api.app, base_url=AT)
    chain = stranger.get(place).content
    answers = [
        found, stranger.get(place), api.post("/opendsr/v2/requests", json=body), api.post("/opendsr/requests", json=asked(email, regulation="x")), api.get(at), api.delete(at), api.get(f"{at}/results"),
        stranger.get(at), api.post("/opendsr/requests", content=b"x" * 2_100_000),
    ]  # fmt: skip
    assert [one.status_code for one in answers] == [200, 200, 201, 400, 200, 202, 404, 401, 413]
    for one in answers:
        checked(chain, one.headers, one.content)
        with pytest.raises(InvalidSignature):
            checked(chain, one.headers, one.content.replace(b"o", b"0", 1))
    with pytest.raises(InvalidSignature):
        checked(chain, answers[4].headers, answers[5].content)
    assert "x-opendsr-signature" not in api.get("/regulations").headers, "Segment knows no signature"


def test_the_file_of_an_access_request_is_signed(shop, api):
    from kundig.privacy.waiting import fulfil_waiting

    body = asked(buyer(shop)[0], kind="access")
    api.post("/opendsr/requests", json=body)
    fulfil_waiting(shop)
    file = api.get(f"/opendsr/requests/{body['subject_request_id']}/results")
    assert file.headers["content-type"] == "application/zip"
    checked(api.get("/opendsr/certificate.pem").content, file.headers, file.content)


def test_reports_of_status_are_signed_over_the_bytes_that_are_posted(shop, api):
    email, _ = buyer(shop)
    api.post("/opendsr/requests", json=asked(email, status_callback_urls=[f"{BACK}/status", f"{BACK}/again"]))
    told = []
    assert report(shop, lambda url, content, headers: told.append((url, content, headers)) or 200) == 2
    chain = api.get("/opendsr/certificate.pem").content
    for url, content, headers in told:
        assert json.loads(content)["status_callback_url"] == url and headers["Content-Type"] == "application/json"
        checked(chain, headers, content)
        with pytest.raises(InvalidSignature):
            checked(chain, headers, content.replace(b"pending", b"Pending"))
    with pytest.raises(InvalidSignature):
        checked(chain, told[0][2], told[1][1])


def test_a_key_in_the_certificates_file_is_not_served(copy, monkeypatch):
    other = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    workspace = written(copy, monkeypatch, chain=private_pem(KEY) + certificate(KEY, DOMAIN) + certificate(other, "issuer.example"))
    with TestClient(make_app(workspace), base_url=AT) as client:
        served = client.get("/opendsr/certificate.pem")
    assert b"PRIVATE" not in served.content and len(x509.load_pem_x509_certificates(served.content)) == 2
    assert "BEGIN" not in repr(signer(workspace.config)).replace("BEGIN CERTIFICATE", "")


def test_without_a_key_nothing_is_said_of_a_certificate(copy):
    workspace = kd.open(copy)
    with TestClient(make_app(workspace), base_url=AT, headers={"authorization": f"Bearer {create(workspace.state, 'shop.example', callbacks=[BACK])}"}) as api:
        found = api.get("/opendsr/discovery")
        assert "certificate" not in found.text and api.get("/opendsr/certificate.pem").status_code == 404
        described(api, api.get("/opendsr/v2/certificate.pem"), "/opendsr/v2/certificate.pem", "get")
        made = api.post("/opendsr/requests", json=asked(buyer(workspace)[0], status_callback_urls=[f"{BACK}/status"]))
        assert made.status_code == 201
        assert not [name for answer in (found, made) for name in answer.headers if "opendsr" in name]
    told = []
    report(workspace, lambda url, content, headers: told.append(headers) or 200)
    assert told == [{"Content-Type": "application/json"}]


WRONG = [
    ({"key": "no key"}, "no private key in PEM"), ({"key": private_pem(KEY, serialization.BestAvailableEncryption(b"x"))}, "locked with a password"),
    ({"key": private_pem(ec.generate_private_key(ec.SECP256R1()))}, "must be one of RSA"), ({"chain": "nothing"}, "no certificate in PEM"),
    ({"key": private_pem(rsa.generate_private_key(public_exponent=65_537, key_size=2_048))}, "is not of the key that signs"),
    ({"domain": "shop.example"}, "not of the domain 'shop.example'"), ({"domain": "a.b.shop.example"}, "not of the domain"), ({"chain": certificate(KEY, "*.shop.example")}, "names no domain of its own"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "what"), WRONG)
def test_what_cannot_sign_is_told_at_the_start(tmp_path, monkeypatch, given, what):
    (tmp_path / "kundig.toml").write_text("", encoding="utf-8")
    workspace = written(tmp_path, monkeypatch, **given)
    with pytest.raises(ConfigError, match=what) as told:
        make_app(workspace)
    assert told.value.mend and "kundig.toml, privacy" in str(told.value) and "BEGIN" not in str(told.value)


def test_the_domain_may_be_one_that_a_pattern_of_the_certificate_covers(tmp_path, monkeypatch):
    (tmp_path / "kundig.toml").write_text("", encoding="utf-8")
    assert signer(written(tmp_path, monkeypatch, domain="Other.shop.example").config).domain == "other.shop.example"


def test_half_of_the_settings_a_missing_file_and_a_missing_library_are_named(tmp_path, monkeypatch):
    (tmp_path / "kundig.toml").write_text('[privacy]\ncertificate = "opendsr.pem"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="private_key and certificate belong together"):
        kd.open(tmp_path)
    (tmp_path / "kundig.toml").write_text("", encoding="utf-8")
    workspace = written(tmp_path, monkeypatch)
    (tmp_path / "opendsr.pem").unlink()
    with pytest.raises(ConfigError, match=r"'opendsr\.pem' cannot be read"):
        signer(workspace.config)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingExtra, match=r"kundig\[webhooks\]"):
        signer(workspace.config)
