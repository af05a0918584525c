"""A day's sums for each measure that a rule needs, so that the windows of all rules add days instead of reading events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import ibis.expr.types as ir

from kundig import rules
from kundig.config.decide import Audience
from kundig.config.traits import Trait
from kundig.config.understand import SegmentRule
from kundig.rules.clauses import Clause
from kundig.rules.workspace_schema import trait_schema
from kundig.schema import step
from kundig.tables.collect import EVENTS
from kundig.tables.unify import IDENTITIES, MEASURE_DAYS
from kundig.unify.person_days import owned

MERGE = {"count": "sum", "sum": "sum", "minimum": "min", "maximum": "max", "first_at": "min", "last_at": "max"}
"""How a day of some events and the same day of others become that of all."""


@step(reads=(EVENTS, IDENTITIES), writes=MEASURE_DAYS, by="person_key", merge=MERGE, folds=(EVENTS,))
def measure_days(events: ir.Table, identities: ir.Table, *, config: Any, zone: str, audiences: Mapping[str, Audience], traits: Mapping[str, Trait], rule_segments: Mapping[str, SegmentRule] = MappingProxyType({})) -> ir.Table:
    """The days of every measure that the rules of audiences and segments and the computed traits can be answered from; no rows where none counts events.

    A new or changed rule fills its measures once, from all events.
    """
    parsed = rules.audience_rules(audiences, rule_segments, rules.schema_of(config)) if audiences else {}
    segments = rules.parse_all({name: one.rule for name, one in sorted(rule_segments.items())}, rules.schema_of(config)) if rule_segments else {}
    made = rules.read_traits(trait_schema(config)) if traits else {}
    return days_of_rules(events, identities, parsed, zone=zone, beside=[*(one.probe for one in made.values()), *(rule.clause for rule in segments.values())])


def days_of_rules(events: ir.Table, identities: ir.Table, parsed: Mapping[str, rules.Rule], *, zone: str, beside: Sequence[Clause] = ()) -> ir.Table:
    """The rows of `measure_days` for these rules, and for clauses beside them."""
    return rules.measure_days(owned(events, identities), rules.measures_of([*parsed.values(), *beside]), zone=zone)
