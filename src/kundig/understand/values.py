"""Lifetime values: what each buyer is expected to bring within the horizon, as net present value, with two intervals."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa

from kundig.clock import local_day, midnight
from kundig.config.understand import Costs
from kundig.schema import step
from kundig.tables.understand import FEATURES, LIFETIME_VALUES, MODELS
from kundig.understand.models import LIFETIME, model_named
from kundig.understand.valuation import buyers, valued


@step(reads=(FEATURES, MODELS), writes=LIFETIME_VALUES, kind="array", by="person_key", bound=2_000)
def lifetime_values(
    features: pa.Table, models: pa.Table, *, as_of: dt.datetime, zone: str, costs: Costs, horizon_months: int = 12, discount_rate: float = 0.1
) -> pa.Table:
    """One row per buyer; persons without a purchase have no lifetime value yet, and no row.

    A row depends on the person's features, the model and the local day, so two runs of one day agree and a new day counts everybody anew:
    arithmetic over stored statistics, once per distinct (purchases, first day, last day).
    """
    bought = buyers(features)
    model = model_named(models, LIFETIME)
    if model is None:
        bought = bought.slice(0, 0)
    values = valued(bought, model, as_of=as_of, zone=zone, costs=costs, horizon_months=horizon_months, discount_rate=discount_rate)
    fitted, version, verdict = model if model is not None else (None, "", "")
    size = bought.num_rows
    moment = midnight(local_day(as_of, zone), zone)
    columns = {name: pa.array(np.round(column, 9)) for name, column in values.items()}
    columns |= {
        "person_key": bought["person_key"],
        "as_of": pa.array([moment] * size, pa.timestamp("us", "UTC")) if size < 1 else pa.repeat(pa.scalar(moment, pa.timestamp("us", "UTC")), size),
        "model": pa.repeat(f"{fitted.kind if fitted else ''}@{version}", size),
        "verdict": pa.repeat(verdict, size),
    }  # fmt: skip
    return pa.table({name: columns[name] for name in LIFETIME_VALUES.names if name != "changed_run"})
