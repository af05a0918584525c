"""Visits to web and app as Segment messages, with what trackers do to them: losses, resends, late arrivals, wrong clocks, shared devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kundig.simulate.people import DAY, Bools, Ints, People, Texts
from kundig.simulate.shop import CATEGORIES, Catalogue, Orders
from kundig.simulate.world import Span, stream
from kundig.simulate.writers import Files, decimal, iso, join, optional

SECOND = 1_000_000
KINDS = np.array(["page", "Product Viewed", "Product Added", "Checkout Started", "Order Completed", "Signed In", "Application Opened", "identify"])
PAGE, VIEWED, ADDED, CHECKOUT, COMPLETED, SIGNED_IN, OPENED, IDENTIFY = range(8)
SITE = "https://www.example.org"
_MEDIUM = {"paid_search": "cpc", "organic_search": "", "direct": "", "paid_social": "paid_social", "email": "email", "referral": "referral", "affiliate": "affiliate"}
_SOURCE = {"paid_search": "google", "organic_search": "", "direct": "", "paid_social": "facebook", "email": "newsletter", "referral": "partner", "affiliate": "partner"}


@dataclass(frozen=True, kw_only=True)
class Visits:
    """Visits of one block, as advertising needs them."""

    person: Ints
    at: Ints
    channel: Texts
    device: Ints


def write_visits(files: Files, people: People, orders: Orders, items: Catalogue, span: Span, seed: int, block: int) -> tuple[Visits, dict[str, int]]:
    """The files of web and app messages; gives the visits and counts of what was planted."""
    rng = stream(seed, block, "visits")
    person, at, order, app = _visits(people, orders, span, rng)
    channel = _channels(people, person, rng)
    device, owner = _devices(people, person, at, rng)
    visit, kind, moment = _messages(person, at, order, app, people, rng)
    keep = ~((kind == COMPLETED) & ~app[visit] & (rng.random(len(kind)) < 0.10))
    lost = int((~keep).sum())
    visit, kind, moment = visit[keep], kind[keep], moment[keep]
    known = people.customer[person[visit]] & ~people.guest[person[visit]] & ((rng.random(len(visit)) < 0.35) | np.isin(kind, [SIGNED_IN, IDENTIFY, COMPLETED]))
    product = rng.integers(0, len(items.number), len(visit))
    facts = _Facts(people=people, person=owner[visit], device=device[visit], kind=kind, at=moment, channel=channel[visit], order=order[visit], known=known & (owner[visit] == person[visit]), product=product, orders=orders, items=items)
    counts = {"events_lost": lost}
    serial = 0
    for name, mask in (("web", ~app[visit]), ("app", app[visit])):
        texts, planted, received = _texts(facts, mask, name, block, serial, rng)
        serial += int(mask.sum())
        if files.parquet:
            files.rows(f"{name}/events-{block:04d}.parquet", pa.table({"body": texts, "received": pa.array(received)}))
        else:
            files.lines(f"{name}/events-{block:04d}.jsonl", texts)
        for what, number in planted.items():
            counts[what] = counts.get(what, 0) + number
    counts["devices_shared"] = int((people.device != people.number * 2).sum())
    counts["devices_sold"] = int((people.sold_to >= 0).sum())
    return Visits(person=person, at=at, channel=channel, device=device), counts


@dataclass(frozen=True, kw_only=True)
class _Facts:
    people: People
    person: Ints
    device: Ints
    kind: Ints
    at: Ints
    channel: Texts
    order: Ints
    known: Bools
    product: Ints
    orders: Orders
    items: Catalogue


def _visits(people: People, orders: Orders, span: Span, rng: np.random.Generator) -> tuple[Ints, Ints, Ints, Bools]:
    """Person, moment, order (-1: none) and app of each visit: idle ones, and one before each online order."""
    idle = rng.poisson(np.where(people.customer, 4.0, np.where(people.lead, 3.0, 1.8)))
    person = np.repeat(np.arange(len(people)), idle)
    start = np.maximum(people.registered[person] - 20 * DAY, span.start)
    at = start + (rng.random(len(person)) ** 1.3 * (span.end - start - DAY)).astype(np.int64)
    app = people.app[person] & (rng.random(len(person)) < 0.5)
    online = np.flatnonzero(~orders.till)
    before = orders.at[online] - rng.integers(4, 25, len(online)) * 60 * SECOND
    person = np.concatenate([person, orders.person[online]])
    order = np.concatenate([np.full(len(at), -1), online])
    return person, np.concatenate([at, before]), order, np.concatenate([app, orders.app[online]])


def _channels(people: People, person: Ints, rng: np.random.Generator) -> Texts:
    drawn = rng.choice(np.array(["direct", "organic_search", "paid_search", "email", "paid_social", "referral", "affiliate"]), len(person), p=[0.3, 0.25, 0.15, 0.12, 0.1, 0.05, 0.03])
    return np.where(rng.random(len(person)) < 0.4, people.origin[person], drawn.astype(object))


def _devices(people: People, person: Ints, at: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """The device of each visit, and who sits at it: after a sale of a device its events are those of the buyer."""
    second = (people.second_device[person] >= 0) & (rng.random(len(person)) < 0.4)
    device = np.where(second, people.second_device[person], people.device[person])
    sold = (people.sold_to[person] >= 0) & (at >= people.sold_at[person]) & ~second
    device = np.where(sold, people.number[person] * 2 + 1, device)
    buyers = np.flatnonzero(people.sold_to >= 0)
    bought = np.full(len(people), -1)
    bought[people.sold_to[buyers]] = buyers
    takes = (bought[person] >= 0) & (rng.random(len(person)) < 0.5)
    seller = np.where(takes, bought[person], 0)
    takes &= at >= people.sold_at[seller]
    return np.where(takes, people.device[seller], device), person


def _messages(person: Ints, at: Ints, order: Ints, app: Bools, people: People, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """Visit, kind and moment of each message."""
    visits = np.arange(len(person))
    pages = 1 + rng.poisson(1.3, len(person))
    parts: list[tuple[Ints, Ints, Ints]] = [(np.repeat(visits, pages), np.full(pages.sum(), PAGE), _step(pages))]
    views = rng.poisson(np.where(order >= 0, 2.0, 0.9))
    parts.append((np.repeat(visits, views), np.full(views.sum(), VIEWED), _step(views)))
    buying = np.flatnonzero(order >= 0)
    adding = np.concatenate([buying, np.flatnonzero((order < 0) & (rng.random(len(person)) < 0.08))])
    signing = np.flatnonzero(people.customer[person] & ~people.guest[person] & (rng.random(len(person)) < 0.3))
    telling = np.flatnonzero(people.customer[person] & (rng.random(len(person)) < 0.12))
    opening = np.flatnonzero(app)
    for where, kind, late in ((adding, ADDED, 5), (buying, CHECKOUT, 7), (buying, COMPLETED, 9), (signing, SIGNED_IN, 1), (telling, IDENTIFY, 2), (opening, OPENED, 0)):
        parts.append((where, np.full(len(where), kind), np.full(len(where), late)))
    visit, which, step = (np.concatenate([part[number] for part in parts]) for number in range(3))
    return visit, which, at[visit] + step * 20 * SECOND + rng.integers(0, 15 * SECOND, len(visit))


def _step(counts: Ints) -> Ints:
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _texts(facts: _Facts, mask: Bools, platform: str, block: int, serial: int, rng: np.random.Generator) -> tuple[pa.Array, dict[str, int], Ints]:
    """The messages as lines of JSON in order of arrival, with resends; counts of what was planted."""
    where = np.flatnonzero(mask)
    at, kind = facts.at[where], facts.kind[where]
    sent = at + rng.integers(200_000, 3 * SECOND, len(where))
    received = sent + rng.integers(30_000, 900_000, len(where))
    late = rng.random(len(where)) < 0.01
    received = np.where(late, received + rng.integers(DAY, 5 * DAY, len(where)), received)
    sent = np.where(late, received - rng.integers(30_000, 900_000, len(where)), sent)
    skewed = (facts.device[where] % 97) == 0
    shift = np.where(skewed, 3_600 * SECOND, 0)
    identifier = join(f"{platform}-{block:04d}-", (serial + np.arange(len(where))).astype(str).astype(object))
    lines = join(
        '{"type":"', np.array(["page", "track", "track", "track", "track", "track", "track", "identify"], dtype=object)[kind], '"', _event(kind), ',"messageId":"', identifier, '"',
        ',"anonymousId":"', facts.people.anonymous_id(facts.device[where]).astype(object), '"', optional(None, facts.known[where], ',"userId":"', facts.people.customer_number[facts.person[where]].astype(object), '"'),
        ',"originalTimestamp":"', iso(at + shift), '","sentAt":"', iso(sent + shift), '","receivedAt":"', iso(received), '"', _context(facts, where, platform, kind), _properties(facts, where, kind), "}",
    )  # fmt: skip
    again = rng.random(len(where)) < 0.01
    order = np.argsort(received, kind="stable")
    lines, arrived = lines.take(pa.array(order)), received[order]
    resent = lines.filter(pa.array(again[order]))
    planted = {"events": len(where), "events_resent": int(again.sum()), "events_late": int(late.sum()), "events_skewed": int(skewed.sum()), f"events_{platform}": len(where)}
    return pa.concat_arrays([lines, resent]), planted, np.concatenate([arrived, arrived[again[order]]])


def _event(kind: Ints) -> pa.Array:
    words = np.array(['' if name in ("page", "identify") else f',"event":"{name}"' for name in KINDS], dtype=object)
    return pa.array(words[kind], type=pa.string())


def _context(facts: _Facts, where: Ints, platform: str, kind: Ints) -> pa.Array:
    """The context of each message: page, campaign, agent, locale, device."""
    category = CATEGORIES[facts.items.category[facts.product[where]]]
    path = np.array([f"/{name.lower()}" for name in CATEGORIES], dtype=object)[facts.items.category[facts.product[where]]] if len(category) else np.array([], dtype=object)
    path = np.where(kind == CHECKOUT, "/kasse", np.where(kind == COMPLETED, "/danke", np.where(kind == SIGNED_IN, "/konto", path)))
    channel = facts.channel[where]
    medium = np.array([_MEDIUM[name] for name in _MEDIUM], dtype=object)
    source = np.array([_SOURCE[name] for name in _SOURCE], dtype=object)
    number = np.searchsorted(np.array(sorted(_MEDIUM)), channel.astype(str))
    ordered = np.argsort(np.array(list(_MEDIUM)))
    medium, source = medium[ordered][number], source[ordered][number]
    paid = medium != ""
    agent = "Mozilla/5.0 (Linux; Android 15) Chrome/140" if platform == "web" else "ShopApp/4.2 (iPhone; iOS 19)"
    referrer = np.where(channel == "organic_search", "https://www.google.com/", np.where(channel == "referral", "https://blog.example.net/", ""))
    page = join(',"context":{"page":{"path":"', path.astype(object), f'","url":"{SITE}', path.astype(object), '","referrer":"', referrer.astype(object), '"}')
    campaign = optional(None, paid, ',"campaign":{"source":"', source, '","medium":"', medium, '","name":"', np.where(medium == "email", "newsletter", "herbst").astype(object), '"}')
    device = join(',"device":{"id":"d', facts.people.anonymous_id(facts.device[where]).astype(object), '","type":"ios"}') if platform == "app" else ""
    return join(page, campaign, f',"userAgent":"{agent}","locale":"', facts.people.language[facts.person[where]], '"', device, "}")


def _properties(facts: _Facts, where: Ints, kind: Ints) -> pa.Array:
    """What the message tells: product and price, total and order number, or the traits of a person."""
    items, product = facts.items, facts.product[where]
    empty: Any = pa.array(np.full(len(where), "", dtype=object), type=pa.string())
    about = join(',"properties":{"product_id":"', items.number[product], '","category":"', CATEGORIES[items.category[product]].astype(object), '","price":', decimal(items.price[product], "."), ',"currency":"EUR"}')
    order = np.maximum(facts.order[where], 0)
    has_orders = len(facts.orders.number) > 0
    number = facts.orders.number[order] if has_orders else np.full(len(where), "", dtype=object)
    total = facts.orders.total[order] if has_orders else np.zeros(len(where), dtype=np.int64)
    bought = join(',"properties":{"order_id":"', number, '","total":', decimal(total, "."), ',"currency":"EUR"}')
    traits = join(',"traits":{"email":"', facts.people.email[facts.person[where]], '"}')
    text = pc.if_else(pa.array(np.isin(kind, [VIEWED, ADDED])), about, empty)
    text = pc.if_else(pa.array(np.isin(kind, [CHECKOUT, COMPLETED])), bought, text)
    return pc.if_else(pa.array(kind == IDENTIFY), traits, text)
