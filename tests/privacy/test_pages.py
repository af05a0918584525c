"""Pages of what people ask about their data: in both languages, with forms that no other page can send, and what each act does said before."""

from __future__ import annotations

import html
import io
import re
import zipfile

import pytest
from starlette.testclient import TestClient
from tests.privacy.test_erasing import buyer

from kundig.errors import IdentityError
from kundig.privacy import requests
from kundig.server.app import make_app


@pytest.fixture
def client(shop):
    with TestClient(make_app(shop), base_url="http://127.0.0.1:8700") as found:
        yield found


def token(client):
    return re.search(r'name="token" value="([^"]+)"', client.get("/requests").text)[1]


def enter(client, locale="en", **form):
    return client.post(f"/requests?lang={locale}", data={"token": token(client), "by": "person", "checked": "letter"} | form)


def test_access_and_restriction_from_form_to_file(shop, client):
    email, _ = buyer(shop)
    page = enter(client, kind="access", who=email)
    assert page.status_code == 200 and "Access" in page.text and email not in page.text
    at = str(page.url.path)
    assert client.get(f"{at}/file.zip").status_code == 404
    done = client.post(f"{at}/fulfil?lang=de", data={"token": token(client)})
    assert "Daten der Person herunterladen" in done.text and "Bestellungen" in done.text
    file = client.get(f"{at}/file.zip")
    assert email in zipfile.ZipFile(io.BytesIO(file.content)).read("data.json").decode()
    held = enter(client, kind="restriction", who=email).url.path
    assert "lift" in client.post(f"{held}/fulfil", data={"token": token(client)}).text and "lifted" in client.post(f"{held}/lift?lang=en", data={"token": token(client)}).text
    listed = client.get("/requests?format=json").json()
    assert [row[2]["value"] for row in listed["tables"][0]["rows"]] == ["lifted", "finished"] and "token" not in listed


def test_an_erasure_says_what_it_does_and_asks_for_the_word(shop, client):
    email, _ = buyer(shop)
    page = enter(client, locale="de", kind="erasure", who=email)
    orders = shop.rows(f"SELECT count(*) FROM orders o JOIN identities d USING (identifier_key) WHERE d.person_key = {shop.person(email).person_key}")[1][0][0]
    assert f"{orders} Bestellungen behalten" in page.text and "nicht zurücknehmen" in page.text
    at = page.url.path
    refused = client.post(f"{at}/fulfil?lang=de", data={"token": token(client), "word": "ja"})
    assert refused.status_code == 422 and "fehlt das Wort LÖSCHEN" in refused.text and shop.person(email)
    done = client.post(f"{at}/fulfil?lang=de", data={"token": token(client), "word": "löschen"})
    assert done.status_code == 200 and "Was die Suche fand" in done.text
    assert client.get(f"{at}/certificate.pdf?lang=en").content.startswith(b"%PDF")
    with pytest.raises(IdentityError):
        shop.person(email)


def test_forms_from_elsewhere_and_wrong_ones_change_nothing(shop, client):
    email, _ = buyer(shop)
    for given in ("", "guess"):
        assert client.post("/requests", data={"token": given, "kind": "access", "who": email}).status_code == 403
    assert requests(shop) == ()
    wrong = enter(client, kind="access", who="<script>alert(1)</script>")
    assert wrong.status_code == 422 and "<script>" not in wrong.text and "&lt;script&gt;" in wrong.text, "nothing typed is lost"
    assert enter(client, kind="correction", who=email).status_code == 422 and enter(client, kind="forget", who=email).status_code == 422
    at = enter(client, kind="access", who=email).url.path
    for act in ("fulfil", "cancel"):
        assert client.post(f"{at}/{act}", data={"token": "guess"}).status_code == 403
    assert [one.status for one in requests(shop)] == ["pending"]
    assert client.post(f"{at}/explode", data={"token": token(client)}).status_code == 422 and client.get("/requests/nothing").status_code == 404
    assert client.post(f"{at}/cancel", data={"token": token(client)}).status_code == 200 and requests(shop)[0].status == "cancelled"
    assert client.post("/requests", content=b"x" * 30_000).status_code == 413


def test_an_erasure_that_left_something_shows_where_and_is_closed_by_all_identifiers(shop, client, copy):
    email, _ = buyer(shop)
    left = copy / "old.log"
    left.write_text(f"wrote to {email}\n", encoding="utf-8")
    at = enter(client, kind="erasure", who=email).url.path
    done = client.post(f"{at}/fulfil?lang=en", data={"token": token(client), "word": "ERASE"})
    names = html.unescape(re.search(r"<textarea[^>]*>([^<]*)</textarea>", done.text)[1])
    assert done.status_code == 200 and "old.log" in done.text and f"email:{email}" in names.split("\n"), "shown this once"
    again = client.get(f"{at}?lang=de")
    assert email not in again.text and "Noch einmal suchen und schließen" in again.text and 'action="' + at + "/fulfil" in again.text
    fewer = client.post(f"{at}/fulfil?lang=en", data={"token": token(client), "names": f"email:{email}"})
    assert fewer.status_code == 422 and "missing: " in fewer.text and f"email:{email}" in fewer.text, "nothing typed is lost"
    assert client.post(f"{at}/fulfil", data={"token": token(client), "names": names}).status_code == 200 and requests(shop)[0].status == "partial", "the file is still there"
    left.unlink()
    closed = client.post(f"{at}/fulfil?lang=en", data={"token": token(client), "names": names.replace("\n", "\r\n")})
    assert closed.status_code == 200 and requests(shop)[0].status == "finished" and email not in closed.text
