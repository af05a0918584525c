"""Steps of predictions: models, fitted on a sample when they are due, and the score of each person. A workspace without such files has no work here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from kundig.config.law import Purposes
from kundig.config.predictions import Prediction, attributes_of
from kundig.config.understand import Costs
from kundig.config.unify import ProfileRules
from kundig.schema import step
from kundig.store.engines.session import arrow_schema
from kundig.tables.collect import (
    AD_CONTACTS,
    CAMPAIGN_MESSAGES,
    DEALS,
    EVENTS,
    ORDER_LINES,
    ORDERS,
    PRODUCTS,
    REFERRALS,
    SOCIAL_CONTACTS,
    SUBSCRIPTIONS,
    SURVEY_ANSWERS,
    TICKETS,
)  # fmt: skip
from kundig.tables.understand import PREDICTION_MODELS, SCORES
from kundig.tables.unify import CONSENTS, IDENTITIES, PROFILES, TRAIT_CHANGES
from kundig.understand.predictions.fitting import fits_of
from kundig.understand.predictions.frames import MOMENT, Place, boundary, lapses, present
from kundig.understand.predictions.models import champion, fingerprint
from kundig.understand.predictions.targets import asked

FILES = ("predictions",)
FACTS = (
    PROFILES, IDENTITIES, TRAIT_CHANGES, CONSENTS, EVENTS, ORDERS, ORDER_LINES, PRODUCTS, TICKETS, SURVEY_ANSWERS, SUBSCRIPTIONS, CAMPAIGN_MESSAGES, DEALS, REFERRALS, AD_CONTACTS,
    SOCIAL_CONTACTS,
)  # fmt: skip
"""Tables that features are made of."""


@step(reads=(*FACTS, PREDICTION_MODELS), writes=PREDICTION_MODELS, kind="fit", needs=FILES)
def prediction_models(
    people: ir.Table, identities: ir.Table, trait_changes: ir.Table, consents: ir.Table, events: ir.Table, orders: ir.Table, order_lines: ir.Table, products: ir.Table, tickets: ir.Table,
    survey_answers: ir.Table, subscriptions: ir.Table, campaign_messages: ir.Table, deals: ir.Table, referrals: ir.Table, ad_contacts: ir.Table, social_contacts: ir.Table, models: ir.Table,
    *, as_of: dt.datetime, zone: str, config: Any, predictions: Mapping[str, Prediction], profiles: ProfileRules, purposes: Purposes, costs: Costs,
) -> pa.Table:  # fmt: skip
    """A row for each prediction: a fit where one is due by schedule, drift or another question, else the drift of the model that stands."""
    tables = (people, identities, trait_changes, consents, events, orders, order_lines, products, tickets, survey_answers, subscriptions, campaign_messages, deals, referrals, ad_contacts, social_contacts)
    rows = []
    if predictions:
        kinds = profiles.types
        rows = fits_of(
            _named(tables), models.to_pyarrow().to_pylist(), predictions, asked(predictions, config), {name: kinds[name] for name in attributes_of(profiles)}, purposes.pairs(), Place(zone=zone, costs=costs),
            as_of=as_of,
        )  # fmt: skip
    return pa.concat_tables(rows) if rows else arrow_schema(PREDICTION_MODELS).empty_table()


@step(reads=(*FACTS, PREDICTION_MODELS), writes=SCORES, kind="array", by="person_key", due="until", bound=3_000, needs=FILES)
def scores(
    people: ir.Table, identities: ir.Table, trait_changes: ir.Table, consents: ir.Table, events: ir.Table, orders: ir.Table, order_lines: ir.Table, products: ir.Table, tickets: ir.Table,
    survey_answers: ir.Table, subscriptions: ir.Table, campaign_messages: ir.Table, deals: ir.Table, referrals: ir.Table, ad_contacts: ir.Table, social_contacts: ir.Table, models: ir.Table,
    *, as_of: dt.datetime, zone: str, config: Any, predictions: Mapping[str, Prediction], costs: Costs,
) -> pa.Table:  # fmt: skip
    """The score of every person for every prediction that has a model, from the last boundary to the next; null for those who are not of its population.

    A row depends on the person's facts that had happened by the boundary and are known now, and on the model.
    """
    tables = (people, identities, trait_changes, consents, events, orders, order_lines, products, tickets, survey_answers, subscriptions, campaign_messages, deals, referrals, ad_contacts, social_contacts)
    facts, parts = _named(tables), []
    if predictions:
        fitted, place, rules = models.to_pyarrow().to_pylist(), Place(zone=zone, costs=costs), asked(predictions, config)
        everybody = people.select("person_key").to_pyarrow()["person_key"].combine_chunks().cast(pa.int64()).sort()
        for name, prediction in sorted(predictions.items()):
            standing = champion(fitted, name, fingerprint(prediction))
            if standing is not None:
                moment = boundary(as_of, zone, prediction.score_days)
                frame = present(facts, rules[name], standing.plan, place, at=moment, heard=as_of)
                found = np.asarray(standing.model.predict(frame)["probability"].to_numpy(), np.float64)
                parts.append(_rows(name, everybody, frame["person_key"].to_numpy(), found, standing.percentile(found), standing.version, moment, lapses(moment, zone, prediction.score_days)))
    return pa.concat_tables(parts) if parts else arrow_schema(SCORES).empty_table()


def _named(tables: tuple[ir.Table, ...]) -> dict[str, ir.Table]:
    return {table.name: rows for table, rows in zip(FACTS, tables, strict=True)}


def _rows(name: str, everybody: pa.Array, persons: Any, value: Any, percentile: Any, version: str, moment: dt.datetime, until: dt.datetime) -> pa.Table:
    keys = everybody.to_numpy()
    size = len(keys)
    values, places = np.full(size, np.nan), np.full(size, np.nan)
    spot = np.searchsorted(keys, persons)
    values[spot], places[spot] = np.round(value, 9), percentile
    at = pa.repeat(pa.scalar(moment, MOMENT), size)
    return pa.table({
        "person_key": everybody, "model": pa.repeat(name, size), "value": pa.array(values, from_pandas=True), "percentile": pa.array(places, from_pandas=True), "occurred_at": at, "received_at": at,
        "until": pa.repeat(pa.scalar(until, MOMENT), size), "version": pa.repeat(version, size), "seq": pa.repeat(pa.scalar(0, pa.int64()), size),
    })  # fmt: skip
