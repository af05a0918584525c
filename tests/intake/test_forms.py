"""Forms, uploaded lists and pixels."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import PurePosixPath
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundig.collect.identifiers import identifier_key
from kundig.collect.inbox_landing import land_inbox
from kundig.collect.intake import Refused, forms
from kundig.collect.intake.answers import GIF
from kundig.collect.land import import_source
from kundig.store.inbox import Inbox

URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}
LEADS = b"Mail,Tag\nanna@example.org,2026-11-03\nbert@example.org,2026-11-03\n"


def multipart(fields=(), files=(), boundary="----x7"):
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields]
    parts += [f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'.encode() + body + b"\r\n" for field, name, body in files]
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def landed_forms(workspace):
    with workspace.writing("land"):
        return land_inbox(workspace.lake, workspace.config, Inbox(workspace.root / "data/inbox.sqlite"), state=workspace.state)


def test_a_plain_form_is_stored_as_its_fields(intake):
    body = urlencode([("writeKey", intake.key), ("email", " anna@example.org "), ("topic", "a"), ("topic", "b"), ("empty", ""), ("name", "Grüß Gott & Co")]).encode()
    told = intake.ask("POST", "/v1/form/newsletter", body, URLENCODED, keyed=False)
    assert told.status == 200
    ((source, kind, meta, stored),) = intake.stored()
    assert (source, kind, meta["form"], meta["path"]) == ("web", "form", "newsletter", "/v1/form/newsletter")
    assert json.loads(stored) == {"email": "anna@example.org", "topic": ["a", "b"], "name": "Grüß Gott & Co"}


def test_a_form_becomes_a_contact_an_event_and_a_consent(intake, workspace):
    for number, form in enumerate(("newsletter", "question")):
        body = urlencode([("email", f"Anna{number}@example.org"), ("first_name", "Anna"), ("anonymousId", f"a{number}"), ("topic", "coats")]).encode()
        assert intake.ask("POST", f"/v1/form/{form}", body, URLENCODED).status == 200
    (row,) = workspace.state.select("consent_log")
    assert (row["status"], row["purpose"], row["channel"], row["wording"]) == ("requested", "newsletter", "email", "2025-01")
    assert {row["identifier_key"], *row["other_keys"]} == {identifier_key("email", "anna0@example.org"), identifier_key("anonymous_id", "a0")}
    landed_forms(workspace)
    read = lambda sql: workspace.lake.duck.execute(sql).fetchall()  # noqa: E731
    assert read(f"SELECT email, first_name, attributes FROM {workspace.lake.scan('contacts')} ORDER BY email") == [(f"anna{n}@example.org", "Anna", '{"topic":"coats"}') for n in range(2)]
    events = read(f"SELECT name, json_extract_string(properties, '$.form'), CAST(properties AS VARCHAR) FROM {workspace.lake.scan('events')} WHERE name = 'form_submitted' ORDER BY 2")
    assert [one[1] for one in events] == ["newsletter", "question"]
    assert "example.org" not in str(events), "what names a person is not kept in events"
    assert read(f"SELECT count(*) FROM {workspace.lake.scan('quarantined_records')}") == [(0,)]
    assert read(f"SELECT status FROM {workspace.lake.scan('consent_records')}") == [("requested",)]


def test_a_form_sends_its_browser_back_to_its_own_site_alone(intake):
    for page, status in (("https://shop.example.org/thanks?a=1", 303), ("https://evil.example/", 200), ("https://shop.example.org.evil.example/", 200), ("//evil.example", 200), ("https://shop.example.org/a\r\nSet-Cookie: x", 200)):
        body = urlencode([("email", "anna@example.org"), ("_next", page)]).encode()
        told = intake.ask("POST", "/v1/form/newsletter", body, URLENCODED | {"Origin": "https://shop.example.org"})
        assert told.status == status, page
        assert told.headers.get("location") == (page if status == 303 else None)
    assert "_next" not in intake.stored()[0][3].decode()


def test_an_uploaded_list_is_a_delivery_of_the_source(intake, workspace):
    body, headers = multipart([("fair", "2026")], [("list", "C:\\fakepath\\Messe Köln.CSV", LEADS), ("nothing", "", b"")])
    told = intake.ask("POST", "/v1/form/leads", body, headers)
    assert told.status == 200
    (path,) = json.loads(told.body)["files"]
    assert path.startswith("exports/fair/Messe_Köln-") and path.endswith(".csv")
    assert (workspace.root / path).read_bytes() == LEADS
    assert intake.ask("POST", "/v1/form/leads", body, headers).status == 200
    assert len(list((workspace.root / "exports/fair").iterdir())) == 1, "the same list twice is one delivery"
    _, _, meta, fields = intake.stored()[0]
    assert (meta["files"], json.loads(fields)) == ([path], {"fair": "2026"})
    landed_forms(workspace)
    emails = lambda: [row[0] for row in workspace.lake.duck.execute(f"SELECT email FROM {workspace.lake.scan('contacts')} ORDER BY 1").fetchall()]  # noqa: E731
    assert emails() == ["anna@example.org", "bert@example.org"]
    assert import_source(workspace.lake, workspace.config, "web", state=workspace.state).rows == {}, "landed with the form, once"
    body, headers = multipart([("email", "carla@example.org")], [("list", "broken.csv", b"Name,Ort\nx,y\n")])
    assert intake.ask("POST", "/v1/form/leads", body, headers).status == 200
    landed_forms(workspace)
    assert emails() == ["anna@example.org", "bert@example.org", "carla@example.org"]
    (held,) = workspace.lake.duck.execute(f"SELECT what, body FROM {workspace.lake.scan('quarantined_records')}").fetchall()
    assert "Mail" in held[0] and "broken-" in held[1], "a list that cannot be taken is held, and holds nothing else up"


def workbook(size=10):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("xl/workbook.xml", b" " * size)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [("list.exe", b"x", "file_kind"), ("list", b"x", "file_kind"), ("list.csv", b"", "file_kind"), ("list.xlsx", b"no zip", "file_kind"), ("list.xlsx", workbook(150_000_000), "bomb"), ("../../kundig.toml", b"x", "file_kind")],
)
def test_files_that_are_no_delivery_are_refused(intake, workspace, name, content, code):
    body, headers = multipart(files=[("list", name, content)])
    assert intake.ask("POST", "/v1/form/leads", body, headers).code == code
    assert intake.stored() == [] and not (workspace.root / "exports").exists()


def test_names_stay_in_their_folder(workspace):
    given = workspace.config.sources["web"]
    for name in ("../../x.csv", "..\\..\\x.csv", "/etc/x.csv", ".x.csv", "a/b/x.csv", "x\0y.csv"):
        place = forms.place_of(forms.Upload(field="f", name=name, body=b"x"), "web", given)
        assert place.parent == PurePosixPath("exports/fair") and not place.name.startswith("."), name
    with pytest.raises(Refused, match="other takes no files"):
        forms.place_of(forms.Upload(field="f", name="x.csv", body=b"x"), "other", None)


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"", URLENCODED, "no_form"), (b"email=", URLENCODED, "no_form"), (b"\xff=1", URLENCODED, "json_utf8"), (b"&".join(b"a=1" for _ in range(300)), URLENCODED, "form"),
        (b"x", {"Content-Type": "multipart/form-data"}, "form"), (b"x", {"Content-Type": "multipart/form-data; boundary=y"}, "form"), (multipart([("a", "1")])[0][:-8], multipart()[1], "form"),
    ],
)  # fmt: skip
def test_forms_that_cannot_be_read_are_refused(intake, body, headers, code):
    told = intake.ask("POST", "/v1/form/newsletter", body, headers)
    assert (told.status, told.code) == (400, code)
    assert intake.stored() == []


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8", exclude_characters='"\\\r\n'), min_size=1, max_size=8), st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=20)), max_size=8), st.lists(st.binary(max_size=80), max_size=3))
def test_multipart_gives_back_what_was_put_in(fields, contents):
    body, headers = multipart(fields, [("f", f"{n}.csv", content) for n, content in enumerate(contents)], boundary="q" * 30)
    read = forms.read_form(body, headers["Content-Type"])
    assert read.fields == tuple((name, value.strip()) for name, value in fields if value.strip())
    assert [upload.body for upload in read.files] == contents


@given(st.binary(max_size=200), st.sampled_from(["application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "text/plain"]))
def test_any_bytes_are_a_form_or_refused(body, kind):
    refused = None
    try:
        forms.read_form(body, kind).record()
    except Refused as error:
        refused = error.refusal
    assert refused is None or refused.status == 400


def test_pixels(intake):
    data = base64.b64encode(json.dumps({"writeKey": intake.key, "userId": "7", "event": "Opened", "properties": {"mail": "may"}}).encode()).decode()
    for path in (f"/v1/pixel/track?{urlencode({'data': data})}", f"/v1/pixel/track?data={data.rstrip('=')}", f"/pixel/v1/page?{urlencode({'writeKey': intake.key, 'anonymousId': 'a', 'name': 'Home', 'path': '/'})}"):
        told = intake.ask("GET", path, keyed=False)
        assert (told.status, told.body, told.headers["content-type"]) == (200, GIF, "image/gif")
    one, two, three = ({**json.loads(body), "messageId": "m"} for *_, body in intake.stored())
    assert one == two == {"type": "track", "messageId": "m", "writeKey": intake.key, "userId": "7", "event": "Opened", "properties": {"mail": "may"}}
    assert three == {"type": "page", "anonymousId": "a", "name": "Home", "messageId": "m", "properties": {"path": "/"}}
    assert len({json.loads(body)["messageId"] for *_, body in intake.stored()}) == 3
    for path, code in (("/v1/pixel/track", "no_event"), ("/v1/pixel/track?event=A", "no_key"), ("/v1/pixel/track?data=!!", "json"), (f"/v1/pixel/track?data={base64.b64encode(b'[]').decode()}", "no_event"), ("/v1/pixel/track?event=A&writeKey=wk_x", "unknown_key")):
        told = intake.ask("GET", path, keyed=False)
        assert (told.body, told.headers["x-refused"]) == (GIF, code)
        assert 400 <= told.status < 500
    assert len(intake.stored()) == 3
