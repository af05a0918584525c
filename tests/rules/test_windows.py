"""Windows: their bounds by hand, and that entering and leaving agree with the bounds around every change of the clock."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from tests.rules.world import HOUR, utc

from kundig import rules
from kundig.rules.windows import DAY, FOREVER, Absolute, Ahead, Calendar, Rolling, Span, Until, local_day, midnight, shift_days

BERLIN, PAULO, KOLKATA = "Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata"
NOON = utc(2026, 3, 29, 12)

# zone, window, at, instants inside, instants outside: worked out by hand from the tables of the time zones
GOLDEN: list[tuple[str, Any, int, list[int], list[int]]] = [
    (BERLIN, "1 day", NOON, [utc(2026, 3, 28, 12) + 1, NOON], [utc(2026, 3, 28, 12)]),
    (BERLIN, "24 hours", utc(2026, 10, 25, 12), [utc(2026, 10, 24, 12) + 1], [utc(2026, 10, 24, 12)]),
    (BERLIN, {"calendar": "1 day"}, NOON, [utc(2026, 3, 28, 23)], [utc(2026, 3, 28, 23) - 1]),
    (BERLIN, {"calendar": "1 day", "shift": -1}, utc(2026, 3, 30, 10), [utc(2026, 3, 28, 23), utc(2026, 3, 29, 22) - 1], [utc(2026, 3, 28, 23) - 1, utc(2026, 3, 29, 22)]),
    (BERLIN, {"calendar": "1 day", "shift": -1}, utc(2026, 10, 26, 10), [utc(2026, 10, 24, 22), utc(2026, 10, 25, 23) - 1], [utc(2026, 10, 24, 22) - 1, utc(2026, 10, 25, 23)]),
    (BERLIN, {"calendar": "1 week"}, utc(2026, 3, 29, 21, 59), [utc(2026, 3, 22, 23)], [utc(2026, 3, 22, 23) - 1]),
    (BERLIN, {"calendar": "1 week"}, utc(2026, 3, 29, 22), [utc(2026, 3, 29, 22)], [utc(2026, 3, 29, 22) - 1]),
    (BERLIN, "1 month", utc(2026, 3, 31, 10), [utc(2026, 2, 27, 23)], [utc(2026, 2, 27, 23) - 1]),
    (BERLIN, "1 quarter", utc(2026, 5, 31, 10), [utc(2026, 2, 27, 23)], [utc(2026, 2, 27, 23) - 1]),
    (BERLIN, "1 year", utc(2024, 2, 29, 11), [utc(2023, 2, 27, 23)], [utc(2023, 2, 27, 23) - 1]),
    (BERLIN, {"to": "1 month"}, utc(2026, 3, 31, 10), [utc(2026, 2, 27, 23) - 1], [utc(2026, 2, 27, 23)]),
    (BERLIN, {"from": "90 days", "to": "30 days"}, NOON, [NOON - 90 * DAY + 1, NOON - 30 * DAY], [NOON - 90 * DAY, NOON - 30 * DAY + 1]),
    (BERLIN, {"to": "30 days"}, NOON, [NOON - 30 * DAY, utc(1971, 1, 1)], [NOON - 30 * DAY + 1]),
    (BERLIN, {"calendar": "1 month", "shift": -1}, utc(2026, 4, 2, 8), [utc(2026, 2, 28, 23), utc(2026, 3, 31, 22) - 1], [utc(2026, 2, 28, 23) - 1, utc(2026, 3, 31, 22)]),
    (BERLIN, {"calendar": "1 quarter"}, utc(2026, 5, 5), [utc(2026, 3, 31, 22)], [utc(2026, 3, 31, 22) - 1]),
    (BERLIN, {"calendar": "1 year", "shift": -1}, utc(2026, 1, 1), [utc(2024, 12, 31, 23), utc(2025, 12, 31, 23) - 1], [utc(2024, 12, 31, 23) - 1, utc(2025, 12, 31, 23)]),
    (BERLIN, {"start": "2026-03-29", "end": "2026-03-30"}, utc(2026, 6, 1), [utc(2026, 3, 28, 23), utc(2026, 3, 29, 22) - 1], [utc(2026, 3, 28, 23) - 1, utc(2026, 3, 29, 22)]),
    (BERLIN, {"start": "2026-10-25T02:30:00+01:00"}, utc(2026, 11, 1), [utc(2026, 10, 25, 1, 30)], [utc(2026, 10, 25, 1, 30) - 1]),
    (PAULO, {"calendar": "1 day"}, utc(2018, 11, 4, 12), [utc(2018, 11, 4, 3)], [utc(2018, 11, 4, 3) - 1]),  # midnight does not exist: the day begins at 01:00
    (PAULO, {"calendar": "1 day", "shift": -1}, utc(2018, 11, 5, 12), [utc(2018, 11, 4, 3), utc(2018, 11, 5, 2) - 1], [utc(2018, 11, 4, 3) - 1, utc(2018, 11, 5, 2)]),
    (PAULO, {"calendar": "1 day"}, utc(2018, 2, 18, 2, 30), [utc(2018, 2, 17, 2)], [utc(2018, 2, 17, 2) - 1]),  # 23:30 comes twice, both on the 17th
    (PAULO, {"calendar": "1 day"}, utc(2018, 2, 18, 3), [utc(2018, 2, 18, 3)], [utc(2018, 2, 18, 3) - 1]),
    (KOLKATA, {"calendar": "1 day"}, utc(2026, 3, 29, 12), [utc(2026, 3, 28, 18, 30)], [utc(2026, 3, 28, 18, 30) - 1]),
    (KOLKATA, "1 month", utc(2026, 3, 29, 19), [utc(2026, 2, 27, 18, 30)], [utc(2026, 2, 27, 18, 30) - 1]),
    ("UTC", {"calendar": "2 days"}, NOON, [utc(2026, 3, 28)], [utc(2026, 3, 28) - 1]),
    ("UTC", "6 months", utc(2026, 8, 31, 23, 59), [utc(2026, 2, 28)], [utc(2026, 2, 28) - 1]),
]  # fmt: skip


def schema(zone: str) -> rules.RuleSchema:
    return rules.RuleSchema.of(zone=zone, events={"order": {}}, traits={"renewal": "time", "birthday": "date"})


@pytest.mark.parametrize(("zone", "window", "at", "inside", "outside"), GOLDEN)
def test_bounds_by_hand(zone: str, window: Any, at: int, inside: list[int], outside: list[int]) -> None:
    rule = rules.parse({"event": "order", "within": window}, schema(zone))
    for moment in inside + outside:
        person = rules.Timeline(person="x", events=(rules.Event(id="1", name="order", at=moment, received=moment),))
        assert rule.evaluate(person, at=at) is (moment in inside), dt.datetime.fromtimestamp(moment / 1e6, dt.UTC)


def test_a_fact_after_the_moment_is_never_inside() -> None:
    for window in ("1 day", {"calendar": "1 year"}, {"start": "2026-01-01", "end": "2027-01-01"}):
        rule = rules.parse({"event": "order", "within": window}, schema(BERLIN))
        later = rules.Timeline(person="x", events=(rules.Event(id="1", name="order", at=NOON + 1, received=0),))
        assert not rule.evaluate(later, at=NOON)
        assert rule.evaluate(later, at=NOON + 1)


@pytest.mark.parametrize(
    ("window", "days", "others"),
    [  # asked on 29 March 2026 in Berlin, a day of 23 hours
        ("7 days", [(2026, 3, 23), (2026, 3, 29)], [(2026, 3, 22), (2026, 3, 30)]),
        ({"next": "7 days"}, [(2026, 3, 29), (2026, 4, 4)], [(2026, 3, 28), (2026, 4, 5)]),
        ({"from": "30 days", "to": "7 days"}, [(2026, 2, 28), (2026, 3, 22)], [(2026, 2, 27), (2026, 3, 23)]),
        ({"to": "7 days"}, [(2026, 3, 22), (1950, 1, 1)], [(2026, 3, 23)]),
        ("1 month", [(2026, 2, 28), (2026, 3, 29)], [(2026, 2, 27), (2026, 3, 30)]),
        ({"calendar": "1 week", "shift": 1}, [(2026, 3, 30), (2026, 4, 5)], [(2026, 3, 29), (2026, 4, 6)]),
        ({"start": "2026-03-01", "end": "2026-04-01"}, [(2026, 3, 1), (2026, 3, 31)], [(2026, 2, 28), (2026, 4, 1)]),
    ],
)
def test_dates_count_whole_days(window: Any, days: list[tuple[int, ...]], others: list[tuple[int, ...]]) -> None:
    rule = rules.parse({"trait": "birthday", "within": window}, schema(BERLIN))
    for at in (utc(2026, 3, 28, 23), NOON, utc(2026, 3, 29, 22) - 1):
        for day in days + others:
            state = rules.State(kind="trait", key="birthday", value=dt.date(*day), at=0, received=0)
            assert rule.evaluate(rules.Timeline(person="x", states=(state,)), at=at) is (day in days), (day, at)


@pytest.mark.parametrize(
    ("window", "value", "expected"),
    [
        ({"next": "14 days"}, NOON + 1, True), ({"next": "14 days"}, NOON, False), ({"next": "14 days"}, NOON + 14 * DAY, True), ({"next": "14 days"}, NOON + 14 * DAY + 1, False),
        ({"next": "1 month"}, utc(2026, 4, 29, 22) - 1, True), ({"next": "1 month"}, utc(2026, 4, 29, 22), False), ("7 days", NOON, True), ("7 days", NOON + 1, False),
        ({"calendar": "1 day", "shift": 1}, utc(2026, 3, 29, 22), True), ({"calendar": "1 day", "shift": 1}, utc(2026, 3, 30, 22), False),
    ],
)  # fmt: skip
def test_times(window: Any, value: int, expected: bool) -> None:
    rule = rules.parse({"trait": "renewal", "within": window}, schema(BERLIN))
    state = rules.State(kind="trait", key="renewal", value=value, at=0, received=0)
    assert rule.evaluate(rules.Timeline(person="x", states=(state,)), at=NOON) is expected


ANNIVERSARIES = [
    ((1992, 2, 29), {"calendar": "1 day"}, (2026, 2, 28, 12), True), ((1992, 2, 29), {"calendar": "1 day"}, (2026, 3, 1, 12), False),
    ((1992, 2, 29), {"calendar": "1 day"}, (2028, 2, 29, 12), True), ((1992, 2, 29), {"calendar": "1 day"}, (2028, 2, 28, 12), False),
    ((2026, 2, 28), {"calendar": "1 day"}, (2026, 2, 28, 12), False), ((1990, 12, 31), {"next": "7 days"}, (2026, 12, 25, 12), True),
    ((1990, 1, 3), {"next": "7 days"}, (2026, 12, 28, 12), True), ((1990, 1, 4), {"next": "7 days"}, (2026, 12, 28, 12), False),
    ((1990, 12, 28), {"next": "7 days"}, (2026, 12, 28, 12), True),
    ((1990, 12, 27), {"next": "7 days"}, (2026, 12, 28, 12), False), ((2026, 12, 30), {"next": "7 days"}, (2026, 12, 28, 12), False),
    ((1990, 3, 30), {"calendar": "1 day"}, (2026, 3, 29, 21, 59), False), ((1990, 3, 30), {"calendar": "1 day"}, (2026, 3, 29, 22), True),
]  # fmt: skip


@pytest.mark.parametrize(("day", "window", "at", "expected"), ANNIVERSARIES)
def test_anniversaries_by_hand(day: tuple[int, ...], window: Any, at: tuple[int, ...], expected: bool) -> None:
    rule = rules.parse({"trait": "birthday", "anniversary": window}, schema(BERLIN))
    state = rules.State(kind="trait", key="birthday", value=dt.date(*day), at=0, received=0)
    assert rule.evaluate(rules.Timeline(person="x", states=(state,)), at=utc(*at)) is expected


SHAPES: list[Any] = [
    *(Rolling(start=Span(number, unit)) for number, unit in ((1, "hour"), (1, "day"), (30, "day"), (1, "month"), (7, "month"), (1, "year"))),
    Rolling(start=Span(3, "day"), end=Span(1, "day")), Rolling(start=Span(6, "month"), end=Span(1, "month")), Rolling(end=Span(1, "month")), Rolling(end=Span(2, "day")),
    *(Calendar(number=number, unit=unit, shift=shift) for number, unit, shift in ((1, "day", 0), (2, "day", -1), (1, "week", 0), (3, "week", 1), (1, "month", -1), (2, "quarter", 0), (1, "year", 0))),
    *(Ahead(span=Span(number, unit)) for number, unit in ((1, "hour"), (14, "day"), (1, "month"))), Absolute(start=utc(2026, 3, 1), end=utc(2026, 4, 1)), Until(days=3),
]  # fmt: skip
CHANGES = {
    BERLIN: [utc(2026, 3, 29, 1), utc(2026, 10, 25, 1)], PAULO: [utc(2018, 11, 4, 3), utc(2018, 2, 18, 2)], KOLKATA: [utc(2026, 2, 28, 18, 30)], "UTC": [utc(2024, 2, 29)],
    "Asia/Beirut": [utc(2026, 3, 28, 22), utc(2026, 10, 24, 21)], "Atlantic/Azores": [utc(2026, 3, 29, 1), utc(2026, 10, 25, 1)], "Asia/Kathmandu": [utc(2026, 1, 31, 18, 15)],
}  # fmt: skip


@pytest.mark.parametrize("zone", CHANGES)
@pytest.mark.parametrize("window", SHAPES, ids=str)
def test_entering_and_leaving_agree_with_the_bounds(zone: str, window: Any) -> None:
    """A fact is inside exactly from `enter` until `leave`: so the window takes it in once and lets it go once."""
    for change in CHANGES[zone]:
        facts = {change + hours * HOUR + step for hours in (-49, -25, -24, -1, 0, 1, 2, 23, 24, 25, 30 * 24) for step in (-1, 0, 1)}
        facts |= {midnight(shift_days(local_day(change, zone), days), zone) + step for days in (-31, -1, 0, 1, 2) for step in (-1, 0)}
        for fact in facts:
            enter, leave = window.enter(fact, zone), window.leave(fact, zone)
            moments = {edge + step for edge in (enter, leave, change, change + DAY, fact) if abs(edge) < FOREVER for step in (-HOUR, -1, 0, 1, HOUR)}
            for at in moments:
                low, high = window.bounds(at, zone)
                assert (low <= fact < high) is (enter <= at < leave), (fact, at, enter, leave)


def test_midnights_are_first_instants() -> None:
    for zone, changes in CHANGES.items():
        for change in changes:
            for days in range(-3, 4):
                day = shift_days(local_day(change, zone), days)
                first = midnight(day, zone)
                assert local_day(first, zone) == day
                assert local_day(first - 1, zone) == shift_days(day, -1)
