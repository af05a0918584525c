"""What audiences' rules select: one relation of (audience, person) for all of them, from one scan."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import ibis

from kundig import rules
from kundig.config.decide import Audience
from kundig.config.understand import SegmentRule
from kundig.decide.policy import parsed_rules

if TYPE_CHECKING:
    import ibis.expr.types as ir


def selected(audiences: Mapping[str, Audience], tables: Mapping[str, ir.Table], *, as_of: dt.datetime, config: Any, rule_segments: Mapping[str, SegmentRule] = MappingProxyType({})) -> ir.Table:
    """`audience`, `person_key` of every person that an audience's rule selects at `as_of`.

    Windows over events are answered from `measure_days`, which folds exactly the measures of these rules.

    Raises:
        RuleError: Rules that cannot be read; all faults of all audiences at once.
    """
    if not audiences:
        nobody = tables["profiles"].filter(ibis.literal(False))
        return nobody.select(audience=ibis.literal(""), person_key=nobody.person_key)
    parsed = parsed_rules(audiences, config, rule_segments)
    flags = rules.compile(parsed, tables, as_of=as_of, measures=rules.measures_of(parsed))
    names = ibis.array([ibis.ifelse(flags[name], name, None) for name in parsed])
    each = flags.select("person_key", audience=names.unnest())
    return each.filter(each.audience.notnull()).select("audience", "person_key")
