"""One block of people after another: drawn, let live, written down."""

from __future__ import annotations

from dataclasses import dataclass, field

from kundig.simulate import marketing, records, service, truth
from kundig.simulate.people import draw_people
from kundig.simulate.purchases import draw_purchases
from kundig.simulate.shop import catalogue, write_catalogue, write_orders
from kundig.simulate.visits import write_visits
from kundig.simulate.world import BLOCK, Span, World
from kundig.simulate.writers import Files

BRAND_LIFT = 0.12
"""True lift of recall among those who saw the campaign."""


@dataclass
class Maker:
    """Writes the blocks of one world."""

    world: World
    span: Span
    seed: int
    files: Files
    truth: Files | None
    counts: dict[str, int]
    clicks: dict[tuple[int, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.items = catalogue(self.seed)
        write_catalogue(self.files, self.items, self.span, self.seed)

    def block(self, block: int, count: int) -> None:
        """The people of one block and all that is known of them."""
        span, seed, files = self.span, self.seed, self.files
        people = draw_people(self.world, span, seed, block, count, block * BLOCK)
        process, purchases = draw_purchases(self.world, span, people, seed, block)
        orders, planted = write_orders(files, people, purchases, self.items, span, seed, block)
        self._add(planted)
        records.write_accounts(files, people)
        contacts, planted = records.write_contacts(files, people, span, seed, block)
        self._add(planted)
        self._add(records.write_leads(files, people, span, seed, block))
        visits, planted = write_visits(files, people, orders, self.items, span, seed, block)
        self._add(planted)
        consents, planted = marketing.write_consents(files, people, span, seed, block)
        self._add(planted)
        self._add(marketing.write_messages(files, people, consents, span, seed, block))
        for key, number in marketing.write_ad_contacts(files, people, visits, seed, block).items():
            self.clicks[key] = self.clicks.get(key, 0) + number
        self._add({"tickets": service.write_tickets(files, people, orders, span, seed, block), "answers": service.write_surveys(files, people, span, seed, block, BRAND_LIFT)})
        self._add({"referrals": service.write_referrals(files, people, span, seed, block), "subscriptions": service.write_subscriptions(files, people, span, seed, block)})
        if self.truth is not None:
            truth.write_people(self.truth, people, process, consents)
            truth.write_identifiers(self.truth, people, contacts, block, span)

    def finish(self) -> float:
        """What is known only at the end: advertising spend. Gives its sum."""
        return marketing.write_spend(self.files, self.clicks, self.span, self.seed)

    def _add(self, planted: dict[str, int]) -> None:
        for name, number in planted.items():
            self.counts[name] = self.counts.get(name, 0) + number
