"""The spine: what each person did a day, by event and channel; windows and features read it instead of the events."""

from __future__ import annotations

import ibis.expr.types as ir

from kundig.schema import step
from kundig.tables.collect import EVENTS
from kundig.tables.unify import IDENTITIES, PERSON_DAYS

MERGE = {"count": "sum", "value": "sum", "first_at": "min", "last_at": "max"}
"""How a day of some events and the same day of others become that of all."""


@step(reads=(EVENTS, IDENTITIES), writes=PERSON_DAYS, by="person_key", merge=MERGE, folds=(EVENTS,))
def person_days(events: ir.Table, identities: ir.Table) -> ir.Table:
    """Events folded by person, local day, name and channel.

    An event belongs to whom its strongest identifier belonged at that moment; what carries nothing but a shared identifier is nobody's.
    New events are added to their days; a merge or a split replaces the days of the persons concerned.
    """
    wanted = events.select(
        "identifier_key", "occurred_at", "local_day", "value", event=events["name"].fill_null(""), channel=events.channel.fill_null("")
    )
    mine = owned(wanted, identities)
    return mine.group_by("person_key", "local_day", "event", "channel").aggregate(
        count=mine.count().cast("int64"),
        value=mine.value.sum().cast("decimal(18,4)"),
        first_at=mine.occurred_at.min(),
        last_at=mine.occurred_at.max(),
    )


def owned(facts: ir.Table, identities: ir.Table) -> ir.Table:
    """The facts with the `person_key` of their `identifier_key` at their `occurred_at`; facts of shared identifiers fall out."""
    certain = identities.filter(~identities.shared).select("person_key", "valid_from", "valid_until", owner_key=identities.identifier_key)
    joined = facts.inner_join(certain, facts.identifier_key == certain.owner_key)
    during = (joined.occurred_at >= joined.valid_from) & (joined.valid_until.isnull() | (joined.occurred_at < joined.valid_until))
    return joined.filter(during).drop("owner_key", "valid_from", "valid_until")
