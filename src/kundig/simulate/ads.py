"""Advertising: single contacts as platforms tell them, and what was spent a day and campaign."""

from __future__ import annotations

import numpy as np

from kundig.simulate.people import People
from kundig.simulate.shop import CAUSES, Orders
from kundig.simulate.text import DAY, HOUR, MINUTE, SECOND, Ints, berlin, cents, decimal, digits, iso, iso_day, join, pick, pool, rows, texts, uuids
from kundig.simulate.visits import CAMPAIGNS, CHANNELS, DISPLAY, SEARCH, SOCIAL, Visits
from kundig.simulate.world import Span, stream
from kundig.simulate.writers import Bundle

PLATFORMS = ("google_ads", "meta_ads")
TYPES = ("Search", "Search", "Shopping", "", "", "Display", "")
"""Google's name for the type of each of `CAMPAIGNS`."""
CLICK_CENTS = np.array([35, 85, 55, 60, 40, 25, 0])
"""Mean price of a click per campaign."""
EXTRA_CLICKS = 0.25
"""Share of paid clicks besides whose visits no tracker saw."""


def write_contacts(bundle: Bundle, people: People, visits: Visits, orders: Orders, span: Span, seed: int, block: int) -> Ints:
    """The file of contacts; gives clicks by day of the span and campaign, as [days, campaigns]."""
    rng = stream(seed, block, "ads")
    paid = np.flatnonzero(np.isin(visits.channel, (SEARCH, SOCIAL, DISPLAY)))
    clicks = np.zeros((span.days, len(CAMPAIGNS)), dtype=np.int64)
    first = int(berlin(np.array([span.start]))[0] // DAY)
    np.add.at(clicks, (np.clip(berlin(visits.at[paid]) // DAY - first, 0, span.days - 1), visits.campaign[paid]), 1)
    unseen = rng.random(len(paid)) < EXTRA_CLICKS
    np.add.at(clicks, (np.clip(berlin(visits.at[paid][unseen]) // DAY - first, 0, span.days - 1), visits.campaign[paid][unseen]), 1)
    seen_first = paid[rng.random(len(paid)) < 0.5]
    banners = np.flatnonzero(rng.random(len(visits)) < 0.06)
    shown = np.flatnonzero(orders.cause == CAUSES.index("display"))
    parts = (
        (visits.device[paid], visits.at[paid] - 20 * SECOND, visits.channel[paid], visits.campaign[paid], 1),
        (visits.device[seen_first], visits.at[seen_first] - rng.integers(10, 480, len(seen_first)) * MINUTE, visits.channel[seen_first], visits.campaign[seen_first], 0),
        (visits.device[banners], visits.at[banners] - rng.integers(1, 72, len(banners)) * HOUR, np.full(len(banners), DISPLAY), np.full(len(banners), 5), 0),
        (people.device[orders.person[shown]], orders.at[shown] - rng.integers(1, 48, len(shown)) * HOUR, np.full(len(shown), DISPLAY), np.full(len(shown), 5), 0),
    )  # fmt: skip
    device, at, channel, campaign = (np.concatenate([part[place] for part in parts]) for place in range(4))
    kind = np.concatenate([np.full(len(part[0]), part[4]) for part in parts])
    order = np.argsort(at, kind="stable")
    order = order[at[order] >= span.start]
    device, at, channel, campaign, kind = device[order], at[order], channel[order], campaign[order], kind[order]
    count = len(at)
    platform = pick(pool(PLATFORMS), np.where(channel == SOCIAL, 1, 0))
    flat = {
        "id": rows(b"K", digits(block * 10_000_000 + np.arange(count), 12), count=count), "at": iso(at), "platform": platform, "channel": pick(pool(CHANNELS), channel), "campaign": pick(pool(CAMPAIGNS), campaign),
        "kind": pick(pool(["impression", "click"]), kind), "anonymous_id": rows(uuids(device, seed), count=count),
    }  # fmt: skip
    pieces: list[object] = []
    for number, (name, column) in enumerate(flat.items()):
        pieces += [("{" if number == 0 else ",") + f'"{name}":"', column, '"']
    bundle.lines("ads/contacts.ndjson", join(*pieces, "}"), flat)
    bundle.count(ad_contacts=count, ad_clicks=(kind == 1).sum())
    return clicks


def write_spend(bundle: Bundle, clicks: Ints, span: Span, seed: int) -> float:
    """What was spent a day and campaign on each platform; gives the sum in euro."""
    rng = stream(seed, 0, "spend")
    first = int(berlin(np.array([span.start]))[0] // DAY)
    total = 0.0
    for platform, campaigns in (("google_ads", (0, 1, 2, 5)), ("meta_ads", (3, 4))):
        day, campaign = np.repeat(np.arange(span.days), len(campaigns)), np.tile(np.array(campaigns), span.days)
        bought = clicks[day, campaign]
        cost = cents(bought * CLICK_CENTS[campaign] / 100 * rng.uniform(0.8, 1.2, len(day)))
        impressions = bought * rng.integers(25, 60, len(day)) + rng.integers(0, 60, len(day))
        total += float(cost.sum()) / 100
        dates, name, euro = iso_day(first + day), pick(pool(CAMPAIGNS), campaign), texts(["EUR"] * len(day))
        if platform == "google_ads":
            columns = {"Day": dates, "Campaign": name, "Campaign type": pick(pool(TYPES), campaign), "Cost": decimal(cost, "."), "Impressions": impressions, "Clicks": bought, "Currency code": euro}
        else:
            columns = {"date_start": dates, "campaign_name": name, "spend": decimal(cost, "."), "impressions": impressions, "clicks": bought, "account_currency": euro}
        bundle.table(f"ads/spend_{platform}.csv", columns, delimiter=",")
    return total
