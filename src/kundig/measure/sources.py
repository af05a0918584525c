"""What KPIs are counted on: the tables of one release joined to persons, and which of them hold anything at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import ibis

from kundig.clock import local_day
from kundig.store.engines import portable

if TYPE_CHECKING:
    import datetime as dt

    import ibis.expr.types as ir


@dataclass(kw_only=True)
class Sources:
    """The tables a measure may read, by name, and helpers that several measures share."""

    tables: Mapping[str, ir.Table]
    as_of: dt.datetime
    zone: str
    _counts: dict[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> ir.Table:
        return self.tables[name]

    def this_month(self) -> ir.Value:
        """The first day of the as-of moment's local month."""
        return ibis.literal(local_day(self.as_of, self.zone).replace(day=1).isoformat()).cast("date")

    def month_of(self, moment: ir.Value) -> ir.Value:
        """The first day of a moment's local month."""
        return portable.local_day(moment, self.zone).truncate("M")

    def empty(self, name: str) -> bool:
        """No row of this table was ever landed or computed."""
        if name not in self._counts:
            self._counts[name] = int(self.tables[name].limit(1).count().to_pyarrow().as_py())
        return self._counts[name] == 0

    def of_persons(self, rows: ir.Table) -> ir.Table:
        """Rows with `identifier_key` and `occurred_at`, with the `person_key` the identifier belonged to at that time."""
        identities = self.tables["identities"]
        who = identities.filter(~identities.shared).select("identifier_key", "person_key", "valid_from", "valid_until")
        joined = rows.join(who, "identifier_key")
        inside = (joined.occurred_at >= joined.valid_from) & (joined.valid_until.isnull() | (joined.occurred_at < joined.valid_until))
        return joined.filter(inside).drop("valid_from", "valid_until")

    @cached_property
    def purchases(self) -> ir.Table:
        """Orders that stand: not cancelled, net value above zero; with `month`."""
        orders = self.tables["orders"]
        kept = orders.filter((orders.status != "cancelled") & (orders.net > 0))
        return kept.mutate(month=kept.local_day.truncate("M"))

    @cached_property
    def purchase_months(self) -> ir.Table:
        """Distinct person and month with a purchase, and the first day of one in it; computed once and held by the engine."""
        bought = self.of_persons(self.purchases.select("identifier_key", "occurred_at", "month", "local_day"))
        return bought.group_by("person_key", "month").aggregate(first_day=bought.local_day.min()).cache()

    @cached_property
    def first_purchases(self) -> ir.Table:
        """Each buyer's first purchase day and its month."""
        bought = self.purchase_months
        first = bought.group_by("person_key").aggregate(first_day=bought.first_day.min())
        return first.mutate(month=first.first_day.truncate("M"))

    @cached_property
    def outcomes(self) -> ir.Table:
        """Messages by channel, month and outcome, wherever they were sent from: one row a message and outcome."""
        sent = self.tables["campaign_messages"]
        return sent.mutate(month=sent.local_day.truncate("M"))

    @cached_property
    def outcome_counts(self) -> ir.Table:
        """Messages by month, channel, variant and outcome; a message has one channel and one variant.

        Counted once and held, for the several measures that divide them.
        """
        sent = self.outcomes
        return _held(sent.group_by("month", "channel", "variant", "outcome").aggregate(messages=sent.count()))

    @cached_property
    def visit_counts(self) -> ir.Table:
        """Sessions by month and channel: how many, their page views, and how many of them had two or more, or a purchase; counted once and held."""
        visits = self.tables["sessions"]
        visits = visits.mutate(month=visits.local_day.truncate("M"))
        counted = visits.group_by("month", "channel").aggregate(
            visits=visits.count(), pages=visits.pages.sum().cast("int64"), engaged=(visits.pages >= 2).sum().cast("int64"), converted=visits.converted.sum().cast("int64")
        )
        return _held(counted)


def _held(counted: ir.Table) -> ir.Table:
    """A small table, computed."""
    return ibis.memtable(counted.to_pyarrow())
