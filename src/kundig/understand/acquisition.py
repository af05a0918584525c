"""Cost of acquisition: what advertising paid to win a customer, by the channel that brought the person and the month of the first purchase.

Spend of a month is borne by the customers its channel won in that month; where it won none, by the next ones. So over the months that
spend is booked for, customers bear what was spent, no more and no less.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

ACQUISITION = "acquisition_cost"
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def months_of(rows: pa.Table, zone: str) -> pa.Array:
    """Months since the year 0 of the first purchase; of who never bought, of the first fact that is known; null where there is none."""
    bought = rows["first_order_day"].cast(pa.date32())
    known = rows["first_fact_at"].cast(pa.timestamp("us", zone))
    first, other = (pc.add(pc.multiply(pc.year(days), 12), pc.subtract(pc.month(days), 1)) for days in (bought, known))
    found = pc.coalesce(first, other)
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def rates(spent: Iterable[tuple[str, int, float]], won: Iterable[tuple[str, int, int]]) -> dict[str, Any]:
    """What a new customer cost, as plain data.

    Args:
        spent: Channel, month (months since the year 0) and amount.
        won: Channel, month and number of new customers.

    Returns:
        `first` and `last` month that spend is booked for (None where none is); by channel `months` with the cost of a customer, and `mean`, that of all of them.

    Examples:
        >>> found = rates([("search", 1, 90.0), ("search", 2, 10.0), ("search", 3, 60.0)], [("search", 2, 5), ("search", 3, 3), ("direct", 2, 9)])
        >>> found["channels"]["search"]["months"], found["channels"]["search"]["mean"]
        ({'2': 20.0, '3': 20.0}, 20.0)
    """
    costs: defaultdict[str, dict[int, float]] = defaultdict(dict)
    persons: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for channel, month, amount in spent:
        costs[channel][month] = costs[channel].get(month, 0.0) + amount
    for channel, month, count in won:
        persons[channel][month] = persons[channel].get(month, 0) + count
    booked = sorted({month for found in costs.values() for month in found})
    if not booked:
        return {"first": None, "last": None, "channels": {}}
    channels: dict[str, Any] = {}
    for channel, found in sorted(costs.items()):
        waiting, told, count = 0.0, {}, 0
        for month in range(booked[0], booked[-1] + 1):
            waiting += found.get(month, 0.0)
            arrived = persons[channel].get(month, 0)
            count += arrived
            if arrived and waiting:
                told[str(month)], waiting = round(waiting / arrived, 6), 0.0
        channels[channel] = {"months": told, "mean": round(sum(found.values()) / count, 6) if count else None}
    return {"first": booked[0], "last": booked[-1], "channels": channels}


def newest(models: pa.Table) -> Mapping[str, Any] | None:
    """The newest rates of `models`; None where nothing was fitted."""
    rows = [row for row in models.to_pylist() if row["model"] == ACQUISITION]
    return json.loads(max(rows, key=lambda row: (row["fitted_at"], row["version"]))["parameters"]) if rows else None


def costs_of(rows: pa.Table, known: Mapping[str, Any] | None, zone: str) -> Floats:
    """What winning each person cost; NaN where it is not known.

    A channel that nothing is spent on costs nothing. Of persons won before or after the months that spend is booked for, the mean of their channel is told.

    Args:
        rows: Rows of `features`.
        known: The rates.
        zone: Whose months count.
    """
    if known is None or known["first"] is None:
        return np.full(rows.num_rows, np.nan)
    month = np.asarray(pc.fill_null(months_of(rows, zone), -1).to_numpy(zero_copy_only=False), np.int64)
    booked = (month >= known["first"]) & (month <= known["last"])
    found = np.zeros(rows.num_rows)
    channel = rows["acquisition_channel"].cast(pa.string()).combine_chunks()
    names = list(known["channels"])
    place = np.asarray(pc.fill_null(pc.index_in(channel, value_set=pa.array(names, pa.string())), -1).to_numpy(zero_copy_only=False), np.int64)
    for number, name in enumerate(names):
        mine = np.flatnonzero(place == number)
        rate = known["channels"][name]
        table = np.zeros(known["last"] - known["first"] + 1)
        for at, cost in rate["months"].items():
            table[int(at) - known["first"]] = cost
        mean = np.nan if rate["mean"] is None else rate["mean"]
        found[mine] = np.where(booked[mine], table[np.clip(month[mine] - known["first"], 0, len(table) - 1)], mean)
    return found
