"""Traits: what each person did, in values that the workspace defines by the rule language; and its own attributes beside them."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Mapping
from typing import Any

import ibis
import ibis.expr.types as ir

from kundig import rules
from kundig.config.traits import Trait
from kundig.config.unify import ProfileRules
from kundig.rules.workspace_schema import trait_schema
from kundig.schema import step
from kundig.tables.collect import EVENTS
from kundig.tables.understand import TRAITS
from kundig.tables.unify import CONSENTS, IDENTITIES, MEASURE_DAYS, PROFILES, TRAIT_CHANGES


@step(reads=(PROFILES, EVENTS, IDENTITIES, MEASURE_DAYS, TRAIT_CHANGES, CONSENTS), writes=TRAITS, by="person_key", due="due_at")
def traits(
    person_rows: ir.Table, events: ir.Table, identities: ir.Table, measure_days: ir.Table, trait_changes: ir.Table, consents: ir.Table,
    *, as_of: dt.datetime, config: Any, zone: str, traits: Mapping[str, Trait], profiles: ProfileRules,
) -> ir.Table:  # fmt: skip
    """The value of every trait at `as_of`; a person of whom there is nothing to say has no row.

    Windows over events are answered from `measure_days`, which folds the measures of these traits. Tests of a trait in a rule do not read
    these rows: they ask for the events themselves, so that they answer alike at any moment, here and live.
    """
    parts = []
    if traits:
        made = rules.read_traits(trait_schema(config))
        tables = {"profiles": person_rows, "events": events, "identities": identities, "measure_days": measure_days, "trait_changes": trait_changes, "consents": consents}
        values = rules.trait_values(made, tables, as_of=as_of, zone=zone, measures=rules.measures_of(one.probe for one in made.values()))
        categories = ibis.cases(*((values.trait == name, trait.category) for name, trait in sorted(traits.items())), else_="behavioural")
        parts.append(values.mutate(category=categories))
    if profiles.attributes:
        said = trait_changes.filter(trait_changes.trait.isin(sorted(profiles.attributes)))
        newest = said.mutate(newest=said.seq == said.seq.max().over(group_by=("person_key", "trait")))
        now = newest.filter(newest.newest)
        categories = ibis.cases(*((now.trait == name, attribute.category) for name, attribute in sorted(profiles.attributes.items())), else_="psychographic")
        parts.append(now.select("person_key", "trait", "value", last_fact_at=now.occurred_at, due_at=ibis.null("timestamp('UTC', 6)"), category=categories))
    if not parts:
        nobody = person_rows.filter(ibis.literal(False))
        return nobody.select(
            "person_key", trait=ibis.literal(""), value=ibis.null("string"), category=ibis.literal(""), last_fact_at=ibis.null("timestamp('UTC', 6)"), due_at=ibis.null("timestamp('UTC', 6)")
        )
    return functools.reduce(lambda above, below: above.union(below, distinct=False), parts)
