"""Requests over HTTP: OpenDSR and Segment's regulation calls, with keys, as the description says, done by the worker, reported where the key allows it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import uuid
import zipfile

import jsonschema
import pytest
from starlette.testclient import TestClient
from tests.privacy.test_erasing import buyer

import kundig as kd
from kundig.errors import IdentityError
from kundig.privacy.callers import create, listed, revoke
from kundig.privacy.waiting import fulfil_waiting, report
from kundig.server.app import make_app

BACK = "https://shop.example/dsr"


@pytest.fixture
def shop(copy, monkeypatch):
    monkeypatch.delenv("KUNDIG_SUPPRESSION_KEY", raising=False)
    workspace = kd.open(copy)
    yield workspace
    workspace.state.close()
    workspace.lake.close()


@pytest.fixture
def api(shop):
    key = create(shop.state, "shop.example", callbacks=[BACK])
    with TestClient(make_app(shop), base_url="http://127.0.0.1:8700", headers={"authorization": f"Bearer {key}"}) as client:
        yield client


def asked(email, kind="erasure", form="raw", **changed):
    value = email if form == "raw" else hashlib.new(form, email.encode()).hexdigest()
    identity = {"identity_type": "email", "identity_value": value, "identity_format": form}
    return {"regulation": "gdpr", "subject_request_id": str(uuid.uuid4()), "subject_request_type": kind, "submitted_time": "2026-11-01T10:00:00Z", "subject_identities": [identity], "api_version": "2.0"} | changed


def described(api, answer, path, method):
    """The answer is as the description says."""
    told = api.get("/openapi.json").json()
    schema = told["paths"][path][method]["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
    jsonschema.validate(answer.json(), schema | {"components": told["components"]})


def test_an_erasure_over_opendsr_from_pending_to_completed(shop, api):
    email, _ = buyer(shop)
    body = asked(email, status_callback_urls=[f"{BACK}/status"])
    made = api.post("/opendsr/v2/requests", json=body)
    assert made.status_code == 201, made.text
    assert base64.b64decode(made.json()["encoded_request"]) == made.request.content
    described(api, made, "/opendsr/v2/requests", "post")
    number = body["subject_request_id"]
    assert api.post("/opendsr/requests", json=body).status_code == 201 and len(shop.state.select("privacy_requests")) == 1, "sent again changes nothing"
    stands = api.get(f"/opendsr/v2/requests/{number}")
    described(api, stands, "/opendsr/v2/requests/{number}", "get")
    assert stands.json()["request_status"] == "pending"
    told = []
    assert report(shop, lambda url, content, headers: told.append((url, json.loads(content))) or 500) == 0, "an answer of 500 is tried again"
    assert report(shop, lambda url, content, headers: told.append((url, json.loads(content))) or 200) == 1
    __import__("shutil").rmtree(shop.root / "exports", ignore_errors=True)
    __import__("shutil").rmtree(shop.root / "out", ignore_errors=True)
    assert fulfil_waiting(shop) == 1 and fulfil_waiting(shop) == 0
    assert api.get(f"/opendsr/requests/{number}").json()["request_status"] == "completed"
    assert report(shop, lambda url, content, headers: told.append((url, json.loads(content))) or 204) == 1 and report(shop, lambda *_: 200) == 0
    assert [(url, one["request_status"]) for url, one in told] == [(f"{BACK}/status", "pending"), (f"{BACK}/status", "pending"), (f"{BACK}/status", "completed")]
    with pytest.raises(IdentityError):
        shop.person(email)
    assert email not in json.dumps(shop.state.select("privacy_requests"), default=str)
    assert api.delete(f"/opendsr/requests/{number}").status_code == 400, "what is done cannot be cancelled"


def test_access_over_opendsr_gives_its_file_by_the_hash_of_the_address(shop, api):
    email, _ = buyer(shop)
    body = asked(email, kind="access", form="sha256", status_callback_urls=[f"{BACK}/status"])
    assert api.post("/opendsr/requests", json=body).status_code == 201
    at = f"/opendsr/requests/{body['subject_request_id']}"
    assert api.get(f"{at}/results").status_code == 404
    fulfil_waiting(shop)
    stands = api.get(at).json()
    assert stands["request_status"] == "completed" and stands["results_count"] > 20
    told: list[dict[str, object]] = []
    assert report(shop, lambda url, content, headers: told.append(json.loads(content)) or 204) == 1
    assert [one["results_url"] for one in told] == [stands["results_url"]], "a report of status says where the file is"
    file = api.get(stands["results_url"])
    assert file.headers["content-type"] == "application/zip" and email in zipfile.ZipFile(io.BytesIO(file.content)).read("data.json").decode()


def test_a_pending_request_is_cancelled_and_strangers_see_nothing(shop, api):
    email, _ = buyer(shop)
    body = asked(email)
    api.post("/opendsr/requests", json=body)
    at = f"/opendsr/requests/{body['subject_request_id']}"
    other = create(shop.state, "elsewhere.example")
    for method in ("GET", "DELETE"):
        assert api.request(method, at, headers={"authorization": f"Bearer {other}"}).status_code == 404
    gone = api.delete(at)
    assert gone.status_code == 202
    described(api, gone, "/opendsr/v2/requests/{number}", "delete")
    assert fulfil_waiting(shop) == 0 and shop.person(email) and api.get(at).json()["request_status"] == "cancelled"


def test_other_requests_of_an_erased_person_are_closed(shop, api):
    email, _ = buyer(shop)
    for kind in ("erasure", "access", "erasure"):
        assert api.post("/opendsr/requests", json=asked(email, kind=kind)).status_code == 201
    fulfil_waiting(shop)
    rows = shop.state.select("privacy_requests")
    assert all(row["identifier_key"] is None for row in rows) and "failed" not in {row["status"] for row in rows}
    assert {row["status"] for row in rows if row["kind"] == "erasure"} <= {"finished", "partial"} and all(row["finished_at"] for row in rows)


def test_somebody_unknown_is_kept_out_and_their_address_goes_from_the_request(shop, api):
    body = asked("never.seen@example.org")
    assert api.post("/opendsr/requests", json=body).status_code == 201
    fulfil_waiting(shop)
    (row,) = shop.state.select("privacy_requests")
    assert "never.seen" not in json.dumps(row, default=str) and row["identifier_key"] is None
    assert any(one["reason"] == "erased" for one in shop.state.select("suppressions"))


WRONG = [
    {"subject_request_id": "7"}, {"subject_request_id": str(uuid.uuid1())}, {"regulation": "x"}, {"subject_request_type": "correction"}, {"submitted_time": "yesterday"}, {"submitted_time": "2026-01-01T00:00:00"},
    {"subject_identities": []}, {"subject_identities": [{"identity_type": "email"}]}, {"subject_identities": [{"identity_type": "email", "identity_value": "x", "identity_format": "sha512"}]},
    {"subject_identities": [{"identity_type": "email", "identity_value": "xyz", "identity_format": "sha256"}]}, {"subject_identities": [{"identity_type": "shoe", "identity_value": "44", "identity_format": "raw"}]},
    {"status_callback_urls": ["http://127.0.0.1/x"]}, {"status_callback_urls": ["https://shop.example.evil.org/dsr"]}, {"status_callback_urls": [BACK + "@evil.org/"]}, {"status_callback_urls": ["https://shop.example/other"]},
]  # fmt: skip


def test_what_cannot_be_is_refused_by_name_and_leaves_nothing(shop, api):
    for changed in WRONG:
        refused = api.post("/opendsr/requests", json=asked("kim.private@example.org", **changed))
        assert refused.status_code == 400 and "kim.private" not in refused.text, changed
        described(api, refused, "/opendsr/v2/requests", "post")
    assert shop.state.select("privacy_requests") == []


def test_without_a_key_in_use_nothing_is_answered(shop, api):
    for header in ("", "Bearer pk_wrong", "Basic !!", "Basic " + base64.b64encode(b"pk_wrong:").decode()):
        for method, at in (("POST", "/opendsr/requests"), ("GET", f"/opendsr/requests/{uuid.uuid4()}"), ("POST", "/regulations"), ("GET", "/regulations")):
            answer = api.request(method, at, headers={"authorization": header}, content=b"{}")
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer", (header, at)
    (mine,) = listed(shop.state)
    assert api.get("/regulations").status_code == 200
    revoke(shop.state, mine.id)
    assert api.get("/regulations").status_code == 401
    assert api.get("/opendsr/discovery").json()["supported_subject_request_types"] == ["access", "erasure", "portability"]
    assert api.post("/opendsr/requests", content=b"x" * 2_100_000).status_code == 413


def test_regulations_suppress_delete_and_unsuppress(shop, api):
    email, person = buyer(shop)
    customer = next(value for kind, value, _ in shop.person(email).identifiers if kind not in ("email", "phone", "anonymous_id"))
    made = api.post("/regulations", json={"regulationType": "SUPPRESS_ONLY", "subjectType": "USER_ID", "subjectIds": [customer, "nobody-known", customer]})
    assert made.status_code == 200
    described(api, made, "/regulations", "post")
    at = f"/regulations/{made.json()['data']['regulateId']}"
    assert api.get(at).json()["data"]["regulation"]["overallStatus"] == "INITIALIZED" and len(shop.state.select("privacy_requests")) == 2
    fulfil_waiting(shop)
    stands = api.get(at)
    described(api, stands, "/regulations/{number}", "get")
    assert stands.json()["data"]["regulation"]["overallStatus"] == "FINISHED"
    assert {one["reason"] for one in shop.state.select("suppressions")} == {"suppressed"} and shop.person(email)
    api.post("/regulations", json={"regulationType": "UNSUPPRESS", "subjectType": "USER_ID", "subjectIds": [customer, "nobody-known"]})
    fulfil_waiting(shop)
    assert shop.state.select("suppressions") == []
    waits = api.post("/regulations", json={"regulationType": "DELETE_ONLY", "subjectType": "USER_ID", "subjectIds": [customer]}).json()["data"]["regulateId"]
    assert api.delete(f"/regulations/{waits}").json() == {"data": {"status": "SUCCESS"}} and fulfil_waiting(shop) == 0
    api.post("/regulations", json={"regulationType": "DELETE_ONLY", "subjectType": "USER_ID", "subjectIds": [customer]})
    fulfil_waiting(shop)
    with pytest.raises(IdentityError):
        shop.person(person)
    assert shop.state.select("suppressions") == [], "deleted, and not kept out"
    every = api.get("/regulations")
    described(api, every, "/regulations", "get")
    assert [one["regulationType"] for one in every.json()["data"]["regulations"]] == ["DELETE_ONLY", "DELETE_ONLY", "UNSUPPRESS", "SUPPRESS_ONLY"]
    assert len(api.get("/regulations?status=INVALID").json()["data"]["regulations"]) == 1
    for wrong in ({"regulationType": "FORGET"}, {"subjectType": "OBJECT_ID"}, {"subjectIds": []}, {"subjectIds": ["x"] * 5_001}, {"subjectIds": [7]}):
        refused = api.post("/regulations", json={"regulationType": "SUPPRESS_ONLY", "subjectType": "USER_ID", "subjectIds": ["a"]} | wrong)
        assert refused.status_code == 422
        described(api, refused, "/regulations", "post")


def test_keys_on_the_command_line(kundig, copy):
    made = json.loads(kundig("privacy", "grant", "shop.example", "--callback", BACK, "--workspace", copy, "--json").out)
    (one,) = json.loads(kundig("privacy", "grants", "--workspace", copy, "--json").out)
    assert one["label"] == "shop.example" and made["key"] not in json.dumps(one) and one["callbacks"] == [BACK]
    assert kundig("privacy", "revoke", one["id"], "--workspace", copy).code == 0 and kundig("privacy", "revoke", one["id"], "--workspace", copy).code != 0
    assert kundig("privacy", "grant", "x", "--callback", "http://plain.example", "--workspace", copy).code != 0
