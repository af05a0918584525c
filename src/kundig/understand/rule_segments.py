"""Rule segments: who is in each of the segments that `segments/rules/*.yaml` define by the rule language, and when time alone may change it."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Mapping
from typing import Any

import ibis
import ibis.expr.types as ir

from kundig import rules
from kundig.config.understand import SegmentRule
from kundig.schema import step
from kundig.tables.collect import EVENTS
from kundig.tables.understand import LIST_MEMBERS, RULE_MEMBERS, SCORES, SEGMENT_MEMBERS
from kundig.tables.unify import CONSENTS, IDENTITIES, MEASURE_DAYS, PROFILES, TRAIT_CHANGES

MOMENT = "timestamp('UTC', 6)"
"""Type of a moment: engines give a rule that time alone never changes another one than the others."""


@step(
    reads=(PROFILES, EVENTS, IDENTITIES, MEASURE_DAYS, TRAIT_CHANGES, CONSENTS, SCORES, SEGMENT_MEMBERS, LIST_MEMBERS), writes=RULE_MEMBERS, by="person_key", due="due_at",
    needs=("rule_segments",),
)  # fmt: skip
def rule_members(
    profiles: ir.Table, events: ir.Table, identities: ir.Table, measure_days: ir.Table, trait_changes: ir.Table, consents: ir.Table, scores: ir.Table, segment_members: ir.Table,
    list_members: ir.Table, *, as_of: dt.datetime, config: Any, rule_segments: Mapping[str, SegmentRule],
) -> ir.Table:  # fmt: skip
    """One row for each person and rule segment that holds, or that time alone may bring (`member` false, with its moment in `due_at`).

    Windows over events are answered from `measure_days`, which folds the measures of these rules. A person is asked again when a fact of theirs comes
    and at `due_at`, so that a window that opens or closes in silence is heard.

    Raises:
        RuleError: Rules that cannot be read; all faults of all segments at once.
    """
    parsed = rules.parse_all({name: one.rule for name, one in sorted(rule_segments.items())}, rules.schema_of(config)) if rule_segments else {}
    if not parsed:
        nobody = profiles.filter(ibis.literal(False))
        return nobody.select("person_key", segment=ibis.literal(""), member=ibis.literal(False), due_at=ibis.null(MOMENT))
    tables = {
        "profiles": profiles, "events": events, "identities": identities, "measure_days": measure_days, "trait_changes": trait_changes, "scores": scores,
        "consents": consents, "segment_members": segment_members, "list_members": list_members,
    }  # fmt: skip
    flags = rules.compile(parsed, tables, as_of=as_of, due=True, measures=rules.measures_of(parsed))
    parts = [flags.select("person_key", segment=ibis.literal(name), member=flags[name], due_at=flags[f"{name}_due_at"].cast(MOMENT)) for name in parsed]
    rows: ir.Table = functools.reduce(lambda above, below: above.union(below, distinct=False), parts)
    return rows.filter(rows.member | rows.due_at.notnull())
