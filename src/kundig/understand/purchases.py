"""Purchases of persons: which orders stand, whose they are, and what a day of them is worth."""

from __future__ import annotations

import ibis.expr.types as ir


def standing(orders: ir.Table) -> ir.Table:
    """Orders that were not cancelled; a returned one stands with what is left of it."""
    return orders.filter(orders.status.fill_null("completed") != "cancelled")


def of_persons(facts: ir.Table, identities: ir.Table) -> ir.Table:
    """The facts with the `person_key` their identifier belonged to when they happened; the others, and those of shared identifiers, fall out."""
    certain = identities.filter(~identities.shared).select("person_key", "valid_from", "valid_until", owned_key=identities.identifier_key)
    joined = facts.inner_join(certain, facts.identifier_key == certain.owned_key)
    during = (joined.occurred_at >= joined.valid_from) & (joined.valid_until.isnull() | (joined.occurred_at < joined.valid_until))
    return joined.filter(during).drop("owned_key", "valid_from", "valid_until")


def daily(orders: ir.Table) -> ir.Table:
    """Purchase days: net value of a person's orders of a local day, where it is above zero."""
    days = orders.group_by("person_key", "local_day").aggregate(net=orders.net.sum().cast("decimal(38,4)"))
    return days.filter(days.net > 0)
