"""What personas do from day to day, learnt from the stream of days since their fit: a window that grows while nothing changes, and is cut where something does.

Members of a persona are found anew in every run; what they do may move while the groups stay. For each persona and measure the days are read in order by
ADWIN (Bifet and Gavaldà, 2007; of the library river): its window holds the days that are alike, so its mean is what is known of now.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt

from kundig.store.engines.portable import local_time
from kundig.understand.personas.knowing import came, tells_time

MEASURES = ("visits", "purchases", "order_value", "hour", "opens")
"""Share of members that came on a day, that bought; mean value of a buyer's day; mean hour of the first sign; opened messages by those sent."""
LOOK_BACK = 120
"""Days before the fit that the stream begins with."""
LEAST_BEFORE = 28
"""Days before the fit without which nothing is said of a change."""
LEAST_PERSONS = 5
"""Persons (of `opens`: messages) behind a day's mean; a day of fewer is passed over."""
SPREADS = 3.0
"""Standard deviations of a day that count as ADWIN's unit: its bounds are made for values between 0 and 1."""
CONFIDENCE = 0.002
MOVED = 3.0
"""Standard errors between the days up to the fit and those of now from which on a change is told."""


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """One measure of a persona: `at_fit` and `now` in the measure's unit, `since` the first day of what holds now (null: as at the fit), `level` a code."""

    days: int
    at_fit: float | None
    now: float | None
    since: dt.date | None
    level: str


def daily(members: ir.Table, person_days: ir.Table, messages: ir.Table, *, zone: str, since: dt.date) -> ir.Table:
    """Sums of each persona and day from `since` on: persons that came and bought, value, hours, messages.

    Args:
        members: person_key, persona_id.
        person_days: The spine.
        messages: person_key, outcome, occurred_at: what was sent to persons and what they did with it.
        zone: The workspace's zone.
        since: First day read.
    """
    rows = person_days.filter(person_days.local_day >= ibis.literal(since))
    clock = local_time(rows.first_at, zone)
    there, bought = came(rows), rows.event == "order_completed"
    hour = ibis.ifelse(there & tells_time(clock), clock.hour().cast("float64") + clock.minute().cast("float64") / 60.0, ibis.null("float64"))
    each = rows.select("person_key", "local_day", came=there, bought=bought, value=ibis.ifelse(bought, rows.value.cast("float64"), 0.0), hour=hour)
    days = each.group_by("person_key", "local_day").aggregate(came=each.came.max(), bought=each.bought.max(), value=each.value.sum(), hour=each.hour.min())
    zero, none = ibis.literal(0, "int64"), ibis.literal(0.0)
    did = days.select("person_key", "local_day", came=days.came.cast("int64"), bought=days.bought.cast("int64"), value="value", hour=days.hour.fill_null(0.0), hours=days.hour.notnull().cast("int64"), sent=zero, opened=zero)
    told = messages.select("person_key", local_day=local_time(messages.occurred_at, zone).date(), sent=(messages.outcome == "sent").cast("int64"), opened=(messages.outcome == "opened").cast("int64"))
    told = told.filter(told.local_day >= ibis.literal(since)).select("person_key", "local_day", came=zero, bought=zero, value=none, hour=none, hours=zero, sent="sent", opened="opened")
    both = members.select("person_key", "persona_id").inner_join(did.union(told, distinct=False), "person_key")
    return both.group_by("persona_id", "local_day").aggregate(
        came=both.came.sum(), bought=both.bought.sum(), value=both.value.sum().round(4), hour=both.hour.sum().round(4), hours=both.hours.sum(), sent=both.sent.sum(), opened=both.opened.sum()
    )


def known_from(members: ir.Table, profiles: ir.Table, *, zone: str) -> ir.Table:
    """How many members of a persona were first seen on each day: (persona_id, local_day, persons)."""
    first = profiles.filter(profiles.first_seen_at.notnull()).select("person_key", local_day=local_time(profiles.first_seen_at, zone).date())
    joined = members.select("person_key", "persona_id").inner_join(first, "person_key")
    return joined.group_by("persona_id", "local_day").aggregate(persons=joined.count().cast("int64"))


