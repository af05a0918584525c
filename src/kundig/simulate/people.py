"""Who is who: people with names, addresses, devices and households; vectors of one block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from kundig.simulate import names
from kundig.simulate.text import DAY, Bools, Floats, Ints, digits, pick, pool, rows, texts, where
from kundig.simulate.world import Span, World, stream

ACCOUNTS = 100_000
"""Customer numbers begin here."""
SECOND_ACCOUNTS = 700_000_000
"""A person's second customer number is the first one that much further on."""


@dataclass(frozen=True, kw_only=True)
class Persona:
    """A group of people who are alike: what they like, say and do."""

    name: str
    favourites: tuple[int, ...]
    """Categories they buy from most."""
    age: float
    voucher: float
    returns: float
    opens: float
    """Multiplies the chance to open a message."""
    app: float
    evening: float
    """Mean hour of the day at which they buy."""
    motive: int
    hobbies: tuple[int, ...]
    attitudes: tuple[float, float, float]
    """Mean agreement (1 to 5) with the three statements of the survey."""
    nps: float


PERSONAS = (
    Persona(name="occasional", favourites=(0, 7), age=46, voucher=0.06, returns=0.05, opens=0.7, app=0.10, evening=15.0, motive=5, hobbies=(5, 1), attitudes=(3.0, 3.6, 2.6), nps=6.8),
    Persona(name="bargain_hunter", favourites=(0, 9), age=34, voucher=0.42, returns=0.12, opens=1.4, app=0.30, evening=20.2, motive=0, hobbies=(4, 6), attitudes=(4.6, 1.8, 2.2), nps=6.4),
    Persona(name="family", favourites=(3, 4, 5), age=40, voucher=0.15, returns=0.10, opens=1.0, app=0.22, evening=20.8, motive=1, hobbies=(3, 1), attitudes=(3.2, 3.0, 3.6), nps=7.9),
    Persona(name="cyclist", favourites=(1, 6, 8), age=36, voucher=0.10, returns=0.04, opens=1.1, app=0.40, evening=18.0, motive=2, hobbies=(0, 4), attitudes=(2.0, 2.8, 4.4), nps=8.6),
    Persona(name="regular", favourites=(2, 5, 7), age=55, voucher=0.12, returns=0.05, opens=1.2, app=0.15, evening=11.5, motive=1, hobbies=(1, 5), attitudes=(2.2, 4.4, 3.4), nps=9.0),
)
_CUTS = np.array([-0.55, -0.05, 0.45, 1.0])
"""Where the personas part on the scale of zeal and chance."""

_FAVOURITES = np.array([[one.favourites[place % len(one.favourites)] for place in range(6)] for one in PERSONAS])

ORIGINS = pool(["paid_search", "organic_search", "direct", "paid_social", "email", "referral", "affiliate"])
ORIGIN_SHARES = np.array([0.22, 0.26, 0.2, 0.14, 0.06, 0.07, 0.05])


@dataclass(frozen=True, kw_only=True)
class People:
    """One block of people; all arrays have the block's length. Names and places are numbers of the pools in `names`."""

    number: Ints
    """Number of the person in the world, from 0."""
    customer: Bools
    guest: Bools
    """Buys without an account."""
    second_account: Bools
    card: Bools
    app: Bools
    lead: Bools
    subscriber: Bools
    swiss: Bools
    household: Ints
    """Number of the household's first person."""
    home: Ints
    """The same as an index of the block."""
    male: Bools
    first: Ints
    last: Ints
    title: Ints
    """0 none, 1 Dr., 2 Prof. Dr."""
    street: Ints
    house: pa.Array
    postcode: Ints
    city: Ints
    birth: Ints
    """Days since 1970."""
    email: pa.Array
    second_email: pa.Array
    """Another address of the same person; those of `writes_twice` use it."""
    writes_twice: Bools
    phone: pa.Array
    registered: Ints
    """When the account was opened, or the first sign of the person; microseconds."""
    device: Ints
    """Number of the person's first device; members of a household may share it."""
    second_device: Ints
    """Number of the second device; -1: none."""
    sold_to: Ints
    """Index in the block of the person who bought the first device; -1: not sold."""
    sold_at: Ints
    origin: Ints
    english: Bools
    zeal: Floats
    """Uniform; the quantile of the person's purchase rate, which personas lean on."""
    persona: Ints
    favourite: Ints
    """Category they buy from most."""

    def __len__(self) -> int:
        return len(self.number)

    @property
    def account(self) -> Bools:
        """Who has a customer number."""
        return self.customer & ~self.guest

    def customer_numbers(self, who: Ints, second: Bools | None = None) -> pa.Array:
        """Customer numbers of those with an account, '' for others; the second account's where asked for."""
        number = ACCOUNTS + self.number[who]
        if second is not None:
            number = number + np.where(second, SECOND_ACCOUNTS, 0)
        return where(self.account[who], texts(number))

    @property
    def postcodes(self) -> pa.Array:
        """Postcodes as texts: five digits, four in Switzerland."""
        return where(self.swiss, texts(self.postcode), rows(digits(self.postcode, 5), count=len(self)))


