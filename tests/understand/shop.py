"""A small simulated shop whose buyers follow BG/NBD and Gamma-Gamma exactly, and worlds that break it; with the steps run over it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from tests.understand.world import ZONE, Engine, World, arrow

from kundig.config.understand import Axes, Costs, Matrix
from kundig.store.engines.session import as_known, conform
from kundig.tables.understand import CONTRACT_VALUES, FEATURES, LIFECYCLE_STATES, LIFETIME_VALUES, MODELS, SEGMENT_MEMBERS, URGENCY
from kundig.understand.features import features
from kundig.understand.lifecycle import lifecycle
from kundig.understand.models import lifetime_model, segment_tiers
from kundig.understand.segments import segments
from kundig.understand.urgency import urgency
from kundig.understand.values import lifetime_values

START = dt.date(2024, 1, 1)
Breaks = Literal["none", "christmas", "erlang", "trend", "censored", "wholesale"]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Parameters a world is drawn with; weeks."""

    r: float = 0.8
    alpha: float = 8.0
    a: float = 0.8
    b: float = 2.5
    p: float = 4.0
    q: float = 4.0
    gamma: float = 60.0


def purchases(persons: int, weeks: int, seed: int, truth: Truth | None = None, breaks: Breaks = "none", entry_weeks: int | None = None) -> pa.Table:
    """Orders (person_id, ordered_at, value) of a simulated shop over so many weeks; at most one purchase a day is seen."""
    t, chance = truth or Truth(), np.random.default_rng(seed)
    rate, stop = chance.gamma(t.r, 1.0 / t.alpha, persons), chance.beta(t.a, t.b, persons)
    scale = chance.gamma(t.q, 1.0 / t.gamma, persons)
    if breaks == "wholesale":
        big = chance.random(persons) < 0.03
        rate, scale = np.where(big, rate * 8 + 0.3, rate), np.where(big, scale / 15, scale)
    before = 52 * 7 if breaks == "censored" else 0
    entry = chance.uniform(-before, (entry_weeks or weeks // 2) * 7, persons)
    end = weeks * 7.0
    speed = _speed(int(end) + 1 + before, breaks)
    warped, at = np.concatenate([[0.0], np.cumsum(speed)]), np.arange(int(end) + 2 + before) - before
    ids, days = [np.arange(persons)], [entry]
    living, now = np.arange(persons), entry.copy()
    clock = np.interp(entry, at, warped)
    while len(living):
        gap = chance.gamma(3.0, 1.0 / 3.0, len(living)) if breaks == "erlang" else chance.exponential(1.0, len(living))
        clock[living] += gap * 7.0 / rate[living]
        now[living] = np.interp(clock[living], warped, at, right=end + 1)
        living = living[now[living] < end]
        ids.append(living)
        days.append(now[living].copy())
        living = living[chance.random(len(living)) >= stop[living]]
    person, day = np.concatenate(ids), np.floor(np.concatenate(days)).astype(np.int64)
    person, day = np.unique(np.stack([person, day])[:, day >= 0], axis=1)
    value = np.round(chance.gamma(t.p, 1.0 / scale[person]), 2) + 0.01
    dates = (day + (START - dt.date(1970, 1, 1)).days).astype("datetime64[D]")
    return pa.table({"person_id": pa.array(person), "ordered_at": pa.array(dates), "value": pa.array(value)})


def _speed(days: int, breaks: Breaks) -> np.ndarray:
    at = np.arange(days)
    if breaks == "christmas":
        of_year = (at + (START - dt.date(START.year, 1, 1)).days) % 365
        return np.where((of_year > 315) & (of_year < 357), 3.5, 0.7)
    if breaks == "trend":
        return np.exp(-1.6 * at / days) * 1.8
    return np.ones(days)


def world_of(orders: pa.Table) -> World:
    """The same shop as landed facts: one identifier per person, one line per order."""
    world = World()
    for person in sorted(set(orders["person_id"].to_pylist())):
        world.person(person + 1, 1_000 + person)
    for number, row in enumerate(orders.to_pylist()):
        at = dt.datetime.combine(row["ordered_at"], dt.time(11), dt.UTC)
        order = world.order(1_000 + row["person_id"], at, float(row["value"]), f"o{number}", discount=float(row["value"]) / 2 if row["person_id"] % 3 == 0 else 0.0)
        world.line(1_000 + row["person_id"], at, order, f"P{number % 7}", 1.0, float(row["value"]))
    for number in range(7):
        from kundig.tables.collect import PRODUCTS

        world.add(PRODUCTS, product_id=f"P{number}", category=f"Kategorie {number}", cost=Decimal(3))
    return world


@dataclass
class Steps:
    """The steps of the room over a world; what is given is taken, what is not is computed."""

    world: World
    costs: Costs = field(default_factory=Costs)
    axes: Axes = field(default_factory=Axes)
    matrix: Matrix = field(default_factory=Matrix)
    zone: str = ZONE

    def __post_init__(self) -> None:
        self.engine = Engine()
        self.contracts = arrow(CONTRACT_VALUES, []).drop_columns("changed_run")
        self.sources = {table.name: self.engine.table(self.world.table(table)) for table in features.reads}

    def features(self, as_of: dt.datetime) -> pa.Table:
        inputs = [as_known(self.sources[t.name], t, as_of) if t.room == "collect" and t.name != "products" else self.sources[t.name] for t in features.reads]
        return self._rows(features(*inputs, as_of=as_of, zone=self.zone, costs=self.costs), FEATURES)

    def fits(self, as_of: dt.datetime, made: pa.Table, model: str = "bg_nbd", groups: str = "none") -> pa.Table:
        orders = as_known(self.sources["orders"], features.reads[0], as_of)
        first = self._shaped(lifetime_model(orders, self.sources["identities"], self.engine.table(made), as_of=as_of, zone=self.zone, lifetime_model=model, lifetime_groups=groups), MODELS)
        tiers = segment_tiers(made, first, as_of=as_of, zone=self.zone, axes=self.axes, costs=self.costs)
        return pa.concat_tables([first, self._shaped(tiers, MODELS)])

    def values(self, as_of: dt.datetime, made: pa.Table, models: pa.Table) -> pa.Table:
        return self._shaped(lifetime_values(made, self.contracts, models, as_of=as_of, zone=self.zone, costs=self.costs), LIFETIME_VALUES)

    def states(self, as_of: dt.datetime, made: pa.Table, models: pa.Table) -> pa.Table:
        return self._shaped(lifecycle(made, models, as_of=as_of, zone=self.zone), LIFECYCLE_STATES)

    def urgency(self, as_of: dt.datetime, made: pa.Table, values: pa.Table, states: pa.Table, models: pa.Table) -> pa.Table:
        return self._shaped(urgency(made, values, states, self.contracts, models, as_of=as_of, zone=self.zone), URGENCY)

    def segments(self, made: pa.Table, values: pa.Table, states: pa.Table, models: pa.Table) -> pa.Table:
        inputs = [self.engine.table(rows) for rows in (made, values, states, models)]
        return self._rows(segments(*inputs, axes=self.axes, matrix=self.matrix), SEGMENT_MEMBERS)

    def _shaped(self, rows: pa.Table, table: Any) -> pa.Table:
        return self._rows(self.engine.table(rows), table)

    def _rows(self, expression: Any, table: Any) -> pa.Table:
        return self.engine.con.to_pyarrow(conform(expression, table, changed_run=1))


def by_person(rows: pa.Table) -> dict[int, dict[str, Any]]:
    return {row["person_key"]: row for row in rows.to_pylist()}


__all__ = ["START", "Steps", "Truth", "arrow", "by_person", "purchases", "world_of"]
