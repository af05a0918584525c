"""Judging a model by what it did not see: back-tests to earlier days, what the naive would have said, and a verdict in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from kundig.understand.lifetime_value import gamma_gamma, season
from kundig.understand.lifetime_value.cells import numbered
from kundig.understand.lifetime_value.histories import Histories, Summary
from kundig.understand.lifetime_value.kinds import Kind, fitted_process, likelihood_of
from kundig.understand.lifetime_value.process import Purchasing
from kundig.understand.lifetime_value.season import Clock, date_of

Floats = npt.NDArray[np.float64]
GOOD, POOR = 0.10, 0.30
"""Errors of the total up to which a model is usable, and from which on it is not."""
SAMPLE = 100_000
"""Persons that back-tests and the season clock are computed on."""
FEW_REPEATS = 50
FEW_PERSONS = 100
SHOCK_UNTESTED = 0.5
"""Spread of the log total that is assumed where nothing could be back-tested: a factor of 1.6 either way."""
SHOCK_LEAST = 0.03


@dataclass(frozen=True, kw_only=True)
class Check:
    """One back-test: fitted on what was known at the cut-off, compared with the days after it."""

    cut_off: str
    horizon_days: int
    persons: int
    predicted: float
    actual: int
    mae: float
    mae_own_rate: float
    mae_mean: float
    deviance: float
    correlation: float | None
    unseen_days: int
    groups: tuple[dict[str, float], ...] = ()
    """Tenths of the persons, those of whom least was predicted first: persons, predicted and actual purchases."""

    @property
    def error(self) -> float:
        """Relative error of the total."""
        return self.predicted / max(self.actual, 1) - 1.0

    def as_dict(self) -> dict[str, Any]:
        """The figures, with the error of the total."""
        return asdict(self) | {"error": self.error}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a model may be used for: `usable`, `weak` (ranks persons, totals are doubtful) or `not_usable`; why; and what would change it."""

    level: Literal["usable", "weak", "not_usable"]
    reason: str
    change: str

    def __str__(self) -> str:
        return f"{self.level}: {self.reason}" + (f" ({self.change})" if self.change else "")


@dataclass(frozen=True, kw_only=True)
class Counting:
    """A clock and a purchase process in it: the part of a model that counts."""

    kind: Kind
    clock: Clock
    process: Purchasing

    def expected(self, summary: Summary, end: int, days: int) -> Floats:
        """Expected purchases of each person in the days after the end of a day."""
        distinct, person = numbered(np.stack([summary.count, summary.first, summary.last]))
        count, first, last = distinct
        x, process, ages = count - 1, self.process, self.clock.ages(first, end + days)
        entry = self.clock.entry(first) if process.has_entry else np.zeros(len(first))
        tx, T = ages.by(last), ages.by(end)
        span = ages.by(end + days) - T
        cells, cell = numbered(np.stack([count, first]))
        some = np.zeros(cells.shape[1], np.int64)
        some[cell] = np.arange(len(cell))
        found = process.moments(x[some], T[some], entry[some], span[some, None])
        return np.asarray((found.mean[cell, 0] * process.alive(x, tx, T, entry))[person])


def counting(kind: Kind, histories: Histories, end: int, start: Floats | None = None) -> Counting:
    """The counting part of a model, fitted on histories up to the end of a day; `start` is a z to begin at."""
    if kind == "season":
        found = season.fit(histories, end)
        return Counting(kind=kind, clock=found.clock, process=found.process)
    _, summary = histories.until(end)
    clock = season.even(int(summary.first.min()))
    return Counting(kind=kind, clock=clock, process=fitted_process(kind, season.tuples_of(summary, clock, end, covariate=False), start=start))


