"""Records of people as systems keep them: the shop's accounts, the CRM's contacts with their dirt, leads and deals."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kundig.simulate import names
from kundig.simulate.people import DAY, Bools, Ints, People, Texts
from kundig.simulate.world import Span, stream
from kundig.simulate.writers import Files, cents, day, decimal, join, local

_CALLED = {"Katharina": "Kathi", "Alexander": "Alex", "Michael": "Micha", "Elisabeth": "Lisa", "Maximilian": "Max", "Johanna": "Hanna", "Thomas": "Tom", "Stefanie": "Steffi", "Sebastian": "Basti", "Franziska": "Franzi", "Susanne": "Susi", "Matthias": "Matze"}
JOBS = np.array(["Geschäftsführer", "Einkauf", "Marketingleitung", "Werkstattleitung", "Assistenz", "Inhaber", "Vertrieb", "Controlling"])
INDUSTRIES = np.array(["Handel", "Handwerk", "Tourismus", "Industrie", "Verein", "Beratung"])
DECIDES = np.array(["entscheidet", "empfiehlt", "nutzt"])
FAMILY = np.array(["ledig", "verheiratet", "verpartnert", "geschieden", ""])
HOBBIES = np.array(["Radfahren", "Wandern", "Klettern", "Camping", "Laufen", "Lesen", "Fotografie"])
MOTIVES = np.array(["Preis", "Qualität", "Beratung", "Nachhaltigkeit", "Neugier", "Ersatzbedarf"])


def write_accounts(files: Files, people: People) -> None:
    """The shop's own accounts: clean, as people typed them once."""
    who = np.flatnonzero(people.customer & ~people.guest)
    columns = {
        "Kundennummer": people.customer_number[who].astype(object), "Anrede": np.where(people.male[who], "Herr", "Frau").astype(object), "Titel": people.title[who], "Vorname": people.first[who],
        "Nachname": people.last[who], "E-Mail": people.email[who], "Telefon": np.where(people.number[who] % 10 < 6, join("0", people.phone[who]).to_pylist(), "").astype(object),
        "Straße": people.street[who], "Hausnummer": people.house[who], "PLZ": people.postcode[who], "Ort": people.city[who], "Land": np.where(people.swiss[who], "CH", "DE").astype(object),
        "Geburtsdatum": np.where(people.number[who] % 10 < 5, np.array(day(people.birth[who]).to_pylist(), dtype=object), ""), "Registriert am": local(people.registered[who]),
        "Sprache": people.language[who], "Herkunft": people.origin[who],
    }  # fmt: skip
    files.table("shop/kunden.csv", columns)


