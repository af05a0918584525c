"""What is known of one person: events, and states that hold from one moment to the next."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from kundig.clock import micros

Moment = int | dt.datetime
"""An instant: microseconds since 1970 in UTC, or a datetime with its zone."""

STEP = Decimal("0.0001")
LARGEST = Decimal(10) ** 14
"""A number has four decimals and stays below this: decimal(18,4)."""


def to_micros(moment: Moment) -> int:
    """The instant in microseconds since 1970, UTC.

    Examples:
        >>> to_micros(dt.datetime(1970, 1, 1, 0, 1, tzinfo=dt.UTC)), to_micros(5)
        (60000000, 5)
    """
    return moment if isinstance(moment, int) else micros(moment)


def as_number(value: Any) -> Decimal | None:
    """A number as rules know it, with four decimals, rounded half away from zero; None for what is none.

    Binary floats are rounded after multiplication by 10,000, as the engines do it.

    Examples:
        >>> as_number(0.1), as_number(3), as_number(float("nan"))
        (Decimal('0.1000'), Decimal('3.0000'), None)
    """
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, float):
        if not abs(value) < 1e14:
            return None
        return Decimal(value * 10_000.0).quantize(Decimal(1), ROUND_HALF_UP).scaleb(-4)
    number = Decimal(value)
    return number.quantize(STEP, ROUND_HALF_UP) if abs(number) < LARGEST else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened: `at` is when, `received` when we knew. Ties of time are ordered by `id`, the stable message id."""

    id: str
    name: str
    at: int
    received: int
    properties: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """A value that holds from `at` until the next state of the same kind and key, or `until`.

    `kind` is trait, score, consent, segment or list. `key` is the trait's name, `model.value` or `model.percentile`,
    `purpose/channel`, the segment, or the list. A consent's value is its status; a membership's is true or false.
    """

    kind: str
    key: str
    value: Any
    at: int
    received: int
    until: int | None = None
    order: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """All facts of one person, in any order; `person` is the public id."""

    person: str
    events: tuple[Event, ...] = ()
    states: tuple[State, ...] = ()

    def known(self, at: int) -> Timeline:
        """The facts that were known at that moment, those dated later among them."""
        return Timeline(
            person=self.person,
            events=tuple(event for event in self.events if event.received <= at),
            states=tuple(state for state in self.states if state.received <= at),
        )
