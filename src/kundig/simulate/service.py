"""Support, surveys, referrals and subscriptions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from kundig.simulate.people import DAY, Bools, People
from kundig.simulate.shop import Orders
from kundig.simulate.world import Span, stream
from kundig.simulate.writers import Files, decimal, iso, join, local, optional

TOPICS = np.array(["Lieferung", "Rückgabe", "Rechnung", "Produktfrage", "Konto"])
ATTITUDES = ("Preis ist mir wichtiger als Marke", "Ich kaufe am liebsten vor Ort", "Nachhaltigkeit entscheidet mit")
PLANS = np.array(["Werkstatt-Abo", "Magazin", "Premium-Versand"])
PRICES = np.array([1990, 490, 990])


def write_tickets(files: Files, people: People, orders: Orders, span: Span, seed: int, block: int) -> int:
    """Cases of support; one order in twelve leads to one."""
    rng = stream(seed, block, "tickets")
    which = np.flatnonzero(~orders.till & (rng.random(len(orders.at)) < 0.08))
    who = orders.person[which]
    at = np.minimum(orders.at[which] + rng.integers(DAY, 20 * DAY, len(which)), span.end - DAY)
    solved = rng.random(len(which)) < 0.85
    answered = solved & (rng.random(len(which)) < 0.4)
    number = people.customer_number[who].astype(object)
    lines = join(
        '{"id":"T', np.array([f"{block:04d}{n:06d}" for n in range(len(which))], dtype=object), '","created_at":"', iso(at), '","customer_id":"', number, '","email":"', people.email[who],
        '","subject":"', rng.choice(TOPICS, len(which)).astype(object), '","status":"', np.where(solved, "solved", "open").astype(object), '","channel":"',
        rng.choice(np.array(["email", "phone", "chat"]), len(which)).astype(object), '"', optional(None, solved, ',"solved_at":"', iso(np.minimum(at + rng.integers(1, 72, len(which)) * DAY // 24, span.end)), '"'),
        optional(None, answered, ',"satisfaction":', rng.choice(np.array(["1", "2", "3", "4", "5"]), len(which), p=[0.1, 0.1, 0.2, 0.3, 0.3]).astype(object)), "}",
    )  # fmt: skip
    files.lines("support/tickets.ndjson", lines if len(which) else pa.array([], pa.string()))
    return len(which)


def write_surveys(files: Files, people: People, span: Span, seed: int, block: int, exposed_lift: float) -> int:
    """Recommendation, attitudes and brand recall; recall is higher by the true lift among those who saw the campaign."""
    rng = stream(seed, block, "surveys")
    who = np.flatnonzero(people.customer & ~people.guest & (rng.random(len(people)) < 0.06))
    count = len(who)
    at = span.end - (rng.random(count) * 0.5 * (span.end - span.start)).astype(np.int64)
    at = np.maximum(at, np.minimum(people.registered[who] + DAY, span.end - DAY))
    exposed: Bools = rng.random(count) < 0.5
    recall = rng.random(count) < 0.30 + np.where(exposed, exposed_lift, 0.0)
    nps = np.clip(np.round(rng.normal(7.6, 2.1, count)), 0, 10).astype(np.int64)
    attitude = rng.integers(1, 6, count)
    asked = [("NPS", "Würden Sie uns empfehlen?", nps, None), ("Marke", "Kennen Sie unsere Kampagne?", recall.astype(np.int64), exposed), ("Haltung", ATTITUDES[block % 3], attitude, None)]
    for number, (survey, question, score, seen) in enumerate(asked):
        columns = {
            "Antwort-ID": np.array([f"U{block:04d}{n:05d}{number}" for n in range(count)], dtype=object), "Datum": local(at), "Kundennummer": people.customer_number[who].astype(object),
            "Umfrage": np.full(count, survey, dtype=object), "Frage": np.full(count, question, dtype=object),
            "Antwort": np.where(score > 0, "ja", "nein").astype(object) if survey == "Marke" else score.astype(str).astype(object), "Wert": score,
            "Kampagne gesehen": np.full(count, "", dtype=object) if seen is None else np.where(seen, "ja", "nein").astype(object),
        }  # fmt: skip
        files.table("surveys/antworten.csv", columns)
    return 3 * count


def write_referrals(files: Files, people: People, span: Span, seed: int, block: int) -> int:
    """Who brought whom: another person of the block, who joined or bought."""
    rng = stream(seed, block, "referrals")
    who = np.flatnonzero(people.customer & ~people.guest & (rng.random(len(people)) < 0.02))
    friend = rng.integers(0, len(people), len(who))
    status = np.where(people.customer[friend], "bought", np.where(rng.random(len(who)) < 0.4, "joined", "sent"))
    columns = {
        "Empfehlung-ID": np.array([f"R{block:04d}{n:05d}" for n in range(len(who))], dtype=object), "Datum": local(np.clip(people.registered[who] + 5 * DAY, span.start, span.end - DAY)),
        "Kundennummer": people.customer_number[who].astype(object), "Empfohlene E-Mail": people.email[friend], "Status": status.astype(object),
    }  # fmt: skip
    files.table("referrals/empfehlungen.csv", columns)
    return len(who)


def write_subscriptions(files: Files, people: People, span: Span, seed: int, block: int) -> int:
    """Contracts with a trial of thirty days; a third ends with it, others by a monthly chance."""
    rng = stream(seed, block, "subscriptions")
    who = np.flatnonzero(people.subscriber)
    count = len(who)
    start = np.clip(people.registered[who] + 3 * DAY, span.start, span.end - 60 * DAY)
    trial = start + 30 * DAY
    leaves = rng.random(count) < 0.33
    lasted = rng.geometric(0.05, count) * 30 * DAY
    ends = np.where(leaves, trial, trial + lasted)
    open_ = ends > span.end
    plan = rng.integers(0, len(PLANS), count)
    columns = {
        "Abo-ID": np.array([f"A{block:04d}{n:05d}" for n in range(count)], dtype=object), "Kundennummer": people.customer_number[who].astype(object), "Tarif": PLANS[plan].astype(object),
        "Betrag": decimal(PRICES[plan]), "Periode Monate": np.ones(count, dtype=np.int64), "Beginn": local(start, clock=False),
        "Ende": np.where(open_, "", np.array(local(np.minimum(ends, span.end), clock=False).to_pylist(), dtype=object)), "Test bis": local(trial, clock=False),
    }  # fmt: skip
    files.table("subscriptions/abos.csv", columns)
    return count
