"""One block of people after another: drawn, let live, written down; blocks may be made side by side, they are written in order."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from kundig.simulate import ads, b2b, consents, messages, records, service, shop, trackers, truth, visits
from kundig.simulate.people import ORIGINS, draw_people
from kundig.simulate.purchases import draw_purchases
from kundig.simulate.text import Ints, pick, where
from kundig.simulate.text import pool as text_pool
from kundig.simulate.world import BLOCK, Span, World
from kundig.simulate.writers import Bundle, Formats


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Makes the blocks of one world; holds nothing that changes, so blocks may be made in any order and side by side."""

    world: World
    span: Span
    seed: int
    formats: Formats
    items: shop.Catalogue

    def opening(self) -> Bundle:
        """What does not depend on people: articles and stock."""
        bundle = Bundle(self.formats)
        shop.write_catalogue(bundle, self.items, self.span, self.seed)
        return bundle

    def block(self, block: int, count: int) -> tuple[Bundle, Ints]:
        """All that is known of the people of one block, and clicks on advertising by day and campaign."""
        span, seed, items = self.span, self.seed, self.items
        bundle = Bundle(self.formats)
        people = draw_people(self.world, span, seed, block, count, block * BLOCK)
        process, purchases = draw_purchases(self.world, span, people, seed, block)
        kept = consents.draw_consents(people, purchases, span, seed, block)
        sends = messages.draw_sends(people, kept, span, seed, block)
        index, mailed, opened = sends.opened_mails()
        orders = shop.draw_orders(people, purchases, items, (mailed, opened), span, seed, block)
        sends = messages.with_caused_clicks(sends, index, orders)
        made = visits.draw_visits(people, orders, sends, span, seed, block)
        total = shop.write_orders(bundle, people, orders, items, named_channels(people.origin, made, orders), span, seed, block)
        orders = shop.priced(orders, total)
        held = (records.write_accounts(bundle, people, span, seed, block), records.write_contacts(bundle, people, span, seed, block), b2b.write_leads(bundle, people, span, seed, block))
        web, app, planted = visits.draw_messages(people, made, orders, span, seed, block)
        bundle.count(**planted)
        trackers.write_messages(bundle, "web", people, made, web, orders, items, seed, block)
        trackers.write_messages(bundle, "app", people, made, app, orders, items, seed, block)
        consents.write_consents(bundle, people, kept, span, block)
        messages.write_sends(bundle, people, sends, span, block)
        clicks = ads.write_contacts(bundle, people, made, orders, span, seed, block)
        service.write_tickets(bundle, people, orders, span, seed, block)
        service.write_surveys(bundle, people, span, seed, block)
        service.write_referrals(bundle, people, span, seed, block)
        service.write_subscriptions(bundle, people, span, seed, block)
        truth.keep_people(bundle, people, process, items, seed, block)
        truth.keep_identifiers(bundle, people, made, held, seed, span)
        return bundle, clicks

    def blocks(self, persons: int, workers: int) -> Iterator[tuple[int, Bundle, Ints]]:
        """Persons done so far, and the bundles in order; never more than `workers` blocks are held beside the one being written."""
        sizes = [min(BLOCK, persons - begin) for begin in range(0, persons, BLOCK)]
        with ThreadPoolExecutor(workers) as pool:
            waiting: list[Future[tuple[Bundle, Ints]]] = []
            done = 0
            for number, size in enumerate(sizes):
                waiting.append(pool.submit(self.block, number, size))
                if len(waiting) >= workers:
                    done = min(persons, done + BLOCK)
                    yield done, *waiting.pop(0).result()
            for future in waiting:
                done = min(persons, done + BLOCK)
                yield done, *future.result()

    def closing(self, clicks: Ints) -> tuple[Bundle, float]:
        """What is known only at the end: advertising spend, and its sum."""
        bundle = Bundle(self.formats)
        return bundle, ads.write_spend(bundle, clicks, self.span, self.seed)


def named_channels(origin: Ints, made: visits.Visits, orders: shop.Orders) -> pa.Array:
    """The channel the shop names for each order: where a new customer came from, later the one of the visit."""
    by = np.zeros(len(orders), dtype=np.int64)
    led = np.flatnonzero(made.order >= 0)
    by[made.order[led]] = made.channel[led]
    return where(orders.first, pick(ORIGINS, origin[orders.person]), pick(text_pool(visits.CHANNELS), by))
