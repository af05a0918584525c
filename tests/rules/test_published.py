"""The published JSON Schema accepts what the parser accepts, and refuses what it refuses for its shape."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from tests.rules.generator import Generator
from tests.rules.test_grammar import REFUSED
from tests.rules.test_grammar import SCHEMA as NAMED
from tests.rules.world import FULL, SCHEMA

from kundig import rules

jsonschema = pytest.importorskip("jsonschema")
ONLY_THE_PARSER_SEES = {
    "reversed", "366", "longer ago", "100 years", "left -> right -> left", "no beginning", "does not last", "both", "share", "no date", "before", "exactly one threshold", "four decimals", "1 to 3", "whole number", "number and text", "nothing before",
    "exists: false", "no hours", "future", "not allowed", "salt", "no number", "only in where and has", "unknown event", "for events", "which is a text",
}  # fmt: skip


def validator(schema: rules.RuleSchema) -> Any:
    published = json.loads(json.dumps(rules.json_schema(schema)))
    jsonschema.Draft202012Validator.check_schema(published)
    return jsonschema.Draft202012Validator(published)


def test_every_good_rule_is_accepted() -> None:
    check = validator(SCHEMA)
    for seed in range(600 if FULL else 120):
        draw = Generator(random.Random(seed))
        for source in (draw.rule(), draw.focused()[seed % 10]):
            plain = json.loads(json.dumps(source, default=float))
            rules.parse(plain, SCHEMA)
            assert check.is_valid(plain), plain


def test_faulty_shapes_are_refused() -> None:
    check = validator(NAMED)
    refused = [(source, says) for source, _, says in REFUSED if says not in ONLY_THE_PARSER_SEES]
    assert len(refused) > 35
    wrongly = [source for source, _ in refused if check.is_valid(json.loads(json.dumps(source, default=str)))]
    assert wrongly == []
