"""Exact arithmetic and the fold: what engines and Python must agree on to the last digit and the last character."""

from __future__ import annotations

import random
import unicodedata
from decimal import Decimal
from typing import Any

import ibis
import pyarrow as pa
import pytest
from tests.rules.world import FULL, MOMENTS, SCHEMA, in_duckdb, tables

from kundig import rules
from kundig.rules import columns
from kundig.rules.facts import as_number
from kundig.rules.values import fold


@pytest.fixture(scope="module")
def duck() -> Any:
    connection = ibis.duckdb.connect()
    connection.raw_sql("SET TimeZone='UTC'; SET threads=2; SET memory_limit='2GB'")
    return connection


def assigned() -> list[str]:
    """Every assigned code point, alone, and after a letter where it has a case."""
    alone = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code <= 0xDFFF and unicodedata.category(chr(code)) not in ("Cn", "Co")]
    return alone + ["a" + letter for letter in alone if letter.lower() != letter]


def test_the_fold_is_the_engine_s(duck: Any) -> None:
    texts = assigned()
    assert len(texts) > 140_000
    table = duck.create_table("texts", pa.table({"text": texts}), overwrite=True)
    folded = table.mutate(number=ibis.row_number(), folded=columns.fold(table.text)).to_pyarrow()
    pairs = dict(zip(folded["text"].to_pylist(), folded["folded"].to_pylist(), strict=True))
    assert len(pairs) == len(texts)
    different = [text for text in texts if pairs[text] != fold(text)]
    assert different == []


def test_the_plain_folds_of_python_would_differ() -> None:
    assert fold("ὈΔΥΣΣΕΎΣ") == fold("ὀδυσσεύς")
    assert any(fold(text) != text.casefold() for text in ("İ", "ᾳ", "ŉ"))


def bought(values: list[str]) -> rules.Timeline:
    at = MOMENTS[0]
    events = tuple(rules.Event(id=str(n), name="order", at=at - n, received=0, properties={"total": Decimal(value), "rating": float(value)}) for n, value in enumerate(values))
    return rules.Timeline(person="x", events=events)


def both_say(duck: Any, source: dict[str, Any], person: rules.Timeline) -> bool:
    rule = rules.parse(source, SCHEMA)
    answer = rule.evaluate(person, at=MOMENTS[0])
    selected = rule.select(in_duckdb(duck, tables([person])), as_of=MOMENTS[0]).count().execute()
    assert (selected == 1) is answer
    return answer


def test_an_average_is_not_rounded(duck: Any) -> None:
    """33.3333, 33.3333 and 33.3334 lie above 33.3333 on average; division to four digits would call them equal."""
    person = bought(["33.3333", "33.3333", "33.3334"])
    assert not both_say(duck, {"event": "order", "average": {"of": "total", "at_most": Decimal("33.3333")}}, person)
    assert both_say(duck, {"event": "order", "average": {"of": "total", "more_than": Decimal("33.3333")}}, person)
    assert both_say(duck, {"event": "order", "average": {"of": "total", "is": Decimal("33.5")}}, bought(["33", "34"]))
    assert not both_say(duck, {"event": "order", "average": {"of": "total", "at_most": 5}}, rules.Timeline(person="x"))


def test_sums_that_reach_their_threshold_exactly(duck: Any) -> None:
    chance = random.Random(1)
    below = 0
    for _ in range(400 if FULL else 60):
        values = [f"{chance.randint(1, 9999)}.{chance.randint(0, 99):02}" for _ in range(chance.randint(3, 12))]
        total = sum(map(Decimal, values), Decimal(0))
        below += sum(map(float, values)) < float(total)
        rule = rules.parse({"event": "order", "sum": {"of": "total", "at_least": total}}, SCHEMA)
        assert rule.evaluate(bought(values), at=MOMENTS[0])
    assert below > 0, "binary floats would have failed some of these"
    assert both_say(duck, {"event": "order", "sum": {"of": "total", "is": Decimal("0.3")}}, bought(["0.1", "0.2"]))
    assert both_say(duck, {"event": "order", "sum": {"of": "rating", "is": Decimal("0.3")}}, bought(["0.1", "0.2"]))


def test_floats_become_the_same_numbers(duck: Any) -> None:
    chance = random.Random(2)
    given = [chance.choice([chance.uniform(-1, 1), chance.uniform(-1e6, 1e6), chance.randint(-99999, 99999) / 100_000, chance.randint(0, 10**9) / 20_000]) for _ in range(20_000)]
    given += [0.0, -0.0, 1.00005, 2.5, float("nan"), float("inf"), 1e14, -1e15, 33.33335, 0.00005, -0.00005]
    table = duck.create_table("floats", pa.table({"number": range(len(given)), "value": given}), overwrite=True)
    found = table.mutate(value=columns.number(table.value)).order_by("number").to_pyarrow()["value"].to_pylist()
    assert found == [as_number(value) for value in given]


def test_whole_numbers_too(duck: Any) -> None:
    given = [0, 5, -7, 10**13, 10**14, -(10**14), 2**62, None]
    table = duck.create_table("wholes", pa.table({"number": range(len(given)), "value": pa.array(given, pa.int64())}), overwrite=True)
    found = table.mutate(value=columns.number(table.value)).order_by("number").to_pyarrow()["value"].to_pylist()
    assert found == [as_number(value) for value in given]
