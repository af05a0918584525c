"""Visits to web and app: who sits at which device, how the visit came about, and the messages trackers send of it, with what they lose and bend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kundig.simulate.messages import Sends
from kundig.simulate.people import PERSONAS, People
from kundig.simulate.purchases import waking
from kundig.simulate.shop import CATEGORIES, CAUSES, PRODUCTS, Orders
from kundig.simulate.text import DAY, HOUR, MINUTE, SECOND, Bools, Ints, berlin, berlin_moment
from kundig.simulate.world import Span, stream

KINDS = ("page", "screen", "Product Viewed", "Product Added", "Checkout Started", "Order Completed", "Signed In", "Application Opened", "identify")
PAGE, SCREEN, VIEWED, ADDED, CHECKOUT, COMPLETED, SIGNED_IN, OPENED, IDENTIFY = range(len(KINDS))

CHANNELS = ("direct", "organic_search", "paid_search", "paid_social", "email", "referral", "affiliate", "display")
DIRECT, ORGANIC, SEARCH, SOCIAL, EMAIL, REFERRAL, AFFILIATE, DISPLAY = range(len(CHANNELS))
_ORIGIN = np.array([SEARCH, ORGANIC, DIRECT, SOCIAL, DIRECT, REFERRAL, AFFILIATE])
"""Channel of visits of people of each origin; e-mail visits come from clicks alone."""
_SHARES = np.array([0.38, 0.30, 0.15, 0.09, 0.0, 0.045, 0.025, 0.01])
_CAUSE = np.array([CHANNELS.index(name) if name else -1 for name in CAUSES])

CAMPAIGNS = ("marke", "generisch", "einkaufen", "neue-kunden", "wiederkehrer", "banner", "preisvergleich")
"""Campaigns of advertising; messages name their own."""
NEWSLETTERS = 1_000
"""Numbers of campaigns from here on are those of newsletters."""
BLOCKED = 0.10
"""Share of confirmations of orders in browsers that a blocker swallows."""
RESENT, LATE = 0.01, 0.01
SKEWED = 97
"""One device in so many has a clock that runs ahead."""
PATHS = ("/", "/warenkorb", "/kasse", "/danke", "/konto", "/suche", "/ratgeber", "/versand")
HOME, BASKET, TILL, THANKS, ACCOUNT = range(5)


@dataclass(frozen=True, kw_only=True)
class Visits:
    """Visits of one block."""

    person: Ints
    """Whom the visit was drawn for; the one who sits at the device."""
    at: Ints
    channel: Ints
    campaign: Ints
    """-1: none."""
    device: Ints
    order: Ints
    """Index of the order it led to; -1: none."""
    app: Bools

    def __len__(self) -> int:
        return len(self.person)


@dataclass(frozen=True, kw_only=True)
class Messages:
    """Messages of trackers of one block, one platform; all arrays alike, in order of arrival."""

    visit: Ints
    kind: Ints
    at: Ints
    sent: Ints
    received: Ints
    ahead: Ints
    """By how much the device's clock runs ahead."""
    number: Ints
    """Number of the message on its platform in the block; resends repeat it."""
    first: Bools
    """The message with which its visit begins."""
    known: Bools
    """Carries the customer number."""
    path: Ints
    """Index of `PATHS`, then of categories, then of articles."""
    product: Ints
    """-1: none."""

    def __len__(self) -> int:
        return len(self.visit)


