"""Consents, sends with their outcomes, and advertising: with the true effect of variants, channels and contact pressure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from kundig.simulate.people import DAY, Bools, Ints, People, Texts
from kundig.simulate.visits import Visits
from kundig.simulate.world import Span, stream
from kundig.simulate.writers import Files, cents, decimal, iso, join, local

OPEN = {"email": 0.34, "push": 0.12, "in_app": 0.45}
CLICK, UNSUBSCRIBE, COMPLAIN, BOUNCE = 0.12, 0.0025, 0.0003, 0.008
VARIANT_LIFT = 0.20
"""Variant b is opened a fifth more often."""
PRESSURE = 0.6
"""Each further message of the same week raises the chance to unsubscribe by this share."""
CHANNEL_EFFECT = {"paid_search": 0.35, "paid_social": 0.12, "display": 0.03, "email": 0.25}
"""Share of the conversions a channel claims that would not have happened without it."""
COST_PER_CLICK = {"google_ads": 62, "meta_ads": 48}


@dataclass(frozen=True, kw_only=True)
class Consents:
    """What each person allows for the newsletter by e-mail: since when and until when they may be written to (microseconds; -1: never)."""

    since: Ints
    until: Ints
    reason: Texts
    """Reason code at the end of the span."""
    push_since: Ints


def write_consents(files: Files, people: People, span: Span, seed: int, block: int) -> tuple[Consents, dict[str, int]]:
    """The consent records: given with double opt-in, withdrawn, objected, lapsed."""
    rng = stream(seed, block, "consents")
    count = len(people)
    asks = (people.customer & (rng.random(count) < 0.62)) | (~people.customer & (rng.random(count) < 0.04))
    at = np.clip(people.registered + rng.integers(0, 3_600_000_000, count), span.start - 700 * DAY, span.end - 3 * DAY)
    confirmed = asks & (rng.random(count) < 0.9)
    limited = confirmed & (rng.random(count) < 0.12)
    lapse = at + rng.integers(60, 500, count) * DAY
    withdrawn = confirmed & (rng.random(count) < 0.1)
    away = at + ((span.end - at) * rng.uniform(0.05, 0.99, count)).astype(np.int64)
    objected = people.customer & (rng.random(count) < 0.012)
    against = np.maximum(at, span.start) + ((span.end - np.maximum(at, span.start)) * rng.uniform(0.1, 0.99, count)).astype(np.int64)
    push = people.app & (rng.random(count) < 0.55)
    nothing = np.full(count, "", dtype=object)
    until = np.where(limited, np.array(local(lapse, clock=False).to_pylist(), dtype=object), nothing)
    serial = 0
    steps: list[tuple[Bools, Ints, str, str, str, Texts]] = [
        (asks, at, "requested", "newsletter", "email", nothing), (confirmed, at + 1_800_000_000, "confirmed", "newsletter", "email", until), (withdrawn, away, "withdrawn", "newsletter", "email", nothing),
        (objected, against, "objected", "newsletter", "*", nothing), (push, at, "given", "newsletter", "push", nothing), (people.customer & (rng.random(count) < 0.5), at, "given", "analytics", "web", nothing),
    ]  # fmt: skip
    for mask, when, status, purpose, channel, lapses in steps:
        who = np.flatnonzero(mask)
        columns = {
            "Eintrag": np.array([f"E{block:04d}{serial + n:07d}" for n in range(len(who))], dtype=object), "Zeitpunkt": local(when[who]), "E-Mail": people.email[who],
            "Kundennummer": people.customer_number[who].astype(object), "Zweck": np.full(len(who), purpose, dtype=object), "Kanal": np.full(len(who), channel, dtype=object),
            "Status": np.full(len(who), status, dtype=object), "Grundlage": np.full(len(who), "consent", dtype=object), "Gültig bis": lapses[who], "Fassung": np.full(len(who), "2025-01", dtype=object),
            "Quelle": np.full(len(who), "Registrierung", dtype=object), "Nachweis": np.full(len(who), "Formular", dtype=object), "Land": np.where(people.swiss[who], "CH", "DE").astype(object),
        }  # fmt: skip
        serial += len(who)
        files.table("consents/einwilligungen.csv", columns)
    ends = np.full(count, span.end + 10_000 * DAY)
    ends = np.where(limited, np.minimum(ends, (lapse // DAY) * DAY), ends)
    ends = np.where(withdrawn, np.minimum(ends, away), ends)
    ends = np.where(objected, np.minimum(ends, against), ends)
    reason = np.select(
        [objected, withdrawn, limited & (lapse < span.end), confirmed, asks],
        ["objected", "consent_withdrawn", "consent_expired", "consent_given", "consent_pending"], "consent_missing",
    ).astype(object)  # fmt: skip
    made = Consents(since=np.where(confirmed, at + 1_800_000_000, -1), until=ends, reason=reason, push_since=np.where(push, at, -1))
    return made, {"consents": serial, "objections": int(objected.sum()), "withdrawals": int(withdrawn.sum()), "lapsed": int((limited & (lapse < span.end)).sum()), "unconfirmed": int((asks & ~confirmed).sum())}


def write_messages(files: Files, people: People, consents: Consents, span: Span, seed: int, block: int) -> dict[str, int]:
    """A newsletter every two weeks, push to the app, in-app notes; outcomes with the true effects."""
    rng = stream(seed, block, "messages")
    counts = {"sends": 0, "outcomes": 0, "unsubscribes": 0}
    for number, at in enumerate(range(span.start + 9 * DAY, span.end - 2 * DAY, 14 * DAY)):
        for channel, since, until in (("email", consents.since, consents.until), ("push", consents.push_since, np.full(len(people), span.end))):
            if channel == "push" and number % 2:
                continue
            who = np.flatnonzero((since >= 0) & (since < at) & (until > at))
            if len(who):
                _send(files, people, who, channel, at + rng.integers(0, 4 * 3_600_000_000, len(who)), f"newsletter-{number:02d}", rng, block, counts)
    return counts


def _send(files: Files, people: People, who: Ints, channel: str, at: Ints, campaign: str, rng: np.random.Generator, block: int, counts: dict[str, int]) -> None:
    count = len(who)
    variant = np.where(rng.random(count) < 0.5, "a", "b")
    identifier = np.array([f"M{block:04d}{counts['sends'] + n:08d}" for n in range(count)], dtype=object)
    about = {"customer_id": people.customer_number[who].astype(object), "email": people.email[who], "channel": np.full(count, channel, dtype=object), "campaign": np.full(count, campaign, dtype=object), "variant": variant.astype(object)}
    files.table("email/sends.csv", {"message_id": identifier, "sent_at": iso(at), **about}, delimiter=",")
    bounced = rng.random(count) < BOUNCE
    opened = ~bounced & (rng.random(count) < OPEN[channel] * np.where(variant == "b", 1 + VARIANT_LIFT, 1.0))
    clicked = opened & (rng.random(count) < CLICK)
    left = ~bounced & (rng.random(count) < UNSUBSCRIBE)
    complained = ~bounced & (rng.random(count) < COMPLAIN)
    for outcome, mask, seconds in (("delivered", ~bounced, 5), ("bounced", bounced, 4), ("opened", opened, 7_200), ("clicked", clicked, 7_300), ("unsubscribed", left, 7_400), ("complained", complained, 8_000)):
        index = np.flatnonzero(mask)
        columns = {"message_id": identifier[index], "at": iso(at[index] + seconds * 1_000_000), "outcome": np.full(len(index), outcome, dtype=object), **{name: value[index] for name, value in about.items()}}
        files.table("email/outcomes.csv", columns, delimiter=",")
        counts["outcomes"] += len(index)
    counts["sends"] += count
    counts["unsubscribes"] += int(left.sum())


def write_ad_contacts(files: Files, people: People, visits: Visits, seed: int, block: int) -> dict[tuple[int, str], int]:
    """Contacts with advertising that platforms tell of: clicks before paid visits and impressions; gives clicks by day and platform."""
    rng = stream(seed, block, "ads")
    paid = np.flatnonzero(np.isin(visits.channel.astype(str), ["paid_search", "paid_social"]))
    platform = np.where(visits.channel[paid] == "paid_search", "google_ads", "meta_ads")
    shown = rng.random(len(paid)) < 0.5
    clicks: dict[tuple[int, str], int] = {}
    for day, name in zip((visits.at[paid] // DAY).tolist(), platform.tolist(), strict=True):
        clicks[(day, name)] = clicks.get((day, name), 0) + 1
    for kind, index, before in (("click", np.arange(len(paid)), 20_000_000), ("impression", np.flatnonzero(shown), DAY // 3)):
        which = paid[index]
        texts = join(
            '{"id":"', np.array([f"{kind[0]}{block:04d}{n:07d}" for n in range(len(which))], dtype=object), '","at":"', iso(visits.at[which] - before), '","platform":"', platform[index].astype(object),
            '","channel":"', visits.channel[which], '","campaign":"herbst","kind":"', kind, '","anonymous_id":"', people.anonymous_id(visits.device[which]).astype(object), '"}',
        )  # fmt: skip
        files.lines("ads/contacts.ndjson", texts if len(which) else pa.array([], pa.string()))
    return clicks


def write_spend(files: Files, clicks: dict[tuple[int, str], int], span: Span, seed: int) -> float:
    """What was spent a day and platform; gives the sum in euro."""
    rng = stream(seed, 0, "spend")
    first = span.start // DAY + 1
    days = np.arange(first, first + span.days - 1)
    total = 0.0
    for platform in ("google_ads", "meta_ads"):
        bought = np.array([clicks.get((int(day), platform), 0) for day in days])
        cost = cents(bought * COST_PER_CLICK[platform] / 100 * rng.uniform(0.8, 1.2, len(days)) + 5.0)
        impressions = bought * rng.integers(30, 60, len(days)) + 100
        total += float(cost.sum()) / 100
        dates = np.array([str(np.datetime64(int(day), "D")) for day in days], dtype=object)
        if platform == "google_ads":
            columns = {"Day": dates, "Campaign": np.full(len(days), "herbst", dtype=object), "Campaign type": np.full(len(days), "Search", dtype=object), "Cost": decimal(cost, "."), "Impressions": impressions, "Clicks": bought, "Currency code": np.full(len(days), "EUR", dtype=object)}
            files.table("ads/spend_google_ads.csv", columns, delimiter=",")
        else:
            columns = {"date_start": dates, "campaign_name": np.full(len(days), "herbst", dtype=object), "spend": decimal(cost, "."), "impressions": impressions, "clicks": bought, "account_currency": np.full(len(days), "EUR", dtype=object)}
            files.table("ads/spend_meta_ads.csv", columns, delimiter=",")
    return total
