"""What exports call things, in German and English: per table, the canonical column and the headers it goes by."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

PERSON: Mapping[str, str] = MappingProxyType(
    {
        "salutation": "anrede|salutation|briefanrede",
        "title": "titel|akad titel|akademischer titel|name prefix",
        "first_name": "vorname|first name|firstname|given name|rufname|fname|merge fname|property firstname|kunde vorname",
        "last_name": "nachname|last name|lastname|surname|family name|familienname|name nachname|lname|merge lname|property lastname|kunde nachname",
        "email": "e mail|email|e mail adresse|email adresse|mail|emailadresse|e mailadresse|email address|mailadresse|property email|kunden e mail|customer email|contact email",
        "phone": "telefon|phone|phone number|telefonnummer|tel|mobil|handy|mobile|mobiltelefon|mobile phone|rufnummer|telefon mobil|cell",
        "street": "strasse|street|strasse und hausnummer|address 1|adresse|address line 1|strasse nr|str|mailing street|anschrift",
        "house_number": "hausnummer|hausnr|house number|hnr",
        "postcode": "plz|postleitzahl|zip|zip code|postal code|postcode|zipcode|mailing postal code|address postal code",
        "city": "ort|stadt|city|wohnort|town|mailing city|address city|ortschaft",
        "country": "land|country|country code|laendercode|land code|mailing country code|address country|mailing country",
        "birth_date": "geburtsdatum|geburtstag|birthday|birth date|date of birth|geb datum|geb|dob|birthdate",
        "language": "sprache|language|locale|sprachcode",
        "company": "firma|company|unternehmen|organisation|organization|firmenname|company name|property company",
        "job_title": "position|beruf|job|job title|jobtitle|funktion|stelle|property jobtitle",
        "company_size": "mitarbeiter|mitarbeiterzahl|employees|company size|anzahl mitarbeiter|number of employees",
        "industry": "branche|industry|wirtschaftszweig",
        "family_status": "familienstand|marital status|family status",
        "motivation": "motivation|anlass|interesse",
        "age": "alter|age",
    }
)
"""Columns of a person's record."""

CUSTOMER = "kundennummer|kunden nr|kundennr|kd nr|customer id|customerid|customer number|kunden id|kundenid|kunde|customer no|user id|userid|cust id|customer"
ORDER = "bestellnummer|bestellnr|bestell nr|auftragsnummer|auftragsnr|order id|orderid|order number|order no|rechnungsnummer|rechnungsnr|invoice|invoice no|invoiceno|invoice id|belegnummer|bonnummer|bon nr|bestellung|order"
CARD = "kundenkarte|kundenkartennummer|loyalty card|loyalty number|bonuskarte"
PRODUCT = "artikelnummer|artikelnr|artikel nr|art nr|sku|product id|productid|stockcode|stock code|item id|produktnummer|article number|product sku"

