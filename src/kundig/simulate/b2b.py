"""Leads of fairs and web forms, with what they told of themselves, and the deals some of them became."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from kundig.simulate import dirt, names
from kundig.simulate.people import PERSONAS, People
from kundig.simulate.purchases import daytime
from kundig.simulate.records import Held
from kundig.simulate.text import DAY, Bools, cents, decimal, digits, join, local_day, pick, pool, rows, texts, where
from kundig.simulate.world import Span, stream
from kundig.simulate.writers import Bundle

JOBS = pool(["Geschäftsführer", "Einkauf", "Marketingleitung", "Werkstattleitung", "Assistenz", "Inhaber", "Vertrieb", "Controlling"])
INDUSTRIES = pool(["Handel", "Handwerk", "Tourismus", "Industrie", "Verein", "Beratung"])
DECIDES = pool(["entscheidet", "empfiehlt", "nutzt"])
FAMILY = pool(["ledig", "verheiratet", "verpartnert", "geschieden", ""])
HOBBIES = ("Radfahren", "Wandern", "Klettern", "Camping", "Laufen", "Lesen", "Fotografie")
MOTIVES = pool(["Preis", "Qualität", "Beratung", "Nachhaltigkeit", "Neugier", "Ersatzbedarf"])
FAIRS = pool(["Radmesse Friedrichshafen", "Outdoor-Tage München", "Fahrradfest Münster"])
FORMS = pool(["Beratung", "Katalog", "Firmenangebot"])
PHASES = pool(["offen", "angebot", "gewonnen", "verloren"])
CLOSES = 0.55
"""True chance that a closed deal is won, where the contact decides; 0.2 less where not."""


def write_leads(bundle: Bundle, people: People, span: Span, seed: int, block: int) -> Held:
    """The files of leads and deals; some leads left their name at a fair and on the web."""
    rng = stream(seed, block, "leads")
    once = np.flatnonzero(people.lead)
    again = once[rng.random(len(once)) < 0.12]
    who = np.concatenate([once, again])
    count = len(who)
    chosen = pa.array(who)
    copy = np.arange(count) >= len(once)
    fair = np.where(copy, False, rng.random(count) < 0.5)
    at = daytime(np.clip(people.registered[who] + np.where(copy, 20, 0) * DAY, span.start, span.end - 40 * DAY), rng)
    business = rng.random(len(people))[who] < 0.6
    company = join(pick(names.LAST, people.last[who]), " ", pick(pool(["GmbH", "KG", "e.K.", "AG"]), rng.integers(0, 4, len(people))[who]))
    size = np.round(np.exp(rng.normal(3.0, 1.2, len(people))))[who].astype(np.int64) + 1
    decides = np.searchsorted([0.4, 0.75], rng.random(count))
    persona = people.persona[who]
    typical = np.array([one.hobbies for one in PERSONAS])[persona]
    told = np.where(rng.random((count, 2)) < 0.7, typical, rng.integers(0, len(HOBBIES), (count, 2)))
    pairs = pool(", ".join(HOBBIES[n] for n in sorted({a, b})) for a in range(len(HOBBIES)) for b in range(len(HOBBIES)))
    motive = np.where(rng.random(count) < 0.6, np.array([one.motive for one in PERSONAS])[persona], rng.integers(0, 6, count))
    age = np.clip((span.end // DAY - people.birth[who]) // 365, 16, 95)
    dirty = rng.random(count) < np.where(fair, 0.3, 0.1)
    second = people.writes_twice[who] & (rng.random(count) < 0.5)
    number = rows(b"L", digits(block * 100_000 + np.arange(count), 10), count=count)

    def gave(share: float | Bools, column: pa.Array) -> pa.Array:
        return where((rng.random(count) < share) if isinstance(share, float) else share, column)

    columns = {
        "Lead-ID": number, "Messe": pick(FAIRS, rng.integers(0, 3, count)), "Datum": local_day(at), "Vorname": dirt.replaced(pick(names.FIRST, people.first[who]), dirty, dirt.misspelt, rng, 4),
        "Nachname": pick(names.LAST, people.last[who]), "E-Mail": where(second, people.second_email.take(chosen), people.email.take(chosen)), "Telefon": gave(0.6, dirt.spelled(people.phone.take(chosen), rng)),
        "Firma": gave(business, company), "Position": gave(business, pick(JOBS, rng.integers(0, 8, count))), "Mitarbeiter": gave(business, texts(size)), "Branche": gave(business, pick(INDUSTRIES, rng.integers(0, 6, count))),
        "Entscheidung": gave(business, pick(DECIDES, decides)), "Alter": gave(0.6, texts(age)), "Familienstand": pick(FAMILY, rng.integers(0, 5, count)),
        "Hobbys": gave(0.5, pick(pairs, told[:, 0] * len(HOBBIES) + told[:, 1])), "Motivation": gave(0.7, pick(MOTIVES, motive)),
    }  # fmt: skip
    forms = {("Formular" if name == "Messe" else name): column for name, column in columns.items()} | {"Formular": pick(FORMS, rng.integers(0, 3, count))}
    for name, table, mask in (("crm/leads_messe.csv", columns, fair), ("crm/leads_webformular.csv", forms, ~fair)):
        which = pa.array(np.flatnonzero(mask))
        bundle.table(name, {key: column.take(which) for key, column in table.items()})
    deal = np.flatnonzero(business & (rng.random(count) < 0.5))
    open_ = rng.random(len(deal)) < 0.3
    won = rng.random(len(deal)) < np.where(decides[deal] == 0, CLOSES, CLOSES - 0.2)
    phase = np.where(open_, np.where(rng.random(len(deal)) < 0.5, 0, 1), np.where(won, 2, 3))
    deals = {
        "Deal-ID": rows(b"D", digits(block * 100_000 + np.arange(len(deal)), 10), count=len(deal)), "Lead-ID": number.take(pa.array(deal)), "E-Mail": columns["E-Mail"].take(pa.array(deal)),
        "Firma": company.take(pa.array(deal)), "Phase": pick(PHASES, phase), "Betrag": decimal(cents(np.exp(rng.normal(6.2, 0.7, len(deal))) * np.sqrt(size[deal])), grouped=True),
        "Angelegt am": local_day(at[deal]), "Abgeschlossen am": where(open_, "", local_day(at[deal] + rng.integers(7, 38, len(deal)) * DAY)),
    }  # fmt: skip
    bundle.table("crm/deals.csv", deals)
    bundle.count(leads=count, leads_doubled=copy.sum(), deals=len(deal), deals_won=(won & ~open_).sum())
    return Held(namespace="lead_id", value=number, person=who)
