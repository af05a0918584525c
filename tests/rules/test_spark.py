"""Law 1 and the fold on Spark: the same expressions, the same answers."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from typing import Any

import ibis
import pytest
from tests.rules.generator import Generator
from tests.rules.test_exactness import assigned
from tests.rules.test_select import drawn
from tests.rules.world import FULL, SCHEMA, ZONE, crowd, moment, tables

from kundig import rules
from kundig.clock import micros
from kundig.rules import columns
from kundig.rules.scan import with_persons
from kundig.rules.values import fold
from kundig.store.engines.portable import DIALECT

pytestmark = pytest.mark.needs_java


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    from kundig.store.engines import spark as engine

    session = engine.start()
    token = DIALECT.set("pyspark")
    yield ibis.pyspark.connect(session)
    DIALECT.reset(token)


def in_spark(connection: Any, given: dict[str, Any]) -> dict[str, ibis.Table]:
    for name, table in given.items():
        connection._session.createDataFrame(table).createOrReplaceTempView(name)
    return {name: connection.table(name) for name in given}


def aware(value: Any) -> Any:
    """A moment with its zone: what comes back from Spark has lost it."""
    return value.replace(tzinfo=dt.UTC) if isinstance(value, dt.datetime) and value.tzinfo is None else value


def test_select_is_evaluate_on_spark(spark: Any) -> None:
    asked = true = 0
    for seed in range(12 if FULL else 2):
        at, people, parsed = drawn(seed, people=60 if FULL else 40)
        due = seed % 2 == 1
        rows = {row["person_id"]: row for row in rules.compile(parsed, in_spark(spark, tables(people)), as_of=at, due=due).to_pyarrow().to_pylist()}
        assert len(rows) == len(people)
        for person in people:
            for name, rule in parsed.items():
                expected = rule.evaluate(person, at=at)
                asked, true = asked + 1, true + expected
                assert rows[person.person][name] is expected, (seed, person.person, rule.source)
                moment_due = rows[person.person].get(f"{name}_due_at")
                assert moment_due is None or micros(aware(moment_due)) > at
    assert true > asked // 10


def test_days_on_spark_are_those_of_duckdb(spark: Any) -> None:
    chance = random.Random(4)
    at, draw = moment(chance), Generator(chance)
    parsed = [rules.parse(source, SCHEMA) for source in (draw.event(), draw.edge(), draw.event(), {"event": "order", "sum": {"of": "total", "at_least": 1}})]
    given = tables(crowd(chance, at, 30))
    found = rules.measure_days(with_persons(in_spark(spark, given)), rules.measures_of(parsed), zone=ZONE, as_of=at).to_pyarrow().to_pylist()
    found = [{name: aware(value) for name, value in row.items()} for row in found]
    duck = ibis.duckdb.connect()
    duck.raw_sql("SET TimeZone='UTC'")
    other = {name: duck.create_table(name, table) for name, table in given.items()}
    wanted = rules.measure_days(with_persons(other), rules.measures_of(parsed), zone=ZONE, as_of=at).to_pyarrow().to_pylist()

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["person_key"], row["local_day"], row["measure"], row["property"]

    assert len(found) > 20
    assert sorted(found, key=key) == sorted(wanted, key=key)


def test_the_fold_is_spark_s(spark: Any) -> None:
    import pyarrow as pa

    texts = assigned()
    view = in_spark(spark, {"texts": pa.table({"text": texts})})["texts"]
    folded = view.mutate(folded=columns.fold(view.text)).to_pyarrow()
    pairs = dict(zip(folded["text"].to_pylist(), folded["folded"].to_pylist(), strict=True))
    assert [text for text in texts if pairs[text] != fold(text)] == []
