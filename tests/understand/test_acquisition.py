"""What winning customers cost, and tiers and models that know the channel that brought them."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as some
from tests.understand.shop import Steps, Truth, by_person, purchases, world_of
from tests.understand.world import World, arrow, berlin

from kundig.config.understand import Axes, Condition, Matrix, Tier, ValueAxis
from kundig.tables.collect import AD_SPEND, SUBSCRIPTIONS
from kundig.tables.understand import MODELS
from kundig.tables.unify import PROFILES
from kundig.understand.acquisition import ACQUISITION, rates
from kundig.understand.lifetime_value.fitted import Fitted
from kundig.understand.models import LIFETIME, acquisition_cost, model_named, segment_tiers

AS_OF = berlin("2025-06-20 09:00")
MATRIX = Matrix(rows=({"segment_id": "all", "value_tier": "*", "behavior_cluster": "*", "state": "*", "key_message": "", "visual_guideline": "", "offer_code": ""},))
months = some.integers(min_value=24_000, max_value=24_020)
channels = some.sampled_from(("search", "social", "display"))


@given(
    spent=some.lists(some.tuples(channels, months, some.integers(min_value=0, max_value=10_000).map(float)), max_size=20),
    won=some.lists(some.tuples(channels, months, some.integers(min_value=1, max_value=50)), max_size=20),
)
def test_customers_bear_what_was_spent_no_more_and_no_less(spent, won) -> None:
    """Beside plain sums: all spend up to a channel's last customer within the months that are booked for; what came later waits for the next."""
    found = rates(spent, won)
    booked = [month for _, month, _ in spent]
    for name, channel in found["channels"].items():
        within = [(month, count) for one, month, count in won if one == name and min(booked) <= month <= max(booked)]
        borne = sum(count * channel["months"].get(str(month), 0.0) for month, count in within)
        last = max((month for month, _ in within), default=-1)
        assert borne == pytest.approx(sum(amount for one, month, amount in spent if one == name and month <= last), abs=0.01)
        assert (channel["mean"] is None) == (not within)


def shop(spend: tuple[tuple[dt.date, str, float], ...], channel_of: dict[int, str], world: World | None = None, axes: Axes | None = None) -> Steps:
    made = world or World()
    for person, channel in channel_of.items():
        made.add(PROFILES, person_key=person, acquisition_channel=channel)
    steps = Steps(made, matrix=MATRIX, axes=axes or Axes())
    rows = [{"local_day": day, "platform": "ads", "channel": channel, "campaign": "c", "amount": Decimal(str(amount)), "received_at": AS_OF} for day, channel, amount in spend]
    steps.sources["ad_spend"] = steps.engine.table(arrow(AD_SPEND, rows))
    return steps


def costs(steps: Steps, features: pa.Table) -> pa.Table:
    found = acquisition_cost(steps.sources["ad_spend"], steps.engine.table(features), as_of=AS_OF, zone=steps.zone)
    return steps._shaped(found, MODELS)


def few() -> World:
    """Two from search in March (one of them at 23:30 of its last day in Berlin), one in May, one directly, one before anything was booked."""
    world = World()
    for person in range(1, 7):
        world.person(person, 100 + person)
    bought = {1: "2025-03-10 12:00", 2: "2025-03-31 23:30", 3: "2025-05-02 12:00", 4: "2025-03-10 12:00", 5: "2024-11-10 12:00"}
    for person, at in bought.items():
        world.order(100 + person, berlin(at), 50.0)
    world.add(SUBSCRIPTIONS, berlin("2025-05-10 12:00"), identifier_key=106, amount=Decimal(10), period_months=1, started_at=berlin("2025-05-10 12:00"), plan="p", status="active")
    return world


SPEND = ((dt.date(2025, 3, 1), "search", 60.0), (dt.date(2025, 3, 31), "search", 40.0), (dt.date(2025, 4, 5), "search", 30.0), (dt.date(2025, 5, 5), "search", 10.0), (dt.date(2025, 5, 5), "display", 500.0))
CHANNELS = {1: "search", 2: "search", 3: "search", 4: "direct", 5: "search", 6: "search"}


def test_a_person_bears_the_channels_cost_of_the_month_the_person_was_won_in() -> None:
    steps = shop(SPEND, CHANNELS, few())
    features = steps.features(AS_OF)
    models = pa.concat_tables([steps.fits(AS_OF, features), costs(steps, features)])
    told = by_person(steps.values(AS_OF, features, models))
    # March: 100 for two; April waits for May: 40 for a buyer and a holder of a contract; before: the mean, 140 for four
    assert {person: float(row["acquisition_cost"]) for person, row in told.items()} == {1: 50.0, 2: 50.0, 3: 20.0, 4: 0.0, 5: 35.0}
    for row in told.values():
        assert row["value_less_acquisition"] == row["expected_value"] - row["acquisition_cost"]
    row = next(row for row in models.to_pylist() if row["model"] == ACQUISITION)
    assert (row["verdict"], row["observations"]) == ("usable", 6)
    assert json.loads(row["parameters"])["channels"]["display"]["mean"] is None, "whom it won is not known: nobody's cost"


def test_without_any_spend_the_cost_is_not_known_and_not_zero() -> None:
    steps = shop((), CHANNELS, few())
    features = steps.features(AS_OF)
    models = pa.concat_tables([steps.fits(AS_OF, features), costs(steps, features)])
    assert {row["acquisition_cost"] for row in steps.values(AS_OF, features, models).to_pylist()} == {None}
    assert {row["value_less_acquisition"] for row in steps.values(AS_OF, features, models.slice(0, 2)).to_pylist()} == {None}
    row = next(row for row in models.to_pylist() if row["model"] == ACQUISITION)
    assert (row["verdict"], row["reason"]) == ("not_usable", "no advertising spend has landed")


