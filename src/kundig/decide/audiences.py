"""Audiences: whom a rule selects, ranked; the gate's answers; and who is on it in the end."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import ibis

from kundig.config.decide import Audience
from kundig.config.understand import SegmentRule
from kundig.decide.selection import selected
from kundig.decide.standing import cells, languages
from kundig.schema import step
from kundig.tables.collect import EVENTS
from kundig.tables.decide import AUDIENCE_CANDIDATES, AUDIENCE_MEMBERS, DECISIONS
from kundig.tables.understand import LIFETIME_VALUES, LIST_MEMBERS, SCORES, SEGMENT_MEMBERS, URGENCY
from kundig.tables.unify import CONSENTS, IDENTITIES, MEASURE_DAYS, PROFILES, TRAIT_CHANGES

if TYPE_CHECKING:
    import ibis.expr.types as ir


@step(
    reads=(PROFILES, EVENTS, IDENTITIES, MEASURE_DAYS, TRAIT_CHANGES, SCORES, CONSENTS, SEGMENT_MEMBERS, LIST_MEMBERS, URGENCY, LIFETIME_VALUES),
    writes=AUDIENCE_CANDIDATES,
)
def audience_candidates(
    profiles: ir.Table, events: ir.Table, identities: ir.Table, measure_days: ir.Table, trait_changes: ir.Table, scores: ir.Table, consents: ir.Table,
    segment_members: ir.Table, list_members: ir.Table, urgency: ir.Table, lifetime_values: ir.Table,
    *, as_of: dt.datetime, config: Any, audiences: Mapping[str, Audience], matrix: Any, locale: str, locales: tuple[str, ...],
    rule_segments: Mapping[str, SegmentRule] = MappingProxyType({}),
) -> ir.Table:  # fmt: skip
    """Whom each audience's rule selects at `as_of`, with matrix cell, language, and what the audience ranks by.

    `value_urgency` ranks by the value at stake times the rise of the loss, `value` by the expected value, `urgency` by the rise
    of the loss alone; who has no such number comes last.
    """
    tables = {
        "profiles": profiles, "events": events, "identities": identities, "measure_days": measure_days, "trait_changes": trait_changes, "scores": scores,
        "consents": consents, "segment_members": segment_members, "list_members": list_members,
    }  # fmt: skip
    people = selected(audiences, tables, as_of=as_of, config=config, rule_segments=rule_segments)
    standing = languages(profiles, locales, locale)
    standing = standing.left_join(cells(segment_members, [row["segment_id"] for row in matrix.rows], as_of), "person_key").drop("person_key_right")
    standing = standing.left_join(urgency.select("person_key", "urgency", "loss_rise"), "person_key").drop("person_key_right")
    standing = standing.left_join(lifetime_values.select("person_key", value="expected_value"), "person_key").drop("person_key_right")
    joined = people.join(standing, "person_key")
    by_ranking = {"value_urgency": joined.urgency, "value": joined.value.cast("float64"), "urgency": joined.loss_rise}
    named = ((joined.audience == name, by_ranking[audience.ranking]) for name, audience in sorted(audiences.items()))
    priority = ibis.cases(*named, else_=None) if audiences else ibis.null("float64")
    return joined.select("audience", "person_key", "segment_id", "locale", priority=priority.fill_null(0.0), value=joined.value)


@step(reads=(AUDIENCE_CANDIDATES, DECISIONS), writes=AUDIENCE_MEMBERS)
def audience_members(audience_candidates: ir.Table, decisions: ir.Table) -> ir.Table:
    """Who is on each audience: those the gate and the budget let through, each on one channel, ranked."""
    allowed = decisions.filter(decisions.allow).select("audience", "person_key", "channel", "reason")
    members = allowed.join(audience_candidates.select("audience", "person_key", "segment_id", "priority", "value"), ["audience", "person_key"])
    return members.mutate(rank=place_in_audience(members) + 1)


def place_in_audience(candidates: ir.Table) -> ir.IntegerColumn:
    """The place of each row in its audience, 0 first: by priority, then value, then person, so that it never depends on row order."""
    order = [ibis.desc(candidates.priority), ibis.desc(candidates.value.fill_null(0)), ibis.asc(candidates.person_key)]
    return ibis.row_number().over(ibis.window(group_by=candidates.audience, order_by=order))
