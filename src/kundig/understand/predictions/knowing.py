"""The tables as they were known at a past moment: what came or happened later is not there, also where a row was changed since.

A row counts from when it was received and had happened. What was changed in place since is taken back: an order is worth what its lines
then said, a case is open until it was solved, a contract and a deal run until they ended.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import ibis
import ibis.expr.types as ir

from kundig.understand.predictions.targets import MOMENT, literal
from kundig.understand.purchases import of_persons

LANDED = ("events", "orders", "order_lines", "tickets", "survey_answers", "subscriptions", "campaign_messages", "deals", "referrals", "ad_contacts", "social_contacts")
"""Tables of records that carry identifiers and both clocks."""
REPLACED = ("tickets", "subscriptions", "deals")
"""Those of which a newer version takes the place of an older one: `received_at` is that of the newest, and would hide a row because it was changed later.

They count from when they happened, with what changed since taken back. `contacts` do not tell when they began and are left out: what they said of
a person stands in `trait_changes`."""
OF_PERSONS = ("trait_changes", "consents")
"""Tables of what is known of persons, with both clocks."""

Facts = Mapping[str, ir.Table]


def known(facts: Facts, at: dt.datetime, *, heard: dt.datetime | None = None) -> dict[str, ir.Table]:
    """The tables at `at`, as they were known at `heard` (`at` by default)."""
    moment = literal(heard or at)
    found = dict(facts)
    for name in (*LANDED, *OF_PERSONS):
        rows = facts[name]
        found[name] = rows.filter(rows.occurred_at <= literal(at)) if name in REPLACED else rows.filter(rows.received_at <= moment, rows.occurred_at <= literal(at))
    found["orders"] = _worth(found["orders"], found["order_lines"])
    tickets, contracts, deals = found["tickets"], found["subscriptions"], found["deals"]
    solved = (tickets.solved_at <= literal(at)).fill_null(False)
    open_since = tickets.solved_at.isnull() & (tickets.status != "open").fill_null(False)
    found["tickets"] = tickets.mutate(
        status=ibis.ifelse(solved | open_since, tickets.status, "open"), satisfaction=ibis.ifelse(solved, tickets.satisfaction, ibis.null("int64")),
        solved_at=ibis.ifelse(solved, tickets.solved_at, ibis.null(MOMENT)),
    )  # fmt: skip
    found["subscriptions"] = contracts.mutate(ended_at=ibis.ifelse((contracts.ended_at <= literal(at)).fill_null(False), contracts.ended_at, ibis.null(MOMENT)))
    ended = (deals.closed_at <= literal(at)).fill_null(False)
    found["deals"] = deals.mutate(stage=ibis.ifelse(ended, deals.stage, "open"), closed_at=ibis.ifelse(ended, deals.closed_at, ibis.null(MOMENT)))
    return found


def _worth(orders: ir.Table, lines: ir.Table) -> ir.Table:
    """Orders worth what their lines said; one without lines keeps its amounts, and none was cancelled before its lines said so."""
    goods = lines.filter(lines.line_kind.fill_null("goods") == "goods")
    by_order = goods.group_by("order_id").aggregate(lines_net=goods.net.sum().cast("decimal(18,4)"), lines_gross=ibis.coalesce(goods.gross, goods.net).sum().cast("decimal(18,4)"))
    beside = orders.left_join(by_order, "order_id").drop("order_id_right")
    taken_back = (beside.lines_net <= 0).fill_null(False)
    whole = beside.mutate(
        status=ibis.ifelse(taken_back, "cancelled", "completed"), net=ibis.coalesce(beside.lines_net, beside.net), gross=ibis.coalesce(beside.lines_gross, beside.gross),
    )  # fmt: skip
    return whole.drop("lines_net", "lines_gross")


def owned(tables: Facts, identities: ir.Table) -> dict[str, ir.Table]:
    """The tables with the person each record belonged to when it happened."""
    return dict(tables) | {name: of_persons(tables[name], identities) for name in LANDED}