def series(rows: Sequence[Mapping[str, Any]], known: Mapping[dt.date, int], until: dt.date) -> dict[str, list[tuple[dt.date, float]]]:
    """The days of each measure, in order and without the last one, which is not over; `known`: members first seen on each day."""
    found: dict[str, list[tuple[dt.date, float]]] = {name: [] for name in MEASURES}
    for row in _whole(rows, until):
        day, counts = row["local_day"], {name: float(row[name]) for name in ("came", "bought", "value", "hour", "hours", "sent", "opened")}
        members = sum(persons for first, persons in known.items() if first <= day)
        told = {
            "visits": (counts["came"], members, members), "purchases": (counts["bought"], members, members), "order_value": (counts["value"], counts["bought"], counts["bought"]),
            "hour": (counts["hour"], counts["hours"], counts["hours"]), "opens": (counts["opened"], counts["sent"], counts["sent"]),
        }  # fmt: skip
        for name, (above, below, persons) in told.items():
            if persons >= LEAST_PERSONS:
                found[name].append((day, above / below))
    return found


def _whole(rows: Sequence[Mapping[str, Any]], until: dt.date) -> Iterator[dict[str, Any]]:
    """All days from the first to the one before `until`; a day without rows is one on which nobody came."""
    by_day = {row["local_day"]: row for row in rows}
    day = min(by_day, default=until)
    nothing = dict.fromkeys(("came", "bought", "value", "hour", "hours", "sent", "opened"), 0)
    while day < until:
        yield {**nothing, **by_day.get(day, {}), "local_day": day}
        day += dt.timedelta(days=1)


def learnt(days: Sequence[tuple[dt.date, float]], fitted: dt.date) -> Learnt:
    """What a stream of days says of a measure whose persona was fitted on a day.

    Examples:
        >>> first = dt.date(2026, 1, 1)
        >>> noise = [0.01 * (number * 7 % 5) for number in range(120)]
        >>> stream = [(first + dt.timedelta(days=number), 0.2 + one + (0.1 if number >= 90 else 0.0)) for number, one in enumerate(noise)]
        >>> found = learnt(stream, first + dt.timedelta(days=60))
        >>> found.level, round(found.at_fit, 2), round(found.now, 2)
        ('risen', 0.22, 0.32)
        >>> learnt(stream[:90], first + dt.timedelta(days=60)).level
        'steady'
    """
    values = np.array([value for _, value in days])
    known = sum(day <= fitted for day, _ in days)
    if known < LEAST_BEFORE or known == len(days):
        return Learnt(days=len(days), at_fit=None, now=None, since=None, level="unknown")
    from river.drift import ADWIN

    mean, spread = float(values[:known].mean()), _spread(values[:known])
    window, then, cut = ADWIN(delta=CONFIDENCE, clock=1, min_window_length=7, grace_period=14), known, False
    for number, value in enumerate(values.tolist(), 1):
        window.update((value - mean) / (SPREADS * spread))
        cut |= bool(window.drift_detected) and number > known
        then = int(window.width) if number == known else then
    before, alike = values[known - max(then, LEAST_BEFORE) : known], values[-max(1, int(window.width)) :]
    at_fit, now = float(before.mean()), float(alike.mean())
    began = _began(values, len(values) - len(alike)) if cut else 0
    error = _spread(before) * float(np.sqrt(1 / len(before) + 1 / len(alike)))
    if began < known or abs(now - at_fit) < MOVED * error:
        return Learnt(days=len(days), at_fit=at_fit, now=now, since=None, level="steady")
    return Learnt(days=len(days), at_fit=at_fit, now=now, since=days[began][0], level="risen" if now > at_fit else "fallen")


def _spread(values: npt.NDArray[np.float64]) -> float:
    """Standard deviation of a day, never zero."""
    return max(float(values.std(ddof=1)), 1e-9 + 1e-6 * abs(float(values.mean())))


def _began(values: npt.NDArray[np.float64], last: int) -> int:
    """Where the days best fall into two means, up to `last`: ADWIN's window begins late, as it is cut by whole buckets."""
    best, place = np.inf, last
    for cut in range(1, last + 1):
        error = sum(float(((part - part.mean()) ** 2).sum()) for part in (values[:cut], values[cut:]) if len(part))
        if error < best:
            best, place = error, cut
    return place


__all__ = ["LOOK_BACK", "MEASURES", "Learnt", "daily", "known_from", "learnt", "series"]
