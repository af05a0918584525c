"""Who is who: people with names, addresses, devices and households; vectors of one block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kundig.simulate import names
from kundig.simulate.world import Span, World, stream

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Texts = npt.NDArray[Any]
DAY = 86_400_000_000


@dataclass(frozen=True, kw_only=True)
class People:
    """One block of people; all arrays have the block's length."""

    number: Ints
    """Number of the person in the world, from 0."""
    customer: Bools
    guest: Bools
    card: Bools
    app: Bools
    lead: Bools
    subscriber: Bools
    swiss: Bools
    household: Ints
    first: Texts
    last: Texts
    male: Bools
    title: Texts
    street: Texts
    house: Texts
    postcode: Texts
    city: Texts
    birth: Ints
    """Days since 1970."""
    email: Texts
    phone: Texts
    registered: Ints
    """When the account was opened, or the first sign of the person; microseconds."""
    device: Ints
    """Number of the person's first device; members of a household may share it."""
    second_device: Ints
    """Number of the second device; -1: none."""
    sold_to: Ints
    """Index in the block of the person who bought the first device; -1: not sold."""
    sold_at: Ints
    origin: Texts
    language: Texts

    def __len__(self) -> int:
        return len(self.number)

    @property
    def customer_number(self) -> Texts:
        """Customer number of those with an account; '' for guests and others."""
        has = self.customer & ~self.guest
        return np.where(has, np.char.add("", (100_000 + self.number).astype(str)), "")

    def anonymous_id(self, device: Ints) -> Texts:
        """The trackers' id of a device, shaped like a UUID."""
        mixed = (device.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) ^ np.uint64(0xD1B54A32D192ED03)
        return np.array([f"{value:016x}" for value in mixed])


ORIGINS = np.array(["paid_search", "organic_search", "direct", "paid_social", "email", "referral", "affiliate"])
ORIGIN_SHARES = np.array([0.22, 0.26, 0.2, 0.14, 0.06, 0.07, 0.05])


def draw_people(world: World, span: Span, seed: int, block: int, count: int, first_number: int) -> People:
    """The people of one block."""
    rng = stream(seed, block, "people")
    number = first_number + np.arange(count, dtype=np.int64)
    customer = rng.random(count) < 0.42
    guest = customer & (rng.random(count) < 0.18)
    household = np.where((rng.random(count) < 0.22) & (np.arange(count) > 0), number - 1, number)
    household = _roots(household - first_number) + first_number
    shares_home = household != number
    homes = household - first_number
    male = rng.random(count) < 0.49
    first = np.where(male, names.pick(rng, names.MEN, count), names.pick(rng, names.WOMEN, count))
    last = names.pick(rng, names.SURNAMES, count)
    last = np.where(shares_home & (rng.random(count) < 0.8), last[homes], last)
    place = rng.integers(0, len(names.CITIES), count)
    place = np.where(shares_home, place[homes], place)
    swiss = np.where(shares_home, (rng.random(count) < 0.04)[homes], rng.random(count) < 0.04)
    street, house = names.pick(rng, names.STREETS, count), rng.integers(1, 140, count).astype(str)
    house = np.where(rng.random(count) < 0.12, np.char.add(house, rng.choice(np.array(list("abc")), count)), house)
    street, house = np.where(shares_home, street[homes], street), np.where(shares_home, house[homes], house)
    postcode = (np.array([city[1] for city in names.CITIES])[place] + np.where(shares_home, rng.integers(0, 90, count)[homes], rng.integers(0, 90, count))).astype(str)
    postcode = np.where(swiss, (8_000 + rng.integers(0, 90, count)).astype(str), np.char.zfill(postcode, 5))
    city = np.where(swiss, "Zürich", np.array([city[0] for city in names.CITIES])[place])
    first, street, house, postcode, city = (array.astype(object) for array in (first, street, house, postcode, city))
    before = rng.random(count) < world.entry_before
    registered = np.where(before, span.start - (rng.random(count) * 700 * DAY).astype(np.int64), span.start + (rng.random(count) * (span.end - span.start)).astype(np.int64))
    device = number * 2
    shared = shares_home & (rng.random(count) < 0.35)
    device = np.where(shared, household * 2, device)
    sold = (rng.random(count) < 0.004) & ~shared
    buyer = rng.integers(0, count, count)
    return People(
        number=number, customer=customer, guest=guest, card=customer & ~guest & (rng.random(count) < 0.3), app=customer & ~guest & (rng.random(count) < 0.2),
        lead=rng.random(count) < 0.02, subscriber=customer & ~guest & (rng.random(count) < world.subscribers), swiss=swiss, household=household, first=first, last=last.astype(object),
        male=male, title=np.where(rng.random(count) < 0.03, np.where(rng.random(count) < 0.8, "Dr.", "Prof. Dr."), "").astype(object), street=street, house=house, postcode=postcode, city=city,
        birth=rng.integers(-12_000, 13_500, count), email=names.addresses(rng, first, last, number), phone=names.phones(rng, count), registered=registered, device=device,
        second_device=np.where(rng.random(count) < 0.3, number * 2 + 1, -1), sold_to=np.where(sold & (buyer != np.arange(count)), buyer, -1),
        sold_at=span.start + (rng.random(count) * (span.end - span.start)).astype(np.int64), origin=rng.choice(ORIGINS, count, p=ORIGIN_SHARES).astype(object),
        language=np.where(rng.random(count) < 0.06, "en", "de").astype(object),
    )  # fmt: skip


def _roots(parent: Ints) -> Ints:
    """Each index's root, where `parent` points at itself or one to the left."""
    own = parent == np.arange(len(parent))
    return np.maximum.accumulate(np.where(own, np.arange(len(parent)), 0))
