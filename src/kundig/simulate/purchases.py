"""Purchases: when each customer buys, for how much, and the truth of what they would buy next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammainc, gammaincinv, gammaln

from kundig.simulate.people import People
from kundig.simulate.text import DAY, HOUR, Bools, Floats, Ints, berlin, berlin_moment, clock_change_days
from kundig.simulate.world import Span, World, stream

WEEK = 7 * DAY
HORIZON_DAYS = 365
MOST = 600
"""Purchases of one person in a span; nobody comes near."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """Each person's true purchase process; zeros for those who never buy."""

    rate: Floats
    """Purchases a week of the operational clock while alive; this clock is the calendar but for the Christmas world."""
    leave: Floats
    """Probability to leave after a repeat purchase."""
    mean_value: Floats
    """Expected net value of an order at the end of the span, in euro."""
    alive: Bools
    left_at: Ints
    """Moment of the purchase after which the customer left; -1: still there."""
    expected_purchases: Floats
    """Expected purchases in the 365 days after the end, given all that is true."""
    buys_again: Floats
    """Probability of a purchase in these days."""
    group: Ints
    """Index of `GROUPS`."""


GROUPS = ("never_buys", "rare", "frequent", "wholesale")


@dataclass(frozen=True, kw_only=True)
class Purchases:
    """Purchases in the span, ordered by person and time."""

    person: Ints
    """Index in the block."""
    at: Ints
    value: Floats
    """Net value in euro, after discount, before returns."""
    clock_change: Bools
    """Moved to 23:30 in Berlin on a day when the clocks change."""

    def __len__(self) -> int:
        return len(self.person)


