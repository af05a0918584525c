"""Purchases: when each customer buys, for how much, and the truth of what they would buy next."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

from kundig.simulate.people import DAY, Bools, Floats, Ints, People
from kundig.simulate.world import Span, World, stream

WEEK = 7 * DAY
MOST = 400


@dataclass(frozen=True, kw_only=True)
class Process:
    """Each person's true purchase process; zeros for those who never buy."""

    rate: Floats
    """Purchases a week while alive."""
    leave: Floats
    """Probability to leave after a purchase."""
    mean_value: Floats
    """Expected net value of an order, in euro."""
    alive: Bools
    left_at: Ints
    """Moment of the purchase after which the customer left; -1: still there."""
    expected_purchases: Floats
    """Expected purchases in the 365 days after the end, given all that is true."""
    expected_revenue: Floats
    group: Ints
    """0 never buys, 1 buys once or rarely, 2 regularly, 3 wholesale."""


@dataclass(frozen=True, kw_only=True)
class Purchases:
    """Purchases in the span, ordered by person and time."""

    person: Ints
    """Index in the block."""
    at: Ints
    value: Floats
    """Net value in euro, after discount, before returns."""


def draw_purchases(world: World, span: Span, people: People, seed: int, block: int) -> tuple[Process, Purchases]:
    """The true process of each person and the purchases it made in the span."""
    rng = stream(seed, block, "purchases")
    count = len(people)
    buys = people.customer
    wholesale = buys & (rng.random(count) < world.wholesale)
    entered = (people.registered - span.start) / WEEK
    rate = rng.gamma(world.r, 1.0, count) / world.alpha * np.exp(world.trend * np.maximum(entered, 0) / 52.0)
    rate = np.where(buys, np.where(wholesale, rate * 6 + 0.5, rate), 0.0)
    leave = np.where(buys, rng.beta(world.a, world.b, count), 0.0)
    scale = rng.gamma(world.q, 1.0, count) / world.gamma
    mean_value = np.where(buys, world.shape / scale * np.where(wholesale, 12.0, 1.0), 0.0)
    person, at, left_at = _times(world, span, people.registered, rate, leave, buys, rng)
    value = rng.gamma(world.shape, 1.0, len(person)) / scale[person] * np.where(wholesale[person], 12.0, 1.0)
    value *= np.where(at > (span.start + span.end) // 2, world.price_step, 1.0)
    alive = buys & (left_at < 0)
    horizon = 365 / 7
    boost = _mean_boost(world)
    expected = np.where(alive, _expected(rate * boost, leave, horizon), 0.0)
    inside = at >= span.start
    group = np.where(~buys, 0, np.where(wholesale, 3, np.where(rate > 0.05, 2, 1)))
    process = Process(
        rate=rate, leave=leave, mean_value=mean_value, alive=alive, left_at=left_at, expected_purchases=expected,
        expected_revenue=expected * mean_value * world.price_step, group=group,
    )  # fmt: skip
    order = np.lexsort((at[inside], person[inside]))
    return process, Purchases(person=person[inside][order], at=at[inside][order], value=np.maximum(np.round(value[inside][order], 2), 1.0))


def _expected(rate: Floats, leave: Floats, weeks: float) -> Floats:
    """E[purchases in a horizon | alive, λ, p] = (1 − exp(−λ p t)) / p."""
    safe = np.maximum(leave, 1e-12)
    return np.where(rate > 0, -np.expm1(-rate * safe * weeks) / safe, 0.0)


def _times(world: World, span: Span, entered: Ints, rate: Floats, leave: Floats, buys: Bools, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """Person and moment of every purchase, and when each person left."""
    active = np.flatnonzero(buys)
    now = entered[active].astype(np.float64)
    left_at = np.full(len(buys), -1, dtype=np.int64)
    people, moments = [active], [now.copy()]
    for _ in range(MOST):
        gone = rng.random(len(active)) < leave[active]
        left_at[active[gone]] = now[gone].astype(np.int64)
        active, now = active[~gone], now[~gone]
        if len(active) == 0:
            break
        gap = rng.gamma(world.erlang, 1.0, len(active)) / world.erlang / np.maximum(rate[active], 1e-9) * WEEK
        now = _warped(world, now, gap)
        inside = now <= span.end
        active, now = active[inside], now[inside]
        if len(active) == 0:
            break
        people.append(active)
        moments.append(now.copy())
    return np.concatenate(people), np.concatenate(moments).astype(np.int64), left_at


def _warped(world: World, now: Floats, gap: Floats) -> Floats:
    """The moment a gap of operational time later, where the clock runs faster before Christmas."""
    if world.christmas == 1.0:
        return now + gap
    left, at = gap.copy(), now.copy()
    for _ in range(800):
        speed = np.where(_is_season(at), world.christmas, 1.0)
        to_midnight = DAY - np.mod(at, DAY)
        use = np.minimum(left, to_midnight * speed)
        at = at + use / speed
        left = left - use
        if not np.any(left > 1.0):
            break
    return np.where(left > 1.0, at + left, at)


def _is_season(at: Floats) -> Bools:
    days = (at // DAY).astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    number = (months.astype(np.int64) % 12) + 1
    day = (days - months).astype(np.int64) + 1
    season: Bools = (number == 11) & (day >= 10) | (number == 12) & (day <= 22)
    return season


def _mean_boost(world: World) -> float:
    """Mean speed of the operational clock over a year."""
    season = (dt.date(2025, 12, 22) - dt.date(2025, 11, 10)).days + 1
    return 1.0 + (world.christmas - 1.0) * season / 365
