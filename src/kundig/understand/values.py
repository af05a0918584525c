"""Lifetime values: what each buyer and each holder of a contract is expected to bring within the horizon, as net present value, with two intervals."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kundig.clock import local_day, midnight
from kundig.config.understand import Costs
from kundig.schema import step
from kundig.tables.understand import CONTRACT_VALUES, FEATURES, LIFETIME_VALUES, MODELS
from kundig.understand.acquisition import costs_of, newest
from kundig.understand.lifecycle import midnights
from kundig.understand.lifetime_value.process import Floats, Ints
from kundig.understand.models import LIFETIME, model_named, won_for
from kundig.understand.valuation import COLUMNS, buyers, numbers, valued


@step(reads=(FEATURES, CONTRACT_VALUES, MODELS), writes=LIFETIME_VALUES, kind="array", by="person_key", bound=2_000)
def lifetime_values(
    features: pa.Table, contract_values: pa.Table, models: pa.Table, *, as_of: dt.datetime, zone: str, costs: Costs, horizon_months: int = 12, discount_rate: float = 0.1
) -> pa.Table:
    """One row per buyer and per person with a running contract; others have no lifetime value yet, and no row.

    A row depends on the person's features and contracts, the models and the local day, so two runs of one day agree and a new day counts
    everybody anew: arithmetic over stored statistics, once per distinct (purchases, first day, last day). What contracts bring is added.
    """
    bought = buyers(features)
    model = model_named(models, LIFETIME)
    if model is None:
        bought = bought.slice(0, 0)
    values = valued(bought, model, as_of=as_of, zone=zone, costs=costs, horizon_months=horizon_months, discount_rate=discount_rate)
    fitted, version, verdict = model if model is not None else (None, "", "")
    moment = midnight(local_day(as_of, zone), zone)
    keys = np.asarray(bought["person_key"].to_numpy(), np.int64)
    lone = np.flatnonzero(~np.isin(np.asarray(contract_values["person_key"].to_numpy(), np.int64), keys))
    bare = contract_values.take(pa.array(lone))
    size, others = len(keys), len(lone)
    persons = np.concatenate([keys, np.asarray(bare["person_key"].to_numpy(), np.int64)])
    columns = {name: np.concatenate([values[name], np.zeros(others)]) for name in COLUMNS}
    why = np.concatenate([values["next_reason"], np.full(others, "never_bought")])
    due = midnights(np.where(why == "", np.concatenate([values["next_day"], np.zeros(others, np.int64)]), 0), zone)
    columns["contract_value"] = np.zeros(len(persons))
    monthly = np.concatenate([np.zeros(size), numbers(bare, "expected_months") * costs.month()])
    add_contracts(columns, persons, contract_values, monthly)
    of = features["person_key"].combine_chunks()
    columns |= won_for(columns["expected_value"], costs_of(features.take(pc.index_in(pa.array(persons), value_set=of)), newest(models), zone))
    bare_of = {"probability_alive", "expected_order_value"}
    nothing = np.arange(len(persons)) >= size
    unknown = {name: nothing if name in bare_of else np.isnan(column) if name in ("acquisition_cost", "value_less_acquisition") else None for name, column in columns.items()}
    made = {name: pa.array(np.round(column, 9), mask=unknown[name]) for name, column in columns.items()} | {
        "person_key": pa.array(persons), "as_of": pa.repeat(pa.scalar(moment, pa.timestamp("us", "UTC")), len(persons)),
        "next_purchase_at": pa.array(due, pa.timestamp("us", "UTC"), mask=why != ""), "next_purchase_reason": pa.array(why, pa.string(), mask=why == ""),
        "model": pa.chunked_array([pa.repeat(f"{fitted.kind if fitted else ''}@{version}", size), bare["model"].combine_chunks()], pa.string()),
        "verdict": pa.chunked_array([pa.repeat(verdict, size), bare["verdict"].combine_chunks()], pa.string()),
    }  # fmt: skip
    return pa.table({name: made[name] for name in LIFETIME_VALUES.names if name != "changed_run"})


def add_contracts(columns: dict[str, Floats], persons: Ints, contracts: pa.Table, monthly: Floats) -> None:
    """Add to the columns of these persons what their contracts bring, less what serving those costs whom no purchase pays for.

    Doubts of the two models are independent, so their bounds of the expected value lie as far out as the root of the squares; outcomes' bounds
    are summed, which is wide rather than narrow.
    """
    place = np.argsort(persons, kind="stable")
    row = place[np.searchsorted(persons[place], np.asarray(contracts["person_key"].to_numpy(), np.int64))]
    brought = {name: np.zeros(len(persons)) for name in ("expected_value", "expected_value_low", "expected_value_high", "outcome_low", "outcome_high", "value_at_risk")}
    for name, column in brought.items():
        column[row] = numbers(contracts, name)
    for side, sign in (("expected_value_low", -1.0), ("expected_value_high", 1.0)):
        own, theirs = columns[side] - columns["expected_value"], brought[side] - brought["expected_value"]
        columns[side] = columns["expected_value"] + brought["expected_value"] - monthly + sign * np.hypot(own, theirs)
    for name in ("outcome_low", "outcome_high", "expected_value"):
        columns[name] = columns[name] + brought[name] - monthly
    columns["value_at_risk"] = columns["value_at_risk"] + brought["value_at_risk"]
    columns["contract_value"] = brought["expected_value"] - monthly