def draw_people(world: World, span: Span, seed: int, block: int, count: int, first_number: int) -> People:
    """The people of one block."""
    from scipy.special import ndtri

    rng = stream(seed, block, "people")
    index = np.arange(count)
    number = first_number + index.astype(np.int64)
    customer = rng.random(count) < 0.42
    guest = customer & (rng.random(count) < 0.18)
    account = customer & ~guest
    home = _roots(np.where((rng.random(count) < 0.22) & (index > 0), index - 1, index))
    shares_home = home != index
    male = rng.random(count) < 0.49
    first = names.firsts(rng, male)
    last = names.common(rng, len(names.SURNAMES), count)
    last = np.where(shares_home & (rng.random(count) < 0.8), last[home], last)
    swiss = (rng.random(count) < 0.04)[home]
    city = np.where(swiss, names.ZURICH, rng.integers(0, len(names.CITIES), count)[home])
    postcode = names.POSTCODE[city] + rng.integers(0, 90, count)[home]
    street = names.common(rng, len(names.STREETS), count)[home]
    suffix = np.where(rng.random(count) < 0.12, rng.integers(1, 4, count), 0)[home]
    house = pick(pool([f"{n}{s}" for n in range(140) for s in ("", "a", "b", "c")]), rng.integers(1, 140, count)[home] * 4 + suffix)
    before = rng.random(count) < world.entry_before
    entered = np.where(before, span.start - (rng.random(count) * 700 * DAY).astype(np.int64), span.start + (rng.random(count) * (span.end - span.start - DAY)).astype(np.int64))
    zeal = rng.random(count)
    scale = np.where(customer, 0.75 * ndtri(np.clip(zeal, 1e-9, 1 - 1e-9)), 0.0) + np.where(customer, 0.66, 1.0) * rng.standard_normal(count)
    persona = np.searchsorted(_CUTS, scale).astype(np.int64)
    liking = np.array([one.app for one in PERSONAS])[persona]
    age = np.clip(rng.normal(np.array([one.age for one in PERSONAS])[persona], 11.0), 16, 92)
    today = span.end // DAY
    device = number * 2
    shared = shares_home & (rng.random(count) < 0.35)
    device = np.where(shared, device[home], device)
    sold = (rng.random(count) < 0.004) & ~shared & ~np.isin(index, home[shared])
    buyer = rng.integers(0, count, count)
    shares_line = shares_home & (rng.random(count) < 0.6)
    return People(
        number=number, customer=customer, guest=guest, second_account=account & (rng.random(count) < 0.015), card=account & (rng.random(count) < 0.3), app=account & (rng.random(count) < liking),
        lead=rng.random(count) < 0.02, subscriber=account & (rng.random(count) < world.subscribers), swiss=swiss, household=number[home], home=home, male=male, first=first, last=last,
        title=np.searchsorted([0.97, 0.994], rng.random(count)), street=street, house=house, postcode=postcode, city=city, birth=(today - age * 365.25).astype(np.int64),
        email=names.addresses(first, last, number, np.searchsorted([0.4, 0.65, 0.8, 0.92], rng.random(count))), second_email=names.second_addresses(first, last, number, rng.integers(0, 3, count)),
        writes_twice=rng.random(count) < 0.22, phone=names.phones(np.where(shares_line, number[home], number), rng.random(count) < 0.07), registered=entered, device=device,
        second_device=np.where(rng.random(count) < 0.3, number * 2 + 1, -1), sold_to=np.where(sold & (buyer != index), buyer, -1),
        sold_at=span.start + (rng.random(count) * (span.end - span.start)).astype(np.int64), origin=np.searchsorted(np.cumsum(ORIGIN_SHARES)[:-1], rng.random(count)).astype(np.int64),
        english=rng.random(count) < 0.06, zeal=zeal, persona=persona, favourite=_FAVOURITES[persona, rng.integers(0, 6, count)],
    )  # fmt: skip


def _roots(parent: Ints) -> Ints:
    """Each index's root, where `parent` points at itself or one to the left."""
    index = np.arange(len(parent))
    return np.maximum.accumulate(np.where(parent == index, index, 0))
