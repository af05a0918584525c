"""How a person buys: usual gap, how regular it is, how spend is spread, and when a next purchase is due."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from kundig.understand.lifetime_value.fitted import Fitted
from kundig.understand.lifetime_value.histories import Histories
from kundig.understand.lifetime_value.process import Floats, Ints

FAR = 3_650
"""Days ahead beyond which no date is told."""


def habits(histories: Histories, fitted: Fitted) -> pa.Table:
    """A row per person: usual_gap_days, gap_variation, value_variation and next_purchase.

    The usual gap is the mean number of days between purchases, its variation the standard deviation over it (0 like clockwork, about 1 by
    chance alone; from two gaps on), and that of value likewise (from two purchases on). `next_purchase` is the day by which a living
    person with that history buys again with a probability of one half; unknown (null) where it lies more than ten years ahead.
    """
    persons, summary = histories.until(fitted.end)
    kept = histories.day <= fitted.end
    person, day, value = histories.person[kept], histories.day[kept], histories.value[kept]
    same = person[1:] == person[:-1] if len(person) else np.zeros(0, bool)
    gaps, of = np.diff(day)[same].astype(np.float64), person[1:][same]
    _, usual, variation = _spread(of, gaps, len(histories))
    _, _, spent = _spread(person, value, len(histories))
    few = summary.count
    due = fitted.next_days(summary, end=fitted.end, within=FAR)
    return pa.table(
        {
            "person_id": histories.persons.take(pa.array(persons)),
            "usual_gap_days": pa.array(usual[persons], mask=few < 2), "gap_variation": pa.array(variation[persons], mask=few < 3),
            "value_variation": pa.array(spent[persons], mask=few < 2),
            "next_purchase": pa.array(due.astype(np.int32), pa.int32(), mask=due > fitted.end + FAR).cast(pa.date32()),
        }
    )  # fmt: skip


def _spread(place: Ints, amounts: Floats, size: int) -> tuple[Floats, Floats, Floats]:
    """Number, mean, and sample standard deviation over the mean, by place."""
    number = np.bincount(place, minlength=size).astype(np.float64)
    mean = np.bincount(place, amounts, size) / np.maximum(number, 1.0)
    off = np.bincount(place, (amounts - mean[place]) ** 2, size) / np.maximum(number - 1.0, 1.0)
    return number, mean, np.sqrt(off) / np.maximum(mean, 1e-12)
