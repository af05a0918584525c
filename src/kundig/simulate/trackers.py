"""Messages of trackers as files, one a month of arrival: Segment's JSON as lines or in Parquet, or the same facts as flat columns."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kundig.simulate.names import plain
from kundig.simulate.people import People
from kundig.simulate.shop import CATEGORIES, Catalogue, Orders
from kundig.simulate.text import Ints, data_of, decimal, join, moments, pick, pool, rows, uuids, where
from kundig.simulate.visits import CAMPAIGNS, CHANNELS, CHECKOUT, COMPLETED, IDENTIFY, KINDS, NEWSLETTERS, PATHS, Messages, Visits
from kundig.simulate.writers import Bundle, moment

SITE = "https://www.example.org"
_SOURCE = {"paid_search": ("google", "cpc"), "paid_social": ("facebook", "paid_social"), "email": ("newsletter", "email"), "affiliate": ("partner", "affiliate"), "display": ("google", "display")}
_REFERRER = {"organic_search": "https://www.google.com/", "referral": "https://blog.example.net/", "paid_search": "https://www.google.com/", "paid_social": "https://www.facebook.com/", "affiliate": "https://vergleich.example.com/"}
_AGENTS = {
    "web": (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36", "Mozilla/5.0 (Linux; Android 15; K) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 Version/18.6 Mobile Safari/604.1", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:143.0) Gecko/20100101 Firefox/143.0",
    ),
    "app": ("ShopApp/4.2 (iPhone; iOS 18.6)", "ShopApp/4.2 (Android 15)"),
}  # fmt: skip
_LOCALES = ("de-DE", "en-GB", "de-CH")
_TYPES = tuple(name if name in ("page", "screen", "identify") else "track" for name in KINDS)


def paths(items: Catalogue) -> pa.Array:
    """Every path of the shop: fixed ones, categories, articles."""
    slugs = [f"/{plain(name).lower()}" for name in CATEGORIES]
    articles = [f"{slugs[category]}/{number.lower()}" for category, number in zip(items.category, items.number.to_pylist(), strict=True)]
    return pool([*PATHS, *slugs, *articles])


def write_messages(bundle: Bundle, platform: str, people: People, visits: Visits, made: Messages, orders: Orders, items: Catalogue, seed: int, block: int) -> None:
    """The files of one platform, one a month of arrival."""
    months = made.received.astype("datetime64[us]").astype("datetime64[M]")
    cuts = np.append(np.flatnonzero(np.append(True, months[1:] != months[:-1])), len(months)) if len(months) else np.array([], dtype=np.int64)
    if bundle.formats["events"] == "flat":
        table = _flat(platform, people, visits, made, orders, items, seed, block)
        for begin, end in pairwise(cuts):
            bundle.rows(f"{platform}/events-{months[begin]}.parquet", table.slice(begin, end - begin))
        return
    lines = _lines(platform, people, visits, made, orders, items, seed, block)
    for begin, end in pairwise(cuts):
        part = lines.slice(begin, end - begin)
        if bundle.formats["events"] == "parquet":
            bundle.rows(f"{platform}/events-{months[begin]}.parquet", pa.table({"body": pc.utf8_rtrim(part, "\n")}))
        else:
            bundle.text(f"{platform}/events-{months[begin]}.jsonl", len(part), data_of(part))


def _touches(visits: Visits, made: Messages) -> Ints:
    """Number of each message's touch in the table of touches; 0 within a visit."""
    visit = made.visit
    campaign = visits.campaign[visit]
    number = np.where(campaign >= NEWSLETTERS, len(CHANNELS) * (len(CAMPAIGNS) + 1) + campaign - NEWSLETTERS, visits.channel[visit] * (len(CAMPAIGNS) + 1) + campaign + 1)
    return np.where(made.first, number + 1, 0)


def _touch_table(most: int, platform: str) -> list[tuple[str, str, str, str]]:
    """Source, medium, campaign and referrer of every touch that may occur."""
    table = [("", "", "", SITE + "/" if platform == "web" else "")]
    for channel in CHANNELS:
        source, medium = _SOURCE.get(channel, ("", ""))
        table += [(source, medium, name if source else "", _REFERRER.get(channel, "")) for name in ("", *CAMPAIGNS)]
    return table + [("newsletter", "email", f"newsletter-{number:02d}", "") for number in range(most)]


