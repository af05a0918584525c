"""The worlds: which laws people buy by, and how much dirt their records carry."""

from __future__ import annotations

import datetime as dt
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from kundig.errors import ContractError, nearest

BLOCK = 10_000
"""Persons that are drawn together: fixed, so that the first ten thousand are the same in a world of any size."""


SEASON_DAYS = 43
"""Days of the Christmas season: 10 November to 22 December."""


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """The laws of one world. Rates are per week, money is net of tax in euro.

    Purchases after the first follow BG/NBD (Fader, Hardie, Lee 2005): rate λ ~ Gamma(r, α), and after each repeat purchase the customer
    leaves with p ~ Beta(a, b). Values of orders follow Gamma-Gamma (Fader, Hardie 2013): Gamma(shape, ν) with ν ~ Gamma(q, γ).
    """

    name: str
    meaning: str
    breaks_model: bool
    r: float = 0.8
    alpha: float = 9.0
    a: float = 0.9
    b: float = 3.2
    shape: float = 6.0
    q: float = 4.0
    gamma: float = 30.0
    erlang: int = 1
    christmas: float = 1.0
    trend: float = 0.0
    wholesale: float = 0.0
    entry_before: float = 0.0
    price_step: float = 1.0
    subscribers: float = 0.03

    @property
    def mean_speed(self) -> float:
        """Mean speed of the purchase clock over a year of 365 days."""
        return 1.0 + (self.christmas - 1.0) * SEASON_DAYS / 365


_PLAIN = World(name="plain", meaning="purchases follow BG/NBD, values Gamma-Gamma", breaks_model=False)
WORLDS: Mapping[str, World] = MappingProxyType(
    {
        world.name: world
        for world in (
            _PLAIN,
            replace(_PLAIN, name="heterogeneous", meaning="few heavy buyers, many who come once", r=0.3, alpha=5.0, a=0.7, b=2.0),
            replace(_PLAIN, name="subscription", meaning="many subscribers beside occasional buyers", subscribers=0.25),
            replace(_PLAIN, name="steady", meaning="long-lived customers who rarely leave", r=1.2, alpha=14.0, a=0.3, b=6.0),
            replace(_PLAIN, name="christmas", meaning="rates rise threefold before Christmas", breaks_model=True, christmas=3.0),
            replace(_PLAIN, name="regular", meaning="gaps are Erlang, not exponential", breaks_model=True, erlang=4),
            replace(_PLAIN, name="trend", meaning="each new cohort buys less", breaks_model=True, trend=-1.2),
            replace(_PLAIN, name="wholesale", meaning="one customer in a hundred buys for resale", breaks_model=True, wholesale=0.01),
            replace(_PLAIN, name="censored", meaning="customers were there before the data begin", breaks_model=True, entry_before=0.6),
            replace(_PLAIN, name="price_change", meaning="prices rise by a third half-way", breaks_model=True, price_step=1.33),
        )
    }
)


def worlds() -> Mapping[str, str]:
    """Names of the worlds and what holds in each."""
    return MappingProxyType({name: world.meaning for name, world in WORLDS.items()})


def named(name: str) -> World:
    """The world of that name.

    Raises:
        ContractError: There is none.
    """
    if name not in WORLDS:
        raise ContractError(f"there is no world '{name}'", at="kundig simulate --world", mend=nearest(name, WORLDS))
    return WORLDS[name]


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """The days a world is watched: from `start` to the end of `end`, in microseconds UTC."""

    start: int
    end: int
    first_day: dt.date
    last_day: dt.date

    @property
    def days(self) -> int:
        """How many days."""
        return (self.last_day - self.first_day).days + 1


def span(end: dt.date, days: int) -> Span:
    """The span of so many days up to and with `end`, by the Berlin calendar."""
    from kundig.clock import micros, midnight

    first = end - dt.timedelta(days=days - 1)
    zone = "Europe/Berlin"
    return Span(start=micros(midnight(first, zone)), end=micros(midnight(end + dt.timedelta(days=1), zone)) - 1, first_day=first, last_day=end)


def stream(seed: int, block: int, name: str) -> np.random.Generator:
    """The random numbers of one concern in one block: adding a concern leaves the others as they are."""
    return np.random.Generator(np.random.PCG64([seed, block, zlib.crc32(name.encode())]))