def write_contacts(files: Files, people: People, span: Span, seed: int, block: int) -> tuple[Ints, dict[str, int]]:
    """The CRM's contacts: misspelt, moved, doubled, half of them without the customer number; gives each record's person."""
    rng = stream(seed, block, "contacts")
    base = np.flatnonzero(people.customer & (rng.random(len(people)) < 0.6))
    doubled = base[rng.random(len(base)) < 0.18]
    who = np.concatenate([base, doubled])
    copy = np.arange(len(who)) >= len(base)
    count = len(who)
    dirty = rng.random(count) < np.where(copy, 0.85, 0.45)
    first, last = _misspelt(people.first[who], rng, dirty & (rng.random(count) < 0.55)), _misspelt(people.last[who], rng, dirty & (rng.random(count) < 0.6))
    swapped = dirty & (rng.random(count) < 0.05)
    first, last = np.where(swapped, last, first), np.where(swapped, first, last)
    shouting = rng.random(count) < 0.04
    first, last = (np.where(shouting, np.array([text.upper() for text in array], dtype=object), array) for array in (first, last))
    moved = rng.random(count) < np.where(copy, 0.25, 0.06)
    place = rng.integers(0, len(names.CITIES), count)
    city = np.where(moved, np.array([c[0] for c in names.CITIES], dtype=object)[place], people.city[who])
    postcode = np.where(moved, np.char.zfill((np.array([c[1] for c in names.CITIES])[place] + rng.integers(0, 90, count)).astype(str), 5).astype(object), people.postcode[who])
    street = np.where(moved, names.pick(rng, names.STREETS, count).astype(object), people.street[who])
    short = rng.random(count) < 0.4
    street = np.array([s.replace("straße", "str.") if cut else s for s, cut in zip(street, short, strict=True)], dtype=object)
    address = join(street, " ", people.house[who])
    knows_number = (rng.random(count) < np.where(copy, 0.15, 0.5)) & ~people.guest[who]
    has_mail = rng.random(count) < np.where(copy, 0.45, 0.7)
    typo = has_mail & (rng.random(count) < 0.06)
    mail = np.where(has_mail, np.where(typo, _typed_wrong(people.email[who], rng), people.email[who]), "")
    has_phone = rng.random(count) < 0.5
    columns = {
        "Kontakt-ID": np.array([f"C{block:04d}{n:06d}" for n in range(count)], dtype=object), "Kundennummer": np.where(knows_number, people.customer_number[who], "").astype(object),
        "Anrede": np.where(rng.random(count) < 0.8, np.where(people.male[who], "Herr", "Frau"), "").astype(object), "Titel": np.where(rng.random(count) < 0.7, people.title[who], ""), "Vorname": first,
        "Nachname": last, "E-Mail": mail.astype(object), "Telefon": np.where(has_phone, _spelled(people.phone[who], rng), "").astype(object), "Straße": address, "PLZ": postcode, "Ort": city,
        "Land": np.where(people.swiss[who], "Schweiz", "Deutschland").astype(object),
        "Geburtsdatum": np.where(rng.random(count) < 0.55, np.array(day(_slipped(people.birth[who], rng)).to_pylist(), dtype=object), ""),
        "Geändert am": local(np.minimum(people.registered[who] + (rng.random(count) * 300 * DAY).astype(np.int64), span.end - DAY)),
    }  # fmt: skip
    files.table("crm/kontakte.csv", columns, encoding="cp1252")
    planted = {"contacts": count, "contacts_doubled": len(doubled), "contacts_moved": int(moved.sum()), "contacts_mail_typo": int(typo.sum()), "contacts_swapped": int(swapped.sum())}
    return who, planted


