"""An erased person is found in no store any more, though the same search found them before; revenue stands, and a cut-off erasure is finished."""

from __future__ import annotations

import gzip
import hashlib
import json
import os

import pypdfium2
import pytest

from kundig.errors import IdentityError
from kundig.privacy import erase, resume, search
from kundig.store.inbox import Inbox

REVENUE = "SELECT count(*), sum(gross), sum(net) FROM orders"
BY_DAY = "SELECT local_day, channel, sum(gross) FROM orders GROUP BY ALL ORDER BY ALL"


class Stop(Exception):
    """Where a test cuts an erasure off."""


def buyer(workspace):
    sql = """SELECT min(i.value) FILTER (i.namespace = 'email'), any_value(p.person_id) FROM identifiers i JOIN identities d USING (identifier_key) JOIN profiles p ON p.person_key = d.person_key
        WHERE d.valid_until IS NULL AND d.person_key IN (SELECT d.person_key FROM orders o JOIN identities d USING (identifier_key))
        AND d.person_key IN (SELECT person_key FROM consents) GROUP BY d.person_key HAVING count(*) > 2 AND count(*) FILTER (i.namespace = 'email') > 0 ORDER BY d.person_key LIMIT 1"""
    return workspace.rows(sql)[1][0]


def plant(workspace, email):
    """A call that waits in the inbox beside one of somebody else, and a compressed log."""
    inbox = Inbox(workspace.config.path(workspace.config.settings.store.inbox), writing=True)
    calls = [{"messageId": name, "type": "identify", "anonymousId": name, "traits": {"email": address}} for name, address in (("x1", email), ("x2", "else@example.org"))]
    inbox.append(json.dumps({"batch": calls}).encode(), source="web", kind="call")
    inbox.close()


def test_the_search_finds_the_person_before_and_nobody_after(shop):
    email, person = buyer(shop)
    plant(shop, email)
    before, by_day = shop.rows(REVENUE)[1], shop.rows(BY_DAY)[1]
    consents = len(shop.state.select("consent_log"))
    found = search(shop, [email]).counts
    assert found["tables"] and found["inbox"], found
    done = erase(shop, email)
    assert done.complete, done.places
    stores = {one.store: one for one in done.stores}
    assert stores["tables"].found_before >= found["tables"] and stores["inbox"].found_before and stores["tables"].changed and stores["inbox"].changed == 1
    assert all(one.found_after == 0 for one in done.stores)
    assert shop.rows(REVENUE)[1] == before and shop.rows(BY_DAY)[1] == by_day, "past revenue does not move"
    assert len(shop.state.select("consent_log")) == consents
    with pytest.raises(IdentityError):
        shop.person(email)
    with pytest.raises(IdentityError):
        shop.person(person)
    assert [row["status"] for row in shop.state.select("privacy_requests")] == ["finished"]
    shop.run()
    assert shop.rows(REVENUE)[1] == before
    with pytest.raises(IdentityError):
        shop.person(email)


@pytest.mark.parametrize("step", ["requested", "inbox", "live", "tables", "state"] if os.environ.get("KUNDIG_FULL") else ["tables"])
def test_an_erasure_that_was_cut_off_is_finished(shop, step):
    email, _ = buyer(shop)
    plant(shop, email)
    before = shop.rows(REVENUE)[1]

    def cut(name):
        if name == step:
            raise Stop

    with pytest.raises(Stop):
        erase(shop, email, told=cut)
    (done,) = resume(shop)
    assert done.complete, done.places
    assert shop.rows(REVENUE)[1] == before and resume(shop) == ()


def test_what_kundig_cannot_rewrite_is_named_and_the_request_stays_open(shop, kundig, copy, tmp_path):
    email, _ = buyer(shop)
    (copy / "audience.csv").write_text(f"hash\n{hashlib.sha256(email.encode()).hexdigest()}\n", encoding="utf-8")
    (copy / "old.log.gz").write_bytes(gzip.compress(f"wrote to {email.upper()}\n".encode()))
    done = kundig("privacy", "erase", email, "--workspace", copy)
    assert done.code == 1 and "still found in old.log.gz" in done.out and "still found in audience.csv" in done.out
    listed = kundig("privacy", "list", "--workspace", copy, "--json")
    assert listed.code == 0 and [row["status"] for row in json.loads(listed.out)] == ["partial"]
    number = json.loads(listed.out)[0]["request_id"]
    for locale, words in (("de", ("Bescheinigung der Löschung", "noch gefunden (Dateien: 2)", "Tabellen", "spaltenweise")), ("en", ("Certificate of erasure", "still found them (files: 2)", "Tables", "column by column"))):
        told = kundig("privacy", "certificate", number, "--language", locale, "--workspace", copy)
        assert told.code == 0 and all(word in " ".join(told.out.split()) for word in words) and email not in told.out.lower(), told.out
        assert kundig("privacy", "certificate", number, "--language", locale, "--out", tmp_path / f"{locale}.pdf", "--workspace", copy).code == 0
        pages = " ".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument((tmp_path / f"{locale}.pdf").read_bytes()))
        assert all(word in " ".join(pages.split()) for word in words[:3]) and email not in pages.lower()
    waits = json.loads(kundig("privacy", "request", "access", "else@example.org", "--workspace", copy, "--json").out)["request_id"]
    assert kundig("privacy", "certificate", waits, "--workspace", copy).code != 0
