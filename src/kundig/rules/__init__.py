"""The rule language: one definition selects in the warehouse, answers for one person, explains itself and reads as a sentence.

rule = rules.parse(source, schema)           every fault at once, as RuleError
rule.evaluate(timeline, at=t)                one person
rule.next_change(timeline, at=t)             when time alone changes the answer
rule.explain(timeline, at=t)                 why
rule.sentence("de")                          in words
rule.select(tables, as_of=t)                 an Ibis table of persons
rules.compile({name: rule}, tables, as_of=t) many rules, one scan
"""

from __future__ import annotations

import importlib
from typing import Any

from kundig.rules.explain import Explanation
from kundig.rules.facts import Event, State, Timeline
from kundig.rules.rule import Rule, parse, parse_all
from kundig.rules.schema import EventType, Field, RuleSchema

_LATER = {
    "audience_rules": "kundig.rules.workspace_schema",
    "compile": "kundig.rules.warehouse",
    "json_schema": "kundig.rules.published",
    "read_traits": "kundig.rules.derived",
    "trait_values": "kundig.rules.derived_values",
    "Measure": "kundig.rules.measures",
    "measure_days": "kundig.rules.measures",
    "measures_of": "kundig.rules.measures",
    "parse_many": "kundig.rules.workspace_schema",
    "schema_from": "kundig.rules.workspace_schema",
    "schema_of": "kundig.rules.workspace_schema",
    "timelines": "kundig.rules.history",
}
__all__ = [
    "Event", "EventType", "Explanation", "Field", "Measure", "Rule", "RuleSchema", "State", "Timeline", "audience_rules", "compile", "json_schema", "measure_days", "measures_of",
    "parse", "parse_all", "parse_many", "read_traits", "schema_from", "schema_of", "timelines", "trait_values",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module 'kundig.rules' has no attribute '{name}'")
