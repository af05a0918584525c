"""The season clock: the purchase process in operational time, where a December week may last as long as three in February.

A person's rate is λ · s(week of the year) · h(age), so every formula stays exact when recency, age and horizon are measured in warped
time. s has 52 bins, estimated by expectation-maximisation; λ depends on how long after the beginning of the data a person was first
seen, since those seen early were customers before (their first purchase is not their first); h(age) = (1 + age / 13 weeks)^-δ lets
interest fade, with δ by profile likelihood where the data are long enough to tell it from the season.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kundig.understand.lifetime_value import bg_nbd
from kundig.understand.lifetime_value.cells import distinct, inner, numbered
from kundig.understand.lifetime_value.histories import EPOCH, Histories, Summary
from kundig.understand.lifetime_value.process import Purchasing, Tuples

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BINS = 52
FADE = 91.0
"""Days of the age scale: thirteen weeks."""
PRIOR_DECAY = 0.2
"""δ where the history is too short to tell: what long histories of a shop showed."""
SHORT_DAYS = 455
"""Histories under about fifteen months cannot tell decay from season."""
DECAYS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.55)
ROUNDS = 5
SHRINK = 10.0


@dataclass(frozen=True, kw_only=True)
class Clock:
    """How fast time runs: `speed` of each week of the year, `decay` with age, and the first day of the data (since 1970)."""

    speed: Floats
    decay: float
    origin: int
    observed: npt.NDArray[np.bool_]
    decay_known: bool = True

    @property
    def plain(self) -> bool:
        """Time runs evenly."""
        return self.decay == 0.0 and bool(np.all(self.speed == 1.0))

    def entry(self, first: Ints) -> Floats:
        """The covariate of persons first seen on these days."""
        return np.log1p(np.maximum(first - self.origin, 0) / 14.0)

    def ages(self, first: Ints, until: int) -> Ages:
        """The ages, in warped weeks, of persons first seen on these days, by the end of any day up to one."""
        if self.plain:
            return Ages(first=first)
        firsts, row = numbered(first[None, :])
        base = min(self.origin, int(firsts[0].min(initial=self.origin)))
        return Ages(first=first, row=row, base=base, curves=self.curves(firsts[0], base, until))

    def curves(self, firsts: Ints, base: int, last: int) -> Floats:
        """Warped weeks of age by the end of each day from `base` to `last`, a row per first day."""
        length = last - base + 1
        speed = self.speed[week_of_year(np.arange(base, last + 1))] / 7.0
        if self.decay == 0.0:
            one = np.cumsum(speed)
            return np.asarray(np.maximum(one[None, :] - one[firsts - base][:, None], 0.0))
        # interest by age, shifted to each first day: rows of one long array
        fading = np.concatenate([np.zeros(length), (1.0 + np.arange(1, length) / FADE) ** -self.decay])
        rows = np.lib.stride_tricks.sliding_window_view(fading, length)[length - 1 - (firsts - base)]
        return np.cumsum(rows * speed, axis=1)

    def unseen(self, start: int, end: int) -> int:
        """Days in (start, end] that lie in weeks of the year of which the data hold no week."""
        days = np.arange(start + 1, end + 1)
        return int(np.sum(~self.observed[week_of_year(days)]))


@dataclass(frozen=True, kw_only=True)
class Ages:
    """Ages of persons in a clock: looked up in curves, or in plain weeks where it runs evenly."""

    first: Ints
    row: Ints | None = None
    base: int = 0
    curves: Floats | None = None

    def by(self, day: Ints | int) -> Floats:
        """Warped weeks of age of each person by the end of a day (one for all, or one each)."""
        if self.curves is None or self.row is None:
            return np.asarray((day - self.first) / 7.0)
        return np.asarray(self.curves[self.row, day - self.base])


def even(origin: int) -> Clock:
    """A clock that runs evenly."""
    return Clock(speed=np.ones(BINS), decay=0.0, origin=origin, observed=np.ones(BINS, bool))


def week_of_year(days: Ints) -> Ints:
    """Bin of each day: its day of the year in sevenths, the last bin a little longer.

    Examples:
        >>> week_of_year(np.array([0, 6, 7, 364])).tolist()
        [0, 0, 1, 51]
    """
    stamps = np.asarray(days).astype("datetime64[D]")
    of_year = (stamps - stamps.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64)
    return np.asarray(np.minimum(of_year // 7, BINS - 1), dtype=np.int64)


def tuples_of(summary: Summary, clock: Clock, end: int, *, covariate: bool) -> Tuples:
    """The distinct persons of a summary, in the clock's weeks."""
    key = np.stack([summary.count, summary.first, summary.last])
    found, weight = distinct(key)
    count, first, last = found
    entry = clock.entry(first) if covariate else np.zeros(len(first))
    ages = clock.ages(first, end)
    return Tuples(x=count - 1, tx=ages.by(last), T=ages.by(end), weight=weight.astype(np.float64), entry=entry)