TABLES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "orders": {
            "order_id": ORDER,
            "occurred_at": "bestelldatum|datum|auftragsdatum|order date|ordered at|created at|rechnungsdatum|invoicedate|invoice date|kaufdatum|zeitpunkt|date|bestellt am|processed at|bestellzeit|order time|purchase date",
            "gross": "summe|gesamtsumme|gesamtbetrag|total|total price|bruttobetrag|brutto|betrag|endbetrag|order total|amount|rechnungsbetrag|grand total|umsatz|summe brutto",
            "net": "netto|nettobetrag|net amount|summe netto|net total|warenwert netto",
            "tax": "steuer|mwst|ust|tax|total tax|mehrwertsteuer|umsatzsteuer",
            "shipping": "versand|versandkosten|shipping|shipping cost|porto|fracht|lieferkosten",
            "discount": "rabatt|discount|total discounts|nachlass|preisnachlass",
            "offer_code": "gutschein|gutscheincode|voucher|coupon|coupon code|discount code|rabattcode",
            "channel": "kanal|vertriebskanal|channel|sales channel|verkaufskanal",
            "acquisition_channel": "herkunft|source channel|marketingkanal|utm source|traffic source|akquisekanal",
            "_status": "status|bestellstatus|auftragsstatus|order status|zahlstatus|financial status",
            "_currency": "waehrung|currency|currency code|waehrungscode",
            "_customer": CUSTOMER, "_email": PERSON["email"], "_phone": PERSON["phone"], "_card": CARD,
        },
        "order_lines": {
            "order_id": ORDER,
            "_line": "position|pos|positionsnummer|line|line number|zeile|index|pos nr",
            "occurred_at": "bestelldatum|datum|order date|invoicedate|invoice date|created at|zeitpunkt|date|rechnungsdatum|kaufdatum",
            "product_id": PRODUCT,
            "quantity": "menge|anzahl|quantity|stueck|stueckzahl|qty|units",
            "unit_price": "einzelpreis|stueckpreis|preis|unit price|unitprice|price|item price|ep|preis pro stueck",
            "_name": "bezeichnung|artikelbezeichnung|description|product name|artikel|produkt|title|name|lineitem name|artikelname",
            "_tax": "steuersatz|mwst satz|tax rate|vat rate|ust satz",
            "discount": "rabatt|discount|total discount|nachlass",
            "product_cost": "einkaufspreis|ek|ek preis|cost|unit cost|wareneinsatz|purchase price",
            "_currency": "waehrung|currency|currency code", "_card": CARD,
            "_customer": CUSTOMER, "_email": PERSON["email"], "_country": "land|country|lieferland",
        },
        "contacts": {
            **PERSON,
            "_key": "kontakt id|kontaktid|contact id|id|kundennummer|kunden nr|kundennr|customer id|lead id|leadid|member id|record id|datensatz id|kunden id|nr|nummer",
            "_customer": CUSTOMER,
            "occurred_at": "geaendert am|angelegt am|created at|registriert am|created|created date|createdate|property createdate|erstellt am|updated at|anlagedatum|datum|registered at|kunde seit|timestamp signup|signup date|last changed",
            "lead_source": "leadquelle|lead source|messe|formular|quelle|source",
            "acquisition_channel": "herkunft|akquisekanal|utm source|marketingkanal",
            "_hobbies": "hobbys|hobbies|interessen|freizeit",
            "decision_power": "entscheidung|entscheider|decision power|rolle im einkauf",
        },
        "products": {
            "product_id": PRODUCT + "|id",
            "name": "bezeichnung|artikelbezeichnung|name|product name|produktname|title|artikelname|produkt|artikel",
            "category": "kategorie|warengruppe|category|product type|produktgruppe|artikelgruppe|rubrik",
            "brand": "marke|brand|vendor|hersteller",
            "price": "preis|vk|verkaufspreis|price|listenpreis|uvp|vk preis|bruttopreis",
            "cost": "einkaufspreis|ek|ek preis|cost|einstandspreis|purchase price",
        },
        "tickets": {
            "ticket_id": "ticket id|ticketnummer|ticket nr|vorgangsnummer|case id|id|ticket|fallnummer",
            "occurred_at": "created at|erstellt am|angelegt am|datum|eingang|opened at|erstellt",
            "topic": "subject|betreff|thema|topic|anliegen|kategorie",
            "_status": "status|zustand|ticket status",
            "channel": "kanal|channel|eingangskanal|via",
            "solved_at": "solved at|geloest am|geschlossen am|closed at|erledigt am|resolved at",
            "satisfaction": "zufriedenheit|satisfaction|bewertung|satisfaction rating|csat",
            "_customer": CUSTOMER, "_email": PERSON["email"] + "|requester email|absender",
        },
        "campaign_messages": {
            "message_id": "message id|nachrichten id|messageid|sendung|mailing id",
            "occurred_at": "at|timestamp|zeitpunkt|datum|sent at|gesendet am|event time|date|versendet am",
            "outcome": "outcome|action|event|ereignis|ergebnis|aktion|status",
            "campaign": "kampagne|campaign|campaign name|campaign id|mailing|newsletter",
            "channel": "kanal|channel|medium",
            "variant": "variante|variant|version",
            "_customer": CUSTOMER + "|member id", "_email": PERSON["email"],
        },
        "ad_spend": {
            "local_day": "day|datum|tag|date|date start|date day|berichtstag",
            "campaign": "campaign|kampagne|campaign name|kampagnenname",
            "amount": "cost|kosten|spend|ausgaben|amount spent|werbekosten|betrag",
            "impressions": "impressions|impressionen|sichtkontakte|einblendungen",
            "clicks": "clicks|klicks",
            "_currency": "currency|currency code|waehrung|account currency",
        },
    }
)  # fmt: skip
"""Canonical columns per table; a leading underscore marks what is used otherwise than as a column."""