def cut_offs(histories: Histories, end: int) -> list[tuple[int, int]]:
    """Days to back-test from, the newest first, and the horizon of each: a quarter of the history, at most 13 weeks, three times."""
    if len(histories) == 0:
        return []
    origin = int(histories.day.min())
    horizon = int(np.clip((end - origin) // 4, 14, 91))
    chosen = [(end - horizon * number, horizon) for number in (1, 2, 3)]
    return [(cut, days) for cut, days in chosen if cut - origin >= max(1.5 * days, 28)]


def checked(model: Counting, histories: Histories, cut: int, days: int, *, told: Floats | None = None) -> Check:
    """How a model fitted at a cut-off did in the days after it; with `told`, purchases that something else foretold of the persons known then."""
    persons, summary = histories.until(cut)
    bought, _ = histories.bought(persons, cut, cut + days)
    actual = bought.astype(np.float64)
    predicted = model.expected(summary, cut, days) if told is None else told
    rate = (summary.count - 1) / np.maximum(cut - summary.first, 7) * days
    varies = bool(np.std(predicted) > 0 and np.std(actual) > 0)
    return Check(
        cut_off=date_of(cut).isoformat(), horizon_days=days, persons=len(summary), predicted=float(predicted.sum()), actual=int(actual.sum()),
        mae=_mae(predicted, actual), mae_own_rate=_mae(rate, actual), mae_mean=_mae(np.full(len(actual), actual.mean() if len(actual) else 0.0), actual),
        deviance=_deviance(predicted, actual), correlation=float(np.corrcoef(predicted, actual)[0, 1]) if varies else None,
        unseen_days=model.clock.unseen(cut, cut + days), groups=_grouped(predicted, actual),
    )  # fmt: skip


def _grouped(predicted: Floats, actual: Floats, parts: int = 10) -> tuple[dict[str, float], ...]:
    """Persons in equal parts by what was predicted of them, with the totals of each; none where there are fewer persons than parts."""
    if len(predicted) < parts:
        return ()
    order = np.argsort(predicted, kind="stable")
    return tuple({"persons": len(rows), "predicted": float(predicted[rows].sum()), "actual": float(actual[rows].sum())} for rows in np.array_split(order, parts))


def _mae(predicted: Floats, actual: Floats) -> float:
    return float(np.abs(predicted - actual).mean()) if len(actual) else 0.0


def _deviance(predicted: Floats, actual: Floats) -> float:
    """Mean Poisson deviance."""
    if len(actual) == 0:
        return 0.0
    mean = np.maximum(predicted, 1e-9)
    terms = np.where(actual > 0, actual * np.log(np.maximum(actual, 1.0) / mean), 0.0) - (actual - mean)
    return float(2.0 * terms.mean())


def back_tests(kind: Kind, histories: Histories, end: int) -> list[Check]:
    """Every back-test of a model that its history allows."""
    found, start = [], None
    for cut, days in cut_offs(histories, end):
        model = counting(kind, histories, cut, start)
        start = model.process.z
        found.append(checked(model, histories, cut, days))
    return found


def prefers_season(plain: list[Check], seasonal: list[Check], *, likelihood_gain: float, persons: int) -> bool:
    """Whether the season clock serves better than the plain model.

    Where back-tests looked at weeks of the year that their past had seen, they decide: by the error of the total, the deviance and the
    correlation together, each measured by what would matter (10 points, 5 %, 0.02). Where none did (under about fifteen months),
    they cannot judge a season; then persons held out decide: the clock must raise the log-likelihood of persons it was not fitted on.
    """
    fair = [(one, other) for one, other in zip(plain, seasonal, strict=True) if other.unseen_days <= 0.2 * other.horizon_days]
    if not fair:
        return likelihood_gain > max(10.0, 0.005 * persons)
    return float(np.mean([vote(one, other) for one, other in fair])) > 0.0


def vote(one: Check, other: Check) -> float:
    """How much better the other model did in a back-test: 1 for ten points of the total, 5 % of the deviance, or 0.02 of the correlation."""
    total = (_log_error(one) - _log_error(other)) / GOOD
    deviance = (one.deviance - other.deviance) / max(one.deviance, 1e-9) / 0.05
    rank = ((other.correlation or 0.0) - (one.correlation or 0.0)) / 0.02
    return total + deviance + rank


def _log_error(check: Check) -> float:
    return abs(float(np.log((check.predicted + 1.0) / (check.actual + 1.0))))


def _beyond_chance(check: Check) -> float:
    """Log error of the total, less what chance alone would do to so few purchases (two deviations of counts spread twice as wide as Poisson's)."""
    return max(0.0, _log_error(check) - 2.0 * float(np.sqrt(2.0 / (check.predicted + 1.0))))


def held_out_gain(histories: Histories, end: int, kind: Kind) -> float:
    """Log-likelihood that the season clock, fitted on every other person, adds over an evenly running one on the persons left out."""
    half = np.arange(len(histories)) % 2 == 0
    seen, left_out = _part(histories, half), _part(histories, ~half)
    if len(seen) == 0 or len(left_out) == 0:
        return 0.0
    one, other = counting(kind, seen, end), counting("season", seen, end)
    return _log_likelihood(other, left_out, end) - _log_likelihood(one, left_out, end)


def _part(histories: Histories, chosen: npt.NDArray[np.bool_]) -> Histories:
    place = np.cumsum(chosen) - 1
    kept = chosen[histories.person]
    import pyarrow as pa

    return Histories(persons=histories.persons.filter(pa.array(chosen)), person=place[histories.person[kept]], day=histories.day[kept], value=histories.value[kept])


def _log_likelihood(model: Counting, histories: Histories, end: int) -> float:
    """Log-likelihood of the purchase days of persons under a model, days and all."""
    persons, summary = histories.until(end)
    tuples = season.tuples_of(summary, model.clock, end, covariate=model.process.has_entry)
    value = likelihood_of(model.process, tuples)
    first_of = np.zeros(len(histories), np.int64)
    first_of[persons] = summary.first
    kept = histories.day <= end
    day, first = histories.day[kept], first_of[histories.person[kept]]
    again = day > first
    speed = model.clock.speed[season.week_of_year(day[again])]
    return float(value + np.sum(np.log(speed)) - model.clock.decay * np.sum(np.log1p((day - first)[again] / season.FADE)))


def shock(checks: list[Check]) -> float:
    """Spread of log(actual / predicted) over back-tests, bias included, a little wider where there are few."""
    if not checks:
        return SHOCK_UNTESTED
    logs = np.array([_log_error(check) for check in checks])
    return max(SHOCK_LEAST, float(np.sqrt(np.mean(logs**2) * (1.0 + 1.0 / len(logs)))))


def calendar_drift(model: Counting, histories: Histories, end: int) -> float:
    """Largest |log(actual / expected)| of repeat purchases over quarters of the history, where it is more than chance.

    Expected are the purchases an evenly running clock would have spread over the days that persons were alive.
    """
    persons, summary = histories.until(end)
    x = summary.count - 1
    entry = np.zeros(len(summary))
    tx, T = (summary.last - summary.first) / 7.0, (end - summary.first) / 7.0
    process = model.process
    alive, alpha = process.alive(x, tx, T, entry), process.alpha(entry)
    base = int(summary.first.min()) if len(summary) else end
    length = end - base + 2
    steps = np.zeros(length)
    living, stopped = alive * (process.r + x) / (alpha + T) / 7.0, (1.0 - alive) * (process.r + x) / (alpha + tx) / 7.0
    np.add.at(steps, summary.first + 1 - base, living + stopped)
    lost = summary.first + np.round(7.0 * process.lost_at(x, tx, T, entry)).astype(np.int64)
    np.add.at(steps, np.minimum(lost, end) + 1 - base, -stopped)
    expected = np.cumsum(steps)[:-1]
    first_of = np.zeros(len(histories), np.int64)
    first_of[persons] = summary.first
    kept = histories.day <= end
    day = histories.day[kept]
    again = day > first_of[histories.person[kept]]
    actual = np.bincount(day[again] - base, minlength=length - 1).astype(np.float64)
    quarter = (length - 2 - np.arange(length - 1)) // 91
    worst = 0.0
    for number in range(int(quarter.max(initial=0))):
        mine = quarter == number
        seen, mean = float(actual[mine].sum()), float(expected[mine].sum())
        if mean > 0 and abs(seen - mean) > 4.0 * np.sqrt(mean):
            worst = max(worst, abs(float(np.log((seen + 1.0) / (mean + 1.0)))))
    return worst


def judged(kind: Kind, checks: list[Check], *, persons: int, repeats: int, days: int, drift: float, clock: Clock) -> Verdict:
    """The verdict on a model, from how much it saw and how its back-tests went."""
    if persons == 0:
        return Verdict(level="not_usable", reason="there are no purchases", change="needs purchases with a person")
    if persons < FEW_PERSONS or repeats < FEW_REPEATS:
        needed = f"needs at least {FEW_PERSONS} buyers and {FEW_REPEATS} repeat purchases"
        return Verdict(level="not_usable", reason=f"{persons} buyers with {repeats} repeat purchases are too few", change=needed)
    if not checks:
        return Verdict(level="weak", reason=f"{days} days of history are too short to test it on the past", change="needs about 10 weeks of history")
    worst = max(checks, key=_beyond_chance)
    told = f"fitted up to {worst.cut_off} it predicted {worst.predicted:,.0f} purchases for the next {worst.horizon_days} days, {worst.actual:,} came ({worst.error:+.0%})"
    needs_year = "two years of history, so that each week of the year has been seen twice" if days < 730 else "a check of what changed at that time"
    mend = needs_year if kind == "season" else f'model="auto", which knows the season; {needs_year}'
    off = _beyond_chance(worst)
    if off > np.log1p(POOR):
        level: Literal["weak", "not_usable"] = "weak" if worst.unseen_days > 0.2 * worst.horizon_days and kind == "season" else "not_usable"
        why = f"; those days lie in weeks of the year it had never seen ({worst.unseen_days} of {worst.horizon_days})" if level == "weak" else ""
        return Verdict(level=level, reason=told + why, change=mend)
    if off > np.log1p(GOOD):
        return Verdict(level="weak", reason=told, change=mend)
    if kind != "season" and drift > np.log1p(GOOD):
        return Verdict(level="weak", reason=f"purchases run up to {np.expm1(drift):.0%} off its even pace for whole quarters: they follow a season or a trend it does not know", change=mend)
    beaten = [check for check in checks if check.mae > 1.02 * min(check.mae_own_rate, check.mae_mean)]
    if len(beaten) * 2 > len(checks):
        return Verdict(level="weak", reason="each customer's own past rate, or the mean, predicts persons better than it does", change="more history, or another model")
    return Verdict(level="usable", reason=f"{len(checks)} back-tests hit the total within {GOOD:.0%}, chance aside; worst: {told}", change="")


def spending_of(summary: Summary) -> gamma_gamma.Spending:
    """The spend model of all buyers, with each person's number of purchases and their mean; free ones tell nothing of price."""
    paid = summary.value > 0
    return gamma_gamma.fit(summary.count[paid], summary.value[paid])
