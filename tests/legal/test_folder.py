"""The folder of proofs: each figure equals a count of the tables, made here another way; each has its positive control; the PDF says the same."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter

import pypdfium2
import pytest

import kundig as kd
from kundig import consent
from kundig.config.law import ChannelRule, Purpose, Purposes
from kundig.consent import ConsentRecord
from kundig.errors import KundigError
from kundig.legal import folder
from kundig.legal.objections import in_force
from kundig.legal.pdf import pdf
from kundig.legal.sheets import quarter, quarter_of
from kundig.report import words
from kundig.testing import default_workspace

AT = dt.datetime(2026, 11, 20, 9, tzinfo=dt.UTC)


@pytest.fixture(name="shop", scope="module")
def _shop(root):
    workspace = kd.open(root)
    yield workspace
    workspace.state.close()
    workspace.lake.close()


@pytest.fixture(name="changed")
def _changed(copy):
    workspace = kd.open(copy)
    yield workspace
    workspace.state.close()
    workspace.lake.close()


@pytest.fixture(name="made", scope="module")
def _made(shop):
    return folder(shop, at=AT, which="2026-Q4")


def log(workspace):
    return workspace.state.rows("consent_log").to_pylist()


def test_every_table_about_people_is_in_the_record_and_counted(shop, made):
    personal = {name for name, table in shop.tables.items() if any(column.personal != "none" for column in table.columns)}
    rows = made.sheets["activities"].records()
    assert sorted(name for row in rows for name in row["tables"]) == sorted(personal)
    for row in rows:
        assert row["rows"] == sum(shop.rows(f"SELECT count(*) FROM {name}")[1][0][0] for name in row["tables"])
    assert {(row["table"], row["column"]) for row in made.sheets["data_map"].records()} == {(t.name, c.name) for t in shop.tables.values() for c in t.columns if c.personal != "none"}


def test_retention_tells_the_oldest_row_and_those_too_old(shop, made):
    rows = {row["table"]: row for row in made.sheets["retention"].records()}
    for name in ("events", "orders", "consent_log", "messages"):
        count, oldest = shop.rows(f"SELECT count(*), min({rows[name]['by']}) FROM {name}")[1][0]
        assert (rows[name]["rows"], rows[name]["oldest"]) == (count, oldest) and count > 0
        assert rows[name]["declared_days"] == shop.tables[name].retention_days and rows[name]["overdue"] == 0
    later = folder(shop, at=AT + dt.timedelta(days=shop.tables["events"].retention_days), which="2026-Q4").sheets["retention"].records()
    moments = [row[0] for row in shop.rows("SELECT occurred_at FROM events")[1]]
    assert next(row["overdue"] for row in later if row["table"] == "events") == sum(one < AT for one in moments) > 0, "rows that are too old must show"


def test_sources_are_counted_over_all_tables(shop, made):
    rows = {row["source"]: row for row in made.sheets["sources"].records()}
    assert set(shop.config.sources) <= set(rows)
    assert rows["support"]["records"] >= shop.rows("SELECT count(*) FROM tickets WHERE source = 'support'")[1][0][0] > 0
    assert rows["support"]["owner"] == shop.config.sources["support"].owner


def test_each_record_of_the_log_rests_on_one_wording(changed):
    text = changed.config.purposes.purposes["newsletter"]
    digest = text.wording_hash("2025-01", "de")
    assert digest == hashlib.sha256(text.wordings["2025-01"]["de"].encode()).hexdigest()
    said = {"source": "web", "occurred_at": AT, "received_at": AT, "identifier_key": 5, "other_keys": [], "purpose": "newsletter", "channel": "push", "status": "given", "wording": "2025-01"}
    consent.append(changed.state, [said | {"record_id": f"n{n}", "wording_hash": one} for n, one in enumerate((digest, digest, "f" * 64, None))] + [said | {"record_id": "none", "wording": None, "purpose": "web"}])
    made = folder(changed, at=AT)
    rows = {(row["purpose"], row["version"], row["sha256"]): row for row in made.sheets["wordings"].records()}
    assert rows["newsletter", "2025-01", digest]["records"] == 2 and rows["newsletter", "2025-01", digest]["state"] == "declared"
    assert rows["newsletter", "2025-01", "f" * 64]["state"] == "changed" and rows["web", "", ""]["state"] == "no_wording"
    counted = Counter((row["purpose"], row["wording"] or "", row["wording_hash"] or "") for row in log(changed))
    assert {place: row["records"] for place, row in rows.items() if row["records"]} == dict(counted)
    assert sum(made.sheets["wordings"].column("records")) == len(log(changed))


def test_odd_records_are_named_and_stop_nothing(changed):
    assert folder(changed, at=AT).sheets["faults"].rows == ()
    said = {"source": "web", "occurred_at": AT, "received_at": AT, "identifier_key": 5, "other_keys": [], "purpose": "newsletter", "channel": "push", "status": "given"}
    odd = {
        "ends_before_start": said | {"until": AT - dt.timedelta(days=1)}, "said_after_receipt": said | {"occurred_at": AT + dt.timedelta(days=2)}, "unknown_status": said | {"status": "perhaps"},
        "undeclared_purpose": said | {"purpose": "newsleter"}, "": said | {"until": AT + dt.timedelta(days=9)},
    }  # fmt: skip
    consent.append(changed.state, [row | {"record_id": f"odd {name}"} for name, row in odd.items()])
    assert sorted(changed_row["fault"] for changed_row in folder(changed, at=AT).sheets["faults"].records()) == sorted(name for name in odd if name)
    pdf(folder(changed, at=AT), words(changed, "de"), name="x")


def test_recipients_say_when_data_last_went_there(shop, made):
    rows = {row["processor"]: row for row in made.sheets["processors"].records()}
    sent = [row for row in shop.state.select("messages") if row["status"] == "sent" and row["channel"] == "email"]
    assert (rows["email"]["last_sent"], rows["email"]["records"]) == (max(row["sent_at"] for row in sent), len(sent))
    assert rows["sms"]["last_sent"] is None and rows["sms"]["records"] == 0


def test_a_destination_and_one_entered_by_hand_are_recipients(changed):
    (changed.root / "destinations").mkdir(exist_ok=True)
    (changed.root / "destinations" / "lake.yaml").write_text("meaning: Files for the partner\nowner: crm\nno_consent_needed: contract\nfiles: {}\n", encoding="utf-8")
    workspace = kd.open(changed.root)
    workspace.state.insert("forwarded", [{"destination": "lake", "event_id": str(day), "sent_at": AT - dt.timedelta(days=day)} for day in (2, 1)])
    workspace.state.insert("processors", [{"processor": "Lettershop", "purpose": "post", "country": "DE", "contract": "DPA 3", "last_sent_at": AT}])
    rows = {row["processor"]: row for row in folder(workspace, at=AT).sheets["processors"].records()}
    assert (rows["lake"]["last_sent"], rows["lake"]["records"]) == (AT - dt.timedelta(days=1), 2) and rows["Lettershop"]["last_sent"] == AT
    workspace.state.close()
    workspace.lake.close()


def test_objections_of_the_quarter_are_those_of_the_log(shop, made):
    rows = made.sheets["objections"].records()
    inside = [row for row in log(shop) if row["status"] in ("objected", "withdrawn") and made.quarter.start <= row["received_at"] < made.quarter.end]
    assert [row["seq"] for row in rows] == [row["seq"] for row in inside] and len(rows) > 5
    assert {row["seconds_from_receipt"] for row in rows} == {0.0} and not any(row["sent_after"] for row in rows)
    owners = dict(shop.rows("SELECT d.identifier_key, p.person_id FROM identities d JOIN profiles p USING (person_key) WHERE d.valid_until IS NULL AND NOT d.shared")[1])
    assert {row["seq"]: row["person_id"] for row in rows} == {row["seq"]: owners.get(row["identifier_key"], "") for row in inside}
    assert folder(shop, at=AT, which="2024-Q1").sheets["objections"].rows == ()


def test_a_message_sent_after_an_objection_is_found(changed):
    sent = next(row for row in changed.state.select("messages") if row["status"] == "sent" and row["channel"] == "email")
    key = changed.rows(f"SELECT identifier_key FROM identities WHERE person_key = {sent['person_key']} AND valid_until IS NULL AND NOT shared ORDER BY 1 LIMIT 1")[1][0][0]
    said = {"source": "phone", "identifier_key": key, "other_keys": [], "purpose": sent["purpose"], "channel": "*", "status": "objected"}
    before, after = sent["sent_at"] - dt.timedelta(hours=1), sent["sent_at"] + dt.timedelta(hours=1)
    consent.append(changed.state, [said | {"record_id": "late", "occurred_at": before, "received_at": after}])
    row = folder(changed, at=AT, which="2026-Q4").sheets["objections"].records()[-1]
    assert (row["sent_after"], row["in_force_at"], row["seconds_from_saying"]) == (0, after, 7_200.0), "nobody could know of it when the message left"
    consent.append(changed.state, [said | {"record_id": "planted", "occurred_at": before, "received_at": before}])
    row = folder(changed, at=AT, which="2026-Q4").sheets["objections"].records()[-1]
    assert (row["sent_after"], row["last_sent_after"]) == (1, sent["sent_at"]), "a planted breach must be found"


def test_what_does_not_take_effect_is_said():
    """A clock that runs behind: the consent before it was received later, and stands open until the log hears of the withdrawal's own moment."""
    law = Purposes(purposes={"news": Purpose(channels={"email": ChannelRule(bases=("consent",))})})

    def at(hour):
        return dt.datetime(2026, 3, 1, hour, tzinfo=dt.UTC)

    def said(name, status, occurred, received):
        return ConsentRecord(record_id=name, purpose="news", channel="email", status=status, occurred_at=at(occurred), received_at=at(received))

    no, yes = said("no", "withdrawn", 5, 6), said("yes", "given", 1, 2)
    assert in_force(no, [yes, no], [("news", "email")], law) == (at(6), [])
    outlived = said("later", "given", 7, 6)
    assert in_force(no, [yes, no, outlived], [("news", "email")], law)[0] == at(6)
    unheard = ConsentRecord(record_id="x", purpose="news", channel="email", status="withdrawn", occurred_at=at(5), received_at=at(6))
    assert in_force(unheard, [yes], [("news", "email")], law) == (None, [("news", "email")]), "a record that the fold does not see is never in force"


