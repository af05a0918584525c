"""The words of the language: kinds, their options, durations and thresholds; parser and published schema read the same lists."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

WINDOW_FORMS = "last, from/to, next, calendar/shift, start/end, after/for"
AGGREGATES = ("count", "days", "sum", "average", "minimum", "maximum", "distinct")
WHOLE = ("count", "days", "distinct")
"""Aggregates that are whole numbers."""
TOTALS = ("count", "days", "distinct", "sum")
"""Aggregates that are 0 over no events; the others are missing."""
THRESHOLDS = ("at_least", "at_most", "more_than", "less_than", "between", "is")
CONDITION_WORDS = ("all", "any", "not")
"""Words with a meaning of their own inside `where` and `has`, and so no property names."""

OPTIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "all": frozenset(), "any": frozenset(), "not": frozenset(), "everyone": frozenset(), "rule": frozenset(), "now": frozenset(),
        "trait": frozenset({"for"}), "score": frozenset({"for", "field"}), "consent": frozenset({"channel", "is", "for"}),
        "segment": frozenset({"for"}), "list": frozenset({"for"}),
        "event": frozenset({"where", "within", *AGGREGATES}),
        "first": frozenset({"where", "has", "within"}), "last": frozenset({"where", "has", "within"}),
        "sequence": frozenset({"within"}), "regular": frozenset({"where", "every", "of_last", "in_at_least", "count"}),
        "bucket": frozenset({"from", "to"}),
        "stopped": frozenset({"where", "silent", "active"}), "resumed": frozenset({"where", "within", "silent"}),
    }
)  # fmt: skip
"""Each kind with its options; tests are options of `trait` and `score` too."""
KINDS = tuple(OPTIONS)

ELAPSED = ("minute", "hour", "day", "week")
CALENDAR = ("day", "week", "month", "quarter", "year")
ALL_UNITS = ("minute", "hour", "day", "week", "month", "quarter", "year")
DURATION = re.compile(r"(\d{1,9}) (minute|hour|day|week|month|quarter|year)s?")
LONGEST_YEARS = 100
"""Nothing is asked about further back or ahead."""
DEEPEST = 40
"""How deep clauses and conditions may be nested."""
MOST_PARTS = 2_000
"""How many clauses and conditions a rule may have, those of the rules it names included."""

CONSENT_ANSWERS = ("given", "withdrawn", "missing")
CONSENT_STATUSES: Mapping[str, tuple[str, ...]] = MappingProxyType({"given": ("given",), "withdrawn": ("withdrawn", "objected")})
"""Which statuses of the folded consent log count as which answer; all others, and none, are missing."""

DAY_TEXT = re.compile(r"\d{4}-\d\d-\d\d")
PARAMETER = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