@pytest.fixture(scope="module")
def large() -> Steps:
    axes = Axes(value=ValueAxis(measure="value_less_acquisition", method="quantiles", tiers=(Tier(name="basic"), Tier(name="top", start=0.6))))
    orders = purchases(400, 70, 5)
    world = world_of(orders)
    who = {person + 1: "search" if person % 2 else "direct" for person in set(orders["person_id"].to_pylist())}
    spend = tuple((dt.date(year, month, 1), "search", 1_000_000.0) for year in (2024, 2025) for month in range(1, 13))
    return shop(spend, who, world, axes)


def test_tiers_are_cut_by_the_value_that_is_left_of_winning_them(large: Steps) -> None:
    """Whoever was won dearly is in the lower tier, however much is expected of them; by the value alone (the control) both channels are in both."""
    features = large.features(AS_OF)
    first = pa.concat_tables([large.fits(AS_OF, features).slice(0, 1), costs(large, features)])
    found = {}
    for measure in ("value_less_acquisition", "expected_value"):
        axes = Axes(value=ValueAxis(measure=measure, method="quantiles", tiers=(Tier(name="basic"), Tier(name="top", start=0.6))))
        tiers = large._shaped(segment_tiers(features, first, as_of=AS_OF, zone=large.zone, axes=axes, costs=large.costs), MODELS)
        models = pa.concat_tables([first, tiers])
        values, states = large.values(AS_OF, features, models), large.states(AS_OF, features, models)
        steps = Steps(large.world, axes=axes, matrix=MATRIX)
        placed = steps.segments(features, values, states, models).to_pylist()
        channel = {row["person_key"]: row["acquisition_channel"] for row in features.to_pylist()}
        found[measure] = {name: {row["value_tier"] for row in placed if channel[row["person_key"]] == name} for name in ("search", "direct")}
        assert json.loads(tiers["parameters"][0].as_py())["measure"] == measure
    assert found["expected_value"] == {"search": {"basic", "top"}, "direct": {"basic", "top"}}
    assert found["value_less_acquisition"]["search"] == {"basic"}
    assert "top" in found["value_less_acquisition"]["direct"]


def test_a_cluster_may_ask_for_the_channel_that_brought_a_person() -> None:
    assert Condition(feature="acquisition_channel", one_of=("search",)).one_of == ("search",)
    with pytest.raises(ValueError, match="is a text; use one_of"):
        Condition(feature="acquisition_channel", at_least=1)


def _channels_apart(other: Truth) -> Steps:
    parts = [purchases(900, 100, 7, Truth(a=0.3, b=6.0), entry_weeks=30), purchases(900, 100, 8, other, entry_weeks=30)]
    second = parts[1].set_column(0, "person_id", pa.array(parts[1]["person_id"].to_numpy() + 10_000))
    orders = pa.concat_tables([parts[0], second])
    who = {person + 1: "friend" if person < 10_000 else "search" for person in set(orders["person_id"].to_pylist())}
    return shop((), who, world_of(orders))


@pytest.mark.parametrize("apart", [True, False])
def test_channels_have_a_process_of_their_own_where_the_past_prefers_it(apart: bool) -> None:
    """Channels that lose customers at other rates; where they are alike (the control) the model of all stays, or says the same."""
    steps = _channels_apart(Truth(a=3.0, b=2.0) if apart else Truth(a=0.3, b=6.0))
    as_of = berlin("2025-12-01 09:00")
    features = steps.features(as_of)
    plain, grouped = (steps.fits(as_of, features, groups=groups) for groups in ("none", "acquisition_channel"))
    told = json.loads(next(row for row in grouped.to_pylist() if row["model"] == LIFETIME)["holdout"])["groups"]
    assert told["names"] == ["friend", "search"]
    assert len(told["checks"]) == 3
    model = model_named(grouped, LIFETIME)
    assert model is not None
    assert Fitted.from_json(model[0].to_json()).groups.keys() == model[0].groups.keys()
    one, other = (by_person(steps.values(as_of, features, models)) for models in (plain, grouped))
    alive = {name: np.array([[float(rows[key]["probability_alive"]) for rows in (one, other)] for key in one if (key > 10_000) == (name == "search")]) for name in ("friend", "search")}
    moved = {name: float((rows[:, 1] - rows[:, 0]).mean()) for name, rows in alive.items()}
    if apart:
        assert told["used"]
        assert moved["friend"] > 0.02 > -0.02 > moved["search"]
        turns = [by_person(steps.states(as_of, features, models)) for models in (plain, grouped)]
        assert turns[0] != turns[1], "the day a silent customer is at risk is that of the channel too"
        assert steps.urgency(as_of, features, steps.values(as_of, features, grouped), steps.states(as_of, features, grouped), grouped).num_rows == len(one)
    else:
        assert all(abs(change) < 0.02 for change in moved.values())


def test_models_of_releases_that_knew_no_groups_are_read() -> None:
    steps = _channels_apart(Truth())
    features = steps.features(AS_OF)
    fitted = model_named(steps.fits(AS_OF, features), LIFETIME)
    assert fitted is not None
    data = json.loads(fitted[0].to_json())
    del data["groups"]
    assert Fitted.from_json(json.dumps(data)).groups == {}