def draw_visits(people: People, orders: Orders, sends: Sends, span: Span, seed: int, block: int) -> Visits:
    """Visits out of curiosity, visits by clicks in messages, and those that led to an online order."""
    rng = stream(seed, block, "visits")
    idle = rng.poisson(np.where(people.customer, 3.3, np.where(people.lead, 3.0, 1.4)) * span.days / 365 * rng.gamma(2.0, 0.5, len(people)))
    person = np.repeat(np.arange(len(people)), idle)
    start = np.clip(people.registered[person] - 20 * DAY, span.start, span.end - 2 * DAY)
    at = start + (rng.random(len(person)) ** 1.3 * (span.end - start - DAY)).astype(np.int64)
    hour = waking(rng.normal(np.array([one.evening for one in PERSONAS])[people.persona[person]], 3.5, len(person)))
    at = np.maximum(berlin_moment(berlin(at) // DAY * DAY + (hour * HOUR).astype(np.int64)), span.start)
    app = people.app[person] & (rng.random(len(person)) < 0.5)
    channel, campaign = _came_by(people, person, rng)
    online = np.flatnonzero(~orders.till)
    buyer, before = orders.person[online], np.maximum(orders.at[online] - rng.integers(5, 25, len(online)) * MINUTE, span.start)
    bought_by, bought_campaign = _came_by(people, buyer, rng)
    cause = _CAUSE[orders.cause[online]]
    direct_touch = (cause >= 0) & (cause != DISPLAY) & (cause != EMAIL)
    earlier = direct_touch & (rng.random(len(online)) < 0.2)
    bought_by = np.where(direct_touch & ~earlier, cause, bought_by)
    touched = np.flatnonzero(earlier)
    touch_at = np.maximum(orders.at[online][touched] - (rng.uniform(0.2, 3.0, len(touched)) * DAY).astype(np.int64), span.start)
    clicks = np.flatnonzero((sends.clicked >= 0) & (sends.clicked <= span.end - HOUR))
    parts = (
        (person, at, channel, campaign, np.full(len(person), -1), app), (buyer, before, bought_by, np.where(direct_touch, _campaign_of(cause, rng), bought_campaign), online, orders.app[online]),
        (buyer[touched], touch_at, cause[touched], _campaign_of(cause[touched], rng), np.full(len(touched), -1), np.zeros(len(touched), np.bool_)),
        (sends.person[clicks], sends.clicked[clicks] + 2 * SECOND, np.where(sends.channel[clicks] == 0, EMAIL, DIRECT), np.where(sends.channel[clicks] == 0, NEWSLETTERS + sends.campaign[clicks], -1), np.full(len(clicks), -1), sends.channel[clicks] > 0),
    )  # fmt: skip
    person, at, channel, campaign, order, app = (np.concatenate([part[place] for part in parts]) for place in range(6))
    channel, campaign = np.where(app, DIRECT, channel), np.where(app, -1, campaign)
    campaign = np.where(np.isin(channel, (DIRECT, ORGANIC, REFERRAL)), -1, campaign)
    return Visits(person=person, at=at, channel=channel, campaign=campaign, device=_devices(people, person, at, rng), order=order, app=app)


def _came_by(people: People, person: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    drawn = np.searchsorted(np.cumsum(_SHARES)[:-1], rng.random(len(person)), side="right")
    channel = np.where(rng.random(len(person)) < 0.4, _ORIGIN[people.origin[person]], drawn)
    return channel, _campaign_of(channel, rng)


def _campaign_of(channel: Ints, rng: np.random.Generator) -> Ints:
    """A campaign of the channel; -1 for channels without."""
    which = rng.random(len(channel))
    search = np.searchsorted([0.35, 0.7], which)
    return np.select([channel == SEARCH, channel == SOCIAL, channel == DISPLAY, channel == AFFILIATE], [search, 3 + (which < 0.4), np.full(len(channel), 5), np.full(len(channel), 6)], -1)


def _devices(people: People, person: Ints, at: Ints, rng: np.random.Generator) -> Ints:
    """The device of each visit: after the sale of a device its messages are those of the buyer."""
    second = (people.second_device[person] >= 0) & (rng.random(len(person)) < 0.4)
    device = np.where(second, people.second_device[person], people.device[person])
    gone = (people.sold_to[person] >= 0) & (at >= people.sold_at[person]) & ~second
    device = np.where(gone, people.number[person] * 2 + 1, device)
    sellers = np.flatnonzero(people.sold_to >= 0)
    bought = np.full(len(people), -1)
    bought[people.sold_to[sellers]] = sellers
    seller = np.maximum(bought[person], 0)
    takes = (bought[person] >= 0) & (people.sold_to[seller] == person) & (rng.random(len(person)) < 0.5) & (at >= people.sold_at[seller])
    return np.where(takes, people.device[seller], device)


def draw_messages(people: People, visits: Visits, orders: Orders, span: Span, seed: int, block: int) -> tuple[Messages, Messages, dict[str, int]]:
    """The messages of web and of app, resends among them, and counts of what was planted."""
    rng = stream(seed, block, "trackers")
    visit, kind, step = _steps(people, visits, orders, rng)
    at = np.minimum(visits.at[visit] + step * 20 * SECOND + np.where(step == 0, 0, rng.integers(0, 15_000, len(visit)) * 1_000), span.end)
    blocked = (kind == COMPLETED) & ~visits.app[visit] & (rng.random(len(kind)) < BLOCKED)
    confirmations = int((kind == COMPLETED).sum())
    visit, kind, step, at = visit[~blocked], kind[~blocked], step[~blocked], at[~blocked]
    count = len(visit)
    person = visits.person[visit]
    known = people.account[person] & ((rng.random(len(visits)) < 0.35)[visit] | np.isin(kind, (SIGNED_IN, IDENTIFY, COMPLETED))) & ~((visits.order[visit] >= 0) & orders_as_guest(people, orders)[visits.order[visit]])
    favourite = people.favourite[person]
    product = np.where(rng.random(count) < 0.5, favourite + len(CATEGORIES) * rng.integers(0, PRODUCTS // len(CATEGORIES), count), rng.integers(0, PRODUCTS, count))
    buying = (visits.order[visit] >= 0) & (kind == ADDED)
    product = np.where(buying, orders.product[visits.order[visit]], product) if len(orders) else product
    shows = np.isin(kind, (VIEWED, ADDED))
    category = product % len(CATEGORIES)
    wanders = rng.random(count)
    path = np.where(wanders < 0.15, HOME, np.where(wanders < 0.25, 5 + (wanders * 100).astype(np.int64) % 3, len(PATHS) + category))
    fixed = np.select([shows, kind == CHECKOUT, kind == COMPLETED, np.isin(kind, (SIGNED_IN, IDENTIFY))], [len(PATHS) + len(CATEGORIES) + product, np.full(count, TILL), np.full(count, THANKS), np.full(count, ACCOUNT)], path)
    late = rng.random(count) < LATE
    sent = at + rng.integers(200, 3_000, count) * 1_000
    received = sent + rng.integers(30, 900, count) * 1_000
    waits = rng.integers(DAY // SECOND, 5 * DAY // SECOND, count) * SECOND
    sent, received = np.where(late, sent + waits, sent), np.where(late, received + waits, received)
    skewed = visits.device[visit] % SKEWED == 0
    ahead = np.where(skewed, HOUR, 0)
    again = rng.random(count) < RESENT
    counts = {"events_blocked": int(blocked.sum()), "confirmations": confirmations, "events_late": int(late.sum()), "events_skewed": int(skewed.sum())}
    made = []
    for app in (False, True):
        mine = np.flatnonzero(visits.app[visit] == app)
        number = np.arange(len(mine))
        resent = np.flatnonzero(again[mine])
        which = np.concatenate([mine, mine[resent]])
        number = np.concatenate([number, resent])
        waited = np.concatenate([np.zeros(len(mine), np.int64), rng.integers(1, 20, len(resent)) * SECOND])
        arrived = received[which] + waited
        inside = np.flatnonzero(arrived <= span.end)
        order = inside[np.argsort(arrived[inside], kind="stable")]
        which, number, waited, arrived = which[order], number[order], waited[order], arrived[order]
        made.append(
            Messages(
                visit=visit[which], kind=kind[which], at=at[which], sent=sent[which] + waited, received=arrived, ahead=ahead[which], number=number, first=step[which] == 0, known=known[which], path=fixed[which],
                product=np.where(shows[which], product[which], -1),
            )
        )  # fmt: skip
        platform = "app" if app else "web"
        distinct = len(np.unique(number))
        counts |= {f"events_{platform}": distinct, f"events_{platform}_resent": len(which) - distinct}
    return made[0], made[1], counts


def orders_as_guest(people: People, orders: Orders) -> Bools:
    """Orders made without signing in, with a mark behind for visits without an order."""
    return np.append(orders.second & ~people.second_account[orders.person], False)


def _steps(people: People, visits: Visits, orders: Orders, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """Visit, kind and step of each message; a visit begins with a page, in the app with its opening."""
    every = np.arange(len(visits))
    buying = visits.order >= 0
    pages = 1 + rng.poisson(1.2, len(visits))
    views = rng.poisson(np.where(buying, 2.0, 0.9))
    adding = buying | (rng.random(len(visits)) < 0.08)
    customer = people.account[visits.person]
    guest_order = orders_as_guest(people, orders)[visits.order]
    signing = customer & ~guest_order & (rng.random(len(visits)) < 0.3)
    telling = people.customer[visits.person] & (rng.random(len(visits)) < np.where(buying, 0.5, 0.08))
    paged, viewed = np.repeat(every, pages), np.repeat(every, views)
    parts = [
        (paged, np.where(visits.app[paged], SCREEN, PAGE), _within(pages) * 2 + visits.app[paged]),
        (viewed, np.full(len(viewed), VIEWED), _within(views) * 2 + 3),
    ]  # fmt: skip
    for mask, kind, step in ((adding, ADDED, 12), (buying, CHECKOUT, 13), (buying, COMPLETED, 14), (signing, SIGNED_IN, 2), (telling, IDENTIFY, 11), (visits.app, OPENED, 0)):
        which = np.flatnonzero(mask)
        parts.append((which, np.full(len(which), kind), np.full(len(which), step)))
    visit, kinds, steps = (np.concatenate([part[place] for part in parts]) for place in range(3))
    return visit, kinds, steps


def _within(counts: Ints) -> Ints:
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
