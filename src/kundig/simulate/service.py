"""Support, surveys, referrals and subscriptions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from kundig.simulate.people import PERSONAS, People
from kundig.simulate.purchases import daytime
from kundig.simulate.shop import Orders
from kundig.simulate.text import DAY, HOUR, MINUTE, decimal, digits, iso, join, local, local_day, pick, pool, rows, texts, where
from kundig.simulate.world import Span, stream
from kundig.simulate.writers import Bundle

TOPICS = pool(["Lieferung", "Rückgabe", "Rechnung", "Produktfrage", "Konto"])
ATTITUDES = ("Preis ist mir wichtiger als Marke", "Ich kaufe am liebsten vor Ort", "Nachhaltigkeit entscheidet mit")
PLANS = pool(["Werkstatt-Abo", "Magazin", "Premium-Versand"])
PRICES = np.array([1_990, 490, 990])
BRAND_LIFT = 0.12
"""True lift of recall among those who saw the campaign; who saw it is drawn at random."""
CANCELS = 0.05
"""True chance a month to end a subscription after its trial."""


def write_tickets(bundle: Bundle, people: People, orders: Orders, span: Span, seed: int, block: int) -> None:
    """Cases of support; one online order in twelve leads to one, returned ones more often."""
    rng = stream(seed, block, "tickets")
    which = np.flatnonzero(~orders.till & (rng.random(len(orders)) < np.where(orders.returned, 0.3, 0.07)))
    who, count = orders.person[which], len(which)
    at = np.minimum(orders.at[which] + rng.integers(DAY, 20 * DAY, count), span.end - HOUR)
    closed = at + rng.integers(1, 72, count) * HOUR
    solved = (rng.random(count) < 0.85) & (closed <= span.end)
    answered = solved & (rng.random(count) < 0.4)
    topic = np.where(orders.returned[which] & (rng.random(count) < 0.7), 1, rng.integers(0, 5, count))
    stars = pick(pool("12345"), np.searchsorted([0.1, 0.2, 0.4, 0.7], rng.random(count)))
    flat = {
        "id": rows(b"T", digits(block * 1_000_000 + np.arange(count), 11), count=count), "created_at": iso(at), "customer_id": people.customer_numbers(who), "email": people.email.take(pa.array(who)),
        "subject": pick(TOPICS, topic), "status": where(solved, "solved", "open"), "channel": pick(pool(["email", "phone", "chat"]), rng.integers(0, 3, count)),
        "solved_at": where(solved, iso(closed)), "satisfaction": where(answered, stars),
    }  # fmt: skip
    pieces = [join(("{" if number == 0 else ",") + f'"{name}":"', flat[name], '"') for number, name in enumerate(("id", "created_at"))]
    pieces.append(where(people.account[who], join(',"customer_id":"', flat["customer_id"], '"')))
    pieces += [join(f',"{name}":"', flat[name], '"') for name in ("email", "subject", "status", "channel")]
    pieces += [where(solved, join(',"solved_at":"', flat["solved_at"], '"')), where(answered, join(',"satisfaction":', stars))]
    bundle.lines("support/tickets.ndjson", join(*pieces, "}"), flat)
    bundle.count(tickets=count, tickets_solved=solved.sum(), tickets_rated=answered.sum())


def write_surveys(bundle: Bundle, people: People, span: Span, seed: int, block: int) -> None:
    """Recommendation, attitudes and brand recall; recall is higher by the true lift among those who saw the campaign."""
    rng = stream(seed, block, "surveys")
    who = np.flatnonzero(people.account & (rng.random(len(people)) < 0.06))
    count = len(who)
    at = np.maximum(span.end - DAY - (rng.random(count) * 0.5 * (span.end - span.start)).astype(np.int64), np.minimum(people.registered[who] + DAY, span.end - DAY))
    at = daytime(at, rng)
    exposed = rng.random(count) < 0.5
    recall = (rng.random(count) < 0.30 + np.where(exposed, BRAND_LIFT, 0.0)).astype(np.int64)
    persona = people.persona[who]
    nps = np.clip(np.round(rng.normal(np.array([one.nps for one in PERSONAS])[persona], 1.8)), 0, 10).astype(np.int64)
    means = np.array([one.attitudes for one in PERSONAS])[persona]
    attitudes = np.clip(np.round(rng.normal(means, 0.9)), 1, 5).astype(np.int64)
    asked = [("NPS", "Würden Sie uns empfehlen?", nps, None), ("Marke", "Kennen Sie unsere Kampagne?", recall, exposed)]
    asked += [("Haltung", text, attitudes[:, number], None) for number, text in enumerate(ATTITUDES)]
    for number, (survey, question, score, seen) in enumerate(asked):
        columns = {
            "Antwort-ID": rows(b"U", digits((block * 100_000 + np.arange(count)) * 10 + number, 11), count=count), "Datum": local(at), "Kundennummer": people.customer_numbers(who),
            "Umfrage": texts([survey] * count), "Frage": texts([question] * count), "Antwort": where(score > 0, "ja", "nein") if survey == "Marke" else texts(score), "Wert": score,
            "Kampagne gesehen": texts([""] * count) if seen is None else where(seen, "ja", "nein"),
        }  # fmt: skip
        bundle.table("surveys/antworten.csv", columns)
    bundle.count(answers=count * len(asked), answers_exposed=exposed.sum(), recalled=recall.sum())


def write_referrals(bundle: Bundle, people: People, span: Span, seed: int, block: int) -> None:
    """Who brought whom: another person of the block, who joined or bought."""
    rng = stream(seed, block, "referrals")
    who = np.flatnonzero(people.account & (rng.random(len(people)) < 0.02))
    count = len(who)
    friend = rng.integers(0, len(people), count)
    friend = np.where(friend == who, (friend + 1) % len(people), friend)
    at = daytime(np.clip(people.registered[who] + 5 * DAY, span.start, span.end - DAY), rng)
    columns = {
        "Empfehlung-ID": rows(b"R", digits(block * 100_000 + np.arange(count), 10), count=count), "Datum": local(at), "Kundennummer": people.customer_numbers(who),
        "Empfohlene E-Mail": people.email.take(pa.array(friend)), "Status": where(people.customer[friend], "bought", where(rng.random(count) < 0.4, "joined", texts(["sent"] * count))),
    }  # fmt: skip
    bundle.table("referrals/empfehlungen.csv", columns)
    bundle.count(referrals=count)


def write_subscriptions(bundle: Bundle, people: People, span: Span, seed: int, block: int) -> None:
    """Contracts with a trial of thirty days; a third ends with it, others by a monthly chance."""
    rng = stream(seed, block, "subscriptions")
    who = np.flatnonzero(people.subscriber)
    count = len(who)
    start = np.clip(people.registered[who] + 3 * DAY, span.start, span.end - 2 * DAY) // MINUTE * MINUTE
    trial = start + 30 * DAY
    ends = np.where(rng.random(count) < 0.33, trial, trial + rng.geometric(CANCELS, count) * 30 * DAY)
    runs = ends > span.end
    plan = rng.integers(0, len(PLANS), count)
    columns = {
        "Abo-ID": rows(b"A", digits(block * 100_000 + np.arange(count), 10), count=count), "Kundennummer": people.customer_numbers(who), "Tarif": pick(PLANS, plan), "Betrag": decimal(PRICES[plan]),
        "Periode Monate": np.ones(count, dtype=np.int64), "Beginn": local_day(start), "Ende": where(runs, "", local_day(np.minimum(ends, span.end))), "Test bis": local_day(trial),
    }  # fmt: skip
    bundle.table("subscriptions/abos.csv", columns)
    bundle.count(subscriptions=count, subscriptions_running=runs.sum())
