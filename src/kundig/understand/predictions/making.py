"""Features of persons at a moment, from every table that tells of them: one row a person, the same at a past cut-off and now."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kundig.config.understand import Costs
from kundig.understand.features import parts_of
from kundig.understand.predictions.knowing import Facts
from kundig.understand.predictions.targets import literal
from kundig.understand.propensity.frames import Ints
from kundig.understand.purchases import of_persons

MOST_EVENTS = 24
"""Kinds of events that are features each: those that most persons of the sample have."""
WINDOWS = (30, 90, 365)
COUNTED = ("order_lines", "deals", "referrals", "ad_contacts", "social_contacts", "survey_answers", "subscriptions")
"""Tables of which rows are counted as they are, beside what is made of them by name."""
GAPS = ("birth_date",)
"""Whole numbers of which none is not 0."""
LARGE = "decimal(38,4)"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which features there are beside the fixed ones: settled at a fit, so that scores see the same."""

    events: tuple[str, ...]
    attributes: Mapping[str, str]
    consents: tuple[tuple[str, str], ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the model."""
        return asdict(self) | {"attributes": dict(self.attributes)}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Plan:
        """The plan that `as_dict` told of."""
        return cls(events=tuple(told["events"]), attributes=dict(told["attributes"]), consents=tuple((one, other) for one, other in told["consents"]))


def planned(events: ir.Table, attributes: Mapping[str, str], consents: Iterable[tuple[str, str]]) -> Plan:
    """The plan for these events, which carry their persons: the kinds of events that most persons have."""
    common = events.group_by("name").aggregate(persons=events.person_key.nunique())
    ranked = common.order_by([ibis.desc("persons"), "name"]).limit(MOST_EVENTS).to_pyarrow()["name"].to_pylist()
    return Plan(events=tuple(sorted(name for name in ranked if name)), attributes=dict(attributes), consents=tuple(consents))


def made(known: Facts, mine: Facts, plan: Plan, people: Ints, *, at: dt.datetime, zone: str, costs: Costs) -> pa.Table:
    """One row for each of the people, in their order: `person_key` and the features at a moment.

    `known` are the tables as they were known then, `mine` the same with the person of each record. Each part is asked of the engine by itself, and
    put beside the others here: one question of all of them at once would take longer to say than to answer.
    """
    events = of_persons(known["events"].select("identifier_key", "occurred_at", "local_day", "name", "channel"), known["identities"])
    asked = [known[name] for name in ("orders", "order_lines", "products", "tickets", "survey_answers", "subscriptions", "campaign_messages", "identities")]
    asked.insert(3, _days(events))
    parts = [*parts_of(*asked, as_of=at, zone=zone, costs=costs), _events(events, plan, at), _orders(mine["orders"], at), _last_order(mine["orders"]), _deals(mine["deals"], at), _counted(mine, at)]
    parts += [part for part in (_attributes(known["trait_changes"], plan), _consents(known["consents"], plan)) if part is not None]
    columns: dict[str, pa.Array] = {"person_key": pa.array(people)}
    for part in parts:
        columns |= {name: column for name, column in beside(part.to_pyarrow(), people).items() if name not in columns and not name.endswith("_due_at")}
    return pa.table(columns)


def beside(part: pa.Table, people: Ints) -> dict[str, pa.Array]:
    """The columns of a part, its rows in the order of these people; null for those it lacks. Decimals become floats; counts that lack are 0."""
    keys = np.asarray(part["person_key"].to_numpy(), np.int64)
    order = np.argsort(keys, kind="stable")
    spot = np.searchsorted(keys[order], people)
    spot = np.minimum(spot, max(len(keys) - 1, 0))
    there = keys[order[spot]] == people if len(keys) else np.zeros(len(people), bool)
    index = pa.array(order[spot] if len(keys) else np.zeros(len(people), np.int64), mask=~there)
    found = {}
    for name in part.column_names:
        if name != "person_key":
            column = part[name].combine_chunks()
            column = column.cast(pa.float64()) if pa.types.is_decimal(column.type) else column
            column = column.take(index) if len(keys) else pa.nulls(len(people), column.type)
            found[name] = pc.fill_null(column, 0) if pa.types.is_integer(column.type) and name not in GAPS else column
    return found


def _days(events: ir.Table) -> ir.Table:
    """What `person_days` says, of the events known then."""
    return events.group_by("person_key", "local_day", event=events.name).aggregate(first_at=events.occurred_at.min(), last_at=events.occurred_at.max())


def _since(column: Any, at: dt.datetime, days: int) -> Any:
    return column > literal(at - dt.timedelta(days=days))


def _events(events: ir.Table, plan: Plan, at: dt.datetime) -> ir.Table:
    """How often each kind of event happened lately, and when last; on how many days anything happened."""
    asked: dict[str, Any] = {}
    for name in plan.events:
        named = events["name"] == name
        asked |= {f"{name}_{days}": (named & _since(events.occurred_at, at, days)).sum().cast("int64") for days in WINDOWS}
        asked[f"{name}_last"] = events.occurred_at.max(where=named)
    for days in WINDOWS:
        asked[f"days_seen_{days}"] = events.local_day.nunique(where=_since(events.occurred_at, at, days)).cast("int64")
    asked["channels_365"] = events.channel.nunique(where=_since(events.occurred_at, at, 365)).cast("int64")
    return events.group_by("person_key").aggregate(**asked)


def _orders(orders: ir.Table, at: dt.datetime) -> ir.Table:
    standing = orders.filter(orders.status != "cancelled")
    asked: dict[str, Any] = {}
    for days in WINDOWS:
        recent = _since(standing.occurred_at, at, days)
        asked |= {f"orders_{days}": recent.sum().cast("int64"), f"net_{days}": standing.net.sum(where=recent).cast(LARGE)}
    return standing.group_by("person_key").aggregate(**asked)


def _last_order(orders: ir.Table) -> ir.Table:
    standing = orders.filter(orders.status != "cancelled")
    newest = ibis.row_number().over(group_by="person_key", order_by=[ibis.desc(standing.occurred_at), ibis.desc(standing.order_id)])
    ranked = standing.mutate(place=newest)
    return ranked.filter(ranked.place == 0).select("person_key", last_order_channel="channel", last_order_net="net", last_order_at="occurred_at")


def _deals(deals: ir.Table, at: dt.datetime) -> ir.Table:
    """Deals that run, and what was won."""
    return deals.group_by("person_key").aggregate(deals_open=(deals.stage == "open").sum().cast("int64"), deals_won_net=deals.amount.sum(where=deals.stage == "won").cast(LARGE))


def _counted(mine: Facts, at: dt.datetime) -> ir.Table:
    """Rows of each table: ever, of the last 90 days, and when last."""
    parts = [mine[name].select("person_key", "occurred_at", kind=ibis.literal(name)) for name in COUNTED]
    rows = functools.reduce(lambda above, below: above.union(below, distinct=False), parts)
    asked: dict[str, Any] = {}
    for name in COUNTED:
        own = rows.kind == name
        asked |= {f"{name}_ever": own.sum().cast("int64"), f"{name}_90": (own & _since(rows.occurred_at, at, 90)).sum().cast("int64"), f"{name}_last": rows.occurred_at.max(where=own)}
    return rows.group_by("person_key").aggregate(**asked)


def _newest(rows: ir.Table, *keys: str) -> ir.Table:
    order = [ibis.desc(rows.occurred_at), ibis.desc(rows.received_at), ibis.desc(rows.seq)]
    ranked = rows.mutate(place=ibis.row_number().over(group_by=("person_key", *keys), order_by=order))
    return ranked.filter(ranked.place == 0)


def _attributes(changes: ir.Table, plan: Plan) -> ir.Table | None:
    """The value of each attribute then, in its type; a date as its year."""
    if not plan.attributes:
        return None
    last = _newest(changes.filter(changes.trait.isin(sorted(plan.attributes))), "trait")
    asked = {}
    for name, kind in sorted(plan.attributes.items()):
        value = last.value.max(where=last.trait == name)
        asked[name] = value if kind == "string" else value.substr(0, 4).try_cast("int64") if kind == "date" else value.try_cast("float64") if kind != "bool" else value
    return last.group_by("person_key").aggregate(**asked)


def _consents(consents: ir.Table, plan: Plan) -> ir.Table | None:
    """Whether each consent was given then."""
    if not plan.consents:
        return None
    last = _newest(consents, "purpose", "channel")
    asked = {f"consent_{purpose}_{channel}": last.status.max(where=(last.purpose == purpose) & (last.channel == channel)) for purpose, channel in plan.consents}
    return last.group_by("person_key").aggregate(**asked)