def write_leads(files: Files, people: People, span: Span, seed: int, block: int) -> dict[str, int]:
    """Leads of fairs and forms, and the deals some of them became."""
    rng = stream(seed, block, "leads")
    who = np.flatnonzero(people.lead)
    count = len(who)
    fair = rng.random(count) < 0.5
    at = np.clip(people.registered[who], span.start, span.end - 40 * DAY)
    business = rng.random(count) < 0.6
    company = np.array([f"{last} {kind}" for last, kind in zip(people.last[who], rng.choice(np.array(["GmbH", "KG", "e.K.", "AG"]), count), strict=True)], dtype=object)
    small = np.round(np.exp(rng.normal(3.0, 1.2, count))).astype(np.int64) + 1
    hobbies = np.array([", ".join(sorted(set(pair))) for pair in zip(rng.choice(HOBBIES, count), rng.choice(HOBBIES, count), strict=True)], dtype=object)
    identifier = np.array([f"L{block:04d}{n:05d}" for n in range(count)], dtype=object)
    age = np.clip((20_500 - people.birth[who]) // 365, 18, 90)
    columns: dict[str, Any] = {
        "Lead-ID": identifier, "Messe": np.full(count, "Radmesse Friedrichshafen", dtype=object), "Datum": local(at, clock=False), "Vorname": people.first[who],
        "Nachname": people.last[who], "E-Mail": people.email[who], "Telefon": _spelled(people.phone[who], rng), "Firma": np.where(business, company, "").astype(object),
        "Position": np.where(business, rng.choice(JOBS, count), "").astype(object), "Mitarbeiter": np.where(business, small.astype(str), "").astype(object),
        "Branche": np.where(business, rng.choice(INDUSTRIES, count), "").astype(object), "Entscheidung": np.where(business, rng.choice(DECIDES, count, p=[0.4, 0.35, 0.25]), "").astype(object),
        "Alter": np.where(rng.random(count) < 0.6, age.astype(str), "").astype(object), "Familienstand": rng.choice(FAMILY, count).astype(object), "Hobbys": np.where(rng.random(count) < 0.5, hobbies, "").astype(object),
        "Motivation": np.where(rng.random(count) < 0.7, rng.choice(MOTIVES, count), "").astype(object),
    }  # fmt: skip
    files.table("crm/leads_messe.csv", {name: _cut(value, fair) for name, value in columns.items()})
    form = {("Formular" if name == "Messe" else name): value for name, value in columns.items()}
    form["Formular"] = np.full(count, "Beratung", dtype=object)
    files.table("crm/leads_webformular.csv", {name: _cut(value, ~fair) for name, value in form.items()})
    deal = np.flatnonzero(business & (rng.random(count) < 0.5))
    phase = rng.choice(np.array(["offen", "gewonnen", "verloren"]), len(deal), p=[0.3, 0.35, 0.35])
    closed = np.where(phase == "offen", "", np.array(local(at[deal] + 30 * DAY, clock=False).to_pylist(), dtype=object))
    deals = {
        "Deal-ID": np.array([f"D{block:04d}{n:05d}" for n in range(len(deal))], dtype=object), "Lead-ID": identifier[deal], "E-Mail": people.email[who][deal], "Firma": company[deal], "Phase": phase.astype(object),
        "Betrag": decimal(cents(np.exp(rng.normal(7.5, 0.8, len(deal))).astype(np.float64)), grouped=True), "Angelegt am": local(at[deal], clock=False), "Abgeschlossen am": closed,
    }  # fmt: skip
    files.table("crm/deals.csv", deals)
    return {"leads": count, "deals": len(deal)}


def _cut(value: Any, mask: Bools) -> Any:
    import pyarrow as pa

    return value.filter(pa.array(mask)) if isinstance(value, pa.Array) else value[mask]


def _misspelt(texts: Texts, rng: np.random.Generator, mask: Bools) -> Texts:
    """Texts with a letter left out, doubled or swapped, a nickname, or umlauts spelt out, where the mask says so."""
    found = texts.copy()
    kinds = rng.integers(0, 5, len(texts))
    places = rng.random(len(texts))
    for index in np.flatnonzero(mask):
        text, kind = str(texts[index]), kinds[index]
        place = 1 + int(places[index] * max(1, len(text) - 2))
        if kind == 0 and text in _CALLED:
            found[index] = _CALLED[text]
        elif kind <= 1:
            spelled = names.plain(text)
            found[index] = spelled if spelled != text else text[:place] + text[place + 1 :]
        elif kind == 2:
            found[index] = text[:place] + text[place : place + 1] + text[place:]
        elif kind == 3 and len(text) > place + 1:
            found[index] = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
        else:
            found[index] = f"{text} " if kinds[index] == 4 else text
    return found


def _typed_wrong(mails: Texts, rng: np.random.Generator) -> Texts:
    places = rng.integers(1, 5, len(mails))
    return np.array([str(mail)[:place] + str(mail)[place + 1 :] for mail, place in zip(mails, places, strict=True)], dtype=object)


def _spelled(phones: Texts, rng: np.random.Generator) -> Texts:
    """The same number in four spellings."""
    kinds = rng.integers(0, 4, len(phones))
    forms: list[Any] = [lambda p: "0" + p, lambda p: "+49 " + p, lambda p: "0049" + p.replace(" ", ""), lambda p: "0" + p.replace(" ", "/", 1)]
    return np.array([forms[kind](str(phone)) for kind, phone in zip(kinds, phones, strict=True)], dtype=object)


def _slipped(birth: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Dates of birth, some a day, a month or a year off."""
    return birth + np.where(rng.random(len(birth)) < 0.06, rng.choice(np.array([1, -1, 30, 365, -365]), len(birth)), 0)
