"""A fitted lifetime-value model without any person in it: clock, purchases, spend and shock; it scores summaries and fits into one JSON text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from kundig.understand.lifetime_value import counts
from kundig.understand.lifetime_value.cells import numbered
from kundig.understand.lifetime_value.gamma_gamma import Spending
from kundig.understand.lifetime_value.histories import Summary
from kundig.understand.lifetime_value.kinds import Kind, as_data, of_data
from kundig.understand.lifetime_value.process import Floats, Ints, Purchasing
from kundig.understand.lifetime_value.season import Ages, Clock

MONTH = 365.25 / 12
Z90 = 1.6448536269514722
"""Normal quantile of a two-sided interval of 90 %."""

MOSTLY_ALIVE = 0.5
"""Probability of being alive below which no next purchase is told: it would never become as probable as not."""

WIDE = 2.0
"""Widest relative deviation of an expected value that is told: beyond a factor of seven, nothing is known."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How purchases become value, per person or alike for all: value of a purchase of mean m is m · share - order; a living month costs `month`.

    `discount` is yearly; a purchase in month t (t = 1, 2, …) is divided by (1 + discount)^(t / 12).
    """

    share: Floats | float = 1.0
    order: Floats | float = 0.0
    month: float = 0.0
    discount: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What is expected of each person within the horizon; money is discounted and net of the terms unless it says otherwise."""

    alive: Floats
    any: Floats
    purchases: Floats
    purchases_low: Ints
    purchases_high: Ints
    order_value: Floats
    revenue: Floats
    value: Floats
    value_low: Floats
    value_high: Floats
    outcome_low: Floats
    outcome_high: Floats
    at_risk: Floats
    next_day: Ints
    """Day (since 1970) by whose end a living person buys again with a probability of one half; where `next_reason` is not "", it says nothing."""
    next_reason: npt.NDArray[np.str_]
    """Why there is no such day: rather_gone or beyond_horizon; "" where there is one."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Parameters of a model; `shock` is the spread of the log of actual over predicted totals in its back-tests.

    `groups` has the process of each group of persons that has one of its own, by its name in the column `grouped_by`.
    """

    kind: Kind
    clock: Clock
    process: Purchasing
    spending: Spending
    end: int
    shock: float
    groups: Mapping[str, Purchasing] = field(default_factory=dict)
    grouped_by: str = ""

    def score(self, summary: Summary, *, end: int, horizon: float, terms: Terms | None = None) -> Scores:
        """What is expected of these persons in the `horizon` days after the end of a day.

        The work is done once per distinct (count, first day, last day); persons differ beyond that in the value of their purchases alone.
        """
        given = terms or Terms()
        distinct, person = numbered(np.stack([summary.count, summary.first, summary.last]))
        steps = max(1, round(horizon / MONTH))
        edges = np.linspace(0.0, horizon, steps + 1)[1:]
        worth = (1.0 + given.discount) ** (-edges / MONTH / 12)
        paid = given.month * np.diff(np.r_[0.0, edges]) / MONTH
        span = _Span(fitted=self, distinct=distinct, end=end, edges=edges, worth=worth, paid=paid)
        base = span.expected(self.process)
        count, mean = summary.count, summary.value
        unit_value = self.spending.mean(count, mean)
        unit = unit_value * given.share - given.order
        alive, purchases = base.alive[person], base.purchases[person]
        earned, cost = base.discounted[person] * unit, base.cost[person]
        value = earned - cost
        spread = np.minimum(self._doubt(span, base, person, unit, given, summary) / np.maximum(np.abs(earned), 1e-12), WIDE)
        factors = np.exp(-Z90 * spread), np.exp(Z90 * spread)
        sides = earned * factors[0] - cost, earned * factors[1] - cost
        low, high = self._outcome(base, person, summary, unit, unit_value, given)
        few, many = counts.quantiles(base.alive, base.group, base.table, (0.05, 0.95))
        due = self.next_days(span.cells, end=end, within=int(horizon))[base.group]
        why = np.select([base.alive < MOSTLY_ALIVE, due > end + int(horizon)], ["rather_gone", "beyond_horizon"], "")
        return Scores(
            alive=alive, any=base.any[person], purchases=purchases, purchases_low=few[person], purchases_high=many[person], order_value=unit_value,
            revenue=purchases * unit_value, value=value, value_low=np.minimum(*sides), value_high=np.maximum(*sides), outcome_low=low, outcome_high=high,
            at_risk=np.where(alive > 0, np.maximum(value, 0.0) / np.maximum(alive, 1e-12) * (1.0 - alive), 0.0),
            next_day=due[person], next_reason=why[person],
        )  # fmt: skip

    def next_days(self, summary: Summary, *, end: int, within: int) -> Ints:
        """Day (since 1970) by whose end each person, if living, has bought again with a probability of one half; `end + within + 1` where it is later.

        Given a living person's history the rate is gamma (r + x, α + T), so nothing is bought in t with ((α + T) / (α + T + t))^(r + x), and
        t = (α + T) · (2^(1 / (r + x)) - 1) in the model's clock. For Pareto/NBD, where one is lost between purchases too, living means until then.
        """
        ages = self.clock.ages(summary.first, end + within + 1)
        now = ages.by(end)
        with np.errstate(over="ignore"):  # so small an r makes nobody buy again: later than any day
            needed = (self.process.alpha(self.entry(summary.first)) + now) * np.expm1(np.log(2.0) / (self.process.r + summary.count - 1))
        low, high = np.full(len(summary), end + 1), np.full(len(summary), end + within + 1)
        while np.any(low < high):
            middle = (low + high) // 2
            enough = ages.by(middle) - now >= needed - 1e-9
            high = np.where((low < high) & enough, middle, high)
            low = np.where((low < high) & ~enough, middle + 1, low)
        return np.asarray(low, dtype=np.int64)

    def count_survival(self, summary: Summary, *, end: int, horizon: float, k: Ints) -> Floats:
        """P(at least k purchases) of each person within the horizon: the distribution that outcome intervals are cut from."""
        x = summary.count - 1
        entry = self.entry(summary.first)
        ages = self.clock.ages(summary.first, end + round(horizon))
        tx, T = ages.by(summary.last), ages.by(end)
        ahead = ages.by(end + round(horizon)) - T
        process = self.process
        alive = process.alive(x, tx, T, entry)
        tail = process.survival(x, T, entry, ahead, k)
        return np.where(np.asarray(k) <= 0, 1.0, alive * tail)

    def entry(self, first: Ints) -> Floats:
        """The covariate of persons; zero where the model has none."""
        return self.clock.entry(first) if self.process.has_entry else np.zeros(len(first))

    def _doubt(self, span: _Span, base: _Expected, person: Ints, unit: Floats, terms: Terms, summary: Summary) -> Floats:
        """Standard deviation of each expected value from the parameters' doubt alone, by the delta method along its principal axes."""
        variance = np.zeros(len(person))
        for axis in self.process.axes():
            up, down = span.coarse(self.process.moved(axis)), span.coarse(self.process.moved(-axis))
            earned, cost = (up[0] - down[0]) / 2, (up[1] - down[1]) / 2
            variance += (earned[person] * unit - cost[person]) ** 2
        for axis in self.spending.axes():
            change = (self.spending.moved(axis).mean(summary.count, summary.value) - self.spending.moved(-axis).mean(summary.count, summary.value)) / 2
            variance += (base.discounted[person] * change * terms.share) ** 2
        return np.sqrt(variance)

    def _outcome(self, base: _Expected, person: Ints, summary: Summary, unit: Floats, unit_value: Floats, terms: Terms) -> tuple[Floats, Floats]:
        """5 % and 95 % bounds of what a person brings: zero purchases at their exact probability, else a spend matched in mean and variance."""
        p, q = self.spending.p, self.spending.q
        shape = q + p * summary.count
        scale = self.spending.gamma + summary.count * summary.value
        first = scale / np.maximum(shape - 1.0, 1e-6)
        second = first * scale / np.maximum(shape - 2.0, 0.05)
        buys = np.maximum(base.any[person], 1e-12)
        mean = base.purchases[person] * p * first / buys
        square = second * (p * base.purchases[person] + p * p * base.square[person]) / buys
        sigma = np.sqrt(np.log(np.maximum(square / np.maximum(mean, 1e-300) ** 2, 1.0 + 1e-9)))
        # what is left of a unit of spend: discounting and the terms take their part
        kept = base.discounted[person] * unit / np.maximum(base.purchases[person] * unit_value, 1e-300)
        bounds = []
        for level in (0.05, 0.95):
            inside = (level - (1.0 - buys)) / buys
            spend = np.where(inside > 0, mean * np.exp(sigma * scipy.special.ndtri(np.clip(inside, 1e-12, 1 - 1e-12)) - sigma**2 / 2), 0.0)
            bounds.append(spend * kept - base.cost[person])
        return np.minimum(bounds[0], bounds[1]), np.maximum(bounds[0], bounds[1])

    def to_json(self) -> str:
        """The parameters as one JSON text; no personal value is in it."""
        process, spending, clock = self.process, self.spending, self.clock
        return json.dumps(
            {
                "kind": self.kind, "end": self.end, "shock": self.shock,
                "process": as_data(process),
                "spending": {"z": spending.z.tolist(), "covariance": spending.covariance.tolist(), "log_likelihood": spending.log_likelihood, "persons": spending.persons, "converged": spending.converged},
                "clock": {"speed": clock.speed.tolist(), "decay": clock.decay, "origin": clock.origin, "observed": clock.observed.tolist(), "decay_known": clock.decay_known},
                "groups": {"by": self.grouped_by, "processes": {name: as_data(one) for name, one in self.groups.items()}},
            },
            sort_keys=True,
        )  # fmt: skip

    @classmethod
    def from_json(cls, text: str) -> Fitted:
        """The model of such a text."""
        data = json.loads(text)
        arrays: dict[str, Any] = {part: {name: np.array(value) if isinstance(value, list) else value for name, value in data[part].items()} for part in ("spending", "clock")}
        groups = data.get("groups") or {"by": "", "processes": {}}  # releases made before there were any
        return cls(
            kind=data["kind"], end=data["end"], shock=data["shock"], process=of_data(data["process"]), spending=Spending(**arrays["spending"]),
            clock=Clock(**arrays["clock"]), groups={name: of_data(one) for name, one in groups["processes"].items()}, grouped_by=groups["by"],
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Expected:
    """Of each distinct tuple; `group` is its row in `table`, P(N ≥ k) of living persons."""

    alive: Floats
    any: Floats
    purchases: Floats
    square: Floats
    discounted: Floats
    cost: Floats
    group: Ints
    table: Floats


class _Span:
    """The horizon seen from the distinct tuples: what does not change with the parameters is worked out once."""

    def __init__(self, *, fitted: Fitted, distinct: Ints, end: int, edges: Floats, worth: Floats, paid: Floats) -> None:
        count, first, last = distinct
        self.x, self.worth, self.paid = count - 1, worth, paid
        self.entry = fitted.entry(first)
        until = end + int(np.ceil(edges[-1]))
        ages = fitted.clock.ages(first, until)
        self.tx, self.T = ages.by(last), ages.by(end)
        cells, self.group = numbered(np.stack([count, first]))
        self.cells = Summary(first=cells[1], last=cells[1], count=cells[0], value=np.zeros(cells.shape[1]))
        self.cell_x = cells[0] - 1
        self.cell_entry = fitted.entry(cells[1])
        begin = fitted.clock.ages(cells[1], until)
        self.cell_T = begin.by(end)
        self.cell_spans = np.stack([_age(begin, end, edge) for edge in edges], axis=1) - self.cell_T[:, None]

    def coarse(self, process: Purchasing) -> tuple[Floats, Floats]:
        """Discounted purchases and cost under these parameters, from the middle and the end of the horizon alone: good enough for differences."""
        alive = process.alive(self.x, self.tx, self.T, self.entry)
        last = self.cell_spans.shape[1] - 1
        nodes = sorted({last // 2, last})
        found = process.moments(self.cell_x, self.cell_T, self.cell_entry, self.cell_spans[:, nodes])
        halves = np.split(np.arange(last + 1), [last // 2 + 1]) if len(nodes) > 1 else [np.arange(last + 1)]
        worth = np.array([self.worth[half].mean() for half in halves])
        paid = np.array([(self.paid * self.worth)[half].sum() for half in halves])
        monthly = _weighed(np.diff(found.mean, axis=1, prepend=0.0), worth)
        return alive * monthly[self.group], alive * _weighed(found.living, paid)[self.group]

    def expected(self, process: Purchasing) -> _Expected:
        """Expectations under these parameters."""
        alive = process.alive(self.x, self.tx, self.T, self.entry)
        found = process.moments(self.cell_x, self.cell_T, self.cell_entry, self.cell_spans)
        monthly = _weighed(np.diff(found.mean, axis=1, prepend=0.0), self.worth)
        cost = _weighed(found.living, self.paid * self.worth)
        table = process.survivals(self.cell_x, self.cell_T, self.cell_entry, self.cell_spans[:, -1])
        of = self.group
        return _Expected(
            alive=alive, any=alive * found.any[of, -1], purchases=alive * found.mean[of, -1], square=alive * found.square[of, -1],
            discounted=alive * monthly[of], cost=alive * cost[of], group=of, table=table,
        )  # fmt: skip


def _age(ages: Ages, end: int, days: float) -> Floats:
    """Age after some days more, whole ones and the part of the last."""
    whole = int(days)
    full, part = ages.by(end + whole), days - whole
    return full if part == 0 else full + part * (ages.by(end + whole + 1) - full)


def _weighed(rows: Floats, weights: Floats) -> Floats:
    """Weighted sum of each row, in one thread."""
    return np.asarray(np.einsum("ij,j->i", rows, weights))


__all__ = ["MONTH", "MOSTLY_ALIVE", "Z90", "Fitted", "Kind", "Scores", "Terms"]