@dataclass(frozen=True, kw_only=True)
class Seasonal:
    """A clock and the process fitted in it, with the log-likelihood of all purchase days."""

    clock: Clock
    process: Purchasing
    log_likelihood: float


def fit(histories: Histories, end: int) -> Seasonal:
    """The season clock and the process in it, from histories up to the end of a day."""
    origin = int(histories.day.min())
    world = _World(histories, end)
    if end - origin < SHORT_DAYS:
        clock = Clock(speed=np.ones(BINS), decay=PRIOR_DECAY, origin=origin, observed=world.observed, decay_known=False)
        return world.expect_maximise(clock, ROUNDS, None)
    best: Seasonal | None = None
    speed, start = np.ones(BINS), None
    for decay in DECAYS:
        found = world.expect_maximise(Clock(speed=speed, decay=decay, origin=origin, observed=world.observed), ROUNDS if best is None else 3, start)
        if best is not None and found.log_likelihood < best.log_likelihood:
            break
        best, speed, start = found, found.clock.speed, found.process.z
    assert best is not None
    return best


class _World:
    """The data of one fit, and the rounds of expectation and maximisation over it."""

    def __init__(self, histories: Histories, end: int) -> None:
        persons, self.summary = histories.until(end)
        self.end = end
        self.base = int(self.summary.first.min())
        kept = histories.day <= end
        first_of = np.zeros(len(histories), np.int64)
        first_of[persons] = self.summary.first
        day, first = histories.day[kept], first_of[histories.person[kept]]
        again = day > first
        self.repeats, self.ages = day[again], (day - first)[again]
        self.days = np.arange(self.base, end + 1)
        self.bins = week_of_year(self.days)
        self.observed = np.bincount(self.bins, minlength=BINS) > 3
        self.by_bin = np.bincount(week_of_year(self.repeats), minlength=BINS).astype(np.float64)
        self.distinct, weight = distinct(np.stack([self.summary.count, self.summary.first, self.summary.last]))
        self.weight = weight.astype(np.float64)
        firsts, self.row = numbered(self.distinct[1][None, :])
        self.firsts = firsts[0]

    def expect_maximise(self, clock: Clock, rounds: int, start: Floats | None) -> Seasonal:
        count, first, last = self.distinct
        entry = clock.entry(first)
        for number in range(rounds + 1):
            curves = clock.curves(self.firsts, self.base, self.end)
            tuples = Tuples(x=count - 1, tx=curves[self.row, last - self.base], T=curves[self.row, -1], weight=self.weight, entry=entry)
            process = bg_nbd.fit(tuples, modified=True, covariate=True, start=start)
            start = process.z
            if number == rounds:
                break
            clock = Clock(speed=self._speed(clock, process, tuples), decay=clock.decay, origin=clock.origin, observed=clock.observed, decay_known=clock.decay_known)
        fading = float(clock.decay * np.sum(np.log1p(self.ages / FADE)))
        log_likelihood = process.log_likelihood + inner(self.by_bin, np.log(clock.speed)) - fading
        return Seasonal(clock=clock, process=process, log_likelihood=log_likelihood)

    def _speed(self, clock: Clock, process: Purchasing, tuples: Tuples) -> Floats:
        """Purchases over what the process expects at speed one, by week of the year."""
        alive = process.alive(tuples.x, tuples.tx, tuples.T, tuples.entry)
        alpha = process.alpha(tuples.entry)
        living = self.weight * alive * (process.r + tuples.x) / (alpha + tuples.T) / 7.0
        stopped = self.weight * (1.0 - alive) * (process.r + tuples.x) / (alpha + tuples.tx) / 7.0
        steps = np.zeros((len(self.firsts), len(self.days) + 1))
        begin, last = self.distinct[1] + 1 - self.base, self.distinct[2] + 1 - self.base
        np.add.at(steps, (self.row, begin), living + stopped)
        np.add.at(steps, (self.row, last), -stopped)
        exposure = np.cumsum(steps, axis=1)[:, : len(self.days)]
        if clock.decay:
            age = np.maximum(self.days[None, :] - self.firsts[:, None], 0)
            exposure = exposure * (1.0 + age / FADE) ** -clock.decay
        by_week = np.bincount(self.bins, exposure.sum(axis=0), BINS).astype(np.float64)
        bought, expected = _smoothed(self.by_bin), _smoothed(by_week)
        speed = np.where(self.observed, (bought + SHRINK) / (expected + SHRINK), 1.0)
        return np.where(self.observed, speed / speed[self.observed].mean(), 1.0)


def _smoothed(bins: Floats) -> Floats:
    return np.asarray(np.roll(bins, 1) + 2 * bins + np.roll(bins, -1))


def date_of(day: int) -> dt.date:
    """The date of a day since 1970."""
    return EPOCH + dt.timedelta(days=day)
