"""Records of people as systems keep them: the shop's accounts, and the CRM's contacts with their dirt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from kundig.simulate import dirt, names
from kundig.simulate.people import ORIGINS, People
from kundig.simulate.purchases import daytime
from kundig.simulate.text import DAY, Bools, Ints, day, digits, join, local, pick, pool, rows, where
from kundig.simulate.world import Span, stream
from kundig.simulate.writers import Bundle

TITLES = pool(["", "Dr.", "Prof. Dr."])


@dataclass(frozen=True, kw_only=True)
class Held:
    """Records that one system keeps of a block's people: namespace and value of each, and whose it is."""

    namespace: str
    value: pa.Array
    person: Ints
    """Index in the block."""


def write_accounts(bundle: Bundle, people: People, span: Span, seed: int, block: int) -> Held:
    """The shop's accounts: clean but for hasty typing; some people have two, under another address."""
    rng = stream(seed, block, "accounts")
    own, twice = np.flatnonzero(people.account), np.flatnonzero(people.second_account)
    who = np.concatenate([own, twice])
    second = np.arange(len(who)) >= len(own)
    count = len(who)
    chosen = pa.array(who)
    registered = daytime(np.minimum(people.registered[who] + np.where(second, rng.integers(20, 200, count) * DAY, 0), span.end - DAY), rng)
    hasty = rng.random(count) < 0.02
    columns = {
        "Kundennummer": people.customer_numbers(who, second), "Anrede": where(people.male[who], "Herr", "Frau"), "Titel": pick(TITLES, people.title[who]),
        "Vorname": dirt.replaced(pick(names.FIRST, people.first[who]), hasty, dirt.misspelt, rng, 4), "Nachname": pick(names.LAST, people.last[who]),
        "E-Mail": where(second, people.second_email.take(chosen), people.email.take(chosen)), "Telefon": where(rng.random(count) < 0.6, join("0", people.phone.take(chosen))),
        "Straße": pick(names.STREET, people.street[who]), "Hausnummer": people.house.take(chosen), "PLZ": people.postcodes.take(chosen), "Ort": pick(names.CITY, people.city[who]),
        "Land": where(people.swiss[who], "CH", "DE"), "Geburtsdatum": where(rng.random(count) < 0.5, day(people.birth[who])), "Registriert am": local(registered),
        "Sprache": where(people.english[who], "en", "de"), "Herkunft": pick(ORIGINS, people.origin[who]),
    }  # fmt: skip
    bundle.table("shop/kunden.csv", columns)
    bundle.count(accounts=count, accounts_second=len(twice))
    return Held(namespace="customer_id", value=columns["Kundennummer"], person=who)


def write_contacts(bundle: Bundle, people: People, span: Span, seed: int, block: int) -> Held:
    """The CRM's contacts: misspelt, moved, doubled, most of them without the customer number."""
    rng = stream(seed, block, "contacts")
    base = np.flatnonzero(people.customer & (rng.random(len(people)) < 0.6))
    doubled = base[rng.random(len(base)) < 0.2]
    tripled = doubled[rng.random(len(doubled)) < 0.15]
    who = np.concatenate([base, doubled, tripled])
    copy = np.arange(len(who)) >= len(base)
    count = len(who)
    chosen = pa.array(who)

    def some(share: float | Bools, of: Bools | None = None) -> Bools:
        drawn = rng.random(count) < share
        return drawn if of is None else drawn & of

    dirty = some(np.where(copy, 0.75, 0.45))
    married = some(0.03, ~people.male[who])
    surname = np.where(married, names.common(rng, len(names.SURNAMES), count), people.last[who])
    wrong_first, wrong_last = some(0.55, dirty), some(0.55, dirty)
    first = dirt.replaced(pick(names.FIRST_WESTERN, people.first[who]), wrong_first, dirt.misspelt, rng, 6)
    last = dirt.replaced(pick(names.LAST_WESTERN, surname), wrong_last, dirt.misspelt, rng, 4)
    swapped = some(0.04)
    first, last = where(swapped, last, first), where(swapped, first, last)
    loud = some(0.04)
    first, last = dirt.shouted(first, loud), dirt.shouted(last, loud)
    moved = some(np.where(copy, 0.25, 0.06)) & ~people.swiss[who]
    city = np.where(moved, rng.integers(0, len(names.CITIES), count), people.city[who])
    postcode = where(moved, rows(digits(names.POSTCODE[city] + rng.integers(0, 90, count), 5), count=count), people.postcodes.take(chosen))
    street = np.where(moved, names.common(rng, len(names.STREETS), count), people.street[who])
    address = join(dirt.streets(street, some(0.4)), " ", where(moved, pick(pool(map(str, range(140))), rng.integers(1, 140, count)), people.house.take(chosen)))
    knows = some(np.where(copy, 0.08, 0.32), people.account[who])
    has_mail = some(np.where(copy, 0.5, 0.72))
    other = some(np.where(copy, 0.6, 0.3), people.writes_twice[who])
    family = some(0.12, (people.home[who] != who)) & ~other
    typo = some(0.06, has_mail)
    mail = where(other, people.second_email.take(chosen), where(family, people.email.take(pa.array(people.home[who])), people.email.take(chosen)))
    mail = dirt.replaced(mail, typo, dirt.mistyped, rng, 4)
    has_phone = some(0.5)
    birth, slipped = dirt.slipped(people.birth[who], 0.07, rng)
    changed = daytime(np.minimum(people.registered[who] + (rng.random(count) * 300 * DAY).astype(np.int64), span.end - DAY), rng)
    number = rows(b"C", digits(block * 100_000 + np.arange(count), 10), count=count)
    columns = {
        "Kontakt-ID": number, "Kundennummer": where(knows, people.customer_numbers(who)), "Anrede": where(some(0.8), where(people.male[who], "Herr", "Frau")),
        "Titel": where(some(0.7), pick(TITLES, people.title[who])), "Vorname": first, "Nachname": last, "E-Mail": where(has_mail, mail), "Telefon": where(has_phone, dirt.spelled(people.phone.take(chosen), rng)),
        "Straße": address, "PLZ": postcode, "Ort": pick(names.CITY, city), "Land": where(people.swiss[who], "Schweiz", "Deutschland"), "Geburtsdatum": where(some(0.55), day(birth)), "Geändert am": local(changed),
    }  # fmt: skip
    bundle.table("crm/kontakte.csv", columns, encoding="cp1252")
    bundle.count(
        contacts=count, contacts_doubled=copy.sum(), contacts_moved=moved.sum(), contacts_mail_typo=typo.sum(), contacts_swapped=swapped.sum(), contacts_married=married.sum(), contacts_shouted=loud.sum(),
        contacts_first_misspelt=wrong_first.sum(), contacts_last_misspelt=wrong_last.sum(), contacts_family_mail=(family & has_mail).sum(), contacts_second_mail=(other & has_mail).sum(),
        contacts_birth_slipped=slipped.sum(),
    )  # fmt: skip
    return Held(namespace="crm_id", value=number, person=who)
