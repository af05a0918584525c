"""What a prediction's file says, as rules: of whom it is predicted, and who did it within the horizon."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.types as ir

from kundig import rules
from kundig.config.predictions import Prediction
from kundig.errors import ConfigError, Fault, RuleError
from kundig.rules.schema import EventType, Field, RuleSchema
from kundig.rules.workspace_schema import trait_schema

if TYPE_CHECKING:
    from kundig.config.load import Config

MOMENT = "timestamp('UTC', 6)"
BOUGHT = "product_bought"
DEALS = {"deal_opened": "open", "deal_won": "won", "deal_lost": "lost"}
_STATES = ("trait_changes", "consents")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The two rules of a prediction."""

    target: rules.Rule
    population: rules.Rule


def schema(config: Config) -> RuleSchema:
    """What the rules of predictions may speak of: events, attributes, computed traits and consents, and besides what orders and deals tell as events.

    `product_bought` is a line of an order, with `product_id`, `category`, `brand`, `quantity` and `value`; `deal_opened`, `deal_won` and
    `deal_lost` are deals with their `value`. Scores, segments and lists are made later, and have no past to learn from.
    """
    known = trait_schema(config)
    value = known.property(known.events, "value") or Field(type="number")
    text, number = Field(type="text"), Field(type="number")
    made = {BOUGHT: EventType(properties={"product_id": text, "category": text, "brand": text, "quantity": number, "value": value}, labels={"de": "Artikel gekauft", "en": "product bought"})}
    labels = {"deal_opened": {"de": "Geschäft begonnen", "en": "deal opened"}, "deal_won": {"de": "Geschäft gewonnen", "en": "deal won"}, "deal_lost": {"de": "Geschäft verloren", "en": "deal lost"}}
    made |= {name: EventType(properties={"value": value}, labels=labels[name]) for name in DEALS}
    return dataclasses.replace(known, events={**made, **known.events})


def asked(predictions: Mapping[str, Prediction], config: Config) -> dict[str, Asked]:
    """The rules of each prediction.

    Raises:
        ConfigError: Rules that cannot be read: all faults of all files, each with its line.
    """
    known, found, faults = schema(config), {}, list[Fault]()
    for name, prediction in sorted(predictions.items()):
        parsed: dict[str, rules.Rule] = {}
        for part in ("target", "population"):
            try:
                parsed[part] = rules.parse(getattr(prediction, part), known)
                parsed[part].require_bound()
            except RuleError as error:
                faults += [dataclasses.replace(fault, at=_place(config, name, part, fault.at)) for fault in error.faults]
        if len(parsed) == 2:
            found[name] = Asked(**parsed)
    if faults:
        raise ConfigError(faults=faults)
    return found


def _place(config: Config, name: str, part: str, at: str) -> str:
    """File and line of a place in a rule, as near as it is known."""
    steps = [part, *re.findall(r"[^.\[\]$]+", at)]
    for end in range(len(steps), 0, -1):
        origin = config.origin(".".join(["predictions", name, *steps[:end]]))
        if origin != "default":
            return f"{origin}, {part}{at.removeprefix('$')}"
    return f"predictions/{name}.yaml, {part}{at.removeprefix('$')}"


def literal(moment: dt.datetime) -> Any:
    """A moment as a literal of the engine."""
    return ibis.literal(moment, type=MOMENT)


def of_population(rule: rules.Rule, known: Mapping[str, ir.Table], at: dt.datetime) -> ir.Table:
    """`person_key` of whom the rule holds at a moment, given the tables as they were known then."""
    tables = {"profiles": known["profiles"], "events": _told(known, rule), **{name: known[name] for name in _STATES}}
    flags = rules.compile({"answer": rule}, {name: _received(rows) for name, rows in tables.items()}, as_of=at)
    return flags.filter(flags.answer).select("person_key")


def done(rule: rules.Rule, heard: Mapping[str, ir.Table], start: dt.datetime, end: dt.datetime) -> ir.Table:
    """`person_key` and `outcome`: whether the rule holds at `end`, over the events that happened after `start`; states are those of the end."""
    events = _told(heard, rule)
    after = events.filter(events.occurred_at > literal(start), events.occurred_at <= literal(end))
    tables = {"profiles": heard["profiles"], "events": after, **{name: heard[name] for name in _STATES}}
    flags = rules.compile({"outcome": rule}, {name: _received(rows) for name, rows in tables.items()}, as_of=end)
    return flags.select("person_key", "outcome")


def _received(rows: ir.Table) -> ir.Table:
    """Facts count from when they happened: what was not known yet has been left out before."""
    return rows.mutate(received_at=rows.occurred_at) if "occurred_at" in rows.columns else rows


def _told(tables: Mapping[str, ir.Table], rule: rules.Rule) -> ir.Table:
    """The events with their persons, and those that orders and deals tell where the rule speaks of them."""
    events, named = tables["events"], repr(rule.clause)
    if f"'{BOUGHT}'" in named:
        events = _above(events, bought(tables))
    if any(f"'{name}'" in named for name in DEALS):
        events = _above(events, dealt(tables["deals"]))
    return events


def bought(tables: Mapping[str, ir.Table]) -> ir.Table:
    """Lines of orders as events."""
    lines = tables["order_lines"]
    goods = lines.filter((lines.line_kind.fill_null("goods") == "goods") & (lines.quantity > 0))
    named = goods.left_join(tables["products"].select("product_id", "category", "brand"), "product_id")
    return named.select("person_key", "occurred_at", "received_at", "local_day", "product_id", "category", "brand", "quantity", name=ibis.literal(BOUGHT), value=named.net, event_id=named.line_id)


def dealt(deals: ir.Table) -> ir.Table:
    """Deals as events: when they began, and when they were won or lost."""
    began = deals.select("person_key", "occurred_at", "received_at", name=ibis.literal("deal_opened"), value=deals.amount, event_id=deals.deal_id)
    ended = deals.filter(deals.closed_at.notnull() & deals.stage.isin(["won", "lost"]))
    closed = ended.select("person_key", occurred_at=ended.closed_at, received_at=ibis.greatest(ended.received_at, ended.closed_at), name=ibis.literal("deal_") + ended.stage, value=ended.amount, event_id=ended.deal_id + "#closed")
    return began.union(closed, distinct=False)


def _above(events: ir.Table, more: ir.Table) -> ir.Table:
    """The events with others below them; what one side lacks is null."""
    own = events.schema()
    extra = {name: kind for name, kind in more.schema().items() if name not in own}
    wide = events.mutate(**{name: ibis.null(kind) for name, kind in extra.items()})
    kinds = wide.schema()
    cells = {name: more[name].cast(kind) if name in more.columns and (more[name].type().is_string() == kind.is_string()) else ibis.null(kind) for name, kind in kinds.items()}
    return wide.union(more.select(**cells), distinct=False)
