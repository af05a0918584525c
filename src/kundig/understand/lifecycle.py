"""Lifecycle: where a person stands, and the moment at which silence alone will change that.

A customer whose purchases come at the usual rhythm stays silent for some time anyway. The state follows the probability that a living
customer with this person's history would have been silent so long, ((α + tx) / (α + tx + silence))^(r + x), with silence measured in the
model's clock: January is no churn. Very rare buyers never become unlikely that way, so plain limits in days apply as well.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kundig.clock import local_day, micros, midnight
from kundig.schema import step
from kundig.tables.understand import FEATURES, LIFECYCLE_STATES, MODELS
from kundig.understand.lifetime_value.fitted import Fitted
from kundig.understand.lifetime_value.histories import EPOCH, Summary, day_number
from kundig.understand.models import LIFETIME, model_named
from kundig.understand.valuation import by_group, numbers, summary_of

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

RISK, DORMANT, FORMER = 0.30, 0.10, 0.02
"""Probabilities of so long a silence below which a customer is at risk, dormant, former."""
LIMITS = (240, 365, 730)
"""Days of silence after which a customer is so in any case, unless three usual gaps are longer."""
GAPS = 3.0
ONBOARDING_DAYS = 60
"""Days after the first purchase in which a customer is new."""
LOYAL_PURCHASES, LOYAL_DAYS = 4, 90
"""Purchase days, and days between the first and the last, from which on a customer is loyal."""


@step(reads=(FEATURES, MODELS), writes=LIFECYCLE_STATES, kind="array", by="person_key", due="due_at", bound=1_500)
def lifecycle(features: pa.Table, models: pa.Table, *, as_of: dt.datetime, zone: str) -> pa.Table:
    """The state of every person that features know.

    Who never bought is a prospect; who holds a running contract is active or loyal however long nothing was bought.
    """
    model = model_named(models, LIFETIME)
    size = features.num_rows
    count = np.nan_to_num(numbers(features, "purchase_days")).astype(np.int64)
    bought = np.flatnonzero(count > 0)
    rows = features.take(pa.array(bought))
    summary = summary_of(rows)

    def turning(fitted: Fitted | None, some: pa.Table) -> dict[str, Ints]:
        return dict(zip(("risk", "dormant", "former"), turning_days(fitted, summary_of(some), np.nan_to_num(numbers(some, "gap_days"))), strict=True))

    turns = by_group(model[0], rows, turning) if model is not None else turning(None, rows)
    today = day_number(local_day(as_of, zone))
    risk, dormant, former = (turns[name] for name in ("risk", "dormant", "former"))
    single = summary.count == 1
    settled = np.where(single, summary.first + ONBOARDING_DAYS, summary.last)
    loyal = (summary.count >= LOYAL_PURCHASES) & (summary.last - summary.first >= LOYAL_DAYS)
    names = np.select(
        [today >= former, today >= dormant, today >= risk, single & (today < settled), loyal], ["former", "dormant", "at_risk", "onboarding", "loyal"], "active"
    )
    held = np.nan_to_num(numbers(rows, "subscriptions")) > 0
    kept = held & np.isin(names, ["at_risk", "dormant", "former"])  # who pays for a running contract is no silent customer
    names = np.where(kept, np.where(loyal, "loyal", "active"), names)
    since = np.select([kept, names == "former", names == "dormant", names == "at_risk", names == "active"], [summary.last, former, dormant, risk, settled], summary.last)
    upcoming = np.stack([np.where(single, settled, today), risk, dormant, former])
    later = np.where(upcoming > today, upcoming, np.iinfo(np.int64).max)
    due = np.where(held & ~(single & (today < settled)), np.iinfo(np.int64).max, later.min(axis=0, initial=np.iinfo(np.int64).max))

    def moments(days: Ints, known: npt.NDArray[np.bool_]) -> pa.Array:
        whole = np.zeros(size, np.int64)
        valid = np.zeros(size, bool)
        whole[bought], valid[bought] = np.where(known, days, 0), known
        return pa.array(np.where(valid, midnights(whole, zone), 0), pa.timestamp("us", "UTC"), mask=~valid)

    every = np.ones(len(bought), bool)
    state = np.where(np.nan_to_num(numbers(features, "subscriptions")) > 0, "active", "prospect").astype(object)
    state[bought] = names
    of_buyers = moments(since, every)
    first_fact = features["first_fact_at"].cast(pa.timestamp("us", "UTC")).combine_chunks()
    is_buyer = np.zeros(size, bool)
    is_buyer[bought] = True
    return pa.table(
        {
            "person_key": features["person_key"], "state": pa.array(state, pa.string()), "since": pc.if_else(pa.array(is_buyer), of_buyers, first_fact),
            "at_risk_at": moments(risk, every), "dormant_at": moments(dormant, every), "former_at": moments(former, every),
            "due_at": moments(due, due < np.iinfo(np.int64).max),
        }
    )  # fmt: skip


def turning_days(model: Fitted | None, summary: Summary, gap: Floats) -> tuple[Ints, Ints, Ints]:
    """The days from which on a silent customer is at risk, dormant and former; each at least a day after the one before.

    They depend on the history and the model alone, not on the day of asking.
    """
    limits = [summary.last + np.maximum(limit, np.ceil(GAPS * gap)).astype(np.int64) for limit in LIMITS]
    if model is not None and len(summary):
        limits = [np.minimum(limit, _unlikely_from(model, summary, level, limit)) for level, limit in zip((RISK, DORMANT, FORMER), limits, strict=True)]
    risk = np.maximum(limits[0], summary.last + 1)
    dormant = np.maximum(limits[1], risk + 1)
    return risk, dormant, np.maximum(limits[2], dormant + 1)


def _unlikely_from(model: Fitted, summary: Summary, level: float, limit: Ints) -> Ints:
    """The first day at which silence since the last purchase is less probable than `level`, no later than the limits."""
    clock, process = model.clock, model.process
    x = summary.count - 1
    ages = clock.ages(summary.first, int(limit.max()))
    start = ages.by(summary.last)
    known = process.alpha(model.entry(summary.first)) + start
    with np.errstate(over="ignore"):  # a process with so small an r gives nobody up: never
        needed = known * (level ** (-1.0 / (process.r + x)) - 1.0)
    if clock.plain:
        return np.minimum(summary.last + np.ceil(np.minimum(needed * 7.0, 1e6)).astype(np.int64), limit)
    low, high = summary.last + 1, limit.copy()
    while np.any(low < high):
        middle = (low + high) // 2
        enough = ages.by(middle) - start >= needed - 1e-9
        high = np.where((low < high) & enough, middle, high)
        low = np.where((low < high) & ~enough, middle + 1, low)
    return low


def midnights(days: Ints, zone: str) -> Ints:
    """Microseconds since 1970 of the first instant of each local day; worked out once per distinct day."""
    distinct, place = np.unique(days, return_inverse=True)
    found = np.array([micros(midnight(EPOCH + dt.timedelta(days=int(day)), zone)) for day in distinct], dtype=np.int64)
    return found[place] if len(found) else np.zeros(0, np.int64)