def _numbers(platform: str, block: int, made: Messages, seed: int) -> Any:
    """Message ids: a resend repeats the one of its first sending."""
    return uuids(made.number + block * 20_000_000 + (10_000_000_000_000 if platform == "app" else 0), 1_000 + seed)


def _agents(platform: str, visits: Visits, made: Messages) -> Ints:
    return (visits.device[made.visit] // 2) % len(_AGENTS[platform])


def _lines(platform: str, people: People, visits: Visits, made: Messages, orders: Orders, items: Catalogue, seed: int, block: int) -> pa.Array:
    """The messages as lines of JSON, line ends included."""
    person, count = visits.person[made.visit], len(made)
    if count == 0:
        return pool([])
    heads = pool(
        f'{{"type":"{kind}"' + (f',"event":"{name}"' if kind == "track" else ',"name":"Seite"' if kind == "screen" else "") + ',"messageId":"' for kind, name in zip(_TYPES, KINDS, strict=True)
    )
    stamps: list[Any] = [b'","originalTimestamp":"', moments(made.at + made.ahead), b'","sentAt":"', moments(made.sent + made.ahead), b'","receivedAt":"', moments(made.received)]
    if platform == "web":
        stamps += [b'","timestamp":"', moments(made.at)]
    middle = rows(_numbers(platform, block, made, seed), b'","anonymousId":"', uuids(visits.device[made.visit], seed), *stamps, b'"', count=count)
    users = pa.concat_arrays([pool([""]), join(',"userId":"', _accounts(people), '"')]).take(pa.array(np.where(made.known, _account(people, visits, made, orders) + 1, 0)))
    touches = _touch_table(int(visits.campaign.max(initial=NEWSLETTERS)) - NEWSLETTERS + 1, platform)
    touch = pool(_referred(*one, platform) for one in touches)
    agents = pool(f',"userAgent":"{agent}","locale":"{locale}"' for agent in _AGENTS[platform] for locale in _LOCALES)
    agent = pick(agents, _agents(platform, visits, made) * len(_LOCALES) + _locales(people, person))
    page = pool(f',"context":{{"page":{{"path":"{path}","url":"{SITE}{path}"' for path in paths(items).to_pylist())
    parts: list[Any] = [pick(heads, made.kind), middle, users]
    if platform == "web":
        parts += [pick(page, made.path), pick(touch, _touches(visits, made)), agent]
    else:
        device = rows(b',"device":{"id":"', uuids(visits.device[made.visit], 500 + seed), b'","type":"ios"}', count=count)
        parts += [pick(pool([',"context":{"app":{"name":"Shop"}']), np.zeros(count, dtype=np.int64)), agent, device]
    parts.append(_tails(people, visits, made, orders, items))
    return pc.binary_join_element_wise(*parts, "")


def _referred(source: str, medium: str, campaign: str, referrer: str, platform: str) -> str:
    told = f',"campaign":{{"source":"{source}","medium":"{medium}","name":"{campaign}"}}' if source else ""
    return f',"referrer":"{referrer}"}}{told}'


def _accounts(people: People) -> pa.Array:
    """Customer numbers of everybody, then their second ones."""
    everyone = np.arange(len(people))
    return pa.concat_arrays([people.customer_numbers(everyone), people.customer_numbers(everyone, np.ones(len(people), dtype=np.bool_))])


def _account(people: People, visits: Visits, made: Messages, orders: Orders) -> Ints:
    """Which of `_accounts` each message was signed in to."""
    person = visits.person[made.visit]
    second = np.append(orders.second, False)[visits.order[made.visit]] & people.second_account[person]
    return person + np.where(second, len(people), 0)


def _locales(people: People, person: Ints) -> Ints:
    return np.where(people.swiss[person], 2, np.where(people.english[person], 1, 0))


def _tails(people: People, visits: Visits, made: Messages, orders: Orders, items: Catalogue) -> pa.Array:
    """What messages tell besides, to the end of the line: article, amount and number of an order, or traits."""
    articles = join('},"properties":{"product_id":"', items.number, '","category":"', pick(pool(CATEGORIES), items.category), '","price":', decimal(items.price, "."), ',"currency":"EUR"}}\n')
    total, currency = decimal(orders.total, "."), where(orders.swiss, "CHF", "EUR")
    checkout = join('},"properties":{"total":', total, ',"currency":"', currency, '"}}\n')
    bought = join('},"properties":{"order_id":"', orders.number, '","total":', total, ',"currency":"', currency, '"}}\n')
    traits = join('},"traits":{"email":"', people.email, '","language":"', where(people.english, "en", "de"), '"}}\n')
    others = join('},"traits":{"email":"', people.second_email, '"}}\n')
    tails = pa.concat_arrays([pool(["}}\n"]), articles, checkout, bought, traits, others])
    order, person, count = visits.order[made.visit], visits.person[made.visit], len(orders)
    place = np.where(made.product >= 0, 1 + made.product, 0)
    base = 1 + len(items.number)
    place = np.where(made.kind == CHECKOUT, base + order, place)
    place = np.where(made.kind == COMPLETED, base + count + order, place)
    other = (order >= 0) & np.append(orders.second, False)[order]
    place = np.where(made.kind == IDENTIFY, base + 2 * count + np.where(other, len(people), 0) + person, place)
    return tails.take(pa.array(place))


def _flat(platform: str, people: People, visits: Visits, made: Messages, orders: Orders, items: Catalogue, seed: int, block: int) -> pa.Table:
    """The same facts as columns; texts that repeat are dictionaries."""
    person, count = visits.person[made.visit], len(made)
    touch = _touches(visits, made)
    table = _touch_table(int(visits.campaign.max(initial=NEWSLETTERS)) - NEWSLETTERS + 1, platform)
    source, medium, campaign, referrer = (pool(word) for word in zip(*table, strict=True))
    order = visits.order[made.visit]
    telling = np.isin(made.kind, (CHECKOUT, COMPLETED))
    completed = made.kind == COMPLETED
    other = (order >= 0) & np.append(orders.second, False)[order]
    mails = pa.concat_arrays([people.email, people.second_email])
    shown = made.product >= 0
    amount = np.where(shown, items.price[np.maximum(made.product, 0)], np.append(orders.total, 0)[order])
    columns = {
        "type": _dictionary(made.kind, pool(_TYPES)), "event": _dictionary(made.kind, pool(name if kind == "track" else "" for kind, name in zip(_TYPES, KINDS, strict=True))),
        "message_id": rows(_numbers(platform, block, made, seed), count=count), "anonymous_id": rows(uuids(visits.device[made.visit], seed), count=count),
        "user_id": _dictionary(_account(people, visits, made, orders), _accounts(people), ~made.known), "original_timestamp": moment(made.at + made.ahead), "sent_at": moment(made.sent + made.ahead),
        "received_at": moment(made.received), "timestamp": moment(made.at), "path": _dictionary(made.path, paths(items), None if platform == "web" else np.ones(count, np.bool_)),
        "referrer": _dictionary(touch, referrer), "source": _dictionary(touch, source), "medium": _dictionary(touch, medium), "campaign": _dictionary(touch, campaign),
        "user_agent": _dictionary(_agents(platform, visits, made), pool(_AGENTS[platform])), "locale": _dictionary(_locales(people, person), pool(_LOCALES)),
        "product_id": _dictionary(np.maximum(made.product, 0), items.number, ~shown), "category": _dictionary(np.maximum(made.product, 0) % len(CATEGORIES), pool(CATEGORIES), ~shown),
        "amount": pa.array(amount / 100, mask=~(shown | telling)), "currency": _dictionary(np.where(shown, 0, np.append(orders.swiss, False)[order].astype(np.int64)), pool(["EUR", "CHF"]), ~(shown | telling)),
        "order_id": _dictionary(np.where(completed, order, 0), orders.number if len(orders) else pool([""]), ~completed),
        "email": _dictionary(np.where(other, len(people), 0) + person, mails, made.kind != IDENTIFY),
    }  # fmt: skip
    if platform == "app":
        columns["device_id"] = rows(uuids(visits.device[made.visit], 500 + seed), count=count)
    return pa.table(columns)


def _dictionary(numbers: Ints, words: pa.Array, missing: Any = None) -> pa.Array:
    places = pa.array(np.asarray(numbers).astype(np.int32), mask=missing)
    return pa.DictionaryArray.from_arrays(places, words).cast(pa.string())