NEEDS: Mapping[str, tuple[tuple[str, ...], ...]] = MappingProxyType(
    {
        "orders": (("order_id",), ("occurred_at",), ("gross", "net")),
        "order_lines": (("order_id",), ("product_id", "_name"), ("quantity",), ("unit_price",)),
        "contacts": (("email", "last_name", "phone", "_customer"), ("first_name", "last_name", "email", "phone"), ("_key",)),
        "products": (("product_id",), ("name",), ("price", "category", "cost")),
        "tickets": (("ticket_id",), ("occurred_at",), ("topic", "solved_at"), ("_customer", "_email")),
        "campaign_messages": (("message_id", "campaign"), ("occurred_at",), ("outcome",), ("_email", "_customer")),
        "ad_spend": (("local_day",), ("campaign",), ("amount",), ("impressions", "clicks")),
    }
)
"""What a table cannot do without: one of each group."""

FILE_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "order_lines": "bestellposition|positionen|order line|orderline|line item|bonposition|auftragsposition|order item",
        "orders": "bestellung|orders|order|auftraege|auftrag|kassenbon|rechnung|invoice|sales|verkaeufe|umsatz|retail",
        "contacts": "kunde|kunden|customer|contact|kontakt|member|person|lead|adresse|empfaenger|subscriber|abonnent|profile",
        "products": "artikel|produkt|product|item|sortiment|catalog",
        "tickets": "ticket|support|case|anfrage",
        "campaign_messages": "send|outcome|activity|versand|mailing|email event|newsletter",
        "ad_spend": "spend|kosten|werbe|campaign performance|adgroup|ads",
    }
)
"""Words in file names that speak for a table."""

OTHER_WORDS = ["einwilligung", "consent", "opt", "deal", "opportunity", "abo", "abos", "subscription", "empfehlung", "referral", "umfrage", "antwort", "survey", "checkout", "shipping", "fulfillment", "transaction", "refund", "discount", "history", "tag", "metafield", "image", "media", "collection", "stock", "bestand", "inventory", "note", "attribute", "location", "tender", "adjustment", "merge", "audit", "pipeline", "stage", "segment", "flow", "metric", "automation", "unsubscribe", "gutschein", "coupon", "charge", "dispute", "payout", "card", "invoice_line", "plan", "fee", "balance", "payment", "transfer", "price", "account", "user", "role", "task", "engagement", "form", "owner", "url", "abandoned", "bounce", "click", "open", "forward"]
"""Words in file names that speak for something this list of tables does not have: such a file is asked about, not guessed."""

TICKET_STATUSES: Mapping[str, str] = MappingProxyType(
    {
        "offen": "open", "open": "open", "neu": "open", "new": "open", "pending": "open", "in bearbeitung": "open", "wartet": "open", "hold": "open",
        "geschlossen": "solved", "closed": "solved", "solved": "solved", "geloest": "solved", "erledigt": "solved", "resolved": "solved",
    }
)  # fmt: skip
"""What statuses of support cases mean."""

STATUSES: Mapping[str, str] = MappingProxyType(
    {
        "storniert": "cancelled", "cancelled": "cancelled", "canceled": "cancelled", "voided": "cancelled", "void": "cancelled", "abgebrochen": "cancelled", "widerrufen": "cancelled",
        "retourniert": "returned", "returned": "returned", "refunded": "returned", "erstattet": "returned", "retoure": "returned", "rueckgabe": "returned", "partially refunded": "returned",
        "bezahlt": "completed", "paid": "completed", "completed": "completed", "abgeschlossen": "completed", "versendet": "completed", "shipped": "completed", "geliefert": "completed",
        "delivered": "completed", "fulfilled": "completed", "offen": "completed", "open": "completed", "pending": "completed", "in bearbeitung": "completed", "processing": "completed",
        "partially paid": "completed", "authorized": "completed", "abgeholt": "completed", "erledigt": "completed",
    }
)  # fmt: skip
"""What order statuses mean."""


def folded(text: str) -> str:
    """A header as the vocabulary spells it: small letters, umlauts spelt out, words apart.

    Examples:
        >>> folded("Straße / Nr."), folded("CustomerID"), folded("Kunden-E-Mail"), folded("Geändert am")
        ('strasse nr', 'customer id', 'kunden e mail', 'geaendert am')
    """
    spaced = re.sub(r"(?<=[a-zäöüß0-9])(?=[A-ZÄÖÜ])", " ", text.strip())
    lowered = spaced.lower()
    for mark, spelt in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss")):
        lowered = lowered.replace(mark, spelt)
    bare = unicodedata.normalize("NFKD", lowered).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", " ", bare).strip()


def rank(header: str, names: str) -> int | None:
    """The place of a header among the names of a column (0 is the surest); None where it is not one of them."""
    listed = names.split("|")
    known = {name.replace(" ", ""): place for place, name in reversed(list(enumerate(listed)))}
    return known.get(folded(header).replace(" ", ""))
