"""Cohorts: customers by the month of their first purchase, and how many of them bought in each month since."""

from __future__ import annotations

import ibis.expr.types as ir

from kundig.schema import step
from kundig.tables.collect import ORDERS
from kundig.tables.measure import COHORTS
from kundig.tables.unify import IDENTITIES


@step(reads=(ORDERS, IDENTITIES), writes=COHORTS)
def cohorts(orders: ir.Table, identities: ir.Table) -> ir.Table:
    """Size, active buyers and net revenue of each cohort, by months since the first purchase.

    Months are local (the orders' `local_day`): a purchase at 23:30 on the last of a month belongs to that month. Cancelled orders
    and orders of nobody known are left out.
    """
    bought = orders.filter((orders.status != "cancelled") & (orders.net > 0)).select("identifier_key", "occurred_at", "local_day", "net")
    who = identities.filter(~identities.shared).select("identifier_key", "person_key", "valid_from", "valid_until")
    joined = bought.join(who, "identifier_key")
    mine = joined.filter((joined.occurred_at >= joined.valid_from) & (joined.valid_until.isnull() | (joined.occurred_at < joined.valid_until)))
    months = mine.mutate(at=mine.local_day.truncate("M")).group_by("person_key", "at").aggregate(net=lambda t: t.net.sum().cast("decimal(38,4)"))
    starts = months.group_by("person_key").aggregate(cohort=months["at"].min())
    lived = months.join(starts, "person_key")
    number = (lived["at"].year() - lived.cohort.year()) * 12 + lived["at"].month() - lived.cohort.month()
    counted = lived.mutate(month=number.cast("int64")).group_by("cohort", "month").aggregate(active=lambda t: t.count(), net=lambda t: t.net.sum().cast("decimal(38,4)"))
    sizes = starts.group_by("cohort").aggregate(persons=starts.count())
    return counted.join(sizes, "cohort").select("cohort", "month", "persons", "active", "net")
