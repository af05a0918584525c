"""Texts made by the column are those that Python makes one by one."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kundig.simulate.text import berlin, berlin_moment, decimal, iso, local, local_day, mixed, rows, uuids

MOMENTS = st.lists(st.integers(min_value=820_454_400_000_000, max_value=2_500_000_000_000_000), min_size=1, max_size=20)
BERLIN = ZoneInfo("Europe/Berlin")
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@settings(deadline=None)
@given(MOMENTS)
def test_moments_are_written_as_datetime_does(values: list[int]) -> None:
    at = np.array(values)
    moments = [EPOCH + dt.timedelta(microseconds=value) for value in values]
    assert iso(at).to_pylist() == [moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") for moment in moments]
    walls = [moment.astimezone(BERLIN) for moment in moments]
    assert local(at).to_pylist() == [wall.strftime("%d.%m.%Y %H:%M") for wall in walls]
    assert local_day(at).to_pylist() == [wall.strftime("%d.%m.%Y") for wall in walls]


@settings(deadline=None)
@given(MOMENTS)
def test_wall_clocks_can_be_turned_back_but_for_the_hour_that_comes_twice(values: list[int]) -> None:
    at = np.array(values)
    back = berlin_moment(berlin(at))
    assert np.array_equal(berlin(back), berlin(at))
    assert set((back - at).tolist()) <= {0, 3_600_000_000}


@settings(deadline=None)
@given(st.lists(st.integers(min_value=-10_000_000_000, max_value=10_000_000_000), min_size=1, max_size=20))
def test_amounts_are_written_as_format_does(values: list[int]) -> None:
    plain = [f"{'-' if value < 0 else ''}{abs(value) // 100}.{abs(value) % 100:02d}" for value in values]
    grouped = [f"{'-' if value < 0 else ''}{abs(value) // 100:,}".replace(",", ".") + f",{abs(value) % 100:02d}" for value in values]
    assert decimal(np.array(values), ".").to_pylist() == plain
    assert decimal(np.array(values), grouped=True).to_pylist() == grouped


def test_ids_are_one_to_one_and_look_like_uuids() -> None:
    made = rows(uuids(np.arange(200_000), 7), count=200_000).to_pylist()
    assert len(set(made)) == 200_000
    assert len(made[0]) == 36
    assert [len(part) for part in made[0].split("-")] == [8, 4, 4, 4, 12]
    assert len(np.unique(mixed(np.arange(200_000), 1))) == 200_000