def draw_purchases(world: World, span: Span, people: People, seed: int, block: int) -> tuple[Process, Purchases]:
    """The true process of each person and the purchases it made in the span."""
    rng = stream(seed, block, "purchases")
    count = len(people)
    buys = people.customer
    wholesale = buys & (rng.random(count) < world.wholesale)
    entered = (people.registered - span.start) / WEEK
    rate = np.maximum(gammaincinv(world.r, people.zeal), 1e-9) / world.alpha * np.exp(world.trend * np.maximum(entered, 0) / 52.0)
    rate = np.where(buys, np.where(wholesale, rate * 6 + 0.5, rate), 0.0)
    leave = np.where(buys, rng.beta(world.a, world.b, count), 0.0)
    scale = rng.gamma(world.q, 1.0, count) / world.gamma
    size = np.where(wholesale, 12.0, 1.0)
    clock = _Clock(world, span)
    person, ticks, left, last = _lives(world, clock, span, people.registered, rate, leave, buys, rng)
    value = rng.gamma(world.shape, 1.0, len(person)) / scale[person] * size[person]
    at = clock.calendar(ticks)
    value *= np.where(at > (span.start + span.end) // 2, world.price_step, 1.0)
    alive = buys & (left < 0)
    ahead = (clock.operational(np.array([span.end + HORIZON_DAYS * DAY])) - clock.operational(np.array([span.end])))[0] / WEEK
    waited = np.where(alive, clock.operational(np.array([span.end]))[0] - last, 0.0) / WEEK
    expected, again = _future(world.erlang, rate, leave, waited, ahead)
    process = Process(
        rate=rate, leave=leave, mean_value=np.where(buys, world.shape / scale * size, 0.0) * world.price_step, alive=alive, left_at=np.where(left >= 0, clock.calendar(np.maximum(left, 0)), -1),
        expected_purchases=np.where(alive, expected, 0.0), buys_again=np.where(alive, again, 0.0), group=np.where(~buys, 0, np.where(wholesale, 3, np.where(rate > 0.05, 2, 1))),
    )  # fmt: skip
    inside = np.flatnonzero((at >= span.start) & (at <= span.end))
    order = inside[np.lexsort((at[inside], person[inside]))]
    moved, planted = _plant_clock_changes(daytime(at[order], rng, np.array([15.0, 20.2, 20.0, 18.0, 12.0])[people.persona[person[order]]]), span)
    return process, Purchases(person=person[order], at=moved, value=np.maximum(np.round(value[order], 2), 1.0), clock_change=planted)


def daytime(at: Ints, rng: np.random.Generator, hour: Floats | float = 16.5) -> Ints:
    """Moments moved to hours at which people are up, on the same Berlin day: 05:00 to 22:59, away from the hours that change."""
    midnight = berlin(at) // DAY * DAY
    return berlin_moment(midnight + (waking(rng.normal(hour, 2.8, len(at))) * HOUR).astype(np.int64))


def waking(hour: Floats) -> Floats:
    """Hours of the day, those of the night folded back into the day between 5 and 23."""
    low, high = 5.0, 22.98
    folded = high - np.abs(high - (low + np.abs(hour - low)))
    return np.clip(folded, low, high)


def _plant_clock_changes(at: Ints, span: Span) -> tuple[Ints, Bools]:
    """Moments with one purchase of each day of clock change moved to 23:30 in Berlin, and which ones they are."""
    moved, planted = at.copy(), np.zeros(len(at), dtype=np.bool_)
    days = berlin(at) // DAY
    for change in clock_change_days():
        if span.start // DAY < change < span.end // DAY:
            there = np.flatnonzero(days == change)[:1]
            moved[there] = berlin_moment(np.full(len(there), change * DAY + 23 * HOUR + HOUR // 2))
            planted[there] = True
    return moved, planted


class _Clock:
    """The operational clock: calendar time that runs faster before Christmas."""

    def __init__(self, world: World, span: Span) -> None:
        first, last = span.start // DAY - 800, span.end // DAY + HORIZON_DAYS + 60
        self.edges = np.arange(first, last + 1) * float(DAY)
        speed = np.where(_is_season(np.arange(first, last)), world.christmas, 1.0)
        self.ticks = np.concatenate([[0.0], np.cumsum(speed * DAY)]) + self.edges[0]
        self.even = world.christmas == 1.0

    def operational(self, at: Ints) -> Floats:
        """Ticks of the clock at moments."""
        return at.astype(np.float64) if self.even else np.interp(at, self.edges, self.ticks)

    def calendar(self, ticks: Floats) -> Ints:
        """Moments at which the clock shows these ticks."""
        return (ticks if self.even else np.interp(ticks, self.ticks, self.edges)).astype(np.int64)


def _is_season(days: Ints) -> Bools:
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    month = months.astype(np.int64) % 12 + 1
    day = (dates - months).astype(np.int64) + 1
    season: Bools = ((month == 11) & (day >= 10)) | ((month == 12) & (day <= 22))
    return season


def _lives(world: World, clock: _Clock, span: Span, entered: Ints, rate: Floats, leave: Floats, buys: Bools, rng: np.random.Generator) -> tuple[Ints, Floats, Floats, Floats]:
    """Person and tick of every purchase from the first on, the tick at which each left (-1: not), and of the last purchase."""
    active = np.flatnonzero(buys)
    now = clock.operational(entered)[active]
    last = np.zeros(len(buys))
    last[active] = now
    left = np.full(len(buys), -1.0)
    people, ticks = [active], [now]
    end = clock.operational(np.array([span.end]))[0]
    for _ in range(MOST):
        now = now + rng.gamma(world.erlang, 1.0, len(active)) / world.erlang / rate[active] * WEEK
        inside = now <= end
        active, now = active[inside], now[inside]
        if len(active) == 0:
            break
        people.append(active)
        ticks.append(now)
        last[active] = now
        gone = rng.random(len(active)) < leave[active]
        left[active[gone]] = now[gone]
        active, now = active[~gone], now[~gone]
    return np.concatenate(people), np.concatenate(ticks), left, last


def _future(phases: int, rate: Floats, leave: Floats, waited: Floats, weeks: float) -> tuple[Floats, Floats]:
    """Expected purchases in so many operational weeks of somebody alive who waited so long, and the probability of any.

    With exponential gaps the wait does not matter: (1 − exp(−λ p t)) / p and 1 − exp(−λ t). An Erlang gap is `phases` exponential steps
    of rate phases · λ; the steps already taken have a Poisson law cut at the gap's length.
    """
    if phases == 1:
        safe = np.maximum(leave, 1e-12)
        return -np.expm1(-rate * safe * weeks) / safe, -np.expm1(-rate * weeks)
    expected, again = np.zeros(len(rate)), np.zeros(len(rate))
    who = np.flatnonzero(rate > 0)
    speed = phases * rate[who]
    steps = np.arange(phases)
    wait = np.maximum(speed * waited[who], 1e-12)
    taken = np.exp(steps[:, None] * np.log(wait)[None, :] - wait[None, :] - gammaln(steps + 1)[:, None] - np.max(steps[:, None] * np.log(wait)[None, :] - wait[None, :], axis=0))
    taken /= taken.sum(axis=0)
    most = int(np.max(rate[who], initial=0.0) * weeks * 1.6) + 12
    stays = 1 - leave[who]
    for step in steps:
        total, chance = np.zeros(len(who)), np.ones(len(who))
        for purchase in range(1, most):
            reached = gammainc(purchase * phases - step, speed * weeks)
            total += chance * reached
            chance *= stays
            if purchase == 1:
                again[who] += taken[step] * reached
            if not np.any(chance * reached > 1e-9):
                break
        expected[who] += taken[step] * total
    return expected, again