@pytest.mark.parametrize("locale", ("de", "en"))
def test_the_pdf_says_the_same_and_is_the_same_again(shop, locale):
    made = folder(shop, at=AT, which="2026-Q4", locale=locale)
    content = pdf(made, words(shop, locale), name="Schöner Laden & Söhne")
    if locale == "en":
        assert content == pdf(made, words(shop, locale), name="Schöner Laden & Söhne")
    document = pypdfium2.PdfDocument(content)
    text = " ".join(page.get_textpage().get_text_bounded() for page in document).replace("\r\n", " ").replace("\n", " ")
    expected = ("Widersprüche", "erklärt", "Schöner Laden & Söhne", "Verzeichnis von Verarbeitungstätigkeiten") if locale == "de" else ("Record of processing activities", "objections", "Retention")
    for one in expected:
        assert one.lower() in text.lower()
    w = words(shop, locale)
    assert w.number(len(log(shop))) in text and w.number(len(made.sheets["objections"].rows)) in text
    assert all(digest in text.replace(" ", "") for digest in made.sheets["evidence"].column("sha256"))
    document.close()


def test_without_a_release_it_says_what_to_do(tmp_path):
    empty = kd.open(default_workspace(tmp_path / "empty"))
    with pytest.raises(KundigError, match="no release"):
        folder(empty, at=AT)


def test_quarters_end_where_the_next_begins():
    assert quarter("2026Q4", "Europe/Berlin").end == quarter("2027-Q1", "Europe/Berlin").start
    assert quarter_of(dt.datetime(2026, 9, 30, 22, 30, tzinfo=dt.UTC), "Europe/Berlin").name == "2026-Q4"
