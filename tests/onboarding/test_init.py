"""`init` on folders of exports it has never seen: columns right, asked or wrong are counted, and wrong is none; dirty files among them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from kundig.errors import ConfigError
from kundig.onboarding import propose, write
from kundig.onboarding.look import files, look
from kundig.onboarding.roles import Reading, read
from kundig.simulate import simulate

EXPORTS = Path(__file__).parent.parent / "data" / "exports"
RETAIL = Path(__file__).parent.parent.parent / "examples" / "online_retail" / "exports" / "online_retail_II.parquet"

Expected = dict[str, tuple[str, dict[str, str]]]

SHOPIFY: Expected = {
    "shopify_order_data.csv": (
        "orders",
        {"order_id": "order_number", "occurred_at": "created_at", "gross": "total_price", "tax": "total_tax", "discount": "total_discounts", "_currency": "currency", "_customer": "customer_id", "_status": "financial_status"},
    ),
    "shopify_order_line_data.csv": ("order_lines", {"order_id": "order_id", "product_id": "sku", "quantity": "quantity", "unit_price": "price", "discount": "total_discount", "_line": "index", "_name": "title"}),
}
MAILCHIMP: Expected = {
    "member.csv": ("contacts", {"email": "email_address", "first_name": "merge_fname", "last_name": "merge_lname", "country": "country_code", "language": "language", "occurred_at": "timestamp_signup", "_key": "id"}),
    "campaign_recipient_activity.csv": ("campaign_messages", {"outcome": "action", "campaign": "campaign_id", "occurred_at": "timestamp", "_customer": "member_id"}),
}
SALESFORCE: Expected = {
    "sf_contact_data.csv": (
        "contacts",
        {"email": "email", "first_name": "first_name", "last_name": "last_name", "phone": "phone", "city": "mailing_city", "country": "mailing_country_code", "postcode": "mailing_postal_code", "street": "mailing_street", "occurred_at": "created_date", "_key": "id", "lead_source": "lead_source"},
    ),
    "sf_lead_data.csv": ("contacts", {"email": "email", "first_name": "first_name", "last_name": "last_name", "company": "company", "industry": "industry", "occurred_at": "created_date", "_key": "id"}),
}
WOOCOMMERCE: Expected = {
    "customers.json": ("contacts", {"email": "email", "first_name": "first_name", "last_name": "last_name", "_key": "id", "occurred_at": "date_created"}),
    "products.json": ("products", {"product_id": "id", "name": "name", "price": "price"}),
}
SHOP: Expected = {
    "bestellungen.csv": (
        "orders",
        {"order_id": "Bestellnummer", "occurred_at": "Bestelldatum", "gross": "Summe", "shipping": "Versand", "discount": "Rabatt", "offer_code": "Gutschein", "channel": "Kanal", "acquisition_channel": "Herkunft", "_status": "Status", "_currency": "Währung", "_customer": "Kundennummer", "_email": "E-Mail"},
    ),
    "bestellpositionen.csv": (
        "order_lines",
        {"order_id": "Bestellnummer", "_line": "Position", "product_id": "Artikelnummer", "quantity": "Menge", "unit_price": "Einzelpreis", "_name": "Bezeichnung", "_tax": "Steuersatz", "discount": "Rabatt", "product_cost": "Einkaufspreis", "_currency": "Währung", "_customer": "Kundennummer", "_email": "E-Mail", "occurred_at": "Datum"},
    ),
    "kontakte.csv": (
        "contacts",
        {"salutation": "Anrede", "title": "Titel", "first_name": "Vorname", "last_name": "Nachname", "email": "E-Mail", "phone": "Telefon", "street": "Straße", "postcode": "PLZ", "city": "Ort", "country": "Land", "birth_date": "Geburtsdatum", "_key": "Kontakt-ID", "_customer": "Kundennummer", "occurred_at": "Geändert am"},
    ),
    "artikel.csv": ("products", {"product_id": "Artikelnummer", "name": "Bezeichnung", "category": "Kategorie", "brand": "Marke", "price": "Preis", "cost": "Einkaufspreis"}),
    "tickets.ndjson": ("tickets", {"ticket_id": "id", "occurred_at": "created_at", "topic": "subject", "_status": "status", "solved_at": "solved_at", "channel": "channel", "satisfaction": "satisfaction", "_customer": "customer_id", "_email": "email"}),
    "spend_google_ads.csv": ("ad_spend", {"local_day": "Day", "campaign": "Campaign", "amount": "Cost", "impressions": "Impressions", "clicks": "Clicks", "_currency": "Currency code"}),
    **{f"events-2026-{month:02d}.jsonl": ("events", {}) for month in range(4, 11)},
}


def _judge(folder: Path, expected: Expected) -> tuple[int, int, int, list[str]]:
    """Columns right, asked and wrong of the files of a folder; a column missed without a word counts as asked only where the file itself is told of."""
    right = asked = 0
    wrong: list[str] = []
    for path in files(folder):
        reading = read(look(path))
        if path.name not in expected:
            if reading is not None and path.name not in ("leads_messe.csv", "leads_webformular.csv", "kunden.csv", "kassenbons.csv", "bonpositionen.csv", "outcomes.csv", "spend_meta_ads.csv"):
                wrong.append(f"{path.name} was taken for {reading.table}")
            continue
        table, columns = expected[path.name]
        if reading is None:
            asked += len(columns)
            continue
        if reading.table != table:
            wrong.append(f"{path.name} was taken for {reading.table}")
            continue
        right_here, wrong_here = _columns(reading, columns)
        right += right_here
        wrong += wrong_here
        asked += len(columns) - right_here
    return right, asked, len(wrong), wrong


def _columns(reading: Reading, columns: dict[str, str]) -> tuple[int, list[str]]:
    right, wrong = 0, []
    for role, column in reading.columns.items():
        if role in columns and columns[role] == column:
            right += 1
        elif role in columns or column not in columns.values():
            wrong.append(f"{reading.seen.path.name}: {role} ← {column}")
    return right, wrong


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    simulate(folder, persons=600, days=200, seed=5)
    return folder


def test_columns_are_right_or_asked_never_wrong(shop: Path) -> None:
    folders = {"shopify": (EXPORTS / "shopify", SHOPIFY), "mailchimp": (EXPORTS / "mailchimp", MAILCHIMP), "salesforce": (EXPORTS / "salesforce", SALESFORCE), "woocommerce": (EXPORTS / "woocommerce", WOOCOMMERCE), "stripe": (EXPORTS / "stripe", {}), "hubspot": (EXPORTS / "hubspot", {}), "made-up shop": (shop, SHOP)}
    print("\nfolder         right  asked  wrong")
    totals = [0, 0, 0]
    for name, (folder, expected) in folders.items():
        right, asked, wrong, told = _judge(folder, expected)
        print(f"{name:<14} {right:>5}  {asked:>5}  {wrong:>5}")
        assert wrong == 0, told
        totals = [total + one for total, one in zip(totals, (right, asked, wrong), strict=True)]
    print(f"{'in all':<14} {totals[0]:>5}  {totals[1]:>5}  {totals[2]:>5}")
    assert totals[0] >= 80


@pytest.mark.skipif(not RETAIL.is_file(), reason="the data of Online Retail II are not here")
def test_online_retail_is_read_right() -> None:
    reading = read(look(RETAIL))
    assert reading is not None
    assert reading.table == "order_lines"
    assert reading.columns == {"order_id": "invoice", "product_id": "stock_code", "_name": "description", "quantity": "quantity", "occurred_at": "invoice_date", "unit_price": "price", "_customer": "customer_id", "_country": "country"}


def test_a_planted_false_friend_is_seen(shop: Path) -> None:
    """The positive control: a wrong expectation must count as wrong."""
    planted = SHOP | {"artikel.csv": ("products", SHOP["artikel.csv"][1] | {"price": "Einkaufspreis", "cost": "Preis"})}
    assert _judge(shop, planted)[2] > 0


def _dirty(path: Path, rows: list[list[str]], *, encoding: str, delimiter: str) -> None:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def test_dirty_exports(tmp_path: Path) -> None:
    head = ["Auftragsnr.", "Kd-Nr.", "Rechnungsdatum", "Gesamtbetrag", "Währung", "Größe"]
    rows = [head] + [[f"R{n}", str(1000 + n % 9), f"{1 + n % 28:02d}.{1 + n % 12:02d}.2025", f"{n + 1}.234,{n % 100:02d}", "EUR", "L"] for n in range(60)]
    _dirty(tmp_path / "aufträge.csv", rows, encoding="cp1252", delimiter=";")
    reading = read(look(tmp_path / "aufträge.csv"))
    assert reading is not None
    assert reading.seen.encoding == "cp1252"
    assert reading.columns == {"order_id": "Auftragsnr.", "_customer": "Kd-Nr.", "occurred_at": "Rechnungsdatum", "gross": "Gesamtbetrag", "_currency": "Währung"}
    proposal = propose(tmp_path)
    given = proposal.sources["auftraege"]["inputs"][0]
    assert (given["decimal"], given["dates"], given["delimiter"]) == (",", ["%d.%m.%Y"], ";")
    assert proposal.settings["currency"] == "EUR"


def test_what_cannot_be_known_is_asked(tmp_path: Path) -> None:
    head = ["Order ID", "Customer ID", "Order Date", "Total"]
    _dirty(tmp_path / "orders.csv", [head] + [[f"A{n}", f"K{n % 5}", f"0{1 + n % 9}/0{1 + n % 8}/2025", str(1_000 + n * 37)] for n in range(40)], encoding="utf-8", delimiter=",")
    proposal = propose(tmp_path)
    asked = {question.column: question.asks for question in proposal.questions}
    assert "day and month" in asked["Order Date"]
    assert "cents" in asked["Total"]
    assert not proposal.sources


def test_excel_serials(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["Bestellnummer", "Kundennummer", "Bestelldatum", "Summe"])
    for number in range(30):
        book.active.append([f"B{number}", f"K{number % 7}", 45_292 + number, 19.95 + number])
    book.save(tmp_path / "bestellungen.xlsx")
    proposal = propose(tmp_path)
    given = proposal.sources["bestellungen"]["inputs"][0]
    assert given["dates"] == ["excel"]
    assert given["lands"][0]["columns"]["occurred_at"] == "Bestelldatum"


def test_nothing_is_overwritten(tmp_path: Path, shop: Path) -> None:
    proposal = propose(shop)
    root = tmp_path / "work"
    written = write(proposal, shop, root)
    assert "kundig.toml" in written
    with pytest.raises(ConfigError, match="there are sources already"):
        write(proposal, shop, root)


def test_an_empty_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "kunden.csv").write_text("", encoding="utf-8")
    proposal = propose(tmp_path)
    assert proposal.unread[0][0] == "kunden.csv"
    assert proposal.faults[0].mend
