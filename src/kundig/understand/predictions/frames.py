"""Frames of a prediction: its population at a moment with their features, and at past cut-offs also who did it."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from kundig.clock import local_day, midnight
from kundig.config.predictions import Prediction
from kundig.config.understand import Costs
from kundig.understand.predictions import targets
from kundig.understand.predictions.knowing import LANDED, OF_PERSONS, Facts, known, owned
from kundig.understand.predictions.making import Plan, beside, made
from kundig.understand.predictions.targets import Asked, literal

CUT_OFF, DECIDED, OUTCOME = "cut_off", "decided_at", "outcome"
FEWEST_DAYS = 30
"""Days of facts before a cut-off without which nothing can be learnt at it."""
MOMENT = pa.timestamp("us", "UTC")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Everything a workspace says about features, but for the tables."""

    zone: str
    costs: Costs


def boundary(as_of: dt.datetime, zone: str, every: int = 1) -> dt.datetime:
    """The moment scores hold from: the beginning of the local day, of every n-th day counted from 1970."""
    day = local_day(as_of, zone)
    return midnight(day - dt.timedelta(days=day.toordinal() % every), zone)


def lapses(moment: dt.datetime, zone: str, every: int) -> dt.datetime:
    """When the scores of a boundary lapse: the next one."""
    return midnight(local_day(moment, zone) + dt.timedelta(days=every), zone)


def cut_offs(events_from: dt.datetime | None, as_of: dt.datetime, zone: str, prediction: Prediction) -> list[tuple[dt.datetime, dt.datetime]]:
    """Past moments with the ends of their horizons, oldest first, a horizon apart, the newest end being the last midnight."""
    if events_from is None:
        return []
    today = local_day(as_of, zone)
    found = []
    for number in range(prediction.cut_offs, 0, -1):
        start = midnight(today - dt.timedelta(days=number * prediction.days), zone)
        if start - events_from >= dt.timedelta(days=FEWEST_DAYS):
            found.append((start, midnight(today - dt.timedelta(days=(number - 1) * prediction.days), zone)))
    return found


def first_fact(facts: Facts) -> dt.datetime | None:
    """When the facts begin: the earliest event or order; a twentieth of either may lie before by mistake and is not looked at."""
    moments = []
    for name in ("events", "orders"):
        rows = facts[name].filter(facts[name].identifier_key.notnull())
        micros = rows.occurred_at.epoch_seconds()
        found = rows.aggregate(at=micros.quantile(0.02)).to_pyarrow()["at"][0].as_py()
        if found is not None:
            moments.append(dt.datetime.fromtimestamp(int(found), dt.UTC))
    return min(moments, default=None)


def present(facts: Facts, asked: Asked, plan: Plan, place: Place, *, at: dt.datetime, heard: dt.datetime | None = None) -> pa.Table:
    """The population at a moment with its features, in the order of persons; facts count that had happened by then and were known at `heard`."""
    then = known(facts, at, heard=heard)
    mine = owned(then, facts["identities"])
    keys = np.sort(np.asarray(_population(mine, asked, at).to_pyarrow()["person_key"].to_numpy(), np.int64))
    found = made(then, mine, plan, keys, at=at, zone=place.zone, costs=place.costs)
    return found.append_column(CUT_OFF, pa.repeat(pa.scalar(at, MOMENT), found.num_rows))


def counted(facts: Facts, asked: Asked, start: dt.datetime, end: dt.datetime) -> tuple[int, int]:
    """Persons of the population at a past cut-off as known then, and those of them who did it until the end of the horizon, as known now."""
    people = _population(owned(known(facts, start), facts["identities"]), asked, start)
    told = targets.done(asked.target, owned(facts, facts["identities"]), start, end)
    did = people.semi_join(told.filter(told[OUTCOME]), "person_key")
    return int(people.count().to_pyarrow().as_py()), int(did.count().to_pyarrow().as_py())


def learnt(facts: Facts, asked: Asked, plan: Plan, place: Place, cuts: Sequence[tuple[dt.datetime, dt.datetime]]) -> pa.Table:
    """The populations of past cut-offs with their features as known then, and who did it until the end of the horizon, as known now."""
    heard = owned(facts, facts["identities"])
    parts = []
    for start, end in cuts:
        found = present(facts, asked, plan, place, at=start)
        told = targets.done(asked.target, heard, start, end).to_pyarrow()
        outcome = beside(told, np.asarray(found["person_key"].to_numpy(), np.int64))[OUTCOME]
        parts.append(found.append_column(OUTCOME, outcome).append_column(DECIDED, pa.repeat(pa.scalar(end, MOMENT), found.num_rows)))
    return pa.concat_tables(parts, promote_options="permissive")


def sampled(facts: Mapping[str, ir.Table], stride: int) -> dict[str, ir.Table]:
    """The tables of every n-th person alone."""
    if stride <= 1:
        return dict(facts)
    found = dict(facts)
    for name in ("profiles", "identities", *OF_PERSONS):
        found[name] = facts[name].filter(facts[name].person_key % stride == 0)
    for name in LANDED:
        found[name] = facts[name].semi_join(found["identities"], "identifier_key")
    return found


def until(facts: Mapping[str, ir.Table], as_of: dt.datetime) -> dict[str, ir.Table]:
    """The tables as known at a moment, for those who have the whole lake before them."""
    moment = literal(as_of)
    return dict(facts) | {name: facts[name].filter(facts[name].received_at <= moment, facts[name].occurred_at <= moment) for name in (*LANDED, *OF_PERSONS)}


def _population(mine: Facts, asked: Asked, at: dt.datetime) -> ir.Table:
    """`person_key` of whom the prediction is made at a moment, given the tables with their persons as known then."""
    return targets.of_population(asked.population, mine, at).semi_join(_seen(mine), "person_key")


def _seen(mine: Facts) -> ir.Table:
    """Persons of whom anything was known."""
    parts = [mine[name].select("person_key") for name in (*LANDED, "trait_changes")]
    return functools.reduce(lambda above, below: above.union(below, distinct=False), parts).distinct()
